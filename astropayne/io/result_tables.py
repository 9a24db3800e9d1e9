# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Tables of results as ECSV, FITS, CSV and text."""

import warnings
from pathlib import Path

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.paths import refuse_existing, replacing

__all__ = ["TABLE_FORMATS", "escape_non_ascii", "fits_header", "writable_suffix", "write_table"]

TABLE_FORMATS = {  # the format of each suffix, which may be in capitals
    ".ecsv": "ascii.ecsv", ".fits": "fits", ".csv": "ascii.csv", ".txt": "ascii.commented_header"
}  # fmt: skip


def write_table(table, path, *, overwrite=False):
    r"""Write a table in the format that its file's name says.

    Parameters
    ----------
    table : `~astropy.table.QTable`
    path : path-like
        ``*.ecsv``, ``*.fits``, ``*.csv`` or ``*.txt``. The last two hold no units, no metadata,
        and no columns of several numbers a row; these are left out with a warning, and so are
        metadata that a FITS header cannot hold. Text in FITS is ASCII: of names such as "é",
        escapes such as "\xe9" are written, with a warning.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OSError
        If there is such a file already.
    ValueError
        If the name ends in something else.

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
                f"{path} has no {', '.join(wide)}: text cannot hold several numbers a row; "
                "*.ecsv and *.fits can",
                AstropyUserWarning,
                stacklevel=2,
            )
            table.remove_columns(wide)
    with replacing(path) as beside:
        table.write(beside, format=TABLE_FORMATS[suffix])


def fits_header(meta, path):
    """Return metadata as a FITS header has them: single values, under short names."""
    flat, short = {}, {"resolution": "resolut"}
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


def escape_non_ascii(table, path):
    """Write in ASCII, which is all that FITS has, what columns say in other letters."""
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
            f"{path}: {', '.join(escaped)} has letters that FITS cannot hold, and escapes in their "
            "place; *.ecsv holds all letters",
            AstropyUserWarning,
            stacklevel=3,
        )


def _card(value):
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value.item() if isinstance(value, np.generic) else value


def writable_suffix(path):
    """Return how a table's name ends, which has to be one of the formats.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> from astropayne.io.result_tables import writable_suffix
    >>> writable_suffix("stars.ecsv")
    '.ecsv'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_FORMATS:
        raise ValueError(f"{path}: a table's name has to end in one of {', '.join(TABLE_FORMATS)}")
    return suffix
