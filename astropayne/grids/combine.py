# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grids side by side: comparing them, and putting their spectra into one grid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import vstack

from astropayne.grids.data import GridData
from astropayne.grids.relabel import with_same_labels
from astropayne.labels.solar import same_scale
from astropayne.wavelengths.axis import same_pixels

__all__ = ["concatenated", "require_alike", "short_names"]

_ALIKE = ("medium", "resolution", "solar_scale", "flux_unit")


def require_alike(one: Any, other: Any, names: tuple[str, str]) -> None:
    """Raise an error for grids whose spectra are not of one kind.

    Parameters
    ----------
    one, other : SpectralGrid or GridData
    names : tuple of str
        How error messages call them, such as ``("the first grid", "grid 2")``.

    Raises
    ------
    ValueError
        If wavelengths, labels, medium, resolution, solar scale or unit of flux differ.
    """
    first, second = names
    if set(one.labels.colnames) != set(other.labels.colnames):
        raise ValueError(
            f"{first} has labels {', '.join(one.labels.colnames)}, and {second} "
            f"{', '.join(other.labels.colnames)}: they must be the same"
        )
    if not same_pixels(_plain(one.wavelength), _plain(other.wavelength)):
        raise ValueError(
            f"{first} and {second} have different wavelengths: they must be the same; rebin one of "
            "them. Folders of other windows of the same spectra are joined by reading them together"
        )
    for key in _ALIKE:
        # an empty flux_unit is no unit
        this, that = getattr(one.info, key) or None, getattr(other.info, key) or None
        same = same_scale(this, that) if key == "solar_scale" else this == that
        if not same:
            raise ValueError(
                f"{first} has {key} {this!r}, and {second} {that!r}: they must be the same; if "
                f"one is wrong, correct it with grid.replace(meta={{{key!r}: ...}})"
            )


def _plain(wavelength: Any) -> np.ndarray:
    return np.asarray(getattr(wavelength, "value", wavelength))


def concatenated(grids: Sequence[GridData]) -> GridData:
    """Put grids of the same wavelengths and labels together.

    Parameters
    ----------
    grids : sequence of GridData
        The first one determines the metadata.

    Returns
    -------
    GridData
        In memory, unless there is only one grid.

    Raises
    ------
    ValueError
        If there is no grid, or their spectra are not of one kind.
    """
    if not grids:
        raise ValueError("there is no grid to put together: at least one is needed")
    if len(grids) == 1:
        return grids[0]
    first, *others = grids = with_same_labels(grids)
    for i, grid in enumerate(others, start=2):
        require_alike(first, grid, ("the first grid", f"grid {i}"))
    return replace(
        first,
        flux=np.concatenate([grid.flux for grid in grids]),
        labels=vstack([grid.labels for grid in grids], metadata_conflicts="silent"),
        names=tuple(name for grid in grids for name in grid.names),
        report=vstack([grid.report for grid in grids], metadata_conflicts="silent"),
    )


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files or folders, or their whole paths where names repeat.

    Raises
    ------
    ValueError
        If a path is given twice.
    """
    short = [path.absolute().name for path in paths]
    names = short if len(set(short)) == len(paths) else [str(path) for path in paths]
    if len(set(names)) < len(paths):
        raise ValueError(f"{', '.join(names)}: one path is given twice and would be read twice")
    return names
