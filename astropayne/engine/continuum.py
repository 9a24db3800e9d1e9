# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Continuum polynomials."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["Continuum"]


@dataclass(frozen=True)
class Continuum:
    """Chebyshev polynomials over each window, as far as it is observed, that multiply the model.

    Attributes
    ----------
    degree : int
    middle, half : numpy.ndarray, shape (n, n_windows)
        Of the observed range, in ln λ.
    """

    degree: int
    middle: np.ndarray
    half: np.ndarray

    @classmethod
    def over(cls, pixels, used, degree, n_windows):
        """Lay polynomials over the pixels that are used, in each of the model's windows."""
        log = np.log(pixels.wavelength)
        middle, half = np.zeros((2, len(log), n_windows))
        for window in range(n_windows):
            inside = used & (pixels.window == window)
            low = np.where(inside, log, np.inf).min(axis=1)
            high = np.where(inside, log, -np.inf).max(axis=1)
            some = inside.any(axis=1)
            middle[some, window] = 0.5 * (low[some] + high[some])
            half[some, window] = 0.5 * (high[some] - low[some])
        return cls(degree, middle, half)

    def __getitem__(self, rows):
        """Return those of some stars."""
        return Continuum(self.degree, self.middle[rows], self.half[rows])

    def basis(self, pixels):
        """Return the polynomials at pixels: shape (n, n_pixels, n_windows · (degree + 1))."""
        columns = []
        for window in range(self.middle.shape[1]):
            middle, half = self.middle[:, window, None], self.half[:, window, None]
            inside = (pixels.window == window) & (middle > 0)
            x = (np.log(pixels.wavelength) - middle) / np.maximum(half, 1e-12)
            values = chebyshev.chebvander(np.where(inside, x, 0.0), self.degree)
            columns.append(values * inside[..., None])
        return np.concatenate(columns, axis=2)
