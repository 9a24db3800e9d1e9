# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`GridData`: the parts of a grid as one immutable value, on which the functions of grids work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.grids.checks import canonical_labels
from astropayne.grids.flux_file import FluxFile
from astropayne.grids.info import GridInfo
from astropayne.wavelengths.axis import require_axis

__all__ = ["GridData", "GridWarning", "make_grid_data", "no_flux", "report_table"]

_REPORT = ("name", "reason")


class GridWarning(AstropyUserWarning):
    """Spectra of a grid were set aside, or sample their lines too coarsely."""


@dataclass(frozen=True, eq=False)
class GridData:
    """Spectra on one wavelength axis with their labels, row by row.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        In Å.
    flux : numpy.ndarray or FluxFile, shape (n_spectra, n_pixels)
    labels : `~astropy.table.QTable`
        A row for each spectrum, columns under canonical names and in their own units.
    names : tuple of str
        Names of the spectra.
    info : GridInfo
        What holds for all spectra.
    report : `~astropy.table.QTable`
        ``name`` and ``reason`` of spectra that were set aside.

    Raises
    ------
    ValueError
        If the numbers of rows or pixels differ.
    """

    wavelength: np.ndarray
    flux: np.ndarray | FluxFile
    labels: QTable
    names: tuple[str, ...]
    info: GridInfo
    report: QTable

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.flux.shape != (n, len(self.wavelength)) or len(self.names) != n:
            raise ValueError(
                f"flux has shape {self.flux.shape}, but there are {n} rows of labels, "
                f"{len(self.names)} names and {len(self.wavelength)} wavelengths: flux must have "
                "one row for each spectrum and one column for each pixel"
            )

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, index: np.ndarray) -> "GridData":
        """Return the spectra at some positions, in that order."""
        on_disk = isinstance(self.flux, FluxFile)
        return replace(
            self,
            flux=self.flux.take(index) if on_disk else self.flux[index],
            labels=self.labels[index],
            names=tuple(self.names[i] for i in index),
        )

    def loaded(self) -> "GridData":
        """Return the same spectra with their flux in memory."""
        return replace(self, flux=np.asanyarray(self.flux[:]))

    def flux_blocks(self, size: int = 512) -> Iterator[np.ndarray]:
        """Go through the flux in memory, some spectra at a time."""
        for first in range(0, len(self), size):
            yield np.asarray(self.flux[first : first + size])


def make_grid_data(
    wavelength: u.Quantity | npt.ArrayLike,
    flux: npt.ArrayLike | FluxFile,
    labels: Table | Mapping[str, npt.ArrayLike],
    names: Sequence[str] | None = None,
    info: GridInfo | None = None,
    report: Table | None = None,
) -> GridData:
    """Check the parts of a grid and bring them into their canonical forms.

    Parameters
    ----------
    wavelength, flux, labels, names, report
        As for `~astropayne.SpectralGrid`.
    info : GridInfo, optional

    Returns
    -------
    GridData

    Raises
    ------
    ValueError
        If sizes differ, or wavelengths, labels, medium or resolution are not usable.
    """
    info, labels = info or GridInfo(), canonical_labels(labels)
    names = [str(i) for i in range(len(labels))] if names is None else names
    data = GridData(
        u.Quantity(wavelength, u.AA, dtype=float).value,
        flux if isinstance(flux, FluxFile) else _plain(flux),
        labels,
        tuple(names),
        info,
        report_table(()) if report is None else QTable(report),
    )
    require_axis(data.wavelength, info.medium, info.resolution)
    return data


def report_table(rejected: Mapping[str, str] | Sequence[tuple[str, str]]) -> QTable:
    """Return names and reasons of spectra that were set aside as a table."""
    pairs = list(rejected.items() if isinstance(rejected, Mapping) else rejected)
    columns = np.array(pairs, dtype=str).reshape(-1, 2).T
    return QTable({name: np.array(c) for name, c in zip(_REPORT, columns, strict=True)})


def no_flux(n_spectra: int, n_pixels: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return an array without memory of its own, in place of flux that is stored elsewhere."""
    return np.broadcast_to(np.zeros((), dtype), (n_spectra, n_pixels))


def _plain(flux: Any) -> np.ndarray:
    """Return flux without a mask, and without a unit that is only a number."""
    flux = np.asanyarray(flux)
    if hasattr(flux, "mask"):  # integers have no NaN
        flux = flux.astype(np.result_type(flux.dtype, np.float16)).filled(np.nan)
    unit = getattr(flux, "unit", None)
    if unit is not None and unit.is_equivalent(u.one):
        flux = u.Quantity(flux, copy=False).to_value(u.one)
    return flux
