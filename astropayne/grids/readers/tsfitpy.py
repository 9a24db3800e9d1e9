# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for grids as TSFitPy writes them: a folder of ``.spec`` files and a CSV of labels."""

import codecs
import contextlib
import gzip
import io
import os
import re
import zlib
from collections import Counter
from functools import partial

from astropayne.grids.readers.files import match_files
from astropayne.io.text_tables import read_csv
from astropayne.labels.columns import label_columns
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["TSFitPyReader"]

# TSFitPy writes these columns itself; they describe the run, not the star.
_OF_THE_RUN = ("rv", "vmac", "rotation", "resolution")
_FLUX_COLUMN = {"normalized": 1, "absolute": 2}
_FLUX_UNIT = "erg / (s cm2 Angstrom)"  # of absolute flux


class TSFitPyReader(GridReader):
    """A folder written by TSFitPy's ``generate_synthetic_spectra.py``.

    Options of ``SpectralGrid.read(folder, format="tsfitpy", ...)``:

    * ``flux="normalized"`` (the second column) or ``"absolute"`` (the third, whose unit,
      erg / (s cm2 Å), is kept in ``meta["flux_unit"]``);
    * ``extension=".spec"`` of the spectra, which may be compressed (``.spec.gz``);
    * ``table="spectra_parameters.csv"``, the file of labels in the folder, and
      ``name_column="specname"``, its column of file names, with or without the extension;
    * ``columns={"T": "teff"}`` for label columns of other names, and ``ignore=("mass",)`` for
      columns that are no labels (``"rest"``: all that are not in ``columns``);
    * ``units={"Teff": "kK"}`` for columns that do not say their unit, as ``"Teff [kK]"`` does;
    * ``medium="air"`` and ``solar_scale="magg2022"``, what TSFitPy computes with;
    * ``resolution``, where it is not what the spectra's headers say.

    TSFitPy's own columns (``rv``, ``vmac``, ``rotation``, ``resolution``) are no labels. They have
    to be the same for all spectra, in the table and in the headers, unless ``columns`` or
    ``ignore`` names them.
    """

    format = "tsfitpy"

    def sniff(self, path):
        """Look for the table of labels."""
        return (path / "spectra_parameters.csv").is_file()

    def open(
        self,
        path,
        *,
        flux="normalized",
        extension=".spec",
        table="spectra_parameters.csv",
        name_column="specname",
        columns=None,
        ignore=(),
        units=None,
        medium="air",
        solar_scale="magg2022",
        resolution=None,
    ):
        """Match the label rows with the files; see `GridReader.open`."""
        if flux not in _FLUX_COLUMN:
            raise ValueError(f"flux={flux!r}: TSFitPy's files hold {', '.join(_FLUX_COLUMN)} flux")
        rows, rejected = _read_table(path / table, name_column)
        on_disk = _spectra(path, extension)
        kept, names, unmatched = match_files(rows.pop(name_column), on_disk, f"{extension} file")
        files = [on_disk[name] for name in names]
        # a row that cannot be read is the better reason for a file without one
        rejected = {**unmatched, **rejected}
        rows = rows.iloc[kept]
        labels = label_columns(
            {name: rows[name].to_numpy() for name in rows.columns},
            columns,
            ignore,
            _OF_THE_RUN,
            units,
        )
        asked = _asked_for(columns, ignore) + (() if resolution is None else ("resolution",))
        same = {
            **_most_frequent(path, files),
            **_constants(rows[[n for n in _OF_THE_RUN if n in rows and n not in asked]]),
        }
        same = {name: value for name, value in same.items() if name not in asked}
        where = path, files, _FLUX_COLUMN[flux], same
        run = {name: value for name, value in same.items() if value}  # a zero is TSFitPy's "none"
        resolution = run.pop("resolution", None) if resolution is None else resolution
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
        load, load_block = partial(_load, *where), partial(_load_block, *where)
        return GridSource(names, labels, load, meta, rejected, load_block, threads=True)


