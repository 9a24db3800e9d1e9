# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne abundances``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astropayne.cli.console import Command, Console, pass_console
from astropayne.cli.fit import end_after_fits, end_if_interrupted, stars_and_pictures
from astropayne.cli.options import (
    file_option,
    load_model,
    model_option,
    observed_options,
    overwrite_option,
    reading_options,
    resolutions_option,
)
from astropayne.cli.outputs import count, refuse_pictures, refuse_table, save_axes

if TYPE_CHECKING:
    from astropy.table import Row

    from astropayne.spectra.options import ReadOptions

__all__ = ["abundance_text", "abundances"]

# Options of `fit_abundances` itself; the others are those of the fit.
_OF_ELEMENTS = (
    "lines", "stellar_lines", "convention", "solar_scale", "confidence", "clip", "per_line",
    "reference",
)  # fmt: skip


@click.command(cls=Command)
@click.argument("stars", nargs=-1, required=True, metavar="SPECTRUM...", type=click.Path())
@model_option
@file_option("-o", "--output", help="Table: *.ecsv, *.fits, *.vot, *.parquet, *.csv, *.txt.")
@click.option("-e", "--elements", help="Symbols: Mg,Li.")
@file_option("--stages", help="Or an analysis in stages: *.toml.")
@click.option("-l", "--lines", metavar="FILE", help="Line list. [default: the package's own]")
@click.option("--stellar-lines", metavar="FILE", help="Fit the stellar labels to these lines only.")
@click.option(
    "--convention",
    type=click.Choice(["X_Fe", "X_H", "A_X"]),
    default="X_Fe",
    show_default=True,
    help="[X/Fe], [X/H] or A(X).",
)
@click.option("--solar-scale", help="Solar scale: asplund2009... [default: the model's]")
@click.option("--reference", metavar="SPECTRUM", help="Report differences from this star.")
@click.option("--confidence", default=0.95, show_default=True,
              help="Confidence level of upper limits.")  # fmt: skip
@click.option("--clip", is_flag=True, help="Leave out lines that disagree with the others.")
@click.option("--per-line", is_flag=True, help="Also report the abundance of each line.")
@resolutions_option
@observed_options
@click.option("--plot", metavar="FOLDER", help="Draw every line of every star.",
              type=click.Path(file_okay=False))  # fmt: skip
