# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Text tables of numbers below lines of any kind, as programs of many years write them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["TextTableError", "names_and_units", "parse_numbers", "with_decimal_points"]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+|[-+]\d{2,3})?")
_NOTHING = re.compile(
    r"\*{2,}|indef|nan(\(ind\))?|[-+]?1\.#(ind|qnan|inf)\d*|null|none|n/?a|-+|=+|\.{2,3}|",
    re.IGNORECASE,
)
_INFINITE = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)
_COMMENT = re.compile(r"\s*(#|%|!|//|;|\*{3}|\"\"\")+")
_SHORT_EXPONENT = re.compile(r"(?<=[\d.])[dD]?(?=[-+]\d)|(?<=[\d.])[dD](?=\d)")
_WITH_COMMA = r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?"
_COMMAS = re.compile(rf"\s*{_WITH_COMMA}(?:[\s;]+{_WITH_COMMA})+\s*")
_LEAST = 0.5  # fraction of the lines that must be rows of numbers
_MOST_SHOWN = 40  # letters of a line in an error


class TextTableError(ValueError):
    """Error of a table of numbers in which a line has another form than the others."""


def with_decimal_points(text: str) -> str:
    """Return a text in which numbers with decimal commas have points.

    Parameters
    ----------
    text : str
        Fields are separated by spaces, tabs or semicolons.

    Returns
    -------
    str
        The same text if not all of its numbers have commas.

    Examples
    --------
    >>> from astropayne.io.number_tables import with_decimal_points
    >>> with_decimal_points("5160,0;0,98")
    '5160.0 0.98'
    """
    if "," not in text:
        return text
    lines = text.splitlines()
    rows = ["," in line and _COMMAS.fullmatch(line) is not None for line in lines]
    if sum(rows) <= _LEAST * len([line for line in lines if line.strip()]):
        return text
    return "\n".join(
        re.sub(r"[;\s]+", " ", line.replace(",", ".")) if row else line.replace(";", " ")
        for line, row in zip(lines, rows, strict=True)
    )


def parse_numbers(text: str) -> "Table | None":
    r"""Return the rows of numbers in a text, whatever is above them.

    Lines above are a title, comments, a number of rows, names of columns and their units. Entries
    that are not numbers, such as ``INDEF``, ``NULL`` and ``****``, become NaN.

    Parameters
    ----------
    text : str

    Returns
    -------
    `~astropy.table.Table` or None
        `None` if fewer than half of the lines are rows of numbers.

    Raises
    ------
    TextTableError
        If a line among the rows has another number of fields, or has words.

    Examples
    --------
    >>> from astropayne.io.number_tables import parse_numbers
    >>> parse_numbers("wave flux\nnm -\n516.0 0.98\n516.1 0.97")["wave"].unit
    Unit("nm")
    """
    lines = text.splitlines()
    fields = [_fields(line) for line in lines]
    rows = [_is_row(words) for words in fields]
    filled = [bool(words) for words in fields]
    if sum(rows) < 2 or sum(rows) < _LEAST * sum(filled):
        return None
    n = Counter(len(words) for words, row in zip(fields, rows, strict=True) if row).most_common()
    width = n[0][0]
    first = _first_row(fields, rows, width)
    values: list[list[str]] = []
    for i in range(first, len(lines)):
        words = fields[i]
        if not words:
            continue
        if not rows[i] or len(words) != width:
            shown = lines[i].strip()[:_MOST_SHOWN]
            raise TextTableError(
                f"line {i + 1} has {len(words)} fields and the others have {width} numbers: "
                f"{shown!r}; mend it, or begin it with # to leave it out"
            )
        values.append(words)
    return _table(values, *names_and_units(lines[:first], width))


