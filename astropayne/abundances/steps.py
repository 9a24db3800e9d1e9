# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Stages of an analysis, prepared for a model: their options and their lines."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np

from astropayne.abundances.finder import find
from astropayne.abundances.lines import LineList
from astropayne.abundances.stages import Stage
from astropayne.fitting.constraints import own_name
from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup
from astropayne.models.model import PayneModel

__all__ = ["PreparedStage", "options_of_stage", "restricted_to_lines"]


def options_of_stage(model: PayneModel, before: FitOptions, stage: Stage) -> FitOptions:
    """Return the options of the fits of a stage.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    before : `~astropayne.fitting.FitOptions`
        Options of the stage before, from which this one inherits.
    stage : Stage

    Returns
    -------
    `~astropayne.fitting.FitOptions`
    """
    fixed, tied = _own_names(_fixed_values(model, stage)), _own_names(stage.tied)
    free = {*map(own_name, stage.free)}
    changed = {*free, *fixed, *tied}
    kept = {*map(own_name, before.free)} - {*fixed, *tied}
    return replace(
        before,
        fixed={n: v for n, v in _own_names(before.fixed or {}).items() if n not in changed} | fixed,
        tied={n: f for n, f in _own_names(before.tied or {}).items() if n not in changed} | tied,
        free=tuple(sorted(kept | free)),
    )


