# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags and errors of fits; values that could not be measured become NaN."""

from dataclasses import replace

import numpy as np

from astropayne.engine.arms import Star
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.engine.problem import FitProblem
from astropayne.engine.range import truncated
from astropayne.forward.parameters import is_label

__all__ = ["judged", "judged_pixels"]

_POOR = 5.0  # standard deviations of χ² beyond which a fit is poor
# Errors of the shapes of lines, which averages over resolution elements do not contain, make
# squares of residuals of real stars larger than those that line errors are expected to make.
_SHAPES = 3.0
_TOO_SMALL = 0.7  # χ² per degree of freedom, below which the noise must be overestimated
_INADEQUATE = 0.25  # errors of the depths of lines from which on the model is not of this star
_OUTSIDE = 3.0  # standard deviations beyond its range from which on a label is outside
_UNMEASURED = 0.2  # error, as a part of its range, of a parameter that is not measured


def judged(
    problem: FitProblem,
    outcome: Outcome,
    *,
    converged: bool,
    determined: np.ndarray,
    beyond: tuple[np.ndarray, np.ndarray],
) -> Outcome:
    """Return an outcome with its errors and flags, and with NaN for values without information.

    Parameters
    ----------
    problem : FitProblem
    outcome : Outcome
        Its covariance is that of the free parameters.
    converged : bool
        Whether the optimizer has found a minimum.
    determined : numpy.ndarray of bool, shape (n_free,)
        Free parameters that have a variance.
    beyond : tuple of numpy.ndarray, shape (n_free,) each
        Step to the minimum without bounds, and the same in standard deviations.
    """
    parameters = problem.parameters
    names, index = np.array(parameters.free), parameters.index
    x, low, high = outcome.theta[index], problem.low[index], problem.high[index]
    is_rv = names == "rv"  # its bounds are where the search ends, not where velocities do
    slack = 1e-6 * (high - low)
    at_bound = ((x <= low + slack) | (x >= high - slack)) & ~is_rv
    error = np.sqrt(np.diagonal(outcome.covariance))
    of_label = is_label(index, len(parameters.names))
    # A width of zero has no error, because the derivative with respect to it vanishes there.
    no_error = at_bound & ~of_label
    little = determined & ~is_rv & ~no_error & (error > _UNMEASURED * (high - low))
    covariance, limits = _within_range(
        outcome.covariance, at_bound & of_label & determined & ~little, beyond
    )
    covered = np.sqrt(np.diagonal(covariance)) > _UNMEASURED * (high - low)
    little |= limits.any() & of_label & determined & ~limits & covered
    singular = not (determined | of_label).all()
    flags = outcome.flags
    for flag, holds in (
        (Flag.NOT_CONVERGED, not converged),
        (Flag.AT_BOUND, at_bound.any()),
        (Flag.LOW_INFORMATION, little.any()),
        (Flag.SINGULAR, singular),
        (Flag.OUT_OF_RANGE, limits.any()),
    ):
        flags |= flag if holds else Flag(0)
    lost = little | no_error | limits
    covariance[lost] = covariance[:, lost] = np.nan
    everything = parameters.spread(covariance[None], x[None], outcome.theta[None])[0]
    errors, theta = np.full(len(parameters.names), np.nan), outcome.theta.copy()
    errors[parameters.moving] = np.sqrt(np.diagonal(everything)[parameters.moving])
    theta[index[little | limits]] = np.nan
    return replace(
        outcome, theta=theta, errors=errors, covariance=everything, flags=flags,
        message=outcome.message if converged else "the optimizer stopped before it converged",
        limits={
            name: f"< {at_low:.3g}" if value < 0.5 * (at_low + at_high) else f"> {at_high:.3g}"
            for name, value, at_low, at_high in zip(
                names[limits].tolist(), x[limits], low[limits], high[limits], strict=True
            )
        },
        at_bound=tuple(names[at_bound].tolist()), low_information=tuple(names[little].tolist()),
    )  # fmt: skip


def _within_range(
    covariance: np.ndarray, bounded: np.ndarray, beyond: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance if labels are within their ranges, and which labels are outside.

    The errors of other parameters include the effect of labels outside.
    """
    step, pull = beyond
    outside = bounded & (np.abs(pull) > _OUTSIDE)
    covariance = truncated(covariance, np.flatnonzero(bounded), pull)
    if outside.any():
        covariance = covariance + np.diag(np.where(outside, 0.0, step**2))
    return covariance, outside


def judged_pixels(
    problem: FitProblem, outcome: Outcome, star: Star, by_lines: float = 0.0
) -> Outcome:
    """Return an outcome with the flags that depend on its χ² and on the pixels used.

    ``by_lines`` is the part of χ² that errors of the model's lines are expected to make.
    """
    flags, dof = outcome.flags, outcome.dof
    margin = _POOR * np.sqrt(2 * max(dof, 1))
    amplitude = 0.0 if outcome.terms is None else outcome.terms.inadequacy.amplitude[0]
    if not star.noise_known:
        flags |= Flag.NO_UNCERTAINTY
    elif outcome.chi2 < min(dof - margin, _TOO_SMALL * dof):
        flags |= Flag.NOISE_OVERESTIMATED
    too_large = outcome.chi2 > dof + _SHAPES * by_lines + margin
    if (star.noise_known and too_large) or amplitude > _INADEQUATE:
        flags |= Flag.POOR_FIT
    forward = problem.forward
    if outcome.covered < 0.5 * (forward.end - forward.start).sum():
        flags |= Flag.FEW_PIXELS
    return replace(outcome, flags=flags)
