# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags of an abundance."""

from astropayne.engine.flags import NamedFlag

__all__ = ["ElementFlag"]


class ElementFlag(NamedFlag):
    """What is to be known of an abundance; zero if nothing."""

    UPPER_LIMIT = 1
    """There is no measurement, but an upper limit (which a difference from a star has none of)."""
    NO_LINES = 2
    """No line of the element is covered by usable pixels."""
    BELOW_RANGE = 4
    """The spectrum asks for less than the model knows."""
    ABOVE_RANGE = 8
    """The spectrum asks for more than the model knows, or does not exclude it."""
    DISCREPANT_LINES = 16
    """A line disagrees with the others by more than three standard deviations."""
    NOT_CONVERGED = 32
    """The likelihood was not resolved: it has more than one maximum, or is very narrow."""
    NO_STELLAR_LABELS = 64
    """The star could not be fitted, or not the [Fe/H] that the convention needs: the table's
    ``message`` or ``low_information`` says why."""
    LIMIT_BEYOND_RANGE = 128
    """The upper limit is above all that the model knows: weak lines, as expected to grow on."""
    NOT_IN_REFERENCE = 256
    """It is measured, but not in the reference star, or not from any line of both."""
