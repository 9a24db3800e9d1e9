# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From solutions to outcomes: flags, errors, and NaN for what was not measured."""

from dataclasses import replace

import numpy as np

from astropayne.engine.arms import Star
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.engine.problem import FitProblem
from astropayne.forward.parameters import is_label

__all__ = ["judged", "judged_pixels"]

_POOR = 5.0  # standard deviations of χ² beyond which a fit is poor
_UNMEASURED = 0.2  # error, as a part of its range, of a parameter that is not measured


def judged(
    problem: FitProblem, outcome: Outcome, *, converged: bool, determined: np.ndarray
) -> Outcome:
    """Return an outcome with its errors, its flags, and NaN for what was not measured.

    Parameters
    ----------
    problem : FitProblem
    outcome : Outcome
        Its covariance is that of the free parameters.
    converged : bool
        Whether the optimizer has found a minimum.
    determined : numpy.ndarray of bool, shape (n_free,)
        Free parameters that have a variance.
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
    singular = not (determined | of_label).all()
    flags = outcome.flags
    for flag, holds in (
        (Flag.NOT_CONVERGED, not converged),
        (Flag.AT_BOUND, at_bound.any()),
        (Flag.LOW_INFORMATION, little.any()),
        (Flag.SINGULAR, singular),
    ):
        flags |= flag if holds else Flag(0)
    covariance, lost = outcome.covariance.copy(), little | no_error
    covariance[lost] = covariance[:, lost] = np.nan
    everything = parameters.spread(covariance[None], x[None], outcome.theta[None])[0]
    errors, theta = np.full(len(parameters.names), np.nan), outcome.theta.copy()
    errors[parameters.moving] = np.sqrt(np.diagonal(everything)[parameters.moving])
    theta[index[little]] = np.nan
    return replace(
        outcome, theta=theta, errors=errors, covariance=everything, flags=flags,
        message=outcome.message if converged else "the optimizer stopped before it converged",
        at_bound=tuple(names[at_bound].tolist()), low_information=tuple(names[little].tolist()),
    )  # fmt: skip


def judged_pixels(problem: FitProblem, outcome: Outcome, star: Star) -> Outcome:
    """Return an outcome with the flags that depend on its χ² and on the pixels used."""
    flags, dof = outcome.flags, outcome.dof
    if not star.noise_known:
        flags |= Flag.NO_UNCERTAINTY
    elif outcome.chi2 > dof + _POOR * np.sqrt(2 * max(dof, 1)):
        flags |= Flag.POOR_FIT
    forward = problem.forward
    if outcome.covered < 0.5 * (forward.end - forward.start).sum():
        flags |= Flag.FEW_PIXELS
    return replace(outcome, flags=flags)
