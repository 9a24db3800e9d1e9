# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Finding, registering and listing plugins; a broken one never takes the others down."""

import importlib
import os
import warnings
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points

import pluggy
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.plugins import hookspecs
from astropayne.plugins.interfaces import GridReader

__all__ = [
    "PluginInfo",
    "PluginWarning",
    "fitting_formats",
    "grid_readers",
    "label_transforms",
    "list_plugins",
    "reader_origin",
    "register_plugin",
    "unregister_plugin",
]

_BUILTIN = {
    "tsfitpy": "astropayne.grids.readers.tsfitpy",
    "one_payne": "astropayne.grids.readers.one_payne",
    "the_payne": "astropayne.grids.readers.the_payne",
    "specutils_reader": "astropayne.grids.readers.spectra",
    "asdf_grid": "astropayne.grids.readers.astropayne",
    "abundances": "astropayne.labels.abundance_transforms",
    "stellar": "astropayne.labels.stellar_transforms",
}
_DISABLED = "ASTROPAYNE_DISABLED_PLUGINS"


class PluginWarning(AstropyUserWarning):
    """A plugin could not be used; the rest goes on without it."""


@dataclass
class PluginInfo:
    """What `list_plugins` says of a plugin.

    Attributes
    ----------
    name : str
        The name it is registered under.
    source : str
        The distribution or module it comes from.
    state : str
        ``"loaded"``, ``"broken"`` or ``"disabled"``.
    problem : str
        What is wrong with it; empty if nothing is.
    gives : tuple of str
        What it gives, such as formats of grids.
    """

    name: str
    source: str
    state: str = "loaded"
    problem: str = ""
    gives: tuple = ()

    def __str__(self):
        return f"plugin {self.name!r} from {self.source}"


class _Registry:
    """The plugin manager and what is known of its plugins."""

    def __init__(self):
        self.manager = pluggy.PluginManager("astropayne")
        self.manager.add_hookspecs(hookspecs)
        self.plugins = []
        self.disabled = set(os.environ.get(_DISABLED, "").replace(",", " ").split())
        for name, module in _BUILTIN.items():
            self._load(name, "astropayne", partial(importlib.import_module, module))
        for point in entry_points(group="astropayne"):
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            self._load(point.name, source, point.load)

    def _load(self, name, source, load):
        info = PluginInfo(name, source)
        if name in self.disabled:
            info.state = "disabled"
            info.problem = f"disabled by the environment variable {_DISABLED}"
            self.plugins.append(info)
            return
        try:
            self.add(load(), info)
        except Exception as error:  # whatever a stranger's module raises: the rest goes on
            self.plugins.append(info)
            self.set_aside(info, error)

    def add(self, plugin, info):
        """Register a plugin, if its name is free and it knows the hooks it implements."""
        if self.manager.has_plugin(info.name):
            raise ValueError(
                f"a plugin named {info.name!r} is already registered (from "
                f"{self.loaded(info.name).source}): give another name, or unregister that one first"
            )
        try:
            self.manager.register(plugin, name=info.name)
            self._check_hooks(plugin, info.name)
        except Exception:
            if self.manager.has_plugin(info.name):
                self.manager.unregister(name=info.name)
            raise
        # it may have been broken before
        self.plugins = [*(p for p in self.plugins if p.name != info.name), info]

    def _check_hooks(self, plugin, name):
        callers = self.manager.get_hookcallers(plugin)
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        hooks = ", ".join(hook for hook in hookspecs.__all__ if hook.startswith("astropayne_"))
        if unknown:
            raise ValueError(
                f"plugin {name!r} implements {', '.join(unknown)}, which astropayne does not know; "
                f"its hooks are {hooks}"
            )
        if not callers:
            raise ValueError(
                f"plugin {name!r} implements no hook: mark its functions with astropayne.hookimpl; "
                f"the hooks are {hooks}"
            )

    def loaded(self, name):
        """Return what is known of the plugin that is registered under a name."""
        return next(p for p in self.plugins if p.name == name and p.state == "loaded")

    def set_aside(self, info, error):
        """Use a plugin no longer, with one warning."""
        info.state, info.problem = "broken", f"{type(error).__name__}: {error}"
        warnings.warn(f"{info} is not used. {info.problem}", PluginWarning, stacklevel=2)

    def collect(self, hook, check):
        """Call a hook plugin by plugin, so that one that raises is set aside alone.

        ``check`` takes what a plugin gave and what those before it gave, by plugin, and raises if
        that cannot be used.
        """
        found = {}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            try:
                given = list(implementation.function())
                check(given, found)
                found[name] = given
            except Exception as error:  # as in _load
                self.manager.unregister(name=name)
                self.set_aside(self.loaded(name), error)
        return found

    def readers(self):
        """Return the grid readers of each plugin."""
        return self.collect("astropayne_grid_readers", _check_readers)

    def transforms(self, prepare=None):
        """Return the label transforms of each plugin."""

        def check(given, found):
            _check_transforms(given, found)
            for transform in given if prepare else ():
                prepare(transform)

        return self.collect("astropayne_label_transforms", check)


