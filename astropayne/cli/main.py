# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne``: options in, functions called, no logic of its own.

Whatever is heavy is imported inside the commands, so that ``--help`` is quick.
"""

import contextlib
import inspect
import os
import signal
import threading
import warnings
from pathlib import Path

import click

from astropayne import __version__

__all__ = ["main"]

_INCOMPLETE = 3  # exit code: done, but not for everything that was given
_INTERRUPTED = 130  # exit code, as shells have it


class _Say:
    """Where a command's words go, by how much is wanted."""

    def __init__(self, quiet=False, verbose=False):
        self.quiet, self.verbose = quiet, verbose

    def __call__(self, line=""):
        if not self.quiet:
            click.echo(line)

    def more(self, line=""):
        if self.verbose and not self.quiet:
            click.echo(line)

    @property
    def progress(self):
        return False if self.quiet else None

    def warning(self, message, category, *_, **__):
        if not self.quiet:
            click.echo(click.style("Warning: ", fg="yellow") + str(message), err=True)


@contextlib.contextmanager
def _ended_as_by_ctrl_c():
    """Let SIGTERM, which batch queues and ``timeout`` send, interrupt what is done in between.

    Not where ``torchrun`` ends its processes: they may wait for one that there is no more.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        and int(os.environ.get("WORLD_SIZE", 1)) == 1
    )
    if ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _keep_examples(help):
    """Keep click from rewrapping paragraphs that are indented."""
    return inspect.cleandoc(help or "").replace("\n\n  ", "\n\n\b\n  ")


class _Command(click.Command):
    """A command that says what is wrong in one sentence, unless it is asked for the traceback."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.help = _keep_examples(self.help)
        for names, text in (
            (["-q", "--quiet"], "Say nothing but errors."),
            (["-v", "--verbose"], "Say more."),
            (["--debug"], "Show the traceback of an error."),
        ):
            self.params.append(click.Option(names, is_flag=True, help=text))

    def invoke(self, ctx):
        debug = ctx.params.pop("debug")
        ctx.obj = _Say(ctx.params.pop("quiet"), ctx.params.pop("verbose"))
        # As it is imported, astropy takes over how warnings are shown.
        import astropy  # noqa: F401

        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = ctx.obj.warning
            try:
                with _ended_as_by_ctrl_c():
                    return super().invoke(ctx)
            except KeyboardInterrupt:
                click.echo("Aborted!", err=True)
                raise click.exceptions.Exit(_INTERRUPTED) from None
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise  # click ends quietly when a reader, such as head, has seen enough
            except Exception as error:
                if debug:
                    raise
                raise click.ClickException(_sentence(error)) from None


def _sentence(error):
    """Return what an error says; of those that no one has worded, also what and where to look."""
    if isinstance(error, OSError) and error.filename and error.strerror:  # the system's own
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError | OSError | TypeError | RuntimeError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


class _Group(click.Group):
    command_class = _Command

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.help = _keep_examples(self.help)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="astropayne")
def main():
    """Emulate stellar spectra with neural networks, and measure stars with them.

      astropayne grid fgk-r20000 -o grid.asdf           read synthetic spectra
      astropayne train grid.asdf -o model.asdf          let a network learn them
      astropayne evaluate model.asdf grid.asdf          see what it is worth
      astropayne fit *.fits -m model.asdf -o stars.ecsv     measure stars
      astropayne abundances *.fits -o stars.ecsv -e Mg,Li   element by element

    `astropayne COMMAND --help` tells more, with examples. Exit codes: 0 done, 1 error, 2 wrong
    usage, 3 done, but not for everything that was given, 130 interrupted.
    """


_pass_say = click.pass_obj
_overwrite = click.option("--overwrite", is_flag=True, help="Replace files that exist.")
_model = click.option(
    "-m",
    "--model",
    "model_file",
    type=click.Path(),
    metavar="FILE",
    help="Model file, also of one_payne or The_Payne. [default: the sample network]",
)


def _file_option(*names, **options):
    return click.option(*names, type=click.Path(dir_okay=False), **options)


def _load_model(path, say):
    from astropayne.models.model import PayneModel

    model = PayneModel.sample() if path is None else PayneModel.read(path)
    if path is None:
        say("No --model is given: this is the sample network, for FGK stars in three windows.")
    say.more(repr(model))
    return model


