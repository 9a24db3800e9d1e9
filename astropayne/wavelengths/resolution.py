# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectral resolution as a number, an array or a function."""

import math
from typing import Any

import astropy.units as u
import numpy as np

from astropayne.utils.quantities import strip_unit

__all__ = ["FWHM", "require_resolution", "resolution_at"]

#: Full width at half maximum of a Gaussian in units of its standard deviation.
FWHM = math.sqrt(8 * math.log(2))


def require_resolution(resolution: Any) -> None:
    """Raise `ValueError` if a resolution is neither a positive number nor `None`."""
    number = np.ndim(resolution) == 0 and np.asarray(resolution).dtype.kind in "iuf"
    if resolution is not None and not (number and 0 < resolution < np.inf):
        raise ValueError(
            f"resolution is {resolution!r}; it can be a positive number, λ/FWHM, or None if it "
            "is not known"
        )


def resolution_at(resolution: Any, axis: u.Quantity) -> float | np.ndarray | None:
    """Return a resolution as a number or as a value per pixel of an axis.

    Parameters
    ----------
    resolution : float, array_like, callable or None
        λ/FWHM; an array must have a value per pixel; a function is called with the axis.
    axis : `~astropy.units.Quantity`

    Returns
    -------
    float, None, or numpy.ndarray, shape (n_pixels,)

    Raises
    ------
    ValueError
        If an array has another shape than the axis.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.wavelengths.resolution import resolution_at
    >>> resolution_at(lambda wavelength: 4 * wavelength.to_value(u.AA), [5000, 5001] * u.AA)
    array([20000., 20004.])
    """
    if callable(resolution):
        resolution = resolution(axis)
    if isinstance(resolution, u.Quantity):
        resolution = strip_unit(resolution, "resolution", u.one)
    if resolution is None or np.ndim(resolution) == 0:
        return resolution
    resolution = np.asarray(resolution, dtype=float)
    if resolution.shape != np.shape(axis):
        raise ValueError(
            f"resolution has shape {resolution.shape}, but there are {len(axis)} pixels: give a "
            "number, a value for each pixel, or a function of the spectral axis"
        )
    return resolution
