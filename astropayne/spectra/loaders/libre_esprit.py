# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loader for spectra of ESPaDOnS and NARVAL in the text format of Libre-ESpRIT (``*.s``).

References
----------
Donati et al. 1997, MNRAS 291, 658. A title that begins with ``***``, the numbers of rows and of
columns next to the wavelength, and columns of wavelength in nm (air), intensity and, in the last
one, its standard deviation; between them may be Stokes V and two null spectra.
"""

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum, SpectrumList
from specutils.io.registers import data_loader

__all__ = ["libre_esprit_loader"]

_FEWEST = 3  # columns


def _identify(origin: str, *args: Any, **kwargs: Any) -> bool:
    try:
        with open(args[0], encoding="latin-1") as file:
            return file.readline().startswith("***")
    except (OSError, TypeError):
        return False


@data_loader("Libre-ESpRIT", identifier=_identify, dtype=SpectrumList, extensions=["s"], priority=5)
def libre_esprit_loader(file_name: str | Path, **kwargs: Any) -> SpectrumList:
    """Load the orders of a spectrum.

    Parameters
    ----------
    file_name : path-like

    Returns
    -------
    `~specutils.SpectrumList`
        An item per order, in air, with its number in ``meta["arm"]``.

    Raises
    ------
    ValueError
        If the file has fewer than three columns.
    """
    with open(file_name, encoding="latin-1") as file:
        title, sizes = file.readline().strip("* \n"), file.readline().split()
        lines = file.readlines()
    rows = np.loadtxt(lines, ndmin=2) if lines else np.zeros((0, 0))
    if rows.shape[1] < _FEWEST or not sizes or int(sizes[0]) != len(rows):
        raise ValueError(
            f"it has {rows.shape[0]} rows of {rows.shape[1]} columns, and its second line states "
            f"{' '.join(sizes) or 'nothing'}"
        )
    wavelength, flux, sigma = rows[:, 0], rows[:, 1], rows[:, -1]
    starts = 1 + np.flatnonzero(np.diff(wavelength) <= 0)
    return SpectrumList(
        Spectrum(
            spectral_axis=wavelength[part] * u.nm,
            flux=flux[part] * u.one,
            uncertainty=StdDevUncertainty(sigma[part]),
            meta={"title": title, "arm": f"order {i}", "medium": "air"},
        )
        for i, part in enumerate(np.split(np.arange(len(rows)), starts))
        if len(part) > 1
    )
