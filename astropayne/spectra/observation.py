# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From a spectrum with units to arrays: the only place where specutils objects are unpacked."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astropayne.spectra.noise import standard_deviation
from astropayne.wavelengths.media import vacuum_angstrom
from astropayne.wavelengths.regions import inside_regions

__all__ = ["Observation", "observe"]


@dataclass(frozen=True)
class Observation:
    """An observed spectrum as arrays, in the order of its own pixels.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        Å, vacuum.
    flux : numpy.ndarray, shape (n_pixels,)
        In ``unit``; NaN where it is bad.
    sigma : numpy.ndarray, shape (n_pixels,)
        Standard deviation; zero where the spectrum has no uncertainty.
    good : numpy.ndarray of bool, shape (n_pixels,)
        Pixels that can be used.
    counts : dict of str to int
        How many there are, and how many of them are good for what.
    unit : `~astropy.units.Unit`
        Of the flux.
    spectral_axis : `~astropy.units.Quantity`
        As it was given.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    good: np.ndarray
    counts: dict
    unit: u.UnitBase
    spectral_axis: u.Quantity

    @property
    def has_uncertainty(self):
        """Whether the noise is known."""
        return bool(self.sigma.any())

    def require_pixels(self):
        """Refuse a spectrum without a good pixel, and say why none is."""
        if not self.good.any():
            of, *others = self.counts.items()
            rest = ", ".join(f"{n} {what}" for what, n in others)
            raise ValueError(f"the spectrum has no usable pixel: of {of[1]}, {rest}")


def observe(spectrum, medium="air", regions=None, exclude=None):
    """Unpack a spectrum.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional; any spectral unit, any class of uncertainty, with or without a mask.
    medium : {"air", "vacuum"}
        What its wavelengths are measured in; frequencies, energies and wave numbers always are
        vacuum's.
    regions : `~specutils.SpectralRegion`, optional
        Use only the pixels inside.
    exclude : `~specutils.SpectralRegion`, optional
        Leave out the pixels inside.

    Returns
    -------
    Observation

    Raises
    ------
    TypeError
        If it is not a spectrum.
    ValueError
        If it has more than one dimension, or no pixel.
    """
    axis, flux = getattr(spectrum, "spectral_axis", None), getattr(spectrum, "flux", None)
    if axis is None or flux is None:
        raise TypeError(
            f"an observed spectrum has to be a specutils Spectrum, got {type(spectrum).__name__}: "
            "make one with Spectrum(spectral_axis=wavelength, flux=flux, uncertainty=...), or with "
            "read_spectrum of a file"
        )
    if flux.ndim != 1:
        raise ValueError(
            f"flux has shape {flux.shape}: fit_spectrum takes one spectrum, fit_spectra many"
        )
    if not len(flux):
        raise ValueError("the spectrum is empty: it has no pixel")
    axis = u.Quantity(axis, copy=False, subok=False)
    wavelength = vacuum_angstrom(axis, medium)
    sigma, known = standard_deviation(spectrum)
    values = np.array(flux.value, dtype=float)
    reasons = {
        "have finite flux": np.isfinite(values),
        "a positive, finite uncertainty": known,
    }
    if spectrum.mask is not None:
        reasons["are not masked"] = ~np.asarray(spectrum.mask, dtype=bool)
    if regions is not None:
        reasons["lie in the regions"] = inside_regions(axis, regions, medium)
    if exclude is not None:
        reasons["are not excluded"] = ~inside_regions(axis, exclude, medium)
    good = np.logical_and.reduce(list(reasons.values()))
    counts = {"pixels": len(values), **{why: int(which.sum()) for why, which in reasons.items()}}
    values = np.where(good, values, np.nan)
    return Observation(wavelength, values, sigma, good, counts, flux.unit, axis)
