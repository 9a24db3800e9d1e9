# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Options of reading spectra, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u

from astropayne.spectra.conventions.axes import unit_of_caller

__all__ = ["ReadOptions", "SeveralTablesError", "SeveralTargetsError"]


class SeveralTablesError(ValueError):
    """Raised if a file has several tables or images of spectra and none is chosen.

    Attributes
    ----------
    names : tuple of str or int
        Names of the tables or images.
    """

    def __init__(self, message: str, names: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.names = names

    def __reduce__(self) -> tuple:  # processes exchange it
        return type(self), (*self.args, self.names)


class SeveralTargetsError(ValueError):
    """Raised if a file has spectra of several stars and none is chosen.

    Attributes
    ----------
    n_targets : int
        Number of stars in the file.
    """

    def __init__(self, message: str, n_targets: int) -> None:
        super().__init__(message)
        self.n_targets = n_targets

    def __reduce__(self) -> tuple:  # processes exchange it
        return type(self), (*self.args, self.n_targets)


@dataclass(frozen=True)
class ReadOptions:
    """Options of `~astropayne.read_spectrum`, and of preparing spectra for a fit.

    Parameters
    ----------
    format, wavelength_unit, columns, hdu, target, arm, meta
        As for `~astropayne.read_spectrum`.
    degrade : tuple of (float, float or sequence of float), optional
        Resolution λ/FWHM of the spectra, and the lower one to degrade them to, or one for each
        arm.
    """

    format: str | None = None
    wavelength_unit: u.UnitBase | str | None = None
    columns: int | Mapping[str, str] | None = None
    hdu: int | str | Sequence[int | str] | None = None
    target: int | None = None
    arm: int | str | None = None
    meta: Mapping[str, Any] | None = None
    degrade: tuple[float, float | Sequence[float]] | None = None

    @property
    def unit(self) -> u.UnitBase | None:
        """Unit of wavelengths where the file states none."""
        return unit_of_caller(self.wavelength_unit)

    def meta_of(self, path: Path) -> dict[str, Any]:
        """Return the metadata that the caller gave, and the name of the file."""
        return {**(self.meta or {}), "name": str(path)}
