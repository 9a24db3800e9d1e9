# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Robust statistics."""

import numpy as np

__all__ = ["finite_median", "median_and_scatter"]


def finite_median(values):
    """Return the median of the finite values, or NaN if there is none."""
    values = values[np.isfinite(values)]
    return np.median(values) if len(values) else np.nan


def median_and_scatter(values):
    """Return the median of what is finite, and 1.4826 median absolute deviations from it.

    Parameters
    ----------
    values : array_like

    Returns
    -------
    float, float
        NaN if nothing is finite, and the scatter of a single value, which has none.

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
    return middle, 1.4826 * finite_median(np.abs(values - middle))
