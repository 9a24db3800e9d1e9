# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Finding the reader of a path, checking its options, and opening the path with it."""

import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from astropayne.grids.checks import check_source
from astropayne.plugins.interfaces import GridReader, GridSource
from astropayne.plugins.manager import fitting_formats, grid_readers, list_plugins, reader_origin
from astropayne.utils.suggestions import unknown_option_message

__all__ = ["find_reader", "open_source"]


def open_source(
    path: Path, format: str | None, options: Mapping[str, Any], others: Collection[str] = ()
) -> GridSource:
    """Open a path with the reader of its format.

    Parameters
    ----------
    path : `pathlib.Path`
    format : str, optional
        By default the format is identified from the path.
    options : mapping of str to object
        Options of the reader.
    others : collection of str
        Names of options that the caller takes itself, to suggest for misspelled ones.

    Returns
    -------
    `~astropayne.plugins.GridSource`
        Checked, with labels under their canonical names.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    TypeError
        If the reader has no such option.
    ValueError
        If the format is unknown, or the reader fails.
    """
    if not path.exists() and not any(c in path.name for c in "*?["):
        raise FileNotFoundError(f"there is no file or folder {path}")
    reader = find_reader(path, format)
    _check_options(reader, options, others)
    try:
        source = reader.open(path, **options)
    except (ValueError, OSError):  # the message of the reader
        raise
    except Exception as error:
        raise ValueError(
            f"{path}: the reader of grid format {reader.format!r} failed "
            f"({reader_origin(reader.format)}): {type(error).__name__}: {error}"
        ) from error
    return check_source(source, reader.format)


def _check_options(reader: GridReader, options: Mapping[str, Any], others: Collection[str]) -> None:
    """Raise a `TypeError` for an option that the reader does not have."""
    _, *parameters = inspect.signature(reader.open).parameters.values()  # the first is the path
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    own = [p.name for p in parameters]
    for name in options:
        if name not in own:
            raise TypeError(
                unknown_option_message("SpectralGrid.read", name, [*own, *others])
                + f"; grid format {reader.format!r} has {', '.join(own) or 'no options'}"
            )


def find_reader(path: Path, format: str | None) -> GridReader:
    """Return the reader of a format, or the only one that recognizes a path.

    Parameters
    ----------
    path : `pathlib.Path`
    format : str or None

    Returns
    -------
    `~astropayne.plugins.GridReader`

    Raises
    ------
    ValueError
        If the format is unknown, or not exactly one reader recognizes the path.
    """
    readers = grid_readers()
    if format in readers:
        return readers[format]
    if format is not None:
        broken = [f"{plugin} ({plugin.problem})" for plugin in list_plugins() if plugin.problem]
        raise ValueError(
            f"no grid reader for format {format!r}; the formats are {', '.join(sorted(readers))}"
            + (f". Plugins that could not be used: {'; '.join(broken)}" if broken else "")
        )
    fitting = fitting_formats(path)
    if len(fitting) == 1:
        return readers[fitting[0]]
    problem = (
        f"more than one format fits ({', '.join(fitting)})" if fitting else ("no grid format fits")
    )
    raise ValueError(f"{path}: {problem}; give format=, one of {', '.join(sorted(readers))}")
