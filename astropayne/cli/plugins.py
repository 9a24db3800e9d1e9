# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne plugins``."""

import click

from astropayne.cli.console import Command, Console, pass_console

__all__ = ["plugins"]

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
