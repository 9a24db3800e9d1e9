# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures: matplotlib axes in, axes out."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from astropayne.labels import Label
from astropayne.wavelengths import find_windows

__all__ = [
    "plot_coverage",
    "plot_element",
    "plot_error_planes",
    "plot_error_trends",
    "plot_fit",
    "plot_history",
    "plot_pixel_errors",
    "plot_plan",
    "plot_pulls",
    "plot_recovery",
    "plot_spectrum",
]

# Okabe & Ito's colours, which the colour-blind can tell apart.
_MODEL, _OBSERVED, _ERROR = "#D55E00", "#222222", "#0072B2"
_COLOURS = "viridis"  # readable for the colour-blind, and in grey
_TURNED = ("teff", "logg")  # labels that astronomers draw from large to small
_PLANES = (("teff", "logg"), ("teff", "feh"), ("logg", "feh"), ("feh", "vmic"))


def _broken_axes(wavelength, rows, figure, height_ratios):
    """Return a figure and axes (rows, windows): a column a window, as wide as its range."""
    windows = find_windows(wavelength)
    widths = [wavelength[w.stop - 1] - wavelength[w.start] for w in windows]
    figure = figure or plt.figure(figsize=(11, 3.2 if rows == 1 else 4.6), layout="constrained")
    axes = figure.subplots(
        rows, len(windows), sharex="col", sharey="row", squeeze=False,
        width_ratios=widths, height_ratios=height_ratios,
    )  # fmt: skip
    for column, window, width in zip(axes.T, windows, widths, strict=True):
        column[-1].set_xlim(wavelength[window.start], wavelength[window.stop - 1])
        n_ticks = max(2, round(10 * width / sum(widths)))
        column[-1].xaxis.set_major_locator(plt.MaxNLocator(n_ticks, steps=[1, 2, 5, 10]))
        for ax in column:
            ax.grid(alpha=0.2)
    return figure, axes, windows


def plot_spectrum(spectrum, *, figure=None, label=None):
    """Draw a spectrum, its windows side by side.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.
    label : str, optional
        Title.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (n_windows,)
    """
    order = np.argsort(spectrum.spectral_axis.value)
    wavelength, flux = spectrum.spectral_axis.value[order], spectrum.flux.value[order]
    figure, axes, windows = _broken_axes(wavelength, 1, figure, None)
    for ax, window in zip(axes[0], windows, strict=True):
        ax.plot(wavelength[window], flux[window], color=_MODEL, lw=0.9)
    axes[0, 0].set_ylabel("flux")
    figure.supxlabel(_wavelength_text(spectrum.spectral_axis, spectrum.meta), fontsize="medium")
    if label:
        figure.suptitle(label, fontsize="medium")
    return axes[0]


def plot_fit(result, *, figure=None, label=None):
    """Draw an observed spectrum, its best fit, and the residuals below.

    Parameters
    ----------
    result : `~astropayne.FitResult`
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.
    label : str, optional
        Title; by default the labels found.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Spectra above, residuals below.
    """
    if not hasattr(result.best_fit, "flux"):
        raise ValueError(
            f"this fit is of {len(result.best_fit)} spectra: plot each of result.best_fit"
        )
    axis, model = result.best_fit.spectral_axis, result.best_fit.flux.value
    order = np.argsort(axis.value)
    wavelength, model = axis.value[order], model[order]
    flux, used = result.observed.flux.value[order], result.used[order]
    figure, axes, windows = _broken_axes(wavelength, 2, figure, (3, 1))
    for (above, below), window in zip(axes.T, windows, strict=True):
        x = wavelength[window]
        kept = np.where(used[window], flux[window], np.nan)
        above.plot(x, flux[window], color="0.7", lw=1.0, label="not used")
        above.plot(x, kept, color=_OBSERVED, lw=1.2, label="observed")
        above.plot(x, model[window], color=_MODEL, lw=0.9, label="best fit")
        below.axhline(0, color="0.5", lw=0.6)
        below.plot(x, kept - model[window], color=_ERROR, lw=0.7)
    axes[0, 0].set_ylabel("flux")
    axes[1, 0].set_ylabel("observed\n- fit")
    axes[0, -1].legend(loc="lower right", fontsize="small")
    figure.supxlabel(_wavelength_text(axis, result.best_fit.meta), fontsize="medium")
    figure.suptitle(label or _title(result), fontsize="medium")
    return axes


