# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags of a fit."""

import enum
import numbers

__all__ = ["Flag", "NamedFlag"]


class NamedFlag(enum.IntFlag):
    """Bit flags that are printed by their names."""

    def __str__(self) -> str:
        return self.name or "none"

    @classmethod
    def _missing_(cls, value: object) -> object:
        return super()._missing_(int(value) if isinstance(value, numbers.Integral) else value)


class Flag(NamedFlag):
    """Bit flags describing the quality of a fit; zero if no problem was found."""

    NOT_CONVERGED = 1
    """The optimizer stopped before it converged."""
    AT_BOUND = 2
    """A label or velocity is at an end of its range; ``at_bound`` names it."""
    NO_UNCERTAINTY = 4
    """The spectrum has no uncertainty: one value for all pixels is estimated; ignore χ²."""
    SINGULAR = 8
    """The spectrum does not determine all velocities; the errors of the others are NaN."""
    FEW_PIXELS = 16
    """Usable pixels cover less than half of the model's wavelength range."""
    BAD_INPUT = 32
    """The spectrum could not be fitted: all values are NaN, and ``message`` gives the reason."""
    LOW_INFORMATION = 64
    """A label, vsini or vmac is hardly constrained, and NaN; ``low_information`` names it."""
    VELOCITY_AMBIGUOUS = 128
    """Another radial velocity fits about as well, or at least half as well."""
    POOR_FIT = 256
    """χ² is larger than noise and emulator error explain."""
    OUTSIDE_COVERAGE = 512
    """The labels are far from those of all training spectra, so the model extrapolates."""
    EMULATOR_LIMITED = 1024
    """The emulator error is comparable to the noise: longer exposures hardly improve labels."""
    OUT_OF_RANGE = 2048
    """A label lies beyond the range of the model: it is a limit, and other labels are NaN or
    have errors that cover what it does to them."""
    MODEL_LIMITED = 4096
    """The model's own errors, not the noise of the spectrum, set the errors of the labels."""
    NOISE_OVERESTIMATED = 8192
    """χ² is far less than the noise lets expect: uncertainties of the spectrum are too large, or
    its pixels are not independent."""
    RESOLUTION_ESTIMATED = 16384
    """The resolution was not stated but estimated: vsini and vmac are not reliable."""
    RESOLUTION_DOUBTFUL = 32768
    """The widths of lines contradict the stated resolution."""
