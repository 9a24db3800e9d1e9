# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Measurement of abundances in a batch of stars whose stellar labels are known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from astropayne.abundances.options import AbundanceOptions, Conversion, ElementFlag
from astropayne.abundances.steps import PreparedStage
from astropayne.engine.arms import Arm, Star, filled
from astropayne.engine.lines.line_pixels import LineProblem
from astropayne.engine.lines.linearized import LinearizedStars
from astropayne.engine.lines.profiles import Profile, profile_of
from astropayne.engine.outcome import Outcome
from astropayne.engine.terms import joined_terms
from astropayne.forward.parameters import labels_of, velocity_of
from astropayne.forward.transfer import instrument_fwhm
from astropayne.wavelengths.axis import effective_arms
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["Measurement", "StageBatch"]

_DISCREPANT = 3.0  # standard deviations of a line from the mean of all lines
_COVERED = 0.5  # fraction of a line's window that must be usable
_END_OF_RANGE = 1e-3  # distance from the ends of the range, in units of the range


@dataclass(frozen=True, eq=False)
class Measurement:
    """The measurement of one element in one star; the defaults mean that it is not measured.

    Attributes
    ----------
    value, error, limit : float
        Abundance, its standard deviation and its upper limit, in the convention asked for.
    flags : int
        `ElementFlag`.
    ew : float
        Equivalent width of the element in its windows, mÅ.
    significance : float
        Significance of the element, in standard deviations.
    n_lines : int
        Number of lines.
    scatter : float
        Standard deviation of the lines.
    sensitivity : numpy.ndarray, shape (n_parameters,)
        Derivatives of the element's label with respect to all parameters.
    lines, lines_err, lines_deviation : numpy.ndarray, shape (n_lines,)
        Abundance of each line in the model's label, its error, and its deviation from the mean in
        standard deviations.
    lines_covariance : numpy.ndarray, shape (n_lines, n_lines)
        Covariance of the lines.
    mean : float
        Mean of the posterior, in the model's label.
    lines_variance : float
        Variance of the mean of the lines, all other parameters fixed.
    best_fit, without : numpy.ndarray, shape (n_pixels,)
        The model with and without the element; empty if they are not asked for.
    """

    value: float = np.nan
    error: float = np.nan
    limit: float = np.nan
    flags: int = ElementFlag.NO_STELLAR_LABELS
    ew: float = np.nan
    significance: float = np.nan
    n_lines: int = 0
    scatter: float = np.nan
    sensitivity: np.ndarray | float = np.nan
    lines: np.ndarray | float = np.nan
    lines_err: np.ndarray | float = np.nan
    lines_deviation: np.ndarray | float = np.nan
    lines_covariance: np.ndarray | float = np.nan
    mean: float = np.nan
    lines_variance: float = np.nan
    best_fit: np.ndarray | tuple = ()
    without: np.ndarray | tuple = ()


@dataclass(frozen=True, eq=False)
class _Abundances:
    """Abundances of one element in the stars of a batch, arrays of shape (n_stars,).

    ``measured`` and ``limited`` are the stars for which the value and the limit are reported.
    """

    value: np.ndarray
    error: np.ndarray
    limit: np.ndarray
    measured: np.ndarray
    limited: np.ndarray
    flags: np.ndarray


