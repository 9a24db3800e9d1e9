# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Observed spectra: reading, writing, noise, broadening, and their arrays.

Only this folder and results of fits take `~specutils.Spectrum` objects apart or make them. What
files call their columns, and what their headers mean, is in tables in ``astropayne/data``.
"""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "broaden": "broaden_spectrum degrade_spectrum",
        "files": "read_star",
        "info": "SpectrumInfo",
        "options": "ReadOptions",
        "read": "read_spectrum",
        "stars": "read_spectra",
        "write": "write_spectrum",
        "observation": "Observation observe",
    },
)
