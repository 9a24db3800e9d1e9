# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Evaluation of trained models on spectra that they have not seen.

`evaluate` measures the errors of the predicted flux and of the labels that fits recover, and
compares both with limits; `write_report` shows the results on one page of HTML.
"""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "evaluation": "Evaluation evaluate held_out",
        "flux": "flux_errors",
        "recovery": "recover_labels summarize_recovery true_labels",
        "verdict": "THRESHOLDS judge",
        "report": "write_report",
    },
)
