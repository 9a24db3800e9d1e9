# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitSetup`: what a model and options make of each other, ready for any number of stars."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from astropayne.engine.arms import Star
from astropayne.engine.batch import fit_batch
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.engine.problem import FitProblem
from astropayne.engine.templates import templates_of
from astropayne.fitting.constraints import Constraints
from astropayne.fitting.model_limits import with_model_limits
from astropayne.fitting.options import FitOptions
from astropayne.fitting.reporting import Report
from astropayne.fitting.unpacking import StarReader
from astropayne.forward.transfer import instrument_fwhm, is_reachable
from astropayne.labels.solar import solar_scale
from astropayne.models.model import PayneModel, require_model
from astropayne.utils.torch_state import pick_device
from astropayne.wavelengths.regions import inside_regions
from astropayne.wavelengths.resolution import resolution_at

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["FitSetup"]


@dataclass(frozen=True, eq=False)
class FitSetup:
    """A model and options that fit together.

    Attributes
    ----------
    model : `~astropayne.PayneModel`
    reader : StarReader
        From spectra to arrays.
    problem : `~astropayne.engine.problem.FitProblem`
        From arrays to outcomes.
    report : Report
        From outcomes to values with names and units.
    """

    model: PayneModel
    reader: StarReader
    problem: FitProblem
    report: Report

    @classmethod
    def of(cls, model: PayneModel, options: FitOptions) -> Self:
        """Check a model and options against each other.

        Raises
        ------
        TypeError, ValueError
            If the model is no trained one, or an option does not suit it.
        """
        require_model(model)
        reader = StarReader(model, options)
        problem = _problem(model, options, Constraints.from_options(model, options))
        report = Report.from_options(model, options, problem.parameters)
        return cls(model, reader, problem, report)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return self.problem.names

    def fit(
        self, spectra: "Sequence[Spectrum | SpectrumList]", *, best_fits: bool = False
    ) -> list[Outcome]:
        """Fit some stars; those that cannot be unpacked get an outcome with the reason."""
        stars: dict[int, Star] = {}
        outcomes: list[Any] = [None] * len(spectra)
        for i, spectrum in enumerate(spectra):
            try:
                stars[i] = self.reader.star(spectrum)
            except Exception as error:  # whatever is wrong with one star is that star's
                outcomes[i] = self.problem.rejected(str(error) or type(error).__name__)

        def kind(i):
            return len(stars[i].wavelength), stars[i].resolution_varies

        for _, group in itertools.groupby(sorted(stars, key=kind), kind):
            rows = list(group)
            some = [stars[i] for i in rows]
            fits = fit_batch(self.problem, some, best_fits=best_fits)
            fits = with_model_limits(self.model, some, fits)
            for i, outcome in zip(rows, fits, strict=True):
                outcomes[i] = outcome
        return outcomes

    def fit_one(self, spectrum: "Spectrum | SpectrumList") -> tuple[Star, Outcome]:
        """Fit one star, and return its arrays and its outcome.

        Raises
        ------
        TypeError, ValueError
            If it cannot be fitted.
        """
        star = self.reader.star(spectrum)
        fits = fit_batch(self.problem, [star], best_fits=True)
        (outcome,) = with_model_limits(self.model, [star], fits)
        if outcome.flags & Flag.BAD_INPUT:
            raise ValueError(outcome.message)
        return star, outcome


def _problem(model: PayneModel, options: FitOptions, constraints: Constraints) -> FitProblem:
    forward = model.forward_model(
        limb_darkening=options.limb_darkening, macroturbulence=options.macroturbulence,
        dtype=torch.float32, device=pick_device(options.device),
    )  # fmt: skip
    templates = functools.partial(
        templates_of,
        forward, model.labels, solar_scale(model.solar_scale),
        {**constraints.start, **constraints.fixed}, _lowest_resolution(model, options),
    )  # fmt: skip
    untrusted = np.zeros(len(model.wavelength), dtype=bool)
    if options.exclude_at_rest is not None:
        untrusted = inside_regions(model.wavelength, options.exclude_at_rest, model.medium)
    error = model.error
    apart = error is not None and error.components is not None  # not of networks from elsewhere
    return FitProblem(
        forward=forward, parameters=constraints.parameters, make_templates=templates,
        low=constraints.low, high=constraints.high, fixed=constraints.fixed,
        start=constraints.start, continuum=options.degree, loss=options.loss,
        error=None if error is None else error.rms,
        rest=error.rest if apart else None,
        modes=np.vstack([error.components, error.bias]) if apart else None,
        scale=model.error_scale_at, shift=model.error_shift_at, untrusted=untrusted,
    )  # fmt: skip


def _lowest_resolution(model: PayneModel, options: FitOptions) -> float | None:
    """Return the lowest resolution that is given, checked, or `None` if some are not known."""
    given = options.resolution
    arms = given if isinstance(given, list | tuple) else [given]
    lowest = [_lowest_of_arm(model, resolution) for resolution in arms]
    return None if any(r is None for r in lowest) else float(min(lowest))


def _lowest_of_arm(model: PayneModel, resolution: Any) -> float | None:
    """Return that of an arm; where it varies, its pixels are checked with their spectrum."""
    if callable(resolution):
        try:
            resolution = resolution_at(resolution, model.wavelength)
        except Exception:  # it may be a function of the wavelengths of an arm only
            return None
    if np.ndim(resolution) == 0:
        instrument_fwhm(resolution, model.resolution)  # complains if it is too high
        return resolution
    values = np.asarray(resolution, dtype=float)
    values = values[is_reachable(values, model.resolution)]
    return values.min() if len(values) else None
