# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The demonstration: from a grid to measured stars, on the data that ships with the package."""

from collections.abc import Callable, Iterator
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import QTable, hstack
from specutils import Spectrum

from astropayne.fitting.fit import fit_spectra, fit_spectrum
from astropayne.grids.grid import SpectralGrid
from astropayne.models.model import PayneModel
from astropayne.plotting.recovery import plot_recovery
from astropayne.plotting.spectra import plot_fit, plot_spectrum
from astropayne.spectra.broaden import broaden_spectrum
from astropayne.spectra.noise import with_noise
from astropayne.utils.torch_state import one_thread

__all__ = ["run_demo"]

_RESOLUTION = 18000
_KMS = u.km / u.s
_SUN = {"teff": 5777 * u.K, "logg": 4.44, "feh": 0.0, "vmic": 1 * _KMS}


def run_demo(
    folder: str | Path,
    *,
    n_stars: int = 12,
    snr: float = 100,
    max_epochs: int = 1200,
    seed: int = 42,
    progress: bool | None = None,
    log: Callable[[str], object] | None = None,
) -> QTable:
    """Train a model on the sample grid, and measure stars with it.

    Parameters
    ----------
    folder : path-like
        Folder of the results: ``model.asdf``, ``stars.ecsv`` (true and fitted labels), and the
        pictures ``sun.png``, ``fit.png`` and ``recovery.png``.
    n_stars : int
        Number of stars to measure, made from spectra that were not used for training.
    snr : float
        Signal-to-noise ratio per pixel.
    max_epochs : int
        Length of the training.
    seed : int
        Seed of all random numbers: the same seed gives the same results.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    log : callable, optional
        Function that takes each line of the report, such as `print`.

    Returns
    -------
    `~astropy.table.QTable`
        The content of ``stars.ecsv``.

    Raises
    ------
    KeyboardInterrupt
        If the training is interrupted.
    """
    log = log or (lambda line: None)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    grid = SpectralGrid.sample().transform_labels("A_Li")
    train, held_out = grid.split(train_fraction=0.8, seed=seed)
    log(f"grid      {grid}")
    model = _trained(train, max_epochs, seed, progress)
    log(f"network   {model}")
    log(_accuracy(model, held_out))
    model.write(folder / "model.asdf", overwrite=True)
    _draw_sun(model, folder / "sun.png")

    rng = np.random.default_rng(seed)
    stars, truth = _observe(held_out[:n_stars], snr, rng)
    fitted = fit_spectra(stars, model, resolution=_RESOLUTION, progress=progress)
    shown = _most_solar(truth)
    _save(plot_fit(fit_spectrum(stars[shown], model, resolution=_RESOLUTION)), folder / "fit.png")
    _save(plot_recovery(truth, fitted), folder / "recovery.png")
    table = _side_by_side(truth, fitted)
    table.write(folder / "stars.ecsv", overwrite=True)
    for line in _summary(truth, fitted, shown):
        log(line)
    return table


def _trained(train: SpectralGrid, max_epochs: int, seed: int, progress: bool | None) -> PayneModel:
    """Return a model that is trained on a grid."""
    model = PayneModel()
    with one_thread():
        model.train(train, max_epochs=max_epochs, seed=seed, progress=progress)
    if model.meta["training"]["stopped"] == "interrupted":
        raise KeyboardInterrupt  # it is meant for the demo, not only for the training
    return model


def _accuracy(model: PayneModel, held_out: SpectralGrid) -> str:
    """Return a line with the errors of predicted spectra."""
    residual = model.predict(held_out.labels).flux.value - held_out.flux
    return (
        f"accuracy  rms flux error {np.sqrt(np.mean(residual**2)):.4f} on {len(held_out)} spectra "
        f"that were not used for training (median {np.median(np.abs(residual)):.4f})"
    )


def _draw_sun(model: PayneModel, path: Path) -> None:
    """Draw a predicted spectrum of the Sun."""
    sun = model(**_SUN, rv=12 * _KMS, vsini=2 * _KMS, vmac=3 * _KMS, resolution=_RESOLUTION)
    title = "Predicted spectrum of the Sun at 12 km/s: vsini 2, ζ 3 km/s, R = 18000"
    _save(plot_spectrum(sun, label=title), path)


def _observe(
    grid: SpectralGrid, snr: float, rng: np.random.Generator
) -> tuple[list[Spectrum], QTable]:
    """Return spectra with velocity, rotation, instrument and noise, and the true labels."""
    truth = grid.labels.copy()
    truth["rv"] = np.round(rng.uniform(-150, 150, len(grid)), 1) * _KMS
    truth["vsini"] = np.round(rng.uniform(3, 15, len(grid)), 1) * _KMS
    stars = []
    for i in range(len(grid)):
        star = broaden_spectrum(
            grid[i], rv=truth["rv"][i], vsini=truth["vsini"][i], resolution=_RESOLUTION
        )
        stars.append(with_noise(star, snr, rng))
    return stars, truth


def _side_by_side(truth: QTable, fitted: QTable) -> QTable:
    """Return a table of names, true labels and fitted labels."""
    true = QTable({f"{name}_true": truth[name] for name in truth.colnames})
    name, *others = fitted.colnames
    return hstack([fitted[[name]], true, fitted[others]])


def _most_solar(truth: QTable) -> int:
    """Return the row nearest to the Sun, in units of the scatter of the labels."""
    distance = sum(
        ((truth[name] - _SUN[name]) / np.std(truth[name])) ** 2 for name in ("teff", "logg", "feh")
    )
    return int(np.argmin(distance))


def _summary(truth: QTable, fitted: QTable, shown: int) -> Iterator[str]:
    """Yield lines with the labels of one star, and the differences of all."""
    yield f"stars     {len(fitted)} measured; the most solar of them, and all together:"
    yield f"  {'label':8s}{'true':>10s}{'fitted':>10s}{'error':>9s}      median |fitted - true|"
    for name in truth.colnames:
        true, value, error = (
            np.asarray(getattr(column, "value", column))
            for column in (truth[name], fitted[name], fitted[f"{name}_err"])
        )
        digits = 0 if name == "teff" else 2
        unit = f" {truth[name].unit}" if truth[name].unit else ""
        yield (
            f"  {name:8s}{true[shown]:10.{digits}f}{value[shown]:10.{digits}f}"
            f"{error[shown]:9.{digits}f}"
            f"{_median_difference(value, true):16.{digits}f}{unit}"
        )


def _median_difference(value: np.ndarray, true: np.ndarray) -> float:
    finite = np.isfinite(value)
    return np.median(np.abs(value - true)[finite]) if finite.any() else np.nan


def _save(axes: np.ndarray, path: Path) -> None:
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=150)
    plt.close(figure)
