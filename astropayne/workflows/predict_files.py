# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Predictions of spectra into files, for one star or a table of stars."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable
from astropy.utils.exceptions import AstropyUserWarning
from specutils import Spectrum, SpectrumList

from astropayne.io.result_tables import SPECTRUM_FORMATS, TABLE_FORMATS, writable_suffix
from astropayne.io.text_tables import read_columns
from astropayne.models.model import PayneModel
from astropayne.spectra.files import file_names, row_of
from astropayne.spectra.read import read_spectrum
from astropayne.spectra.write import write_spectrum
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["predict_files"]

_AT_ONCE = 64  # spectra that are predicted together


def predict_files(
    model: PayneModel,
    labels: Mapping[str, Any] | str | Path,
    output: str | Path,
    *,
    rv: float | u.Quantity = 0.0,
    vsini: float | u.Quantity = 0.0,
    vmac: float | u.Quantity = 0.0,
    resolution: float | None = None,
    like: str | Path | None = None,
    overwrite: bool = False,
) -> tuple[list[Spectrum], list[Path]]:
    """Predict spectra into files.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    labels : mapping or path-like
        Labels of one star, or a file with a table of labels, such as one of
        `~astropayne.fit_spectra`. Spectra of a table are named after its column ``name``.
    output : path-like
        A file for one star, a folder for a table.
    rv, vsini, vmac : float or `~astropy.units.Quantity`
        Velocities in km/s, unless the labels or the table have them.
    resolution : float, optional
        λ/FWHM; that of the model by default.
    like : path-like, optional
        A spectrum at whose pixels to predict.
    overwrite : bool
        Whether to replace existing files.

    Returns
    -------
    spectra : list of `~specutils.Spectrum`
        The first of the predicted spectra.
    files : list of `~pathlib.Path`
        All files.

    Raises
    ------
    ValueError
        If labels are unknown or missing, or the format of a file is not known.
    OSError
        If a file is missing, or exists already.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If stars of a table of fits are left out, because a label was not measured.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.workflows.predict_files import predict_files
    >>> sun = {"teff": 5777, "logg": 4.44, "feh": 0, "vmic": 1}
    >>> spectra, files = predict_files(PayneModel.sample(), sun, mkdtemp() + "/sun.ecsv", rv=12)
    >>> files[0].name
    'sun.ecsv'
    """
    velocities = dict(zip(VELOCITIES, (rv, vsini, vmac), strict=True))
    options = {"resolution": resolution, "wavelength": _axis_like(like, model)}
    if isinstance(labels, Mapping):
        writable_suffix(output, SPECTRUM_FORMATS)
        spectrum = model(**{**options, **velocities, **labels})
        write_spectrum(spectrum, output, overwrite=overwrite)
        return [spectrum], [Path(output)]
    folder = Path(output)
    if folder.is_file():
        raise FileExistsError(f"{output} is a file: spectra of a table go into a folder")
    table = _label_table(Path(labels), model)
    names = [f"{name}.ecsv" for name in _pop_column(table, "name", np.arange(len(table)))]
    files = [folder / f"{name}.ecsv" for name in file_names(names)]
    velocities = {name: _pop_column(table, name, value) for name, value in velocities.items()}
    first: list[Spectrum] = []
    for rows, spectra in _predictions(model, table, velocities, options):
        folder.mkdir(parents=True, exist_ok=True)  # only after the labels were accepted
        for spectrum, file in zip(spectra, files[rows], strict=True):
            write_spectrum(spectrum, file, overwrite=overwrite)
        first = first or spectra
    return first, files


def _predictions(
    model: PayneModel, table: QTable, velocities: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[tuple[slice, list[Spectrum]]]:
    """Yield slices of a table with their spectra."""
    for start in range(0, len(table), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        chosen = {name: v[rows] if np.ndim(v) else v for name, v in velocities.items()}
        many = model.predict(table[rows], **chosen, **options)
        yield rows, [row_of(many, i) for i in range(len(many.flux))]


def _label_table(path: Path, model: PayneModel) -> QTable:
    """Read a table of labels; of a table of fits, the stars and labels that were measured."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        table = read_columns(path) if path.suffix.lower() == ".txt" else QTable.read(path)
    except Exception as error:  # readers raise any error
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} is not a table that can be read (*{', *'.join(TABLE_FORMATS)}): {reason}"
        ) from None
    if {"chi2", "flags"} <= set(table.colnames):
        table = _measured_labels(table, path, model)
    if not len(table):
        raise ValueError(f"{path} has no row to predict a spectrum from")
    return table


def _measured_labels(table: QTable, path: Path, model: PayneModel) -> QTable:
    """Return labels and velocities of a table of fits, which are the columns that have errors."""
    names = [name for name in table.colnames if f"{name}_err" in table.colnames]
    if set(model.labels.names) <= set(names):  # other labels were derived from these
        names = [name for name in names if name in {*model.labels.names, *VELOCITIES}]
    finite = np.array([_is_finite(table[name]) for name in names])
    complete = finite.all(axis=0)
    if not complete.all():
        missing = ", ".join(np.array(names)[~finite.all(axis=1)])
        warnings.warn(
            f"{path}: {', '.join(map(str, table['name'][~complete]))} left out, as labels or "
            f"velocities were not measured ({missing}); give them to the fit as `fixed`",
            AstropyUserWarning,
            stacklevel=4,
        )
    return table[["name", *names]][complete]


def _is_finite(column: Column | u.Quantity) -> np.ndarray:
    """Return which values of a column are numbers and not masked."""
    column = column.astype(float)
    values = column.filled(np.nan) if hasattr(column, "filled") else column
    return np.isfinite(np.asarray(getattr(values, "value", values)))


def _pop_column(table: QTable, name: str, default: Any) -> Any:
    """Return a column and remove it from the table."""
    if name not in table.colnames:
        return default
    column = table[name]
    table.remove_column(name)
    return column


def _axis_like(path: str | Path | None, model: PayneModel) -> u.Quantity | None:
    """Return the wavelengths of a spectrum in a file."""
    if path is None:
        return None
    spectrum = read_spectrum(path)
    if isinstance(spectrum, SpectrumList):
        raise ValueError(f"{path} has {len(spectrum)} arms: give a file of one spectrum")  # noqa: TRY004
    medium = spectrum.meta.get("medium", model.medium)
    if medium != model.medium:
        raise ValueError(f"{path} has wavelengths in {medium}, the model in {model.medium}")
    return u.Quantity(spectrum.spectral_axis, subok=False)
