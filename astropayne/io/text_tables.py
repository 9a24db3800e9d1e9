# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Text tables, whatever their delimiter, encoding and header."""

import re

__all__ = ["guessed_table", "header_of", "read_csv"]


def header_of(file, name_columns):
    """Find the names of a text table's columns: below comments, or in the last of them.

    Parameters
    ----------
    file : `pathlib.Path`
    name_columns : collection of str
        Columns that hold names, of which the table has one.

    Returns
    -------
    n_above : int
        How many lines are above.
    words : list of str
        What stands there, in lower case.
    """
    from astropy.utils.data import get_readable_fileobj

    wanted, found = {name.lower() for name in name_columns}, [[]]
    with get_readable_fileobj(file, encoding="binary") as lines:
        for line in lines:
            text = line.decode("utf-8-sig", errors="replace").lower().replace('"', "")
            found.append(re.split(r"[,;\s]+", text.strip("# \r\n")))
            if not text.startswith("#"):
                break
    *above, comment, last = found
    in_comment = wanted.isdisjoint(last) and not wanted.isdisjoint(comment)
    return (len(above) - 1, comment) if in_comment else (len(above), last)


def read_csv(file, name_columns):
    """Read a table of labels; a row that is not like the others is set aside alone.

    Parameters
    ----------
    file : `pathlib.Path`
        Fields are separated by commas, tabs, semicolons or spaces; with semicolons, decimals may
        have commas. Lines that start with ``#`` may be above.
    name_columns : sequence of str
        Columns that hold names, in any case: text, also where it looks like a number.

    Returns
    -------
    table : `pandas.DataFrame`
        Without columns that have no name, such as pandas' own index.
    rejected : dict of str to str
        Name and reason of the rows that were set aside.

    Raises
    ------
    ValueError
        If the file is no table.
    """
    import pandas as pd

    rejected = {}
    try:
        above, _ = header_of(file, name_columns)
        encoding = _encoding(file)
        written = {"skiprows": above, "encoding": encoding, **_separators(file, above, encoding)}
        columns = pd.read_csv(file, nrows=0, **written).columns.str.strip("# \t")
        header = [column for column in columns if column]
        if len(header) < len(columns):  # "# name teff", where # is no column
            written |= {"header": None, "skiprows": above + 1}
        names = [c for c in header if c.lower() in {name.lower() for name in name_columns}]
        options = {
            "header": 0,
            **written,
            "names": header,
            "dtype": dict.fromkeys(names, str),
            "skipinitialspace": True,
        }
        name = next((i for i, column in enumerate(header) if column in names), 0)

        def set_aside(fields):
            rejected[fields[name]] = (
                f"has a row of {len(fields)} fields in the table of labels, not {len(header)}"
            )

        try:
            table = pd.read_csv(file, **options)
        except pd.errors.ParserError:
            table = pd.read_csv(file, engine="python", on_bad_lines=set_aside, **options)
    except (ValueError, StopIteration) as error:
        raise ValueError(f"{file} cannot be read as a table of labels: {error}") from None
    if not isinstance(table.index, pd.RangeIndex):  # what pandas makes of the fields in excess
        raise ValueError(  # noqa: TRY004
            f"{file} has rows of more fields than its first line, which names the columns"
        )
    return table.loc[:, ~table.columns.str.fullmatch(r"Unnamed: \d+")], rejected


def _encoding(file):
    """Return the encoding of a text: if not UTF-8, Latin-1, which has a letter for every byte."""
    from astropy.utils.data import get_readable_fileobj

    with get_readable_fileobj(file, encoding="binary") as opened:
        content = opened.read()
    try:
        content.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _separators(file, above, encoding):
    """Return what separates fields, as most in the first line, and what decimals."""
    import pandas as pd

    options = {"nrows": 20, "dtype": str, "on_bad_lines": "skip", "skiprows": above}
    options["encoding"] = encoding
    first = {sep: pd.read_csv(file, sep=sep, **options) for sep in (",", ";", "\t")}
    sep = max(first, key=lambda sep: len(first[sep].columns))
    if len(first[sep].columns) == 1:  # spaces are in the names of columns, where others separate
        by_spaces = pd.read_csv(file, sep=r"\s+", **options)
        return {"sep": r"\s+" if len(by_spaces.columns) > 1 else ",", "decimal": "."}
    cells = first[sep].stack().str.strip()
    commas = sep == ";" and cells.str.fullmatch(r"[-+]?\d*,\d+(e[-+]?\d+)?", case=False).any()
    return {"sep": sep, "decimal": "," if commas else "."}


def guessed_table(path):
    """Return the columns of a text file, whatever separates and names them."""
    from astropy.io import ascii as text_tables
    from astropy.table import QTable
    from astropy.utils.data import get_readable_fileobj

    with get_readable_fileobj(path, encoding="binary") as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # which has a letter for every byte, in comments and units
        text = content.decode("latin-1")
    text = text if "," in text else text.replace(";", ",")  # as spreadsheets write it
    table = _numbers_only(text) or text_tables.read(text)
    if table[table.colnames[1]].dtype.kind == "U":  # pandas' index, a column without a name
        table = text_tables.read(text, format="csv", guess=False)
    last = table.meta.get("comments", [""])[-1]
    names = re.sub(r"\s+(?=[(\[])", "", last.replace(",", " ")).split()  # a unit is of its name
    if table.colnames[0] == "col1" and len(names) == len(table.colnames):
        table.rename_columns(table.colnames, names)
    table.meta.clear()
    return QTable(table)


def _numbers_only(text):
    """Read columns without names, for which ascii would try all other formats before."""
    from astropy.io import ascii as text_tables

    first = re.search(r"^(?!#)\s*\S.*", text, re.MULTILINE)
    if first is None or not re.fullmatch(r"[-+\d.eE,\s]+", first[0]):
        return None
    how = {"format": "no_header", "guess": False, "delimiter": "," if "," in first[0] else " "}
    try:
        table = text_tables.read(text.replace("\t", " "), **how)
    except Exception:  # ascii's guesses may do better
        return None
    return table if len(table.colnames) > 1 else None
