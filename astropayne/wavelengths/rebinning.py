# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra on other pixels and at lower resolution: sparse operators for many spectra at once.

Plain arrays, no units. Wavelengths increase, and may have gaps between windows. Nothing is filled
in: a pixel that needs flux from where there is none is NaN, and so is one that needs a NaN.
"""

import math

import numpy as np
from scipy.sparse import csr_array

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import C_KMS

__all__ = [
    "apply_matrix",
    "checked_axis",
    "log_axis",
    "matrix_product",
    "pixel_edges",
    "rebin",
    "rebin_matrix",
]

_ROUNDING = 1e-7  # less than this part of a pixel, covered or not, is a matter of rounding
_BLOCK = 256  # spectra that an operator is applied to at a time: bounds the memory


def pixel_edges(wavelength):
    """Edges of pixels: half-way between their centres, in each window apart.

    The outermost pixels of a window reach as far outwards as inwards; one that is alone between
    two gaps is taken to be as wide as the last before it that is not. Pixels never overlap.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Centres, increasing.

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
    known = np.flatnonzero(np.isfinite(before))
    last = known[np.searchsorted(known, np.arange(len(before)), side="right").clip(1) - 1]
    lower, upper = wavelength - before[last] / 2, wavelength + after[last] / 2
    middle = (wavelength[:-1] + wavelength[1:]) / 2
    lower[1:], upper[:-1] = np.maximum(lower[1:], middle), np.minimum(upper[:-1], middle)
    return lower, upper


def checked_axis(wavelength, name="wavelength"):
    """Return a wavelength axis as floats, or raise `ValueError`."""
    wavelength = np.asarray(wavelength, dtype=float)
    if wavelength.ndim != 1 or len(wavelength) < 2:
        raise ValueError(
            f"{name} has shape {wavelength.shape}: it has to be one axis of two pixels or more"
        )
    if not (wavelength[0] > 0 and (np.diff(wavelength) > 0).all() and np.isfinite(wavelength[-1])):
        raise ValueError(f"{name} has to be finite, positive and increasing: sort the pixels first")
    return wavelength


def rebin_matrix(wavelength, new_wavelength):
    """Return the operator of `rebin`.

    Parameters
    ----------
    wavelength, new_wavelength : array_like
        Pixel centres, increasing.

    Returns
    -------
    matrix : scipy.sparse.csr_array, shape (n_new, n_pixels)
        Each row is the share that every old pixel has in a new one; it is empty, and to be taken
        as NaN, where ``covered`` is `False`.
    covered : numpy.ndarray of bool, shape (n_new,)
        New pixels that lie in old ones wholly.

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
    # A sliver would make a pixel NaN for the sake of a NaN it does not really touch.
    keep = covered[new] & (share > _ROUNDING)
    new, old, share = new[keep], old[keep], share[keep]
    share /= np.bincount(new, share, len(start))[new]
    return csr_array((share, (new, old)), shape=(len(start), len(lower))), covered


def rebin(wavelength, flux, new_wavelength, sigma=None):
    """Put spectra on other pixels so that flux is conserved.

    The flux density of a new pixel is the mean over it of the old ones', each taken as constant
    over its pixel (Carnall 2017, arXiv:1705.05165). Gaps are gaps: nothing is taken across them.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centres, increasing.
    flux : array_like, shape (..., n_pixels)
        Flux density of one spectrum, or of many.
    new_wavelength : array_like, shape (n_new,)
        Pixel centres wanted.
    sigma : array_like, shape (n_pixels,) or that of the flux, optional
        Standard deviations of pixels whose noise is independent.

    Returns
    -------
    flux : numpy.ndarray, shape (..., n_new)
        NaN for a new pixel that is not wholly covered by old ones, or that covers a NaN.
    sigma : numpy.ndarray, shape (..., n_new)
        Only if it was given. Each is exact, but two new pixels that share an old one are no longer
        independent: with the matrix A of `rebin_matrix` their covariance is A diag(σ²) Aᵀ.

    Examples
    --------
    >>> from astropayne.wavelengths.rebinning import rebin
    >>> flux, sigma = rebin([1, 2, 3, 4], [1.0, 3.0, 5.0, 5.0], [1.5, 3.5, 5.5], [1, 1, 1, 1])
    >>> print(flux, sigma.round(2))
    [ 2.  5. nan] [0.71 0.71  nan]
    """
    return apply_matrix(*rebin_matrix(wavelength, new_wavelength), flux, sigma)


def apply_matrix(matrix, covered, flux, sigma=None):
    """Apply a sparse operator to flux and, if it is given, to its standard deviation."""
    new_flux = matrix_product(matrix, covered, flux)
    if sigma is None:
        return new_flux
    return new_flux, np.sqrt(matrix_product(matrix.power(2), covered, np.square(sigma)))


def matrix_product(matrix, covered, values):
    """Return ``values @ matrix.T`` in the precision of the values, NaN where nothing is."""
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


def log_axis(wavelength, step=None, velocity=None):
    """Make an axis uniform in ln λ out of the windows of another.

    Its pixels are at whole multiples of the step, ln λ = k · step, so that all windows, and all
    axes of the same step, are aligned; they are those that lie in the old pixels wholly.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centres, increasing. Gaps remain gaps.
    step : float, optional
        In ln λ; by default the smallest of ``wavelength`` itself.
    velocity : float, optional
        The step as a velocity in km/s instead.

    Returns
    -------
    numpy.ndarray

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
    # The outermost pixels reach outwards as far as inwards in λ, not in ln λ.
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


def _log_step(wavelength, windows, step, velocity):
    if step is not None and velocity is not None:
        raise ValueError(f"step={step} and velocity={velocity} were both given: give one")
    if velocity is not None:
        step = velocity / C_KMS
    if step is None:
        steps = [np.diff(np.log(wavelength[w])) for w in windows]
        return float(np.concatenate(steps).min())
    if not 0 < step < 0.5:
        raise ValueError(f"a step of {step} in ln λ was given; it has to lie between 0 and 0.5")
    return step
