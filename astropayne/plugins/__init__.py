# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Plugins: hooks, the manager, and what plugins return. The built-in ones use the same hooks."""

from astropayne.plugins.hookspecs import hookimpl
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
from astropayne.plugins.reader import GridReader, GridSource

__all__ = [
    "GridReader",
    "GridSource",
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
