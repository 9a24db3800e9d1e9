# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Tables of results as ECSV, FITS, CSV and text."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.paths import refuse_existing, replacing

if TYPE_CHECKING:
    from astropy.table import QTable, Table

__all__ = ["TABLE_FORMATS", "escape_non_ascii", "fits_header", "writable_suffix", "write_table"]

#: Formats of astropy by suffix.
TABLE_FORMATS = {
    ".ecsv": "ascii.ecsv", ".fits": "fits", ".csv": "ascii.csv", ".txt": "ascii.commented_header"
}  # fmt: skip


def write_table(table: "QTable", path: str | Path, *, overwrite: bool = False) -> None:
    r"""Write a table in the format of the file's suffix.

    Parameters
    ----------
    table : `~astropy.table.QTable`
    path : path-like
        ``*.ecsv``, ``*.fits``, ``*.csv`` or ``*.txt``. The last two store neither units nor
        metadata, and no columns with several numbers per row, which are left out with a warning.
        Metadata that do not fit into a FITS header are left out with a warning. Text in FITS is
        ASCII: other letters, such as "é", are written as escapes, "\xe9", with a warning.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    ValueError
        If the path has another suffix.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropy.table import QTable
    >>> from astropayne.io.result_tables import write_table
    >>> write_table(QTable({"teff": [5777.0]}), mkdtemp() + "/stars.csv")
    """
    path, suffix = Path(path), writable_suffix(path)
    refuse_existing(path, overwrite)
    table = table.copy(copy_data=False)
    if suffix == ".fits":
        table.meta = fits_header(table.meta, path)
        escape_non_ascii(table, path)
    elif suffix != ".ecsv":
        wide = [name for name in table.colnames if table[name].ndim > 1]
        if wide:
            warnings.warn(
                f"{path} has no {', '.join(wide)}: text cannot hold several numbers per row; "
                "*.ecsv and *.fits can",
                AstropyUserWarning,
                stacklevel=2,
            )
            table.remove_columns(wide)
    with replacing(path) as temporary:
        table.write(temporary, format=TABLE_FORMATS[suffix])


def fits_header(meta: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the metadata that fit into a FITS header, and warn about the others.

    Parameters
    ----------
    meta : mapping of str to object
        The items of a dict in it become cards of their own.
    path : path-like
        The file, for the warning.

    Returns
    -------
    dict of str to str, int or float
        By names of up to eight capital letters.
    """
    short = {"resolution": "resolut"}
    flat: dict[str, Any] = {}
    for key, value in meta.items():
        flat |= value if isinstance(value, dict) else {key: value}
    cards = {short.get(key, key): _card(value) for key, value in flat.items()}
    lost = [
        key
        for key, value in cards.items()
        if len(key) > 8 or not isinstance(value, str | int | float) or not str(value).isascii()
    ]
    if lost:
        warnings.warn(
            f"{path} has no {', '.join(lost)}: the header of a FITS table holds single values, "
            "under names of up to 8 letters; *.ecsv holds all metadata",
            AstropyUserWarning,
            stacklevel=3,
        )
    return {key.upper(): value for key, value in cards.items() if key not in lost}


def escape_non_ascii(table: "Table", path: str | Path) -> None:
    """Replace letters that are not ASCII by escapes in a table for FITS, with a warning.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Its columns of text are replaced.
    path : path-like
        The file, for the warning.
    """
    escaped = []
    for name in table.colnames:
        column = table[name]
        if getattr(column, "dtype", None) is None or column.dtype.kind != "U":
            continue
        text = np.asarray(column)
        plain = np.char.decode(np.char.encode(text, "ascii", "backslashreplace"), "ascii")
        if (plain != text).any():
            table[name] = plain
            escaped.append(name)
    if escaped:
        warnings.warn(
            f"{path}: {', '.join(escaped)} has letters that FITS cannot store, written as "
            "escapes; *.ecsv stores all letters",
            AstropyUserWarning,
            stacklevel=3,
        )


def _card(value: Any) -> Any:
    """Return a value as a card of a FITS header."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value.item() if isinstance(value, np.generic) else value


def writable_suffix(path: str | Path) -> str:
    """Return the suffix of a path in lower case, if tables can be written in its format.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is not one of `TABLE_FORMATS`.

    Examples
    --------
    >>> from astropayne.io.result_tables import writable_suffix
    >>> writable_suffix("stars.ecsv")
    '.ecsv'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_FORMATS:
        raise ValueError(f"{path}: a table's name must end in one of {', '.join(TABLE_FORMATS)}")
    return suffix
