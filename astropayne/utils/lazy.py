# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Public names of a package that are imported on first use, so that importing it is fast."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(
    package: str, home: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return the functions with which a package imports its public names on first use.

    Parameters
    ----------
    package : str
        Name of the package, ``__name__``.
    home : mapping of str to str
        Public names, separated by spaces, by the module that defines them, relative to the
        package.

    Returns
    -------
    __getattr__, __dir__ : callable
    __all__ : list of str

    Examples
    --------
    >>> from astropayne.utils.lazy import attach
    >>> home = {"statistics": "median_and_scatter"}
    >>> __getattr__, __dir__, __all__ = attach("astropayne.utils", home)
    >>> __getattr__("median_and_scatter").__name__
    'median_and_scatter'
    """
    module_of = {name: module for module, names in home.items() for name in names.split()}
    public = sorted(module_of)

    def __getattr__(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{module_of[name]}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public})

    return __getattr__, __dir__, public
