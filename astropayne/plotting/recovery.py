# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of recovered labels."""

from collections.abc import Mapping, Sequence

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from astropayne.plotting.axes import (
    COLORMAP,
    ERROR,
    MODEL,
    invert_by_convention,
    legend_above,
    panels,
    plain_values,
    series_colors,
    set_unit,
    shared_labels,
    values_in_one_unit,
)
from astropayne.plotting.text import bias_and_scatter_text, label_text
from astropayne.utils.statistics import median_and_scatter

__all__ = ["plot_differences", "plot_pulls", "plot_recovery", "plot_scatter"]


def plot_recovery(
    truth: Table,
    table: QTable,
    names: Sequence[str] | None = None,
    *,
    color: str | None = None,
    figure: FigureBase | None = None,
) -> list[Axes]:
    """Draw fitted against true labels with bias and scatter, one panel per label.

    Parameters
    ----------
    truth : `~astropy.table.Table`
        True values, one column per label.
    table : `~astropy.table.QTable`
        Table of `~astropayne.fit_spectra`, in the same order.
    names : sequence of str, optional
        Labels that are drawn; by default all that both tables have.
    color : str, optional
        True label that colors the points.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import QTable
    >>> truth = QTable({"teff": [5000, 5500, 6000] * u.K, "feh": [-1.0, 0.0, 0.3]})
    >>> table = QTable({"teff": [5020, 5490, 6010] * u.K, "teff_err": [15, 15, 20] * u.K})
    >>> from astropayne.plotting import plot_recovery
    >>> plot_recovery(truth, table, color="feh")[0].get_title()
    'Teff / K'
    """
    names = shared_labels(truth, table, names)
    figure, axes = panels(len(names), min(5, len(names)), (2.4, 2.3), figure)
    shades = {"color": ERROR} if color is None else {
        "c": plain_values(truth[color]), "cmap": COLORMAP,
    }  # fmt: skip
    for ax, name in zip(axes, names, strict=True):
        true, fitted, error = values_in_one_unit(truth[name], table[name], table[f"{name}_err"])
        ax.axline((true.mean(), true.mean()), slope=1, color="0.6", lw=0.8)
        ax.errorbar(true, fitted, np.nan_to_num(error), fmt="none", lw=0.8, ecolor="0.7", zorder=1)
        points = ax.scatter(true, fitted, s=9, lw=0, zorder=2, **shades)
        for axis in (ax.xaxis, ax.yaxis):
            set_unit(axis, truth[name].unit)
        ax.set_title(label_text(name, truth[name].unit), fontsize="small")
        text = bias_and_scatter_text((fitted - true)[np.isfinite(fitted)], len(fitted))
        ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize="x-small",
                bbox={"fc": "white", "ec": "none", "alpha": 0.6, "pad": 1})  # fmt: skip
        ax.tick_params(labelsize="x-small")
        if not np.isfinite(fitted).any() and np.ptp(true) > 0:  # an empty panel
            ax.set(xlim=(true.min(), true.max()), ylim=(true.min(), true.max()))
    if color is not None:
        figure.colorbar(points, ax=axes, label=label_text(color, truth[color].unit), pad=0.01,
                        aspect=40)  # fmt: skip
    figure.supxlabel("true", fontsize="medium")
    figure.supylabel("fitted", fontsize="medium")
    return axes


def plot_pulls(
    truth: Table,
    table: QTable,
    names: Sequence[str] | None = None,
    *,
    figure: FigureBase | None = None,
) -> list[Axes]:
    """Draw histograms of fitted minus true labels in units of the stated errors.

    Parameters
    ----------
    truth, table, names
        As in `plot_recovery`.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Each shows the normal distribution that is expected of correct errors.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting import plot_pulls
    >>> fitted = QTable({"feh": [-0.98, 0.01, 0.27], "feh_err": [0.02, 0.01, 0.02]})
    >>> plot_pulls(QTable({"feh": [-1.0, 0.0, 0.3]}), fitted)[0].get_title()
    '[Fe/H]'
    """
    names = shared_labels(truth, table, names)
    figure, axes = panels(len(names), min(6, len(names)), (1.9, 1.7), figure, sharex=True)
    edges, x = np.linspace(-5, 5, 26), np.linspace(-5, 5, 200)
    for ax, name in zip(axes, names, strict=True):
        pull = u.Quantity((table[name] - truth[name]) / table[f"{name}_err"]).to_value(u.one)
        pull = pull[np.isfinite(pull)]
        if len(pull):
            ax.hist(np.clip(pull, -5, 5), edges.tolist(), density=True, color=ERROR, alpha=0.6)
        ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=MODEL, lw=1.2)
        ax.set_title(label_text(name, None), fontsize="small")
        text = bias_and_scatter_text(pull, len(pull)).replace("bias ", "").replace("scatter ", "± ")
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize="x-small")
        ax.set_yticks([])
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("(fitted − true) / error; beyond ±5 in the last bins", fontsize="medium")
    return axes


