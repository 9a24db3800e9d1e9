# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Finding, registering and listing plugins; a broken plugin does not affect the others."""

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pluggy
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.plugins import hookspecs
from astropayne.plugins.interfaces import GridReader, LabelRelation, LabelTransform

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
    "libraries": "astropayne.grids.readers.libraries",
    "asdf_grid": "astropayne.grids.readers.astropayne",
    "abundances": "astropayne.labels.abundance_transforms",
    "stellar": "astropayne.labels.stellar_transforms",
}
# A plugin may raise anything; scripts that were made plugins call sys.exit.
_OF_PLUGINS = (Exception, SystemExit)
_DISABLED = "ASTROPAYNE_DISABLED_PLUGINS"


class PluginWarning(AstropyUserWarning):
    """A plugin cannot be used and is left out."""


@dataclass
class PluginInfo:
    """Description of a plugin, as `list_plugins` returns it.

    Attributes
    ----------
    name : str
        The name under which it is registered.
    source : str
        The distribution or module that it comes from.
    state : str
        ``"loaded"``, ``"broken"`` or ``"disabled"``.
    problem : str
        Why it cannot be used; empty if it can.
    gives : tuple of str
        Names of the parts that it provides, such as formats of grids.
    """

    name: str
    source: str
    state: str = "loaded"
    problem: str = ""
    gives: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"plugin {self.name!r} from {self.source}"


