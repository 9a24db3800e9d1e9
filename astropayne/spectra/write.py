# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Writing spectra."""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from specutils import Spectrum

from astropayne.io.result_tables import SPECTRUM_FORMATS, writable_suffix, write_table
from astropayne.labels.names import Label
from astropayne.spectra.info import SpectrumInfo
from astropayne.utils.suggestions import suggests_options
from astropayne.wavelengths.resolution import resolution_at

__all__ = ["write_spectrum"]


@suggests_options
def write_spectrum(spectrum: Spectrum, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a spectrum, so that `read_spectrum` reads it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional.
    path : path-like
        ``*.ecsv`` and ``*.fits`` hold units, mask, medium and resolution, which is a column if it
        varies, and the noise that `~astropayne.degrade_spectrum` determines. ``*.csv`` and
        ``*.txt`` hold wavelength, flux and uncertainty.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    OSError
        If the file exists, or cannot be written.
    ValueError
        If the name ends in something else.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne import read_spectrum
    >>> from astropayne.spectra.write import write_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> file = mkdtemp() + "/sun.fits"
    >>> write_spectrum(sun, file)
    >>> read_spectrum(file).meta["medium"]
    'air'
    """
    holds_all = writable_suffix(path, SPECTRUM_FORMATS) in (".ecsv", ".fits")
    info = SpectrumInfo.of(spectrum.meta)
    table = QTable({"wavelength": u.Quantity(spectrum.spectral_axis, subok=False)})
    table["flux"] = spectrum.flux.value if spectrum.flux.unit == u.one else spectrum.flux
    if spectrum.uncertainty is not None:
        sigma = spectrum.uncertainty.represent_as(StdDevUncertainty)
        table["uncertainty"] = sigma.array if spectrum.flux.unit == u.one else sigma.quantity
    if spectrum.mask is not None and holds_all:
        table["mask"] = np.asarray(spectrum.mask, dtype=bool)
    for name in ("correlation", "guessed_noise"):
        values = getattr(info, name)
        if holds_all and np.shape(values) == spectrum.flux.shape:
            table[name] = values
    resolution = resolution_at(info.resolution, spectrum.spectral_axis)
    if np.ndim(resolution) and holds_all:
        table["resolution"] = resolution
    number = resolution if np.ndim(resolution) == 0 else None
    table.meta = SpectrumInfo(medium=info.medium, resolution=number).as_meta()
    labels = spectrum.meta.get("labels")
    if labels is not None:
        table.meta["labels"] = {
            name: float(Label(name).to_value(labels[name])[0]) for name in labels.colnames
        }
    write_table(table, path, overwrite=overwrite)
