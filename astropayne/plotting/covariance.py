# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of covariances."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patches import Ellipse

from astropayne.plotting.axes import ERROR, MODEL
from astropayne.plotting.text import label_text, number_text

__all__ = ["plot_covariance"]


_N_SIGMA = 3.5  # half of the range of each axis
_PROBABILITIES = ((0.954, 0.2), (0.683, 0.4))  # of ellipses, with their opacity


def plot_covariance(
    result: Any, names: Sequence[str] | None = None, *, figure: FigureBase | None = None
) -> np.ndarray:
    """Draw the errors of a fit and their correlations as a corner plot.

    Parameters
    ----------
    result : `~astropayne.FitResult`
    names : sequence of str, optional
        Parameters out of ``result.free``; by default all that were measured.
    figure : `~matplotlib.figure.Figure`, optional
        Figure to draw into; a new one by default.

    Returns
    -------
    numpy.ndarray of `~matplotlib.axes.Axes`, shape (n_names, n_names)
        Below the diagonal, ellipses with 68 and 95 % of the probability of a Gaussian, and the
        correlation; on the diagonal, the Gaussian of each parameter; above it, `None`.

    Raises
    ------
    ValueError
        If a parameter was not measured.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_spectrum
    >>> from astropayne.plotting import plot_covariance
    >>> model = PayneModel.sample()
    >>> result = fit_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, vsini=5), model)
    >>> plot_covariance(result, ["teff", "logg", "feh"]).shape
    (3, 3)
    """
    names = _measured(result, names)
    rows = [result.free.index(name) for name in names]
    covariance, n = result.covariance[np.ix_(rows, rows)], len(names)
    center = [result.labels[name].value for name in names]
    sigma = np.sqrt(np.diag(covariance))
    size = max(3.0, round(1.4 * n, 1))  # a whole number of pixels, also in older matplotlib
    figure = figure or plt.figure(figsize=(size, size), layout="constrained")
    axes: Any = figure.subplots(n, n, squeeze=False, sharex="col")
    for i, j in np.ndindex(n, n):
        ax = axes[i, j]
        if j > i:
            ax.remove()
            axes[i, j] = None
            continue
        x = center[j] + _N_SIGMA * sigma[j] * np.linspace(-1, 1, 101)
        if i == j:
            ax.plot(x, np.exp(-0.5 * ((x - center[j]) / sigma[j]) ** 2), color=MODEL, lw=1.2)
            ax.set_yticks([])
        else:
            _draw_ellipses(ax, center[j], center[i], covariance[np.ix_([j, i], [j, i])])
            ax.set_ylim(center[i] - _N_SIGMA * sigma[i], center[i] + _N_SIGMA * sigma[i])
        ax.set_xlim(x[0], x[-1])
        _finish_corner(ax, i, j, names, result)
    return axes


def _measured(result: Any, names: Sequence[str] | None) -> list[str]:
    """Return the names of measured parameters, all or those that were asked for."""
    variances = np.diag(result.covariance)
    measured = [n for n, v in zip(result.free, variances, strict=True) if np.isfinite(v) and v > 0]
    names = list(names or measured)
    if missing := [name for name in names if name not in measured]:
        raise ValueError(
            f"{', '.join(missing)}: not measured in this fit; the measured parameters are "
            f"{', '.join(measured)}"
        )
    return names


def _draw_ellipses(ax: Axes, x: float, y: float, covariance: np.ndarray) -> None:
    """Draw the ellipses of two parameters, and write their correlation."""
    lengths, directions = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    for probability, alpha in _PROBABILITIES:
        width, height = 2 * np.sqrt(-2 * np.log(1 - probability) * np.maximum(lengths[::-1], 0))
        ax.add_patch(Ellipse((x, y), width, height, angle=angle, color=ERROR, alpha=alpha, lw=0))
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    text = number_text(round(correlation, 2) + 0.0, ".2f")
    ax.annotate(text, (0.95, 0.95), xycoords="axes fraction",
                ha="right", va="top", fontsize="x-small")  # fmt: skip


def _finish_corner(ax: Axes, i: int, j: int, names: Sequence[str], result: Any) -> None:
    """Name and number the axes at the edge of a corner plot, in row i and column j."""
    n = len(names)
    ax.tick_params(labelsize="x-small", labelbottom=i == n - 1, labelleft=j == 0 and i > 0)
    ax.tick_params(axis="x", rotation=45)
    for axis in (ax.xaxis, ax.yaxis) if i != j else (ax.xaxis,):
        axis.set_major_locator(plt.MaxNLocator(3))
    ax.ticklabel_format(axis="x" if i == j else "both", useOffset=False)
    if i == n - 1:
        ax.set_xlabel(label_text(names[j], result.labels[names[j]].unit), fontsize="small")
    if j == 0 and i > 0:
        ax.set_ylabel(label_text(names[i], result.labels[names[i]].unit), fontsize="small")
