# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Preparation and provenance of a model's training."""

import datetime
import hashlib
import inspect
import platform
import warnings
from dataclasses import fields
from pathlib import Path

import astropy
import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne import __version__
from astropayne.grids.checks import unusable_labels
from astropayne.grids.combine import require_alike
from astropayne.grids.grid import SpectralGrid
from astropayne.labels.columns import label_values
from astropayne.models.emulator_error import spread_rows
from astropayne.networks.options import TrainingOptions
from astropayne.utils.quantities import strip_unit
from astropayne.utils.suggestions import require_known

__all__ = [
    "ABOUT_ONE",
    "TrainingHistory",
    "checked_options",
    "checkpoint_paths",
    "grid_checksum",
    "made_by",
    "report_stop",
    "require_grid",
    "require_spectra",
    "scaled_labels",
    "training_and_validation",
]

#: Medians of normalised flux, whatever its lines and its noise.
ABOUT_ONE = (0.1, 1.5)


class TrainingHistory(QTable):
    """How a training went: step, time, learning rate, rms flux error of training and validation."""

    def plot(self, **options):
        """Draw it, as `~astropayne.plotting.emulator.plot_history`."""
        from astropayne.plotting.emulator import plot_history

        return plot_history(self, **options)


def grid_checksum(grid):
    """Return a checksum of wavelengths, labels, and the flux of 64 spectra spread over the grid."""
    parts = [
        grid.wavelength.to_value(u.AA),
        label_values(grid.labels),
        np.asarray(grid.flux[spread_rows(np.arange(len(grid)), 64)], dtype=np.float32),
    ]
    content = b"".join(
        np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes() for part in parts
    )
    return "sha256:" + hashlib.sha256(content).hexdigest()


def checkpoint_paths(checkpoint, resume):
    """Return where to write checkpoints, and which one to go on from."""
    if resume is True:
        if checkpoint is None:
            raise ValueError("resume=True needs checkpoint=, the file to go on from and to write")
        return checkpoint, checkpoint if Path(checkpoint).exists() else None
    if resume is None or resume is False:
        return checkpoint, None
    return checkpoint or resume, resume


def checked_options(train, options, max_time, memory):
    """Return the options of training, checked, without units."""
    keywords = inspect.signature(train).parameters.values()
    known = [p.name for p in keywords if p.kind is p.KEYWORD_ONLY]
    known += [field.name for field in fields(TrainingOptions)]
    for name in options:
        require_known(name, dict.fromkeys(known), "option of train")  # some are in both
    if max_time is not None:
        max_time = float(strip_unit(max_time, "max_time", u.s))
    if memory is not None:
        memory = float(strip_unit(memory, "memory", u.byte))
    return TrainingOptions(max_time=max_time, memory=memory, **options)


def training_and_validation(grid, validation, train_fraction, seed):
    """Return the spectra to train on, and those to choose the best network by."""
    grid = _put_together(grid)
    if validation is None:
        grid, validation = grid.split(train_fraction, seed=seed)
    grid, validation = SpectralGrid.with_same_labels([grid, _put_together(validation)])
    require_alike(grid, validation, ("the training grid", "the validation grid"))
    for part in (grid, validation):
        _require_plain_flux(part)
    _warn_of_level(grid)
    return grid, validation


def scaled_labels(grid, validation):
    """Return the labels, and the values of both parts on their scale."""
    for part in (grid, validation):
        _require_labels(part)
    labels = grid.label_space
    values, valid_values = (labels.to_array(part.labels) for part in (grid, validation))
    labels = labels.covering(valid_values)
    return labels, labels.scale(values), labels.scale(valid_values)


def made_by():
    """Return what made a model, and when."""
    return {
        "made_by": f"astropayne {__version__}, torch {torch.__version__}, numpy "
        f"{np.__version__}, astropy {astropy.__version__}, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _put_together(grid):
    several = isinstance(grid, list | tuple)
    for one in grid if several else [grid]:
        require_grid(one)
    grid = SpectralGrid.concatenate(list(grid)) if several else grid
    require_spectra(grid)
    return grid


def require_grid(grid):
    if not isinstance(grid, SpectralGrid):
        raise TypeError(
            f"a grid is a SpectralGrid or a list of them, got {grid!r}, a {type(grid).__name__}: "
            "SpectralGrid.read reads files and folders"
        )


def require_spectra(grid):
    if not len(grid):
        raise ValueError(f"there is no spectrum in {grid!r}: training and validation need some")


def _require_labels(grid):
    for i, fault in unusable_labels(grid.labels).items():
        raise ValueError(
            f"spectrum {grid.names[i]!r} {fault}; take all such out, as by "
            "grid[np.isfinite(grid.labels['logg'])]"
        )


def _require_plain_flux(grid):
    unit = getattr(grid.flux, "unit", None)
    if unit is not None:
        raise ValueError(
            f"the flux of the grid is in {unit}, but a network learns plain numbers: "
            "normalise it to the continuum, or divide it by its unit"
        )


def _warn_of_level(grid):
    """Warn of flux that no normalised spectrum can be compared with."""
    level = np.nanmedian(np.abs(grid.flux[spread_rows(np.arange(len(grid)), 64)]))
    if level < ABOUT_ONE[0] or level > ABOUT_ONE[1]:  # not so for NaN, which is refused later
        warnings.warn(
            f"the flux of the grid is {level:.3g} in the median, not about one: the model cannot "
            "be fitted to normalised spectra. Normalise the grid to the continuum, unless it is "
            "fluxes that the model is for",
            AstropyUserWarning,
            stacklevel=6,  # as below, and what divides the grid
        )


def report_stop(run):
    step, best = run.rows[-1][0], f"rms flux error {run.best:.3g} on the validation spectra"
    if run.stopped == "interrupted":
        warnings.warn(
            f"training was interrupted after step {step}; the model is the best network so far "
            f"({best})",
            AstropyUserWarning,
            stacklevel=5,  # train, and what it is decorated with, are between
        )
    if run.stopped == "not finite":
        raise FloatingPointError(
            f"the loss was not finite any more after step {step}; the model is the best network "
            f"until then ({best}). A lower learning_rate helps, mostly"
        )
