# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances of single elements: line lists, analyses in stages, and planning of observations.

`fit_abundances` measures abundances from lines; `find` finds the lines that a model knows, and
`plan` predicts the errors of an observation.
"""

from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "lines": "LineList",
        "finder": "find",
        "stages": "Stage read_stages",
        "options": "ElementFlag",
        "fit": "fit_abundances",
        "planning": "describe_plan plan",
        "sensitivities": "sensitivity",
    },
)
