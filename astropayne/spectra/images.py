# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from FITS images, with wavelengths in the header and noise and mask next to them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from specutils import Spectrum, SpectrumList

from astropayne.spectra.conventions.axes import StatedAxis, sorted_pixels
from astropayne.spectra.conventions.columns import NOISE_POWERS, matching_noise, medium_of_names
from astropayne.spectra.conventions.headers import (
    exact_names,
    marks_good_pixels,
    medium_of_headers,
    plain_name,
    resolution_of_headers,
    role_patterns,
)
from astropayne.spectra.conventions.masks import mask_candidates, mask_of_values
from astropayne.spectra.conventions.units import flux_unit
from astropayne.spectra.identity import Identity
from astropayne.spectra.image_axes import (
    axis_of_header,
    is_multispec,
    is_readable_axis,
    multispec_axes,
)
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.options import ReadOptions, SeveralTablesError, SeveralTargetsError
from astropayne.spectra.tables import SpectrumTable, describes_noise, orders_as_arms
from astropayne.spectra.tables import spectrum_of_table as spectrum_of_columns

__all__ = ["spectrum_of_images"]

_FLUX_IMAGES = ("FLUX", "SCI", "SCIDATA", "DATA", "SPECTRUM", "SPEC", "COUNTS", "OBJECT")
# Bands of IRAF's apextract: the spectrum, without weights, sky, standard deviation.
_IRAF_BANDS = ("spectrum", "raw", "background", "sigma")
_MOST_COLUMNS = 4  # rows of an image that are columns: wavelength, flux, uncertainty
_MOST_ROWS = 5000  # spectra on one axis; more rows are a frame of a detector


@dataclass(frozen=True)
class _Layout:
    """Arrays of an image, whose rows are spectra.

    Parameters
    ----------
    flux : numpy.ndarray, shape (n_spectra, n_pixels)
    axis : int
        Number of the axis of wavelengths, in the order of FITS.
    sigma : numpy.ndarray, shape (n_spectra, n_pixels), optional
        Of IRAF's bands.
    has_bands : bool
        Whether the image has bands next to the flux.
    """

    flux: np.ndarray
    axis: int
    sigma: np.ndarray | None = None
    has_bands: bool = False


def spectrum_of_images(
    hdus: fits.HDUList, path: Path, options: ReadOptions, hdu: int | str | None = None
) -> Spectrum | SpectrumList | None:
    """Return the spectrum in the images of a FITS file.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
    path : path-like
        Name of the file, for errors.
    options : ReadOptions
    hdu : int or str, optional
        The flux, if there are several images that may be it.

    Returns
    -------
    `~specutils.Spectrum`, `~specutils.SpectrumList` or None
        A list if the rows are orders with wavelengths of their own; `None` if there is no image,
        or its axis is of a kind that only specutils may read.

    Raises
    ------
    ValueError
        If the image is not one spectrum and none is chosen, or has no wavelengths.
    """
    image = _flux_image(hdus, hdu, path)
    if image is None:
        return None
    alone = not any(hdu.is_image and hdu.size for hdu in hdus if hdu is not image)
    table = _table_of_rows(image, (image.header, hdus[0].header)) if alone else None
    if table is not None:
        return spectrum_of_columns(
            table,
            path,
            wavelength_unit=options.unit,
            columns=options.columns,
            target=options.target,
            meta={"header": image.header.copy(), **options.meta_of(path)},
        )
    layout = _layout(image)
    if layout is None:
        return None
    others = _images_beside(hdus, image)
    axes = _axes(image, layout, others, path, options)
    if axes is None:
        return None
    chosen = _chosen_rows(layout, axes, path, options)
    found: list[Spectrum] = []
    for row in chosen:
        spectrum = _spectrum_of_row(hdus, image, layout, others, axes, row, path, options)
        found += spectrum if isinstance(spectrum, SpectrumList) else [spectrum]
    return found[0] if len(found) == 1 else SpectrumList(found)


