# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelength axes: windows, pixel widths and coverage."""

import itertools

import numpy as np

from astropayne.wavelengths.media import require_medium
from astropayne.wavelengths.resolution import require_resolution

__all__ = [
    "covered_range",
    "effective_arms",
    "find_windows",
    "pixel_width",
    "require_axis",
    "without_gaps",
]

_OF_STARS = (100.0, 1e8)  # Å; other numbers are logarithms, or in another unit


def find_windows(wavelength):
    """Split an axis where it has gaps.

    A gap is a step more than three times as wide as the narrower of its neighbours.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.

    Returns
    -------
    list of slice
        One for each window.

    Examples
    --------
    >>> from astropayne.wavelengths.axis import find_windows
    >>> find_windows([5000, 5001, 5002, 6000, 6001, 6002])
    [slice(0, 3, None), slice(3, 6, None)]
    """
    step = np.diff(np.asarray(wavelength, dtype=float))
    if len(step) < 2:
        return [slice(0, len(step) + 1)]
    before = np.concatenate([step[1:2], step[:-1]])
    after = np.concatenate([step[1:], step[-2:-1]])
    edges = np.flatnonzero(step > 3 * np.minimum(before, after)) + 1
    starts = [0, *map(int, edges)]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(step) + 1], strict=True)]


def pixel_width(wavelength):
    """Return the widths of pixels in ln λ: the distance to the nearer neighbour.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
        NaN for no pixel, which is taken to be one wide.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels)
    """
    step = np.abs(np.diff(np.log(wavelength), axis=1))
    no_step = np.full((len(step), 1), np.inf)
    step = np.where(np.isnan(step), np.inf, step)
    width = np.minimum(np.hstack([no_step, step]), np.hstack([step, no_step]))
    return np.where(np.isfinite(width), width, 1.0)


def covered_range(wavelength, used):
    """Return how much of ln λ pixels cover; what several arms cover counts once.

    Parameters
    ----------
    wavelength, used : sequence of numpy.ndarray, shape (n_pixels,)
        Of each arm. Pixels that are not used cover nothing, and neither does an arm of one pixel.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.axis import covered_range
    >>> arm, used = np.linspace(5000, 5100, 101), np.ones(101, dtype=bool)
    >>> covered_range([arm], [used]) == covered_range([arm, arm], [used, used])
    True
    """
    parts = [
        (np.log(w[mine]), pixel_width(w[None])[0, mine])
        for w, mine in zip(wavelength, used, strict=True)
        if len(w) > 1
    ]
    middle, width = np.hstack([np.zeros((2, 0)), *parts])
    order = np.argsort(middle - 0.5 * width)
    start, end = (middle - 0.5 * width)[order], (middle + 0.5 * width)[order]
    before = np.maximum.accumulate(np.append(-np.inf, end[:-1])) if len(end) else end
    return float(np.maximum(end - np.maximum(start, before), 0).sum())


def effective_arms(wavelength, weight):
    """Return how many arms like its own see the wavelength of each pixel.

    Parameters
    ----------
    wavelength : sequence of numpy.ndarray, shape (n, n_pixels)
        Of each arm; NaN for no pixel.
    weight : numpy.ndarray, shape (n, n_pixels of all arms)
        What each pixel tells of its wavelength; zero for one that is not used.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels of all arms)
        What all arms tell over what the pixel's own does; one where it is the only one.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.axis import effective_arms
    >>> blue, red = np.array([[5000.0, 5001, 5002]]), np.array([[5001.2, 5002.2, 5003.2]])
    >>> effective_arms([blue, red], np.array([[1, 1, 1, 3, 3, 3]])).round(2).tolist()
    [[1.0, 4.0, 4.0, 1.33, 1.33, 1.0]]
    """
    total, ends = np.array(weight, dtype=float), np.cumsum([0, *(w.shape[1] for w in wavelength)])
    arms = [
        (slice(*pair), np.log(w), pixel_width(w))
        for pair, w in zip(itertools.pairwise(ends), wavelength, strict=True)
        if weight[:, slice(*pair)].any()  # most orders of an echelle spectrum lie elsewhere
    ]
    for (mine, log, _), (its, other, width) in itertools.permutations(arms, 2):
        for i, row in enumerate(total[:, mine]):
            if row.any():
                row += _of_nearest(log[i], other[i], width[i], weight[i, its])
    return np.divide(total, weight, out=np.ones_like(total), where=weight > 0)


def _of_nearest(log, other, width, weight):
    """Return the weight of another arm's nearest pixel; zero where none is as near as its width."""
    some = np.flatnonzero(weight > 0)
    some = some[np.argsort(other[some])]
    at = other[some]
    if not len(at) or not (np.nanmin(log) <= at[-1] and np.nanmax(log) >= at[0]):
        return 0.0
    nearest = some[np.searchsorted(0.5 * (at[1:] + at[:-1]), log)]
    return np.where(np.abs(log - other[nearest]) <= width[nearest], weight[nearest], 0.0)


def require_axis(wavelength, medium, resolution):
    """Refuse (ValueError) pixels that are those of no spectrum.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    medium : str
    resolution : float or None
    """
    step = np.diff(wavelength, prepend=0.0)
    wrong = ~((step > 0) & (step < np.inf))
    if wrong.any():
        i = np.argmax(wrong)
        raise ValueError(
            f"the wavelength of pixel {i} is {wavelength[i]}: wavelengths have to be finite, "
            "positive and increasing"
        )
    if len(wavelength) and not (_OF_STARS[0] <= wavelength[0] and wavelength[-1] <= _OF_STARS[1]):
        raise ValueError(
            f"wavelengths go from {wavelength[0]:.6g} to {wavelength[-1]:.6g} Angstrom, which no "
            "spectrum of a star does: say their unit, such as nm; if they are logarithms, give "
            "10**value, or call their column 'loglam'"
        )
    require_medium(medium)
    require_resolution(resolution)


def without_gaps(wavelength, pixels):
    """Split some of the pixels of an axis where others are between them, or a gap is.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.
    pixels : array_like of bool, shape (n_pixels,)

    Returns
    -------
    list of numpy.ndarray
        The pixels' indices.

    Examples
    --------
    >>> from astropayne.wavelengths.axis import without_gaps
    >>> wavelength = [5000, 5001, 5002, 6000, 6003, 6006]
    >>> [part.tolist() for part in without_gaps(wavelength, [True, False, True, True, True, True])]
    [[0], [2], [3, 4, 5]]
    """
    pixels = np.flatnonzero(pixels)
    starts = [window.start for window in find_windows(wavelength)]
    breaks = (np.diff(pixels) > 1) | np.diff(np.searchsorted(starts, pixels, "right")).astype(bool)
    return np.split(pixels, np.flatnonzero(breaks) + 1) if len(pixels) else []
