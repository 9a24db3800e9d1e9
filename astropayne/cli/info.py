# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The commands ``astropayne info`` and ``astropayne plugins``."""

from pathlib import Path

import click

from astropayne.cli.console import Command, Console, pass_console
from astropayne.cli.grid import describe_grid

__all__ = ["info", "plugins"]


@click.command(cls=Command)
@click.argument("path", type=click.Path(exists=True), metavar="FILE")
@pass_console
def info(
    console: Console,
    path: str,
) -> None:
    """Describe a model file or a grid file.

    Prints its labels with their ranges, its wavelengths and its metadata.

      astropayne info model.asdf
    """
    from astropayne.models.model import PayneModel
    from astropayne.plugins import fitting_formats

    if "astropayne" in fitting_formats(Path(path)):
        from astropayne.grids.grid import SpectralGrid

        content = SpectralGrid.read(path, format="astropayne")
        describe_grid(content, console)
    else:
        content = PayneModel.read(path)
        console(repr(content))
        console(repr(content.labels))
    for key, value in content.meta.items():
        console(f"{key}: {value}")


_COLORS = {"loaded": None, "broken": "red", "disabled": "yellow"}


@click.command(cls=Command)
@pass_console
def plugins(console: Console) -> None:
    """List plugins, what each provides, and which are broken.

    Plugins provide grid formats and label transforms.

      astropayne plugins
    """
    from astropayne.plugins import list_plugins

    for plugin in list_plugins():
        state = click.style(f"{plugin.state:8s}", fg=_COLORS[plugin.state])
        console(f"{plugin.name:16s} {state} {plugin.source}")
        for line in filter(None, (*plugin.gives, plugin.problem)):
            console(f"{'':16s} {line}")
