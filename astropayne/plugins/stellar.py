# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Logarithms and microturbulence relations, registered as anyone's would be."""

from astropayne.plugins.hookspecs import hookimpl
from astropayne.stellar import stellar_transforms

__all__ = []


@hookimpl
def astropayne_label_transforms():
    """Return the logarithms of labels, and the relations for vmic."""
    return list(stellar_transforms())
