# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""A trained network for the labels and wavelengths of another grid."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from astropayne.labels.space import LabelSpace
from astropayne.networks.network import SpectralNetwork
from astropayne.wavelengths.axis import find_windows

__all__ = ["adapt_labels", "adapt_pixels"]

_RIDGE = 1e-3  # of the features' mean variance; keeps few spectra from fixing many weights


def adapt_labels(network: SpectralNetwork, old: LabelSpace, new: LabelSpace) -> SpectralNetwork:
    """Return the network with inputs for other label ranges, and for more labels.

    Its predictions stay the same as functions of the old labels; new labels have no effect yet.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    old, new : `~astropayne.labels.space.LabelSpace`
        Labels of the network, and of the grid that it will be trained on.

    Returns
    -------
    `~astropayne.networks.network.SpectralNetwork`

    Raises
    ------
    ValueError
        If the new grid lacks a label.
    """
    missing = [name for name in old.names if name not in new]
    if missing:
        raise ValueError(
            f"the model to start from has labels that the grid lacks: {', '.join(missing)}; "
            "labels can be added to a model, but not removed"
        )
    network = copy.deepcopy(network)
    first: Any = network.first
    order = [new.index(name) for name in old.names]
    # scaled old label = stretch * scaled new label + shift
    stretch = torch.as_tensor(new.width[order] / old.width)
    shift = torch.as_tensor((new.minimum[order] - old.minimum) / old.width + 0.5 * stretch.numpy())
    weight = first.weight.detach().double()
    wide = torch.zeros(*weight.shape[:-1], len(new), dtype=torch.float64)
    wide[..., order] = weight * stretch
    moved = (weight @ (shift - 0.5)).reshape(first.bias.shape)
    first.bias = nn.Parameter((first.bias.detach() + moved).float())
    first.weight = nn.Parameter(wide.float())
    if isinstance(first, nn.Linear):
        first.in_features = len(new)
    return network


def adapt_pixels(
    network: SpectralNetwork,
    old: np.ndarray,
    new: np.ndarray,
    x: npt.ArrayLike,
    flux: npt.ArrayLike,
) -> SpectralNetwork:
    """Return the network with an output for other wavelengths.

    Within the old windows, the last layer is interpolated; elsewhere it is fitted to the new
    spectra, by ridge regression on its inputs.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    old, new : numpy.ndarray, shapes (n_old,) and (n_pixels,)
        Wavelengths, in the same medium.
    x, flux : array_like, shapes (n, n_labels) and (n, n_pixels)
        Scaled labels and flux of some of the new spectra.

    Returns
    -------
    `~astropayne.networks.network.SpectralNetwork`
    """
    network = copy.deepcopy(network)
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1)
    part = torch.as_tensor((new - old[right - 1]) / (old[right] - old[right - 1]))[:, None]
    layer = network.pixels
    rows = torch.cat([layer.weight.detach(), layer.bias.detach()[:, None]], dim=1).double()
    values = (1 - part) * rows[right - 1] + part * rows[right]
    inside = np.zeros(len(new), dtype=bool)
    for window in find_windows(old):
        inside |= (new >= old[window][0]) & (new <= old[window][-1])
    if not inside.all():
        values[~inside] = _fit(network, x, np.asarray(flux)[:, ~inside])
    layer.weight = nn.Parameter(values[:, :-1].float())
    layer.bias = nn.Parameter(values[:, -1].float())
    layer.out_features = len(new)
    layer.lay_out(training=False)
    return network


def _fit(network: SpectralNetwork, x: npt.ArrayLike, flux: np.ndarray) -> torch.Tensor:
    """Return weights and biases of pixels, shape (n_pixels, n_features + 1), fitted to flux."""
    features = network.features(torch.as_tensor(x, dtype=torch.float32)).detach().double()
    target = torch.as_tensor(flux, dtype=torch.float64)
    if network.output == "sigmoid":
        target = torch.logit(target.clamp(1e-4, 1 - 1e-4))
    center, mean = features.mean(0), target.mean(0)
    centered = features - center
    normal = centered.T @ centered
    normal += _RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
    weight = torch.linalg.solve(normal, centered.T @ (target - mean)).T
    return torch.cat([weight, (mean - weight @ center)[:, None]], dim=1)
