# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Windows of the same spectra in several folders, joined by the names of the spectra."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from astropayne.grids.loading import Loader
from astropayne.grids.pipeline import common_wavelength, require_batch
from astropayne.labels.columns import label_values
from astropayne.plugins.interfaces import GridSource

__all__ = ["joined_windows"]


def joined_windows(sources: Sequence[GridSource], names: Sequence[str]) -> GridSource | None:
    """Join sources that are windows of the same spectra.

    Parameters
    ----------
    sources : sequence of `~astropayne.plugins.GridSource`
    names : sequence of str
        What messages call them.

    Returns
    -------
    `~astropayne.plugins.GridSource` or None
        `None` if they have the same wavelengths, which makes them batches of one grid.

    Raises
    ------
    ValueError
        If wavelengths overlap but are not the same, or no spectrum is in all sources.
    """
    axes = [common_wavelength(source) for source in sources]
    order = sorted(range(len(axes)), key=lambda k: axes[k][0])
    following = list(pairwise(order))
    same = [_are_same(axes[a], axes[b]) for a, b in following]
    if all(same):
        return None
    for (a, b), equal in zip(following, same, strict=True):
        if equal or axes[a][-1] >= axes[b][0]:
            raise ValueError(
                f"{names[a]} and {names[b]} have wavelengths from {axes[a][0]:.6g} to "
                f"{axes[a][-1]:.6g} and from {axes[b][0]:.6g} to {axes[b][-1]:.6g} Angstrom: "
                "batches of one grid must have the same, and windows of it must not overlap"
            )
    parts, called = [sources[k] for k in order], [names[k] for k in order]
    for part, name in zip(parts[1:], called[1:], strict=True):
        require_batch(part, name, parts[0], called[0])
    return _joined(parts, called)


def _are_same(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) == len(other) and np.allclose(one, other, rtol=1e-6, atol=0)


def _joined(parts: Sequence[GridSource], called: Sequence[str]) -> GridSource:
    """Return a source of the spectra that are in all parts and have the same labels there."""
    first = parts[0]
    places = [{name: i for i, name in enumerate(part.names)} for part in parts]
    values = [label_values(part.labels[first.labels.colnames]) for part in parts]
    rejected = {name: why for part in parts for name, why in dict(part.rejected).items()}
    kept = []
    for i, name in enumerate(first.names):
        absent = [own for own, place in zip(called, places, strict=True) if name not in place]
        if absent:
            rejected.setdefault(name, f"has no window in {', '.join(absent)}")
        elif any(
            not np.allclose(own[place[name]], values[0][i], rtol=1e-6, atol=1e-9)
            for own, place in zip(values, places, strict=True)
        ):
            rejected[name] = f"has other labels in {' and '.join(called)}"
        else:
            kept.append(i)
    for place, own in zip(places[1:], called[1:], strict=True):
        for name in place.keys() - places[0].keys():
            rejected.setdefault(name, f"has no window in {called[0]}, only in {own}")
    if not kept:
        raise ValueError(
            f"{' and '.join(called)} have different wavelengths, and no spectrum with the same "
            "name and labels: windows of one grid are joined by the names of their spectra"
        )
    indices = np.array([[place[first.names[i]] for place in places] for i in kept])
    loaders = [Loader(part.load, flux_unit=part.meta.get("flux_unit", "")) for part in parts]
    return replace(
        first,
        names=[first.names[i] for i in kept],
        labels=first.labels[kept],
        load=_Windows(loaders, indices).load,
        load_block=None,
        threads=all(part.threads for part in parts),
        rejected=rejected,
    )


class _Windows:
    """Loading of one spectrum from several sources, one after the other."""

    def __init__(self, loaders: Sequence[Any], indices: np.ndarray) -> None:
        self.loaders, self.indices = loaders, indices

    def load(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        parts = [
            loader.spectrum(int(k)) for loader, k in zip(self.loaders, self.indices[i], strict=True)
        ]
        wavelength, flux = zip(*parts, strict=True)
        return np.concatenate(wavelength), np.concatenate(flux)
