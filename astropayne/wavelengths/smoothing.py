# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Convolution of spectra to a lower resolution."""

import math

import numpy as np
import numpy.typing as npt
from scipy.sparse import block_diag, csr_array

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.interpolation import lagrange_weights
from astropayne.wavelengths.rebinning import checked_axis, matrix_product, propagated_sigma
from astropayne.wavelengths.resolution import FWHM

__all__ = ["degrade", "degrade_matrix"]

_REACH = 5.0  # standard deviations at which a kernel is truncated
_TAPS = 10  # pixels of the interpolating polynomials


def degrade_matrix(
    wavelength: npt.ArrayLike, resolution: float | None, to_resolution: float
) -> tuple[csr_array, np.ndarray]:
    """Return the matrix of `degrade`.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centers, increasing.
    resolution : float or None
        λ/FWHM of the spectra; `None` for infinite resolution.
    to_resolution : float
        λ/FWHM of the result, which must be lower.

    Returns
    -------
    matrix : scipy.sparse.csr_array, shape (n_pixels, n_pixels)
        Rows sum to one. A row is empty, and the pixel is NaN, where ``covered`` is `False`.
    covered : numpy.ndarray of bool, shape (n_pixels,)
        Pixels whose kernel lies entirely in their window.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.smoothing import degrade_matrix
    >>> matrix, covered = degrade_matrix(np.arange(5000, 5010, 0.1), 20000, 10000)
    >>> int(covered.sum()), float(matrix.sum(axis=1).max().round(12))
    (80, 1.0)
    """
    x, width = np.log(checked_axis(wavelength)), _kernel_width(resolution, to_resolution)
    rows, blocks = [], []
    for window in find_windows(wavelength):
        inside, block = _smoothing(x[window], width)
        rows.append(inside + window.start)
        blocks.append(block)
    matrix, pixels = block_diag(blocks, format="csr"), np.concatenate(rows)
    count = np.zeros(len(x) + 1, dtype=int)
    count[pixels + 1] = np.diff(matrix.indptr)
    covered = count[1:] > 0
    return csr_array((matrix.data, matrix.indices, np.cumsum(count)), shape=(len(x),) * 2), covered


def _kernel_width(resolution: float | None, to_resolution: float) -> float:
    """Return the standard deviation in ln λ of the kernel from one resolution to the other."""
    resolution = math.inf if resolution is None else resolution
    if not (resolution > 0 and to_resolution > 0):
        raise ValueError(
            f"resolution={resolution} and to_resolution={to_resolution} were given: they are "
            "λ/FWHM and must be positive"
        )
    if to_resolution >= resolution:
        raise ValueError(
            f"to_resolution={to_resolution:g} must be lower than the spectra's own resolution, "
            f"{resolution:g}: smoothing cannot sharpen. If the spectra have infinite resolution, "
            "give resolution=None"
        )
    return math.sqrt(to_resolution**-2 - resolution**-2) / FWHM


def _smoothing(x: np.ndarray, width: float) -> tuple[np.ndarray, csr_array]:
    """Return which pixels of a window can be smoothed, and the matrix that smooths them.

    The integral of a Gaussian times the polynomials through the pixels is a trapezoidal sum, which
    is exact to 1e-6 if the points are closer together than the pixels and the width of the kernel.
    The points of a wide kernel lie on one uniform axis; a narrow kernel has points of its own for
    each pixel.
    """
    inside = np.flatnonzero((x - _REACH * width > x[0]) & (x + _REACH * width < x[-1]))
    if not len(inside):
        return inside, csr_array((0, len(x)))
    center, step = x[inside, None], np.diff(x).min()
    if width > 1.25 * step:
        points, step = np.linspace(x[0], x[-1], math.ceil((x[-1] - x[0]) / step) + 1, retstep=True)
        first = np.ceil((center - _REACH * width - x[0]) / step).astype(int)
        index = first + np.arange(int(2 * _REACH * width / step))
        offset = points[index] - center
    else:
        offset = np.broadcast_to(np.linspace(-_REACH, _REACH, 15) * width, (len(inside), 15))
        points, index = (center + offset).ravel(), np.arange(offset.size).reshape(offset.shape)
    weight = np.exp(-0.5 * (offset / width) ** 2)
    kernel = _rows(index, weight / weight.sum(axis=1, keepdims=True), len(points))
    interpolation = lagrange_weights(x, points, min(_TAPS, len(x)))
    return inside, kernel @ _rows(*interpolation, len(x))


