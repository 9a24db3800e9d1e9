# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Convolution of spectra to a lower resolution."""

import math

import numpy as np
from scipy.sparse import block_diag, csr_array

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.interpolation import lagrange_weights
from astropayne.wavelengths.rebinning import apply_matrix, checked_axis, matrix_product
from astropayne.wavelengths.resolution import FWHM

__all__ = ["degrade", "degrade_matrix"]

_REACH = 5.0  # standard deviations at which a kernel is cut
_TAPS = 10  # pixels that the interpolation under a kernel goes through


def degrade_matrix(wavelength, resolution, to_resolution):
    """Return the operator of `degrade`.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centres, increasing.
    resolution : float or None
        λ/FWHM there is; `None` stands for perfect.
    to_resolution : float
        λ/FWHM wanted, lower.

    Returns
    -------
    matrix : scipy.sparse.csr_array, shape (n_pixels, n_pixels)
        Rows sum to one; they are empty, and to be taken as NaN, where ``covered`` is `False`.
    covered : numpy.ndarray of bool, shape (n_pixels,)
        Pixels whose kernel lies in their window wholly.

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
    matrix, rows = block_diag(blocks, format="csr"), np.concatenate(rows)
    count = np.zeros(len(x) + 1, dtype=int)
    count[rows + 1] = np.diff(matrix.indptr)
    covered = count[1:] > 0
    return csr_array((matrix.data, matrix.indices, np.cumsum(count)), shape=(len(x),) * 2), covered


def _kernel_width(resolution, to_resolution):
    """Return the standard deviation in ln λ of what brings one resolution to the other."""
    resolution = math.inf if resolution is None else resolution
    if not (resolution > 0 and to_resolution > 0):
        raise ValueError(
            f"resolution={resolution} and to_resolution={to_resolution} were given: they are "
            "λ/FWHM, and have to be positive"
        )
    if to_resolution >= resolution:
        raise ValueError(
            f"to_resolution={to_resolution:g} has to be lower than the spectra's own resolution, "
            f"{resolution:g}: smoothing cannot sharpen, and equal ones need nothing done. If the "
            "spectra are of perfect resolution, give resolution=None"
        )
    return math.sqrt(to_resolution**-2 - resolution**-2) / FWHM


def _smoothing(x, width):
    """Return which pixels of a window can be smoothed, and the matrix that smooths them.

    The integral of a Gaussian times the polynomials through the pixels, as a trapezoidal sum: that
    is exact but for 1e-6 as soon as points are closer than the kernel's width and the pixels. For
    a wide kernel they lie on one uniform axis; a narrow one has its own for each pixel.
    """
    inside = np.flatnonzero((x - _REACH * width > x[0]) & (x + _REACH * width < x[-1]))
    if not len(inside):
        return inside, csr_array((0, len(x)))
    centre, step = x[inside, None], np.diff(x).min()
    if width > 1.25 * step:
        points, step = np.linspace(x[0], x[-1], math.ceil((x[-1] - x[0]) / step) + 1, retstep=True)
        first = np.ceil((centre - _REACH * width - x[0]) / step).astype(int)
        index = first + np.arange(int(2 * _REACH * width / step))
        offset = points[index] - centre
    else:
        offset = np.broadcast_to(np.linspace(-_REACH, _REACH, 15) * width, (len(inside), 15))
        points, index = (centre + offset).ravel(), np.arange(offset.size).reshape(offset.shape)
    weight = np.exp(-0.5 * (offset / width) ** 2)
    kernel = _rows(index, weight / weight.sum(axis=1, keepdims=True), len(points))
    interpolation = lagrange_weights(x, points, min(_TAPS, len(x)))
    return inside, kernel @ _rows(*interpolation, len(x))


def _rows(index, weight, n_columns):
    """Return a sparse matrix that has as many elements in every row."""
    starts = np.arange(0, index.size + 1, index.shape[1])
    return csr_array((weight.ravel(), index.ravel(), starts), shape=(len(index), n_columns))


def degrade(wavelength, flux, resolution, to_resolution, sigma=None):
    """Smooth spectra to a lower resolution.

    The kernel is a Gaussian in ln λ whose FWHM² is the difference of the two. It is integrated
    over polynomials through the pixels, so that neither narrow kernels nor pixels of unequal width
    broaden or shift anything: of a line 5 pixels wide (FWHM), the error is below 1e-4 of its depth;
    of one 3 pixels wide, below 2e-3, and that only if the kernel is narrower than a pixel.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Pixel centres, increasing, with gaps between windows.
    flux : array_like, shape (..., n_pixels)
        One spectrum, or many.
    resolution : float or None
        λ/FWHM they have; `None` stands for perfect.
    to_resolution : float
        λ/FWHM wanted, lower.
    sigma : array_like, shape (n_pixels,) or that of the flux, optional
        Standard deviations of pixels whose noise is independent.

    Returns
    -------
    flux : numpy.ndarray, shape (..., n_pixels)
        NaN where the kernel, five standard deviations to each side, leaves the window or meets a
        NaN.
    sigma : numpy.ndarray
        Only if it was given: exact for each pixel alone.
    correlation : numpy.ndarray
        Only with sigma: over how many pixels the noise is correlated, Σₖ Cᵢₖ/Cᵢᵢ with the
        covariance C. See the notes for what it does to a fit.

    Raises
    ------
    ValueError
        If ``to_resolution`` is not lower than ``resolution``.

    Notes
    -----
    Let N be ``correlation``. In the middle of a window it is 1.5 times the kernel's FWHM in
    pixels (N = 2√π σ), and noise k pixels apart correlates by exp(−πk²/N²); this for N > 2. A
    χ² that takes pixels as independent still has the expectation n, but n pixels hold only n/N
    independent ones: differences of χ² are too large by up to N, errors of a fit too small by up
    to √N. With ``sigma * sqrt(correlation)``, as fits of this package count, errors are right for
    all that is wide against the kernel, and at most 20 % too large for the depths of lines as
    narrow as the kernel, 1.7 times for their positions and about twice for their widths, which
    are in frequencies that smoothing takes noise from; χ² is then about n/N, and so are the
    degrees of freedom.

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
    if sigma is None:
        return apply_matrix(matrix, covered, flux)
    flux, new_sigma = apply_matrix(matrix, covered, flux, sigma)
    # Σₖ Cᵢₖ = Σⱼ Aᵢⱼ (Σₖ Aₖⱼ) σⱼ²
    correlation = matrix_product(csr_array(matrix * matrix.sum(axis=0)), covered, np.square(sigma))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation /= np.square(new_sigma)
    return flux, new_sigma, correlation
