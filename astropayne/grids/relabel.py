# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels of a grid in another convention, and labels that are the same in all spectra."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from astropy.table import QTable, Table

from astropayne.grids.checks import canonical_labels
from astropayne.grids.data import GridData, GridWarning
from astropayne.labels.columns import is_constant, label_values
from astropayne.labels.conversion import LabelConversion, forbid_same
from astropayne.labels.names import ALPHA_ELEMENTS, Label, parse_label
from astropayne.labels.solar import SolarScale, same_scale, solar_scale

__all__ = [
    "in_same_order",
    "label_targets",
    "relabeled",
    "require_independent",
    "transformed",
    "with_constants",
    "with_same_labels",
    "without_constant_labels",
]

_FEWEST_TO_COMPARE = 5  # spectra; labels of fewer are alike by chance


def in_same_order(own: QTable, labels: Table | Mapping[str, Any]) -> QTable:
    """Return labels that replace those of a grid, if their rows are not in another order.

    Parameters
    ----------
    own : `~astropy.table.QTable`
        Labels of the grid.
    labels : `~astropy.table.Table` or mapping
        Labels that replace them.

    Returns
    -------
    `~astropy.table.QTable`
        Under canonical names.

    Raises
    ------
    ValueError
        If the rows are those of the grid in another order.
    """
    labels = canonical_labels(labels)
    common = [name for name in own.colnames if name in labels.colnames]
    if not common or len(own) != len(labels):
        return labels
    before, after = label_values(own[common]), label_values(labels[common])
    if not np.array_equal(before, after) and np.array_equal(_sorted(before), _sorted(after)):
        raise ValueError(
            "labels= has the rows of grid.labels in another order, so they would belong to other "
            "spectra: sort the grid instead, as in grid[np.argsort(grid.labels['teff'])]"
        )
    return labels


def _sorted(values: np.ndarray) -> np.ndarray:
    """Return rows in lexicographic order."""
    return values[np.lexsort(values.T)]


def label_targets(targets: str | Sequence[str | Sequence[str]]) -> list[str]:
    """Return names of labels that may be in nested lists as one list."""
    if isinstance(targets, str):
        return [targets]
    return [name for target in targets for name in label_targets(target)]


def require_independent(labels: QTable, source: str) -> None:
    """Check that labels can be told apart.

    Parameters
    ----------
    labels : `~astropy.table.QTable`
        Under canonical names, without those that have one value.
    source : str
        What the labels come from, for messages.

    Raises
    ------
    ValueError
        If two of them express the same quantity, such as [Fe/H] and A(Fe).

    Warns
    -----
    GridWarning
        If two abundances differ by the same number in all spectra.
    """
    try:
        forbid_same(
            labels.colnames,
            "a model could use only one. Leave one out, as with ignore=(its column,), or give it "
            "another name, as with columns={its column: 'a_name'}",
        )
    except ValueError as error:
        raise ValueError(f"the labels of {source}: {error}") from None
    if len(labels) < _FEWEST_TO_COMPARE:
        return
    dex = [name for name in labels.colnames if Label(name).element or name in ("feh", "M_H")]
    for one, other in combinations(dex, 2):
        if {Label(one).element, Label(other).element} <= {*ALPHA_ELEMENTS}:
            continue  # which transform_labels("alpha_Fe") makes one label
        if is_constant(one, np.asarray(labels[one]) - np.asarray(labels[other])):
            warnings.warn(
                f"the labels {Label(one).text} and {Label(other).text} of {source} differ by the "
                "same number in all spectra, so that a model cannot tell them apart: leave one out",
                GridWarning,
                stacklevel=2,
            )
            return


def without_constant_labels(labels: QTable) -> tuple[QTable, dict[str, float]]:
    """Separate labels that have one value in all rows, from which nothing can be learned.

    Parameters
    ----------
    labels : `~astropy.table.QTable`
        Under canonical names.

    Returns
    -------
    varying : `~astropy.table.QTable`
    constant : dict of str to float

    Raises
    ------
    ValueError
        If no label varies.
    """
    constant = {}
    if len(labels) > 1:
        for name in labels.colnames:
            values = Label(name).to_value(labels[name])
            if is_constant(name, values):
                constant[name] = float(values[0])
    varying = [name for name in labels.colnames if name not in constant]
    if not varying:
        raise ValueError(
            f"every label ({', '.join(labels.colnames)}) has one value in all spectra: nothing "
            "distinguishes the spectra"
        )
    return labels[varying], constant