def _spectra(path, extension):
    """Return names of spectra, without what says that they are compressed, and their files."""
    extension = extension.removesuffix(".gz")
    files = sorted(os.listdir(path), reverse=True)  # of two, the one that is not compressed
    names = {file.removesuffix(".gz"): file for file in files}
    return {name: file for name, file in names.items() if name.endswith(extension)}


def _read_table(file, name_column):
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


def _asked_for(columns, ignore):
    """Return TSFitPy's own columns that are labels or are not to be looked at."""
    if ignore == "rest":
        ignore = ("rv", "vmac", "rotation")
    ignore = (ignore,) if isinstance(ignore, str) else ignore
    return tuple(name for name in _OF_THE_RUN if name in ignore or name in (columns or {}))


def _constants(rows):
    """Return what TSFitPy's own columns say of all spectra."""
    found = {}
    for name in rows.columns:
        values = rows[name].dropna().unique()
        if len(values) > 1:
            raise ValueError(
                f"column {name!r} of the table of labels is not the same for all spectra: give "
                f"columns={{{name!r}: '{name}_of_grid'}} to make it a label of that or another "
                f"name, or ignore=({name!r},)"
            )
        if len(values):
            found[name] = float(values[0])
    return found


_PART = 1 << 18  # bytes that are read at a time
_COMMENTS = re.compile(rb"(?:#[^\n]*\n)*")
_RUN_LINE = re.compile(
    rb"^#\s*(resolution|vmac|rotation):\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)\s*$", re.MULTILINE
)


def _content(file):
    """Read a file with as few system calls as it takes: each lets another thread go first."""
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


def _parts(file):
    """Return what the header of a spectrum says of the run, and its lines of numbers."""
    content = _content(file).removeprefix(codecs.BOM_UTF8)
    end = _COMMENTS.match(content).end()
    header = {name.decode(): float(value) for name, value in _RUN_LINE.findall(content[:end])}
    return header, content[end:].strip()


def _most_frequent(folder, names):
    """Return what most of the first spectra's headers say: one file may not set it."""
    found = Counter()
    for name in names[:21]:
        with contextlib.suppress(OSError, ValueError):  # said when it is loaded
            found.update(_parts(os.path.join(folder, name))[0].items())
    return dict(item for item, _ in reversed(found.most_common()))  # the last one stays


def _numbers(folder, name, same):
    """Read the lines of numbers of a file, if its header says the same as the others'."""
    header, numbers = _parts(os.path.join(folder, name))
    for name, value in header.items():
        if value != same.get(name, value):
            raise ValueError(f"has {name} = {value:g} in its header, not {same[name]:g}")
    if not numbers.isascii():
        raise ValueError("cannot be read: it is not a text file")
    return numbers


def _load(folder, names, column, same, i):
    """Load wavelength and flux of one file."""
    table = _parse(_numbers(folder, names[i], same))
    if column >= table.shape[1]:
        raise ValueError(f"cannot be read: it has {table.shape[1]} columns, no flux of that kind")
    return table[:, 0], table[:, column]


def _load_block(folder, names, column, same, indices):
    """Load files of the same wavelengths: the parser is started once for all of them."""
    files = [_numbers(folder, names[i], same) for i in indices]
    start = files[0][: len(files[0].split(None, 1)[0]) + 1]
    lines = _parse(b"\n".join(files))
    tables = lines.reshape(len(files), -1, lines.shape[1])
    wavelength = tables[0, :, 0]
    # Each starts with the first wavelength, which comes once in every table: so each is a table.
    if not (
        all(file.startswith(start) for file in files)
        and (wavelength[1:] > wavelength[0]).all()
        and (tables[:, :, 0] == wavelength).all()
    ):
        raise ValueError("files have different wavelengths")
    return wavelength, tables[:, :, column]


def _parse(text):
    """Parse columns of numbers, and say what is wrong if they are none."""
    import pandas as pd

    options = {"sep": r"\s+", "comment": "#", "header": None, "engine": "c", "low_memory": False}
    try:
        return pd.read_csv(io.BytesIO(text), **options).to_numpy(dtype=float)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"cannot be read as columns of numbers: {error}") from None


@hookimpl
def astropayne_grid_readers():
    """Return the reader of TSFitPy's folders."""
    return [TSFitPyReader()]
