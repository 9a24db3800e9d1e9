# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Transforms between [X/Fe], [X/H] and A(X)."""

from functools import cache

import numpy as np

from astropayne.labels.names import ALPHA_ELEMENTS, ELEMENTS, parse_label
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import LabelTransform

__all__ = ["AbundanceTransform", "abundance_transforms"]


@hookimpl
def astropayne_label_transforms():
    """Return [X/Fe] → [X/H] → A(X) for every element."""
    return list(abundance_transforms())


# The ways to say an abundance, from one to the next by adding a label or the Sun's abundance:
# [X/α] + [α/Fe] = [X/Fe]; [X/Fe] + [Fe/H] = [X/H]; [X/H] + A(X)☉ = A(X).
_LADDER = ("alpha", "Fe", "H", "A")
_ADDED = ("alpha_Fe", "feh")


class AbundanceTransform(LabelTransform):
    """One way to give an element's abundance replaced by another.

    Parameters
    ----------
    source, target : str
        Two of [X/α], [X/Fe], [X/H] and A(X), for the same element X, in any spelling that
        `~astropayne.labels.names.parse_label` knows. For iron, ``feh`` is [X/H]; X may be α itself.

    Raises
    ------
    ValueError
        If these are not two different abundances of one element.

    Notes
    -----
    [X/Fe] = [X/α] + [α/Fe], [X/H] = [X/Fe] + [Fe/H] and A(X) = [X/H] + A(X)☉.

    Examples
    --------
    The Sun's lithium, in a star with a tenth of the Sun's iron:

    >>> from astropayne.labels.abundance_transforms import AbundanceTransform
    >>> from astropayne.labels.solar import solar_scale
    >>> transform = AbundanceTransform("[Li/Fe]", "A(Li)")
    >>> transform
    <AbundanceTransform: Li_Fe -> A_Li>
    >>> sun = solar_scale("magg2022")
    >>> float(transform.forward({"Li_Fe": 1.0, "feh": -1.0}, sun))
    1.05
    >>> float(transform.inverse({"A_Li": 1.05, "feh": -1.0}, sun))
    1.0
    """

    def __init__(self, source, target):
        self.source = parse_label(source)
        self.target = parse_label(target)
        self.element, before = _element_and_reference(self.source)
        same, after = _element_and_reference(self.target)
        if self.element != same or before == after:
            raise ValueError(
                f"{self.source!r} cannot become {self.target!r}: give two different ones of "
                f"'[{self.element}/Fe]', '[{self.element}/H]' and 'A({self.element})'"
            )
        self._rungs = _LADDER.index(before), _LADDER.index(after)
        self.needs = _ADDED[min(self._rungs) : max(self._rungs)]

    def forward(self, values, solar):
        """Compute the target, as `~astropayne.labels.LabelTransform.forward` describes."""
        return self._climb(values, self.source, *self._rungs, solar)

    def inverse(self, values, solar):
        """Compute the source from the target."""
        return self._climb(values, self.target, *self._rungs[::-1], solar)

    def _climb(self, values, given, start, end, solar):
        result = np.asarray(values[given], dtype=float)  # a plain array, also out of a table
        up = start < end
        for rung in range(start, end) if up else reversed(range(end, start)):
            added = solar[self.element] if rung == len(_ADDED) else values[_ADDED[rung]]
            added = np.asarray(added, dtype=float)
            result = result + added if up else result - added
        return result


def _element_and_reference(label):
    """Split an abundance's label: ``("Li", "Fe")``, ``("Li", "H")``, or ``("Li", "A")``."""
    if label == "feh":
        return "Fe", "H"
    first, _, second = label.partition("_")
    element, reference = (second, "A") if first == "A" else (first, second)
    if element not in (*ELEMENTS, "alpha") or reference not in _LADDER or label == "Fe_alpha":
        raise ValueError(
            f"{label!r} is not an element's abundance: give '[X/Fe]', '[X/H]' or 'A(X)' with an "
            "element symbol for X, or 'feh'"
        )
    return element, reference


@cache
def abundance_transforms():
    """Return the transforms between abundance labels, for all elements from lithium on.

    Returns
    -------
    tuple of AbundanceTransform
        For each element [X/Fe] → [X/H] and [X/H] → A(X), for α elements [X/α] → [X/Fe], for
        iron [Fe/H] → A(Fe), and [α/Fe] → [α/H]. The other directions are their inverses, and
        longer ways are made of these.

    Examples
    --------
    >>> from astropayne.labels.abundance_transforms import abundance_transforms
    >>> abundance_transforms()[:2]
    (<AbundanceTransform: Li_Fe -> Li_H>, <AbundanceTransform: Li_H -> A_Li>)
    """
    pairs = []
    for element in ELEMENTS[2:]:
        if element != "Fe":
            pairs += [(f"{element}_Fe", f"{element}_H"), (f"{element}_H", f"A_{element}")]
    pairs += [(f"{element}_alpha", f"{element}_Fe") for element in ALPHA_ELEMENTS]
    pairs += [("alpha_Fe", "alpha_H"), ("feh", "A_Fe")]
    return tuple(AbundanceTransform(source, target) for source, target in pairs)
