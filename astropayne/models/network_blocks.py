# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flux, derivatives and spread of a network at many scaled labels, in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np
import torch

from astropayne.networks.network import SpectralNetwork
from astropayne.utils.torch_state import without_gradients

__all__ = ["jacobian_blocks", "member_spread", "network_flux", "residual_blocks"]

_PIXELS = 1 << 21  # pixels of residuals or derivatives in one block
_SPREAD_ROWS = 1 << 12  # spectra whose spread is computed in one block


def network_flux(network: SpectralNetwork, x: np.ndarray) -> np.ndarray:
    """Return the flux of a network.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels)
        In single precision.
    """
    with without_gradients():
        return network(torch.as_tensor(x, dtype=torch.float32)).numpy()


def member_spread(network: SpectralNetwork, x: np.ndarray) -> np.ndarray:
    """Return the spread of a network's members.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
        With two members or more.
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels.

    Returns
    -------
    numpy.ndarray, shape (n,)
        At least 1e-12.
    """
    blocks = torch.as_tensor(x, dtype=torch.float32).split(_SPREAD_ROWS)
    with without_gradients():
        spread = torch.cat([network.spread(block) for block in blocks])
    return np.maximum(spread.numpy().astype(float), 1e-12)


def jacobian_blocks(network: SpectralNetwork, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the derivatives of the flux by scaled labels, a block of spectra at a time.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels.

    Yields
    ------
    rows : slice
        The spectra in this block.
    jacobian : numpy.ndarray, shape (n_rows, n_labels, n_pixels)
    """
    n_labels, n_pixels = (network.architecture[name] for name in ("n_labels", "n_pixels"))
    size = max(1, _PIXELS // (n_labels * n_pixels))
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        with without_gradients():
            block = torch.as_tensor(x[rows], dtype=torch.float32)
            jacobian = network.flux_and_jacobian(block)[1].numpy()
        yield rows, jacobian


def residual_blocks(
    network: SpectralNetwork, x: np.ndarray, flux: np.ndarray, rows: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield predicted minus true flux, a block of spectra at a time.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels.
    flux : array_like, shape (n, n_pixels)
        True flux; it may be a ``astropayne.grids.flux_file.FluxFile``.
    rows : numpy.ndarray of int
        The spectra to compare.

    Yields
    ------
    numpy.ndarray, shape (n_rows, n_pixels)
        In single precision.
    """
    for part in np.array_split(rows, 1 + len(rows) * flux.shape[1] // _PIXELS):
        yield network_flux(network, x[part]) - np.asarray(flux[part], dtype=np.float32)