@overwrite_option
@pass_console
def abundances(
    console: Console,
    stars: tuple[str, ...],
    model_file: str,
    output: str | None,
    elements: str | None,
    stages: str | None,
    lines: str | None,
    stellar_lines: str | None,
    reference: str | None,
    resolutions: tuple[float, ...],
    plot: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure abundances from selected lines, or upper limits.

    Stellar labels are fitted to the whole spectrum, each element then to the windows of its lines.
    An element that is not detected has an upper limit instead of a value. Line lists are ECSV, CSV
    or masks of TSFitPy. With --reference, abundances are differences, line by line. Files joined
    by a comma are the arms of one star, as in `fit`.

      astropayne abundances star.txt -o star.ecsv -e Mg,Li --plot pictures
      astropayne abundances stars/*.fits -o stars.ecsv -e Na -l mylines.csv --convention A_X
      astropayne abundances star.txt -o star.ecsv -e Ca,Ni --reference sun.txt --per-line
      astropayne abundances sharp.fits -o star.ecsv -e Ca -R 115000
      astropayne abundances blue.fits,red.fits -o star.ecsv --stages stages.toml
    """
    from astropayne.abundances.fit import fit_abundances
    from astropayne.abundances.lines import LineList
    from astropayne.abundances.stages import read_stages
    from astropayne.engine.flags import Flag
    from astropayne.io.result_tables import write_table
    from astropayne.spectra.files import file_names, files_of, read_star
    from astropayne.workflows.fit_files import fit_files, measured

    refuse_table(output, overwrite)
    if bool(elements) == bool(stages):
        raise click.UsageError("Give --elements, as in Mg,Li, or --stages FILE: one of the two.")
    analysis: list[Any] = (elements or "").replace(",", " ").split()
    symbols: list[str] = analysis
    if stages:
        analysis = read_stages(stages)
        symbols = [e for stage in analysis for e in stage.elements]
    for name, path in (("lines", lines), ("stellar_lines", stellar_lines)):
        options[name] = None if path is None else LineList.read(path)
    model = load_model(model_file, console)
    read = reading_options(model, resolutions, options)
    if reference is not None:
        options["reference"] = read_star(files_of(reference), read)
    files = [files_of(star) for star in stars]
    pictures = file_names([*names, "none"][0] for names in files)  # "," has no files
    refuse_pictures(plot, [f"{name}-{e}" for name in pictures for e in symbols], overwrite)
    own = {name: options.pop(name) for name in _OF_ELEMENTS if name in options}
    measure = partial(fit_abundances, elements=analysis, models=bool(plot), **own)
    table = fit_files(
        files, model, read=read, measure=measure, progress=console.progress, **options
    )
    models = [f"{e}_{what}" for e in symbols for what in ("best_fit", "without")] if plot else []
    if output:
        columns = [name for name in table.colnames if name not in models]
        write_table(table[columns], output, overwrite=overwrite)
    good = measured(table)
    for row, yes in zip(table, good, strict=True):
        message = console.with_flags(str(row["message"]))
        doubts = ", ".join(flag.name for flag in Flag(int(row["flags"])) if flag.name)
        name = f"{row['name']}  {doubts}".rstrip()
        console(name if yes else f"{row['name']} not measured: {message}")
        for element in symbols if yes else ():
            name = own["convention"].replace("X", element)
            console(f"  {abundance_text(row, name, element)}")
    written = [output] if output else []
    end_if_interrupted(table, written, console)
    if plot:
        files, pictures = stars_and_pictures(table)
        refuse_pictures(plot, [f"{name}-{e}" for name in pictures for e in symbols], overwrite)
        shown = [(names, picture, row) for names, picture, row, yes
                 in zip(files, pictures, table, good, strict=True) if yes]  # fmt: skip
        written.append(_plot_elements(shown, symbols, plot, read))
    end_after_fits(written, good, console)


def abundance_text(row: "Row", name: str, element: str) -> str:
    """Return the abundance of an element, its upper limit, or why it was not measured."""
    from numpy.ma import masked

    from astropayne.abundances.options import ElementFlag
    from astropayne.labels.names import Label

    text, n_lines = Label(name).text, row[f"{element}_n_lines"]
    flags = ElementFlag(int(row[f"{element}_flags"]))
    doubts = ", ".join(flag.name for flag in flags & ~ElementFlag.UPPER_LIMIT if flag.name)
    lines = f"({count(n_lines, 'line')})" + (f"  {doubts}" if doubts else "")
    if row[name] is not masked:
        value = round(float(row[name]), 2) + 0.0  # not minus zero
        return f"{text:8s} {value:6.2f} ± {row[f'{name}_err']:.2f}  {lines}"
    if row[f"{name}_upper_limit"] is not masked:
        return f"{text:8s} < {row[f'{name}_upper_limit']:.2f}  {lines}"
    reason = (flags.name or "no value").lower().replace("_", " ")
    return f"{text:8s} not measured: {reason}"


def _plot_elements(
    stars: list[tuple[list[str], str, "Row"]],
    elements: list[str],
    folder: str,
    read: "ReadOptions",
) -> str:
    """Draw the lines of the elements that have any in a spectrum, and return a summary."""
    from numpy import isfinite

    from astropayne.plotting.abundances import plot_element
    from astropayne.spectra.files import read_star

    Path(folder).mkdir(parents=True, exist_ok=True)
    n = 0
    for files, name, row in stars:
        spectrum = read_star(files, read)
        for element in elements:
            if isfinite(row[f"{element}_best_fit"]).any():
                picture = Path(folder) / f"{name}-{element}.png"
                save_axes(plot_element(spectrum, row, element), picture)
                n += 1
    return f"{count(n, 'picture')} in {folder}"
