# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Robust statistics of arrays with missing values."""

import numpy as np

__all__ = ["finite_median", "median_and_scatter"]

_SIGMA = 1.4826  # standard deviation of a Gaussian, in median absolute deviations


def finite_median(values: np.ndarray) -> float:
    """Return the median of the finite values, or NaN if there is none."""
    values = values[np.isfinite(values)]
    return np.median(values) if len(values) else np.nan


def median_and_scatter(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the scatter of the finite values.

    The scatter is 1.4826 times the median absolute deviation, which is the standard deviation of
    Gaussian values.

    Parameters
    ----------
    values : numpy.ndarray

    Returns
    -------
    median : float
        NaN if no value is finite.
    scatter : float
        NaN if fewer than two values are finite.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.utils.statistics import median_and_scatter
    >>> print(*median_and_scatter(np.array([1.0, 2, 3, np.nan])))
    2.0 1.4826
    """
    middle = finite_median(values)
    if np.isfinite(values).sum() < 2:
        return middle, np.nan
    return middle, _SIGMA * finite_median(np.abs(values - middle))
