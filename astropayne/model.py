# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneModel`: a network with what is needed to use it as a stellar model."""

import datetime
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
import torch
from astropy.io import registry
from astropy.io.registry import UnifiedReadWrite, UnifiedReadWriteMethod
from astropy.table import QTable

from astropayne import __version__
from astropayne.abundances import solar_scale
from astropayne.config import conf
from astropayne.forward import VELOCITIES, ForwardModel
from astropayne.labels import LabelSpace, strip_unit
from astropayne.network import SpectralNetwork, pick_device
from astropayne.training import TrainingOptions, train_network
from astropayne.wavelengths import find_windows, to_vacuum, vacuum_angstrom

__all__ = ["PayneModel", "PayneModelRead", "PayneModelWrite"]


def _register_formats():
    import astropayne.formats.asdf_model
    import astropayne.formats.npz_model  # noqa: F401  they register themselves


class PayneModelRead(UnifiedReadWrite):
    """Read a model.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        ``"asdf"``, ``"one_payne"`` or ``"the_payne"``; found out if not given.
    **options
        Of the format: `~astropayne.formats.npz_model.read_one_payne` and
        `~astropayne.formats.npz_model.read_the_payne` take what their files may not say.

    Returns
    -------
    PayneModel

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a model, or damaged.
    """

    def __init__(self, instance, cls):
        super().__init__(instance, cls, "read", registry=registry)

    def __call__(self, path, *args, **kwargs):
        """Read by the format's reader."""
        _register_formats()
        if not Path(path).exists():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            return self.registry.read(self._cls, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            raise ValueError(f"{path} is not a model that can be read: {error}") from None


class PayneModelWrite(UnifiedReadWrite):
    """Write a model.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        ``"asdf"`` (the default where the name ends so), ``"one_payne"`` or ``"the_payne"``.
    overwrite : bool
        Whether a file that is there may be replaced.
    """

    def __init__(self, instance, cls):
        super().__init__(instance, cls, "write", registry=registry)

    def __call__(self, path, *args, **kwargs):
        """Write by the format's writer."""
        _register_formats()
        try:
            return self.registry.write(self._instance, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            raise ValueError(f"{path}: {error}") from None


class PayneModel:
    """An emulator of stellar spectra: labels in, spectrum out.

    Parameters
    ----------
    hidden_layers : sequence of int
        Neurons of the hidden layers.
    activation : {"silu", "gelu", "tanh", "leaky_relu"}
        Function behind each hidden layer.
    output : {"sigmoid", "linear"}
        Function behind the last layer: "sigmoid" keeps the flux between 0 and 1, as normalised
        absorption spectra are.
    components : int or None
        Size of the basis of spectra that the network combines, started from principal components
        and trained with the rest. `None` leads the last hidden layer to the pixels directly.

    Attributes
    ----------
    labels : `~astropayne.labels.LabelSpace`
        Names, units and ranges.
    wavelength : `~astropy.units.Quantity`
        Of the pixels, in ``medium``.
    medium : {"air", "vacuum"}
    resolution : float or None
        λ/FWHM of the spectra it was trained on.
    solar_scale : str
        Name of the solar abundances.
    error : numpy.ndarray, shape (n_pixels,)
        The emulator's own error: rms on the validation spectra, pixel by pixel.
    history : `~astropy.table.QTable`
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
        self, hidden_layers=(256, 256, 256), activation="silu", output="sigmoid", components=96
    ):
        self._architecture = {
            "hidden_layers": tuple(hidden_layers),
            "activation": activation,
            "output": output,
            "components": components,
        }
        SpectralNetwork(1, 1, **self._architecture)  # complains now, not when training starts
        self.network = None
        self.labels = self.wavelength = self.medium = self.resolution = None
        self.solar_scale = self.error = self.history = None
        self.meta = {}
        self._forward_models = {}

    @classmethod
    def sample(cls):
        """Return the trained network that ships with the package.

        For FGK stars at R = 20000 in the windows of `SpectralGrid.sample`, with A(Li); trained on
        the grid that sample is a part of. ``meta["held_out"]`` says how exact it is on spectra
        that it has not seen.

        Returns
        -------
        PayneModel

        Examples
        --------
        >>> from astropayne import PayneModel
        >>> PayneModel.sample().labels.names[-1]
        'A_Li'
        """
        with as_file(files("astropayne") / "data" / "sample_model.asdf") as path:
            return cls.read(path, format="asdf")

    @classmethod
    def from_network(
        cls,
        network,
        labels,
        wavelength,
        *,
        medium="air",
        resolution=None,
        solar_scale="asplund2009",
        error=None,
        history=None,
        meta=None,
    ):
        """Make a model of a network that is trained already.

        Parameters
        ----------
        network : `~astropayne.network.SpectralNetwork`
        labels : `~astropayne.labels.LabelSpace`
        wavelength : `~astropy.units.Quantity`
        medium, resolution, solar_scale, error, history, meta
            The attributes of those names.

        Returns
        -------
        PayneModel
        """
        architecture = dict(network.architecture)
        n_labels, n_pixels = architecture.pop("n_labels"), architecture.pop("n_pixels")
        if (n_labels, n_pixels) != (len(labels), len(wavelength)):
            raise ValueError(
                f"the network leads from {n_labels} labels to {n_pixels} pixels, but there are "
                f"{len(labels)} labels and {len(wavelength)} wavelengths"
            )
        model = cls(**architecture)
        model.network, model.labels = network.cpu().eval(), labels
        model.wavelength = u.Quantity(wavelength, u.AA, dtype=float)
        model.medium, model.resolution, model.solar_scale = medium, resolution, solar_scale
        model.error, model.history, model.meta = error, history, dict(meta or {})
        return model

    def __repr__(self):
        shape = " x ".join(map(str, self._architecture["hidden_layers"]))
        if self._architecture["components"]:
            shape += f" into {self._architecture['components']} components"
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

    def _require_trained(self):
        if self.network is None:
            raise RuntimeError(
                "this PayneModel is not trained yet: call its train(grid), or PayneModel.read(file)"
            )

    # --- training

    def train(self, grid, validation=None, *, device=None, max_time=None, progress=None, **options):
        """Train on a grid.

        Parameters
        ----------
        grid : `~astropayne.SpectralGrid`
            Spectra to train on.
        validation : `~astropayne.SpectralGrid`, optional
            Spectra to choose the best network by, and to take its error from; by default a tenth
            of ``grid``, taken out of it at random.
        device : str, optional
            ``"auto"``, ``"cpu"``, ``"cuda"``…; by default the configuration's.
        max_time : `~astropy.units.Quantity` or float, optional
            Time limit, in seconds if a bare number. Which step it ends at then depends on the
            machine; without it, training is reproducible.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        **options
            Fields of `~astropayne.training.TrainingOptions`: ``batch_size``, ``learning_rate``,
            ``max_epochs``, ``seed``…

        Returns
        -------
        `~astropy.table.QTable`
            The history: step, time, learning rate, rms on training and validation spectra.

        Raises
        ------
        ValueError
            If the grids do not go together, or the device cannot be used.
        """
        if max_time is not None:
            max_time = float(strip_unit(max_time, "max_time", u.s))
        options = TrainingOptions(max_time=max_time, **options)
        device = pick_device(device or conf.device)
        if validation is None:
            grid, validation = grid.split(0.9, seed=options.seed)
        _require_same_axes(grid, validation)
        labels = LabelSpace.from_table(grid.labels).union(LabelSpace.from_table(validation.labels))
        x, x_valid = (labels.scale(labels.to_array(part.labels)) for part in (grid, validation))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = SpectralNetwork(len(labels), len(grid.wavelength), **self._architecture)
        rows = train_network(
            network, x, grid.flux, x_valid, validation.flux, options, device, progress
        )
        self.network, self.labels = network.cpu().eval(), labels
        self.wavelength = grid.wavelength
        self.medium, self.resolution = grid.meta["medium"], grid.meta["resolution"]
        self.solar_scale = grid.meta["solar_scale"] or "asplund2009"
        residual = self._network_flux(x_valid) - validation.flux
        self.error = np.sqrt(np.mean(residual**2, axis=0))
        names = ("step", "time", "learning_rate", "train_rms", "valid_rms")
        self.history = QTable(rows=rows, names=names, units={"time": u.s})
        self.meta = {
            "made_by": f"astropayne {__version__}, torch {torch.__version__}",
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "n_training": len(grid),
            "n_validation": len(validation),
            "validation_rms": float(np.sqrt(np.mean(self.error**2))),
            "training": {name: getattr(options, name) for name in options.__dataclass_fields__},
            "grid": {key: value for key, value in grid.meta.items() if value is not None},
        }
        self._forward_models = {}
        return self.history

    # --- prediction

    def __call__(self, *, rv=0.0, vsini=0.0, vmac=0.0, resolution=None, wavelength=None, **labels):
        """Predict one spectrum.

        Parameters
        ----------
        rv, vsini, vmac : float or `~astropy.units.Quantity`
            Radial velocity, projected rotation and radial–tangential macroturbulence ζ, in km/s.
        resolution : float, optional
            λ/FWHM of the instrument; the model's own by default.
        wavelength : `~astropy.units.Quantity`, optional
            Where to compute the flux, in the model's medium; on the model's pixels by default.
        **labels
            A value for each label, in any spelling (``**{"[Mg/Fe]": 0.3}``). Abundances that are
            left out are solar-scaled.

        Returns
        -------
        `~specutils.Spectrum`
            Its flux is NaN, and masked, where broadening or velocity reach beyond the model's
            windows.

        Raises
        ------
        ValueError
            If a label is unknown or missing, or the resolution is higher than the model's.
        astropy.units.UnitConversionError
            If a unit is wrong.

        Warns
        -----
        astropayne.labels.LabelRangeWarning
            If a label is outside the range of the training spectra.
        """
        many = self.predict(
            labels, rv=rv, vsini=vsini, vmac=vmac, resolution=resolution, wavelength=wavelength
        )
        if len(many.flux) != 1:
            raise ValueError(
                f"one spectrum needs one value a label, got {len(many.flux)}: use predict(table)"
            )
        return _spectrum(many.spectral_axis, many.flux[0], many.meta)

    def predict(self, labels, *, rv=0.0, vsini=0.0, vmac=0.0, resolution=None, wavelength=None):
        """Predict many spectra.

        Parameters
        ----------
        labels : `~astropy.table.Table`, mapping of str to array, or array_like
            A row a spectrum. An array has a column for each label, in the order of ``labels``.
        rv, vsini, vmac, resolution, wavelength
            As in calling the model; the velocities may be arrays, a value a spectrum.

        Returns
        -------
        `~specutils.Spectrum`
            With flux of shape (n_spectra, n_pixels).
        """
        self._require_trained()
        values = self.labels.to_array(labels, solar=solar_scale(self.solar_scale))
        if not np.isfinite(values).all():
            bad = np.array(self.labels.names)[~np.isfinite(values).all(axis=0)]
            raise ValueError(f"labels are missing or not finite in some rows: {', '.join(bad)}")
        self.labels.warn_outside(values)
        velocities = [
            np.broadcast_to(strip_unit(value, name, u.km / u.s), len(values))
            for name, value in zip(VELOCITIES, (rv, vsini, vmac), strict=True)
        ]
        own_axis = wavelength is None
        wavelength = self.wavelength if own_axis else u.Quantity(wavelength)
        meta = {
            "medium": self.medium,
            "resolution": self.resolution if resolution is None else resolution,
            "labels": self.labels.to_table(values),
        }
        if own_axis and not np.any(velocities) and resolution in (None, self.resolution):
            flux = self._network_flux(self.labels.scale(values))
        else:
            theta = np.column_stack([values, *velocities])
            flux = self._forward_flux(theta, vacuum_angstrom(wavelength, self.medium), resolution)
        return _spectrum(wavelength, flux * u.dimensionless_unscaled, meta)

    def _network_flux(self, scaled):
        """Return the network's flux for scaled labels, shape (n, n_pixels)."""
        with torch.no_grad():
            return self.network(torch.as_tensor(scaled, dtype=torch.float32)).numpy()

    def _forward_flux(self, theta, wavelength, resolution):
        """Return broadened and shifted flux, NaN where it is not supported, row by row."""
        model = self.forward_model()
        flux = np.empty((len(theta), len(wavelength)))
        for row, (*_, rv, vsini, vmac) in enumerate(theta):
            pixels = model.pixels(wavelength, rv)
            flux[row] = model.forward(theta[row], pixels, resolution)[0].numpy()
            flux[row, ~model.supported(pixels, vsini, vmac, resolution)] = np.nan
        return flux

    @property
    def vacuum_wavelength(self):
        """Wavelengths of the pixels in vacuum, Å (`numpy.ndarray`)."""
        return to_vacuum(self.wavelength.value, self.medium)

    def forward_model(self, *, limb_darkening=0.6, dtype=torch.float64, device="cpu"):
        """Return the `~astropayne.forward.ForwardModel` of this model, made once.

        Parameters
        ----------
        limb_darkening : float
            Linear coefficient ε of the rotating disc.
        dtype : torch.dtype
        device : str or torch.device
        """
        self._require_trained()
        key = (limb_darkening, dtype, str(device))
        if key not in self._forward_models:
            self._forward_models[key] = ForwardModel(
                self.network,
                self.labels.minimum,
                self.labels.width,
                self.vacuum_wavelength,
                self.resolution,
                limb_darkening=limb_darkening,
                dtype=dtype,
                device=device,
            )
        return self._forward_models[key]

    def __getstate__(self):
        return {**self.__dict__, "_forward_models": {}}

    # --- files

    read = UnifiedReadWriteMethod(PayneModelRead)
    write = UnifiedReadWriteMethod(PayneModelWrite)


def _require_same_axes(grid, validation):
    if set(grid.labels.colnames) != set(validation.labels.colnames):
        raise ValueError(
            f"the training grid has labels {', '.join(grid.labels.colnames)}; the validation grid "
            f"{', '.join(validation.labels.colnames)}: they have to be the same"
        )
    if not np.array_equal(grid.wavelength, validation.wavelength):
        raise ValueError("the training and the validation grid have different wavelengths")


def _spectrum(wavelength, flux, meta):
    from specutils import Spectrum

    mask = ~np.isfinite(flux.value)
    return Spectrum(
        spectral_axis=wavelength, flux=flux, meta=meta, mask=mask if mask.any() else None
    )