def _refuse_existing(path, overwrite):
    """Complain before the work about a file that could not be written after it."""
    if not Path(path).absolute().parent.is_dir():
        raise click.ClickException(f"{path}: there is no folder {Path(path).absolute().parent}")
    if not os.access(Path(path).absolute().parent, os.W_OK):
        raise click.ClickException(f"{path} may not be written: its folder is read-only for you")
    if Path(path).exists() and not overwrite:
        raise click.ClickException(f"{path} exists already; --overwrite replaces it")


def _refuse_ending(path, endings, what):
    """Complain before the work about a name that does not say a format it could be written in."""
    if Path(path).suffix.lower() not in endings:
        some = f"one of {', '.join(endings)}" if len(endings) > 1 else endings[0]
        raise click.ClickException(f"{path}: a {what}'s name has to end in {some}")


def _refuse_picture(path, overwrite):
    """Complain before the work about a picture that could not be drawn after it."""
    from matplotlib.backend_bases import FigureCanvasBase

    _refuse_existing(path, overwrite)
    endings = [f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()]
    _refuse_ending(path, endings, "picture")


def _refuse_pictures(folder, names, overwrite):
    """Complain before the work about pictures in a folder that may not be replaced after it."""
    for name in names if folder else ():
        path = Path(folder) / f"{name}.png"
        if path.exists():  # the folder itself is made if it is not there
            _refuse_existing(path, overwrite)


def _value(text):
    """Read a number, or a number with its unit."""
    if text.isdigit():
        return int(text)
    try:
        return float(text)
    except ValueError:
        from astropy.units import Quantity

    try:
        return Quantity(text)
    except TypeError:
        return text  # the name of a relation; whether it is one is for others to say


class _Pairs(click.ParamType):
    """``NAME=VALUE``, or ``NAME=LOW:HIGH`` if there are two; values may have units."""

    def __init__(self, size=1):
        self.size = size
        self.name = "NAME=VALUE" if size == 1 else "NAME=A:B"

    def convert(self, value, param, ctx):
        name, equals, text = value.partition("=")
        try:
            parts = [_value(part) for part in text.split(":")]
        except ValueError:  # there is no such unit, or several pairs are in one
            self.fail(
                f"{value!r} should be like {self.name}, one at a time, in units of astropy",
                param,
                ctx,
            )
        if not (name and equals and text) or len(parts) != self.size:
            self.fail(f"{value!r} should be like {self.name}", param, ctx)
        return name.strip(), parts[0] if self.size == 1 else tuple(parts)


class _Velocity(click.ParamType):
    """A number of km/s, or one with its unit."""

    name = "velocity"

    def convert(self, value, param, ctx):
        try:
            found = _value(value)
        except ValueError:  # there is no such unit
            found = value
        if isinstance(found, str):
            self.fail(f"{value!r} should be like 12, in km/s, or '12000 m/s'", param, ctx)
        return found


class _Region(click.ParamType):
    """``LOW:HIGH`` in Å."""

    name = "LOW:HIGH"

    def convert(self, value, param, ctx):
        try:
            low, high = map(float, value.split(":"))
        except ValueError:
            self.fail(f"{value!r} should be like 5160:5240, in Angstrom", param, ctx)
        return low, high


def _regions(pairs):
    if not pairs:
        return None
    import astropy.units as u
    from specutils import SpectralRegion

    return SpectralRegion([(low * u.AA, high * u.AA) for low, high in sorted(pairs)])


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="FOLDER...", type=click.Path())
@_file_option("-o", "--output", required=True, help="Grid file to write, *.asdf.")
@click.option("-f", "--format", help="Format of the spectra. [default: found out]")
@click.option(
    "--option", "options", multiple=True, type=_Pairs(),
    help="Option of the format, or one value of a mapping: units.Teff=kK.",
)  # fmt: skip
@click.option(
    "-l", "--label", "labels", multiple=True, help="Label wanted in place of the grid's own: A(Li)."
)
@click.option("-j", "--workers", default=1, show_default=True, help="Files that are read at once.")
@click.option("--strict", is_flag=True, help="Stop at the first fault.")
@_overwrite
@_pass_say
def grid(say, paths, output, format, options, labels, workers, strict, overwrite):
    """Read synthetic spectra into one grid file.

    Every spectrum is checked. What is not sound is set aside; the reasons are counted here, and
    listed in a table beside the grid. Memory holds one block of spectra at a time.

      astropayne grid fgk-r20000 -o grid.asdf
      astropayne grid batch1 batch2 -o grid.asdf --format tsfitpy --label "A(Li)" -j 4

    `astropayne plugins` lists the formats.
    """
    from astropayne.grids.grid import GridWarning, SpectralGrid
    from astropayne.io.result_tables import write_table

    _refuse_existing(output, overwrite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridWarning)  # it is told below
        made = SpectralGrid.read(
            list(paths),
            format=format,
            output=output,
            overwrite=overwrite,
            workers=workers,
            strict=strict,
            transform_labels=labels,
            progress=say.progress,
            **_nested(options),
        )
    _tell_grid(made, say)
    table = Path(output).with_suffix(".set-aside.ecsv")
    if overwrite:
        table.unlink(missing_ok=True)  # it was of the grid that has been replaced
    if len(made.report):
        write_table(made.report, table, overwrite=True)
        say(f"written   {output}, {table}")
    else:
        say(f"written   {output}")


