# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances element by element, from chosen lines: measurements, or upper limits.

An analysis is a list of stages. The first gives the stellar labels, as `~astropayne.fit_spectra`
does. In those that follow, the likelihood of each abundance is computed over its range from the
windows of its own lines, all else marginalised: see ``astropayne.profiles``.
"""

import itertools
from typing import Any

import astropy.units as u
import numpy as np
from astropy.utils.masked import Masked

from astropayne.abundances.batch import ElementBatch, Found, masked
from astropayne.abundances.stages import CONVENTIONS, Stage
from astropayne.abundances.steps import FittedStage, following, with_lines
from astropayne.engine.arms import filled
from astropayne.engine.flags import Flag
from astropayne.fitting.batches import measure_all
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.fitting.setup import FitSetup
from astropayne.labels.conversion import LabelConversion
from astropayne.labels.solar import solar_scale as named_scale
from astropayne.utils.torch_state import one_thread, without_gradients

__all__ = ["fit_abundances"]


@takes_fit_options
def fit_abundances(
    spectra,
    model,
    elements,
    *,
    lines=None,
    stellar_lines=None,
    convention="X_Fe",
    solar_scale=None,
    confidence=0.95,
    detection=3.0,
    clip=False,
    reference=None,
    per_line=False,
    models=False,
    progress=None,
    options: FitOptions | None = None,
    **keywords: Any,
):
    """Measure abundances element by element, or limit them.

    Parameters
    ----------
    spectra : iterable of `~specutils.Spectrum` or `~specutils.SpectrumList`
        As for `~astropayne.fit_spectra`.
    model : `~astropayne.PayneModel`
    elements : sequence of str or of Stage
        Symbols of elements that the model has labels of; or stages of an analysis, the first of
        which finds the stellar labels. Symbols are short for
        ``[Stage(lines=stellar_lines), Stage(elements, lines)]``.
    lines : LineList, optional
        By default the list that ships with the package, and for elements it has no lines of in
        the model's windows, those that `astropayne.abundances.finder.find` finds in the middle of the model's
        range.
    stellar_lines : LineList, optional
        Lines that the stellar labels are taken from; by default the whole spectrum.
    convention : {"X_Fe", "X_H", "A_X"}
        What abundances are given as.
    solar_scale : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
        What [X/Fe] and [X/H] refer to; by default the model's own.
    confidence : float
        Of the upper limits.
    detection : float
        Significance, in standard deviations, from which on a line counts as detected.
    clip : bool
        Whether a discrepant line is left out, the worst first, and the element fitted once more,
        as long as two others are left.
    reference : `~specutils.Spectrum` or `~specutils.SpectrumList`, optional
        A star to compare with, such as the Sun, analysed in the same way: abundances are then
        the differences from its own, line by line, so that what is wrong with a line in the model
        (an oscillator strength) cancels. Not for limits.
    per_line : bool
        Whether to add columns ``Mg_lines``, ``Mg_lines_err`` and ``Mg_lines_deviation``: the
        abundance of each line, in the model's label, and by how many standard deviations it is
        from that of all lines.
    models : bool
        Whether to add columns ``Mg_best_fit`` and ``Mg_without``: the model at the star's pixels,
        arms one after another, with the element and without it; NaN beyond the windows.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    options : `~astropayne.fitting.FitOptions`, optional
        Options to start from; the keywords change them.
    **keywords
        Options of the fit, as in `~astropayne.fit_spectrum`, of all stages: ``resolution``,
        ``fixed``, ``tied``, ``continuum``… The lines of elements that are tied to one that is measured count as its own.
        With ``loss="huber"``, pixels of lines count as little as they do at the labels that a
        stage starts from.

    Returns
    -------
    `~astropy.table.QTable`
        A row a spectrum. Stellar labels, velocities and flags are those of
        `~astropayne.fit_spectra`, and for each element (here Mg, as [Mg/Fe]) there are

        - ``Mg_Fe``, ``Mg_Fe_err``: mean and standard deviation of the posterior over the model's
          range, masked where there is no measurement;
        - ``Mg_Fe_upper_limit``: masked where there is one, and where the spectrum sets no limit;
        - ``Mg_ew``: equivalent width that the model has of the element in its windows, in mÅ, in
          masked pixels, too, as far as the model goes;
        - ``Mg_significance``: by how much χ² is larger without the element, its root;
        - ``Mg_n_lines``, ``Mg_scatter``: lines that took part, and their standard deviation;
        - ``Mg_sensitivity``: the changes of the model's label of the element by the parameters
          that ``meta["by"]`` names, all others held;
        - ``Mg_flags``: see `ElementFlag`.

        ``meta["Mg_lines"]`` has the centres of the lines, Å in ``meta["medium"]``: the option
        ``medium``, or the model's.

    Raises
    ------
    ValueError
        If the model has no label of an element, or an option makes no sense.
    astropayne.fitting.batches.Interrupted
        If Ctrl-C ends it, as `~astropayne.fit_spectra` has it.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_abundances
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.3, feh=-0.2, vmic=1.1, Na_Fe=0.25, A_Li=2.3, vsini=4)
    >>> table = fit_abundances([star], model, ["Na", "Li"], convention="A_X")
    >>> print(table["A_Na"].round(2)[0], table["A_Li"].round(2)[0])
    6.34 2.3
    """
    options = FitOptions.from_call(fit_abundances, options, keywords)
    if getattr(getattr(spectra, "flux", None), "ndim", 2) == 1:
        raise ValueError("this is one spectrum: give a list of it")
    elements = (elements,) if isinstance(elements, str | Stage) else tuple(elements)
    if not any(isinstance(one, Stage) for one in elements):
        elements = Stage(lines=stellar_lines), Stage(elements, lines)
    elif lines is not None or stellar_lines is not None:
        raise ValueError("lines and stellar_lines: stages have lines of their own")
    analysis = _Analysis(
        model, elements, convention, solar_scale, confidence, detection, clip, models, options
    )
    if reference is not None:
        analysis.compare_with(reference)

    def table(names, measured):
        outcomes, found = zip(*measured, strict=True) if measured else ((), ())
        return analysis.table(names, outcomes, found, per_line)

    return measure_all(
        spectra,
        lambda some: zip(*analysis.fit(some), strict=True),
        table,
        "abundances",
        progress,
    )


class _Analysis:
    """The options, checked, and the stages of the analysis."""

    def __init__(
        self, model, stages, convention, solar_scale, confidence, detection, clip, models, options
    ):
        if convention not in CONVENTIONS:
            raise ValueError(f"convention={convention!r} is not one of {', '.join(CONVENTIONS)}")
        if not 0.5 < confidence < 1:
            raise ValueError(f"confidence={confidence!r} has to be above 0.5 and below 1")
        if not detection > 0:
            raise ValueError(f"detection={detection!r} has to be positive")
        self.model, self.detection, self.clip = model, float(detection), clip
        self.models, self.confidence, self.reference = models, float(confidence), None
        first, *others = stages
        if not all(isinstance(s, Stage) for s in stages) or first.elements or not others:
            raise ValueError(
                "stages: the first is Stage() without elements, for the stellar labels; those with "
                'elements, such as Stage(["Na"]), follow'
            )
        options, _ = following(model, options, first)
        self.stellar = FitSetup(model, with_lines(model, options, first.lines))
        self.steps = []
        for stage in others:
            options, values = following(model, options, stage)
            self.steps.append(FittedStage(model, stage, options, values))
        self.elements = tuple(element for step in self.steps for element in step.elements)
        if twice := {e for e in self.elements if self.elements.count(e) > 1}:
            raise ValueError(f"elements: {', '.join(sorted(twice))} is measured twice")
        self.wanted = tuple(convention.replace("X", e) for e in self.elements)
        self.convert = self._conversion(solar_scale)

    def _conversion(self, solar_scale):
        """Return a function from values and covariances of labels to those wanted."""
        names, own = self.model.labels.names, named_scale(self.model.solar_scale)
        if solar_scale is None:
            chain = [LabelConversion(names, self.wanted, own)]
        else:  # by way of what does not depend on the Sun
            absolute = (*(f"A_{e}" for e in self.elements if e != "Fe"), "A_Fe")
            chain = [
                LabelConversion(names, absolute, own),
                LabelConversion(absolute, self.wanted, named_scale(solar_scale)),
            ]

        def convert(values, covariance=None):
            for conversion in chain:
                if covariance is not None:
                    covariance = conversion.covariance(values, covariance)
                values = conversion(values)
            return values if covariance is None else (values, covariance)

        return convert

    # --- stages

    def compare_with(self, reference):
        """Analyse the star that the others are compared with."""
        with without_gradients(), one_thread():
            (outcome,), (found,) = self.fit([reference])
        if outcome.flags & Flag.BAD_INPUT:
            raise ValueError(f"reference: {outcome.message}")
        self.reference = found

    def fit(self, spectra):
        """Return the outcomes of the stellar labels, and what is found of the elements."""
        outcomes = self.stellar.fit(spectra, False)
        found, stars = [[Found() for _ in self.elements] for _ in spectra], {}
        for i, outcome in enumerate(outcomes):
            if not outcome.flags & Flag.BAD_INPUT:
                stars[i] = self.steps[0].setup.reader.star(spectra[i])

        def n_arms(i):
            return len(stars[i].wavelength)

        for _, group in itertools.groupby(sorted(stars, key=n_arms), n_arms):
            some = list(group)
            rows = self._measure([stars[i] for i in some], [outcomes[i] for i in some])
            for i, row in zip(some, rows, strict=True):
                found[i] = row
        return outcomes, found

    def _measure(self, stars, outcomes):
        """Go through the stages: each starts from what those before have found."""
        theta, fitted, columns = np.array([o.theta for o in outcomes]), None, []
        for step in self.steps:
            for _ in range(1 + step.jointly):  # the second time, with the windows of all
                batch = ElementBatch(self, step, stars, outcomes, step.start(theta), fitted)
                found = [batch.element(k, len(columns) + k) for k in range(len(step.elements))]
                theta, fitted = batch.known(found)
            columns += found
        return list(map(list, zip(*columns, strict=True)))

    # --- the table

    def table(self, names, outcomes, found, per_line):
        """Return the table of stellar labels and abundances."""
        if not outcomes:  # the columns are those of any star
            nobody = [Found() for _ in self.elements]
            return self.table([""], [self.stellar.fitter.rejected("")], [nobody], per_line)[:0]
        table = self.stellar.table(names, outcomes, False, False)
        names = self.stellar.names
        of_stage = [(step, k) for step in self.steps for k in range(len(step.elements))]
        for step, k in of_stage:
            name = names[step.index[k]]
            table.remove_columns([name, f"{name}_err"])
        table.meta["by"] = list(names)
        medium = self.stellar.reader.options.medium or self.model.medium
        table.meta["medium"] = medium
        if self.reference is not None:
            table.meta["differential"] = True
        for k, (element, name) in enumerate(zip(self.elements, self.wanted, strict=True)):
            mine = [row[k] for row in found]
            for attribute, column in (
                ("value", name), ("error", f"{name}_err"), ("limit", f"{name}_upper_limit"),
            ):  # fmt: skip
                table[column] = masked([getattr(one, attribute) for one in mine])
            width = np.array([one.ew for one in mine])
            table[f"{element}_ew"] = Masked(width * u.mAA, mask=~np.isfinite(width))
            for attribute in ("significance", "scatter"):
                table[f"{element}_{attribute}"] = masked([getattr(o, attribute) for o in mine])
            for attribute in ("n_lines", "flags"):
                table[f"{element}_{attribute}"] = np.array(
                    [getattr(o, attribute) for o in mine], int
                )
            step, mine_of_it = of_stage[k]
            lines = step.lines[step.of[mine_of_it]].in_medium(medium)
            shapes, n_lines = {"sensitivity": len(names)}, len(lines)
            if per_line:
                shapes |= dict.fromkeys(("lines", "lines_err", "lines_deviation"), n_lines)
            for attribute, n in shapes.items():
                rows = [np.broadcast_to(getattr(one, attribute), n) for one in mine]
                table[f"{element}_{attribute}"] = masked(rows)
            for attribute in ("best_fit", "without") if self.models else ():
                rows = [getattr(one, attribute) for one in mine]
                table[f"{element}_{attribute}"] = filled(rows, max(map(len, rows)), np.nan)
            centres = lines.table["wavelength"].to_value(u.AA).tolist()
            table.meta[f"{element}_lines"] = centres
            self._describe(table, element, name)
        return table

    def _describe(self, table, element, name):
        """Say what an element's columns are: VOTable keeps that, and has no place for metadata."""
        centres = ", ".join(map(str, table.meta[f"{element}_lines"]))
        for column, text in {
            name: "abundance",
            f"{name}_err": "standard deviation",
            f"{name}_upper_limit": f"upper limit, confidence {self.confidence:g}",
            f"{element}_ew": "equivalent width",
            f"{element}_significance": "of the element, in standard deviations",
            f"{element}_n_lines": f"of {centres} Angstrom ({table.meta['medium']})",
            f"{element}_scatter": "standard deviation of lines",
            f"{element}_sensitivity": f"changes by {', '.join(table.meta['by'])}",
            f"{element}_flags": "astropayne.abundances.flags.ElementFlag",
        }.items():
            table[column].info.description = text
