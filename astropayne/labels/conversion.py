# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From the labels given to the labels wanted, by way of whatever transforms are registered.

Transforms connect labels that say the same, such as [Li/Fe], [Li/H] and A(Li). A chain of them is
found by going breadth first from the labels given, so it is one of the shortest.
"""

from itertools import combinations

import numpy as np
from astropy.table import QTable

from astropayne.labels.columns import named_columns
from astropayne.labels.graph import label_graph
from astropayne.labels.names import ALPHA_ELEMENTS, Label, parse_label, unknown_label_message
from astropayne.labels.solar import solar_scale
from astropayne.plugins.interfaces import LabelRelation

__all__ = ["LabelConversion", "convert_labels", "forbid_same", "labels_in", "same_label"]

# The error of a central difference, h² in what it leaves out and 1/h in rounding, is least here.
_STEP = np.finfo(float).eps ** (1 / 3)


class LabelConversion:
    """A way from some labels to others.

    Parameters
    ----------
    given, wanted : sequence of str
        Label names, in any spelling.
    solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
        The solar scale; needed where a transform between [X/H] and A(X) is on the way.

    Attributes
    ----------
    given, wanted : tuple of str
        The names, as `~astropayne.labels.names.parse_label` has them.

    Raises
    ------
    ValueError
        If no transforms lead to a label, saying what is missing.

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

    def __init__(self, given, wanted, solar=None):
        self.given = tuple(parse_label(name) for name in given)
        self.wanted = tuple(parse_label(name) for name in wanted)
        self.solar = solar_scale(solar)
        self._steps = label_graph().plan(self.given, self.wanted)

    def __repr__(self):
        between = [step.output for step in self._steps if step.output not in self.wanted]
        way = f" by way of {', '.join(between)}" if between else ""
        return f"<LabelConversion: {', '.join(self.given)} -> {', '.join(self.wanted)}{way}>"

    @property
    def used(self):
        """Labels given that what is wanted depends on, a set."""
        inputs = {name for step in self._steps for name in step.inputs}
        return {name for name in self.given if name in inputs or name in self.wanted}

    def source(self, name):
        """Return the label given that says the same as one wanted, or `None`."""
        same = label_graph().same(parse_label(name))
        return next((given for given in self.given if given in same), None)

    def __call__(self, values):
        """Convert label values.

        Parameters
        ----------
        values : array_like, shape (..., n_given)
            In the labels' own units.

        Returns
        -------
        numpy.ndarray, shape (..., n_wanted)
        """
        values = np.asarray(values, dtype=float)
        columns = {name: values[..., i] for i, name in enumerate(self.given)}
        for step in self._steps:
            columns[step.output] = step(columns, self.solar)
        columns = [np.broadcast_to(columns[name], values.shape[:-1]) for name in self.wanted]
        return np.stack(columns, axis=-1) if columns else np.empty((*values.shape[:-1], 0))

    def table(self, labels):
        """Convert a table.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping
            With a column for each label given, in any spelling; others are left alone.

        Returns
        -------
        `~astropy.table.QTable`
            A column for each label wanted.

        Raises
        ------
        ValueError
            If a label that is given is none of the columns.
        """
        columns = {}
        for name, column in (named_columns(labels) or {}).items():
            if name in self.given or _parsed_or_none(name) in self.given:
                columns[parse_label(name)] = Label(name).to_value(column)
        if missing := [name for name in self.given if name not in columns]:
            raise ValueError(f"labels are missing: {', '.join(missing)}")
        arrays = np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in self.given))
        found = self(np.stack(arrays, axis=-1)).T
        table = QTable()
        for name, column in zip(self.wanted, found, strict=True):
            table[name] = Label(name).column(column)
        return table

    def jacobian(self, values):
        """Return the derivatives of the labels wanted by those given.

        By central differences, which take any transform that anyone registers; those built in are
        sums, logarithms and powers, for which they are good to about 1e-9. By a value that is NaN,
        they are NaN for what depends on it, and zero for the rest.

        Parameters
        ----------
        values : array_like, shape (..., n_given)

        Returns
        -------
        numpy.ndarray, shape (..., n_wanted, n_given)
        """
        values = np.asarray(values, dtype=float)
        jacobian = np.empty((*values.shape[:-1], len(self.wanted), len(self.given)))
        for i in range(len(self.given)):
            upper, lower = values.copy(), values.copy()
            step = _STEP * np.maximum(np.abs(values[..., i]), 1.0)
            upper[..., i] += step
            lower[..., i] -= step
            width = upper[..., i] - lower[..., i]  # what the step is after rounding
            change = self(upper) - self(lower)
            # What does not depend on a value does not where that is NaN either.
            jacobian[..., i] = np.where(change == 0, 0.0, change / width[..., None])
        return jacobian

    def covariance(self, values, covariance):
        """Convert a covariance matrix, to first order.

        With J the Jacobian at the values, C' = J C Jᵀ. So for A(X) = [X/Fe] + [Fe/H] + A(X)☉ it
        is σ²(A) = σ²([X/Fe]) + σ²([Fe/H]) + 2 cov([X/Fe], [Fe/H]).

        Parameters
        ----------
        values : array_like, shape (..., n_given)
        covariance : array_like, shape (..., n_given, n_given)
            Zero for what is known exactly. NaN, for what is not known, makes NaN of what depends
            on it, and of nothing else.

        Returns
        -------
        numpy.ndarray, shape (..., n_wanted, n_wanted)
        """
        jacobian = self.jacobian(values)
        covariance = np.asarray(covariance, dtype=float)
        unknown = np.isnan(covariance)
        result = jacobian @ np.where(unknown, 0.0, covariance) @ np.swapaxes(jacobian, -1, -2)
        depends = (jacobian != 0).astype(float)
        spread = depends @ unknown.astype(float) @ np.swapaxes(depends, -1, -2)
        return np.where(spread > 0, np.nan, result)


