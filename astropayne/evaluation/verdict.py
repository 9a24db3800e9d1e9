# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Limits, and whether a model keeps them."""

import numbers

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.labels.names import Label
from astropayne.utils.statistics import finite_median

__all__ = ["THRESHOLDS", "judge", "limits_of"]

#: Limits that a good model keeps. Of the flux: what the noise of S/N 200 is, for all pixels, and
#: twice that for one spectrum in twenty; of labels, the scatter of fits without noise.
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


def limits_of(labels, thresholds=None):
    """Return all limits by name: ``THRESHOLDS``, and what is given instead.

    Parameters
    ----------
    labels : sequence of str
        Labels that may have limits of their own.
    thresholds : mapping of str to float, optional

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a threshold is not known, or no limit.

    Examples
    --------
    >>> from astropayne.evaluation.verdict import limits_of
    >>> limits_of(["Mg_Fe"], {"scatter_Mg_Fe": 0.02})["scatter_Mg_Fe"]
    0.02
    """
    limits = {**THRESHOLDS, **(thresholds or {})}
    known = {*THRESHOLDS, *(f"scatter_{name}" for name in labels)}
    if unknown := sorted(limits.keys() - known):
        raise ValueError(f"thresholds: {', '.join(unknown)}: not of {', '.join(sorted(known))}")
    for name, limit in limits.items():
        if not (isinstance(limit, numbers.Real) and limit >= 0):
            raise ValueError(f"thresholds: {name} is {limit!r}; it has to be a number, not below 0")
    return limits


def judge(pixels, spectra, summary, thresholds=None):
    """Compare what was found with limits.

    Parameters
    ----------
    pixels, spectra : `~astropy.table.QTable`
        Of `flux_errors`.
    summary : `~astropy.table.QTable`
        Of `summarise_recovery`.
    thresholds : mapping of str to float, optional
        Limits to use instead of those in ``THRESHOLDS``, by the same names; ``scatter_Mg_Fe`` is
        that of one abundance.

    Returns
    -------
    `~astropy.table.QTable`
        A row a criterion: ``name``, ``text``, ``value``, ``limit``, ``passed``;
        ``meta["no_information"]`` names labels that are not judged, and ``meta["measured_once"]``
        those that cannot be, as one spectrum has no scatter.

    Raises
    ------
    ValueError
        If a threshold is not known, or no limit.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation.flux_errors import flux_errors
    >>> from astropayne.evaluation.evaluate import held_out
    >>> from astropayne.evaluation.verdict import judge
    >>> from astropayne.evaluation.recovery import recover_labels
    >>> from astropayne.evaluation.recovery import summarise_recovery
    >>> model = PayneModel.sample()
    >>> grid = held_out(model, SpectralGrid.sample())
    >>> summary = summarise_recovery(recover_labels(model, grid, n_stars=5))
    >>> print(*judge(*flux_errors(model, grid), summary)["name", "limit"][0])
    rms 0.005
    """
    limits = limits_of(summary["label"], thresholds)
    rows = [
        ("rms", "rms flux error, all pixels", np.sqrt(np.mean(spectra["rms"] ** 2))),
        ("rms_95", "rms flux error that 95 % of spectra keep", np.percentile(spectra["rms"], 95)),
        ("bias", "mean flux error", np.abs(np.mean(pixels["bias"]))),
        ("worst_pixel", "rms flux error, worst pixel", np.max(pixels["rms"])),
    ]
    rows = [(name, text, float(value), limits[name]) for name, text, value in rows]
    known = summary["information"] != "none"
    once = known & ~np.isfinite(summary["scatter"])
    for row in summary[~np.isfinite(summary["snr"]) & known & ~once]:
        name = f"scatter_{row['label']}"
        limit = limits.get(name, limits["scatter_abundance"])
        unit = f", in {u.Unit(row['unit']):unicode}" if row["unit"] else ""
        text = f"scatter of {Label(row['label']).text} without noise{unit}"
        rows.append((name, text, float(row["scatter"]), limit))
    noisy = summary[np.isfinite(summary["snr"]) & known & ~once]
    for snr in np.unique(noisy["snr"]):
        width = finite_median(np.asarray(noisy["pull_scatter"][noisy["snr"] == snr]))
        text = f"true over stated errors at S/N {snr:g}, median of the labels"
        rows.append(("pulls", text, float(width), limits["pulls"]))
    verdict = QTable(rows=rows, names=("name", "text", "value", "limit"))
    for name, rows in (("no_information", summary[~known]), ("measured_once", summary[once])):
        verdict.meta[name] = [
            f"{row['label']} at S/N {row['snr']:g}".replace("at S/N inf", "without noise")
            for row in rows
        ]
    verdict["passed"] = verdict["value"] <= verdict["limit"]  # what is not a number has not
    return verdict
