# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Lagrange interpolation: weights of the nodes around a point."""

import math

import numpy as np

__all__ = ["lagrange_weights", "uniform_lagrange"]


def lagrange_weights(
    nodes: np.ndarray, points: np.ndarray, taps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights that interpolate with the polynomials through the nearest nodes.

    Parameters
    ----------
    nodes : numpy.ndarray, shape (n_nodes,)
        Increasing.
    points : numpy.ndarray, shape (n,)
    taps : int
        Number of nodes of each polynomial, ``n_nodes`` at most.

    Returns
    -------
    index : numpy.ndarray of int, shape (n, taps)
        Indices of the nodes.
    weight : numpy.ndarray, shape (n, taps)
        Weights of the values there.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.interpolation import lagrange_weights
    >>> nodes = np.array([0.0, 1.0, 2.5, 3.0, 5.0])
    >>> index, weight = lagrange_weights(nodes, np.array([1.5]), taps=4)
    >>> float((weight * nodes[index] ** 3).sum().round(12))
    3.375
    """
    first = np.searchsorted(nodes, points) - taps // 2
    first = np.clip(first, 0, len(nodes) - taps)
    near = np.lib.stride_tricks.sliding_window_view(nodes, taps)
    others = (np.delete(near[:, [k]] - near, k, axis=1) for k in range(taps))
    apart = np.stack([distance.prod(axis=1) for distance in others], axis=1)
    weight = _weights(points[:, None] - near[first], apart[first])
    return first[:, None] + np.arange(taps), weight


def uniform_lagrange(fraction: np.ndarray, taps: int) -> np.ndarray:
    """Return the weights of `lagrange_weights` for nodes one apart.

    Parameters
    ----------
    fraction : numpy.ndarray
        Distance of points from node ``taps // 2 - 1``, the one before the middle.
    taps : int
        Number of nodes.

    Returns
    -------
    numpy.ndarray, shape (..., taps)

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths.interpolation import uniform_lagrange
    >>> uniform_lagrange(np.array([0.5]), taps=4).tolist()
    [[-0.0625, 0.5625, 0.5625, -0.0625]]
    """
    nodes = np.arange(taps) - (taps // 2 - 1)
    apart = [
        (-1) ** (taps - 1 - k) * math.factorial(k) * math.factorial(taps - 1 - k)
        for k in range(taps)
    ]
    return _weights(np.asarray(fraction)[..., None] - nodes, np.array(apart, dtype=float))


def _weights(distance: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return weights from the distances of points to nodes.

    Weight k is the product of the distances to the other nodes, over the product of the distances
    of node k from them, ``apart``. The products before and after k are accumulated.
    """
    one = np.ones((*distance.shape[:-1], 1))
    before = np.cumprod(np.concatenate([one, distance[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, distance[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    return before * after / apart
