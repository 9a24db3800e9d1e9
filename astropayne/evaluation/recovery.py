# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Recovery of labels from noisy synthetic spectra."""

import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, hstack, vstack

from astropayne.fitting.fit import fit_spectra
from astropayne.labels.names import Label
from astropayne.spectra.broaden import broaden_spectrum
from astropayne.utils.statistics import finite_median, median_and_scatter

__all__ = ["recover_labels", "summarise_recovery", "true_labels"]


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
    >>> from astropayne.evaluation.evaluate import held_out
    >>> from astropayne.evaluation.recovery import recover_labels, summarise_recovery
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
    >>> from astropayne.evaluation.recovery import true_labels
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
    >>> from astropayne.evaluation.recovery import summarise_recovery
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
                *median_and_scatter(difference), finite_median(error), *median_and_scatter(pulls),
                "none" if part < 0.1 else "partly" if part < 0.9 else "yes",
            ))  # fmt: skip
    names = "snr label unit n measured bias scatter error pull_bias pull_scatter information"
    return QTable(rows=rows, names=names.split())
