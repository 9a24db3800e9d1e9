# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where a fit starts: velocity by cross-correlation, labels from a set of candidates."""

import math

import numpy as np
import scipy.fft
from scipy.stats import qmc

from astropayne.broadening import C_KMS

__all__ = ["candidates", "find_start"]

_MAX_VELOCITY = 1000.0  # km/s


def candidates(labels, solar, n=64):
    """Return labels spread over their ranges: stellar ones vary, abundances are solar-scaled.

    Parameters
    ----------
    labels : `~astropayne.labels.LabelSpace`
    solar : mapping of str to float
    n : int
        How many, a power of two.

    Returns
    -------
    numpy.ndarray, shape (n, n_labels)
    """
    varied = [label.name for label in labels if label.element is None] or labels.names
    points = qmc.Sobol(len(varied), scramble=True, rng=np.random.default_rng(0)).random(n)
    index = [labels.index(name) for name in varied]
    given = dict(zip(varied, (labels.minimum[index] + points * labels.width[index]).T, strict=True))
    return np.clip(labels.to_array(given, solar=solar), labels.minimum, labels.maximum)


def find_start(forward, theta, wavelength, flux, weight, resolution, known_rv=None):
    """Correlate an observed spectrum with templates over ±1000 km/s.

    For every template and velocity, the gain is how much better χ² the template has than a
    constant, over the pixels they share, with a free level for each window: a window that moves
    out of the data loses its gain, so nothing is won by leaving the data.

    Parameters
    ----------
    forward : `~astropayne.forward.ForwardModel`
    theta : array_like, shape (n, n_labels + 3)
        The templates' parameters, at rest.
    wavelength, flux, weight : numpy.ndarray, shape (n_pixels,)
        Observed; Å in vacuum, weight 1/σ² and zero where bad.
    resolution : float or None
    known_rv : float, optional
        Look only there.

    Returns
    -------
    gain : numpy.ndarray, shape (n,)
        The best gain of each template.
    rv : numpy.ndarray, shape (n,)
        The velocity in km/s it has it at, to a fraction of the axis' step.
    """
    rows = forward.rows(theta, resolution).numpy()
    reach = math.ceil(_MAX_VELOCITY / (C_KMS * forward.step))
    total = 0.0
    for window, length in enumerate(forward.length):
        position = (np.log(wavelength) - forward.start[window]) / forward.step
        index = np.rint(position).astype(int) + reach
        n = length + 2 * reach
        used = (index >= 0) & (index < n) & (weight > 0)
        sums = [np.bincount(index[used], values[used], n) for values in (weight, weight * flux)]
        total = total + _gain(rows[:, window, :length], *sums, 2 * reach + 1)
    if known_rv is not None:
        known = round(math.atanh(known_rv / C_KMS) / forward.step)
        return total[:, np.clip(known + reach, 0, 2 * reach)], np.full(len(total), known_rv)
    best = total.argmax(axis=1)
    shift = best - reach + _vertex(total, best)
    return total.max(axis=1), C_KMS * np.tanh(shift * forward.step)


def _gain(templates, weight, weighted_flux, n_shifts):
    """Return A²/B of template and data minus that of a constant, for every shift."""
    n = scipy.fft.next_fast_len(len(weight) + templates.shape[1], real=True)

    def correlate(a, b):
        product = scipy.fft.rfft(b, n) * scipy.fft.rfft(a, n).conj()
        return scipy.fft.irfft(product, n)[..., :n_shifts]

    ones = np.ones(templates.shape[1])
    floor = 1e-9 * weight.sum() + np.finfo(float).tiny  # of sums that are zero but for rounding
    shared = np.maximum(correlate(ones, weight), 0)
    constant = correlate(ones, weighted_flux) ** 2 / np.maximum(shared, floor)
    power = np.maximum(correlate(templates**2, weight), floor)
    gain = correlate(templates, weighted_flux) ** 2 / power - constant
    return np.where(shared > floor, gain, 0.0)


def _vertex(total, best):
    """Return the offset of the parabola's vertex through each maximum and its neighbours."""
    inner = np.clip(best, 1, total.shape[1] - 2)
    low, mid, high = (total[np.arange(len(total)), inner + k] for k in (-1, 0, 1))
    curvature = low - 2 * mid + high
    safe = np.where(curvature < 0, curvature, -1.0)
    return np.where((curvature < 0) & (inner == best), 0.5 * (low - high) / safe, 0.0)
