# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Messages about unknown names, with the nearest valid name."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

__all__ = [
    "require_choice",
    "suggests_options",
    "unknown_name_message",
    "unknown_option_message",
]

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_CALLS = ("__init__", "__call__")


def unknown_name_message(name: str, valid: Collection[str], what: str) -> str:
    """Return a message that lists the valid names and the one that is closest.

    Parameters
    ----------
    name : str
        The unknown name.
    valid : collection of str
        The valid names.
    what : str
        The kind of name.

    Returns
    -------
    str

    Examples
    --------
    >>> from astropayne.utils.suggestions import unknown_name_message
    >>> unknown_name_message("tef", ["teff", "logg"], "label")
    "label 'tef' is not one of teff, logg; did you mean 'teff'?"
    """
    message = f"{what} {str(name)!r} is not one of {', '.join(valid)}"
    close = difflib.get_close_matches(str(name).lower(), [v.lower() for v in valid], n=1)
    if close:
        message += f"; did you mean {next(v for v in valid if v.lower() == close[0])!r}?"
    return message


def require_choice(name: str, valid: Collection[str], what: str) -> None:
    """Raise an error if a name is not valid; the message suggests the nearest one.

    Parameters
    ----------
    name : str
    valid : collection of str
        The valid names.
    what : str
        The kind of name, for the message.

    Raises
    ------
    ValueError
        If the name is not one of the valid ones.
    """
    if name not in valid:
        raise ValueError(unknown_name_message(name, valid, what))


def unknown_option_message(function: str, name: str, valid: Collection[str]) -> str:
    """Return a message that names the function that was called and the closest of its options.

    Parameters
    ----------
    function : str
        Name of the function.
    name : str
        The unknown option.
    valid : collection of str
        The options of the function.

    Returns
    -------
    str

    Examples
    --------
    >>> from astropayne.utils.suggestions import unknown_option_message
    >>> unknown_option_message("fit_spectra", "contiuum", ["continuum", "fixed"])
    "fit_spectra() has no option 'contiuum'; did you mean 'continuum'?"
    """
    close = difflib.get_close_matches(name.lower(), valid, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(valid) or 'none'}"
    return f"{function}() has no option {name!r}; {hint}"


def suggests_options(decorated: _Decorated) -> _Decorated:
    """Make a function, or the public methods of a class, suggest options for unknown ones.

    Python's own error names neither the class of a method nor the nearest option. Functions that
    take any keyword are not changed.

    Parameters
    ----------
    decorated : callable or type

    Returns
    -------
    callable or type

    Examples
    --------
    >>> from astropayne.utils.suggestions import suggests_options
    >>> @suggests_options
    ... def cut(regions, *, output=None):
    ...     return regions
    >>> cut(1, outptu="a.asdf")
    Traceback (most recent call last):
    ...
    TypeError: cut() has no option 'outptu'; did you mean 'output'?
    """
    if not isinstance(decorated, type):
        return cast("_Decorated", _suggesting(decorated, decorated.__name__))
    for name, member in list(vars(decorated).items()):
        if name.startswith("_") and name not in _CALLS:
            continue
        called = "" if name in _CALLS else f".{name}"
        if inspect.isfunction(member):
            setattr(decorated, name, _suggesting(member, called))
        elif isinstance(member, classmethod | staticmethod):
            setattr(decorated, name, type(member)(_suggesting(member.__func__, called)))
    return decorated


def _suggesting(function: Callable[..., Any], called: str) -> Callable[..., Any]:
    """Return a function that checks the names of its options first.

    ``called`` is its name for errors, of a method only what follows the name of the class.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return function
    names = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "cls")
    ]

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        for name in options:
            if name not in names:
                owner = args[0] if args and called in ("", f".{function.__name__}") else None
                kind = owner if isinstance(owner, type) else type(owner)
                whole = called if owner is None else f"{kind.__name__}{called}"
                raise TypeError(unknown_option_message(whole, name, names))
        return function(*args, **options)

    return checked
