# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader of the grids of TSFitPy: a folder of ``.spec`` files and a CSV table of labels."""

import codecs
import contextlib
import gzip
import io
import os
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.utils.exceptions import AstropyUserWarning

from astropayne.grids.readers.files import match_files
from astropayne.io.text_tables import read_csv
from astropayne.labels.columns import label_columns
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["TSFitPyReader"]

# Columns that TSFitPy writes itself or takes in its input; they describe the run, not the star.
_OF_THE_RUN = ("rv", "vmac", "rotation", "resolution")
_NO_LABELS = (*_OF_THE_RUN, "snr")
_CONVOLVED = ("vmac", "rotation", "resolution")
# TSFitPy took [X/Fe] of its input for [X/H] before (its pull request 58).
_FIXED_ABUNDANCES = "2023-10-27"
_FLUX_COLUMN = {"normalized": 1, "absolute": 2}
_FLUX_UNIT = "erg / (s cm2 Angstrom)"  # of absolute flux
_N_COMPARED = 21  # spectra whose headers are compared


class TSFitPyReader(GridReader):
    """A folder written by ``generate_synthetic_spectra.py`` of TSFitPy.

    Options of ``SpectralGrid.read(folder, format="tsfitpy", ...)``:

    * ``flux``: ``"normalized"``, the second column of the files, or ``"absolute"``, the third. The
      unit of absolute flux, erg / (s cm2 Å), is stored in ``meta["flux_unit"]``;
    * ``extension=".spec"``, the extension of the spectra, which may be compressed (``.spec.gz``);
    * ``table="spectra_parameters.csv"``, the file with the labels, and
      ``name_column="specname"``, its column of file names with or without the extension;
    * ``columns={"T": "teff"}``, for columns that have other names than their labels, and
      ``ignore=("mass",)``, for columns that are not labels (``"rest"``: all columns that
      ``columns`` does not name);
    * ``units={"Teff": "kK"}``, for columns whose names do not give the unit, as ``"Teff [kK]"``
      does;
    * ``medium="air"`` and ``solar_scale="magg2022"``, the choices of TSFitPy;
    * ``resolution``, if the headers of the spectra do not give it.

    The columns ``rv``, ``vmac``, ``rotation`` and ``resolution``, which TSFitPy writes itself, are
    not labels, nor is ``snr`` of its input. They must be the same for all spectra, in the table and
    in the headers, unless ``columns`` or ``ignore`` names them. A resolution in the table counts
    only if the headers state none. Spectra that were computed with intensities are not convolved,
    so their resolution is unknown.
    """

    format = "tsfitpy"

    def sniff(self, path: Path) -> bool:
        """Look for the table of labels."""
        return (path / "spectra_parameters.csv").is_file()

    def open(
        self,
        path: Path,
        *,
        flux: str = "normalized",
        extension: str = ".spec",
        table: str = "spectra_parameters.csv",
        name_column: str = "specname",
        columns: Mapping[str, str] | None = None,
        ignore: str | Sequence[str] = (),
        units: Mapping[str, Any] | None = None,
        medium: str = "air",
        solar_scale: str | None = "magg2022",
        resolution: float | None = None,
    ) -> GridSource:
        """Match label rows with files; see `~astropayne.plugins.GridReader.open`."""
        if flux not in _FLUX_COLUMN:
            raise ValueError(f"flux={flux!r} is not one of {', '.join(_FLUX_COLUMN)}")
        rows, rejected = _read_table(path / table, name_column)
        on_disk = _spectra(path, extension)
        kept, names, unmatched = match_files(rows.pop(name_column), on_disk, f"{extension} file")
        files, rows = [on_disk[name] for name in names], rows.iloc[kept]
        arrays = {name: rows[name].to_numpy() for name in rows.columns}
        labels = label_columns(arrays, columns, ignore, _NO_LABELS, units)
        excluded = _asked_for(columns, ignore) + (() if resolution is None else ("resolution",))
        if _are_intensities(path, files):
            excluded += _CONVOLVED
        _warn_of_date(path, files, labels.colnames)
        same = _same_for_all(path, files, rows, excluded)
        where = path, files, _FLUX_COLUMN[flux], same
        return GridSource(
            names,
            labels,
            partial(_load, *where),
            _metadata(same, flux, medium, solar_scale, resolution),
            {**unmatched, **rejected},  # the reason of a row that cannot be read comes first
            partial(_load_block, *where),
            threads=True,
        )


