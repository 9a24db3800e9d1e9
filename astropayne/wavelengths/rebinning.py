# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Rebinning of spectra to other pixels, with sparse matrices for many spectra at once.

Functions take plain arrays without units. Wavelengths increase and may have gaps between windows.
Missing flux is never filled in: a new pixel that extends beyond the old ones, or that overlaps a
NaN, is NaN.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import C_KMS

__all__ = [
    "checked_axis",
    "log_axis",
    "matrix_product",
    "pixel_edges",
    "propagated_sigma",
    "rebin",
    "rebin_matrix",
]

_ROUNDING = 1e-7  # smaller fractions of a pixel are rounding errors
_BLOCK = 256  # spectra per matrix product, which limits the memory


def pixel_edges(wavelength: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of pixels: half-way between their centers, in each window separately.

    The outermost pixels of a window extend as far outwards as inwards; a single pixel between two
    gaps is as wide as the last pixel before it that is not alone. Pixels never overlap.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Centers, increasing.

    Returns
    -------
    lower, upper : numpy.ndarray, shape (n_pixels,)

    Examples
    --------
    >>> from astropayne.wavelengths.rebinning import pixel_edges
    >>> lower, upper = pixel_edges([5000, 5001, 5002, 6000, 6002, 6004])
    >>> print(lower, upper)
    [4999.5 5000.5 5001.5 5999.  6001.  6003. ] [5000.5 5001.5 5002.5 6001.  6003.  6005. ]
    """
    wavelength = checked_axis(wavelength)
    before, after = np.full((2, len(wavelength)), np.nan)
    for window in find_windows(wavelength):
        step = np.diff(wavelength[window])
        if len(step):
            before[window] = np.concatenate([step[:1], step])
            after[window] = np.concatenate([step, step[-1:]])
    finite = np.flatnonzero(np.isfinite(before))
    last = finite[np.searchsorted(finite, np.arange(len(before)), side="right").clip(1) - 1]
    lower, upper = wavelength - before[last] / 2, wavelength + after[last] / 2
    middle = (wavelength[:-1] + wavelength[1:]) / 2
    lower[1:], upper[:-1] = np.maximum(lower[1:], middle), np.minimum(upper[:-1], middle)
    return lower, upper


def checked_axis(wavelength: npt.ArrayLike, name: str = "wavelength") -> np.ndarray:
    """Return a wavelength axis as floats after checking it.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
    name : str
        Name of the argument, for the error message.

    Raises
    ------
    ValueError
        If the axis has fewer than two pixels, or is not finite, positive and increasing.
    """
    wavelength = np.asarray(wavelength, dtype=float)
    if wavelength.ndim != 1 or len(wavelength) < 2:
        raise ValueError(
            f"{name} has shape {wavelength.shape}: it must be one axis of two pixels or more"
        )
    if not (wavelength[0] > 0 and (np.diff(wavelength) > 0).all() and np.isfinite(wavelength[-1])):
        raise ValueError(f"{name} must be finite, positive and increasing: sort the pixels first")
    return wavelength


def rebin_matrix(
    wavelength: npt.ArrayLike, new_wavelength: npt.ArrayLike
) -> tuple[csr_array, np.ndarray]:
    """Return the matrix of `rebin`.

    Parameters
    ----------
    wavelength, new_wavelength : array_like
        Pixel centers, increasing.

    Returns
    -------
    matrix : scipy.sparse.csr_array, shape (n_new, n_pixels)
        Fraction of each new pixel that each old pixel covers. A row is empty, and the new pixel
        is NaN, where ``covered`` is `False`.
    covered : numpy.ndarray of bool, shape (n_new,)
        New pixels that lie entirely in old ones.

    Examples
    --------
    >>> from astropayne.wavelengths.rebinning import rebin_matrix
    >>> matrix, covered = rebin_matrix([1, 2, 3, 4], [1.5, 3.5, 5.5])
    >>> print(matrix.toarray(), covered)
    [[0.5 0.5 0.  0. ]
     [0.  0.  0.5 0.5]
     [0.  0.  0.  0. ]] [ True  True False]
    """
    lower, upper = pixel_edges(wavelength)
    start, stop = pixel_edges(checked_axis(new_wavelength, "new_wavelength"))
    first, last = np.searchsorted(upper, start, "right"), np.searchsorted(lower, stop, "left")
    count = np.maximum(last - first, 0)
    new = np.repeat(np.arange(len(start)), count)
    old = np.arange(len(new)) + np.repeat(first - np.cumsum(count) + count, count)
    width = stop - start
    share = (np.minimum(upper[old], stop[new]) - np.maximum(lower[old], start[new])) / width[new]
    total = np.bincount(new, share, len(start))
    covered = total > 1 - _ROUNDING
    # A fraction within rounding must not spread a NaN to a pixel that only touches it.
    keep = covered[new] & (share > _ROUNDING)
    new, old, share = new[keep], old[keep], share[keep]
    share /= np.bincount(new, share, len(start))[new]
    return csr_array((share, (new, old)), shape=(len(start), len(lower))), covered


def rebin(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    new_wavelength: npt.ArrayLike,
    sigma: npt.ArrayLike | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Rebin spectra to other pixels, conserving flux.

    The flux density of a new pixel is the mean over it of the old flux density, which is constant
    within each old pixel (Carnall 2017, arXiv:1705.05165). Gaps contain no flux.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centers, increasing.
    flux : array_like, shape (..., n_pixels)
        Flux density of one spectrum, or of many.
    new_wavelength : array_like, shape (n_new,)
        Pixel centers of the result, increasing.
    sigma : array_like, shape (n_pixels,) or that of the flux, optional
        Standard deviations of pixels whose noise is independent.

    Returns
    -------
    flux : numpy.ndarray, shape (..., n_new)
        NaN for a new pixel that is not entirely covered by old ones, or that overlaps a NaN.
    sigma : numpy.ndarray, shape (..., n_new)
        Only if ``sigma`` is given. Each value is exact, but new pixels that share an old one are
        correlated: with the matrix A of `rebin_matrix` their covariance is A diag(σ²) Aᵀ.

    Examples
    --------
    >>> from astropayne.wavelengths.rebinning import rebin
    >>> flux, sigma = rebin([1, 2, 3, 4], [1.0, 3.0, 5.0, 5.0], [1.5, 3.5, 5.5], [1, 1, 1, 1])
    >>> print(flux, sigma.round(2))
    [ 2.  5. nan] [0.71 0.71  nan]
    """
    matrix, covered = rebin_matrix(wavelength, new_wavelength)
    new_flux = matrix_product(matrix, covered, flux)
    if sigma is None:
        return new_flux
    return new_flux, propagated_sigma(matrix, covered, sigma)


def propagated_sigma(matrix: csr_array, covered: np.ndarray, sigma: npt.ArrayLike) -> np.ndarray:
    """Return the standard deviation of ``values @ matrix.T`` for independent noise."""
    return np.sqrt(matrix_product(matrix.power(2), covered, np.square(sigma)))


def matrix_product(matrix: csr_array, covered: np.ndarray, values: npt.ArrayLike) -> np.ndarray:
    """Return ``values @ matrix.T`` in the precision of the values, NaN where not covered."""
    values = np.asarray(values)
    if values.ndim == 0 or values.shape[-1] != matrix.shape[1]:
        raise ValueError(
            f"flux and sigma need {matrix.shape[1]} pixels along their last axis, as wavelength "
            f"has; a shape is {values.shape}"
        )
    dtype = np.result_type(values, np.float32)
    matrix, rows = matrix.astype(dtype), values.reshape(-1, matrix.shape[1])
    result = np.empty((len(rows), matrix.shape[0]), dtype=dtype)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        result[block] = (matrix @ rows[block].T.astype(dtype)).T
    result[:, ~covered] = np.nan
    return result.reshape(*values.shape[:-1], matrix.shape[0])


def log_axis(
    wavelength: npt.ArrayLike, step: float | None = None, velocity: float | None = None
) -> np.ndarray:
    """Return an axis that is uniform in ln λ and covers the windows of another axis.

    Pixels are at integer multiples of the step, ln λ = k · step, so that all windows, and all axes
    with the same step, are aligned. The axis has the pixels that lie entirely in the old ones.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centers, increasing. Gaps remain gaps.
    step : float, optional
        In ln λ; by default the smallest step of ``wavelength``.
    velocity : float, optional
        The step as a velocity in km/s.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If both steps are given, the step is not between 0 and 0.5, or a window becomes narrower
        than two pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.rebinning import log_axis
    >>> log_axis([5000, 5001, 5002, 6000, 6001, 6002], velocity=60).round(2)
    array([5000.5 , 5001.5 , 6000.62, 6001.82])
    """
    wavelength = checked_axis(wavelength)
    windows, (lower, upper) = find_windows(wavelength), pixel_edges(wavelength)
    step = _log_step(wavelength, windows, step, velocity)
    # The outermost pixels are symmetric in λ, not in ln λ.
    first = np.log(lower / (1 - math.expm1(step) / 2)) / step - _ROUNDING / 10
    last = np.log(upper / (1 - math.expm1(-step) / 2)) / step + _ROUNDING / 10
    pieces = [np.arange(math.ceil(first[w][0]), math.floor(last[w][-1]) + 1) for w in windows]
    for window, piece in zip(windows, pieces, strict=True):
        if len(piece) < 2:
            raise ValueError(
                f"a step of {step:g} in ln λ ({step * C_KMS:g} km/s) leaves "
                f"{len(piece)} pixels of the window from {wavelength[window][0]:g} to "
                f"{wavelength[window][-1]:g}: take a smaller step, or leave the window out"
            )
    return np.exp(step * np.concatenate(pieces))


def _log_step(
    wavelength: np.ndarray, windows: Sequence[slice], step: float | None, velocity: float | None
) -> float:
    """Return the step in ln λ."""
    if step is not None and velocity is not None:
        raise ValueError(f"step={step} and velocity={velocity} were both given: give one")
    if velocity is not None:
        step = velocity / C_KMS
    if step is None:
        steps = [np.diff(np.log(wavelength[w])) for w in windows]
        return float(np.concatenate(steps).min())
    if not 0 < step < 0.5:
        raise ValueError(f"a step of {step} in ln λ was given; it must lie between 0 and 0.5")
    return step
