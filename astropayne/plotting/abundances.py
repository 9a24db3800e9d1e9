# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of abundances and plans."""

import warnings
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import QTable, Row
from astropy.utils.exceptions import AstropyUserWarning
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from astropayne.labels.names import Label
from astropayne.plotting.axes import ERROR, MODEL, OBSERVED, legend_above
from astropayne.plotting.text import spectral_axis_text
from astropayne.wavelengths.axis import find_windows, without_gaps
from astropayne.wavelengths.media import to_air, to_vacuum
from astropayne.wavelengths.velocity import VELOCITIES, doppler_factor

__all__ = ["plot_element", "plot_plan"]

_MARGIN = 12  # pixels drawn on either side of a window


def plot_element(
    spectrum: Any,
    row: Row,
    element: str,
    *,
    figure: FigureBase | None = None,
) -> np.ndarray:
    """Draw the windows of an element: observed, best fit, without the element, and residuals.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum` or `~specutils.SpectrumList`
        The observed spectrum.
    row : `~astropy.table.Row`
        Row of the table returned by `~astropayne.fit_abundances` with ``models=True``, also after
        the table was written and read. Formats such as VOTable lose the metadata of the table;
        the lines are then not marked, and a warning is issued.
    element : str
        Symbol of the element.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (2 * n_rows, n_columns)
        Spectra and, below each, residuals.

    Raises
    ------
    ValueError
        If the table has no models, or the spectrum covers no line of the element.
    """
    windows = _element_windows(spectrum, row, element)
    if not windows:
        raise ValueError(f"{element}: the spectrum covers none of its lines")
    first = spectrum[0] if isinstance(spectrum, list) else spectrum
    centers = _line_centers(row, element, first)
    n_columns = min(4, len(windows))
    n_rows = -(-len(windows) // n_columns)
    size = max(0.6 + 2.6 * n_columns, 5.8), 2.9 * n_rows  # wide enough for title and legend
    figure = figure or plt.figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * n_rows, n_columns, squeeze=False, height_ratios=(3, 1) * n_rows)
    for i, (r, c) in enumerate(np.ndindex(n_rows, n_columns)):
        above, below = axes[2 * r : 2 * r + 2, c]
        if i < len(windows):
            _draw_window(above, below, windows[i], centers, element)
        else:
            above.set_axis_off()
            below.set_axis_off()
    axes[0, 0].set_ylabel("flux")
    axes[1, 0].set_ylabel("residual")
    legend_above(figure, axes[0, 0])
    figure.suptitle(f"{row['name']}, {element}", fontsize="medium", x=0.02, ha="left")
    figure.supxlabel(spectral_axis_text(u.AA, first.meta), fontsize="medium")
    return axes


@dataclass(frozen=True, eq=False)
class _Window:
    """A window of an element: the pixels of its arm, in Å, and which of them are in the window."""

    wavelength: np.ndarray
    flux: np.ndarray
    best_fit: np.ndarray
    without: np.ndarray
    pixels: np.ndarray

    def with_margin(self) -> slice:
        """Return the pixels of the window and of a margin that ends at gaps of the arm."""
        first, last = self.pixels[0], self.pixels[-1]
        arm = next(w for w in find_windows(self.wavelength) if w.start <= first < w.stop)
        return slice(max(first - _MARGIN, arm.start), min(last + _MARGIN + 1, arm.stop))


def _element_windows(spectrum: Any, row: Row, element: str) -> list[_Window]:
    windows, start = [], 0
    for arm in spectrum if isinstance(spectrum, list) else [spectrum]:
        wavelength = u.Quantity(arm.spectral_axis, subok=False).to_value(u.AA)
        order = np.argsort(wavelength)
        models: list[np.ndarray] = []
        for name in (f"{element}_best_fit", f"{element}_without"):
            if name not in row.colnames:
                raise ValueError(
                    f"the table has no column {name}; call fit_abundances with models=True"
                )
            column: np.ma.MaskedArray = np.ma.asarray(row[name], dtype=float)
            models.append(np.ma.filled(column, np.nan)[start + order])
        start += len(order)
        arrays = (wavelength[order], arm.flux.value[order], models[0], models[1])
        parts = without_gaps(arrays[0], np.isfinite(models[0]))
        windows += [_Window(*arrays, part) for part in parts]
    return windows


