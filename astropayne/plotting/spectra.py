# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of spectra and fits."""

import matplotlib.pyplot as plt
import numpy as np

from astropayne.labels.columns import one_star
from astropayne.plotting.axes import MODEL, OBSERVED, colors
from astropayne.plotting.windows import Windows, compared, title_of

__all__ = ["plot_fit", "plot_spectrum", "plot_variations"]


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
    >>> from astropayne.plotting.spectra import plot_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> axes = plot_spectrum(sun, lines=LineList.sample(), unit="nm")
    >>> axes[0].figure.get_supxlabel()
    'wavelength / nm (air)'
    """
    if observed is None:
        drawing = Windows(spectrum.spectral_axis, spectrum.meta, regions, unit, figure, rows=1)
        drawing.plot(0, spectrum.flux.value, color=MODEL, lw=0.9)
    else:
        drawing = compared(spectrum, observed, None, "predicted", regions, unit, figure)
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
    title = label or title_of(result)
    rv = result.labels["rv"]
    if hasattr(result.best_fit, "flux"):
        drawing = compared(
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
        drawing = compared(*spectra, "best fit", regions, unit, part)
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
    >>> from astropayne.plotting.spectra import plot_variations
    >>> sun = {"teff": 5777, "logg": 4.44, "feh": 0, "vmic": 1}
    >>> axes = plot_variations(PayneModel.sample(), sun, {"[Mg/Fe]": 0.3})
    >>> axes[1, 0].lines[1].get_label()
    '[Mg/Fe] + 0.3'
    """
    values = one_star(model.label_array(labels))
    star = dict(zip(model.labels.names, values, strict=True))
    spectrum = model(**star, **options)
    drawing = Windows(spectrum.spectral_axis, spectrum.meta, regions, unit, figure)
    drawing.plot(0, spectrum.flux.value, color=OBSERVED, lw=0.9)
    drawing.level(1)
    for (name, change), colour in zip(changes.items(), colors(len(changes)), strict=True):
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
