# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What a model is worth: errors of its flux, and of the labels that fits with it find."""

from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from scipy.spatial import cKDTree

from astropayne.evaluation.flux_errors import flux_errors
from astropayne.evaluation.recovery import recover_labels, summarise_recovery
from astropayne.evaluation.verdict import judge, limits_of
from astropayne.models.model import require_model

__all__ = ["Evaluation", "evaluate", "held_out"]

_SAME = 1e-5  # of their range, by how much labels of the same spectrum may differ


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model is worth.

    Attributes
    ----------
    pixels, spectra : `~astropy.table.QTable`
        Of `flux_errors`.
    recovery : `~astropy.table.QTable`
        Of `recover_labels`.
    summary : `~astropy.table.QTable`
        Of `summarise_recovery`.
    verdict : `~astropy.table.QTable`
        Of `judge`.
    """

    pixels: QTable
    spectra: QTable
    recovery: QTable
    summary: QTable
    verdict: QTable


def evaluate(model, grid, *, snr=100.0, thresholds=None, progress=None, **options):
    """Compare a model with spectra in every way there is.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        Spectra that the model has not seen, as of `held_out`.
    snr : float or sequence of float
        Signal-to-noise ratios that labels are recovered at, beside no noise.
    thresholds : mapping of str to float, optional
        Of `judge`.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    **options
        Of `recover_labels`.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If there is nothing to compare with, or an option makes no sense.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation.evaluate import evaluate, held_out
    >>> model = PayneModel.sample()
    >>> found = evaluate(model, held_out(model, SpectralGrid.sample()), n_stars=10)
    >>> bool(found.verdict["passed"][0])
    True
    """
    require_model(model)
    limits_of(model.labels.names, thresholds)  # complains now, not after the work
    pixels, spectra = flux_errors(model, grid, progress=progress)
    ratios = sorted({np.inf, *np.atleast_1d(np.asarray(snr, dtype=float))}, reverse=True)
    recovery = recover_labels(model, grid, snr=ratios, progress=progress, **options)
    summary = summarise_recovery(recovery)
    verdict = judge(pixels, spectra, summary, thresholds)
    return Evaluation(pixels, spectra, recovery, summary, verdict)


def held_out(model, grid):
    """Return the spectra of a grid that a model was not trained on.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`

    Returns
    -------
    `~astropayne.SpectralGrid`
        All of it if the model does not know its training labels. What the best network was
        chosen by may be among them: labels of validation spectra are not kept.

    Raises
    ------
    ValueError
        If nothing is left.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation.evaluate import held_out
    >>> len(held_out(PayneModel.sample(), SpectralGrid.sample()))
    61
    """
    if model.training_labels is None:
        return grid
    tree = cKDTree(model.labels.scale(model.training_labels))
    labels = model.labels.scale(model.grid_labels(grid))
    distance, _ = tree.query(labels, distance_upper_bound=_SAME)  # infinite beyond
    unseen = np.flatnonzero(np.isinf(distance))
    if not len(unseen):
        raise ValueError(
            f"the model was trained on all {len(grid)} spectra of this grid: give one that it has "
            "not seen, or ask for all of them (held_out_only=False)"
        )
    return grid if len(unseen) == len(grid) else grid[unseen]
