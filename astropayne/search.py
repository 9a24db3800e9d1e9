# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where a fit starts: velocity by cross-correlation, labels by regression on the spectrum."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import qmc

from astropayne.forward import VELOCITIES, fast_length
from astropayne.network import without_gradients
from astropayne.wavelengths import C_KMS, FASTEST_RV

__all__ = ["Templates", "Velocity", "templates_of"]

_NEAR = 100.0  # km/s, around a velocity that is said to be about right
_N_CANDIDATES = 32  # label vectors of templates, a power of two
_VSINI = (8.0, 40.0, 120.0)  # km/s, of templates
_POINTS = 2.5  # of the correlation's axis, a resolution element
_VARIANCE = 3e-4  # of the templates, that their principal components leave out

# The regression: so many spectra, the principal components of some of them, products of the first
# components; the noise of a pixel it is made for, and what is added to the observed.
_N_SPECTRA, _N_FOR_COMPONENTS, _N_COMPONENTS, _N_SQUARED = 1024, 384, 24, 20
_NOISE, _FLOOR = 1e-2, 3e-3
_FASTEST = 45.0  # km/s, vsini of the spectra for the regression
_LEAST_LEVEL = 0.02  # of the flux around one, below which a polynomial is not divided by
_EDGE = 50.0  # km/s from the edges of windows that the regression leaves out
_BLOCK = 256  # spectra that are computed at a time


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


def _flux_on_axis(forward, theta, resolution):
    """Return the flux on the axis of windows one after another: (n, n_fft), single precision."""
    with without_gradients():
        blocks = (forward.rows(block, resolution).float() for block in _blocks(theta))
        return torch.cat(list(blocks))


def _blocks(theta):
    return (theta[i : i + _BLOCK] for i in range(0, len(theta), _BLOCK))


def _components(rows, k):
    """Return principal components of rows, the mean taken off: (k, n_columns).

    In double precision on the CPU, here and below: not every device has it.
    """
    away = (rows - rows.mean(dim=0)).cpu().double()
    left = torch.linalg.eigh(away @ away.T)[1]
    components = left[:, -k:].flip(1).T @ away
    return (components / torch.linalg.vector_norm(components, dim=1, keepdim=True)).to(rows)


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
    forward : `~astropayne.forward.ForwardModel`
    labels : `~astropayne.labels.LabelSpace`
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
        names = (*labels.names, *VELOCITIES)
        known = {names.index(name): value for name, value in known.items() if name != "rv"}
        self.theta[:, list(known)] = list(known.values())
        rows = _flux_on_axis(forward, self.theta, resolution)
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
        self._regression = _Regression(forward, labels, known, resolution)

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
        weight = weight / (1 + _FLOOR**2 * weight)
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
        theta[:, -len(VELOCITIES)] = rv
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


