# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Finding, registering and listing plugins; a broken one never takes the others down."""

import importlib
import os
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

import pluggy
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.plugins import hookspecs

__all__ = [
    "PluginInfo",
    "PluginWarning",
    "grid_readers",
    "label_transforms",
    "list_plugins",
    "register_plugin",
    "unregister_plugin",
]

_BUILTIN = (
    "astropayne.plugins.tsfitpy",
    "astropayne.plugins.one_payne",
    "astropayne.plugins.the_payne",
    "astropayne.plugins.specutils_reader",
    "astropayne.plugins.asdf_grid",
    "astropayne.plugins.abundances",
)


class PluginWarning(AstropyUserWarning):
    """A plugin could not be used; the rest goes on without it."""


@dataclass(frozen=True)
class PluginInfo:
    """What `list_plugins` says of a plugin.

    Attributes
    ----------
    name : str
        The name it is registered under.
    source : str
        The distribution or module it comes from.
    gives : tuple of str
        Formats of its grid readers and names of its label transforms' kinds.
    problem : str
        Why it cannot be used; empty if it can.
    """

    name: str
    source: str
    gives: tuple = ()
    problem: str = ""


class _Registry:
    """The plugin manager and what is known of its plugins."""

    def __init__(self):
        self.manager = pluggy.PluginManager("astropayne")
        self.manager.add_hookspecs(hookspecs)
        self.sources = {}
        self.problems = {}
        for module in _BUILTIN:
            self.add(importlib.import_module(module), module.rpartition(".")[2], "astropayne")
        disabled = os.environ.get("ASTROPAYNE_DISABLED_PLUGINS", "").replace(",", " ").split()
        for name in disabled:
            self.manager.set_blocked(name)
            self.problems[name] = "disabled by the environment variable ASTROPAYNE_DISABLED_PLUGINS"
        for point in entry_points(group="astropayne"):
            self._load(point)

    def add(self, plugin, name, source):
        """Register a plugin, if it knows the hooks it implements."""
        self.manager.register(plugin, name=name)
        unknown = [
            caller.name
            for caller in self.manager.get_hookcallers(plugin) or ()
            if not caller.has_spec()
        ]
        if unknown:
            self.manager.unregister(plugin)
            hooks = [name for name in hookspecs.__all__ if name.startswith("astropayne_")]
            raise ValueError(
                f"plugin {name!r} implements {', '.join(unknown)}, which astropayne does not know; "
                f"its hooks are {', '.join(hooks)}"
            )
        self.sources[name] = source

    def _load(self, point):
        if self.manager.is_blocked(point.name) or self.manager.has_plugin(point.name):
            return
        source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            self.add(point.load(), point.name, source)
        except Exception as error:  # whatever a stranger's module raises: the rest goes on
            self.report(point.name, source, error)

    def report(self, name, source, error):
        """Set a plugin aside, with one warning."""
        self.manager.set_blocked(name)
        self.sources[name] = source
        self.problems[name] = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"plugin {name!r} from {source} is not used. {self.problems[name]}",
            PluginWarning,
            stacklevel=2,
        )

    def collect(self, hook):
        """Call a hook plugin by plugin, so that one that raises is set aside alone."""
        found = {}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            try:
                found[name] = list(implementation.function())
            except Exception as error:  # as in _load
                self.manager.unregister(name=name)
                self.report(name, self.sources[name], error)
        return found


@cache
def _registry():
    return _Registry()


def register_plugin(plugin, name=None):
    """Register a plugin by hand.

    Parameters
    ----------
    plugin : module or object
        Its functions or methods marked with ``astropayne.hookimpl`` are the hooks it implements.
    name : str, optional
        Name in the list of plugins; the module's name by default.

    Returns
    -------
    str
        The name it is registered under, for `unregister_plugin`.

    Raises
    ------
    ValueError
        If the name is taken, or a hook is not one of astropayne's.

    Examples
    --------
    >>> import astropayne
    >>> class MyPlugin:
    ...     @astropayne.hookimpl
    ...     def astropayne_label_transforms(self):
    ...         return []
    >>> astropayne.register_plugin(MyPlugin(), name="mine")
    'mine'
    >>> astropayne.unregister_plugin("mine")
    """
    registry = _registry()
    name = name or getattr(plugin, "__name__", type(plugin).__name__)
    if registry.manager.has_plugin(name):
        raise ValueError(
            f"a plugin named {name!r} is already registered (from {registry.sources[name]}): "
            "give another name, or unregister that one first"
        )
    registry.add(plugin, name, getattr(plugin, "__module__", None) or name)
    return name


def unregister_plugin(name):
    """Take a plugin out again.

    Parameters
    ----------
    name : str
        As `register_plugin` returned it.
    """
    registry = _registry()
    if not registry.manager.has_plugin(name):
        raise ValueError(f"no plugin is registered as {name!r}; `astropayne plugins` lists them")
    registry.manager.unregister(name=name)
    del registry.sources[name]


def grid_readers():
    """Return the grid readers of all plugins: a dict of format to reader.

    Raises
    ------
    ValueError
        If two plugins give the same format.
    """
    readers, owner = {}, {}
    for plugin, found in _registry().collect("astropayne_grid_readers").items():
        for reader in found:
            if reader.format in readers:
                raise ValueError(
                    f"grid format {reader.format!r} is given by two plugins: "
                    f"{owner[reader.format]!r} and {plugin!r}; disable one with "
                    "ASTROPAYNE_DISABLED_PLUGINS or unregister_plugin"
                )
            readers[reader.format], owner[reader.format] = reader, plugin
    return readers


def label_transforms():
    """Return the label transforms of all plugins, as a list."""
    found = _registry().collect("astropayne_label_transforms")
    return [transform for transforms in found.values() for transform in transforms]


def list_plugins():
    """Return a `PluginInfo` for every plugin, also the broken and the disabled ones."""
    registry = _registry()
    gives = {}
    for name, readers in registry.collect("astropayne_grid_readers").items():
        gives.setdefault(name, []).extend(f"grid format {reader.format!r}" for reader in readers)
    for name, transforms in registry.collect("astropayne_label_transforms").items():
        gives.setdefault(name, []).append(f"{len(transforms)} label transforms")
    names = dict.fromkeys([*registry.sources, *registry.problems])
    return [
        PluginInfo(
            name,
            registry.sources.get(name, "not loaded"),
            tuple(gives.get(name, ())),
            registry.problems.get(name, ""),
        )
        for name in names
    ]
