# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Uncertainties of spectra, stated or estimated."""

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

__all__ = ["guessed_noise", "shared_noise", "standard_deviation"]

_NO_NOISE = 1e-6  # of the median of all errors, below which one is taken for zero


def standard_deviation(spectrum):
    """Return σ in the flux's unit, and where it is known; zeros if there is no uncertainty."""
    uncertainty, n = spectrum.uncertainty, len(spectrum.flux)
    if uncertainty is None:
        return np.zeros(n), np.ones(n, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not isinstance(uncertainty, StdDevUncertainty):
            uncertainty = uncertainty.represent_as(StdDevUncertainty)
        sigma = np.array(uncertainty.array, dtype=float)
        if uncertainty.unit not in (None, spectrum.flux.unit):
            sigma = (sigma * uncertainty.unit).to_value(spectrum.flux.unit)
    known = np.isfinite(sigma) & (sigma > 0)
    if known.any():  # one of 1e-12 stands for zero: such a pixel would count alone
        known &= sigma > _NO_NOISE * np.median(sigma[known])
    return np.where(known, sigma, np.inf), known


def guessed_noise(spectrum, observation):
    """Return the noise of a spectrum that has no uncertainty.

    It is guessed from how pixels differ from their neighbours. Smoothing makes these alike, so
    that of a spectrum that `degrade_spectrum` made, it is what that has guessed before.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    observation : Observation
        Of the spectrum.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        In the flux's unit; infinite where a pixel is not good.
    """
    part = spectrum.meta.get("guessed_noise")
    if part is None or not observation.good.any():
        noise = _difference_of_neighbours(observation)
    else:
        noise = _of_pixels(part, observation.flux.shape) * np.nanmedian(np.abs(observation.flux))
    return np.where(observation.good, noise, np.inf)


def _difference_of_neighbours(observation):
    """Return the noise of all good pixels, zero if there is none.

    This is DER_SNR (Stoehr et al. 2008, ASP Conf. Ser. 394, 505), by way of specutils.
    """
    from specutils import Spectrum
    from specutils.analysis import snr_derived

    flux = observation.flux[observation.good]
    if len(flux) <= 4 or np.ptp(flux) == 0:
        return 0.0
    with np.errstate(divide="ignore"):  # of a smooth spectrum without noise
        snr = snr_derived(Spectrum(flux * u.one, np.arange(1.0, 1 + len(flux)) * u.AA)).value
    return abs(np.median(flux) / snr) if snr else 0.0


def shared_noise(spectrum, good):
    """Return over how many pixels noise is shared, as `degrade_spectrum` says it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    good : numpy.ndarray of bool, shape (n_pixels,)

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        One where the spectrum does not say, and where a pixel is not good.
    """
    alike = _of_pixels(spectrum.meta.get("correlation", 1.0), good.shape)
    return np.where(good, np.fmax(alike, 1.0), 1.0)


def _of_pixels(stated, shape):
    """Return what metadata state of pixels; the median if they are of more than these.

    A spectrum that is cut out of another one has the other's metadata.
    """
    stated = np.asarray(stated, dtype=float)
    return stated if stated.shape in ((), shape) else np.nanmedian(stated)
