# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of an emulator's errors, coverage and training."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import QTable, Table
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import FigureBase

from astropayne.plotting.axes import (
    COLORMAP,
    ERROR,
    MODEL,
    OBSERVED,
    legend_above,
    name_label_axis,
    panels,
    plain_values,
    series_colors,
)
from astropayne.plotting.windows import SpectrumFigure

__all__ = [
    "plot_coverage",
    "plot_error_planes",
    "plot_error_trends",
    "plot_history",
    "plot_pixel_comparison",
    "plot_pixel_errors",
]

_PLANES = (("teff", "logg"), ("teff", "feh"), ("logg", "feh"), ("feh", "vmic"))


def plot_pixel_errors(
    pixels: QTable, *, figure: FigureBase | None = None, label: str | None = None
) -> np.ndarray:
    """Draw the errors of predicted flux, pixel by pixel.

    Parameters
    ----------
    pixels : `~astropy.table.QTable`
        Flux errors of pixels, as returned by `~astropayne.evaluation.flux_errors`.
    figure, label
        As in `plot_spectrum`.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Mean and percentiles above, rms below.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting import plot_pixel_errors
    >>> plot_pixel_errors(pixels).shape
    (2, 3)
    """
    drawing = SpectrumFigure(pixels["wavelength"], pixels.meta, None, None, figure)
    for low, high, alpha, text in (
        ("minus_2sigma", "plus_2sigma", 0.2, "95 % of spectra"),
        ("minus_sigma", "plus_sigma", 0.5, "68 % of spectra"),
    ):
        drawing.fill(0, pixels[low], pixels[high], color=ERROR, alpha=alpha, lw=0, label=text)
    drawing.plot(0, pixels["bias"], color=MODEL, lw=0.8, label="mean")
    drawing.draw_zero(0)
    drawing.fill(1, 0, pixels["rms"], color=OBSERVED, alpha=0.75, lw=0)
    drawing.finish(None, label)
    drawing.axes[0, 0].set_ylabel("predicted − true flux")
    _name_rms(drawing)
    return drawing.axes


def plot_pixel_comparison(
    pixels: Mapping[str, QTable], *, figure: FigureBase | None = None, label: str | None = None
) -> np.ndarray:
    """Draw the rms flux errors of several models, pixel by pixel.

    Parameters
    ----------
    pixels : mapping of str to `~astropy.table.QTable`
        Flux errors of pixels for each model, with the same spectra.
    figure, label
        As in `plot_spectrum`.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (1, n_windows)

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting import plot_pixel_comparison
    >>> plot_pixel_comparison({"this": pixels, "that": pixels}).shape
    (1, 3)
    """
    first = next(iter(pixels.values()))
    drawing = SpectrumFigure(first["wavelength"], first.meta, None, None, figure, n_rows=1)
    for (name, table), color in zip(pixels.items(), series_colors(len(pixels)), strict=True):
        rms = np.interp(first["wavelength"], table["wavelength"], table["rms"], np.nan, np.nan)
        drawing.plot(0, rms, color=color, lw=0.9, label=name)
    drawing.finish(None, label)
    _name_rms(drawing)
    return drawing.axes


def _name_rms(drawing: SpectrumFigure) -> None:
    """Name the last row of axes, and put the legend of the first above the figure."""
    drawing.axes[-1, 0].set_ylim(bottom=0)
    drawing.axes[-1, 0].set_ylabel("rms" if len(drawing.axes) > 1 else "rms flux error")
    legend_above(drawing.figure, drawing.axes[0, 0])


def plot_error_planes(
    spectra: QTable,
    planes: Sequence[tuple[str, str]] | None = None,
    *,
    figure: FigureBase | None = None,
) -> list[Axes]:
    """Draw the rms flux error of each spectrum over planes of labels.

    Parameters
    ----------
    spectra : `~astropy.table.QTable`
        Flux errors of spectra, as returned by `~astropayne.evaluation.flux_errors`.
    planes : sequence of (str, str), optional
        Labels along x and y. By default (Teff, log g), (Teff, [Fe/H]), (log g, [Fe/H]) and
        ([Fe/H], vmic), as far as the table has these labels.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting import plot_error_planes
    >>> plot_error_planes(spectra)[0].get_xlabel()
    'Teff / K'
    """
    planes = planes or [p for p in _PLANES if set(p) <= set(spectra.colnames)]
    figure, axes = panels(len(planes), 4, (2.6, 2.6), figure)
    order = np.argsort(spectra["rms"])  # the worst are drawn last
    for ax, (x, y) in zip(axes, planes, strict=True):
        points = ax.scatter(
            plain_values(spectra[x])[order], plain_values(spectra[y])[order], s=9, lw=0,
            c=spectra["rms"][order], cmap=COLORMAP, norm=LogNorm(),
        )  # fmt: skip
        name_label_axis(ax, "x", x, spectra[x].unit)
        name_label_axis(ax, "y", y, spectra[y].unit)
    bar = figure.colorbar(points, ax=axes, pad=0.01)
    bar.set_label("rms flux error", fontsize="small")
    bar.ax.tick_params(which="both", labelsize="x-small")
    return axes


