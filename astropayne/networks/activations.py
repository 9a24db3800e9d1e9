# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Activation functions and their derivatives."""

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "OUTPUTS", "VALUES"]


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
VALUES = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "tanh": torch.tanh,
    "leaky_relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "linear": nn.Identity(),
}
