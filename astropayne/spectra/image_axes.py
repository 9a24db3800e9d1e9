# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelengths of images, as the cards of FITS and IRAF headers state them."""

import warnings
from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from specutils import SpectrumCollection

from astropayne.spectra.conventions.axes import StatedAxis
from astropayne.spectra.conventions.headers import words_of_wat
from astropayne.spectra.conventions.units import (
    logarithm_of,
    states_no_unit,
    unit_in_name,
    wavelength_unit_of,
)

__all__ = ["axis_of_header", "is_multispec", "is_readable_axis", "multispec_axes"]

_METERS = 1e-3  # wavelengths without a unit below this are in meters, as the FITS standard has it
_LINEAR = ("", "LINEAR", "WAVE", "AWAV", "LAMBDA", "WAVELENG", "WAVELENGTH", "PIXEL")
_LINEAR += ("DISPERSION", "SPECTRAL", "ANGSTROM")
_NATURAL = ("LN", "LOGE", "LOG_E")
_LONGEST_EXPONENT = 38  # larger numbers are no logarithms, whatever the header states
# Cards of the first wavelength and of the step, with the base of the logarithms that they are.
_OTHER_CARDS = (("COEFF0", "COEFF1", 10.0), ("W0", "WPC", None), ("WAVE0", "DWAVE", None))


def is_multispec(header: Mapping[str, Any]) -> bool:
    """Return whether a header has the wavelengths of IRAF's multispec format."""
    return str(header.get("CTYPE1", "")).strip().upper().startswith("MULTISPE")


def is_readable_axis(header: Mapping[str, Any], axis: int = 1) -> bool:
    """Return whether `axis_of_header` knows the kind of an axis, which may be without cards."""
    kind, text = _kind(header, axis), str(header.get(f"CUNIT{axis}", "")).strip()
    if f"CRVAL{axis}" not in header:
        return not kind or any(card in header for card, _, _ in _OTHER_CARDS)
    logarithm = logarithm_of(text)
    text = logarithm[1] if logarithm else text
    known = (
        kind in _LINEAR
        or kind.startswith(("LOG", *_NATURAL))
        or any(word in kind for word in ("VAC", "AIR", "WAVELENGTH", "LAMBDA"))
        or wavelength_unit_of(kind.lower()) is not None
        or logarithm_of(kind) is not None
    )
    return known and (states_no_unit(text) or wavelength_unit_of(text) is not None)


def _kind(header: Mapping[str, Any], axis: int) -> str:
    return str(header.get(f"CTYPE{axis}", "")).strip().upper()


def _number(header: Mapping[str, Any], card: str, path: object) -> float | None:
    """Return the number of a card, which some programs write as text."""
    value = header.get(card)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{path}: {card} = {value!r} must be a number") from None
    return number


def axis_of_header(
    header: Mapping[str, Any],
    n: int,
    path: object,
    fallback: u.UnitBase | None = None,
    axis: int = 1,
) -> u.Quantity:
    """Return wavelengths that cards state: CRVAL1, CDELT1 or CD1_1, and CRPIX1.

    Parameters
    ----------
    header : mapping
    n : int
        Number of pixels.
    path : path-like
        Name of the file, for errors.
    fallback : `~astropy.units.Unit`, optional
        Unit if the header states none.
    axis : int
        Number of the axis of the image, in the order of FITS.

    Returns
    -------
    `~astropy.units.Quantity`, shape (n_pixels,)

    Raises
    ------
    ValueError
        If cards are missing, or their numbers cannot be wavelengths.
    """
    start, step, base = _start_and_step(header, path, axis)
    if start is None or step is None:
        raise ValueError(
            f"{path} counts its pixels where wavelengths should be: its header needs "
            f"CRVAL{axis} and CDELT{axis}; or write it as text with columns of wavelength and flux"
        )
    if step == 0:
        raise ValueError(f"{path}: CDELT{axis} is zero, so that all pixels have one wavelength")
    first = _number(header, f"CRPIX{axis}", path)
    values = start + (np.arange(1, 1 + n) - (1.0 if first is None else first)) * step
    kind = _kind(header, axis)
    text = str(header.get(f"CUNIT{axis}", "")).strip() or words_of_wat([header]).get("units", "")
    if base is None:
        base, text = _base(header, kind, text, values)
    unit = None if states_no_unit(text) else wavelength_unit_of(text)
    if unit is None and kind not in ("", "PIXEL"):
        unit = wavelength_unit_of(kind.lower()) or unit_in_name(kind)
    if unit is None and base is None and fallback is None and np.max(values) < _METERS:
        unit = u.m
    what = f"{path}: the axis of CRVAL{axis} and CDELT{axis}"
    remedy = f"state CTYPE{axis} = 'LOG-LINEAR' in the header"
    found = StatedAxis(what, unit, base, fallback, remedy).wavelengths(values)
    return found.to(u.AA) if found.unit == u.m else found


