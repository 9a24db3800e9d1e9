# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from FITS images, with wavelengths in the header and noise and mask next to them."""

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne.spectra.columns import NOISE_POWERS, mask_candidates, matching_noise, plain_name
from astropayne.spectra.conventions import (
    exact_names,
    marks_good_pixels,
    medium_of_headers,
    resolution_of_headers,
    words_of_wat,
)
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.tables import describes_noise, increasing_pixels, mask_of_values
from astropayne.spectra.units import as_angstrom_if_logarithm, flux_unit, wavelength_unit_of

__all__ = ["spectrum_of_images"]

_METERS = 1e-3  # wavelengths without a unit below this are in meters, as the FITS standard has it
_FLUX_IMAGES = ("FLUX", "SCI", "DATA", "SPECTRUM")
# Bands of IRAF's apextract: the spectrum, without weights, sky, standard deviation.
_IRAF_BANDS = ("spectrum", "raw", "background", "sigma")
_LINEAR = ("", "LINEAR", "WAVE", "AWAV", "LAMBDA", "WAVELENG", "WAVELENGTH", "ANGSTROM", "PIXEL")


def spectrum_of_images(
    hdus: fits.HDUList,
    path: object,
    *,
    wavelength_unit: u.UnitBase | None = None,
    noise: bool = True,
    hdu: int | str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Spectrum | None:
    """Return the spectrum in the images of a FITS file.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
    path : path-like
        Name of the file, for errors.
    wavelength_unit, meta
        As for `~astropayne.read_spectrum`.
    noise : bool
        Whether to read the uncertainty.
    hdu : int or str, optional
        The flux, if there are several images that may be it.

    Returns
    -------
    `~specutils.Spectrum` or None
        `None` if there is no image, or its axis is not one that is linear in the wavelength or
        its logarithm, which specutils reads.

    Raises
    ------
    ValueError
        If the image is not one spectrum, or has no wavelengths.
    """
    image = _flux_image(hdus, hdu)
    if image is None:
        return None
    bands = _bands(image)
    if bands is None or not _is_linear(image.header):
        return None
    values = np.asarray(bands[0], dtype=float)
    headers = (image.header, hdus[0].header)
    others = _images_beside(hdus, image, values.shape)
    axis = _axis_beside(others, path)
    if axis is None:
        axis = _linear_axis(image.header, len(values), path, wavelength_unit)
    flux = values * flux_unit(image.header.get("BUNIT"))
    sigma = _sigma(others, image, bands, path) if noise else None
    if sigma is not None:
        sigma = sigma * flux.unit
    mask = _mask(others, headers, path, flux, sigma)
    keep = increasing_pixels(axis.value, mask, flux.value, path)
    info = SpectrumInfo(
        medium=medium_of_headers(headers, path), resolution=resolution_of_headers(headers)
    )
    return Spectrum(
        spectral_axis=axis[keep],
        flux=flux[keep],
        uncertainty=None if sigma is None else StdDevUncertainty(sigma[keep]),
        mask=None if mask is None else mask[keep],
        meta={"header": image.header.copy(), **info.as_meta(), **(meta or {})},
    )


def _flux_image(hdus: fits.HDUList, hdu: int | str | None) -> fits.hdu.base._BaseHDU | None:
    """Return the image of the flux: by its name, or else the first."""
    if hdu is not None:
        return hdus[hdu] if hdus[hdu].is_image else None
    images = [hdu for hdu in hdus if hdu.is_image and hdu.size]
    named = [hdu for name in _FLUX_IMAGES for hdu in images if hdu.name == name]
    return next(iter(named or images), None)


def _bands(image: fits.hdu.base._BaseHDU) -> np.ndarray | None:
    """Return an image as rows of one spectrum, the first of which is the flux."""
    shape = image.shape
    if len(shape) == 1 or all(n == 1 for n in shape[:-1]):
        return np.reshape(image.data, (1, shape[-1]))
    # IRAF's extracted spectrum with its bands; with several apertures, there are several spectra.
    if len(shape) == 3 and shape[1] == 1 and shape[0] <= len(_IRAF_BANDS):
        return np.reshape(image.data, (shape[0], shape[-1]))
    return None


def _is_linear(header: fits.Header) -> bool:
    """Return whether the axis is linear in the wavelength or its logarithm."""
    kind = str(header.get("CTYPE1", "")).strip().upper()
    unit = str(header.get("CUNIT1", "")).strip()
    known = kind in _LINEAR or kind.startswith("LOG") or "VAC" in kind or "AIR" in kind
    return (
        "CRVAL1" in header
        and (known or wavelength_unit_of(kind) is not None)
        and (not unit or wavelength_unit_of(unit) is not None)
    ) or ("CRVAL1" not in header and not kind)


def _linear_axis(
    header: fits.Header, n: int, path: object, wavelength_unit: u.UnitBase | None
) -> u.Quantity:
    """Return wavelengths that cards state: CRVAL1, CDELT1 or CD1_1, and CRPIX1."""
    step = header.get("CD1_1", header.get("CDELT1"))
    if "CDELT1" in header and header["CDELT1"] not in (0, 1):
        step = header["CDELT1"]
    start = header.get("CRVAL1")
    if start is None or step is None:
        raise ValueError(
            f"{path} counts its pixels where wavelengths should be: its header needs CRVAL1 and "
            "CDELT1; or write it as text with columns of wavelength and flux"
        )
    values = start + (np.arange(1, 1 + n) - header.get("CRPIX1", 1.0)) * step
    kind = str(header.get("CTYPE1", "")).strip().upper()
    logarithmic = header.get("DC-FLAG") == 1 or kind.startswith("LOG")
    stated = logarithmic and values.max() < np.log10(np.finfo(np.float32).max)
    text = str(header.get("CUNIT1", "")).strip() or words_of_wat([header]).get("units", "")
    unit = wavelength_unit_of(text) if text else None
    if unit is None and kind not in ("", "PIXEL"):
        unit = wavelength_unit_of(kind)
    if unit is None and not stated and wavelength_unit is None and np.max(values) < _METERS:
        unit = u.m
    if stated:
        unit = unit if unit is not None else wavelength_unit or u.AA
    unit = unit or wavelength_unit or u.AA
    return as_angstrom_if_logarithm(values, unit, bool(stated), f"{path}: CRVAL1 and CDELT1").to(
        u.AA if unit == u.m else unit
    )


def _images_beside(
    hdus: fits.HDUList, image: fits.hdu.base._BaseHDU, shape: tuple[int, ...]
) -> dict[str, fits.hdu.base._BaseHDU]:
    """Return other images of the same size by their names in lower case."""
    return {
        hdu.name.lower(): hdu
        for hdu in hdus
        if hdu is not image and hdu.is_image and hdu.name and hdu.size and _is_like(hdu, shape)
    }


def _is_like(hdu: fits.hdu.base._BaseHDU, shape: tuple[int, ...]) -> bool:
    return hdu.shape[-1:] == shape and np.prod(hdu.shape) == shape[0]


def _axis_beside(others: Mapping[str, Any], path: object) -> u.Quantity | None:
    """Return wavelengths that an image holds."""
    for role in ("wavelength", "log_wavelength"):
        for name in exact_names(role):
            if name in others:
                hdu = others[name]
                values = np.ravel(hdu.data).astype(float)
                unit = wavelength_unit_of(hdu.header.get("BUNIT", "")) or u.AA
                stated = role == "log_wavelength"
                return as_angstrom_if_logarithm(values, unit, stated, f"{path}: image {name!r}")
    return None


def _sigma(
    others: Mapping[str, Any],
    image: fits.hdu.base._BaseHDU,
    bands: np.ndarray,
    path: object,
) -> np.ndarray | None:
    """Return standard deviations in the unit of the flux, of an image or a band of IRAF."""
    if len(bands) > 1:
        kinds = [_band(image.header, i) for i in range(len(bands))]
        rows = [bands[i] for i, kind in enumerate(kinds) if "sigma" in kind]
        return np.asarray(rows[0], dtype=float) if rows and describes_noise(rows[0]) else None
    try:
        roles = matching_noise(others, _name_of_flux(image))
    except ValueError as error:
        raise ValueError(f"{path}: images of the uncertainty: {error}") from None
    for name in exact_names("relative_uncertainty"):
        if name in others and not roles:
            return np.abs(bands[0]) * np.ravel(others[name].data).astype(float)
    for role, name in roles.items():
        values = np.ravel(others[name].data).astype(float)
        if describes_noise(values):
            with np.errstate(divide="ignore", invalid="ignore"):
                return values ** NOISE_POWERS[role]
    return None


def _name_of_flux(image: fits.hdu.base._BaseHDU) -> str:
    """Return the name of the flux, to which names of uncertainties are compared."""
    name = plain_name(image.name)
    return "flux" if name in ("", "primary", "sci", "data", "spectrum") else name


def _band(header: fits.Header, i: int) -> str:
    """Return the contents of a band: IRAF's card BANDIDn, or the order of apextract."""
    default = _IRAF_BANDS[i]
    return str(header.get(f"BANDID{i + 1}", default)).lower()


def _mask(
    others: Mapping[str, Any],
    headers: Sequence[Mapping[str, Any]],
    path: object,
    flux: u.Quantity,
    sigma: u.Quantity | None,
) -> np.ndarray | None:
    """Return the mask of an image, true where a pixel is bad."""
    chosen, _ = mask_candidates(others)
    for role, name in chosen.items():
        usable = np.isfinite(flux.value)
        if sigma is not None:
            usable &= np.isfinite(sigma.value) & (sigma.value > 0)
        good = role == "good" or marks_good_pixels(name, headers)
        return mask_of_values(np.ravel(others[name].data), name, path, good=good, usable=usable)
    return None
