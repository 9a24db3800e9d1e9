# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Conventions of spectrum files, read from tables of the package.

The tables state what columns and image extensions are called (``spectrum_columns.ecsv``), which
header cards and products state the medium of wavelengths (``spectrum_media.ecsv``), and in which
masks a value other than zero marks a good pixel (``spectrum_masks.ecsv``), each with its source.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files
from numbers import Real
from typing import Any

from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "cards_of",
    "exact_names",
    "first_value",
    "marks_good_pixels",
    "medium_of_headers",
    "plain_name",
    "resolution_of_headers",
    "role_patterns",
    "words_of_wat",
]

# Strings of CRVAL1 and CDELT1 of APOGEE depend on how a number is printed.
_NUMBER = "{:g}"
# Cards of λ/FWHM: of ESO's Science Data Products, of `write_spectrum`, and of other products.
_RESOLUTION = ("SPEC_RES", "RESOLUT", "RESOLUTION", "RES_POW", "RESPOWER", "SPECRES", "SPECRP")
_LONGEST = 25  # letters of a value that states a medium and nothing else
# Names of cards whose values are compared with the patterns; long headers have thousands of others.
_CARD_OF_MEDIUM = re.compile(r"VAC|AIR|WAV|LAM|AXIS|WCS|MEDI|DISP|VEL|REF", re.IGNORECASE)
_AXIS_CARDS = ("TTYPE1", "TTYPE2", "TUNIT1", "TUNIT2", "CRVAL1", "CTYPE1", "CUNIT1")
_COMMENTS = ("COMMENT", "HISTORY", "comments")
# "wavelengths are in vacuum", "converted to air", "vacuum wavelengths"; not "from air to vacuum"
# twice, and not "not in vacuum".
_MEDIUM = re.compile(
    r"(?:(?:wave\w*|lambda)\b[^.;\n]{0,40}?\b(?:in|to)|converted\b[^.;\n]{0,20}?\bto)"
    r"(?<!not in)\s+(?:the\s+|standard\s+)?(vacuum|air)\b(?!\s+to\b)"
    r"|(?<!from )(?<!not )\b(vacuum|air)[ -]wave",
    re.IGNORECASE,
)
_UNIT_AT_END = re.compile(r"\s*[(\[][^)\]]*[)\]]$")
_LEAST = 50  # smaller numbers are widths, not resolutions


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of a table of the package as dicts."""
    with as_file(files("astropayne") / "data" / f"spectrum_{name}.ecsv") as path:
        table = Table.read(path, format="ascii.ecsv")
    columns = [
        table[column].filled("") if table.masked else table[column] for column in table.colnames
    ]
    return tuple(
        dict(zip(table.colnames, map(_text, row), strict=True))
        for row in zip(*columns, strict=True)
    )


def _text(value: Any) -> str:
    text = str(value)
    return "" if text == "--" else text


@cache
def exact_names(role: str) -> tuple[str, ...]:
    """Return the names of a role in lower case, in the order of preference."""
    rows = _rows("columns")
    return tuple(r["name"] for r in rows if r["role"] == role and r["kind"] == "name")


@cache
def cards_of(quantity: str) -> tuple[str, ...]:
    """Return the header cards that state a quantity, in the order of preference."""
    return tuple(row["card"] for row in _rows("identity") if row["quantity"] == quantity)


@cache
def role_patterns(role: str) -> re.Pattern:
    """Return a regular expression that finds names of a role."""
    rows = _rows("columns")
    patterns = [r["name"] for r in rows if r["role"] == role and r["kind"] == "pattern"]
    return re.compile("|".join(patterns) or r"(?!)")


def plain_name(name: str) -> str:
    """Return a name in lower case, without its unit, with underscores between words."""
    return re.sub(r"[\s.\-]+", "_", _UNIT_AT_END.sub("", name.strip()).lower())


def first_value(headers: Iterable[Mapping[str, Any]], card: str) -> str:
    """Return the first value of a card in several headers as text, or an empty string."""
    for header in headers:
        value = header.get(card)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        return value.strip() if isinstance(value, str) else _printed(value)
    return ""


def _printed(value: Any) -> str:
    return _NUMBER.format(value) if isinstance(value, float) else str(value)


def medium_of_headers(headers: Sequence[Mapping[str, Any]], path: object = "") -> str | None:
    """Return the medium of wavelengths that headers state.

    Parameters
    ----------
    headers : sequence of mapping
        FITS headers; the first that has a card counts.
    path : path-like
        Name of the file, for the warning.

    Returns
    -------
    {"air", "vacuum"} or None
        `None` if no header states it.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If a card that exists to state the medium has another value.

    Examples
    --------
    >>> from astropayne.spectra.conventions.headers import medium_of_headers
    >>> medium_of_headers([{"AIRORVAC": "vac"}])
    'vacuum'
    """
    values: dict[str, str] = {}
    for row in _rows("media"):
        card = row["card"]
        if row["kind"] == "pattern":
            continue
        if card not in values:
            values[card] = first_value(headers, card)
        if not values[card] or not _matches(row["value"], values[card]):
            continue
        if not row["needs"] or _matches(row["matching"], first_value(headers, row["needs"])):
            return row["medium"]
    if medium := _medium_of_patterns(headers) or _medium_of_comments(headers):
        return medium
    statements = {r["card"] for r in _rows("media") if r["kind"] == "statement"}
    if unclear := [f"{card} = {values[card]!r}" for card in statements if values[card]]:
        warnings.warn(
            f"{path}: {unclear[0]} does not state whether wavelengths are in air or in vacuum: "
            "give meta={'medium': 'vacuum'} or meta={'medium': 'air'}",
            AstropyUserWarning,
            stacklevel=2,
        )
    return None


@cache
def _card_patterns() -> tuple[tuple[re.Pattern, dict[str, str]], ...]:
    rows = (row for row in _rows("media") if row["kind"] == "pattern")
    return tuple((re.compile(row["card"], re.IGNORECASE), row) for row in rows)


def _medium_of_patterns(headers: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the medium that cards state whose names have many spellings."""
    for header in headers:
        for card in filter(_CARD_OF_MEDIUM.search, map(str, header)):
            value = header[card]
            text = str(value).strip() if isinstance(value, str | bool | int) else ""
            for name, row in _card_patterns() if len(text) < _LONGEST else ():
                if _matches(row["value"], text) and name.fullmatch(card):
                    return row["medium"]
    return None


