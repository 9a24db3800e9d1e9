# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reports of evaluations: a page of HTML, and its data in tables."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt

from astropayne.evaluation.evaluation import Evaluation, compare, held_out
from astropayne.evaluation.page import render_page
from astropayne.evaluation.recovery import RecoveryOptions
from astropayne.evaluation.verdict import limits_of
from astropayne.grids.grid import SpectralGrid
from astropayne.io.result_tables import write_table
from astropayne.models.model import PayneModel, require_model
from astropayne.spectra.files import file_names

__all__ = ["write_report"]


def write_report(
    models: PayneModel | Mapping[str, PayneModel],
    grid: SpectralGrid,
    folder: str | PathLike,
    *,
    held_out_only: bool = True,
    snr: npt.ArrayLike = 100.0,
    thresholds: Mapping[str, float] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> dict[str, Evaluation]:
    """Evaluate one or several models, and write a page of HTML with the results.

    Parameters
    ----------
    models : `~astropayne.PayneModel` or mapping of str to `~astropayne.PayneModel`
        One model, or several by name, which are compared with the same spectra.
    grid : `~astropayne.SpectralGrid`
        Spectra with which the models are compared.
    folder : path-like
        Folder of the page ``index.html`` and of the tables with its data: ``pixels.ecsv``,
        ``spectra.ecsv``, ``recovery.ecsv``, ``summary.ecsv`` and ``verdict.ecsv``. Names of tables
        start with the name of the model if there are several: ``one-pixels.ecsv``.
    held_out_only : bool
        Whether to leave out spectra that any of the models was trained on.
    snr, thresholds, progress
        As in `evaluate`.
    **options
        Options of `recover_labels`.

    Returns
    -------
    dict of str to Evaluation
        The evaluation of each model.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If no spectrum is left to compare with, or an option is invalid.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import write_report
    >>> folder = Path(mkdtemp())
    >>> results = write_report(
    ...     {"sample": PayneModel.sample()}, SpectralGrid.sample(), folder, n_stars=2
    ... )  # doctest: +SKIP
    """
    models = models if isinstance(models, Mapping) else {"the model": models}
    for model in models.values():
        require_model(model)
    limits = [limits_of(model.labels.names, thresholds) for model in models.values()]
    recovery_options = RecoveryOptions.with_noiseless(write_report, snr, options)
    spectra = _compared_spectra(models.values(), grid) if held_out_only else grid
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = {
        name: compare(model, spectra, its_limits, recovery_options, progress)
        for (name, model), its_limits in zip(models.items(), limits, strict=True)
    }
    _write_tables(evaluations, folder)
    given = {"held_out_only": held_out_only, "snr": snr, "thresholds": thresholds, **options}
    page = render_page(models, evaluations, grid, given)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return evaluations


def _compared_spectra(models: Iterable[PayneModel], grid: SpectralGrid) -> SpectralGrid:
    """Return the spectra that none of the models was trained on."""
    for model in models:
        grid = held_out(model, grid)
    return grid


def _write_tables(evaluations: Mapping[str, Evaluation], folder: Path) -> None:
    for prefix, evaluation in zip(file_names(evaluations), evaluations.values(), strict=True):
        for field in fields(evaluation):
            name = field.name if len(evaluations) == 1 else f"{prefix}-{field.name}"
            write_table(getattr(evaluation, field.name), folder / f"{name}.ecsv", overwrite=True)
