# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneModel`: a network with labels and wavelengths, used as a stellar model."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import torch
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import QTable

from astropayne.grids.grid import SpectralGrid
from astropayne.labels.space import LabelSpace
from astropayne.models.calibration import Calibration
from astropayne.models.emulator import Emulator, TrainingHistory
from astropayne.models.emulator_error import EmulatorError
from astropayne.models.files import PayneModelRead, PayneModelWrite
from astropayne.models.labels import require_finite
from astropayne.models.model_labels import ModelLabels
from astropayne.models.prediction import predict_spectra
from astropayne.models.training import (
    TrainingRequest,
    measured_on,
    report_stop,
    train_emulator,
    training_options,
)
from astropayne.networks.architecture import Architecture
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions
from astropayne.utils.suggestions import suggests_options
from astropayne.utils.torch_state import no_default_device

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["PayneModel", "require_model"]

_SIZES = ("n_labels", "n_pixels")  # what labels and pixels say of a network's architecture


@suggests_options
class PayneModel(ModelLabels):
    """An emulator of stellar spectra: labels in, spectrum out.

    `train` is the only method that changes a model; `replace` returns another one. Attributes
    cannot be set, and arrays and ``meta`` cannot be changed in place.

    Parameters
    ----------
    hidden_layers : sequence of int
        Neurons of the hidden layers, in each of the networks that ``members`` and ``parts`` make.
        For layers of several hundred neurons, ``parts=1`` is best.
    activation : {"silu", "gelu", "tanh", "leaky_relu"}
        Function behind each hidden layer.
    output : {"sigmoid", "linear"}
        Function behind the last layer: "sigmoid" keeps the flux between 0 and 1.
    components : int or None
        Size of the basis of spectra that the network combines: the principal components of the
        training spectra. With a linear output they stay so; otherwise they are trained too. `None`
        leads the last hidden layer to the pixels directly.
    members : int, optional
        Networks that are trained side by side, and whose mean is the model. By default 2 with a
        linear output and components, where they cost little, and otherwise 1.
    parts : int, optional
        Networks that each member consists of: each makes a stretch of the spectrum, and learns
        which labels matter there. By default 16 with a linear output and components, and
        otherwise 1.

    Raises
    ------
    ValueError
        If a value is not possible.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import PayneModel, SpectralGrid
    >>> model = PayneModel(hidden_layers=(32, 32), components=16)
    >>> history = model.train(SpectralGrid.sample(), max_epochs=2)
    >>> spectrum = model(teff=5777 * u.K, logg=4.44, feh=0.0, vmic=1 * u.km / u.s)
    >>> spectrum.flux.shape
    (3903,)
    """

    def __init__(
        self,
        hidden_layers: Sequence[int] = (96, 96, 96),
        activation: str = "gelu",
        output: str = "linear",
        components: int | None = 192,
        members: int | None = None,
        parts: int | None = None,
    ) -> None:
        architecture = Architecture(hidden_layers, activation, output, components, members, parts)
        self.__dict__.update(_architecture=architecture, _emulator=None)

    @classmethod
    def _of(cls, emulator: Emulator) -> PayneModel:
        sizes = emulator.network.architecture
        model = cls(**{name: value for name, value in sizes.items() if name not in _SIZES})
        model.__dict__["_emulator"] = emulator
        return model

    @classmethod
    def sample(cls) -> PayneModel:
        """Return the trained network that ships with the package.

        It is for FGK stars at R = 20000 in the windows of `SpectralGrid.sample`, with A(Li), and
        was trained on the grid that the sample is a part of. ``meta["held_out"]`` has its error on
        spectra that it was not trained on, ``meta["untrusted"]`` where the grid differs from the
        Sun. Its ``calibration`` was learned from the Sun, 18 Sco and Procyon.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> PayneModel.sample().labels.names[-1]
        'A_Li'
        """
        data = files("astropayne") / "data"
        with as_file(data / "sample_model.asdf") as path:
            model = cls.read(path, format="asdf")
        with as_file(data / "sample_untrusted.ecsv") as path:
            table = QTable.read(path, format="ascii.ecsv")
        untrusted = np.column_stack([table["lower"], table["upper"]]).value.tolist()
        with as_file(data / "sample_calibration.ecsv") as path:
            table = QTable.read(path, format="ascii.ecsv")
        meta = {**model.meta, "untrusted": untrusted}
        return model.replace(meta=meta, calibration=Calibration.from_table(table))

    @classmethod
    def from_network(
        cls,
        network: SpectralNetwork,
        labels: LabelSpace,
        wavelength: u.Quantity,
        *,
        medium: str = "air",
        resolution: float | None = None,
        solar_scale: Any = None,
        error: EmulatorError | None = None,
        training_labels: npt.ArrayLike | None = None,
        history: QTable | None = None,
        meta: Mapping | None = None,
    ) -> PayneModel:
        """Return a model of a network that is trained already.

        Parameters
        ----------
        network : `~astropayne.networks.network.SpectralNetwork`
            It is copied.
        labels, wavelength, medium, resolution, solar_scale, error, training_labels, history, meta
            The attributes of those names.

        Raises
        ------
        ValueError
            If sizes do not agree, weights are not finite, wavelengths do not increase, or medium
            or resolution are not valid.
        """
        network = copy.deepcopy(network).cpu().eval()
        parts = (solar_scale, error, training_labels, history, meta or {})
        return cls._of(Emulator(network, labels, wavelength, medium, resolution, *parts))

    def replace(
        self,
        *,
        resolution: float | None = ...,
        solar_scale: Any = ...,
        error: EmulatorError | None = ...,
        calibration: Calibration | None = ...,
        meta: Mapping = ...,
    ) -> PayneModel:
        """Return a model with the same network and other values of some attributes.

        Parameters
        ----------
        resolution, solar_scale, error, calibration, meta
            The attributes of those names; those left out stay as they are.

        Raises
        ------
        ValueError
            If the error is not of this model's pixels and labels, or the resolution not valid.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> PayneModel.sample().replace(resolution=18000).resolution
        18000
        """
        values = {"resolution": resolution, "solar_scale": solar_scale, "error": error}
        values |= {"calibration": calibration, "meta": meta}
        values = {name: value for name, value in values.items() if value is not ...}
        return self._of(replace(self._trained, **values))

    # --- training

    def train(
        self,
        grid: SpectralGrid | list[SpectralGrid],
        validation: SpectralGrid | list[SpectralGrid] | None = None,
        *,
        train_fraction: float = 0.9,
        start: PayneModel | None = None,
        device: str | None = None,
        checkpoint: str | os.PathLike | None = None,
        resume: str | os.PathLike | bool | None = None,
        author: str | None = None,
        license: str | None = None,
        citation: str | None = None,
        progress: bool | None = None,
        options: TrainingOptions | None = None,
        **changes: Any,
    ) -> TrainingHistory:
        """Train on a grid, again if it is trained already.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid` or list of it
            Spectra to train on; several grids are put together. One that was opened from a file
            stays on disk if it does not fit into ``memory``.
        validation : `~astropayne.SpectralGrid` or list of it, optional
            Spectra to choose the best network by, and to measure its error on; by default those
            that ``train_fraction`` leaves.
        train_fraction : float
            Fraction of ``grid`` to train on if there is no ``validation``, drawn at random by the
            seed.
        start : PayneModel, optional
            Trained model to start from, with its architecture. The grid may have more labels,
            other label ranges and other wavelengths; fewer spectra are enough then.
        device : str, optional
            ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; by default the
            configuration's.
        checkpoint : path-like, optional
            File to keep the last and the best network in during training.
        resume : path-like or bool, optional
            Checkpoint to go on from, with the same grids and options; the result is that of
            training without the interruption. `True` goes on from ``checkpoint`` if that exists,
            and starts from the beginning otherwise, so that a script can be run again.
        author, license, citation : str, optional
            Texts for ``meta``.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        options : `~astropayne.networks.options.TrainingOptions`, optional
            How the network is trained.
        **changes
            Fields of `~astropayne.networks.options.TrainingOptions`, in place of those in
            ``options``: ``max_epochs=100``, ``max_time=10 * u.min``, ``seed=1``.

        Returns
        -------
        TrainingHistory
            A table: step, time, learning rate, rms error on training and validation spectra.

        Raises
        ------
        ValueError
            If the grids do not agree; if flux, metadata or options cannot be used; or if the
            device cannot.
        TypeError
            If ``grid`` is not a grid.
        FileNotFoundError
            If there is no folder for the checkpoint, or no checkpoint to go on from.
        FloatingPointError
            If the loss does not stay finite. The model is the best network until then, if there
            was one.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If training is interrupted by Ctrl-C (the model is the best network so far), a
            checkpoint cannot be written, or the flux is not about one.
        """
        options = training_options(options, changes)
        if start is not None:
            require_model(start, "start")
            start = start._emulator
        request = TrainingRequest(
            *(self._architecture, options, train_fraction, start, device, checkpoint, resume),
            *(author, license, citation, progress),
        )
        with (
            no_default_device(),
            torch.inference_mode(False),
        ):  # independent of the caller's settings
            emulator, run = train_emulator(request, grid, validation)
        self.__dict__.update(self._of(emulator).__dict__)
        report_stop(run)
        return self.history

    def measure_error(self, grid: SpectralGrid) -> PayneModel:
        """Return a model with the emulator error measured on spectra.

        Training measures it on the validation spectra. These chose the network, so that spectra
        that had no part in the training are a better test.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid`
            With the model's labels and wavelengths.

        Returns
        -------
        PayneModel
            The same network with the new ``error``; ``meta["n_error"]`` is the number of spectra.

        Raises
        ------
        ValueError
            If its wavelengths, medium, resolution or solar scale are not the model's, labels are
            missing, or it has no spectrum.
        TypeError
            If ``grid`` is not a grid.
        """
        return self._of(measured_on(self._trained, grid))

    # --- prediction

    def __call__(
        self,
        *,
        rv: float | u.Quantity = 0.0,
        vsini: float | u.Quantity = 0.0,
        vmac: float | u.Quantity = 0.0,
        resolution: Any = None,
        wavelength: u.Quantity | None = None,
        **labels: Any,
    ) -> Spectrum:
        """Predict one spectrum.

        Parameters
        ----------
        rv, vsini, vmac : float or `~astropy.units.Quantity`
            Radial velocity, projected rotation and radial–tangential macroturbulence ζ, in km/s.
        resolution : float, array_like or callable, optional
            λ/FWHM of the instrument; the model's own by default. Where it varies, a value for each
            pixel, or a function of the wavelengths.
        wavelength : `~astropy.units.Quantity`, optional
            Where to compute the flux, in the model's medium; on the model's pixels by default.
        **labels
            A value for each label, in any spelling (``**{"[Mg/Fe]": 0.3}``) and convention, as in
            `label_array`. Abundances that are left out are solar-scaled.

        Returns
        -------
        `~specutils.Spectrum`
            Its flux is NaN, and masked, where broadening or velocity reach beyond the model's
            windows.

        Raises
        ------
        ValueError
            If a label is unknown or missing, two labels are equivalent, or the resolution is
            higher than the model's.
        astropy.units.UnitConversionError
            If a unit is wrong.

        Warns
        -----
        astropayne.labels.space.LabelRangeWarning
            If a label is outside the range of the training spectra.
        """
        values = require_finite(self.label_array(labels), self.labels.names)
        if len(values) != 1:
            raise ValueError(
                f"one spectrum needs one value for each label, got {len(values)}: use "
                "predict(table)"
            )
        self.labels.warn_outside(values)
        velocities = (rv, vsini, vmac)
        return predict_spectra(self._emulator, values, velocities, resolution, wavelength, one=True)

    def predict(
        self,
        labels: Any,
        *,
        rv: npt.ArrayLike | u.Quantity = 0.0,
        vsini: npt.ArrayLike | u.Quantity = 0.0,
        vmac: npt.ArrayLike | u.Quantity = 0.0,
        resolution: Any = None,
        wavelength: u.Quantity | None = None,
    ) -> Spectrum:
        """Predict many spectra.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            A row for each spectrum, as in `label_array`.
        rv, vsini, vmac, resolution, wavelength
            As in calling the model; the velocities may be arrays, a value for each spectrum.

        Returns
        -------
        `~specutils.Spectrum`
            With flux of shape (n_spectra, n_pixels).
        """
        values = require_finite(self.label_array(labels), self.labels.names)
        self.labels.warn_outside(values)
        return predict_spectra(self._emulator, values, (rv, vsini, vmac), resolution, wavelength)

    # --- files

    read = UnifiedReadWriteMethod(PayneModelRead)
    write = UnifiedReadWriteMethod(PayneModelWrite)


def require_model(model: Any, what: str = "model") -> None:
    """Check that a value is a trained `PayneModel`, rather than the name of its file.

    Parameters
    ----------
    model : object
    what : str
        Name of the argument, for the error.

    Raises
    ------
    TypeError
        If it is not a model.
    RuntimeError
        If it is not trained.
    """
    if not isinstance(model, PayneModel):
        shown = repr(model) if isinstance(model, str | Path) else f"a {type(model).__name__}"
        raise TypeError(
            f"{what} must be a PayneModel, got {shown}: PayneModel.read(file) reads one"
        )
    model.require_trained()
