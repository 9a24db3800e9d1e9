# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The graph of label transforms and the paths through it."""

import operator
from dataclasses import dataclass

import numpy as np

from astropayne.labels.names import parse_label
from astropayne.plugins import label_transforms
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

__all__ = ["label_graph"]


@dataclass(frozen=True)
class _Step:
    """One transform in one direction."""

    source: str
    needs: tuple
    output: str
    compute: object

    @property
    def inputs(self):
        return (self.source, *self.needs)

    def __call__(self, columns, solar):
        try:
            values = self.compute(columns, solar)
        except ValueError:  # in its own words
            raise
        except Exception as error:  # whatever a stranger's transform raises
            raise ValueError(
                f"the label transform from {self.source!r} to {self.output!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        if values is None or np.shape(values) not in ((), np.shape(columns[self.source])):
            raise ValueError(
                f"the label transform from {self.source!r} to {self.output!r} gave "
                f"{'nothing' if values is None else f'values of shape {np.shape(values)}'}, and "
                f"needs one for each of the shape {np.shape(columns[self.source])}"
            )
        return values


class _Network:
    """All steps that the registered transforms make possible; labels have their own names there."""

    def __init__(self, transforms):
        self.transforms = transforms
        self.relations = [t for t in transforms if isinstance(t, LabelRelation)]
        self.steps, self._same = [], {}
        for transform in transforms:
            if isinstance(transform, LabelRelation):
                continue
            source, needs, target = transform.source, transform.needs, transform.target
            self.steps.append(_Step(source, needs, target, transform.forward))
            self.steps.append(_Step(target, needs, source, transform.inverse))
            joined = self.same(source) | self.same(target)
            self._same.update(dict.fromkeys(joined, joined))

    def same(self, name):
        """Return the labels that say the same as this one, itself too, as a set."""
        return self._same.get(name, frozenset([name]))

    def plan(self, given, wanted):
        """Return the steps from the labels given to those wanted, in their order."""
        made_by = dict.fromkeys(given)
        while not made_by.keys() >= set(wanted):
            new = {}
            for step in self.steps:
                if step.output not in made_by and all(name in made_by for name in step.inputs):
                    new.setdefault(step.output, step)
            if not new:
                raise ValueError(self._no_way_message(made_by, given, wanted))
            made_by.update(new)
        needed, open_ends = set(), list(wanted)
        while open_ends:
            step = made_by[open_ends.pop()]
            if step is not None and step not in needed:
                needed.add(step)
                open_ends.extend(step.inputs)
        return [step for step in made_by.values() if step in needed]  # as they were found

    def _no_way_message(self, reached, given, wanted):
        unreached = [name for name in wanted if name not in reached]
        hints = []
        for name in unreached:
            for step in self.steps:
                missing = [need for need in step.inputs if need not in reached]
                if missing and step.output in self.same(name) and step.source in reached:
                    hints.append(
                        f"{step.output!r} follows from {step.source!r} where "
                        f"{', '.join(map(repr, missing))} is given too"
                    )
        hint = "; ".join(dict.fromkeys(hints)) or "`astropayne plugins` lists the transforms"
        names = ", ".join(repr(name) for name in unreached)
        return f"no label transform leads to {names} from {', '.join(given) or 'nothing'}; {hint}"

    def relation(self, label, name):
        """Return the relation of that name for a label."""
        found = {r.name: r for r in self.relations if r.target == label}
        for own, relation in found.items():
            if _letters(own) == _letters(name):
                return relation
        accepted = f" or the name of a relation: {', '.join(found)}" if found else ""
        raise ValueError(f"label {label!r} was given {name!r}, and takes a number{accepted}")


def _letters(name):
    """Return the letters and digits of a relation's name, in lower case."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


_kept = []  # the last network: making one takes longer than a prediction


def _spell_as_astropayne(transform):
    """Replace the names of labels of a transform by their canonical ones."""
    names = {"target": parse_label(transform.target)}
    names["needs"] = tuple(parse_label(name) for name in transform.needs)
    if isinstance(transform, LabelTransform):
        names["source"] = parse_label(transform.source)
    for attribute, name in names.items():
        if name != getattr(transform, attribute):
            object.__setattr__(transform, attribute, name)  # it may be frozen


def label_graph():
    """Return the graph of all registered transforms, built again only when they change."""
    transforms = label_transforms(_spell_as_astropayne)
    kept = _kept[0].transforms if _kept else []
    if len(kept) != len(transforms) or not all(map(operator.is_, kept, transforms)):
        _kept[:] = [_Network(transforms)]
    return _kept[0]
