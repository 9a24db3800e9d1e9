# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model on arrays: transfer functions, broadening, velocity and sampling."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "broadener": "Broadener",
        "model": "ForwardModel",
        "sampling": "Pixels",
    },
)
