# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grids side by side: are they alike, and how do their names differ."""

import numpy as np

from astropayne.labels.solar import same_scale

__all__ = ["tell_apart"]


def require_alike(one, other, names):
    """Refuse grids whose spectra are not of one kind.

    Parameters
    ----------
    one, other : SpectralGrid
    names : tuple of str
        What the errors call them, such as ``("the first grid", "grid 2")``.

    Raises
    ------
    ValueError
        If wavelengths, labels, medium, resolution, solar scale or kind of flux differ.
    """
    has, but = names
    if set(one.labels.colnames) != set(other.labels.colnames):
        raise ValueError(
            f"{has} has labels {', '.join(one.labels.colnames)}, and {but} "
            f"{', '.join(other.labels.colnames)}: they have to be the same"
        )
    if not np.array_equal(one.wavelength, other.wavelength):
        raise ValueError(
            f"{has} and {but} have different wavelengths: they have to be the same; rebin them"
        )
    for key in ("medium", "resolution", "solar_scale", "flux_unit"):
        first, second = one.meta.get(key) or None, other.meta.get(key) or None  # "" is no unit
        same = first == second
        if key == "solar_scale":
            same = same_scale(first, second)
        if not same:
            raise ValueError(
                f"{has} has {key} {first!r}, and {but} {second!r}: they have to be the same; if "
                f"one is wrong, set its meta[{key!r}]"
            )


def tell_apart(paths):
    """Return short names of paths, long ones if short ones are the same."""
    short = [path.absolute().name for path in paths]
    names = short if len(set(short)) == len(paths) else [str(path) for path in paths]
    if len(set(names)) < len(paths):
        raise ValueError(f"{', '.join(names)}: one is there twice, and would be read twice")
    return names