def _nested(pairs):
    """Put pairs of names and values into a dict; those of NAME.KEY into one of their own."""
    options = {}
    for name, value in pairs:
        name, dot, key = name.partition(".")
        if dot:
            options.setdefault(name, {})[key] = value
        else:
            options[name] = value
    return options


def _tell_grid(grid, say):
    from collections import Counter

    say(repr(grid))
    say(repr(grid.label_space))
    for reason, count in Counter(map(str, grid.report["reason"])).most_common():
        say(f"set aside {count} x {reason}")
    if not len(grid.report):
        say("set aside none")


@main.command()
@click.argument("paths", nargs=-1, metavar="[GRID]...", type=click.Path())
@_file_option("-o", "--output", help="Model file to write, *.asdf.")
@click.option(
    "-c", "--config", type=click.Path(exists=True, dir_okay=False), help="TOML file of the run."
)
@_file_option("--write-config", help="Write a commented template of such a file, and stop.")
@click.option(
    "-l", "--label", "labels", multiple=True, help="Label wanted in place of the grid's own: A(Li)."
)
@click.option("--max-epochs", type=int, help="Passes over the training spectra.")
@click.option("--max-time", type=float, metavar="SECONDS", help="Time limit.")
@click.option("--seed", type=int, help="The same seed, the same network.")
@click.option("--device", help="auto, cpu, cuda, cuda:1, mps.")
@_file_option("--checkpoint", help="Keep the state here; the same command goes on from it.")
@_overwrite
@_pass_say
def train(say, paths, output, config, write_config, overwrite, labels, **training):
    """Train a network on a grid.

    GRID is a grid file, or a folder that `astropayne grid` reads. What is given here goes before
    what the TOML file says; the options used are kept in the model.

      astropayne train grid.asdf -o model.asdf --label "A(Li)" --max-time 600
      astropayne train --write-config run.toml      every option, explained
      astropayne train grid.asdf -o model.asdf --config run.toml
    """
    from astropayne.workflows.training_runs import (
        configuration_template,
        read_configuration,
        train_as_configured,
    )

    if write_config:
        _refuse_existing(write_config, overwrite)
        Path(write_config).write_text(configuration_template(), encoding="utf-8")
        say(f"written   {write_config}: edit it, then astropayne train --config {write_config}")
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output': where to write the model.")
    _refuse_existing(output, overwrite)
    _refuse_ending(output, [".asdf"], "model")
    changes = {f"training.{name}": value for name, value in training.items() if value is not None}
    if training["checkpoint"]:
        changes["training.resume"] = True
    if labels:
        changes["grid.labels"] = list(labels)
    configuration = read_configuration(config, changes)
    model = train_as_configured(configuration, paths, progress=say.progress, say=say)
    model.write(output, overwrite=overwrite)
    say(f"network   {model!r}")
    say(
        f"accuracy  rms flux error {model.meta['validation_rms']:.4f} on "
        f"{model.meta['n_validation']} spectra it was not trained on"
    )
    say(f"written   {output}; next: astropayne evaluate {output} GRID -o report")
    if model.meta["training"]["stopped"] == "interrupted":
        raise click.exceptions.Exit(_INTERRUPTED)


@main.command()
@click.argument("model_file", metavar="MODEL", type=click.Path())
@click.argument("grid_path", metavar="GRID", type=click.Path())
@click.option("-o", "--output", default="report", show_default=True, help="Folder of the report.",
              type=click.Path(file_okay=False))  # fmt: skip
@click.option("--compare", "others", multiple=True, metavar="MODEL", type=click.Path(),
              help="Another model to compare it with; may be repeated.")  # fmt: skip