def same_label(names, name):
    """Return the label among some that says the same as another one, or `None`.

    Parameters
    ----------
    names : sequence of str
        As `~astropayne.labels.names.parse_label` has them.
    name : str
        In any spelling; what is no label's name says the same as none.

    Returns
    -------
    str or None

    Examples
    --------
    >>> from astropayne.labels.conversion import same_label
    >>> same_label(["teff", "feh", "Mg_Fe"], "A(Mg)")
    'Mg_Fe'
    """
    same = label_graph().same(_parsed_or_none(name))
    return next((own for own in names if own in same), None)


def _parsed_or_none(name):
    try:
        return parse_label(name)
    except ValueError:
        return None


def labels_in(names, labels, solar=None, constant=()):
    """Say labels, given in any convention, by certain names.

    Parameters
    ----------
    names : sequence of str
        The labels wanted, such as a model's.
    labels : mapping of str to array_like
        Labels in any spelling and convention. In place of a value may stand the name of a
        relation that estimates it, as in ``{"vmic": "bruntt2010"}``. With ``alpha_Fe`` among
        them, α elements that are left out have [X/Fe] = [α/Fe].
    solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
        The solar scale.
    constant : mapping of str to float
        Labels that cannot be had as they have one value always, for the error.

    Returns
    -------
    dict of str to numpy.ndarray
        Values, in own units, of those names that the labels given say anything of.

    Raises
    ------
    ValueError
        If a label has nothing to do with the names, two of them say the same, or another one is
        needed as well.

    Examples
    --------
    >>> from astropayne.labels.conversion import labels_in
    >>> said = labels_in(["feh", "vmic", "A_Li"], {"[Fe/H]": -1, "[Li/H]": 0}, solar="magg2022")
    >>> {name: float(value) for name, value in said.items()}
    {'feh': -1.0, 'A_Li': 1.05}
    """
    network = label_graph()
    given = _parsed(labels, network)
    forbid_same(given, network)
    used = {name for name in names if name in given}
    for name, value in given.items():
        if isinstance(value, LabelRelation):
            numbers = {n: v for n, v in given.items() if not isinstance(v, LabelRelation)}
            columns, by = convert_labels(numbers, value.needs, solar)
            given[name] = value.estimate(columns)
            used |= by
    used |= _spread_alpha(names, given, network, solar)
    wanted = [name for name in names if network.same(name) & given.keys()]
    found, by = convert_labels(given, wanted, solar)
    for name in given.keys() - used - by:
        raise ValueError(unknown_label_message(name, names, constant=constant))
    return found


def _parsed(labels, network):
    """Return labels by their names: arrays in their own units, or relations."""
    given = {}
    for spelled, value in labels.items():
        label = Label(spelled)
        if label.name in given:
            raise ValueError(f"label {label.name!r} is given twice (once as {spelled!r})")
        word = _only_word(value)
        if word is None:
            given[label.name] = label.to_value(value)
        else:
            given[label.name] = network.relation(label.name, word)
    return given


def _only_word(value):
    """Return the text that stands in place of a number, also all along a column, or `None`."""
    array = np.asarray(value)
    if array.dtype.kind in "fiu":
        return None
    words = set(np.ravel(array).tolist())
    return words.pop() if len(words) == 1 and isinstance(next(iter(words)), str) else None


def forbid_same(given, network):
    """Raise `ValueError` if two labels say the same."""
    for one, other in combinations(given, 2):
        if other in network.same(one):
            raise ValueError(
                f"{one!r} and {other!r} are both given, but each says the same as the other: "
                "leave one of them out"
            )


def convert_labels(given, wanted, solar):
    """Return columns of the labels wanted, and which of those given they depend on."""
    conversion = LabelConversion(given, wanted, solar)
    arrays = np.broadcast_arrays(*given.values()) if given else []
    values = conversion(np.stack(arrays, axis=-1)) if given else np.empty(len(wanted))
    return dict(zip(wanted, np.moveaxis(values, -1, 0), strict=True)), conversion.used


def _spread_alpha(names, given, network, solar):
    """Give [α/Fe] to the α elements that are left out, unless they are said relative to it."""
    left_out = [
        Label(name).element
        for name in names
        if Label(name).element in ALPHA_ELEMENTS
        and not name.endswith("_alpha")
        and not network.same(name) & given.keys()
    ]
    if not left_out or not network.same("alpha_Fe") & given.keys():
        return set()
    values, used = convert_labels(given, ["alpha_Fe"], solar)
    given.update({f"{element}_Fe": values["alpha_Fe"] for element in left_out})
    return used
