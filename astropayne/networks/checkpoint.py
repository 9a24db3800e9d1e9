# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Checkpoints of training, from which it can go on as if it had not been interrupted.

A checkpoint is an ``.npz`` file of plain arrays, whose parts have checksums; nothing in it is
unpickled. It holds the last network with the state of its optimizer, and the best one.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from astropayne.io.paths import replacing

__all__ = ["read_checkpoint", "write_checkpoint"]

_KIND = "astropayne checkpoint 1"


def write_checkpoint(
    path: str | os.PathLike, tensors: Mapping[str, Mapping[str, torch.Tensor]], facts: Mapping
) -> None:
    """Write a checkpoint to a temporary file, and rename that to its name.

    Parameters
    ----------
    path : path-like
    tensors : dict of str to dict of str to torch.Tensor
        Weights and states, by group and name.
    facts : dict
        Numbers, texts and lists of them.

    Raises
    ------
    OSError
        If it cannot be written; an older checkpoint of that name stays intact.
    """
    arrays = {
        f"{group}/{name}": tensor.detach().cpu().numpy()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=json.dumps({"kind": _KIND, **facts}), **arrays)


def read_checkpoint(path: str | os.PathLike) -> tuple[dict, dict]:
    """Read a checkpoint.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    tensors, facts : dict
        As they were written.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is not a checkpoint, or is damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no checkpoint {path} to resume from")
    if not zipfile.is_zipfile(path):  # numpy would suggest to unpickle it
        raise ValueError(
            f"{path} is not a checkpoint, or is damaged: it is not a complete .npz file"
        )
    tensors = {}
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            for name in file.files:
                group, slash, member = name.partition("/")
                if slash:
                    tensors.setdefault(group, {})[member] = torch.from_numpy(file[name])
    except Exception as error:  # a damaged file may cause any exception
        raise ValueError(f"{path} is not a checkpoint, or is damaged: {error}") from error
    if facts.pop("kind", None) != _KIND:
        raise ValueError(f"{path} is not a checkpoint of this version ({_KIND})")
    return tensors, facts
