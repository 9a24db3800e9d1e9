# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Evaluation of models: flux errors, label recovery, verdict and report."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "evaluate": "Evaluation evaluate held_out",
        "flux_errors": "flux_errors",
        "recovery": "recover_labels summarise_recovery true_labels with_noise",
        "verdict": "THRESHOLDS judge limits_of",
        "report": "write_report",
    },
)
