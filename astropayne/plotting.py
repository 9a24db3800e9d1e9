# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures: a figure in, or a new one; axes out.

``figure`` may be a `~matplotlib.figure.SubFigure`, so that pictures can be put together in one.
Nothing is shown or saved: `matplotlib.pyplot.show` and `matplotlib.pyplot.savefig` do that with a
new one, in any format that matplotlib has. Under `astropy.visualization.quantity_support` axes have
units: what is drawn into them then, such as ``ax.axvline(516.7 * u.nm)``, is converted.
"""

import warnings

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.utils.exceptions import AstropyUserWarning
from matplotlib import units
from matplotlib.colors import LogNorm
from matplotlib.patches import Ellipse
from scipy.ndimage import maximum_filter1d
from scipy.optimize import isotonic_regression

from astropayne.evaluation import median_and_scatter
from astropayne.forward import VELOCITIES
from astropayne.labels import Label, one_star
from astropayne.lines import without_gaps
from astropayne.wavelengths import (
    doppler_factor,
    find_windows,
    inside_regions,
    spectral_equivalencies,
    to_air,
    to_vacuum,
)

__all__ = [
    "plot_covariance",
    "plot_coverage",
    "plot_differences",
    "plot_element",
    "plot_error_planes",
    "plot_error_trends",
    "plot_fit",
    "plot_history",
    "plot_pixel_comparison",
    "plot_pixel_errors",
    "plot_plan",
    "plot_pulls",
    "plot_recovery",
    "plot_scatter",
    "plot_spectrum",
    "plot_variations",
]

# Okabe & Ito's colours, which the colour-blind can tell apart.
_MODEL, _OBSERVED, _ERROR = "#D55E00", "#222222", "#0072B2"
_SERIES = (_ERROR, _MODEL, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_COLOURS = "viridis"  # readable for the colour-blind, and in grey
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TURNED = ("teff", "logg")  # labels that astronomers draw from large to small
_PLANES = (("teff", "logg"), ("teff", "feh"), ("logg", "feh"), ("feh", "vmic"))
_NAME_WIDTH = 9  # points that the name of a line takes


def plot_spectrum(
    spectrum, observed=None, *, lines=None, rv=0.0, regions=None, unit=None, figure=None, label=None
):
    """Draw a spectrum, its windows side by side.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    observed : `~specutils.Spectrum`, optional
        Drawn behind it, and the differences from it below. It has to have the same pixels:
        predict at its own, ``model(..., wavelength=observed.spectral_axis)``.
    lines : `~astropayne.LineList`, optional
        Lines whose elements are named.
    rv : float or `~astropy.units.Quantity`
        Radial velocity of the star in km/s, which lines are moved by.
    regions : `~specutils.SpectralRegion`, optional
        Draw these parts only.
    unit : `~astropy.units.Unit` or str, optional
        Spectral unit of the axis; the spectrum's own by default.
    figure : `~matplotlib.figure.Figure`, optional
    label : str, optional
        Title.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (n_windows,)
        Or of shape (2, n_windows) with ``observed``: spectra above, differences below.

    Raises
    ------
    ValueError
        If nothing of the spectrum is in the regions, or the observed one has other pixels.

    Examples
    --------
    >>> from astropayne import LineList, PayneModel
    >>> from astropayne.plotting import plot_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> axes = plot_spectrum(sun, lines=LineList.sample(), unit="nm")
    >>> axes[0].figure.get_supxlabel()
    'wavelength / nm (air)'
    """
    if observed is None:
        drawing = _Windows(spectrum.spectral_axis, spectrum.meta, regions, unit, figure, rows=1)
        drawing.plot(0, spectrum.flux.value, color=_MODEL, lw=0.9)
    else:
        drawing = _compared(spectrum, observed, None, "predicted", regions, unit, figure)
    drawing.name_lines(lines, rv)
    drawing.say(spectrum.flux.unit, label)
    return drawing.axes[0] if observed is None else drawing.axes


def plot_fit(result, *, lines=None, regions=None, unit=None, figure=None, label=None):
    """Draw an observed spectrum, its best fit, and the residuals below.

    Parameters
    ----------
    result : `~astropayne.FitResult`
        ``result.plot()`` is the same.
    lines, regions, unit, figure
        As for `plot_spectrum`. Lines are moved by the velocity found.
    label : str, optional
        Title; by default the labels found.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Spectra above, residuals below. A list of them if the star has several spectra, one below
        the other.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_spectrum
    >>> model = PayneModel.sample()
    >>> result = fit_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, rv=12), model)
    >>> result.plot(unit="nm").shape
    (2, 3)
    """
    title = label or _title(result)
    rv = result.labels["rv"]
    if hasattr(result.best_fit, "flux"):
        drawing = _compared(
            result.best_fit, result.observed, result.used, "best fit", regions, unit, figure
        )
        drawing.name_lines(lines, rv)
        drawing.say(result.best_fit.flux.unit, title)
        return drawing.axes
    n = len(result.best_fit)
    figure = figure or plt.figure(figsize=(11, 4.4 * n), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = []
    for part, *spectra in zip(
        np.atleast_1d(figure.subfigures(n)), result.best_fit, result.observed, result.used,
        strict=True,
    ):  # fmt: skip
        drawing = _compared(*spectra, "best fit", regions, unit, part)
        drawing.name_lines(lines, rv)
        drawing.say(spectra[0].flux.unit, None)
        axes.append(drawing.axes)
    return axes


def plot_variations(
    model,
    labels,
    changes,
    *,
    lines=None,
    regions=None,
    unit=None,
    figure=None,
    label=None,
    **options,
):
    """Draw what labels do to a spectrum.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    labels : mapping of str to value
        The star, as the model takes them.
    changes : mapping of str to value
        By how much which of the model's labels is changed, one at a time:
        ``{"Mg_Fe": 0.3, "teff": 100 * u.K}``.
    lines, regions, unit, figure, label
        As for `plot_spectrum`.
    **options
        Of calling the model: ``vsini``, ``resolution``…

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2, n_windows)
        The spectrum above, and below by how much the flux changes.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.plotting import plot_variations
    >>> sun = {"teff": 5777, "logg": 4.44, "feh": 0, "vmic": 1}
    >>> axes = plot_variations(PayneModel.sample(), sun, {"[Mg/Fe]": 0.3})
    >>> axes[1, 0].lines[1].get_label()
    '[Mg/Fe] + 0.3'
    """
    values = one_star(model.label_array(labels))
    star = dict(zip(model.labels.names, values, strict=True))
    spectrum = model(**star, **options)
    drawing = _Windows(spectrum.spectral_axis, spectrum.meta, regions, unit, figure)
    drawing.plot(0, spectrum.flux.value, color=_OBSERVED, lw=0.9)
    drawing.level(1)
    for (name, change), colour in zip(changes.items(), _colours(len(changes)), strict=True):
        i = model.labels.index(name)
        own = model.labels.labels[i]
        step = float(own.to_value(change))
        changed = model(**{**star, own.name: star[own.name] + step}, **options)
        text = f"{own.text} {'−' if step < 0 else '+'} {abs(step):g}"
        text += f" {own.column_unit.to_string('unicode')}" if own.column_unit else ""
        drawing.plot(1, (changed.flux - spectrum.flux).value, color=colour, lw=0.9, label=text)
    drawing.axes[1, 0].set_ylabel("change of flux")
    drawing.axes[1, -1].legend(loc="lower right", fontsize="small")
    drawing.name_lines(lines, options.get("rv", 0.0))
    drawing.say(spectrum.flux.unit, label)
    return drawing.axes


class _Windows:
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
                _set_unit(ax.xaxis, self.unit)

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
        place = (doppler_factor(_kms(rv)) * table["wavelength"]).to_value(
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
            _set_unit(ax.yaxis, flux_unit)
        self.axes[0, 0].set_ylabel(_with_unit("flux", flux_unit))
        self.figure.supxlabel(_axis_text(self.unit, self.meta), fontsize="medium")
        if title:
            self.figure.suptitle(title, fontsize="medium")


def _compared(spectrum, observed, used, what, regions, unit, figure):
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
    drawing = _Windows(spectrum.spectral_axis, meta, regions, unit, figure, kept=near)
    drawing.plot(0, flux, color="0.7", lw=1.0, label="not used")
    drawing.plot(0, kept, color=_OBSERVED, lw=1.2, label="observed")
    drawing.plot(0, spectrum.flux.value, color=_MODEL, lw=0.9, label=what)
    if used is not None:
        drawing.show(0, kept, spectrum.flux.value)  # whatever cosmic rays among the others say
    drawing.level(1)
    drawing.plot(1, kept - spectrum.flux.value, color=_ERROR, lw=0.7)
    drawing.axes[1, 0].set_ylabel(f"observed\n− {what.removeprefix('best ')}")
    drawing.axes[0, -1].legend(loc="lower right", fontsize="small")
    return drawing


def _where_known(flux):
    """Return the pixels in which there is flux, and some around them."""
    known = np.isfinite(flux)
    if not known.any():
        return ~known
    return maximum_filter1d(known.astype(np.uint8), 2 * (known.sum() // 50) + 1).astype(bool)


def _set_unit(axis, unit):
    """Give an axis its unit, if matplotlib has been told what a quantity is."""
    if u.Quantity in units.registry and unit not in (None, u.one):
        axis.update_units(1 * unit)
        axis.set_label_text("")  # astropy writes the unit only


def _kms(velocity):
    return u.Quantity(velocity, u.km / u.s).value


def _colours(n):
    return [_SERIES[i % len(_SERIES)] for i in range(n)]


def _with_unit(text, unit):
    return text if unit in (None, u.one) else f"{text} / {u.Unit(unit).to_string('unicode')}"


def _axis_text(unit, meta):
    """Say what a spectral axis is; wavelengths, in which medium."""
    kinds = {u.m: "wavelength", u.Hz: "frequency", u.J: "energy", u.m**-1: "wave number"}
    kind = next((kind for one, kind in kinds.items() if unit.is_equivalent(one)), "spectral axis")
    medium = meta.get("medium") if unit.is_equivalent(u.m) else None
    return _with_unit(kind, unit) + (f" ({medium})" if medium else "")


def _title(result):
    parts = []
    for name in ("teff", "logg", "feh", "rv", "vsini"):
        if name in result.labels:
            value, error = result.labels[name], result.errors[name].value
            digits = 0 if name == "teff" else 2
            text = _text(name, None)
            unit = f" {value.unit.to_string('unicode')}" if str(value.unit) else ""
            spread = f" ± {error:.{digits}f}" if np.isfinite(error) else ""
            shown = round(value.value, digits) + 0.0  # not minus zero
            parts.append(f"{text} {number_text(shown, f'.{digits}f')}{spread}{unit}")
    return ",  ".join(parts)


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
    >>> from astropayne.plotting import plot_pixel_errors
    >>> plot_pixel_errors(pixels).shape
    (2, 3)
    """
    drawing = _Windows(pixels["wavelength"], pixels.meta, None, None, figure)
    for low, high, alpha, text in (
        ("minus_2sigma", "plus_2sigma", 0.2, "95 % of spectra"),
        ("minus_sigma", "plus_sigma", 0.5, "68 % of spectra"),
    ):
        drawing.fill(0, pixels[low], pixels[high], color=_ERROR, alpha=alpha, lw=0, label=text)
    drawing.plot(0, pixels["bias"], color=_MODEL, lw=0.8, label="mean")
    drawing.level(0)
    drawing.fill(1, 0, pixels["rms"], color=_OBSERVED, alpha=0.75, lw=0)
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
    >>> from astropayne.plotting import plot_pixel_comparison
    >>> plot_pixel_comparison({"this": pixels, "that": pixels}).shape
    (1, 3)
    """
    first = next(iter(pixels.values()))
    drawing = _Windows(first["wavelength"], first.meta, None, None, figure, rows=1)
    for (name, table), colour in zip(pixels.items(), _colours(len(pixels)), strict=True):
        rms = np.interp(first["wavelength"], table["wavelength"], table["rms"], np.nan, np.nan)
        drawing.plot(0, rms, color=colour, lw=0.9, label=name)
    drawing.say(None, label)
    _rms_below(drawing)
    return drawing.axes


def _rms_below(drawing):
    """Name the last row, and what is in the first, above it all."""
    drawing.axes[-1, 0].set_ylim(bottom=0)
    drawing.axes[-1, 0].set_ylabel("rms" if len(drawing.axes) > 1 else "rms flux error")
    _legend_above(drawing.figure, drawing.axes[0, 0])


def _legend_above(figure, ax, ncols=3):
    """Say above all axes what is drawn in one."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper right", ncols=ncols,
                  fontsize="small", frameon=False)  # fmt: skip


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
    >>> from astropayne.plotting import plot_error_planes
    >>> plot_error_planes(spectra)[0].get_xlabel()
    'Teff / K'
    """
    planes = planes or [p for p in _PLANES if set(p) <= set(spectra.colnames)]
    figure, axes = _panels(len(planes), 4, (2.6, 2.6), figure)
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

    Returns
    -------
    list of `~matplotlib.axes.Axes`
        A panel a label, with the median of ten equal parts of the spectra.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors
    >>> pixels, spectra = flux_errors(PayneModel.sample(), SpectralGrid.sample()[:20])
    >>> from astropayne.plotting import plot_error_trends
    >>> len(plot_error_trends(spectra, ["teff", "feh"]))
    2
    """
    names = names or _label_names(spectra)
    figure, axes = _panels(len(names), 4, (2.7, 2.0), figure, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        x, y = _values(spectra[name]), np.asarray(spectra["rms"])
        ax.semilogy(x, y, "o", ms=2, mew=0, color=_ERROR, alpha=0.5)
        parts = np.array_split(np.argsort(x), min(10, len(x)))
        middle = [(np.median(x[p]), np.median(y[p])) for p in parts]
        ax.semilogy(*np.transpose(middle), "-", color=_MODEL, lw=1.5)
        ax.tick_params(axis="y", which="both", labelsize="x-small")
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
    >>> plot_recovery(truth, table, colour="feh")[0].get_title()
    'Teff / K'
    """
    names = _names_in_both(truth, table, names)
    figure, axes = _panels(len(names), min(5, len(names)), (2.4, 2.3), figure)
    shades = {"color": _ERROR} if colour is None else {
        "c": _values(truth[colour]), "cmap": _COLOURS,
    }  # fmt: skip
    for ax, name in zip(axes, names, strict=True):
        true, found, error = _in_one_unit(truth[name], table[name], table[f"{name}_err"])
        ax.axline((true.mean(), true.mean()), slope=1, color="0.6", lw=0.8)
        ax.errorbar(true, found, np.nan_to_num(error), fmt="none", lw=0.8, ecolor="0.7", zorder=1)
        points = ax.scatter(true, found, s=9, lw=0, zorder=2, **shades)
        for axis in (ax.xaxis, ax.yaxis):
            _set_unit(axis, truth[name].unit)
        ax.set_title(_text(name, truth[name].unit), fontsize="small")
        text = _bias_and_scatter((found - true)[np.isfinite(found)], len(found))
        ax.text(0.96, 0.04, text, transform=ax.transAxes, ha="right", fontsize="x-small",
                bbox={"fc": "white", "ec": "none", "alpha": 0.6, "pad": 1})  # fmt: skip
        ax.tick_params(labelsize="x-small")
        if not np.isfinite(found).any() and np.ptp(true) > 0:  # what it is not measured in
            ax.set(xlim=(true.min(), true.max()), ylim=(true.min(), true.max()))
    if colour is not None:
        figure.colorbar(points, ax=axes, label=_text(colour, truth[colour].unit), pad=0.01,
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
    >>> from astropayne.plotting import plot_pulls
    >>> fitted = QTable({"feh": [-0.98, 0.01, 0.27], "feh_err": [0.02, 0.01, 0.02]})
    >>> plot_pulls(QTable({"feh": [-1.0, 0.0, 0.3]}), fitted)[0].get_title()
    '[Fe/H]'
    """
    names = _names_in_both(truth, table, names)
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
    >>> from astropayne.plotting import plot_differences
    >>> truth = QTable({"feh": [-1.0, 0.0, 0.3], "Mg_Fe": [0.3, 0.1, 0.0]})
    >>> plot_differences(truth, QTable({"Mg_Fe": [0.32, 0.09, 0.0]}))[0].get_title()
    '[Mg/Fe]'
    """
    names = _names_in_both(truth, table, names)
    figure, axes = _panels(len(names), 4, (2.7, 1.9), figure, sharex=True)
    x = _values(truth[along])
    parts = np.array_split(np.argsort(x), min(8, len(x)))
    for ax, name in zip(axes, names, strict=True):
        true, found = _in_one_unit(truth[name], table[name])
        ax.axhline(0, color="0.5", lw=0.6)
        ax.plot(x, found - true, "o", ms=2, mew=0, color=_ERROR, alpha=0.5)
        middle, spread = np.transpose([median_and_scatter((found - true)[p]) for p in parts])
        where = [np.median(x[p]) for p in parts]
        ax.errorbar(where, middle, spread, fmt="o-", ms=3, lw=1.2, color=_MODEL)
        # A star far off must not hide the others.
        spread = np.nan_to_num(spread)  # parts of one star have none
        reach = 1.2 * np.nanmax(np.abs(middle) + 3 * spread, initial=0) if len(parts) > 1 else 0
        if reach > 0:
            ax.set_ylim(-reach, reach)
        _turn(ax, "x", along)
        _set_unit(ax.xaxis, truth[along].unit)
        _set_unit(ax.yaxis, truth[name].unit)
        ax.set_title(_text(name, truth[name].unit), fontsize="small")
        ax.tick_params(labelsize="x-small")
    figure.supxlabel(_text(along, truth[along].unit), fontsize="medium")
    figure.supylabel("fitted − true", fontsize="medium")
    return axes


def plot_scatter(summaries, names=None, *, figure=None):
    """Draw the scatter of fitted labels against the signal-to-noise ratio.

    Parameters
    ----------
    summaries : `~astropy.table.QTable` or mapping of str to `~astropy.table.QTable`
        Of `~astropayne.evaluation.summarise_recovery`; several by the names of their models.
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
    figure, axes = _panels(len(names), 4, (2.7, 1.9), figure, sharex=True)
    for ax, name in zip(axes, names, strict=True):
        for (text, table), colour in zip(summaries.items(), _colours(len(summaries)), strict=True):
            rows = table[table["label"] == name]
            x = np.searchsorted(ratios, rows["snr"])
            ax.plot(x, rows["scatter"], "o-", color=colour, ms=4, lw=1.2, label=f"scatter {text}")
            ax.plot(x, rows["error"], "_--", color=colour, lw=0.8, label=f"stated error {text}")
        ax.update_datalim([(0, 0)], updatex=False)  # the margin above is a part of what is shown
        ax.set_ylim(bottom=0)
        ax.set_xticks(range(len(ratios)), ["no noise" if np.isinf(r) else f"{r:g}" for r in ratios])
        ax.margins(x=0.15)
        ax.set_title(_text(name, u.Unit(units.get(name, ""))), fontsize="small")
        ax.tick_params(which="both", labelsize="x-small")
    _legend_above(figure, axes[0], ncols=4)
    figure.supxlabel("S/N a pixel", fontsize="medium")
    return axes


def plot_covariance(result, names=None, *, figure=None):
    """Draw what the errors of a fit have in common.

    Parameters
    ----------
    result : `~astropayne.FitResult`
    names : sequence of str, optional
        Which of ``result.free``; by default all that were measured.
    figure : `~matplotlib.figure.Figure`, optional

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (n_names, n_names)
        Below the diagonal ellipses that hold 68 and 95 % of a Gaussian's probability, with the
        correlation; on it the Gaussian of each. Above it, `None`.

    Raises
    ------
    ValueError
        If a name was not measured.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_spectrum
    >>> from astropayne.plotting import plot_covariance
    >>> model = PayneModel.sample()
    >>> result = fit_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, vsini=5), model)
    >>> plot_covariance(result, ["teff", "logg", "feh"]).shape
    (3, 3)
    """
    variances = np.diag(result.covariance)
    known = [n for n, v in zip(result.free, variances, strict=True) if np.isfinite(v) and v > 0]
    names = list(names or known)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{', '.join(unknown)} is not of what was measured: {', '.join(known)}")
    rows = [result.free.index(name) for name in names]
    covariance, n = result.covariance[np.ix_(rows, rows)], len(names)
    centre = [result.labels[name].value for name in names]
    sigma = np.sqrt(np.diag(covariance))
    size = max(3.0, round(1.4 * n, 1))  # whole pixels, also in older matplotlib
    figure = figure or plt.figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots(n, n, squeeze=False, sharex="col")
    for i, j in np.ndindex(n, n):
        ax = axes[i, j]
        if j > i:
            ax.remove()
            axes[i, j] = None
            continue
        x = centre[j] + 3.5 * sigma[j] * np.linspace(-1, 1, 101)
        if i == j:
            ax.plot(x, np.exp(-0.5 * ((x - centre[j]) / sigma[j]) ** 2), color=_MODEL, lw=1.2)
            ax.set_yticks([])
        else:
            _draw_ellipses(ax, centre[j], centre[i], covariance[np.ix_([j, i], [j, i])])
            ax.set_ylim(centre[i] - 3.5 * sigma[i], centre[i] + 3.5 * sigma[i])
        ax.set_xlim(x[0], x[-1])
        _finish_corner(ax, i, j, n, names, result)
    return axes


def _draw_ellipses(ax, x, y, covariance):
    lengths, directions = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    for probability, alpha in ((0.954, 0.2), (0.683, 0.4)):
        width, height = 2 * np.sqrt(-2 * np.log(1 - probability) * np.maximum(lengths[::-1], 0))
        ax.add_patch(Ellipse((x, y), width, height, angle=angle, color=_ERROR, alpha=alpha, lw=0))
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    text = number_text(round(correlation, 2) + 0.0, ".2f")
    ax.annotate(text, (0.95, 0.95), xycoords="axes fraction",
                ha="right", va="top", fontsize="x-small")  # fmt: skip


def _finish_corner(ax, i, j, n, names, result):
    """Name what stands at the edge of a corner plot, and number only that."""
    ax.tick_params(labelsize="x-small", labelbottom=i == n - 1, labelleft=j == 0 and i > 0)
    ax.tick_params(axis="x", rotation=45)
    for axis in (ax.xaxis, ax.yaxis) if i != j else (ax.xaxis,):
        axis.set_major_locator(plt.MaxNLocator(3))
        axis.get_major_formatter().set_useOffset(False)
    if i == n - 1:
        ax.set_xlabel(_text(names[j], result.labels[names[j]].unit), fontsize="small")
    if j == 0 and i > 0:
        ax.set_ylabel(_text(names[i], result.labels[names[i]].unit), fontsize="small")


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
    above.semilogy(step, history["train_rms"], color=_ERROR, lw=1, marker=dot, label="training")
    above.semilogy(step, history["valid_rms"], color=_MODEL, lw=1.2, label="validation")
    best = int(np.argmin(history["valid_rms"]))
    above.plot(step[best], history["valid_rms"][best], "o", color=_MODEL, ms=5,
               label=f"best: {history['valid_rms'][best]:.2g}")  # fmt: skip
    above.set_ylabel("rms flux error")
    above.legend(fontsize="small")
    below.plot(step, history["learning_rate"], color=_OBSERVED, lw=1, marker=dot)
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


def _names_in_both(truth, table, names):
    names = names or [name for name in truth.colnames if name in table.colnames]
    if not names:
        raise ValueError(
            f"no label is in both tables: {', '.join(truth.colnames)}; {', '.join(table.colnames)}"
        )
    return names


def _in_one_unit(first, *others):
    unit = first.unit or u.one
    return [u.Quantity(column, dtype=float).to_value(unit) for column in (first, *others)]


def _values(column):
    return np.asarray(getattr(column, "value", column), dtype=float)


def _label_names(table):
    """Return the columns of flux errors that are labels: those before the errors."""
    return table.colnames[1 : table.colnames.index("rms")]


def _label_axis(ax, which, name, unit):
    """Name an axis, and turn it round if the label is drawn so."""
    _set_unit(getattr(ax, f"{which}axis"), unit)
    getattr(ax, f"set_{which}label")(_text(name, unit), fontsize="small")
    ax.tick_params(axis=which, labelsize="x-small")
    _turn(ax, which, name)


def _turn(ax, which, name):
    if name in _TURNED and not getattr(ax, f"{which}axis_inverted")():
        getattr(ax, f"invert_{which}axis")()


def _bias_and_scatter(difference, n):
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
    return f"{digits} × 10" + str(int(power.replace("−", "-"))).translate(_RAISED)


def _text(name, unit):
    return _with_unit(name if name in VELOCITIES else Label(name).text, unit)


def plot_element(spectrum, row, element, *, figure=None):
    """Draw every window of an element: observed, best fit, without the element, residuals.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum` or `~specutils.SpectrumList`
        What was observed.
    row : `~astropy.table.Row`
        Of `~astropayne.fit_abundances` with ``models=True``; also of a table that was written and
        read. If that has lost its metadata, as in a VOTable, lines have no marks, and a warning
        says so.
    element : str
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (2 * n_rows, n_columns)
        Spectra and, below each, residuals.

    Raises
    ------
    ValueError
        If the table has no models, or no line of the element is covered.
    """
    parts = _element_windows(spectrum, row, element)
    if not parts:
        raise ValueError(f"{element}: no line is covered, so there is nothing to draw")
    first = spectrum[0] if isinstance(spectrum, list) else spectrum
    centres = _element_lines(row, element, first)
    columns = min(4, len(parts))
    rows = -(-len(parts) // columns)
    size = max(0.6 + 2.6 * columns, 5.8), 2.9 * rows  # title and legend have room
    figure = figure or plt.figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1) * rows)
    for i, (r, c) in enumerate(np.ndindex(rows, columns)):
        above, below = axes[2 * r : 2 * r + 2, c]
        if i >= len(parts):
            above.set_axis_off(), below.set_axis_off()
            continue
        (wavelength, flux, model, without), part = parts[i]
        window = next(w for w in find_windows(wavelength) if w.start <= part[0] < w.stop)
        around = slice(max(part[0] - 12, window.start), min(part[-1] + 13, window.stop))
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
    _legend_above(figure, axes[0, 0])
    figure.suptitle(f"{row['name']}, {element}", fontsize="medium", x=0.02, ha="left")
    figure.supxlabel(_axis_text(u.AA, first.meta), fontsize="medium")
    return axes


