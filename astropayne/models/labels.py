# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels of spectra and grids as arrays in the order of a model's labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np

from astropayne.grids.grid import SpectralGrid
from astropayne.labels.columns import named_columns
from astropayne.labels.conversion import labels_in, same_label
from astropayne.labels.names import Label, unknown_label_message
from astropayne.labels.solar import solar_scale
from astropayne.labels.space import LabelSpace

__all__ = ["grid_labels", "label_array", "require_finite"]


def label_array(space: LabelSpace, labels: Any, scale: Any, constant: Mapping) -> np.ndarray:
    """Return labels, in any convention, as an array of the model's labels.

    Parameters
    ----------
    space : `~astropayne.labels.space.LabelSpace`
        The model's labels.
    labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
        As for `astropayne.PayneModel.label_array`.
    scale : str, dict or None
        The model's solar scale.
    constant : mapping of str to float
        Labels that had one value in all training spectra.

    Returns
    -------
    numpy.ndarray, shape (n, n_labels)

    Raises
    ------
    ValueError
        If a label is unknown or missing, or two labels are equivalent.
    """
    columns = named_columns(labels)
    if columns is None:
        return space.to_array(labels)
    try:
        own = labels_in(space.names, columns, scale, constant)
    except u.UnitConversionError:
        _require_known(space, columns, constant)  # a name that is not known is the first fault
        raise
    metals = constant.get("feh", constant.get("M_H", 0.0))
    return space.to_array(own, solar=solar_scale(scale), feh=metals)


def grid_labels(space: LabelSpace, grid: SpectralGrid, scale: Any, constant: Mapping) -> np.ndarray:
    """Return the labels of a grid's spectra as an array of the model's labels.

    Parameters
    ----------
    space, scale, constant
        As for `label_array`.
    grid : `~astropayne.SpectralGrid`

    Returns
    -------
    numpy.ndarray, shape (n_spectra, n_labels)

    Raises
    ------
    ValueError
        If labels are missing or not finite, or abundances are relative to another solar scale.
    """
    varying = {same_label(space.names, name) for name in grid.labels.colnames}
    wanted = [
        name
        for name in grid.meta.get("constant_labels", {})
        if same_label(space.names, name) not in (None, *varying)
    ]
    labels = grid.with_constants(wanted).labels
    _require_same_scale(scale, grid.meta["solar_scale"], labels.colnames)
    return require_finite(label_array(space, labels, scale, constant), space.names)


def require_finite(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return label values; raise `ValueError` naming labels and rows that are not finite."""
    if not np.isfinite(values).all():
        bad = np.array(names)[~np.isfinite(values).all(axis=0)]
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        first = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ValueError(
            f"labels are missing or not finite in some rows: {', '.join(bad)}; counted from zero, "
            f"rows {first} of {len(values)}"
        )
    return values


def _require_known(space: LabelSpace, columns: Mapping, constant: Mapping) -> None:
    """Raise `ValueError` for a name that is neither a label of the model nor of astronomy."""
    for name in columns:
        if same_label(space.names, name) is None and Label(name).unit == u.one:
            raise ValueError(unknown_label_message(name, space.names, constant=constant))


def _require_same_scale(own: Any, other: Any, names: Sequence[str]) -> None:
    """Raise `ValueError` if abundances are relative to another solar scale than the model's."""
    relative = [
        n for n in names if n in ("feh", "M_H") or (Label(n).element and not n.startswith("A_"))
    ]
    if relative and None not in (own, other) and solar_scale(own) != solar_scale(other):
        raise ValueError(
            f"the grid has solar scale {other!r}, and the model {own!r}: {', '.join(relative)} mean"
            " something else there. Convert them to A(X) by grid.transform_labels('A(Fe)'); if one "
            "of the two scales is wrong, set the grid's meta['solar_scale'] or use "
            "model.replace(solar_scale=...)"
        )
