# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`GridView`: the parts of a grid, which users can see but not change."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.grids.data import GridData
from astropayne.grids.flux_file import FluxFile
from astropayne.grids.info import GridInfo, GridMeta
from astropayne.labels.names import Label
from astropayne.labels.space import LabelSpace
from astropayne.utils.suggestions import suggests_options
from astropayne.wavelengths.axis import find_windows

if TYPE_CHECKING:
    from typing import Self

    from specutils import Spectrum

__all__ = ["GridView"]

_PARTS = ("wavelength", "flux", "labels", "names")  # that `SpectralGrid.replace` takes


@suggests_options
class GridView:
    """Read-only access to the parts of a grid, and to its spectra by index.

    `~astropayne.SpectralGrid` is a subclass that adds what can be done with a grid.
    """

    _data: GridData

    @classmethod
    def from_data(cls, data: GridData) -> "Self":
        """Return the grid of a `~astropayne.grids.data.GridData`, whose parts are checked."""
        grid = object.__new__(cls)
        object.__setattr__(grid, "_data", data)
        return grid

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(_cannot_change(name))

    def __delattr__(self, name: str) -> None:
        raise AttributeError(_cannot_change(name))

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        n, pixels = self._data.flux.shape
        resolution = self.info.resolution
        return (
            f"<SpectralGrid: {n} spectra x {pixels} pixels in {len(self.windows)} windows, "
            f"{len(self._data.labels.colnames)} labels, "
            f"R = {'unknown' if resolution is None else f'{resolution:g}'}, {self.info.medium}>"
        )

    @property
    def wavelength(self) -> u.Quantity:
        """Wavelengths of the pixels, read-only (`~astropy.units.Quantity` in Å)."""
        return u.Quantity(_read_only(self._data.wavelength), u.AA, copy=False)

    @property
    def flux(self) -> np.ndarray | FluxFile:
        """Flux, shape (n_spectra, n_pixels), read-only; of a grid file, it stays on disk."""
        flux = self._data.flux
        return flux if isinstance(flux, FluxFile) else _read_only(flux)

    @property
    def labels(self) -> QTable:
        """Labels, one row for each spectrum (`~astropy.table.QTable`).

        Each access returns a new table whose columns are read-only, so nothing that is done with
        the table affects the grid. ``grid.labels.copy()`` can be edited, and
        ``grid.replace(labels=...)`` returns a grid with edited labels. To sort or select
        spectra, index the grid: ``grid[np.argsort(grid.labels["teff"])]``.
        """
        labels = self._data.labels
        return QTable({name: _read_only(labels[name]) for name in labels.colnames}, copy=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the spectra."""
        return self._data.names

    @property
    def info(self) -> GridInfo:
        """Metadata that apply to all spectra: medium, resolution, solar scale, and so on."""
        return self._data.info

    @property
    def meta(self) -> GridMeta:
        """All metadata as a read-only mapping; `replace` changes entries."""
        return GridMeta(self._data.info.to_meta())

    @property
    def report(self) -> QTable:
        """Spectra that were set aside, with the reason; a copy."""
        return self._data.report.copy()

    @property
    def label_space(self) -> LabelSpace:
        """Names, units and ranges of the labels (`~astropayne.labels.space.LabelSpace`)."""
        return LabelSpace.from_table(self._data.labels)

    @property
    def windows(self) -> list[slice]:
        """Slices of the wavelength axis between gaps."""
        return find_windows(self._data.wavelength)

    def __getitem__(self, item: Any) -> "Spectrum | Self":
        """Return one spectrum for an integer, else a grid of the selected spectra."""
        if isinstance(item, int | np.integer):
            return self._spectrum(int(item))
        return self.from_data(self._data.rows(np.arange(len(self))[item]))

    def _spectrum(self, i: int) -> "Spectrum":
        from specutils import Spectrum

        labels, info = self._data.labels, self.info
        meta = {name: Label(name).quantity(labels[name][i]) for name in labels.colnames}
        meta["name"] = self.names[i]
        meta |= {key: getattr(info, key) for key in ("medium", "resolution", "solar_scale")}
        return Spectrum(
            spectral_axis=self.wavelength.copy(),
            flux=np.array(self._data.flux[i], dtype=float) * u.dimensionless_unscaled,
            meta=meta,
        )

    def load(self) -> "Self":
        """Return this grid with its flux in memory.

        Returns
        -------
        SpectralGrid
        """
        return self.from_data(self._data.loaded())

    def blocks(self, size: int = 512) -> "Iterator[Self]":
        """Go through the grid in parts.

        Parameters
        ----------
        size : int
            Number of spectra in each part.

        Yields
        ------
        SpectralGrid
            With its flux in memory.
        """
        for first in range(0, len(self), size):
            yield self[first : first + size].load()

    def plot_coverage(self, names: Sequence[str] | None = None, **options: Any) -> Any:
        """Plot the labels of the spectra, see `~astropayne.plotting.emulator.plot_coverage`."""
        from astropayne.plotting.emulator import plot_coverage

        return plot_coverage(self, names, **options)


def _read_only(array: Any) -> Any:
    """Return a view of an array or a column of a table that cannot be written to."""
    view = array[:]
    view.flags.writeable = False
    return view


def _cannot_change(name: str) -> str:
    part = f"{name}=..." if name in _PARTS else "meta={...}"
    return f"a SpectralGrid cannot be changed: grid.replace({part}) returns a new grid"
