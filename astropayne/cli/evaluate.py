# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astropayne.cli.console import INCOMPLETE, Command, Console, pass_console
from astropayne.cli.options import Pairs, load_model, overwrite_option
from astropayne.cli.outputs import refuse_existing

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["evaluate"]


@click.command(cls=Command)
@click.argument("model_file", metavar="MODEL", type=click.Path())
@click.argument("grid_path", metavar="GRID", type=click.Path())
@click.option("-o", "--output", default="report", show_default=True, help="Folder of the report.",
              type=click.Path(file_okay=False))  # fmt: skip
@click.option("--compare", "others", multiple=True, metavar="MODEL", type=click.Path(),
              help="Another model to compare with; may be repeated.")  # fmt: skip
@click.option("--snr", multiple=True, type=float,
              help="Signal-to-noise ratio of fits; may be repeated. [default: 100]")  # fmt: skip
@click.option("-n", "--stars", default=300, show_default=True, help="Number of spectra to fit.")
@click.option("--vsini", type=float, help="Rotational velocity to add and fit, km/s.")
@click.option("-R", "--resolution", type=float, help="Resolution to degrade them to.")
@click.option("--all", "everything", is_flag=True, help="Include the training spectra.")
@click.option("--threshold", "thresholds", multiple=True, type=Pairs(),
              help="Another limit of the verdict: rms=0.004, scatter_teff=50.")  # fmt: skip
@click.option("--check", is_flag=True, help="Exit with code 3 if the verdict is not good.")
@click.option("--seed", default=42, show_default=True, help="Seed of the noise.")
@overwrite_option
@pass_console
def evaluate(
    console: Console,
    model_file: str,
    others: tuple[str, ...],
    grid_path: str,
    output: str,
    everything: bool,
    check: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure the accuracy of a model: pictures and a verdict.

    Compares predicted with synthetic flux, and fits synthetic spectra without and with noise.
    Spectra that the model was trained on are left out. The report is a single HTML file; its
    figures' data are written next to it.

      astropayne evaluate model.asdf grid.asdf -o report
      astropayne evaluate model.asdf grid.asdf -o report --snr 50 --snr 200 --vsini 5
      astropayne evaluate new.asdf grid.asdf -o report --compare old.asdf
    """
    from astropayne.evaluation.report import write_report
    from astropayne.grids.grid import SpectralGrid

    page = Path(output) / "index.html"
    refuse_existing(page if Path(output).is_dir() else output, overwrite)
    options["snr"] = options["snr"] or (100.0,)
    options["n_stars"] = options.pop("stars")
    options["thresholds"] = dict(options["thresholds"])
    evaluations = write_report(
        {path: load_model(path, console) for path in (model_file, *others)},
        SpectralGrid.read(grid_path, progress=console.progress),
        output,
        held_out_only=not everything,
        progress=console.progress,
        **options,
    )
    for path, evaluation in evaluations.items():
        if others:
            console(f"{path}:")
        _describe_verdict(evaluation.verdict, console)
    console(f"written   {page}")
    if check and not all(evaluations[model_file].verdict["passed"]):
        raise click.exceptions.Exit(INCOMPLETE)


def _describe_verdict(verdict: "QTable", console: Console) -> None:
    """Print a line for each criterion."""
    for row in verdict:
        mark = click.style("good", fg="green") if row["passed"] else click.style("POOR", fg="red")
        console(f"{mark}  {row['text']}: {row['value']:.3g} (limit {row['limit']})")
    for text in verdict.meta["no_information"]:
        console(f"----  not judged, hidden by noise and the emulator's error: {text}")
    for text in verdict.meta["measured_once"]:
        console(f"----  not judged, measured in only one spectrum: {text}")