def transformed(
    labels: QTable,
    targets: Sequence[str],
    scale: SolarScale,
    constant: Mapping[str, float],
) -> QTable:
    """Replace labels by others that registered transforms lead to.

    Parameters
    ----------
    labels : `~astropy.table.QTable`
        Under canonical names.
    targets : sequence of str
        The labels to have, in any spelling.
    scale : `~astropayne.labels.solar.SolarScale`
        Solar abundances that the spectra were computed with.
    constant : mapping of str to float
        Labels that have one value in all rows.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If no transforms lead to a target, or only from a constant label.
    """
    for target in targets:
        labels = _transform_one(labels, parse_label(target), scale, constant)
    return labels


def _transform_one(
    labels: QTable, target: str, scale: SolarScale, constant: Mapping[str, float]
) -> QTable:
    if target in labels.colnames:
        return labels
    if target == "alpha_Fe" and "alpha_H" not in labels.colnames:
        return _tie_alpha(labels)
    available = {**constant, **{name: labels[name] for name in labels.colnames}}
    conversion = LabelConversion(available, [target], scale)
    new, source = labels.copy(), conversion.source(target)
    if source not in labels.colnames:
        raise ValueError(f"{target!r} follows from {source!r}, which has one value in all spectra")
    new[source] = conversion.table(available)[target]
    new.rename_column(source, target)
    return new


def _tie_alpha(labels: QTable) -> QTable:
    """Replace the [X/Fe] of α elements by [α/Fe], which requires that they are all equal."""
    tied = [name for name in labels.colnames if name in {f"{x}_Fe" for x in ALPHA_ELEMENTS}]
    values = np.array([Label(name).to_value(labels[name]) for name in tied])
    if len(tied) < 2 or np.nanmax(np.ptp(values, axis=0), initial=0.0) > 1e-6:
        problem = "differ, so they remain separate labels" if len(tied) > 1 else "is fewer than two"
        raise ValueError(
            "'alpha_Fe' can replace the [X/Fe] of two or more α elements if they are equal in "
            f"every spectrum; here {', '.join(tied) or 'none'} {problem}"
        )
    new = labels.copy()
    new.rename_column(tied[0], "alpha_Fe")
    new.remove_columns(tied[1:])
    return new


def relabeled(data: GridData, targets: Sequence[str], solar: Any = None) -> GridData:
    """Replace labels of a grid by others, such as [Li/Fe] by A(Li).

    Parameters
    ----------
    data : GridData
    targets : sequence of str
        The labels to have, in any spelling.
    solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
        Solar abundances, if the metadata of the grid do not give them.

    Returns
    -------
    GridData

    Raises
    ------
    ValueError
        If no transforms lead to a target, or ``solar`` contradicts the metadata.
    """
    own = data.info.solar_scale
    if None not in (own, solar) and not same_scale(solar, own):
        raise ValueError(
            f"the grid was computed with the solar scale {own!r}, which solar= contradicts; if "
            "the grid is wrong, correct it with grid.replace(meta={'solar_scale': ...})"
        )
    scale = solar_scale(solar if own is None else own)
    labels = transformed(data.labels, targets, scale, data.info.constant_labels)
    labels, constant = without_constant_labels(labels) if len(data) > 1 else (labels, {})
    info = replace(data.info, solar_scale=scale.entry).with_constants(constant)
    return replace(data, labels=labels, info=info)


def with_constants(data: GridData, names: Collection[str]) -> GridData:
    """Turn some of the labels that have one value in all spectra into columns.

    Parameters
    ----------
    data : GridData
    names : collection of str
        Names among ``data.info.constant_labels``; others are ignored.

    Returns
    -------
    GridData
    """
    constant = dict(data.info.constant_labels)
    chosen = [name for name in constant if name in names]
    if not chosen:
        return data
    labels = data.labels.copy()
    for name in chosen:
        labels[name] = Label(name).column(np.full(len(data), constant.pop(name)))
    return replace(data, labels=labels, info=replace(data.info, constant_labels=constant))


def with_same_labels(grids: Sequence[GridData]) -> list[GridData]:
    """Give grids the labels that distinguish spectra of one grid from those of another.

    Parameters
    ----------
    grids : sequence of GridData

    Returns
    -------
    list of GridData
        With columns for constant labels that vary, or have another value, in another grid.
    """
    varying = {name for grid in grids for name in grid.labels.colnames}
    values: dict[str, set[float]] = {}
    for grid in grids:
        for name, value in grid.info.constant_labels.items():
            values.setdefault(name, set()).add(value)
    varying |= {name for name, several in values.items() if len(several) > 1}
    return [with_constants(grid, varying) for grid in grids]
