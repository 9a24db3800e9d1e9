# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels as columns of tables and arrays."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from astropayne.labels.names import ELEMENTS, Label

if TYPE_CHECKING:
    import astropy.units as u
    from astropy.table import QTable

__all__ = [
    "is_constant",
    "is_in_kilokelvin",
    "label_columns",
    "label_values",
    "named_columns",
    "one_star",
    "require_clear",
]

_FORTRAN = re.compile(r"^(\s*[-+]?[\d.]+)d([-+]?\d+\s*)$", re.IGNORECASE)  # writes 1.0D0
# A unit in the name of a column: "Teff [kK]", "Teff (kK)", "teff_kK".
_WITH_UNIT = re.compile(r"(?P<name>.+?)\s*(?:\[(.+)\]|\((.+)\)|[_ ](kK|K))")
_COLDEST = 100.0  # K; no star is colder
_ROUNDING = 1e-6  # relative; smaller differences are those of rounding
# Names in lower case that may be several labels, and the labels.
_UNCLEAR = {
    **{x.lower(): (f"[{x}/Fe]", f"[{x}/H]", f"A({x})") for x in ELEMENTS[2:]},
    **dict.fromkeys(("fe", "iron"), ("[Fe/H]", "A(Fe)")),
    "alpha": ("[alpha/Fe]", "[alpha/M]"),
    **dict.fromkeys(
        ("m", "mh", "z", "logz", "met", "meta", "metals", "metallicity"), ("[Fe/H]", "[M/H]")
    ),
    **dict.fromkeys(("t", "temp", "temperature"), ("teff",)),
    **dict.fromkeys(("g", "grav", "gravity"), ("logg",)),
    **dict.fromkeys(("vt", "vtur", "micro", "microturb", "turb", "turbulence"), ("vmic",)),
}
# Names in lower case that describe a row of a table or an observation, not a star's spectrum.
_NO_LABEL = frozenset(
    "snr s/n sn s_n signal_to_noise id idx index number num row seed ra dec mjd jd date time obsid "
    "object_id source_id exptime nlte_flag r res resolving_power".split()
)


def is_in_kilokelvin(teff: npt.ArrayLike) -> bool:
    """Return whether effective temperatures must be in kK: all of them are below 100.

    Parameters
    ----------
    teff : array_like
        NaN values are ignored.

    Returns
    -------
    bool

    Examples
    --------
    >>> from astropayne.labels.columns import is_in_kilokelvin
    >>> is_in_kilokelvin([4.5, 6.0]), is_in_kilokelvin([4500, 6000])
    (True, False)
    """
    return bool(np.nanmax(teff, initial=0) < _COLDEST)


def is_constant(name: str, values: npt.ArrayLike) -> bool:
    """Return whether a label has one value in all spectra, apart from rounding.

    Parameters
    ----------
    name : str
    values : array_like
        In the label's own unit.

    Returns
    -------
    bool
        Whether they differ by at most 1e-6 of the largest, or of 1 dex.

    Examples
    --------
    >>> from astropayne.labels.columns import is_constant
    >>> is_constant("A(Li)", [2.0, 2.0 + 2e-16]), is_constant("teff", [5000, 5001])
    (True, False)
    """
    values = np.asarray(values, dtype=float)
    label = Label(name)
    in_dex = label.column_unit is None and str(label.unit) == "dex"
    largest = np.max(np.abs(values), initial=1.0 if in_dex else 0.0)
    return bool(np.isfinite(largest) and len(values) and np.ptp(values) <= _ROUNDING * largest)


def require_clear(name: str, advice: str = "") -> None:
    """Raise an error for the name of a column that may be several labels, or is none.

    Parameters
    ----------
    name : str
        As it is given.
    advice : str
        What the caller can do, for the error; by default to rename the column.

    Raises
    ------
    ValueError
        If the name is unclear, such as ``"Mg"``, which may be [Mg/Fe], [Mg/H] or A(Mg).

    Examples
    --------
    >>> from astropayne.labels.columns import require_clear
    >>> require_clear("[Mg/Fe]")
    """
    plain = str(name).strip().lower()
    advice = advice or "name it by its label, or leave it out"
    if plain in _UNCLEAR:
        meanings = " or ".join(map(repr, _UNCLEAR[plain]))
        raise ValueError(f"{name!r} may mean {meanings}: {advice}")
    if plain in _NO_LABEL:
        raise ValueError(f"{name!r} is no property of a synthetic spectrum: {advice}")


def label_values(table: Any) -> np.ndarray:
    """Return the values of a table of labels in their own units.

    Parameters
    ----------
    table : `~astropy.table.Table`
        One column per label.

    Returns
    -------
    numpy.ndarray, shape (n_rows, n_labels)
    """
    return np.stack([Label(name).to_value(table[name]) for name in table.colnames], axis=1)


