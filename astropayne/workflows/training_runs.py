# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Training runs with options from a TOML file: template, checks and training."""

import json
import os
import textwrap
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from astropayne.grids.grid import SpectralGrid
from astropayne.models.model import PayneModel
from astropayne.networks.architecture import Architecture
from astropayne.networks.options import TrainingOptions
from astropayne.utils.suggestions import require_choice

__all__ = ["configuration_template", "read_configuration", "train_as_configured"]

_GRID = {
    "paths": ([], "Folders or files of spectra of one grid, after those of the command line."),
    "format": (None, "Format of the spectra; identified by default."),
    "labels": ([], 'Labels that replace those of the grid: ["A(Li)"] instead of [Li/Fe].'),
    "train_fraction": (
        0.9,
        "Fraction of the spectra to train on; the others choose the best network.",
    ),
}
_RUN = {
    "device": (None, "Device: auto, cpu, cuda, cuda:1 or mps; by default that of astropayne.conf."),
    "checkpoint": (None, "File for the last and the best network during training."),
    "resume": (
        None,
        "Checkpoint to continue from, with the same grids and options. With true, training "
        "continues from the checkpoint if it exists, and starts from the beginning otherwise.",
    ),
}
_MODEL = {
    name: (None, f"{name.capitalize()}, stored in the model.")
    for name in ("author", "license", "citation")
}


def _sections():
    """Return default and description of every option, by section."""
    return {
        "grid": _GRID,
        "network": _described(Architecture),
        "training": {**_described(TrainingOptions), **_RUN},
        "model": _MODEL,
    }


def _described(options):
    """Return default and description of each field of a dataclass of options."""
    return {f.name: (f.default, f.metadata["description"]) for f in fields(options)}


def configuration_template() -> str:
    """Return a commented TOML file with every option and its default.

    Returns
    -------
    str

    Examples
    --------
    >>> import tomllib
    >>> from astropayne.workflows.training_runs import configuration_template
    >>> tomllib.loads(configuration_template())["network"]["activation"]
    'gelu'
    """
    lines = [
        "# Options of a training run for astropayne train.",
        "# Options after a # have no default. The value false stands for none, except for options",
        "# that can be true.",
        "",
    ]
    for section, options in _sections().items():
        lines.append(f"[{section}]")
        for name, (default, text) in options.items():
            lines += textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
            given = default is not None
            lines += [f"{name} = {json.dumps(default)}" if given else f"# {name} =", ""]
    return "\n".join(lines)


def read_configuration(
    path: str | os.PathLike | None = None, changes: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Read the options of a training run from a TOML file; other options have their defaults.

    Parameters
    ----------
    path : path-like, optional
        Without a file, all options have their defaults.
    changes : mapping of str to value, optional
        Options that override those of the file, such as ``{"training.seed": 1}``.

    Returns
    -------
    dict of str to dict
        Options by section and name; an option may be `None`.

    Raises
    ------
    TypeError, ValueError
        If the file is not TOML, an option is unknown, or an option must be a list and is not.

    Examples
    --------
    >>> from astropayne.workflows.training_runs import read_configuration
    >>> read_configuration(changes={"training.seed": 7})["training"]["seed"]
    7
    """
    known = {
        section: {name: default for name, (default, _) in options.items()}
        for section, options in _sections().items()
    }
    if path is not None:
        _take(known, _toml(path), f"{path}: ")
    of_command = {}
    for name, value in (changes or {}).items():
        section, _, option = name.partition(".")
        of_command.setdefault(section, {})[option] = value
    _take(known, of_command)
    return known


def _toml(path):
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None


def _take(known, given, origin=""):
    """Replace known options by given ones."""
    for section, options in given.items():
        require_choice(section, known, f"{origin}section")
        if not isinstance(options, dict):
            raise TypeError(f"{origin}[{section}] must be a section, got {options!r}")
        for name, value in options.items():
            require_choice(name, known[section], f"{origin}option of [{section}]")
            of_several = isinstance(known[section][name], list | tuple)
            if of_several and not isinstance(value, list | tuple):
                what = f"{origin}{name} of [{section}]"
                raise TypeError(f"{what} must be a list, such as [{value!r}], got {value!r}")
            none = value is False and not isinstance(known[section][name], bool)
            known[section][name] = None if none else value


def train_as_configured(
    configuration: Mapping[str, Mapping[str, Any]],
    paths: Sequence[str | os.PathLike] = (),
    *,
    progress: bool | None = None,
    log: Callable[[str], object] | None = None,
) -> PayneModel:
    """Train a model with the options of a configuration.

    Parameters
    ----------
    configuration : dict
        Options, as `read_configuration` returns them.
    paths : sequence of path-like
        Paths of the grid, in addition to those of the configuration.
    progress : bool, optional
        Whether to show progress bars; by default, only on a terminal.
    log : callable, optional
        Function that is called with each line of the report on the progress.

    Returns
    -------
    `~astropayne.PayneModel`
        The trained model. Its ``meta["configuration"]`` contains the options that are not `None`.

    Raises
    ------
    ValueError
        If there is no grid, or an option is invalid.
    """
    log = log or (lambda line: None)
    of_grid = configuration["grid"]
    paths = [str(path) for path in (*paths, *of_grid["paths"])]
    if not paths:
        raise ValueError("there is no grid to train on: name a folder or file of spectra")
    model = PayneModel(**configuration["network"])
    training = {**configuration["training"], **configuration["model"]}
    names = [field.name for field in fields(TrainingOptions)]
    options = TrainingOptions(**{name: training.pop(name) for name in names})
    grid = SpectralGrid.read(
        paths, format=of_grid["format"], transform_labels=of_grid["labels"], progress=progress
    )
    log(f"grid      {grid}")
    fraction = of_grid["train_fraction"]
    model.train(grid, train_fraction=fraction, progress=progress, options=options, **training)
    used = {**configuration, "grid": {**of_grid, "paths": paths}}
    kept = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in used.items()
    }
    return model.replace(meta={**model.meta, "configuration": kept})
