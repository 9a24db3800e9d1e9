# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Stage`: one step of an analysis, and files of them."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import itemgetter
from pathlib import Path

import numpy as np

from astropayne.abundances.lines import LineList
from astropayne.fitting.setup import own_name

__all__ = ["CONVENTIONS", "Stage", "read_stages"]

CONVENTIONS = ("X_Fe", "X_H", "A_X")


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
    >>> from astropayne.abundances.stages import Stage
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
    >>> from astropayne.abundances.stages import read_stages
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
