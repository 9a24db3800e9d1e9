# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels as columns of tables and arrays."""

import contextlib
import re

import numpy as np

from astropayne.labels.names import Label

__all__ = ["label_columns", "named_columns", "one_star"]


def label_values(table):
    """Return the values of a table of labels in their own units: shape (n_rows, n_labels)."""
    return np.stack([Label(name).to_value(table[name]) for name in table.colnames], axis=1)


def named_columns(labels):
    """Return what has names as a dict, or `None` if there are none.

    Parameters
    ----------
    labels : object
        A table or row of astropy, a data frame or series of pandas, a structured array, a mapping:
        anything with ``dtype.names``, ``keys()`` or ``columns``; or a plain array.

    Returns
    -------
    dict of str to array_like, or None
        `None` for a plain array.

    Raises
    ------
    ValueError
        If there are columns, but they are called by numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.labels.columns import named_columns
    >>> rows = np.array([(5777.0, 4.44), (4500.0, 2.5)], dtype=[("teff", float), ("logg", float)])
    >>> named_columns(rows)["logg"]
    array([4.44, 2.5 ])
    >>> named_columns([[5777.0, 4.44]]) is None
    True
    """
    names = getattr(getattr(labels, "dtype", None), "names", None)
    if names is None:
        names = labels.keys() if hasattr(labels, "keys") else getattr(labels, "columns", None)
    if names is None:
        return None
    names = list(names)
    if numbers := [name for name in names if not isinstance(name, str)]:
        raise ValueError(
            f"labels are matched by name, but a {type(labels).__name__} has columns called "
            f"{', '.join(map(repr, numbers))}: name them, or give its values as a plain array, "
            "whose columns are in the model's order"
        )
    return {name: labels[name] for name in names}


def one_star(values):
    """Return the labels of one star, (n_labels,), of an array with a row a star.

    Raises
    ------
    ValueError
        If there are several.
    """
    if len(values) != 1:
        raise ValueError(f"one star needs one value a label, got {len(values)}")
    return values[0]


# A unit in the name of a column: "Teff [kK]", "Teff (kK)", "teff_kK".
_FORTRAN = re.compile(r"^(\s*[-+]?[\d.]+)d([-+]?\d+\s*)$", re.IGNORECASE)  # writes 1.0D0
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
    >>> from astropayne.labels.columns import label_columns
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
    from astropayne.labels.names import Label

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
