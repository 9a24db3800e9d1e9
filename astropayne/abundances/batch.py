# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances of a batch of stars, element by element."""

from dataclasses import dataclass, replace

import numpy as np
from astropy.table import MaskedColumn
from scipy.stats import norm

from astropayne.abundances.flags import ElementFlag
from astropayne.engine.arms import filled
from astropayne.engine.profiles import Problem, Stars
from astropayne.forward.transfer import instrument_fwhm
from astropayne.wavelengths.axis import effective_arms
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["ElementBatch", "Found", "masked"]

_DISCREPANT = 3.0  # standard deviations of a line from all lines
_COVERED = 0.5  # of a line's window that has to be usable
_SLACK = 1e-3  # of the range, from its ends


@dataclass
class Found:
    """What is found of one element of one star."""

    value: float = np.nan
    error: float = np.nan
    limit: float = np.nan
    flags: int = ElementFlag.NO_STELLAR_LABELS
    ew: float = np.nan
    significance: float = np.nan
    n_lines: int = 0
    scatter: float = np.nan
    sensitivity: np.ndarray | float = np.nan
    lines: np.ndarray | float = np.nan  # of each, in the model's label
    lines_err: np.ndarray | float = np.nan
    lines_deviation: np.ndarray | float = np.nan
    lines_covariance: np.ndarray | float = np.nan
    mean: float = np.nan  # of the posterior, in the model's label
    lines_variance: float = np.nan  # of all lines together, all else held
    best_fit: np.ndarray = ()
    without: np.ndarray = ()


def masked(values):
    values = np.array(values, dtype=float)
    return MaskedColumn(values, mask=~np.isfinite(values))


