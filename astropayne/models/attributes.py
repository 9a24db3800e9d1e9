# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The read-only attributes of a model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

import astropy.units as u
import numpy as np
import numpy.typing as npt
import torch

from astropayne.labels.space import LabelSpace
from astropayne.models.calibration import Calibration
from astropayne.models.emulator import Emulator, TrainingHistory
from astropayne.models.emulator_error import EmulatorError
from astropayne.models.prediction import warn_if_taken_for_sharp
from astropayne.networks.architecture import Architecture
from astropayne.networks.network import SpectralNetwork
from astropayne.wavelengths.axis import find_windows

if TYPE_CHECKING:
    from specutils import SpectralRegion

    from astropayne.forward.model import ForwardModel

__all__ = ["ModelAttributes"]


class ModelAttributes:
    """Base of `~astropayne.PayneModel` with its parts and attributes.

    Attributes cannot be set, and arrays and ``meta`` cannot be changed in place. Before training,
    attributes are `None`; annotations are those of trained models.
    """

    _architecture: Architecture
    _emulator: Emulator | None

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        raise AttributeError(
            f"a PayneModel cannot be changed, so {name!r} cannot be set: model.replace("
            "resolution=..., solar_scale=..., error=..., meta=...) returns another model"
        )

    __delattr__ = __setattr__

    def __repr__(self) -> str:
        choices = self._architecture
        shape = " x ".join(map(str, choices.hidden_layers)) or "labels"
        if choices.components:
            shape += f" into {choices.components} components"
        side_by_side = [n for n in (choices.members, choices.parts) if n > 1]
        if side_by_side:
            shape = f"{' x '.join(map(str, side_by_side))} x ({shape})"
        if self._emulator is None:
            return f"<PayneModel: {shape}, not trained>"
        wavelength = self.wavelength.value
        windows = ", ".join(
            f"{wavelength[w.start]:.0f}-{wavelength[w.stop - 1]:.0f}"
            for w in find_windows(wavelength)
        )
        return (
            f"<PayneModel: {shape}; {', '.join(self.labels.names)}; "
            f"{windows} Angstrom ({self.medium}), {len(wavelength)} pixels, "
            f"R = {'unknown' if self.resolution is None else f'{self.resolution:g}'}>"
        )

    def require_trained(self) -> None:
        """Raise `RuntimeError` if the model is not trained."""
        if self._emulator is None:
            raise RuntimeError(
                "this PayneModel is not trained yet: call its train(grid), or PayneModel.read(file)"
            )

    @property
    def _trained(self) -> Emulator:
        self.require_trained()
        return cast(Emulator, self._emulator)

    @property
    def network(self) -> SpectralNetwork | None:
        """A copy of the network; `from_network` makes a model of a changed one."""
        return None if self._emulator is None else copy.deepcopy(self._emulator.network)

    @property
    def labels(self) -> LabelSpace:
        """Names, units and ranges of the labels."""
        return getattr(self._emulator, "labels", None)

    @property
    def wavelength(self) -> u.Quantity:
        """Wavelengths of the pixels, Å, in ``medium``."""
        return getattr(self._emulator, "wavelength", None)

    @property
    def vacuum_wavelength(self) -> np.ndarray:
        """Wavelengths of the pixels in vacuum, Å."""
        return self._trained.vacuum_wavelength

    @property
    def medium(self) -> str:
        """Medium of the wavelengths: "air" or "vacuum"."""
        return getattr(self._emulator, "medium", None)

    @property
    def resolution(self) -> float | None:
        """λ/FWHM of the training spectra; `None` if it is not known."""
        return getattr(self._emulator, "resolution", None)

    @property
    def solar_scale(self) -> str | dict | None:
        """Solar abundances of the training grid: a name, or `SolarScale.entry`; or `None`."""
        return copy.deepcopy(getattr(self._emulator, "solar_scale", None))

    @property
    def error(self) -> EmulatorError | None:
        """The emulator error, measured on the validation spectra; `None` if it is not known."""
        return getattr(self._emulator, "error", None)

    @property
    def calibration(self) -> Calibration | None:
        """Corrections of lines for real stars; `None` for a model without calibration."""
        return getattr(self._emulator, "calibration", None)

    @property
    def training_labels(self) -> np.ndarray | None:
        """Labels of all training spectra in single precision: shape (n, n_labels)."""
        return getattr(self._emulator, "training_labels", None)

    @property
    def history(self) -> TrainingHistory | None:
        """A copy of the table that `train` returned."""
        history = getattr(self._emulator, "history", None)
        return None if history is None else history.copy()

    @property
    def meta(self) -> Mapping:
        """Provenance and notes: a dict that cannot be changed in place."""
        return {} if self._emulator is None else self._emulator.meta

    @property
    def constant_labels(self) -> Mapping[str, float]:
        """Labels that had one value in all training spectra, with that value."""
        return {} if self._emulator is None else self._emulator.constant_labels

    @property
    def untrusted(self) -> SpectralRegion | None:
        """Regions where the model differs from real stars; `None` without any.

        The regions surround lines that are missing in the line list of the grid, or have wrong
        strengths there. They are in the rest frame and in ``medium``, and are read from
        ``meta["untrusted"]``, pairs of wavelengths in Å. Fits with
        ``exclude_at_rest=model.untrusted`` exclude them.
        """
        from specutils import SpectralRegion

        pairs = self.meta.get("untrusted")
        return SpectralRegion([(low * u.AA, high * u.AA) for low, high in pairs]) if pairs else None

    def forward_model(
        self,
        *,
        limb_darkening: float = 0.6,
        macroturbulence: str = "joint",
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        calibrated: bool = False,
    ) -> ForwardModel:
        """Return the `~astropayne.forward.model.ForwardModel` of this model, made once.

        Parameters
        ----------
        limb_darkening : float
            Linear limb-darkening coefficient ε of the rotating disc.
        macroturbulence : {"joint", "product", "fwhm"}
            Meaning of vmac, as for `~astropayne.forward.broadener.Broadener`.
        dtype : torch.dtype
        device : str or torch.device
        """
        emulator = self._trained.corrected if calibrated else self._trained
        return emulator.forward_model(limb_darkening, macroturbulence, dtype, device)

    def warn_if_taken_for_sharp(self, resolution: Any) -> None:
        """Warn if spectra of unknown resolution are to be broadened to ``resolution``."""
        warn_if_taken_for_sharp(self.resolution, resolution)

    def error_at(self, wavelength: npt.ArrayLike) -> np.ndarray:
        """Return the error at vacuum wavelengths (Å) in the rest frame; zero if it is not known."""
        return np.zeros(np.shape(wavelength)) if self.error is None else self.error.at(wavelength)

    def error_scale_at(self, values: np.ndarray) -> np.ndarray:
        """Return the size of errors at labels, relative to the rms of all; one if it is not known.

        Parameters
        ----------
        values : numpy.ndarray, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        if self.error is None:
            return np.ones(len(values))
        return self.error.scale_at(self.labels.scale(values), self._trained.network)

    def error_shift_at(self, values: np.ndarray) -> np.ndarray:
        """Return the covariance of label changes that are equivalent to emulator errors.

        Labels from a fit have these errors in addition to those from noise.

        Parameters
        ----------
        values : numpy.ndarray, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels, n_labels)
            Zero if it is not known.
        """
        if self.error is None:
            return np.zeros((len(values), len(self.labels), len(self.labels)))
        x = self.labels.scale(values)
        return self.error.shift_at(x, self._trained.network, self.labels.width)