@click.option(
    "--snr",
    multiple=True,
    type=float,
    help="Signal-to-noise ratio that labels are recovered at; may be repeated. [default: 100]",
)
@click.option("-n", "--stars", default=300, show_default=True, help="Spectra that are fitted.")
@click.option("--vsini", type=float, help="Rotate them by so many km/s, and fit it.")
@click.option("-R", "--resolution", type=float, help="Degrade them to this resolution.")
@click.option("--all", "everything", is_flag=True, help="Use spectra it was trained on, too.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    type=_Pairs(),
    help="Another limit of the verdict: rms=0.004, scatter_teff=50.",
)
@click.option("--check", is_flag=True, help="Exit with code 3 if the verdict is not good.")
@click.option("--seed", default=42, show_default=True, help="Of the noise.")
@_overwrite
@_pass_say
def evaluate(say, model_file, others, grid_path, output, everything, check, overwrite, **options):
    """Say what a model is worth: pictures and a verdict.

    Compares predicted with synthetic flux, and fits synthetic spectra without and with noise.
    Spectra that the model was trained on are left out. The page is one file that can be sent
    around; beside it are its figures' data.

      astropayne evaluate model.asdf grid.asdf -o report
      astropayne evaluate model.asdf grid.asdf -o report --snr 50 --snr 200 --vsini 5
      astropayne evaluate new.asdf grid.asdf -o report --compare old.asdf
    """
    from astropayne.evaluation.report import write_report
    from astropayne.grids.grid import SpectralGrid

    page = Path(output) / "index.html"
    _refuse_existing(page if Path(output).is_dir() else output, overwrite)
    options["snr"] = options["snr"] or (100.0,)
    options["n_stars"] = options.pop("stars")
    options["thresholds"] = dict(options["thresholds"])
    found = write_report(
        {path: _load_model(path, say) for path in (model_file, *others)},
        SpectralGrid.read(grid_path, progress=say.progress),
        output,
        held_out_only=not everything,
        progress=say.progress,
        **options,
    )
    for path, evaluation in found.items():
        if others:
            say(f"{path}:")
        _tell_verdict(evaluation.verdict, say)
    say(f"written   {page}")
    if check and not all(found[model_file].verdict["passed"]):
        raise click.exceptions.Exit(_INCOMPLETE)


def _tell_verdict(verdict, say):
    for row in verdict:
        mark = click.style("good", fg="green") if row["passed"] else click.style("POOR", fg="red")
        say(f"{mark}  {row['text']}: {row['value']:.3g} (limit {row['limit']})")
    for text in verdict.meta["no_information"]:
        say(f"----  not judged, noise and the emulator's own error hide it: {text}")
    for text in verdict.meta["measured_once"]:
        say(f"----  not judged, measured in one spectrum only: {text}")


@main.command()
@click.argument("labels", nargs=-1, type=_Pairs(), metavar="[NAME=VALUE]...")
@_model
@click.option(
    "-t", "--table", "table_file", type=click.Path(), metavar="FILE",
    help="Table of labels, a row a spectrum (ECSV, FITS, CSV).",
)  # fmt: skip
@click.option("--rv", default="0", type=_Velocity(), help="Radial velocity, km/s.")
@click.option("--vsini", default="0", type=_Velocity(), help="Projected rotation, km/s.")
@click.option(
    "--vmac", default="0", type=_Velocity(), help="Radial-tangential macroturbulence ζ, km/s."
)
@click.option("-R", "--resolution", type=float, help="λ/FWHM. [default: the model's]")
@click.option(
    "--like", metavar="FILE", type=click.Path(), help="Predict at the pixels of this spectrum."
)
@click.option("-o", "--output", required=True, type=click.Path(), metavar="PATH",
              help="File (*.ecsv, *.fits, *.csv, *.txt) or folder.")  # fmt: skip
@_file_option("--plot", help="Picture to draw: *.png, *.pdf, *.svg.")
@_overwrite
@_pass_say
def predict(say, labels, model_file, table_file, output, plot, overwrite, **options):
    """Predict spectra.

    Labels in any spelling and convention; numbers may have units. Abundances that are left out
    are solar-scaled. Velocities may be said among them, vsini=4, instead of by an option.

      astropayne predict teff=5777 logg=4.44 feh=0 vmic=1 -o sun.ecsv --plot sun.png
      astropayne predict Teff=5.8kK logg=4.4 "[Fe/H]=-0.5" "A(Mg)=7.3" vmic=1 -o star.txt
      astropayne predict teff=5777 logg=4.44 feh=0 vmic=1 --rv 12 --vsini 4 -R 18000 -o a.fits
      astropayne predict --table labels.ecsv -o spectra

    With a table, of labels or of `astropayne fit`, the output is a folder: a file a row, called by
    the column `name` if there is one. Columns rv, vsini and vmac go before the options.
    """
    from astropayne.workflows.predict_files import predict_files

    if bool(labels) == bool(table_file):
        raise click.UsageError("Give labels, as in teff=5777, or --table FILE: one of the two.")
    _refuse_existing(output, overwrite or table_file or Path(output).is_dir())
    if plot:
        _refuse_picture(plot, overwrite)
    model = _load_model(model_file, say)
    given = dict(labels) if labels else table_file
    spectra, files = predict_files(model, given, output, overwrite=overwrite, **options)
    if plot:
        from astropayne.plotting.spectra import plot_spectrum

        _save(plot_spectrum(spectra[0]), plot)
    written = [files[0]] if len(files) == 1 else [f"{len(files)} files in {output}"]
    say(f"written   {', '.join(map(str, [*written, *([plot] if plot else [])]))}")