class _Registry:
    """The plugin manager, with a description of each plugin."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("astropayne")
        self.manager.add_hookspecs(hookspecs)
        self.plugins: list[PluginInfo] = []
        self._accepted: dict[int, Any] = {}  # transforms that contradict no other, by their id
        self.disabled = set(os.environ.get(_DISABLED, "").replace(",", " ").split())
        for name, module in _BUILTIN.items():
            self._load(name, "astropayne", partial(importlib.import_module, module))
        for point in entry_points(group="astropayne"):
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            self._load(point.name, source, point.load)

    def _load(self, name: str, source: str, load: Callable[[], Any]) -> None:
        """Load and register a plugin; if that fails, keep the reason."""
        info = PluginInfo(name, source)
        if name in self.disabled:
            info.state = "disabled"
            info.problem = f"disabled by the environment variable {_DISABLED}"
            self.plugins.append(info)
            return
        try:
            self.add(load(), info)
        except _OF_PLUGINS as error:
            self.plugins.append(info)
            self.set_aside(info, error)

    def add(self, plugin: Any, info: PluginInfo) -> None:
        """Register a plugin if its name is free and its hooks are valid."""
        if self.manager.has_plugin(info.name):
            raise ValueError(
                f"a plugin named {info.name!r} is already registered (from "
                f"{self.loaded(info.name).source}): give another name, or unregister that one first"
            )
        try:
            self.manager.register(plugin, name=info.name)
            self._check_hooks(plugin, info.name)
        except _OF_PLUGINS:
            if self.manager.has_plugin(info.name):
                self.manager.unregister(name=info.name)
            raise
        self._accepted.clear()
        # it may have been broken before
        self.plugins = [*(p for p in self.plugins if p.name != info.name), info]

    def _check_hooks(self, plugin: Any, name: str) -> None:
        callers = self.manager.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        hooks = ", ".join(hook for hook in hookspecs.__all__ if hook.startswith("astropayne_"))
        if unknown:
            raise ValueError(
                f"plugin {name!r} implements {', '.join(unknown)}, hooks that astropayne does not "
                f"have; "
                f"its hooks are {hooks}"
            )
        if not callers:
            raise ValueError(
                f"plugin {name!r} implements no hook: mark its functions with astropayne.hookimpl; "
                f"the hooks are {hooks}"
            )

    def loaded(self, name: str) -> PluginInfo:
        """Return the description of a loaded plugin."""
        return next(p for p in self.plugins if p.name == name and p.state == "loaded")

    def set_aside(self, info: PluginInfo, error: BaseException) -> None:
        """Mark a plugin as broken, with one warning."""
        info.state, info.problem = "broken", f"{type(error).__name__}: {error}"
        warnings.warn(f"{info} is not used. {info.problem}", PluginWarning, stacklevel=2)

    def collect(
        self, hook: str, check: Callable[[list[Any], Mapping[str, list[Any]]], None]
    ) -> dict[str, list[Any]]:
        """Call a hook of each plugin, and set plugins aside that raise an error.

        Parameters
        ----------
        hook : str
            Name of the hook.
        check : callable
            Takes the result of a plugin, and the results of previous plugins by name. It raises
            an error if the result cannot be used.

        Returns
        -------
        dict of str to list
            Result of each plugin by its name.
        """
        found: dict[str, list[Any]] = {}
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            try:
                given = list(implementation.function())
                check(given, found)
                found[name] = given
            except _OF_PLUGINS as error:
                self.manager.unregister(name=name)
                self.set_aside(self.loaded(name), error)
        return found

    def readers(self) -> dict[str, list[GridReader]]:
        """Return the grid readers of each plugin."""
        return self.collect("astropayne_grid_readers", _check_readers)

    def transforms(
        self, prepare: Callable[[Any], object] | None = None
    ) -> dict[str, list[LabelTransform | LabelRelation]]:
        """Return the label transforms of each plugin."""

        def check(given: list[Any], found: Mapping[str, list[Any]]) -> None:
            _check_transforms(given)
            if prepare is not None:
                for transform in given:
                    prepare(transform)
            if not all(self._accepted.get(id(transform)) is transform for transform in given):
                _check_pairs(given, found)
                self._accepted.update({id(transform): transform for transform in given})

        return self.collect("astropayne_label_transforms", check)


def _check_readers(readers: list[Any], others: Mapping[str, list[Any]]) -> None:
    """Raise an error if a plugin returned something else than readers of new formats."""
    owner = {r.format: f"plugin {plugin!r}" for plugin, given in others.items() for r in given}
    for reader in readers:
        if not isinstance(reader, GridReader):
            raise TypeError(
                f"astropayne_grid_readers returned {reader!r}: it must return a list of instances "
                "of subclasses of astropayne.plugins.GridReader"
            )
        if not (isinstance(reader.format, str) and reader.format):
            raise ValueError(f"{reader!r} has the format {reader.format!r}: it needs a name")
        if reader.format in owner:
            raise ValueError(
                f"grid format {reader.format!r} is already provided by "
                f"{owner[reader.format]}; disable one with {_DISABLED} or unregister_plugin"
            )
        owner[reader.format] = "this plugin itself"


def _check_transforms(transforms: list[Any]) -> None:
    """Raise an error if a plugin returned something else than transforms and relations."""
    for transform in transforms:
        if not isinstance(transform, LabelTransform | LabelRelation):
            raise TypeError(
                f"astropayne_label_transforms returned {transform!r}: it must return a list of "
                "instances of subclasses of astropayne.plugins.LabelTransform or LabelRelation"
            )
        if isinstance(transform.needs, str):  # it would be taken for a sequence of letters
            raise TypeError(
                f"{transform!r} has needs = {transform.needs!r}: it must be a tuple of labels, "
                f"such as ({transform.needs!r},)"
            )


def _check_pairs(transforms: list[Any], others: Mapping[str, list[Any]]) -> None:
    """Raise an error for a transform between labels that other transforms connect already.

    Which of the two is taken would depend on the order of the plugins.
    """
    classes: dict[str, dict[str, str]] = {}  # of each label: equivalent ones, and who connects them
    named = [(f"plugin {name!r}", t) for name, given in others.items() for t in given]
    for owner, transform in [*named, *(("this plugin itself", t) for t in transforms)]:
        if isinstance(transform, LabelRelation):
            continue
        source, target = transform.source, transform.target
        one = classes.setdefault(source, {source: owner})
        if target in one:
            raise ValueError(
                f"a transform between {source!r} and {target!r} is already provided by "
                f"{one[target]}, directly or through other labels; disable one with {_DISABLED} "
                "or unregister_plugin"
            )
        other = classes.setdefault(target, {target: owner})
        one.update(dict.fromkeys(other, owner))
        for name in other:
            classes[name] = one


@cache
def _registry() -> _Registry:
    """Return the registry, which is filled when it is first needed."""
    return _Registry()


def register_plugin(plugin: Any, name: str | None = None) -> str:
    """Register a plugin that is not installed as a package.

    Parameters
    ----------
    plugin : module or object
        Its functions or methods marked with ``astropayne.hookimpl`` implement hooks.
    name : str, optional
        Name in the list of plugins; by default the name of the module or class.

    Returns
    -------
    str
        The name under which it is registered, for `unregister_plugin`.

    Raises
    ------
    ValueError
        If the name is taken or disabled, or astropayne has no such hook.

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


