# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Levenberg–Marquardt with bounds, for many small problems at once.

Each problem is represented by its normal equations, which the caller computes. All problems of a
batch take their steps together; those that have converged leave the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["Solution", "expected_minimum", "levenberg_marquardt", "scaled"]

_DAMPING = 1e-3  # initially, relative to the diagonal
_LEAST, _MOST = 1e-9, 1e8
_LEFT = 2  # reduction of χ² by the step after the last, over the tolerance


@dataclass(frozen=True)
class Solution:
    """The solution of `levenberg_marquardt`.

    Attributes
    ----------
    x : torch.Tensor, shape (n, k)
    chi2 : torch.Tensor, shape (n,)
    gradient : torch.Tensor, shape (n, k)
        Jᵀr at ``x``: not zero along parameters at their bounds.
    hessian : torch.Tensor, shape (n, k, k)
        JᵀJ at ``x``.
    converged : torch.Tensor of bool, shape (n,)
    iterations : torch.Tensor of int, shape (n,)
        Number of evaluations.
    """

    x: torch.Tensor
    chi2: torch.Tensor
    gradient: torch.Tensor
    hessian: torch.Tensor
    converged: torch.Tensor
    iterations: torch.Tensor


def levenberg_marquardt(
    evaluate: Callable[
        [torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ],
    x: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    *,
    reach: torch.Tensor | None = None,
    tolerance: float | torch.Tensor = 1e-4,
    max_iterations: int = 50,
    rounding: float | torch.Tensor = 0.0,
) -> Solution:
    """Minimize χ² = rᵀr of many problems within bounds.

    Steps are damped relative to the diagonal of JᵀJ (Marquardt 1963, SIAM J. 11, 431). A parameter
    at a bound stays there if χ² decreases beyond the bound. A step that would cross a bound ends on
    it, and the step of the other parameters accounts for that.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x, rows)`` returns χ² (n,), the gradient Jᵀr (n, k) and JᵀJ (n, k, k) of the
        problems ``rows`` (a tensor of int) at ``x``, float64.
    x : torch.Tensor, shape (n, k)
        Initial values within the bounds, float64.
    low, high : torch.Tensor, shape (n, k)
        Bounds.
    reach : torch.Tensor, shape (k,), optional
        Typical length of a step in each parameter. It keeps parameters that the data does not
        constrain close to their initial values.
    tolerance : float or torch.Tensor, shape (n,)
        A problem has converged if its next step is predicted to lower χ² by less than this, or if
        the step after the next is predicted to lower it by less than about this: steps in each
        parameter shrink by a nearly constant factor. The next step is still taken, without another
        evaluation.
    max_iterations : int
        Maximum number of evaluations.
    rounding : float or torch.Tensor, shape (n,)
        Rounding error of χ²: a step that increases χ² by less than this is accepted.

    Returns
    -------
    Solution

    Examples
    --------
    Two exponential decays through five points each:

    >>> import torch
    >>> from astropayne.engine.least_squares import levenberg_marquardt
    >>> t = torch.arange(5, dtype=torch.float64)
    >>> data = torch.exp(-t * torch.tensor([[0.3], [1.2]]))
    >>> def evaluate(x, rows):
    ...     model = torch.exp(-t * x)
    ...     r, jacobian = model - data[rows], (-t * model)[..., None]
    ...     gradient = (jacobian * r[..., None]).sum(1)
    ...     return (r**2).sum(1), gradient, jacobian.mT @ jacobian
    >>> start = torch.full((2, 1), 0.5, dtype=torch.float64)
    >>> solution = levenberg_marquardt(evaluate, start, 0 * start, 9 + start, tolerance=1e-12)
    >>> solution.x.flatten().round(decimals=4).tolist()
    [0.3, 1.2]
    """
    n = len(x)
    x, rows = x.clone(), torch.arange(n, device=x.device)
    chi2, gradient, hessian = evaluate(x, rows)
    iterations = torch.ones(n, dtype=torch.long, device=x.device)
    converged = torch.zeros(n, dtype=torch.bool, device=x.device)
    damping = torch.full_like(chi2, _DAMPING)
    tolerance, rounding = (
        torch.as_tensor(a, dtype=chi2.dtype, device=x.device).expand(n)
        for a in (tolerance, rounding)
    )
    best, before = chi2.clone(), torch.zeros_like(x)
    curb = torch.zeros_like(x[0]) if reach is None else reach.to(x) ** -2
    for _ in range(max_iterations):
        here = x[rows], gradient[rows], hessian[rows], low[rows], high[rows]
        # Convergence is judged by the step without damping: damped steps may be short.
        twice = (part.repeat(2, *[1] * (part.ndim - 1)) for part in here)
        both = torch.cat([damping[rows], torch.full_like(damping[rows], _LEAST)])
        (step, last), (gain, promise) = (part.chunk(2) for part in _step(*twice, both, curb))
        share = here[2].diagonal(dim1=1, dim2=2) * last**2
        left = (share * (share / before[rows]).nan_to_num(1.0).clamp(max=1.0)).sum(dim=1)
        before[rows] = share
        done = (promise < tolerance[rows]) | (left < _LEFT * tolerance[rows])
        done &= torch.isfinite(chi2[rows])
        converged[rows[done]] = True
        ended = torch.clamp(x[rows] + last, low[rows], high[rows])
        moved = (hessian[rows] @ (ended - x[rows])[..., None])[..., 0]
        gradient[rows[done]] += moved[done]
        x[rows[done]] = ended[done]
        chi2[rows[done]] -= promise[done]
        hopeless = (damping[rows] >= _MOST) | (iterations[rows] >= max_iterations)
        going = ~done & ~hopeless
        rows, step, gain = rows[going], step[going], gain[going]
        if not len(rows):
            break
        trial = torch.clamp(x[rows] + step, low[rows], high[rows])
        new_chi2, new_gradient, new_hessian = evaluate(trial, rows)
        iterations[rows] += 1
        ratio = (chi2[rows] - new_chi2) / gain
        better = (ratio > 1e-3) | (new_chi2 < best[rows] + rounding[rows])  # False for NaN
        factor = torch.where(ratio > 0.75, 0.1, torch.where(better, 1.0, 10.0))
        factor = torch.where(better & (ratio < 0.25), 4.0, factor)
        damping[rows] = (damping[rows] * factor).clamp(_LEAST, _MOST)
        taken = rows[better]
        x[taken], chi2[taken] = trial[better], new_chi2[better]
        best[taken] = torch.minimum(best[taken], chi2[taken])
        gradient[taken], hessian[taken] = new_gradient[better], new_hessian[better]
    return Solution(x, chi2, gradient, hessian, converged, iterations)


def _step(x, gradient, hessian, low, high, damping, curb):
    """Return the step, and its reduction of χ² if the problem is linear.

    The step follows the damped step until a parameter reaches its bound and is held there, then
    the damped step of the other parameters. χ² decreases along the whole path.
    """
    held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    step = torch.zeros_like(x)
    for _ in range(x.shape[1]):
        slope = gradient + (hessian @ step[..., None])[..., 0]
        direction = _solve(slope, hessian, held, damping, curb)
        bound = torch.where(direction > 0, high, low)
        room = torch.where(direction != 0, (bound - x - step) / direction, torch.inf)
        part = room.amin(dim=1, keepdim=True).clamp(0, 1)
        step = step + part * direction
        met = (room <= part) & (part < 1)
        step = torch.where(met, bound - x, step)
        held = held | met
        if not met.any():
            break
    curvature = (hessian @ step[..., None])[..., 0]
    return step, -(step * (2 * gradient + curvature)).sum(dim=1)


def _solve(slope, hessian, held, damping, curb):
    """Solve the damped normal equations for the parameters that are not held."""
    free = (~held).to(hessian.dtype)
    diagonal = hessian.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(hessian.dtype).tiny)
    scale = diagonal.rsqrt() * free
    matrix = hessian * scale[:, :, None] * scale[:, None, :]
    matrix = matrix + torch.diag_embed(damping[:, None] * free + curb * scale**2 + (1 - free))
    solution, failed = torch.linalg.solve_ex(matrix, -(slope * scale)[..., None])
    return torch.where((failed != 0)[:, None], 0.0, solution[..., 0]) * scale


def scaled(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices (n, k, k) scaled to unit diagonals, and the factors between the two."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    scale = scale[:, :, None] * scale[:, None]
    return matrix / scale, scale


def expected_minimum(chi2: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return the minimum of χ² that its normal equations predict: shape (n,).

    Parameters
    ----------
    chi2 : numpy.ndarray, shape (n,)
        Current value.
    gradient, hessian : numpy.ndarray, shapes (n, k) and (n, k, k)
        Jᵀr and JᵀJ. Directions that they do not determine are left out of the step.
    """
    matrix, scale = scaled(hessian)
    inverse = np.linalg.pinv(matrix, 1e-12, hermitian=True) / scale
    return chi2 - np.einsum("ni,nij,nj->n", gradient, inverse, gradient)
