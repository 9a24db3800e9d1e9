# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of lines."""

import re

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.io.text_tables import parse_csv
from astropayne.labels.names import ELEMENTS
from astropayne.utils.quantities import strip_unit

__all__ = [
    "COLUMN",
    "CSV_NAME",
    "HALF_WIDTH",
    "NAME",
    "angstrom",
    "completed",
    "ends",
    "is_mask",
    "line_text",
    "read_line_csv",
    "read_line_mask",
]

HALF_WIDTH = 0.5  # Å, where a file gives a line's centre only, as one_payne has it
_IONS = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}
# Columns by the names that files have, in lower case.
COLUMN = {
    "wavelength": "wavelength ll wave centre center lambda",
    "lower": "lower bluewidth wave_base",
    "upper": "upper redwidth wave_top",
    "half_width": "half_width dlam",
    "element": "element",
    "ion": "ion ionisation ionization",
    "core": "core",
    "reference": "reference",
}
NAME = {alias: name for name, aliases in COLUMN.items() for alias in aliases.split()}
_ROUNDED = 0.15  # Å; masks are rounded to 0.1
CSV_NAME = {"wavelength": "ll", "lower": "Bluewidth", "upper": "Redwidth"}


def angstrom(value, what):
    if value is None:
        raise ValueError(f"{what} is missing")
    return np.atleast_1d(np.asarray(strip_unit(value, what, u.AA), dtype=float))


def ends(centre, half_width, lower, upper):
    """Return the ends of windows, Å, given as such or by half of their width."""
    if (lower is None) != (upper is None):
        raise ValueError("lower and upper ends of windows go together: one of them is missing")
    if lower is not None:
        return angstrom(lower, "lower"), angstrom(upper, "upper")
    half = angstrom(HALF_WIDTH if half_width is None else half_width, "half_width")
    return centre - half, centre + half


def _rows(content):
    return [
        line.split(";")[0].split() for line in content.splitlines() if line.split(";")[0].strip()
    ]


def is_mask(content):
    """Say whether all there is are at least three numbers a row, as in TSFitPy's masks."""
    rows = _rows(content)
    return bool(rows) and all(len(row) >= 3 and _is_number(row[0]) for row in rows)


def _is_number(word):
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word.lower()) is not None


def read_line_mask(content):
    rows = _rows(content)
    table = QTable(np.array([row[:3] for row in rows], dtype=float), names=list(COLUMN)[:3])
    codes = [row[3].partition(".") if len(row) > 3 and _is_number(row[3]) else "" for row in rows]
    numbers = [int(code[0] or 0) if code else 0 for code in codes]
    symbols = dict(enumerate(ELEMENTS, start=1))
    table["element"] = [symbols.get(number, "") for number in numbers]
    table["ion"] = [int(code[2] or 0) if code else 0 for code in codes]
    return table


def read_line_csv(content, path):
    if not content.strip():
        raise ValueError(f"{path} is no table of lines: it is empty")
    try:
        return parse_csv(content)
    except ValueError as error:
        raise ValueError(f"{path} is no table of lines: {error}") from None


def completed(table, path, element, medium):
    """Give a table the columns of a line list."""
    for name in table.colnames:
        its = NAME.get(name.lower())
        if its is not None and its != name and its not in table.colnames:
            table.rename_column(name, its)
    if "wavelength" not in table.colnames:
        raise ValueError(
            f"there is no column of line centres, 'wavelength' or 'll', in {table.colnames}"
        )
    own = {name: table[name] for name in COLUMN if name in table.colnames}
    centre = angstrom(own["wavelength"], "wavelength")
    lower, upper = ends(centre, *(own.get(name) for name in ("half_width", "lower", "upper")))
    # Ends that are rounded still hold the line; widths in their place never do.
    lower = np.where(lower - centre < _ROUNDED, np.minimum(lower, centre), lower)
    upper = np.where(centre - upper < _ROUNDED, np.maximum(upper, centre), upper)
    n = len(table)
    table["wavelength"], table["lower"] = centre * u.AA, lower * u.AA
    table["upper"] = upper * u.AA
    table["element"] = [element or line_text(e) for e in own.get("element", [""] * n)]
    table["ion"] = [_ion(i) for i in own.get("ion", [0] * n)]
    core = np.nan_to_num(angstrom(own.get("core", 0.0), "core"))  # none in empty cells
    table["core"] = np.broadcast_to(core, n) * u.AA
    table["reference"] = [line_text(r) for r in own.get("reference", [path.name] * n)]
    if "half_width" in table.colnames:
        del table["half_width"]
    table.meta["medium"] = medium or table.meta.get("medium", "air")
    return table


def line_text(cell):
    return "" if cell is np.ma.masked else str(cell)


def _ion(cell):
    text = line_text(cell).strip() or "0"  # of an empty cell it is not known
    if text in _IONS:
        return _IONS[text]
    try:
        return int(float(text))
    except ValueError:
        raise ValueError(
            f"the ion {text!r} is neither a number, 1 for neutral, nor one of {', '.join(_IONS)}"
        ) from None
