# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Metadata of a spectrum that the package reads, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

__all__ = ["SpectrumInfo"]


@dataclass(frozen=True)
class SpectrumInfo:
    """Metadata of a spectrum that the package reads.

    Parameters
    ----------
    name : str, optional
        Name of the star, or of its files.
    medium : {"air", "vacuum"}, optional
        Medium in which the wavelengths are measured.
    resolution : float, array_like or callable, optional
        λ/FWHM of the line-spread function: a number, a value per pixel, or a function of the
        spectral axis.
    correlation : float or array_like, optional
        Number of pixels that share their noise, as `~astropayne.degrade_spectrum` determines it.
    guessed_noise : float or array_like, optional
        Standard deviation of the noise in units of the median flux, of a spectrum without
        uncertainty that was degraded.

    Examples
    --------
    >>> from astropayne.spectra.info import SpectrumInfo
    >>> SpectrumInfo.of({"medium": "air", "observer": "A. N."}).as_meta()
    {'medium': 'air'}
    """

    name: str | None = None
    medium: str | None = None
    resolution: Any = None
    correlation: float | np.ndarray | None = None
    guessed_noise: float | np.ndarray | None = None

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "SpectrumInfo":
        """Return the entries of a spectrum's ``meta`` that the package reads."""
        return cls(**{f.name: meta.get(f.name) for f in fields(cls)})

    def as_meta(self) -> dict[str, Any]:
        """Return the entries that are not `None`, for the ``meta`` of a spectrum."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
