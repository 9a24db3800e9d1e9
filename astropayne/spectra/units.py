# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Units of wavelengths and fluxes as files spell them."""

import re
import warnings

import astropy.units as u
import numpy as np

__all__ = ["as_angstrom_if_logarithm", "flux_unit", "unit_in_name", "wavelength_unit_of"]

_ANGSTROM = (
    "a", "aa", "å", "ang", "angs", "angstr", "angst", "angstrom", "angstroms", "angstroem",
    "angstroems", "angström", "angströms", "ångström", "ångströms", "ångstrom", "angtrom",
    "angstron", "anstrom",
)  # fmt: skip
_SPELLINGS = {
    **dict.fromkeys(_ANGSTROM, u.AA),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), u.nm),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers"), u.um),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), u.m),
    **dict.fromkeys(("cm-1", "cm^-1", "1/cm", "cm**-1"), u.cm**-1),
}
# The unit at the end of a name, as in "wave_nm" or "lambda[A]".
_AT_END = re.compile(r"[_ (\[]([a-zåµμö]+)[)\]]?$")
_WORDS = re.compile(r"[\s,;()\[\]]*(in )?\b(vac(uum)?|air|wavelengths?)\b[\s,;()\[\]]*")


def unit_in_name(name: str) -> u.UnitBase | None:
    """Return the unit of wavelength at the end of a name, as in ``wave_nm``, or `None`."""
    match = _AT_END.search(name.lower())
    return _SPELLINGS.get(match[1]) if match else None


def wavelength_unit_of(text: object) -> u.UnitBase | None:
    """Return the unit of a spectral axis.

    Parameters
    ----------
    text : str or `~astropy.units.Unit`
        Spellings such as ``A``, ``ANGSTROM`` and ``Angstroms`` are accepted, and words that state
        the medium are ignored.

    Returns
    -------
    `~astropy.units.Unit` or None
        `None` if the text is no unit of a spectral axis.

    Examples
    --------
    >>> from astropayne.spectra.units import wavelength_unit_of
    >>> wavelength_unit_of("ANGSTROM"), wavelength_unit_of("Angstroms (vacuum)")
    (Unit("Angstrom"), Unit("Angstrom"))
    """
    plain = _WORDS.sub("", str(text).lower()).strip(" '\"[]()")
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    unit = u.Unit(str(text).strip(), parse_strict="silent")
    if isinstance(unit, u.UnrecognizedUnit):
        unit = u.Unit(plain, parse_strict="silent")
    usable = not isinstance(unit, u.UnrecognizedUnit) and unit.is_equivalent(u.AA, u.spectral())
    return unit if usable else None


def flux_unit(text: object) -> u.UnitBase:
    """Return a unit of flux; dimensionless if astropy does not know it.

    Parameters
    ----------
    text : str, `~astropy.units.Unit` or None
        ``A`` is read as Å.

    Returns
    -------
    `~astropy.units.Unit`
    """
    if text is None or text == "":
        return u.one
    spelled = re.sub(r"(?<![A-Za-z])A(?![A-Za-z])", "Angstrom", str(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)  # such as of several slashes
        unit = u.Unit(spelled, parse_strict="silent")
    return u.one if isinstance(unit, u.UnrecognizedUnit) else unit


def as_angstrom_if_logarithm(
    values: np.ndarray, unit: u.UnitBase, stated: bool, what: str
) -> u.Quantity:
    """Return wavelengths, converted from decimal logarithms where the file states these.

    Parameters
    ----------
    values : numpy.ndarray
        Wavelengths, or their logarithms.
    unit : `~astropy.units.Unit`
        Unit of the wavelengths.
    stated : bool
        Whether the file states that they are decimal logarithms.
    what : str
        File and column, for the error.

    Returns
    -------
    `~astropy.units.Quantity`

    Raises
    ------
    ValueError
        If the values can only be logarithms and the file does not state it.
    """
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
    if stated:
        return 10**values * (u.AA if unit == u.one else unit)
    if unit == u.AA and low > 2.9 and high < 12:
        power, name = ("10**value", "loglam") if high < 5.5 else ("exp(value)", None)
        hint = f", or call the column {name!r}" if name else ""
        raise ValueError(
            f"{what} has values from {low:.4g} to {high:.4g}, which can only be logarithms of "
            f"wavelengths in Angstrom: write {power} instead{hint}"
        )
    return values * unit
