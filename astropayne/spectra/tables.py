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
from specutils import Spectrum, SpectrumList

from astropayne.spectra.conventions.axes import StatedAxis, orders_of, sorted_pixels
from astropayne.spectra.conventions.columns import NOISE_POWERS, choose_roles, medium_of_names
from astropayne.spectra.conventions.headers import (
    exact_names,
    marks_good_pixels,
    medium_of_headers,
    plain_name,
    resolution_of_headers,
    role_patterns,
)
from astropayne.spectra.conventions.masks import looks_like_mask, mask_of_values
from astropayne.spectra.conventions.units import (
    flux_unit,
)
from astropayne.spectra.identity import Identity
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.options import SeveralTargetsError
from astropayne.wavelengths.media import MEDIA
from astropayne.wavelengths.resolution import FWHM, ResolutionCurve

__all__ = [
    "SpectrumTable",
    "describes_noise",
    "orders_as_arms",
    "spectrum_of_table",
    "table_of_astropy",
]

_IN_ORDER = ("wavelength", "flux", "uncertainty")
_NEGATIVE = 0.1  # fraction of negative values above which a column is Stokes V, not an uncertainty
_PER_PIXEL = ("correlation", "guessed_noise")  # metadata with a value per pixel
_AND_MASKS = ("and_mask", "andmask")  # pixels that are bad in all exposures, not in one of them
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
        (
            {key.lower(): value for key, value in table.meta.items()},
            {str(key).upper(): value for key, value in table.meta.items()},
            table.meta,
        ),
    )


