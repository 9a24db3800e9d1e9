# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Sentences that describe the fit of a star, and advice for its flags."""

from collections.abc import Sequence

import numpy as np

from astropayne.engine.continuum import NORMALIZED
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.engine.terms import Terms
from astropayne.fitting.preparation import Prepared

__all__ = ["account_of"]

# What to do when a flag is set.
_ADVICE = {
    Flag.POOR_FIT: (
        "the fit is poor: compare the plot of the fit with the spectrum, exclude regions that are "
        "not of the star, and check that the model covers this kind of star"
    ),
    Flag.MODEL_LIMITED: (
        "errors of the model's lines set the errors: a longer exposure does not help, calibration "
        "with well-known stars does"
    ),
    Flag.NOISE_OVERESTIMATED: (
        "residuals are much smaller than the noise: check the uncertainties of the spectrum, and "
        "whether its pixels are independent"
    ),
    Flag.RESOLUTION_ESTIMATED: "give the resolution of the spectrum to measure vsini",
    Flag.VELOCITY_AMBIGUOUS: "give start={'rv': ...} if the velocity is known",
}


def account_of(outcome: Outcome, prepared: Sequence[Prepared]) -> tuple[str, ...]:
    """Return sentences about how a star was fitted, and about what to do next.

    Parameters
    ----------
    outcome : `~astropayne.engine.outcome.Outcome`
    prepared : sequence of Prepared
        The arms of the star.

    Returns
    -------
    tuple of str
    """
    sentences = [note for arm in prepared for note in arm.notes]
    if outcome.terms is not None:
        sentences += _of_terms(outcome.terms)
    sentences += [
        f"{name} {limit}: the star lies beyond the range of the model, and other labels are not "
        "measured; use a model whose grid covers it"
        for name, limit in outcome.limits.items()
    ]
    if outcome.flags & Flag.RESOLUTION_DOUBTFUL:
        sentences.append(_doubt(outcome.resolution_shift[0]))
    sentences += [advice for flag, advice in _ADVICE.items() if outcome.flags & flag]
    return tuple(dict.fromkeys(sentences))


def _doubt(shift: float) -> str:
    """Return a sentence about a resolution that the widths of lines contradict."""
    width, change = ("narrower", "higher") if shift > 0 else ("wider", "lower")
    return (
        f"lines are {width} than the stated resolution allows: R is about "
        f"{100 * abs(np.expm1(shift)):.0f} % {change}; check it, and vsini with it"
    )


def _of_terms(terms: Terms) -> list[str]:
    """Return sentences about the continuum and the inadequacy of one star."""
    degree, amplitude = int(terms.degree[0]), terms.inadequacy.amplitude[0]
    sentences = []
    if degree == NORMALIZED:
        sentences.append("continuum: exactly one")
    elif terms.highest is not None:
        sentences.append(f"continuum: a polynomial of degree {degree} in each window")
    if amplitude > 0:
        sentences.append(f"lines differ from the model's by {100 * amplitude:.1f} % of their depth")
    if not np.isclose(terms.inadequacy.noise[0], 1.0):
        sentences.append(f"noise: {terms.inadequacy.noise[0]:.1f} times that between pixels")
    return sentences
