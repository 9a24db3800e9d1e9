# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for the training sets of The Payne (Ting et al. 2019, ApJ 879, 69)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from astropayne.grids.readers.npz_arrays import NpzSpectra, labels_of_array, npz_names, read_array
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["APOGEE_LABELS", "ThePayneReader"]

#: The 25 labels of the APOGEE training set of The Payne, which its files do not name.
#: The macroturbulence ``vmacro`` is part of its spectra.
APOGEE_LABELS = tuple(
    "teff logg vmic C_H N_H O_H Na_H Mg_H Al_H Si_H P_H S_H K_H Ca_H Ti_H V_H Cr_H Mn_H feh Co_H "
    "Ni_H Cu_H Ge_H C12_C13 vmacro".split()
)


class ThePayneReader(GridReader):
    """An ``.npz`` file with a training set of The Payne.

    It holds ``labels`` and ``spectra`` (spectra × pixels) and may hold ``validation_labels`` and
    ``validation_spectra``. Labels are spectra × labels or, as in the file that comes with The
    Payne, labels × spectra. All spectra are read; they are named ``train/0``, ``validation/0``
    and so on.

    Options of ``SpectralGrid.read(file, format="the_payne", ...)``:

    * ``wavelength``, which the file does not hold: an array (Å), a `~astropy.units.Quantity`, or a
      file (``.npz`` with an array ``wavelength``, ``.npy``, or text with it in the first column);
    * ``label_names``, by default the 25 of the APOGEE training set,
      ``astropayne.grids.readers.the_payne.APOGEE_LABELS``;
    * ``medium="vacuum"``, ``resolution=None`` and ``solar_scale=None``.
    """

    format = "the_payne"

    def sniff(self, path: Path) -> bool:
        """Look for the arrays in the file."""
        names = npz_names(path) if path.suffix == ".npz" else set()
        return {"labels", "spectra"} <= names

    def open(
        self,
        path: Path,
        *,
        wavelength: Any = None,
        label_names: Sequence[str] = APOGEE_LABELS,
        medium: str = "vacuum",
        resolution: float | None = None,
        solar_scale: str | None = None,
    ) -> GridSource:
        """Read labels and wavelengths; see `~astropayne.plugins.GridReader.open`."""
        inside = npz_names(path)
        if wavelength is None and "wavelength" in inside:
            wavelength = path
        parts, names, labels = [], [], []
        for part, prefix in (("train", ""), ("validation", "validation_")):
            if part == "validation" and "validation_spectra" not in inside:
                continue
            spectra = NpzSpectra(path, f"{prefix}spectra")
            values = read_array(path, f"{prefix}labels")
            labels.append(_oriented(values, len(spectra), len(label_names), path))
            names += [f"{part}/{i}" for i in range(len(spectra))]
            parts.append(spectra)
        wavelength = _wavelength(wavelength, {spectra.n_pixels for spectra in parts}, path)
        return GridSource(
            names=names,
            labels=labels_of_array(label_names, np.concatenate(labels)),
            load=partial(_load, wavelength, parts),
            meta={
                "medium": medium,
                "resolution": resolution,
                "solar_scale": solar_scale,
                "normalized": True,
            },
        )


def _oriented(values: np.ndarray, n_spectra: int, n_labels: int, path: Path) -> np.ndarray:
    """Return labels as spectra × labels."""
    if values.shape == (n_spectra, n_labels):
        return values
    if values.shape == (n_labels, n_spectra):
        return values.T
    raise ValueError(
        f"{path} has labels of shape {values.shape} for {n_spectra} spectra, and there are "
        f"{n_labels} label names: give label_names=, the labels in their order"
    )


def _wavelength(given: Any, n_pixels: set[int], path: Path) -> np.ndarray:
    """Return wavelengths in Å from an array, a quantity or a file."""
    if given is None:
        raise ValueError(
            f"{path} does not hold the wavelengths of its {max(n_pixels)} pixels: give "
            "wavelength=, an array, a Quantity or a file"
        )
    if isinstance(given, str | Path):
        given = _wavelength_file(Path(given))
    if getattr(given, "unit", None) is not None:
        import astropy.units as u

        given = u.Quantity(given).to_value(u.AA, u.spectral())
    wavelength = np.asarray(given, dtype=float)
    if n_pixels != {wavelength.size}:
        raise ValueError(
            f"wavelength= has {wavelength.size} values, the spectra of {path} have "
            f"{' and '.join(map(str, sorted(n_pixels)))} pixels"
        )
    return wavelength.ravel()


def _wavelength_file(file: Path) -> np.ndarray:
    if file.suffix == ".npz":
        return read_array(file, "wavelength")
    if file.suffix == ".npy":
        return np.load(file, allow_pickle=False)
    return np.loadtxt(file, usecols=0)


def _load(wavelength: np.ndarray, parts: list[NpzSpectra], i: int) -> tuple[np.ndarray, np.ndarray]:
    """Load one spectrum."""
    for spectra in parts:
        if i < len(spectra):
            return wavelength, spectra[i]
        i -= len(spectra)
    raise IndexError(i)


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of the training sets of The Payne."""
    return [ThePayneReader()]
