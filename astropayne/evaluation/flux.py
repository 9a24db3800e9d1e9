# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flux errors of a model on the spectra of a grid."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import QTable, hstack, vstack

from astropayne.grids.grid import SpectralGrid
from astropayne.labels.space import LabelRangeWarning
from astropayne.models.model import PayneModel
from astropayne.utils.progress import progress_bar

__all__ = ["compare_flux", "flux_errors"]

_PERCENTILES = {
    "minus_2sigma": 2.275,
    "minus_sigma": 15.866,
    "median": 50.0,
    "plus_sigma": 84.134,
    "plus_2sigma": 97.725,
}
_MOST_RESIDUALS = 1 << 25  # numbers kept in memory for the percentiles


def flux_errors(
    model: PayneModel, grid: SpectralGrid, *, progress: bool | None = None
) -> tuple[QTable, QTable]:
    """Compare predicted flux with synthetic flux.

    Errors are predicted minus synthetic flux.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        Spectra with labels in any convention that can be converted to the model's, at any
        wavelengths. Grids on disk are read in blocks.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.

    Returns
    -------
    pixels : `~astropy.table.QTable`
        One row per pixel: ``wavelength``, ``rms``, ``bias`` (the mean error), ``median``, and the
        percentiles that correspond to 1 and 2σ of a Gaussian, ``minus_2sigma`` to
        ``plus_2sigma``. For large grids the percentiles are those of a subset of
        ``meta["n_percentiles"]`` of the ``meta["n_spectra"]`` spectra.
    spectra : `~astropy.table.QTable`
        One row per spectrum: ``name``, the model's labels, ``rms``, ``bias``, ``worst`` (the
        largest absolute error) and ``worst_wavelength``.

    Raises
    ------
    ValueError
        If the grid lacks labels, has no wavelength in common with the model, has a higher
        resolution, or uses another solar scale.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import flux_errors, held_out
    >>> model = PayneModel.sample()
    >>> pixels, spectra = flux_errors(model, held_out(model, SpectralGrid.sample()))
    >>> print(f"{spectra['rms'].max():.3f}")
    0.008
    """
    return compare_flux(model, grid, model.grid_labels(grid), progress)


def compare_flux(
    model: PayneModel, grid: SpectralGrid, labels: np.ndarray, progress: bool | None
) -> tuple[QTable, QTable]:
    """Return the flux errors of spectra whose labels are in the model's order; see `flux_errors`.

    ``labels`` has the shape (n_spectra, n_labels).
    """
    model.labels.warn_outside(labels)
    options = _prediction_options(model, grid)
    statistics = _ErrorStatistics(grid)
    bar, first = progress_bar(len(grid), "predicting", progress), 0
    with bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelRangeWarning)  # warned above, once for all blocks
        for block in grid.blocks():
            rows = slice(first, first + len(block))
            statistics.add(_residual(model, labels[rows], block, options))
            first = rows.stop
            bar.update(len(block))
    names = QTable({"name": np.array(grid.names, dtype=str)})
    spectra = hstack([names, model.labels.to_table(labels), statistics.of_spectra()])
    return statistics.of_pixels(), spectra


def _residual(
    model: PayneModel, labels: np.ndarray, grid: SpectralGrid, options: Mapping[str, Any]
) -> np.ndarray:
    """Return predicted minus synthetic flux, (n_spectra, n_pixels), NaN if undefined."""
    return model.predict(labels, **options).flux.value - np.asarray(grid.flux, float)


def _prediction_options(model: PayneModel, grid: SpectralGrid) -> dict[str, Any]:
    """Return the options of `PayneModel.predict` for a grid's pixels and resolution."""
    resolution = grid.meta["resolution"]
    if resolution and model.resolution and resolution > model.resolution:
        raise ValueError(
            f"the grid has the resolution {resolution:g}, which is higher than the model's, "
            f"{model.resolution:g}; compare the model with grid.degrade({model.resolution:g})"
        )
    options: dict[str, Any] = {"resolution": resolution if resolution != model.resolution else None}
    pixels = grid.convert_medium(model.medium).wavelength
    if pixels.shape != model.wavelength.shape or not np.allclose(
        pixels.value, model.wavelength.value, rtol=1e-8, atol=0
    ):
        options["wavelength"] = pixels
    return options


class _ErrorStatistics:
    """Statistics of the flux errors of a grid, block by block of its spectra."""

    def __init__(self, grid: SpectralGrid) -> None:
        n_spectra, n_pixels = grid.flux.shape
        self.wavelength, self.medium = grid.wavelength, grid.meta["medium"]
        self.sum, self.sum_of_squares, self.count = np.zeros((3, n_pixels))
        self.step = max(1, -(-n_spectra * n_pixels // _MOST_RESIDUALS))
        self.subset: list[np.ndarray] = []
        self.spectra: list[QTable] = []
        self.n_spectra = 0

    def add(self, residual: np.ndarray) -> None:
        """Add a block of residuals, (n, n_pixels)."""
        finite = np.isfinite(residual)
        filled = np.where(finite, residual, 0)
        self.sum += filled.sum(0)
        self.sum_of_squares += (filled**2).sum(0)
        self.count += finite.sum(0)
        self.subset.append(residual[(-self.n_spectra) % self.step :: self.step].astype(np.float32))
        self.spectra.append(self._of_block(filled, finite.sum(1)))
        self.n_spectra += len(residual)

    def _of_block(self, residual: np.ndarray, count: np.ndarray) -> QTable:
        """Return rms, mean and largest error of each spectrum, NaN if it has no residuals."""
        count = np.where(count, count, np.nan)
        worst = np.argmax(np.abs(residual), axis=1)
        return QTable({
            "rms": np.sqrt((residual**2).sum(1) / count),
            "bias": residual.sum(1) / count,
            "worst": np.abs(residual).max(1),
            "worst_wavelength": self.wavelength[worst],
        })  # fmt: skip

    def of_spectra(self) -> QTable:
        """Return the errors of each spectrum."""
        return vstack(self.spectra)

    def of_pixels(self) -> QTable:
        """Return the errors of the pixels that have any."""
        used = self.count > 0
        if not used.any():
            raise ValueError(
                f"the grid ({self.wavelength[0]:.0f} to {self.wavelength[-1]:.0f}) has no "
                "wavelength in common with the model"
            )
        subset = np.concatenate(self.subset)[:, used]
        percentiles = np.nanpercentile(subset, [*_PERCENTILES.values()], axis=0)
        count = self.count[used]
        pixels = QTable({
            "wavelength": self.wavelength[used],
            "rms": np.sqrt(self.sum_of_squares[used] / count),
            "bias": self.sum[used] / count,
            **dict(zip(_PERCENTILES, percentiles, strict=True)),
        })  # fmt: skip
        pixels.meta = {
            "n_spectra": self.n_spectra,
            "n_percentiles": len(subset),
            "medium": self.medium,
        }
        return pixels
