# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What a model is worth: errors of its flux, and of the labels that fits with it find."""

import numbers
import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, hstack, vstack
from scipy.spatial import cKDTree
from tqdm.auto import tqdm

from astropayne.fitting import fit_spectra
from astropayne.labels import Label, LabelRangeWarning
from astropayne.model import require_model
from astropayne.observation import broaden_spectrum
from astropayne.wavelengths import to_vacuum

__all__ = [
    "THRESHOLDS",
    "Evaluation",
    "evaluate",
    "flux_errors",
    "held_out",
    "judge",
    "limits_of",
    "median_and_scatter",
    "recover_labels",
    "summarise_recovery",
    "true_labels",
]

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
_PERCENTILES = {
    "minus_2sigma": 2.275,
    "minus_sigma": 15.866,
    "median": 50.0,
    "plus_sigma": 84.134,
    "plus_2sigma": 97.725,
}
_RESIDUALS = 1 << 25  # numbers that percentiles are taken of, at most
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
    >>> from astropayne.evaluation import evaluate, held_out
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
    >>> from astropayne.evaluation import held_out
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
            "not seen, or ask for all of them (held_out_only=False, --all)"
        )
    return grid if len(unseen) == len(grid) else grid[unseen]


def flux_errors(model, grid, *, progress=None):
    """Compare predicted with synthetic flux, predicted minus true.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        In any convention of labels that leads to the model's; with the model's wavelengths, or
        others. It may be on disk, a block is in memory at a time.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.

    Returns
    -------
    pixels : `~astropy.table.QTable`
        A row a pixel: ``wavelength``, ``rms``, ``bias`` (mean), ``median``, and percentiles that
        are 1 and 2σ of a Gaussian, ``minus_2sigma`` … ``plus_2sigma``. Percentiles of very many
        spectra are those of a part, ``meta["n_percentiles"]`` of ``meta["n_spectra"]``.
    spectra : `~astropy.table.QTable`
        A row a spectrum: ``name``, the model's labels, ``rms``, ``bias``, ``worst`` (largest
        absolute error) and the ``worst_wavelength``.

    Raises
    ------
    ValueError
        If the grid lacks labels, has no wavelength in common with the model, a higher resolution,
        or another solar scale.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors, held_out
    >>> model = PayneModel.sample()
    >>> pixels, spectra = flux_errors(model, held_out(model, SpectralGrid.sample()))
    >>> print(f"{spectra['rms'].max():.3f}")
    0.008
    """
    values = model.grid_labels(grid)
    model.labels.warn_outside(values)
    n, n_pixels = grid.flux.shape
    options = _axis(model, grid)
    # Sums of flux errors, their squares, and how many there are, a pixel each.
    total, squares, count = np.zeros((3, n_pixels))
    step = max(1, -(-n * n_pixels // _RESIDUALS))
    kept, rows, first = [], [], 0
    bar = tqdm(total=n, desc="predicting", disable=None if progress is None else not progress)
    with bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelRangeWarning)  # it was said above
        for part in grid.blocks():
            some = values[first : first + len(part)]
            residual = model.predict(some, **options).flux.value - np.asarray(part.flux, float)
            good = np.isfinite(residual)
            filled = np.where(good, residual, 0)
            total += filled.sum(0)
            squares += (filled**2).sum(0)
            count += good.sum(0)
            kept.append(residual[(-first) % step :: step].astype(np.float32))
            rows.append(_of_spectra(filled, good.sum(1), grid.wavelength))
            first += len(part)
            bar.update(len(part))
    if not count.any():
        raise ValueError(
            f"the grid ({grid.wavelength[0]:.0f} to {grid.wavelength[-1]:.0f}) has no wavelength "
            "in common with the model"
        )
    used = count > 0
    kept = np.concatenate(kept)[:, used]
    pixels = QTable({
        "wavelength": grid.wavelength[used],
        "rms": np.sqrt(squares[used] / count[used]),
        "bias": total[used] / count[used],
        **dict(zip(_PERCENTILES, np.nanpercentile(kept, [*_PERCENTILES.values()], axis=0),
                   strict=True)),
    })  # fmt: skip
    pixels.meta = {"n_spectra": n, "n_percentiles": len(kept), "medium": grid.meta["medium"]}
    spectra = hstack([
        QTable({"name": np.array(grid.names, dtype=str)}),
        model.labels.to_table(values),
        vstack(rows),
    ])  # fmt: skip
    return pixels, spectra


def _axis(model, grid):
    """Return what predict needs to give flux at a grid's pixels and resolution."""
    own, resolution = model.vacuum_wavelength, grid.meta["resolution"]
    theirs = to_vacuum(grid.wavelength.value, grid.meta["medium"])
    if resolution and model.resolution and resolution > model.resolution:
        raise ValueError(
            f"the grid has R = {resolution:g}, and the model {model.resolution:g}: compare it with "
            f"grid.degrade({model.resolution:g})"
        )
    lower = resolution if resolution != model.resolution else None
    if len(own) == len(theirs) and np.allclose(own, theirs, rtol=1e-8, atol=0):
        return {"resolution": lower}
    return {"wavelength": grid.convert_medium(model.medium).wavelength, "resolution": lower}


def _of_spectra(residual, count, wavelength):
    count = np.where(count, count, np.nan)
    worst = np.argmax(np.abs(residual), axis=1)
    return QTable({
        "rms": np.sqrt((residual**2).sum(1) / count),
        "bias": residual.sum(1) / count,
        "worst": np.abs(residual).max(1),
        "worst_wavelength": wavelength[worst],
    })  # fmt: skip


def recover_labels(
    model,
    grid,
    *,
    snr=(np.inf,),
    n_stars=300,
    vsini=None,
    resolution=None,
    seed=42,
    progress=None,
    **options,
):
    """Fit synthetic spectra, to see which labels come back.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        Spectra that the model has not seen, with their labels.
    snr : float or sequence of float
        Signal-to-noise ratio a pixel; infinite for no noise.
    n_stars : int
        How many spectra, at most, drawn at random by the seed.
    vsini : float or `~astropy.units.Quantity`, optional
        Rotate the spectra, in km/s, and fit it; by default they are as they are, and the fit
        knows that they do not rotate.
    resolution : float, optional
        Degrade them to this λ/FWHM.
    seed : int
        Of the choice and of the noise.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    **options
        Of `~astropayne.fit_spectra`.

    Returns
    -------
    `~astropy.table.QTable`
        As of `~astropayne.fit_spectra`, a row for each spectrum and S/N, with ``snr`` and the true
        labels in ``teff_true``…

    Raises
    ------
    ValueError
        If a signal-to-noise ratio is not positive, or the grid lacks labels.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import held_out, recover_labels, summarise_recovery
    >>> model = PayneModel.sample()
    >>> grid = held_out(model, SpectralGrid.sample())
    >>> table = recover_labels(model, grid, snr=100, n_stars=5)
    >>> summarise_recovery(table)["label", "information"][:3].pformat(show_dtype=False)[2:]
    [' teff         yes', ' logg         yes', '  feh         yes']
    """
    if n_stars < len(grid):
        grid = grid.subsample(n_stars, seed=seed)
    truth = model.labels.to_table(model.grid_labels(grid))
    truth.rename_columns(truth.colnames, [f"{name}_true" for name in truth.colnames])
    if vsini is None:
        options["fixed"] = {"vsini": 0.0, **(options.get("fixed") or {})}
    tables, ratios = [], np.atleast_1d(np.asarray(snr, dtype=float))
    if not (len(ratios) and (ratios > 0).all()):
        raise ValueError(f"snr={snr} has to be positive; infinite is no noise")
    for ratio in ratios:
        stars = _stars(grid, ratio, vsini, resolution, np.random.default_rng(seed))
        found = fit_spectra(stars, model, progress=progress, **options)
        tables.append(hstack([QTable({"snr": np.full(len(grid), ratio)}), truth, found]))
    return vstack(tables, metadata_conflicts="silent")


def _stars(grid, snr, vsini, resolution, rng):
    for i in range(len(grid)):
        star = grid[i]
        if vsini is not None or resolution is not None:
            star = broaden_spectrum(star, vsini=vsini or 0.0, resolution=resolution)
        yield with_noise(star, snr, rng) if np.isfinite(snr) else star


def with_noise(spectrum, snr, rng):
    """Return a spectrum with Gaussian noise of a signal-to-noise ratio where the flux is one."""
    from specutils import Spectrum

    noise = rng.normal(0, 1 / snr, len(spectrum.flux))
    return Spectrum(
        spectral_axis=spectrum.spectral_axis, flux=spectrum.flux + noise * spectrum.flux.unit,
        uncertainty=StdDevUncertainty(np.full(len(noise), 1 / snr)), mask=spectrum.mask,
        meta=spectrum.meta,
    )  # fmt: skip


def true_labels(recovery):
    """Return the true labels of a table of `recover_labels`, under their own names.

    Parameters
    ----------
    recovery : `~astropy.table.QTable`

    Returns
    -------
    `~astropy.table.QTable`

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.evaluation import true_labels
    >>> true_labels(QTable({"feh": [0.1], "feh_true": [0.0]})).colnames
    ['feh']
    """
    ends = "_true"
    return QTable({
        name.removesuffix(ends): recovery[name] for name in recovery.colnames if name.endswith(ends)
    })  # fmt: skip


def summarise_recovery(recovery):
    """Say how well labels come back.

    Parameters
    ----------
    recovery : `~astropy.table.QTable`
        Of `recover_labels`.

    Returns
    -------
    `~astropy.table.QTable`
        A row for each S/N and label, values in the label's ``unit``: median (``bias``) and robust
        scatter (1.4826 median absolute deviations) of fitted minus true; ``error``, the median
        that the fits state; the same of the pulls, which are differences over stated errors: 0 and
        1 if these are right; ``measured``, the part of the spectra that have a value; and
        ``information``, "yes", "partly" (less than 90 % measured) or "none" (less than 10 %):
        labels that spectra say little of are not measured.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.evaluation import summarise_recovery
    >>> table = QTable({"snr": [100.0] * 3, "feh_true": [0.0] * 3, "feh": [0.1, 0.2, 0.3],
    ...                 "feh_err": [0.1] * 3})
    >>> print(summarise_recovery(table)["bias"][0])
    0.2
    """
    rows = []
    for snr in np.unique(recovery["snr"])[::-1]:
        some = recovery[recovery["snr"] == snr]
        for name, true in true_labels(some).items():
            label = Label(name)
            found, error = label.to_value(some[name]), label.to_value(some[f"{name}_err"])
            difference = found - label.to_value(true)
            part = np.isfinite(found).mean()
            with np.errstate(invalid="ignore", divide="ignore"):
                pulls = difference / error
            rows.append((
                snr, name, str(label.column_unit or ""), len(some), part,
                *median_and_scatter(difference), _median(error), *median_and_scatter(pulls),
                "none" if part < 0.1 else "partly" if part < 0.9 else "yes",
            ))  # fmt: skip
    names = "snr label unit n measured bias scatter error pull_bias pull_scatter information"
    return QTable(rows=rows, names=names.split())


def _median(values):
    values = values[np.isfinite(values)]
    return np.median(values) if len(values) else np.nan


def median_and_scatter(values):
    """Return the median of what is finite, and 1.4826 median absolute deviations from it.

    Parameters
    ----------
    values : array_like

    Returns
    -------
    float, float
        NaN if nothing is finite, and the scatter of a single value, which has none.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.evaluation import median_and_scatter
    >>> print(*median_and_scatter(np.array([1.0, 2, 3, np.nan])))
    2.0 1.4826
    """
    middle = _median(values)
    if np.isfinite(values).sum() < 2:
        return middle, np.nan
    return middle, 1.4826 * _median(np.abs(values - middle))


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
    >>> from astropayne.evaluation import limits_of
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
    >>> from astropayne.evaluation import flux_errors, held_out, judge, recover_labels
    >>> from astropayne.evaluation import summarise_recovery
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
        width = _median(np.asarray(noisy["pull_scatter"][noisy["snr"] == snr]))
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
