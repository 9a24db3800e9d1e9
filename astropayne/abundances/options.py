# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Options of an analysis of abundances, flags of its results, and its convention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from astropayne.engine.flags import NamedFlag
from astropayne.labels.conversion import LabelConversion
from astropayne.labels.solar import SolarScale, solar_scale
from astropayne.models.model import PayneModel
from astropayne.utils.suggestions import require_choice

__all__ = ["CONVENTIONS", "AbundanceOptions", "Conversion", "ElementFlag"]

CONVENTIONS = ("X_Fe", "X_H", "A_X")


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


@dataclass(frozen=True)
class AbundanceOptions:
    """Options of `fit_abundances` that concern abundances, checked.

    Parameters
    ----------
    convention, solar_scale, confidence, detection, clip, per_line, models
        As in `fit_abundances`.

    Raises
    ------
    ValueError
        If an option is invalid.
    """

    convention: str = "X_Fe"
    solar_scale: str | SolarScale | Mapping[str, float] | None = None
    confidence: float = 0.95
    detection: float = 3.0
    clip: bool = False
    per_line: bool = False
    models: bool = False

    def __post_init__(self) -> None:
        require_choice(self.convention, CONVENTIONS, "convention")
        if not 0.5 < self.confidence < 1:
            raise ValueError(
                f"confidence={self.confidence!r} must be greater than 0.5 and less than 1"
            )
        if not self.detection > 0:
            raise ValueError(f"detection={self.detection!r} must be positive")


class Conversion:
    """Conversion of arrays of a model's labels to the abundances of elements.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    elements : sequence of str
    options : AbundanceOptions
        Of which the convention and the solar scale are used.

    Attributes
    ----------
    names : tuple of str
        Names of the abundances, such as ``Mg_Fe``.
    """

    def __init__(
        self, model: PayneModel, elements: Sequence[str], options: AbundanceOptions
    ) -> None:
        self.names = tuple(options.convention.replace("X", element) for element in elements)
        labels, own = model.labels.names, solar_scale(model.solar_scale)
        if options.solar_scale is None:
            self._chain = [LabelConversion(labels, self.names, own)]
        else:  # through absolute abundances, which do not depend on the solar scale
            absolute = (*(f"A_{element}" for element in elements if element != "Fe"), "A_Fe")
            self._chain = [
                LabelConversion(labels, absolute, own),
                LabelConversion(absolute, self.names, solar_scale(options.solar_scale)),
            ]

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Return abundances (n, n_elements) for labels (n, n_labels)."""
        return reduce(lambda values, step: step(values), self._chain, labels)

    def covariance(self, labels: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Return covariances of abundances, (n, n_elements, n_elements), from those of labels."""
        for step in self._chain:
            covariance = step.covariance(labels, covariance)
            labels = step(labels)
        return covariance
