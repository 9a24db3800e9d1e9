# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne``, which collects its subcommands."""

import click

from astropayne import __version__
from astropayne.cli.abundances import abundances
from astropayne.cli.console import Group
from astropayne.cli.demo import demo
from astropayne.cli.evaluate import evaluate
from astropayne.cli.fit import fit
from astropayne.cli.grid import grid
from astropayne.cli.info import info, plugins
from astropayne.cli.predict import plan, predict
from astropayne.cli.train import train

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="astropayne")
def main() -> None:
    """Emulate stellar spectra with neural networks, and measure stars with them.

      astropayne grid fgk-r20000 -o grid.asdf               read synthetic spectra
      astropayne train grid.asdf -o model.asdf              train a network on them
      astropayne evaluate model.asdf grid.asdf              measure its accuracy
      astropayne fit *.fits -m model.asdf -o stars.ecsv     measure stars
      astropayne abundances *.fits -o stars.ecsv -e Mg,Li   measure element by element

    `astropayne COMMAND --help` shows options and examples. Exit codes: 0 success, 1 error, 2 wrong
    usage, 3 some inputs were not processed, 130 interrupted.
    """


for _command in (
    grid, train, evaluate, predict, fit, abundances, plan, demo, plugins, info
):  # fmt: skip
    main.add_command(_command)