_OBSERVED = (
    click.option("--degrade-from", type=float, metavar="R",
                 help="Resolution that spectra have, if the model's is lower: degrade them first."),
    click.option("--continuum", type=int, metavar="DEGREE",
                 help="Fit a polynomial continuum, for spectra that are not normalised."),
    click.option("--fixed", multiple=True, type=_Pairs(), help="What is known: teff=5777, vmac=3."),
    click.option("--macroturbulence", type=click.Choice(["joint", "product", "fwhm"]),
                 default="joint", show_default=True,
                 help="What vmac is; fwhm: that of TSFitPy and one_payne."),
    click.option("--trusted", is_flag=True,
                 help="Leave out where the model is known to be wrong, see `fitting` in the docs."),
    click.option("--noise-floor", default=0.0, help="Added to every error, a part of the flux."),
    click.option("--medium", type=click.Choice(["air", "vacuum"]), help="Of the wavelengths."),
    click.option("--format", help="Of the files, as specutils calls it. [default: found out]"),
    click.option("--wavelength-unit", default="Angstrom", show_default=True, help="Of text files."),
    click.option("--columns", type=int, help="2: what is taken for the error is none."),
)  # fmt: skip


def _observed(function):
    """Add the options of whatever measures files of observed spectra."""
    for option in reversed(_OBSERVED):
        function = option(function)
    return function


_resolutions = click.option(
    "-R", "--resolution", "resolutions", type=float, multiple=True,
    help="λ/FWHM; repeated, that of each arm. [default: the file's, or model's]",
)  # fmt: skip


def _how_to_read(model, resolutions, options):
    """Take out of the options how files are read, and put in what the model says of itself."""
    resolution = resolutions[0] if len(resolutions) == 1 else resolutions
    read = {name: options.pop(name) for name in ("format", "wavelength_unit", "columns")}
    options["fixed"] = dict(options["fixed"])
    if options["medium"]:
        read["meta"] = {"medium": options["medium"]}
    if degrade_from := options.pop("degrade_from"):
        wanted = resolution or model.resolution
        if wanted is None:
            raise click.UsageError("--degrade-from needs -R: the model's resolution is not known.")
        read["degrade"] = degrade_from, wanted
    if options.pop("trusted"):
        options["exclude_at_rest"] = model.untrusted
        if options["exclude_at_rest"] is None:
            raise click.UsageError(
                'The model does not say where it is wrong (meta["untrusted"]): leave --trusted out.'
            )
    if resolution:
        options["resolution"] = resolution
    return read


def _end(written, good, say):
    """Tell what was written, and end as it says which stars were measured."""
    say(f"written   {', '.join(written)}")
    if not good.all():
        raise click.exceptions.Exit(_INCOMPLETE if good.any() else 1)


@main.command()
@click.argument("stars", nargs=-1, required=True, metavar="SPECTRUM...", type=click.Path())
@_model
@_file_option("-o", "--output", required=True, help="Table: *.ecsv, *.fits, *.csv, *.txt.")
@_resolutions
@_observed
@click.option("--free", multiple=True, metavar="NAME", help="Fit what is fixed by default: vmac.")
@click.option("--start", multiple=True, type=_Pairs(), help="Where to start, instead of a search.")
@click.option("--bounds", multiple=True, type=_Pairs(2), help="Narrower range: teff=5000:6000.")
@click.option("--prior", "priors", multiple=True, type=_Pairs(2), help="Mean and σ: logg=4.4:0.1.")
@click.option("--region", "regions", multiple=True, type=_Region(), help="Use only this, Å.")
@click.option("--exclude", multiple=True, type=_Region(), help="Leave this out, Å.")
@click.option("--report", multiple=True, metavar="LABEL", help="Report this, too: A(Mg), [Ca/H].")
@click.option("--loss", type=click.Choice(["linear", "huber"]), default="linear",
              help="huber: outliers pull less.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, auto.")
