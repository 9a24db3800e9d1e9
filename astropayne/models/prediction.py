# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Prediction of spectra by an emulator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.forward.parameters import velocities_of
from astropayne.forward.sampling import as_row
from astropayne.models.emulator import Emulator
from astropayne.models.network_blocks import network_flux
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.media import vacuum_angstrom
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["predict_spectra", "warn_if_taken_for_sharp"]

_BLOCK = 1 << 18  # pixels that are predicted in one block


def predict_spectra(
    emulator: Emulator,
    values: np.ndarray,
    velocities: tuple,
    resolution: Any,
    wavelength: u.Quantity | None,
    *,
    one: bool = False,
) -> Spectrum:
    """Return the spectra of stars.

    Parameters
    ----------
    emulator : `~astropayne.models.emulator.Emulator`
    values : numpy.ndarray, shape (n, n_labels)
        Labels in their own units.
    velocities : tuple
        rv, vsini and vmac, each one value or one for each star.
    resolution : float, array_like, callable or None
        λ/FWHM of the instrument; `None` for the emulator's own.
    wavelength : `~astropy.units.Quantity` or None
        Wavelengths in the emulator's medium; `None` for its pixels.
    one : bool
        Whether the flux of the only star has one axis.

    Returns
    -------
    `~specutils.Spectrum`
        Flux of shape (n, n_pixels) or (n_pixels,): NaN, and masked, where broadening or velocity
        reach beyond the emulator's windows.
    """
    velocities = [
        _one_each(checked_velocity(value, name), name, len(values))
        for name, value in zip(VELOCITIES, velocities, strict=True)
    ]
    own_axis = wavelength is None
    wavelength = emulator.wavelength if own_axis else u.Quantity(wavelength)
    if wavelength.ndim != 1 or not wavelength.size:
        raise ValueError(
            f"wavelength has shape {wavelength.shape}: it must be one axis of pixels, such "
            "as [5200, 5201] * u.AA"
        )
    resolution = resolution_at(resolution, wavelength)
    warn_if_taken_for_sharp(emulator.resolution, resolution, stacklevel=4)
    unbroadened = np.ndim(resolution) == 0 and resolution in (None, emulator.resolution)
    if own_axis and not np.any(velocities) and unbroadened:
        flux = network_flux(emulator.network, emulator.labels.scale(values))
    else:
        theta = np.column_stack([values, *velocities])
        flux = _broadened(emulator, theta, vacuum_angstrom(wavelength, emulator.medium), resolution)
    meta = {
        "medium": emulator.medium,
        "resolution": emulator.resolution if resolution is None else resolution,
        "labels": emulator.labels.to_table(values),
    }
    return _spectrum(wavelength, flux[0] if one else flux, meta)


def warn_if_taken_for_sharp(own: float | None, resolution: Any, stacklevel: int = 3) -> None:
    """Warn if spectra of unknown resolution are to be broadened to another one.

    Parameters
    ----------
    own : float or None
        λ/FWHM of the training spectra.
    resolution : float, array_like or None
        λ/FWHM that spectra are to have.
    stacklevel : int
        As for `warnings.warn`.
    """
    if resolution is not None and own is None:
        warnings.warn(
            "the resolution of the model's spectra is not known, so they are taken to be perfectly "
            "sharp: if they are not, lines are smoothed twice, and labels wrong. Use "
            "model.replace(resolution=...) with their λ/FWHM, or give the grid its resolution "
            "before training",
            AstropyUserWarning,
            stacklevel=stacklevel,
        )


def _broadened(
    emulator: Emulator, theta: np.ndarray, wavelength: np.ndarray, resolution: Any
) -> np.ndarray:
    """Return broadened and shifted flux, NaN where it is not supported, in blocks of rows."""
    model = emulator.forward_model()
    resolution = as_row(resolution)
    flux = np.empty((len(theta), len(wavelength)))
    size = max(1, _BLOCK // len(wavelength))
    for block in (slice(i, i + size) for i in range(0, len(theta), size)):
        rv, vsini, vmac = velocities_of(theta[block]).T
        pixels = model.pixels(wavelength, rv)
        with without_gradients():
            values = model.forward(theta[block], pixels, resolution).numpy()
        supported = model.supported(pixels, vsini, vmac, resolution)
        flux[block] = np.where(supported, values, np.nan)
    return flux


def _one_each(value: npt.ArrayLike, name: str, n: int) -> np.ndarray:
    if np.shape(value) not in ((), (1,), (n,)):
        raise ValueError(
            f"{name} has shape {np.shape(value)}: give one value, or to predict() as many as there "
            f"are rows of labels ({n})"
        )
    return np.broadcast_to(value, n)


def _spectrum(wavelength: u.Quantity, flux: np.ndarray, meta: dict) -> Spectrum:
    from specutils import Spectrum

    mask = ~np.isfinite(flux)
    return Spectrum(
        spectral_axis=wavelength,
        flux=u.Quantity(flux, copy=False),
        meta=meta,
        mask=mask if mask.any() else None,
    )
