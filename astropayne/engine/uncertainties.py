# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Uncertainties of fitted parameters: covariances, and upper limits of vsini."""

import numpy as np
import torch

from astropayne.engine.least_squares import Solution, expected_minimum, scaled
from astropayne.engine.likelihood import Likelihood
from astropayne.engine.parameters import Parameters
from astropayne.engine.problem import FitProblem
from astropayne.forward.parameters import labels_of, velocity_of
from astropayne.wavelengths.resolution import FWHM
from astropayne.wavelengths.velocity import C_KMS, VELOCITIES

__all__ = ["covariances", "vsini_limits", "with_width_errors"]

_NO_ROTATION = 0.1  # km/s, below which no spectrum shows rotation
_SEPARATE, _LIMIT = 4.0, 2.71  # rises of χ²: of two standard deviations; one-sided, of 95 %


def covariances(
    problem: FitProblem, likelihood: Likelihood, theta: np.ndarray, hessian: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariances of the free parameters.

    Parameters
    ----------
    problem : FitProblem
    likelihood : `~astropayne.engine.likelihood.Likelihood`
        Likelihood of a batch of stars.
    theta : numpy.ndarray, shape (n, n_names)
        Parameters at the maximum of the likelihood.
    hessian : numpy.ndarray, shape (n, k, k)
        JᵀJ at the maximum, for the free parameters.

    Returns
    -------
    covariance : numpy.ndarray, shape (n, k, k)
        NaN for parameters that are not determined.
    determined : numpy.ndarray of bool, shape (n, k)
    """
    matrix = _with_label_shifts(problem, likelihood, theta, hessian)
    matrix, scale = scaled(matrix + np.diag(problem.range_precision))
    size, vectors = np.linalg.eigh(np.nan_to_num(matrix))
    weak = size < 1e-10 * size[:, -1:]
    inverse = np.where(weak, 0.0, 1 / np.where(weak, 1.0, size))
    covariance = np.einsum("nij,nj,nkj->nik", vectors, inverse, vectors) / scale
    determined = np.einsum("nij,nj->ni", vectors**2, weak.astype(float)) < 1e-6
    determined &= likelihood.noise_known[:, None]
    determined &= np.isfinite(hessian).all(axis=(1, 2))[:, None]
    both = determined[:, :, None] & determined[:, None]
    return np.where(both, covariance, np.nan), determined


def _with_label_shifts(
    problem: FitProblem, likelihood: Likelihood, theta: np.ndarray, hessian: np.ndarray
) -> np.ndarray:
    """Return JᵀJ reduced by possible shifts of labels due to the emulator error: (n, k, k).

    The covariance of the shifts is added to that from the spectrum; the information from priors
    on the labels is unchanged.
    """
    shift = problem.shift(labels_of(theta))
    if not shift.any():
        return hessian
    prior = np.diag(problem.parameters.prior()[1])
    spectrum, scale = scaled(hessian - prior)
    follow = _following(problem, likelihood, theta, spectrum, scale)
    shift = follow @ shift @ follow.transpose(0, 2, 1) * scale
    return scale * np.linalg.solve(np.eye(len(prior)) + spectrum @ shift, spectrum) + prior


def _following(
    problem: FitProblem,
    likelihood: Likelihood,
    theta: np.ndarray,
    spectrum: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    """Return derivatives of fitted free parameters by shifts of all labels: (n, k, n_labels).

    If all labels are free, each follows its own shift; the shift of a fixed label changes others.
    """
    parameters = problem.parameters
    labels, index = parameters.labels, parameters.index
    if {*labels} <= {*parameters.free}:
        return np.eye(len(index), len(labels))[None]
    names = [parameters.names[i] for i in parameters.moving]
    moving = tuple(name for name in names if name in VELOCITIES)
    free = likelihood.of(Parameters(parameters.names, labels + moving, parameters.scale))
    x = torch.as_tensor(theta[:, free.parameters.index])
    everything = free.in_blocks(x, torch.arange(len(theta)))[2].numpy()
    chain = parameters.chain(theta[:, index], theta)[:, free.parameters.index]
    by_shifts = chain.transpose(0, 2, 1) @ everything[:, :, : len(labels)]
    inverse = np.linalg.pinv(np.nan_to_num(spectrum), 1e-10, hermitian=True) / scale
    return inverse @ np.nan_to_num(by_shifts)


def vsini_limits(
    problem: FitProblem,
    likelihood: Likelihood,
    theta: np.ndarray,
    solution: Solution,
    covariance: np.ndarray,
) -> np.ndarray:
    """Return upper limits of vsini where it is not distinguishable from zero.

    The limit (one-sided, 95 %) is the value at which χ² is 2.71 above its minimum, with all other
    parameters adjusted by their normal equations.

    Parameters
    ----------
    problem : FitProblem
    likelihood : `~astropayne.engine.likelihood.Likelihood`
    theta : numpy.ndarray, shape (n, n_names)
        The best fits.
    solution : Solution
        Of the free parameters there.
    covariance : numpy.ndarray, shape (n, k, k)
        Of the free parameters.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In km/s; NaN where vsini is measured, or not free.
    """
    limits = np.full(len(theta), np.nan)
    free = problem.parameters.free
    low, high = velocity_of(problem.low, "vsini"), velocity_of(problem.high, "vsini")
    if "vsini" not in free or low > _NO_ROTATION:
        return limits
    k = free.index("vsini")
    others = torch.arange(len(free)) != k

    def excess(rows: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Return the increase of χ² above its minimum with vsini at a velocity."""
        if not len(rows):
            return np.zeros(0)
        x = solution.x[rows].clone()
        x[:, k] = torch.as_tensor(velocity)
        chi2, gradient, hessian = likelihood.in_blocks(x, torch.as_tensor(rows))
        hessian = hessian[:, others][:, :, others]
        parts = (part.numpy() for part in (chi2, gradient[:, others], hessian))
        return expected_minimum(*parts) - solution.chi2[rows].numpy()

    best, error = velocity_of(theta, "vsini"), np.sqrt(covariance[:, k, k])
    error[best <= low] = np.inf
    rows = np.flatnonzero(likelihood.noise_known & (best < 3 * error))
    rows = rows[excess(rows, np.full(len(rows), low)) < _SEPARATE]
    # the spectrum changes with the square of vsini, and so χ² with the square of its change
    change = np.maximum(best[rows] ** 2, 9.0)
    for _ in range(4):
        rise = np.maximum(excess(rows, np.sqrt(best[rows] ** 2 + change)), 1e-3)
        change = change * np.clip((_LIMIT / rise) ** 0.5, 0.1, 10)
        change = np.minimum(change, high**2 - best[rows] ** 2)
    limits[rows] = np.sqrt(best[rows] ** 2 + change)
    return limits


def with_width_errors(
    problem: FitProblem,
    resolution: np.ndarray,
    theta: np.ndarray,
    covariance: np.ndarray,
    limits: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return covariances and limits of vsini that include the error of the resolution.

    Widths of lines add by their squares, so that an error of the instrument's width is one of the
    square of vsini. The shapes of lines hardly tell one from the other. The variance of a rotation
    profile is vsini²/4 · (1 - 7ε/15) / (1 - ε/3) for linear limb darkening ε (from the profile in
    Gray 2005, The Observation and Analysis of Stellar Photospheres, eq. 18.14).

    Parameters
    ----------
    problem : FitProblem
    resolution : numpy.ndarray, shape (n,)
        λ/FWHM; infinite where it is not known.
    theta : numpy.ndarray, shape (n, n_names)
        The best fits.
    covariance : numpy.ndarray, shape (n, k, k)
        Of the free parameters.
    limits : numpy.ndarray, shape (n,)
        Upper limits of vsini in km/s; NaN where it is measured.

    Returns
    -------
    covariance : numpy.ndarray, shape (n, k, k)
    limits : numpy.ndarray, shape (n,)
    """
    free = problem.parameters.free
    if "vsini" not in free or not problem.resolution_error:
        return covariance, limits
    k, ld = free.index("vsini"), problem.forward.broadening.limb_darkening
    per_square = 0.25 * (1 - 7 * ld / 15) / (1 - ld / 3)
    instrument = (C_KMS / FWHM / resolution) ** 2  # a variance
    of_square = 2 * instrument * problem.resolution_error / per_square
    best, variance = velocity_of(theta, "vsini"), covariance[:, k, k]
    precision = problem.parameters.prior()[1][k]
    with np.errstate(divide="ignore", invalid="ignore"):
        by_width = 1 / ((2 * best / of_square) ** 2 + precision)
    covariance, rotates = covariance.copy(), best > _NO_ROTATION
    covariance[:, k, k] = np.where(rotates, np.maximum(by_width, variance), variance)
    of_square = np.hypot(of_square, 2 * best * np.sqrt(np.nan_to_num(variance)))
    from_zero = velocity_of(problem.low, "vsini") <= _NO_ROTATION and not precision
    near = from_zero & (best**2 < 2 * of_square) & np.isfinite(resolution)
    near &= np.isfinite(variance) | ~rotates
    wide = np.fmax(limits, np.sqrt(best**2 + 1.645 * of_square))
    return covariance, np.where(near, np.minimum(wide, velocity_of(problem.high, "vsini")), limits)