def _spectrum_of_row(
    hdus: fits.HDUList,
    image: fits.hdu.base._BaseHDU,
    layout: _Layout,
    others: Mapping[str, Any],
    axes: u.Quantity,
    row: int,
    path: Path,
    options: ReadOptions,
) -> Spectrum | SpectrumList:
    """Return the spectrum in a row of an image."""
    headers = (image.header, hdus[0].header)
    rows = {name: _row_of(array, layout, row) for name, array in others.items()}
    beside = {name: values for name, values in rows.items() if values is not None}
    flux = layout.flux[row] * flux_unit(image.header.get("BUNIT"))
    sigma = None
    if options.columns != 2:
        sigma = _sigma(beside, image, layout, row, path)
    if sigma is not None:
        sigma = sigma * flux.unit
    mask = _mask(beside, headers, path, flux, sigma)
    axis = axes[row] if axes.ndim == 2 else axes
    keep = sorted_pixels(axis.value, mask, flux.value, path)
    medium = medium_of_names(_name_of_axis(others), ()) or medium_of_headers(headers, path)
    info = SpectrumInfo(medium=medium, resolution=resolution_of_headers(headers))
    return orders_as_arms(
        axis[keep],
        flux[keep],
        None if sigma is None else sigma[keep],
        None if mask is None else mask[keep],
        {
            "header": image.header.copy(),
            **Identity.of_headers(headers).as_meta(),
            **info.as_meta(),
            **options.meta_of(path),
        },
        path,
    )


def _flux_image(
    hdus: fits.HDUList, hdu: int | str | None, path: object
) -> fits.hdu.base._BaseHDU | None:
    """Return the image of the flux: by its name, or else the only one that may be it."""
    if hdu is not None:
        return hdus[hdu] if hdus[hdu].is_image and hdus[hdu].size else None
    images = [hdu for hdu in hdus if hdu.is_image and hdu.size]
    named = [hdu for name in _FLUX_IMAGES for hdu in images if hdu.name == name]
    if named:
        return named[0]
    candidates = [image for image in images if not _is_no_flux(image.name)]
    alike = [
        image
        for image in candidates
        if image.name not in ("", "PRIMARY")
        and len(image.shape) == 1
        and ("CRVAL1" in image.header or "COEFF0" in image.header)
    ]
    if len(alike) > 1 and alike == candidates:
        names = [image.name for image in alike]
        raise SeveralTablesError(
            f"{path} has {len(alike)} images that may be spectra ({', '.join(names)}): give "
            f"hdu={names[0]!r}, or several of them to be arms of one star",
            tuple(names),
        )
    if images and not candidates and len(images) > 1:
        listed = ", ".join(image.name for image in images)
        raise ValueError(
            f"{path} has images {listed}, of which none is known to be the flux: call one FLUX, or "
            f"give hdu={images[0].name!r}"
        )
    return next(iter(candidates or images), None)


def _is_no_flux(name: str) -> bool:
    """Return whether the name of an image is that of noise, mask, wavelength or a model."""
    plain = plain_name(name)
    roles = ("wavelength", "log_wavelength", "mask", "good", "variance", "relative_uncertainty")
    patterns = (*NOISE_POWERS, "mask_like", "not_flux", "wavelength")
    return bool(plain) and (
        any(plain in exact_names(role) for role in (*roles, "signal_to_noise", "weight"))
        or any(role_patterns(kind).search(plain) for kind in patterns)
    )


def _table_of_rows(
    image: fits.hdu.base._BaseHDU, headers: tuple[Mapping[str, Any], ...]
) -> SpectrumTable | None:
    """Return an image without wavelengths in its header, whose rows or columns are a table.

    Some programs write wavelength, flux and uncertainty as rows of an image.
    """
    shape = image.shape
    if len(shape) != 2 or not 2 <= min(shape) <= _MOST_COLUMNS:
        return None
    if "CRVAL1" in image.header or is_multispec(image.header):
        return None
    values = np.asarray(image.data, dtype=float)
    values = values if shape[0] < shape[1] else values.T
    steps = np.diff(values[0])
    if not (np.all(steps > 0) or np.all(steps < 0)) or np.array_equal(steps, np.ones(len(steps))):
        return None
    names = tuple(f"col{i + 1}" for i in range(min(len(values), 3)))
    columns = dict(zip(names, values, strict=False))
    return SpectrumTable(names, {}, columns.__getitem__, 0, headers)


