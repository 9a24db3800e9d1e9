# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Training of an emulator on grids: options, checks, the run, and its provenance."""

import datetime
import hashlib
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import astropy
import astropy.units as u
import numpy as np
import torch
from astropy.utils.exceptions import AstropyUserWarning

from astropayne import __version__
from astropayne.config import conf
from astropayne.grids.checks import unusable_labels
from astropayne.grids.combine import require_alike
from astropayne.grids.grid import SpectralGrid
from astropayne.labels.columns import label_values
from astropayne.labels.conversion import forbid_same
from astropayne.labels.solar import solar_scale
from astropayne.labels.space import LabelSpace
from astropayne.models.emulator import Emulator, TrainingHistory
from astropayne.models.emulator_error import measure_emulator_error, spread_rows
from astropayne.models.labels import grid_labels
from astropayne.models.meta import plain_meta, storable_meta
from astropayne.networks.architecture import Architecture
from astropayne.networks.fine_tuning import adapt_labels, adapt_pixels
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions
from astropayne.networks.training import TrainingRun, train_network
from astropayne.utils.suggestions import require_choice
from astropayne.utils.torch_state import pick_device
from astropayne.wavelengths.axis import same_pixels
from astropayne.wavelengths.media import to_vacuum

__all__ = [
    "ABOUT_ONE",
    "TrainingRequest",
    "measured_on",
    "report_stop",
    "train_emulator",
    "training_options",
]

#: Range of medians of normalized flux, with any lines and noise.
ABOUT_ONE = (0.1, 1.5)

_FUNCTION = "PayneModel.train"
_HISTORY = ("step", "time", "learning_rate", "train_rms", "valid_rms")
_CHECKED_SPECTRA = 64  # of a grid, for its checksum and its level


def training_options(options: TrainingOptions | None, changes: Mapping) -> TrainingOptions:
    """Return the options of a training.

    Parameters
    ----------
    options : TrainingOptions or None
        `None` for the defaults.
    changes : mapping of str to value
        Fields that take the place of those in ``options``.

    Returns
    -------
    TrainingOptions

    Raises
    ------
    ValueError
        If a name is not a field, or a value is not possible.
    TypeError
        If ``options`` is something else.
    """
    if options is not None and not isinstance(options, TrainingOptions):
        raise TypeError(
            f"options of {_FUNCTION} must be a TrainingOptions, got a {type(options).__name__}"
        )
    names = [field.name for field in fields(TrainingOptions)]
    names += [field.name for field in fields(TrainingRequest) if field.name != "architecture"]
    for name in changes:
        require_choice(name, names, f"option of {_FUNCTION}")
    return replace(options or TrainingOptions(), **changes)


@dataclass(frozen=True)
class TrainingRequest:
    """Everything that a training needs except its grids.

    Parameters
    ----------
    architecture : Architecture
        The network to train, unless there is ``start``.
    options : TrainingOptions
    train_fraction : float
        Part of the grid to train on, if there are no validation spectra.
    start : Emulator, optional
        Trained emulator to start from.
    device : str, optional
    checkpoint, resume : path-like or bool, optional
        As for `~astropayne.PayneModel.train`.
    author, license, citation : str, optional
    progress : bool, optional
    """

    architecture: Architecture
    options: TrainingOptions
    train_fraction: float = 0.9
    start: Emulator | None = None
    device: str | None = None
    checkpoint: str | os.PathLike | None = None
    resume: str | os.PathLike | bool | None = None
    author: str | None = None
    license: str | None = None
    citation: str | None = None
    progress: bool | None = None

    @property
    def about(self) -> dict:
        """Author, license and citation, as far as they are given, as a file can hold them."""
        names = ("author", "license", "citation")
        texts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return storable_meta(texts, _FUNCTION)

    @property
    def files(self) -> tuple:
        """The file to write checkpoints to, and the checkpoint to go on from; either may be None.

        Raises
        ------
        ValueError
            If ``resume`` is `True` and there is no ``checkpoint``.
        """
        checkpoint, resume = self.checkpoint, self.resume
        if resume is True:
            if checkpoint is None:
                raise ValueError(
                    "resume=True needs checkpoint=, the file to go on from and to write"
                )
            return checkpoint, checkpoint if Path(checkpoint).exists() else None
        if resume is None or resume is False:
            return checkpoint, None
        return checkpoint or resume, resume


