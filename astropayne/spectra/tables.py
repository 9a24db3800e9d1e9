# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Columns of tables as wavelength, flux, uncertainty and mask."""

import re

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty

__all__ = [
    "MEDIUM_IN_NAME",
    "OF_NOISE",
    "column_roles",
    "floats",
    "says_no_unit",
    "says_noise",
    "spectrum_of_table",
    "unit_of",
]

# What columns are called, in lower case; the first that fits counts.
_CALLED = {
    "guessed_noise": re.compile(r"^guessed_noise$"),
    "inverse_variance": re.compile(r"ivar|inv.*var"),
    "variance": re.compile(r"^var|variance"),
    "uncertainty": re.compile(r"err|unc|^sig|^e_|^std|noise"),
    "wavelength": re.compile(r"^wav|^lam|^wl"),
    "log_wavelength": re.compile(r"^log(10)?_?(wav|lam|wl)"),  # SDSS
    "flux": re.compile(r"flux|intensity"),
    "mask": re.compile(r"^mask|^(and|pix)_?mask$|^qual(ity)?$"),  # SDSS, LAMOST; ESO, 4MOST
    "resolution": re.compile(r"^resolution$"),
    "correlation": re.compile(r"^correlation$"),
}
_IN_ORDER = ("wavelength", "flux", "uncertainty")
_NO_WAVELENGTH = re.compile(r"^(freq|nu$|wavenum|energy|vel|log|ln|pix|order)")
MEDIUM_IN_NAME = re.compile(r"(?:^|[_ (\[])(air|vac)")
# The unit at the end of a wavelength's name, as in "wave_nm" or "lambda[A]".
_UNIT_IN_NAME = re.compile(r"[_ (\[]([a-zåµ]+)[)\]]?$")
_UNITS = {
    **dict.fromkeys(("a", "aa", "å", "ang", "angstrom", "angstroms"), u.AA),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), u.nm),
    **dict.fromkeys(("um", "µm", "micron", "microns"), u.um),
}
OF_NOISE = ("correlation", "guessed_noise")  # metadata of `degrade_spectrum`, a value a pixel
_POWERS = {"uncertainty": 1, "variance": 0.5, "inverse_variance": -0.5}  # that make it a deviation
_NEGATIVE = 0.1  # the part of a third column from which on it is no uncertainty, but Stokes V, say


def says_no_unit(header):
    """Say whether the header of a one-dimensional image leaves out the unit of its wavelengths."""
    one_image = header.get("NAXIS") == 1 and "CRVAL1" in header
    return one_image and not str(header.get("CUNIT1", "")).strip()


def unit_of(hdu):
    return u.Unit(hdu.header.get("BUNIT", ""), parse_strict="silent")


def column_roles(names):
    """Return which column is what, by their names."""
    roles = {}
    for name in names:
        fits = [role for role, called in _CALLED.items() if called.search(name.lower())]
        if fits:
            roles.setdefault(fits[0], name)
    if "log_wavelength" in roles:
        roles.setdefault("wavelength", roles["log_wavelength"])
    return roles


