# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where a fit starts: velocity by cross-correlation, labels by regression on the spectrum."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc

from astropayne.engine.search.regression import REGRESSION_FLOOR, Regression, flux_on_axis
from astropayne.forward.parameters import parameter_names, velocity_of
from astropayne.forward.sampling import fast_length
from astropayne.wavelengths.velocity import C_KMS, FASTEST_RV

__all__ = ["Templates", "Velocity", "templates_of"]

_NEAR = 100.0  # km/s, around a velocity that is said to be about right
_N_CANDIDATES = 32  # label vectors of templates, a power of two
_VSINI = (8.0, 40.0, 120.0)  # km/s, of templates
_POINTS = 2.5  # of the correlation's axis, a resolution element
_VARIANCE = 3e-4  # of the templates, that their principal components leave out
_LEAST_LEVEL = 0.02  # of the flux around one, below which a polynomial is not divided by
_EDGE = 50.0  # km/s from the edges of windows that the regression leaves out


def _candidates(labels, solar):
    """Return labels spread over their ranges.

    Stellar ones vary, and abundances that are not relative to [Fe/H], as A(Li): what is relative is
    solar-scaled.
    """
    varied = [x.name for x in labels if x.element is None or x.name.startswith("A_")]
    varied = varied or labels.names
    points = qmc.Sobol(len(varied), rng=np.random.default_rng(0)).random(_N_CANDIDATES)
    index = [labels.index(name) for name in varied]
    values = labels.minimum[index] + points * labels.width[index]
    return labels.start_from(dict(zip(varied, values.T, strict=True)), solar)


@dataclass(frozen=True)
class _Basis:
    """Rows as sums of few: correlations with the few stand for those with all."""

    spectra: torch.Tensor  # (1 + k, n_frequencies): of the mean and principal components, conjugate
    weights: torch.Tensor  # (n_templates, 1 + k)

    @classmethod
    def of(cls, rows, n_fft):
        mean = rows.mean(dim=0)
        left, size, components = torch.linalg.svd(rows - mean, full_matrices=False)
        left_out = 1 - torch.cumsum(size**2, 0) / (size**2).sum().clamp_min(1e-30)
        k = int((left_out >= _VARIANCE).sum()) + 1
        weights = torch.cat([torch.ones_like(left[:, :1]), left[:, :k] * size[:k]], dim=1)
        few = torch.cat([mean[None], components[:k]])
        return cls(torch.fft.rfft(few, n_fft).conj().resolve_conj(), weights)

    def correlate(self, data, n_fft, n_shifts):
        """Correlate all rows with data, given as Fourier transforms: (n, n_templates, n_shifts)."""
        few = torch.fft.irfft(self.spectra * data[:, None], n_fft)[..., :n_shifts]
        return self.weights @ few


class _Window:
    """The templates in one window of the model."""

    def __init__(self, start, rows, reach):
        self.start, self.n_shifts = start, 2 * reach + 1
        self.n_data = rows.shape[1] + 2 * reach
        self.n_fft = fast_length(self.n_data)
        self.rows, self.squares = _Basis.of(rows, self.n_fft), _Basis.of(rows**2, self.n_fft)
        self.ones = torch.fft.rfft(torch.ones_like(rows[0]), self.n_fft).conj().resolve_conj()

    def gain(self, weight, weighted_flux):
        """Return A²/B of templates and data minus that of a constant, for every shift."""
        shape = self.n_fft, self.n_shifts
        # Single precision: gains are differences of sums 100 times as large, and good to 1e-5.
        data = torch.fft.rfft(torch.stack([weight, weighted_flux]), self.n_fft)
        # of sums that are zero but for rounding
        floor = 1e-5 * weight.amax(dim=1)[:, None].clamp_min(1e-30)
        shared, level = torch.fft.irfft(self.ones * data, self.n_fft)[..., : self.n_shifts]
        constant = level**2 / torch.maximum(shared, floor)
        power = torch.maximum(self.squares.correlate(data[0], *shape), floor[:, None])
        gain = self.rows.correlate(data[1], *shape).square_().div_(power)
        gain -= constant[:, None]
        return gain.mul_((shared > floor)[:, None])


def templates_of(forward, labels, solar, known, resolution):
    """Return `Templates`; those made last for a forward model stay with it for the next star."""
    key = (tuple(sorted(known.items())), resolution)
    made_for, templates = forward.kept.get("templates", (None, None))
    if made_for != key:
        templates = Templates(forward, labels, solar, known, resolution)
        forward.kept["templates"] = key, templates
    return templates


