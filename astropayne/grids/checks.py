# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Checks of a grid's labels and spectra."""

from collections import Counter
from dataclasses import replace

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.labels.columns import label_values
from astropayne.labels.names import Label
from astropayne.plugins import GridSource
from astropayne.wavelengths.media import require_medium
from astropayne.wavelengths.resolution import require_resolution

__all__ = ["canonical_labels", "check_source", "label_faults", "summary", "unusable_labels"]

_NO_DEX = 50.0  # labels in dex are smaller; -9999 and 99.99 stand for one that is missing


def canonical_labels(labels):
    """Return labels as a table under their canonical names and in their own units.

    Parameters
    ----------
    labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping of str to array_like
        Names in any spelling; what is masked becomes NaN.

    Raises
    ------
    ValueError
        If there is none, one is there twice, or one is not numbers.
    """
    if hasattr(labels, "to_numpy"):
        labels = labels.to_dict(orient="list")
    labels, table = QTable(labels), QTable()
    for given in labels.colnames:
        label = Label(given)
        if label.name in table.colnames:
            raise ValueError(f"label {label.name!r} is there twice (once as {given!r})")
        values = label.to_value(labels[given])
        if values.ndim != 1:
            raise ValueError(f"label {given!r} has {values.ndim} dimensions: a row needs a number")
        table[label.name] = label.column(values)
    if not table.colnames:
        raise ValueError("there are no labels: a grid needs at least one, a row for each spectrum")
    return table


def check_source(source, name):
    """Return a source with its labels under their canonical names, if its parts fit together.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
        As a reader's ``open`` returned it.
    name : str
        The reader's, for the errors.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or its parts do not fit.
    """
    if not isinstance(source, GridSource):
        raise TypeError(
            f"the reader {name!r} returned a {type(source).__name__}: open has to return a "
            "GridSource"
        )
    names = [str(given) for given in source.names]
    labels = canonical_labels(source.labels)
    if len(names) != len(labels):
        raise ValueError(
            f"the reader {name!r} gave {len(names)} names of spectra and {len(labels)} rows of "
            "labels: each spectrum needs one of each"
        )
    doubled = [given for given, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(
            f"the reader {name!r} gave the name {doubled[0]!r} to more than one spectrum: names "
            "have to tell them apart"
        )
    meta = {"reader": name, **source.meta}
    require_medium(meta.get("medium", "air"))
    require_resolution(meta.get("resolution"))
    return replace(source, names=names, labels=labels, meta=meta, rejected=dict(source.rejected))


def summary(rejected):
    """Count the reasons in a dict of name to reason, the most frequent first.

    Reasons that differ only in what follows a colon are counted together, and cut off there.
    """
    kinds = {}
    for text in rejected.values():
        kinds.setdefault(text.partition(": ")[0], []).append(text)
    counts = Counter(
        {kind if len(set(texts)) > 1 else texts[0]: len(texts) for kind, texts in kinds.items()}
    ).most_common()
    listed = "; ".join(f"{count} x {kind}" for kind, count in counts[:3])
    return listed + (f"; and {len(counts) - 3} other reasons" if len(counts) > 3 else "")


def _impossible(name, values):
    """Say which values no star has."""
    label = Label(name)
    if label.column_unit is not None:  # temperatures and velocities
        return values < 0
    return (label.unit == u.dex) & (np.abs(values) > _NO_DEX)


def unusable_labels(labels):
    """Return the rows of a table of labels that are missing or impossible, with the reason.

    Parameters
    ----------
    labels : `~astropy.table.QTable`
        Under their canonical names.

    Returns
    -------
    dict of int to str

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne.grids.checks import unusable_labels
    >>> unusable_labels(QTable({"logg": [4.0, -9999, 4.5]}))
    {1: 'has labels that no star has: logg = -9999'}
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
            faults[i] = f"has labels that no star has: {names[k]} = {values[i, k]:g}"
    return faults


def label_faults(source):
    """Return name and reason of spectra whose labels are missing, impossible or another's."""
    faults = unusable_labels(source.labels)
    _, first, same = np.unique(
        label_values(source.labels), axis=0, return_index=True, return_inverse=True
    )
    first = first[same]
    for i in np.flatnonzero(first != np.arange(len(first))).tolist():
        faults.setdefault(i, f"has the labels of another: {source.names[first[i]]}")
    return {source.names[i]: faults[i] for i in sorted(faults)}
