# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectral regions as pixel masks."""

from typing import Any

import astropy.units as u
import numpy as np

from astropayne.wavelengths.media import vacuum_angstrom

__all__ = ["checked_region", "inside_regions"]


def inside_regions(axis: u.Quantity, regions: Any, medium: str) -> np.ndarray:
    """Return which pixels lie in a region, including its ends.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        In any spectral unit.
    regions : `~specutils.SpectralRegion`
        One or several regions, in any spectral unit.
    medium : {"air", "vacuum"}
        Medium of the wavelengths of the axis and of the regions.

    Returns
    -------
    numpy.ndarray of bool
    """
    wavelength = vacuum_angstrom(axis, medium)
    inside = np.zeros(len(axis), dtype=bool)
    for lower, upper in regions.subregions:
        bounds = vacuum_angstrom(u.Quantity([lower, upper]), medium)
        slack = 1e-12 * bounds  # rounding, for pixels exactly on an end
        inside |= (wavelength >= (bounds - slack).min()) & (wavelength <= (bounds + slack).max())
    return inside


def checked_region(region: Any, what: str) -> Any:
    """Return a region after checking its type.

    Parameters
    ----------
    region : `~specutils.SpectralRegion`
    what : str
        Name of the argument, for the error message.

    Returns
    -------
    `~specutils.SpectralRegion`

    Raises
    ------
    TypeError
        If it is not a region.
    """
    if not hasattr(region, "subregions"):
        raise TypeError(
            f"{what} must be a specutils SpectralRegion, such as SpectralRegion(5165 * u.AA, "
            f"5235 * u.AA), got {region!r}"
        )
    return region