def unregister_plugin(name: str) -> None:
    """Remove a plugin.

    Parameters
    ----------
    name : str
        As `register_plugin` returned it.

    Raises
    ------
    ValueError
        If no plugin is registered under that name.
    """
    registry = _registry()
    if not registry.manager.has_plugin(name):
        raise ValueError(f"no plugin is registered as {name!r}; `astropayne plugins` lists them")
    registry.plugins.remove(registry.loaded(name))
    registry.manager.unregister(name=name)


def grid_readers() -> dict[str, GridReader]:
    """Return the grid readers of all plugins.

    Returns
    -------
    dict of str to GridReader
        Readers by their formats.
    """
    return {
        reader.format: reader for readers in _registry().readers().values() for reader in readers
    }


def fitting_formats(path: Path) -> list[str]:
    """Return the formats whose readers recognize a path.

    If a reader raises an error, its format does not fit, and one warning names its plugin.

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
            except _OF_PLUGINS as error:
                _note(registry.loaded(plugin), reader, "sniff", error)
    return fitting


def _note(info: PluginInfo, reader: GridReader, what: str, error: BaseException) -> None:
    """Keep why a loaded plugin has failed, and warn once."""
    if not info.problem:
        info.problem = (
            f"{what} of grid format {reader.format!r} failed: {type(error).__name__}: {error}"
        )
        warnings.warn(f"{info}: {info.problem}", PluginWarning, stacklevel=3)


def label_transforms(
    prepare: Callable[[Any], object] | None = None,
) -> list[LabelTransform | LabelRelation]:
    """Return the label transforms and relations of all plugins.

    Parameters
    ----------
    prepare : callable, optional
        Called with each of them. If it raises an error, the plugin is set aside with a warning.

    Returns
    -------
    list of LabelTransform or LabelRelation
    """
    found = _registry().transforms(prepare)
    return [transform for transforms in found.values() for transform in transforms]


def reader_origin(format: str) -> str:
    """Return which plugin provides a format, and where the plugin comes from.

    Parameters
    ----------
    format : str
        Format of grids.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If no plugin provides it.

    Examples
    --------
    >>> from astropayne.plugins import reader_origin
    >>> reader_origin("tsfitpy")
    "plugin 'tsfitpy' from astropayne"
    """
    registry = _registry()
    for plugin, readers in registry.readers().items():
        if format in (reader.format for reader in readers):
            return str(registry.loaded(plugin))
    raise ValueError(f"no plugin provides the grid format {format!r}")


def list_plugins() -> list[PluginInfo]:
    """Return a description of every plugin, including broken and disabled ones.

    Returns
    -------
    list of PluginInfo
    """
    registry = _registry()
    gives: dict[str, list[str]] = {}
    for name, readers in registry.readers().items():
        gives.setdefault(name, []).extend(f"grid format {reader.format!r}" for reader in readers)
    for name, transforms in registry.transforms().items():
        gives.setdefault(name, []).append(f"{len(transforms)} label transforms")
    return [
        replace(info, gives=tuple(gives.get(info.name, ())) if info.state == "loaded" else ())
        for info in registry.plugins
    ]
