# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances element by element, from chosen lines: measurements, or upper limits.

An analysis is a list of stages. The first gives the stellar labels, as `~astropayne.fit_spectra`
does. In those that follow, the likelihood of each abundance is computed over its range from the
windows of its own lines, all else marginalised: see ``astropayne.profiles``.
"""

import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import itemgetter
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked
from scipy.stats import norm

from astropayne.abundances import solar_scale as named_scale
from astropayne.batch import Flag, NamedFlag
from astropayne.broadening import instrument_fwhm
from astropayne.conversion import LabelConversion
from astropayne.fitting import FitSetup, measure_all, own_name
from astropayne.forward import VELOCITIES
from astropayne.lines import LineList, find
from astropayne.network import one_thread, without_gradients
from astropayne.profiles import Problem, Stars
from astropayne.stars import filled
from astropayne.wavelengths import checked_region, effective_arms

__all__ = ["ElementFlag", "Stage", "fit_abundances", "read_stages"]

_CONVENTIONS = ("X_Fe", "X_H", "A_X")
_DISCREPANT = 3.0  # standard deviations of a line from all lines
_COVERED = 0.5  # of a line's window that has to be usable
_SLACK = 1e-3  # of the range, from its ends


class ElementFlag(NamedFlag):
    """What is to be known of an abundance; zero if nothing."""

    UPPER_LIMIT = 1
    """There is no measurement, but an upper limit (which a difference from a star has none of)."""
    NO_LINES = 2
    """No line of the element is covered by usable pixels."""
    BELOW_RANGE = 4
    """The spectrum asks for less than the model knows."""
    ABOVE_RANGE = 8
    """The spectrum asks for more than the model knows, or does not exclude it."""
    DISCREPANT_LINES = 16
    """A line disagrees with the others by more than three standard deviations."""
    NOT_CONVERGED = 32
    """The likelihood was not resolved: it has more than one maximum, or is very narrow."""
    NO_STELLAR_LABELS = 64
    """The star could not be fitted, or not the [Fe/H] that the convention needs: the table's
    ``message`` or ``low_information`` says why."""
    LIMIT_BEYOND_RANGE = 128
    """The upper limit is above all that the model knows: weak lines, as expected to grow on."""
    NOT_IN_REFERENCE = 256
    """It is measured, but not in the reference star, or not from any line of both."""


@dataclass(frozen=True)
class Stage:
    """One stage of an analysis, and what it takes from those before it.

    The first stage of an analysis has no elements: it finds the stellar labels. Each later one
    measures some elements, then knows them for the stages that follow. What a stage fixes, frees or
    ties stays so in later ones.

    Parameters
    ----------
    elements : sequence of str
        Symbols; none for the stellar labels.
    lines : LineList, optional
        Of these elements, as in `fit_abundances`; of the first stage, those that the stellar
        labels are taken from instead of the whole spectrum.
    fixed : mapping of str to value, or sequence of str
        Labels and velocities that are exactly known: at the values given, or at those that were
        found before.
    free : sequence of str
        What earlier stages have fixed or tied, and this one has not.
    tied : mapping of str to callable
        Labels that follow from others, as in `~astropayne.fit_spectrum`.
    jointly : bool
        Whether the windows of all elements of the stage measure each of them, which counts where
        lines are blended. Otherwise only its own do, and those of earlier stages.

    Examples
    --------
    Iron lines give the stellar labels while sodium is that of the Sun, then sodium is free, then
    lithium, for which temperature and gravity are held:

    >>> from astropayne import LineList, PayneModel, fit_abundances
    >>> from astropayne.elements import Stage
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.3, feh=-0.2, vmic=1.1, Na_Fe=0.25, A_Li=2.3, vsini=4)
    >>> stages = [
    ...     Stage(lines=LineList.sample().select("Fe"), fixed={"Na_Fe": 0}),
    ...     Stage(["Na"], free=["Na_Fe"]),
    ...     Stage(["Li"], fixed=["teff", "logg"]),
    ... ]
    >>> table = fit_abundances([star], model, stages)
    >>> bool(abs(table["Na_Fe"][0] - 0.25) < 0.03)
    True
    """

    elements: tuple = ()
    lines: LineList | None = None
    fixed: Mapping | tuple = field(default_factory=dict)
    free: tuple = ()
    tied: Mapping = field(default_factory=dict)
    jointly: bool = False

    def __post_init__(self):
        for name in ("elements", "fixed", "free"):
            value = getattr(self, name)
            if name != "fixed" or not isinstance(value, Mapping):
                object.__setattr__(self, name, _names(value, name))
        for name, kind, accepted in (
            ("lines", LineList | None, "a LineList, as LineList.read makes of a file"),
            ("tied", Mapping, "a mapping of labels to what they follow from"),
            ("jointly", bool | np.bool_, "True or False"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} has to be {accepted}; got {getattr(self, name)!r}")


def _names(value, what):
    names = (value,) if isinstance(value, str) else value
    names = tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} has to be a sequence of names; got {value!r}")
    return names


def read_stages(path):
    """Read the stages of an analysis from a TOML file.

    Parameters
    ----------
    path : path-like
        A table ``[[stage]]`` for each, with what `Stage` takes; ``lines`` is a file, relative to
        this one, and ``tied`` says of a label which other it is equal to.

    Returns
    -------
    list of Stage

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is not one of stages.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.elements import read_stages
    >>> file = Path(mkdtemp()) / "stages.toml"
    >>> _ = file.write_text('''
    ... [[stage]]
    ... fixed = {Na_Fe = 0}
    ... [[stage]]
    ... elements = ["Na"]
    ... free = ["Na_Fe"]
    ... ''')
    >>> [stage.elements for stage in read_stages(file)]
    [(), ('Na',)]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    stages = given.get("stage")
    tables = isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)
    if set(given) != {"stage"} or not tables:
        raise ValueError(f"{path}: each stage is a table [[stage]], and there is nothing else")
    known = [one.name for one in fields(Stage)]
    for stage in stages:
        if unknown := [name for name in stage if name not in known]:
            raise ValueError(f"{path}: {', '.join(unknown)}; a stage has {', '.join(known)}")
        if isinstance(stage.get("lines"), str):
            stage["lines"] = LineList.read(path.parent / stage["lines"])
        if isinstance(stage.get("tied"), dict):
            stage["tied"] = {n: itemgetter(own_name(other)) for n, other in stage["tied"].items()}
    try:
        return [Stage(**stage) for stage in stages]
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None


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
    **options,
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
        the model's windows, those that `astropayne.lines.find` finds in the middle of the model's
        range.
    stellar_lines : LineList, optional
        Lines that the stellar labels are taken from; by default the whole spectrum.
    convention : {"X_Fe", "X_H", "A_X"}
        What abundances are given as.
    solar_scale : str, `~astropayne.abundances.SolarScale` or mapping, optional
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
    **options
        As for `~astropayne.fit_spectra`: ``resolution``, ``fixed``, ``tied``, ``continuum``… of
        all stages. The lines of elements that are tied to one that is measured count as its own.
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
    astropayne.fitting.Interrupted
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


