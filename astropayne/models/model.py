# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneModel`: a network with what is needed to use it as a stellar model."""

import copy
import itertools
import warnings
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
import torch
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from scipy.spatial import cKDTree

from astropayne.config import conf
from astropayne.forward.model import ForwardModel
from astropayne.forward.sampling import a_row
from astropayne.labels.columns import named_columns
from astropayne.labels.conversion import LabelConversion, labels_in, same_label
from astropayne.labels.names import Label
from astropayne.labels.solar import solar_scale
from astropayne.models.emulator_error import measure_emulator_error, spread_rows
from astropayne.models.files import PayneModelRead, PayneModelWrite
from astropayne.models.prediction import network_flux
from astropayne.models.training import (
    TrainingHistory,
    checked_options,
    checkpoint_paths,
    grid_checksum,
    made_by,
    report_stop,
    require_grid,
    require_spectra,
    scaled_labels,
    training_and_validation,
)
from astropayne.networks.fine_tuning import adapt_labels, adapt_pixels
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.training import train_network
from astropayne.utils.torch_state import no_default_device, pick_device, without_gradients
from astropayne.wavelengths.axis import find_windows, require_axis
from astropayne.wavelengths.media import to_vacuum, vacuum_angstrom
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

__all__ = ["PayneModel", "require_model"]

_BLOCK = 1 << 18  # pixels that are predicted at a time
_PARTS, _MEMBERS = 16, 2  # of the spectrum, and of an ensemble, where they cost little
_MOST_NEIGHBOURS = 5_000  # training spectra looked at, where labels are compared with theirs