def _draw_window(
    above: Axes, below: Axes, window: _Window, centers: np.ndarray, element: str
) -> None:
    part, context = window.pixels, window.with_margin()
    wavelength, flux = window.wavelength, window.flux
    x = wavelength[part]
    above.plot(wavelength[context], flux[context], "o-", ms=2, lw=0.5, color="0.7")
    above.plot(x, flux[part], "o", ms=3, color=OBSERVED, label="observed")
    above.plot(x, window.without[part], "--", color=ERROR, label=f"without {element}")
    above.plot(x, window.best_fit[part], color=MODEL, label="best fit")
    for center in centers[(centers > x[0]) & (centers < x[-1])]:
        above.axvline(center, ymin=0.93, color=OBSERVED, lw=1)
    below.axhline(0, color="0.5", lw=0.6)
    below.plot(x, flux[part] - window.best_fit[part], "o", ms=2, color=ERROR)
    below.set_xlim(above.get_xlim())
    above.tick_params(labelbottom=False, labelsize="x-small")
    below.tick_params(labelsize="x-small")
    below.xaxis.set_major_locator(plt.MaxNLocator(3))
    below.ticklabel_format(axis="x", useOffset=False)


def _line_centers(row: Row, element: str, spectrum: Any) -> np.ndarray:
    """Return the centers of an element's lines in the spectrum, Å; none if they are unknown."""
    meta = {key.lower(): value for key, value in row.table.meta.items()}  # FITS has capitals only
    lines = meta.get(f"{element}_lines".lower())
    medium = meta.get("medium", spectrum.meta.get("medium"))
    if lines is None or medium is None:
        warnings.warn(
            f"the lines of {element} are not marked, because {element}_lines and medium are "
            "missing in the metadata of the table; write tables as ECSV or FITS to keep them",
            AstropyUserWarning,
            stacklevel=3,
        )
        return np.empty(0)
    lines = lines.split() if isinstance(lines, str) else lines
    rv = u.Quantity(row["rv"]).to_value(u.km / u.s)
    centers = to_vacuum(np.array(lines, dtype=float, ndmin=1), medium)
    centers = centers * doppler_factor(rv)
    return to_air(centers) if spectrum.meta.get("medium", medium) == "air" else centers


def plot_plan(table: QTable, *, figure: FigureBase | None = None) -> np.ndarray:
    """Draw the errors expected of an observation.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table returned by `~astropayne.plan`, of which the labels in dex are drawn.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (1,)
    """
    figure = figure or plt.figure(figsize=(7, 3.2), layout="constrained")
    ax = figure.subplots()
    rows = [row for row in table if row["label"] not in ("teff", "vmic", *VELOCITIES)]
    hidden = [np.isfinite(row["significance"]) and not row["measurable"] for row in rows]
    x = np.arange(len(rows))
    colors = ["0.75" if is_hidden else ERROR for is_hidden in hidden]
    ax.bar(x, [row["error"] for row in rows], color=colors, width=0.6)
    ax.plot(x, [row["error_alone"] for row in rows], "_", ms=18, mew=2, color=MODEL,
            label="if all other labels were known")  # fmt: skip
    for i in np.flatnonzero(hidden):
        top = 1.1 * max(rows[i]["error"], rows[i]["error_alone"])
        ax.text(float(i), top, "not\nmeasurable", ha="center", va="bottom", fontsize="x-small")
    ax.set_xticks(x, [Label(row["label"]).text for row in rows])
    ax.set_yscale("log")
    ax.set_ylim(top=2.5 * ax.get_ylim()[1])
    ax.set_ylabel("error / dex")
    ax.legend(fontsize="small", frameon=False)
    return np.array([ax])
