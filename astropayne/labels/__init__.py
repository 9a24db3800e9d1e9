# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels: names and spellings, ranges, solar scales, and transforms between conventions.

`parse_label` reads any spelling, `LabelSpace` holds the labels of a grid or model with their
ranges, `labels_in` and `LabelConversion` convert between conventions, and `SolarScale` holds A(X).
"""

from astropayne.plugins.interfaces import LabelRelation, LabelTransform
from astropayne.utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "names": ("ALPHA_ELEMENTS ELEMENTS Label RESERVED_NAMES parse_label unknown_label_message"),
        "space": "LabelRangeWarning LabelSpace",
        "columns": "label_columns label_values named_columns one_star",
        "solar": "MissingAbundanceError SOLAR_SCALES SolarScale same_scale solar_scale",
        "abundance_transforms": "AbundanceTransform abundance_transforms",
        "stellar_transforms": "LogTransform MicroturbulenceRelation stellar_transforms",
        "conversion": "LabelConversion labels_in same_label",
        "fixed": "FixedLabels LabelTie",
    },
)
__all__ += ["LabelRelation", "LabelTransform"]
