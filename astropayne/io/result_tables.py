# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Tables of results as ECSV, FITS, VOTable, Parquet, CSV and text."""

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.paths import refuse_existing, replacing

if TYPE_CHECKING:
    from astropy.table import QTable, Table

__all__ = [
    "SPECTRUM_FORMATS",
    "TABLE_FORMATS",
    "escape_non_ascii",
    "fits_header",
    "with_ucds",
    "writable_suffix",
    "write_table",
]

#: Formats of astropy by suffix.
TABLE_FORMATS = {
    ".ecsv": "ascii.ecsv", ".fits": "fits", ".csv": "ascii.csv", ".txt": "ascii.commented_header",
    ".vot": "votable", ".xml": "votable", ".parquet": "parquet",
}  # fmt: skip
#: Those of spectra, whose metadata the others do not keep.
SPECTRUM_FORMATS = (".ecsv", ".fits", ".csv", ".txt")
_VOTABLE = (".vot", ".xml")
# Unified content descriptors of columns, https://www.ivoa.net/documents/UCD1+ (version 1.5).
_UCDS = {
    "name": "meta.id;meta.file", "object": "meta.id;meta.main", "ra": "pos.eq.ra;meta.main",
    "dec": "pos.eq.dec;meta.main", "mjd": "time.epoch;obs",
    "exposure_time": "time.duration;obs.exposure", "snr": "stat.snr",
    "rv_frame": "meta.code;spect.dopplerVeloc",
    "teff": "phys.temperature.effective", "logg": "phys.gravity", "feh": "phys.abund.Z",
    "vmic": "phys.veloc.microTurb", "rv": "spect.dopplerVeloc.opt", "vsini": "phys.veloc.rotat",
    "vmac": "phys.veloc", "vsini_limit": "phys.veloc.rotat;stat.max", "chi2": "stat.fit.chi2",
    "dof": "stat.fit.dof", "flags": "meta.code.qual", "message": "meta.note", "notes": "meta.note",
}  # fmt: skip
_ABUNDANCE = re.compile(r"A_[A-Z][a-z]?|[A-Z][a-z]?_(Fe|H)")


def write_table(table: "QTable", path: str | Path, *, overwrite: bool = False) -> None:
    r"""Write a table in the format of the file's suffix.

    Parameters
    ----------
    table : `~astropy.table.QTable`
    path : path-like
        ``*.ecsv``, ``*.fits``, ``*.vot``, ``*.parquet``, ``*.csv`` or ``*.txt``. The last two
        store neither units nor metadata, and no columns with several numbers per row, which are
        left out with a warning. VOTables (``*.vot``, ``*.xml``) have unified content descriptors.
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
    ImportError
        If pyarrow, which writes Parquet, is not installed.

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
    elif suffix in _VOTABLE:
        table = with_ucds(table)
    elif suffix not in (".ecsv", ".parquet"):
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
        try:
            table.write(temporary, format=TABLE_FORMATS[suffix])
        except ImportError as error:
            raise ImportError(f"{path}: Parquet is written by pyarrow; install it") from error


def with_ucds(table: "QTable") -> "Table":
    """Return a table whose columns have unified content descriptors, which VOTables store.

    Parameters
    ----------
    table : `~astropy.table.QTable`

    Returns
    -------
    `~astropy.table.Table`
        With ``meta["ucd"]`` of those columns that have one.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.io.result_tables import with_ucds
    >>> with_ucds(QTable({"teff_err": [50.0]}))["teff_err"].meta["ucd"]
    'stat.error;phys.temperature.effective'
    """
    from astropy.table import Table

    plain = Table(table)  # columns with units instead of quantities
    plain.meta = {}
    for name in plain.colnames:
        base = name.removesuffix("_err").removesuffix("_sys")
        ucd = _UCDS.get(base) or ("phys.abund" if _ABUNDANCE.fullmatch(base) else None)
        if ucd is not None:
            error = {"_err": "stat.error;", "_sys": "stat.error.sys;"}.get(name[len(base) :], "")
            plain[name].meta["ucd"] = error + ucd.partition(";")[0] if error else ucd
    return plain


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


def writable_suffix(path: str | Path, formats: Iterable[str] = tuple(TABLE_FORMATS)) -> str:
    """Return the suffix of a path in lower case, if tables can be written in its format.

    Parameters
    ----------
    path : path-like
    formats : iterable of str, optional
        Suffixes that are accepted.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is not one of the formats.

    Examples
    --------
    >>> from astropayne.io.result_tables import writable_suffix
    >>> writable_suffix("stars.ecsv")
    '.ecsv'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise ValueError(f"{path}: a table's name must end in one of {', '.join(formats)}")
    return suffix
