# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags of abundances."""

from astropayne.engine.flags import NamedFlag

__all__ = ["ElementFlag"]


class ElementFlag(NamedFlag):
    """Bit flags describing the quality of an abundance; zero if no problem was found."""

    UPPER_LIMIT = 1
    """The element is not detected; an upper limit is reported, except in differences from a
    reference star."""
    NO_LINES = 2
    """Usable pixels cover no line of the element."""
    BELOW_RANGE = 4
    """The spectrum prefers an abundance below the model's range."""
    ABOVE_RANGE = 8
    """The spectrum prefers an abundance above the model's range, or does not exclude one."""
    DISCREPANT_LINES = 16
    """A line deviates from the others by more than three standard deviations."""
    NOT_CONVERGED = 32
    """The likelihood was not resolved: it has several maxima, or is very narrow."""
    NO_STELLAR_LABELS = 64
    """The star could not be fitted, or [Fe/H], which the convention needs, was not measured. The
    columns ``message`` and ``low_information`` give the reason."""
    LIMIT_BEYOND_RANGE = 128
    """The upper limit is above the model's range, where weak lines are extrapolated along their
    curve of growth."""
    NOT_IN_REFERENCE = 256
    """The element is measured in the star but not in the reference star, or not from any line of
    both."""