@dataclass
class _Found:
    """What is found of one element of one star."""

    value: float = np.nan
    error: float = np.nan
    limit: float = np.nan
    flags: int = ElementFlag.NO_STELLAR_LABELS
    ew: float = np.nan
    significance: float = np.nan
    n_lines: int = 0
    scatter: float = np.nan
    sensitivity: np.ndarray | float = np.nan
    lines: np.ndarray | float = np.nan  # of each, in the model's label
    lines_err: np.ndarray | float = np.nan
    lines_deviation: np.ndarray | float = np.nan
    lines_covariance: np.ndarray | float = np.nan
    mean: float = np.nan  # of the posterior, in the model's label
    lines_variance: float = np.nan  # of all lines together, all else held
    best_fit: np.ndarray = ()
    without: np.ndarray = ()


def _following(model, options, stage):
    """Return the options of a stage, after those before it, and the values that it sets."""
    options = dict(options)
    before = {
        what: {own_name(name): value for name, value in (options.get(what) or {}).items()}
        for what in ("fixed", "tied")
    }
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
    options["fixed"] = {n: v for n, v in before["fixed"].items() if n not in gone} | held
    options["tied"] = {n: f for n, f in before["tied"].items() if n not in gone} | tied
    given = options.get("free", ())
    given = {own_name(name) for name in ([given] if isinstance(given, str) else given)}
    options["free"] = tuple(sorted((given - {*held, *tied}) | free))
    return options, values


def _with_lines(model, options, lines):
    """Return the options of a fit of the stellar labels, from some lines only."""
    if lines is None:
        return options
    if options.get("regions") is not None:
        raise ValueError("lines of the stellar labels and regions say the same: choose one")
    # Windows move with the star, as regions do not: what lies between them is left out at rest.
    windows = lines.in_medium(model.medium).region()
    ends = u.Quantity([windows.lower, windows.upper, *model.wavelength[[0, -1]]])
    outside = windows.invert(ends.min() - 1 * u.AA, ends.max() + 1 * u.AA)
    if (wrong := options.get("exclude_at_rest")) is not None:
        outside += checked_region(wrong, "exclude_at_rest")
    return {**options, "exclude_at_rest": outside}