def _medium_of_comments(headers: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the only medium that comments state, such as "wavelengths are in vacuum"."""
    found = set()
    for header in headers:
        comments = getattr(header, "comments", None)
        texts = [str(comments[card]) for card in _AXIS_CARDS if comments and card in header]
        texts += [str(line) for key in _COMMENTS for line in _lines(header.get(key))]
        for text in texts:
            media = {(m[1] or m[2]).lower() for m in _MEDIUM.finditer(text)}
            found |= media
    return found.pop() if len(found) == 1 else None


def _lines(value: Any) -> list[Any]:
    if value is None:
        return []
    return value.splitlines() if isinstance(value, str) else list(value)


def _matches(pattern: str, text: str) -> bool:
    return bool(text) and re.fullmatch(pattern, text, re.IGNORECASE) is not None


def marks_good_pixels(column: str, headers: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a value other than zero in a mask marks a good pixel.

    Parameters
    ----------
    column : str
        Name of the mask.
    headers : sequence of mapping
        Headers of the file.

    Returns
    -------
    bool

    Examples
    --------
    >>> from astropayne.spectra.conventions.headers import marks_good_pixels
    >>> marks_good_pixels("mask", []), marks_good_pixels("mask", [{"DMODCLS": "OneSpec"}])
    (False, True)
    """
    if column.lower() in exact_names("good"):
        return True
    return any(
        row["column"] == column.lower()
        and (not row["card"] or _matches(row["value"], first_value(headers, row["card"])))
        for row in _rows("masks")
    )


def resolution_of_headers(headers: Sequence[Mapping[str, Any]]) -> float | None:
    """Return λ/FWHM that headers state.

    Parameters
    ----------
    headers : sequence of mapping
        FITS headers; the first that has a card counts.

    Returns
    -------
    float or None

    Examples
    --------
    >>> from astropayne.spectra.conventions.headers import resolution_of_headers
    >>> resolution_of_headers([{"SPEC_RES": 115000}])
    115000.0
    """
    for card in _RESOLUTION:
        for header in headers:
            value = header.get(card)
            if isinstance(value, Real) and value >= _LEAST:
                return float(value)
    return None


def words_of_wat(headers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the words of IRAF's card of the first axis, such as ``units=angstroms``."""
    text = first_value(headers, "WAT1_001")
    return dict(re.findall(r"(\w+)\s*=\s*\"?([\w.\-]+)", text.lower()))
