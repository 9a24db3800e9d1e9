# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The graph of label transforms and the paths through it."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from astropayne.labels.names import parse_label
from astropayne.plugins import label_transforms
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

__all__ = ["LabelGraph", "TransformStep", "label_graph"]


@dataclass(frozen=True)
class TransformStep:
    """One label transform in one direction.

    Attributes
    ----------
    source, output : str
        The label that is replaced, and the one that is computed.
    needs : tuple of str
        Other labels that the transform reads.
    compute : callable
        `LabelTransform.forward` or `LabelTransform.inverse`.
    """

    source: str
    needs: tuple[str, ...]
    output: str
    compute: Callable[[Mapping[str, np.ndarray], Mapping[str, float]], np.ndarray]

    @property
    def inputs(self) -> tuple[str, ...]:
        """All labels that the transform reads."""
        return (self.source, *self.needs)

    def __call__(self, columns: Mapping[str, np.ndarray], solar: Mapping[str, float]) -> np.ndarray:
        """Compute the output from columns of labels, and check its shape.

        Raises
        ------
        ValueError
            If the transform fails or returns an array of another shape.
        """
        try:
            values = self.compute(columns, solar)
        except ValueError:  # with a message of its own
            raise
        except Exception as error:  # transforms of plugins may raise any exception
            raise ValueError(
                f"the label transform from {self.source!r} to {self.output!r} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        shape = np.shape(columns[self.source])
        if values is None or np.shape(values) not in ((), shape):
            raise ValueError(
                f"the label transform from {self.source!r} to {self.output!r} returned "
                f"{'None' if values is None else f'an array of shape {np.shape(values)}'}; it must "
                f"return an array of shape {shape} or a single number"
            )
        return values


@dataclass(frozen=True, eq=False)
class LabelGraph:
    """The steps that a list of transforms makes possible.

    Parameters
    ----------
    transforms : tuple of `LabelTransform` and `LabelRelation`
        With canonical names of labels.
    """

    transforms: tuple[Any, ...]

    @cached_property
    def steps(self) -> tuple[TransformStep, ...]:
        """Every transform in both directions."""
        steps = []
        for t in self.transforms:
            if not isinstance(t, LabelRelation):
                steps.append(TransformStep(t.source, t.needs, t.target, t.forward))
                steps.append(TransformStep(t.target, t.needs, t.source, t.inverse))
        return tuple(steps)

    @cached_property
    def _classes(self) -> dict[str, frozenset[str]]:
        """The labels equivalent to each label."""
        classes: dict[str, frozenset[str]] = {}
        for step in self.steps[::2]:
            joined = classes.get(step.source, frozenset([step.source])) | classes.get(
                step.output, frozenset([step.output])
            )
            classes.update(dict.fromkeys(joined, joined))
        return classes

    def equivalent(self, name: str | None) -> frozenset[str]:
        """Return the labels that express the same quantity as a label, itself included."""
        return frozenset() if name is None else self._classes.get(name, frozenset([name]))

    def plan(self, inputs: Iterable[str], outputs: Sequence[str]) -> list[TransformStep]:
        """Return the steps from some labels to others, in the order in which they are taken.

        The search is breadth-first, so the path is one of the shortest.

        Raises
        ------
        ValueError
            If no path leads to a label, with the labels that are missing.
        """
        inputs = tuple(inputs)
        made_by: dict[str, TransformStep | None] = dict.fromkeys(inputs)
        while not made_by.keys() >= set(outputs):
            new: dict[str, TransformStep] = {}
            for step in self.steps:
                if step.output not in made_by and all(name in made_by for name in step.inputs):
                    new.setdefault(step.output, step)
            if not new:
                raise ValueError(self._no_path_message(made_by, inputs, outputs))
            made_by.update(new)
        needed, open_ends = set(), list(outputs)
        while open_ends:
            maker = made_by[open_ends.pop()]
            if maker is not None and maker not in needed:
                needed.add(maker)
                open_ends.extend(maker.inputs)
        return [step for step in made_by.values() if step in needed]

    def _no_path_message(
        self, reached: Iterable[str], inputs: Sequence[str], outputs: Sequence[str]
    ) -> str:
        unreached = [name for name in outputs if name not in reached]
        hints = []
        for name in unreached:
            for step in self.steps:
                missing = [need for need in step.inputs if need not in reached]
                if missing and step.output in self.equivalent(name) and step.source in reached:
                    hints.append(
                        f"{step.output!r} follows from {step.source!r} where "
                        f"{', '.join(map(repr, missing))} is given too"
                    )
        hint = "; ".join(dict.fromkeys(hints)) or "`astropayne plugins` lists the transforms"
        names = ", ".join(repr(name) for name in unreached)
        return f"no label transform leads to {names} from {', '.join(inputs) or 'nothing'}; {hint}"

    def relation(self, label: str, name: str) -> LabelRelation:
        """Return the relation of a name for a label; case and punctuation are ignored.

        Raises
        ------
        ValueError
            If the label has no relation of that name.
        """
        relations = {
            t.name: t for t in self.transforms if isinstance(t, LabelRelation) and t.target == label
        }
        for own, relation in relations.items():
            if _letters(own) == _letters(name):
                return relation
        accepted = f" or the name of a relation ({', '.join(relations)})" if relations else ""
        raise ValueError(f"label {label!r} must be a number{accepted}, not {name!r}")


def _letters(name: str) -> str:
    """Return the letters and digits of a relation's name, in lower case."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


def _use_canonical_names(transform: Any) -> None:
    """Replace the names of labels of a transform by their canonical ones."""
    names: dict[str, Any] = {"target": parse_label(transform.target)}
    names["needs"] = tuple(parse_label(name) for name in transform.needs)
    if isinstance(transform, LabelTransform):
        names["source"] = parse_label(transform.source)
    for attribute, name in names.items():
        if name != getattr(transform, attribute):
            object.__setattr__(transform, attribute, name)  # the transform may be frozen


_latest: list[LabelGraph] = []  # building a graph takes longer than a prediction


def label_graph() -> LabelGraph:
    """Return the graph of all registered transforms; it is built again when they change."""
    transforms = tuple(label_transforms(_use_canonical_names))
    latest = _latest[0].transforms if _latest else ()
    if len(latest) != len(transforms) or not all(map(operator.is_, latest, transforms)):
        _latest[:] = [LabelGraph(transforms)]
    return _latest[0]
