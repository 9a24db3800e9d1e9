# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where a fit starts: velocity by cross-correlation, labels from a set of candidates."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from scipy.stats import qmc

from astropayne.forward import VELOCITIES
from astropayne.wavelengths import C_KMS

__all__ = ["Templates"]

_MAX_VELOCITY = 1000.0  # km/s
_N_CANDIDATES = 64  # label vectors, a power of two
_VSINI = (8.0, 40.0)  # km/s


def _candidates(labels, solar):
    """Return labels spread over their ranges: stellar ones vary, abundances are solar-scaled."""
    varied = [label.name for label in labels if label.element is None] or labels.names
    points = qmc.Sobol(len(varied), rng=np.random.default_rng(0)).random(_N_CANDIDATES)
    index = [labels.index(name) for name in varied]
    given = dict(zip(varied, (labels.minimum[index] + points * labels.width[index]).T, strict=True))
    return np.clip(labels.to_array(given, solar=solar), labels.minimum, labels.maximum)


@dataclass(frozen=True)
class Templates:
    """Spectra of stars of all kinds, to correlate observed spectra with.

    Attributes
    ----------
    theta : numpy.ndarray, shape (n, n_labels + 3)
        Labels and velocities of each, rv zero.
    rows : numpy.ndarray, shape (n, windows, n_axis)
        Their flux on the axis uniform in ln λ.
    start, length : numpy.ndarray, shape (windows,)
        ln λ at which each window starts on that axis, and how many points it has.
    step : float
        Of the axis.
    """

    theta: np.ndarray
    rows: np.ndarray
    start: np.ndarray
    length: np.ndarray
    step: float

    @classmethod
    def make(cls, forward, labels, solar, known, resolution):
        """Compute templates.

        Parameters
        ----------
        forward : `~astropayne.forward.ForwardModel`
        labels : `~astropayne.labels.LabelSpace`
        solar : mapping of str to float
            Solar abundances.
        known : mapping of str to float
            Labels and velocities that all templates have; not rv.
        resolution : float or None
        """
        points = _candidates(labels, solar)
        theta = np.concatenate(
            [np.column_stack([points, np.tile([0, v, 0], (len(points), 1))]) for v in _VSINI]
        )
        names = (*labels.names, *VELOCITIES)
        for name in known.keys() - {"rv"}:
            theta[:, names.index(name)] = known[name]
        with torch.no_grad():
            rows = forward.rows(theta, resolution).numpy()
        return cls(theta, rows, forward.start, forward.length, forward.step)

    def correlate(self, wavelength, flux, weight, known_rv=None):
        """Correlate an observed spectrum with all templates over ±1000 km/s.

        For every template and velocity, the gain is how much better χ² the template has than a
        constant, over the pixels they share, with a free level for each window: a window that
        moves out of the data loses its gain, so nothing is won by leaving the data.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n_pixels,)
            Å in vacuum; weight 1/σ², zero where bad.
        known_rv : float, optional
            Look only there, km/s.

        Returns
        -------
        gain : numpy.ndarray, shape (n,)
            The best gain of each template.
        rv : numpy.ndarray, shape (n,)
            The velocity in km/s it has it at, to a fraction of the axis' step.
        """
        reach = math.ceil(_MAX_VELOCITY / (C_KMS * self.step))
        total = 0.0
        for window, length in enumerate(self.length):
            position = (np.log(wavelength) - self.start[window]) / self.step
            index = np.rint(position).astype(int) + reach
            n = length + 2 * reach
            used = (index >= 0) & (index < n) & (weight > 0)
            sums = (np.bincount(index[used], x[used], n) for x in (weight, weight * flux))
            total = total + _gain(self.rows[:, window, :length], *sums, 2 * reach + 1)
        if known_rv is not None:
            known = round(math.atanh(known_rv / C_KMS) / self.step)
            return total[:, np.clip(known + reach, 0, 2 * reach)], np.full(len(total), known_rv)
        best = total.argmax(axis=1)
        shift = best - reach + _vertex(total, best)
        return total.max(axis=1), C_KMS * np.tanh(shift * self.step)


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
