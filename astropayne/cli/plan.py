# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne plan``."""

from typing import Any

import click

from astropayne.cli.console import Command, Console, pass_console
from astropayne.cli.options import Pairs, file_option, load_model, model_option, overwrite_option
from astropayne.cli.outputs import refuse_existing, refuse_picture, save_axes

__all__ = ["plan"]


@click.command(cls=Command)
@click.argument("labels", nargs=-1, required=True, type=Pairs(), metavar="NAME=VALUE...")
@model_option
@click.option("--snr", default=100.0, show_default=True, help="Signal-to-noise ratio per pixel.")
@click.option("-R", "--resolution", type=float, help="λ/FWHM. [default: the model's]")
@click.option("--continuum", type=int, metavar="DEGREE",
              help="Fit a polynomial continuum as well.")  # fmt: skip
@file_option("-o", "--output", help="Table: *.ecsv, *.fits, *.csv, *.txt.")
@file_option("--plot", help="Picture of the errors.")
@overwrite_option
@pass_console
def plan(
    console: Console,
    labels: tuple[tuple[str, Any], ...],
    model_file: str,
    output: str | None,
    plot: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Predict the errors of a measurement before the star is observed.

    Errors are the Cramér-Rao bounds when all labels are fitted; "alone" is the bound when all
    other labels are known. Abundances that could not be detected at three standard deviations are
    listed with the lowest detectable value.

      astropayne plan teff=5700 logg=4.4 feh=0 vmic=1.1 A_Li=1.5 vsini=3 --snr 80 -R 18000
    """
    from astropayne.abundances.planning import describe_plan
    from astropayne.abundances.planning import plan as expected_errors
    from astropayne.io.result_tables import writable_suffix, write_table

    if output:
        writable_suffix(output)
        refuse_existing(output, overwrite)
    if plot:
        refuse_picture(plot, overwrite)
    table = expected_errors(load_model(model_file, console), dict(labels), **options)
    for line in describe_plan(table):
        console(line)
    if output:
        write_table(table, output, overwrite=overwrite)
    if plot:
        from astropayne.plotting.abundances import plot_plan

        save_axes(plot_plan(table), plot)
    if output or plot:
        console(f"written   {', '.join(filter(None, (output, plot)))}")
