# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectral axes as files state them: units, logarithms, and pixels without a wavelength."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import astropy.units as u
import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.spectra.conventions.units import (
    logarithm_of,
    states_no_unit,
    unit_in_name,
    wavelength_unit_of,
)

__all__ = ["StatedAxis", "orders_of", "require_plausible", "sorted_pixels", "unit_of_caller"]

_RANGE = (900.0, 3e7)  # Å; no spectrum of a star lies elsewhere
_LIGHT = (2000.0, 60000.0)  # Å; what values are if another unit is suggested
_LOGARITHMS = (2.9, 12.0)  # of both bases, of wavelengths in Å
_FEWEST = 20  # pixels of an order
_LEAST_OVERLAP = 4  # pixels by which an order begins before the end of the one before
_MOST_REPEATED = 0.1  # of the pixels


def unit_of_caller(text: u.UnitBase | str | None) -> u.UnitBase | None:
    """Return the unit that the caller of a reader gave.

    Raises
    ------
    ValueError
        If it is not a unit of wavelengths, frequencies, energies or wavenumbers.
    """
    if text is None:
        return None
    unit = wavelength_unit_of(text)
    if unit is None:
        raise ValueError(
            f"wavelength_unit={str(text)!r} must be a unit of wavelengths, frequencies, energies "
            "or wavenumbers, such as 'nm'"
        )
    return unit


@dataclass(frozen=True)
class StatedAxis:
    """What a file states of the numbers on its spectral axis.

    Parameters
    ----------
    what : str
        File and column or header cards, for errors.
    unit : `~astropy.units.Unit`, optional
        Unit that the file states.
    base : float, optional
        Base of the logarithms that the numbers are.
    fallback : `~astropy.units.Unit`, optional
        Unit that the caller gave, used if the file states none.
    remedy : str
        How to state that the numbers are logarithms.
    """

    what: str
    unit: u.UnitBase | None = None
    base: float | None = None
    fallback: u.UnitBase | None = None
    remedy: str = "call the column 'loglam'"

    @classmethod
    def of_column(
        cls, name: str, text: object, what: str, fallback: u.UnitBase | None
    ) -> "StatedAxis":
        """Return what a column's name and the text of its unit state.

        Raises
        ------
        ValueError
            If the unit is not one of a spectral axis.
        """
        logarithm = None if text is None else logarithm_of(text)
        base = logarithm[0] if logarithm else None
        text = logarithm[1] if logarithm else text
        unit = None if states_no_unit(text) else wavelength_unit_of(text)
        if unit is None and not states_no_unit(text) and fallback is None:
            raise ValueError(
                f"{what} is in {str(text)!r}, a unit that is not known for wavelengths: give "
                "wavelength_unit='Angstrom'"
            )
        if base is None and (named := logarithm_of(name.replace("_", " "))):
            base = named[0]
        elif base is None and name.lower().startswith(("log", "lg", "ln")):
            base = np.e if name.lower().startswith("ln") else 10.0
        return cls(what, unit or unit_in_name(name), base, fallback)

    def wavelengths(self, values: np.ndarray) -> u.Quantity:
        """Return the axis, converted from logarithms.

        Parameters
        ----------
        values : numpy.ndarray

        Returns
        -------
        `~astropy.units.Quantity`

        Raises
        ------
        ValueError
            If the numbers cannot be wavelengths of a star in this unit.
        """
        units = [unit for unit in (self.unit, self.fallback) if unit is not None] or [u.AA]
        for unit in units:
            with np.errstate(over="ignore"):
                axis = (self.base**values if self.base else values) * unit
            if _is_plausible(axis):
                return axis
        raise ValueError(self._refusal(values, units[0]))

    def _refusal(self, values: np.ndarray, unit: u.UnitBase) -> str:
        low, high = _range(values)
        if self.base:
            finite = values[np.isfinite(values)]
            low, high = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
        span = f"{self.what} has values from {low:.4g} to {high:.4g}"
        if not np.isfinite(low) and not self.base:
            return f"{self.what} has no positive number"
        if self.base:
            base = "natural" if self.base == np.e else "decimal"
            remedy = "natural logarithms need the name 'lnlam'" if self.base == 10 else ""
            plain = low > _RANGE[0]
            return (
                f"{span}, which are no {base} logarithms of wavelengths in {unit}: "
                + ("call the column 'wavelength'" if plain else remedy or "write 'loglam'")
                + ", or give the unit, wavelength_unit='nm'"
            )
        if unit == u.AA and low > _LOGARITHMS[0] and high < _LOGARITHMS[1]:
            power, state = ("10**value", True) if high < 5.5 else ("exp(value)", False)
            hint = f", or {self.remedy}" if state else ", or call the column 'lnlam'"
            return (
                f"{span}, which can only be logarithms of wavelengths in Angstrom: write {power} "
                f"instead{hint}"
            )
        other = next((n for n, factor in _UNITS if _within(low, high, factor, _LIGHT)), "nm")
        return (
            f"{span}, in which no spectrum of a star lies if they are in {unit}: give their unit, "
            f"such as wavelength_unit={other!r}"
        )


