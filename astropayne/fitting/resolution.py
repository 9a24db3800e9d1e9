# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Line widths of a spectrum relative to those of a model, from power spectra."""

import numpy as np

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.resolution import FWHM
from astropayne.wavelengths.velocity import C_KMS

__all__ = ["excess_variance", "sampled_resolution"]

_LOW, _HIGH = 0.35, 1.6  # frequencies that are compared, in units of 1 / (2π σ) of the model
_PER_FWHM = 1.0  # pixels in the width of the sharpest profile; some spectrographs undersample
_ABOVE_NOISE = 8.0  # power over that of the noise, from which on it is used
_SMOOTH = 5  # frequencies that are averaged


def sampled_resolution(wavelength: np.ndarray) -> float:
    """Return the highest resolution, λ/FWHM, that the pixels of a spectrum can show.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        Increasing.

    Returns
    -------
    float
        With one pixel in the width of the profile.
    """
    steps = np.diff(np.log(wavelength))
    return 1 / (_PER_FWHM * np.median(steps))


def excess_variance(
    wavelength: np.ndarray,
    flux: np.ndarray,
    model_wavelength: np.ndarray,
    model_flux: np.ndarray,
    resolution: float,
) -> float:
    """Return the variance of line profiles minus that of a model, in (km/s)².

    A Gaussian profile multiplies the Fourier transform of a spectrum by its own, so that the
    logarithm of the ratio of two power spectra is proportional to the square of the frequency. It
    does not depend on the velocity.

    Parameters
    ----------
    wavelength, flux : numpy.ndarray, shape (n_pixels,)
        Observed, Å, in increasing order; the continuum need not be normalized.
    model_wavelength : numpy.ndarray, shape (n_model_pixels,)
        In the same medium.
    model_flux : numpy.ndarray, shape (n_templates, n_model_pixels)
        Spectra of stars of several kinds.
    resolution : float
        λ/FWHM of the model.

    Returns
    -------
    float
        Negative if the lines of the spectrum are narrower; NaN if it cannot be determined.
    """
    sigma = C_KMS / resolution / FWHM
    ratios, frequencies = [], []
    for window in find_windows(model_wavelength):
        low, high = model_wavelength[window][[0, -1]]
        inside = (wavelength >= low) & (wavelength <= high) & np.isfinite(flux)
        if (
            inside.sum() < 50
            or not flux[inside].any()
            or np.ptp(wavelength[inside]) < 0.5 * (high - low)
        ):
            continue
        axis = np.linspace(*np.log(wavelength[inside][[0, -1]]), 4096)
        step = (axis[1] - axis[0]) * C_KMS
        frequency = np.fft.rfftfreq(len(axis), step)
        observed = _power(axis, np.log(wavelength[inside]), flux[inside][None])[0]
        of_model = _power(axis, np.log(model_wavelength[window]), model_flux[:, window]).mean(
            axis=0
        )
        nyquist = 0.5 / (np.median(np.diff(np.log(wavelength[inside]))) * C_KMS)
        beyond = observed[(frequency > 0.7 * nyquist) & (frequency < nyquist)]
        noise = np.median(beyond) if len(beyond) else 0.0  # of pixels that are finer
        x = 2 * np.pi * sigma * frequency
        band = (x > _LOW) & (x < _HIGH) & (observed > _ABOVE_NOISE * noise)
        band &= frequency < 0.6 * nyquist
        if band.sum() < 10:
            continue
        ratios.append(np.log(observed[band] / of_model[band]))
        ratios[-1] -= ratios[-1].mean()
        x2 = (2 * np.pi * frequency[band]) ** 2
        frequencies.append(x2 - x2.mean())
    if not ratios:
        return np.nan
    ratio, square = np.concatenate(ratios), np.concatenate(frequencies)
    return float(-np.sum(ratio * square) / np.sum(square**2))


def _power(axis, x, flux):
    """Return smoothed power spectra of depths on a uniform axis: (n, n_frequencies)."""
    spectra = np.array([np.interp(axis, x, row) for row in flux])
    # Not the continuum of the fit: an unweighted trend, whose frequencies are not compared.
    shape = np.polynomial.chebyshev.chebfit(np.linspace(-1, 1, len(axis)), spectra.T, 4)
    trend = np.polynomial.chebyshev.chebval(np.linspace(-1, 1, len(axis)), shape)
    depth = (spectra / trend - 1) * np.hanning(len(axis))
    power = np.abs(np.fft.rfft(depth)) ** 2
    kernel = np.ones(_SMOOTH) / _SMOOTH
    return np.array([np.convolve(row, kernel, mode="same") for row in power])
