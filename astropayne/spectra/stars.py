# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""All stars of a file, each with its arms."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import astropy.units as u
from specutils import Spectrum, SpectrumList

from astropayne.spectra.options import ReadOptions, SeveralTablesError, SeveralTargetsError
from astropayne.spectra.read import opened_file, read_from
from astropayne.utils.suggestions import suggests_options

__all__ = ["iter_stars", "read_spectra"]

_MOST_OVERLAP = 0.5  # of the shorter of two tables, if they are arms of one star


@suggests_options
def read_spectra(
    path: str | Path,
    *,
    format: str | None = None,
    wavelength_unit: u.UnitBase | str | None = None,
    columns: int | Mapping[str, str] | None = None,
    hdu: int | str | Sequence[int | str] | None = None,
    arm: int | str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> list[Spectrum | SpectrumList]:
    r"""Read the spectra of all stars in a file.

    Parameters
    ----------
    path : path-like
    format, wavelength_unit, columns, hdu, arm, meta
        As for `~astropayne.read_spectrum`.

    Returns
    -------
    list of `~specutils.Spectrum` or `~specutils.SpectrumList`
        An item per star: a spectrum, or a list of its arms, orders or visits. The metadata
        ``name`` is the path, followed by ``::`` and the number of the star if there are several.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropy.table import Table
    >>> from astropayne import read_spectra
    >>> file = mkdtemp() + "/two_stars.fits"
    >>> wave, flux = [[5160.0, 5160.1, 5160.2]] * 2, [[0.9, 0.8, 0.9], [0.7, 0.6, 0.7]]
    >>> Table({"wave": wave, "flux": flux}).write(file)
    >>> [float(star.flux.mean().round(2)) for star in read_spectra(file)]
    [0.87, 0.67]
    """
    options = ReadOptions(format, wavelength_unit, columns, hdu, None, arm, meta)
    stars = []
    for name, star in iter_stars(Path(path), options):
        if isinstance(star, Exception):
            raise ValueError(f"{name}: {star}") from star  # noqa: TRY004
        for spectrum in star if isinstance(star, SpectrumList) else [star]:
            spectrum.meta["name"] = name
        stars.append(star)
    return stars


def iter_stars(
    path: Path, options: ReadOptions
) -> Iterator[tuple[str, Spectrum | SpectrumList | Exception]]:
    """Yield name and spectra of each star in a file, which is opened once.

    Parameters
    ----------
    path : `~pathlib.Path`
    options : ReadOptions

    Yields
    ------
    name : str
    star : `~specutils.Spectrum`, `~specutils.SpectrumList` or Exception
        The error, if one of several stars cannot be read.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file cannot be read.
    """
    with ExitStack() as stack:
        file = opened_file(path, stack)
        try:
            yield str(path), read_from(file, path, options)
        except SeveralTablesError as error:
            yield str(path), _as_arms(file, path, options, error)
        except SeveralTargetsError as error:
            for target in range(error.n_targets):
                name = f"{path}::{target}"
                try:
                    yield name, read_from(file, path, replace(options, target=target))
                except GeneratorExit:
                    raise
                except Exception as reason:  # loaders raise any error; the others are read
                    yield name, reason


def _as_arms(
    file: Any, path: Path, options: ReadOptions, error: SeveralTablesError
) -> SpectrumList:
    """Return the spectra of several tables as arms, if they lie next to each other."""
    found = SpectrumList()
    for name in error.names:
        one = read_from(file, path, replace(options, hdu=name))
        found += one if isinstance(one, SpectrumList) else [one]
    ranges = sorted(
        tuple(sorted(s.spectral_axis[[0, -1]].to_value(u.AA, u.spectral()))) for s in found
    )
    for (low, high), (other, end) in pairwise(ranges):
        if high - other > _MOST_OVERLAP * min(high - low, end - other):
            raise error
    return found
