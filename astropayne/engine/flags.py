# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags of a fit."""

import enum
import numbers

__all__ = ["Flag", "NamedFlag"]


class NamedFlag(enum.IntFlag):
    """Flags whose text are their names."""

    def __str__(self):
        return self.name or "none"

    @classmethod
    def _missing_(cls, value):
        return super()._missing_(int(value) if isinstance(value, numbers.Integral) else value)


class Flag(NamedFlag):
    """What is to be known of a fit; zero if nothing."""

    NOT_CONVERGED = 1
    """The optimiser stopped before it was sure."""
    AT_BOUND = 2
    """A label or velocity is at the end of its range; ``at_bound`` says which."""
    NO_UNCERTAINTY = 4
    """The spectrum has no uncertainty: it is guessed, as one for all pixels; χ² says nothing."""
    SINGULAR = 8
    """The spectrum does not determine all velocities; the errors of those it does not are NaN."""
    FEW_PIXELS = 16
    """Less than half of the model's range is covered by usable pixels."""
    BAD_INPUT = 32
    """The spectrum could not be fitted at all: everything is NaN, the message says why."""
    LOW_INFORMATION = 64
    """The spectrum says little of a label, vsini or vmac: NaN, and ``low_information`` names it."""
    VELOCITY_AMBIGUOUS = 128
    """Another velocity fits templates about as well, or half as well: they are not the star."""
    POOR_FIT = 256
    """χ² is more than noise and the emulator's error explain."""
    OUTSIDE_COVERAGE = 512
    """The labels are far from those of all training spectra: the model is a guess there."""
    EMULATOR_LIMITED = 1024
    """The emulator's error is not small beside the noise: more light hardly makes labels better."""
