# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""A trained network made ready for another grid: its labels, its wavelengths."""

import copy

import numpy as np
import torch
from torch import nn

from astropayne.wavelengths.axis import find_windows

__all__ = ["adapt_labels", "adapt_pixels"]

_RIDGE = 1e-3  # of the features' mean variance; keeps few spectra from fixing many weights


def adapt_labels(network, old, new):
    """Return the network with inputs for other label ranges, and for more labels.

    Its predictions for labels that it knows stay the same; new labels change nothing yet.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    old, new : `~astropayne.labels.space.LabelSpace`
        What the network was trained on, and what it is to be trained on.

    Raises
    ------
    ValueError
        If the new grid lacks a label.
    """
    missing = [name for name in old.names if name not in new]
    if missing:
        raise ValueError(
            f"the model to start from has labels that the grid lacks: {', '.join(missing)}; "
            "labels can be added to a model, not taken away"
        )
    network = copy.deepcopy(network)
    first = network.first
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


def adapt_pixels(network, old, new, x, flux):
    """Return the network with an output for other wavelengths.

    Where the old pixels reach, the last layer is interpolated; elsewhere it is fitted to the new
    spectra, by ridge regression on what the layers before it give.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    old, new : numpy.ndarray, shapes (n_old,) and (n_pixels,)
        Wavelengths, in the same medium.
    x, flux : array_like, shapes (n, n_labels) and (n, n_pixels)
        Scaled labels and flux of some of the new spectra.
    """
    network = copy.deepcopy(network)
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1)
    part = torch.as_tensor((new - old[right - 1]) / (old[right] - old[right - 1]))[:, None]
    layer = network.pixels
    known = torch.cat([layer.weight.detach(), layer.bias.detach()[:, None]], dim=1).double()
    values = (1 - part) * known[right - 1] + part * known[right]
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


def _fit(network, x, flux):
    """Return weights and biases of pixels, shape (n_pixels, n_features + 1), fitted to flux."""
    features = network.features(torch.as_tensor(x, dtype=torch.float32)).detach().double()
    target = torch.as_tensor(flux, dtype=torch.float64)
    if network.output == "sigmoid":
        target = torch.logit(target.clamp(1e-4, 1 - 1e-4))
    centre, mean = features.mean(0), target.mean(0)
    centred = features - centre
    normal = centred.T @ centred
    normal += _RIDGE * normal.diagonal().mean() * torch.eye(len(normal), dtype=torch.float64)
    weight = torch.linalg.solve(normal, centred.T @ (target - mean)).T
    return torch.cat([weight, (mean - weight @ centre)[:, None]], dim=1)