def _metadata(
    same: Mapping[str, float],
    flux: str,
    medium: str,
    solar_scale: str | None,
    resolution: float | None,
) -> dict[str, Any]:
    """Return the metadata of a grid from what its spectra have in common."""
    run = {name: value for name, value in same.items() if value}  # zero means none
    common = run.pop("resolution", None)
    resolution = common if resolution is None else resolution
    meta = {
        "medium": medium,
        "resolution": float(resolution) if resolution else None,
        "solar_scale": solar_scale,
        "normalized": flux == "normalized",
    }
    if flux == "absolute":
        meta["flux_unit"] = _FLUX_UNIT
    if run:
        meta["constant_columns"] = run
    return meta


def _same_for_all(
    folder: Path, files: Sequence[str], rows: "pd.DataFrame", excluded: Sequence[str]
) -> dict[str, float]:
    """Return the values in headers and columns of the run that apply to all spectra."""
    columns = [name for name in _OF_THE_RUN if name in rows and name not in excluded]
    headers = _most_frequent(folder, files)
    if "resolution" in columns and "resolution" in headers:
        columns.remove("resolution")
        _warn_of_resolution(rows["resolution"], headers["resolution"])
    same = {**headers, **_constants(rows[columns])}
    return {name: value for name, value in same.items() if name not in excluded}


def _warn_of_resolution(column: "pd.Series", in_headers: float) -> None:
    """Warn of a column of resolutions that TSFitPy did not use."""
    others = column.dropna()[column != in_headers]
    if len(others):
        warnings.warn(
            f"the table of labels has resolution = {others.iloc[0]:g}, which is not used: the "
            f"headers of the spectra state {in_headers:g}; resolution= overrides both",
            AstropyUserWarning,
            stacklevel=2,
        )


def _are_intensities(folder: Path, files: Sequence[str]) -> bool:
    """Return whether spectra come from a run with intensities, which TSFitPy does not convolve."""
    texts = _headers(folder, files)
    found = sum(b"Wavelength Intensit" in text for text in texts)
    if 2 * found <= len(texts):
        return False
    warnings.warn(
        "the spectra were computed with intensities, which TSFitPy does not convolve: resolution, "
        "vmac and rotation in their headers are not those of the spectra and are left out",
        AstropyUserWarning,
        stacklevel=2,
    )
    return True


def _warn_of_date(folder: Path, files: Sequence[str], labels: Sequence[str]) -> None:
    """Warn of spectra from a version of TSFitPy that mistook their abundances."""
    dates = sorted(m[1].decode() for t in _headers(folder, files) if (m := _DATE.search(t)))
    ratios = [name for name in labels if name.endswith("_Fe") and not name.startswith("A_")]
    if ratios and dates and dates[0] < _FIXED_ABUNDANCES:
        warnings.warn(
            f"the spectra of {dates[0]} were computed with TSFitPy before {_FIXED_ABUNDANCES}, "
            f"which took [X/Fe] of its input for [X/H]: {', '.join(ratios)} may be wrong by "
            "[Fe/H]. Where they are [X/H], name them so, as with "
            f"columns={{{ratios[0]!r}: '{ratios[0].removesuffix('Fe')}H'}}",
            AstropyUserWarning,
            stacklevel=2,
        )


def _headers(folder: Path, files: Sequence[str]) -> list[bytes]:
    """Return the comments above the numbers of the first spectra that can be read."""
    texts = []
    for name in files[:_N_COMPARED]:
        with contextlib.suppress(OSError, ValueError):  # reported when it is loaded
            content = _content(os.path.join(folder, name))
            texts.append(content[: _COMMENTS.match(content).end()])
    return texts


def _spectra(path: Path, extension: str) -> dict[str, str]:
    """Return the files of spectra by their names without ``.gz``."""
    extension = extension.removesuffix(".gz")
    files = sorted(os.listdir(path), reverse=True)  # prefer uncompressed files
    names = {file.removesuffix(".gz"): file for file in files}
    return {name: file for name, file in names.items() if name.endswith(extension)}


def _read_table(file: Path, name_column: str) -> "tuple[pd.DataFrame, dict[str, str]]":
    """Return the table of labels, and rows that cannot be read with the reason."""
    if not file.is_file():
        raise FileNotFoundError(
            f"{file.parent} has no file {file.name!r} with the labels; give table= if it has "
            "another name"
        )
    rows, rejected = read_csv(file, (name_column,))
    if name_column not in rows:
        raise ValueError(
            f"{file} has no column {name_column!r} (it has {', '.join(rows.columns)}); give "
            "name_column= if the file names are in another one"
        )
    return rows, rejected