class PayneModel:
    """An emulator of stellar spectra: labels in, spectrum out.

    Parameters
    ----------
    hidden_layers : sequence of int
        Neurons of the hidden layers, in each of the networks that ``members`` and ``parts`` make.
        Layers of some hundred neurons want ``parts=1``.
    activation : {"silu", "gelu", "tanh", "leaky_relu"}
        Function behind each hidden layer.
    output : {"sigmoid", "linear"}
        Function behind the last layer: "sigmoid" keeps the flux between 0 and 1.
    components : int or None
        Size of the basis of spectra that the network combines: the principal components of the
        training spectra. With a linear output they stay so; with another one they are trained
        with the rest. `None` leads the last hidden layer to the pixels directly.
    members : int, optional
        Networks that are trained side by side, and whose mean is the model. By default 2 with a
        linear output and components, where they cost little, and otherwise 1.
    parts : int, optional
        Networks that each of these consists of: each makes a stretch of the spectrum, and learns
        which labels matter there. By default 16 with a linear output and components, and
        otherwise 1.

    Attributes
    ----------
    labels : `~astropayne.labels.space.LabelSpace`
        Names, units and ranges.
    wavelength : `~astropy.units.Quantity`
        Of the pixels, in ``medium``.
    medium : {"air", "vacuum"}
    resolution : float or None
        λ/FWHM of the spectra it was trained on.
    solar_scale : str, dict or None
        The solar abundances of the training grid: the name of a scale, or one of its own as
        `astropayne.labels.solar.SolarScale.entry` has it; `None` if they are not known.
    error : `~astropayne.models.EmulatorError` or None
        The emulator error, measured on the validation spectra; `None` if it is not known.
    training_labels : numpy.ndarray, shape (n, n_labels)
        Labels of all training spectra, in single precision.
    history : TrainingHistory
        How the training went.
    meta : dict
        Where it comes from.

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
        hidden_layers=(96, 96, 96),
        activation="gelu",
        output="linear",
        components=192,
        members=None,
        parts=None,
    ):
        cheap = output == "linear" and components is not None
        if members is None:
            members = _MEMBERS if cheap else 1
        if parts is None:
            parts = _PARTS if cheap else 1
        choices = hidden_layers, activation, output, components, members, parts
        with torch.device("meta"):  # where no weights are drawn
            network = SpectralNetwork(1, 1, *choices)  # complains now, not when training starts
        self._architecture = _choices(network)
        self.network = None
        self.labels = self.wavelength = self.medium = self.resolution = None
        self.solar_scale = self.error = self.history = None
        self.training_labels = None
        self.meta = {}
        self._forward_models, self._planes = {}, None

    @classmethod
    def sample(cls):
        """Return the trained network that ships with the package.

        For FGK stars at R = 20000 in the windows of `SpectralGrid.sample`, with A(Li); trained on
        the grid that sample is a part of. ``meta["held_out"]`` says how exact it is on spectra
        that it has not seen, and ``untrusted`` where the grid differs from the Sun.

        Returns
        -------
        PayneModel

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
        model.meta["untrusted"] = np.column_stack([table["lower"], table["upper"]]).value.tolist()
        return model

    @classmethod
    def from_network(
        cls,
        network,
        labels,
        wavelength,
        *,
        medium="air",
        resolution=None,
        solar_scale=None,
        error=None,
        training_labels=None,
        history=None,
        meta=None,
    ):
        """Make a model of a network that is trained already.

        Parameters
        ----------
        network : `~astropayne.networks.network.SpectralNetwork`
        labels : `~astropayne.labels.space.LabelSpace`
        wavelength : `~astropy.units.Quantity`
        medium, resolution, solar_scale, error, training_labels, history, meta
            The attributes of those names.

        Returns
        -------
        PayneModel

        Raises
        ------
        ValueError
            If sizes do not go together, weights are not finite, wavelengths do not increase, or
            medium or resolution are none.
        """
        n_labels, n_pixels = (network.architecture[name] for name in ("n_labels", "n_pixels"))
        if (n_labels, n_pixels) != (len(labels), len(wavelength)):
            raise ValueError(
                f"the network leads from {n_labels} labels to {n_pixels} pixels, but there are "
                f"{len(labels)} labels and {len(wavelength)} wavelengths"
            )
        model = cls(**_choices(network))
        if training_labels is not None and np.shape(training_labels)[-1] != n_labels:
            raise ValueError(
                f"training_labels has shape {np.shape(training_labels)}; the last size must be "
                f"{n_labels}"
            )
        model.training_labels = training_labels
        wavelength = u.Quantity(wavelength, u.AA, dtype=float)
        require_axis(wavelength.value, medium, resolution)
        for name, value in network.state_dict().items():
            if not torch.isfinite(value).all():
                raise ValueError(f"the weights {name} of the network are not finite everywhere")
        model.network, model.labels = network.cpu().eval(), labels
        model.wavelength, model.medium, model.resolution = wavelength, medium, resolution
        model.solar_scale = solar_scale
        if error is not None:
            error.require_labels(n_labels)
            if not np.array_equal(error.wavelength, model.vacuum_wavelength):
                raise ValueError("the wavelengths of the emulator error are not the model's pixels")
        model.error = error
        model.history = None if history is None else TrainingHistory(history)
        model.meta = dict(meta or {})
        return model

    def __repr__(self):
        shape = " x ".join(map(str, self._architecture["hidden_layers"])) or "labels"
        if self._architecture["components"]:
            shape += f" into {self._architecture['components']} components"
        side_by_side = [self._architecture[n] for n in ("members", "parts")]
        if max(side_by_side) > 1:
            shape = f"{' x '.join(str(n) for n in side_by_side if n > 1)} x ({shape})"
        if self.network is None:
            return f"<PayneModel: {shape}, not trained>"
        windows = ", ".join(
            f"{self.wavelength.value[w.start]:.0f}-{self.wavelength.value[w.stop - 1]:.0f}"
            for w in find_windows(self.wavelength.value)
        )
        return (
            f"<PayneModel: {shape}; {', '.join(self.labels.names)}; "
            f"{windows} Angstrom ({self.medium}), {len(self.wavelength)} pixels, "
            f"R = {'unknown' if self.resolution is None else f'{self.resolution:g}'}>"
        )

    def warn_if_taken_for_sharp(self, resolution):
        """Warn if spectra are to have a resolution, and it is not known which one they have.

        Parameters
        ----------
        resolution : float, array_like or None
        """
        if resolution is not None and self.resolution is None:
            warnings.warn(
                "the resolution of the model's spectra is not known, and they are taken for "
                "perfectly sharp: if they are not, lines are smoothed twice, and labels wrong. Set "
                "model.resolution to their λ/FWHM, or say it of the grid before training",
                AstropyUserWarning,
                stacklevel=2,
            )

    def require_trained(self):
        """Refuse a model without a network (RuntimeError)."""
        if self.network is None:
            raise RuntimeError(
                "this PayneModel is not trained yet: call its train(grid), or PayneModel.read(file)"
            )

    # --- training

    @no_default_device()
    @torch.inference_mode(False)  # whatever the caller works with
    def train(
        self,
        grid,
        validation=None,
        *,
        train_fraction=0.9,
        start=None,
        device=None,
        max_time=None,
        memory=None,
        checkpoint=None,
        resume=None,
        author=None,
        licence=None,
        citation=None,
        progress=None,
        **options,
    ):
        """Train on a grid.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid` or list of it
            Spectra to train on; several grids are put together. One that was opened from a file
            stays on disk if it does not fit into ``memory``.
        validation : `~astropayne.SpectralGrid` or list of it, optional
            Spectra to choose the best network by, and to take its error from; by default what
            ``train_fraction`` leaves.
        train_fraction : float
            Part of ``grid`` to train on if there is no ``validation``, drawn at random by the
            seed.
        start : PayneModel, optional
            Trained model to start from; its architecture is taken. The grid may have more
            labels, other label ranges and other wavelengths. Fewer spectra are enough then.
        device : str, optional
            ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; by default the
            configuration's.
        max_time : `~astropy.units.Quantity` or float, optional
            Time limit, in seconds if a bare number. Which step it ends at then depends on the
            machine; without it, training is reproducible.
        memory : `~astropy.units.Quantity` or float, optional
            What flux may take, in bytes if a bare number; by default half of the device's memory.
        checkpoint : path-like, optional
            File to keep the last and the best network in while training goes on.
        resume : path-like or bool, optional
            Checkpoint to go on from, with the same grids and options; the result is that of
            training without the interruption. `True` takes ``checkpoint`` if it is there and
            begins anew if it is not, so that a script can simply be run again.
        author, licence, citation : str, optional
            Go into ``meta``, and into the model's file.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        **options
            Fields of `~astropayne.networks.options.TrainingOptions`: ``batch_size``, ``learning_rate``,
            ``max_epochs``, ``t_max``, ``check_interval``, ``patience``, ``precision``, ``seed``…

        Returns
        -------
        TrainingHistory
            A table: step, time, learning rate, rms on training and validation spectra.

        Raises
        ------
        ValueError
            If the grids do not go together, flux or options cannot be used, or the device.
        TypeError
            If a grid is none.
        FileNotFoundError
            If there is no folder for the checkpoint, or none to go on from.
        FloatingPointError
            If the loss does not stay finite. The model is the best network until then, if there
            was one.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If training is interrupted by Ctrl-C (the model is the best network so far), a
            checkpoint cannot be written, or the flux is not about one.
        """
        options = checked_options(PayneModel.train, options, max_time, memory)
        device = pick_device(device or conf.device)
        checkpoint, resume = checkpoint_paths(checkpoint, resume)
        grid, validation = training_and_validation(grid, validation, train_fraction, options.seed)
        labels, x, x_valid = scaled_labels(grid, validation)
        if start is None:
            network = self._untrained(labels, grid, options.seed)
        else:
            require_model(start, "start")
            network = start._adapted_network(labels, grid, x)
        run = train_network(
            network,
            x,
            grid.flux,
            x_valid,
            validation.flux,
            options,
            device,
            progress,
            checkpoint=checkpoint,
            resume=resume,
            initialise=start is None,
        )
        self._architecture = _choices(network)
        self.network, self.labels = network.cpu().eval(), labels
        self.wavelength = grid.wavelength
        self.medium, self.resolution = grid.meta["medium"], grid.meta["resolution"]
        self.solar_scale = solar_scale(grid.meta["solar_scale"]).entry
        self.error = measure_emulator_error(
            self.network, self.vacuum_wavelength, x_valid, validation.flux
        )
        self.training_labels = labels.unscale(x).astype(np.float32)
        names = ("step", "time", "learning_rate", "train_rms", "valid_rms")
        self.history = TrainingHistory(rows=run.rows, names=names, units={"time": u.s})
        who = {"author": author, "licence": licence, "citation": citation}
        self.meta = {
            **made_by(),
            **{name: text for name, text in who.items() if text is not None},
            "n_training": len(grid),
            "n_validation": len(validation),
            "validation_rms": float(np.sqrt(np.mean(self.error.rms**2))),
            "training": {**asdict(options), "stopped": run.stopped},
            "grid": {key: value for key, value in grid.meta.items() if value is not None},
            "grid_checksum": grid_checksum(grid),
            **({} if start is None else {"started_from": dict(start.meta)}),
        }
        self._forward_models, self._planes = {}, None
        report_stop(run)
        return self.history

    def _untrained(self, labels, grid, seed):
        """Return a network with weights at random; torch's own generator stays as it is."""
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            return SpectralNetwork(len(labels), len(grid.wavelength), **self._architecture)

    def _adapted_network(self, labels, grid, x):
        """Return this model's network, for the labels and wavelengths of another grid."""
        network = adapt_labels(self.network, self.labels, labels)
        wavelength = to_vacuum(grid.wavelength.value, grid.meta["medium"])
        if np.array_equal(wavelength, self.vacuum_wavelength):
            return network
        rows = spread_rows(np.arange(len(x)), 1000)
        flux = np.asarray(grid.flux[rows], dtype=float)
        return adapt_pixels(network, self.vacuum_wavelength, wavelength, x[rows], flux)

    def measure_error(self, grid):
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
        self.require_trained()
        require_grid(grid)
        require_spectra(grid)
        if not np.array_equal(grid.wavelength, self.wavelength):
            raise ValueError("the grid's wavelengths are not the model's")
        for key in ("medium", "resolution"):
            if grid.meta[key] != getattr(self, key):
                raise ValueError(
                    f"the grid has {key} {grid.meta[key]!r}, and the model {getattr(self, key)!r}: "
                    f"they must be the same; if the grid is wrong, set its meta[{key!r}]"
                )
        x = self.labels.scale(self.grid_labels(grid))
        error = measure_emulator_error(self.network, self.vacuum_wavelength, x, grid.flux)
        return self.replace(error=error, meta={**self.meta, "n_error": len(grid)})

    def replace(self, **changes):
        """Return a model with the same network and another value of some attributes.

        Parameters
        ----------
        **changes
            ``resolution``, ``solar_scale``, ``error`` or ``meta``.

        Returns
        -------
        PayneModel

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> PayneModel.sample().replace(resolution=18000).resolution
        18000
        """
        model = copy.copy(self)
        model._forward_models = {}
        for name, value in changes.items():
            setattr(model, name, value)
        return model

    # --- prediction

    def __call__(self, *, rv=0.0, vsini=0.0, vmac=0.0, resolution=None, wavelength=None, **labels):
        """Predict one spectrum.

        Parameters
        ----------
        rv, vsini, vmac : float or `~astropy.units.Quantity`
            Radial velocity, projected rotation and radial–tangential macroturbulence ζ, in km/s.
        resolution : float, array_like or callable, optional
            λ/FWHM of the instrument; the model's own by default. Where it varies, a value a
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
            If a label is unknown or missing, two labels say the same, or the resolution is higher
            than the model's.
        astropy.units.UnitConversionError
            If a unit is wrong.

        Warns
        -----
        astropayne.labels.space.LabelRangeWarning
            If a label is outside the range of the training spectra.
        """
        values = self._finite_labels(labels)
        if len(values) != 1:
            raise ValueError(
                f"one spectrum needs one value a label, got {len(values)}: use predict(table)"
            )
        self.labels.warn_outside(values)
        wavelength, flux, meta = self._prediction(values, (rv, vsini, vmac), resolution, wavelength)
        return _spectrum(wavelength, flux[0], meta)

    def predict(self, labels, *, rv=0.0, vsini=0.0, vmac=0.0, resolution=None, wavelength=None):
        """Predict many spectra.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            A row a spectrum, as in `label_array`.
        rv, vsini, vmac, resolution, wavelength
            As in calling the model; the velocities may be arrays, a value a spectrum.

        Returns
        -------
        `~specutils.Spectrum`
            With flux of shape (n_spectra, n_pixels).
        """
        values = self._finite_labels(labels)
        self.labels.warn_outside(values)
        return _spectrum(*self._prediction(values, (rv, vsini, vmac), resolution, wavelength))

    def _prediction(self, values, velocities, resolution, wavelength):
        """Return wavelengths, flux of shape (n, n_pixels) and metadata."""
        velocities = [
            _one_each(checked_velocity(value, name), name, len(values))
            for name, value in zip(VELOCITIES, velocities, strict=True)
        ]
        own_axis = wavelength is None
        wavelength = self.wavelength if own_axis else u.Quantity(wavelength)
        if wavelength.ndim != 1 or not wavelength.size:
            raise ValueError(
                f"wavelength has shape {wavelength.shape}: it has to be one axis of pixels, such "
                "as [5200, 5201] * u.AA"
            )
        resolution = resolution_at(resolution, wavelength)
        self.warn_if_taken_for_sharp(resolution)
        meta = {
            "medium": self.medium,
            "resolution": self.resolution if resolution is None else resolution,
            "labels": self.labels.to_table(values),
        }
        as_it_is = np.ndim(resolution) == 0 and resolution in (None, self.resolution)
        if own_axis and not np.any(velocities) and as_it_is:
            flux = network_flux(self.network, self.labels.scale(values))
        else:
            theta = np.column_stack([values, *velocities])
            flux = self._forward_flux(theta, vacuum_angstrom(wavelength, self.medium), resolution)
        return wavelength, flux, meta

    def label_array(self, labels):
        """Return labels, in whatever convention they are, as the model's own.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            Whatever has names, also a row or a structured array, goes by them, in any spelling,
            order and convention that the registered transforms reach: A(Mg) or [Mg/H] do for a
            model of [Mg/Fe]. A relation's name stands for what it estimates
            (``{"vmic": "gaiaeso"}``); [α/Fe] is that of α elements that are left out; other
            abundances that are left out are solar-scaled, to the [Fe/H] of all training spectra
            if that is no label. A plain array has a column for each label, in the order of
            ``model.labels``.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)

        Raises
        ------
        ValueError
            If a label is unknown or missing, two labels say the same, or a transform needs
            another label or the solar scale, and that is not known.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> star = {"teff": 5777, "logg": 4.44, "feh": -0.5, "vmic": "bruntt2010", "[Mg/H]": -0.1}
        >>> dict(zip(model.labels.names, model.label_array(star)[0].round(3).tolist()))["Mg_Fe"]
        0.4
        """
        self.require_trained()
        named = named_columns(labels)
        if named is None:
            return self.labels.to_array(labels)
        constant = self.constant_labels
        said = labels_in(self.labels.names, named, self.solar_scale, constant)
        feh = constant.get("feh", 0.0)
        return self.labels.to_array(said, solar=solar_scale(self.solar_scale), feh=feh)

    @property
    def constant_labels(self):
        """Labels that had one value in all training spectra, a dict of name to that value."""
        grid = self.meta.get("grid")
        return grid.get("constant_labels", {}) if isinstance(grid, dict) else {}

    def _finite_labels(self, labels):
        """Return labels as an array; what is missing or not finite is an error."""
        return _finite(self.label_array(labels), self.labels.names)

    def grid_labels(self, grid):
        """Return the labels of a grid's spectra as the model's own.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid`
            As in `label_array`; what has one value in all its spectra is not left out.

        Returns
        -------
        numpy.ndarray, shape (n_spectra, n_labels)

        Raises
        ------
        ValueError
            If labels are missing or not finite, or abundances are relative to another Sun.

        Examples
        --------
        >>> from astropayne import PayneModel, SpectralGrid
        >>> PayneModel.sample().grid_labels(SpectralGrid.sample()[:2]).shape
        (2, 12)
        """
        self.require_trained()
        names = self.labels.names
        varying = {same_label(names, name) for name in grid.labels.colnames}
        constant = [
            name
            for name in grid.meta.get("constant_labels", {})
            if same_label(names, name) not in (None, *varying)
        ]
        labels = grid.with_constants(constant).labels
        _require_same_sun(self.solar_scale, grid.meta["solar_scale"], labels.colnames)
        return self._finite_labels(labels)

    def conversion(self, wanted):
        """Return the way from the model's labels to others, for values and covariances.

        Parameters
        ----------
        wanted : sequence of str
            Labels, in any spelling, that the registered transforms reach.

        Returns
        -------
        `~astropayne.labels.conversion.LabelConversion`

        Raises
        ------
        ValueError
            If no transforms lead to a label.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> conversion = model.conversion(["[Li/H]", "A(Mg)"])
        >>> prediction = model(teff=5777, logg=4.44, feh=0, vmic=1, A_Li=2.05)
        >>> found = conversion.table(prediction.meta["labels"])
        >>> float(found["Li_H"][0].round(6)), float(found["A_Mg"][0].round(6))
        (1.0, 7.55)
        """
        self.require_trained()
        return LabelConversion(self.labels.names, wanted, self.solar_scale)

    def coverage(self, labels):
        """Say how well labels are covered by the training spectra.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            As for `label_array`.

        Returns
        -------
        `~astropy.table.QTable`
            A row a spectrum: ``inside``, whether all labels lie in the training spectra's ranges;
            ``distance``, that to the nearest training spectrum in the plane of the two labels
            where it is largest, in scaled labels, relative to the typical one between
            neighbours there. In random grids it is 2 to 5; beyond 8 there is a hole in the grid.

        Raises
        ------
        ValueError
            If labels are missing or not known, or the model does not know its training spectra.

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> model = PayneModel.sample()
        >>> model.coverage({"teff": [5777, 9000], "logg": 4.4, "feh": 0, "vmic": 1})["inside"]
        <Column name='inside' dtype='bool' length=2>
         True
        False
        """
        values = self._finite_labels(labels)
        if self.training_labels is None:
            raise ValueError("this model does not know the labels of its training spectra")
        inside = ~self.labels.outside(values).any(axis=1)
        return QTable({"inside": inside, "distance": self.distance_to_training(values)})

    def distance_to_training(self, values):
        """Return ``distance`` as `coverage` has it, of the labels that are not NaN.

        With many labels all spectra are far from each other, and a hole in the plane of two, such
        as that of hot giants, hardly shows in a distance by all labels.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        if self._planes is None:
            points = spread_rows(self.labels.scale(self.training_labels), _MOST_NEIGHBOURS)
            self._planes = []
            for plane in itertools.combinations(range(len(self.labels)), min(2, len(self.labels))):
                nodes = np.unique(points[:, plane], axis=0)  # grids have many in one place
                tree = cKDTree(nodes)
                self._planes.append((plane, tree, np.median(tree.query(nodes, k=2)[0][:, 1])))
        scaled = self.labels.scale(np.asarray(values, dtype=float))
        known, scaled = np.isfinite(scaled), np.nan_to_num(scaled)
        distances = [
            tree.query(scaled[:, plane])[0] / spacing * known[:, plane].all(axis=1)
            for plane, tree, spacing in self._planes
        ]
        return np.max(distances, axis=0)

    def _forward_flux(self, theta, wavelength, resolution):
        """Return broadened and shifted flux, NaN where it is not supported, in blocks of rows."""
        model = self.forward_model()
        resolution = a_row(resolution)
        flux = np.empty((len(theta), len(wavelength)))
        size = max(1, _BLOCK // len(wavelength))
        for block in (slice(i, i + size) for i in range(0, len(theta), size)):
            rv, vsini, vmac = theta[block, -len(VELOCITIES) :].T
            pixels = model.pixels(wavelength, rv)
            with without_gradients():
                values = model.forward(theta[block], pixels, resolution).numpy()
            supported = model.supported(pixels, vsini, vmac, resolution)
            flux[block] = np.where(supported, values, np.nan)
        return flux

    @property
    def untrusted(self):
        """Where the model is known to be wrong of real stars; `None` if nowhere.

        A `~specutils.SpectralRegion` in the star's frame, in ``medium``, of what
        ``meta["untrusted"]`` lists: pairs of wavelengths in Å, around lines whose strengths are
        wrong in the list the grid was computed with, or missing. Fits leave it out with
        ``exclude_at_rest=model.untrusted``.
        """
        from specutils import SpectralRegion

        pairs = self.meta.get("untrusted")
        return SpectralRegion([(low * u.AA, high * u.AA) for low, high in pairs]) if pairs else None

    @property
    def vacuum_wavelength(self):
        """Wavelengths of the pixels in vacuum, Å (`numpy.ndarray`)."""
        return to_vacuum(self.wavelength.value, self.medium)

    def error_at(self, wavelength):
        """Return the emulator error at wavelengths in a star's frame; zero if it is not known.

        Parameters
        ----------
        wavelength : array_like
            Å, vacuum.

        Returns
        -------
        numpy.ndarray
        """
        return np.zeros(np.shape(wavelength)) if self.error is None else self.error.at(wavelength)

    def error_scale_at(self, values):
        """Return how large the emulator errors are at labels, relative to the rms of all.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n,)
            One where it is not known.
        """
        if self.error is None:
            return np.ones(len(values))
        x = self.labels.scale(np.asarray(values, dtype=float))
        return self.error.scale_at(x, self.network)

    def error_shift_at(self, values):
        """Return the covariance of the changes of labels that emulator errors look like.

        The labels that a fit finds are off by these, whatever its pixels and their noise.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
            In the model's own labels and units.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels, n_labels)
            Zero where it is not known.
        """
        if self.error is None:
            return np.zeros((len(values), len(self.labels), len(self.labels)))
        x = self.labels.scale(np.asarray(values, dtype=float))
        return self.error.shift_at(x, self.network, self.labels.width)

    def forward_model(
        self,
        *,
        limb_darkening=0.6,
        macroturbulence="joint",
        dtype=torch.float64,
        device="cpu",
    ):
        """Return the `~astropayne.forward.model.ForwardModel` of this model, made once.

        Parameters
        ----------
        limb_darkening : float
            Linear coefficient ε of the rotating disc.
        macroturbulence : {"joint", "product", "fwhm"}
            What vmac is, as `~astropayne.forward.broadener.Broadener` has it.
        dtype : torch.dtype
        device : str or torch.device
        """
        self.require_trained()
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

    def __getstate__(self):
        return {**self.__dict__, "_forward_models": {}}

    # --- files

    read = UnifiedReadWriteMethod(PayneModelRead)
    write = UnifiedReadWriteMethod(PayneModelWrite)


def require_model(model, what="model"):
    """Refuse what is no trained `PayneModel`, such as the name of its file.

    Parameters
    ----------
    model : PayneModel
    what : str
        What it is given as, for the error.

    Raises
    ------
    TypeError
        If it is no model.
    RuntimeError
        If it is not trained.
    """
    if not isinstance(model, PayneModel):
        given = repr(model) if isinstance(model, str | Path) else f"a {type(model).__name__}"
        raise TypeError(
            f"{what} has to be a PayneModel, got {given}: PayneModel.read(file) reads one"
        )
    model.require_trained()


def _one_each(value, name, n):
    if np.shape(value) not in ((), (1,), (n,)):
        raise ValueError(
            f"{name} has shape {np.shape(value)}: give one value, or to predict() as many as there "
            f"are rows of labels ({n})"
        )
    return np.broadcast_to(value, n)


def _finite(values, names):
    if not np.isfinite(values).all():
        bad = np.array(names)[~np.isfinite(values).all(axis=0)]
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        some = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ValueError(
            f"labels are missing or not finite in some rows: {', '.join(bad)}; counted from zero, "
            f"rows {some} of {len(values)}"
        )
    return values


def _choices(network):
    """Return what of a network's architecture labels and pixels do not say."""
    sizes = ("n_labels", "n_pixels")
    choices = {name: value for name, value in network.architecture.items() if name not in sizes}
    return {**choices, "hidden_layers": tuple(choices["hidden_layers"])}


def _require_same_sun(own, other, names):
    """Refuse abundances that are relative to another Sun than the model's."""
    relative = [n for n in names if n == "feh" or (Label(n).element and not n.startswith("A_"))]
    if relative and None not in (own, other) and solar_scale(own) != solar_scale(other):
        raise ValueError(
            f"the grid has solar scale {other!r}, and the model {own!r}: {', '.join(relative)} mean"
            " something else there. Say them as A(X), by grid.transform_labels('A(Fe)'); if one of "
            "the two is wrong about its scale, set the grid's meta['solar_scale'] or the model's "
            "solar_scale"
        )


def _spectrum(wavelength, flux, meta):
    from specutils import Spectrum

    mask = ~np.isfinite(flux)
    flux = u.Quantity(flux, copy=False)
    return Spectrum(
        spectral_axis=wavelength, flux=flux, meta=meta, mask=mask if mask.any() else None
    )
