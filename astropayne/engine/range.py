# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Parameters at the bounds of their ranges: distance to the optimum and effect on errors."""

import numpy as np
from scipy.special import log_ndtr

__all__ = ["beyond_bounds", "truncated"]


def beyond_bounds(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the minimum of χ² is without bounds, and its distance in standard deviations.

    Parameters
    ----------
    gradient : numpy.ndarray, shape (k,)
        Jᵀr at the solution.
    hessian : numpy.ndarray, shape (k, k)
        JᵀJ there.

    Returns
    -------
    step : numpy.ndarray, shape (k,)
        From the solution to the minimum of the quadratic; zero where it is not defined.
    pull : numpy.ndarray, shape (k,)
        The same in standard deviations.
    """
    scale = np.sqrt(np.maximum(hessian.diagonal(), np.finfo(float).tiny))
    inverse = np.linalg.pinv(hessian / np.outer(scale, scale), 1e-10, hermitian=True)
    inverse /= np.outer(scale, scale)
    step = -inverse @ gradient
    error = np.sqrt(np.maximum(inverse.diagonal(), 0.0))
    return step, np.divide(step, error, out=np.zeros_like(step), where=error > 0)


def truncated(covariance: np.ndarray, bounded: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Return the covariance of parameters of which some are limited by a bound.

    The distribution of a parameter at its bound is a truncated Gaussian, which also reduces the
    variances of parameters that are correlated with it.

    Parameters
    ----------
    covariance : numpy.ndarray, shape (k, k)
        Without bounds.
    bounded : numpy.ndarray of int
        Which parameters are at their bounds.
    pull : numpy.ndarray, shape (k,)
        How far beyond the bound the minimum is, in standard deviations.

    Returns
    -------
    numpy.ndarray, shape (k, k)
    """
    covariance = covariance.copy()
    for i in bounded:
        beyond, variance = abs(pull[i]), covariance[i, i]
        if not (np.isfinite(variance) and variance > 0):
            continue
        # Variance of a Gaussian that is cut off at `beyond` standard deviations from its mean.
        ratio = np.exp(-0.5 * beyond**2 - log_ndtr(-beyond)) / np.sqrt(2 * np.pi)
        left = np.clip(1 + beyond * ratio - ratio**2, 0.0, 1.0)
        column = covariance[:, i].copy()
        covariance -= (1 - left) * np.outer(column, column) / variance
    return covariance
