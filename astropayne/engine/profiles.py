# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The likelihood of one abundance over its range, from the pixels of chosen lines.

All else (stellar labels, velocities, other abundances, continuum, what pixels share of the
emulator's error) is linear about the star's fit, and eliminated: what the pixels beyond the lines
say of it is known beforehand, and the pixels of the lines add to that. No pixel counts twice.
Plain numpy and torch, no units: wavelengths are Å in vacuum, velocities km/s.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import chebyshev
from scipy.integrate import cumulative_trapezoid

from astropayne.wavelengths.axis import pixel_width
from astropayne.wavelengths.velocity import C_KMS, VELOCITIES, doppler_factor

__all__ = ["Problem", "Profile", "Stars"]

_FEW, _MANY = 5, 13  # abundances the model is computed at, for an interval and the whole range
_NARROW = 0.5  # dex, of intervals that few are enough for
_WIDE = 7.0  # standard deviations from the best abundance to either end of an interval
_CONTAINED = 14.0  # χ² above the least, from which on a posterior is negligible
_POINTS = 301  # of a posterior
_PASSES = 4
_MORE = 0.1  # dex, above the lowest abundance, that shows how lines fade
_HALF = np.log10(2)  # dex, below the highest abundance: half as many atoms
_WEAK = 0.5  # growth of lines at the end of the range, from which on they are followed beyond
_SHALLOW = 10.0  # growth is at least 1 - this depth of a line, with room for rotation
_BEYOND = np.linspace(0, 1.5, 151)[1:]  # dex, where to
_RIDGE = 1e-10  # of a diagonal, which keeps columns apart that are nearly alike
_FARTHEST = 20.0  # km/s, error of a velocity that counts as unknown


def _chebyshev(n):
    """Return nodes from −1 to 1, and the matrix from values there to coefficients."""
    nodes = -np.cos(np.pi * np.arange(n) / (n - 1))
    return nodes, np.linalg.inv(chebyshev.chebvander(nodes, n - 1))


@dataclass(frozen=True)
class Problem:
    """One abundance, and where it is measured.

    Attributes
    ----------
    index : int
        Its position among all parameters.
    moves : tuple of int
        Positions of all parameters that move with it, its own among them.
    lines : numpy.ndarray of bool, shape (n_lines, n, n_pixels)
        The pixels of each of its lines, unusable ones among them; none is of two.
    """

    index: int
    moves: tuple
    lines: np.ndarray


@dataclass(frozen=True)
class Profile:
    """What is found of one abundance, for a batch of stars: arrays (n,) or (n, n_lines).

    Attributes
    ----------
    mean, sigma : numpy.ndarray
        Of the posterior over the range: its mean and standard deviation.
    limit : numpy.ndarray
        The value that the posterior is below with the confidence asked for. Beyond the range weak
        lines are followed along their curve of growth.
    best : numpy.ndarray
        Where the likelihood is greatest, within the range.
    significance : numpy.ndarray
        Root of how much larger χ² is without the element.
    excluded : numpy.ndarray
        Root of how much larger χ² is at the upper end of the range, or where lines are followed to.
    settled : numpy.ndarray of bool
        Whether the posterior was resolved.
    follow, rest : numpy.ndarray, shapes (n, n_names) and (n, n_names, n_names)
        How all parameters follow the abundance, and their covariance if it were known.
    by : numpy.ndarray, shape (n, n_names)
        Changes of the abundance by the other parameters, all others held.
    lines, lines_covariance : numpy.ndarray, shapes (n, n_lines) and (n, n_lines, n_lines)
        Each line's own abundance, NaN where it has none.
    lines_variance : numpy.ndarray, shape (n,)
        Of the mean of all lines.
    deviation : numpy.ndarray, shape (n, n_lines)
        Of a line from all lines, in standard deviations.
    flux, without : numpy.ndarray, shape (n, n_pixels)
        At the lines' usable pixels, with the element and without it; NaN elsewhere.
    depth : numpy.ndarray, shape (n, n_pixels)
        What the element takes away from a continuum of one, at all pixels of the lines; NaN
        elsewhere.
    """

    mean: np.ndarray
    sigma: np.ndarray
    limit: np.ndarray
    best: np.ndarray
    significance: np.ndarray
    excluded: np.ndarray
    settled: np.ndarray
    follow: np.ndarray
    rest: np.ndarray
    by: np.ndarray
    lines: np.ndarray
    lines_covariance: np.ndarray
    lines_variance: np.ndarray
    deviation: np.ndarray
    flux: np.ndarray
    without: np.ndarray
    depth: np.ndarray


class Stars:
    """A batch of stars, linearised about the parameters that were found for them.

    Parameters
    ----------
    likelihood : `~astropayne.engine.likelihood.Likelihood`
        Of all pixels that can be used, at ``theta``.
    theta : numpy.ndarray, shape (n, n_names)
        All parameters.
    fitted : numpy.ndarray of bool, shape (n, n_pixels)
        Pixels that the stellar labels come from.
    chain : numpy.ndarray, shape (n, n_names, n_free)
        Derivatives of all parameters by those that the fit of the stellar labels was free in.
    low, high : numpy.ndarray, shape (n_names,)
        Ranges.
    """

    def __init__(self, likelihood, theta, fitted, chain, low, high):
        self.forward, self.theta, self.low, self.high = likelihood.forward, theta, low, high
        self.pixels, self.resolution = likelihood.pixels, likelihood.resolution
        root = likelihood.roots(theta).cpu().numpy()
        self.weight = likelihood.weight.cpu().numpy() * root
        observed = likelihood.flux.cpu().numpy()
        flux, self.by_name = self._model()
        linear, level = [], np.ones_like(observed)
        if likelihood.basis is not None:
            basis = likelihood.basis.cpu().numpy()
            coefficients = likelihood.coefficients(theta).astype(basis.dtype)
            level = (basis @ coefficients[..., None])[..., 0]
            linear.append(basis * (flux * self.weight)[..., None])
        self.n_continuum = sum(part.shape[2] for part in linear)
        if likelihood.modes is not None:
            linear.append(likelihood.modes.cpu().numpy() * root[..., None])
        self.linear = np.concatenate([*linear, np.zeros((*flux.shape, 0), flux.dtype)], axis=2)
        self.scale = level * self.weight
        self.by_name *= self.scale[..., None]
        self.observed = observed * self.weight
        self.fitted, self.chain = fitted & (self.weight > 0), chain
        self._know(likelihood.parameters, flux)

    def _know(self, parameters, flux):
        """Collect what all fitted pixels, and priors, say of everything."""
        mask = self.fitted[..., None]
        self.residual = self.observed - self.scale * flux
        chain = self.chain.astype(flux.dtype)
        design = np.concatenate([self.by_name @ chain, self.linear], axis=2) * mask
        products = _products(design, self.residual * self.fitted)
        self.shared = design.mT @ self.by_name
        self.information, self.gradient = products[:, :-1, :-1], products[:, :-1, -1]
        index = parameters.index
        k, n_modes = len(index), self.linear.shape[2] - self.n_continuum
        # that labels are within their ranges, as in the fit of the stellar labels
        is_label = index < len(self.low) - len(VELOCITIES)
        prior = np.where(is_label, 12 / (self.high - self.low)[index] ** 2, _FARTHEST**-2)
        mean, precision = parameters.prior()
        everything = [*(prior + precision), *[0] * self.n_continuum, *[1] * n_modes]
        self.information = self.information + np.diag(np.array(everything, dtype=float))
        self.gradient[:, :k] += precision * (mean - self.theta[:, index])

    def _model(self):
        """Return flux and Jacobian over all arms."""
        parts = [
            self.forward.forward_and_jacobian(self.theta, p, r)
            for p, r in zip(self.pixels, self.resolution, strict=True)
        ]
        return tuple(
            np.concatenate([part.cpu().numpy() for part in some], axis=1)
            for some in zip(*parts, strict=True)
        )

    @property
    def rest_wavelength(self):
        """Wavelengths in the stars' frames, Å in vacuum: (n, n_pixels)."""
        wavelength = np.concatenate([p.wavelength for p in self.pixels], axis=1)
        return wavelength / doppler_factor(self.theta[:, -len(VELOCITIES), None])

    @property
    def supported(self):
        """Whether pixels see nothing from beyond the edges of the model: (n, n_pixels)."""
        _, vsini, vmac = self.theta[:, -len(VELOCITIES) :].T
        parts = zip(self.pixels, self.resolution, strict=True)
        return np.hstack([self.forward.supported(p, vsini, vmac, r) for p, r in parts])

    @property
    def pixel_width(self):
        """Widths of pixels in ln λ: (n, n_pixels)."""
        return np.concatenate([pixel_width(p.wavelength) for p in self.pixels], axis=1)

    def profile(self, problem, expand, confidence):
        """Return what the lines of one abundance say of it.

        Parameters
        ----------
        problem : Problem
        expand : callable
            Takes all parameters (n, n_names) after the abundance was changed, and lets those that
            are tied to it follow.
        confidence : float
            Of the limit.

        Returns
        -------
        Profile
        """
        return _Lines(self, problem, expand).profile(confidence)


class _Lines:
    """The pixels of the lines of one abundance, and all that is known of everything else."""

    def __init__(self, stars, problem, expand):
        self.stars, self.problem, self.expand = stars, problem, expand
        self.low, self.high = stars.low[problem.index], stars.high[problem.index]
        self._take(problem.lines.any(axis=0))
        self._cut()
        own = self.take(stars.by_name)
        nuisance, linear = stars.chain.copy(), self.take(stars.linear)
        nuisance[:, list(problem.moves)] = 0
        self.nuisance = np.concatenate([own @ nuisance, linear], axis=2).astype(float)
        fitted = self.take(stars.fitted)
        design = np.concatenate([own @ stars.chain, linear], axis=2) * fitted[..., None]
        known = _products(design, self.take(stars.residual) * fitted)
        more = self.nuisance.mT @ self.nuisance
        self.information = stars.information - known[:, :-1, :-1] + more
        self.gradient = stars.gradient - known[:, :-1, -1]
        self.beyond = stars.shared - design.mT @ own  # of derivatives, in pixels of no line
        self.inverse = _inverse(self.information)
        self.map = nuisance

    def _take(self, used):
        """Find where the pixels of the lines are, in as few columns as that takes."""
        ends = np.cumsum([p.wavelength.shape[1] for p in self.stars.pixels])
        parts = np.split(used, ends[:-1], axis=1)
        columns = [
            np.argsort(~m, axis=1, kind="stable")[:, : max(1, m.sum(1).max())] for m in parts
        ]
        self.wavelength = [
            np.take_along_axis(p.wavelength, c, axis=1)
            for p, c in zip(self.stars.pixels, columns, strict=True)
        ]
        self.resolution = [
            np.take_along_axis(r, c, axis=1) if np.ndim(r) == 2 else r
            for r, c in zip(self.stars.resolution, columns, strict=True)
        ]
        self.columns = np.concatenate(
            [c + e - p.shape[1] for c, e, p in zip(columns, ends, parts, strict=True)], axis=1
        )
        self.used = np.take_along_axis(used, self.columns, axis=1)
        self.scale = self.take(self.stars.scale)
        self.observed = self.take(self.stars.observed)

    def _cut(self):
        """Take as much of the model as the lines and the broadening of the stars need."""
        stars = self.stars
        rv, vsini, vmac = stars.theta[:, -len(VELOCITIES) :].T
        room = max(stars.forward.reach(vsini, vmac, r).max() for r in self.resolution) / C_KMS
        log = np.log(stars.rest_wavelength)
        lines = [log[line] for line in self.problem.lines]
        ends = [(some.min() - room, some.max() + room) for some in lines if len(some)]
        self.forward = stars.forward.around(ends) if ends else stars.forward
        self.pixels = [self.forward.pixels(w, rv) for w in self.wavelength]

    def take(self, values):
        """Return values (n, n_pixels, ...) at the pixels of the lines, zero where there is none."""
        shape = (..., *[None] * (values.ndim - 2))
        return np.take_along_axis(values, self.columns[shape], axis=1) * self.used[shape]

    def flux(self, values, rows):
        """Return the model's flux for other abundances (n, k) of some stars: (n, n_pixels, k)."""
        k = values.shape[1]
        theta = np.repeat(self.stars.theta[rows], k, axis=0)
        theta[:, self.problem.index] = values.ravel()
        theta = self.expand(theta).reshape(-1, k, theta.shape[1])
        parts = [
            self.forward.forward_of_variations(theta, p[rows], r if r is None else r[rows])
            for p, r in zip(self.pixels, self.resolution, strict=True)
        ]
        return torch.cat(parts, dim=1).cpu().numpy()

    def eliminated(self, columns, rows, weights):
        """Return products of residuals (n, K, m) with all else eliminated: (n, m, m).

        Weights (m,) are how much of the observed flux is in a column: 1 for a residual, 0 for
        a derivative.
        """
        mixed = self.nuisance[rows].mT @ columns + self.gradient[rows, :, None] * weights
        return columns.mT @ columns - mixed.mT @ self.inverse[rows] @ mixed

    # --- the posterior

    def profile(self, confidence):
        """Return the `Profile`."""
        n = len(self.stars.theta)
        everything = np.arange(n)
        # The model does not go down to no element; weak lines grow tenfold a dex.
        lowest = self.flux(np.tile([self.low, self.low + _MORE], (n, 1)), everything)
        self.without = lowest[..., 0] + np.diff(lowest)[..., 0] / (1 - 10**_MORE)
        names = "mean sigma limit best significance excluded".split()
        self.found = {name: np.full(n, np.nan) for name in names}
        self.flux_at, self.slope_at = np.zeros((2, *self.scale.shape))
        contained, settled = np.zeros((2, n), dtype=bool)
        low, high = self._first_interval()
        going = everything
        for _ in range(_PASSES):
            wide = high - low > _NARROW
            for many, some in ((_FEW, going[~wide[going]]), (_MANY, going[wide[going]])):
                if len(some):
                    contained[some] = self._posterior(some, low[some], high[some], many, confidence)
            mean, sigma = self.found["mean"], self.found["sigma"]
            settled = contained & ((sigma > (high - low) / 60) | ~wide)
            going = going[~settled[going]]
            if not len(going):
                break
            # what is narrower than two points apart is not resolved at all
            point = (high - low)[going] / _POINTS
            near, reach = contained[going], np.maximum(_WIDE * sigma[going], 2 * point)
            low[going] = np.where(near, np.maximum(mean[going] - reach, self.low), self.low)
            high[going] = np.where(near, np.minimum(mean[going] + reach, self.high), self.high)
        return self._result(settled)

    def _first_interval(self):
        """Return where each posterior is expected, as far as derivatives tell."""
        own = self.take(self.stars.by_name[..., list(self.problem.moves)]).sum(axis=2)
        columns = np.stack([own, self.take(self.stars.residual)], axis=2).astype(float)
        products = self.eliminated(columns, slice(None), np.array([0.0, 1.0]))
        size = np.maximum(products[:, 0, 0], 1e-12)
        middle = self.stars.theta[:, self.problem.index] + products[:, 0, 1] / size
        reach = _WIDE * size**-0.5
        low, high = np.maximum(middle - reach, self.low), np.minimum(middle + reach, self.high)
        known = (reach < 0.5 * (self.high - self.low)) & (high - low > reach)
        return np.where(known, low, self.low), np.where(known, high, self.high)

    @np.errstate(under="ignore")  # far from the best abundance
    def _posterior(self, rows, low, high, n_nodes, confidence):
        """Compute posteriors over an interval each; say which are negligible at its ends."""
        nodes, to_coefficients = _chebyshev(n_nodes)
        values = low[:, None] + 0.5 * (1 + nodes) * (high - low)[:, None]
        flux = self.flux(values, rows)
        scale, observed = self.scale[rows, :, None], self.observed[rows, :, None]
        # Residuals at any abundance in between are sums of those at the nodes, with weights
        # that add up to one.
        all_flux = np.concatenate([flux, self.without[rows, :, None]], axis=2)
        residual = (observed - scale * all_flux).astype(float)
        products = self.eliminated(residual, rows, np.ones(n_nodes + 1))
        x = np.linspace(-1, 1, _POINTS)
        between = chebyshev.chebvander(x, n_nodes - 1) @ to_coefficients
        chi2 = np.einsum("ki,nij,kj->nk", between, products[:, :-1, :-1], between)
        least = chi2.min(axis=1, keepdims=True)
        density = np.exp(-0.5 * (chi2 - least))
        density[:, [0, -1]] *= 0.5
        density /= density.sum(axis=1, keepdims=True)
        mean = density @ x
        sigma = np.sqrt((density * (x - mean[:, None]) ** 2).sum(axis=1))
        half = 0.5 * (high - low)
        found = self.found
        found["mean"][rows], found["sigma"][rows] = low + (1 + mean) * half, sigma * half
        found["best"][rows] = low + (1 + x[chi2.argmin(axis=1)]) * half
        fewer = 1 - 2 * _HALF / np.maximum(high - low, _HALF)
        fewer = chebyshev.chebvander(fewer, n_nodes - 1) @ to_coefficients
        fewer = (flux @ fewer[..., None])[..., 0]
        growth = np.where(high - low > _HALF, self._growth(rows, flux[..., -1], fewer), 0.0)
        beyond = self._beyond(high, growth, products, least)
        abundance = np.concatenate(
            [low[:, None] + (1 + x) * half[:, None], high[:, None] + _BEYOND], axis=1
        )
        self._limit(rows, abundance, np.concatenate([chi2, beyond], axis=1), confidence)
        least_of_all = np.minimum(least[:, 0], beyond.min(axis=1))
        found["significance"][rows] = np.sqrt(np.maximum(products[:, -1, -1] - least_of_all, 0))
        last = np.where(np.isfinite(beyond[:, -1]), beyond[:, -1], chi2[:, -1])
        found["excluded"][rows] = np.sqrt(last - least_of_all)
        at = chebyshev.chebvander(mean, n_nodes - 1)
        by = chebyshev.chebval(mean, chebyshev.chebder(np.eye(n_nodes))).T
        self.flux_at[rows] = (flux @ (at @ to_coefficients)[..., None])[..., 0]
        self.slope_at[rows] = (flux @ (by @ to_coefficients)[..., None])[..., 0] / half[:, None]
        edge = chi2[:, [0, -1]] - least > _CONTAINED
        edge |= np.stack([low <= self.low, high >= self.high], axis=1)
        return edge.all(axis=1)

    def _growth(self, rows, flux, fewer):
        """Return how lines grow with the number of atoms: 1 if in proportion, 0 if not at all.

        The fluxes are those with as many atoms as the end of the range has, and half of them. Of
        the shallowest lines the emulator's errors hide how they grow, but not that they are weak.
        """
        most, half = (self.scale[rows] * (self.without[rows] - f) for f in (flux, fewer))
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = (most**2).sum(axis=1) / (most * half).sum(axis=1) - 1
        depth = ((self.without[rows] - flux) * self.used[rows]).max(axis=1)
        return np.clip(np.fmax(growth, 1 - _SHALLOW * depth), 0.0, 1.0)

    def _beyond(self, high, growth, products, least):
        """Return χ² beyond the range, infinite where lines are not followed: (n, n_beyond).

        With a times the atoms of the end of the range, what a line takes away is
        a / (g + (1 - g) a) of that at the end: in proportion to weak lines' atoms, and saturating
        at the pace it has at the end, where half the atoms take away 1 / (1 + g). χ² is a parabola
        in it, through the model without the element and the model at the end.
        """
        atoms, growth = 10**_BEYOND, growth[:, None]
        part = atoms / np.maximum(growth + (1 - growth) * atoms, 1e-300)
        without, mixed, end = (products[:, i, j, None] for i, j in ((-1, -1), (-1, -2), (-2, -2)))
        chi2 = (1 - part) ** 2 * without + 2 * part * (1 - part) * mixed + part**2 * end
        followed = (high[:, None] >= self.high) & (growth > _WEAK)
        followed &= chi2[:, -1:] - np.minimum(least, chi2.min(axis=1, keepdims=True)) > _CONTAINED
        return np.where(followed, chi2, np.inf)

    @np.errstate(under="ignore")
    def _limit(self, rows, abundance, chi2, confidence):
        density = np.exp(-0.5 * (chi2 - chi2.min(axis=1, keepdims=True)))
        share = cumulative_trapezoid(density, abundance, axis=1, initial=0)
        self.found["limit"][rows] = [
            np.interp(confidence * s[-1], s, a) for s, a in zip(share, abundance, strict=True)
        ]

    # --- at its mean

    def _result(self, settled):
        stars, problem = self.stars, self.problem
        own = (self.scale * self.slope_at).astype(float)
        residual = self.observed - self.scale * self.flux_at
        line_of = np.stack([self.take(line) for line in problem.lines], axis=2)
        columns = np.concatenate([own[..., None] * line_of, residual[..., None]], axis=2)
        weights = np.array([0.0] * len(problem.lines) + [1.0])
        products = self.eliminated(columns, slice(None), weights)
        matrix, score = products[:, :-1, :-1], products[:, :-1, -1]
        covered = np.diagonal(matrix, axis1=1, axis2=2) > 0
        covariance = _inverse(matrix)
        total = np.maximum(matrix.sum(axis=(1, 2)), 1e-300)
        step = score.sum(axis=1) / total  # from the mean to where χ² is least
        lines = self.found["mean"][:, None] + (covariance @ score[..., None])[..., 0]
        away = score - matrix.sum(axis=2) * step[:, None]
        variance = np.diagonal(matrix, axis1=1, axis2=2) - matrix.sum(axis=2) ** 2 / total[:, None]
        variance = np.where(covered.sum(axis=1, keepdims=True) > 1, variance, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = np.where(covered & (variance > 0), away / np.sqrt(variance), 0.0)
        mixed = (self.nuisance.mT @ own[..., None])[..., 0]
        n_free = self.map.shape[2]
        inverse = self.inverse[:, :n_free, :n_free]
        follow = -(self.map @ (self.inverse @ mixed[..., None])[:, :n_free])[..., 0]
        follow[:, list(problem.moves)] = 1.0
        rest = self.map @ inverse @ self.map.mT
        flux, without, depth = np.full((3, *stars.weight.shape), np.nan)
        mixed = (self.nuisance.mT @ residual[..., None])[..., 0] + self.gradient
        moved = (self.nuisance @ (self.inverse @ mixed[..., None]))[..., 0]
        weight = self.take(stars.weight)
        weight = np.where(weight > 0, weight, np.nan)
        for where, kept in (
            (flux, (self.scale * self.flux_at + moved) / weight),
            (without, (self.scale * self.without + moved) / weight),
            (depth, np.where(self.used, self.without - self.flux_at, np.nan)),
        ):
            np.put_along_axis(where, self.columns, kept, axis=1)
        return Profile(
            **self.found, settled=settled, follow=follow, rest=rest,
            by=self._held(own) * (self.found["sigma"] ** 2 * total)[:, None],
            lines=np.where(covered, lines, np.nan), lines_covariance=covariance,
            lines_variance=1 / total, deviation=deviation, flux=flux, without=without, depth=depth,
        )  # fmt: skip

    def _held(self, own):
        """Return changes of the best abundance by each other parameter, all others held.

        What is linear (the continuum, the emulator's errors) is not held, nor is what the element
        does beyond its lines: they follow what the parameter changes in all pixels.
        """
        own, moves = own[..., None], list(self.problem.moves)
        free = np.ones(self.information.shape[1], dtype=bool)
        chain = self.stars.chain[:, moves]
        free[: chain.shape[2]] = (chain != 0).any(axis=(0, 1))
        inverse = _inverse(self.information[:, free][:, :, free])
        nuisance = self.nuisance[..., free]
        names = self.take(self.stars.by_name).astype(float)
        follows = (nuisance.mT @ own).mT @ inverse
        size = own.mT @ own - follows @ (nuisance.mT @ own)
        change = own.mT @ names - follows @ (nuisance.mT @ names + self.beyond[:, free])
        by = -(change / np.maximum(size, 1e-300))[:, 0]
        by[:, moves] = 0.0
        return by


def _products(design, residual):
    """Return products of all columns of a design and of residuals, in double precision."""
    matrix = np.concatenate([design, residual[..., None]], axis=2)
    return (matrix.mT @ matrix).astype(float)


def _inverse(matrix):
    """Return inverses of symmetric matrices, scaled first; zero for what nothing is known of."""
    size = np.diagonal(matrix, axis1=1, axis2=2)
    known = size > 1e-14 * size.max(axis=1, keepdims=True, initial=0.0)
    scale = np.where(known, 1 / np.sqrt(np.where(known, size, 1.0)), 0.0)
    scaled = matrix * scale[:, :, None] * scale[:, None]
    # one where nothing is known, and a little more where columns can hardly be told apart
    scaled += np.eye(matrix.shape[1]) * np.where(known, _RIDGE, 1.0)[:, None]
    return np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None]
