# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The fitted steps of an analysis."""

import itertools
from collections.abc import Mapping
from dataclasses import replace

import astropy.units as u
import numpy as np

from astropayne.abundances.finder import find
from astropayne.abundances.lines import LineList
from astropayne.fitting.setup import FitSetup, own_name

__all__ = ["FittedStage", "following", "with_lines"]


def following(model, options, stage):
    """Return the options of a stage, after those before it, and the values that it sets."""
    fixed, tied_before = (
        {own_name(name): value for name, value in before.items()}
        for before in (options.fixed, options.tied)
    )
    values = {}
    if isinstance(stage.fixed, Mapping):
        values = {own_name(name): value for name, value in stage.fixed.items()}
        held = values
    else:  # the number does not matter: stars keep what was found for each
        middle = dict(zip(model.labels.names, model.labels.middle, strict=True))
        held = {own_name(name): middle.get(own_name(name), 1.0) for name in stage.fixed}
    tied = {own_name(name): function for name, function in stage.tied.items()}
    free = {*map(own_name, stage.free)}
    gone = {*free, *held, *tied}
    options = replace(
        options,
        fixed={n: v for n, v in fixed.items() if n not in gone} | held,
        tied={n: f for n, f in tied_before.items() if n not in gone} | tied,
        free=tuple(sorted(({*map(own_name, options.free)} - {*held, *tied}) | free)),
    )
    return options, values


def with_lines(model, options, lines):
    """Return the options of a fit of the stellar labels, from some lines only."""
    if lines is None:
        return options
    if options.regions is not None:
        raise ValueError("lines of the stellar labels and regions say the same: choose one")
    # Windows move with the star, as regions do not: what lies between them is left out at rest.
    windows = lines.in_medium(model.medium).region()
    ends = u.Quantity([windows.lower, windows.upper, *model.wavelength[[0, -1]]])
    outside = windows.invert(ends.min() - 1 * u.AA, ends.max() + 1 * u.AA)
    if options.exclude_at_rest is not None:
        outside += options.exclude_at_rest
    return replace(options, exclude_at_rest=outside)


class FittedStage:
    """A stage that measures elements: its options, checked, and its lines."""

    def __init__(self, model, stage, options, values):
        self.model, self.elements, self.jointly = model, stage.elements, stage.jointly
        labels = {label.element: i for i, label in enumerate(model.labels) if label.element}
        if not self.elements:
            raise ValueError("elements: none is given")
        if unknown := [e for e in self.elements if e not in labels]:
            iron = "; iron is a stellar label, from stellar_lines" if "Fe" in unknown else ""
            raise ValueError(
                f"elements: the model has no label of {unknown}; it has {', '.join(labels)}{iron}"
            )
        self.index = np.array([labels[e] for e in self.elements])
        self.setup = FitSetup(model, options)
        fitter = self.setup.fitter
        self.parameters = fitter.parameters
        self.values = {n: v for n, v in fitter.fixed.items() if n in values}
        self.moves = [self._moves(i) for i in self.index]
        self.lines, self.of = self._lines(stage.lines)
        names = {self.setup.names[i] for i in self.index}
        for what, given in (("fixed", fitter.fixed), ("tied", self.parameters.tied)):
            if lost := names & given.keys():
                raise ValueError(
                    f"{', '.join(sorted(lost))}: {what}, so there is nothing to measure; a stage "
                    "can have it in free="
                )

    def _moves(self, index):
        """Return the parameters that move with one: those that are tied to it, too."""
        parameters, space = self.parameters, self.model.labels
        theta = np.zeros((1, len(self.setup.names)))
        theta[0, : len(space)] = space.middle
        name = self.setup.names[index]
        if name not in parameters.free:
            return (int(index),)
        chain = parameters.chain(theta[:, parameters.index], theta)[0]
        return tuple(np.flatnonzero(chain[:, parameters.free.index(name)]).tolist())

    def _lines(self, lines):
        """Return lines that the model's windows have, and which are each element's."""
        space = self.model.labels.labels
        theirs = [[space[i].element for i in moves if i < len(space)] for moves in self.moves]
        if lines is None:
            known = LineList.sample().inside(self.model.wavelength, self.model.medium)
            wanted = set(itertools.chain(*theirs))
            lines = known[[e in wanted for e in known.table["element"]]]
            for element, i in zip(self.elements, self.index, strict=True):
                if element not in lines.elements:
                    lines = lines + self._found_lines(self.model.labels.names[i])
        names = np.asarray(lines.table["element"])
        of = np.array([np.isin(names, mine) for mine in theirs]).reshape(len(theirs), len(names))
        lines, of = lines[of.any(axis=0)], of[:, of.any(axis=0)]
        if missing := [e for e, mine in zip(self.elements, of, strict=True) if not mine.any()]:
            raise ValueError(
                f"lines: there is none of {', '.join(missing)}; leave the element out, or give "
                "lines with the column element"
            )
        return lines, of

    def _found_lines(self, label):
        space = self.model.labels
        return find(self.model, label, at=dict(zip(space.names, space.middle, strict=True)))

    def expand(self, theta):
        """Let those parameters follow that are tied."""
        parameters = self.parameters
        return parameters.expand(theta[:, parameters.index], theta) if parameters.tied else theta

    def start(self, theta):
        """Return where the stage starts, of what is known before it."""
        theta = theta.copy()
        for name, value in self.values.items():
            theta[:, self.setup.names.index(name)] = value
        return self.expand(theta)
