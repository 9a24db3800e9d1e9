# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for our own grid files."""

import numpy as np

from astropayne.labels.names import Label
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader

__all__ = ["AstropayneReader"]


class AstropayneReader(GridReader):
    """A file written by ``SpectralGrid.write``. It has been checked, and is not checked again."""

    format = "astropayne"

    def sniff(self, path):
        """Look at the file's first bytes."""
        from astropayne.io.container import sniff_container

        return sniff_container(path, "SpectralGrid")

    def open(self, path, *, verify=None):
        """Return the grid itself, its flux on disk: there is nothing to collect.

        ``verify`` says whether to compare the checksums of the flux; by default up to 1 GB.
        """
        import astropy.units as u
        from astropy.table import QTable

        from astropayne.grids.files import open_grid_file
        from astropayne.grids.grid import SpectralGrid

        tree, flux = open_grid_file(path, verify)
        columns = zip(tree["label_names"], np.array(tree["labels"]).T, strict=True)
        labels = QTable({name: Label(name).column(values) for name, values in columns})
        report = QTable({name: tree["report"][name] for name in ("name", "reason")})
        return SpectralGrid(
            tree["wavelength"] * u.AA,
            flux,
            labels,
            [str(name) for name in tree["names"]],
            tree["meta"],
            report,
        )


@hookimpl
def astropayne_grid_readers():
    """Return the reader of our own grid files."""
    return [AstropayneReader()]