def _start_and_step(
    header: Mapping[str, Any], path: object, axis: int
) -> tuple[float | None, float | None, float | None]:
    """Return the first number, the step, and the base if they are known to be logarithms."""
    step = _number(header, f"CD{axis}_{axis}", path)
    own = _number(header, f"CDELT{axis}", path)
    if step is None or own not in (None, 0, 1):
        step = own
    start = _number(header, f"CRVAL{axis}", path)
    if start is not None:
        return start, step, None
    for first, delta, base in _OTHER_CARDS:
        if first in header and delta in header:
            return _number(header, first, path), _number(header, delta, path), base
    return None, step, None


def _base(
    header: Mapping[str, Any], kind: str, text: str, values: np.ndarray
) -> tuple[float | None, str]:
    """Return the base of logarithms that a header states, and the unit of the wavelengths."""
    if logarithm := logarithm_of(text) or logarithm_of(kind):
        base = logarithm[0]
        text = logarithm[1] if logarithm_of(text) else text
    else:
        flag = str(header.get("DC-FLAG", "")).strip().upper()
        stated = kind.startswith("LOG") or flag in ("1", "1.0", "T", "TRUE")
        stated |= str(header.get("WFITTYPE", "")).upper().startswith("LOG")
        base = 10.0 if stated else None
    if kind.startswith(_NATURAL):
        base = np.e
    if base is not None and np.max(np.abs(values)) > _LONGEST_EXPONENT:
        base = None
    return base, text


def multispec_axes(image: fits.hdu.base._BaseHDU, flux: np.ndarray, path: object) -> u.Quantity:
    """Return the wavelengths of every aperture of IRAF's multispec format.

    Parameters
    ----------
    image : `~astropy.io.fits.ImageHDU`
    flux : numpy.ndarray, shape (n_apertures, n_pixels)
        The band of the flux.
    path : path-like
        Name of the file, for errors.

    Returns
    -------
    `~astropy.units.Quantity`, shape (n_apertures, n_pixels)

    Raises
    ------
    ValueError
        If the cards WAT2_001 and following are not complete.
    """
    header = image.header.copy()
    for card in ("CTYPE3", "CRVAL3", "CDELT3", "CD3_3", "LTM3_3", "WAXMAP01", "BUNIT"):
        header.pop(card, None)
    header["WCSDIM"] = 2
    header.setdefault("WAT1_001", "wtype=multispec units=angstroms")
    header["WAT1_001"] = " ".join(
        word for word in header["WAT1_001"].split() if word.count("=") == 1
    )
    alone = fits.HDUList([fits.PrimaryHDU(flux, header)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the unit of the flux, and of the form of the result
        try:
            axes = SpectrumCollection.read(alone, format="iraf").spectral_axis
        except Exception as error:  # loaders raise any error
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(
                f"{path}: the wavelengths of IRAF's multispec format (cards WAT2_001 and "
                f"following) cannot be read: {reason}"
            ) from error
    return u.Quantity(axes, subok=False)
