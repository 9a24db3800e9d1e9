# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne train``."""

from pathlib import Path
from typing import Any

import click

from astropayne.cli.console import INTERRUPTED, Command, Console, pass_console
from astropayne.cli.options import file_option, overwrite_option
from astropayne.cli.outputs import refuse_ending, refuse_existing

__all__ = ["train"]


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="[GRID]...", type=click.Path())
@file_option("-o", "--output", help="Model file to write, *.asdf.")
@click.option("-c", "--config", type=click.Path(exists=True, dir_okay=False),
              help="TOML file with options of the run.")  # fmt: skip
@file_option("--write-config", help="Write a commented template of such a file, and stop.")
@click.option("-l", "--label", "labels", multiple=True,
              help="Label to derive in place of the grid's own: A(Li).")  # fmt: skip
@click.option("--max-epochs", type=int, help="Passes over the training spectra.")
@click.option("--max-time", type=float, metavar="SECONDS", help="Time limit.")
@click.option("--seed", type=int, help="Seed of the random numbers.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@file_option("--checkpoint", help="File of the training's state; the same command resumes it.")
@overwrite_option
@pass_console
def train(
    console: Console,
    paths: tuple[str, ...],
    output: str | None,
    config: str | None,
    write_config: str | None,
    overwrite: bool,
    labels: tuple[str, ...],
    **training: Any,
) -> None:
    """Train a network on a grid.

    GRID is a grid file, or a folder that `astropayne grid` reads. Options of the command override
    those of the TOML file; the model stores the options that were used.

      astropayne train grid.asdf -o model.asdf --label "A(Li)" --max-time 600
      astropayne train --write-config run.toml      every option, explained
      astropayne train grid.asdf -o model.asdf --config run.toml
    """
    from astropayne.workflows.training_runs import (
        configuration_template,
        read_configuration,
        train_as_configured,
    )

    if write_config:
        refuse_existing(write_config, overwrite)
        Path(write_config).write_text(configuration_template(), encoding="utf-8")
        console(f"written   {write_config}: edit it, then astropayne train --config {write_config}")
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output': where to write the model.")
    refuse_existing(output, overwrite)
    refuse_ending(output, [".asdf"], "model")
    changes = {f"training.{name}": value for name, value in training.items() if value is not None}
    if training["checkpoint"]:
        changes["training.resume"] = True
    if labels:
        changes["grid.labels"] = list(labels)
    configuration = read_configuration(config, changes)
    model = train_as_configured(configuration, paths, progress=console.progress, log=console)
    model.write(output, overwrite=overwrite)
    console(f"network   {model!r}")
    console(
        f"accuracy  rms flux error {model.meta['validation_rms']:.4f} on "
        f"{model.meta['n_validation']} validation spectra"
    )
    console(f"written   {output}; next: astropayne evaluate {output} GRID -o report")
    if model.meta["training"]["stopped"] == "interrupted":
        raise click.exceptions.Exit(INTERRUPTED)
