# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Units of wavelengths and fluxes as files spell them."""

import math
import re
import warnings

import astropy.units as u

__all__ = ["flux_unit", "logarithm_of", "states_no_unit", "unit_in_name", "wavelength_unit_of"]

_ANGSTROM = (
    "a", "aa", "å", "ang", "angs", "angstr", "angst", "angstrom", "angstroms", "angstroem",
    "angstroems", "angström", "angströms", "ångström", "ångströms", "ångstrom", "angtrom",
    "angstron", "anstrom", "angstrøm", "angstrm", "ang.",
)  # fmt: skip
_SPELLINGS = {
    **dict.fromkeys(_ANGSTROM, u.AA),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), u.nm),
    **dict.fromkeys(("um", "µm", "μm", "mum", "mu", "micron", "microns"), u.um),
    **dict.fromkeys(("micrometer", "micrometers", "micrometre", "micrometres"), u.um),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), u.m),
    **dict.fromkeys(("cm-1", "cm^-1", "1/cm", "cm**-1"), u.cm**-1),
}
# The unit at the end of a name, as in "wave_nm", "lambda[A]" or "wavelengthnm".
_AT_END = re.compile(
    r"(?:(?:wave(?:length)?s?|lambda)(?=..)|[_ (\[]|^)([a-zåµμöø]+)[)\]]?$", re.IGNORECASE
)
_MEDIUM_AT_END = re.compile(r"[_ (\[]*(in_)?(air|vac(uum)?)[)\]]*$", re.IGNORECASE)
_WORDS = re.compile(
    r"[\s,;()\[\]_]*(in )?(?<![a-z])(vac(uum)?|air|obs(erved)?|rest|wavelengths?)(?![a-z])"
    r"[\s,;()\[\]_]*"
)
_NO_UNIT = ("none", "unknown", "null", "n/a", "-", "a.u.", "arb", "unitless")
# Logarithms, as in "log10(Angstrom)", "dex(nm)", "ln lambda" or "log Angstrom".
_LOGARITHM = re.compile(r"\s*(log10|log_?e|log|lg|ln|dex)(?![a-z])[\s_]*(.*)", re.IGNORECASE)


def unit_in_name(name: str) -> u.UnitBase | None:
    """Return the unit of wavelength at the end of a name, as in ``wave_nm``, or `None`."""
    match = _AT_END.search(_MEDIUM_AT_END.sub("", name.strip().lower()))
    return _SPELLINGS.get(match[1]) if match else None


def logarithm_of(text: object) -> tuple[float, str] | None:
    """Return the base of the logarithm that a unit or name states, and what it is taken of.

    Parameters
    ----------
    text : str or `~astropy.units.Unit`

    Returns
    -------
    (float, str) or None
        `None` if the text states no logarithm.

    Examples
    --------
    >>> from astropayne.spectra.conventions.units import logarithm_of
    >>> logarithm_of("log10(Angstrom)"), logarithm_of("nm")
    ((10.0, 'Angstrom'), None)
    """
    match = _LOGARITHM.fullmatch(str(text))
    if match is None:
        return None
    base = math.e if match[1].lower() in ("ln", "loge", "log_e") else 10.0
    return base, match[2].strip(" ()[]")


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
    >>> from astropayne.spectra.conventions.units import wavelength_unit_of
    >>> wavelength_unit_of("ANGSTROM"), wavelength_unit_of("Angstroms (vacuum)")
    (Unit("Angstrom"), Unit("Angstrom"))
    """
    plain = _WORDS.sub("", str(text).lower()).strip(" '\"[]()")
    if plain in _NO_UNIT:
        return None
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    unit = u.Unit(str(text).strip(), parse_strict="silent")
    if isinstance(unit, u.UnrecognizedUnit):
        unit = u.Unit(plain, parse_strict="silent")
    odd = isinstance(unit, u.UnrecognizedUnit | u.function.FunctionUnitBase)
    return unit if not odd and unit.is_equivalent(u.AA, u.spectral()) else None


def states_no_unit(text: object) -> bool:
    """Return whether the text of a unit only states that there is none, such as ``unknown``."""
    return text is None or str(text).strip().lower() in ("", *_NO_UNIT)


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
