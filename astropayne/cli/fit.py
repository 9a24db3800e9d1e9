# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne fit``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astropayne.cli.console import INCOMPLETE, INTERRUPTED, Command, Console, pass_console
from astropayne.cli.options import (
    Pairs,
    Region,
    file_option,
    load_model,
    model_option,
    observed_options,
    overwrite_option,
    reading_options,
    regions_of,
    resolutions_option,
)
from astropayne.cli.outputs import count, refuse_pictures, refuse_table, save_figure

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import QTable

    from astropayne.models.model import PayneModel
    from astropayne.spectra.options import ReadOptions

__all__ = ["end_after_fits", "end_if_interrupted", "fit", "stars_and_pictures"]


@click.command(cls=Command)
@click.argument("stars", nargs=-1, required=True, metavar="SPECTRUM...", type=click.Path())
@model_option
@file_option("-o", "--output", help="Table: *.ecsv, *.fits, *.vot, *.parquet, *.csv, *.txt.")
@resolutions_option
@observed_options
@click.option("--free", multiple=True, metavar="NAME", help="Fit what is fixed by default: vmac.")
@click.option("--start", multiple=True, type=Pairs(), help="Initial guess, instead of a search.")
@click.option("--bounds", multiple=True, type=Pairs(2), help="Narrower range: teff=5000:6000.")
@click.option("--prior", "priors", multiple=True, type=Pairs(2),
              help="Gaussian prior, mean and standard deviation: logg=4.4:0.1.")  # fmt: skip
@click.option("--region", "regions", multiple=True, type=Region(), help="Use only this, Å.")
@click.option("--exclude", multiple=True, type=Region(), help="Leave this out, Å.")
@click.option("--report", multiple=True, metavar="LABEL", help="Also report: A(Mg), [Ca/H].")
@click.option("--loss", type=click.Choice(["linear", "huber"]), default="linear",
              help="huber: less weight for outliers.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, auto.")
@click.option("--plot", metavar="FOLDER", help="Draw a picture of every fit.",
              type=click.Path(file_okay=False))  # fmt: skip
@overwrite_option
@pass_console
def fit(
    console: Console,
    stars: tuple[str, ...],
    model_file: str,
    output: str | None,
    resolutions: tuple[float, ...],
    plot: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure stars, and write one table with a row per star.

    Reads the formats of specutils, and text with columns of wavelength, flux and its uncertainty.
    No initial guess is needed: velocity and labels are searched for. Files joined by a comma,
    without a space, are the arms of one star. Of a file of many stars, all are measured, or one
    as in coadd.fits::5. A file that cannot be read or fitted has its row, too, with the reason, and
    the exit code is then 3, or 1 if no star was measured.

      astropayne fit sun.fits
      astropayne fit sun.fits -o sun.ecsv --plot pictures
      astropayne fit stars/*.fits -m model.asdf -o stars.ecsv -R 18000 --medium vacuum
      astropayne fit star.txt -o star.csv --fixed teff=5777 --free vmac --report "A(Mg)"
      astropayne fit blue.fits,red.fits -o star.ecsv -R 20000 -R 18000
      astropayne fit sharp.fits -o star.ecsv -R 115000
    """
    from astropayne.io.result_tables import write_table
    from astropayne.spectra.files import file_names, files_of
    from astropayne.workflows.fit_files import describe_fits, fit_files, measured

    refuse_table(output, overwrite)
    for name in ("start", "bounds", "priors"):
        options[name] = dict(options[name])
    for name in ("regions", "exclude"):
        options[name] = regions_of(options[name])
    model = load_model(model_file, console)
    read = reading_options(model, resolutions, options)
    files = [files_of(star) for star in stars]
    pictures = file_names([*names, "none"][0] for names in files)  # "," has no files
    refuse_pictures(plot, pictures, overwrite)
    table = fit_files(files, model, read=read, progress=console.progress, **options)
    if output:
        write_table(table, output, overwrite=overwrite)
    for line in describe_fits(table, everything=console.verbose):
        console(console.with_flags(line))
    written = [output] if output else []
    end_if_interrupted(table, written, console)
    good = measured(table)
    if plot:
        names, pictures = stars_and_pictures(table)
        shown = [(n, p) for n, p, yes in zip(names, pictures, good, strict=True) if yes]
        refuse_pictures(plot, [picture for _, picture in shown], overwrite)
        written.append(_plot_fits(shown, plot, model, read, options))
    end_after_fits(written, good, console)


def _plot_fits(
    stars: list[tuple[list[str], str]],
    folder: str,
    model: "PayneModel",
    read: "ReadOptions",
    options: dict[str, Any],
) -> str:
    """Draw each fit into a file of the folder, and return a summary."""
    import matplotlib.pyplot as plt

    from astropayne.fitting.fit import fit_spectrum
    from astropayne.spectra.files import read_star

    Path(folder).mkdir(parents=True, exist_ok=True)
    for files, name in stars:
        fit_spectrum(read_star(files, read), model, **options).plot()
        save_figure(plt.gcf(), Path(folder) / f"{name}.png")
    return f"{count(len(stars), 'picture')} in {folder}"


def stars_and_pictures(table: "QTable") -> tuple[list[list[str]], list[str]]:
    """Return files and names of pictures of all stars in a table; a file may have many."""
    from astropayne.spectra.files import file_names, files_of

    stars = [files_of(name) for name in table["name"]]
    return stars, file_names([*files, "none"][0] for files in stars)  # "," has no files


def end_if_interrupted(table: "QTable", written: list[str], console: Console) -> None:
    """Exit, without pictures, if the table that was written does not have all stars."""
    if table.meta.get("partial"):
        _print_written(written, console)
        raise click.exceptions.Exit(INTERRUPTED)


def end_after_fits(written: list[str], good: "np.ndarray", console: Console) -> None:
    """Print the names of written files, and set the exit code if not all stars were measured."""
    _print_written(written, console)
    if not good.all():
        raise click.exceptions.Exit(INCOMPLETE if good.any() else 1)


def _print_written(written: list[str], console: Console) -> None:
    """Print the names of written files, if there are any."""
    if written:
        console(f"written   {', '.join(written)}")