def _layout(image: fits.hdu.base._BaseHDU) -> _Layout | None:
    """Return the spectra in an image, `None` if it is not known how they lie in it."""
    shape = image.shape
    long = [i for i, n in enumerate(shape) if n > 1] or [len(shape) - 1]
    if len(long) == 1:
        data = np.reshape(image.data, (1, -1)).astype(float)
        return _Layout(data, len(shape) - long[0])
    if len(shape) == 3 and shape[0] <= len(_IRAF_BANDS):
        kinds = [_band(image.header, i) for i in range(shape[0])]
        first = next((i for i, kind in enumerate(kinds) if "spectrum" in kind), 0)
        sigma = next((image.data[i] for i, kind in enumerate(kinds) if "sigma" in kind), None)
        return _Layout(
            np.asarray(image.data[first], dtype=float),
            1,
            None if sigma is None else np.asarray(sigma, dtype=float),
            has_bands=True,
        )
    if len(shape) == 2 and shape[0] <= _MOST_ROWS:
        return _Layout(np.asarray(image.data, dtype=float), 1)
    return None


def _band(header: fits.Header, i: int) -> str:
    """Return the contents of a band: IRAF's card BANDIDn, or the order of apextract."""
    text = str(header.get(f"BANDID{i + 1}", _IRAF_BANDS[i])).lower()
    return text.partition(" - ")[0]


def _axes(
    image: fits.hdu.base._BaseHDU,
    layout: _Layout,
    others: Mapping[str, Any],
    path: object,
    options: ReadOptions,
) -> u.Quantity | None:
    """Return the wavelengths of each row, or of all rows."""
    axes = _axes_beside(others, layout, path, options)
    if axes is not None:
        return axes
    if is_multispec(image.header):
        return multispec_axes(image, layout.flux, path)
    if not is_readable_axis(image.header, layout.axis):
        return None
    cards = (f"CRVAL{layout.axis}", "COEFF0", "W0", "WAVE0")
    if len(layout.flux) > 1 and not any(card in image.header for card in cards):
        return None
    n = layout.flux.shape[1]
    return axis_of_header(image.header, n, path, options.unit, layout.axis)


def _axes_beside(
    others: Mapping[str, Any], layout: _Layout, path: object, options: ReadOptions
) -> u.Quantity | None:
    """Return wavelengths that an image holds."""
    names = {plain_name(name): name for name in others}
    for role in ("wavelength", "log_wavelength"):
        for name in exact_names(role):
            if name not in names:
                continue
            hdu = others[names[name]]
            values = np.asarray(hdu.data, dtype=float)
            if values.size == layout.flux.size:
                values = values.reshape(layout.flux.shape)
            elif values.size != layout.flux.shape[-1]:
                continue
            what = f"{path}: image {hdu.name!r}"
            stated = StatedAxis.of_column(name, hdu.header.get("BUNIT"), what, options.unit)
            return stated.wavelengths(values)
    return None


def _name_of_axis(others: Mapping[str, Any]) -> str:
    """Return the name of the image of wavelengths, empty if there is none."""
    names = {plain_name(name): name for name in others}
    roles = ("wavelength", "log_wavelength")
    return next((names[n] for role in roles for n in exact_names(role) if n in names), "")


def _chosen_rows(
    layout: _Layout, axes: u.Quantity, path: object, options: ReadOptions
) -> Sequence[int]:
    """Return the rows to read: the only one, the chosen one, or all orders."""
    n, target = len(layout.flux), options.target
    if target is not None:
        if n == 1:
            raise ValueError(f"{path} has one spectrum: leave target={target} out")
        if not (isinstance(target, int) and 0 <= target < n):
            raise ValueError(f"{path} has no target={target}: give 0 to {n - 1}")
        return [target]
    if n > 1 and axes.ndim == 1:
        raise SeveralTargetsError(
            f"{path}: it is an image of {n} x {layout.flux.shape[1]} values, not one spectrum: "
            f"give target=0 to target={n - 1} to choose a row, or read all with read_spectra",
            n,
        )
    with_light = [row for row in range(n) if np.any(_has_light(layout.flux[row]))]
    if not with_light:
        raise ValueError(f"{path}: no pixel of the image has light")
    if len(with_light) < n:
        warnings.warn(
            f"{path}: {n - len(with_light)} of {n} orders have no light and are left out",
            AstropyUserWarning,
            stacklevel=4,
        )
    return with_light


