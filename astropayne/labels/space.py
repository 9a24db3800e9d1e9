# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`LabelSpace`: names, units and ranges of the labels of a grid or model."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.labels.columns import label_values, named_columns
from astropayne.labels.names import Label, named_unit, parsed_or_none, unknown_label_message
from astropayne.utils.quantities import strip_unit

if TYPE_CHECKING:
    from astropy.table import QTable, Table

__all__ = ["LabelRangeWarning", "LabelSpace"]

_SLACK = 1e-2  # of a range: labels drawn at random do not reach the ends of the grid's range


class LabelRangeWarning(AstropyUserWarning):
    """Labels lie outside the range in which a model or relation is valid."""


@dataclass(frozen=True, eq=False, repr=False)
class LabelSpace:
    """The labels of a grid or a model, in order, with their ranges; it cannot be changed.

    Parameters
    ----------
    names : sequence of str
        Label names, in any spelling.
    minimum, maximum : array_like, shape (n_labels,)
        Ranges, in the labels' own units; stored as read-only arrays.

    Raises
    ------
    ValueError
        If a name occurs twice, or a range is empty or not finite.

    Examples
    --------
    >>> from astropayne.labels.space import LabelSpace
    >>> space = LabelSpace(["Teff", "[Fe/H]"], [4000, -2], [7000, 0])
    >>> space.names
    ('teff', 'feh')
    >>> space.scale([5500, -2.0])
    array([ 0. , -0.5])
    """

    names: tuple[str, ...]
    minimum: np.ndarray
    maximum: np.ndarray

    def __init__(
        self, names: Sequence[str], minimum: npt.ArrayLike, maximum: npt.ArrayLike
    ) -> None:
        object.__setattr__(self, "names", tuple(Label(name).name for name in names))
        object.__setattr__(self, "minimum", _read_only(minimum))
        object.__setattr__(self, "maximum", _read_only(maximum))
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"labels are doubled: {', '.join(self.names)}")
        for name, low, high in zip(self.names, self.minimum, self.maximum, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(
                    f"label {name!r} ranges from {low} to {high}: a label of a grid must take at "
                    "least two finite values; leave out the constant ones: labels = grid.labels; "
                    f"del labels[{name!r}]; grid = grid.replace(labels=labels)"
                )

    @classmethod
    def from_table(cls, table: "Table") -> "LabelSpace":
        """Take names and ranges from a table of labels.

        Parameters
        ----------
        table : `~astropy.table.QTable`
            One row per spectrum, one column per label.
        """
        values = label_values(table)
        return cls(table.colnames, values.min(axis=0), values.max(axis=0))

    def covering(self, values: np.ndarray) -> "LabelSpace":
        """Return a space with the same labels and ranges that include the values.

        Parameters
        ----------
        values : numpy.ndarray, shape (n, n_labels)
        """
        return LabelSpace(
            self.names,
            np.minimum(self.minimum, np.min(values, axis=0)),
            np.maximum(self.maximum, np.max(values, axis=0)),
        )

    def __reduce__(self) -> tuple:
        return LabelSpace, (self.names, self.minimum, self.maximum)  # read-only again

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __contains__(self, name: str) -> bool:
        return parsed_or_none(name) in self.names

    def __repr__(self) -> str:
        rows = (
            f"  {label.name:8s} {low:9.7g} .. {high:<9.7g} {label.unit}"
            for label, low, high in zip(self.labels, self.minimum, self.maximum, strict=True)
        )
        return "LabelSpace:\n" + "\n".join(rows)

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The labels with their units."""
        return tuple(Label(name) for name in self.names)

    @property
    def width(self) -> np.ndarray:
        """Widths of the ranges, shape (n_labels,)."""
        return self.maximum - self.minimum

    @property
    def middle(self) -> np.ndarray:
        """Middles of the ranges, shape (n_labels,)."""
        return 0.5 * (self.minimum + self.maximum)

    def index(self, name: str) -> int:
        """Return the position of a label.

        Parameters
        ----------
        name : str
            In any spelling.

        Raises
        ------
        ValueError
            If the label is not one of these.
        """
        label = Label(name)
        if label.name not in self.names:
            raise ValueError(unknown_label_message(name, self.names))
        return self.names.index(label.name)

    def scale(self, values: npt.ArrayLike) -> np.ndarray:
        """Scale label values to [-0.5, 0.5], the input of networks.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)
            In the labels' own units.

        Returns
        -------
        numpy.ndarray, shape (..., n_labels)
        """
        return (np.asarray(values, dtype=float) - self.minimum) / self.width - 0.5

    def unscale(self, scaled: npt.ArrayLike) -> np.ndarray:
        """Return label values from scaled ones, the inverse of `scale`."""
        return (np.asarray(scaled, dtype=float) + 0.5) * self.width + self.minimum

    def to_array(
        self, labels: Any, solar: Mapping[str, float] | None = None, feh: float = 0.0
    ) -> np.ndarray:
        """Return labels as an array, units stripped and columns in order.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            Named columns are matched by name, in any spelling and order; see
            `~astropayne.labels.named_columns`. The columns of a plain array must be in the order
            of this space.
        solar : mapping of str to float, optional
            Solar abundances A(X). If given, missing abundances are solar-scaled:
            [X/Fe] = [X/M] = [X/α] = 0, [X/H] = [Fe/H], A(X) = A(X)☉ + [Fe/H], with [M/H] in place
            of [Fe/H] if that is no label.
        feh : float
            [Fe/H] for solar-scaled abundances if neither ``feh`` nor ``M_H`` is a label.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)

        Raises
        ------
        ValueError
            If a label is unknown, given twice, or missing, or the shape is wrong.
        """
        named = named_columns(labels)
        if named is None:
            return self._plain_array(labels)
        columns = self._columns(named)
        if solar is not None:
            self._fill_solar_scaled(columns, solar, feh)
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ValueError(f"labels are missing: {', '.join(missing)}")
        arrays = np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in self.names))
        return np.stack(arrays, axis=-1)

    def _plain_array(self, labels: npt.ArrayLike) -> np.ndarray:
        plain = strip_unit(labels, "a plain array of labels", named_unit(""))
        values = np.atleast_2d(plain)
        if values.ndim != 2 or values.shape[1] != len(self):
            raise ValueError(
                f"labels have shape {np.shape(labels)}; an array needs {len(self)} columns, "
                f"in this order: {', '.join(self.names)}"
            )
        return values

    def _columns(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Return columns by the labels' own names, in their own units."""
        columns: dict[str, Any] = {}
        for name, value in named.items():
            label = self.labels[self.index(name)]
            if label.name in columns:
                raise ValueError(f"label {label.name!r} is given twice (once as {name!r})")
            columns[label.name] = label.to_value(value)
        return columns

    def _fill_solar_scaled(
        self, columns: dict[str, Any], solar: Mapping[str, float], feh: float
    ) -> None:
        """Add the abundances that are missing; if [Fe/H] is one of them, it stays missing."""
        own = next((name for name in ("feh", "M_H") if name in self.names), None)
        feh = feh if own is None else columns.get(own, np.nan)
        for label in self.labels:
            if label.name in columns or label.element is None:
                continue
            if label.name.endswith(("_Fe", "_M", "_alpha")):
                columns[label.name] = 0.0
            elif label.name.endswith("_H"):
                columns[label.name] = feh
            else:
                columns[label.name] = solar[label.element] + feh

    def start_from(self, values: Mapping[str, Any], solar: Mapping[str, float]) -> np.ndarray:
        """Return labels from which a fit can start.

        Parameters
        ----------
        values : mapping of str to array_like
            Initial values by the labels' own names, which are kept as they are.
        solar : mapping of str to float
            Solar abundances A(X). Abundances without an initial value are solar-scaled, within
            their ranges. Stellar parameters, and A(X) of elements without a solar abundance, are
            set to the middle of the range.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)
        """
        middle = {
            label.name: value
            for label, value in zip(self.labels, self.middle, strict=True)
            if label.element is None or (label.name.startswith("A_") and label.element not in solar)
        }
        start = self.to_array({**middle, **values}, solar=solar)
        inside = np.clip(start, self.minimum, self.maximum)
        return np.where([name in values for name in self.names], start, inside)

    def to_table(self, values: npt.ArrayLike) -> "QTable":
        """Return label values as a `~astropy.table.QTable` with a column per label.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
        """
        from astropy.table import QTable

        columns = np.array(values, ndmin=2).T  # a copy
        return QTable(
            {label.name: label.column(c) for label, c in zip(self.labels, columns, strict=True)},
            copy=False,
        )

    def outside(self, values: npt.ArrayLike) -> np.ndarray:
        """Return which values lie outside the ranges, with a tolerance of 1 % of each range.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)

        Returns
        -------
        numpy.ndarray of bool, shape (..., n_labels)
        """
        slack = _SLACK * self.width
        values = np.asarray(values, dtype=float)
        return (values < self.minimum - slack) | (values > self.maximum + slack)

    def warn_outside(self, values: npt.ArrayLike) -> None:
        """Warn with `LabelRangeWarning` about labels outside their ranges, naming them."""
        rows = np.atleast_2d(values)
        outside = self.outside(rows)
        if not outside.any():
            return
        parts = []
        for i in np.flatnonzero(outside.any(axis=0)):
            worst = rows[np.argmax(np.abs(self.scale(rows)[:, i])), i]
            parts.append(
                f"{self.names[i]} = {worst:.6g} (range {self.minimum[i]:.6g} to "
                f"{self.maximum[i]:.6g} {self.labels[i].unit})"
            )
        warnings.warn(
            f"outside the range of the model's training labels: {'; '.join(parts)}. "
            "The prediction there is an extrapolation",
            LabelRangeWarning,
            stacklevel=3,
        )


def _read_only(values: npt.ArrayLike) -> np.ndarray:
    array = np.array(values, dtype=float)
    array.flags.writeable = False
    return array
