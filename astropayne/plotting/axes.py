# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Colors, labels and legends of axes."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import units

from astropayne.labels.names import Label
from astropayne.utils.statistics import median_and_scatter
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = [
    "COLORS",
    "ERROR",
    "MODEL",
    "OBSERVED",
    "RAISED",
    "SERIES",
    "TURNED",
    "axis_text",
    "bias_and_scatter",
    "colors",
    "column_values",
    "in_one_unit",
    "kms",
    "label_axis",
    "label_names",
    "label_text",
    "legend_above",
    "names_in_both",
    "panels",
    "set_unit",
    "turn",
    "with_unit",
]

# Okabe & Ito's colours, which the colour-blind can tell apart.
MODEL, OBSERVED, ERROR = "#D55E00", "#222222", "#0072B2"
SERIES = (ERROR, MODEL, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
COLORS = "viridis"  # readable for the colour-blind, and in grey
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TURNED = ("teff", "logg")  # labels that astronomers draw from large to small


def set_unit(axis, unit):
    """Give an axis its unit, if matplotlib has been told what a quantity is."""
    if u.Quantity in units.registry and unit not in (None, u.one):
        axis.update_units(1 * unit)
        axis.set_label_text("")  # astropy writes the unit only


def kms(velocity):
    return u.Quantity(velocity, u.km / u.s).value


def colors(n):
    return [SERIES[i % len(SERIES)] for i in range(n)]


def with_unit(text, unit):
    return text if unit in (None, u.one) else f"{text} / {u.Unit(unit).to_string('unicode')}"


def axis_text(unit, meta):
    """Say what a spectral axis is; wavelengths, in which medium."""
    kinds = {u.m: "wavelength", u.Hz: "frequency", u.J: "energy", u.m**-1: "wave number"}
    kind = next((kind for one, kind in kinds.items() if unit.is_equivalent(one)), "spectral axis")
    medium = meta.get("medium") if unit.is_equivalent(u.m) else None
    return with_unit(kind, unit) + (f" ({medium})" if medium else "")


def legend_above(figure, ax, ncols=3):
    """Say above all axes what is drawn in one."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=ncols,
                  fontsize="small", frameon=False)  # fmt: skip


def panels(n, n_columns, size, figure, **shared):
    """Return a figure and n axes, row by row."""
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    figsize = (max(size[0] * n_columns, 3.5), max(size[1] * n_rows, 2.5))
    figure = figure or plt.figure(figsize=figsize, layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def names_in_both(truth, table, names):
    names = names or [name for name in truth.colnames if name in table.colnames]
    if not names:
        raise ValueError(
            f"no label is in both tables: {', '.join(truth.colnames)}; {', '.join(table.colnames)}"
        )
    return names


def in_one_unit(first, *others):
    unit = first.unit or u.one
    return [u.Quantity(column, dtype=float).to_value(unit) for column in (first, *others)]


def column_values(column):
    return np.asarray(getattr(column, "value", column), dtype=float)


def label_names(table):
    """Return the columns of flux errors that are labels: those before the errors."""
    return table.colnames[1 : table.colnames.index("rms")]


def label_axis(ax, which, name, unit):
    """Name an axis, and turn it round if the label is drawn so."""
    set_unit(getattr(ax, f"{which}axis"), unit)
    getattr(ax, f"set_{which}label")(label_text(name, unit), fontsize="small")
    ax.tick_params(axis=which, labelsize="x-small")
    turn(ax, which, name)


def turn(ax, which, name):
    if name in TURNED and not getattr(ax, f"{which}axis_inverted")():
        getattr(ax, f"invert_{which}axis")()


def bias_and_scatter(difference, n):
    if not len(difference):
        return "not measured"
    bias, scatter = median_and_scatter(difference)
    missing = f"\n{n - len(difference)} not measured" if len(difference) < n else ""
    spread = f"\nscatter {number_text(scatter, '.2g')}" if np.isfinite(scatter) else ""
    return f"bias {number_text(bias, '.2g')}{spread}{missing}"


def number_text(value, spec):
    """Return a number as axes have it: with a minus sign, not a hyphen, and powers of ten."""
    text = f"{value:{spec}}"
    if spec.endswith("g"):
        text = f"{float(text):g}"
    digits, _, power = text.replace("-", "−").partition("e")
    if not power:
        return digits
    return f"{digits} × 10" + str(int(power.replace("−", "-"))).translate(RAISED)


def label_text(name, unit):
    return with_unit(name if name in VELOCITIES else Label(name).text, unit)
