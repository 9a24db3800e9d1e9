# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The state of a training, and checkpoints from which training continues after an interruption.

A checkpoint is an ``.npz`` file of plain arrays with checksums; nothing in it is unpickled. It
contains the last network with the state of its optimizer, and the best network.
"""

import copy
import json
import math
import time
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.paths import replacing
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions

__all__ = ["TrainingRun", "TrainingState", "read_checkpoint", "write_checkpoint"]

_KIND = "astropayne checkpoint 1"


def write_checkpoint(
    path: str | Path, tensors: Mapping[str, Mapping[str, torch.Tensor]], facts: Mapping
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
    arrays: dict[str, Any] = {
        f"{group}/{name}": tensor.detach().cpu().numpy()
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, facts=json.dumps({"kind": _KIND, **facts}), **arrays)


def read_checkpoint(path: str | Path) -> tuple[dict, dict]:
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
    tensors: dict[str, dict[str, torch.Tensor]] = {}
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


# AdamW's memory of squared gradients is shorter than usual: they fall by orders of magnitude in a
# run, and with the usual 0.999 it takes three times as many steps.
_BETAS = (0.9, 0.95)
# Options that may have other values when a training is resumed.
_MAY_CHANGE = ("max_time", "memory", "checkpoint_interval", "compile")


@dataclass
class TrainingRun:
    """The progress of a training, and the best network so far.

    Attributes
    ----------
    rows : list of tuple
        Step, seconds, learning rate, rms error on the last training batches and on the validation
        spectra.
    best : float
        The lowest rms error on the validation spectra.
    stopped : str
        Reason of the end: ``"steps"``, ``"time"``, ``"patience"``, ``"interrupted"``,
        ``"not finite"``.
    since_best : int
        Number of validations since then.
    best_state : dict of str to torch.Tensor
        Weights of the best network.
    """

    rows: list[tuple] = field(default_factory=list)
    best: float = math.inf
    since_best: int = 0
    best_state: dict | None = None
    stopped: str = "steps"

    def add(
        self,
        step: int,
        seconds: float,
        rate: float,
        train_rms: float,
        valid_rms: float,
        network: SpectralNetwork,
    ) -> None:
        """Add a validation."""
        self.rows.append((step, seconds, rate, train_rms, valid_rms))
        self.since_best += 1
        if valid_rms < self.best:
            self.best, self.since_best = valid_rms, 0
            self.best_state = copy.deepcopy(network.state_dict())


class TrainingState:
    """Network, optimizer and progress of a training.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    options : `~astropayne.networks.options.TrainingOptions`
    data : list of numbers
        Signature of the spectra, which must be the same when the training is resumed.

    Attributes
    ----------
    step : int
        Number of steps taken.
    run : TrainingRun
    """

    def __init__(self, network: SpectralNetwork, options: TrainingOptions, data: list) -> None:
        self.network, self.options, self.data = network, options, data
        self.optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            lr=options.learning_rate,
            betas=_BETAS,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.run, self.step, self._begun, self._saved = TrainingRun(), 0, time.monotonic(), 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before an interruption."""
        return time.monotonic() - self._begun

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write a checkpoint, unless the last one was written a short time ago."""
        if not force and self.seconds - self._saved < self.options.checkpoint_interval:
            return
        optimizer = {
            f"{i} {key}": torch.as_tensor(value)
            for i, values in self.optimizer.state_dict()["state"].items()
            for key, value in values.items()
        }
        tensors = {
            "network": self.network.state_dict(),
            "best": self.run.best_state or {},
            "optimiser": optimizer,
        }
        facts = {
            "options": asdict(self.options),
            "architecture": self.network.architecture,
            "data": self.data,
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.run.rows,
            "best": self.run.best,
            "since_best": self.run.since_best,
        }
        try:
            write_checkpoint(path, tensors, facts)
        except OSError as error:
            warnings.warn(
                f"the checkpoint {path} could not be written ({error}). Training goes on; an "
                "older checkpoint is intact",
                AstropyUserWarning,
                stacklevel=2,
            )
        self._saved = self.seconds

    def load(self, path: str | Path) -> None:
        """Read a checkpoint.

        Raises
        ------
        ValueError
            If it belongs to other spectra, another architecture or other options.
        """
        tensors, facts = read_checkpoint(path)
        if list(facts["data"]) != self.data:
            raise ValueError(
                f"{path} was written by training on other spectra, or on another part of them: "
                "resume with the same grids, split and memory"
            )
        # The shapes of weights do not determine the functions between layers.
        if facts.get("architecture") != self.network.architecture:
            raise ValueError(
                f"{path} holds a network of another architecture: {facts.get('architecture')}, not "
                f"{self.network.architecture}"
            )
        for option in fields(self.options):
            old, new = facts["options"].get(option.name), getattr(self.options, option.name)
            if option.name not in _MAY_CHANGE and old != new:
                raise ValueError(
                    f"{path} was written by training with {option.name}={old!r}, not {new!r}: "
                    "resume with the same options, or use start= to train a trained model further"
                )
        self.network.load_state_dict(tensors["network"])
        device = self.network.pixels.weight.device
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors["optimiser"].items():
            i, key = name.split(" ")
            state.setdefault(int(i), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self._begun = facts["step"], time.monotonic() - facts["seconds"]
        self._saved = facts["seconds"]
        self.run = TrainingRun(
            [tuple(row) for row in facts["rows"]],
            facts["best"],
            facts["since_best"],
            {name: tensor.to(device) for name, tensor in tensors["best"].items()},
        )
