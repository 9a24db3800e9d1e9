# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Finding the reader of a path and opening it."""

import inspect

from astropayne.grids.checks import check_source
from astropayne.plugins import fitting_formats, grid_readers, list_plugins, reader_origin

__all__ = ["open_source"]


def open_source(path, format, options):
    """Open a path with its reader: a source, or a grid that is read already."""
    if not path.exists() and not any(c in path.name for c in "*?["):
        raise FileNotFoundError(f"there is no file or folder {path}")
    reader = _find_reader(path, format)
    _check_options(reader, options)
    try:
        source = reader.open(path, **options)
    except (ValueError, OSError):  # a reader's own words
        raise
    except Exception as error:
        raise ValueError(
            f"{path}: the reader of grid format {reader.format!r} failed "
            f"({reader_origin(reader.format)}): {type(error).__name__}: {error}"
        ) from error
    if type(source).__name__ == "SpectralGrid":
        return source
    return check_source(source, reader.format)


def _check_options(reader, options):
    _, *parameters = inspect.signature(reader.open).parameters.values()  # the first is the path
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters]
    for name in options:
        if name not in known:
            raise TypeError(
                f"grid format {reader.format!r} has no option {name!r}; it has "
                f"{', '.join(known) or 'none'}"
            )


def _find_reader(path, format):
    readers = grid_readers()
    if format is not None:
        if format in readers:
            return readers[format]
        broken = [f"{plugin} ({plugin.problem})" for plugin in list_plugins() if plugin.problem]
        raise ValueError(
            f"no grid reader for format {format!r}; there is {', '.join(sorted(readers))}"
            + (f". Plugins that could not be used: {'; '.join(broken)}" if broken else "")
        )
    fitting = fitting_formats(path)
    if len(fitting) == 1:
        return readers[fitting[0]]
    what = (
        "no grid format fits"
        if not fitting
        else f"more than one format fits ({', '.join(fitting)})"
    )
    raise ValueError(f"{path}: {what}; give format=, one of {', '.join(sorted(readers))}")