@click.option("--plot", metavar="FOLDER", help="Draw a picture of every fit.",
              type=click.Path(file_okay=False))  # fmt: skip
@_overwrite
@_pass_say
def fit(say, stars, model_file, output, resolutions, plot, overwrite, **options):
    """Measure stars: many files to one table, a row a star.

    Reads what specutils reads, and text with columns of wavelength, flux and its error. Nothing
    has to be guessed: velocity and labels are searched for. Files with a comma between them, and
    no space, are the arms of one star. A file that cannot be read or fitted has its row too, with
    the reason, and the exit code is then 3, or 1 if no star was measured.

      astropayne fit sun.txt -o sun.ecsv --continuum 2 --plot pictures
      astropayne fit stars/*.fits -m model.asdf -o stars.ecsv -R 18000 --medium vacuum
      astropayne fit star.txt -o star.csv --fixed teff=5777 --free vmac --report "A(Mg)"
      astropayne fit blue.fits,red.fits -o star.ecsv -R 20000 -R 18000
      astropayne fit sharp.fits -o star.ecsv --degrade-from 115000 --noise-floor 0.02
    """
    from astropayne.io.result_tables import writable_suffix, write_table
    from astropayne.spectra.files import file_names, files_of
    from astropayne.workflows.fit_files import describe_fits, fit_files, measured

    writable_suffix(output)
    _refuse_existing(output, overwrite)
    for name in ("start", "bounds", "priors"):
        options[name] = dict(options[name])
    for name in ("regions", "exclude"):
        options[name] = _regions(options[name])
    model = _load_model(model_file, say)
    read = _how_to_read(model, resolutions, options)
    if model.resolution and not (resolutions or "degrade" in read):
        say(f"No --resolution is given: where a file says none, it is R = {model.resolution:g}.")
    stars = [files_of(star) for star in stars]
    pictures = file_names([*files, "none"][0] for files in stars)  # "," has no files
    _refuse_pictures(plot, pictures, overwrite)
    table = fit_files(stars, model, read=read, progress=say.progress, **options)
    write_table(table, output, overwrite=overwrite)
    for line in describe_fits(table, everything=say.verbose):
        say(line)
    _end_if_interrupted(table, stars, output, say)
    good = measured(table)
    written = [output]
    if plot:
        some = [both for *both, yes in zip(stars, pictures, good, strict=True) if yes]
        written.append(_plot_fits(some, plot, model, read, options))
    _end(written, good, say)


@main.command()
@click.argument("stars", nargs=-1, required=True, metavar="SPECTRUM...", type=click.Path())
@_model
@_file_option("-o", "--output", required=True, help="Table: *.ecsv, *.fits, *.csv, *.txt.")
@click.option("-e", "--elements", help="Symbols: Mg,Li.")
@_file_option("--stages", help="Or an analysis in stages: *.toml.")
@click.option("-l", "--lines", metavar="FILE", help="Line list. [default: the package's own]")
@click.option("--stellar-lines", metavar="FILE", help="Take the stellar labels from these only.")
@click.option(
    "--convention",
    type=click.Choice(["X_Fe", "X_H", "A_X"]),
    default="X_Fe",
    show_default=True,
    help="[X/Fe], [X/H] or A(X).",
)
@click.option("--solar-scale", help="What they refer to: asplund2009... [default: the model's]")
@click.option("--reference", metavar="SPECTRUM", help="Give differences from this star, the Sun.")
@click.option("--confidence", default=0.95, show_default=True, help="Of upper limits.")
@click.option("--clip", is_flag=True, help="Leave out lines that disagree with the others.")
@click.option("--per-line", is_flag=True, help="Give the abundance of each line, too.")
@_resolutions
@_observed
@click.option("--plot", metavar="FOLDER", help="Draw every line of every star.",
              type=click.Path(file_okay=False))  # fmt: skip
