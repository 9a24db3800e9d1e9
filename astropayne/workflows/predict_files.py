# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of observed spectra, and tables of what was found: read, fitted, written."""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.result_tables import TABLE_FORMATS, writable_suffix
from astropayne.io.text_tables import read_columns
from astropayne.spectra.files import file_names
from astropayne.spectra.read import read_spectrum
from astropayne.spectra.tables import floats
from astropayne.spectra.write import write_spectrum
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["predict_files"]

_AT_ONCE = 64  # spectra that are predicted together


def predict_files(model, labels, output, *, like=None, resolution=None, overwrite=False, **given):
    """Predict spectra into files.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    labels : mapping or path-like
        One star's labels, or a file with a table of them, perhaps of `~astropayne.fit_spectra`.
        What is called ``rv``, ``vsini`` and ``vmac`` are velocities; a column ``name`` is what the
        spectra of a table are called.
    output : path-like
        A file for one star, a folder for a table.
    like : path-like, optional
        A spectrum whose pixels are to be predicted.
    resolution : float, optional
        λ/FWHM.
    overwrite : bool
        Whether files that are there may be replaced.
    **given
        ``rv``, ``vsini`` and ``vmac`` where the labels do not say them.

    Returns
    -------
    spectra : list of `~specutils.Spectrum`
        The first some of them.
    files : list of `~pathlib.Path`

    Raises
    ------
    ValueError
        If labels are unknown or missing, or the file's format.
    OSError
        If a file is missing, or there already.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If stars of a table of fits are left out, as something of them was not measured.

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
    options = {"resolution": resolution, "wavelength": _axis_like(like, model)}
    if isinstance(labels, dict):
        writable_suffix(output)
        spectrum = model(**{**options, **given, **labels})
        write_spectrum(spectrum, output, overwrite=overwrite)
        return [spectrum], [Path(output)]
    if Path(output).is_file():
        raise FileExistsError(f"{output} is a file: spectra of a table go into a folder")
    table = _label_table(Path(labels), model)
    names = [str(name) for name in _taken(table, "name", np.arange(len(table)))]
    velocities = {name: _taken(table, name, value) for name, value in given.items()}
    folder = Path(output)
    files = [folder / f"{name}.ecsv" for name in file_names([f"{name}.ecsv" for name in names])]
    first = []
    for rows in (slice(i, i + _AT_ONCE) for i in range(0, len(table), _AT_ONCE)):
        some = {n: v[rows] if np.ndim(v) else v for n, v in velocities.items()}
        many = model.predict(table[rows], **some, **options)
        spectra = [_row(many, i) for i in range(len(many.flux))]
        folder.mkdir(parents=True, exist_ok=True)  # nothing is left of a table that makes no sense
        for spectrum, file in zip(spectra, files[rows], strict=True):
            write_spectrum(spectrum, file, overwrite=overwrite)
        first = first or spectra
    return first, files


def _label_table(path, model):
    """Read a table of labels; of one of fits, what is measured and can be predicted from."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        table = read_columns(path) if path.suffix.lower() == ".txt" else QTable.read(path)
    except Exception as error:  # readers raise what they like
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} is not a table that can be read (*{', *'.join(TABLE_FORMATS)}): {reason}"
        ) from None
    if {"chi2", "flags"} <= set(table.colnames):
        table = _of_fits(table, path, model)
    if not len(table):
        raise ValueError(f"{path} has no row to predict a spectrum from")
    return table


def _of_fits(table, path, model):
    """Return labels and velocities of a table of fits, which are what has errors."""
    names = [name for name in table.colnames if f"{name}_err" in table.colnames]
    if set(model.labels.names) <= set(names):  # what was reported beside them says the same
        names = [name for name in names if name in {*model.labels.names, *VELOCITIES}]
    known = np.array([np.isfinite(floats(table[name])) for name in names])
    whole = known.all(axis=0)
    if not whole.all():
        lacking = ", ".join(np.array(names)[~known.all(axis=1)])
        warnings.warn(
            f"{path}: {', '.join(map(str, table['name'][~whole]))} left out, as labels or "
            f"velocities were not measured ({lacking}); fits may be told them, as `fixed`",
            AstropyUserWarning,
            stacklevel=4,
        )
    return table[["name", *names]][whole]


def _taken(table, name, default):
    """Take a column out of a table."""
    if name not in table.colnames:
        return default
    column = table[name]
    table.remove_column(name)
    return column


def _axis_like(path, model):
    if path is None:
        return None
    spectrum = read_spectrum(path)
    medium = spectrum.meta.get("medium", model.medium)
    if medium != model.medium:
        raise ValueError(f"{path} has wavelengths in {medium}, the model in {model.medium}")
    return u.Quantity(spectrum.spectral_axis, subok=False)


def _row(many, i):
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=u.Quantity(many.spectral_axis, subok=False),
        flux=many.flux[i],
        mask=None if many.mask is None else many.mask[i],
        meta={**many.meta, "labels": many.meta["labels"][i : i + 1]},
    )
