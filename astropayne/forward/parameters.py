# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The layout of parameter vectors: labels in the model's order, then rv, vsini and vmac.

The functions take arrays or tensors whose last axis is that of the parameters, and return views.
No other module knows where a velocity stands in a vector.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["is_label", "labels_of", "parameter_names", "velocities_of", "velocity_of"]

_N = len(VELOCITIES)
_Vectors = TypeVar("_Vectors", np.ndarray, torch.Tensor)


def parameter_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of all parameters of a model with these labels."""
    return (*labels, *VELOCITIES)


def labels_of(theta: _Vectors) -> _Vectors:
    """Return the labels of parameter vectors: shape (..., n_labels)."""
    return theta[..., :-_N]


def velocities_of(theta: _Vectors) -> _Vectors:
    """Return rv, vsini and vmac of parameter vectors, in km/s: shape (..., 3)."""
    return theta[..., -_N:]


def velocity_of(theta: _Vectors, name: str) -> _Vectors:
    """Return one velocity of parameter vectors, in km/s: shape (...)."""
    return theta[..., VELOCITIES.index(name) - _N]


def is_label(index: np.ndarray, n_names: int) -> np.ndarray:
    """Return which positions, of ``n_names`` parameters, are those of labels."""
    return index < n_names - _N
