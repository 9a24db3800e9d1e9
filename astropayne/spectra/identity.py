# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What was observed, where and when, and in which frame velocities are measured."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle
from astropy.time import Time

from astropayne.spectra.conventions.headers import cards_of

__all__ = ["Identity", "columns_of", "identity_of"]

_UNITS = {"ra": u.deg, "dec": u.deg, "mjd": u.day, "exposure_time": u.s}
_FRAMES = {"bary": "barycentric", "helio": "heliocentric", "topo": "topocentric",
           "observed": "topocentric", "geo": "geocentric", "lsr": "lsr", "t": "heliocentric",
           "f": "topocentric", "source": "source"}  # fmt: skip
_JULIAN = 2400000.5  # days before the first modified Julian date


@dataclass(frozen=True)
class Identity:
    """What was observed, where and when.

    Parameters
    ----------
    object : str, optional
        Name or identifier of the star.
    ra, dec : float, optional
        Degrees, ICRS.
    mjd : float, optional
        Modified Julian date of the observation.
    exposure_time : float, optional
        Seconds.
    snr : float, optional
        Signal-to-noise ratio that the file states.
    rv_frame : str, optional
        Frame of the wavelengths: "barycentric", "heliocentric", "topocentric"…

    Examples
    --------
    >>> from astropayne.spectra.identity import Identity
    >>> Identity.of_headers([{"OBJECT": "HD 1", "RA": "00:05:08", "SPECSYS": "BARYCENT"}]).as_meta()
    {'object': 'HD 1', 'ra': 1.283333..., 'rv_frame': 'barycentric'}
    """

    object: str | None = None
    ra: float | None = None
    dec: float | None = None
    mjd: float | None = None
    exposure_time: float | None = None
    snr: float | None = None
    rv_frame: str | None = None

    @classmethod
    def of_headers(cls, headers: Iterable[Mapping[str, Any]]) -> "Identity":
        """Return what headers state, the first of which that has a card counts."""
        headers = list(headers)
        found = {name: _first(headers, cards_of(name)) for name in ("date", *_NAMES)}
        if found["mjd"] is None and found["date"] is not None:
            found["mjd"] = _mjd(found["date"])
        values = {name: _CONVERT[name](found[name]) for name in _NAMES if found[name] is not None}
        return cls(**{name: value for name, value in values.items() if value is not None})

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "Identity":
        """Return the entries of a spectrum's ``meta``."""
        return cls(**{name: meta.get(name) for name in _NAMES})

    def as_meta(self) -> dict[str, Any]:
        """Return the entries that are not `None`, for the ``meta`` of a spectrum."""
        values = {name: getattr(self, name) for name in _NAMES}
        return {name: value for name, value in values.items() if value is not None}


_NAMES = tuple(field.name for field in fields(Identity))


def _first(headers: Sequence[Mapping[str, Any]], cards: Sequence[str]) -> Any:
    """Return the first value that headers have for one of some cards."""
    for card in cards:
        for header in headers:
            value = header.get(card)
            if np.ndim(value) == 0 and value is not None and str(value).strip():
                return value
    return None


def _text(value: Any) -> str | None:
    return str(value).strip() or None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _degrees(value: Any, unit: u.UnitBase, most: float) -> float | None:
    """Return an angle in degrees; text with colons or spaces is sexagesimal."""
    number = _number(value)
    if number is None:
        try:
            number = float(Angle(str(value), unit=unit).to_value(u.deg))
        except (ValueError, TypeError):
            return None
    return number if abs(number) <= most else None


def _mjd(value: Any) -> float | None:
    """Return a modified Julian date of a date, or of a number that may be a Julian date."""
    number = _number(value)
    if number is not None:
        return number - _JULIAN if number > _JULIAN else number if number > 0 else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of years far away
            return float(Time(str(value).strip(), format="isot", scale="utc").mjd)
    except (ValueError, TypeError):
        return None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _frame(value: Any) -> str | None:
    text = str(value).strip().lower()
    return next((frame for start, frame in _FRAMES.items() if text.startswith(start)), None)


_CONVERT = {
    "object": _text,
    "ra": lambda value: _degrees(value, u.hourangle, 360),
    "dec": lambda value: _degrees(value, u.deg, 90),
    "mjd": _mjd,
    "exposure_time": _positive,
    "snr": _positive,
    "rv_frame": _frame,
}


def identity_of(spectra: Any) -> Identity:
    """Return the identity of a star, of a spectrum or the first of a list of arms."""
    first = next(iter(spectra), None) if isinstance(spectra, list) else spectra
    return Identity.of(getattr(first, "meta", None) or {})


def columns_of(identities: Sequence[Identity]) -> dict[str, Any]:
    """Return the columns of a table that identify stars, of what any of them states.

    Parameters
    ----------
    identities : sequence of Identity

    Returns
    -------
    dict of str to (numpy.ndarray or `~astropy.units.Quantity`)
        NaN, or empty text, where a star does not state it.

    Examples
    --------
    >>> from astropayne.spectra.identity import Identity, columns_of
    >>> columns_of([Identity(ra=10.0), Identity()])
    {'ra': <Quantity [10., nan] deg>}
    """
    columns: dict[str, Any] = {}
    for name in _NAMES:
        values = [getattr(identity, name) for identity in identities]
        if all(value is None for value in values):
            continue
        if name in ("object", "rv_frame"):
            columns[name] = np.array(["" if v is None else str(v) for v in values])
        else:
            numbers = np.array([np.nan if v is None else v for v in values], dtype=float)
            columns[name] = numbers * _UNITS[name] if name in _UNITS else numbers
    return columns
