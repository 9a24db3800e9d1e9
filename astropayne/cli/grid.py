# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne grid``."""

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astropayne.cli.console import Command, Console, pass_console
from astropayne.cli.options import Pairs, file_option, nested, overwrite_option
from astropayne.cli.outputs import refuse_existing

if TYPE_CHECKING:
    from astropayne.grids.grid import SpectralGrid

__all__ = ["describe_grid", "grid"]


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="FOLDER...", type=click.Path())
@file_option("-o", "--output", required=True, help="Grid file to write, *.asdf.")
@click.option("-f", "--format", help="Format of the spectra. [default: detected]")
@click.option(
    "--option", "options", multiple=True, type=Pairs(),
    help="Option of the format, or one item of a mapping: units.Teff=kK.",
)  # fmt: skip
@click.option("-l", "--label", "labels", multiple=True,
              help="Label to derive in place of the grid's own: A(Li).")  # fmt: skip
@click.option("-j", "--workers", default=1, show_default=True, help="Files read at the same time.")
@click.option("--strict", is_flag=True, help="Stop at the first fault.")
@overwrite_option
@pass_console
def grid(
    console: Console,
    paths: tuple[str, ...],
    output: str,
    format: str | None,
    options: tuple[tuple[str, Any], ...],
    labels: tuple[str, ...],
    workers: int,
    strict: bool,
    overwrite: bool,
) -> None:
    """Read synthetic spectra into one grid file.

    Every spectrum is checked. Faulty spectra are set aside; the reasons are counted in the output,
    and listed in a table next to the grid. Only one block of spectra at a time is in memory.

      astropayne grid fgk-r20000 -o grid.asdf
      astropayne grid batch1 batch2 -o grid.asdf --format tsfitpy --label "A(Li)" -j 4

    `astropayne plugins` lists the formats.
    """
    from astropayne.grids.grid import GridWarning, SpectralGrid
    from astropayne.io.result_tables import write_table

    refuse_existing(output, overwrite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridWarning)  # describe_grid prints the same
        spectra = SpectralGrid.read(
            list(paths),
            format=format,
            output=output,
            overwrite=overwrite,
            workers=workers,
            strict=strict,
            transform_labels=labels,
            progress=console.progress,
            **nested(options),
        )
    describe_grid(spectra, console)
    table = Path(output).with_suffix(".set-aside.ecsv")
    if overwrite:
        table.unlink(missing_ok=True)  # it belongs to the grid that was replaced
    if len(spectra.report):
        write_table(spectra.report, table, overwrite=True)
        console(f"written   {output}, {table}")
    else:
        console(f"written   {output}")


def describe_grid(grid: "SpectralGrid", console: Console) -> None:
    """Print the size and labels of a grid, and why spectra were set aside."""
    console(repr(grid))
    console(repr(grid.label_space))
    for reason, number in Counter(map(str, grid.report["reason"])).most_common():
        console(f"set aside {number} x {reason}")
    if not len(grid.report):
        console("set aside none")
