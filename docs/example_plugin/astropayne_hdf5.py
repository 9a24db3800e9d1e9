"""Grids of synthetic spectra in HDF5 files, for astropayne."""

from functools import partial

import h5py
from astropy.table import Column

from astropayne import hookimpl
from astropayne.plugins import GridReader, GridSource


class Hdf5Reader(GridReader):
    """A file with ``wavelength`` (Å), ``flux`` (spectra × pixels) and a group ``labels``.

    Each dataset in ``labels`` is a label, a number for each spectrum, with an attribute ``unit``
    if it has one. Attributes of the file are metadata: ``medium``, ``resolution`` and so on.
    """

    format = "hdf5"

    def sniff(self, path):
        """Look for the datasets."""
        if not h5py.is_hdf5(path):
            return False
        with h5py.File(path) as file:
            return {"wavelength", "flux", "labels"} <= set(file)

    def open(self, path, *, name="{}"):
        """Say which spectra there are; ``name`` makes a name of a spectrum's number."""
        with h5py.File(path) as file:
            labels = {
                label: Column(data[:], unit=data.attrs.get("unit"))
                for label, data in file["labels"].items()
            }
            names = [name.format(i) for i in range(len(file["flux"]))]
            return GridSource(names, labels, partial(_load, path), dict(file.attrs))


def _load(path, i):
    """Load one spectrum; a function of a module, so that other processes find it."""
    with h5py.File(path) as file:
        return file["wavelength"][:], file["flux"][i]


@hookimpl
def astropayne_grid_readers():
    """Return the reader of HDF5 files."""
    return [Hdf5Reader()]
