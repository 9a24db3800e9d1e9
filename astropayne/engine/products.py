# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Products of columns over pixels, and robust solutions."""

import numpy as np
import torch

__all__ = [
    "Rows",
    "as_slice",
    "exact",
    "regular",
    "reweighted",
]

#: Rows of a batch: consecutive ones as a slice.
Rows = slice | np.ndarray

_HUBER = 3.0  # standard deviations beyond which "huber" counts a residual's size, not its square
_REWEIGHTINGS, _SETTLED = 50, 1e-2  # at most; of residuals, in standard deviations


def exact(products: torch.Tensor) -> torch.Tensor:
    """Return sums over pixels in double precision, on the CPU: not every device has it."""
    return products.cpu().double()


def as_slice(rows: torch.Tensor) -> Rows:
    """Return increasing rows as a slice if they follow each other, which saves a copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows.numpy()


def regular(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix whose coefficients without any pixel are zero instead of undefined."""
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    largest = diagonal.amax(dim=1, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)
    return matrix + torch.diag_embed(
        torch.where(diagonal > 1e-14 * largest, 1e-12 * diagonal, largest)
    )


def reweighted(
    residual: torch.Tensor, linear: torch.Tensor, n_modes: int
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """Minimize Huber's loss over linear parameters by iteratively reweighted least squares.

    The iteration converges, so that the loss depends on the other parameters only and decreases
    towards its minimum.

    Parameters
    ----------
    residual : torch.Tensor, shape (n, n_pixels)
        In standard deviations.
    linear : torch.Tensor, shape (n, n_pixels, n_linear)
        Design matrix over σ.
    n_modes : int
        Number of its last columns with unit Gaussian priors, the errors of the emulator.

    Returns
    -------
    coefficients : torch.Tensor, shape (n, n_linear), or None
    root : torch.Tensor, shape (n, n_pixels)
        Square roots of the weights of squared residuals.
    excess : torch.Tensor, shape (n,)
        Loss minus the weighted squares.
    """
    best, coefficients = residual, None
    for _ in range(_REWEIGHTINGS):
        size = best.abs()
        root = torch.where(size > _HUBER, (_HUBER / size.clamp_min(_HUBER)).sqrt(), 1.0)
        excess = exact((_HUBER * (size - _HUBER).clamp_min(0)).sum(dim=1))
        if not linear.shape[2]:
            break
        columns = linear * root[..., None]
        normal = exact(columns.mT @ columns)
        diagonal = torch.arange(normal.shape[1] - n_modes, normal.shape[1])
        normal[:, diagonal, diagonal] += 1
        right = exact(columns.mT @ (residual * root)[..., None])
        coefficients = -torch.linalg.solve(regular(normal), right)[..., 0]
        before = best
        best = residual + (linear @ coefficients.to(linear)[..., None])[..., 0]
        if (best - before).abs().max() < _SETTLED:
            break
    return coefficients, root, excess
