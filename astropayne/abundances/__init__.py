# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances element by element: line lists, stages, measuring and planning."""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "lines": "LineList",
        "finder": "find",
        "stages": "Stage read_stages",
        "flags": "ElementFlag",
        "measuring": "fit_abundances",
        "planning": "describe_plan plan",
        "sensitivities": "sensitivity",
    },
)
