# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Resolution that varies from pixel to pixel."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.polynomial import chebyshev

from astropayne.wavelengths.interpolation import lagrange_weights

__all__ = ["resolution_may_vary"]

_Result = TypeVar("_Result")


def resolution_may_vary(method: Callable[..., _Result]) -> Callable[..., _Result]:
    """Let a method's ``resolution`` have the shape (n, n_pixels), or (1, n_pixels) for all stars.

    Flux changes smoothly with ln R. It is computed for all pixels at a few resolutions (Chebyshev
    nodes), and interpolated to the resolution of each pixel. The number of nodes makes the flux
    accurate to 2e-5 of the continuum; derivatives are those of the interpolation.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def at_each_pixel(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        resolution = call.arguments.get("resolution")
        if np.ndim(resolution) < 2:
            return method(*args, **kwargs)
        log = np.log(np.asarray(resolution, dtype=float))
        middle, half = 0.5 * (log.max() + log.min()), 0.5 * (log.max() - log.min())
        nodes = chebyshev.chebpts1(4 + int(12 * half)) if half > 1e-9 else np.zeros(1)
        weights = lagrange_weights(nodes, ((log - middle) / max(half, 1e-9)).ravel(), len(nodes))[1]
        total = []
        for node, weight in zip(nodes, weights.T, strict=True):
            call.arguments["resolution"] = np.exp(middle + half * node)
            found = method(*call.args, **call.kwargs)
            parts = found if isinstance(found, tuple) else (found,)
            weight = torch.as_tensor(weight.reshape(log.shape)).to(parts[0])
            terms = [part * weight[(...,) + (None,) * (part.ndim - 2)] for part in parts]
            total = [a + b for a, b in zip(total, terms, strict=True)] if total else terms
        return tuple(total) if isinstance(found, tuple) else total[0]

    return at_each_pixel
