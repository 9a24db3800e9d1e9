# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Models as ASDF files: everything about a model in plain values, tables and arrays."""

import copy
import os

import astropy.units as u
import numpy as np
import torch
from astropy.io import registry
from astropy.table import QTable

from astropayne.io.container import check_storable, read_container, write_container
from astropayne.labels.space import LabelSpace
from astropayne.models.calibration import Calibration
from astropayne.models.emulator_error import EmulatorError
from astropayne.models.meta import plain_meta
from astropayne.models.model import PayneModel
from astropayne.networks.network import SpectralNetwork
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.media import vacuum_angstrom

__all__ = ["read_asdf", "write_asdf"]

# Fields of EmulatorError, by their names in a file; older files do not have the last two.
_ERROR = {
    **{"error": "rms", "bias": "bias", "error_components": "components", "error_rest": "rest"},
    **{"error_scale": "scale", "error_shift": "shift"},
}
_CALIBRATION = ("strength", "missing", "covariance")
_PARTS = (
    *("labels", "wavelength", "wavelength_unit", "medium", "resolution", "solar_scale"),
    *("error", "bias", "error_components", "error_rest", "training_labels"),
    *("architecture", "weights", "history", "meta", "fingerprint"),
)


def write_asdf(model: PayneModel, path: str | os.PathLike, overwrite: bool = False) -> None:
    """Write a `~astropayne.PayneModel` to an ASDF file.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    path : path-like
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    ValueError
        If the model is not trained, or its ``meta`` cannot be stored.
    """
    if model.network is None:
        raise ValueError("a PayneModel that is not trained cannot be written: train it first")
    meta = plain_meta(model.meta)
    check_storable(meta, "model.meta")
    network = model.network
    space = model.labels
    history = model.history if model.history is not None else QTable()
    tree = {
        "labels": [
            {"name": label.name, "unit": str(label.unit), "minimum": low, "maximum": high}
            for label, low, high in zip(
                space, space.minimum.tolist(), space.maximum.tolist(), strict=True
            )
        ],
        "wavelength": model.wavelength.value,
        "wavelength_unit": "Angstrom",
        "medium": model.medium,
        "resolution": model.resolution,
        "solar_scale": model.solar_scale,
        **{name: _compact(getattr(model.error, field, None)) for name, field in _ERROR.items()},
        "training_labels": _compact(model.training_labels),
        **_of_calibration(model.calibration),
        "architecture": network.architecture,
        "weights": {name: _compact(value.numpy()) for name, value in network.state_dict().items()},
        "history": [{"name": n, "values": np.asarray(history[n])} for n in history.colnames],
        "meta": meta,
        "fingerprint": _fingerprint(network),
    }
    write_container(path, "PayneModel", tree, overwrite)


def read_asdf(path: str | os.PathLike) -> PayneModel:
    """Read a `~astropayne.PayneModel` from an ASDF file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    `~astropayne.PayneModel`

    Raises
    ------
    FileNotFoundError, ValueError
        If the file does not exist, is not a model, or is damaged.
    """
    path = getattr(path, "name", path)  # astropy opens the file where it looks for the format
    tree = read_container(path, "PayneModel")
    missing = [name for name in _PARTS if name not in tree]
    if missing:
        raise ValueError(
            f"{path} is a model file with a part missing: {', '.join(missing)}. It was altered, or "
            "written by another version of astropayne"
        )
    try:
        model = _model(tree)
        _require_fingerprint(model.network, tree["fingerprint"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is a model file with a part changed: {error}") from error
    return model


def _model(tree):
    weights = {name: torch.from_numpy(_full(value)) for name, value in tree["weights"].items()}
    network = SpectralNetwork.with_weights(weights, **tree["architecture"])
    labels = tree["labels"]
    space = LabelSpace(
        *([label[key] for label in labels] for key in ("name", "minimum", "maximum"))
    )
    history = QTable({column["name"]: np.array(column["values"]) for column in tree["history"]})
    if "time" in history.colnames:
        history["time"].unit = u.s
    wavelength = np.array(tree["wavelength"]) * u.Unit(tree["wavelength_unit"])
    return PayneModel.from_network(
        network,
        space,
        wavelength,
        medium=tree["medium"],
        resolution=tree["resolution"],
        solar_scale=tree["solar_scale"],
        error=_error(tree, vacuum_angstrom(wavelength, tree["medium"])),
        training_labels=_full(tree["training_labels"]),
        history=history,
        meta=_american(tree["meta"]),
    ).replace(calibration=_calibration(tree))


def _of_calibration(calibration):
    """Return the part of a file that describes a calibration; empty without one."""
    if calibration is None:
        return {}
    stars = [{**star, "labels": dict(star["labels"])} for star in calibration.stars]
    arrays = {name: getattr(calibration, name) for name in _CALIBRATION}
    return {"calibration": {**arrays, "stars": stars}}


def _calibration(tree):
    """Return the calibration of a file, `None` if it has none."""
    if (part := tree.get("calibration")) is None:
        return None
    return Calibration(*(np.array(part[name]) for name in _CALIBRATION), tuple(part["stars"]))


def _american(meta):
    """Return metadata with ``license`` where older files have ``licence``."""
    return {"license" if name == "licence" else name: value for name, value in meta.items()}


def _error(tree, wavelength):
    """Return the emulator error of a file, `None` if it has none."""
    arrays = {field: _full(tree.get(name)) for name, field in _ERROR.items()}
    return None if arrays["rms"] is None else EmulatorError(wavelength, **arrays)


def _compact(array):
    """Return float32 in half precision if it is exact, which takes half the space."""
    if array is None or array.dtype != np.float32:
        return array
    with np.errstate(over="ignore", under="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _full(array):
    """Return an array of a file in the precision before `_compact`."""
    if array is None:
        return None
    array = np.array(array)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _fingerprint(network):
    """Return a few inputs and the flux of the network for them, from double precision."""
    n_labels = network.architecture["n_labels"]
    inputs = np.random.default_rng(1).uniform(-0.5, 0.5, (4, n_labels))
    return {"inputs": inputs, "flux": _double(network, inputs).astype(np.float32)}


def _double(network, inputs):
    with without_gradients():
        return copy.deepcopy(network).double()(torch.as_tensor(inputs)).numpy()


def _require_fingerprint(network, fingerprint):
    found = _double(network, np.array(fingerprint["inputs"]))
    if not np.allclose(found, fingerprint["flux"], rtol=1e-6, atol=1e-6):
        raise ValueError(
            "the network does not give the flux of the file's fingerprint, so its weights are not "
            "those that were written"
        )


def _is_asdf(origin, path, fileobj, *args, **kwargs):
    return isinstance(path, str) and path.lower().endswith(".asdf")


registry.register_reader("asdf", PayneModel, read_asdf)
registry.register_writer("asdf", PayneModel, write_asdf)
registry.register_identifier("asdf", PayneModel, _is_asdf)
