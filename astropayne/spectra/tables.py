# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from tables, whose columns go by their names or their order."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from specutils import Spectrum

from astropayne.spectra.columns import (
    NOISE_POWERS,
    choose_roles,
    mask_candidates,
    medium_of_names,
    plain_name,
)
from astropayne.spectra.conventions import (
    marks_good_pixels,
    medium_of_headers,
    resolution_of_headers,
    role_patterns,
)
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.units import (
    as_angstrom_if_logarithm,
    flux_unit,
    unit_in_name,
    wavelength_unit_of,
)
from astropayne.wavelengths.media import MEDIA
from astropayne.wavelengths.resolution import FWHM

__all__ = [
    "SpectrumTable",
    "describes_noise",
    "increasing_pixels",
    "mask_of_values",
    "spectrum_of_table",
    "table_of_astropy",
]

_IN_ORDER = ("wavelength", "flux", "uncertainty")
_NEGATIVE = 0.1  # fraction of negative values above which a column is Stokes V, not an uncertainty
_MOST_MASKED = 0.5  # fraction of masked pixels above which the sense of a mask is doubted
_FEW = 10  # pixels; masks of shorter spectra are not doubted
_LOG_PIXEL = 1e-4  # step in log10 of wavelength of the pixels of SDSS


@dataclass(frozen=True)
class SpectrumTable:
    """Columns of a table, which are read when they are needed.

    Parameters
    ----------
    names : tuple of str
        Names of the columns.
    units : dict of str to (str or `~astropy.units.Unit`)
        Units of those columns that have any.
    read : callable
        Returns the values of a column as an array, by its name.
    n_rows : int
        Number of rows.
    headers : tuple of mapping
        Headers of the file, or metadata of the table.
    """

    names: tuple[str, ...]
    units: Mapping[str, Any]
    read: Callable[[str], np.ndarray]
    n_rows: int
    headers: tuple[Mapping[str, Any], ...] = field(default=())

    def of_row(self, row: int) -> "SpectrumTable":
        """Return the table of pixels that a row of arrays holds."""
        return replace(self, read=lambda name: self.read(name)[row], n_rows=0)


def table_of_astropy(table: Table) -> SpectrumTable:
    """Return a table of astropy in the form that `spectrum_of_table` takes."""
    units = {n: unit for n in table.colnames if (unit := getattr(table[n], "unit", None))}
    return SpectrumTable(
        tuple(table.colnames),
        units,
        lambda name: np.ma.asarray(getattr(table[name], "value", table[name])),
        len(table),
        ({key.lower(): value for key, value in table.meta.items()}, table.meta),
    )


