# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Names that are not known, and the nearest ones that are."""

import difflib

__all__ = ["require_known", "unknown_name_message"]


def unknown_name_message(name, known, what):
    """Return a message that lists the valid names and the one that is closest.

    Parameters
    ----------
    name : str
        The unknown name.
    known : collection of str
        The valid names.
    what : str
        The kind of name, for the message.

    Returns
    -------
    str

    Examples
    --------
    >>> from astropayne.utils.suggestions import unknown_name_message
    >>> unknown_name_message("tef", ["teff", "logg"], "label")
    "label 'tef' is not one of teff, logg; did you mean 'teff'?"
    """
    message = f"{what} {str(name)!r} is not one of {', '.join(known)}"
    close = difflib.get_close_matches(str(name).lower(), [k.lower() for k in known], n=1)
    if close:
        message += f"; did you mean {next(k for k in known if k.lower() == close[0])!r}?"
    return message


def require_known(name, known, what):
    """Refuse a name that is not known, saying which are, and what may have been meant.

    Parameters
    ----------
    name : str
    known : collection of str
    what : str
        What it is the name of, for the error.

    Raises
    ------
    ValueError
        If it is not one of them.
    """
    if name not in known:
        raise ValueError(unknown_name_message(name, known, what))