def _element_windows(spectrum, row, element):
    """Return a pair for each window: arrays of its whole arm, and where the window is in them."""
    windows, start = [], 0
    for arm in spectrum if isinstance(spectrum, list) else [spectrum]:
        wavelength = u.Quantity(arm.spectral_axis, subok=False).to_value(u.AA)
        order = np.argsort(wavelength)
        arrays = [wavelength[order], arm.flux.value[order]]
        for name in (f"{element}_best_fit", f"{element}_without"):
            if name not in row.colnames:
                raise ValueError(f"the table has no {name}: measure with models=True")
            model = np.ma.filled(np.ma.asarray(row[name], dtype=float), np.nan)
            arrays.append(model[start + order])
        start += len(order)
        windows += [(arrays, part) for part in without_gaps(arrays[0], np.isfinite(arrays[2]))]
    return windows


def _element_lines(row, element, spectrum):
    """Return where the lines of an element are in the spectrum of a star, if that is known."""
    meta = {key.lower(): value for key, value in row.table.meta.items()}  # FITS has capitals only
    lines = meta.get(f"{element}_lines".lower())
    medium = meta.get("medium", spectrum.meta.get("medium"))
    if lines is None or medium is None:
        warnings.warn(
            f"{element}: lines are not marked, as the table's metadata {element}_lines and medium "
            "are lost; ECSV and FITS keep them",
            AstropyUserWarning,
            stacklevel=3,
        )
        return np.empty(0)
    lines = lines.split() if isinstance(lines, str) else lines
    rv = u.Quantity(row["rv"]).to_value(u.km / u.s)
    centres = to_vacuum(np.array(lines, dtype=float, ndmin=1), medium)
    centres = centres * doppler_factor(rv)
    return to_air(centres) if spectrum.meta.get("medium", medium) == "air" else centres


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
    rows = [r for r in table if r["label"] not in ("teff", "vmic", *VELOCITIES)]
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