class _Step:
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
        self.setup = FitSetup(model, **options)
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


class _Analysis:
    """The options, checked, and the stages of the analysis."""

    def __init__(
        self, model, stages, convention, solar_scale, confidence, detection, clip, models, options
    ):
        if convention not in _CONVENTIONS:
            raise ValueError(f"convention={convention!r} is not one of {', '.join(_CONVENTIONS)}")
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
        options, _ = _following(model, options, first)
        self.stellar = FitSetup(model, **_with_lines(model, options, first.lines))
        self.steps = []
        for stage in others:
            options, values = _following(model, options, stage)
            self.steps.append(_Step(model, stage, options, values))
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
        found, stars = [[_Found() for _ in self.elements] for _ in spectra], {}
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
                batch = _Batch(self, step, stars, outcomes, step.start(theta), fitted)
                found = [batch.element(k, len(columns) + k) for k in range(len(step.elements))]
                theta, fitted = batch.known(found)
            columns += found
        return list(map(list, zip(*columns, strict=True)))

    # --- the table

    def table(self, names, outcomes, found, per_line):
        """Return the table of stellar labels and abundances."""
        if not outcomes:  # the columns are those of any star
            nobody = [_Found() for _ in self.elements]
            return self.table([""], [self.stellar.fitter.rejected("")], [nobody], per_line)[:0]
        table = self.stellar.table(names, outcomes, False, False)
        names = self.stellar.names
        of_stage = [(step, k) for step in self.steps for k in range(len(step.elements))]
        for step, k in of_stage:
            name = names[step.index[k]]
            table.remove_columns([name, f"{name}_err"])
        table.meta["by"] = list(names)
        medium = self.stellar.reader.medium or self.model.medium
        table.meta["medium"] = medium
        if self.reference is not None:
            table.meta["differential"] = True
        for k, (element, name) in enumerate(zip(self.elements, self.wanted, strict=True)):
            mine = [row[k] for row in found]
            for attribute, column in (
                ("value", name), ("error", f"{name}_err"), ("limit", f"{name}_upper_limit"),
            ):  # fmt: skip
                table[column] = _masked([getattr(one, attribute) for one in mine])
            width = np.array([one.ew for one in mine])
            table[f"{element}_ew"] = Masked(width * u.mAA, mask=~np.isfinite(width))
            for attribute in ("significance", "scatter"):
                table[f"{element}_{attribute}"] = _masked([getattr(o, attribute) for o in mine])
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
                table[f"{element}_{attribute}"] = _masked(rows)
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
            f"{element}_flags": "astropayne.elements.ElementFlag",
        }.items():
            table[column].info.description = text


def _masked(values):
    values = np.array(values, dtype=float)
    return MaskedColumn(values, mask=~np.isfinite(values))


