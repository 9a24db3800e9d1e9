# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitSetup`: a model and options that were checked against each other, for fits of any stars."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from astropayne.engine.arms import Star
from astropayne.engine.batch import fit_batch, refit_batch
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.engine.problem import FitProblem
from astropayne.engine.search.templates import templates_of
from astropayne.fitting.account import account_of
from astropayne.fitting.constraints import Constraints
from astropayne.fitting.model_limits import warn_of_broadening, with_model_limits
from astropayne.fitting.options import FitOptions
from astropayne.fitting.preparation import Preparation, Prepared
from astropayne.fitting.reporting import Report
from astropayne.fitting.unpacking import StarReader, for_each
from astropayne.forward.transfer import instrument_fwhm, is_reachable
from astropayne.labels.solar import solar_scale
from astropayne.models.model import PayneModel, require_model
from astropayne.utils.torch_state import pick_device
from astropayne.wavelengths.regions import inside_regions
from astropayne.wavelengths.resolution import resolution_at

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["FitSetup"]

_DOUBTFUL, _SIGNIFICANT = 0.04, 3.0  # change of ln R that contradicts what was stated; in its σ
_RESEMBLES = 0.3  # of the corrections of a calibration, that residuals show of a real star


@dataclass(frozen=True, eq=False)
class FitSetup:
    """A model and options that were checked against each other.

    Attributes
    ----------
    model : `~astropayne.PayneModel`
    options : FitOptions
    preparation : Preparation
        Prepares spectra for a fit.
    reader : StarReader
        Converts prepared spectra to arrays.
    problem : `~astropayne.engine.problem.FitProblem`
        Fits arrays.
    report : Report
        Converts outcomes to values with names and units.
    """

    model: PayneModel
    options: FitOptions
    preparation: Preparation
    reader: StarReader
    problem: FitProblem
    report: Report

    @classmethod
    def of(cls, model: PayneModel, options: FitOptions) -> Self:
        """Check a model and options against each other.

        Raises
        ------
        TypeError, ValueError
            If the model is not trained, or an option is invalid for it.
        """
        require_model(model)
        warn_of_broadening(model)
        reader = StarReader(model, options)
        problem = _problem(model, options, Constraints.from_options(model, options))
        report = Report.from_options(model, options, problem.parameters)
        preparation = Preparation(model, options.medium)
        return cls(model, options, preparation, reader, problem, report)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return self.problem.names

    def fit(
        self, spectra: "Sequence[Spectrum | SpectrumList]", *, best_fits: bool = False
    ) -> list[Outcome]:
        """Fit some stars; the outcome of a star that cannot be unpacked contains the reason."""
        stars: dict[int, Star] = {}
        prepared: dict[int, list[Prepared]] = {}
        outcomes: list[Any] = [None] * len(spectra)
        for i, spectrum in enumerate(spectra):
            try:
                prepared[i], stars[i] = self._unpack(spectrum)
            except Exception as error:  # a bad star must not end the fits of the others
                outcomes[i] = self.problem.rejected(str(error) or type(error).__name__)

        def kind(i: int) -> tuple[int, bool]:
            return len(stars[i].wavelength), stars[i].resolution_varies

        for _, group in itertools.groupby(sorted(stars, key=kind), kind):
            rows = list(group)
            some = [stars[i] for i in rows]
            fits = self._fit_apart(some, [prepared[i] for i in rows], best_fits)
            for i, outcome in zip(rows, fits, strict=True):
                outcomes[i] = outcome
        return outcomes

    def unpack(self, spectrum: "Spectrum | SpectrumList", outcome: Outcome) -> Star:
        """Return a star as arrays, with the resolution that its fit determined."""
        star = self._unpack(spectrum)[1]
        return (
            star if outcome.resolution is None else replace(star, resolution=[*outcome.resolution])
        )

    def _unpack(self, spectrum: "Spectrum | SpectrumList") -> tuple[list[Prepared], Star]:
        """Return the prepared arms of a star and the star as arrays."""
        arms = list(spectrum) if isinstance(spectrum, list) else [spectrum]
        resolutions = for_each(self.options.resolution, arms, "resolutions")
        prepared = [self.preparation.prepare(*pair) for pair in zip(arms, resolutions, strict=True)]
        return prepared, self.reader.star(prepared)

    def _fit_apart(
        self, stars: Sequence[Star], prepared: Sequence[list[Prepared]], best_fits: bool
    ) -> list[Outcome]:
        """Fit stars together; if that fails, in halves, so that one does not end the others."""
        try:
            return self._fit_group(stars, prepared, best_fits)
        except Exception as error:  # of linear algebra, or of functions of the user
            if len(stars) == 1:
                return [self.problem.rejected(self._reason(error))]
            half = len(stars) // 2
            return self._fit_apart(stars[:half], prepared[:half], best_fits) + self._fit_apart(
                stars[half:], prepared[half:], best_fits
            )

    def _reason(self, error: Exception) -> str:
        """Return why a fit failed, in one line."""
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        hint = "; the functions in `tied` must return finite numbers" if self.options.tied else ""
        return f"the fit failed: {reason}{hint}"

    def _fit_group(
        self, stars: Sequence[Star], prepared: Sequence[list[Prepared]], best_fits: bool
    ) -> list[Outcome]:
        """Fit stars with the same number of arms, at several resolutions if theirs is unknown."""
        stars = list(stars)
        outcomes = list(fit_batch(self._first_problem, stars, best_fits=best_fits))
        others = [
            (i, replace(stars[i], resolution=[resolution] * len(arms)))
            for i, arms in enumerate(prepared)
            if self.options.degree == "auto" and not outcomes[i].flags & Flag.BAD_INPUT
            for resolution in self.preparation.lower_resolutions(arms)
        ]
        lower = [star for _, star in others]
        fits = fit_batch(self._first_problem, lower, best_fits=best_fits)
        for (i, star), fit in zip(others, fits, strict=True):
            if fit.log_likelihood > outcomes[i].log_likelihood:
                stars[i], outcomes[i] = star, replace(fit, resolution=tuple(star.resolution))
        outcomes = self._calibrated(stars, outcomes, best_fits)
        outcomes = self._where_trusted(stars, outcomes, best_fits)
        outcomes = with_model_limits(self.model, stars, outcomes)
        return [self._noted(*pair) for pair in zip(outcomes, prepared, strict=True)]

    def _noted(self, outcome: Outcome, prepared: list[Prepared]) -> Outcome:
        """Return an outcome with notes on the preparation of its spectra."""
        if self.options.degree == "auto" and any(arm.estimated for arm in prepared):
            outcome = outcome.with_flag(Flag.RESOLUTION_ESTIMATED)
            if any(arm.smoothed for arm in prepared):
                outcome = _without_vsini(outcome, self.names)
        elif _contradicts_resolution(outcome):
            outcome = outcome.with_flag(Flag.RESOLUTION_DOUBTFUL)
        return replace(outcome, notes=account_of(outcome, prepared))

    def _calibrated(
        self, stars: Sequence[Star], outcomes: list[Outcome], best_fits: bool
    ) -> list[Outcome]:
        """Repeat the fits of stars whose residuals resemble the corrections of the calibration."""
        real = [i for i, outcome in enumerate(outcomes) if outcome.resemblance > _RESEMBLES]
        if not real:
            return outcomes
        of_real = [stars[i] for i in real], [outcomes[i] for i in real]
        again = refit_batch(self.problem_of_real_stars, *of_real, best_fits=best_fits)
        for i, other in zip(real, again, strict=True):
            if other.log_likelihood > outcomes[i].log_likelihood:
                outcomes[i] = replace(
                    other, resolution=outcomes[i].resolution, fitted_with="calibrated"
                )
        return outcomes

    def _where_trusted(
        self, stars: Sequence[Star], outcomes: list[Outcome], best_fits: bool
    ) -> list[Outcome]:
        """Repeat other fits that show errors of lines, without the regions known to be wrong."""
        wrong = [
            i for i, outcome in enumerate(outcomes)
            if self._first_problem is not self.problem and outcome.fitted_with == "everything"
            and outcome.terms is not None and outcome.terms.inadequacy.amplitude[0] > 0
        ]  # fmt: skip
        if not wrong:
            return outcomes
        some = [stars[i] for i in wrong], [outcomes[i] for i in wrong]
        again = refit_batch(self.problem, *some, best_fits=best_fits)
        for i, other in zip(wrong, again, strict=True):
            outcomes[i] = replace(other, resolution=outcomes[i].resolution, fitted_with="trusted")
        return outcomes

    @functools.cached_property
    def _first_problem(self) -> FitProblem:
        """The problem that fits begin with: all regions, unless some are to be left out anyway.

        Regions where the model is known to be wrong are left out automatically only for stars that
        show errors of lines, which the fit itself estimates.
        """
        automatic = isinstance(self.options.exclude_at_rest, str)
        if automatic and self.options.inadequacy == "auto" and self.problem.untrusted.any():
            return replace(self.problem, untrusted=np.zeros_like(self.problem.untrusted))
        return self.problem

    def problem_of(self, outcome: Outcome) -> FitProblem:
        """Return the problem whose solution is the outcome of a star."""
        if outcome.fitted_with == "calibrated":
            return self.problem_of_real_stars
        return self.problem if outcome.fitted_with == "trusted" else self._first_problem

    @functools.cached_property
    def problem_of_real_stars(self) -> FitProblem:
        """The problem with the calibrated model and the label errors of its calibration."""
        calibration, forward = self.model.calibration, self.problem.corrected
        if calibration is None or forward is None:
            raise ValueError("the model has no calibration, or its lines are taken as exact")
        width, shift = self.model.labels.width, self.problem.shift
        covariance = calibration.covariance * np.outer(width, width)
        return replace(
            self._first_problem,
            forward=forward,
            corrected=None,
            shift=lambda labels: shift(labels) + covariance,
        )

    def fit_one(
        self, spectrum: "Spectrum | SpectrumList"
    ) -> "tuple[Spectrum | SpectrumList, Star, Outcome]":
        """Fit one star and return its prepared spectra, its arrays and its outcome.

        Raises
        ------
        TypeError, ValueError
            If it cannot be fitted.
        """
        prepared, star = self._unpack(spectrum)
        try:
            (outcome,) = self._fit_group([star], [prepared], best_fits=True)
        except torch.linalg.LinAlgError as error:
            raise ValueError(self._reason(error)) from error
        if outcome.flags & Flag.BAD_INPUT:
            raise ValueError(outcome.message)
        arms = [arm.spectrum for arm in prepared]
        return type(spectrum)(arms) if isinstance(spectrum, list) else arms[0], star, outcome


