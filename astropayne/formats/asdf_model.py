# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Models as ASDF files: everything about a model in plain values, tables and arrays."""

import astropy.units as u
import numpy as np
import torch
from astropy.io import registry
from astropy.table import QTable

from astropayne.formats.container import read_container, write_container
from astropayne.labels import LabelSpace
from astropayne.model import PayneModel
from astropayne.network import SpectralNetwork

__all__ = ["read_asdf", "write_asdf"]


def write_asdf(model, path, overwrite=False):
    """Write a `~astropayne.PayneModel`.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    path : path-like
    overwrite : bool
    """
    if model.network is None:
        raise ValueError("a PayneModel that is not trained cannot be written: train it first")
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
        "error": model.error,
        "architecture": model.network.architecture,
        "weights": {name: value.numpy() for name, value in model.network.state_dict().items()},
        "history": [{"name": n, "values": np.asarray(history[n])} for n in history.colnames],
        "meta": model.meta,
    }
    write_container(path, "PayneModel", tree, overwrite)


def read_asdf(path):
    """Read a `~astropayne.PayneModel`.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is not a model, or it is damaged.
    """
    path = getattr(path, "name", path)  # astropy opens the file where it looks for the format
    tree = read_container(path, "PayneModel")
    try:
        network = SpectralNetwork(**tree["architecture"])
        network.load_state_dict(
            {name: torch.as_tensor(np.array(value)) for name, value in tree["weights"].items()}
        )
        labels = tree["labels"]
        space = LabelSpace(
            *([label[key] for label in labels] for key in ("name", "minimum", "maximum"))
        )
        history = QTable({column["name"]: np.array(column["values"]) for column in tree["history"]})
        if "time" in history.colnames:
            history["time"].unit = u.s
        return PayneModel.from_network(
            network,
            space,
            np.array(tree["wavelength"]) * u.Unit(tree["wavelength_unit"]),
            medium=tree["medium"],
            resolution=tree["resolution"],
            solar_scale=tree["solar_scale"],
            error=None if tree["error"] is None else np.array(tree["error"]),
            history=history,
            meta=tree["meta"],
        )
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is a model file with a part missing or changed: {error}"
        ) from error


def _is_asdf(origin, path, fileobj, *args, **kwargs):
    return isinstance(path, str) and path.lower().endswith(".asdf")


registry.register_reader("asdf", PayneModel, read_asdf)
registry.register_writer("asdf", PayneModel, write_asdf)
registry.register_identifier("asdf", PayneModel, _is_asdf)
