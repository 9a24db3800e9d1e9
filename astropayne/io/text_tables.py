# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Text tables in any encoding, with any delimiter and header, compressed or not.

Every text table is read here: `read_csv` reads tables of labels, row by row, `read_columns` reads
spectra and other columns of numbers, and `parse_csv` reads line lists.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropayne.io.number_tables import names_and_units, parse_numbers, with_decimal_points

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import QTable, Table

__all__ = ["header_of", "parse_csv", "read_columns", "read_csv", "read_text"]

_SEPARATORS = (",", ";", "\t")
_HEAD = 20000  # letters in which comments are searched for
_OWN_FORMS = ("|", "\\", "<", "{")  # first letters of IPAC tables, HTML, JSON and LaTeX
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, as spreadsheets write it


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, or else in Latin-1, which has a letter for every byte.

    Parameters
    ----------
    path : path-like
        May be compressed.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the file contains bytes that do not occur in text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.io.text_tables import read_text
    >>> file = Path(mkdtemp()) / "lines.txt"
    >>> _ = file.write_bytes("5167 Å".encode("latin-1"))
    >>> read_text(file)
    '5167 Å'
    """
    content = _content(path)
    if content.startswith(_BYTE_ORDER_MARKS) and len(content) % 2 == 0:
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError(f"{path} is not a text file")
    encoding = _encoding(content)
    return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)


def _content(path: str | Path) -> bytes:
    """Return the bytes of a file, decompressed."""
    from astropy.utils.data import get_readable_fileobj

    with get_readable_fileobj(path, encoding="binary") as file:
        return file.read()


def _encoding(content: bytes) -> str:
    try:
        content.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def parse_csv(text: str) -> "QTable":
    r"""Return a table of comma-separated values.

    Parameters
    ----------
    text : str
        The first line has the names of the columns.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If the text is not such a table.

    Examples
    --------
    >>> from astropayne.io.text_tables import parse_csv
    >>> parse_csv("ll,element\n5167.32,Mg\n")["element"][0]
    np.str_('Mg')
    """
    from astropy.io import ascii as text_tables
    from astropy.table import QTable

    try:
        return QTable(text_tables.read(text.splitlines(), format="csv", fast_reader=False))
    except text_tables.InconsistentTableError as error:
        raise ValueError(str(error)) from None


# --- columns of numbers


def read_columns(path: str | Path) -> "QTable":
    r"""Read the columns of a text file with any delimiter and with or without names.

    Parameters
    ----------
    path : path-like
        Names may be in the first line or in the last line of the comments above.

    Returns
    -------
    `~astropy.table.QTable`
        Columns without names are called ``col1``, ``col2``…; ``meta["comments"]`` has the lines
        of comments.

    Raises
    ------
    ValueError
        If the file is not a text file.
    TextTableError
        If a line among rows of numbers has another form.
    astropy.io.ascii.InconsistentTableError
        If the file is not a table.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.io.text_tables import read_columns
    >>> file = Path(mkdtemp()) / "star.txt"
    >>> _ = file.write_text("# wave flux\n5160.0 0.98\n5160.1 0.97\n")
    >>> read_columns(file).colnames
    ['wave', 'flux']
    """
    from astropy.io import ascii as text_tables
    from astropy.table import QTable

    text = with_decimal_points(_plain_numbers(read_text(path)))
    comments = [line.lstrip("# ") for line in text[:_HEAD].splitlines() if line.startswith("#")]
    text = text if "," in text else text.replace(";", ",")  # as spreadsheets write it
    own_form = text.startswith(_OWN_FORMS) or "Byte-by-byte" in text
    table = _numbers_only(text) or (None if own_form else parse_numbers(text))
    table = text_tables.read(text) if table is None else table
    if table[table.colnames[1]].dtype.kind == "U":  # pandas' index, a column without a name
        table = text_tables.read(text, format="csv", guess=False)
    if table.colnames[0] == "col1":
        names, units = names_and_units(table.meta.get("comments", []), len(table.colnames))
        table.rename_columns(table.colnames, names)
        for name, unit in zip(names, units, strict=True):
            table[name].unit = unit or None
    table.meta.clear()
    table.meta["comments"] = comments
    return QTable(table)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_NO_NUMBER = r"\*{2,}|INDEF|[nN]a[nN]|NAN|--"
_ROW = re.compile(rf"\s*(?:{_NUMBER}|{_NO_NUMBER})(?:[\s,;]+(?:{_NUMBER}|{_NO_NUMBER}))*\s*")
# The pattern begins with the letter, which is rarer in a file than digits, to be found fast.
_FORTRAN_EXPONENT = re.compile(r"[dD](?<=[\d.][dD])[-+]?\d")


def _plain_numbers(text: str) -> str:
    """Return a text without Fortran's exponents (``1D-3``), overflows and IRAF's ``INDEF``.

    Entries that are not numbers become NaN, and lines that begin with ``!`` become comments.
    """
    unusual = any(mark in text for mark in ("**", "INDEF", "!"))
    if not unusual and not _FORTRAN_EXPONENT.search(text):
        return text
    lines = []
    for line in text.splitlines():
        if line.lstrip().startswith("!"):
            line = "#" + line.lstrip()[1:]
        elif _ROW.fullmatch(line):
            line = re.sub(_NO_NUMBER, "nan", re.sub(r"(?<=[\d.])[dD](?=[-+\d])", "E", line))
        lines.append(line)
    return "\n".join(lines)


_NUMBERS = re.compile(r"[-+\d.eE,\s]+")
_NAMES = re.compile(r"[A-Za-z_]\w*(?:,[A-Za-z_]\w*)+|[A-Za-z_]\w*(?:[ \t]+[A-Za-z_]\w*)+")


def _numbers_only(text: str) -> "Table | None":
    """Read numbers with or without a line of names, for which astropy would try all formats."""
    from astropy.io import ascii as text_tables

    rows = re.finditer(r"^(?!#)[ \t]*\S.*", text, re.MULTILINE)
    first, second = (next(rows, [""])[0].strip() for _ in range(2))
    if _NUMBERS.fullmatch(first):
        form = "no_header"
    elif (
        _NAMES.fullmatch(first) and _NUMBERS.fullmatch(second) and ("," in first) == ("," in second)
    ):
        form = "basic"
    else:
        return None
    how = {"format": form, "guess": False, "delimiter": "," if "," in first else " "}
    try:
        table = text_tables.read(text.replace("\t", " "), **how)
    except Exception:  # astropy may guess another format
        return None
    numbers = all(table[name].dtype.kind in "fi" for name in table.colnames)
    return table if numbers and len(table.colnames) > 1 else None


# --- tables with names in a column


def header_of(file: str | Path, name_columns: Collection[str]) -> tuple[int, list[str]]:
    """Find the names of a text table's columns: below comments, or in the last of them.

    Parameters
    ----------
    file : path-like
    name_columns : collection of str
        Columns that hold names, of which the table has one.

    Returns
    -------
    n_above : int
        Number of lines above the names.
    words : list of str
        The names of the columns, in lower case.
    """
    from astropy.utils.data import get_readable_fileobj

    wanted = {name.lower() for name in name_columns}
    headers: list[list[str]] = [[]]
    with get_readable_fileobj(file, encoding="binary") as lines:
        for line in lines:
            text = line.decode("utf-8-sig", errors="replace").lower().replace('"', "")
            headers.append(re.split(r"[,;\s]+", text.strip("# \r\n")))
            if not text.startswith("#"):
                break
    *above, comment, last = headers
    in_comment = wanted.isdisjoint(last) and not wanted.isdisjoint(comment)
    return (len(above) - 1, comment) if in_comment else (len(above), last)


def read_csv(
    file: str | Path, name_columns: Sequence[str]
) -> "tuple[pd.DataFrame, dict[str, str]]":
    """Read a table of labels; rows with another number of fields are rejected one by one.

    Parameters
    ----------
    file : path-like
        Fields are separated by commas, tabs, semicolons or spaces; with semicolons, decimals may
        have commas. Lines that start with ``#`` may be above.
    name_columns : sequence of str
        Columns that hold names, in any case: text, also where it looks like a number.

    Returns
    -------
    table : `pandas.DataFrame`
        Without columns that have no name, such as the index that pandas writes.
    rejected : dict of str to str
        Name and reason of the rows that were rejected.

    Raises
    ------
    ValueError
        If the file is not a table.
    """
    import pandas as pd

    rejected: dict[str, str] = {}
    try:
        options, header = _layout(file, name_columns)
        names = [name for name in header if name in options["dtype"]]
        i_name = header.index(names[0]) if names else 0

        def reject(fields: list[str]) -> None:
            rejected[fields[i_name]] = (
                f"has a row of {len(fields)} fields in the table of labels, not {len(header)}"
            )

        try:
            table = pd.read_csv(file, **options)
        except pd.errors.ParserError:
            table = pd.read_csv(file, engine="python", on_bad_lines=reject, **options)
    except (ValueError, StopIteration) as error:
        raise ValueError(f"{file} cannot be read as a table of labels: {error}") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas' name for the fields in excess
        raise ValueError(  # noqa: TRY004
            f"{file} has rows of more fields than its first line, which names the columns"
        )
    return table.loc[:, ~table.columns.str.fullmatch(r"Unnamed: \d+")], rejected


def _layout(file: str | Path, name_columns: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of `pandas.read_csv` for a file, and the names of its columns."""
    import pandas as pd

    above, _ = header_of(file, name_columns)
    encoding = _encoding(_content(file))
    options = {"skiprows": above, "encoding": encoding, **_separators(file, above, encoding)}
    columns = pd.read_csv(file, nrows=0, **options).columns.str.strip("# \t")
    header = [column for column in columns if column]
    options["header"] = 0
    if len(header) < len(columns):  # "# name teff", where # is no column
        options |= {"header": None, "skiprows": above + 1}
    names = [c for c in header if c.lower() in {name.lower() for name in name_columns}]
    options |= {"names": header, "dtype": dict.fromkeys(names, str), "skipinitialspace": True}
    return options, header


def _separators(file: str | Path, above: int, encoding: str) -> dict[str, str]:
    """Return the separator that splits the first line into most fields, and the decimal point."""
    import pandas as pd

    options = {"nrows": 20, "dtype": str, "on_bad_lines": "skip", "skiprows": above}
    options["encoding"] = encoding
    first = {sep: pd.read_csv(file, sep=sep, **options) for sep in _SEPARATORS}
    sep = max(first, key=lambda sep: len(first[sep].columns))
    if len(first[sep].columns) == 1:  # spaces may be in names of columns, but only with other ones
        by_spaces = pd.read_csv(file, sep=r"\s+", **options)
        return {"sep": r"\s+" if len(by_spaces.columns) > 1 else ",", "decimal": "."}
    cells = first[sep].stack().str.strip()
    commas = sep == ";" and cells.str.fullmatch(r"[-+]?\d*,\d+(e[-+]?\d+)?", case=False).any()
    return {"sep": sep, "decimal": "," if commas else "."}
