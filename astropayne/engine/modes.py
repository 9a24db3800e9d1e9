# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Errors that the pixels of a spectrum share: those of the emulator and of the resolution."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from astropayne.engine.products import exact, regular
from astropayne.forward.model import ForwardModel
from astropayne.forward.sampling import Pixels
from astropayne.wavelengths.axis import pixel_width
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["broadened_modes", "cholesky_of_modes", "emulator_sigma", "resolution_shift"]

_WIDTHS = 0.16  # steps of the widths that shared errors are broadened by, relative to these,
_NARROW = 10.0  # or to this, in km/s, if it is more


def rounded_widths(width: np.ndarray) -> np.ndarray:
    """Return widths in km/s, off by a twelfth or 0.8 km/s at most, of which there are few."""
    return _NARROW * np.sinh(_WIDTHS * np.rint(np.arcsinh(width / _NARROW) / _WIDTHS))


def rounded_resolution(resolution: np.ndarray, highest: float | None) -> np.ndarray:
    """Return the same of resolutions, which are never above the model's."""
    rounded = np.exp(_WIDTHS * np.rint(np.log(resolution) / _WIDTHS))
    return np.minimum(rounded, highest or np.inf)


def cholesky_of_modes(modes: torch.Tensor) -> torch.Tensor:
    """Return L of MᵀM + 1 = LLᵀ for the emulator's errors M, in units of σ; double precision."""
    products = exact(modes.mT @ modes)
    return torch.linalg.cholesky(products + torch.eye(len(products[0])).to(products))


def emulator_sigma(
    forward: ForwardModel,
    pixels: Sequence[Pixels],
    error: np.ndarray | None,
    rest: np.ndarray | None,
) -> np.ndarray | float:
    """Return the emulator's error in each pixel for a continuum of one: (n, n_pixels), or zero.

    ``error`` is the same in pixels of any width; ``rest`` is white noise of the model's pixels.
    """
    if rest is not None:
        width = np.sqrt(pixel_width(forward.wavelength[None])[0])
        parts = [
            _at_pixels(forward, rest * width, p) / np.sqrt(pixel_width(p.wavelength))
            for p in pixels
        ]
    elif error is not None:
        parts = [_at_pixels(forward, error, p) for p in pixels]
    else:
        return 0.0
    return np.concatenate(parts, axis=1)


def _at_pixels(forward: ForwardModel, error: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Return an error of the model's pixels at those of stars in their own frames."""
    at_rest = pixels.wavelength / doppler_factor(pixels.rv)[:, None]
    return np.nan_to_num(np.interp(at_rest, forward.wavelength, error))


def broadened_modes(
    forward: ForwardModel,
    modes: np.ndarray,
    velocities: np.ndarray,
    pixels: Sequence[Pixels],
    resolution: Sequence,
) -> torch.Tensor:
    """Return the errors of the emulator that pixels share: (n, n_pixels, n_modes).

    Their shapes are approximate, so that stars of similar widths share the broadening.
    """
    spectra, widths = forward.spectra_of(modes), rounded_widths(velocities[:, 1:])
    resolutions = [
        r if np.ndim(r) != 1 else rounded_resolution(r, forward.resolution) for r in resolution
    ]
    same = np.column_stack([widths, *(r for r in resolutions if np.ndim(r) == 1)])
    kinds = np.unique(same, axis=0, return_inverse=True)[1].ravel()
    shape = len(widths), sum(arm.wavelength.shape[1] for arm in pixels), len(modes)
    shared = torch.empty(shape, dtype=forward.dtype, device=forward.device)
    for some in (np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)):
        of_kind = [r if r is None else r[some[0]] if r.ndim == 1 else r[some] for r in resolutions]
        arms = [
            forward.broaden_rows(spectra, *widths[some[0]], arm[some], r)
            for arm, r in zip(pixels, of_kind, strict=True)
        ]
        shared[some] = torch.cat(arms, dim=1)
    return shared


def resolution_shift(likelihood: Any, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much the line widths of stars ask for another resolution.

    Parameters
    ----------
    likelihood : `~astropayne.engine.likelihood.Likelihood`
        The error of the resolution is the last of its modes.
    theta : numpy.ndarray, shape (n, n_names)
        The best fits.

    Returns
    -------
    shift, error : numpy.ndarray, shape (n,)
        In ln R, over the standard deviation of the prior.
    """
    products = likelihood.joint_products(theta)
    normal, right = regular(products[:, :-1, :-1]), products[:, :-1, -1:]
    unit = torch.zeros_like(right)
    unit[:, -1] = 1
    solved = torch.linalg.solve(normal, torch.cat([-right, unit], dim=2))[:, -1]
    return solved[:, 0].numpy(), solved[:, 1].clamp_min(0).sqrt().numpy()
