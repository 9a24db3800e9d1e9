# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader of the training grids of one_payne, ``.npz`` files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from astropayne.grids.readers.npz_arrays import NpzSpectra, labels_of_array, npz_names, read_array
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["OnePayneReader"]


class OnePayneReader(GridReader):
    """An ``.npz`` file written by ``process_data.py`` of one_payne.

    It holds ``flxn`` (pixels × spectra), ``wvl`` (Å), ``labels`` (labels × spectra) and
    ``label_names``. Teff in kK is converted to K. Flux that is not compressed stays on disk until
    it is read.

    Options of ``SpectralGrid.read(file, format="one_payne", ...)``:

    * ``label_names``, if the file has none;
    * ``medium="air"`` and ``solar_scale="magg2022"``, the choices of TSFitPy;
    * ``resolution``, which the file does not give.
    """

    format = "one_payne"

    def sniff(self, path: Path) -> bool:
        """Look for the arrays in the file."""
        return path.suffix == ".npz" and {"flxn", "wvl", "labels"} <= npz_names(path)

    def open(
        self,
        path: Path,
        *,
        label_names: Sequence[str] | None = None,
        medium: str = "air",
        solar_scale: str | None = "magg2022",
        resolution: float | None = None,
    ) -> GridSource:
        """Read labels and wavelengths; see `~astropayne.plugins.GridReader.open`."""
        wavelength = np.asarray(read_array(path, "wvl"), dtype=float)
        values = read_array(path, "labels")
        spectra = NpzSpectra(path, "flxn", axis=1)
        names = read_array(path, "label_names") if label_names is None else label_names
        expected = (len(names), len(spectra))
        if values.shape != expected or spectra.n_pixels != len(wavelength):
            raise ValueError(
                f"{path}: flxn has {spectra.n_pixels} pixels x {len(spectra)} spectra, wvl "
                f"{len(wavelength)} pixels, labels the shape {values.shape}, label_names "
                f"{len(names)} names: the labels must have the shape {expected}, labels x "
                "spectra"
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


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _load(wavelength: np.ndarray, spectra: NpzSpectra, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Load one spectrum."""
    return wavelength, spectra[i]


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of the grids of one_payne."""
    return [OnePayneReader()]
