# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The hooks that a plugin can implement. Each is called when its result is needed."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from astropayne.plugins.interfaces import GridReader, LabelRelation, LabelTransform

__all__ = ["astropayne_grid_readers", "astropayne_label_transforms", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("astropayne")
hookimpl = pluggy.HookimplMarker("astropayne")


@hookspec
def astropayne_grid_readers() -> "list[GridReader]":  # type: ignore[empty-body]
    """Return readers of grids, one for each format.

    Returns
    -------
    list of `~astropayne.plugins.GridReader`
    """


@hookspec
def astropayne_label_transforms() -> "list[LabelTransform | LabelRelation]":  # type: ignore[empty-body]
    """Return transforms and relations of labels.

    They may name labels in any spelling. The values that they are called with are under the names
    that `~astropayne.labels.names.parse_label` returns.

    Returns
    -------
    list of `~astropayne.plugins.LabelTransform` and `~astropayne.plugins.LabelRelation`
    """