def plot_differences(
    truth: Table,
    table: QTable,
    names: Sequence[str] | None = None,
    *,
    along: str = "feh",
    figure: FigureBase | None = None,
) -> list[Axes]:
    """Draw fitted minus true labels against one of the true labels.

    Parameters
    ----------
    truth, table, names
        As in `plot_recovery`.
    along : str
        True label along the x axis.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        One panel per label, with medians and robust scatter in eight bins of equal numbers of
        stars.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting import plot_differences
    >>> truth = QTable({"feh": [-1.0, 0.0, 0.3], "Mg_Fe": [0.3, 0.1, 0.0]})
    >>> plot_differences(truth, QTable({"Mg_Fe": [0.32, 0.09, 0.0]}))[0].get_title()
    '[Mg/Fe]'
    """
    names = shared_labels(truth, table, names)
    figure, axes = panels(len(names), 4, (2.7, 1.9), figure, sharex=True)
    x = plain_values(truth[along])
    parts = np.array_split(np.argsort(x), min(8, len(x)))
    for ax, name in zip(axes, names, strict=True):
        true, fitted = values_in_one_unit(truth[name], table[name])
        ax.axhline(0, color="0.5", lw=0.6)
        ax.plot(x, fitted - true, "o", ms=2, mew=0, color=ERROR, alpha=0.5)
        middle, spread = np.transpose([median_and_scatter((fitted - true)[p]) for p in parts])
        where = [np.median(x[p]) for p in parts]
        ax.errorbar(where, middle, spread, fmt="o-", ms=3, lw=1.2, color=MODEL)
        # One outlier must not hide the other stars.
        spread = np.nan_to_num(spread)  # undefined in bins with one star
        reach = 1.2 * np.nanmax(np.abs(middle) + 3 * spread, initial=0) if len(parts) > 1 else 0
        if reach > 0:
            ax.set_ylim(-reach, reach)
        invert_by_convention(ax, "x", along)
        set_unit(ax.xaxis, truth[along].unit)
        set_unit(ax.yaxis, truth[name].unit)
        ax.set_title(label_text(name, truth[name].unit), fontsize="small")
        ax.tick_params(labelsize="x-small")
    figure.supxlabel(label_text(along, truth[along].unit), fontsize="medium")
    figure.supylabel("fitted − true", fontsize="medium")
    return axes


def plot_scatter(
    summaries: QTable | Mapping[str, QTable],
    names: Sequence[str] | None = None,
    *,
    figure: FigureBase | None = None,
) -> list[Axes]:
    """Draw the scatter of fitted labels against the signal-to-noise ratio.

    Parameters
    ----------
    summaries : `~astropy.table.QTable` or mapping of str to `~astropy.table.QTable`
        Table of `~astropayne.evaluation.summarize_recovery`, or several by names of models.
    names : sequence of str, optional
        Labels that are drawn; by default all that any of the models has.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        One panel per label: scatter as points, and the errors stated by the fits as dashes.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting import plot_scatter
    >>> rows = [(50.0, "feh", "", 0.02, 0.02), (100.0, "feh", "", 0.01, 0.01)]
    >>> summary = QTable(rows=rows, names=("snr", "label", "unit", "scatter", "error"))
    >>> len(plot_scatter(summary))
    1
    """
    if hasattr(summaries, "colnames"):
        summaries = {"": summaries}
    units = {row["label"]: row["unit"] for table in summaries.values() for row in table}
    names = names or list(units)
    ratios = sorted({float(snr) for table in summaries.values() for snr in table["snr"]})
    figure, axes = panels(len(names), 4, (2.7, 1.9), figure, sharex=True)
    for ax, name in zip(axes, names, strict=True):
        for (text, table), color in zip(
            summaries.items(), series_colors(len(summaries)), strict=True
        ):
            rows = table[table["label"] == name]
            x = np.searchsorted(ratios, rows["snr"])
            ax.plot(x, rows["scatter"], "o-", color=color, ms=4, lw=1.2, label=f"scatter {text}")
            ax.plot(x, rows["error"], "_--", color=color, lw=0.8, label=f"stated error {text}")
        ax.update_datalim([(0, 0)], updatex=False)  # the margin is a fraction of the whole range
        ax.set_ylim(bottom=0)
        ax.set_xticks(range(len(ratios)), ["no noise" if np.isinf(r) else f"{r:g}" for r in ratios])
        ax.margins(x=0.15)
        ax.set_title(label_text(name, u.Unit(units.get(name, ""))), fontsize="small")
        ax.tick_params(which="both", labelsize="x-small")
    legend_above(figure, axes[0], ncols=4)
    figure.supxlabel("S/N per pixel", fontsize="medium")
    return axes