def _contradicts_resolution(outcome: Outcome) -> bool:
    """Return whether line widths ask for another resolution than the stated one."""
    shift, error = map(abs, outcome.resolution_shift)
    return shift > _DOUBTFUL and shift > _SIGNIFICANT * error


def _without_vsini(outcome: Outcome, names: Sequence[str]) -> Outcome:
    """Return an outcome with an upper limit of vsini, which includes the unknown resolution."""
    i, theta, errors = names.index("vsini"), outcome.theta.copy(), outcome.errors.copy()
    limit = theta[i] + 1.645 * np.nan_to_num(errors[i])
    if not errors[i] > 0:  # fixed, or not measured anyway
        return outcome
    theta[i] = errors[i] = np.nan
    return replace(outcome, theta=theta, errors=errors, vsini_limit=float(limit))


def _problem(model: PayneModel, options: FitOptions, constraints: Constraints) -> FitProblem:
    broadening: dict[str, Any] = {
        "limb_darkening": options.limb_darkening, "macroturbulence": options.macroturbulence,
        "dtype": torch.float32, "device": pick_device(options.device),
    }  # fmt: skip
    forward = model.forward_model(**broadening)
    # Without inadequacy, lines are assumed to be exact, and corrections do not apply.
    calibrated = model.calibration is not None and options.inadequacy != 0
    templates = functools.partial(
        templates_of,
        forward, model.labels, solar_scale(model.solar_scale),
        {**constraints.start, **constraints.fixed}, _lowest_resolution(model, options),
    )  # fmt: skip
    untrusted = np.zeros(len(model.wavelength), dtype=bool)
    excluded = options.region_left_out(model)
    if excluded is not None:
        untrusted = inside_regions(model.wavelength, excluded, model.medium)
    error = model.error
    rest = modes = None
    if error is not None and error.components is not None and error.bias is not None:
        rest, modes = error.rest, np.vstack([error.components, error.bias])
    return FitProblem(
        forward=forward, parameters=constraints.parameters, make_templates=templates,
        low=constraints.low, high=constraints.high, fixed=constraints.fixed,
        start=constraints.start, continuum=options.degree, loss=options.loss,
        error=None if error is None else error.rms,
        rest=rest, modes=modes, untrusted=untrusted,
        scale=model.error_scale_at, shift=model.error_shift_at,
        inadequacy=options.inadequacy, resolution_error=options.resolution_error,
        corrected=model.forward_model(**broadening, calibrated=True) if calibrated else None,
    )  # fmt: skip


def _lowest_resolution(model: PayneModel, options: FitOptions) -> float | None:
    """Return the lowest given resolution after a check, or `None` if one is unknown."""
    requested = options.resolution
    arms = requested if isinstance(requested, list | tuple) else [requested]
    lowest = [_lowest_of_arm(model, resolution) for resolution in arms]
    found = [resolution for resolution in lowest if resolution is not None]
    return float(min(found)) if len(found) == len(lowest) else None


def _lowest_of_arm(model: PayneModel, resolution: Any) -> float | None:
    """Return the lowest resolution of an arm; varying ones are checked with their spectrum."""
    if callable(resolution):
        try:
            resolution = resolution_at(resolution, model.wavelength)
        except Exception:  # it may be a function of the wavelengths of an arm only
            return None
    if np.ndim(resolution) == 0:
        instrument_fwhm(resolution, None)  # complains if it is not positive
        own = model.resolution or np.inf  # sharper spectra are smoothed
        return resolution if resolution is None else min(resolution, own)
    values = np.asarray(resolution, dtype=float)
    values = values[is_reachable(values, model.resolution)]
    return values.min() if len(values) else None
