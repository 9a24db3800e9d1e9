# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The likelihood of one abundance over its range, from the pixels of selected lines.

Everything else (stellar labels, velocities, other abundances, continuum, the emulator errors that
pixels share) is linear near the star's best fit, and eliminated: the information of the pixels
beyond the lines is collected beforehand, and the pixels of the lines add to it. No pixel counts
twice. Plain numpy and torch, no units: wavelengths are Å in vacuum, velocities km/s.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.polynomial import chebyshev
from scipy.integrate import cumulative_trapezoid

from astropayne.engine.lines.line_pixels import LinePixels, LineProblem, inverse_of
from astropayne.engine.lines.linearized import LinearizedStars

__all__ = ["Profile", "profile_of"]

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


@dataclass(frozen=True)
class Profile:
    """The posterior of one abundance, for a batch of stars: arrays (n,) or (n, n_lines).

    Attributes
    ----------
    mean, sigma : numpy.ndarray
        Of the posterior over the range: its mean and standard deviation.
    limit : numpy.ndarray
        Upper limit with the requested confidence. Beyond the range weak lines are followed along
        their curve of growth.
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
        Absorption by the element in a continuum of one, at all pixels of the lines; NaN elsewhere.
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


@dataclass(frozen=True, eq=False)
class _Posteriors:
    """Posteriors of some stars: arrays (n,), and at the pixels of lines (n, K)."""

    mean: np.ndarray
    sigma: np.ndarray
    limit: np.ndarray
    best: np.ndarray
    significance: np.ndarray
    excluded: np.ndarray
    contained: np.ndarray  # whether they are negligible at the ends of their intervals
    flux: np.ndarray  # of the model, at the mean
    slope: np.ndarray  # its derivative by the abundance

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Self:
        """Return arrays that `put` fills, for ``shape`` stars and pixels."""
        numbers = np.full((6, shape[0]), np.nan)
        return cls(*numbers, np.zeros(shape[0], dtype=bool), *np.zeros((2, *shape)))

    def put(self, rows: np.ndarray, other: "_Posteriors") -> None:
        """Take the posteriors of some stars."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)


def profile_of(
    stars: LinearizedStars,
    problem: LineProblem,
    expand: Callable[[np.ndarray], np.ndarray],
    confidence: float,
) -> Profile:
    """Return the posterior of one abundance from the pixels of its lines.

    Parameters
    ----------
    stars : LinearizedStars
    problem : LineProblem
    expand : callable
        Takes all parameters (n, n_names) after the abundance was changed, and returns them with
        those that are tied to it.
    confidence : float
        Of the upper limit.
    """
    pixels = LinePixels(stars, problem, expand)
    n = len(stars.theta)
    # The model does not go down to no element; weak lines grow tenfold a dex.
    lowest = pixels.flux(np.tile([pixels.low, pixels.low + _MORE], (n, 1)), np.arange(n))
    without = lowest[..., 0] + np.diff(lowest)[..., 0] / (1 - 10**_MORE)
    posteriors = _Posteriors.empty(pixels.scale.shape)
    settled = np.zeros(n, dtype=bool)
    low, high = _first_interval(pixels)
    going = np.arange(n)
    for _ in range(_PASSES):
        wide = high - low > _NARROW
        for many, some in ((_FEW, going[~wide[going]]), (_MANY, going[wide[going]])):
            if len(some):
                interval = low[some], high[some]
                posteriors.put(some, _posteriors(pixels, without, some, interval, many, confidence))
        mean, sigma = posteriors.mean, posteriors.sigma
        settled = posteriors.contained & ((sigma > (high - low) / 60) | ~wide)
        going = going[~settled[going]]
        if not len(going):
            break
        # what is narrower than two points apart is not resolved at all
        point = (high - low)[going] / _POINTS
        near, reach = posteriors.contained[going], np.maximum(_WIDE * sigma[going], 2 * point)
        low[going] = np.where(near, np.maximum(mean[going] - reach, pixels.low), pixels.low)
        high[going] = np.where(near, np.minimum(mean[going] + reach, pixels.high), pixels.high)
    return _profile(pixels, without, posteriors, settled)


def _first_interval(pixels: LinePixels) -> tuple[np.ndarray, np.ndarray]:
    """Return where each posterior is expected from derivatives."""
    stars, problem = pixels.stars, pixels.problem
    own = pixels.take(stars.by_name[..., list(problem.moves)]).sum(axis=2)
    columns = np.stack([own, pixels.take(stars.residual)], axis=2).astype(float)
    products = pixels.eliminated(columns, slice(None), np.array([0.0, 1.0]))
    size = np.maximum(products[:, 0, 0], 1e-12)
    middle = stars.theta[:, problem.index] + products[:, 0, 1] / size
    reach = _WIDE * size**-0.5
    low, high = np.maximum(middle - reach, pixels.low), np.minimum(middle + reach, pixels.high)
    useful = (reach < 0.5 * (pixels.high - pixels.low)) & (high - low > reach)
    return np.where(useful, low, pixels.low), np.where(useful, high, pixels.high)


