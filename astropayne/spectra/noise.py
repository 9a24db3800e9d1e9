# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Noise of spectra without uncertainty, noise that pixels share, and simulated noise."""

import numpy as np
import numpy.typing as npt
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.observation import Observation

__all__ = ["guessed_noise", "shared_noise", "with_noise"]

# The median of that sum's size for noise with standard deviation one is 1 / _DER_SNR.
_DER_SNR = 1.482602 / np.sqrt(6)


def guessed_noise(spectrum: Spectrum, observation: Observation) -> np.ndarray:
    """Return the noise of a spectrum that has no uncertainty.

    It is estimated from the differences between neighboring pixels. Smoothing makes these alike, so
    that for a spectrum that `degrade_spectrum` made, it is the estimate from before the smoothing.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    observation : Observation
        Arrays of the spectrum.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        In the unit of the flux; infinite where a pixel is not good.
    """
    fraction = SpectrumInfo.of(spectrum.meta).guessed_noise
    if fraction is None or not observation.good.any():
        noise = _difference_of_neighbors(observation)
    else:
        level = np.nanmedian(np.abs(observation.flux))
        noise = _of_pixels(fraction, observation.flux.shape) * level
    return np.where(observation.good, noise, np.inf)


def _difference_of_neighbors(observation: Observation) -> float:
    """Return the noise of all good pixels; zero for a spectrum without noise.

    This is DER_SNR (Stoehr et al. 2008, ASP Conf. Ser. 394, 505). It is one line, and
    `specutils.analysis` would take half a second to import for it.
    """
    flux = observation.flux[observation.good]
    if len(flux) <= 4:
        return 0.0
    return _DER_SNR * np.median(np.abs(2 * flux[2:-2] - flux[:-4] - flux[4:]))


def shared_noise(spectrum: Spectrum, good: np.ndarray) -> np.ndarray:
    """Return the number of pixels that share their noise, as `degrade_spectrum` determines it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    good : numpy.ndarray of bool, shape (n_pixels,)

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        One where the spectrum does not state it, and where a pixel is not good.
    """
    stated = SpectrumInfo.of(spectrum.meta).correlation
    correlation = _of_pixels(1.0 if stated is None else stated, good.shape)
    return np.where(good, np.fmax(correlation, 1.0), 1.0)


def _of_pixels(stated: npt.ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Return what metadata state of pixels; the median if they are of another number of pixels.

    A spectrum that is cut out of another one has the metadata of that.
    """
    stated = np.asarray(stated, dtype=float)
    return stated if stated.shape in ((), shape) else np.nanmedian(stated)


def with_noise(spectrum: Spectrum, snr: float, rng: np.random.Generator) -> Spectrum:
    """Return a spectrum with Gaussian noise and its uncertainty.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional, with a continuum of one.
    snr : float
        Signal-to-noise ratio of the continuum; infinite for no noise.
    rng : numpy.random.Generator
    """
    if not np.isfinite(snr):
        return spectrum
    noise = rng.normal(0, 1 / snr, len(spectrum.flux))
    return Spectrum(
        spectral_axis=spectrum.spectral_axis, flux=spectrum.flux + noise * spectrum.flux.unit,
        uncertainty=StdDevUncertainty(np.full(len(noise), 1 / snr)), mask=spectrum.mask,
        meta=spectrum.meta,
    )  # fmt: skip
