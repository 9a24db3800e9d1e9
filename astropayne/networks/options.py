# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`TrainingOptions`: the options of training, checked."""

import math
from dataclasses import dataclass
from numbers import Integral, Real

__all__ = ["PRECISIONS", "TrainingOptions"]

#: Types of the numbers that layers multiply; the loss is always computed in float32.
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Attributes
    ----------
    batch_size : int
        Spectra a step.
    learning_rate : float
        Its highest value: it rises over the first steps and falls as a cosine. The default is for
        narrow layers; some thousand neurons want 1e-3.
    weight_decay : float
        Of AdamW.
    label_decay : float
        Decay of all weights that a label has in one of a network's ``parts``, by the same amount
        however large they are: a part forgets labels that do not matter in its stretch.
    max_epochs : int
        Passes over the training spectra. The cosine reaches zero at their end.
    max_time : float or None
        Seconds; with it the cosine ends at whichever limit is reached first.
    t_max : int or None
        Steps of the cosine, if it is not to last until the end: it then falls to 1e-4 of its
        highest value, stays there, and training ends after three times as many steps at the
        latest, as in one_payne.
    check_interval : int
        Steps between validations; the best network seen is the one returned.
    patience : int or None
        Stop after so many validations without a better one.
    precision : {"float32", "bfloat16"}
        Of the numbers that layers multiply. "bfloat16" is faster on GPUs that have it, and less
        exact; weights, loss and validation stay in float32.
    compile : bool
        Whether `torch.compile` makes kernels for the network first. That takes half a minute, and
        a C++ compiler; steps are then up to a tenth faster on a CPU.
    memory : float or None
        Bytes that flux may take. What does not fit is read in shuffled blocks while training
        goes on. By default half of the device's.
    checkpoint_interval : float
        Seconds between checkpoints, at least; they are written after a validation.
    seed : int
        Of the initial weights and the order of the spectra.

    Raises
    ------
    ValueError
        If a value is not possible.
    """

    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    label_decay: float = 0.03
    max_epochs: int = 2000
    max_time: float | None = None
    t_max: int | None = None
    check_interval: int = 100
    patience: int | None = None
    precision: str = "float32"
    compile: bool = False
    memory: float | None = None
    checkpoint_interval: float = 60.0
    seed: int = 0

    def __post_init__(self):
        for name in ("batch_size", "max_epochs", "t_max", "check_interval", "patience"):
            value = getattr(self, name)
            if value is None and name in ("t_max", "patience"):
                continue
            if not (isinstance(value, Real) and value >= 1 and value % 1 == 0):
                said = _said(value)
                raise ValueError(f"{name} has to be a whole number of 1 or more, got {said}")
            object.__setattr__(self, name, int(value))
        if not (isinstance(self.seed, Integral) and self.seed >= 0):
            raise ValueError(f"seed has to be a whole number of 0 or more, got {_said(self.seed)}")
        object.__setattr__(self, "seed", int(self.seed))
        for name in ("learning_rate", "max_time", "memory"):
            value = getattr(self, name)
            if value is None and name != "learning_rate":
                continue
            if not (isinstance(value, Real) and 0 < value < math.inf):
                raise ValueError(f"{name} has to be a positive number, got {_said(value)}")
            object.__setattr__(self, name, float(value))  # numpy's own cannot be written as JSON
        for name in ("weight_decay", "label_decay", "checkpoint_interval"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= value < math.inf):
                raise ValueError(f"{name} has to be a number of 0 or more, got {_said(value)}")
            object.__setattr__(self, name, float(value))
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} is not one of {', '.join(PRECISIONS)}")
        if self.compile not in (False, True):
            raise ValueError(f"compile has to be True or False, got {_said(self.compile)}")
        object.__setattr__(self, "compile", bool(self.compile))


def _said(value):
    return f"{value!r}" if isinstance(value, Real) else f"{value!r}, a {type(value).__name__}"
