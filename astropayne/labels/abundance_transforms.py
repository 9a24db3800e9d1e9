# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Transforms between [X/Fe], [X/M], [X/H] and A(X).

The abundances of the α elements have two conventions, because grids vary them in two ways. A grid
that varies them together has the one label ``alpha_Fe``; if its table lists them one by one, all
equal, ``grid.transform_labels("alpha_Fe")`` replaces them by that label, because neither a network
nor a fit can tell them apart. A grid that varies some α elements individually in addition has a
label ``X_alpha``, [X/α] = [X/Fe] − [α/Fe], for each of them; [α/Fe] is never a mean of several
[X/Fe], so that every label can be computed from the others. A model whose labels are all [X/Fe]
accepts ``alpha_Fe`` for those of `~astropayne.labels.ALPHA_ELEMENTS` that are left out.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np

from astropayne.labels.names import ALPHA_ELEMENTS, ELEMENTS, parse_label
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import LabelTransform

__all__ = ["AbundanceTransform", "abundance_transforms"]


@hookimpl
def astropayne_label_transforms() -> list[LabelTransform]:
    """Return the transforms [X/Fe] → [X/H] → A(X) of every element."""
    return list(abundance_transforms())


# Conventions in order; each is the one before plus a label or the solar abundance:
# [X/α] + [α/Fe] = [X/Fe]; [X/Fe] + [Fe/H] = [X/H]; [X/H] + A(X)☉ = A(X).
_LADDER = ("alpha", "Fe", "H", "A")
_ADDED = ("alpha_Fe", "feh")
# Where abundances are relative to all metals: [X/M] + [M/H] = [X/H].
_OF_METALS = ("M", "H", "A")
_METALS_ADDED = ("M_H",)


class AbundanceTransform(LabelTransform):
    """Replaces the abundance of an element in one convention by another convention.

    Parameters
    ----------
    source, target : str
        Two of [X/α], [X/Fe], [X/H] and A(X), or of [X/M], [X/H] and A(X), for the same element X,
        in any spelling that `~astropayne.labels.parse_label` accepts. For iron, ``feh`` is [X/H];
        X may be α itself.

    Raises
    ------
    ValueError
        If source and target are not two different conventions of one element.

    Notes
    -----
    [X/Fe] = [X/α] + [α/Fe], [X/H] = [X/Fe] + [Fe/H] = [X/M] + [M/H] and A(X) = [X/H] + A(X)☉.

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

    def __init__(self, source: str, target: str) -> None:
        self.source = parse_label(source)
        self.target = parse_label(target)
        self.element, before = _element_and_reference(self.source)
        same, after = _element_and_reference(self.target)
        of_metals = "M" in (before, after)
        ladder = _OF_METALS if of_metals else _LADDER
        if self.element != same or before == after or not {before, after} <= set(ladder):
            raise ValueError(
                f"{self.source!r} cannot become {self.target!r}: give two different ones of "
                f"'[{self.element}/Fe]', '[{self.element}/H]' and 'A({self.element})'"
            )
        self._rungs = ladder.index(before), ladder.index(after)
        self._added = _METALS_ADDED if of_metals else _ADDED
        self.needs = self._added[min(self._rungs) : max(self._rungs)]

    def forward(self, values: Mapping[str, np.ndarray], solar: Mapping[str, float]) -> np.ndarray:
        """Compute the target, as `~astropayne.labels.LabelTransform.forward` describes."""
        return self._climb(values, self.source, *self._rungs, solar)

    def inverse(self, values: Mapping[str, np.ndarray], solar: Mapping[str, float]) -> np.ndarray:
        """Compute the source from the target."""
        return self._climb(values, self.target, *self._rungs[::-1], solar)

    def _climb(
        self,
        values: Mapping[str, np.ndarray],
        label: str,
        start: int,
        end: int,
        solar: Mapping[str, float],
    ) -> np.ndarray:
        """Go from one convention to another, adding or subtracting one term at a time."""
        result = np.asarray(values[label], dtype=float)  # a plain array instead of a column
        up = start < end
        for rung in range(start, end) if up else reversed(range(end, start)):
            added = solar[self.element] if rung == len(self._added) else values[self._added[rung]]
            added = np.asarray(added, dtype=float)
            result = result + added if up else result - added
        return result


def _element_and_reference(label: str) -> tuple[str, str]:
    """Split the label of an abundance: ``("Li", "Fe")``, ``("Li", "H")`` or ``("Li", "A")``."""
    if label == "feh":
        return "Fe", "H"
    first, _, second = label.partition("_")
    element, reference = (second, "A") if first == "A" else (first, second)
    if (
        label == "Fe_alpha"
        or element not in (*ELEMENTS, "alpha")
        or reference not in ("M", *_LADDER)
    ):
        raise ValueError(
            f"{label!r} is not an element's abundance: give '[X/Fe]', '[X/H]' or 'A(X)' with an "
            "element symbol for X, or 'feh'"
        )
    return element, reference


@cache
def abundance_transforms() -> tuple[AbundanceTransform, ...]:
    """Return the transforms between abundance labels, for all elements from lithium on.

    Returns
    -------
    tuple of AbundanceTransform
        For each element [X/Fe] → [X/H], [X/M] → [X/H] and [X/H] → A(X), for α elements [X/α] →
        [X/Fe], for iron [Fe/M] → [Fe/H] and [Fe/H] → A(Fe), and [α/Fe] and [α/M] → [α/H]. Other
        conversions combine these and their inverses.

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
    pairs += [(f"{element}_M", f"{element}_H") for element in ELEMENTS[2:] if element != "Fe"]
    pairs += [("alpha_Fe", "alpha_H"), ("alpha_M", "alpha_H"), ("Fe_M", "feh"), ("feh", "A_Fe")]
    return tuple(AbundanceTransform(source, target) for source, target in pairs)
