# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Sampling of spectra from a uniform ln λ axis onto pixels."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch
from numpy.polynomial import chebyshev

from astropayne.wavelengths.interpolation import uniform_lagrange

__all__ = [
    "ALIGNED",
    "Interpolation",
    "Pixels",
    "chebyshev_values",
    "fast_length",
    "sampling_weights",
]

ALIGNED = 16  # numbers of a row of a table, or a multiple
_EVEN = 64  # a factor of the lengths of Fourier transforms
_DEGREE = 8  # of the polynomials that the weights of those points are, to 2e-8


@dataclass(frozen=True)
class Interpolation:
    """Values at new points as weighted sums of neighboring old ones, the rows of a table."""

    index: torch.Tensor  # (n, taps), of rows
    weight: torch.Tensor  # (n, taps)

    def __call__(self, table: torch.Tensor, n: int | None = None) -> torch.Tensor:
        """Return the values at the first ``n`` of the new points, all by default."""
        # An embedding bag is a weighted sum of rows, which torch computes fast on all devices.
        return torch.nn.functional.embedding_bag(
            self.index[:n], table, per_sample_weights=self.weight[:n], mode="sum"
        )


def fast_length(n: int) -> int:
    """Return a length of at least ``n`` whose real Fourier transforms are fast.

    Transforms of odd lengths take two to three times as long.
    """
    return _EVEN * scipy.fft.next_fast_len(math.ceil(n / _EVEN), real=True)


def as_row(resolution: npt.ArrayLike | None) -> npt.ArrayLike | None:
    """Return the resolution of one star in the shape that methods of models take."""
    return resolution if np.ndim(resolution) == 0 else np.asarray(resolution)[None]


def sampling_weights(points: float | None, taps: int) -> np.ndarray:
    """Return polynomials for the weights of uniform nodes: coefficients (degree + 1, taps).

    The argument goes from -1 at the middle of the nodes to 1 at the next one. With ``points`` nodes
    in the full width of the sharpest Gaussian line, the weights are those of the least error for
    sums of such lines wherever they are (as in kriging); `None` is for any smooth function, the
    polynomial through all nodes.
    """
    x = np.cos(np.pi * (np.arange(4 * _DEGREE) + 0.5) / (4 * _DEGREE))
    fraction = 0.5 * (x + 1)
    if points is None:
        values = uniform_lagrange(fraction, taps)
        return chebyshev.chebfit(x, values, max(_DEGREE, taps - 1))
    nodes = np.arange(taps) - (taps // 2 - 1)

    def covariance(a, b):  # of two places, of lines of that width
        return np.exp(-2 * np.log(2) * ((a[:, None] - b) / points) ** 2)

    inner = covariance(nodes, nodes) + 1e-13 * np.eye(taps)
    values = np.linalg.solve(inner, covariance(nodes, fraction)).T
    return chebyshev.chebfit(x, values / values.sum(axis=1, keepdims=True), _DEGREE)


def chebyshev_values(x: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
    """Return Chebyshev series of the elements of a tensor: (..., n_series)."""
    values = x.new_ones(len(coefficients), x.numel())
    values[1] = x.flatten()
    for k in range(2, len(coefficients)):
        torch.mul(values[1], values[k - 1], out=values[k]).mul_(2).sub_(values[k - 2])
    return (values.T @ coefficients).unflatten(0, x.shape)


@dataclass(frozen=True)
class Pixels:
    """Observed pixels of a batch of stars, as `Broadener.pixels` places them on the axis.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
        Vacuum wavelengths in Å; NaN where a row has no pixel.
    rv : numpy.ndarray, shape (n,)
        Velocities in km/s at which they were placed; fitted ones should be close to them.
    window : numpy.ndarray of int, shape (n, n_pixels)
        Window of the model in which each pixel lies, −1 outside of all windows.
    margin : numpy.ndarray, shape (n, n_pixels)
        Distance in km/s from that window's nearer edge; negative outside.
    """

    wavelength: np.ndarray
    rv: np.ndarray
    window: np.ndarray
    margin: np.ndarray
    first: torch.Tensor  # (n, n_pixels), of the points of the axis that make up the pixel
    weight: torch.Tensor  # (n, n_pixels, taps), of these points

    def __len__(self) -> int:
        return len(self.rv)

    def __getitem__(self, rows: slice | np.ndarray) -> "Pixels":
        """Return the pixels of the stars with these indices."""
        return Pixels(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})
