# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Conversion of labels between conventions, such as [Li/Fe], [Li/H] and A(Li)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import QTable

from astropayne.labels.columns import named_columns
from astropayne.labels.graph import LabelGraph, label_graph
from astropayne.labels.names import (
    ALPHA_ELEMENTS,
    Label,
    parse_label,
    parsed_or_none,
    unknown_label_message,
)
from astropayne.labels.solar import SolarLike, solar_scale
from astropayne.plugins.interfaces import LabelRelation

__all__ = ["LabelConversion", "convert_labels", "forbid_same", "labels_in", "same_label"]

# Step of the central differences, relative to a value: their truncation error, h², and their
# rounding error, 1/h, are together smallest here.
_STEP = np.finfo(float).eps ** (1 / 3)


class LabelConversion:
    """A conversion of labels along the shortest path of registered transforms.

    Parameters
    ----------
    inputs, outputs : sequence of str
        Label names, in any spelling.
    solar : str, `~astropayne.labels.SolarScale` or mapping, optional
        The solar scale; required if the path contains a transform between [X/H] and A(X).

    Attributes
    ----------
    inputs, outputs : tuple of str
        The names as `~astropayne.labels.parse_label` returns them.
    solar : `~astropayne.labels.SolarScale`

    Raises
    ------
    ValueError
        If no transform leads to an output; the message names the missing labels.

    Examples
    --------
    >>> from astropayne.labels.conversion import LabelConversion
    >>> conversion = LabelConversion(["[Li/Fe]", "[Fe/H]"], ["A(Li)", "A(Fe)"], solar="magg2022")
    >>> conversion
    <LabelConversion: Li_Fe, feh -> A_Li, A_Fe by way of Li_H>
    >>> conversion([[1.0, -1.0], [0.0, 0.0]]).round(2).tolist()
    [[1.05, 6.5], [1.05, 7.5]]
    >>> conversion.covariance([1.0, -1.0], [[0.01, 0.0], [0.0, 0.0025]]).round(6).tolist()
    [[0.0125, 0.0025], [0.0025, 0.0025]]
    """

    def __init__(
        self, inputs: Iterable[str], outputs: Iterable[str], solar: SolarLike = None
    ) -> None:
        self.inputs = tuple(parse_label(name) for name in inputs)
        self.outputs = tuple(parse_label(name) for name in outputs)
        self.solar = solar_scale(solar)
        self._steps = tuple(label_graph().plan(self.inputs, self.outputs))

    def __repr__(self) -> str:
        between = [step.output for step in self._steps if step.output not in self.outputs]
        way = f" by way of {', '.join(between)}" if between else ""
        return f"<LabelConversion: {', '.join(self.inputs)} -> {', '.join(self.outputs)}{way}>"

    @property
    def used(self) -> set[str]:
        """Inputs on which the outputs depend."""
        read = {name for step in self._steps for name in step.inputs}
        return {name for name in self.inputs if name in read or name in self.outputs}

    def source(self, name: str) -> str | None:
        """Return the input that expresses the same quantity as a label, or `None`."""
        return same_label(self.inputs, parse_label(name))

    def __call__(self, values: npt.ArrayLike) -> np.ndarray:
        """Convert label values.

        Parameters
        ----------
        values : array_like, shape (..., n_inputs)
            In the labels' own units.

        Returns
        -------
        numpy.ndarray, shape (..., n_outputs)
        """
        values = np.asarray(values, dtype=float)
        columns = {name: values[..., i] for i, name in enumerate(self.inputs)}
        for step in self._steps:
            columns[step.output] = step(columns, self.solar)
        converted = [np.broadcast_to(columns[name], values.shape[:-1]) for name in self.outputs]
        return np.stack(converted, axis=-1) if converted else np.empty((*values.shape[:-1], 0))

    def table(self, labels: Any) -> QTable:
        """Convert a table.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping
            With a column for each input, in any spelling; other columns are ignored.

        Returns
        -------
        `~astropy.table.QTable`
            With a column for each output.

        Raises
        ------
        ValueError
            If the column of an input is missing.
        """
        columns = {}
        for name, column in (named_columns(labels) or {}).items():
            if name in self.inputs or parsed_or_none(name) in self.inputs:
                columns[parse_label(name)] = Label(name).to_value(column)
        if missing := [name for name in self.inputs if name not in columns]:
            raise ValueError(f"labels are missing: {', '.join(missing)}")
        arrays = np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in self.inputs))
        converted = self(np.stack(arrays, axis=-1)).T
        table = QTable()
        for name, column in zip(self.outputs, converted, strict=True):
            table[name] = Label(name).column(column)
        return table

    def jacobian(self, values: npt.ArrayLike) -> np.ndarray:
        """Return the derivatives of the outputs with respect to the inputs.

        The derivatives are central differences, which work for any registered transform; for the
        sums, logarithms and powers of the transforms in this package they are accurate to about
        1e-9. An input that is NaN gives NaN for the outputs that depend on it and zero for the
        others.

        Parameters
        ----------
        values : array_like, shape (..., n_inputs)

        Returns
        -------
        numpy.ndarray, shape (..., n_outputs, n_inputs)
        """
        values = np.asarray(values, dtype=float)
        jacobian = np.empty((*values.shape[:-1], len(self.outputs), len(self.inputs)))
        for i in range(len(self.inputs)):
            upper, lower = values.copy(), values.copy()
            step = _STEP * np.maximum(np.abs(values[..., i]), 1.0)
            upper[..., i] += step
            lower[..., i] -= step
            width = upper[..., i] - lower[..., i]  # the step after rounding
            change = self(upper) - self(lower)
            # An output that does not depend on an input has derivative zero also where it is NaN.
            jacobian[..., i] = np.where(change == 0, 0.0, change / width[..., None])
        return jacobian

    def covariance(self, values: npt.ArrayLike, covariance: npt.ArrayLike) -> np.ndarray:
        """Convert a covariance matrix, to first order.

        With the Jacobian J at the values, C' = J C Jᵀ. For A(X) = [X/Fe] + [Fe/H] + A(X)☉, for
        example, σ²(A) = σ²([X/Fe]) + σ²([Fe/H]) + 2 cov([X/Fe], [Fe/H]).

        Parameters
        ----------
        values : array_like, shape (..., n_inputs)
        covariance : array_like, shape (..., n_inputs, n_inputs)
            Zero for exact inputs. An element that is NaN makes the outputs that depend on it NaN
            and leaves the others unchanged.

        Returns
        -------
        numpy.ndarray, shape (..., n_outputs, n_outputs)
        """
        jacobian = self.jacobian(values)
        covariance = np.asarray(covariance, dtype=float)
        missing = np.isnan(covariance)
        result = jacobian @ np.where(missing, 0.0, covariance) @ np.swapaxes(jacobian, -1, -2)
        depends = (jacobian != 0).astype(float)
        spread = depends @ missing.astype(float) @ np.swapaxes(depends, -1, -2)
        return np.where(spread > 0, np.nan, result)


