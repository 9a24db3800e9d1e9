# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flux errors of a model on spectra of a grid."""

import warnings

import numpy as np
from astropy.table import QTable, hstack, vstack
from tqdm.auto import tqdm

from astropayne.labels.space import LabelRangeWarning
from astropayne.wavelengths.media import to_vacuum

__all__ = ["flux_errors"]

_PERCENTILES = {
    "minus_2sigma": 2.275,
    "minus_sigma": 15.866,
    "median": 50.0,
    "plus_sigma": 84.134,
    "plus_2sigma": 97.725,
}
_RESIDUALS = 1 << 25  # numbers that percentiles are taken of, at most


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
    >>> from astropayne.evaluation.flux_errors import flux_errors
    >>> from astropayne.evaluation.evaluate import held_out
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
