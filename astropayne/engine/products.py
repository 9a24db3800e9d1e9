# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Products of columns over pixels, robust solutions, and rounding of approximate quantities."""

import numpy as np
import torch

__all__ = [
    "Rows",
    "as_slice",
    "cholesky_of_modes",
    "exact",
    "regular",
    "reweighted",
    "rounded_resolution",
    "rounded_widths",
]

#: Rows of a batch: consecutive ones as a slice.
Rows = slice | np.ndarray

_HUBER = 3.0  # standard deviations beyond which "huber" counts a residual's size, not its square
_REWEIGHTINGS, _SETTLED = 50, 1e-2  # at most; of residuals, in standard deviations
_WIDTHS = 0.16  # steps of the widths that shared errors are broadened by, relative to these,
_NARROW = 10.0  # or to this, in km/s, if it is more


def rounded_widths(width: np.ndarray) -> np.ndarray:
    """Return widths in km/s, off by a twelfth or 0.8 km/s at most, of which there are few."""
    return _NARROW * np.sinh(_WIDTHS * np.rint(np.arcsinh(width / _NARROW) / _WIDTHS))


def rounded_resolution(resolution: np.ndarray, highest: float | None) -> np.ndarray:
    """Return the same of resolutions, which are never above the model's."""
    rounded = np.exp(_WIDTHS * np.rint(np.log(resolution) / _WIDTHS))
    return np.minimum(rounded, highest or np.inf)


def exact(products: torch.Tensor) -> torch.Tensor:
    """Return sums over pixels in double precision, on the CPU: not every device has it."""
    return products.cpu().double()


def cholesky_of_modes(modes: torch.Tensor) -> torch.Tensor:
    """Return L of MᵀM + 1 = LLᵀ for the emulator's errors M, in units of σ; double precision."""
    products = exact(modes.mT @ modes)
    return torch.linalg.cholesky(products + torch.eye(len(products[0])).to(products))


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
