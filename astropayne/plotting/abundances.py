# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of abundances and plans."""

import warnings

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.labels.names import Label
from astropayne.plotting.axes import ERROR, MODEL, OBSERVED, axis_text, legend_above
from astropayne.wavelengths.axis import find_windows, without_gaps
from astropayne.wavelengths.media import to_air, to_vacuum
from astropayne.wavelengths.velocity import VELOCITIES, doppler_factor

__all__ = ["plot_element", "plot_plan"]


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
        above.plot(wavelength[part], flux[part], "o", ms=3, color=OBSERVED, label="observed")
        above.plot(wavelength[part], without[part], "--", color=ERROR, label=f"without {element}")
        above.plot(wavelength[part], model[part], color=MODEL, label="best fit")
        for centre in centres[(centres > wavelength[part[0]]) & (centres < wavelength[part[-1]])]:
            above.axvline(centre, ymin=0.93, color=OBSERVED, lw=1)
        below.axhline(0, color="0.5", lw=0.6)
        below.plot(wavelength[part], flux[part] - model[part], "o", ms=2, color=ERROR)
        below.set_xlim(above.get_xlim())
        above.tick_params(labelbottom=False, labelsize="x-small")
        below.tick_params(labelsize="x-small")
        below.xaxis.set_major_locator(plt.MaxNLocator(3))
        below.ticklabel_format(axis="x", useOffset=False)
    axes[0, 0].set_ylabel("flux")
    axes[1, 0].set_ylabel("residual")
    legend_above(figure, axes[0, 0])
    figure.suptitle(f"{row['name']}, {element}", fontsize="medium", x=0.02, ha="left")
    figure.supxlabel(axis_text(u.AA, first.meta), fontsize="medium")
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
        Of `~astropayne.abundances.planning.plan`; its labels in dex are drawn.
    figure : `~matplotlib.figure.Figure`, optional
        Drawn into; a new one by default.

    Returns
    -------
    `~numpy.ndarray` of `~matplotlib.axes.Axes`, shape (1,)
    """
    figure = figure or plt.figure(figsize=(7, 3.2), layout="constrained")
    ax = figure.subplots()
    rows = [r for r in table if r["label"] not in ("teff", "vmic", *VELOCITIES)]
    known = {True: ERROR, False: "0.75"}
    hidden = [np.isfinite(r["significance"]) and not r["measurable"] for r in rows]
    x = np.arange(len(rows))
    ax.bar(x, [r["error"] for r in rows], color=[known[not h] for h in hidden], width=0.6)
    ax.plot(x, [r["error_alone"] for r in rows], "_", ms=18, mew=2, color=MODEL,
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
