# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of recovered labels."""

import astropy.units as u
import numpy as np

from astropayne.plotting.axes import (
    COLORS,
    ERROR,
    MODEL,
    bias_and_scatter,
    colors,
    column_values,
    in_one_unit,
    label_text,
    legend_above,
    names_in_both,
    panels,
    set_unit,
    turn,
)
from astropayne.utils.statistics import median_and_scatter

__all__ = ["plot_differences", "plot_pulls", "plot_recovery", "plot_scatter"]


def plot_recovery(truth, table, names=None, *, color=None, figure=None):
    """Draw fitted against true labels, a panel each, with bias and scatter.

    Parameters
    ----------
    truth : `~astropy.table.Table`
        True values, a column a label.
    table : `~astropy.table.QTable`
        From `~astropayne.fit_spectra`, in the same order.
    names : sequence of str, optional
        Which labels; by default all that both tables have.
    color : str, optional
        True label that colors the points.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.table import QTable
    >>> truth = QTable({"teff": [5000, 5500, 6000] * u.K, "feh": [-1.0, 0.0, 0.3]})
    >>> table = QTable({"teff": [5020, 5490, 6010] * u.K, "teff_err": [15, 15, 20] * u.K})
    >>> from astropayne.plotting.recovery import plot_recovery
    >>> plot_recovery(truth, table, color="feh")[0].get_title()
    'Teff / K'
    """
    names = names_in_both(truth, table, names)
    figure, axes = panels(len(names), min(5, len(names)), (2.4, 2.3), figure)
    shades = {"color": ERROR} if color is None else {
        "c": column_values(truth[color]), "cmap": COLORS,
    }  # fmt: skip
    for ax, name in zip(axes, names, strict=True):
        true, found, error = in_one_unit(truth[name], table[name], table[f"{name}_err"])
        ax.axline((true.mean(), true.mean()), slope=1, color="0.6", lw=0.8)
        ax.errorbar(true, found, np.nan_to_num(error), fmt="none", lw=0.8, ecolor="0.7", zorder=1)
        points = ax.scatter(true, found, s=9, lw=0, zorder=2, **shades)
        for axis in (ax.xaxis, ax.yaxis):
            set_unit(axis, truth[name].unit)
        ax.set_title(label_text(name, truth[name].unit), fontsize="small")
        text = bias_and_scatter((found - true)[np.isfinite(found)], len(found))
        ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize="x-small",
                bbox={"fc": "white", "ec": "none", "alpha": 0.6, "pad": 1})  # fmt: skip
        ax.tick_params(labelsize="x-small")
        if not np.isfinite(found).any() and np.ptp(true) > 0:  # what it is not measured in
            ax.set(xlim=(true.min(), true.max()), ylim=(true.min(), true.max()))
    if color is not None:
        figure.colorbar(points, ax=axes, label=label_text(color, truth[color].unit), pad=0.01,
                        aspect=40)  # fmt: skip
    figure.supxlabel("true", fontsize="medium")
    figure.supylabel("fitted", fontsize="medium")
    return axes


def plot_pulls(truth, table, names=None, *, figure=None):
    """Draw histograms of fitted minus true labels in units of the stated errors.

    Parameters
    ----------
    truth, table, names
        As for `plot_recovery`.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Each with the Gaussian of unit width that right errors give.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting.recovery import plot_pulls
    >>> fitted = QTable({"feh": [-0.98, 0.01, 0.27], "feh_err": [0.02, 0.01, 0.02]})
    >>> plot_pulls(QTable({"feh": [-1.0, 0.0, 0.3]}), fitted)[0].get_title()
    '[Fe/H]'
    """
    names = names_in_both(truth, table, names)
    figure, axes = panels(len(names), min(6, len(names)), (1.9, 1.7), figure, sharex=True)
    edges, x = np.linspace(-5, 5, 26), np.linspace(-5, 5, 200)
    for ax, name in zip(axes, names, strict=True):
        pull = u.Quantity((table[name] - truth[name]) / table[f"{name}_err"]).to_value(u.one)
        pull = pull[np.isfinite(pull)]
        if len(pull):
            ax.hist(np.clip(pull, -5, 5), edges, density=True, color=ERROR, alpha=0.6)
        ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=MODEL, lw=1.2)
        ax.set_title(label_text(name, None), fontsize="small")
        text = bias_and_scatter(pull, len(pull)).replace("bias ", "").replace("scatter ", "± ")
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize="x-small")
        ax.set_yticks([])
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("(fitted − true) / error; beyond ±5 in the last bins", fontsize="medium")
    return axes


