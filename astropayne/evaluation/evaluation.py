# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Evaluation of a model: flux errors, recovery of labels and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable
from scipy.spatial import cKDTree

from astropayne.evaluation.flux import compare_flux
from astropayne.evaluation.recovery import RecoveryOptions, recover, summarize_recovery
from astropayne.evaluation.verdict import judge, limits_of
from astropayne.grids.grid import SpectralGrid
from astropayne.models.model import PayneModel, require_model

__all__ = ["Evaluation", "evaluate", "held_out"]

_SAME_LABELS = 1e-5  # largest distance, in units of the labels' ranges, of identical labels


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of an evaluation.

    Attributes
    ----------
    pixels, spectra : `~astropy.table.QTable`
        Flux errors of each pixel and of each spectrum, as returned by `flux_errors`.
    recovery : `~astropy.table.QTable`
        Fitted and true labels, as returned by `recover_labels`.
    summary : `~astropy.table.QTable`
        Bias and scatter of each label, as returned by `summarize_recovery`.
    verdict : `~astropy.table.QTable`
        Comparison with the limits, as returned by `judge`.
    """

    pixels: QTable
    spectra: QTable
    recovery: QTable
    summary: QTable
    verdict: QTable


def evaluate(
    model: PayneModel,
    grid: SpectralGrid,
    *,
    snr: npt.ArrayLike = 100.0,
    thresholds: Mapping[str, float] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a model on the spectra of a grid.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        Spectra that the model was not trained on, as returned by `held_out`.
    snr : float or sequence of float
        Signal-to-noise ratios at which labels are recovered, in addition to spectra without noise.
    thresholds : mapping of str to float, optional
        Limits that replace the default ones, as in `judge`.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    **options
        Options of `recover_labels`.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If the grid cannot be compared with the model, or an option is invalid.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import evaluate, held_out
    >>> model = PayneModel.sample()
    >>> result = evaluate(model, held_out(model, SpectralGrid.sample()), n_stars=10)
    >>> bool(result.verdict["passed"][0])
    True
    """
    require_model(model)
    limits = limits_of(model.labels.names, thresholds)
    recovery_options = RecoveryOptions.with_noiseless(evaluate, snr, options)
    return compare(model, grid, limits, recovery_options, progress)


def compare(
    model: PayneModel,
    grid: SpectralGrid,
    limits: Mapping[str, float],
    recovery_options: RecoveryOptions,
    progress: bool | None,
) -> Evaluation:
    """Evaluate a model with options that are checked; see `evaluate`."""
    labels = model.grid_labels(grid)
    pixels, spectra = compare_flux(model, grid, labels, progress)
    recovery = recover(model, grid, labels, recovery_options, progress)
    summary = summarize_recovery(recovery)
    return Evaluation(pixels, spectra, recovery, summary, judge(pixels, spectra, summary, limits))


def held_out(model: PayneModel, grid: SpectralGrid) -> SpectralGrid:
    """Return the spectra of a grid that a model was not trained on.

    Spectra are identified by their labels. The labels of validation spectra are not stored in a
    model, so the result may contain spectra that the best network was chosen by.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`

    Returns
    -------
    `~astropayne.SpectralGrid`
        The whole grid if the model does not contain its training labels.

    Raises
    ------
    ValueError
        If the model was trained on all spectra of the grid.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import held_out
    >>> len(held_out(PayneModel.sample(), SpectralGrid.sample()))
    61
    """
    if model.training_labels is None:
        return grid
    tree = cKDTree(model.labels.scale(model.training_labels))
    labels = model.labels.scale(model.grid_labels(grid))
    distance, _ = tree.query(labels, distance_upper_bound=_SAME_LABELS)  # infinite if farther
    unseen = np.flatnonzero(np.isinf(distance))
    if not len(unseen):
        raise ValueError(
            f"the model was trained on all {len(grid)} spectra of this grid; use spectra that it "
            "was not trained on, or compare it with its training spectra as well "
            "(held_out_only=False in write_report)"
        )
    return grid if len(unseen) == len(grid) else grid[unseen]
