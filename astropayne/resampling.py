# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra on other pixels and at lower resolution: sparse operators for many spectra at once.

Plain arrays, no units. Wavelengths increase, and may have gaps between windows. Nothing is filled
in: a pixel that needs flux from where there is none is NaN, and so is one that needs a NaN.
"""

import math

import numpy as np
from scipy.sparse import block_diag, csr_array

from astropayne.wavelengths import C_KMS, FWHM, find_windows

__all__ = [
    "degrade",
    "degrade_matrix",
    "lagrange_weights",
    "log_axis",
    "pixel_edges",
    "rebin",
    "rebin_matrix",
]

_ROUNDING = 1e-7  # less than this part of a pixel, covered or not, is a matter of rounding
_BLOCK = 256  # spectra that an operator is applied to at a time: bounds the memory
_REACH = 5.0  # standard deviations at which a kernel is cut
_TAPS = 10  # pixels that the interpolation under a kernel goes through


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
    >>> from astropayne.resampling import pixel_edges
    >>> lower, upper = pixel_edges([5000, 5001, 5002, 6000, 6002, 6004])
    >>> print(lower, upper)
    [4999.5 5000.5 5001.5 5999.  6001.  6003. ] [5000.5 5001.5 5002.5 6001.  6003.  6005. ]
    """
    wavelength = _checked_axis(wavelength)
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


def _checked_axis(wavelength, name="wavelength"):
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
    >>> from astropayne.resampling import rebin_matrix
    >>> matrix, covered = rebin_matrix([1, 2, 3, 4], [1.5, 3.5, 5.5])
    >>> print(matrix.toarray(), covered)
    [[0.5 0.5 0.  0. ]
     [0.  0.  0.5 0.5]
     [0.  0.  0.  0. ]] [ True  True False]
    """
    lower, upper = pixel_edges(wavelength)
    start, stop = pixel_edges(_checked_axis(new_wavelength, "new_wavelength"))
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
    >>> from astropayne.resampling import rebin
    >>> flux, sigma = rebin([1, 2, 3, 4], [1.0, 3.0, 5.0, 5.0], [1.5, 3.5, 5.5], [1, 1, 1, 1])
    >>> print(flux, sigma.round(2))
    [ 2.  5. nan] [0.71 0.71  nan]
    """
    return _apply(*rebin_matrix(wavelength, new_wavelength), flux, sigma)


def _apply(matrix, covered, flux, sigma=None):
    new_flux = _product(matrix, covered, flux)
    if sigma is None:
        return new_flux
    return new_flux, np.sqrt(_product(matrix.power(2), covered, np.square(sigma)))


def _product(matrix, covered, values):
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
    >>> from astropayne.resampling import log_axis
    >>> log_axis([5000, 5001, 5002, 6000, 6001, 6002], velocity=60).round(2)
    array([5000.5 , 5001.5 , 6000.62, 6001.82])
    """
    wavelength = _checked_axis(wavelength)
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
    >>> from astropayne.resampling import degrade_matrix
    >>> matrix, covered = degrade_matrix(np.arange(5000, 5010, 0.1), 20000, 10000)
    >>> int(covered.sum()), float(matrix.sum(axis=1).max().round(12))
    (80, 1.0)
    """
    x, width = np.log(_checked_axis(wavelength)), _kernel_width(resolution, to_resolution)
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


def lagrange_weights(nodes, points, taps):
    """Return what interpolates by the polynomials through the nearest nodes (Lagrange).

    Parameters
    ----------
    nodes : numpy.ndarray, shape (n_nodes,)
        Increasing.
    points : numpy.ndarray, shape (n,)
    taps : int
        Nodes that a polynomial goes through, ``n_nodes`` at most.

    Returns
    -------
    index : numpy.ndarray of int, shape (n, taps)
        Of the nodes.
    weight : numpy.ndarray, shape (n, taps)
        Of the values there.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.resampling import lagrange_weights
    >>> nodes = np.array([0.0, 1.0, 2.5, 3.0, 5.0])
    >>> index, weight = lagrange_weights(nodes, np.array([1.5]), taps=4)
    >>> float((weight * nodes[index] ** 3).sum().round(12))
    3.375
    """
    first = np.searchsorted(nodes, points) - taps // 2
    first = np.clip(first, 0, len(nodes) - taps)
    near = np.lib.stride_tricks.sliding_window_view(nodes, taps)
    others = (np.delete(near[:, [k]] - near, k, axis=1) for k in range(taps))
    apart = np.stack([distance.prod(axis=1) for distance in others], axis=1)
    distance, one = points[:, None] - near[first], np.ones((len(points), 1))
    before = np.cumprod(np.hstack([one, distance[:, :-1]]), axis=1)
    after = np.cumprod(np.hstack([one, distance[:, :0:-1]]), axis=1)[:, ::-1]
    return first[:, None] + np.arange(taps), before * after / apart[first]


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
    >>> from astropayne.resampling import degrade
    >>> wavelength = np.arange(5000, 5010, 0.1)
    >>> flux = np.ones(100)
    >>> flux, sigma, correlation = degrade(wavelength, flux, 20000, 10000, sigma=flux / 100)
    >>> [round(float(values[50]), 4) for values in (flux, sigma, correlation)]
    [1.0, 0.0039, 6.5251]
    """
    matrix, covered = degrade_matrix(wavelength, resolution, to_resolution)
    if sigma is None:
        return _apply(matrix, covered, flux)
    flux, new_sigma = _apply(matrix, covered, flux, sigma)
    # Σₖ Cᵢₖ = Σⱼ Aᵢⱼ (Σₖ Aₖⱼ) σⱼ²
    correlation = _product(csr_array(matrix * matrix.sum(axis=0)), covered, np.square(sigma))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation /= np.square(new_sigma)
    return flux, new_sigma, correlation