def named_columns(labels: Any) -> dict[str, Any] | None:
    """Return named columns as a dict, or `None` if the columns have no names.

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
        If the names of the columns are numbers.

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


def one_star(values: np.ndarray) -> np.ndarray:
    """Return the labels of one star, (n_labels,), from an array with one row per star.

    Raises
    ------
    ValueError
        If the array has more than one row.
    """
    if len(values) != 1:
        raise ValueError(f"one star needs one value per label, got {len(values)}")
    return values[0]


def label_columns(
    table: Mapping[str, Any],
    columns: Mapping[str, str] | None = None,
    ignore: str | Sequence[str] = (),
    never: Sequence[str] = (),
    units: "Mapping[str, str | u.UnitBase] | None" = None,
) -> "QTable":
    """Select the labels from the columns of a table.

    Parameters
    ----------
    table : mapping of str to array_like
        Columns by name. Units are converted; text that is not a number becomes NaN.
    columns : mapping of str to str, optional
        Labels by column name, for columns with other names.
    ignore : str or sequence of str
        Columns that are not labels; ``"rest"`` for all that are not in ``columns``.
    never : sequence of str
        Columns that are labels only if they are in ``columns``.
    units : mapping of str to unit, optional
        Units by column name, for columns without a unit of their own: ``{"Teff": "kK"}``. A unit
        in the name of a column, as in ``"Teff [kK]"`` or ``"teff_kK"``, is used too.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If a column is missing, is not a label, contains no number, or contains temperatures below
        100 K.

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
    _require_columns(table, [*columns, *units, *(() if ignore == "rest" else ignore)])
    labels = QTable()
    for name, values in table.items():
        skipped = ignore == "rest" or name in ignore or name in never
        if skipped and name not in columns:
            continue
        label, unit = _label(name, columns, units)
        if label.name in labels.colnames:
            raise ValueError(
                f"label {label.name!r} is given twice (once as {name!r}): leave one column "
                f"out, with ignore=({name!r},)"
            )
        labels[label.name] = label.column(_numbers(label, name, values, unit))
    if not labels.colnames:
        raise ValueError(f"the table of labels has no label, only {', '.join(table)}")
    return labels


def _require_columns(table: Mapping[str, Any], names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table]
    if absent:
        raise ValueError(
            f"the table of labels has no column {', '.join(map(repr, absent))}; it has "
            f"{', '.join(table)}"
        )


def _label(
    name: str, columns: Mapping[str, str], units: Mapping[str, Any]
) -> "tuple[Label, str | u.UnitBase | None]":
    """Return the label of a column, and its unit if an option or the name states it."""
    unit, match = units.get(name), _WITH_UNIT.fullmatch(name)
    if match:
        with contextlib.suppress(ValueError):  # as a whole, it may be a label
            label = Label(columns.get(name, match["name"]))
            if label.column_unit is not None:
                return label, unit or next(filter(None, match.groups()[1:]))
    try:
        if name not in columns:
            require_clear(match["name"] if match else name, "it must be stated")
        return Label(columns.get(name, name)), unit
    except ValueError as error:
        raise ValueError(
            f"column {name!r} of the table of labels: {error}. If it is a label under another "
            f"name, give columns={{{name!r}: 'its label'}}; if it is not a label, "
            f"ignore=({name!r},)"
        ) from None


def _numbers(label: Label, name: str, values: Any, unit: "str | u.UnitBase | None") -> np.ndarray:
    """Return a column in the label's own unit."""
    if getattr(values, "dtype", None) is None or values.dtype.kind not in "biuf":
        values = _parsed_numbers(values)
    if unit is not None and getattr(values, "unit", None) is None:
        values = _quantity(values, unit, name)
    numbers = np.asarray(label.to_value(values), dtype=float)
    if len(numbers) and not np.isfinite(numbers).any():
        raise ValueError(
            f"column {name!r} of the table of labels holds no number: if it is not a label, "
            f"give ignore=({name!r},)"
        )
    if label.name == "teff" and len(numbers) and is_in_kilokelvin(numbers):
        raise ValueError(
            f"column {name!r} of the table of labels has temperatures up to "
            f"{np.nanmax(numbers):g} K: if they are in kK, give units={{{name!r}: 'kK'}}"
        )
    return numbers


def _parsed_numbers(values: Any) -> np.ndarray:
    """Return numbers from text or objects; NaN where there is no number."""
    import pandas as pd

    plain = np.ma.filled(values.astype(object), np.nan) if np.ma.isMA(values) else values
    plain = [_FORTRAN.sub(r"\1e\2", v) if isinstance(v, str) else v for v in np.asarray(plain)]
    column = pd.Series(plain, dtype=object)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)


def _quantity(values: Any, unit: "str | u.UnitBase", name: str) -> "u.Quantity":
    import astropy.units as u

    try:
        return values << u.Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {name!r} of the table of labels: {error}") from None
