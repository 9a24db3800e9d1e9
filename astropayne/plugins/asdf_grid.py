# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for our own grid files."""

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.formats.container import read_container, sniff_container
from astropayne.labels import Label
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.reader import GridReader

__all__ = ["AstropayneReader"]


class AstropayneReader(GridReader):
    """A file written by ``SpectralGrid.write``. It has been checked, and is not checked again."""

    format = "astropayne"

    def sniff(self, path):
        """Look at the file's first bytes."""
        return sniff_container(path, "SpectralGrid")

    def open(self, path):
        """Return the grid itself: there is nothing to collect."""
        from astropayne.grid import SpectralGrid

        tree = read_container(path, "SpectralGrid")
        columns = zip(tree["label_names"], np.array(tree["labels"]).T, strict=True)
        labels = QTable({name: Label(name).column(values) for name, values in columns})
        report = QTable(tree["report"], dtype=["str", "str"])
        return SpectralGrid(
            tree["wavelength"] * u.AA, tree["flux"], labels, tree["names"], tree["meta"], report
        )


@hookimpl
def astropayne_grid_readers():
    """Return the reader of our own grid files."""
    return [AstropayneReader()]
