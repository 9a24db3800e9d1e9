# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels of a grid in another convention."""

from dataclasses import replace

import numpy as np

from astropayne.labels.conversion import LabelConversion
from astropayne.labels.names import ALPHA_ELEMENTS, Label, parse_label

__all__ = ["transformed", "without_constant_labels"]


def without_constant_labels(source):
    """Take out labels that have one value only: nothing can be learnt of them."""
    constant, labels = {}, source.labels
    if len(labels) > 1:
        for name in labels.colnames:
            values = Label(name).to_value(labels[name])
            if (values == values[0]).all():
                constant[name] = float(values[0])
    varying = [name for name in labels.colnames if name not in constant]
    if not varying:
        raise ValueError(
            f"every label ({', '.join(labels.colnames)}) has one value in all spectra: nothing "
            "tells them apart"
        )
    labels = labels[varying]
    return replace(source, labels=labels), constant


def transformed(table, targets, scale, constant):
    for target in targets:
        table = _transform_one(table, parse_label(target), scale, constant)
    return table


def _transform_one(table, target, scale, constant):
    """Put a label in the place of another; ``constant`` are labels with one value in all rows."""
    if target in table.colnames:
        return table
    if target == "alpha_Fe" and "alpha_H" not in table.colnames:
        return _tie_alpha(table)
    known = {**constant, **{name: table[name] for name in table.colnames}}
    conversion = LabelConversion(known, [target], scale)
    new, source = table.copy(), conversion.source(target)
    if source not in table.colnames:
        raise ValueError(f"{target!r} follows from {source!r}, which all spectra have in common")
    new[source] = conversion.table(known)[target]
    new.rename_column(source, target)
    return new


def _tie_alpha(table):
    """Replace the [X/Fe] of α elements by [α/Fe]: they say one thing only if they are all alike."""
    tied = [name for name in table.colnames if name in {f"{x}_Fe" for x in ALPHA_ELEMENTS}]
    values = np.array([Label(name).to_value(table[name]) for name in tied])
    if len(tied) < 2 or np.nanmax(np.ptp(values, axis=0), initial=0.0) > 1e-6:
        raise ValueError(
            "'alpha_Fe' can replace the [X/Fe] of α elements where all of them are equal in every "
            f"spectrum; here there is {', '.join(tied) or 'none'}, which "
            f"{'vary apart: they are labels of their own' if len(tied) > 1 else 'is not several'}"
        )
    new = table.copy()
    new.rename_column(tied[0], "alpha_Fe")
    new.remove_columns(tied[1:])
    return new
