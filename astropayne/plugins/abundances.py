# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The abundance transforms, registered as anyone's would be."""

from astropayne.abundances import abundance_transforms
from astropayne.plugins.hookspecs import hookimpl

__all__ = []


@hookimpl
def astropayne_label_transforms():
    """Return [X/Fe] → [X/H] → A(X) for every element."""
    return list(abundance_transforms())
