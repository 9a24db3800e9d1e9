# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Architecture`: the layers of a network, and the functions between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "OUTPUTS", "VALUES", "Architecture"]


def _silu(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s = torch.sigmoid(z)
    return z * s, s * (1 + z * (1 - s))


def _gelu(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    normal = 0.5 * (1 + torch.erf(z * 0.5**0.5))
    return z * normal, normal + z * torch.exp(-0.5 * z**2) * (2 * torch.pi) ** -0.5


def _tanh(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    t = torch.tanh(z)
    return t, 1 - t**2


def _leaky_relu(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    slope = torch.full_like(z, 0.01).masked_fill(z > 0, 1.0)
    return z * slope, slope


def _sigmoid(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    s = torch.sigmoid(z)
    return s, s * (1 - s)


def _linear(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return z, torch.ones_like(z)


#: Functions between layers; each returns its value and its derivative.
ACTIVATIONS = {"silu": _silu, "gelu": _gelu, "tanh": _tanh, "leaky_relu": _leaky_relu}
#: Functions behind the last layer: with "sigmoid" the flux stays between 0 and 1.
OUTPUTS = {"sigmoid": _sigmoid, "linear": _linear}
# The values alone, by torch's kernels, which read the numbers once.
VALUES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
    "leaky_relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "linear": nn.Identity(),
}


_MEMBERS, _PARTS = 2, 16  # where networks side by side cost little


def _described(default: Any, description: str) -> Any:
    """Return a field of a dataclass with a description, which templates of options show."""
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Architecture:
    """The layers of a network, independent of its labels and pixels.

    The fields are the parameters of `astropayne.PayneModel`; each one's description is in
    ``dataclasses.fields(Architecture)[i].metadata["description"]``.

    Raises
    ------
    ValueError
        If a value is not possible.

    Examples
    --------
    >>> from astropayne.networks.architecture import Architecture
    >>> Architecture(hidden_layers=(64, 64)).parts
    16
    """

    hidden_layers: Sequence[int] = _described(
        (96, 96, 96),
        "Neurons of the hidden layers, in each of the networks that members and parts make. For "
        "layers of several hundred neurons, parts = 1 is best.",
    )
    activation: str = _described(
        "gelu", "Function behind each hidden layer: silu, gelu, tanh or leaky_relu."
    )
    output: str = _described(
        "linear",
        "Function behind the last layer: linear or sigmoid, which keeps the flux between 0 and 1.",
    )
    components: int | None = _described(
        192,
        "Size of the basis of spectra that the network combines: the principal components of the "
        "training spectra. With a linear output they stay so; otherwise they are trained too. "
        "Without it, the last hidden layer leads to the pixels directly.",
    )
    members: int | None = _described(
        None,
        "Networks that are trained side by side, and whose mean is the model. By default 2 with a "
        "linear output and components, where they cost little, and otherwise 1.",
    )
    parts: int | None = _described(
        None,
        "Networks that each member consists of: each makes a stretch of the spectrum, and learns "
        "which labels matter there. By default 16 with a linear output and components, and "
        "otherwise 1.",
    )

    def __post_init__(self) -> None:
        cheap = self.output == "linear" and self.components is not None
        if self.members is None:
            object.__setattr__(self, "members", _MEMBERS if cheap else 1)
        if self.parts is None:
            object.__setattr__(self, "parts", _PARTS if cheap else 1)
        for what, value, valid in (
            ("activation", self.activation, ACTIVATIONS),
            ("output", self.output, OUTPUTS),
        ):
            if value not in valid:
                raise ValueError(f"{what}={value!r} is not one of {', '.join(valid)}")
        object.__setattr__(self, "hidden_layers", _whole_numbers(self.hidden_layers))
        if min(self.hidden_layers, default=1) < 1:
            raise ValueError(
                f"layers need at least one neuron each, got {list(self.hidden_layers)}"
            )
        for what in ("components", "members", "parts"):
            self._require_count(what)

    def _require_count(self, what: str) -> None:
        n: Any = getattr(self, what)
        if n is None and what == "components":
            return
        if not (_is_count(n)):
            raise ValueError(f"{what}={n!r} must be a whole number of 1 or more")
        if n > 1 and self.components is None:
            raise ValueError(
                f"{what}={n}: networks side by side need components= to share; "
                f"{what}=1 goes without"
            )
        object.__setattr__(self, what, int(n))


def _is_count(n: Any) -> bool:
    return isinstance(n, Real) and bool(float(n) >= 1 and float(n) % 1 == 0)


def _whole_numbers(values: Sequence[int]) -> tuple[int, ...]:
    try:
        items = tuple(values)
        numbers = tuple(map(int, items))
        whole = numbers == items
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            f"hidden_layers={values!r} must be a sequence of whole numbers, one for each hidden "
            "layer: (64, 64, 64)"
        )
    return numbers
