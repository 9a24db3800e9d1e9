# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Recovery of labels from synthetic spectra with noise."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable, hstack, vstack

from astropayne.fitting.fit import fit_spectra
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.grids.grid import SpectralGrid
from astropayne.labels.names import Label
from astropayne.models.model import PayneModel
from astropayne.spectra.broaden import broaden_spectrum
from astropayne.spectra.noise import with_noise
from astropayne.utils.statistics import finite_median, median_and_scatter

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = [
    "RecoveryOptions",
    "recover",
    "recover_labels",
    "summarize_recovery",
    "true_labels",
]

_TRUE = "_true"  # suffix of the columns of true labels
# Spectra of a grid are what the model was made of: normalized, without errors of their lines.
_EXACT = FitOptions(continuum=None, inadequacy=None, exclude_at_rest=None, resolution_error=0)


@dataclass(frozen=True)
class RecoveryOptions:
    """Options of `recover_labels`, checked.

    Parameters
    ----------
    snr : float or sequence of float
        Signal-to-noise ratios per pixel; infinite for no noise.
    n_stars : int
        Maximum number of spectra.
    vsini : float or `~astropy.units.Quantity`, optional
        Rotational velocity given to the spectra, in km/s.
    resolution : float, optional
        Resolution to which the spectra are degraded.
    seed : int
        Seed of the choice of spectra and of the noise.
    fit : `~astropayne.fitting.FitOptions`
        Options of the fits.

    Raises
    ------
    ValueError
        If a signal-to-noise ratio is not positive.
    """

    snr: npt.ArrayLike = (np.inf,)
    n_stars: int = 300
    vsini: float | u.Quantity | None = None
    resolution: float | None = None
    seed: int = 42
    fit: FitOptions = field(default_factory=lambda: _EXACT)

    def __post_init__(self) -> None:
        ratios = np.atleast_1d(np.asarray(self.snr, dtype=float))
        if not (len(ratios) and (ratios > 0).all()):
            raise ValueError(f"snr={self.snr} must be positive; use infinity for no noise")
        object.__setattr__(self, "snr", tuple(ratios.tolist()))
        if self.vsini is None:
            fixed = {"vsini": 0.0, **(self.fit.fixed or {})}
            object.__setattr__(self, "fit", replace(self.fit, fixed=fixed))

    @classmethod
    def from_call(cls, function: Callable, keywords: Mapping[str, Any]) -> "RecoveryOptions":
        """Return options from the keywords of a public function; the others go to the fit."""
        own = {one.name for one in fields(cls)} - {"fit"}
        fit = {name: value for name, value in keywords.items() if name not in own}
        return cls(
            **{name: value for name, value in keywords.items() if name in own},
            fit=FitOptions.from_call(function, _EXACT, fit, also=own),
        )

    @classmethod
    def with_noiseless(
        cls, function: Callable, snr: npt.ArrayLike, keywords: Mapping[str, Any]
    ) -> "RecoveryOptions":
        """Return options for spectra without noise and those of ratios, from high to low."""
        ratios = {np.inf, *np.atleast_1d(np.asarray(snr, dtype=float)).tolist()}
        return cls.from_call(function, {**keywords, "snr": sorted(ratios, reverse=True)})


@takes_fit_options
def recover_labels(
    model: PayneModel,
    grid: SpectralGrid,
    *,
    snr: npt.ArrayLike = (np.inf,),
    n_stars: int = 300,
    vsini: float | u.Quantity | None = None,
    resolution: float | None = None,
    seed: int = 42,
    progress: bool | None = None,
    options: FitOptions | None = None,
    **keywords: Any,
) -> QTable:
    """Fit synthetic spectra whose labels are known.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    grid : `~astropayne.SpectralGrid`
        Spectra that the model was not trained on, with their labels.
    snr : float or sequence of float
        Signal-to-noise ratios per pixel; infinite for no noise.
    n_stars : int
        Maximum number of spectra. If the grid has more, they are drawn at random.
    vsini : float or `~astropy.units.Quantity`, optional
        Rotational velocity, in km/s, with which the spectra are broadened before the fit. By
        default they are not broadened, and the fit keeps ``vsini`` at zero.
    resolution : float, optional
        Resolution λ/FWHM to which the spectra are degraded.
    seed : int
        Seed of the choice of spectra and of the noise.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    options : `~astropayne.fitting.FitOptions`, optional
        Options of the fits to start from; the keywords change them.
    **keywords
        Options of the fits, as in `~astropayne.fit_spectrum`.

    Returns
    -------
    `~astropy.table.QTable`
        The table of `~astropayne.fit_spectra`, one row for each spectrum and S/N, with the columns
        ``snr`` and the true labels, ``teff_true`` and so on.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If a signal-to-noise ratio is not positive, or the grid lacks labels.

    Examples
    --------
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.evaluation import held_out, recover_labels, summarize_recovery
    >>> model = PayneModel.sample()
    >>> grid = held_out(model, SpectralGrid.sample())
    >>> table = recover_labels(model, grid, snr=100, n_stars=5)
    >>> summarize_recovery(table)["label", "information"][:3].pformat(show_dtype=False)[2:]
    [' teff         yes', ' logg         yes', '  feh         yes']
    """
    fit = FitOptions.from_call(recover_labels, options or _EXACT, keywords)
    checked = RecoveryOptions(snr, n_stars, vsini, resolution, seed, fit)
    return recover(model, grid, model.grid_labels(grid), checked, progress)