def _rows(index: np.ndarray, weight: np.ndarray, n_columns: int) -> csr_array:
    """Return a sparse matrix with the same number of elements in every row."""
    starts = np.arange(0, index.size + 1, index.shape[1])
    return csr_array((weight.ravel(), index.ravel(), starts), shape=(len(index), n_columns))


def degrade(
    wavelength: npt.ArrayLike,
    flux: npt.ArrayLike,
    resolution: float | None,
    to_resolution: float,
    sigma: npt.ArrayLike | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth spectra to a lower resolution.

    The kernel is a Gaussian in ln λ whose FWHM² is the difference between those of the two
    resolutions. It is integrated over polynomials through the pixels, so that narrow kernels and
    pixels of unequal width neither broaden nor shift lines. The error is below 1e-4 of the depth
    of a line with a FWHM of 5 pixels, and below 2e-3 for 3 pixels if the kernel is narrower than a
    pixel.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centers, increasing, with gaps between windows.
    flux : array_like, shape (..., n_pixels)
        One spectrum, or many.
    resolution : float or None
        λ/FWHM of the spectra; `None` for infinite resolution.
    to_resolution : float
        λ/FWHM of the result, which must be lower.
    sigma : array_like, shape (n_pixels,) or that of the flux, optional
        Standard deviations of pixels whose noise is independent.

    Returns
    -------
    flux : numpy.ndarray, shape (..., n_pixels)
        NaN where the kernel, five standard deviations to each side, extends beyond the window or
        overlaps a NaN.
    sigma : numpy.ndarray
        Only if ``sigma`` is given; exact for each pixel.
    correlation : numpy.ndarray
        Only if ``sigma`` is given: number of pixels over which the noise is correlated, Σₖ Cᵢₖ/Cᵢᵢ
        with the covariance C. The notes describe its effect on a fit.

    Raises
    ------
    ValueError
        If ``to_resolution`` is not lower than ``resolution``.

    Notes
    -----
    Let N be ``correlation``. In the middle of a window, N is 1.5 times the kernel's FWHM in
    pixels (N = 2√π σ), and the noise of pixels at a distance k has the correlation exp(−πk²/N²),
    if N > 2. A χ² of independent pixels still has the expectation n, but n pixels are equivalent to
    n/N independent ones: differences of χ² are too large by a factor of up to N, and errors of a
    fit are too small by a factor of up to √N. Fits in this package use ``sigma *
    sqrt(correlation)``. Their errors are correct for features that are wide compared to the kernel;
    for lines as narrow as the kernel, they are up to 20 % too large for depths, 1.7 times for
    positions and about twice for widths. χ² and the degrees of freedom are then about n/N.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.smoothing import degrade
    >>> wavelength = np.arange(5000, 5010, 0.1)
    >>> flux = np.ones(100)
    >>> flux, sigma, correlation = degrade(wavelength, flux, 20000, 10000, sigma=flux / 100)
    >>> [round(float(values[50]), 4) for values in (flux, sigma, correlation)]
    [1.0, 0.0039, 6.5251]
    """
    matrix, covered = degrade_matrix(wavelength, resolution, to_resolution)
    new_flux = matrix_product(matrix, covered, flux)
    if sigma is None:
        return new_flux
    new_sigma = propagated_sigma(matrix, covered, sigma)
    # Σₖ Cᵢₖ = Σⱼ Aᵢⱼ (Σₖ Aₖⱼ) σⱼ²
    correlation = matrix_product(csr_array(matrix * matrix.sum(axis=0)), covered, np.square(sigma))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation /= np.square(new_sigma)
    return new_flux, new_sigma, correlation
