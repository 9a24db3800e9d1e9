# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reports of evaluations: a page of HTML, and its data in tables."""

import base64
import datetime
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import astropy.units as u
import jinja2
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from astropayne import __version__, plotting
from astropayne.evaluation.evaluation import Evaluation, compare, held_out
from astropayne.evaluation.recovery import RecoveryOptions, true_labels
from astropayne.evaluation.verdict import limits_of
from astropayne.grids.grid import SpectralGrid
from astropayne.io.result_tables import write_table
from astropayne.models.model import PayneModel, require_model
from astropayne.plotting.text import number_text
from astropayne.spectra.files import file_names

__all__ = ["display_names", "provenance", "render_page", "write_report"]

_N_WORST = 5  # spectra listed with their errors
_DPI = 144


def render_page(
    models: Mapping[str, PayneModel],
    evaluations: Mapping[str, Evaluation],
    grid: SpectralGrid,
    options: Mapping[str, Any],
) -> str:
    """Return the page of a report as HTML.

    Parameters
    ----------
    models, evaluations : mapping of str
        The models and their evaluations, by the same names.
    grid : `~astropayne.SpectralGrid`
        The grid with which the models were compared.
    options : mapping of str to object
        Options of `write_report`, which the page lists.

    Returns
    -------
    str
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("astropayne.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _number
    shown = dict(zip(display_names(models), evaluations.values(), strict=True))
    return environment.get_template("report.html").render(
        title=f"Evaluation of {' and '.join(shown)}",
        written=f"astropayne {__version__}, {datetime.datetime.now():%Y-%m-%d %H:%M}",
        comparison=_comparison(shown) if len(shown) > 1 else None,
        models=[
            _model_section(display, evaluation, name, models[name], grid, options)
            for (display, evaluation), name in zip(shown.items(), models, strict=True)
        ],
    )


def display_names(models: Iterable[str]) -> list[str]:
    """Return the file names of models, or their whole paths if file names are not unique."""
    paths = list(models)
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths


def _model_section(
    display: str,
    evaluation: Evaluation,
    name: str,
    model: PayneModel,
    grid: SpectralGrid,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the section of the page on one model, for the template."""
    verdict, history = evaluation.verdict, model.history
    trained = history is not None and len(history)
    return {
        "name": display,
        "verdict": _rows(verdict),
        "no_information": verdict.meta["no_information"],
        "measured_once": verdict.meta["measured_once"],
        "flux": _flux_section(evaluation.pixels, evaluation.spectra),
        "recovery": list(_recovery_sections(evaluation.recovery, evaluation.summary)),
        "scatter": _picture(
            plotting.plot_scatter(evaluation.summary),
            "Robust scatter of fitted labels, and the median error stated by the fits.",
        ),
        "training": _picture(plotting.plot_history(history), "Training.") if trained else None,
        "provenance": provenance(name, model, len(evaluation.spectra), grid, options),
    }


