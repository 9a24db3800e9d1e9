# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Limits of a good model, and the comparison of an evaluation with them."""

import numbers
from collections.abc import Iterable, Iterator, Mapping

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.labels.names import Label
from astropayne.utils.statistics import finite_median
from astropayne.utils.suggestions import require_choice

__all__ = ["THRESHOLDS", "judge", "limits_of"]

#: Limits that a good model keeps. Flux: the noise at S/N 200 for all pixels together, and twice
#: that for one spectrum in twenty. Labels: the scatter of fits to spectra without noise.
THRESHOLDS = {
    "rms": 0.005,
    "rms_95": 0.01,
    "bias": 0.001,
    "worst_pixel": 0.05,
    "scatter_teff": 30.0,
    "scatter_logg": 0.05,
    "scatter_feh": 0.03,
    "scatter_vmic": 0.05,
    "scatter_abundance": 0.05,
    "pulls": 1.3,
}


def limits_of(
    labels: Iterable[str], thresholds: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return all limits: ``THRESHOLDS``, with some of them replaced.

    Parameters
    ----------
    labels : sequence of str
        Labels of the model, each of which may have a limit of its own, ``scatter_<label>``.
    thresholds : mapping of str to float, optional
        Limits that replace the default ones.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a name is unknown, or a limit is not a number that is zero or positive.

    Examples
    --------
    >>> from astropayne.evaluation.verdict import limits_of
    >>> limits_of(["Mg_Fe"], {"scatter_Mg_Fe": 0.02})["scatter_Mg_Fe"]
    0.02
    """
    valid = sorted({*THRESHOLDS, *(f"scatter_{name}" for name in labels)})
    for name, limit in (thresholds or {}).items():
        require_choice(name, valid, "thresholds:")
        if not (isinstance(limit, numbers.Real) and limit >= 0):
            raise ValueError(
                f"thresholds: {name} is {limit!r}; it must be a number that is zero or positive"
            )
    return {**THRESHOLDS, **(thresholds or {})}


def judge(
    pixels: QTable,
    spectra: QTable,
    summary: QTable,
    thresholds: Mapping[str, float] | None = None,
) -> QTable:
    """Compare flux errors and the recovery of labels with limits.

    Parameters
    ----------
    pixels, spectra : `~astropy.table.QTable`
        Flux errors, as returned by `flux_errors`.
    summary : `~astropy.table.QTable`
        Bias and scatter of labels, as returned by `summarize_recovery`.
    thresholds : mapping of str to float, optional
        Limits that replace those of the same names in ``THRESHOLDS``. A name such as
        ``scatter_Mg_Fe`` sets the limit of one abundance.

    Returns
    -------
    `~astropy.table.QTable`
        One row per criterion: ``name``, ``text``, ``value``, ``limit`` and ``passed``.
        ``meta["no_information"]`` lists labels that are not judged because the spectra contain no
        information on them, and ``meta["measured_once"]`` those measured in a single spectrum,
        for which the scatter is undefined.

    Raises
    ------
    ValueError
        If a threshold is unknown or invalid.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import (
    ...     flux_errors, held_out, judge, recover_labels, summarize_recovery)
    >>> model = PayneModel.sample()
    >>> grid = held_out(model, SpectralGrid.sample())
    >>> summary = summarize_recovery(recover_labels(model, grid, n_stars=5))
    >>> print(*judge(*flux_errors(model, grid), summary)["name", "limit"][0])
    rms 0.005
    """
    limits = limits_of(summary["label"], thresholds)
    informative = summary["information"] != "none"
    measured_once = informative & ~np.isfinite(summary["scatter"])
    judged = summary[informative & ~measured_once]
    noiseless = ~np.isfinite(judged["snr"])
    rows = [
        *_flux_criteria(pixels, spectra, limits),
        *_scatter_criteria(judged[noiseless], limits),
        *_pull_criteria(judged[~noiseless], limits),
    ]
    verdict = QTable(rows=rows, names=("name", "text", "value", "limit"))
    verdict.meta["no_information"] = _label_and_noise(summary[~informative])
    verdict.meta["measured_once"] = _label_and_noise(summary[measured_once])
    verdict["passed"] = verdict["value"] <= verdict["limit"]  # NaN fails
    return verdict


def _flux_criteria(pixels: QTable, spectra: QTable, limits: Mapping[str, float]) -> Iterator[tuple]:
    for name, text, value in (
        ("rms", "rms flux error, all pixels", np.sqrt(np.mean(spectra["rms"] ** 2))),
        ("rms_95", "rms flux error, 95th percentile of the spectra",
         np.percentile(spectra["rms"], 95)),
        ("bias", "mean flux error", np.abs(np.mean(pixels["bias"]))),
        ("worst_pixel", "rms flux error, worst pixel", np.max(pixels["rms"])),
    ):  # fmt: skip
        yield name, text, float(value), limits[name]


def _scatter_criteria(summary: QTable, limits: Mapping[str, float]) -> Iterator[tuple]:
    """Yield the criteria on the scatter of each label in spectra without noise."""
    for row in summary:
        name = f"scatter_{row['label']}"
        unit = f" ({u.Unit(row['unit']):unicode})" if row["unit"] else ""
        text = f"scatter of {Label(row['label']).text} without noise{unit}"
        yield name, text, float(row["scatter"]), limits.get(name, limits["scatter_abundance"])


def _pull_criteria(summary: QTable, limits: Mapping[str, float]) -> Iterator[tuple]:
    """Yield the criteria on the ratio of true to stated errors, one for each S/N."""
    for snr in np.unique(summary["snr"]):
        width = finite_median(np.asarray(summary["pull_scatter"][summary["snr"] == snr]))
        text = f"actual over stated errors at S/N {snr:g}, median of the labels"
        yield "pulls", text, float(width), limits["pulls"]


def _label_and_noise(summary: QTable) -> list[str]:
    return [
        f"{row['label']} at S/N {row['snr']:g}" if np.isfinite(row["snr"])
        else f"{row['label']} without noise"
        for row in summary
    ]  # fmt: skip
