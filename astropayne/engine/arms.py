# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Observed pixels of one star and of a batch of stars, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

__all__ = ["Arm", "Star", "filled", "resolution_of"]


@dataclass(frozen=True)
class Arm:
    """Observed pixels of one instrument, for a batch of stars.

    Rows are stars. Rows of stars with fewer pixels end in NaN wavelengths and infinite sigma.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
    flux, sigma : numpy.ndarray, shape (n, n_pixels)
        Sigma is infinite where a pixel is not to be used.
    resolution : numpy.ndarray, shape (n,) or (n, n_pixels), or None
        λ/FWHM; `None` for the model's own.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    resolution: np.ndarray | None

    def __getitem__(self, rows: slice | np.ndarray) -> Self:
        """Return the pixels of the stars with these indices."""
        resolution = self.resolution if self.resolution is None else self.resolution[rows]
        return type(self)(self.wavelength[rows], self.flux[rows], self.sigma[rows], resolution)

    def keep(self, used: np.ndarray) -> Self:
        """Return only the pixels that are used (n, n_pixels), in as few columns as possible."""
        columns = np.argsort(~used, axis=1, kind="stable")[:, : max(1, used.sum(axis=1).max())]
        taken = np.take_along_axis(used, columns, axis=1)

        def pick(array: np.ndarray, rest: float) -> np.ndarray:
            return np.where(taken, np.take_along_axis(array, columns, axis=1), rest)

        resolution = self.resolution
        if np.ndim(resolution) == 2:
            resolution = np.take_along_axis(resolution, columns, axis=1)
        return replace(
            self,
            wavelength=pick(self.wavelength, np.nan),
            flux=pick(self.flux, 0.0),
            sigma=pick(self.sigma, np.inf),
            resolution=resolution,
        )


@dataclass(frozen=True)
class Star:
    """The spectra of one star, with one array per arm.

    Attributes
    ----------
    wavelength, flux, sigma : list of numpy.ndarray
        Sigma is infinite where a pixel is not to be used.
    resolution : list of float, numpy.ndarray or None
        One value, or one per pixel; `None` if neither spectrum nor model have a resolution.
    scale : list of float or numpy.ndarray
        Factors by which flux and sigma of each arm have been divided to be of order one.
    level, n_independent : list of numpy.ndarray
        Approximate continuum flux around each pixel, and the number of independent pixels that
        each pixel represents.
    noise_known : bool
        Whether sigma comes from uncertainties; otherwise it is estimated, or zero.
    """

    wavelength: list
    flux: list
    sigma: list
    resolution: list
    scale: list
    level: list
    n_independent: list
    noise_known: bool = True

    @property
    def resolution_varies(self) -> bool:
        """Whether the resolution differs between pixels of an arm."""
        return any(np.ndim(r) for r in self.resolution)

    @property
    def typical_resolution(self) -> float:
        """Median resolution of the pixels, where an unknown resolution counts as infinite."""
        of_pixels = [
            np.broadcast_to(np.inf if r is None else r, len(flux))
            for r, flux in zip(self.resolution, self.flux, strict=True)
        ]
        return float(np.median(np.concatenate(of_pixels)))


def resolution_of(stars: Sequence[Star], a: int, n_pixels: int) -> np.ndarray:
    """Return the resolution of an arm: shape (n,), or (n, n_pixels) where it varies.

    It is infinite if neither spectrum nor model have one: the model is not broadened.
    """
    if not any(star.resolution_varies for star in stars):
        return np.array([star.resolution[a] or np.inf for star in stars])
    rows = np.empty((len(stars), n_pixels))
    for row, star in zip(rows, stars, strict=True):
        row[: len(star.flux[a])] = star.resolution[a]
        row[len(star.flux[a]) :] = np.min(star.resolution[a])  # no pixels, but numbers
    return rows


def filled(rows: Sequence[np.ndarray], n: int, rest: float) -> np.ndarray:
    """Return rows as one array with ``n`` columns; shorter rows are padded with ``rest``."""
    table = np.full((len(rows), n), rest)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
