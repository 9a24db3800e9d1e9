# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Continuum polynomials."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.polynomial import chebyshev

from astropayne.forward.sampling import Pixels

__all__ = ["HELD", "NORMALIZED", "SPREAD", "Continuum", "continuum_evidence"]


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
    def over(cls, pixels: Pixels, used: np.ndarray, degree: int, n_windows: int) -> Self:
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

    def __getitem__(self, rows: slice | np.ndarray) -> "Continuum":
        """Return the polynomials of some stars."""
        return Continuum(self.degree, self.middle[rows], self.half[rows])

    def basis(self, pixels: Pixels) -> np.ndarray:
        """Return the polynomials at pixels: shape (n, n_pixels, n_windows · (degree + 1))."""
        columns = []
        for window in range(self.middle.shape[1]):
            middle, half = self.middle[:, window, None], self.half[:, window, None]
            inside = (pixels.window == window) & (middle > 0)
            x = (np.log(pixels.wavelength) - middle) / np.maximum(half, 1e-12)
            values = chebyshev.chebvander(np.where(inside, x, 0.0), self.degree)
            columns.append(values * inside[..., None])
        return np.concatenate(columns, axis=2)


#: Standard deviation of the coefficients of a continuum about one, beforehand.
SPREAD = 0.5
#: Inverse variance of a coefficient that is held.
HELD = 1e10
#: Degree of a continuum that is exactly one.
NORMALIZED = -1


def continuum_evidence(
    products: np.ndarray, n_parameters: int, coefficients: np.ndarray, degree: int, one: float
) -> np.ndarray:
    """Return how well polynomials of each degree explain a star, by the evidence.

    The model is linear about its best fit: labels, velocities and coefficients are marginalized.
    The coefficients have Gaussian priors of width `SPREAD` about zero, and the level one of
    width one about its best value. Degrees that the spectrum does not
    need are less likely, since they could have made it different (Occam's factor).

    Parameters
    ----------
    products : numpy.ndarray, shape (n_parameters + n_basis + 1,) * 2
        Products in pairs of the derivatives by parameters and by coefficients, and of the
        residual, all over σ, at the best fit with the highest degree.
    n_parameters : int
    coefficients : numpy.ndarray, shape (n_basis,)
        Those of the best fit, window by window.
    degree : int
        The highest degree.
    one : float
        Continuum of a normalized spectrum in the units of the flux.

    Returns
    -------
    numpy.ndarray, shape (degree + 2,)
        Logarithms of the evidence, up to a constant: for a continuum of one, for degree 0, 1…
    """
    k, seen = n_parameters, products.diagonal()[n_parameters:-1] > 0
    of_basis = np.tile(np.arange(degree + 1), len(coefficients) // (degree + 1))
    return np.array(
        [
            _evidence_of(products, k, coefficients, of_basis, seen, highest, one)
            for highest in range(NORMALIZED, degree + 1)
        ]
    )


def _evidence_of(
    products: np.ndarray,
    k: int,
    coefficients: np.ndarray,
    of_basis: np.ndarray,
    seen: np.ndarray,
    highest: int,
    one: float,
) -> float:
    free = np.flatnonzero(seen & (of_basis <= highest))
    held = np.flatnonzero(seen & (of_basis > highest))
    goal = np.where((of_basis == 0) & (highest == NORMALIZED), one, 0.0)
    # The residual with the coefficients that are held at their goal.
    residual = np.zeros(len(products))
    residual[-1] = 1
    residual[k + held] = (goal - coefficients)[held]
    kept = np.concatenate([np.arange(k), k + free]).astype(int)
    precision = np.concatenate([np.zeros(k), np.where(of_basis[free] == 0, 1.0, SPREAD**-2)])
    away = np.concatenate([np.zeros(k), np.where(of_basis[free] == 0, 0.0, coefficients[free])])
    normal = products[np.ix_(kept, kept)] + np.diag(precision)
    normal += 1e-9 * np.diag(normal.diagonal())
    gradient = products[kept] @ residual + precision * away
    chi2 = residual @ products @ residual + np.sum(precision * away**2)
    chi2 -= gradient @ np.linalg.solve(normal, gradient)
    size = np.linalg.slogdet(normal)[1] - np.sum(np.log(precision[k:]))
    return -0.5 * (chi2 + size)
