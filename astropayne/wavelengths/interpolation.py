# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Lagrange interpolation."""

import numpy as np
from scipy.special import comb

__all__ = ["lagrange_weights", "uniform_lagrange"]


def lagrange_weights(nodes, points, taps):
    """Return what interpolates by the polynomials through the nearest nodes (Lagrange).

    Parameters
    ----------
    nodes : numpy.ndarray, shape (n_nodes,)
        Increasing.
    points : numpy.ndarray, shape (n,)
    taps : int
        Nodes that a polynomial goes through, ``n_nodes`` at most.

    Returns
    -------
    index : numpy.ndarray of int, shape (n, taps)
        Of the nodes.
    weight : numpy.ndarray, shape (n, taps)
        Of the values there.

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
    distance, one = points[:, None] - near[first], np.ones((len(points), 1))
    before = np.cumprod(np.hstack([one, distance[:, :-1]]), axis=1)
    after = np.cumprod(np.hstack([one, distance[:, :0:-1]]), axis=1)[:, ::-1]
    return first[:, None] + np.arange(taps), before * after / apart[first]


def uniform_lagrange(fraction, taps, dtype):
    """Return weights of Lagrange interpolation, ``fraction`` beyond the middle of uniform nodes.

    The barycentric form (Berrut & Trefethen 2004, SIAM Review 46, 501); a point on a node is moved
    from it by nothing that could be seen.
    """
    nodes = np.arange(taps)
    binomial = ((-1.0) ** nodes * comb(taps - 1, nodes)).astype(dtype)
    nodes = (nodes - (taps // 2 - 1)).astype(dtype)
    distance = fraction[..., None].astype(dtype) - nodes
    tiny = np.finfo(dtype).eps
    distance[np.abs(distance) < tiny] = tiny
    weight = np.divide(binomial, distance, out=distance)
    weight /= weight.sum(axis=-1, keepdims=True)
    return weight