class _Batch:
    """The abundances of some stars, whose stellar labels are known."""

    def __init__(self, analysis, step, stars, outcomes, theta, fitted):
        self.analysis, self.step, self.outcomes = analysis, step, outcomes
        self.fitter, self.parameters = step.setup.fitter, step.parameters
        space = analysis.model.labels
        self.unknown = np.isnan(theta)
        middle = np.zeros(theta.shape[1])
        middle[: len(space)] = space.middle
        theta = np.where(self.unknown, middle, theta)  # the spectrum says little of those
        fitter, parameters = self.fitter, self.parameters
        arms = fitter.arms(stars, theta)
        likelihood = fitter.likelihood_of(arms, theta, fitter.modes)
        chain = parameters.chain(theta[:, parameters.index], theta)
        for row, outcome in zip(chain, outcomes, strict=True):
            # no derivative, no error
            for name in {*outcome.at_bound} & {*VELOCITIES} & {*parameters.free}:
                row[:, parameters.free.index(name)] = 0
        if fitted is None:
            used = zip(*(outcome.used for outcome in outcomes), strict=True)
            parts = zip(used, arms, strict=True)
            fitted = np.hstack([filled(u, arm.wavelength.shape[1], False) for u, arm in parts])
        self.stars = Stars(likelihood, theta, fitted, chain, fitter.low, fitter.high)
        self.shift = fitter.shift(theta[:, : -len(VELOCITIES)])
        self.scale = [
            np.concatenate(
                [np.broadcast_to(a, len(w)) for a, w in zip(s.scale, s.wavelength, strict=True)]
            )
            for s in stars
        ]
        self.lengths = [[len(w) for w in star.wavelength] for star in stars]
        self.widths = [arm.wavelength.shape[1] for arm in arms]
        self.used = self._windows(stars, theta)

    def known(self, found):
        """Return the parameters, and the pixels they come from, when the stage is over."""
        theta = np.where(self.unknown, np.nan, self.stars.theta)
        for index, of_element in zip(self.step.index, found, strict=True):
            mean = np.array([one.mean if one.n_lines else np.nan for one in of_element])
            theta[:, index] = np.where(np.isnan(mean), theta[:, index], mean)
        return self.step.expand(theta), self.stars.fitted | self.used.any(axis=0)

    def _windows(self, stars, theta):
        """Say which pixels are used of which line: (n_lines, n, n_pixels)."""
        lines, model = self.step.lines, self.analysis.model
        fwhm = [
            instrument_fwhm(
                min((np.min(r) for r in s.resolution if r is not None), default=None),
                model.resolution,
            )
            for s in stars
        ]
        broadening = np.hypot.reduce([*theta[:, -2:].T, fwhm])
        windows = lines.inside_windows(self.stars.rest_wavelength, broadening[:, None])
        good = windows & (self.stars.weight > 0)
        # of the window itself: the star's pixels may end within it
        seen = (good * self._width(self.stars.weight > 0)).sum(axis=2)
        covered = seen > _COVERED * lines.window_width(broadening)
        # pixels of no weight say nothing of the abundance, but the line has its width there
        return windows & (self.stars.supported & covered[:, :, None])

    def _problem(self, k):
        """Return an element's lines, each pixel that of the nearest."""
        used = self.used[self.step.of[k]]
        centres = self.step.lines.vacuum()[self.step.of[k], 0]
        away = np.abs(self.stars.rest_wavelength - centres[:, None, None])
        nearest = np.where(used, away, np.inf).argmin(axis=0)
        used = used & (np.arange(len(used))[:, None, None] == nearest)
        return Problem(int(self.step.index[k]), self.step.moves[k], used)

    def element(self, k, column):
        """Return what is found of an element of the stage, for each star.

        ``column`` is its position among those of all stages.
        """
        analysis, problem = self.analysis, self._problem(k)
        profile = self.stars.profile(problem, self.step.expand, analysis.confidence)
        wrong = np.abs(profile.deviation) > _DISCREPANT
        if analysis.clip and wrong.any():
            wrong, profile = self._clipped(problem, profile)
        low, high = self.stars.low[problem.index], self.stars.high[problem.index]
        n_lines = np.isfinite(profile.lines).sum(axis=1)
        some = n_lines > 0
        detected = some & (profile.significance >= analysis.detection)
        below = detected & (profile.best <= low + _SLACK * (high - low))
        above = detected & (profile.best >= high - _SLACK * (high - low))
        value, error, limit = self._converted(k, column, profile)
        measured = detected & ~below & ~above & np.isfinite(value) & np.isfinite(error)
        limited = some & ~measured & ~above & np.isfinite(limit)
        limited &= profile.excluded > norm.ppf(analysis.confidence)
        unknown = some & ~np.isfinite(error)  # what the convention needs
        flags = np.where(some, 0, ElementFlag.NO_LINES)
        for which, flag in (
            (limited, ElementFlag.UPPER_LIMIT),
            (limited & (profile.limit > high), ElementFlag.LIMIT_BEYOND_RANGE),
            (below, ElementFlag.BELOW_RANGE),
            (some & ~measured & ~limited & (above | ~unknown), ElementFlag.ABOVE_RANGE),
            (unknown, ElementFlag.NO_STELLAR_LABELS),
            (measured & wrong.any(axis=1), ElementFlag.DISCREPANT_LINES),
            ((measured | limited) & ~profile.settled, ElementFlag.NOT_CONVERGED),
        ):
            flags = flags | np.where(which, flag, 0)
        if analysis.reference is not None:
            limited[:] = False
            value, error = self._differences(column, profile, value, error)
            lost = measured & ~np.isfinite(value)
            flags = flags | np.where(lost, ElementFlag.NOT_IN_REFERENCE, 0)
            measured &= ~lost
        lines_err = np.sqrt(np.diagonal(profile.lines_covariance, axis1=1, axis2=2))
        lines_err = np.where(np.isfinite(profile.lines), lines_err, np.nan)
        width = self._equivalent_width(profile)
        scatter = _scatter(profile.lines, lines_err)
        return [
            _Found(
                value[i] if measured[i] else np.nan,
                error[i] if measured[i] else np.nan,
                limit[i] if limited[i] else np.nan,
                int(flags[i]),
                width[i] if some[i] else np.nan,
                profile.significance[i] if some[i] else np.nan,
                int(n_lines[i]), scatter[i], profile.by[i],
                profile.lines[i], lines_err[i], profile.deviation[i],
                profile.lines_covariance[i], profile.mean[i], profile.lines_variance[i],
                *self._models(profile, i),
            )
            for i in range(len(value))
        ]  # fmt: skip

    def _clipped(self, problem, profile):
        """Leave out each star's worst line, as long as one is discrepant and two others are left.

        One line that is wrong makes others deviate from the mean; of two, nobody knows which.
        """
        clipped = np.zeros(profile.deviation.shape, dtype=bool)
        while True:
            deviation = np.abs(np.nan_to_num(profile.deviation))
            worst = deviation.argmax(axis=1)[:, None] == np.arange(deviation.shape[1])
            enough = np.isfinite(profile.lines).sum(axis=1) > 2
            out = worst & (deviation > _DISCREPANT) & enough[:, None]
            if not out.any():
                return clipped | (deviation > _DISCREPANT), profile
            clipped |= out
            problem = replace(problem, lines=problem.lines & ~out.T[..., None])
            profile = self.stars.profile(problem, self.step.expand, self.analysis.confidence)

    def _converted(self, k, column, profile):
        """Return values, errors and limits in the convention that is wanted."""
        n, index = len(self.analysis.model.labels), int(self.step.index[k])
        moves, convert = list(self.step.moves[k]), self.analysis.convert
        follow = profile.follow[:, :, None] * profile.sigma[:, None, None]
        covariance = profile.rest + follow @ follow.mT
        covariance[:, index, index] += self.shift[:, index, index]  # others come with the fit
        unknown = self.unknown.copy()  # and what depends on that is not known
        unknown[:, moves] = False
        covariance = np.where(unknown[:, :, None] | unknown[:, None], np.nan, covariance)
        theta = self.stars.theta.copy()
        theta[:, index] = profile.mean
        value, covariance = convert(self.step.expand(theta)[:, :n], covariance[:, :n, :n])
        theta[:, index] = profile.limit
        limit = convert(self.step.expand(theta)[:, :n])[:, column]
        error = np.sqrt(covariance[:, column, column])
        return value[:, column], error, np.where(np.isfinite(error), limit, np.nan)

    def _differences(self, column, profile, value, error):
        """Return differences from the reference, of the lines that both have."""
        other = self.analysis.reference[column]
        if not np.isfinite(other.value):
            return np.full((2, len(value)), np.nan)
        shift, more = np.zeros((2, len(value)))
        for i, mine in enumerate(profile.lines):
            both = np.isfinite(mine) & np.isfinite(other.lines)
            if not both.any():
                shift[i] = np.nan
                continue
            precision = np.linalg.inv(profile.lines_covariance[i][np.ix_(both, both)])
            weight = precision.sum(axis=0) / precision.sum()
            apart = weight @ (mine - other.lines)[both]
            shift[i] = apart - (profile.mean[i] - other.mean)
            # the lines of the reference weigh otherwise than in its own abundance
            its = weight @ other.lines_covariance[np.ix_(both, both)] @ weight
            more[i] = max(its - other.lines_variance, 0.0)
        return value - other.value + shift, np.sqrt(error**2 + other.error**2 + more)

    def _equivalent_width(self, profile):
        """Return what the element takes away in its windows, mÅ in the stars' frames.

        Of what several arms see, it is their mean.
        """
        step = self.stars.rest_wavelength * self._width(np.isfinite(profile.depth))
        return 1e3 * np.nansum(profile.depth * step, axis=1)

    def _width(self, seen):
        """Return widths of pixels in ln λ, shared by the arms that see the same."""
        axes = [pixels.wavelength for pixels in self.stars.pixels]
        return self.stars.pixel_width / effective_arms(axes, seen)

    def _models(self, profile, i):
        """Return the models with and without the element at the pixels of a star."""
        if not self.analysis.models:
            return (), ()
        ends = np.cumsum([0, *self.widths[:-1]])
        kept = np.concatenate(
            [e + np.arange(n) for e, n in zip(ends, self.lengths[i], strict=True)]
        )
        return tuple(part[i, kept] * self.scale[i] for part in (profile.flux, profile.without))


def _scatter(values, errors):
    """Return the weighted standard deviation of lines, NaN of less than two."""
    weight = np.nan_to_num(errors**-2.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    values = np.nan_to_num(values)
    mean = (weight * values).sum(axis=1) / total
    n = (weight > 0).sum(axis=1)
    variance = (weight * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return np.where(n > 1, np.sqrt(variance * n / np.maximum(n - 1, 1)), np.nan)
