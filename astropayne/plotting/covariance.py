# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of covariances."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse

from astropayne.plotting.axes import ERROR, MODEL, label_text, number_text

__all__ = ["plot_covariance"]


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
    >>> from astropayne.plotting.covariance import plot_covariance
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
            ax.plot(x, np.exp(-0.5 * ((x - centre[j]) / sigma[j]) ** 2), color=MODEL, lw=1.2)
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
        ax.add_patch(Ellipse((x, y), width, height, angle=angle, color=ERROR, alpha=alpha, lw=0))
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
        ax.set_xlabel(label_text(names[j], result.labels[names[j]].unit), fontsize="small")
    if j == 0 and i > 0:
        ax.set_ylabel(label_text(names[i], result.labels[names[i]].unit), fontsize="small")
