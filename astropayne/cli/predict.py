# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The commands ``astropayne predict`` and ``astropayne plan``."""

from pathlib import Path
from typing import Any

import click

from astropayne.cli.console import Command, Console, pass_console
from astropayne.cli.options import (
    Pairs,
    Velocity,
    file_option,
    load_model,
    model_option,
    overwrite_option,
)
from astropayne.cli.outputs import refuse_existing, refuse_picture, save_axes

__all__ = ["plan", "predict"]


@click.command(cls=Command)
@click.argument("labels", nargs=-1, type=Pairs(), metavar="[NAME=VALUE]...")
@model_option
@click.option("-t", "--table", "table_file", type=click.Path(), metavar="FILE",
              help="Table of labels, a row per spectrum (ECSV, FITS, CSV).")  # fmt: skip
@click.option("--rv", default="0", type=Velocity(), help="Radial velocity, km/s.")
@click.option("--vsini", default="0", type=Velocity(), help="Projected rotation, km/s.")
@click.option("--vmac", default="0", type=Velocity(),
              help="Radial-tangential macroturbulence ζ, km/s.")  # fmt: skip
@click.option("-R", "--resolution", type=float, help="λ/FWHM. [default: the model's]")
@click.option("--like", metavar="FILE", type=click.Path(),
              help="Predict at the pixels of this spectrum.")  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(), metavar="PATH",
              help="File (*.ecsv, *.fits, *.csv, *.txt) or folder.")  # fmt: skip
@file_option("--plot", help="Picture to draw: *.png, *.pdf, *.svg.")
@overwrite_option
@pass_console
def predict(
    console: Console,
    labels: tuple[tuple[str, Any], ...],
    model_file: str,
    table_file: str | None,
    output: str,
    plot: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Predict spectra.

    Labels may have any spelling and convention, and units. Abundances that are left out are
    solar-scaled. Velocities may be given among the labels, vsini=4, instead of by an option.

      astropayne predict teff=5777 logg=4.44 feh=0 vmic=1 -o sun.ecsv --plot sun.png
      astropayne predict Teff=5.8kK logg=4.4 "[Fe/H]=-0.5" "A(Mg)=7.3" vmic=1 -o star.txt
      astropayne predict teff=5777 logg=4.44 feh=0 vmic=1 --rv 12 --vsini 4 -R 18000 -o a.fits
      astropayne predict --table labels.ecsv -o spectra

    With a table, of labels or of `astropayne fit`, the output is a folder with a file for each
    row, named after the column `name` if there is one. Columns rv, vsini and vmac override the
    options.
    """
    from astropayne.workflows.predict_files import predict_files

    source = dict(labels) or table_file
    if not source or (labels and table_file):
        raise click.UsageError("Give labels, as in teff=5777, or --table FILE: one of the two.")
    refuse_existing(output, overwrite or table_file is not None or Path(output).is_dir())
    if plot:
        refuse_picture(plot, overwrite)
    model = load_model(model_file, console)
    spectra, files = predict_files(model, source, output, overwrite=overwrite, **options)
    if plot:
        from astropayne.plotting.spectra import plot_spectrum

        save_axes(plot_spectrum(spectra[0]), plot)
    written = [files[0]] if len(files) == 1 else [f"{len(files)} files in {output}"]
    console(f"written   {', '.join(map(str, [*written, *([plot] if plot else [])]))}")


@click.command(cls=Command)
@click.argument("labels", nargs=-1, required=True, type=Pairs(), metavar="NAME=VALUE...")
@model_option
@click.option("--snr", default=100.0, show_default=True, help="Signal-to-noise ratio per pixel.")
@click.option("-R", "--resolution", type=float, help="λ/FWHM. [default: the model's]")
@click.option("--continuum", type=int, metavar="DEGREE",
              help="Fit a polynomial continuum as well.")  # fmt: skip
@file_option("-o", "--output", help="Table: *.ecsv, *.fits, *.vot, *.parquet, *.csv, *.txt.")
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
