# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Checkpoints of training: all that is needed to go on as if nothing had happened.

A checkpoint is an ``.npz`` file of plain arrays, whose parts have checksums; nothing in it is
unpickled. It holds the last network with the state of its optimiser, and the best one.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import torch

from astropayne.io.paths import replacing

__all__ = ["read_checkpoint", "write_checkpoint"]

_KIND = "astropayne checkpoint 1"


def write_checkpoint(path, tensors, facts):
    """Write a checkpoint beside and rename it into place: what was there stays until then.

    Parameters
    ----------
    path : path-like
    tensors : dict of str to dict of str to torch.Tensor
        Weights and states.
    facts : dict
        Numbers, texts and lists of them.

    Raises
    ------
    OSError
        If it cannot be written; an older checkpoint is intact then.
    """
    arrays = {
        f"{group}/{name}": tensor.detach().cpu().numpy()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=json.dumps({"kind": _KIND, **facts}), **arrays)


def read_checkpoint(path):
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
        If there is none.
    ValueError
        If it is something else, or damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no checkpoint {path} to resume from")
    if not zipfile.is_zipfile(path):  # numpy would advise to unpickle it
        raise ValueError(f"{path} is not a checkpoint, or is damaged: it is no whole .npz file")
    tensors = {}
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            facts = json.loads(str(file["facts"]))
            for name in file.files:
                group, slash, member = name.partition("/")
                if slash:
                    tensors.setdefault(group, {})[member] = torch.from_numpy(file[name])
    except Exception as error:  # whatever numpy makes of a file that is not whole
        raise ValueError(f"{path} is not a checkpoint, or is damaged: {error}") from error
    if facts.pop("kind", None) != _KIND:
        raise ValueError(f"{path} is not a checkpoint of this version ({_KIND})")
    return tensors, facts
