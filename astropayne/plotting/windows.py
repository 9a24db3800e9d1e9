# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Axes that are broken at the gaps between windows."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.optimize import isotonic_regression

from astropayne.plotting.axes import (
    ERROR,
    MODEL,
    OBSERVED,
    axis_text,
    kms,
    label_text,
    number_text,
    set_unit,
    with_unit,
)
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import spectral_equivalencies
from astropayne.wavelengths.regions import inside_regions
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["Windows", "compared", "title_of"]

_NAME_WIDTH = 9  # points that the name of a line takes


class Windows:
    """Axes (rows, windows) for spectra: a column a window, as wide as its range."""

    def __init__(self, axis, meta, regions, unit, figure, rows=2, kept=None):
        self.meta, self.medium = meta, meta.get("medium") or "air"
        axis = u.Quantity(axis, subok=False)
        if regions is not None:
            kept = inside_regions(axis, regions, self.medium)
        elif kept is None:
            kept = np.ones(len(axis), dtype=bool)
        if not kept.any():
            raise ValueError(
                f"nothing to draw: the spectrum ({axis.min():.0f} to {axis.max():.0f}) is outside "
                "the regions"
            )
        self.unit = u.Unit(unit or axis.unit)
        x = axis.to_value(self.unit, spectral_equivalencies(self.medium))
        self.order = np.argsort(x)[kept[np.argsort(x)]]
        self.x = x[self.order]
        self.windows = find_windows(self.x)
        size = (11, 3.2 if rows == 1 else 4.6)
        self.figure = figure or plt.figure(figsize=size, layout="constrained")
        widths = np.array([self.x[w.stop - 1] - self.x[w.start] for w in self.windows])
        # A single pixel has no width, but axes must have one.
        self._make_axes(rows, np.where(widths > 0, widths, 0.05 * widths.max() or 1.0))

    def _make_axes(self, rows, widths):
        self.axes = self.figure.subplots(
            rows, len(widths), sharex="col", sharey="row", squeeze=False, width_ratios=widths,
            height_ratios=(3, 1.5)[:rows],
        )  # fmt: skip
        self.shares = np.array(widths) / sum(widths)
        for column, window, width in zip(self.axes.T, self.windows, widths, strict=True):
            share, (low, high) = width / sum(widths), self.x[window][[0, -1]]
            column[-1].set_xlim(
                *((low, high) if low < high else (low - width / 2, low + width / 2))
            )
            locator = plt.MaxNLocator(max(2, round(10 * share)), steps=[1, 2, 5, 10])
            column[-1].xaxis.set_major_locator(locator)
            column[-1].ticklabel_format(axis="x", useOffset=False)
            for ax in column:
                ax.grid(alpha=0.2)
                set_unit(ax.xaxis, self.unit)

    def plot(self, row, y, **style):
        for ax, window in zip(self.axes[row], self.windows, strict=True):
            ax.plot(self.x[window], np.asarray(y)[self.order][window], **style)

    def fill(self, row, low, high, **style):
        low, high = np.broadcast_arrays(low, high)
        for ax, window in zip(self.axes[row], self.windows, strict=True):
            pixels = self.order[window]
            ax.fill_between(self.x[window], low[pixels], high[pixels], **style)

    def show(self, row, *several):
        """Limit a row to the values that these have in it."""
        values = np.concatenate([np.asarray(y)[self.order] for y in several])
        values = values[np.isfinite(values)]
        if len(values):
            low, high = values.min(), values.max()
            margin = 0.05 * (high - low) or 0.05
            self.axes[row, 0].set_ylim(low - margin, high + margin)

    def level(self, row):
        for ax in self.axes[row]:
            ax.axhline(0, color="0.5", lw=0.6)

    def name_lines(self, lines, rv):
        """Write the elements above their lines, moved aside where they are crowded."""
        if lines is None:
            return
        table = lines.in_medium(self.medium).table
        place = (doppler_factor(kms(rv)) * table["wavelength"]).to_value(
            self.unit, spectral_equivalencies(self.medium)
        )
        points = 0.85 * 72 * self.figure.bbox.width / self.figure.dpi
        for ax, window, share in zip(self.axes[0], self.windows, self.shares, strict=True):
            low, high = self.x[window.start], self.x[window.stop - 1]
            inside = np.flatnonzero((place >= low) & (place <= high))
            inside = inside[np.argsort(place[inside])]
            if not len(inside):
                continue
            apart = _NAME_WIDTH * (high - low) / (points * share) * np.arange(len(inside))
            # The nearest places that are so far apart, and inside if there is room.
            moved = isotonic_regression(place[inside] - apart).x
            moved = np.clip(moved, low, max(low, high - apart[-1])) + apart
            for i, x in zip(inside, moved, strict=True):
                ax.annotate(
                    table["element"][i], (place[i], 1.0), (x, 1.07), rotation=90, va="bottom",
                    ha="center", xycoords=("data", "axes fraction"), fontsize="x-small",
                    annotation_clip=False, arrowprops={"arrowstyle": "-", "lw": 0.4},
                )  # fmt: skip
                ax.axvline(place[i], color="0.6", lw=0.4, zorder=0)

    def say(self, flux_unit, title):
        """Name the axes, and the picture."""
        for ax in self.axes[0]:
            set_unit(ax.yaxis, flux_unit)
        self.axes[0, 0].set_ylabel(with_unit("flux", flux_unit))
        self.figure.supxlabel(axis_text(self.unit, self.meta), fontsize="medium")
        if title:
            self.figure.suptitle(title, fontsize="medium")


