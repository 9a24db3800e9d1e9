# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne``: options in, functions called, no logic of its own."""

import click

from astropayne import __version__

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="astropayne")
def main():
    """Emulate stellar spectra with neural networks, and measure stars with them."""


@main.command()
@click.option(
    "-o",
    "--output",
    default="astropayne-demo",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder for the model, the table and the pictures.",
)
@click.option("--stars", default=12, show_default=True, help="How many stars to measure.")
@click.option("--epochs", default=1200, show_default=True, help="Passes over the training spectra.")
@click.option("--seed", default=42, show_default=True, help="The same seed, the same numbers.")
def demo(output, stars, epochs, seed):
    """Train a network on the sample grid and measure stars with it.

    Trains on 240 synthetic spectra that ship with the package, predicts the Sun, and fits spectra
    the network has not seen, with noise, rotation and a velocity. Takes one to two minutes.
    """
    from astropayne.demo import run_demo

    run_demo(output, n_stars=stars, max_epochs=epochs, seed=seed, say=click.echo)
    click.echo(f"written   {output}/: model.asdf, stars.ecsv, sun.png, fit.png, recovery.png")


@main.command()
def plugins():
    """List the plugins: what each gives, where it comes from, and which are broken."""
    from astropayne.plugins import list_plugins

    for plugin in list_plugins():
        colour = {"loaded": None, "broken": "red", "disabled": "yellow"}[plugin.state]
        state = click.style(f"{plugin.state:8s}", fg=colour)
        click.echo(f"{plugin.name:16s} {state} {plugin.source}")
        for line in filter(None, (*plugin.gives, plugin.problem)):
            click.echo(f"{'':16s} {line}")


@main.command()
@click.argument("path", type=click.Path(exists=True))
def info(path):
    """Say what is in a model file."""
    from astropayne.model import PayneModel

    try:
        model = PayneModel.read(path)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(repr(model))
    click.echo(repr(model.labels))
    for key, value in model.meta.items():
        click.echo(f"{key}: {value}")
