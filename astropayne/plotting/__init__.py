# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Pictures of spectra, fits, models, evaluations and abundances.

Functions use the attributes of models, grids and results, and import none of their classes.
"""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "spectra": "plot_fit plot_spectrum plot_variations",
        "emulator": (
            "plot_coverage plot_error_planes plot_error_trends plot_history "
            "plot_pixel_comparison plot_pixel_errors"
        ),
        "recovery": "plot_differences plot_pulls plot_recovery plot_scatter",
        "covariance": "plot_covariance",
        "abundances": "plot_element plot_plan",
    },
)