def same_label(names: Iterable[str], name: str) -> str | None:
    """Return the label in a list that expresses the same quantity as another label.

    Parameters
    ----------
    names : iterable of str
        As `~astropayne.labels.parse_label` returns them.
    name : str
        In any spelling.

    Returns
    -------
    str or None
        `None` if the list has no such label, or ``name`` cannot be a label.

    Examples
    --------
    >>> from astropayne.labels.conversion import same_label
    >>> same_label(["teff", "feh", "Mg_Fe"], "A(Mg)")
    'Mg_Fe'
    """
    equivalent = label_graph().equivalent(parsed_or_none(name))
    return next((own for own in names if own in equivalent), None)


def forbid_same(names: Collection[str], advice: str = "leave one of them out") -> None:
    """Raise `ValueError` if two of the labels express the same quantity.

    Parameters
    ----------
    names : collection of str
        As `~astropayne.labels.parse_label` returns them.
    advice : str
        What the caller can do, for the error.
    """
    graph = label_graph()
    for one, other in combinations(names, 2):
        if other in graph.equivalent(one):
            raise ValueError(
                f"{one!r} and {other!r} are both given, but they express the same quantity: "
                f"{advice}"
            )


def convert_labels(
    columns: Mapping[str, npt.ArrayLike], outputs: Sequence[str], solar: SolarLike
) -> tuple[dict[str, np.ndarray], set[str]]:
    """Convert columns of labels.

    Parameters
    ----------
    columns : mapping of str to array_like
        Values by names as `~astropayne.labels.parse_label` returns them; they are broadcast.
    outputs : sequence of str
    solar
        The solar scale.

    Returns
    -------
    converted : dict of str to numpy.ndarray
        The outputs.
    used : set of str
        The columns on which the outputs depend.
    """
    conversion = LabelConversion(columns, outputs, solar)
    arrays = np.broadcast_arrays(*columns.values()) if columns else []
    values = conversion(np.stack(arrays, axis=-1)) if columns else np.empty(len(outputs))
    return dict(zip(outputs, np.moveaxis(values, -1, 0), strict=True)), conversion.used


