# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Training runs that a TOML file describes: its template, its checks, the run."""

import inspect
import json
import re
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path

from astropayne.grids.grid import SpectralGrid
from astropayne.models.model import PayneModel
from astropayne.networks.options import TrainingOptions
from astropayne.utils.suggestions import require_known

__all__ = ["configuration_template", "read_configuration", "train_as_configured"]

_GRID = {
    "paths": ([], "Folders or files of spectra, all of one grid; the command line's come first."),
    "format": (None, "Format of the spectra; found out if not given."),
    "labels": ([], 'Labels wanted in place of the grid\'s own: ["A(Li)"] instead of [Li/Fe].'),
}
_OF_TRAIN = ("device", "checkpoint", "resume")
_OF_MODEL = ("author", "licence", "citation")


def _descriptions(documented):
    """Return what a docstring in numpydoc's style says of each name."""
    entry = re.compile(r"^(\w[\w, ]*) : .*\n((?:    .*\n?)+)", re.MULTILINE)
    return {
        name: re.sub(r"[`~]", "", " ".join(text.split()))
        for names, text in entry.findall(inspect.getdoc(documented))
        for name in names.split(", ")
    }


def _sections():
    """Return default and description of every option, by section."""
    train = inspect.signature(PayneModel.train).parameters
    of_train = _descriptions(PayneModel.train)
    of_options, of_model = _descriptions(TrainingOptions), _descriptions(PayneModel)
    network = inspect.signature(PayneModel).parameters

    def of_call(names):
        return {name: (train[name].default, of_train.get(name, "")) for name in names}

    return {
        "grid": {**_GRID, **of_call(["train_fraction"])},
        "network": {name: (p.default, of_model[name]) for name, p in network.items()},
        "training": {
            **{f.name: (f.default, of_options[f.name]) for f in fields(TrainingOptions)},
            **of_call(_OF_TRAIN),
        },
        "model": {name: (None, f"{name.capitalize()}, kept in the model.") for name in _OF_MODEL},
    }


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
        "# A training run: astropayne train --config THIS_FILE -o model.asdf",
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
    TrainingOptions(**{f.name: training[f.name] for f in fields(TrainingOptions)})  # complains now
    grid = SpectralGrid.read(
        paths, format=of_grid["format"], transform_labels=of_grid["labels"], progress=progress
    )
    say(f"grid      {grid}")
    model.train(grid, train_fraction=of_grid["train_fraction"], progress=progress, **training)
    used = {**configuration, "grid": {**of_grid, "paths": paths}}
    model.meta["configuration"] = {
        section: {name: _plain(value) for name, value in options.items() if value is not None}
        for section, options in used.items()
    }
    return model


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
