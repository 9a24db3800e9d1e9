# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for the training grids of one_payne: an ``.npz`` file for each."""

from functools import partial

import numpy as np

from astropayne.grids.readers.npz_arrays import NpzSpectra, labels_of_array, npz_names, read_array
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["OnePayneReader"]


class OnePayneReader(GridReader):
    """An ``.npz`` file that one_payne's ``process_data.py`` wrote, or several in a list.

    It holds ``flxn`` (pixels × spectra), ``wvl`` (Å), ``labels`` (labels × spectra) and
    ``label_names``. Teff is in kK there, and becomes K. Flux that was not compressed stays on disk
    until it is read.

    Options of ``SpectralGrid.read(file, format="one_payne", ...)``:

    * ``label_names``, where the file has none;
    * ``medium="air"`` and ``solar_scale="magg2022"``, what TSFitPy computes with;
    * ``resolution``, which the file does not say.
    """

    format = "one_payne"

    def sniff(self, path):
        """Look for the arrays in the file."""
        return path.suffix == ".npz" and {"flxn", "wvl", "labels"} <= npz_names(path)

    def open(
        self, path, *, label_names=None, medium="air", solar_scale="magg2022", resolution=None
    ):
        """Read labels and wavelengths; see `GridReader.open`."""
        wavelength = np.asarray(read_array(path, "wvl"), dtype=float)
        values = read_array(path, "labels")
        spectra = NpzSpectra(path, "flxn", axis=1)
        names = read_array(path, "label_names") if label_names is None else label_names
        expected = (len(names), len(spectra))
        if values.shape != expected or spectra.n_pixels != len(wavelength):
            raise ValueError(
                f"{path}: flxn has {spectra.n_pixels} pixels x {len(spectra)} spectra, wvl "
                f"{len(wavelength)} pixels, labels the shape {values.shape}, label_names "
                f"{len(names)} names: labels should be {expected}, labels x spectra"
            )
        return GridSource(
            names=[str(i) for i in range(len(spectra))],
            labels=labels_of_array([_text(name) for name in names], values.T),
            load=partial(_load, wavelength, spectra),
            meta={
                "medium": medium,
                "resolution": resolution,
                "solar_scale": solar_scale,
                "normalized": True,
            },
        )


def _text(name):
    return name.decode() if isinstance(name, bytes) else str(name)


def _load(wavelength, spectra, i):
    return wavelength, spectra[i]


@hookimpl
def astropayne_grid_readers():
    """Return the reader of one_payne's grids."""
    return [OnePayneReader()]