def spectrum_of_table(
    table: SpectrumTable,
    path: object,
    *,
    wavelength_unit: u.UnitBase | None = None,
    columns: int | Mapping[str, str] | None = None,
    target: int | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Spectrum:
    """Return the spectrum in a table.

    Parameters
    ----------
    table : SpectrumTable
        With a row per pixel, or rows that hold arrays, of which each is a spectrum.
    path : path-like
        Name of the file, for errors.
    wavelength_unit, columns, target, meta
        As for `~astropayne.read_spectrum`.

    Returns
    -------
    `~specutils.Spectrum`

    Raises
    ------
    ValueError
        If the columns are not those of one spectrum.
    """
    table = _pixels(table, path, target)
    chosen = columns if isinstance(columns, Mapping) else None
    names = table.names if chosen is not None or columns in (None, 2) else table.names[:columns]
    try:
        roles = choose_roles(names, chosen)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    in_order = not _has_axis(roles) or "flux" not in roles
    if in_order:
        roles = _roles_in_order(table, names, path)
    if columns == 2:
        roles = {role: name for role, name in roles.items() if role not in NOISE_POWERS}
    wavelength, flux = _axis(table, roles, path, wavelength_unit), _flux(table, roles, path)
    if flux.shape != wavelength.shape:
        raise ValueError(
            f"{path}: column {roles['flux']!r} has shape {flux.shape}, and the wavelength has "
            f"{wavelength.shape}"
        )
    sigma = _sigma(table, roles, path, flux, in_order)
    mask = _mask(table, roles, path, flux, sigma)
    keep = increasing_pixels(wavelength.value, mask, flux.value, path)
    info = _info(table, roles, wavelength, path)
    return Spectrum(
        spectral_axis=wavelength[keep],
        flux=flux[keep],
        uncertainty=None if sigma is None else StdDevUncertainty(sigma[keep]),
        mask=None if mask is None else mask[keep],
        meta={**_cut(info, keep).as_meta(), **(meta or {})},
    )


def _has_axis(roles: Mapping[str, str]) -> bool:
    return "wavelength" in roles or "log_wavelength" in roles


def _pixels(table: SpectrumTable, path: object, target: int | None) -> SpectrumTable:
    """Return a table with a row per pixel, of one whose rows hold arrays."""
    arrays = [n for n in table.names if table.n_rows and _holds_arrays(table, n)]
    if not arrays:
        if target is not None:
            raise ValueError(f"{path} has one spectrum: leave target={target} out")
        return table
    names = tuple(arrays)
    rows = range(table.n_rows)
    if target is None and table.n_rows > 1:
        raise ValueError(
            f"{path} has {table.n_rows} rows of arrays, each of which is a spectrum: give "
            f"target=0 to target={table.n_rows - 1}"
        )
    if target is not None and target not in rows:
        raise ValueError(f"{path} has no target={target}: give 0 to {table.n_rows - 1}")
    return replace(table.of_row(target or 0), names=names)


def _holds_arrays(table: SpectrumTable, name: str) -> bool:
    """Return whether each row of a column is an array of numbers."""
    values = table.read(name)
    if values.dtype.kind == "O":
        return len(values) > 0 and np.ndim(values[0]) == 1
    return values.ndim == 2 and values.dtype.kind in "fiub"


def _roles_in_order(table: SpectrumTable, names: Sequence[str], path: object) -> dict[str, str]:
    """Return roles by the order of columns, whose names do not tell them."""
    if role_patterns("not_wavelength").search(plain_name(names[0])):
        unit = wavelength_unit_of(table.units[names[0]]) if names[0] in table.units else None
        if unit is None or unit.is_equivalent(u.m):
            raise ValueError(
                f"{path} has columns {', '.join(table.names)}, of which none is a wavelength: "
                "call it 'wavelength', or give its unit if it is a frequency or wavenumber"
            )
    return dict(zip(_IN_ORDER, names, strict=False))


def _floats(table: SpectrumTable, name: str, path: object) -> np.ndarray:
    """Return a column as numbers, NaN where it has no value."""
    values = table.read(name)
    try:
        return np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {name!r} must have numbers: {error}") from None


def _axis(
    table: SpectrumTable,
    roles: Mapping[str, str],
    path: object,
    wavelength_unit: u.UnitBase | None,
) -> u.Quantity:
    """Return wavelengths in the unit of the column, of its name, or of the caller."""
    stated = "wavelength" not in roles
    name = roles["log_wavelength" if stated else "wavelength"]
    values, text = _floats(table, name, path), table.units.get(name)
    what = f"{path}: column {name!r}"
    if stated:
        return as_angstrom_if_logarithm(values, u.one, True, what)
    unit = None
    if text is not None:
        unit = wavelength_unit_of(text)
        if unit is None and wavelength_unit is None:
            raise ValueError(
                f"{what} is in {str(text)!r}, a unit that is not known for wavelengths: give "
                "wavelength_unit='Angstrom'"
            )
    unit = unit or unit_in_name(name) or wavelength_unit or u.AA
    return as_angstrom_if_logarithm(values, unit, False, what)


def _flux(table: SpectrumTable, roles: Mapping[str, str], path: object) -> u.Quantity:
    name = roles["flux"]
    return _floats(table, name, path) * flux_unit(table.units.get(name))


def _sigma(
    table: SpectrumTable,
    roles: Mapping[str, str],
    path: object,
    flux: u.Quantity,
    in_order: bool,
) -> u.Quantity | None:
    """Return standard deviations, `None` if the table has none that is a positive number."""
    for role, power in NOISE_POWERS.items():
        if role not in roles:
            continue
        name = roles[role]
        values = _floats(table, name, path)
        if not describes_noise(values):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # weights may be zero
            sigma = values**power * _unit_of_sigma(table.units.get(name), power, flux.unit)
        if sigma.unit == u.one and flux.unit != u.one:
            sigma = sigma.value * flux.unit
        _check_sigma(sigma, flux, name, values if in_order else None, path)
        return sigma
    return None


def _unit_of_sigma(text: object, power: float, flux: u.UnitBase) -> u.UnitBase:
    """Return the unit of standard deviations; that of the flux if the stated one does not fit."""
    unit = flux_unit(text)
    if unit != flux and power != 1:  # a variance in the unit of the flux is a common mistake
        unit = unit**power
    return unit if unit == u.one or unit.is_equivalent(flux) else flux


def _check_sigma(
    sigma: u.Quantity, flux: u.Quantity, name: str, values: np.ndarray | None, path: object
) -> None:
    """Raise an error if a column cannot be an uncertainty; ``values`` if its name does not say."""
    light = _finite_median(np.abs(flux.value))
    if light > 0 and _finite_median(sigma.to_value(flux.unit)) > light:
        raise ValueError(
            f"{path}: column {name!r} makes errors larger than the flux, which no uncertainty "
            "does; columns=2 reads wavelength and flux only"
        )
    if values is not None and np.mean(values < 0) > _NEGATIVE:
        raise ValueError(
            f"{path}: column {name!r} has negative values, which no uncertainty "
            "has; columns=2 reads wavelength and flux only"
        )


def _finite_median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def describes_noise(values: np.ndarray) -> bool:
    """Return whether values of an uncertainty have a positive number among them."""
    return bool(np.any((values > 0) & np.isfinite(values)))


def _mask(
    table: SpectrumTable,
    roles: Mapping[str, str],
    path: object,
    flux: u.Quantity,
    sigma: u.Quantity | None,
) -> np.ndarray | None:
    """Return the mask, true where a pixel is bad, and name other columns that look like masks."""
    role = "good" if "good" in roles else "mask"
    if role in roles:
        name = roles[role]
        good = role == "good" or marks_good_pixels(plain_name(name), table.headers)
        usable = np.isfinite(flux.value)
        if sigma is not None:
            usable &= np.isfinite(sigma.value) & (sigma.value > 0)
        mask = mask_of_values(table.read(name), name, path, good=good, usable=usable)
    else:
        mask = None
    unused = [n for n in mask_candidates(table.names)[1] if n not in roles.values()]
    unused = [n for n in unused if table.read(n).dtype.kind in "biu"]
    if unused:
        warnings.warn(
            f"{path}: {', '.join(unused)} looks like a mask and is not used: if it is one, give "
            f"columns={{'mask': {unused[0]!r}}}, or 'good' if good pixels are not zero",
            AstropyUserWarning,
            stacklevel=3,
        )
    return mask


def mask_of_values(
    column: np.ndarray, name: str, path: object, *, good: bool = False, usable: np.ndarray
) -> np.ndarray:
    """Return a mask from a column; pixels without a value are masked.

    Parameters
    ----------
    column : array_like
        Numbers, or text with true and false.
    name : str
        Name of the column, for errors.
    path : path-like
        Name of the file, for errors.
    good : bool
        Whether good pixels are those that are not zero.
    usable : numpy.ndarray of bool
        Pixels whose flux and uncertainty can be used.

    Returns
    -------
    numpy.ndarray of bool
        True where a pixel is bad.

    Raises
    ------
    ValueError
        If the column has other text.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If most usable pixels are masked. If exactly those are, values other than zero are taken
        to mark good pixels.
    """
    values = np.ma.asarray(column)
    missing = np.ma.getmaskarray(values)
    data = np.asarray(values.data)
    if data.dtype.kind in "biuf":
        nonzero = data != 0
    else:
        text = np.char.lower(data.astype(str))
        if odd := sorted(set(text[~missing].tolist()) - {"true", "false"}):
            raise ValueError(
                f"{path}: column {name!r} has {odd[0]!r}: a mask has numbers, of which "
                "zero is a good pixel, or true and false; call the column something else if it is "
                "not a mask"
            )
        nonzero = text == "true"
    mask = missing | (~nonzero if good else nonzero)
    n_usable, n_left = np.count_nonzero(usable), np.count_nonzero(usable & ~mask)
    if n_usable > _FEW and n_left < (1 - _MOST_MASKED) * n_usable:
        inverted = not good and n_left == 0 and not (usable ^ nonzero).any() and not usable.all()
        advice = (
            "values other than zero are therefore taken to mark good pixels"
            if inverted
            else f"if {'zero marks' if good else 'values other than zero mark'} good pixels, give "
            f"columns={{{'mask' if good else 'good'!r}: {name!r}}}"
        )
        warnings.warn(
            f"{path}: column {name!r} masks {n_usable - n_left} of {n_usable} usable pixels; "
            f"{advice}",
            AstropyUserWarning,
            stacklevel=4,
        )
        mask = missing | ~nonzero if inverted else mask
    return mask


def increasing_pixels(
    wavelength: np.ndarray, mask: np.ndarray | None, flux: np.ndarray, path: object
) -> np.ndarray:
    """Return the pixels that have a wavelength of their own.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        In any unit.
    mask : numpy.ndarray of bool, shape (n_pixels,), or None
        True where a pixel is bad.
    flux : numpy.ndarray, shape (n_pixels,)
        In any unit.
    path : path-like
        Name of the file, for errors.

    Returns
    -------
    slice or numpy.ndarray of int
        Without pixels whose wavelength is zero, not finite, or that of the pixel before.

    Raises
    ------
    ValueError
        If the wavelengths neither increase nor decrease.

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
    lost += np.count_nonzero(~bad[keep[repeated]])
    keep = np.delete(keep, repeated)
    steps = np.diff(wavelength[keep])
    if not (np.all(steps > 0) or np.all(steps < 0)):
        turn = keep[1:][np.sign(steps) != np.sign(np.median(steps))][0]
        raise ValueError(
            f"{path}: wavelengths neither increase nor decrease all the way; row {turn}, counted "
            f"from zero, has {wavelength[turn]:g}: sort them, or write each order to a file"
        )
    if lost:
        warnings.warn(
            f"{path}: {lost} pixels are left out, as their wavelength is missing or that of the "
            "pixel before",
            AstropyUserWarning,
            stacklevel=4,
        )
    return slice(None) if len(keep) == len(wavelength) else keep


def _info(
    table: SpectrumTable, roles: Mapping[str, str], wavelength: u.Quantity, path: object
) -> SpectrumInfo:
    """Return the metadata of the spectrum in the table."""
    name = roles.get("wavelength") or roles.get("log_wavelength", "")
    own = next((h["medium"] for h in table.headers if h.get("medium") in MEDIA), None)
    medium = own or medium_of_names(name, table.names) or medium_of_headers(table.headers, path)
    noise = {
        role: _floats(table, roles[role], "")
        for role in ("correlation", "guessed_noise")
        if role in roles
    }
    return SpectrumInfo(
        medium=medium, resolution=_resolution(table, roles, wavelength.value), **noise
    )


def _resolution(
    table: SpectrumTable, roles: Mapping[str, str], wavelength: np.ndarray
) -> float | np.ndarray | None:
    """Return λ/FWHM from columns of resolution or width, or from headers."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if "resolution" in roles and flux_unit(table.units.get(roles["resolution"])) == u.one:
            return _floats(table, roles["resolution"], "")
        if "dispersion_loglam" in roles:
            width = _floats(table, roles["dispersion_loglam"], "")
            return _positive(1 / (FWHM * np.log(10) * _LOG_PIXEL * width))
        for role, factor in (("dispersion", FWHM), ("fwhm", 1.0)):
            if role in roles:
                return _positive(wavelength / (factor * _floats(table, roles[role], "")))
    own = next((h["resolution"] for h in table.headers if h.get("resolution")), None)
    return own if own is not None else resolution_of_headers(table.headers)


def _positive(resolution: np.ndarray) -> np.ndarray | None:
    """Return resolutions, where the median replaces values that are not positive."""
    good = np.isfinite(resolution) & (resolution > 0)
    return np.where(good, resolution, np.median(resolution[good])) if good.any() else None


def _cut(info: SpectrumInfo, keep: slice | np.ndarray) -> SpectrumInfo:
    """Return metadata of the pixels that are kept."""
    values = {
        name: value[keep] if isinstance(value, np.ndarray) and value.ndim else value
        for name, value in info.as_meta().items()
    }
    return replace(info, **values)
