# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fits of files of spectra, and their summary as text."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable, Row
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.engine.flags import Flag
from astropayne.fitting.batches import Interrupted
from astropayne.fitting.fit import fit_spectra
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.models.model import PayneModel
from astropayne.spectra.files import SpectraFromFiles
from astropayne.spectra.options import ReadOptions

__all__ = ["describe_fits", "fit_files", "measured"]

_ACCOUNTS = 3  # stars whose account is part of a summary


@takes_fit_options
def fit_files(
    stars: Iterable[str | Path | Sequence[str | Path]],
    model: PayneModel,
    *,
    read: ReadOptions | None = None,
    measure: Callable[..., QTable] = fit_spectra,
    progress: bool | None = None,
    options: FitOptions | None = None,
    **keywords: Any,
) -> QTable:
    """Fit spectra in files.

    Parameters
    ----------
    stars : iterable of path-like, or of sequences of them
        A file for each star, or several: its arms, which are fitted together. Of a file of many
        stars, all are fitted; one is chosen as in `~astropayne.spectra.files.read_star`,
        ``"coadd.fits::5"``.
    model : `~astropayne.PayneModel`
    read : `~astropayne.spectra.options.ReadOptions`, optional
        Options of reading.
    measure : callable
        Function that measures the spectra: `~astropayne.fit_spectra`, or
        `~astropayne.fit_abundances`; with options of its own, `functools.partial` of these.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    options : `~astropayne.fitting.FitOptions`, optional
        Options to start from; the keywords change them.
    **keywords
        Options of the fit, as in `~astropayne.fit_spectrum`.

    Returns
    -------
    `~astropy.table.QTable`
        Table of ``measure``; the column ``name`` holds the files, joined by commas. Files are read
        one after another. A star whose files cannot be read has the flag ``BAD_INPUT``, and the
        reason in ``message``.

    Raises
    ------
    TypeError, ValueError
        If an option is not valid.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If Ctrl-C ends it after some stars were measured: the table then has only these.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.workflows.fit_files import fit_files
    >>> from astropayne.spectra.write import write_spectrum
    >>> model, file = PayneModel.sample(), mkdtemp() + "/sun.ecsv"
    >>> write_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, rv=12), file)
    >>> table = fit_files([file], model)
    >>> print(table["rv"].round(1))
    [12.] km / s
    """
    options = FitOptions.from_call(fit_files, options, keywords)
    stars = list(stars)
    spectra = SpectraFromFiles(stars, read or ReadOptions())
    try:
        table = measure(spectra, model, progress=progress, options=options)
    except Interrupted as interrupt:
        table = interrupt.table
        if not len(table):
            raise
        table.meta["partial"] = True  # which the command line asks for
        warnings.warn(
            f"interrupted: the table has the first {len(table)} stars of {len(stars)} files",
            AstropyUserWarning,
            stacklevel=2,
        )
    messages = enumerate(table["message"])
    table["message"] = [spectra.reasons.get(i, str(message)) for i, message in messages]
    return table


def measured(table: QTable) -> np.ndarray:
    """Return which rows of a table of fits hold a measurement.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table of `~astropayne.fit_spectra` or `~astropayne.fit_abundances`.

    Returns
    -------
    numpy.ndarray of bool, shape (n_rows,)

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne import Flag
    >>> from astropayne.workflows.fit_files import measured
    >>> measured(QTable({"flags": [0, int(Flag.BAD_INPUT)]})).tolist()
    [True, False]
    """
    return (table["flags"] & Flag.BAD_INPUT) == 0


def describe_fits(table: QTable, *, everything: bool = False, n_rows: int = 20) -> Iterator[str]:
    """Yield the lines of a summary of a table of fits.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table of `~astropayne.fit_spectra`.
    everything : bool
        Whether to list every star, not only the first ones.
    n_rows : int
        Number of stars to list otherwise.

    Yields
    ------
    str
    """
    good = measured(table)
    digits = {"teff": 0, "logg": 2, "feh": 2, "rv": 2, "vsini": 1}
    shown = {name: n for name, n in digits.items() if name in table.colnames}
    width = max([4, *map(len, table["name"])])
    yield f"{'name':{width}s}" + "".join(f"{name:>16s}" for name in shown) + "  flags"
    for row in table if everything else table[:n_rows]:
        cells = "".join(f"{_value_text(row, name, n):>16s}" for name, n in shown.items())
        yield f"{row['name']:{width}s}{cells}  {_flags_text(row)}"
    if not everything and len(table) > n_rows:
        yield f"... and {len(table) - n_rows} more"
    yield f"{len(table)} {'spectrum' if len(table) == 1 else 'spectra'}, {good.sum()} measured"
    for row in table[good][: n_rows if everything else _ACCOUNTS]:
        if "notes" in table.colnames and row["notes"]:
            yield f"{row['name']}: {row['notes']}"
    for row in table[~good]:
        named = row["name"] in row["message"]
        yield "not measured: " + ("" if named else f"{row['name']}: ") + row["message"]


def _value_text(row: Row, name: str, digits: int) -> str:
    """Return a value with its error, or as an upper limit."""
    value, error, limit = (
        u.Quantity(np.ma.filled(row[column], np.nan)).value if column in row.colnames else np.nan
        for column in (name, f"{name}_err", f"{name}_limit")
    )
    if np.isfinite(limit):
        return f"< {limit:.{digits}f}"
    if not np.isfinite(value):
        return "-"
    value = round(float(value), digits) + 0.0  # not minus zero
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")


def _flags_text(row: Row) -> str:
    """Return the names of the flags of a row, with the labels that they concern."""
    labels = {Flag.AT_BOUND: row["at_bound"], Flag.LOW_INFORMATION: row["low_information"]}
    names = [
        f"{flag.name} ({', '.join(labels[flag].split())})" if labels.get(flag) else flag.name
        for flag in Flag
        if flag & int(row["flags"])
    ]
    return ", ".join(names) or "-"
