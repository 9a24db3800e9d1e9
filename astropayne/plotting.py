# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures: matplotlib axes in, axes out."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np

from astropayne.labels import Label
from astropayne.wavelengths import find_windows

__all__ = ["plot_fit", "plot_recovery", "plot_spectrum"]

# Okabe & Ito's colours, which the colour-blind can tell apart.
_MODEL, _OBSERVED, _ERROR = "#D55E00", "#222222", "#0072B2"


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


def plot_recovery(truth, table, names=None, *, figure=None):
    """Draw fitted against true labels, a panel each, with bias and scatter.

    Parameters
    ----------
    truth : `~astropy.table.Table`
        True values, a column a label.
    table : `~astropy.table.QTable`
        From `~astropayne.fit_spectra`, in the same order.
    names : sequence of str, optional
        Which labels; by default all that both tables have.
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
    n_columns = min(5, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = figure or plt.figure(figsize=(2.4 * n_columns, 2.3 * n_rows), layout="constrained")
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for ax in axes[len(names) :]:
        ax.remove()
    for ax, name in zip(axes, names, strict=False):
        unit = truth[name].unit or u.dimensionless_unscaled
        true, found, error = (
            u.Quantity(column, dtype=float).to_value(unit)
            for column in (truth[name], table[name], table[f"{name}_err"])
        )
        ax.axline((true.mean(), true.mean()), slope=1, color="0.6", lw=0.8)
        ax.errorbar(
            true, found, np.nan_to_num(error), fmt="o", ms=3, lw=0.8, color=_ERROR, ecolor="0.6"
        )
        ax.set_title(_panel_title(name, truth[name].unit), fontsize="small")
        text = _bias_and_scatter((found - true)[np.isfinite(found)])
        ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize="x-small")
        ax.tick_params(labelsize="x-small")
    figure.supxlabel("true", fontsize="medium")
    figure.supylabel("fitted", fontsize="medium")
    return axes[: len(names)]


def _bias_and_scatter(difference):
    if not len(difference):
        return "not measured"
    scatter = 1.4826 * np.median(np.abs(difference - np.median(difference)))
    return f"bias {np.median(difference):.2g}\nscatter {scatter:.2g}"


def _panel_title(name, unit):
    text = name if name in ("rv", "vsini", "vmac") else Label(name).text
    return f"{text} / {unit.to_string('unicode')}" if unit else text
