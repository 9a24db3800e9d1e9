# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Initial values of a fit: velocity by cross-correlation, labels by regression on the spectrum."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc

from astropayne.engine.search.regression import REGRESSION_FLOOR, Regression, flux_on_axis
from astropayne.forward.model import ForwardModel
from astropayne.forward.parameters import parameter_names, velocity_of
from astropayne.forward.sampling import fast_length
from astropayne.labels.space import LabelSpace
from astropayne.wavelengths.velocity import C_KMS, FASTEST_RV

__all__ = ["Templates", "Velocity", "templates_of"]

_NEAR = 100.0  # km/s, range of the search around an approximate velocity
_N_CANDIDATES = 32  # label vectors of templates, a power of two
_VSINI = (8.0, 40.0, 120.0)  # km/s, of templates
_POINTS = 2.5  # of the correlation's axis per resolution element
_VARIANCE = 3e-4  # fraction of the templates' variance that their principal components omit
_LEAST_LEVEL = 0.02  # lowest continuum by which flux of order one is divided
_EDGE = 50.0  # km/s from the edges of windows that the regression leaves out


def _candidates(labels, solar):
    """Return labels spread over their ranges.

    Stellar labels vary, and so do absolute abundances such as A(Li); abundances relative to
    hydrogen or iron are solar-scaled.
    """
    varied = [x.name for x in labels if x.element is None or x.name.startswith("A_")]
    varied = varied or labels.names
    points = qmc.Sobol(len(varied), rng=np.random.default_rng(0)).random(_N_CANDIDATES)
    index = [labels.index(name) for name in varied]
    values = labels.minimum[index] + points * labels.width[index]
    return labels.start_from(dict(zip(varied, values.T, strict=True)), solar)


@dataclass(frozen=True)
class _Basis:
    """Rows as weighted sums of a few components, so that only these have to be correlated."""

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
        # replaces sums that are zero except for rounding
        floor = 1e-5 * weight.amax(dim=1)[:, None].clamp_min(1e-30)
        shared, level = torch.fft.irfft(self.ones * data, self.n_fft)[..., : self.n_shifts]
        constant = level**2 / torch.maximum(shared, floor)
        power = torch.maximum(self.squares.correlate(data[0], *shape), floor[:, None])
        gain = self.rows.correlate(data[1], *shape).square_().div_(power)
        gain -= constant[:, None]
        return gain.mul_((shared > floor)[:, None])


def templates_of(
    forward: ForwardModel,
    labels: LabelSpace,
    solar: Mapping[str, float],
    known: Mapping[str, float],
    resolution: float | None,
) -> "Templates":
    """Return `Templates`; the last ones are kept with the forward model for the next star."""
    key = (tuple(sorted(known.items())), resolution)
    made_for, templates = forward.kept.get("templates", (None, None))
    if made_for != key:
        templates = Templates(forward, labels, solar, known, resolution)
        forward.kept["templates"] = key, templates
    return templates


@dataclass(frozen=True)
class Velocity:
    """Velocities of spectra from their correlation with all templates.

    Attributes
    ----------
    gain : numpy.ndarray, shape (n, n_templates)
        Decrease of χ² by each template relative to a constant, at its best velocity.
    rv : numpy.ndarray, shape (n, n_templates)
        Best velocity of each template in km/s.
    rival : numpy.ndarray, shape (n,)
        Highest gain of any template at another peak of the correlation.
    """

    gain: np.ndarray
    rv: np.ndarray
    rival: np.ndarray


class Templates:
    """Model spectra over the range of labels, for comparison with observed spectra.

    Parameters
    ----------
    forward : `~astropayne.forward.model.ForwardModel`
    labels : `~astropayne.labels.space.LabelSpace`
    solar : mapping of str to float
        Solar abundances.
    known : mapping of str to float
        Fixed labels and velocities, which all templates have; rv is ignored.
    resolution : float or None
        λ/FWHM of the templates; that of the model by default.

    Attributes
    ----------
    theta : numpy.ndarray, shape (n, n_labels + 3)
        Labels and velocities of the templates; rv is zero.
    """

    def __init__(
        self,
        forward: ForwardModel,
        labels: LabelSpace,
        solar: Mapping[str, float],
        known: Mapping[str, float],
        resolution: float | None,
    ) -> None:
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

    def correlate(
        self,
        wavelength: np.ndarray,
        flux: np.ndarray,
        weight: np.ndarray,
        near: float | None = None,
        known: float | None = None,
    ) -> Velocity:
        """Correlate observed spectra with all templates over ±1000 km/s.

        For every template and velocity, the gain is the decrease of χ² relative to a constant,
        over the pixels that template and spectrum share, with a free level for each window. A
        window that moves out of the data loses its gain, so that such velocities are not preferred.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            Vacuum wavelengths in Å, NaN where a row has no pixel; the weight is 1/σ², zero for bad
            pixels.
        near : float, optional
            Approximate velocity in km/s; the search is limited to 100 km/s around it.
        known : float, optional
            Velocity in km/s, if it is known; it is not searched for.

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
            inside = (place >= 0) & (place < window.n_data)  # False for NaN
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

    def flatten(
        self, wavelength: np.ndarray, flux: np.ndarray, weight: np.ndarray, degree: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Divide spectra by polynomials fitted to them, in each window and around it.

        Otherwise, slopes would affect the correlation more than lines.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            As for `correlate`.
        degree : int
            Degree of the polynomials.

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

    def regress(
        self,
        wavelength: np.ndarray,
        flux: np.ndarray,
        weight: np.ndarray,
        rv: np.ndarray,
        degree: int | None = None,
        resolution: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Estimate all parameters of observed spectra whose velocity is known.

        Parameters
        ----------
        wavelength, flux, weight : numpy.ndarray, shape (n, n_pixels)
            As for `correlate`.
        rv : numpy.ndarray, shape (n,)
            Velocities in km/s.
        degree : int, optional
            Degree of the continuum's polynomials, `None` for normalized flux.
        resolution : numpy.ndarray, shape (n,), optional
            Typical resolution of each spectrum; that of the templates by default.

        Returns
        -------
        theta : numpy.ndarray, shape (n, n_labels + 3)
        sound : numpy.ndarray of bool, shape (n,)
            Whether the star is in the range that the regression was trained on.
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
        # The regression of the model at the estimate gives the error of the estimate.
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
    """Return sums of values with the same index in each row; those with index n are dropped."""
    empty = values[0].new_zeros(len(index), n + 1)
    return [empty.scatter_add(1, index, v)[:, :n] for v in values]


def _cubic(place, n):
    """Return the first of four columns of ``n`` around places, and the weights of the four.

    They interpolate between columns by the cubic polynomial through the four.
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
    """Return the offset of the parabola's vertex through each maximum and its neighbors."""
    inner = best.clamp(1, total.shape[2] - 2)
    low, mid, high = (total.gather(2, (inner + k)[..., None])[..., 0] for k in (-1, 0, 1))
    curvature = low - 2 * mid + high
    offset = 0.5 * (low - high) / torch.where(curvature < 0, curvature, -1.0)
    return torch.where((curvature < 0) & (inner == best), offset, 0.0)