def plot_error_trends(
    spectra: QTable, names: Sequence[str] | None = None, *, figure: FigureBase | None = None
) -> list[Axes]:
    """Draw the rms flux error of each spectrum against its labels.

    Parameters
    ----------
    spectra : `~astropy.table.QTable`
        Flux errors of spectra, as returned by `~astropayne.evaluation.flux_errors`.
    names : sequence of str, optional
        Labels that are drawn; all by default.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        One panel per label, with medians in ten bins of equal numbers of spectra.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting import plot_error_trends
    >>> len(plot_error_trends(spectra, ["teff", "feh"]))
    2
    """
    labels = spectra.colnames[1 : spectra.colnames.index("rms")]  # between name and errors
    names = names or labels
    figure, axes = panels(len(names), 4, (2.7, 2.0), figure, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        x, y = plain_values(spectra[name]), np.asarray(spectra["rms"])
        ax.semilogy(x, y, "o", ms=2, mew=0, color=ERROR, alpha=0.5)
        parts = np.array_split(np.argsort(x), min(10, len(x)))
        middle = [(np.median(x[p]), np.median(y[p])) for p in parts]
        ax.semilogy(*np.transpose(middle), "-", color=MODEL, lw=1.5)
        ax.tick_params(axis="y", which="both", labelsize="x-small")
        name_label_axis(ax, "x", name, spectra[name].unit)
    figure.supylabel("rms flux error", fontsize="medium")
    return axes


def plot_coverage(
    labels: Any, names: Sequence[str] | None = None, *, figure: FigureBase | None = None
) -> list[Axes]:
    """Draw the labels of the spectra of a grid.

    Parameters
    ----------
    labels : `~astropayne.SpectralGrid` or `~astropy.table.Table`
    names : sequence of str, optional
        Labels that are drawn; all by default.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        Surface gravity against effective temperature if both are there, and the other labels
        against metallicity; a histogram if metallicity is the only label.

    Examples
    --------
    >>> from astropayne import SpectralGrid
    >>> len(SpectralGrid.sample().plot_coverage(["teff", "logg", "feh", "vmic"]))
    2
    """
    table = getattr(labels, "labels", labels)
    pairs = _coverage_planes(list(names or table.colnames))
    figure, axes = panels(len(pairs), 4, (2.7, 2.4), figure)
    for ax, (x, y) in zip(axes, pairs, strict=True):
        if x is None:
            ax.hist(plain_values(table[y]), 30, color=ERROR)
            name_label_axis(ax, "x", y, table[y].unit)
            continue
        ax.plot(
            plain_values(table[x]), plain_values(table[y]), "o", ms=2, mew=0, color=ERROR,
            alpha=0.5, rasterized=True,
        )  # fmt: skip
        name_label_axis(ax, "x", x, table[x].unit)
        name_label_axis(ax, "y", y, table[y].unit)
    return axes


def _coverage_planes(names: list[str]) -> list[tuple[str | None, str]]:
    """Return pairs of labels along x and y that show all names; None along x is a histogram."""
    along = "feh" if "feh" in names else None
    kiel = {"teff", "logg"} <= set(names)
    planes: list[tuple[str | None, str]] = [("teff", "logg")] if kiel else []
    shown = {along, *(("teff", "logg") if kiel else ())}
    planes += [(along, name) for name in names if name not in shown]
    return planes or [(None, along)] if along else planes


def plot_history(history: Table, *, figure: FigureBase | None = None) -> list[Axes]:
    """Draw the history of a training.

    Parameters
    ----------
    history : `~astropy.table.QTable`
        History returned by `~astropayne.PayneModel.train`, or ``model.history``.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        The rms flux error above, the learning rate below.

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
    dot = "o" if len(step) == 1 else None  # a line with one point is invisible
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