@_overwrite
@_pass_say
def abundances(
    say, stars, model_file, output, elements, stages, lines, stellar_lines, reference, resolutions,
    plot, overwrite, **options,
):  # fmt: skip
    """Measure abundances from chosen lines, or limit them.

    Stellar labels come from the whole spectrum; each element then from the windows of its lines.
    An element that is not detected has an upper limit instead of a value. Line lists are ECSV, CSV
    or masks of TSFitPy. With --reference, abundances are differences, line by line. Files with a
    comma between them are the arms of one star, as in `fit`.

      astropayne abundances star.txt -o star.ecsv -e Mg,Li --plot pictures
      astropayne abundances stars/*.fits -o stars.ecsv -e Na -l mylines.csv --convention A_X
      astropayne abundances star.txt -o star.ecsv -e Ca,Ni --reference sun.txt --per-line
      astropayne abundances sharp.fits -o star.ecsv -e Ca --degrade-from 115000 --continuum 3
      astropayne abundances blue.fits,red.fits -o star.ecsv --stages stages.toml
    """
    from functools import partial

    from astropayne.abundances.lines import LineList
    from astropayne.abundances.measuring import fit_abundances
    from astropayne.abundances.stages import read_stages
    from astropayne.io.result_tables import writable_suffix, write_table
    from astropayne.spectra.files import file_names, files_of, read_star
    from astropayne.workflows.fit_files import fit_files, measured

    writable_suffix(output)
    _refuse_existing(output, overwrite)
    if bool(elements) == bool(stages):
        raise click.UsageError("Give --elements, as in Mg,Li, or --stages FILE: one of the two.")
    analysis = read_stages(stages) if stages else elements.replace(",", " ").split()
    elements = [e for one in analysis for e in one.elements] if stages else analysis
    for name, path in (("lines", lines), ("stellar_lines", stellar_lines)):
        options[name] = None if path is None else LineList.read(path)
    model = _load_model(model_file, say)
    read = _how_to_read(model, resolutions, options)
    if reference is not None:
        options["reference"] = read_star(files_of(reference), **read)
    stars = [files_of(star) for star in stars]
    pictures = file_names([*files, "none"][0] for files in stars)  # "," has no files
    _refuse_pictures(plot, [f"{name}-{e}" for name in pictures for e in elements], overwrite)
    measure = partial(fit_abundances, elements=analysis, models=bool(plot))
    table = fit_files(stars, model, read=read, measure=measure, progress=say.progress, **options)
    models = [f"{e}_{what}" for e in elements for what in ("best_fit", "without")] if plot else []
    write_table(table[[n for n in table.colnames if n not in models]], output, overwrite=overwrite)
    good = measured(table)
    for row, yes in zip(table, good, strict=True):
        say(str(row["name"]) if yes else f"{row['name']} not measured: {row['message']}")
        for element in elements if yes else ():
            say(f"  {_abundance_text(row, options['convention'].replace('X', element), element)}")
    _end_if_interrupted(table, stars, output, say)
    written = [output]
    if plot:
        some = [(files, name, row) for files, name, row, yes
                in zip(stars, pictures, table, good, strict=True) if yes]  # fmt: skip
        written.append(_plot_elements(some, elements, plot, read))
    _end(written, good, say)


def _end_if_interrupted(table, stars, output, say):
    """End, without pictures, if not all stars are in the table, which has been written."""
    if len(table) < len(stars):
        say(f"written   {output}")
        raise click.exceptions.Exit(_INTERRUPTED)


def _abundance_text(row, name, element):
    from numpy.ma import masked

    from astropayne.abundances.flags import ElementFlag
    from astropayne.labels.names import Label

    text, n = Label(name).text, row[f"{element}_n_lines"]
    lines = f"({n} line{'s' if n != 1 else ''})"
    flags = ElementFlag(int(row[f"{element}_flags"]))
    doubts = ", ".join(flag.name for flag in flags & ~ElementFlag.UPPER_LIMIT)
    lines = f"{lines}  {doubts}" if doubts else lines
    if row[name] is not masked:
        value = round(float(row[name]), 2) + 0.0  # not minus zero
        return f"{text:8s} {value:6.2f} ± {row[f'{name}_err']:.2f}  {lines}"
    if row[f"{name}_upper_limit"] is not masked:
        return f"{text:8s} < {row[f'{name}_upper_limit']:.2f}  {lines}"
    said = flags.name or "no value"
    return f"{text:8s} not measured: {said.lower().replace('_', ' ')}"


