# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelength axes: windows, pixel widths and coverage."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from astropayne.wavelengths.media import require_medium
from astropayne.wavelengths.resolution import require_resolution

__all__ = [
    "covered_range",
    "effective_arms",
    "find_windows",
    "pixel_width",
    "require_axis",
    "same_pixels",
    "without_gaps",
]

_ROUNDING = 1e-7  # relative; wavelengths in single precision are rounded by 6e-8
_SHORTEST_IN_AIR = 2000.0  # Å; shorter wavelengths are given in vacuum
_OF_STARS = (100.0, 1e8)  # Å; other numbers are logarithms or in another unit


def find_windows(wavelength: npt.ArrayLike) -> list[slice]:
    """Split an axis where it has gaps.

    A gap is a step more than three times as wide as the narrower of its neighbors.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.

    Returns
    -------
    list of slice
        One per window.

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


def pixel_width(wavelength: np.ndarray) -> np.ndarray:
    """Return the widths of pixels in ln λ: the distance to the nearer neighbor.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
        NaN for missing pixels, whose width is one.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels)
    """
    step = np.abs(np.diff(np.log(wavelength), axis=1))
    no_step = np.full((len(step), 1), np.inf)
    step = np.where(np.isnan(step), np.inf, step)
    width = np.minimum(np.hstack([no_step, step]), np.hstack([step, no_step]))
    return np.where(np.isfinite(width), width, 1.0)


def covered_range(wavelength: Sequence[np.ndarray], used: Sequence[np.ndarray]) -> float:
    """Return the range in ln λ that pixels cover; the overlap of arms counts once.

    Parameters
    ----------
    wavelength, used : sequence of numpy.ndarray, shape (n_pixels,)
        For each arm. Unused pixels and arms with a single pixel cover nothing.

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


def effective_arms(wavelength: Sequence[np.ndarray], weight: np.ndarray) -> np.ndarray:
    """Return the effective number of arms that observe the wavelength of each pixel.

    Parameters
    ----------
    wavelength : sequence of numpy.ndarray, shape (n, n_pixels)
        For each arm; NaN for missing pixels.
    weight : numpy.ndarray, shape (n, n_pixels of all arms)
        Information of each pixel, such as an inverse variance per unit of ln λ; zero for unused
        pixels.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels of all arms)
        Total weight of all arms divided by the pixel's own; one if no other arm is there.

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


def _of_nearest(
    log: np.ndarray, other: np.ndarray, width: np.ndarray, weight: np.ndarray
) -> np.ndarray | float:
    """Return the weight of another arm's nearest pixel; zero if it is further than its width."""
    some = np.flatnonzero(weight > 0)
    some = some[np.argsort(other[some])]
    at = other[some]
    if not len(at) or not (np.nanmin(log) <= at[-1] and np.nanmax(log) >= at[0]):
        return 0.0
    nearest = some[np.searchsorted(0.5 * (at[1:] + at[:-1]), log)]
    return np.where(np.abs(log - other[nearest]) <= width[nearest], weight[nearest], 0.0)


def require_axis(wavelength: np.ndarray, medium: str, resolution: float | None) -> None:
    """Check wavelengths, medium and resolution of a spectrum.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    medium : str
    resolution : float or None

    Raises
    ------
    ValueError
        If wavelengths are not positive, finite and increasing, are not in Å, or the medium or
        resolution is not valid.
    """
    step = np.diff(wavelength, prepend=0.0)
    wrong = ~((step > 0) & (step < np.inf))
    if wrong.any():
        i = np.argmax(wrong)
        raise ValueError(
            f"the wavelength of pixel {i} is {wavelength[i]}: wavelengths must be finite, "
            "positive and increasing"
        )
    if len(wavelength) and not (_OF_STARS[0] <= wavelength[0] and wavelength[-1] <= _OF_STARS[1]):
        raise ValueError(
            f"wavelengths go from {wavelength[0]:.6g} to {wavelength[-1]:.6g} Angstrom, outside "
            "of any stellar spectrum: state their unit, such as nm; if they are logarithms, give "
            "10**value, or call their column 'loglam'"
        )
    require_medium(medium)
    require_resolution(resolution)
    if medium == "air" and len(wavelength) and wavelength[0] < _SHORTEST_IN_AIR:
        raise ValueError(
            f"wavelengths in air go from {wavelength[0]:.6g} to {wavelength[-1]:.6g} Angstrom, but "
            f"below {_SHORTEST_IN_AIR:g} they are given in vacuum: state their unit if they are in "
            "another one, such as nm, or medium='vacuum'"
        )


def same_pixels(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether wavelengths are the same, apart from rounding to single precision.

    Parameters
    ----------
    one, other : numpy.ndarray, shape (n_pixels,)

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.axis import same_pixels
    >>> wavelength = np.linspace(5000, 5001, 21)
    >>> same_pixels(wavelength, wavelength.astype(np.float32))
    True
    """
    return one.shape == other.shape and np.allclose(one, other, rtol=_ROUNDING, atol=0)


def without_gaps(wavelength: npt.ArrayLike, pixels: npt.ArrayLike) -> list[np.ndarray]:
    """Split selected pixels of an axis at unselected pixels and at gaps.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.
    pixels : array_like of bool, shape (n_pixels,)

    Returns
    -------
    list of numpy.ndarray
        Indices of the selected pixels.

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
