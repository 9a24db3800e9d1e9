# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelengths: axes and windows, air and vacuum, velocities, resolution, regions, resampling.

Everything here works on arrays in Å. `rebin` and `degrade` change the pixels and the resolution of
many spectra at once, with sparse matrices; `lagrange_weights` interpolates.
"""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "axis": ("covered_range effective_arms find_windows pixel_width require_axis without_gaps"),
        "media": ("MEDIA require_medium spectral_equivalencies to_air to_vacuum vacuum_angstrom"),
        "velocity": "C_KMS FASTEST FASTEST_RV VELOCITIES checked_velocity doppler_factor",
        "resolution": "FWHM ResolutionCurve require_resolution resolution_at",
        "regions": "checked_region inside_regions",
        "rebinning": "log_axis pixel_edges rebin rebin_matrix",
        "smoothing": "degrade degrade_matrix",
        "interpolation": "lagrange_weights uniform_lagrange",
    },
)