class ElementBatch:
    """The abundances of some stars, whose stellar labels are known."""

    def __init__(self, analysis, step, stars, outcomes, theta, fitted):
        self.analysis, self.step, self.outcomes = analysis, step, outcomes
        self.fitter, self.parameters = step.setup.fitter, step.parameters
        space = analysis.model.labels
        self.unknown = np.isnan(theta)
        middle = np.zeros(theta.shape[1])
        middle[: len(space)] = space.middle
        theta = np.where(self.unknown, middle, theta)  # the spectrum says little of those
        fitter, parameters = self.fitter, self.parameters
        arms = fitter.arms(stars, theta)
        likelihood = fitter.likelihood_of(arms, theta, fitter.modes)
        chain = parameters.chain(theta[:, parameters.index], theta)
        for row, outcome in zip(chain, outcomes, strict=True):
            # no derivative, no error
            for name in {*outcome.at_bound} & {*VELOCITIES} & {*parameters.free}:
                row[:, parameters.free.index(name)] = 0
        if fitted is None:
            used = zip(*(outcome.used for outcome in outcomes), strict=True)
            parts = zip(used, arms, strict=True)
            fitted = np.hstack([filled(u, arm.wavelength.shape[1], False) for u, arm in parts])
        self.stars = Stars(likelihood, theta, fitted, chain, fitter.low, fitter.high)
        self.shift = fitter.shift(theta[:, : -len(VELOCITIES)])
        self.scale = [
            np.concatenate(
                [np.broadcast_to(a, len(w)) for a, w in zip(s.scale, s.wavelength, strict=True)]
            )
            for s in stars
        ]
        self.lengths = [[len(w) for w in star.wavelength] for star in stars]
        self.widths = [arm.wavelength.shape[1] for arm in arms]
        self.used = self._windows(stars, theta)

    def known(self, found):
        """Return the parameters, and the pixels they come from, when the stage is over."""
        theta = np.where(self.unknown, np.nan, self.stars.theta)
        for index, of_element in zip(self.step.index, found, strict=True):
            mean = np.array([one.mean if one.n_lines else np.nan for one in of_element])
            theta[:, index] = np.where(np.isnan(mean), theta[:, index], mean)
        return self.step.expand(theta), self.stars.fitted | self.used.any(axis=0)

    def _windows(self, stars, theta):
        """Say which pixels are used of which line: (n_lines, n, n_pixels)."""
        lines, model = self.step.lines, self.analysis.model
        fwhm = [
            instrument_fwhm(
                min((np.min(r) for r in s.resolution if r is not None), default=None),
                model.resolution,
            )
            for s in stars
        ]
        broadening = np.hypot.reduce([*theta[:, -2:].T, fwhm])
        windows = lines.inside_windows(self.stars.rest_wavelength, broadening[:, None])
        good = windows & (self.stars.weight > 0)
        # of the window itself: the star's pixels may end within it
        seen = (good * self._width(self.stars.weight > 0)).sum(axis=2)
        covered = seen > _COVERED * lines.window_width(broadening)
        # pixels of no weight say nothing of the abundance, but the line has its width there
        return windows & (self.stars.supported & covered[:, :, None])

    def _problem(self, k):
        """Return an element's lines, each pixel that of the nearest."""
        used = self.used[self.step.of[k]]
        centres = self.step.lines.vacuum()[self.step.of[k], 0]
        away = np.abs(self.stars.rest_wavelength - centres[:, None, None])
        nearest = np.where(used, away, np.inf).argmin(axis=0)
        used = used & (np.arange(len(used))[:, None, None] == nearest)
        return Problem(int(self.step.index[k]), self.step.moves[k], used)

    def element(self, k, column):
        """Return what is found of an element of the stage, for each star.

        ``column`` is its position among those of all stages.
        """
        analysis, problem = self.analysis, self._problem(k)
        profile = self.stars.profile(problem, self.step.expand, analysis.confidence)
        wrong = np.abs(profile.deviation) > _DISCREPANT
        if analysis.clip and wrong.any():
            wrong, profile = self._clipped(problem, profile)
        low, high = self.stars.low[problem.index], self.stars.high[problem.index]
        n_lines = np.isfinite(profile.lines).sum(axis=1)
        some = n_lines > 0
        detected = some & (profile.significance >= analysis.detection)
        below = detected & (profile.best <= low + _SLACK * (high - low))
        above = detected & (profile.best >= high - _SLACK * (high - low))
        value, error, limit = self._converted(k, column, profile)
        measured = detected & ~below & ~above & np.isfinite(value) & np.isfinite(error)
        limited = some & ~measured & ~above & np.isfinite(limit)
        limited &= profile.excluded > norm.ppf(analysis.confidence)
        unknown = some & ~np.isfinite(error)  # what the convention needs
        flags = np.where(some, 0, ElementFlag.NO_LINES)
        for which, flag in (
            (limited, ElementFlag.UPPER_LIMIT),
            (limited & (profile.limit > high), ElementFlag.LIMIT_BEYOND_RANGE),
            (below, ElementFlag.BELOW_RANGE),
            (some & ~measured & ~limited & (above | ~unknown), ElementFlag.ABOVE_RANGE),
            (unknown, ElementFlag.NO_STELLAR_LABELS),
            (measured & wrong.any(axis=1), ElementFlag.DISCREPANT_LINES),
            ((measured | limited) & ~profile.settled, ElementFlag.NOT_CONVERGED),
        ):
            flags = flags | np.where(which, flag, 0)
        if analysis.reference is not None:
            limited[:] = False
            value, error = self._differences(column, profile, value, error)
            lost = measured & ~np.isfinite(value)
            flags = flags | np.where(lost, ElementFlag.NOT_IN_REFERENCE, 0)
            measured &= ~lost
        lines_err = np.sqrt(np.diagonal(profile.lines_covariance, axis1=1, axis2=2))
        lines_err = np.where(np.isfinite(profile.lines), lines_err, np.nan)
        width = self._equivalent_width(profile)
        scatter = _scatter(profile.lines, lines_err)
        return [
            Found(
                value[i] if measured[i] else np.nan,
                error[i] if measured[i] else np.nan,
                limit[i] if limited[i] else np.nan,
                int(flags[i]),
                width[i] if some[i] else np.nan,
                profile.significance[i] if some[i] else np.nan,
                int(n_lines[i]), scatter[i], profile.by[i],
                profile.lines[i], lines_err[i], profile.deviation[i],
                profile.lines_covariance[i], profile.mean[i], profile.lines_variance[i],
                *self._models(profile, i),
            )
            for i in range(len(value))
        ]  # fmt: skip

    def _clipped(self, problem, profile):
        """Leave out each star's worst line, as long as one is discrepant and two others are left.

        One line that is wrong makes others deviate from the mean; of two, nobody knows which.
        """
        clipped = np.zeros(profile.deviation.shape, dtype=bool)
        while True:
            deviation = np.abs(np.nan_to_num(profile.deviation))
            worst = deviation.argmax(axis=1)[:, None] == np.arange(deviation.shape[1])
            enough = np.isfinite(profile.lines).sum(axis=1) > 2
            out = worst & (deviation > _DISCREPANT) & enough[:, None]
            if not out.any():
                return clipped | (deviation > _DISCREPANT), profile
            clipped |= out
            problem = replace(problem, lines=problem.lines & ~out.T[..., None])
            profile = self.stars.profile(problem, self.step.expand, self.analysis.confidence)

    def _converted(self, k, column, profile):
        """Return values, errors and limits in the convention that is wanted."""
        n, index = len(self.analysis.model.labels), int(self.step.index[k])
        moves, convert = list(self.step.moves[k]), self.analysis.convert
        follow = profile.follow[:, :, None] * profile.sigma[:, None, None]
        covariance = profile.rest + follow @ follow.mT
        covariance[:, index, index] += self.shift[:, index, index]  # others come with the fit
        unknown = self.unknown.copy()  # and what depends on that is not known
        unknown[:, moves] = False
        covariance = np.where(unknown[:, :, None] | unknown[:, None], np.nan, covariance)
        theta = self.stars.theta.copy()
        theta[:, index] = profile.mean
        value, covariance = convert(self.step.expand(theta)[:, :n], covariance[:, :n, :n])
        theta[:, index] = profile.limit
        limit = convert(self.step.expand(theta)[:, :n])[:, column]
        error = np.sqrt(covariance[:, column, column])
        return value[:, column], error, np.where(np.isfinite(error), limit, np.nan)

    def _differences(self, column, profile, value, error):
        """Return differences from the reference, of the lines that both have."""
        other = self.analysis.reference[column]
        if not np.isfinite(other.value):
            return np.full((2, len(value)), np.nan)
        shift, more = np.zeros((2, len(value)))
        for i, mine in enumerate(profile.lines):
            both = np.isfinite(mine) & np.isfinite(other.lines)
            if not both.any():
                shift[i] = np.nan
                continue
            precision = np.linalg.inv(profile.lines_covariance[i][np.ix_(both, both)])
            weight = precision.sum(axis=0) / precision.sum()
            apart = weight @ (mine - other.lines)[both]
            shift[i] = apart - (profile.mean[i] - other.mean)
            # the lines of the reference weigh otherwise than in its own abundance
            its = weight @ other.lines_covariance[np.ix_(both, both)] @ weight
            more[i] = max(its - other.lines_variance, 0.0)
        return value - other.value + shift, np.sqrt(error**2 + other.error**2 + more)

    def _equivalent_width(self, profile):
        """Return what the element takes away in its windows, mÅ in the stars' frames.

        Of what several arms see, it is their mean.
        """
        step = self.stars.rest_wavelength * self._width(np.isfinite(profile.depth))
        return 1e3 * np.nansum(profile.depth * step, axis=1)

    def _width(self, seen):
        """Return widths of pixels in ln λ, shared by the arms that see the same."""
        axes = [pixels.wavelength for pixels in self.stars.pixels]
        return self.stars.pixel_width / effective_arms(axes, seen)

    def _models(self, profile, i):
        """Return the models with and without the element at the pixels of a star."""
        if not self.analysis.models:
            return (), ()
        ends = np.cumsum([0, *self.widths[:-1]])
        kept = np.concatenate(
            [e + np.arange(n) for e, n in zip(ends, self.lengths[i], strict=True)]
        )
        return tuple(part[i, kept] * self.scale[i] for part in (profile.flux, profile.without))


def _scatter(values, errors):
    """Return the weighted standard deviation of lines, NaN of less than two."""
    weight = np.nan_to_num(errors**-2.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    values = np.nan_to_num(values)
    mean = (weight * values).sum(axis=1) / total
    n = (weight > 0).sum(axis=1)
    variance = (weight * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return np.where(n > 1, np.sqrt(variance * n / np.maximum(n - 1, 1)), np.nan)
