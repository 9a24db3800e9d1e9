# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fits of observed spectra: one star, many stars, and the posterior of one."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "calibration": "calibrate",
        "fit": "fit_spectra fit_spectrum",
        "options": "FitOptions",
        "results": "FitResult",
        "batches": "IncompleteError Interrupted",
        "posterior": "Posterior Samples",
    },
)