def _fields(line: str) -> list[str]:
    """Return the fields of a line, none if it is a comment."""
    if _COMMENT.match(line) and not _NOTHING.fullmatch(line.split()[0]):
        return []
    line = re.split(r"\s#(?!(?:IND|INF|QNAN))", line)[0].strip()
    if not line:
        return []
    for separator in (",", ";"):
        if separator in line:
            parts = [word.strip().strip("\"'") for word in line.split(separator)]
            return parts[:-1] if parts[-1] == "" else parts
    return [word.strip("\"'") for word in line.split()]


def _is_row(words: Sequence[str]) -> bool:
    return (
        len(words) > 1
        and all(_is_number(word) for word in words)
        and any(_NUMBER.fullmatch(word) for word in words)
    )


def _is_number(word: str) -> bool:
    return any(p.fullmatch(word) for p in (_NUMBER, _NOTHING, _INFINITE))


def _first_row(fields: Sequence[Sequence[str]], rows: Sequence[bool], width: int) -> int:
    """Return the line of the first row, which is not a line with the numbers of rows."""
    whole = [i for i, row in enumerate(rows) if row and len(fields[i]) == width]
    counts = [w for w in fields[whole[0]] if w.isdigit()]
    if len(whole) > 2 and len(counts) == width == 2 and int(counts[0]) == len(whole) - 1:
        return whole[1]
    return whole[0]


def names_and_units(head: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """Return names of columns and their units from the lines above the rows.

    Parameters
    ----------
    head : sequence of str
        The lines; names are in the last of them, or units are and names in the one before.
    width : int
        Number of columns.

    Returns
    -------
    names, units : list of str
        ``col1``, ``col2``… if the lines have no names; units may be empty.

    Examples
    --------
    >>> from astropayne.io.number_tables import names_and_units
    >>> names_and_units(["# wave flux", "# nm -"], 2)
    (['wave', 'flux'], ['nm', ''])
    """
    names, units = [f"col{i + 1}" for i in range(width)], [""] * width
    for line in reversed(head):
        words = _words(line, width)
        if all(_is_number(word) for word in words):
            continue
        if len(words) == width and not any(units) and _is_unit(words[0]):
            units = ["" if _NOTHING.fullmatch(word) else word.strip("()[]") for word in words]
            continue
        if words[0] == "":  # the index of pandas
            words[0] = "index"
        if len(words) == width == len(set(words)) and not any(map(_is_number, words)):
            names = words
        break
    return names, units


def _words(line: str, width: int) -> list[str]:
    """Return the words of a line of names; a unit in brackets belongs to its name."""
    line = _COMMENT.sub("", line, count=1).strip().strip("|")
    for separator in ("|", ",", ";", "\t"):
        if line.count(separator) == width - 1:
            words = [word.strip().strip("\"'") for word in line.split(separator)]
            return [re.sub(r"\s+(?=[(\[])", "", word) for word in words]
    return re.sub(r"\s+(?=[(\[])", "", line).split()


def _is_unit(word: str) -> bool:
    return (
        re.fullmatch(
            r"[(\[]?(0\.1 ?nm|angstroms?|ang|aa?|nm|nanomet(er|re)s?|um|microns?|mum|cm-1)[)\]]?",
            word,
            re.IGNORECASE,
        )
        is not None
    )


def _table(rows: Sequence[Sequence[str]], names: Sequence[str], units: Sequence[str]) -> "Table":
    """Return columns of numbers."""
    from astropy.table import Column, Table

    columns = []
    for name, unit, words in zip(names, units, zip(*rows, strict=True), strict=True):
        whole = all(re.fullmatch(r"[-+]?\d{1,18}", word) for word in words)
        values = [int(word) if whole else _value(word) for word in words]
        columns.append(Column(values, name=name, unit=unit or None))
    return Table(columns)


def _value(word: str) -> float:
    if _NUMBER.fullmatch(word):
        return float(_SHORT_EXPONENT.sub("e", word) if "e" not in word.lower() else word)
    return float(word) if _INFINITE.fullmatch(word) else float("nan")