def compared(spectrum, observed, used, what, regions, unit, figure):
    """Draw an observed spectrum, another at its pixels, and their difference."""
    if len(spectrum.flux) != len(observed.flux) or not np.allclose(
        spectrum.spectral_axis.to_value(u.AA, u.spectral()),
        observed.spectral_axis.to_value(u.AA, u.spectral()), rtol=1e-9, atol=0,
    ):  # fmt: skip
        raise ValueError(
            "the two spectra have different pixels: predict at those of the observed one, "
            "model(..., wavelength=observed.spectral_axis)"
        )
    flux = observed.flux.value
    usable = np.isfinite(flux) if observed.mask is None else ~observed.mask
    kept = np.where(usable if used is None else used, flux, np.nan)
    meta = {**spectrum.meta, **observed.meta}
    near = _where_known(spectrum.flux.value)
    drawing = Windows(spectrum.spectral_axis, meta, regions, unit, figure, kept=near)
    drawing.plot(0, flux, color="0.7", lw=1.0, label="not used")
    drawing.plot(0, kept, color=OBSERVED, lw=1.2, label="observed")
    drawing.plot(0, spectrum.flux.value, color=MODEL, lw=0.9, label=what)
    if used is not None:
        drawing.show(0, kept, spectrum.flux.value)  # whatever cosmic rays among the others say
    drawing.level(1)
    drawing.plot(1, kept - spectrum.flux.value, color=ERROR, lw=0.7)
    drawing.axes[1, 0].set_ylabel(f"observed\n− {what.removeprefix('best ')}")
    drawing.axes[0, -1].legend(loc="lower right", fontsize="small")
    return drawing


def _where_known(flux):
    """Return the pixels in which there is flux, and some around them."""
    known = np.isfinite(flux)
    if not known.any():
        return ~known
    return maximum_filter1d(known.astype(np.uint8), 2 * (known.sum() // 50) + 1).astype(bool)


def title_of(result):
    parts = []
    for name in ("teff", "logg", "feh", "rv", "vsini"):
        if name in result.labels:
            value, error = result.labels[name], result.errors[name].value
            digits = 0 if name == "teff" else 2
            text = label_text(name, None)
            unit = f" {value.unit.to_string('unicode')}" if str(value.unit) else ""
            spread = f" ± {error:.{digits}f}" if np.isfinite(error) else ""
            shown = round(value.value, digits) + 0.0  # not minus zero
            parts.append(f"{text} {number_text(shown, f'.{digits}f')}{spread}{unit}")
    return ",  ".join(parts)
