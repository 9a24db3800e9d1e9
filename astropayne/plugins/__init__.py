# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Plugins: the hooks, the manager, and the interfaces of what plugins provide.

The built-in readers and transforms are registered by the same hooks.
"""

from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource, LabelRelation, LabelTransform
from astropayne.plugins.manager import (
    PluginInfo,
    PluginWarning,
    fitting_formats,
    grid_readers,
    label_transforms,
    list_plugins,
    reader_origin,
    register_plugin,
    unregister_plugin,
)

__all__ = [
    "GridReader",
    "GridSource",
    "LabelRelation",
    "LabelTransform",
    "PluginInfo",
    "PluginWarning",
    "fitting_formats",
    "grid_readers",
    "hookimpl",
    "label_transforms",
    "list_plugins",
    "reader_origin",
    "register_plugin",
    "unregister_plugin",
]
