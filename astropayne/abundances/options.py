# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`AbundanceOptions`: the options of an analysis beyond those of the fits, checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from astropayne.labels.solar import SolarScale
from astropayne.utils.suggestions import require_choice

__all__ = ["CONVENTIONS", "AbundanceOptions"]

CONVENTIONS = ("X_Fe", "X_H", "A_X")


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