def spectrum_of_table(
    table: SpectrumTable,
    path: object,
    *,
    wavelength_unit: u.UnitBase | None = None,
    columns: int | Mapping[str, str] | None = None,
    target: int | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Spectrum | SpectrumList:
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
    `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list if wavelengths start again, as those of orders do.

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
        roles = _roles_in_order(table, roles, names, path)
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
    keep = sorted_pixels(wavelength.value, mask, flux.value, path)
    info = _cut(_info(table, roles, wavelength, path), keep)
    return orders_as_arms(
        wavelength[keep],
        flux[keep],
        None if sigma is None else sigma[keep],
        None if mask is None else mask[keep],
        {**Identity.of_headers(table.headers).as_meta(), **info.as_meta(), **(meta or {})},
        path,
        lambda pixel: int(np.arange(len(wavelength))[keep][pixel]),
    )


def orders_as_arms(
    wavelength: u.Quantity,
    flux: u.Quantity,
    sigma: u.Quantity | None,
    mask: np.ndarray | None,
    meta: Mapping[str, Any],
    path: object,
    row_of: Callable[[int], int] = int,
) -> Spectrum | SpectrumList:
    """Return arrays as a spectrum, or as a list of orders if their wavelengths start again.

    Parameters
    ----------
    wavelength, flux, sigma : `~astropy.units.Quantity`
        Arrays of the same length; ``sigma`` may be `None`.
    mask : numpy.ndarray of bool, optional
    meta : mapping
        Metadata; arrays in it have a value per pixel.
    path : path-like
        Name of the file, for errors.
    row_of : callable
        Returns the row in the file of a pixel, for errors.

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`

    Raises
    ------
    ValueError
        If wavelengths neither increase nor decrease, and do not do so in orders either.
    """
    orders, n = orders_of(wavelength.value, path, row_of), len(wavelength)
    spectra = [
        Spectrum(
            spectral_axis=wavelength[part],
            flux=flux[part],
            uncertainty=None if sigma is None else StdDevUncertainty(sigma[part]),
            mask=None if mask is None else mask[part],
            meta={
                key: value[part] if np.shape(value)[:1] == (n,) and key in _PER_PIXEL else value
                for key, value in meta.items()
            },
        )
        for part in orders
    ]
    return SpectrumList(spectra) if len(spectra) > 1 else spectra[0]


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
        raise SeveralTargetsError(
            f"{path} has {table.n_rows} rows of arrays, each of which is a spectrum: give "
            f"target=0 to target={table.n_rows - 1}, or read all with read_spectra",
            table.n_rows,
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


def _roles_in_order(
    table: SpectrumTable, roles: Mapping[str, str], names: Sequence[str], path: object
) -> dict[str, str]:
    """Return roles by the order of columns, where names do not tell them."""
    first = [roles.get("wavelength") or roles.get("log_wavelength"), roles.get("flux")]
    contradicts = any(known not in (None, name) for known, name in zip(first, names, strict=False))
    if (
        len(names) < 2
        or contradicts
        or role_patterns("not_wavelength").search(plain_name(names[0]))
        or role_patterns("not_flux").search(plain_name(names[1]))
    ):
        raise ValueError(
            f"{path} has columns {', '.join(table.names)}, of which none is known to be the "
            f"{'flux' if _has_axis(roles) else 'wavelength'}: name it, such as "
            f"columns={{'wavelength': {names[0]!r}, 'flux': {names[-1]!r}}}"
        )
    kinds = ("not_flux", "mask_like")
    if len(names) > 2 and any(role_patterns(k).search(plain_name(names[2])) for k in kinds):
        names = names[:2]
    return dict(zip(_IN_ORDER, names, strict=False))


def _floats(table: SpectrumTable, name: str, path: object) -> np.ndarray:
    """Return a column as numbers, NaN where it has no value."""
    values = table.read(name)
    array = np.ma.asarray(values)
    if array.dtype.kind in "USO":  # numbers as text
        array = np.ma.asarray(array.tolist())
    try:
        if array.dtype.kind not in "cmM":
            return np.ma.filled(array.astype(float), np.nan)
        reason = f"it has {array.dtype}"
    except (TypeError, ValueError) as error:
        reason = str(error)
    raise ValueError(f"{path}: column {name!r} must have real numbers: {reason}")


def _axis(
    table: SpectrumTable,
    roles: Mapping[str, str],
    path: object,
    wavelength_unit: u.UnitBase | None,
) -> u.Quantity:
    """Return wavelengths in the unit of the column, of its name, or of the caller."""
    name = roles.get("wavelength") or roles["log_wavelength"]
    values, text = _floats(table, name, path), table.units.get(name)
    what = f"{path}: column {name!r}"
    stated = StatedAxis.of_column(name, text, what, wavelength_unit)
    if "wavelength" not in roles and stated.base is None:
        stated = replace(stated, base=10.0)
    unit = stated.unit or wavelength_unit
    if role_patterns("spectral_axis").search(plain_name(name)) and (
        unit is None or unit.is_equivalent(u.m)
    ):
        raise ValueError(
            f"{what} is no wavelength, and its unit is not stated: give it, such as "
            "wavelength_unit='cm-1', or the column of the wavelength, columns={'wavelength': ...}"
        )
    return stated.wavelengths(values)


def _flux(table: SpectrumTable, roles: Mapping[str, str], path: object) -> u.Quantity:
    name = roles["flux"]
    unit = flux_unit(table.units.get(name))
    if isinstance(unit, u.function.FunctionUnitBase) or unit in (u.mag, u.dex, u.dB):
        raise ValueError(
            f"{path}: column {name!r} is in {unit}, which is a logarithm: convert it to a flux"
        )
    return _floats(table, name, path) * unit


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
    return _relative_sigma(table, roles, path, flux)


def _relative_sigma(
    table: SpectrumTable, roles: Mapping[str, str], path: object, flux: u.Quantity
) -> u.Quantity | None:
    """Return standard deviations from errors in units of the flux, and name unused weights."""
    with np.errstate(divide="ignore", invalid="ignore"):
        for role, power in (("relative_uncertainty", 1), ("signal_to_noise", -1)):
            if role in roles and describes_noise(values := _floats(table, roles[role], path)):
                sigma = np.abs(flux) * values**power
                _check_sigma(sigma, flux, roles[role], None, path)
                return sigma
    weights = [name for name in table.names if plain_name(name) in exact_names("weight")]
    if weights and not roles.keys() & NOISE_POWERS.keys():
        warnings.warn(
            f"{path}: column {weights[0]!r} is not used: if it is an inverse variance, give "
            f"columns={{'inverse_variance': {weights[0]!r}}}",
            AstropyUserWarning,
            stacklevel=5,
        )
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
    known = {"or_mask", "ormask"} if plain_name(roles.get(role, "")) in _AND_MASKS else set()
    unused = [
        name
        for name in table.names
        if name not in roles.values()
        and plain_name(name) not in known
        and looks_like_mask(table.read(name), name)
    ]
    if unused:
        warnings.warn(
            f"{path}: {', '.join(unused)} looks like a mask and is not used: if it is one, give "
            f"columns={{'mask': {unused[0]!r}}}, or 'good' if good pixels are not zero",
            AstropyUserWarning,
            stacklevel=3,
        )
    return mask


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
    resolution = _resolution(table, roles, wavelength.value)
    if np.ndim(resolution):
        resolution = ResolutionCurve(wavelength.to_value(u.AA, u.spectral()), resolution)
    return SpectrumInfo(medium=medium, resolution=resolution, **noise)


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
