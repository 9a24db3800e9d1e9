# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Training runs that a TOML file describes: its template, its checks, the run."""

import json
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path

from astropayne.grids.grid import SpectralGrid
from astropayne.models.model import PayneModel
from astropayne.networks.architecture import Architecture
from astropayne.networks.options import TrainingOptions
from astropayne.utils.suggestions import require_known

__all__ = ["configuration_template", "read_configuration", "train_as_configured"]

_GRID = {
    "paths": ([], "Folders or files of spectra, all of one grid; the command line's come first."),
    "format": (None, "Format of the spectra; found out if not given."),
    "labels": ([], 'Labels wanted in place of the grid\'s own: ["A(Li)"] instead of [Li/Fe].'),
    "train_fraction": (
        0.9,
        "Fraction of the spectra to train on; the others choose the best network.",
    ),
}
_RUN = {
    "device": (None, "Device: auto, cpu, cuda, cuda:1 or mps; by default the configuration's."),
    "checkpoint": (None, "File to keep the last and the best network in during training."),
    "resume": (
        None,
        "Checkpoint to go on from, with the same grids and options. With true, training goes on "
        "from the checkpoint if that exists, and otherwise begins anew.",
    ),
}
_MODEL = {
    name: (None, f"{name.capitalize()}, kept in the model.")
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


def configuration_template():
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
        "# Options of a training run, as astropayne train takes them.",
        "# Options behind a # have no default; false stands for none, but where true is possible.",
        "",
    ]
    for section, options in _sections().items():
        lines.append(f"[{section}]")
        for name, (default, text) in options.items():
            lines += textwrap.wrap(text, 96, initial_indent="# ", subsequent_indent="# ")
            given = default is not None
            lines += [f"{name} = {json.dumps(default)}" if given else f"# {name} =", ""]
    return "\n".join(lines)


def read_configuration(path=None, changes=None):
    """Read a run's options from a TOML file; what it does not say has its default.

    Parameters
    ----------
    path : path-like, optional
        By default, there are only defaults.
    changes : mapping of str to value, optional
        Options that go before the file's, such as ``{"training.seed": 1}``.

    Returns
    -------
    dict of str to dict
        By section and name; an option may be `None`.

    Raises
    ------
    TypeError, ValueError
        If the file is not TOML, an option is not known, or not a list where it has to be one.

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
    """Put options in the place of those that are known."""
    for section, options in given.items():
        require_known(section, known, f"{origin}section")
        if not isinstance(options, dict):
            raise TypeError(f"{origin}[{section}] has to be a section, got {options!r}")
        for name, value in options.items():
            require_known(name, known[section], f"{origin}option of [{section}]")
            of_several = isinstance(known[section][name], list | tuple)
            if of_several and not isinstance(value, list | tuple):
                what = f"{origin}{name} of [{section}]"
                raise TypeError(f"{what} has to be a list, such as [{value!r}], got {value!r}")
            none = value is False and not isinstance(known[section][name], bool)
            known[section][name] = None if none else value


def train_as_configured(configuration, paths=(), *, progress=None, say=None):
    """Train a model as a configuration says.

    Parameters
    ----------
    configuration : dict
        As of `read_configuration`.
    paths : sequence of path-like
        Of the grid, before those of the configuration.
    progress : bool, optional
        Whether to show progress bars; by default on a terminal only.
    say : callable, optional
        Takes each line of the story.

    Returns
    -------
    `~astropayne.PayneModel`
        Its ``meta["configuration"]`` is the configuration used, without what is `None`.

    Raises
    ------
    ValueError
        If there is no grid, or an option makes no sense.
    """
    say = say or (lambda line: None)
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
    say(f"grid      {grid}")
    fraction = of_grid["train_fraction"]
    model.train(grid, train_fraction=fraction, progress=progress, options=options, **training)
    used = {**configuration, "grid": {**of_grid, "paths": paths}}
    kept = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in used.items()
    }
    return model.replace(meta={**model.meta, "configuration": kept})