def _check_readers(readers, others):
    owner = {r.format: f"plugin {plugin!r}" for plugin, given in others.items() for r in given}
    for reader in readers:
        if not isinstance(reader, GridReader):
            raise TypeError(
                f"astropayne_grid_readers gave {reader!r}: it has to give a list of instances of "
                "subclasses of astropayne.plugins.GridReader"
            )
        if not (isinstance(reader.format, str) and reader.format):
            raise ValueError(f"{reader!r} has the format {reader.format!r}: it needs a name")
        if reader.format in owner:
            raise ValueError(
                f"grid format {reader.format!r} is already given by "
                f"{owner[reader.format]}; disable one with {_DISABLED} or unregister_plugin"
            )
        owner[reader.format] = "this plugin itself"


def _check_transforms(transforms, others):
    from astropayne.plugins.interfaces import LabelRelation, LabelTransform

    for transform in transforms:
        if not isinstance(transform, LabelTransform | LabelRelation):
            raise TypeError(
                f"astropayne_label_transforms gave {transform!r}: it has to give a list of "
                "instances of subclasses of astropayne.plugins.interfaces.LabelTransform or LabelRelation"
            )
        if isinstance(transform.needs, str):  # it would be taken for a sequence of letters
            raise TypeError(
                f"{transform!r} has needs = {transform.needs!r}: it has to be a tuple of labels, "
                f"such as ({transform.needs!r},)"
            )


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
        If the name is taken or disabled, or a hook is not one of astropayne's.

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
    if name in registry.disabled:
        raise ValueError(
            f"plugin {name!r} is disabled by the environment variable {_DISABLED}: give another "
            "name, or take it out of there"
        )
    registry.add(plugin, PluginInfo(name, getattr(plugin, "__module__", None) or name))
    return name


def unregister_plugin(name):
    """Take a plugin out again.

    Parameters
    ----------
    name : str
        As `register_plugin` returned it.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    registry = _registry()
    if not registry.manager.has_plugin(name):
        raise ValueError(f"no plugin is registered as {name!r}; `astropayne plugins` lists them")
    registry.plugins.remove(registry.loaded(name))
    registry.manager.unregister(name=name)


def grid_readers():
    """Return the grid readers of all plugins: a dict of format to reader."""
    return {
        reader.format: reader for readers in _registry().readers().values() for reader in readers
    }


def fitting_formats(path):
    """Return the formats whose readers take a path for theirs.

    A reader that raises is taken not to fit; its plugin is named in one warning, and stays.

    Parameters
    ----------
    path : `pathlib.Path`

    Returns
    -------
    list of str
    """
    registry, fitting = _registry(), []
    for plugin, readers in registry.readers().items():
        for reader in readers:
            try:
                if reader.sniff(path):
                    fitting.append(reader.format)
            except Exception as error:  # whatever a stranger's reader raises: the rest goes on
                _note(registry.loaded(plugin), reader, "sniff", error)
    return fitting


def _note(info, reader, what, error):
    """Remember, and warn once, that a plugin that is loaded has failed."""
    if not info.problem:
        info.problem = (
            f"{what} of grid format {reader.format!r} failed: {type(error).__name__}: {error}"
        )
        warnings.warn(f"{info}: {info.problem}", PluginWarning, stacklevel=3)


def label_transforms(prepare=None):
    """Return the label transforms of all plugins, as a list.

    Parameters
    ----------
    prepare : callable, optional
        Called with each transform first. If it raises, the plugin is set aside with a warning.

    Returns
    -------
    list of LabelTransform or LabelRelation
    """
    found = _registry().transforms(prepare)
    return [transform for transforms in found.values() for transform in transforms]


def reader_origin(format):
    """Say which plugin gives a format: its name and where it comes from."""
    registry = _registry()
    for plugin, readers in registry.readers().items():
        if format in (reader.format for reader in readers):
            return str(registry.loaded(plugin))
    raise ValueError(f"no plugin gives the grid format {format!r}")


def list_plugins():
    """Return a `PluginInfo` for every plugin, also the broken and the disabled ones."""
    registry = _registry()
    gives = {}
    for name, readers in registry.readers().items():
        gives.setdefault(name, []).extend(f"grid format {reader.format!r}" for reader in readers)
    for name, transforms in registry.transforms().items():
        gives.setdefault(name, []).append(f"{len(transforms)} label transforms")
    return [
        replace(info, gives=tuple(gives.get(info.name, ())) if info.state == "loaded" else ())
        for info in registry.plugins
    ]
