# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Observed spectra: reading, writing, noise, broadening, and their arrays."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "broaden": "broaden_spectrum degrade_spectrum",
        "files": "read_star",
        "read": "read_spectrum",
        "write": "write_spectrum",
        "observation": "Observation observe",
    },
)
