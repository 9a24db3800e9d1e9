# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of an emulator's errors, coverage and training."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from astropayne.plotting.axes import (
    COLORS,
    ERROR,
    MODEL,
    OBSERVED,
    colors,
    column_values,
    label_axis,
    label_names,
    legend_above,
    panels,
)
from astropayne.plotting.windows import Windows

__all__ = [
    "plot_coverage",
    "plot_error_planes",
    "plot_error_trends",
    "plot_history",
    "plot_pixel_comparison",
    "plot_pixel_errors",
]

_PLANES = (("teff", "logg"), ("teff", "feh"), ("logg", "feh"), ("feh", "vmic"))


def plot_pixel_errors(pixels, *, figure=None, label=None):
    """Draw the errors of predicted flux, pixel by pixel.

    Parameters
    ----------
    pixels : `~astropy.table.QTable`
        Of `~astropayne.evaluation.flux_errors`.
    figure, label
        As for `plot_spectrum`.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Mean and percentiles above, rms below.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting.emulator import plot_pixel_errors
    >>> plot_pixel_errors(pixels).shape
    (2, 3)
    """
    drawing = Windows(pixels["wavelength"], pixels.meta, None, None, figure)
    for low, high, alpha, text in (
        ("minus_2sigma", "plus_2sigma", 0.2, "95 % of spectra"),
        ("minus_sigma", "plus_sigma", 0.5, "68 % of spectra"),
    ):
        drawing.fill(0, pixels[low], pixels[high], color=ERROR, alpha=alpha, lw=0, label=text)
    drawing.plot(0, pixels["bias"], color=MODEL, lw=0.8, label="mean")
    drawing.level(0)
    drawing.fill(1, 0, pixels["rms"], color=OBSERVED, alpha=0.75, lw=0)
    drawing.say(None, label)
    drawing.axes[0, 0].set_ylabel("predicted − true flux")
    _rms_below(drawing)
    return drawing.axes


def plot_pixel_comparison(pixels, *, figure=None, label=None):
    """Draw the rms flux errors of several models, pixel by pixel.

    Parameters
    ----------
    pixels : mapping of str to `~astropy.table.QTable`
        For each model, what `~astropayne.evaluation.flux_errors` found with the same spectra.
    figure, label
        As for `plot_spectrum`.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (1, n_windows)

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting.emulator import plot_pixel_comparison
    >>> plot_pixel_comparison({"this": pixels, "that": pixels}).shape
    (1, 3)
    """
    first = next(iter(pixels.values()))
    drawing = Windows(first["wavelength"], first.meta, None, None, figure, rows=1)
    for (name, table), colour in zip(pixels.items(), colors(len(pixels)), strict=True):
        rms = np.interp(first["wavelength"], table["wavelength"], table["rms"], np.nan, np.nan)
        drawing.plot(0, rms, color=colour, lw=0.9, label=name)
    drawing.say(None, label)
    _rms_below(drawing)
    return drawing.axes


def _rms_below(drawing):
    """Name the last row, and what is in the first, above it all."""
    drawing.axes[-1, 0].set_ylim(bottom=0)
    drawing.axes[-1, 0].set_ylabel("rms" if len(drawing.axes) > 1 else "rms flux error")
    legend_above(drawing.figure, drawing.axes[0, 0])


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

    Returns
    -------
    list of `~matplotlib.axes.Axes`

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting.emulator import plot_error_planes
    >>> plot_error_planes(spectra)[0].get_xlabel()
    'Teff / K'
    """
    planes = planes or [p for p in _PLANES if set(p) <= set(spectra.colnames)]
    figure, axes = panels(len(planes), 4, (2.6, 2.6), figure)
    order = np.argsort(spectra["rms"])  # the worst are drawn last
    for ax, (x, y) in zip(axes, planes, strict=True):
        points = ax.scatter(column_values(spectra[x])[order], column_values(spectra[y])[order], s=9, lw=0,
                            c=spectra["rms"][order], cmap=COLORS, norm=LogNorm())  # fmt: skip
        label_axis(ax, "x", x, spectra[x].unit)
        label_axis(ax, "y", y, spectra[y].unit)
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

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        A panel a label, with the median of ten equal parts of the spectra.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting.emulator import plot_error_trends
    >>> len(plot_error_trends(spectra, ["teff", "feh"]))
    2
    """
    names = names or label_names(spectra)
    figure, axes = panels(len(names), 4, (2.7, 2.0), figure, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        x, y = column_values(spectra[name]), np.asarray(spectra["rms"])
        ax.semilogy(x, y, "o", ms=2, mew=0, color=ERROR, alpha=0.5)
        parts = np.array_split(np.argsort(x), min(10, len(x)))
        middle = [(np.median(x[p]), np.median(y[p])) for p in parts]
        ax.semilogy(*np.transpose(middle), "-", color=MODEL, lw=1.5)
        ax.tick_params(axis="y", which="both", labelsize="x-small")
        label_axis(ax, "x", name, spectra[name].unit)
    figure.supylabel("rms flux error", fontsize="medium")
    return axes


def plot_coverage(labels, names=None, *, figure=None):
    """Draw where the spectra of a grid are.

    Parameters
    ----------
    labels : `~astropayne.SpectralGrid` or `~astropy.table.Table`
    names : sequence of str, optional
        Which labels; all by default.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Surface gravity over effective temperature where there are both, the other labels over
        metallicity; histograms where there is none.

    Examples
    --------
    >>> from astropayne import SpectralGrid
    >>> len(SpectralGrid.sample().plot_coverage(["teff", "logg", "feh", "vmic"]))
    2
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
    figure, axes = panels(len(pairs), 4, (2.7, 2.4), figure)
    for ax, (x, y) in zip(axes, pairs, strict=True):
        if x is None:
            ax.hist(column_values(table[y]), 30, color=ERROR)
            label_axis(ax, "x", y, table[y].unit)
            continue
        ax.plot(column_values(table[x]), column_values(table[y]), "o", ms=2, mew=0, color=ERROR, alpha=0.5,
                rasterized=True)  # fmt: skip
        label_axis(ax, "x", x, table[x].unit)
        label_axis(ax, "y", y, table[y].unit)
    return axes


def plot_history(history, *, figure=None):
    """Draw how a training went.

    Parameters
    ----------
    history : `~astropy.table.QTable`
        Of `~astropayne.PayneModel.train`, or ``model.history``.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        The rms flux error, and the learning rate below.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> above, below = PayneModel.sample().history.plot()
    >>> above.get_ylabel()
    'rms flux error'
    """
    figure = figure or plt.figure(figsize=(7, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    step = history["step"]
    dot = "o" if len(step) == 1 else None  # a line of one point is not seen
    above.semilogy(step, history["train_rms"], color=ERROR, lw=1, marker=dot, label="training")
    above.semilogy(step, history["valid_rms"], color=MODEL, lw=1.2, label="validation")
    best = int(np.argmin(history["valid_rms"]))
    above.plot(step[best], history["valid_rms"][best], "o", color=MODEL, ms=5,
               label=f"best: {history['valid_rms'][best]:.2g}")  # fmt: skip
    above.set_ylabel("rms flux error")
    above.legend(fontsize="small")
    below.plot(step, history["learning_rate"], color=OBSERVED, lw=1, marker=dot)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    for ax in (above, below):
        ax.grid(alpha=0.2)
    return [above, below]