def _wavelength_text(axis, meta):
    medium = f" ({meta['medium']})" if meta.get("medium") else ""
    return f"wavelength / {axis.unit.to_string('unicode')}{medium}"


def _title(result):
    parts = []
    for name in ("teff", "logg", "feh", "rv", "vsini"):
        if name in result.labels:
            value, error = result.labels[name], result.errors[name].value
            digits = 0 if name == "teff" else 2
            text = name if name in ("rv", "vsini") else Label(name).text
            unit = f" {value.unit.to_string('unicode')}" if str(value.unit) else ""
            spread = f" ± {error:.{digits}f}" if np.isfinite(error) else ""
            parts.append(f"{text} {value.value:.{digits}f}{spread}{unit}")
    return ",  ".join(parts)


def plot_pixel_errors(pixels, *, figure=None, label=None):
    """Draw the errors of predicted flux, pixel by pixel.

    Parameters
    ----------
    pixels : `~astropy.table.QTable`
        Of `~astropayne.evaluation.flux_errors`.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.
    label : str, optional
        Title.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Mean and percentiles above, rms below.
    """
    wavelength = pixels["wavelength"].value
    figure, axes, windows = _broken_axes(wavelength, 2, figure, (3, 2))
    for (above, below), window in zip(axes.T, windows, strict=True):
        x, part = wavelength[window], pixels[window]
        above.fill_between(x, part["minus_2sigma"], part["plus_2sigma"], color=_ERROR, alpha=0.2,
                           lw=0, label="95 % of spectra")  # fmt: skip
        above.fill_between(x, part["minus_sigma"], part["plus_sigma"], color=_ERROR, alpha=0.5,
                           lw=0, label="68 % of spectra")  # fmt: skip
        above.plot(x, part["bias"], color=_MODEL, lw=0.8, label="mean")
        above.axhline(0, color="0.4", lw=0.5)
        below.fill_between(x, part["rms"], color=_OBSERVED, alpha=0.75, lw=0)
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("predicted - true flux")
    axes[1, 0].set_ylabel("rms")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  fontsize="small", frameon=False)  # fmt: skip
    figure.supxlabel(_wavelength_text(pixels["wavelength"], pixels.meta), fontsize="medium")
    if label:
        figure.suptitle(label, fontsize="medium", x=0.02, ha="left")
    return axes


def plot_error_planes(spectra, planes=None, *, figure=None):
    """Draw the rms flux error of each spectrum over planes of labels.

    Parameters
    ----------
    spectra : `~astropy.table.QTable`
        Of `~astropayne.evaluation.flux_errors`.
    planes : sequence of (str, str), optional
        Labels along x and y; by default those of (Teff, log g), (Teff, [Fe/H]), (log g, [Fe/H])
        and ([Fe/H], vmic) that the table has.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
    """
    planes = planes or [p for p in _PLANES if set(p) <= set(spectra.colnames)]
    figure, axes = _panels(len(planes), 4, (3.1, 2.9), figure)
    order = np.argsort(spectra["rms"])  # the worst are drawn last
    for ax, (x, y) in zip(axes, planes, strict=True):
        points = ax.scatter(_values(spectra[x])[order], _values(spectra[y])[order], s=9, lw=0,
                            c=spectra["rms"][order], cmap=_COLOURS, norm=LogNorm())  # fmt: skip
        _label_axis(ax, "x", x, spectra[x].unit)
        _label_axis(ax, "y", y, spectra[y].unit)
    bar = figure.colorbar(points, ax=axes, pad=0.01)
    bar.set_label("rms flux error", fontsize="small")
    bar.ax.tick_params(which="both", labelsize="x-small")
    return axes


