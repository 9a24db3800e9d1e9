# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading grids: open, check, load, collect."""

import inspect
import os
import pydoc
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from astropy.io.registry import UnifiedReadWrite
from astropy.table import Table

from astropayne import __version__
from astropayne.grids.checks import summary
from astropayne.grids.combine import concatenated, short_names
from astropayne.grids.data import GridData, GridWarning, make_grid_data, no_flux, report_table
from astropayne.grids.files import collector, write_grid_file
from astropayne.grids.info import BROADENING, GridInfo
from astropayne.grids.loading import Limits
from astropayne.grids.opening import find_reader, open_source
from astropayne.grids.pipeline import Effort, chain_sources, common_wavelength, read_blocks
from astropayne.grids.relabel import (
    label_targets,
    relabeled,
    require_independent,
    transformed,
    without_constant_labels,
)
from astropayne.grids.windows import joined_windows
from astropayne.io.paths import refuse_existing
from astropayne.labels.solar import solar_scale
from astropayne.plugins.interfaces import GridSource
from astropayne.plugins.manager import grid_readers, reader_origin

__all__ = ["GridRead", "read_grid", "stored_grid"]


class GridRead(UnifiedReadWrite):
    """Read a grid, and set faulty spectra aside.

    Parameters
    ----------
    path : path-like or list of path-like
        A folder or file, or several: batches of one grid, or windows of the same spectra, which
        are joined by their names.
    format : str, optional
        ``"tsfitpy"``, ``"one_payne"``, ``"the_payne"``, ``"specutils"``, ``"astropayne"``, or the
        format of a plugin. By default it is identified from the path.
    output : path-like, optional
        Write a grid file while reading, and return that grid: memory holds one block of spectra
        at a time.
    overwrite : bool
        Whether ``output`` may replace an existing file.
    workers : int
        How many threads or processes, depending on the reader, load and check spectra at the same
        time. The result does not depend on it.
    strict : bool
        Whether the first fault raises an error.
    minimum_flux, maximum_flux : float, optional
        Flux outside these limits is a fault; by default negative flux is, and emission is not.
        `None` is no limit.
    wavelength_tolerance : float
        Largest relative difference to the wavelengths that most spectra have.
    transform_labels : str or sequence of str
        Labels to have in place of those in the files, as in
        `~astropayne.SpectralGrid.transform_labels`. Labels that cannot be computed raise an error
        before the spectra are read.
    progress : bool, optional
        Whether to show a progress bar; by default only on a terminal.
    **options
        Options of the format; ``SpectralGrid.read.help(format)`` shows them.

    Returns
    -------
    SpectralGrid
        The sound spectra. The others are in its ``report`` with the reason, and one
        `~astropayne.grids.GridWarning` counts them. Labels that have the same value in all
        spectra are in ``meta["constant_labels"]``.

    Raises
    ------
    FileNotFoundError
        If there is nothing at a path.
    FileExistsError
        If ``output`` exists and ``overwrite`` is not set.
    ValueError
        If the format is unknown, no spectrum is sound, or no transforms lead to a label.
    TypeError
        If the format has no such option.

    Notes
    -----
    Readers of grids are found by the hook ``astropayne_grid_readers`` of plugins, as the built-in
    ones are; ``SpectralGrid.read.list_formats()`` lists them.

    Examples
    --------
    >>> from astropayne import SpectralGrid
    >>> print(SpectralGrid.read.list_formats()["Format"][0])
    astropayne
    """

    def __init__(self, instance: Any, cls: type) -> None:
        super().__init__(instance, cls, "read")

    def __call__(
        self,
        path: str | os.PathLike | Sequence[str | os.PathLike],
        format: str | None = None,
        *,
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
        workers: int = 1,
        strict: bool = False,
        minimum_flux: float | None = 0.0,
        maximum_flux: float | None = None,
        wavelength_tolerance: float = 1e-7,
        transform_labels: str | Sequence[str] = (),
        progress: bool | None = None,
        **options: Any,
    ) -> Any:
        """Read a grid; see the class."""
        several = isinstance(path, list | tuple)
        limits = Limits(minimum_flux, maximum_flux, wavelength_tolerance)
        data, rejected = read_grid(
            [Path(one).expanduser() for one in (path if several else [path])],
            format,
            options,
            effort=Effort(limits, workers, strict, progress),
            targets=label_targets(transform_labels),
            output=output,
            overwrite=overwrite,
        )
        if rejected:
            warnings.warn(
                f"{len(rejected)} spectra of {data.info.source} were set aside "
                f"({summary(rejected)}); the grid's report lists them",
                GridWarning,
                stacklevel=2,
            )
        return self._cls.from_data(data)

    def help(self, format: str | None = None, out: TextIO | None = None) -> None:
        """Show the documentation of reading, or of one format with its options.

        Parameters
        ----------
        format : str, optional
            Name of a format, such as ``"tsfitpy"``.
        out : file-like, optional
            Where to write; by default a pager on the terminal.

        Raises
        ------
        ValueError
            If the format is unknown.
        """
        subject = type(self) if format is None else type(find_reader(Path(), format))
        title = f"{self._cls.__name__}.read" + ("" if format is None else f"(format={format!r})")
        text = f"{title}\n{'=' * len(title)}\n\n{inspect.getdoc(subject) or ''}\n"
        if out is None:
            pydoc.pager(text)
        else:
            out.write(text)

    def list_formats(self, out: TextIO | None = None) -> Table:
        """Return the formats that can be read and the plugins that they come from.

        Parameters
        ----------
        out : file-like, optional
            Also write the table there.

        Returns
        -------
        `~astropy.table.Table`
            Columns ``Format`` and ``Plugin``.
        """
        formats = sorted(grid_readers())
        table = Table({"Format": formats, "Plugin": [reader_origin(name) for name in formats]})
        if out is not None:
            out.write("\n".join(table.pformat(max_lines=-1, max_width=-1)))
        return table


