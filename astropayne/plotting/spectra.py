# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of spectra and fits."""

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import FigureBase

from astropayne.labels.columns import one_star
from astropayne.plotting.axes import MODEL, OBSERVED, series_colors
from astropayne.plotting.windows import SpectrumFigure, draw_comparison, fit_title

__all__ = ["plot_fit", "plot_spectrum", "plot_variations"]


def plot_spectrum(
    spectrum: Any,
    observed: Any = None,
    *,
    lines: Any = None,
    rv: u.Quantity | float = 0.0,
    regions: Any = None,
    unit: u.UnitBase | str | None = None,
    figure: FigureBase | None = None,
    label: str | None = None,
) -> np.ndarray:
    """Draw a spectrum, its windows side by side.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    observed : `~specutils.Spectrum`, optional
        Observed spectrum, drawn behind the other, with the differences below. It must have the
        same pixels: predict at its own with ``model(..., wavelength=observed.spectral_axis)``.
    lines : `~astropayne.LineList`, optional
        Lines whose elements are written above the spectrum.
    rv : float or `~astropy.units.Quantity`
        Radial velocity of the star in km/s, by which the lines are shifted.
    regions : `~specutils.SpectralRegion`, optional
        Parts of the spectrum that are drawn.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the spectral axis; that of the spectrum by default.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.
    label : str, optional
        Title.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (n_windows,)
        The shape is (2, n_windows) with ``observed``: spectra above, differences below.

    Raises
    ------
    ValueError
        If no part of the spectrum is inside the regions, or the observed spectrum has other
        pixels.

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
        drawing = SpectrumFigure(
            spectrum.spectral_axis, spectrum.meta, regions, unit, figure, n_rows=1
        )
        drawing.plot(0, spectrum.flux.value, color=MODEL, lw=0.9)
    else:
        drawing = draw_comparison(spectrum, observed, None, "predicted", regions, unit, figure)
    drawing.mark_lines(lines, rv)
    drawing.finish(spectrum.flux.unit, label)
    return drawing.axes[0] if observed is None else drawing.axes


def plot_fit(
    result: Any,
    *,
    lines: Any = None,
    regions: Any = None,
    unit: u.UnitBase | str | None = None,
    figure: FigureBase | None = None,
    label: str | None = None,
) -> np.ndarray | list[np.ndarray]:
    """Draw an observed spectrum, its best fit, and the residuals below.

    Parameters
    ----------
    result : `~astropayne.FitResult`
        ``result.plot()`` does the same.
    lines, regions, unit, figure
        As in `plot_spectrum`. Lines are shifted by the fitted velocity.
    label : str, optional
        Title; by default the fitted labels.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (2, n_windows)
        Spectra above, residuals below. If the star has several spectra, a list with the axes of
        each, from top to bottom.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_spectrum
    >>> model = PayneModel.sample()
    >>> result = fit_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, rv=12), model)
    >>> result.plot(unit="nm").shape
    (2, 3)
    """
    title = label or fit_title(result)

    def draw(
        best_fit: Any, observed: Any, used: np.ndarray, part: FigureBase | None,
        part_title: str | None,
    ) -> np.ndarray:  # fmt: skip
        drawing = draw_comparison(best_fit, observed, used, "best fit", regions, unit, part)
        drawing.mark_lines(lines, result.labels["rv"])
        drawing.finish(best_fit.flux.unit, part_title)
        return drawing.axes

    if hasattr(result.best_fit, "flux"):
        return draw(result.best_fit, result.observed, result.used, figure, title)
    n = len(result.best_fit)
    figure = figure or plt.figure(figsize=(11, 4.4 * n), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    parts = figure.subfigures(n, squeeze=False)[:, 0]
    arms = zip(result.best_fit, result.observed, result.used, parts, strict=True)
    return [draw(*arm, None) for arm in arms]


def plot_variations(
    model: Any,
    labels: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    lines: Any = None,
    regions: Any = None,
    unit: u.UnitBase | str | None = None,
    figure: FigureBase | None = None,
    label: str | None = None,
    **options: Any,
) -> np.ndarray:
    """Draw how a spectrum changes with labels.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    labels : mapping of str to value
        Labels of the star, as in calling the model.
    changes : mapping of str to value
        Changes of the model's labels, each of which is applied by itself:
        ``{"Mg_Fe": 0.3, "teff": 100 * u.K}``.
    lines, regions, unit, figure, label
        As in `plot_spectrum`.
    **options
        Options of calling the model: ``vsini``, ``resolution`` and so on.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (2, n_windows)
        The spectrum above, and the changes of the flux below.

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
    drawing = SpectrumFigure(spectrum.spectral_axis, spectrum.meta, regions, unit, figure)
    drawing.plot(0, spectrum.flux.value, color=OBSERVED, lw=0.9)
    drawing.draw_zero(1)
    for (name, change), color in zip(changes.items(), series_colors(len(changes)), strict=True):
        own = model.labels.labels[model.labels.index(name)]
        step = float(own.to_value(change))
        changed = model(**{**star, own.name: star[own.name] + step}, **options)
        text = f"{own.text} {'−' if step < 0 else '+'} {abs(step):g}"
        text += f" {own.column_unit.to_string('unicode')}" if own.column_unit else ""
        drawing.plot(1, (changed.flux - spectrum.flux).value, color=color, lw=0.9, label=text)
    drawing.axes[1, 0].set_ylabel("change of flux")
    drawing.axes[1, -1].legend(loc="lower right", fontsize="small")
    drawing.mark_lines(lines, options.get("rv", 0.0))
    drawing.finish(spectrum.flux.unit, label)
    return drawing.axes
