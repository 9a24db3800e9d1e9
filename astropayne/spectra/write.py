# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Writing spectra."""

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astropayne.io.result_tables import writable_suffix, write_table
from astropayne.labels.names import Label
from astropayne.spectra.tables import OF_NOISE
from astropayne.wavelengths.resolution import resolution_at

__all__ = ["write_spectrum"]


def write_spectrum(spectrum, path, *, overwrite=False):
    """Write a spectrum, so that `read_spectrum` reads it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional.
    path, overwrite
        As for `write_table`. ``*.ecsv`` and ``*.fits`` hold units, mask, medium and resolution,
        which is a column if it varies, and what `~astropayne.degrade_spectrum` says of the noise.

    Raises
    ------
    OSError, ValueError
        As `write_table`.

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
    holds_all = writable_suffix(path) in (".ecsv", ".fits")
    table = QTable({"wavelength": u.Quantity(spectrum.spectral_axis, subok=False)})
    table["flux"] = spectrum.flux.value if spectrum.flux.unit == u.one else spectrum.flux
    if spectrum.uncertainty is not None:
        sigma = spectrum.uncertainty.represent_as(StdDevUncertainty)
        table["uncertainty"] = sigma.array if spectrum.flux.unit == u.one else sigma.quantity
    if spectrum.mask is not None and holds_all:
        table["mask"] = np.asarray(spectrum.mask, dtype=bool)
    for name in OF_NOISE:
        stated = spectrum.meta.get(name)
        if holds_all and np.shape(stated) == spectrum.flux.shape:
            table[name] = stated
    known = {"medium": spectrum.meta.get("medium")}
    resolution = resolution_at(spectrum.meta.get("resolution"), spectrum.spectral_axis)
    if np.ndim(resolution) == 0:
        known["resolution"] = resolution
    elif holds_all:
        table["resolution"] = resolution
    table.meta = {key: value for key, value in known.items() if value is not None}
    labels = spectrum.meta.get("labels")
    if labels is not None:
        table.meta["labels"] = {
            name: float(Label(name).to_value(labels[name])[0]) for name in labels.colnames
        }
    write_table(table, path, overwrite=overwrite)
