# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Networks of one_payne and The_Payne: reading and writing of ``.npz`` files of weights.

Each of the two programs supports only one architecture, and does not check that of a file.
Therefore other networks are neither read nor written. Nothing is unpickled.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import torch
from astropy.io import registry
from torch import nn

from astropayne.grids.readers.the_payne import APOGEE_LABELS
from astropayne.io.paths import refuse_existing, replacing
from astropayne.labels.columns import is_in_kilokelvin
from astropayne.labels.space import LabelSpace
from astropayne.models.model import PayneModel
from astropayne.networks.network import SpectralNetwork

__all__ = ["read_one_payne", "read_the_payne", "write_one_payne", "write_the_payne"]


@dataclass(frozen=True)
class _Convention:
    """Properties of networks that a program assumes and its files do not contain."""

    format: str
    n_hidden: int
    activation: str
    output: str
    architecture: str  # its name in the files of one_payne
    teff_unit: u.UnitBase
    medium: str

    @property
    def text(self):
        return f"{self.n_hidden} x {self.activation} + {self.output}"


_ONE_PAYNE = _Convention(
    "one_payne",
    3,
    "silu",
    "sigmoid",
    "Linear-SiLU-Linear-SiLU-Linear-SiLU-Linear-Sigmoid",
    u.kK,
    "air",
)
_THE_PAYNE = _Convention(
    "the_payne",
    2,
    "leaky_relu",
    "linear",
    "Linear-LeakyReLU-Linear-LeakyReLU-Linear",
    u.K,
    "vacuum",
)


def _apogee_wavelength():
    """Return the 7214 pixels of APOGEE's combined spectra inside the three detectors, Å."""
    inside = np.r_[322:3242, 3648:6048, 6412:8306]
    return 10 ** (4.179 + 6e-6 * inside)


def read_one_payne(
    path: str | os.PathLike,
    *,
    architecture: str | None = None,
    labels: Sequence[str] | None = None,
    wavelength: u.Quantity | None = None,
    medium: str | None = None,
    resolution: float | None = None,
    solar_scale: str | None = None,
) -> PayneModel:
    """Read a network that one_payne has trained.

    Parameters
    ----------
    path : path-like
        An ``.npz`` file with the weights, ``x_min``, ``x_max``, ``wavelength``, ``label_names``
        and ``model_architecture``.
    architecture : str, optional
        Architecture of the network, if the file does not contain it.
    labels : sequence of str, optional
        Names of the labels, if the file does not contain them, or has other names for them.
    wavelength : `~astropy.units.Quantity`, optional
        Wavelengths of the pixels, if the file does not contain them, or in place of its own.
    medium : {"air", "vacuum"}, optional
        Medium of the wavelengths; by default that of the file, or air.
    resolution : float, optional
        λ/FWHM of the training spectra; by default that of the file, or unknown.
    solar_scale : str, optional
        Name of the solar abundances; by default that of the file, if it has one.

    Returns
    -------
    `~astropayne.PayneModel`

    Raises
    ------
    ValueError
        If the network has another architecture than those of one_payne, or the file is damaged
        or incomplete.
    """
    return _read(
        path, _ONE_PAYNE, architecture, labels, wavelength, medium, resolution, solar_scale
    )


def read_the_payne(
    path: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    wavelength: u.Quantity | None = None,
    medium: str | None = None,
    resolution: float | None = None,
    solar_scale: str | None = None,
) -> PayneModel:
    """Read a network of The_Payne.

    Its files contain only weights, ``x_min`` and ``x_max``. The labels and wavelengths of networks
    with 25 labels and 7214 pixels are those for APOGEE by default; for others they must be given.

    Parameters
    ----------
    path : path-like
    labels, wavelength, medium, resolution, solar_scale
        As for `read_one_payne`; the medium is vacuum by default.

    Returns
    -------
    `~astropayne.PayneModel`

    Raises
    ------
    ValueError
        If the network has another architecture than those of The_Payne, or the file is damaged
        or incomplete.
    """
    return _read(
        path,
        _THE_PAYNE,
        _THE_PAYNE.architecture,
        labels,
        wavelength,
        medium,
        resolution,
        solar_scale,
        (APOGEE_LABELS, _apogee_wavelength() * u.AA),
    )


