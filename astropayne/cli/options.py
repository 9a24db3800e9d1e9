# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Parameter types, and options that several commands share."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from specutils import SpectralRegion

    from astropayne.cli.console import Console
    from astropayne.models.model import PayneModel
    from astropayne.spectra.options import ReadOptions

__all__ = [
    "Names",
    "Pairs",
    "Region",
    "Velocity",
    "file_option",
    "load_model",
    "model_option",
    "nested",
    "observed_options",
    "overwrite_option",
    "reading_options",
    "regions_of",
    "resolutions_option",
]


def _value(text: str) -> Any:
    """Parse a number, a number with its unit, or else keep the text."""
    if text.isdigit():
        return int(text)
    try:
        return float(text)
    except ValueError:
        from astropy.units import Quantity

    try:
        return Quantity(text)
    except TypeError:
        return text  # such as the name of a relation, which the library checks


class Pairs(click.ParamType):
    """``NAME=VALUE``, or ``NAME=LOW:HIGH`` for two values; values may have units."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.name = "NAME=VALUE" if size == 1 else "NAME=A:B"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Return the name and the value, or a tuple of values."""
        name, equals, text = value.partition("=")
        try:
            parts = [_value(part) for part in text.split(":")]
        except ValueError:  # an unknown unit, or several pairs in one
            self.fail(
                f"{value!r} must be like {self.name}, one at a time, in units of astropy",
                param,
                ctx,
            )
        if not (name and equals and text) or len(parts) != self.size:
            self.fail(f"{value!r} must be like {self.name}", param, ctx)
        return name.strip(), parts[0] if self.size == 1 else tuple(parts)


class AutoNumber(click.ParamType):
    """A number, ``auto`` or ``none``."""

    def __init__(self, kind: type) -> None:
        self.kind, self.name = kind, "auto|none|N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str | None:
        """Return the number, "auto", or `None` for ``none``."""
        if value in (None, "auto"):
            return value
        if value == "none":
            return None
        try:
            return self.kind(value)
        except ValueError:
            self.fail(f"{value!r} must be auto, none or a number", param, ctx)


class Names(click.ParamType):
    """``ROLE=NAME``, both of which are text."""

    name = "ROLE=NAME"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the role and the name."""
        role, equals, name = value.partition("=")
        if not (role and equals and name):
            self.fail(f"{value!r} must be like {self.name}", param, ctx)
        return role.strip(), name.strip()


class Velocity(click.ParamType):
    """A number in km/s, or a number with its unit."""

    name = "velocity"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a number, or a quantity."""
        try:
            velocity = _value(value)
        except ValueError:  # an unknown unit
            velocity = value
        if isinstance(velocity, str):
            self.fail(f"{value!r} must be like 12, in km/s, or '12000 m/s'", param, ctx)
        return velocity


class Region(click.ParamType):
    """``LOW:HIGH`` in Å."""

    name = "LOW:HIGH"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return both wavelengths in Å."""
        try:
            low, high = map(float, value.split(":"))
        except ValueError:
            self.fail(f"{value!r} must be like 5160:5240, in Angstrom", param, ctx)
        return low, high


def regions_of(pairs: Iterable[tuple[float, float]]) -> "SpectralRegion | None":
    """Return pairs of wavelengths in Å as one spectral region, `None` if there are no pairs."""
    if not pairs:
        return None
    import astropy.units as u
    from specutils import SpectralRegion

    return SpectralRegion([(low * u.AA, high * u.AA) for low, high in sorted(pairs)])


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a dict; ``NAME.KEY`` becomes an item of a dict called ``NAME``."""
    options: dict[str, Any] = {}
    mappings: dict[str, dict[str, Any]] = {}
    for name, value in pairs:
        name, dot, key = name.partition(".")
        if dot:
            mappings.setdefault(name, {})[key] = value
        else:
            options[name] = value
    if both := sorted(options.keys() & mappings.keys()):
        name = both[0]
        raise click.UsageError(
            f"--option {name}=... and --option {name}.{next(iter(mappings[name]))}=... exclude "
            "each other: give one value, or one for each key."
        )
    return {**options, **mappings}


