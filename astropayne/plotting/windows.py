# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Figures of spectra whose axes are interrupted between windows."""

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import FigureBase
from scipy.ndimage import maximum_filter1d
from scipy.optimize import isotonic_regression

from astropayne.plotting.axes import ERROR, MODEL, OBSERVED, set_unit
from astropayne.plotting.text import label_text, number_text, spectral_axis_text, with_unit
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import spectral_equivalencies
from astropayne.wavelengths.regions import inside_regions
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["SpectrumFigure", "draw_comparison", "fit_title"]

_ELEMENT_WIDTH = 9  # points, the width of the name of an element
_TITLE_LABELS = ("teff", "logg", "feh", "rv", "vsini")


class SpectrumFigure:
    """A figure of spectra: axes of shape (n_rows, n_windows), each as wide as its window.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        Spectral axis of everything that is drawn.
    meta : mapping
        Metadata of the spectrum, of which ``medium`` is used.
    regions : `~specutils.SpectralRegion` or None
        Parts of the axis that are drawn.
    unit : `~astropy.units.Unit`, str or None
        Unit of the axis in the figure.
    figure : `~matplotlib.figure.Figure` or None
        Figure to draw into; a new one if None.
    n_rows : {1, 2}
        Number of rows of axes.
    shown : numpy.ndarray of bool, optional
        Pixels that are drawn if ``regions`` is None.

    Raises
    ------
    ValueError
        If no pixel is inside the regions.
    """

    def __init__(
        self,
        axis: u.Quantity,
        meta: Mapping,
        regions: Any,
        unit: u.UnitBase | str | None,
        figure: FigureBase | None,
        n_rows: int = 2,
        shown: np.ndarray | None = None,
    ) -> None:
        self.meta, self.medium = meta, meta.get("medium") or "air"
        axis = u.Quantity(axis, subok=False)
        if regions is not None:
            shown = inside_regions(axis, regions, self.medium)
        elif shown is None:
            shown = np.ones(len(axis), dtype=bool)
        if not shown.any():
            raise ValueError(
                f"nothing to draw: the spectrum ({axis.min():.0f} to {axis.max():.0f}) is outside "
                "the regions"
            )
        self.unit = u.Unit(unit or axis.unit)
        x = axis.to_value(self.unit, spectral_equivalencies(self.medium))
        self.order = np.argsort(x)[shown[np.argsort(x)]]
        self.x = x[self.order]
        self.windows = find_windows(self.x)
        size = (11, 3.2 if n_rows == 1 else 4.6)
        self.figure: Any = figure or plt.figure(figsize=size, layout="constrained")
        widths = np.array([self.x[w.stop - 1] - self.x[w.start] for w in self.windows])
        # A window of a single pixel has no width, but its axes need one.
        self._make_axes(n_rows, np.where(widths > 0, widths, 0.05 * widths.max() or 1.0))

    def _make_axes(self, n_rows: int, widths: np.ndarray) -> None:
        self.axes = self.figure.subplots(
            n_rows, len(widths), sharex="col", sharey="row", squeeze=False,
            width_ratios=widths.tolist(),
            height_ratios=(3, 1.5)[:n_rows],
        )  # fmt: skip
        self.shares = np.array(widths) / sum(widths)
        for column, window, width in zip(self.axes.T, self.windows, widths, strict=True):
            share, (low, high) = width / sum(widths), self.x[window][[0, -1]]
            limits = (low, high) if low < high else (low - width / 2, low + width / 2)
            column[-1].set_xlim(*limits)
            locator = plt.MaxNLocator(max(2, round(10 * share)), steps=[1, 2, 5, 10])
            column[-1].xaxis.set_major_locator(locator)
            column[-1].ticklabel_format(axis="x", useOffset=False)
            for ax in column:
                ax.grid(alpha=0.2)
                set_unit(ax.xaxis, self.unit)

    def plot(self, row: int, y: npt.ArrayLike, **style: Any) -> None:
        """Draw values of all pixels in a row of axes."""
        for ax, window in zip(self.axes[row], self.windows, strict=True):
            ax.plot(self.x[window], np.asarray(y)[self.order][window], **style)

    def fill(self, row: int, low: npt.ArrayLike, high: npt.ArrayLike, **style: Any) -> None:
        """Fill the area between two values of each pixel in a row of axes."""
        low, high = np.broadcast_arrays(low, high)
        for ax, window in zip(self.axes[row], self.windows, strict=True):
            pixels = self.order[window]
            ax.fill_between(self.x[window], low[pixels], high[pixels], **style)

    def limit_to(self, row: int, *curves: np.ndarray) -> None:
        """Limit the y axis of a row to the finite values of curves."""
        values = np.concatenate([np.asarray(y)[self.order] for y in curves])
        values = values[np.isfinite(values)]
        if len(values):
            low, high = values.min(), values.max()
            margin = 0.05 * (high - low) or 0.05
            self.axes[row, 0].set_ylim(low - margin, high + margin)

    def draw_zero(self, row: int) -> None:
        """Draw a line at zero in a row of axes."""
        for ax in self.axes[row]:
            ax.axhline(0, color="0.5", lw=0.6)

    def mark_lines(self, lines: Any, rv: u.Quantity | float) -> None:
        """Write the elements of lines above the spectrum, side by side where lines are close.

        Parameters
        ----------
        lines : `~astropayne.LineList` or None
        rv : `~astropy.units.Quantity` or float
            Radial velocity of the star, in km/s.
        """
        if lines is None:
            return
        table = lines.in_medium(self.medium).table
        shifted = doppler_factor(u.Quantity(rv, u.km / u.s).value) * table["wavelength"]
        centers = shifted.to_value(self.unit, spectral_equivalencies(self.medium))
        figure_width = 0.85 * 72 * self.figure.bbox.width / self.figure.dpi  # points
        for ax, window, share in zip(self.axes[0], self.windows, self.shares, strict=True):
            low, high = self.x[window.start], self.x[window.stop - 1]
            rows = np.flatnonzero((centers >= low) & (centers <= high))
            rows = rows[np.argsort(centers[rows])]
            spacing = _ELEMENT_WIDTH * (high - low) / (figure_width * share)
            texts = _spread(centers[rows], spacing, low, high)
            for i, x in zip(rows, texts, strict=True):
                ax.annotate(
                    table["element"][i], (centers[i], 1.0), (x, 1.07), rotation=90, va="bottom",
                    ha="center", xycoords=("data", "axes fraction"), fontsize="x-small",
                    annotation_clip=False, arrowprops={"arrowstyle": "-", "lw": 0.4},
                )  # fmt: skip
                ax.axvline(centers[i], color="0.6", lw=0.4, zorder=0)

    def finish(self, flux_unit: u.UnitBase | None, title: str | None) -> None:
        """Name the axes, and give the figure its title."""
        for ax in self.axes[0]:
            set_unit(ax.yaxis, flux_unit)
        self.axes[0, 0].set_ylabel(with_unit("flux", flux_unit))
        self.figure.supxlabel(spectral_axis_text(self.unit, self.meta), fontsize="medium")
        if title:
            self.figure.suptitle(title, fontsize="medium")