@dataclass(frozen=True)
class Velocity:
    """What the correlation of spectra with all templates says.

    Attributes
    ----------
    gain : numpy.ndarray, shape (n, n_templates)
        How much better χ² each template has than a constant, at its best velocity.
    rv : numpy.ndarray, shape (n, n_templates)
        That velocity, km/s.
    rival : numpy.ndarray, shape (n,)
        The best gain of any template at a velocity that is another peak.
    """

    gain: np.ndarray
    rv: np.ndarray
    rival: np.ndarray


class Templates:
    """Spectra of stars of all kinds, to compare observed spectra with.

    Parameters
    ----------
    forward : `~astropayne.forward.model.ForwardModel`
    labels : `~astropayne.labels.space.LabelSpace`
    solar : mapping of str to float
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
        self._forward, self._resolution = forward, resolution
        points = _candidates(labels, solar)
        self.theta = np.concatenate(
            [np.column_stack([points, np.tile([0, v, 0], (len(points), 1))]) for v in _VSINI]
        )
        names = parameter_names(labels.names)
        known = {names.index(name): value for name, value in known.items() if name != "rv"}
        self.theta[:, list(known)] = list(known.values())
        rows = flux_on_axis(forward, self.theta, resolution)
        fwhm = 1 / (resolution or forward.resolution or math.inf)
        every = max(1, int(fwhm / forward.step / _POINTS + 1e-6))
        self.step = every * forward.step
        self.reach = math.ceil(math.atanh(FASTEST_RV / C_KMS) / self.step)
        self.windows = [
            _Window(start, rows[:, offset : offset + length : every].contiguous(), self.reach)
            for start, offset, length in zip(
                forward.start, forward.offset, forward.length, strict=True
            )
        ]
        self._regression = Regression(forward, labels, known, resolution)

    def correlate(self, wavelength, flux, weight, near=None, known=None):
        """Correlate observed spectra with all templates over ±1000 km/s.

        For every template and velocity, the gain is how much better χ² the template has than a
        constant, over the pixels they share, with a free level for each window: a window that
        moves out of the data loses its gain, so nothing is won by leaving the data.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            Å in vacuum, NaN for no pixel; weight 1/σ², zero where bad.
        near : float, optional
            Look only within 100 km/s of it, in km/s.
        known : float, optional
            The velocity, which is not looked for.

        Returns
        -------
        Velocity
        """
        about = (near if known is None else known) or 0.0  # the middle of the velocities
        reach, log = self.reach, np.log(wavelength) - math.atanh(about / C_KMS)
        weight = self._tensor(weight)
        weighted, total = weight * self._tensor(flux), 0.0
        for window in self.windows:
            place = np.rint((log - window.start) / self.step) + reach
            inside = (place >= 0) & (place < window.n_data)  # not so for NaN
            index = self._tensor(np.where(inside, place, window.n_data), torch.long)
            total = total + window.gain(*_binned(index, window.n_data, weight, weighted))
        if known is not None:
            gain = total[:, :, reach].cpu().numpy()
            return Velocity(gain, np.full(gain.shape, float(known)), np.zeros(len(gain)))
        if near is not None:
            away = C_KMS * np.tanh((np.arange(2 * reach + 1) - reach) * self.step)
            total *= self._tensor(np.abs(away) <= _NEAR)
        gain, best = total.max(dim=2)
        shift = (best - reach + _vertex(total, best)).cpu().double().numpy()
        highest, best, gain = (
            total.amax(dim=1).cpu().numpy(),
            best.cpu().numpy(),
            gain.cpu().numpy(),
        )
        first = gain.argmax(axis=1)
        rows = total[torch.arange(len(total)), torch.as_tensor(first)].cpu().numpy()
        peaks = best[np.arange(len(best)), first]
        rival = [_rival(*star) for star in zip(highest, rows, peaks, strict=True)]
        rv = C_KMS * np.tanh(shift * self.step + math.atanh(about / C_KMS))
        return Velocity(gain, rv, np.array(rival))

    def flatten(self, wavelength, flux, weight, degree):
        """Divide spectra by polynomials fitted to them, in each window and around it.

        Slopes would otherwise count more than lines.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            As for `correlate`.
        degree : int

        Returns
        -------
        flux, weight : numpy.ndarray, shape (n, n_pixels)
        """
        level, log = np.ones_like(flux), np.log(wavelength)
        room = self.reach * self.step
        for start, end in zip(self._forward.start, self._forward.end, strict=True):
            x = (log - start + room) / (end - start + 2 * room) * 2 - 1
            seen = np.where(np.abs(x) <= 1, weight, 0.0)  # not so for NaN
            basis = np.polynomial.chebyshev.chebvander(np.where(seen > 0, x, 0.0), degree)
            columns = basis * np.sqrt(seen)[..., None]
            normal = columns.transpose(0, 2, 1) @ columns
            right = columns.transpose(0, 2, 1) @ (flux * np.sqrt(seen))[..., None]
            found = np.linalg.pinv(normal, hermitian=True) @ right
            level = np.where(seen > 0, (basis @ found)[..., 0], level)
        sound = level > _LEAST_LEVEL
        level = np.where(sound, level, 1.0)
        return np.where(sound, flux / level, 0.0), np.where(sound, weight * level**2, 0.0)

    def regress(self, wavelength, flux, weight, rv, degree=None, resolution=None):
        """Guess all parameters of observed spectra whose velocity is known.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            As for `correlate`.
        rv : numpy.ndarray, shape (n,)
            In km/s.
        degree : int, optional
            Of the continuum's polynomials, `None` for normalised flux.
        resolution : numpy.ndarray, shape (n,), optional
            About that of each spectrum; by default what the templates have.

        Returns
        -------
        theta : numpy.ndarray, shape (n, n_labels + 3)
        sound : numpy.ndarray of bool, shape (n,)
            Whether the star is of the kinds the regression is made for.
        """
        forward = self._forward
        rest = np.log(wavelength) - np.arctanh(rv / C_KMS)[:, None]
        place = np.full(rest.shape, float(forward.n_fft))
        for start, end, offset in zip(forward.start, forward.end, forward.offset, strict=True):
            inside = (rest > start + _EDGE / C_KMS) & (rest < end - _EDGE / C_KMS)
            place[inside] = offset + (rest[inside] - start) / forward.step
        index = self._tensor(np.rint(place), torch.long)
        weight = self._tensor(weight)
        weight = weight / (1 + REGRESSION_FLOOR**2 * weight)
        regression = self._regression.of(*_binned(index, forward.n_fft, weight), degree)

        def regressed(flux):
            return regression(*_binned(index, forward.n_fft, weight * flux))

        found = regressed(self._tensor(flux))
        # What it makes of the model for what it has found says how far off it is there.
        resolution = self._resolution if resolution is None else resolution
        rows = forward.rows(self._regression.parameters(found)[0], resolution).float()
        points, shares = (part.to(rows.device) for part in _cubic(place, forward.n_fft))
        model = sum(s * rows.gather(1, points + k) for k, s in enumerate(shares))
        found = 2 * found - regressed(model)
        theta, sound = self._regression.parameters(found)
        velocity_of(theta, "rv")[:] = rv
        return theta, sound

    def _tensor(self, values, dtype=torch.float32):
        return torch.as_tensor(values, dtype=dtype, device=self._forward.device)


def _binned(index, n, *values):
    """Return sums of values (rows are stars) with the same index; those with index n are lost."""
    empty = values[0].new_zeros(len(index), n + 1)
    return [empty.scatter_add(1, index, v)[:, :n] for v in values]


def _cubic(place, n):
    """Return the first of four columns of ``n`` around places, and what the four count there.

    The cubic polynomial through them is what interpolates between columns.
    """
    place = torch.as_tensor(place)
    middle = place.floor().clamp(1, n - 3)
    x = (place - middle).clamp(0, 1).float()
    a, b, c = x + 1, x - 1, x - 2
    shares = (-x * b * c / 6, a * b * c / 2, -a * x * c / 2, a * x * b / 6)
    return middle.long() - 1, torch.stack(shares)


def _rival(highest, row, peak):
    """Return the highest gain beyond the valleys on both sides of the highest peak."""
    falls = np.flatnonzero(np.diff(row[peak:]) > 0)
    right = peak + (falls[0] if len(falls) else len(row))
    rises = np.flatnonzero(np.diff(row[: peak + 1]) < 0)
    left = rises[-1] + 1 if len(rises) else 0
    beyond = np.concatenate([highest[:left], highest[right + 1 :]])
    return float(beyond.max(initial=0.0))


def _vertex(total, best):
    """Return the offset of the parabola's vertex through each maximum and its neighbours."""
    inner = best.clamp(1, total.shape[2] - 2)
    low, mid, high = (total.gather(2, (inner + k)[..., None])[..., 0] for k in (-1, 0, 1))
    curvature = low - 2 * mid + high
    offset = 0.5 * (low - high) / torch.where(curvature < 0, curvature, -1.0)
    return torch.where((curvature < 0) & (inner == best), offset, 0.0)
