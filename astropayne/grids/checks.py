# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Checks of the labels of grids, and of what readers return."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table

from astropayne.labels.columns import label_values, named_columns, require_clear
from astropayne.labels.names import Label
from astropayne.plugins.interfaces import GridSource
from astropayne.wavelengths.media import require_medium
from astropayne.wavelengths.resolution import require_resolution

__all__ = ["canonical_labels", "check_source", "label_faults", "summary", "unusable_labels"]

_NO_DEX = 50.0  # labels in dex are smaller; -9999 and 99.99 mark missing values


def canonical_labels(labels: Table | Mapping[str, Any] | Any) -> QTable:
    """Return labels as a table under their canonical names and in their own units.

    Parameters
    ----------
    labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping of str to array_like
        Names in any spelling; masked values become NaN.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If there is no label, a label is given twice, or a column does not hold numbers.

    Examples
    --------
    >>> from astropayne.grids.checks import canonical_labels
    >>> canonical_labels({"Teff": [5777.0], "[Fe/H]": [0.0]}).colnames
    ['teff', 'feh']
    """
    if hasattr(labels, "to_numpy"):
        labels = labels.to_dict(orient="list")
    labels, table = QTable(labels), QTable()
    for given in labels.colnames:
        label = Label(given)
        if label.name in table.colnames:
            raise ValueError(f"label {label.name!r} is given twice (once as {given!r})")
        values = label.to_value(labels[given])
        if values.ndim != 1:
            raise ValueError(
                f"label {given!r} has {values.ndim} dimensions: each spectrum needs one number"
            )
        table[label.name] = label.column(values)
    if not table.colnames:
        raise ValueError("there are no labels: a grid needs at least one")
    return table


def check_source(source: Any, name: str) -> GridSource:
    """Check the result of a reader, and convert its labels to their canonical form.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
        As ``open`` of the reader returned it.
    name : str
        Name of the format, for error messages.

    Returns
    -------
    `~astropayne.plugins.GridSource`

    Raises
    ------
    TypeError
        If it is not a `~astropayne.plugins.GridSource`.
    ValueError
        If its parts do not fit together.
    """
    if not isinstance(source, GridSource):
        raise TypeError(
            f"the reader {name!r} returned a {type(source).__name__}: open must return a GridSource"
        )
    if source.flux is None:  # files of this package may hold any label
        for given in named_columns(source.labels) or ():
            require_clear(given, f"the reader {name!r} must name it by its label")
    names, labels = [str(given) for given in source.names], canonical_labels(source.labels)
    if len(names) != len(labels):
        raise ValueError(
            f"the reader {name!r} returned {len(names)} names of spectra and {len(labels)} rows of "
            "labels: each spectrum needs one of each"
        )
    require_medium(source.meta.get("medium", "air"))
    require_resolution(source.meta.get("resolution"))
    source = replace(source, names=names, labels=labels)
    if source.flux is not None:  # checked before it was written
        return source
    _check_loading(source, name)
    meta = {"reader": name, **source.meta}
    return replace(source, meta=meta, rejected=dict(source.rejected))


def _check_loading(source: GridSource, name: str) -> None:
    if source.load is None:
        raise ValueError(
            f"the reader {name!r} returned a GridSource with neither load, load_block nor flux: it "
            "needs one of them"
        )
    repeated = [given for given, count in Counter(source.names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"the reader {name!r} gave the name {repeated[0]!r} to more than one spectrum: each "
            "name must be unique"
        )


def summary(rejected: Mapping[str, str]) -> str:
    """Count the reasons why spectra were set aside, the most frequent first.

    Parameters
    ----------
    rejected : mapping of str to str
        Reasons by name. Those that differ only after a colon are counted together.

    Returns
    -------
    str

    Examples
    --------
    >>> from astropayne.grids.checks import summary
    >>> summary({"a": "has negative flux", "b": "is late: 1", "c": "is late: 2"})
    '2 x is late; 1 x has negative flux'
    """
    kinds: dict[str, list[str]] = {}
    for text in rejected.values():
        kinds.setdefault(text.partition(": ")[0], []).append(text)
    counts = Counter(
        {kind if len(set(texts)) > 1 else texts[0]: len(texts) for kind, texts in kinds.items()}
    ).most_common()
    listed = "; ".join(f"{count} x {kind}" for kind, count in counts[:3])
    return listed + (f"; and {len(counts) - 3} other reasons" if len(counts) > 3 else "")


def _impossible(name: str, values: np.ndarray) -> np.ndarray:
    """Return which values no star can have."""
    label = Label(name)
    if label.column_unit is not None:  # temperatures and velocities
        return values < 0
    return (label.unit == u.dex) & (np.abs(values) > _NO_DEX)


def unusable_labels(labels: QTable) -> dict[int, str]:
    """Return the rows of a table whose labels are missing or impossible, with the reason.

    Parameters
    ----------
    labels : `~astropy.table.QTable`
        Under their canonical names.

    Returns
    -------
    dict of int to str
        Reasons by number of the row.

    Examples
    --------
    >>> from astropy.table import QTable, Table
    >>> from astropayne.grids.checks import unusable_labels
    >>> unusable_labels(QTable({"logg": [4.0, -9999, 4.5]}))
    {1: 'has impossible labels: logg = -9999'}
    """
    names, values = labels.colnames, label_values(labels)
    missing = ~np.isfinite(values)
    no_star = np.transpose([_impossible(*pair) for pair in zip(names, values.T, strict=True)])
    faults = {}
    for i in np.flatnonzero((missing | no_star).any(axis=1)).tolist():
        if missing[i].any():
            which = ", ".join(name for name, gone in zip(names, missing[i], strict=True) if gone)
            faults[i] = f"has labels that are missing or not finite: {which}"
        else:
            k = int(np.argmax(no_star[i]))
            faults[i] = f"has impossible labels: {names[k]} = {values[i, k]:g}"
    return faults


def label_faults(source: GridSource) -> dict[str, str]:
    """Return spectra whose labels are missing, impossible or those of another spectrum.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
        With labels under their canonical names.

    Returns
    -------
    dict of str to str
        Reasons by name of the spectrum.
    """
    faults = unusable_labels(source.labels)
    _, first, same = np.unique(
        label_values(source.labels), axis=0, return_index=True, return_inverse=True
    )
    first = first[same]
    for i in np.flatnonzero(first != np.arange(len(first))).tolist():
        faults.setdefault(i, f"has the labels of another: {source.names[first[i]]}")
    return {source.names[i]: faults[i] for i in sorted(faults)}