class StageBatch:
    """One stage of an analysis for a batch of stars with the same number of arms.

    Parameters
    ----------
    stage : PreparedStage
    options : AbundanceOptions
    convert : Conversion
        Conversion from the model's labels to the abundances asked for.
    stars : sequence of `~astropayne.engine.arms.Star`
    outcomes : sequence of `~astropayne.engine.outcome.Outcome`
        Fits of the stellar labels, all with the same problem.
    theta : numpy.ndarray, shape (n_stars, n_parameters)
        Labels and velocities before the stage; NaN where they are unknown.
    fitted : numpy.ndarray of bool, shape (n_stars, n_pixels), or None
        Pixels from which ``theta`` was measured; by default those of the stellar fits.
    """

    def __init__(
        self,
        stage: PreparedStage,
        options: AbundanceOptions,
        convert: Conversion,
        stars: Sequence[Star],
        outcomes: Sequence[Outcome],
        theta: np.ndarray,
        fitted: np.ndarray | None,
    ) -> None:
        self.stage, self.options, self.convert = stage, options, convert
        problem = stage.setup.problem_of(outcomes[0])
        self.unknown = np.isnan(theta)
        theta = np.where(self.unknown, self._middle(), theta)  # hardly changes the spectrum
        arms = problem.arms(stars, theta)
        if fitted is None:
            fitted = _fitted_pixels(outcomes, arms)
        terms = joined_terms(outcome.terms for outcome in outcomes)
        likelihood = problem.likelihood_of(arms, theta, problem.modes, terms)
        chain = self._derivatives(theta, outcomes)
        self.likelihood = LinearizedStars(
            likelihood, theta, fitted, chain, problem.low, problem.high
        )
        self.shift = problem.shift(labels_of(theta))
        self.scale = [_scale_of_pixels(star) for star in stars]
        self.lengths = [[len(w) for w in star.wavelength] for star in stars]
        self.widths = [arm.wavelength.shape[1] for arm in arms]
        self.used = self._used_pixels(stars, theta)

    def _middle(self) -> np.ndarray:
        """Return the middle of the labels' ranges, and zero velocities."""
        return np.append(self.stage.model.labels.middle, np.zeros(len(VELOCITIES)))

    def _derivatives(self, theta: np.ndarray, outcomes: Sequence[Outcome]) -> np.ndarray:
        """Return the derivatives of all parameters with respect to the free ones."""
        parameters = self.stage.parameters
        chain = parameters.chain(theta[:, parameters.index], theta)
        for row, outcome in zip(chain, outcomes, strict=True):
            # A velocity at its bound has no derivative, and so adds no error.
            for name in {*outcome.at_bound} & {*VELOCITIES} & {*parameters.free}:
                row[:, parameters.free.index(name)] = 0
        return chain

    def _used_pixels(self, stars: Sequence[Star], theta: np.ndarray) -> np.ndarray:
        """Return the pixels of each line that are used: (n_lines, n_stars, n_pixels)."""
        lines, model_resolution = self.stage.lines, self.stage.model.resolution
        fwhm = [instrument_fwhm(_lowest_resolution(star), model_resolution) for star in stars]
        vsini, vmac = (velocity_of(theta, name) for name in ("vsini", "vmac"))
        broadening = np.hypot.reduce([np.asarray(vsini), np.asarray(vmac), np.asarray(fwhm)])
        windows = lines.inside_windows(self.likelihood.rest_wavelength, broadening[:, None])
        has_weight = self.likelihood.weight > 0
        # Coverage is relative to the window itself, in which the star's pixels may end.
        seen = ((windows & has_weight) * self._pixel_widths(has_weight)).sum(axis=2)
        covered = seen > _COVERED * lines.window_width(broadening)
        # Pixels without weight stay: they count for the equivalent width.
        return windows & (self.likelihood.supported & covered[:, :, None])

    def _pixel_widths(self, seen: np.ndarray) -> np.ndarray:
        """Return widths of pixels in ln λ, divided among the arms that see the same wavelength."""
        axes = [pixels.wavelength for pixels in self.likelihood.pixels]
        return self.likelihood.pixel_width / effective_arms(axes, seen)

    # --- one element

    def measure(
        self, k: int, column: int, reference: Measurement | None = None
    ) -> list[Measurement]:
        """Measure one element in all stars.

        Parameters
        ----------
        k : int
            Position of the element in the stage.
        column : int
            Position of the element among those of all stages.
        reference : Measurement, optional
            Measurement of the element in the reference star, from which differences are taken.

        Returns
        -------
        list of Measurement
            One for each star.
        """
        problem = self._problem(k)
        profile, discrepant = self._profile(problem)
        abundances = self._abundances(k, column, profile, discrepant)
        if reference is not None:
            abundances = _relative_to(reference, profile, abundances)
        return self._measurements(profile, abundances)

    def _problem(self, k: int) -> LineProblem:
        """Return the lines of an element; a pixel in several windows belongs to the nearest."""
        used = self.used[self.stage.lines_of[k]]
        centers = self.stage.lines.vacuum()[self.stage.lines_of[k], 0]
        distance = np.abs(self.likelihood.rest_wavelength - centers[:, None, None])
        nearest = np.where(used, distance, np.inf).argmin(axis=0)
        used = used & (np.arange(len(used))[:, None, None] == nearest)
        return LineProblem(int(self.stage.index[k]), self.stage.moves[k], used)

    def _profile(self, problem: LineProblem) -> tuple[Profile, np.ndarray]:
        """Return the likelihood of an abundance, and which lines are discrepant.

        With ``clip``, each star's worst line is left out for as long as it is discrepant and at
        least two others remain: of two lines that disagree, either may be wrong, and a wrong line
        makes others deviate from the mean.
        """
        clipped = np.zeros(problem.lines.shape[1::-1], dtype=bool)
        while True:
            profile = self._likelihood_profile(problem)
            deviation = np.abs(np.nan_to_num(profile.deviation))
            discrepant = deviation > _DISCREPANT
            if not self.options.clip:
                return profile, discrepant
            worst = deviation.argmax(axis=1)[:, None] == np.arange(deviation.shape[1])
            enough = np.isfinite(profile.lines).sum(axis=1) > 2
            out = worst & discrepant & enough[:, None]
            if not out.any():
                return profile, clipped | discrepant
            clipped |= out
            problem = replace(problem, lines=problem.lines & ~out.T[..., None])

    def _likelihood_profile(self, problem: LineProblem) -> Profile:
        return profile_of(self.likelihood, problem, self.stage.expand, self.options.confidence)

    def _abundances(
        self, k: int, column: int, profile: Profile, discrepant: np.ndarray
    ) -> _Abundances:
        """Return abundances and limits, and decide which of them are reported."""
        index = self.stage.index[k]
        low, high = self.likelihood.low[index], self.likelihood.high[index]
        margin = _END_OF_RANGE * (high - low)
        has_lines = np.isfinite(profile.lines).any(axis=1)
        detected = has_lines & (profile.significance >= self.options.detection)
        below = detected & (profile.best <= low + margin)
        above = detected & (profile.best >= high - margin)
        value, error, limit = self._converted(k, column, profile)
        measured = detected & ~below & ~above & np.isfinite(value) & np.isfinite(error)
        limited = has_lines & ~measured & ~above & np.isfinite(limit)
        limited &= profile.excluded > norm.ppf(self.options.confidence)
        unconvertible = has_lines & ~np.isfinite(error)
        out_of_range = has_lines & ~measured & ~limited & (above | ~unconvertible)
        flags = np.where(has_lines, 0, ElementFlag.NO_LINES)
        for stars, flag in (
            (limited, ElementFlag.UPPER_LIMIT),
            (limited & (profile.limit > high), ElementFlag.LIMIT_BEYOND_RANGE),
            (below, ElementFlag.BELOW_RANGE),
            (out_of_range, ElementFlag.ABOVE_RANGE),
            (unconvertible, ElementFlag.NO_STELLAR_LABELS),
            (measured & discrepant.any(axis=1), ElementFlag.DISCREPANT_LINES),
            ((measured | limited) & ~profile.settled, ElementFlag.NOT_CONVERGED),
        ):
            flags = flags | np.where(stars, flag, 0)
        return _Abundances(value, error, limit, measured, limited, flags)

    def _converted(
        self, k: int, column: int, profile: Profile
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return values, errors and limits in the convention asked for."""
        n, index = len(self.stage.model.labels), int(self.stage.index[k])
        covariance = self._covariance(k, profile)[:, :n, :n]
        theta = self.likelihood.theta.copy()
        theta[:, index] = profile.mean
        labels = self.stage.expand(theta)[:, :n]
        value = self.convert(labels)[:, column]
        error = np.sqrt(self.convert.covariance(labels, covariance)[:, column, column])
        theta[:, index] = profile.limit
        limit = self.convert(self.stage.expand(theta)[:, :n])[:, column]
        return value, error, np.where(np.isfinite(error), limit, np.nan)

    def _covariance(self, k: int, profile: Profile) -> np.ndarray:
        """Return the covariance of all parameters; NaN for those that are unknown."""
        index = int(self.stage.index[k])
        follow = profile.follow[:, :, None] * profile.sigma[:, None, None]
        covariance = profile.rest + follow @ follow.mT
        # The fit of the other labels already contains their part of the emulator's shift.
        covariance[:, index, index] += self.shift[:, index, index]
        unknown = self.unknown.copy()
        unknown[:, list(self.stage.moves[k])] = False
        return np.where(unknown[:, :, None] | unknown[:, None], np.nan, covariance)

    def _measurements(self, profile: Profile, abundances: _Abundances) -> list[Measurement]:
        """Return the measurement of each star, NaN for values that are not reported."""
        n_lines = np.isfinite(profile.lines).sum(axis=1)
        errors = np.sqrt(np.diagonal(profile.lines_covariance, axis1=1, axis2=2))
        errors = np.where(np.isfinite(profile.lines), errors, np.nan)
        columns = {
            "value": np.where(abundances.measured, abundances.value, np.nan),
            "error": np.where(abundances.measured, abundances.error, np.nan),
            "limit": np.where(abundances.limited, abundances.limit, np.nan),
            "flags": abundances.flags,
            "ew": np.where(n_lines > 0, self._equivalent_width(profile), np.nan),
            "significance": np.where(n_lines > 0, profile.significance, np.nan),
            "n_lines": n_lines,
            "scatter": _weighted_scatter(profile.lines, errors),
            "sensitivity": profile.by,
            "lines": profile.lines,
            "lines_err": errors,
            "lines_deviation": profile.deviation,
            "lines_covariance": profile.lines_covariance,
            "mean": profile.mean,
            "lines_variance": profile.lines_variance,
        }
        measurements = [
            Measurement(**dict(zip(columns, row, strict=True)))
            for row in zip(*columns.values(), strict=True)
        ]
        return self._with_models(measurements, profile) if self.options.models else measurements

    def _equivalent_width(self, profile: Profile) -> np.ndarray:
        """Return equivalent widths in the windows of the element, mÅ in the stars' frames.

        Where several arms see the same wavelength, their mean counts.
        """
        widths = self.likelihood.rest_wavelength * self._pixel_widths(np.isfinite(profile.depth))
        return 1e3 * np.nansum(profile.depth * widths, axis=1)

    def _with_models(
        self, measurements: Sequence[Measurement], profile: Profile
    ) -> list[Measurement]:
        """Add the models with and without the element at the pixels of each star."""
        ends = np.cumsum([0, *self.widths[:-1]])
        complete = []
        for i, measurement in enumerate(measurements):
            arms = zip(ends, self.lengths[i], strict=True)
            pixels = np.concatenate([end + np.arange(n) for end, n in arms])
            best_fit, without = (
                model[i, pixels] * self.scale[i] for model in (profile.flux, profile.without)
            )
            complete.append(replace(measurement, best_fit=best_fit, without=without))
        return complete

    # --- the next stage

    def updated(
        self, measurements: Iterable[Sequence[Measurement]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the parameters after the stage, and the pixels from which they were measured.

        Parameters
        ----------
        measurements : iterable of sequence of Measurement
            For each element of the stage, the measurement of each star.

        Returns
        -------
        theta : numpy.ndarray, shape (n_stars, n_parameters)
        fitted : numpy.ndarray of bool, shape (n_stars, n_pixels)
        """
        theta = np.where(self.unknown, np.nan, self.likelihood.theta)
        for index, element in zip(self.stage.index, measurements, strict=True):
            mean = np.array([one.mean if one.n_lines else np.nan for one in element])
            theta[:, index] = np.where(np.isnan(mean), theta[:, index], mean)
        return self.stage.expand(theta), self.likelihood.fitted | self.used.any(axis=0)


def _fitted_pixels(outcomes: Sequence[Outcome], arms: Sequence[Arm]) -> np.ndarray:
    """Return the pixels that the fits of the stellar labels used, all arms side by side."""
    used = zip(*(outcome.used for outcome in outcomes), strict=True)
    parts = zip(used, arms, strict=True)
    return np.hstack([filled(u, arm.wavelength.shape[1], False) for u, arm in parts])


def _scale_of_pixels(star: Star) -> np.ndarray:
    """Return the factor from normalized to observed flux of each pixel of a star."""
    arms = zip(star.scale, star.wavelength, strict=True)
    return np.concatenate([np.broadcast_to(scale, len(w)) for scale, w in arms])


def _lowest_resolution(star: Star) -> float | None:
    return min((np.min(r) for r in star.resolution if r is not None), default=None)


def _relative_to(reference: Measurement, profile: Profile, abundances: _Abundances) -> _Abundances:
    """Return differences from the reference star, from the lines that both stars have."""
    value, error = _differences(reference, profile, abundances.value, abundances.error)
    lost = abundances.measured & ~np.isfinite(value)
    return replace(
        abundances,
        value=value,
        error=error,
        measured=abundances.measured & ~lost,
        limited=np.zeros_like(abundances.limited),
        flags=abundances.flags | np.where(lost, ElementFlag.NOT_IN_REFERENCE, 0),
    )


def _differences(
    reference: Measurement, profile: Profile, value: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not np.isfinite(reference.value):
        missing = np.full(len(value), np.nan)
        return missing, missing
    shift, variance = np.zeros((2, len(value)))
    for i, lines in enumerate(profile.lines):
        both = np.isfinite(lines) & np.isfinite(reference.lines)
        if not both.any():
            shift[i] = np.nan
            continue
        precision = np.linalg.inv(profile.lines_covariance[i][np.ix_(both, both)])
        weight = precision.sum(axis=0) / precision.sum()
        difference = weight @ (lines - reference.lines)[both]
        shift[i] = difference - (profile.mean[i] - reference.mean)
        # The weights differ from those in the reference's own abundance.
        own = weight @ np.asarray(reference.lines_covariance)[np.ix_(both, both)] @ weight
        variance[i] = max(own - reference.lines_variance, 0.0)
    return value - reference.value + shift, np.sqrt(error**2 + reference.error**2 + variance)


def _weighted_scatter(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the weighted standard deviation of the lines of each star, NaN for fewer than two."""
    weight = np.nan_to_num(errors**-2.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    values = np.nan_to_num(values)
    mean = (weight * values).sum(axis=1) / total
    n = (weight > 0).sum(axis=1)
    variance = (weight * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return np.where(n > 1, np.sqrt(variance * n / np.maximum(n - 1, 1)), np.nan)