_UNITS = (("nm", 10.0), ("um", 1e4), ("m", 1e10), ("cm", 1e8), ("mm", 1e7))


def _within(low: float, high: float, factor: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= low * factor and high * factor <= limits[1]


def _range(values: np.ndarray) -> tuple[float, float]:
    good = values[np.isfinite(values) & (values > 0)]
    return (float(good.min()), float(good.max())) if len(good) else (np.nan, np.nan)


def require_plausible(axis: u.Quantity, path: object) -> None:
    """Raise an error if no spectrum of a star lies where an axis does.

    Raises
    ------
    ValueError
        If the median of the axis is no wavelength of a star; velocities are not checked.
    """
    if axis.unit.is_equivalent(u.AA, u.spectral()) and not _is_plausible(axis):
        raise ValueError(
            f"{path}: the spectral axis is from {axis[0]:.4g} to {axis[-1]:.4g}, in which no "
            "spectrum of a star lies: its header or its unit is wrong"
        )


def _is_plausible(axis: u.Quantity) -> bool:
    """Return whether the median of the positive numbers of an axis is the wavelength of a star."""
    good = axis.value[np.isfinite(axis.value) & (axis.value > 0)]
    if not len(good):
        return False
    middle = (np.median(good) * axis.unit).to_value(u.AA, u.spectral())
    return bool(_RANGE[0] <= middle <= _RANGE[1])


def sorted_pixels(
    wavelength: np.ndarray, mask: np.ndarray | None, flux: np.ndarray, path: object
) -> np.ndarray:
    """Return the pixels that have a wavelength of their own, in the order of the file.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
    mask : numpy.ndarray of bool, shape (n_pixels,), optional
        Bad pixels, whose wavelengths may be missing.
    flux : numpy.ndarray, shape (n_pixels,)
    path : path-like
        Name of the file, for errors.

    Returns
    -------
    slice or numpy.ndarray of int
        Indices of all pixels, without those whose wavelength is not a positive number, or that of
        the pixel before.

    Raises
    ------
    ValueError
        If no wavelength is a positive number, or many are repeated.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If pixels are left out that have flux and are not masked.
    """
    positive = np.isfinite(wavelength) & (wavelength > 0)
    bad = ~np.isfinite(flux) | (flux == 0) | (False if mask is None else mask)
    lost = np.count_nonzero(~positive & ~bad)
    keep = np.flatnonzero(positive)
    if not len(keep):
        raise ValueError(f"{path}: no wavelength is a positive number")
    repeated = 1 + np.flatnonzero(np.diff(wavelength[keep]) == 0)
    n_repeated = np.count_nonzero(~bad[keep[repeated]])
    if n_repeated > _MOST_REPEATED * len(keep):
        row = keep[repeated[0]]
        raise ValueError(
            f"{path}: {n_repeated} of {len(keep)} pixels have the wavelength of the pixel before, "
            f"such as row {row}, counted from zero, with {wavelength[row]:g}: write wavelengths "
            "with all their digits"
        )
    lost += n_repeated
    keep = np.delete(keep, repeated)
    if lost:
        warnings.warn(
            f"{path}: {lost} pixels are left out, as their wavelength is missing or that of the "
            "pixel before",
            AstropyUserWarning,
            stacklevel=4,
        )
    return slice(None) if len(keep) == len(wavelength) else keep


def orders_of(wavelength: np.ndarray, path: object, row_of: Callable[[int], int]) -> list[slice]:
    """Return the parts of a spectrum in which wavelengths increase, or decrease.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        No two neighbors are equal.
    path : path-like
        Name of the file, for errors.
    row_of : callable
        Returns the row in the file of a pixel, for errors.

    Returns
    -------
    list of slice
        One, or one for each order of an echelle spectrum.

    Raises
    ------
    ValueError
        If parts are too short to be orders.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.spectra.conventions.axes import orders_of
    >>> orders_of(np.array([5000.0, 5001.0, 5002.0]), "star.txt", int)
    [slice(0, 3, None)]
    """
    steps = np.diff(wavelength)
    if np.all(steps > 0) or np.all(steps < 0):
        return [slice(0, len(wavelength))]
    forward = np.median(np.sign(steps)) >= 0
    turns = 1 + np.flatnonzero(steps < 0 if forward else steps > 0)
    edges = [0, *turns.tolist(), len(wavelength)]
    back = np.abs(steps[turns - 1]) < _LEAST_OVERLAP * np.median(np.abs(steps))
    if min(np.diff(edges)) < _FEWEST or back.any():
        row = row_of(int(turns[0]))
        raise ValueError(
            f"{path}: wavelengths neither increase nor decrease all the way; row {row}, counted "
            f"from zero, has {wavelength[turns[0]]:g} after {wavelength[turns[0] - 1]:g}: sort "
            "them, or write each order to a file"
        )
    return [slice(a, b) for a, b in pairwise(edges)]
