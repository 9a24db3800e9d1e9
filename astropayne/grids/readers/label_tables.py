# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Tables of labels: files, tables of astropy or pandas, with a row for each file of a spectrum."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astropayne.io.text_tables import header_of, read_csv

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["TABLES", "Labels", "columns_of_run", "name_column_of", "names_files", "read_labels"]

#: Possible names of a table of labels in a folder.
TABLES = tuple(
    f"{stem}.{suffix}"
    for stem in ("labels", "parameters")
    for suffix in ("ecsv", "csv", "tsv", "txt", "fits", "vot", "xml")
)
#: Endings of files that may be tables or spectra, which the header tells.
TEXT = (".csv", ".tsv", ".txt", ".dat")
Labels = Any  # a table of astropy, a data frame, a mapping, or the path of a file
_NAMES = ("file", "filename", "file_name", "name", "specname", "spectrum", "path")
# Columns that describe how all spectra were made, and not a star, in lower case.
_VELOCITIES = ("vsini", "vrot", "rotation", "vmac", "vmacro", "macroturbulence", "zeta")
_RESOLUTIONS = ("resolution", "resolving_power", "r", "res")
_OF_THE_RUN = (*_VELOCITIES, *_RESOLUTIONS, "rv", "radial_velocity")


def names_files(path: Path) -> bool:
    """Return whether a text table has a column of file names."""
    _, words = header_of(path, _NAMES)
    return not set(_NAMES).isdisjoint(words) and len(words) > 1


def read_labels(
    path: Path, labels: Labels, name_column: str | None
) -> "tuple[QTable, Path | None, dict[str, str]]":
    """Return the table of labels, its file if there is one, and rows that cannot be read.

    Parameters
    ----------
    path : `pathlib.Path`
        Path of the grid.
    labels : table, data frame, mapping, path-like or None
        `None` for the table in the folder, or for the path itself.
    name_column : str or None
        Its column of file names.

    Raises
    ------
    ValueError
        If it cannot be read, or the folder has none or several.
    FileNotFoundError
        If there is no such file.
    """
    from astropy.table import QTable, Table

    if isinstance(labels, Table | Mapping):
        return QTable(labels), None, {}
    if hasattr(labels, "to_records"):  # a data frame, whose index may have the names
        frame = labels.reset_index() if labels.index.name is not None else labels
        return QTable.from_pandas(frame), None, {}
    file = _table_file(path, labels)
    if file.name.lower().removesuffix(".gz").endswith(TEXT):
        rows, rejected = read_csv(file, _NAMES if name_column is None else (name_column,))
        return QTable.from_pandas(rows), file, rejected
    try:
        return QTable.read(file), file, {}
    except Exception as error:  # readers of astropy may raise anything
        reason = str(error).partition("\n")[0]  # the other lines list the formats
        raise ValueError(f"{file} cannot be read as a table of labels: {reason}") from None


def _table_file(path: Path, labels: str | Path | None) -> Path:
    """Return the file of the table of labels."""
    folder = _folder(path)
    if labels is not None:
        try:
            given = Path(labels).expanduser()
        except TypeError:
            raise ValueError(
                f"labels= is a {type(labels).__name__}: give a table, a data frame, a mapping of "
                "columns, or the path of a file"
            ) from None
        for file in (given, folder / given):
            if file.is_file():
                return file
        raise FileNotFoundError(f"there is no table of labels {labels}, nor one in {folder}")
    if path.is_file():
        return path
    there = [name for name in TABLES if (folder / name).is_file()]
    if len(there) != 1:
        raise ValueError(
            f"{folder} has {' and '.join(there) or 'no table of labels'}: give labels=, a table or "
            "its file"
        )
    return folder / there[0]


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def name_column_of(table: "QTable", given: str | None) -> str:
    """Return the column of file names; raise `ValueError` if there is none."""
    lower = {name.lower(): name for name in reversed(table.colnames)}
    wanted = _NAMES if given is None else (given.lower(),)
    for name in wanted:
        if name in lower:
            return lower[name]
    raise ValueError(
        f"the table of labels has no column {' or '.join(map(repr, wanted))} of file names (it "
        f"has {', '.join(table.colnames)}): give name_column="
    )


def columns_of_run(
    table: "QTable", columns: Mapping[str, str] | None, ignore: str | Sequence[str]
) -> dict[str, float]:
    """Remove columns that describe the run if they are the same for all spectra.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Such columns are removed from it. Others that vary remain, and are errors as labels.
    columns, ignore
        As for `~astropayne.labels.label_columns`; columns that they name remain.

    Returns
    -------
    dict of str to float
        Values by name; velocities that are zero are left out.

    Raises
    ------
    ValueError
        If the spectra have a radial velocity.
    """
    found = {}
    for name in table.colnames:
        plain = name.lower()
        kept = name in (columns or {}) or ignore == "rest" or name in ignore
        if plain not in _OF_THE_RUN or kept or not len(table):
            continue
        values = np.asarray(getattr(table[name], "value", table[name]))
        if values.dtype.kind not in "iuf" or not (values == values[0]).all():
            continue
        value = float(values[0])
        if plain in ("rv", "radial_velocity") and value:
            raise ValueError(
                f"column {name!r} of the table of labels is {value:g} for all spectra: spectra of "
                f"a grid must be at rest; if they are, give ignore=({name!r},)"
            )
        table.remove_column(name)
        if value:
            found["resolution" if plain in _RESOLUTIONS else plain] = value
    return found
