# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`TrainingOptions`: the options of training, checked."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from astropayne.utils.quantities import strip_unit

__all__ = ["PRECISIONS", "TrainingOptions"]

#: Types of the numbers that layers multiply; the loss is always computed in float32.
PRECISIONS = ("float32", "bfloat16")


def _option(default: Any, description: str, check: Callable) -> Any:
    """Return a field with a description, and with a function that checks and converts its value."""
    return field(default=default, metadata={"description": description, "check": check})


def _count(name: str, value: Any) -> int:
    if not (isinstance(value, Real) and float(value) >= 1 and float(value) % 1 == 0):
        raise ValueError(f"{name} must be a whole number of 1 or more, got {_shown(value)}")
    return int(float(value))


def _positive(name: str, value: Any) -> float:
    if not (isinstance(value, Real) and 0 < float(value) < math.inf):
        raise ValueError(f"{name} must be a positive number, got {_shown(value)}")
    return float(value)  # numpy's own numbers cannot be written as JSON


def _not_negative(name: str, value: Any) -> float:
    if not (isinstance(value, Real) and 0 <= float(value) < math.inf):
        raise ValueError(f"{name} must be a number of 0 or more, got {_shown(value)}")
    return float(value)


def _seed(name: str, value: Any) -> int:
    if not (isinstance(value, Integral) and int(value) >= 0):
        raise ValueError(f"{name} must be a whole number of 0 or more, got {_shown(value)}")
    return int(value)


def _boolean(name: str, value: Any) -> bool:
    if value not in (False, True):
        raise ValueError(f"{name} must be True or False, got {_shown(value)}")
    return bool(value)


def _precision(name: str, value: Any) -> str:
    if value not in PRECISIONS:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(PRECISIONS)}")
    return value


def _or_none(check: Callable) -> Callable:
    """Return a check that accepts `None`, too."""
    return lambda name, value: None if value is None else check(name, value)


def _in_unit(unit: str) -> Callable:
    """Return a check of a positive number or quantity, or `None`."""

    def check(name: str, value: Any) -> float | None:
        if getattr(value, "unit", None) is not None:
            value = float(strip_unit(value, name, unit))
        return None if value is None else _positive(name, value)

    return check


def _shown(value: Any) -> str:
    return f"{value!r}" if isinstance(value, Real) else f"{value!r}, a {type(value).__name__}"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the training of a network.

    Values are checked and converted to Python's own numbers. The description of each field, which
    templates of options show, is in its ``metadata["description"]``.

    Attributes
    ----------
    batch_size : int
        Spectra in a step.
    learning_rate : float
        Highest learning rate: it rises over the first steps and falls as a cosine. The default is
        for narrow layers; layers of a thousand neurons or more need about 1e-3.
    weight_decay : float
        Weight decay of AdamW.
    label_decay : float
        Decay of all weights that a label has in one of a network's ``parts``, by the same amount
        however large they are: a part forgets labels that do not matter in its stretch.
    max_epochs : int
        Passes over the training spectra. The cosine reaches zero at their end.
    max_time : float, `~astropy.units.Quantity` or None
        Time limit, in seconds if it has no unit; with it the cosine ends at whichever limit is
        reached first. The last step then depends on the machine.
    t_max : int or None
        Steps of the cosine, if it does not last until the end: the learning rate then falls to
        1e-4 of its highest value, stays there, and training ends after three times as many steps
        at the latest, as in one_payne.
    check_interval : int
        Steps between validations; the best network seen is the one returned.
    patience : int or None
        Validations without a better network after which training stops.
    precision : {"float32", "bfloat16"}
        Type of the numbers that layers multiply. "bfloat16" is faster on GPUs that have it, and
        less exact; weights, loss and validation stay in float32.
    compile : bool
        Whether `torch.compile` makes kernels for the network first. That takes half a minute, and
        a C++ compiler; steps are then up to a tenth faster on a CPU.
    memory : float, `~astropy.units.Quantity` or None
        Memory for flux, in bytes if it has no unit; by default half of the device's. Flux that
        does not fit is read in shuffled blocks during training.
    checkpoint_interval : float
        Least number of seconds between checkpoints, which are written after a validation.
    seed : int
        Seed of the initial weights and of the order of the spectra.

    Raises
    ------
    ValueError
        If a value is not possible.
    astropy.units.UnitConversionError
        If a unit is wrong.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.networks.options import TrainingOptions
    >>> TrainingOptions(max_epochs=100, max_time=2 * u.min).max_time
    120.0
    """

    batch_size: int = _option(64, "Spectra in a step.", _count)
    learning_rate: float = _option(
        1e-2,
        "Highest learning rate: it rises over the first steps and falls as a cosine. The default "
        "is for narrow layers; layers of a thousand neurons or more need about 1e-3.",
        _positive,
    )
    weight_decay: float = _option(1e-2, "Weight decay of AdamW.", _not_negative)
    label_decay: float = _option(
        0.03,
        "Decay of all weights that a label has in one of a network's parts, by the same amount "
        "however large they are: a part forgets labels that do not matter in its stretch.",
        _not_negative,
    )
    max_epochs: int = _option(
        2000,
        "Passes over the training spectra. The cosine reaches zero at their end.",
        _count,
    )
    max_time: float | None = _option(
        None,
        "Time limit in seconds; with it the cosine ends at whichever limit is reached first.",
        _in_unit("s"),
    )
    t_max: int | None = _option(
        None,
        "Steps of the cosine, if it does not last until the end: the learning rate then falls to "
        "1e-4 of its highest value, stays there, and training ends after three times as many "
        "steps at the latest, as in one_payne.",
        _or_none(_count),
    )
    check_interval: int = _option(
        100,
        "Steps between validations; the best network seen is the one returned.",
        _count,
    )
    patience: int | None = _option(
        None,
        "Validations without a better network after which training stops.",
        _or_none(_count),
    )
    precision: str = _option(
        "float32",
        "Type of the numbers that layers multiply: float32 or bfloat16, which is faster on GPUs "
        "that have it, and less exact; weights, loss and validation stay in float32.",
        _precision,
    )
    compile: bool = _option(
        False,
        "Whether torch.compile makes kernels for the network first. That takes half a minute, and "
        "a C++ compiler; steps are then up to a tenth faster on a CPU.",
        _boolean,
    )
    memory: float | None = _option(
        None,
        "Bytes of memory for flux; by default half of the device's. Flux that does not fit is "
        "read in shuffled blocks during training.",
        _in_unit("byte"),
    )
    checkpoint_interval: float = _option(
        60.0,
        "Least number of seconds between checkpoints, which are written after a validation.",
        _not_negative,
    )
    seed: int = _option(0, "Seed of the initial weights and of the order of the spectra.", _seed)

    def __post_init__(self) -> None:
        for name, option in self.__dataclass_fields__.items():
            value = option.metadata["check"](name, getattr(self, name))
            object.__setattr__(self, name, value)
