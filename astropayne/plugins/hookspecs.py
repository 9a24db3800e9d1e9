# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The hooks a plugin may implement. Each returns objects, and is called when they are needed."""

import pluggy

__all__ = ["astropayne_grid_readers", "astropayne_label_transforms", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("astropayne")
hookimpl = pluggy.HookimplMarker("astropayne")


@hookspec
def astropayne_grid_readers():
    """Return a list of `~astropayne.plugins.GridReader`, each reads grids of one format."""


@hookspec
def astropayne_label_transforms():
    """Return a list of `~astropayne.plugins.interfaces.LabelTransform`, `~astropayne.plugins.interfaces.LabelRelation`.

    Names of labels may be in any spelling there; the values they are called with are under the
    names that `~astropayne.labels.names.parse_label` gives.
    """
