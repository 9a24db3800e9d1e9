# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Plugins: hooks, the manager, and what plugins return. The built-in ones use the same hooks.

Names are loaded when they are first used: a process that helps with reading needs few of them.
"""

import importlib

_HOME = {
    "GridReader": "reader",
    "GridSource": "reader",
    "PluginInfo": "manager",
    "PluginWarning": "manager",
    "fitting_formats": "manager",
    "grid_readers": "manager",
    "hookimpl": "hookspecs",
    "label_transforms": "manager",
    "list_plugins": "manager",
    "reader_origin": "manager",
    "register_plugin": "manager",
    "unregister_plugin": "manager",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
