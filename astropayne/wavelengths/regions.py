# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectral regions as pixel masks."""

import astropy.units as u
import numpy as np

from astropayne.wavelengths.media import vacuum_angstrom

__all__ = ["checked_region", "inside_regions"]


def inside_regions(axis, regions, medium):
    """Say which pixels lie in a region, its ends included.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        In any spectral unit.
    regions : `~specutils.SpectralRegion`
        One or several; units need not be the axis'.
    medium : {"air", "vacuum"}
        What wavelengths, of the axis or of the regions, are measured in.

    Returns
    -------
    numpy.ndarray of bool
    """
    wavelength = vacuum_angstrom(axis, medium)
    inside = np.zeros(len(axis), dtype=bool)
    for lower, upper in regions.subregions:
        bounds = vacuum_angstrom(u.Quantity([lower, upper]), medium)
        slack = 1e-12 * bounds  # of rounding, for pixels on the very end
        inside |= (wavelength >= (bounds - slack).min()) & (wavelength <= (bounds + slack).max())
    return inside


def checked_region(given, what):
    """Return a region as it was given, if it is one.

    Parameters
    ----------
    given : `~specutils.SpectralRegion`
    what : str
        What it is, for the error.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not hasattr(given, "subregions"):
        raise TypeError(
            f"{what} has to be a specutils SpectralRegion, such as SpectralRegion(5165 * u.AA, "
            f"5235 * u.AA), got {given!r}"
        )
    return given
