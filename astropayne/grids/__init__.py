# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grids of synthetic spectra: reading, checking, reshaping, relabeling, combining."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "data": "GridWarning",
        "grid": "SpectralGrid",
        "info": "GridInfo",
    },
)
