# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Colors and axes of pictures: panels, units, directions, legends, and columns as plain arrays."""

from collections.abc import Sequence
from typing import Any, Literal

import astropy.units as u
import matplotlib.pyplot as plt
import matplotlib.units
import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import FigureBase

from astropayne.plotting.text import label_text

__all__ = [
    "COLORMAP",
    "ERROR",
    "MODEL",
    "OBSERVED",
    "invert_by_convention",
    "legend_above",
    "name_label_axis",
    "panels",
    "plain_values",
    "series_colors",
    "set_unit",
    "shared_labels",
    "values_in_one_unit",
]

_INVERTED = ("teff", "logg")  # drawn from large to small in astronomy
# The palette of Okabe and Ito, which is made for all kinds of color vision.
MODEL, OBSERVED, ERROR = "#D55E00", "#222222", "#0072B2"
COLORMAP = "viridis"  # monotonic in lightness, so also readable for the color-blind and in gray
_SERIES = (ERROR, MODEL, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def series_colors(n: int) -> list[str]:
    """Return the colors of n series of data; they repeat after six."""
    return [_SERIES[i % len(_SERIES)] for i in range(n)]


def panels(
    n: int, n_columns: int, size: tuple[float, float], figure: FigureBase | None, **shared: Any
) -> tuple[FigureBase, list[Axes]]:
    """Return a figure and n axes in rows.

    Parameters
    ----------
    n, n_columns : int
        Number of axes, and of columns at most.
    size : (float, float)
        Width and height of one panel in inches.
    figure : `~matplotlib.figure.Figure` or None
        Existing figure; a new one if None.
    **shared
        ``sharex`` and ``sharey``, as in `~matplotlib.figure.Figure.subplots`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
    axes : list of `~matplotlib.axes.Axes`
    """
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    figsize = (max(size[0] * n_columns, 3.5), max(size[1] * n_rows, 2.5))
    figure = figure or plt.figure(figsize=figsize, layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def set_unit(axis: Axis, unit: u.UnitBase | None) -> None:
    """Give an axis its unit, if `~astropy.visualization.quantity_support` is active."""
    if u.Quantity in matplotlib.units.registry and unit not in (None, u.one):
        axis.update_units(1 * unit)
        axis.set_label_text("")  # astropy writes the unit only


def name_label_axis(ax: Axes, which: Literal["x", "y"], name: str, unit: u.UnitBase | None) -> None:
    """Name the "x" or "y" axis after a stellar label, and give it its customary direction."""
    set_unit(getattr(ax, f"{which}axis"), unit)
    getattr(ax, f"set_{which}label")(label_text(name, unit), fontsize="small")
    ax.tick_params(axis=which, labelsize="x-small")
    invert_by_convention(ax, which, name)


def invert_by_convention(ax: Axes, which: Literal["x", "y"], name: str) -> None:
    """Invert the "x" or "y" axis if it shows a label that is drawn from large to small."""
    if name in _INVERTED and not getattr(ax, f"{which}axis_inverted")():
        getattr(ax, f"invert_{which}axis")()


def legend_above(figure: FigureBase, ax: Axes, ncols: int = 3) -> None:
    """Put the legend of one of the axes above all of them."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=ncols,
                  fontsize="small", frameon=False)  # fmt: skip


def shared_labels(truth: Table, table: Table, names: Sequence[str] | None) -> Sequence[str]:
    """Return the names given, or else the columns of true labels that the other table has."""
    names = names or [name for name in truth.colnames if name in table.colnames]
    if not names:
        raise ValueError(
            "the two tables have no label in common; they have the columns "
            f"{', '.join(truth.colnames)}, and {', '.join(table.colnames)}"
        )
    return names


def plain_values(column: Any) -> np.ndarray:
    """Return the values of a column without its unit."""
    return np.asarray(getattr(column, "value", column), dtype=float)


def values_in_one_unit(first: Any, *others: Any) -> list[np.ndarray]:
    """Return the values of columns in the unit of the first."""
    unit = first.unit or u.one
    return [u.Quantity(column, dtype=float).to_value(unit) for column in (first, *others)]