class _Regression:
    """Parameters of a star from its spectrum, as a polynomial of its principal components.

    It is made of the model's own predictions for random parameters. The components of an observed
    spectrum are those of least squares with a Gaussian prior as wide as they scatter: missing
    pixels do no harm. The continuum's polynomials are solved for with them.
    """

    def __init__(self, forward, labels, known, resolution):
        n, n_labels = len(labels.names) + len(VELOCITIES), len(labels.names)
        points = qmc.Sobol(n_labels + 1, rng=np.random.default_rng(1)).random(_N_SPECTRA)
        theta = np.zeros((_N_SPECTRA, n))
        theta[:, :n_labels] = labels.minimum + points[:, :n_labels] * labels.width
        theta[:, -2] = _FASTEST * points[:, -1] ** 1.5
        theta[:, list(known)] = list(known.values())
        depth = 1 - _flux_on_axis(forward, theta, resolution)
        self._n, self._forward, self._known = n, forward, known
        self._low = forward._tensor(labels.minimum, torch.float32)
        self._width = forward._tensor(labels.width, torch.float32)
        self._mean = depth.mean(dim=0)
        self._components = _components(depth[:_N_FOR_COMPONENTS], _N_COMPONENTS)
        values = (depth - self._mean) @ self._components.T
        self._size = values.std(dim=0)
        self._first, self._second = torch.triu_indices(
            *2 * (min(_N_SQUARED, _N_COMPONENTS),), device=forward.device
        )
        noise = torch.as_tensor(np.random.default_rng(2).normal(0, _NOISE, values.shape))
        features = self._features(values + noise.to(values)).cpu().double()
        scaled = (theta[:, :n_labels] - labels.minimum) / labels.width
        wanted = np.column_stack([scaled, np.sqrt(theta[:, -2] / _FASTEST)])
        normal = features.T @ features
        normal += 1e-3 * torch.eye(len(normal), dtype=normal.dtype)
        right = features.T @ torch.as_tensor(wanted)
        self._coefficients = torch.linalg.solve(normal, right).to(values)
        self._designs = {}

    def _features(self, values):
        """Return constant, components and their products: (n, n_features)."""
        u = (values / self._size).clamp(-5, 5)
        return torch.cat([torch.ones_like(u[:, :1]), u, u[:, self._first] * u[:, self._second]], 1)

    def _design(self, degree):
        """Return columns of depth on the axis, their products in pairs, and their priors."""
        if degree not in self._designs:
            columns, prior = [*self._components], [*self._size**-2.0]
            for offset, length in zip(self._forward.offset, self._forward.length, strict=True):
                x = np.linspace(-1, 1, length)
                for k in range(0 if degree is None else degree + 1):
                    column = torch.zeros_like(self._mean)
                    values = np.polynomial.chebyshev.chebval(x, [0] * k + [1])
                    column[offset : offset + length] = torch.as_tensor(values).to(column)
                    columns.append(column * (self._mean - 1))
                    prior.append(torch.ones_like(prior[0]))
            columns = torch.stack(columns)
            i, j = torch.triu_indices(len(columns), len(columns), device=columns.device)
            self._designs[degree] = columns, columns[i] * columns[j], (i, j), torch.stack(prior)
        return self._designs[degree]

    def of(self, weight, degree):
        """Return the regression of spectra with these weights, sums over pixels: (n, n_fft).

        It is a function of sums of weighted flux (n, n_fft), and returns what `parameters` are
        made of, (n, n_labels + 1).
        """
        columns, products, (i, j), prior = self._design(degree)

        packed = weight @ products.T
        normal = packed.new_zeros(len(packed), len(prior), len(prior))
        normal[:, i, j] = normal[:, j, i] = packed
        factors = torch.linalg.lu_factor((normal + torch.diag(prior)).cpu().double())

        def regress(weighted_flux):
            flux = weighted_flux / weight.clamp_min(1e-30)
            level = torch.ones_like(flux)
            for _ in range(1 if degree is None else 3):  # it multiplies: it is divided by
                right = (weight * (1 - flux / level - self._mean)) @ columns.T
                right = right.cpu().double()[..., None]
                found = torch.linalg.lu_solve(*factors, right)[..., 0].to(weight)
                polynomials = found[:, _N_COMPONENTS:] @ columns[_N_COMPONENTS:] / (self._mean - 1)
                level = (level * (1 + polynomials)).clamp(0.2, 5)
            return self._features(found[:, :_N_COMPONENTS]) @ self._coefficients

        return regress

    def parameters(self, guess):
        """Return parameters, rv zero, and whether the regression is for stars like these."""
        theta = guess.new_zeros(len(guess), self._n)
        theta[:, : -len(VELOCITIES)] = self._low + guess[:, :-1].clamp(0, 1) * self._width
        theta[:, -2] = _FASTEST * guess[:, -1].clamp(0, 1) ** 2
        theta = theta.cpu().double().numpy()
        theta[:, list(self._known)] = list(self._known.values())
        return theta, np.isfinite(theta).all(axis=1) & (theta[:, -2] < 0.8 * _FASTEST)


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
