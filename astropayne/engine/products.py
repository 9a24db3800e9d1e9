# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Products of columns over pixels, and the rounding of what need not be exact."""

import numpy as np
import torch

__all__ = [
    "as_slice",
    "cholesky_of_modes",
    "exact",
    "regular",
    "rounded_resolution",
    "rounded_widths",
]

_WIDTHS = 0.16  # steps of the widths that shared errors are broadened by, relative to these,
_NARROW = 10.0  # or to this, in km/s, if it is more


def rounded_widths(width):
    """Return widths in km/s, off by a twelfth or 0.8 km/s at most, of which there are few."""
    return _NARROW * np.sinh(_WIDTHS * np.rint(np.arcsinh(width / _NARROW) / _WIDTHS))


def rounded_resolution(resolution, highest):
    """Return the same of resolutions, which are never above the model's."""
    rounded = np.exp(_WIDTHS * np.rint(np.log(resolution) / _WIDTHS))
    return np.minimum(rounded, highest or np.inf)


def exact(products):
    """Return sums over pixels in double precision, on the CPU: not every device has it."""
    return products.cpu().double()


def cholesky_of_modes(modes):
    """Return L of MᵀM + 1 = LLᵀ for the emulator's errors M, in units of σ; double precision."""
    products = exact(modes.mT @ modes)
    return torch.linalg.cholesky(products + torch.eye(len(products[0])).to(products))


def as_slice(rows):
    """Return increasing rows as a slice if they follow each other, which saves a copy."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows.numpy()


def regular(matrix):
    """Return a matrix whose coefficients without any pixel are zero instead of undefined."""
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    largest = diagonal.amax(dim=1, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)
    return matrix + torch.diag_embed(
        torch.where(diagonal > 1e-14 * largest, 1e-12 * diagonal, largest)
    )
