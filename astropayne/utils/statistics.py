# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Robust statistics of arrays with missing values."""

import numpy as np
from astropy.stats import mad_std

__all__ = ["finite_median", "median_and_scatter"]


def finite_median(values: np.ndarray) -> float:
    """Return the median of the finite values; NaN if no value is finite."""
    values = values[np.isfinite(values)]
    return np.median(values) if len(values) else np.nan


def median_and_scatter(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the scatter of the finite values.

    The scatter is `~astropy.stats.mad_std`, the standard deviation of Gaussian values that have
    the same median absolute deviation.

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
    >>> median, scatter = median_and_scatter(np.array([1.0, 2, 3, np.nan]))
    >>> print(f"{median:g} {scatter:.4f}")
    2 1.4826
    """
    values = values[np.isfinite(values)]
    return finite_median(values), mad_std(values) if len(values) > 1 else np.nan
