# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne demo``."""

import click

from astropayne.cli.console import Command, Console, pass_console

__all__ = ["demo"]


@click.command(cls=Command)
@click.option(
    "-o",
    "--output",
    default="astropayne-demo",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder for the model, the table and the pictures.",
)
@click.option("--stars", default=12, show_default=True, help="Number of stars to measure.")
@click.option("--epochs", default=1200, show_default=True, help="Passes over the training spectra.")
@click.option("--seed", default=42, show_default=True, help="Seed of the random numbers.")
@pass_console
def demo(
    console: Console,
    output: str,
    stars: int,
    epochs: int,
    seed: int,
) -> None:
    """Train a network on the sample grid and measure stars with it.

    Trains on 240 synthetic spectra that ship with the package, predicts the Sun, and fits spectra
    that were not used for training, with noise, rotation and a velocity. Takes one to two minutes.

      astropayne demo -o first-look
    """
    from astropayne.workflows.demo import run_demo

    run_demo(
        output,
        n_stars=stars,
        max_epochs=epochs,
        seed=seed,
        progress=console.progress,
        log=console,
    )
    console(f"written   {output}/: model.asdf, stars.ecsv, sun.png, fit.png, recovery.png")