def plot_error_trends(spectra, names=None, *, figure=None):
    """Draw the rms flux error of each spectrum against its labels.

    Parameters
    ----------
    spectra : `~astropy.table.QTable`
        Of `~astropayne.evaluation.flux_errors`.
    names : sequence of str, optional
        Which labels; all by default.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        A panel a label, with the median of ten equal parts of the spectra.
    """
    names = names or _label_names(spectra)
    figure, axes = _panels(len(names), 4, (2.7, 2.0), figure, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        x, y = _values(spectra[name]), np.asarray(spectra["rms"])
        ax.semilogy(x, y, "o", ms=2, mew=0, color=_ERROR, alpha=0.5)
        parts = np.array_split(np.argsort(x), min(10, len(x)))
        middle = [(np.median(x[p]), np.median(y[p])) for p in parts]
        ax.semilogy(*np.transpose(middle), "-", color=_MODEL, lw=1.5)
        _label_axis(ax, "x", name, spectra[name].unit)
    figure.supylabel("rms flux error", fontsize="medium")
    return axes


def plot_recovery(truth, table, names=None, *, colour=None, figure=None):
    """Draw fitted against true labels, a panel each, with bias and scatter.

    Parameters
    ----------
    truth : `~astropy.table.Table`
        True values, a column a label.
    table : `~astropy.table.QTable`
        From `~astropayne.fit_spectra`, in the same order.
    names : sequence of str, optional
        Which labels; by default all that both tables have.
    colour : str, optional
        True label that colours the points.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
    """
    names = names or [name for name in truth.colnames if name in table.colnames]
    if not names:
        raise ValueError(
            f"no label is in both tables: {', '.join(truth.colnames)}; {', '.join(table.colnames)}"
        )
    figure, axes = _panels(len(names), min(5, len(names)), (2.4, 2.3), figure)
    shades = {"color": _ERROR} if colour is None else {
        "c": _values(truth[colour]), "cmap": _COLOURS,
    }  # fmt: skip
    for ax, name in zip(axes, names, strict=True):
        unit = truth[name].unit or u.dimensionless_unscaled
        true, found, error = (
            u.Quantity(column, dtype=float).to_value(unit)
            for column in (truth[name], table[name], table[f"{name}_err"])
        )
        ax.axline((true.mean(), true.mean()), slope=1, color="0.6", lw=0.8)
        ax.errorbar(true, found, np.nan_to_num(error), fmt="none", lw=0.8, ecolor="0.7", zorder=1)
        points = ax.scatter(true, found, s=9, lw=0, zorder=2, **shades)
        ax.set_title(_text(name, truth[name].unit), fontsize="small")
        text = _bias_and_scatter((found - true)[np.isfinite(found)], len(found))
        ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize="x-small",
                bbox={"fc": "white", "ec": "none", "alpha": 0.6, "pad": 1})  # fmt: skip
        ax.tick_params(labelsize="x-small")
        if (
            not np.isfinite(found).any() and np.ptp(true) > 0
        ):  # the range that it is not measured in
            ax.set(xlim=(true.min(), true.max()), ylim=(true.min(), true.max()))
    if colour is not None:
        figure.colorbar(points, ax=axes, label=_text(colour, truth[colour].unit), pad=0.01)
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
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Each with the Gaussian of unit width that right errors give.
    """
    names = names or [name for name in truth.colnames if name in table.colnames]
    figure, axes = _panels(len(names), min(6, len(names)), (1.9, 1.7), figure, sharex=True)
    edges, x = np.linspace(-5, 5, 26), np.linspace(-5, 5, 200)
    for ax, name in zip(axes, names, strict=True):
        pull = u.Quantity((table[name] - truth[name]) / table[f"{name}_err"]).to_value(u.one)
        pull = pull[np.isfinite(pull)]
        if len(pull):
            ax.hist(np.clip(pull, -5, 5), edges, density=True, color=_ERROR, alpha=0.6)
        ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=_MODEL, lw=1.2)
        ax.set_title(_text(name, None), fontsize="small")
        text = _bias_and_scatter(pull, len(pull)).replace("bias ", "").replace("scatter ", "± ")
        ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize="x-small")
        ax.set_yticks([])
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("(fitted - true) / error; beyond ±5 in the last bins", fontsize="medium")
    return axes


def plot_coverage(labels, names=None, *, figure=None):
    """Draw where the spectra of a grid are.

    Parameters
    ----------
    labels : `~astropayne.SpectralGrid` or `~astropy.table.Table`
    names : sequence of str, optional
        Which labels; all by default.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Surface gravity over effective temperature where there are both, the other labels over
        metallicity; histograms where there is none.
    """
    table = getattr(labels, "labels", labels)
    names = list(names or table.colnames)
    pairs = []
    if {"teff", "logg"} <= set(names):
        pairs.append(("teff", "logg"))
    along = "feh" if "feh" in names else None
    shown = {name for pair in pairs for name in pair} | {along}
    pairs += [(along, name) for name in names if name not in shown]
    if along and not pairs:
        pairs = [(None, along)]
    figure, axes = _panels(len(pairs), 4, (2.7, 2.4), figure)
    for ax, (x, y) in zip(axes, pairs, strict=True):
        if x is None:
            ax.hist(_values(table[y]), 30, color=_ERROR)
            _label_axis(ax, "x", y, table[y].unit)
            continue
        ax.plot(_values(table[x]), _values(table[y]), "o", ms=2, mew=0, color=_ERROR, alpha=0.5,
                rasterized=True)  # fmt: skip
        _label_axis(ax, "x", x, table[x].unit)
        _label_axis(ax, "y", y, table[y].unit)
    return axes


def plot_history(history, *, figure=None):
    """Draw how a training went.

    Parameters
    ----------
    history : `~astropy.table.QTable`
        Of `~astropayne.PayneModel.train`, or ``model.history``.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        The rms flux error, and the learning rate below.
    """
    figure = figure or plt.figure(figsize=(7, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    step = history["step"]
    above.semilogy(step, history["train_rms"], color=_ERROR, lw=1, label="training")
    above.semilogy(step, history["valid_rms"], color=_MODEL, lw=1.2, label="validation")
    best = int(np.argmin(history["valid_rms"]))
    above.plot(step[best], history["valid_rms"][best], "o", color=_MODEL, ms=5,
               label=f"best: {history['valid_rms'][best]:.2g}")  # fmt: skip
    above.set_ylabel("rms flux error")
    above.legend(fontsize="small")
    below.plot(step, history["learning_rate"], color=_OBSERVED, lw=1)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    for ax in (above, below):
        ax.grid(alpha=0.2)
    return [above, below]


def _panels(n, n_columns, size, figure, **shared):
    """Return a figure and n axes, row by row."""
    n_columns = min(n, n_columns)
    n_rows = -(-n // n_columns)
    figsize = (max(size[0] * n_columns, 3.5), max(size[1] * n_rows, 2.5))
    figure = figure or plt.figure(figsize=figsize, layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False, **shared).flat)
    for ax in axes[n:]:
        ax.remove()
    return figure, axes[:n]


def _values(column):
    return np.asarray(getattr(column, "value", column), dtype=float)


def _label_names(table):
    """Return the columns of flux errors that are labels: those before the errors."""
    return table.colnames[1 : table.colnames.index("rms")]


def _label_axis(ax, which, name, unit):
    """Name an axis, and turn it round for labels that are drawn so."""
    getattr(ax, f"set_{which}label")(_text(name, unit), fontsize="small")
    ax.tick_params(axis=which, labelsize="x-small")
    if name in _TURNED and not getattr(ax, f"{which}axis_inverted")():
        getattr(ax, f"invert_{which}axis")()


def _bias_and_scatter(difference, n):
    if not len(difference):
        return "not measured"
    scatter = 1.4826 * np.median(np.abs(difference - np.median(difference)))
    missing = f"\n{n - len(difference)} not measured" if len(difference) < n else ""
    return f"bias {np.median(difference):.2g}\nscatter {scatter:.2g}{missing}"


def _text(name, unit):
    text = name if name in ("rv", "vsini", "vmac") else Label(name).text
    return f"{text} / {unit.to_string('unicode')}" if unit else text


def plot_element(spectrum, row, element, *, figure=None):
    """Draw every window of an element: observed, best fit, without the element, residuals.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        What was observed.
    row : `~astropy.table.Row`
        Of `~astropayne.fit_abundances` with ``models=True``.
    element : str
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2 * n_rows, n_columns)
        Spectra and, below each, residuals.
    """
    axis = u.Quantity(spectrum.spectral_axis, subok=False).to(u.AA)
    order = np.argsort(axis.value)
    wavelength, flux = axis.value[order], spectrum.flux.value[order]
    model, without = (
        np.asarray(row[f"{element}_{what}"])[: len(order)][order]
        for what in ("best_fit", "without")
    )
    beta = u.Quantity(row["rv"]).to_value(u.km / u.s) / 299792.458
    centres = np.array(row.table.meta[f"{element}_lines"]) * np.sqrt((1 + beta) / (1 - beta))
    used = np.flatnonzero(np.isfinite(model))
    if not len(used):
        raise ValueError(f"{element}: no line is covered, so there is nothing to draw")
    step = np.median(np.diff(wavelength))
    parts = np.split(used, np.flatnonzero(np.diff(wavelength[used]) > 1.5 * step) + 1)
    columns = min(4, len(parts))
    rows = -(-len(parts) // columns)
    figure = figure or plt.figure(figsize=(0.6 + 2.6 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1) * rows)
    for i, (r, c) in enumerate(np.ndindex(rows, columns)):
        above, below = axes[2 * r : 2 * r + 2, c]
        if i >= len(parts):
            above.set_axis_off(), below.set_axis_off()
            continue
        part = parts[i]
        around = slice(max(part[0] - 12, 0), part[-1] + 13)
        above.plot(wavelength[around], flux[around], "o-", ms=2, lw=0.5, color="0.7")
        above.plot(wavelength[part], flux[part], "o", ms=3, color=_OBSERVED, label="observed")
        above.plot(wavelength[part], without[part], "--", color=_ERROR, label=f"without {element}")
        above.plot(wavelength[part], model[part], color=_MODEL, label="best fit")
        for centre in centres[(centres > wavelength[part[0]]) & (centres < wavelength[part[-1]])]:
            above.axvline(centre, ymin=0.93, color=_OBSERVED, lw=1)
        below.axhline(0, color="0.5", lw=0.6)
        below.plot(wavelength[part], flux[part] - model[part], "o", ms=2, color=_ERROR)
        below.set_xlim(above.get_xlim())
        above.tick_params(labelbottom=False, labelsize="x-small")
        below.tick_params(labelsize="x-small")
        below.xaxis.set_major_locator(plt.MaxNLocator(3))
        below.ticklabel_format(axis="x", useOffset=False)
    axes[0, 0].set_ylabel("flux")
    axes[1, 0].set_ylabel("residual")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  fontsize="small", frameon=False)  # fmt: skip
    figure.suptitle(f"{row['name']}, {element}", fontsize="medium", x=0.02, ha="left")
    figure.supxlabel(_wavelength_text(axis, spectrum.meta), fontsize="medium")
    return axes


def plot_plan(table, *, figure=None):
    """Draw the errors to expect of an observation.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Of `~astropayne.planning.plan`; its labels in dex are drawn.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (1,)
    """
    figure = figure or plt.figure(figsize=(7, 3.2), layout="constrained")
    ax = figure.subplots()
    rows = [r for r in table if r["label"] not in ("teff", "vmic", "rv", "vsini", "vmac")]
    known = {True: _ERROR, False: "0.75"}
    hidden = [np.isfinite(r["significance"]) and not r["measurable"] for r in rows]
    x = np.arange(len(rows))
    ax.bar(x, [r["error"] for r in rows], color=[known[not h] for h in hidden], width=0.6)
    ax.plot(x, [r["error_alone"] for r in rows], "_", ms=18, mew=2, color=_MODEL,
            label="if all else were known")  # fmt: skip
    for i in np.flatnonzero(hidden):
        ax.text(
            i, rows[i]["error"], "not\nmeasurable", ha="center", va="bottom", fontsize="x-small"
        )
    ax.set_xticks(x, [Label(r["label"]).text for r in rows])
    ax.set_yscale("log")
    ax.set_ylim(top=2.5 * ax.get_ylim()[1])
    ax.set_ylabel("error / dex")
    ax.legend(fontsize="small", frameon=False)
    return np.array([ax])