def train_emulator(
    request: TrainingRequest,
    grid: SpectralGrid | list[SpectralGrid],
    validation: SpectralGrid | list[SpectralGrid] | None,
) -> tuple[Emulator, TrainingRun]:
    """Train an emulator.

    Parameters
    ----------
    request : TrainingRequest
    grid, validation
        As for `~astropayne.PayneModel.train`.

    Returns
    -------
    emulator : Emulator
    run : `~astropayne.networks.training.TrainingRun`
    """
    options, start = request.options, request.start
    device = pick_device(request.device or conf.device)
    checkpoint, resume = request.files
    about, is_split = request.about, validation is None
    grid, validation = _training_and_validation(grid, validation, request)
    grid_meta = {key: value for key, value in grid.meta.items() if value is not None}
    grid_meta = storable_meta(grid_meta, "grid.meta")
    labels, x, x_valid = _scaled_labels(grid, validation, is_split)
    if start is None:
        network = _untrained(request.architecture, labels, grid, options.seed)
    else:
        network = _adapted(start, labels, grid, x)
    run = train_network(
        network,
        x,
        grid.flux,
        x_valid,
        validation.flux,
        options,
        device,
        request.progress,
        checkpoint=checkpoint,
        resume=resume,
        initialize_layers=start is None,
    )
    network = network.cpu().eval()
    vacuum = to_vacuum(grid.wavelength.value, grid.meta["medium"])
    error = measure_emulator_error(network, vacuum, x_valid, validation.flux)
    emulator = Emulator(
        network,
        labels,
        grid.wavelength,
        medium=grid.meta["medium"],
        resolution=grid.meta["resolution"],
        solar_scale=solar_scale(grid.meta["solar_scale"]).entry,
        error=error,
        training_labels=labels.unscale(x).astype(np.float32),
        history=TrainingHistory(rows=run.rows, names=_HISTORY, units={"time": u.s}),
        meta={
            **_made_by(),
            **about,
            "n_training": len(grid),
            "n_validation": len(validation),
            "validation_rms": float(np.sqrt(np.mean(error.rms**2))),
            "training": {**asdict(options), "stopped": run.stopped},
            "grid": grid_meta,
            "grid_checksum": _checksum(grid),
            **({} if start is None else {"started_from": plain_meta(start.meta)}),
        },
    )
    return emulator, run


def measured_on(emulator: Emulator, grid: SpectralGrid) -> Emulator:
    """Return an emulator with the error measured on a grid, as `PayneModel.measure_error`."""
    _require_grid(grid)
    _require_spectra(grid)
    if not same_pixels(grid.wavelength.value, emulator.wavelength.to_value(u.AA)):
        raise ValueError(
            "the grid's wavelengths are not the model's: the error of a model is measured on its "
            "own pixels; grid.rebin(model.wavelength) puts a grid onto them"
        )
    for key in ("medium", "resolution"):
        if grid.meta[key] != getattr(emulator, key):
            raise ValueError(
                f"the grid has {key} {grid.meta[key]!r}, and the model {getattr(emulator, key)!r}: "
                f"they must be the same; if the grid is wrong, set its meta[{key!r}]"
            )
    labels = grid_labels(emulator.labels, grid, emulator.solar_scale, emulator.constant_labels)
    error = measure_emulator_error(
        emulator.network, emulator.vacuum_wavelength, emulator.labels.scale(labels), grid.flux
    )
    return replace(emulator, error=error, meta={**emulator.meta, "n_error": len(grid)})


def report_stop(run: TrainingRun) -> None:
    """Warn of a training that was interrupted; raise if its loss did not stay finite.

    Parameters
    ----------
    run : `~astropayne.networks.training.TrainingRun`

    Raises
    ------
    FloatingPointError
        If the loss was not finite.
    """
    step, best = run.rows[-1][0], f"rms flux error {run.best:.3g} on the validation spectra"
    if run.stopped == "interrupted":
        warnings.warn(
            f"training was interrupted after step {step}; the model is the best network so far "
            f"({best})",
            AstropyUserWarning,
            stacklevel=3,  # the line that called train
        )
    if run.stopped == "not finite":
        raise FloatingPointError(
            f"the loss was not finite any more after step {step}; the model is the best network "
            f"until then ({best}). A lower learning_rate usually helps"
        )


def _training_and_validation(
    grid: Any, validation: Any, request: TrainingRequest
) -> tuple[SpectralGrid, SpectralGrid]:
    """Return the spectra to train on, and those to choose the best network by."""
    grid = _put_together(grid)
    if validation is None:
        grid, validation = grid.split(request.train_fraction, seed=request.options.seed)
    grid, validation = SpectralGrid.with_same_labels([grid, _put_together(validation)])
    require_alike(grid, validation, ("the training grid", "the validation grid"))
    for part in (grid, validation):
        _require_plain_flux(part)
    _warn_of_level(grid)
    return grid, validation


