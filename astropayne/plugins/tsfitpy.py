# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for grids as TSFitPy writes them: a folder of ``.spec`` files and a CSV of labels."""

import io
import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
from astropy.table import QTable

from astropayne.labels import Label
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.reader import GridReader, GridSource

__all__ = ["TSFitPyReader"]

# TSFitPy writes these columns itself; they describe the run, not the star.
_NOT_LABELS = ("rv", "vmac", "rotation", "resolution")


class TSFitPyReader(GridReader):
    """A folder written by TSFitPy's ``generate_synthetic_spectra.py``.

    Options of ``SpectralGrid.read(folder, format="tsfitpy", ...)``:

    * ``flux="normalised"`` (the second column) or ``"absolute"`` (the third);
    * ``extension=".spec"`` of the spectra;
    * ``table="spectra_parameters.csv"``, the file of labels in the folder;
    * ``medium="air"`` and ``solar_scale="magg2022"``, what TSFitPy computes with.
    """

    format = "tsfitpy"

    def sniff(self, path):
        """Look for the table of labels."""
        return (path / "spectra_parameters.csv").is_file()

    def open(
        self,
        path,
        *,
        flux="normalised",
        extension=".spec",
        table="spectra_parameters.csv",
        medium="air",
        solar_scale="magg2022",
    ):
        """Match the label rows with the files; see `GridReader.open`."""
        if flux not in _FLUX_COLUMN:
            raise ValueError(f"flux={flux!r}: TSFitPy's files hold {', '.join(_FLUX_COLUMN)} flux")
        if not (path / table).is_file():
            raise FileNotFoundError(
                f"{path} has no file {table!r} with the labels; give table= if it has another name"
            )
        rows = pd.read_csv(path / table, dtype={"specname": str})
        if "specname" not in rows:
            raise ValueError(
                f"{path / table} has no column 'specname' (it has {', '.join(rows.columns)})"
            )
        on_disk = {file.name for file in path.iterdir() if file.name.endswith(extension)}
        rows, rejected = _match(rows, on_disk, extension)
        labels = QTable()
        for column in rows.columns.drop("specname"):
            if column not in _NOT_LABELS:
                label = Label(column)
                values = pd.to_numeric(rows[column], errors="coerce").to_numpy(float)
                labels[label.name] = label.column(values)
        names = list(rows["specname"])
        resolution = _header(path / names[0]).get("resolution") if names else None
        return GridSource(
            names=names,
            labels=labels,
            load=partial(_load, path, names, _FLUX_COLUMN[flux]),
            meta={
                "medium": medium,
                "resolution": float(resolution) if resolution else None,
                "solar_scale": solar_scale,
                "normalised": flux == "normalised",
            },
            rejected=rejected,
        )


_FLUX_COLUMN = {"normalised": 1, "absolute": 2}


def _match(rows, on_disk, extension):
    """Keep the label rows that have one file, once; give the reason for every other."""
    rows = rows.assign(specname=rows["specname"].str.strip())
    rejected = {}
    doubled = rows["specname"].duplicated(keep=False)
    for name in rows["specname"][doubled]:
        rejected[name] = "has more than one row in the table of labels"
    lost = ~rows["specname"].isin(on_disk) & ~doubled
    for name in rows["specname"][lost]:
        rejected[name] = f"is in the table of labels, but there is no such {extension} file"
    for name in sorted(on_disk.difference(rows["specname"])):
        rejected[name] = "has no row in the table of labels"
    return rows[~doubled & ~lost].reset_index(drop=True), rejected


def _header(file):
    """Return the ``key: value`` lines at the top of a spectrum."""
    found = {}
    with file.open() as lines:
        for line in lines:
            if not line.startswith("#"):
                break
            if match := re.match(r"#\s*(\w+):\s*(.*\S)", line):
                found[match[1]] = match[2]
    return found


def _load(folder, names, column, i):
    """Load wavelength and flux of one file."""
    try:
        text = (folder / names[i]).read_text()
    except UnicodeDecodeError:
        raise ValueError("cannot be read: it is not a text file") from None
    table = _parse(text) if len(text) < _SHORT else None
    if table is None:
        table = _parse_carefully(text)
    if column >= table.shape[1]:
        raise ValueError(f"cannot be read: it has {table.shape[1]} columns, no flux of that kind")
    return table[:, 0], table[:, column]


# Characters of a file below which numpy has parsed it before pandas has started.
_SHORT = 1 << 16


def _parse(text):
    """Parse columns of numbers below a header; `None` if they are anything else."""
    start = 0
    try:
        while text.startswith("#", start):
            start = text.index("\n", start) + 1
        n_columns = len(text[start : text.index("\n", start)].split())
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy's word for: not a number
            return np.fromstring(text[start:], sep=" ").reshape(-1, n_columns)
    except (ValueError, DeprecationWarning):
        return None


def _parse_carefully(text):
    """Parse any columns of numbers, and say what is wrong if they are none."""
    try:
        table = pd.read_csv(io.StringIO(text), sep=r"\s+", comment="#", header=None, engine="c")
        return table.to_numpy(dtype=float)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"cannot be read as columns of numbers: {error}") from None


@hookimpl
def astropayne_grid_readers():
    """Return the reader of TSFitPy's folders."""
    return [TSFitPyReader()]