def _asked_for(columns: Mapping[str, str] | None, ignore: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the run that are labels or ignored."""
    if ignore == "rest":
        ignore = ("rv", "vmac", "rotation")
    ignore = (ignore,) if isinstance(ignore, str) else ignore
    return tuple(name for name in _OF_THE_RUN if name in ignore or name in (columns or {}))


def _constants(rows: "pd.DataFrame") -> dict[str, float]:
    """Return the values of the columns of the run, which must be constant."""
    constants = {}
    for name in rows.columns:
        values = rows[name].dropna().unique()
        if len(values) > 1:
            raise ValueError(
                f"column {name!r} of the table of labels is not the same for all spectra: give "
                f"columns={{{name!r}: '{name}_of_grid'}} to make it a label with that or another "
                f"name, or ignore=({name!r},) to leave it out"
            )
        if len(values):
            constants[name] = float(values[0])
    return constants


_PART = 1 << 18  # bytes that are read with one system call
_COMMENTS = re.compile(rb"(?:#[^\n]*\n)*")
_RUN_LINE = re.compile(
    rb"^#\s*(resolution|vmac|rotation):\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*$", re.MULTILINE
)
_DATE = re.compile(rb"^#\s*date:\s*(\d{4}-\d{2}-\d{2})", re.MULTILINE)


def _content(file: str) -> bytes:
    """Read a file with few system calls, because each releases the lock of Python."""
    handle, parts = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0)), []
    try:
        while part := os.read(handle, _PART):
            parts.append(part)
    finally:
        os.close(handle)
    content = b"".join(parts)
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"cannot be decompressed: {error}") from None


def _parts(file: str) -> tuple[dict[str, float], bytes]:
    """Return the values in the header of a spectrum, and its lines of numbers."""
    content = _content(file).removeprefix(codecs.BOM_UTF8)
    end = _COMMENTS.match(content).end()
    header = {name.decode(): float(value) for name, value in _RUN_LINE.findall(content[:end])}
    return header, content[end:].strip()


def _most_frequent(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Return the values in most headers of the first spectra, so that one file cannot decide."""
    counts: Counter[tuple[str, float]] = Counter()
    for name in names[:_N_COMPARED]:
        with contextlib.suppress(OSError, ValueError):  # reported when it is loaded
            counts.update(_parts(os.path.join(folder, name))[0].items())
    return dict(item for item, _ in reversed(counts.most_common()))  # the last one wins


def _numbers(folder: Path, name: str, same: Mapping[str, float]) -> bytes:
    """Return the lines of numbers of a file, if its header agrees with the others."""
    header, numbers = _parts(os.path.join(folder, name))
    for name, value in header.items():
        if value != same.get(name, value):
            raise ValueError(f"has {name} = {value:g} in its header, not {same[name]:g}")
    if not numbers.isascii():
        raise ValueError("cannot be read: it is not a text file")
    return numbers


def _load(
    folder: Path, names: Sequence[str], column: int, same: Mapping[str, float], i: int
) -> "tuple[np.ndarray, np.ndarray]":
    """Load wavelength and flux of one file."""
    table = _parse(_numbers(folder, names[i], same))
    if column >= table.shape[1]:
        raise ValueError(f"cannot be read: it has {table.shape[1]} columns, no flux of that kind")
    return table[:, 0], table[:, column]


def _load_block(
    folder: Path,
    names: Sequence[str],
    column: int,
    same: Mapping[str, float],
    indices: Sequence[int],
) -> "tuple[np.ndarray, np.ndarray]":
    """Load files of the same wavelengths, which one call of the parser reads together."""
    files = [_numbers(folder, names[i], same) for i in indices]
    start = files[0][: len(files[0].split(None, 1)[0]) + 1]
    lines = _parse(b"\n".join(files))
    tables = lines.reshape(len(files), -1, lines.shape[1])
    wavelength = tables[0, :, 0]
    # Each file starts with the first wavelength, which is once in every table: each is a table.
    if not (
        all(file.startswith(start) for file in files)
        and (wavelength[1:] > wavelength[0]).all()
        and (tables[:, :, 0] == wavelength).all()
    ):
        raise ValueError("files have different wavelengths")
    return wavelength, tables[:, :, column]


def _parse(text: bytes) -> "np.ndarray":
    """Parse columns of numbers; the error of the parser becomes a `ValueError`."""
    import pandas as pd

    options = {"sep": r"\s+", "comment": "#", "header": None, "engine": "c", "low_memory": False}
    try:
        return pd.read_csv(io.BytesIO(text), **options).to_numpy(dtype=float)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"cannot be read as columns of numbers: {error}") from None


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of the folders of TSFitPy."""
    return [TSFitPyReader()]
