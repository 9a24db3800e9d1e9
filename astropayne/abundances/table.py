# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The table of stellar labels and abundances."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn, QTable
from astropy.utils.masked import Masked

from astropayne.abundances.lines import LineList
from astropayne.abundances.measuring import Measurement
from astropayne.abundances.options import AbundanceOptions
from astropayne.engine.arms import filled

__all__ = ["add_element", "with_flags_first"]


def with_flags_first(table: QTable) -> QTable:
    """Return the table of stellar labels with the star's flags next to its name."""
    others = [name for name in table.colnames if name not in ("name", "flags")]
    return table[["name", "flags", *others]]


def add_element(
    table: QTable,
    element: str,
    name: str,
    measurements: Sequence[Measurement],
    lines: LineList,
    options: AbundanceOptions,
) -> None:
    """Add the columns of one element to a table of stellar labels.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        One row per star, with ``meta["by"]``, the names of all parameters, and ``meta["medium"]``.
    element : str
        Symbol of the element.
    name : str
        Name of its abundance, such as ``Mg_Fe``.
    measurements : sequence of Measurement
        One for each star.
    lines : LineList
        Lines of the element, in the medium of the table.
    options : AbundanceOptions
        Of which ``confidence``, ``per_line`` and ``models`` are used.
    """

    def values(attribute: str) -> list:
        return [getattr(one, attribute) for one in measurements]

    def per(attribute: str, n: int) -> MaskedColumn:
        return _masked([np.broadcast_to(value, n) for value in values(attribute)])

    table[name] = _masked(values("value"))
    table[f"{name}_err"] = _masked(values("error"))
    table[f"{name}_upper_limit"] = _masked(values("limit"))
    width = np.array(values("ew"))
    table[f"{element}_ew"] = Masked(width * u.mAA, mask=~np.isfinite(width))
    for attribute in ("significance", "scatter"):
        table[f"{element}_{attribute}"] = _masked(values(attribute))
    for attribute in ("n_lines", "flags"):
        table[f"{element}_{attribute}"] = np.array(values(attribute), int)
    table[f"{element}_sensitivity"] = per("sensitivity", len(table.meta["by"]))
    if options.per_line:
        for attribute in ("lines", "lines_err", "lines_deviation"):
            table[f"{element}_{attribute}"] = per(attribute, len(lines))
    if options.models:
        for attribute in ("best_fit", "without"):
            rows = values(attribute)
            table[f"{element}_{attribute}"] = filled(rows, max(map(len, rows)), np.nan)
    table.meta[f"{element}_lines"] = lines.table["wavelength"].to_value(u.AA).tolist()
    _describe(table, element, name, options.confidence)


def _masked(values: Sequence) -> MaskedColumn:
    """Return a column in which values that are not finite are masked."""
    array = np.array(values, dtype=float)
    return MaskedColumn(array, mask=~np.isfinite(array))


def _describe(table: QTable, element: str, name: str, confidence: float) -> None:
    """Describe the columns of an element, also for formats that do not keep metadata (VOTable)."""
    centers = ", ".join(map(str, table.meta[f"{element}_lines"]))
    for column, text in {
        name: "abundance",
        f"{name}_err": "standard deviation",
        f"{name}_upper_limit": f"upper limit, confidence {confidence:g}",
        f"{element}_ew": "equivalent width",
        f"{element}_significance": "significance of the element, in standard deviations",
        f"{element}_n_lines": f"number of lines, of {centers} Angstrom ({table.meta['medium']})",
        f"{element}_scatter": "standard deviation of lines",
        f"{element}_sensitivity": f"derivatives with respect to {', '.join(table.meta['by'])}",
        f"{element}_flags": "flags, see astropayne.abundances.ElementFlag",
    }.items():
        table[column].info.description = text