def spectrum_of_table(table, path, wavelength_unit, columns, meta):
    """Make a spectrum of a table's columns, which go by their names or their order."""
    from specutils import Spectrum

    names = table.colnames if columns == 2 else table.colnames[:columns]  # in any order
    roles = column_roles(names)
    if in_order := not {"wavelength", "flux"} <= roles.keys():
        roles = dict(zip(_IN_ORDER, names, strict=False))
        if _NO_WAVELENGTH.search(table.colnames[0].lower()):
            raise ValueError(
                f"{path} has columns {', '.join(table.colnames)}, of which none is a wavelength: "
                "call it 'wavelength'"
            )
    found = {r: table[n] for r, n in roles.items() if columns != 2 or r not in _POWERS}
    if found["flux"].ndim > 1:
        raise ValueError(
            f"{path} has {len(table)} rows of arrays, each of which is a spectrum: write each row "
            "to a file of its own, or make a Spectrum of it"
        )
    flux, axis = floats(found["flux"]), _axis(found, roles, path, wavelength_unit)
    sigma = _deviation(found, flux.unit)
    light = _middle(np.abs(flux))
    if sigma is not None and light > 0 and _middle(sigma) > light:
        name = next(roles[role] for role in _POWERS if role in roles)
        raise ValueError(
            f"{path}: column {name!r} makes errors larger than the flux, which no uncertainty "
            "does; columns=2 reads wavelength and flux only"
        )
    if sigma is not None and in_order and np.mean(found["uncertainty"] < 0) > _NEGATIVE:
        raise ValueError(
            f"{path}: column {roles['uncertainty']!r} has negative values, which no uncertainty "
            "has; columns=2 reads wavelength and flux only"
        )
    # What specutils cannot have, an axis out of order, is said with the file's name.
    steps = np.diff(axis.value)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"{path}: wavelengths neither increase nor decrease all the way")
    mask = found.get("mask")
    known = {key: table.meta[key] for key in ("medium", "resolution") if key in table.meta}
    if "medium" not in known and (medium := _medium(roles["wavelength"], table.colnames)):
        known["medium"] = medium
    resolution = found.get("resolution")
    if resolution is not None and resolution.unit in (None, u.one):  # else it is a width
        known["resolution"] = floats(resolution).value
    known |= {name: floats(found[name]).value for name in OF_NOISE if name in found}
    return Spectrum(
        spectral_axis=axis,
        flux=flux,
        uncertainty=None if sigma is None else StdDevUncertainty(sigma),
        mask=None if mask is None else _mask(mask, path),
        meta={**known, **meta},
    )


def _axis(columns, roles, path, wavelength_unit):
    """Return wavelengths with the unit that the column, its name or else the caller says."""
    name, column = roles["wavelength"], columns["wavelength"]
    values, unit = floats(column), getattr(column, "unit", None)
    if roles.get("log_wavelength") == name:
        return 10**values.value * u.AA
    if isinstance(unit, u.UnrecognizedUnit):
        raise ValueError(  # noqa: TRY004
            f"{path}: column {name!r} is in {str(unit)!r}, a unit that is not known"
        )
    if unit is not None:
        return values
    match = _UNIT_IN_NAME.search(name.lower())
    return values.value * _UNITS.get(match and match[1], wavelength_unit)


def _medium(name, names):
    """Return the medium that a wavelength's name says, or the name of another one beside it."""
    if match := MEDIUM_IN_NAME.search(name.lower()):
        return {"air": "air", "vac": "vacuum"}[match[1]]
    beside = [n.lower() for n in names if n.lower().startswith(f"{name.lower()}_")]
    others = {match[1] for n in beside if (match := MEDIUM_IN_NAME.search(n))}
    return {frozenset({"air"}): "vacuum", frozenset({"vac"}): "air"}.get(frozenset(others))


def _deviation(columns, unit):
    """Return standard deviations of what a table says of the noise, or None if that is nothing."""
    for role, power in _POWERS.items():
        values = floats(columns[role]) if role in columns else None
        if values is not None and says_noise(values.value):
            with np.errstate(divide="ignore", invalid="ignore"):  # of weights that are zero
                sigma = values**power
            return sigma.value * unit if sigma.unit == u.one else sigma
    return None


def says_noise(values):
    """Say whether values of an uncertainty have a positive number among them."""
    return bool(np.any((values > 0) & np.isfinite(values)))


def _middle(values):
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return np.median(finite) if len(finite) else np.nan * values.unit


def floats(column):
    """Return a column as a quantity, NaN where it has no value; a unit that none knows is none."""
    column = column.astype(float)
    values = u.Quantity(column.filled(np.nan) if hasattr(column, "filled") else column)
    return values.value * u.one if isinstance(values.unit, u.UnrecognizedUnit) else values


def _mask(column, path):
    """Return a column as a mask; what is not said is masked."""
    values = np.asarray(np.ma.filled(column, True))
    if values.dtype.kind in "biuf":
        return values != 0
    text = np.char.lower(values.astype(str))
    if odd := sorted(set(text.tolist()) - {"true", "false"}):
        raise ValueError(
            f"{path}: column {column.info.name!r} has {odd[0]!r}: a mask has numbers, of which "
            "zero is a good pixel, or true and false; a column that is none needs another name"
        )
    return text == "true"