def file_option(*names: str, **settings: Any) -> Callable:
    """Return a decorator that adds an option for the path of a file."""
    return click.option(*names, type=click.Path(dir_okay=False), **settings)


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing files.")

model_option = click.option(
    "-m",
    "--model",
    "model_file",
    type=click.Path(),
    metavar="FILE",
    help="Model file, also of one_payne or The_Payne. [default: the sample network]",
)

resolutions_option = click.option(
    "-R", "--resolution", "resolutions", type=float, multiple=True,
    help="λ/FWHM; repeat it for each arm. [default: the file's, or estimated]",
)  # fmt: skip

_OBSERVED = (
    click.option("--degrade-from", type=float, metavar="R",
                 help="Resolution of the spectra: degrade them first to that of -R or the model."),
    click.option("--resolution-error", default=0.05, show_default=True,
                 help="Relative uncertainty of the resolution; 0: it is exact."),
    click.option("--continuum", type=AutoNumber(int), default="auto", show_default=True,
                 help="Degree of the continuum; auto: found by the fit; none: exactly one."),
    click.option("--inadequacy", type=AutoNumber(float), default="auto", show_default=True,
                 help="Errors of the model's lines, as a part of their depth; none: no errors."),
    click.option("--fixed", multiple=True, type=Pairs(),
                 help="Hold a label or velocity: teff=5777, vmac=3."),
    click.option("--macroturbulence", type=click.Choice(["joint", "product", "fwhm"]),
                 default="joint", show_default=True,
                 help="Definition of vmac; fwhm: as in TSFitPy and one_payne."),
    click.option("--trusted/--all-pixels", default=True, show_default=True,
                 help="Leave out pixels at which the model is known to be wrong, or use them."),
    click.option("--noise-floor", default=0.0,
                 help="Added to every uncertainty, as a fraction of the flux."),
    click.option("--medium", type=click.Choice(["air", "vacuum"]),
                 help="Medium of the wavelengths. [default: the file's, or the model's]"),
    click.option("--format", help="Format of the files, of specutils. [default: detected]"),
    click.option("--wavelength-unit",
                 help="Unit of wavelengths where a file states none. [default: Angstrom]"),
    click.option("--columns", type=int, help="2: read wavelength and flux only."),
    click.option("--column", multiple=True, type=Names(),
                 help="Column of a role: flux=FLUX_NORM, uncertainty=ERR, mask=DQ."),
)  # fmt: skip


def observed_options(function: Callable) -> Callable:
    """Add the options of commands that measure observed spectra."""
    for option in reversed(_OBSERVED):
        function = option(function)
    return function


def load_model(path: str | None, console: "Console") -> "PayneModel":
    """Read a model, by default the sample network."""
    from astropayne.models.model import PayneModel

    model = PayneModel.sample() if path is None else PayneModel.read(path)
    if path is None:
        console("No --model given: using the sample network, for FGK stars in three windows.")
    console.detail(repr(model))
    return model


def reading_options(
    model: "PayneModel", resolutions: tuple[float, ...], options: dict[str, Any]
) -> "ReadOptions":
    """Move the options of reading out of ``options``, and complete the others from the model."""
    from astropayne.spectra.options import ReadOptions

    resolution = resolutions[0] if len(resolutions) == 1 else resolutions
    columns = options.pop("columns")
    if named := dict(options.pop("column")):
        if columns is not None:
            raise click.UsageError("--columns and --column exclude each other: give one of them.")
        columns = named
    read = ReadOptions(
        format=options.pop("format"),
        wavelength_unit=options.pop("wavelength_unit"),
        columns=columns,
        meta={"medium": options["medium"]} if options["medium"] else None,
    )
    options["fixed"] = dict(options["fixed"])
    if degrade_from := options.pop("degrade_from"):
        wanted = resolution or model.resolution
        if wanted is None:
            raise click.UsageError("--degrade-from needs -R: the model's resolution is unknown.")
        read = replace(read, degrade=(degrade_from, wanted))
    if not options.pop("trusted"):
        options["exclude_at_rest"] = None
    if resolution:
        options["resolution"] = resolution
    return read
