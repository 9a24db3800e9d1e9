# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The pixels of the lines of one abundance, everything else eliminated from them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from astropayne.engine.lines.linearized import LinearizedStars, products_of
from astropayne.forward.parameters import velocities_of
from astropayne.wavelengths.velocity import C_KMS

__all__ = ["LinePixels", "LineProblem", "inverse_of"]

_RIDGE = 1e-10  # of a diagonal, which keeps columns apart that are nearly alike


@dataclass(frozen=True)
class LineProblem:
    """One abundance, and the pixels where it is measured.

    Attributes
    ----------
    index : int
        Its position among all parameters.
    moves : tuple of int
        Positions of all parameters that move with it, its own among them.
    lines : numpy.ndarray of bool, shape (n_lines, n, n_pixels)
        The pixels of each of its lines, unusable ones included; no pixel belongs to two.
    """

    index: int
    moves: tuple[int, ...]
    lines: np.ndarray


class LinePixels:
    """The pixels of the lines of one abundance, and the information on everything else.

    Parameters
    ----------
    stars : LinearizedStars
    problem : LineProblem
    expand : callable
        Takes all parameters (n, n_names) after the abundance was changed, and returns them with
        those that are tied to it.
    """

    def __init__(
        self,
        stars: LinearizedStars,
        problem: LineProblem,
        expand: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.stars, self.problem, self.expand = stars, problem, expand
        self.low, self.high = stars.low[problem.index], stars.high[problem.index]
        self._take(problem.lines.any(axis=0))
        self._cut()
        own = self.take(stars.by_name)
        nuisance, linear = stars.chain.copy(), self.take(stars.linear)
        nuisance[:, list(problem.moves)] = 0
        self.nuisance = np.concatenate([own @ nuisance, linear], axis=2).astype(float)
        fitted = self.take(stars.fitted)
        design = np.concatenate([own @ stars.chain, linear], axis=2) * fitted[..., None]
        seen = products_of(design, self.take(stars.residual) * fitted)
        more = self.nuisance.mT @ self.nuisance
        self.information = stars.information - seen[:, :-1, :-1] + more
        self.gradient = stars.gradient - seen[:, :-1, -1]
        self.beyond = stars.shared - design.mT @ own  # of derivatives, in pixels of no line
        self.inverse = inverse_of(self.information)
        self.map = nuisance

    def _take(self, used: np.ndarray) -> None:
        """Select the pixels of the lines, in as few columns as possible."""
        ends = np.cumsum([p.wavelength.shape[1] for p in self.stars.pixels])
        parts = np.split(used, ends[:-1], axis=1)
        columns = [
            np.argsort(~m, axis=1, kind="stable")[:, : max(1, m.sum(1).max())] for m in parts
        ]
        self.wavelength = [
            np.take_along_axis(p.wavelength, c, axis=1)
            for p, c in zip(self.stars.pixels, columns, strict=True)
        ]
        self.resolution = [
            np.take_along_axis(r, c, axis=1) if np.ndim(r) == 2 else r
            for r, c in zip(self.stars.resolution, columns, strict=True)
        ]
        self.columns = np.concatenate(
            [c + e - p.shape[1] for c, e, p in zip(columns, ends, parts, strict=True)], axis=1
        )
        self.used = np.take_along_axis(used, self.columns, axis=1)
        self.scale = self.take(self.stars.scale)
        self.observed = self.take(self.stars.observed)

    def _cut(self) -> None:
        """Cut the model to the wavelengths that the lines and their broadening need."""
        stars = self.stars
        rv, vsini, vmac = velocities_of(stars.theta).T
        room = max(stars.forward.reach(vsini, vmac, r).max() for r in self.resolution) / C_KMS
        log = np.log(stars.rest_wavelength)
        lines = [log[line] for line in self.problem.lines]
        ends = [(some.min() - room, some.max() + room) for some in lines if len(some)]
        self.forward = stars.forward.restricted_to(ends) if ends else stars.forward
        self.pixels = [self.forward.pixels(w, rv) for w in self.wavelength]

    def take(self, values: np.ndarray) -> np.ndarray:
        """Return values (n, n_pixels, ...) at the pixels of the lines; other columns are zero."""
        shape = (..., *[None] * (values.ndim - 2))
        return np.take_along_axis(values, self.columns[shape], axis=1) * self.used[shape]

    def flux(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the model's flux for other abundances (n, k) of some stars: (n, n_pixels, k)."""
        k = values.shape[1]
        theta = np.repeat(self.stars.theta[rows], k, axis=0)
        theta[:, self.problem.index] = values.ravel()
        theta = self.expand(theta).reshape(-1, k, theta.shape[1])
        parts = [
            self.forward.forward_of_variations(theta, p[rows], r if r is None else r[rows])
            for p, r in zip(self.pixels, self.resolution, strict=True)
        ]
        return torch.cat(parts, dim=1).cpu().numpy()

    def eliminated(
        self, columns: np.ndarray, rows: np.ndarray | slice, weights: np.ndarray
    ) -> np.ndarray:
        """Return products of residuals (n, K, m) with other parameters eliminated: (n, m, m).

        Weights (m,) are 1 for columns that are residuals, and 0 for derivatives.
        """
        mixed = self.nuisance[rows].mT @ columns + self.gradient[rows, :, None] * weights
        return columns.mT @ columns - mixed.mT @ self.inverse[rows] @ mixed

    def by_others(self, own: np.ndarray) -> np.ndarray:
        """Return the derivatives of the best abundance by each other parameter.

        The remaining parameters are held, except linear ones (of the continuum and the emulator
        error). These, and the effects of the element outside its lines, adjust to the changes that
        the parameter makes in all pixels.
        """
        own, moves = own[..., None], list(self.problem.moves)
        free = np.ones(self.information.shape[1], dtype=bool)
        chain = self.stars.chain[:, moves]
        free[: chain.shape[2]] = (chain != 0).any(axis=(0, 1))
        inverse = inverse_of(self.information[:, free][:, :, free])
        nuisance = self.nuisance[..., free]
        names = self.take(self.stars.by_name).astype(float)
        follows = (nuisance.mT @ own).mT @ inverse
        size = own.mT @ own - follows @ (nuisance.mT @ own)
        change = own.mT @ names - follows @ (nuisance.mT @ names + self.beyond[:, free])
        by = -(change / np.maximum(size, 1e-300))[:, 0]
        by[:, moves] = 0.0
        return by


def inverse_of(matrix: np.ndarray) -> np.ndarray:
    """Return inverses of symmetric matrices, scaled first; zero where they hold no information."""
    size = np.diagonal(matrix, axis1=1, axis2=2)
    determined = size > 1e-14 * size.max(axis=1, keepdims=True, initial=0.0)
    scale = np.where(determined, 1 / np.sqrt(np.where(determined, size, 1.0)), 0.0)
    scaled = matrix * scale[:, :, None] * scale[:, None]
    # one without information, and a little more where columns can hardly be told apart
    scaled += np.eye(matrix.shape[1]) * np.where(determined, _RIDGE, 1.0)[:, None]
    return np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None]