def _spread(positions: np.ndarray, spacing: float, low: float, high: float) -> np.ndarray:
    """Return the nearest positions that are ``spacing`` apart, within limits if there is room."""
    if not len(positions):
        return positions
    offsets = spacing * np.arange(len(positions))
    moved = isotonic_regression(positions - offsets).x
    return np.clip(moved, low, max(low, high - offsets[-1])) + offsets


def draw_comparison(
    spectrum: Any,
    observed: Any,
    used: np.ndarray | None,
    name: str,
    regions: Any,
    unit: u.UnitBase | str | None,
    figure: FigureBase | None,
) -> SpectrumFigure:
    """Draw an observed spectrum and a model of it, and their difference below.

    Parameters
    ----------
    spectrum, observed : `~specutils.Spectrum`
        The model and the observed spectrum, at the same pixels.
    used : numpy.ndarray of bool or None
        Pixels that a fit used; all that are not masked if None.
    name : str
        Name of the model in the legend.
    regions, unit, figure
        As in `SpectrumFigure`.

    Returns
    -------
    SpectrumFigure

    Raises
    ------
    ValueError
        If the two spectra have different pixels.
    """
    _require_same_pixels(spectrum, observed)
    flux, model = observed.flux.value, spectrum.flux.value
    usable = np.isfinite(flux) if observed.mask is None else ~observed.mask
    kept = np.where(usable if used is None else used, flux, np.nan)
    drawing = SpectrumFigure(
        spectrum.spectral_axis, {**spectrum.meta, **observed.meta}, regions, unit, figure,
        shown=_near_finite(model),
    )  # fmt: skip
    drawing.plot(0, flux, color="0.7", lw=1.0, label="not used")
    drawing.plot(0, kept, color=OBSERVED, lw=1.2, label="observed")
    drawing.plot(0, model, color=MODEL, lw=0.9, label=name)
    if used is not None:
        drawing.limit_to(0, kept, model)  # cosmic rays among the other pixels do not matter
    drawing.draw_zero(1)
    drawing.plot(1, kept - model, color=ERROR, lw=0.7)
    drawing.axes[1, 0].set_ylabel(f"observed\n− {name.removeprefix('best ')}")
    drawing.axes[0, -1].legend(loc="lower right", fontsize="small")
    return drawing


def _require_same_pixels(spectrum: Any, observed: Any) -> None:
    if len(spectrum.flux) != len(observed.flux) or not np.allclose(
        spectrum.spectral_axis.to_value(u.AA, u.spectral()),
        observed.spectral_axis.to_value(u.AA, u.spectral()), rtol=1e-9, atol=0,
    ):  # fmt: skip
        raise ValueError(
            "the two spectra have different pixels; predict at those of the observed spectrum, "
            "model(..., wavelength=observed.spectral_axis)"
        )


def _near_finite(flux: np.ndarray) -> np.ndarray:
    """Return the pixels with finite flux, and a few on either side of them."""
    finite = np.isfinite(flux)
    if not finite.any():
        return ~finite
    return maximum_filter1d(finite.astype(np.uint8), 2 * (finite.sum() // 50) + 1).astype(bool)


def fit_title(result: Any) -> str:
    """Return the main labels of a `~astropayne.FitResult` with their errors, as a title."""
    parts = []
    for name in _TITLE_LABELS:
        if name not in result.labels:
            continue
        value, error = result.labels[name], result.errors[name].value
        digits = 0 if name == "teff" else 2
        rounded = round(value.value, digits) + 0.0  # not minus zero
        text = f"{label_text(name, None)} {number_text(rounded, f'.{digits}f')}"
        if np.isfinite(error):
            text += f" ± {error:.{digits}f}"
        if str(value.unit):
            text += f" {value.unit.to_string('unicode')}"
        parts.append(text)
    return ",  ".join(parts)
