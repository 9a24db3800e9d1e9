# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""An analysis of stars: stellar labels first, then the elements of one stage after another."""

import itertools
from collections.abc import Sequence

import numpy as np
from astropy.table import QTable

from astropayne.abundances.measuring import Measurement, StageBatch
from astropayne.abundances.options import AbundanceOptions, Conversion
from astropayne.abundances.stages import Stage
from astropayne.abundances.steps import PreparedStage, options_of_stage, restricted_to_lines
from astropayne.abundances.table import add_element, with_flags_first
from astropayne.engine.arms import Star
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup
from astropayne.models.model import PayneModel
from astropayne.utils.torch_state import one_thread, without_gradients

__all__ = ["Analysis"]

StarResult = tuple[Outcome, list[Measurement]]


class Analysis:
    """An analysis in stages, checked and prepared for a model.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    stages : sequence of Stage
        The first, without elements, finds the stellar labels.
    options : AbundanceOptions
    fit_options : `~astropayne.fitting.FitOptions`
        Options of the fits of all stages.

    Raises
    ------
    ValueError
        If the stages are not in order, or an element is measured twice or cannot be measured.
    """

    def __init__(
        self,
        model: PayneModel,
        stages: Sequence[Stage],
        options: AbundanceOptions,
        fit_options: FitOptions,
    ) -> None:
        first, *others = _require_order(stages)
        self.model, self.options = model, options
        self.reference: list[Measurement] | None = None
        fit_options = options_of_stage(model, fit_options, first)
        self.stellar = FitSetup.of(model, restricted_to_lines(model, fit_options, first.lines))
        self.stages: list[PreparedStage] = []
        for stage in others:
            fit_options = options_of_stage(model, fit_options, stage)
            self.stages.append(PreparedStage(model, stage, fit_options))
        self.elements = tuple(e for stage in self.stages for e in stage.elements)
        if twice := {e for e in self.elements if self.elements.count(e) > 1}:
            raise ValueError(f"elements: {', '.join(sorted(twice))} is measured twice")
        self.convert = Conversion(model, self.elements, options)

    def compare_with(self, reference: object) -> None:
        """Analyze a reference star, from which the abundances of others are subtracted."""
        with without_gradients(), one_thread():
            ((outcome, measurements),) = self.fit([reference])
        if outcome.flags & Flag.BAD_INPUT:
            raise ValueError(f"reference: {outcome.message}")
        self.reference = measurements

    def fit(self, spectra: Sequence) -> list[StarResult]:
        """Return the stellar fit of each spectrum, and the measurement of each element."""
        outcomes = self.stellar.fit(spectra)
        setup = self.stages[0].setup
        stars = {
            i: setup.unpack(spectra[i], outcome)
            for i, outcome in enumerate(outcomes)
            if not outcome.flags & Flag.BAD_INPUT
        }
        measurements = [[Measurement() for _ in self.elements] for _ in spectra]

        def kind(i: int) -> tuple[int, str]:
            return len(stars[i].wavelength), outcomes[i].fitted_with

        for _, group in itertools.groupby(sorted(stars, key=kind), kind):
            rows = list(group)
            measured = self._measure([stars[i] for i in rows], [outcomes[i] for i in rows])
            for i, row in zip(rows, measured, strict=True):
                measurements[i] = row
        return list(zip(outcomes, measurements, strict=True))

    def _measure(
        self, stars: Sequence[Star], outcomes: Sequence[Outcome]
    ) -> list[list[Measurement]]:
        """Return the measurements of all elements in each star of a batch."""
        theta, fitted = np.array([outcome.theta for outcome in outcomes]), None
        columns: list[list[Measurement]] = []
        for stage in self.stages:
            for _ in range(1 + stage.jointly):  # jointly: again, with the windows of all elements
                batch = StageBatch(
                    stage, self.options, self.convert, stars, outcomes, stage.start(theta), fitted
                )
                measured = [
                    batch.measure(k, column, self.reference[column] if self.reference else None)
                    for k, column in enumerate(range(len(columns), len(columns) + len(stage.index)))
                ]
                theta, fitted = batch.updated(measured)
            columns += measured
        return list(map(list, zip(*columns, strict=True)))

    def table(self, names: Sequence[str], results: Sequence[StarResult]) -> QTable:
        """Return the table of stellar labels and abundances."""
        if not results:  # a row of an empty star gives the columns
            empty = self.stellar.problem.rejected(""), [Measurement() for _ in self.elements]
            return self.table([""], [empty])[:0]
        outcomes, measurements = zip(*results, strict=True)
        table = with_flags_first(self.stellar.report.table(names, outcomes))
        parameters = self.stellar.names
        medium = self.stellar.reader.options.medium or self.model.medium
        table.meta |= {"by": list(parameters), "medium": medium}
        if self.reference is not None:
            table.meta["differential"] = True
        positions = [(stage, k) for stage in self.stages for k in range(len(stage.elements))]
        for stage, k in positions:  # measured from the element's own lines instead
            label = parameters[stage.index[k]]
            table.remove_columns([label, f"{label}_err"])
        for column, (stage, k) in enumerate(positions):
            add_element(
                table, stage.elements[k], self.convert.names[column],
                [row[column] for row in measurements],
                stage.lines[stage.lines_of[k]].in_medium(medium), self.options,
            )  # fmt: skip
        return table


def _require_order(stages: Sequence[Stage]) -> Sequence[Stage]:
    valid = all(isinstance(stage, Stage) for stage in stages) and len(stages) > 1
    if not valid or stages[0].elements:
        raise ValueError(
            "stages: the first is Stage() without elements, for the stellar labels; those with "
            'elements, such as Stage(["Na"]), follow'
        )
    return stages
