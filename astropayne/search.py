# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where a fit starts: velocity by cross-correlation, labels from a set of candidates."""

import math
import weakref
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from scipy.stats import qmc

from astropayne.forward import VELOCITIES
from astropayne.wavelengths import C_KMS

__all__ = ["Templates", "Velocity", "templates_of"]

_MAX_VELOCITY = 1000.0  # km/s
_NEAR = 100.0  # km/s, around a velocity that is said to be about right
_N_CANDIDATES = 64  # label vectors, a power of two
_VSINI = (8.0, 40.0)  # km/s
_POINTS = 3.0  # of the correlation's axis, a resolution element
_VARIANCE = 3e-4  # of the templates, that their principal components leave out


def _candidates(labels, solar):
    """Return labels spread over their ranges: stellar ones vary, abundances are solar-scaled."""
    varied = [label.name for label in labels if label.element is None] or labels.names
    points = qmc.Sobol(len(varied), rng=np.random.default_rng(0)).random(_N_CANDIDATES)
    index = [labels.index(name) for name in varied]
    values = labels.minimum[index] + points * labels.width[index]
    return labels.start_from(dict(zip(varied, values.T, strict=True)), solar)


@dataclass(frozen=True)
class _Basis:
    """Rows as sums of few: correlations with the few stand for those with all."""

    spectra: np.ndarray  # (1 + k, n_frequencies): of the mean and principal components, conjugate
    weights: np.ndarray  # (n_templates, 1 + k)

    @classmethod
    def of(cls, rows, n_fft):
        mean = rows.mean(axis=0)
        left, size, components = np.linalg.svd(rows - mean, full_matrices=False)
        left_out = 1 - np.cumsum(size**2) / max(np.sum(size**2), 1e-300)
        k = int(np.argmax(left_out < _VARIANCE)) + 1
        weights = np.hstack([np.ones((len(rows), 1)), left[:, :k] * size[:k]])
        few = np.vstack([mean, components[:k]])
        # Single precision: gains are differences of sums 100 times as large, and good to 1e-5.
        return cls(scipy.fft.rfft(few.astype(np.float32), n_fft).conj(), weights.astype(np.float32))

    def correlate(self, data, n_fft, n_shifts):
        """Correlate all rows with data, given as its Fourier transform."""
        return self.weights @ scipy.fft.irfft(self.spectra * data, n_fft)[:, :n_shifts]


class _Window:
    """The templates in one window of the model."""

    def __init__(self, start, rows, reach):
        self.start, self.n_shifts = start, 2 * reach + 1
        self.n_data = rows.shape[1] + 2 * reach
        self.n_fft = scipy.fft.next_fast_len(self.n_data + rows.shape[1], real=True)
        self.rows, self.squares = _Basis.of(rows, self.n_fft), _Basis.of(rows**2, self.n_fft)
        self.ones = scipy.fft.rfft(np.ones(rows.shape[1], np.float32), self.n_fft).conj()

    def gain(self, weight, weighted_flux):
        """Return A²/B of template and data minus that of a constant, for every shift."""
        shape = self.n_fft, self.n_shifts
        data = scipy.fft.rfft(np.stack([weight, weighted_flux]).astype(np.float32), self.n_fft)
        floor = 1e-5 * weight.max()  # of sums that are zero but for rounding
        shared, level = scipy.fft.irfft(self.ones * data, self.n_fft)[:, : self.n_shifts]
        constant = level**2 / np.maximum(shared, floor)
        power = np.maximum(self.squares.correlate(data[0], *shape), floor)
        gain = self.rows.correlate(data[1], *shape) ** 2 / power - constant
        return np.where(shared > floor, gain, 0.0)


_LAST = weakref.WeakKeyDictionary()  # of forward models: the templates last made, and for what


def templates_of(forward, labels, solar, known, resolution):
    """Return `Templates`; those made last for a forward model are kept for the next star."""
    key = (tuple(sorted(known.items())), resolution)
    if forward not in _LAST or _LAST[forward][0] != key:
        _LAST[forward] = key, Templates(forward, labels, solar, known, resolution)
    return _LAST[forward][1]


@dataclass(frozen=True)
class Velocity:
    """What the correlation of one spectrum with all templates says.

    Attributes
    ----------
    gain : numpy.ndarray, shape (n_templates,)
        How much better χ² each template has than a constant, at its best velocity.
    rv : numpy.ndarray, shape (n_templates,)
        That velocity, km/s.
    rival : float
        The best gain of any template at a velocity that is another peak.
    """

    gain: np.ndarray
    rv: np.ndarray
    rival: float


