# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader of the grid files of this package."""

from pathlib import Path

from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["AstropayneReader"]


class AstropayneReader(GridReader):
    """A file written by ``SpectralGrid.write``. Its spectra are not checked again.

    The flux stays on disk; spectra are read when they are used.

    Options of ``SpectralGrid.read(file, format="astropayne", ...)``:

    * ``verify``: whether to compare the checksums of the flux; by default for files up to 1 GB.
    """

    format = "astropayne"

    def sniff(self, path: Path) -> bool:
        """Look at the first bytes of the file."""
        from astropayne.io.container import sniff_container

        return sniff_container(path, "SpectralGrid")

    def open(self, path: Path, *, verify: bool | None = None) -> GridSource:
        """Open a grid file, its flux on disk; see `~astropayne.plugins.GridReader.open`."""
        from astropayne.grids.files import open_grid_file

        return open_grid_file(path, verify)


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of the grid files of this package."""
    return [AstropayneReader()]
