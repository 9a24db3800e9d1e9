# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What readers with a table of labels have in common: matching its rows, choosing its columns."""

import contextlib
import re
from collections import Counter

import numpy as np

__all__ = ["header_of", "label_columns", "match_files", "read_csv"]

_FORTRAN = re.compile(r"^(\s*[-+]?[\d.]+)d([-+]?\d+\s*)$", re.IGNORECASE)  # writes 1.0D0


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


def match_files(names, files, kind="file"):
    """Find the file of each row of a table of labels, in time linear in their number.

    Parameters
    ----------
    names : sequence of str
        What the rows say: a file's name, or that name without its extension; folders in front of
        it do not count where there is no such file.
    files : iterable of str
        Names of the files there are.
    kind : str
        What a file is called in the reasons, such as ``".spec file"``.

    Returns
    -------
    rows : list of int
        The rows that have one file, which no other row has.
    found : list of str
        Names of their files.
    rejected : dict of str to str
        Name and reason of every other row and file.

    Examples
    --------
    >>> from astropayne.plugins.tables import match_files
    >>> match_files(["a", "b.txt", "d"], ["a.txt", "b.txt", "c.txt"])[:2]
    ([0, 1], ['a.txt', 'b.txt'])
    """
    files = set(files)
    by_stem = [(file.rpartition(".")[0] or file, file) for file in files]
    stems = Counter(stem for stem, _ in by_stem)
    by_name = {stem: file for stem, file in by_stem if stems[stem] == 1}
    by_name.update(zip(files, files, strict=True))
    texts = [_text(name) for name in names]
    matches = [by_name.get(text) or by_name.get(re.split(r"[/\\]", text)[-1]) for text in texts]
    count = Counter(match or text for match, text in zip(matches, texts, strict=True))
    rows, found, rejected = [], [], {}
    for row, (text, match) in enumerate(zip(texts, matches, strict=True)):
        if not text:
            rejected[f"row {row + 1}"] = "has no name in the table of labels"
        elif count[match or text] > 1:
            rejected[match or text] = "has more than one row in the table of labels"
        elif stems[text] > 1 and match is None:
            rejected[text] = f"is in the table of labels, but may be any of {stems[text]} files"
        elif match is None:
            rejected[text] = f"is in the table of labels, but there is no such {kind}"
        else:
            rows.append(row)
            found.append(match)
    for file in sorted(files.difference(count)):
        rejected[file] = "has no row in the table of labels"
    return rows, found, rejected


def _text(name):
    """Return a name as text, empty if it is missing."""
    if type(name) is str:  # nearly all, and there may be many
        return name.strip()
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    missing = name is None or name is np.ma.masked or name != name  # only NaN is not itself
    return "" if missing else str(name).strip()


# A unit in the name of a column: "Teff [kK]", "Teff (kK)", "teff_kK".
_WITH_UNIT = re.compile(r"(?P<name>.+?)\s*(?:\[(.+)\]|\((.+)\)|[_ ](kK|K))")
_COLDEST = 100.0  # K; no star is as cold: lower temperatures are in another unit


def label_columns(table, columns=None, ignore=(), never=(), units=None):
    """Take the labels out of a table's columns.

    Parameters
    ----------
    table : mapping of str to array_like
        Columns by name; units are converted, and what is no number becomes NaN.
    columns : mapping of str to str, optional
        Labels by column name, for columns that are called otherwise.
    ignore : str or sequence of str
        Columns that are no labels; ``"rest"`` for all that are not in ``columns``.
    never : sequence of str
        Columns that are labels only if ``columns`` says so.
    units : mapping of str to unit, optional
        Units by column name, for columns that have none of their own: ``{"Teff": "kK"}``. They
        are understood in a column's name too, as in ``"Teff [kK]"`` or ``"teff_kK"``.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If a column is not there, is not a label's, holds no number, or temperatures below 100 K.

    Examples
    --------
    >>> from astropayne.plugins.tables import label_columns
    >>> table = {"T (kK)": [5.0, 6.0], "logg": ["4.0", "?"], "note": ["", "hot"]}
    >>> print(label_columns(table, {"T (kK)": "teff"}, ignore="note"))
     teff  logg
      K
    ------ ----
    5000.0  4.0
    6000.0  nan
    """
    from astropy.table import QTable

    columns, units = dict(columns or {}), dict(units or {})
    if isinstance(ignore, str) and ignore != "rest":
        ignore = (ignore,)
    named = (*columns, *units, *(() if ignore == "rest" else ignore))
    absent = [name for name in named if name not in table]
    if absent:
        raise ValueError(
            f"the table of labels has no column {', '.join(map(repr, absent))}; it has "
            f"{', '.join(table)}"
        )
    labels = QTable()
    for given, values in table.items():
        skipped = ignore == "rest" or given in ignore or given in never
        if given in columns or not skipped:
            label, unit = _label(given, columns, units)
            if label.name in labels.colnames:
                raise ValueError(
                    f"label {label.name!r} is there twice (once as {given!r}): ignore=({given!r},)"
                )
            labels[label.name] = label.column(_numbers(label, given, values, unit))
    if not labels.colnames:
        raise ValueError(f"the table of labels has no label, only {', '.join(table)}")
    return labels


def _label(given, columns, units):
    """Return the label of a column, and its unit if something says it."""
    from astropayne.labels import Label

    unit, match = units.get(given), _WITH_UNIT.fullmatch(given)
    if match:
        with contextlib.suppress(ValueError):  # as a whole, it may be a label
            label = Label(columns.get(given, match["name"]))
            if label.column_unit is not None:
                return label, unit or next(filter(None, match.groups()[1:]))
    try:
        return Label(columns.get(given, given)), unit
    except ValueError as error:
        raise ValueError(
            f"column {given!r} of the table of labels: {error}. If it is a label under another "
            f"name, give columns={{{given!r}: 'its label'}}; if it is none, ignore=({given!r},)"
        ) from None


def _numbers(label, given, values, unit):
    if getattr(values, "dtype", None) is None or values.dtype.kind not in "biuf":
        import pandas as pd

        plain = np.ma.filled(values.astype(object), np.nan) if np.ma.isMA(values) else values
        values = [_FORTRAN.sub(r"\1e\2", v) if isinstance(v, str) else v for v in np.asarray(plain)]
        values = pd.Series(values, dtype=object)
        values = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    if unit is not None and getattr(values, "unit", None) is None:
        values = _quantity(values, unit, given)
    numbers = np.asarray(label.to_value(values), dtype=float)
    if len(numbers) and not np.isfinite(numbers).any():
        raise ValueError(
            f"column {given!r} of the table of labels holds no number: if it is not a label, "
            f"ignore=({given!r},)"
        )
    if label.name == "teff" and np.nanmax(numbers, initial=0) < _COLDEST and len(numbers):
        raise ValueError(
            f"column {given!r} of the table of labels has temperatures up to "
            f"{np.nanmax(numbers):g} K: if they are in kK, units={{{given!r}: 'kK'}}"
        )
    return numbers


def _quantity(values, unit, given):
    import astropy.units as u

    try:
        return values << u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {given!r} of the table of labels: {error}") from None
