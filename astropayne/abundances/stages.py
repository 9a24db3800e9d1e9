# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Stage`: one stage of an analysis of abundances, and files of stages."""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from astropayne.abundances.lines import LineList
from astropayne.fitting.constraints import own_name
from astropayne.utils.suggestions import require_choice, suggests_options

__all__ = ["Stage", "read_stages"]


@suggests_options
@dataclass(frozen=True)
class Stage:
    """One stage of an analysis of abundances.

    The first stage of an analysis has no elements: it measures the stellar labels. Each of the
    others measures some elements, whose abundances are used in the stages that follow. Labels
    that a stage fixes, frees or ties remain so in later stages.

    Parameters
    ----------
    elements : sequence of str
        Symbols of the elements; empty for the stellar labels.
    lines : LineList, optional
        Lines of the elements, as in `fit_abundances`. In the first stage, lines from which the
        stellar labels are measured, instead of the whole spectrum.
    fixed : mapping of str to value, or sequence of str
        Labels and velocities that are fixed, without errors: at the values given, or, if only
        names are given, at the values measured before.
    free : sequence of str
        Labels and velocities that an earlier stage fixed or tied, and that this one measures.
    tied : mapping of str to callable
        Labels that are functions of others, as in `~astropayne.fit_spectrum`.
    jointly : bool
        Whether the windows of all elements of the stage contribute to each of them, which matters
        for blends. By default only an element's own windows and those of earlier stages do.

    Raises
    ------
    TypeError
        If a field has the wrong type.

    Examples
    --------
    Measure the stellar labels from iron lines while sodium is solar, then sodium, then lithium
    with fixed temperature and gravity:

    >>> from astropayne import LineList, PayneModel, Stage, fit_abundances
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

    elements: Sequence[str] = ()
    lines: LineList | None = None
    fixed: Mapping[str, Any] | Sequence[str] = field(default_factory=dict)
    free: Sequence[str] = ()
    tied: Mapping[str, Callable] = field(default_factory=dict)
    jointly: bool = False

    def __post_init__(self) -> None:
        for name in ("elements", "fixed", "free"):
            value = getattr(self, name)
            if name != "fixed" or not isinstance(value, Mapping):
                object.__setattr__(self, name, _names(value, name))
        for name, kind, accepted in (
            ("lines", LineList | None, "a LineList, as returned by LineList.read"),
            ("tied", Mapping, "a mapping of labels to functions"),
            ("jointly", bool | np.bool_, "True or False"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be {accepted}; got {getattr(self, name)!r}")


def _names(value: Any, what: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    names = tuple(names) if isinstance(names, Iterable) else (names,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} must be a sequence of names; got {value!r}")
    return names


def read_stages(path: str | PathLike) -> list[Stage]:
    """Read the stages of an analysis from a TOML file.

    Parameters
    ----------
    path : path-like
        File with one table ``[[stage]]`` for each stage, whose keys are the parameters of `Stage`.
        ``lines`` is the path of a line list, relative to the file, and ``tied`` maps a label to
        another that it equals.

    Returns
    -------
    list of Stage

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file does not describe stages.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.abundances import read_stages
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
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return [_stage_from(table, path.parent) for table in _stage_tables(content)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _stage_tables(content: dict[str, Any]) -> list[dict[str, Any]]:
    tables = content.get("stage")
    if (
        set(content) != {"stage"}
        or not isinstance(tables, list)
        or not all(isinstance(table, dict) for table in tables)
    ):
        raise ValueError("the file must consist of tables [[stage]], one for each stage")
    return tables


def _stage_from(table: dict[str, Any], folder: Path) -> Stage:
    """Return the stage that a table describes; names of files are relative to a folder."""
    valid = [one.name for one in fields(Stage)]
    for name in table:
        require_choice(name, valid, "key")
    if isinstance(table.get("lines"), str):
        table["lines"] = LineList.read(folder / table["lines"])
    if isinstance(table.get("tied"), dict):
        table["tied"] = {name: itemgetter(own_name(other)) for name, other in table["tied"].items()}
    return Stage(**table)