def recover(
    model: PayneModel,
    grid: SpectralGrid,
    labels: np.ndarray,
    options: RecoveryOptions,
    progress: bool | None,
) -> QTable:
    """Fit spectra whose labels (n_spectra, n_labels) are in the model's order."""
    if options.n_stars < len(grid):
        # the same choice as SpectralGrid.subsample
        order = np.random.default_rng(options.seed).permutation(len(grid))
        rows = np.sort(order[: options.n_stars])
        grid, labels = grid[rows], labels[rows]
    truth = model.labels.to_table(labels)
    truth.rename_columns(truth.colnames, [f"{name}{_TRUE}" for name in truth.colnames])
    tables = []
    for snr in np.atleast_1d(options.snr).tolist():
        fits = fit_spectra(
            _stars(grid, snr, options), model, progress=progress, options=options.fit
        )
        tables.append(hstack([QTable({"snr": np.full(len(grid), snr)}), truth, fits]))
    return vstack(tables, metadata_conflicts="silent")


def _stars(grid: SpectralGrid, snr: float, options: RecoveryOptions) -> "Iterator[Spectrum]":
    """Yield the spectra of a grid, broadened and with noise."""
    rng = np.random.default_rng(options.seed)
    for i in range(len(grid)):
        yield with_noise(_broadened(grid[i], options), snr, rng)


def _broadened(spectrum: "Spectrum", options: RecoveryOptions) -> "Spectrum":
    if options.vsini is None and options.resolution is None:
        return spectrum
    vsini = 0.0 if options.vsini is None else options.vsini
    return broaden_spectrum(spectrum, vsini=vsini, resolution=options.resolution)


def true_labels(recovery: QTable) -> QTable:
    """Return the true labels of a table of `recover_labels`.

    Parameters
    ----------
    recovery : `~astropy.table.QTable`

    Returns
    -------
    `~astropy.table.QTable`
        One column per label, without the suffix ``_true``.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.evaluation import true_labels
    >>> true_labels(QTable({"feh": [0.1], "feh_true": [0.0]})).colnames
    ['feh']
    """
    names = [name for name in recovery.colnames if name.endswith(_TRUE)]
    return QTable({name.removesuffix(_TRUE): recovery[name] for name in names})


def summarize_recovery(recovery: QTable) -> QTable:
    """Return the bias and the scatter with which labels are recovered.

    Parameters
    ----------
    recovery : `~astropy.table.QTable`
        Fitted and true labels, as returned by `recover_labels`.

    Returns
    -------
    `~astropy.table.QTable`
        One row for each S/N and label, in the label's ``unit``: ``n``, the number of spectra;
        ``measured``, the fraction with a measured value; ``bias`` and ``scatter``, the median and
        the robust standard deviation (`~astropy.stats.mad_std`) of fitted minus true values;
        ``error``, the median stated error; ``pull_bias`` and ``pull_scatter``, the same of the
        pulls (differences divided by stated errors), 0 and 1 if the errors are correct; and
        ``information``: "yes", "partly" (less than 90 % measured) or "none" (less than 10 %).

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.evaluation import summarize_recovery
    >>> table = QTable({"snr": [100.0] * 3, "feh_true": [0.0] * 3, "feh": [0.1, 0.2, 0.3],
    ...                 "feh_err": [0.1] * 3})
    >>> print(summarize_recovery(table)["bias"][0])
    0.2
    """
    rows = []
    for snr in np.unique(recovery["snr"])[::-1]:
        at_snr = recovery[recovery["snr"] == snr]
        for name, true in true_labels(at_snr).items():
            label = Label(name)
            values = (label.to_value(v) for v in (true, at_snr[name], at_snr[f"{name}_err"]))
            unit = str(label.column_unit or "")
            rows.append((snr, name, unit, len(at_snr), *_statistics(*values)))
    names = "snr label unit n measured bias scatter error pull_bias pull_scatter information"
    return QTable(rows=rows, names=names.split())


def _statistics(true: np.ndarray, fitted: np.ndarray, error: np.ndarray) -> tuple:
    """Return the columns of a summary from ``measured`` on."""
    difference = fitted - true
    with np.errstate(invalid="ignore", divide="ignore"):
        pulls = difference / error
    measured = np.isfinite(fitted).mean()
    information = "none" if measured < 0.1 else "partly" if measured < 0.9 else "yes"
    spread = (*median_and_scatter(difference), finite_median(error), *median_and_scatter(pulls))
    return measured, *spread, information
