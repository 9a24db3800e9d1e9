# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Emulator`: all parts of a trained model as one immutable value."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable

from astropayne.forward.model import ForwardModel
from astropayne.labels.space import LabelSpace
from astropayne.models.calibration import Calibration
from astropayne.models.coverage import TrainingCoverage
from astropayne.models.emulator_error import EmulatorError
from astropayne.models.meta import FrozenMeta
from astropayne.networks.network import SpectralNetwork
from astropayne.wavelengths.axis import require_axis
from astropayne.wavelengths.media import to_vacuum

__all__ = ["Emulator", "TrainingHistory"]


class TrainingHistory(QTable):
    """A table of a training: step, time, learning rate, rms error on training and validation."""

    def plot(self, **options: Any) -> Any:
        """Draw the errors, as `~astropayne.plotting.emulator.plot_history`."""
        from astropayne.plotting.emulator import plot_history

        return plot_history(self, **options)


@dataclass(frozen=True, eq=False)
class Emulator:
    """A trained network with its labels, pixels and errors.

    Arrays are copied, and neither they nor the metadata can be changed in place, so that values
    computed from them can be cached. `dataclasses.replace` makes another emulator with the same
    network.

    Parameters
    ----------
    network, labels, wavelength, medium, resolution, solar_scale, error, training_labels, history
        The attributes of `~astropayne.PayneModel` of those names.
    meta : dict
        Metadata.
    calibration : Calibration, optional
        Corrections for real stars.

    Raises
    ------
    ValueError
        If sizes do not agree, weights are not finite, wavelengths do not increase, or medium or
        resolution are not valid.
    """

    network: SpectralNetwork
    labels: LabelSpace
    wavelength: u.Quantity
    medium: str = "air"
    resolution: float | None = None
    solar_scale: Any = None
    error: EmulatorError | None = None
    training_labels: np.ndarray | None = None
    history: TrainingHistory | None = None
    meta: dict = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        architecture = self.network.architecture
        n_labels, n_pixels = architecture["n_labels"], architecture["n_pixels"]
        if (n_labels, n_pixels) != (len(self.labels), len(self.wavelength)):
            raise ValueError(
                f"the network leads from {n_labels} labels to {n_pixels} pixels, but there are "
                f"{len(self.labels)} labels and {len(self.wavelength)} wavelengths"
            )
        history = None if self.history is None else TrainingHistory(self.history)
        frozen = {
            # Unpickled values are made again, because numpy's pickles can be changed.
            "labels": LabelSpace(self.labels.names, self.labels.minimum, self.labels.maximum),
            "solar_scale": copy.deepcopy(self.solar_scale),
            "wavelength": _read_only(u.Quantity(self.wavelength, u.AA, dtype=float)),
            "training_labels": _read_only(self.training_labels),
            "history": history,
            "meta": FrozenMeta(self.meta),
        }
        for name, value in frozen.items():
            object.__setattr__(self, name, value)
        require_axis(self.wavelength.value, self.medium, self.resolution)
        self._require_sizes(n_labels)
        for name, value in self.network.state_dict().items():
            if not torch.isfinite(value).all():
                raise ValueError(f"the weights {name} of the network are not finite everywhere")

    def _require_sizes(self, n_labels: int) -> None:
        if self.calibration is not None:
            self.calibration.require_sizes(n_labels, len(self.wavelength))
        if self.training_labels is not None and self.training_labels.shape[-1] != n_labels:
            raise ValueError(
                f"training_labels has shape {self.training_labels.shape}; the last size must be "
                f"{n_labels}"
            )
        if self.error is None:
            return
        if not isinstance(self.error, EmulatorError):
            raise TypeError(
                f"error must be an EmulatorError or None, got a {type(self.error).__name__}"
            )
        self.error.require_labels(n_labels)
        if not np.array_equal(self.error.wavelength, self.vacuum_wavelength):
            raise ValueError("the wavelengths of the emulator error are not those of the pixels")

    def __reduce__(self) -> tuple:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def vacuum_wavelength(self) -> np.ndarray:
        """Wavelengths of the pixels in vacuum, Å; a new array."""
        return np.array(to_vacuum(self.wavelength.value, self.medium))

    @property
    def constant_labels(self) -> Mapping[str, float]:
        """Labels that had one value in all training spectra, with that value."""
        grid = self.meta.get("grid")
        return grid.get("constant_labels", {}) if isinstance(grid, Mapping) else {}

    @functools.cached_property
    def coverage(self) -> TrainingCoverage:
        """Coverage of labels by the training spectra.

        Raises
        ------
        ValueError
            If the labels of the training spectra are not known.
        """
        if self.training_labels is None:
            raise ValueError("this model does not know the labels of its training spectra")
        return TrainingCoverage(self.labels.scale(self.training_labels))

    @functools.cached_property
    def corrected(self) -> Any:
        """The emulator of real stars, `None` without a calibration."""
        if self.calibration is None:
            return None
        network = self.calibration.applied_to(self.network)
        return replace(self, network=network, calibration=None)

    @functools.cached_property
    def _forward_models(self) -> dict:
        return {}

    def forward_model(
        self,
        limb_darkening: float = 0.6,
        macroturbulence: str = "joint",
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> ForwardModel:
        """Return the forward model, as `astropayne.PayneModel.forward_model`."""
        key = (limb_darkening, macroturbulence, dtype, str(device))
        if key not in self._forward_models:
            self._forward_models[key] = ForwardModel(
                self.network,
                self.labels.minimum,
                self.labels.width,
                self.vacuum_wavelength,
                self.resolution,
                limb_darkening=limb_darkening,
                macroturbulence=macroturbulence,
                dtype=dtype,
                device=device,
            )
        return self._forward_models[key]


def _read_only(array: np.ndarray | None) -> np.ndarray | None:
    """Return a read-only copy of an array, or the array itself if it is read-only."""
    if array is None or (isinstance(array, np.ndarray) and _is_read_only(array)):
        return array
    array = np.array(array, subok=True)
    array.flags.writeable = False
    return array


def _is_read_only(array: np.ndarray) -> bool:
    """Return whether an array and the one it is a view of are both read-only."""
    return not array.flags.writeable and (array.base is None or not array.base.flags.writeable)