def _comparison(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return the section of the page that compares several models."""
    pixels = {name: one.pixels for name, one in evaluations.items()}
    summaries = {name: one.summary for name, one in evaluations.items()}
    return {
        "n_spectra": len(next(iter(evaluations.values())).spectra),
        "criteria": _compared_criteria([one.verdict for one in evaluations.values()]),
        "pictures": [
            _picture(plotting.plot_pixel_comparison(pixels), "Errors of each pixel."),
            _picture(plotting.plot_scatter(summaries), "Robust scatter of fitted labels by S/N."),
        ],
    }


def _compared_criteria(verdicts: list[QTable]) -> list[dict[str, Any]]:
    """Return each criterion with the values of all models, NaN for models without it."""
    values: dict[str, np.ndarray] = {}
    criteria: dict[str, tuple[str, float]] = {}
    for i, verdict in enumerate(verdicts):
        for row in verdict:
            criteria.setdefault(row["text"], (row["name"], row["limit"]))
            values.setdefault(row["text"], np.full(len(verdicts), np.nan))[i] = row["value"]
    compared = []
    for text, (name, limit) in criteria.items():
        # Errors are best if small, pulls if they are 1.
        distance = np.abs(np.log(values[text])) if name == "pulls" else values[text]
        best = distance == np.min(np.nan_to_num(distance, nan=np.inf))
        cells = [{"value": v, "best": b} for v, b in zip(values[text], best, strict=True)]
        compared.append({"text": text, "limit": limit, "values": cells})
    return compared


def _flux_section(pixels: QTable, spectra: QTable) -> dict[str, Any]:
    n, n_percentiles = pixels.meta["n_spectra"], pixels.meta["n_percentiles"]
    caption = f"Errors of each pixel over {n} spectra."
    if n_percentiles < n:
        caption += f" Percentiles are those of {n_percentiles} of them."
    pictures = [_picture(plotting.plot_pixel_errors(pixels), caption)]
    if {"teff", "logg"} <= set(spectra.colnames):
        axes = plotting.plot_error_planes(spectra)
        pictures.append(_picture(axes, "One point per spectrum, the worst on top."))
    axes = plotting.plot_error_trends(spectra)
    pictures.append(_picture(axes, "The same errors against each label, with running medians."))
    labels = [name for name in ("teff", "logg", "feh") if name in spectra.colnames]
    names = ["name", *labels, "rms", "worst"]
    worst = spectra[np.argsort(spectra["rms"])[::-1][:_N_WORST]]
    return {
        "pictures": pictures,
        "columns": [*names, "worst at / Å"],
        "worst": [
            [*(_cell(row[name]) for name in names), f"{row['worst_wavelength'].value:.2f}"]
            for row in worst
        ],
    }


def _recovery_sections(recovery: QTable, summary: QTable) -> Iterator[dict[str, Any]]:
    """Yield the sections on the recovery of labels at each S/N, from high to low."""
    for snr in np.unique(recovery["snr"])[::-1]:
        rows = _rows(summary[summary["snr"] == snr])
        for row in rows:
            row["unit"] = f"{u.Unit(row['unit']):unicode}"
        yield {
            "title": f"S/N {snr:g}" if np.isfinite(snr) else "Without noise",
            "pictures": list(_recovery_pictures(recovery[recovery["snr"] == snr], snr)),
            "rows": rows,
        }


def _recovery_pictures(recovery: QTable, snr: float) -> Iterator["_Picture"]:
    truth = true_labels(recovery)
    color = "feh" if "feh" in truth.colnames else None
    axes = plotting.plot_recovery(truth, recovery, truth.colnames, color=color)
    yield _picture(axes, "Fitted against true labels.")
    if color:
        axes = plotting.plot_differences(truth, recovery, truth.colnames)
        yield _picture(
            axes, "Fitted minus true labels along [Fe/H]: medians and robust scatter in bins of "
            "equal numbers.",
        )  # fmt: skip
    if np.isfinite(snr):
        axes = plotting.plot_pulls(truth, recovery, truth.colnames)
        yield _picture(
            axes, "Pulls with their median ± robust scatter. The curve is the normal distribution "
            "expected of correct errors.",
        )  # fmt: skip


def provenance(
    name: str, model: PayneModel, n_compared: int, grid: SpectralGrid, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the table of provenance: model, spectra, options, and metadata of the model."""
    source = grid.meta.get("source", "a grid")
    facts = {
        "model": name,
        "network": repr(model),
        "compared with": f"{n_compared} of the {len(grid)} spectra of {source}"
        + _training_overlap(model, options["held_out_only"]),
        **{key: value for key, value in options.items() if key != "held_out_only"},
        **model.meta,
    }
    return {key: value for key, value in facts.items() if not _is_empty(value)}


def _training_overlap(model: PayneModel, held_out_only: bool) -> str:
    """Return a clause on whether the model was trained on the spectra it is compared with."""
    if not held_out_only:
        return ", including those it was trained on"
    if model.training_labels is None:
        return "; it is unknown whether the model was trained on some of them"
    n = model.meta.get("n_validation")
    chosen_by = f"; they may include the {n} validation spectra" if n else ""
    return f", none of which it was trained on{chosen_by}"


# --- values and pictures


@dataclass(frozen=True)
class _Picture:
    """A picture for the page: PNG in base64, its width in CSS pixels and its caption."""

    data: str
    width: int
    caption: str


def _picture(axes: np.ndarray, caption: str) -> _Picture:
    """Return the picture of which these are the axes, and close it."""
    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    plt.close(figure)
    width = round(96 * figure.get_figwidth())  # its size on paper
    return _Picture(base64.b64encode(file.getvalue()).decode(), width, caption)


def _rows(table: QTable) -> list[dict[str, Any]]:
    return [dict(zip(table.colnames, row, strict=True)) for row in table]


def _is_empty(value: object) -> bool:
    # Metadata may be arrays, which have no truth value.
    return value is None or (isinstance(value, Mapping | list | tuple) and not value)


def _cell(value: Any) -> str:
    value = getattr(value, "value", value)
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else _number(value)


def _number(value: float) -> str:
    return number_text(value, ".3g") if np.isfinite(value) else "–"


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
    arguments = {"held_out_only": held_out_only, "snr": snr, "thresholds": thresholds, **options}
    page = render_page(models, evaluations, grid, arguments)
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
