# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`LabelSpace`: names, units and ranges of the labels of a grid or model."""

import warnings

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.labels.columns import label_values, named_columns
from astropayne.labels.names import Label, own_unit, parse_label, unknown_label_message
from astropayne.utils.quantities import strip_unit

__all__ = ["LabelRangeWarning", "LabelSpace"]


class LabelRangeWarning(AstropyUserWarning):
    """A model was asked for labels outside the range it was trained on."""


class LabelSpace:
    """The labels of a grid or a model, in order, with their ranges.

    Parameters
    ----------
    names : sequence of str
        Label names, in any spelling.
    minimum, maximum : array_like, shape (n_labels,)
        Ranges, in the labels' own units.

    Raises
    ------
    ValueError
        If a name is doubled, or a range is empty or not finite.

    Examples
    --------
    >>> from astropayne.labels.space import LabelSpace
    >>> space = LabelSpace(["Teff", "[Fe/H]"], [4000, -2], [7000, 0])
    >>> space.names
    ('teff', 'feh')
    >>> space.scale([5500, -2.0])
    array([ 0. , -0.5])
    """

    def __init__(self, names, minimum, maximum):
        self.labels = tuple(Label(name) for name in names)
        self.names = tuple(label.name for label in self.labels)
        self.minimum = np.array(minimum, dtype=float)
        self.maximum = np.array(maximum, dtype=float)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"labels are doubled: {', '.join(self.names)}")
        for name, low, high in zip(self.names, self.minimum, self.maximum, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(
                    f"label {name!r} ranges from {low} to {high}: a label of a grid has to take "
                    "at least two finite values; leave out the constant ones, as by "
                    f"del grid.labels[{name!r}]"
                )

    @classmethod
    def from_table(cls, table):
        """Take names and ranges from a table of labels.

        Parameters
        ----------
        table : `~astropy.table.QTable`
            One row a spectrum, one column a label.
        """
        values = label_values(table)
        return cls(table.colnames, values.min(axis=0), values.max(axis=0))

    def covering(self, values):
        """Return a space of the same labels that covers some values (n, n_labels), too."""
        return LabelSpace(
            self.names,
            np.minimum(self.minimum, np.min(values, axis=0)),
            np.maximum(self.maximum, np.max(values, axis=0)),
        )

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(self.labels)

    def __contains__(self, name):
        try:
            return parse_label(name) in self.names
        except ValueError:  # what cannot be a label is not one of these
            return False

    def __repr__(self):
        rows = (
            f"  {label.name:8s} {low:9.7g} .. {high:<9.7g} {label.unit}"
            for label, low, high in zip(self.labels, self.minimum, self.maximum, strict=True)
        )
        return "LabelSpace:\n" + "\n".join(rows)

    def index(self, name):
        """Position of a label, in any spelling.

        Raises
        ------
        ValueError
            If the label is not one of these.
        """
        parsed = parse_label(name)
        if parsed not in self.names:
            raise ValueError(unknown_label_message(name, self.names))
        return self.names.index(parsed)

    @property
    def width(self):
        """Ranges' widths, shape (n_labels,)."""
        return self.maximum - self.minimum

    @property
    def middle(self):
        """Ranges' middles, shape (n_labels,)."""
        return 0.5 * (self.minimum + self.maximum)

    def scale(self, values):
        """Scale label values to [-0.5, 0.5], what networks are trained on.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)
            In the labels' own units.

        Returns
        -------
        numpy.ndarray, shape (..., n_labels)
        """
        return (np.asarray(values, dtype=float) - self.minimum) / self.width - 0.5

    def unscale(self, scaled):
        """Invert `scale`."""
        return (np.asarray(scaled, dtype=float) + 0.5) * self.width + self.minimum

    def to_array(self, labels, solar=None, feh=0.0):
        """Return labels as an array, units stripped and columns in order.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            Whatever has names, as `named_columns` understands it, goes by them, in any spelling
            and order; an array without has its labels in this space's order along the last axis.
        solar : mapping of str to float, optional
            Solar abundances A(X). With it, abundances that are left out are solar-scaled:
            [X/Fe] = [X/α] = 0, [X/H] = [Fe/H], A(X) = A(X)☉ + [Fe/H].
        feh : float
            [Fe/H] where that is none of the labels.

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
            plain = strip_unit(labels, "a plain array of labels", own_unit(""))
            values = np.atleast_2d(plain)
            if values.ndim != 2 or values.shape[1] != len(self):
                raise ValueError(
                    f"labels have shape {np.shape(labels)}; an array needs {len(self)} columns, "
                    f"in this order: {', '.join(self.names)}"
                )
            return values
        columns = self._columns(named)
        if solar is not None:
            self._fill_solar_scaled(columns, solar, feh)
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ValueError(f"labels are missing: {', '.join(missing)}")
        arrays = np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in self.names))
        return np.stack(arrays, axis=-1)

    def _columns(self, labels):
        columns = {}
        for given, value in labels.items():
            label = self.labels[self.index(given)]
            if label.name in columns:
                raise ValueError(f"label {label.name!r} is given twice (once as {given!r})")
            columns[label.name] = label.to_value(value)
        return columns

    def _fill_solar_scaled(self, columns, solar, feh):
        # A missing [Fe/H] stays missing; NaN only keeps it from being counted many times.
        feh = columns.get("feh", np.nan if "feh" in self else feh)
        for label in self.labels:
            if label.name in columns or label.element is None:
                continue
            if label.name.endswith(("_Fe", "_alpha")):
                columns[label.name] = 0.0
            elif label.name.endswith("_H"):
                columns[label.name] = feh
            else:
                columns[label.name] = solar[label.element] + feh

    def start_from(self, given, solar):
        """Return labels to start a fit from: what is given, and within the ranges for the rest.

        Parameters
        ----------
        given : mapping of str to array_like
            By the labels' own names.
        solar : mapping of str to float
            Solar abundances A(X). Abundances that are not given are solar-scaled; without their
            solar value, and what is no abundance, they are in the middle of the range.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)
        """
        middle = dict(zip(self.names, self.middle, strict=True))
        unknown = {
            label.name: middle[label.name]
            for label in self.labels
            if label.element is None or (label.name.startswith("A_") and label.element not in solar)
        }
        values = self.to_array({**unknown, **given}, solar=solar)
        return np.where(
            [name in given for name in self.names],
            values,
            np.clip(values, self.minimum, self.maximum),
        )

    def to_table(self, values):
        """Return label values as a `~astropy.table.QTable`, a column a label.

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

    def outside(self, values):
        """Say which values lie outside the ranges.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)

        Returns
        -------
        numpy.ndarray of bool, shape (..., n_labels)
            A hundredth of the range is forgiven: a random part of a grid does not reach its ends.
        """
        slack = 1e-2 * self.width
        values = np.asarray(values, dtype=float)
        return (values < self.minimum - slack) | (values > self.maximum + slack)

    def warn_outside(self, values):
        """Warn with `LabelRangeWarning` about labels outside their ranges, naming them."""
        outside = self.outside(np.atleast_2d(values))
        if not outside.any():
            return
        rows = np.atleast_2d(values)
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