def _own_names(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the package's own spelling of labels."""
    return {own_name(name): value for name, value in mapping.items()}


def _fixed_values(model: PayneModel, stage: Stage) -> Mapping[str, Any]:
    """Return the labels and velocities that a stage fixes, with values.

    Labels that are fixed by name only keep the value of each star, so any value will do here.
    """
    if isinstance(stage.fixed, Mapping):
        return stage.fixed
    middle = dict(zip(model.labels.names, model.labels.middle, strict=True))
    return {name: middle.get(own_name(name), 1.0) for name in stage.fixed}


def restricted_to_lines(
    model: PayneModel, options: FitOptions, lines: LineList | None
) -> FitOptions:
    """Return the options of a fit that uses only the windows of some lines, if there are any.

    The windows move with the star: all wavelengths between them are excluded at rest.
    """
    if lines is None:
        return options
    if options.regions is not None:
        raise ValueError(
            "the lines of the stellar labels and the option regions both restrict the spectrum; "
            "use only one of them"
        )
    windows = lines.in_medium(model.medium).region()
    ends = u.Quantity([windows.lower, windows.upper, *model.wavelength[[0, -1]]])
    outside = windows.invert(ends.min() - 1 * u.AA, ends.max() + 1 * u.AA)
    if (excluded := options.region_left_out(model)) is not None:
        outside += excluded
    return replace(options, exclude_at_rest=outside)


class PreparedStage:
    """A stage that measures elements, prepared for a model.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    stage : Stage
    options : `~astropayne.fitting.FitOptions`
        Options of the fits, as returned by `options_of_stage`.

    Attributes
    ----------
    elements : tuple of str
    index : numpy.ndarray of int, shape (n_elements,)
        Positions of the elements' labels among all parameters.
    moves : list of tuple of int
        For each element, positions of the parameters that change with its label: its own, and
        those tied to it.
    lines : LineList
        Lines of all elements that are inside the model's windows.
    lines_of : numpy.ndarray of bool, shape (n_elements, n_lines)
        The lines of each element.

    Raises
    ------
    ValueError
        If an element cannot be measured, or has no lines.
    """

    def __init__(self, model: PayneModel, stage: Stage, options: FitOptions) -> None:
        self.model, self.elements, self.jointly = model, stage.elements, stage.jointly
        self.index = self._positions()
        self.setup = FitSetup.of(model, options)
        self.parameters = self.setup.problem.parameters
        self.fixed = self._values_of(stage)
        self.moves = [self._moved_with(i) for i in self.index]
        self.lines, self.lines_of = self._select_lines(stage.lines)
        self._require_free()

    def _positions(self) -> np.ndarray:
        """Return the positions of the elements' labels."""
        labels = {label.element: i for i, label in enumerate(self.model.labels) if label.element}
        if not self.elements:
            raise ValueError("elements: none is given; a stage measures at least one")
        if unknown := [element for element in self.elements if element not in labels]:
            iron = "; iron is a stellar label, measured from stellar_lines" * ("Fe" in unknown)
            raise ValueError(
                f"elements: the model has no label of {', '.join(unknown)}; it has labels of "
                f"{', '.join(labels)}{iron}"
            )
        return np.array([labels[element] for element in self.elements])

    def _values_of(self, stage: Stage) -> dict[str, float]:
        """Return the values that the stage itself fixes, by parameter."""
        own = _own_names(stage.fixed) if isinstance(stage.fixed, Mapping) else {}
        return {name: value for name, value in self.setup.problem.fixed.items() if name in own}

    def _moved_with(self, index: int) -> tuple[int, ...]:
        """Return the positions of the parameters that change with one of them."""
        parameters, space = self.parameters, self.model.labels
        theta = np.zeros((1, len(self.setup.names)))
        theta[0, : len(space)] = space.middle
        name = self.setup.names[index]
        if name not in parameters.free:
            return (int(index),)
        chain = parameters.chain(theta[:, parameters.index], theta)[0]
        return tuple(np.flatnonzero(chain[:, parameters.free.index(name)]).tolist())

    def _require_free(self) -> None:
        names = {self.setup.names[i] for i in self.index}
        for what, held in (("fixed", self.setup.problem.fixed), ("tied", self.parameters.tied)):
            if lost := names & held.keys():
                raise ValueError(
                    f"{', '.join(sorted(lost))}: {what}, so that it cannot be measured; a stage "
                    "makes it free with free="
                )

    # --- lines

    def _select_lines(self, lines: LineList | None) -> tuple[LineList, np.ndarray]:
        """Return the lines of the stage, and which of them belong to each element."""
        space = self.model.labels.labels
        symbols = [
            [space[i].element or "" for i in moved if i < len(space)] for moved in self.moves
        ]  # of the element, and of those tied to it
        if lines is None:
            lines = self._default_lines({*itertools.chain(*symbols)})
        elements = np.asarray(lines.table["element"])
        lines_of = np.array([np.isin(elements, own) for own in symbols])
        lines_of = lines_of.reshape(len(symbols), len(elements))
        used = lines_of.any(axis=0)
        lines, lines_of = lines[used], lines_of[:, used]
        if missing := [e for e, own in zip(self.elements, lines_of, strict=True) if not own.any()]:
            raise ValueError(
                f"lines: the list has none of {', '.join(missing)}; leave the element out, or "
                "give lines whose column element names it"
            )
        return lines, lines_of

    def _default_lines(self, elements: set[str]) -> LineList:
        """Return lines of the list that ships, and those that the model finds for the others."""
        sample = LineList.sample().inside(self.model.wavelength, self.model.medium)
        lines = sample[[element in elements for element in sample.table["element"]]]
        space = self.model.labels
        middle = dict(zip(space.names, space.middle, strict=True))
        for element, i in zip(self.elements, self.index, strict=True):
            if element not in lines.elements:
                lines = lines + find(self.model, space.names[i], at=middle)
        return lines

    # --- parameters

    def expand(self, theta: np.ndarray) -> np.ndarray:
        """Return parameters (n_stars, n_parameters) in which tied ones follow the others."""
        parameters = self.parameters
        return parameters.expand(theta[:, parameters.index], theta) if parameters.tied else theta

    def start(self, theta: np.ndarray) -> np.ndarray:
        """Return the parameters with which the stage starts, from those of the stage before."""
        theta = theta.copy()
        for name, value in self.fixed.items():
            theta[:, self.setup.names.index(name)] = value
        return self.expand(theta)
