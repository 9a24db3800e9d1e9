# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of lines: CSV tables, such as those of one_payne, and line masks of TSFitPy."""

import re
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.io.text_tables import parse_csv, read_text
from astropayne.labels.names import ELEMENTS
from astropayne.utils.quantities import strip_unit

__all__ = ["CSV_COLUMNS", "angstrom", "read_line_table", "window_ends"]

_HALF_WIDTH = 0.5  # Å, of windows if a file gives the centers of lines only, as in one_payne
_ROUNDED = 0.15  # Å; ends of windows in masks are rounded to 0.1
_IONS = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}
# Columns of line lists by the names that files give them, in lower case.
_COLUMNS = {
    "wavelength": "wavelength ll wave centre center lambda",
    "lower": "lower bluewidth wave_base",
    "upper": "upper redwidth wave_top",
    "half_width": "half_width dlam",
    "element": "element",
    "ion": "ion ionisation ionization",
    "core": "core",
    "reference": "reference",
}
_COLUMN_OF = {alias: name for name, aliases in _COLUMNS.items() for alias in aliases.split()}
#: Names that one_payne gives the columns of its CSV files.
CSV_COLUMNS = {
    "wavelength": "ll",
    "lower": "Bluewidth",
    "upper": "Redwidth",
    "element": "Element",
    "ion": "ionisation",
}


def angstrom(value: Any, what: str) -> np.ndarray:
    """Return values in Å as an array; bare numbers are Å already."""
    if value is None:
        raise ValueError(f"{what} is missing")
    return np.atleast_1d(np.asarray(strip_unit(value, what, u.AA), dtype=float))


def window_ends(
    center: np.ndarray, half_width: Any, lower: Any, upper: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of windows in Å, from the ends or from half of the widths."""
    if (lower is None) != (upper is None):
        raise ValueError("lower and upper ends of windows must be given together; one is missing")
    if lower is not None:
        return angstrom(lower, "lower"), angstrom(upper, "upper")
    half = angstrom(_HALF_WIDTH if half_width is None else half_width, "half_width")
    return center - half, center + half


def read_line_table(path: Path, element: str | None, medium: str | None) -> QTable:
    """Read a file of lines in any format.

    Parameters
    ----------
    path : `~pathlib.Path`
    element : str or None
        Element of all lines. By default that of the file, or else of its name.
    medium : {"air", "vacuum"} or None
        Medium of the wavelengths. By default that of the file, or else air.

    Returns
    -------
    `~astropy.table.QTable`
        With the columns of a line list.

    Raises
    ------
    ValueError
        If the file is not a table of lines.
    """
    try:
        content = read_text(path)
    except ValueError as error:
        raise ValueError(
            f"{error}; a line list is a table in ECSV or CSV, or a line mask of TSFitPy"
        ) from None
    if content.startswith("# %ECSV"):
        table = QTable.read(path, format="ascii.ecsv")
    elif _is_mask(content):
        table = _read_mask(content)
        element = element or _element_in(path.stem, r"([a-z]{1,2})-lmask")
    else:
        table = _read_csv(content, path)
    has_elements = "element" in table.colnames and any(map(_text, table["element"]))
    if element is None and not has_elements:
        element = _element_in(path.stem, r"([a-z]{1,2})")
    try:
        return _complete(table, path, element, medium)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _element_in(stem: str, pattern: str) -> str | None:
    """Return the element in the name of a file, if there is one."""
    match = re.fullmatch(pattern, stem.lower())
    symbol = match[1].capitalize() if match else None
    return symbol if symbol in ELEMENTS else None


def _rows(content: str) -> list[list[str]]:
    """Return the words of each line of text, without comments."""
    lines = (line.split(";")[0].split() for line in content.splitlines())
    return [words for words in lines if words]


def _is_mask(content: str) -> bool:
    """Return whether all rows have at least three words, the first a number, as in TSFitPy."""
    rows = _rows(content)
    return bool(rows) and all(len(row) >= 3 and _is_number(row[0]) for row in rows)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word.lower()) is not None


def _read_mask(content: str) -> QTable:
    """Return the table of a line mask: center, ends and perhaps a code, such as 12.01 for Mg II."""
    rows = _rows(content)
    names = ["wavelength", "lower", "upper"]
    table = QTable(np.array([row[:3] for row in rows], dtype=float), names=names)
    codes = [row[3].partition(".") if len(row) > 3 and _is_number(row[3]) else "" for row in rows]
    numbers = [int(code[0] or 0) if code else 0 for code in codes]
    symbols = dict(enumerate(ELEMENTS, start=1))
    table["element"] = [symbols.get(number, "") for number in numbers]
    table["ion"] = [int(code[2] or 0) if code else 0 for code in codes]
    return table


def _read_csv(content: str, path: Path) -> QTable:
    if not content.strip():
        raise ValueError(f"{path} is not a table of lines: it is empty")
    try:
        return parse_csv(content)
    except ValueError as error:
        raise ValueError(f"{path} is not a table of lines: {error}") from None


def _complete(table: QTable, path: Path, element: str | None, medium: str | None) -> QTable:
    """Give a table the columns of a line list."""
    for name in table.colnames:
        column = _COLUMN_OF.get(name.lower(), name)
        if column != name and column not in table.colnames:
            table.rename_column(name, column)
    if "wavelength" not in table.colnames:
        raise ValueError(
            f"no column contains the centers of lines, 'wavelength' or 'll'; the columns are "
            f"{table.colnames}"
        )
    own = {name: table[name] for name in _COLUMNS if name in table.colnames}
    center = angstrom(own["wavelength"], "wavelength")
    lower, upper = window_ends(center, *(own.get(n) for n in ("half_width", "lower", "upper")))
    # Rounded ends are moved to the center; widths in place of ends remain an error.
    lower = np.where(lower - center < _ROUNDED, np.minimum(lower, center), lower)
    upper = np.where(center - upper < _ROUNDED, np.maximum(upper, center), upper)
    n = len(table)
    table["wavelength"], table["lower"] = center * u.AA, lower * u.AA
    table["upper"] = upper * u.AA
    table["element"] = [element or _text(e) for e in own.get("element", [""] * n)]
    table["ion"] = [_ion(i) for i in own.get("ion", [0] * n)]
    core = np.nan_to_num(angstrom(own.get("core", 0.0), "core"))  # zero in empty cells
    table["core"] = np.broadcast_to(core, n) * u.AA
    table["reference"] = [_text(r) for r in own.get("reference", [path.name] * n)]
    if "half_width" in table.colnames:
        del table["half_width"]
    table.meta["medium"] = medium or table.meta.get("medium", "air")
    return table


def _text(cell: Any) -> str:
    """Return a cell as text, empty if it is masked."""
    return "" if cell is np.ma.masked else str(cell)


def _ion(cell: Any) -> int:
    """Return the ionization stage in a cell, 1 for neutral; 0 if the cell is empty."""
    text = _text(cell).strip() or "0"
    if text in _IONS:
        return _IONS[text]
    try:
        return int(float(text))
    except ValueError:
        raise ValueError(
            f"the ion {text!r} is neither a number, 1 for neutral, nor one of {', '.join(_IONS)}"
        ) from None