def labels_in(
    names: Sequence[str],
    labels: Mapping[str, Any],
    solar: SolarLike = None,
    constant: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """Convert labels in any convention to the labels of a list.

    Parameters
    ----------
    names : sequence of str
        The labels of the result, such as a model's.
    labels : mapping of str to array_like
        Labels in any spelling and convention. The name of a relation that estimates the label may
        take the place of its value, as in ``{"vmic": "bruntt2010"}``. With ``alpha_Fe`` among
        them, α elements that are left out have [X/Fe] = [α/Fe].
    solar : str, `~astropayne.labels.SolarScale` or mapping, optional
        The solar scale.
    constant : mapping of str to float
        Labels with a single value in all training spectra, for the error message.

    Returns
    -------
    dict of str to numpy.ndarray
        Values, in the labels' own units, of the names that follow from the input.

    Raises
    ------
    ValueError
        If a label is not related to the names, two labels express the same quantity, or a
        conversion needs another label.

    Examples
    --------
    >>> from astropayne.labels.conversion import labels_in
    >>> labels = labels_in(["feh", "vmic", "A_Li"], {"[Fe/H]": -1, "[Li/H]": 0}, solar="magg2022")
    >>> {name: float(value) for name, value in labels.items()}
    {'feh': -1.0, 'A_Li': 1.05}
    """
    graph = label_graph()
    columns, relations = _columns_and_relations(labels, graph)
    forbid_same([*columns, *relations])
    used = {name for name in names if name in columns or name in relations}
    for name, relation in relations.items():
        needs, needed = convert_labels(columns, relation.needs, solar)
        columns[name] = relation.estimate(needs)
        used |= needed
    used |= _spread_alpha(names, columns, graph, solar)
    related = [name for name in names if graph.equivalent(name) & columns.keys()]
    converted, needed = convert_labels(columns, related, solar)
    for name in columns.keys() - used - needed:
        raise ValueError(unknown_label_message(name, names, constant=constant))
    return converted


def _columns_and_relations(
    labels: Mapping[str, Any], graph: LabelGraph
) -> tuple[dict[str, Any], dict[str, LabelRelation]]:
    """Return labels by their names: those with values, and those estimated by a relation."""
    columns: dict[str, Any] = {}
    relations: dict[str, LabelRelation] = {}
    for spelled, value in labels.items():
        label = Label(spelled)
        if label.name in columns or label.name in relations:
            raise ValueError(f"label {label.name!r} is given twice (once as {spelled!r})")
        word = _only_word(value)
        if word is None:
            columns[label.name] = label.to_value(value)
        else:
            relations[label.name] = graph.relation(label.name, word)
    return columns, relations


def _only_word(value: Any) -> str | None:
    """Return the text in place of a number, or in every row of a column, or `None`."""
    array = np.asarray(value)
    if array.dtype.kind in "fiu":
        return None
    words = set(np.ravel(array).tolist())
    return words.pop() if len(words) == 1 and isinstance(next(iter(words)), str) else None


def _spread_alpha(
    names: Sequence[str], columns: dict[str, Any], graph: LabelGraph, solar: SolarLike
) -> set[str]:
    """Set the α elements that are missing to [α/Fe], except labels [X/α]; return the labels used.

    The new columns are added to ``columns``.
    """
    used: set[str] = set()
    for reference in ("Fe", "M"):
        missing = [
            Label(name).element
            for name in names
            if Label(name).element in ALPHA_ELEMENTS
            and not name.endswith("_alpha")
            and name.endswith("_M") == (reference == "M")
            and not graph.equivalent(name) & columns.keys()
        ]
        alpha = f"alpha_{reference}"
        if missing and graph.equivalent(alpha) & columns.keys():
            values, needed = convert_labels(columns, [alpha], solar)
            columns.update({f"{element}_{reference}": values[alpha] for element in missing})
            used |= needed
    return used