def _scaled_labels(
    grid: SpectralGrid, validation: SpectralGrid, is_split: bool
) -> tuple[LabelSpace, np.ndarray, np.ndarray]:
    """Return the labels with their ranges, and the scaled values of both grids.

    The ranges are those of the grid that is given for training, which includes the validation
    spectra if they were split from it.
    """
    for part in (grid, validation):
        _require_labels(part)
        forbid_same(part.labels.colnames)
    labels = grid.label_space
    values, valid_values = (labels.to_array(part.labels) for part in (grid, validation))
    if is_split:
        labels = labels.covering(valid_values)
    return labels, labels.scale(values), labels.scale(valid_values)


def _untrained(
    architecture: Architecture, labels: LabelSpace, grid: SpectralGrid, seed: int
) -> SpectralNetwork:
    """Return a network with random weights; torch's global generator is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return SpectralNetwork(len(labels), len(grid.wavelength), **asdict(architecture))


def _adapted(
    start: Emulator, labels: LabelSpace, grid: SpectralGrid, x: np.ndarray
) -> SpectralNetwork:
    """Return the network of an emulator, for the labels and wavelengths of another grid."""
    network = adapt_labels(start.network, start.labels, labels)
    old, new = start.vacuum_wavelength, to_vacuum(grid.wavelength.value, grid.meta["medium"])
    if np.array_equal(new, old):
        return network
    rows = spread_rows(np.arange(len(x)), 1000)
    return adapt_pixels(network, old, new, x[rows], np.asarray(grid.flux[rows], dtype=float))


def _made_by() -> dict:
    """Return the versions that made a model, and when."""
    return {
        "made_by": f"astropayne {__version__}, torch {torch.__version__}, numpy "
        f"{np.__version__}, astropy {astropy.__version__}, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _checksum(grid: SpectralGrid) -> str:
    """Return a checksum of wavelengths, labels, and the flux of spectra spread over the grid."""
    parts = [
        grid.wavelength.to_value(u.AA),
        label_values(grid.labels),
        np.asarray(_spread_flux(grid), dtype=np.float32),
    ]
    content = b"".join(
        np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes() for part in parts
    )
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _spread_flux(grid: SpectralGrid) -> np.ndarray:
    return grid.flux[spread_rows(np.arange(len(grid)), _CHECKED_SPECTRA)]


def _put_together(grid: Any) -> SpectralGrid:
    several = isinstance(grid, list | tuple)
    for one in grid if several else [grid]:
        _require_grid(one)
    grid = SpectralGrid.concatenate(list(grid)) if several else grid
    _require_spectra(grid)
    return grid


def _require_grid(grid: Any) -> None:
    if not isinstance(grid, SpectralGrid):
        raise TypeError(
            f"a grid is a SpectralGrid or a list of them, got {grid!r}, a {type(grid).__name__}: "
            "SpectralGrid.read reads files and folders"
        )


def _require_spectra(grid: SpectralGrid) -> None:
    if not len(grid):
        raise ValueError(
            f"there is no spectrum in {grid!r}: training and validation need at least one"
        )


def _require_labels(grid: SpectralGrid) -> None:
    for i, fault in unusable_labels(grid.labels).items():
        raise ValueError(
            f"spectrum {grid.names[i]!r} {fault}; take all such out, as by "
            "grid[np.isfinite(grid.labels['logg'])]"
        )


def _require_plain_flux(grid: SpectralGrid) -> None:
    unit = getattr(grid.flux, "unit", None)
    if unit is not None:
        raise ValueError(
            f"the flux of the grid is in {unit}, but a network learns plain numbers: "
            "normalize it to the continuum, or divide it by its unit"
        )


def _warn_of_level(grid: SpectralGrid) -> None:
    """Warn of flux that cannot be compared with normalized spectra."""
    level = np.nanmedian(np.abs(_spread_flux(grid)))
    if level < ABOUT_ONE[0] or level > ABOUT_ONE[1]:  # False for NaN, which raises an error later
        warnings.warn(
            f"the flux of the grid is {level:.3g} in the median, not about one: the model cannot "
            "be fitted to normalized spectra. Normalize the grid to the continuum, unless the "
            "model is for fluxes",
            AstropyUserWarning,
            stacklevel=5,  # the line that called train
        )