def plot_differences(truth, table, names=None, *, along="feh", figure=None):
    """Draw fitted minus true labels along one of the true ones.

    Parameters
    ----------
    truth, table, names
        As for `plot_recovery`.
    along : str
        The label they are drawn against.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        A panel a label, with the median and the robust scatter in eight equal parts of the stars.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting.recovery import plot_differences
    >>> truth = QTable({"feh": [-1.0, 0.0, 0.3], "Mg_Fe": [0.3, 0.1, 0.0]})
    >>> plot_differences(truth, QTable({"Mg_Fe": [0.32, 0.09, 0.0]}))[0].get_title()
    '[Mg/Fe]'
    """
    names = names_in_both(truth, table, names)
    figure, axes = panels(len(names), 4, (2.7, 1.9), figure, sharex=True)
    x = column_values(truth[along])
    parts = np.array_split(np.argsort(x), min(8, len(x)))
    for ax, name in zip(axes, names, strict=True):
        true, found = in_one_unit(truth[name], table[name])
        ax.axhline(0, color="0.5", lw=0.6)
        ax.plot(x, found - true, "o", ms=2, mew=0, color=ERROR, alpha=0.5)
        middle, spread = np.transpose([median_and_scatter((found - true)[p]) for p in parts])
        where = [np.median(x[p]) for p in parts]
        ax.errorbar(where, middle, spread, fmt="o-", ms=3, lw=1.2, color=MODEL)
        # A star far off must not hide the others.
        spread = np.nan_to_num(spread)  # parts of one star have none
        reach = 1.2 * np.nanmax(np.abs(middle) + 3 * spread, initial=0) if len(parts) > 1 else 0
        if reach > 0:
            ax.set_ylim(-reach, reach)
        turn(ax, "x", along)
        set_unit(ax.xaxis, truth[along].unit)
        set_unit(ax.yaxis, truth[name].unit)
        ax.set_title(label_text(name, truth[name].unit), fontsize="small")
        ax.tick_params(labelsize="x-small")
    figure.supxlabel(label_text(along, truth[along].unit), fontsize="medium")
    figure.supylabel("fitted − true", fontsize="medium")
    return axes


def plot_scatter(summaries, names=None, *, figure=None):
    """Draw the scatter of fitted labels against the signal-to-noise ratio.

    Parameters
    ----------
    summaries : `~astropy.table.QTable` or mapping of str to `~astropy.table.QTable`
        Of `~astropayne.evaluation.summarize_recovery`; several by the names of their models.
    names : sequence of str, optional
        Which labels; all that one of the models has by default.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        A panel a label: scatter as points, and dashed what the fits state as their errors.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.plotting.recovery import plot_scatter
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
        for (text, table), color in zip(summaries.items(), colors(len(summaries)), strict=True):
            rows = table[table["label"] == name]
            x = np.searchsorted(ratios, rows["snr"])
            ax.plot(x, rows["scatter"], "o-", color=color, ms=4, lw=1.2, label=f"scatter {text}")
            ax.plot(x, rows["error"], "_--", color=color, lw=0.8, label=f"stated error {text}")
        ax.update_datalim([(0, 0)], updatex=False)  # the margin above is a part of what is shown
        ax.set_ylim(bottom=0)
        ax.set_xticks(range(len(ratios)), ["no noise" if np.isinf(r) else f"{r:g}" for r in ratios])
        ax.margins(x=0.15)
        ax.set_title(label_text(name, u.Unit(units.get(name, ""))), fontsize="small")
        ax.tick_params(which="both", labelsize="x-small")
    legend_above(figure, axes[0], ncols=4)
    figure.supxlabel("S/N a pixel", fontsize="medium")
    return axes
