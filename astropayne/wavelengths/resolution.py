# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectral resolution as a number, an array or a function."""

import math
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from astropayne.utils.quantities import strip_unit

__all__ = ["FWHM", "ResolutionCurve", "require_resolution", "resolution_at"]

#: Full width at half maximum of a Gaussian in units of its standard deviation.
FWHM = math.sqrt(8 * math.log(2))
_CONSTANT = 1e-6  # relative range below which values are equal but for rounding


@dataclass(frozen=True, eq=False)
class ResolutionCurve:
    """A resolution that varies along a spectrum, and belongs to its wavelengths.

    Unlike an array, it remains valid for parts of the spectrum.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        Å, in the medium of the spectrum.
    values : numpy.ndarray, shape (n_pixels,)
        λ/FWHM.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astropayne.wavelengths.resolution import ResolutionCurve
    >>> curve = ResolutionCurve(np.array([5000.0, 6000.0]), np.array([2000.0, 2400.0]))
    >>> curve([5500.0] * u.AA)
    array([2200.])
    """

    wavelength: np.ndarray
    values: np.ndarray

    def __call__(self, axis: u.Quantity) -> np.ndarray:
        """Return the resolution at each pixel of an axis, which does not vary beyond the curve."""
        order = np.argsort(self.wavelength)
        return np.interp(
            axis.to_value(u.AA, u.spectral()), self.wavelength[order], self.values[order]
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the resolution at the wavelengths of the curve."""
        return np.array(self.values, dtype=dtype)

    def __len__(self) -> int:
        """Return the number of pixels of the curve."""
        return len(self.values)

    def __getitem__(self, pixels: Any) -> Any:
        """Return the resolution at pixels of the curve."""
        return self.values[pixels]


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
        if resolution.size and np.ptp(resolution) <= _CONSTANT * np.max(resolution):
            return float(resolution.flat[0])  # of the spectrum of which this one is a part
        raise ValueError(
            f"resolution has shape {resolution.shape}, but there are {len(axis)} pixels: give a "
            "number, a value for each pixel, or a function of the spectral axis; of a part of a "
            "spectrum, take the same part of meta['resolution']"
        )
    return resolution