def _chebyshev(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes from −1 to 1, and the matrix from values there to coefficients."""
    nodes = -np.cos(np.pi * np.arange(n) / (n - 1))
    return nodes, np.linalg.inv(chebyshev.chebvander(nodes, n - 1))


@np.errstate(under="ignore")  # far from the best abundance
def _posteriors(
    pixels: LinePixels,
    without: np.ndarray,
    rows: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
    n_nodes: int,
    confidence: float,
) -> _Posteriors:
    """Return the posteriors of some stars, over an interval each."""
    (low, high), half = interval, 0.5 * (interval[1] - interval[0])
    nodes, to_coefficients = _chebyshev(n_nodes)
    values = low[:, None] + 0.5 * (1 + nodes) * (high - low)[:, None]
    flux = pixels.flux(values, rows)
    scale, observed = pixels.scale[rows, :, None], pixels.observed[rows, :, None]
    # Residuals at any abundance in between are sums of those at the nodes, with weights
    # that add up to one.
    all_flux = np.concatenate([flux, without[rows, :, None]], axis=2)
    residual = (observed - scale * all_flux).astype(float)
    products = pixels.eliminated(residual, rows, np.ones(n_nodes + 1))
    x = np.linspace(-1, 1, _POINTS)
    between = chebyshev.chebvander(x, n_nodes - 1) @ to_coefficients
    chi2 = np.einsum("ki,nij,kj->nk", between, products[:, :-1, :-1], between)
    least = chi2.min(axis=1, keepdims=True)
    mean, sigma = _moments(x, chi2 - least)

    fewer = 1 - 2 * _HALF / np.maximum(high - low, _HALF)
    fewer = chebyshev.chebvander(fewer, n_nodes - 1) @ to_coefficients
    fewer = (flux @ fewer[..., None])[..., 0]
    growth = _growth(pixels, without, rows, flux[..., -1], fewer)
    growth = np.where(high - low > _HALF, growth, 0.0)
    beyond = _chi2_beyond(high >= pixels.high, growth, products, least)
    abundance = np.concatenate(
        [low[:, None] + (1 + x) * half[:, None], high[:, None] + _BEYOND], axis=1
    )
    least_of_all = np.minimum(least[:, 0], beyond.min(axis=1))
    last = np.where(np.isfinite(beyond[:, -1]), beyond[:, -1], chi2[:, -1])
    at = chebyshev.chebvander(mean, n_nodes - 1)
    by = chebyshev.chebval(mean, chebyshev.chebder(np.eye(n_nodes))).T
    contained = chi2[:, [0, -1]] - least > _CONTAINED
    contained |= np.stack([low <= pixels.low, high >= pixels.high], axis=1)
    return _Posteriors(
        mean=low + (1 + mean) * half,
        sigma=sigma * half,
        limit=_limits(abundance, np.concatenate([chi2, beyond], axis=1), confidence),
        best=low + (1 + x[chi2.argmin(axis=1)]) * half,
        significance=np.sqrt(np.maximum(products[:, -1, -1] - least_of_all, 0)),
        excluded=np.sqrt(last - least_of_all),
        contained=contained.all(axis=1),
        flux=(flux @ (at @ to_coefficients)[..., None])[..., 0],
        slope=(flux @ (by @ to_coefficients)[..., None])[..., 0] / half[:, None],
    )


def _moments(x: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of posteriors, from their χ² above the least."""
    density = np.exp(-0.5 * excess)
    density[:, [0, -1]] *= 0.5
    density /= density.sum(axis=1, keepdims=True)
    mean = density @ x
    return mean, np.sqrt((density * (x - mean[:, None]) ** 2).sum(axis=1))


def _growth(
    pixels: LinePixels, without: np.ndarray, rows: np.ndarray, flux: np.ndarray, fewer: np.ndarray
) -> np.ndarray:
    """Return how lines grow with the number of atoms: 1 if in proportion, 0 if not at all.

    The fluxes are those with as many atoms as the end of the range has, and half of them. For the
    shallowest lines the emulator error hides how they grow, but not that they are weak.
    """
    most, half = (pixels.scale[rows] * (without[rows] - f) for f in (flux, fewer))
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = (most**2).sum(axis=1) / (most * half).sum(axis=1) - 1
    depth = ((without[rows] - flux) * pixels.used[rows]).max(axis=1)
    return np.clip(np.fmax(growth, 1 - _SHALLOW * depth), 0.0, 1.0)


def _chi2_beyond(
    at_end: np.ndarray, growth: np.ndarray, products: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """Return χ² beyond the range, infinite where lines are not followed: (n, n_beyond).

    With a times the atoms of the end of the range, a line takes away a / (g + (1 - g) a) of the
    flux that it takes away at the end: in proportion to the atoms of weak lines, and saturating
    at the pace it has at the end, where half the atoms take away 1 / (1 + g). χ² is a parabola
    in it, through the model without the element and the model at the end.
    """
    atoms, growth = 10**_BEYOND, growth[:, None]
    part = atoms / np.maximum(growth + (1 - growth) * atoms, 1e-300)
    without, mixed, end = (products[:, i, j, None] for i, j in ((-1, -1), (-1, -2), (-2, -2)))
    chi2 = (1 - part) ** 2 * without + 2 * part * (1 - part) * mixed + part**2 * end
    followed = at_end[:, None] & (growth > _WEAK)
    followed &= chi2[:, -1:] - np.minimum(least, chi2.min(axis=1, keepdims=True)) > _CONTAINED
    return np.where(followed, chi2, np.inf)


def _limits(abundance: np.ndarray, chi2: np.ndarray, confidence: float) -> np.ndarray:
    """Return the abundance below which each posterior has so large a part of its area."""
    density = np.exp(-0.5 * (chi2 - chi2.min(axis=1, keepdims=True)))
    share = cumulative_trapezoid(density, abundance, axis=1, initial=0)
    limits = [np.interp(confidence * s[-1], s, a) for s, a in zip(share, abundance, strict=True)]
    return np.array(limits)


def _profile(
    pixels: LinePixels, without: np.ndarray, posteriors: _Posteriors, settled: np.ndarray
) -> Profile:
    """Return the profile, with what follows from the posterior's mean."""
    problem = pixels.problem
    own = (pixels.scale * posteriors.slope).astype(float)
    residual = pixels.observed - pixels.scale * posteriors.flux
    line_of = np.stack([pixels.take(line) for line in problem.lines], axis=2)
    columns = np.concatenate([own[..., None] * line_of, residual[..., None]], axis=2)
    weights = np.array([0.0] * len(problem.lines) + [1.0])
    products = pixels.eliminated(columns, slice(None), weights)
    matrix, score = products[:, :-1, :-1], products[:, :-1, -1]
    covered = np.diagonal(matrix, axis1=1, axis2=2) > 0
    covariance = inverse_of(matrix)
    total = np.maximum(matrix.sum(axis=(1, 2)), 1e-300)
    lines = posteriors.mean[:, None] + (covariance @ score[..., None])[..., 0]
    mixed = (pixels.nuisance.mT @ own[..., None])[..., 0]
    n_free = pixels.map.shape[2]
    inverse = pixels.inverse[:, :n_free, :n_free]
    follow = -(pixels.map @ (pixels.inverse @ mixed[..., None])[:, :n_free])[..., 0]
    follow[:, list(problem.moves)] = 1.0
    flux, without, depth = _models(pixels, without, posteriors.flux, residual)
    return Profile(
        mean=posteriors.mean, sigma=posteriors.sigma, limit=posteriors.limit, best=posteriors.best,
        significance=posteriors.significance, excluded=posteriors.excluded, settled=settled,
        follow=follow, rest=pixels.map @ inverse @ pixels.map.mT,
        by=pixels.by_others(own) * (posteriors.sigma**2 * total)[:, None],
        lines=np.where(covered, lines, np.nan), lines_covariance=covariance,
        lines_variance=1 / total, deviation=_deviations(matrix, score, covered, total),
        flux=flux, without=without, depth=depth,
    )  # fmt: skip


def _deviations(
    matrix: np.ndarray, score: np.ndarray, covered: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Return by how many standard deviations each line is off from all lines: (n, n_lines)."""
    step = score.sum(axis=1) / total  # from the mean to where χ² is least
    away = score - matrix.sum(axis=2) * step[:, None]
    variance = np.diagonal(matrix, axis1=1, axis2=2) - matrix.sum(axis=2) ** 2 / total[:, None]
    variance = np.where(covered.sum(axis=1, keepdims=True) > 1, variance, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(covered & (variance > 0), away / np.sqrt(variance), 0.0)


def _models(
    pixels: LinePixels, without: np.ndarray, flux: np.ndarray, residual: np.ndarray
) -> np.ndarray:
    """Return the models with and without the element, and its depth, at all pixels: (3, n, N).

    Everything else is adjusted to the residuals. NaN at pixels of no line.
    """
    mixed = (pixels.nuisance.mT @ residual[..., None])[..., 0] + pixels.gradient
    moved = (pixels.nuisance @ (pixels.inverse @ mixed[..., None]))[..., 0]
    weight = pixels.take(pixels.stars.weight)
    weight = np.where(weight > 0, weight, np.nan)
    models = np.full((3, *pixels.stars.weight.shape), np.nan)
    for model, values in zip(
        models,
        (
            (pixels.scale * flux + moved) / weight,
            (pixels.scale * without + moved) / weight,
            np.where(pixels.used, without - flux, np.nan),
        ),
        strict=True,
    ):
        np.put_along_axis(model, pixels.columns, values, axis=1)
    return models
