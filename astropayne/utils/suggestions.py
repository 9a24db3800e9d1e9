# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Messages about unknown names, with the nearest valid name."""

import difflib
from collections.abc import Collection

__all__ = ["require_choice", "unknown_name_message", "unknown_option_message"]


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
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(valid)}"
    return f"{function}() has no option {name!r}; {hint}"
