# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Observed pixels of one star and of a batch of stars, as arrays."""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Arm", "Star", "filled", "resolution_of"]


@dataclass(frozen=True)
class Arm:
    """Observed pixels that one instrument measured, of a batch of stars.

    Rows are stars. Those with fewer pixels than others have NaN wavelengths, and infinite sigma.

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

    def __getitem__(self, rows):
        """Return some of the stars."""
        resolution = self.resolution if self.resolution is None else self.resolution[rows]
        return Arm(self.wavelength[rows], self.flux[rows], self.sigma[rows], resolution)

    def keep(self, used):
        """Return only the pixels that are used (n, n_pixels), in as few columns as that takes."""
        columns = np.argsort(~used, axis=1, kind="stable")[:, : max(1, used.sum(axis=1).max())]
        taken = np.take_along_axis(used, columns, axis=1)

        def pick(array, rest):
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
    """One star's spectra, an array each for every arm.

    Attributes
    ----------
    wavelength, flux, sigma : list of numpy.ndarray
        Sigma is infinite where a pixel is not to be used.
    resolution : list of float, numpy.ndarray or None
        A value, or one a pixel; `None` where neither spectrum nor model know theirs.
    scale : list of float or numpy.ndarray
        What flux and sigma of each arm have been divided by, to be around one.
    level, worth : list of numpy.ndarray
        About what the flux is around each pixel, lines aside; as how many independent pixels it
        counts.
    noise_known : bool
        Whether there is an uncertainty; otherwise sigma is a guess, zero if there is none.
    """

    wavelength: list
    flux: list
    sigma: list
    resolution: list
    scale: list
    level: list
    worth: list
    noise_known: bool = True

    @property
    def resolution_varies(self):
        """Whether it is not the same for all pixels of an arm."""
        return any(np.ndim(r) for r in self.resolution)

    @property
    def typical_resolution(self):
        """That of most of its pixels; infinite where it is not known."""
        of_pixels = [
            np.broadcast_to(np.inf if r is None else r, len(flux))
            for r, flux in zip(self.resolution, self.flux, strict=True)
        ]
        return float(np.median(np.concatenate(of_pixels)))


def resolution_of(stars, a, n_pixels):
    """Return the resolution of an arm: shape (n,), or (n, n_pixels) where it varies.

    Where neither spectrum nor model know it, the model is taken as it is: infinite.
    """
    if not any(star.resolution_varies for star in stars):
        return np.array([star.resolution[a] or np.inf for star in stars])
    rows = np.empty((len(stars), n_pixels))
    for row, star in zip(rows, stars, strict=True):
        row[: len(star.flux[a])] = star.resolution[a]
        row[len(star.flux[a]) :] = np.min(star.resolution[a])  # no pixels, but numbers
    return rows


def filled(rows, n, rest):
    """Return rows as one array with ``n`` columns, filled up where they are shorter."""
    table = np.full((len(rows), n), rest)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