def _has_light(flux: np.ndarray) -> np.ndarray:
    return np.isfinite(flux) & (flux != 0)


def _images_beside(
    hdus: fits.HDUList, image: fits.hdu.base._BaseHDU
) -> dict[str, fits.hdu.base._BaseHDU]:
    """Return other images by their names in lower case, and name those that are not used."""
    others = [hdu for hdu in hdus if hdu is not image and hdu.is_image and hdu.size]
    alike = [hdu for hdu in others if _size(hdu) == _size(image)]
    unnamed = [str(hdus.index(hdu)) for hdu in alike if not hdu.name]
    if unnamed:
        warnings.warn(
            f"image {', '.join(unnamed)} has no name and is not used: call it ERR if it is the "
            "standard deviation of the flux",
            AstropyUserWarning,
            stacklevel=4,
        )
    return {hdu.name.lower(): hdu for hdu in others if hdu.name and hdu.name != "PRIMARY"}


def _row_of(hdu: fits.hdu.base._BaseHDU, layout: _Layout, row: int) -> np.ndarray | None:
    """Return the values of another image at the pixels of a row; `None` if it has another form."""
    if _size(hdu) == layout.flux.size:
        return np.reshape(hdu.data, layout.flux.shape)[row]
    if _size(hdu) == layout.flux.shape[1]:
        return np.ravel(hdu.data)
    return None


def _size(hdu: fits.hdu.base._BaseHDU) -> int:
    """Return the number of pixels of an image."""
    return int(np.prod(hdu.shape))


def _sigma(
    beside: Mapping[str, np.ndarray],
    image: fits.hdu.base._BaseHDU,
    layout: _Layout,
    row: int,
    path: object,
) -> np.ndarray | None:
    """Return standard deviations in the unit of the flux, of an image or a band of IRAF."""
    if layout.has_bands:
        sigma = None if layout.sigma is None else layout.sigma[row]
        return sigma if sigma is not None and describes_noise(sigma) else None
    try:
        roles = matching_noise(beside, _name_of_flux(image))
    except ValueError as error:
        raise ValueError(f"{path}: images of the uncertainty: {error}") from None
    flux = np.abs(layout.flux[row])
    with np.errstate(divide="ignore", invalid="ignore"):
        for role, name in roles.items():
            values = np.asarray(beside[name], dtype=float)
            if describes_noise(values):
                return values ** NOISE_POWERS[role]
        for role, power in (("relative_uncertainty", 1), ("signal_to_noise", -1)):
            for name in exact_names(role):
                if name in beside and describes_noise(np.asarray(beside[name], dtype=float)):
                    return flux * np.asarray(beside[name], dtype=float) ** power
    if unclear := [name for name in beside if name in exact_names("weight")]:
        warnings.warn(
            f"{path}: image {unclear[0]!r} is not used: call it IVAR if it is an inverse variance",
            AstropyUserWarning,
            stacklevel=5,
        )
    return None


def _name_of_flux(image: fits.hdu.base._BaseHDU) -> str:
    """Return the name of the flux, to which names of uncertainties are compared."""
    name = plain_name(image.name)
    return "flux" if name in ("", "primary", *map(str.lower, _FLUX_IMAGES)) else name


def _mask(
    beside: Mapping[str, np.ndarray],
    headers: Sequence[Mapping[str, Any]],
    path: object,
    flux: u.Quantity,
    sigma: u.Quantity | None,
) -> np.ndarray | None:
    """Return the mask of an image, true where a pixel is bad, and name those that are not used."""
    chosen, unused = mask_candidates(beside)
    if unused:
        warnings.warn(
            f"{path}: image {', '.join(unused)} looks like a mask and is not used: call it MASK "
            "if zero is a good pixel, or GPM",
            AstropyUserWarning,
            stacklevel=4,
        )
    for role, name in chosen.items():
        usable = np.isfinite(flux.value)
        if sigma is not None:
            usable &= np.isfinite(sigma.value) & (sigma.value > 0)
        good = role == "good" or marks_good_pixels(name, headers)
        return mask_of_values(beside[name], name, path, good=good, usable=usable)
    return None