@main.command()
@click.argument("labels", nargs=-1, required=True, type=_Pairs(), metavar="NAME=VALUE...")
@_model
@click.option("--snr", default=100.0, show_default=True, help="Signal to noise of a pixel.")
@click.option("-R", "--resolution", type=float, help="λ/FWHM. [default: the model's]")
@click.option("--continuum", type=int, metavar="DEGREE", help="A polynomial is not known either.")
@_file_option("-o", "--output", help="Table: *.ecsv, *.fits, *.csv, *.txt.")
@_file_option("--plot", help="Picture of the errors.")
@_overwrite
@_pass_say
def plan(say, labels, model_file, output, plot, overwrite, **options):
    """Say how well a star could be measured, before it is observed.

    Errors are the least that a measurement can have, all labels unknown at once; "alone" is what
    they were if all else were known. Abundances that would not be seen at three standard
    deviations are named, with those that would.

      astropayne plan teff=5700 logg=4.4 feh=0 vmic=1.1 A_Li=1.5 vsini=3 --snr 80 -R 18000
    """
    from astropayne.abundances.planning import describe_plan
    from astropayne.abundances.planning import plan as expect
    from astropayne.io.result_tables import writable_suffix, write_table

    if output:
        writable_suffix(output)
        _refuse_existing(output, overwrite)
    if plot:
        _refuse_picture(plot, overwrite)
    table = expect(_load_model(model_file, say), dict(labels), **options)
    for line in describe_plan(table):
        say(line)
    if output:
        write_table(table, output, overwrite=overwrite)
    if plot:
        from astropayne.plotting.abundances import plot_plan

        _save(plot_plan(table), plot)
    if output or plot:
        say(f"written   {', '.join(filter(None, (output, plot)))}")


def _plot_fits(stars, folder, model, read, options):
    import matplotlib.pyplot as plt

    from astropayne.fitting.fit import fit_spectrum
    from astropayne.spectra.files import read_star

    Path(folder).mkdir(parents=True, exist_ok=True)
    for files, name in stars:
        fit_spectrum(read_star(files, **read), model, **options).plot()
        _save_figure(plt.gcf(), Path(folder) / f"{name}.png")
    return f"{len(stars)} picture{'s' if len(stars) > 1 else ''} in {folder}"


def _plot_elements(stars, elements, folder, read):
    """Draw the lines of those elements that have any in a star's spectrum."""
    from numpy import isfinite

    from astropayne.plotting.abundances import plot_element
    from astropayne.spectra.files import read_star

    Path(folder).mkdir(parents=True, exist_ok=True)
    n = 0
    for files, name, row in stars:
        spectrum = read_star(files, **read)
        for element in elements:
            if isfinite(row[f"{element}_best_fit"]).any():
                _save(plot_element(spectrum, row, element), Path(folder) / f"{name}-{element}.png")
                n += 1
    return f"{n} picture{'s' if n != 1 else ''} in {folder}"


def _save(axes, path):
    _save_figure(axes.flat[0].figure, path)


def _save_figure(figure, path):
    import matplotlib.pyplot as plt

    from astropayne.io.paths import replacing

    try:
        with replacing(path) as beside:
            figure.savefig(beside, dpi=150)
    finally:
        plt.close(figure)


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
@_pass_say
def demo(say, output, stars, epochs, seed):
    """Train a network on the sample grid and measure stars with it.

    Trains on 240 synthetic spectra that ship with the package, predicts the Sun, and fits spectra
    the network has not seen, with noise, rotation and a velocity. Takes one to two minutes.

      astropayne demo -o first-look
    """
    from astropayne.workflows.demo import run_demo

    options = {"max_epochs": epochs, "seed": seed, "progress": say.progress}
    run_demo(output, n_stars=stars, say=say, **options)
    say(f"written   {output}/: model.asdf, stars.ecsv, sun.png, fit.png, recovery.png")


@main.command()
@_pass_say
def plugins(say):
    """List plugins: what each gives, and which are broken.

    Grid formats, label transforms, and where each plugin comes from.

      astropayne plugins
    """
    from astropayne.plugins import list_plugins

    for plugin in list_plugins():
        colour = {"loaded": None, "broken": "red", "disabled": "yellow"}[plugin.state]
        state = click.style(f"{plugin.state:8s}", fg=colour)
        say(f"{plugin.name:16s} {state} {plugin.source}")
        for line in filter(None, (*plugin.gives, plugin.problem)):
            say(f"{'':16s} {line}")


@main.command()
@click.argument("path", type=click.Path(exists=True), metavar="FILE")
@_pass_say
def info(say, path):
    """Say what is in a model file or a grid file.

    Labels with their ranges, wavelengths, and where it comes from.

      astropayne info model.asdf
    """
    from astropayne.models.model import PayneModel
    from astropayne.plugins import fitting_formats

    if "astropayne" in fitting_formats(Path(path)):
        from astropayne.grids.grid import SpectralGrid

        found = SpectralGrid.read(path, format="astropayne")
        _tell_grid(found, say)
    else:
        found = PayneModel.read(path)
        say(repr(found))
        say(repr(found.labels))
    for key, value in found.meta.items():
        say(f"{key}: {value}")