def read_grid(
    paths: Sequence[Path],
    format: str | None,
    options: Mapping[str, Any],
    *,
    effort: Effort,
    targets: Sequence[str] = (),
    output: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> tuple[GridData, dict[str, str]]:
    """Read batches of one grid.

    Parameters
    ----------
    paths : sequence of `pathlib.Path`
    format : str or None
        By default it is identified from each path.
    options : mapping of str to object
        Options of the reader.
    effort : Effort
    targets : sequence of str
        Labels to have in place of those in the files.
    output : path-like, optional
        Grid file to write.
    overwrite : bool
        Whether it may replace an existing file.

    Returns
    -------
    data : GridData
    rejected : dict of str to str
        Spectra that were set aside in this reading, with the reason.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError, TypeError
        As `GridRead` says.
    """
    if output is not None:
        refuse_existing(output, overwrite)
    own = inspect.signature(GridRead.__call__).parameters
    sources = [open_source(path, format, options, list(own)[2:-1]) for path in paths]
    names = short_names(paths)
    stored = [source.flux is not None for source in sources]
    if not any(stored):
        joined = joined_windows(sources, names) if len(sources) > 1 else None
        source = chain_sources(sources, names) if joined is None else joined
        return _collected(source, ", ".join(names), targets, output, overwrite, effort)
    if not all(stored):
        raise ValueError(
            f"{', '.join(map(str, paths))}: grid files and other formats cannot be read as one "
            "grid; read each, and use SpectralGrid.concatenate"
        )
    if effort.limits != Limits():
        raise ValueError(
            "the spectra of grid files were checked when they were written, so minimum_flux, "
            "maximum_flux and wavelength_tolerance have no effect: select spectra by index, such "
            "as grid[np.max(grid.flux, axis=1) < 1.5]"
        )
    data = concatenated([stored_grid(source) for source in sources])
    data = relabeled(data, targets) if targets else data
    return (data if output is None else write_grid_file(data, output, overwrite=overwrite)), {}


def stored_grid(source: GridSource) -> GridData:
    """Return the grid of a source whose spectra were checked before they were written.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
        With ``wavelength`` and ``flux``.

    Returns
    -------
    GridData
    """
    return make_grid_data(
        source.wavelength,
        source.flux,
        source.labels,
        source.names,
        GridInfo.from_meta(source.meta),
        report_table(source.rejected),
    )


def _collected(
    source: GridSource,
    origin: str,
    targets: Sequence[str],
    output: str | os.PathLike | None,
    overwrite: bool,
    effort: Effort,
) -> tuple[GridData, dict[str, str]]:
    """Load and check the spectra of a source, and collect the sound ones."""
    _warn_of_broadening(source, origin)
    source, info = _with_varying_labels(source, origin, targets)
    wavelength, rejected, kept = common_wavelength(source), dict(source.rejected), []
    shape = len(source.names), len(wavelength)
    rows = collector(output, overwrite, *shape, np.float32, info.to_meta())
    blocks = read_blocks(source, wavelength, rejected, effort)
    with closing(blocks), rows as flux:
        for indices, block in blocks:
            flux.append(block)
            kept += indices
        if not kept:
            raise ValueError(f"no spectrum of {info.source} is sound: {summary(rejected)}")
        # labels that varied only in spectra that are set aside are constant now
        labels, constant = without_constant_labels(source.labels[kept])
        data = make_grid_data(
            wavelength,
            no_flux(len(kept), len(wavelength), np.float32),
            labels,
            [source.names[i] for i in kept],
            info.with_constants(constant),
            report_table(rejected),
        )
        return flux.finish(data), rejected


def _warn_of_broadening(source: GridSource, origin: str) -> None:
    """Warn of spectra that are broadened, to which models would add the broadening of a star."""
    constants = source.meta.get("constant_columns", {})
    found = [f"{name} = {constants[name]:g}" for name in BROADENING if constants.get(name)]
    if found:
        warnings.warn(
            f"the spectra of {origin} are broadened already, by {' and '.join(found)} (km/s): "
            "vsini and vmac of models and fits are in addition to that, so a fit of a star with "
            "that broadening finds zero",
            GridWarning,
            stacklevel=5,  # the line that called read
        )


def _with_varying_labels(
    source: GridSource, origin: str, targets: Sequence[str]
) -> tuple[GridSource, GridInfo]:
    """Return the source with the labels to have, and what holds for all its spectra."""
    labels, constant = without_constant_labels(source.labels)
    made = {"source": origin, "written_by": f"astropayne {__version__}"}
    info = GridInfo.from_meta({**made, **source.meta}).with_constants(constant)
    if targets:
        scale = solar_scale(info.solar_scale)
        info = replace(info, solar_scale=scale.entry)
        labels, others = without_constant_labels(transformed(labels, targets, scale, constant))
        info = info.with_constants(others)
    require_independent(labels, origin)
    return replace(source, labels=labels), info