class Templates:
    """Spectra of stars of all kinds, to correlate observed spectra with.

    Parameters
    ----------
    forward : `~astropayne.forward.ForwardModel`
    labels : `~astropayne.labels.LabelSpace`
    solar : mapping of str to float, optional
        Solar abundances.
    known : mapping of str to float
        Labels and velocities that all templates have; not rv.
    resolution : float or None

    Attributes
    ----------
    theta : numpy.ndarray, shape (n, n_labels + 3)
        Labels and velocities of each, rv zero.
    """

    def __init__(self, forward, labels, solar, known, resolution):
        points = _candidates(labels, solar)
        self.theta = np.concatenate(
            [np.column_stack([points, np.tile([0, v, 0], (len(points), 1))]) for v in _VSINI]
        )
        names = (*labels.names, *VELOCITIES)
        for name in known.keys() - {"rv"}:
            self.theta[:, names.index(name)] = known[name]
        with torch.no_grad():
            rows = forward.rows(self.theta, resolution).double().cpu().numpy()
        fwhm = 1 / (resolution or forward.resolution or math.inf)
        every = max(1, int(fwhm / forward.step / _POINTS))
        self.step = every * forward.step
        self.reach = math.ceil(math.atanh(_MAX_VELOCITY / C_KMS) / self.step)
        self.windows = [
            _Window(start, rows[:, offset : offset + length : every], self.reach)
            for start, offset, length in zip(
                forward.start, forward.offset, forward.length, strict=True
            )
        ]

    def correlate(self, wavelength, flux, weight, near=None, known=None):
        """Correlate an observed spectrum with all templates over ±1000 km/s.

        For every template and velocity, the gain is how much better χ² the template has than a
        constant, over the pixels they share, with a free level for each window: a window that
        moves out of the data loses its gain, so nothing is won by leaving the data.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n_pixels,)
            Å in vacuum; weight 1/σ², zero where bad.
        near : float, optional
            Look only within 100 km/s of it, in km/s.
        known : float, optional
            The velocity, which is not looked for.

        Returns
        -------
        Velocity
        """
        reach, total = self.reach, np.zeros((len(self.theta), 2 * self.reach + 1), np.float32)
        for window in self.windows:
            index = np.rint((np.log(wavelength) - window.start) / self.step).astype(int) + reach
            used = (index >= 0) & (index < window.n_data) & (weight > 0)
            if used.any():
                binned = (
                    np.bincount(index[used], x[used], window.n_data)
                    for x in (weight, weight * flux)
                )
                total += window.gain(*binned)
        velocity = C_KMS * np.tanh((np.arange(2 * reach + 1) - reach) * self.step)
        if known is not None:
            i = np.abs(velocity - known).argmin()
            return Velocity(total[:, i], np.full(len(total), float(known)), 0.0)
        if near is not None:
            total = np.where(np.abs(velocity - near) <= _NEAR, total, 0.0)
        best = total.argmax(axis=1)
        shift = best - reach + _vertex(total, best)
        gain = total.max(axis=1)
        rv = C_KMS * np.tanh(shift * self.step)
        return Velocity(gain, rv, _rival(total, gain.argmax(), best))


def _rival(total, first, best):
    """Return the highest gain beyond the valleys on both sides of the highest peak."""
    peak, row = best[first], total[first]
    falls = np.flatnonzero(np.diff(row[peak:]) > 0)
    right = peak + (falls[0] if len(falls) else len(row))
    rises = np.flatnonzero(np.diff(row[: peak + 1]) < 0)
    left = rises[-1] + 1 if len(rises) else 0
    beyond = np.concatenate([total[:, :left], total[:, right + 1 :]], axis=1)
    return float(beyond.max(initial=0.0))


def _vertex(total, best):
    """Return the offset of the parabola's vertex through each maximum and its neighbours."""
    inner = np.clip(best, 1, total.shape[1] - 2)
    low, mid, high = (total[np.arange(len(total)), inner + k] for k in (-1, 0, 1))
    curvature = low - 2 * mid + high
    safe = np.where(curvature < 0, curvature, -1.0)
    return np.where((curvature < 0) & (inner == best), 0.5 * (low - high) / safe, 0.0)