def _read(
    path,
    convention,
    architecture,
    labels,
    wavelength,
    medium,
    resolution,
    solar_scale,
    defaults=(None, None),
):
    """Read a network; what the caller gives takes the place of what the file has or lacks."""
    path = getattr(path, "name", path)  # astropy opens the file where it looks for the format
    content = _load(path)
    try:
        network = _network(content, convention, architecture)
        names = content.get("label_names", defaults[0]) if labels is None else labels
        space = _label_space(content, [] if names is None else list(map(str, names)), convention)
        model = PayneModel.from_network(
            network,
            space,
            _wavelength(content, wavelength, defaults[1], network.pixels.out_features),
            medium=medium or str(content.get("medium", convention.medium)),
            resolution=resolution
            or (float(content["resolution"]) if "resolution" in content else None),
            solar_scale=solar_scale or json.loads(str(content.get("solar_scale", "null"))),
            meta={"read_from": convention.format, **_facts(content)},
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a network of {convention.format}: {error}") from error
    return model


def _facts(content):
    """Return the values of a file that are neither arrays nor attributes of the model."""
    return {
        name: value.item()
        for name, value in content.items()
        if value.ndim == 0 and name not in ("medium", "resolution", "solar_scale")
    }


def _load(path):
    """Return all arrays of a file; arrays of Python objects raise an error."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy raises any error for a damaged file
        raise ValueError(f"{path} cannot be read as an .npz file of numbers: {error}") from error


def _network(content, convention, architecture):
    """Make the network, after checking its architecture."""
    n_layers = convention.n_hidden + 1
    stated = str(content["model_architecture"]) if "model_architecture" in content else architecture
    if architecture not in (None, stated):
        raise ValueError(
            f"it has the architecture {stated!r}, which architecture={architecture!r} contradicts"
        )
    if stated != convention.architecture:
        given = "contains no architecture" if stated is None else f"has the architecture {stated!r}"
        raise ValueError(
            f"it {given}; only {convention.architecture!r} ({convention.text}) can be read"
            + ("; give architecture= if the network has this one" if stated is None else "")
        )
    expected = {f"{kind}_array_{i}" for kind in "wb" for i in range(n_layers)}
    expected |= {"x_min", "x_max"}
    found = {name for name in content if name.startswith(("w_array", "b_array", "x_m"))}
    if found != expected:
        raise ValueError(
            f"a network of {n_layers} layers ({convention.text}) needs the arrays "
            f"{', '.join(sorted(expected))}; there are {', '.join(sorted(found)) or 'none'}"
        )
    weights = [content[f"w_array_{i}"] for i in range(n_layers)]
    biases = [content[f"b_array_{i}"] for i in range(n_layers)]
    inputs = [content["x_min"].size, *(bias.size for bias in biases)]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if weight.shape != (bias.size, inputs[i]) or bias.ndim != 1:
            raise ValueError(
                f"layer {i} has weights of shape {weight.shape} and biases of shape {bias.shape} "
                f"for {inputs[i]} inputs: the layers do not follow on each other"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"weights of layer {i} are not finite")
    layers = [*(f"hidden.{i}" for i in range(convention.n_hidden)), "pixels"]
    arrays = {
        f"{layer}.{kind}": torch.from_numpy(np.array(array, dtype=np.float32))
        for kind, those in (("weight", weights), ("bias", biases))
        for layer, array in zip(layers, those, strict=True)
    }
    return SpectralNetwork.with_weights(
        arrays,
        n_labels=inputs[0],
        n_pixels=inputs[-1],
        hidden_layers=inputs[1:-1],
        activation=convention.activation,
        output=convention.output,
    )


def _label_space(content, names, convention):
    low, high = (np.array(content[name], dtype=float).ravel() for name in ("x_min", "x_max"))
    if not len(names) == len(low) == len(high):
        raise ValueError(
            f"there are {len(names) or 'no'} names for {len(low)} labels; "
            "give labels=, a name for each"
        )
    space = LabelSpace(names, low, high)
    if "teff" in space and is_in_kilokelvin(high[space.index("teff")]):
        factor = np.ones(len(low))
        factor[space.index("teff")] = (1 * convention.teff_unit).to_value(u.K)
        space = LabelSpace(names, low * factor, high * factor)
    return space


def _wavelength(content, given, default, n_pixels):
    own = content["wavelength"] * u.AA if "wavelength" in content else default
    wavelength = own if given is None else given
    if wavelength is None or len(wavelength) != n_pixels:
        found = "no wavelengths" if wavelength is None else f"{len(wavelength)} wavelengths"
        raise ValueError(f"there are {found} for {n_pixels} pixels; give wavelength=, one for each")
    return wavelength


def write_one_payne(model: PayneModel, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Write a network in the format of one_payne.

    A basis of spectra (``components``) is multiplied into the last layer, which does not change
    the flux.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
        A model with three hidden layers, SiLU activation and sigmoid output.
    path : path-like
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    ValueError
        If the network has another architecture, which one_payne does not support.
    """
    _write(model, path, _ONE_PAYNE, overwrite)


def write_the_payne(model: PayneModel, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Write a network in the format of The_Payne.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
        A model with two hidden layers, leaky ReLU activation and linear output.
    path : path-like
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    ValueError
        If the network has another architecture, which The_Payne does not support.
    """
    _write(model, path, _THE_PAYNE, overwrite)


def _write(model, path, convention, overwrite):
    if model.network is None:
        raise ValueError("a PayneModel that is not trained cannot be written: train it first")
    network, space = model.network, model.labels
    text = f"{len(network.hidden)} x {network.activation} + {network.output}"
    if text != convention.text:
        raise ValueError(
            f"the network is {text}, but {convention.format} evaluates {convention.text} only; "
            'format="asdf" takes any'
        )
    factor = np.ones(len(space))
    if "teff" in space:
        factor[space.index("teff")] = (1 * u.K).to_value(convention.teff_unit)
    content = {
        **_layers(network),
        "x_min": space.minimum * factor,
        "x_max": space.maximum * factor,
        "wavelength": model.wavelength.value,
        "label_names": np.array(space.names),
        "model_architecture": convention.architecture,
        "medium": model.medium,
        **({} if model.solar_scale is None else {"solar_scale": json.dumps(model.solar_scale)}),
        **{name: model.meta[name] for name in ("author", "date") if model.meta.get(name)},
    }
    if model.resolution is not None:
        content["resolution"] = float(model.resolution)
    refuse_existing(path, overwrite)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)


def _layers(network):
    """Return weights and biases by one_payne's and The_Payne's names."""
    layers = [_one_layer(layer, first=i == 0) for i, layer in enumerate(network.hidden)]
    weight, bias = network.pixels.weight.double(), network.pixels.bias.double()
    if network.coefficients is not None:
        into, offset = _to_components(network)
        bias = weight @ offset.double() + bias
        weight = weight @ into.double()
    layers.append((weight.float(), bias.float()))
    return {
        f"{kind}_array_{i}": tensor.detach().numpy()
        for i, layer in enumerate(layers)
        for kind, tensor in zip("wb", layer, strict=True)
    }


def _one_layer(layer, first):
    """Return weight and bias of a layer, where parallel networks are joined to a wide one."""
    if isinstance(layer, nn.Linear):
        return layer.weight, layer.bias
    weight = layer.weight.flatten(0, 1) if first else torch.block_diag(*layer.weight)
    return weight, layer.bias.flatten()


def _to_components(network):
    """Return weight and bias from the last hidden layer, one wide one, to the basis."""
    layer, members = network.coefficients, network.members
    if isinstance(layer, nn.Linear):
        return layer.weight, layer.bias
    weight, bias = layer.weight / members, layer.bias.mT / members
    if network.assembly is not None:
        part = network.assembly.weight.unflatten(1, (network.parts, -1)).movedim(1, 0)
        part = part.repeat(members, 1, 1)  # for each of the parallel networks
        weight, bias = part @ weight, part @ bias
    return weight.permute(1, 0, 2).flatten(1), bias.sum(dim=0)[:, 0]


def _identifier(n_layers):
    """Return a function that identifies ``.npz`` files with ``n_layers`` layers."""

    def identify(origin, path, fileobj, *args, **kwargs):
        if origin != "read" or not isinstance(path, str) or not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
        return sum(name.startswith("w_array_") for name in names) == n_layers

    return identify


for _convention, _reader, _writer in (
    (_ONE_PAYNE, read_one_payne, write_one_payne),
    (_THE_PAYNE, read_the_payne, write_the_payne),
):
    registry.register_reader(_convention.format, PayneModel, _reader)
    registry.register_writer(_convention.format, PayneModel, _writer)
    registry.register_identifier(
        _convention.format, PayneModel, _identifier(_convention.n_hidden + 1)
    )
