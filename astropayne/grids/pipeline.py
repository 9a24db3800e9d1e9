# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From a source of spectra to sound rows: joining batches, loading, and checking."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import eq
from typing import Any

import numpy as np
from astropy.table import vstack

from astropayne.grids.checks import label_faults, summary
from astropayne.grids.data import GridWarning
from astropayne.grids.loading import Limits, Loader, reason
from astropayne.grids.workers import load_blocks
from astropayne.labels.columns import label_values
from astropayne.labels.names import Label
from astropayne.labels.solar import same_scale
from astropayne.plugins.interfaces import GridSource
from astropayne.utils.progress import progress_bar
from astropayne.wavelengths.axis import require_axis

__all__ = ["Effort", "chain_sources", "common_wavelength", "read_blocks", "require_batch"]

# Maximum numbers of pixels and of spectra of a block. The latter is higher if spectra are loaded
# together, and lower if they are loaded one by one, so that every worker gets some.
_PIXELS, _TOGETHER, _ONE_BY_ONE = 1 << 17, 128, 16
# Metadata that must be the same in all batches of one grid.
_OF_ALL = ("medium", "resolution", "solar_scale", "normalized", "flux_unit", "constant_columns")


@dataclass(frozen=True)
class Effort:
    """Options of the loading of spectra.

    Attributes
    ----------
    limits : `~astropayne.grids.loading.Limits`
        Limits that valid spectra keep.
    workers : int
        Number of processes that load and check spectra at the same time.
    strict : bool
        Whether the first fault raises an error.
    progress : bool, optional
        Whether to show a progress bar; by default only on a terminal.

    Raises
    ------
    ValueError
        If ``workers`` is not a positive whole number.
    """

    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    strict: bool = False
    progress: bool | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.workers, int | np.integer) and self.workers > 0):
            raise ValueError(f"workers={self.workers!r} must be a positive whole number")


class _Chain:
    """Loading from several sources, one after the other."""

    def __init__(self, sources: Sequence[GridSource]) -> None:
        self.sources = [(source.load, source.load_block) for source in sources]
        self.ends = np.cumsum([len(source.names) for source in sources])

    def _place(self, i: int) -> tuple[int, int]:
        """Return the source that a spectrum is in, and its number there."""
        k = int(np.searchsorted(self.ends, i, side="right"))
        return k, i - (int(self.ends[k - 1]) if k else 0)

    def load(self, i: int) -> Any:
        k, place = self._place(i)
        return self.sources[k][0](place)

    def load_block(self, indices: Sequence[int]) -> Any:
        (k, *others), places = zip(*map(self._place, indices), strict=True)
        load_block = self.sources[k][1]
        if load_block is None or others.count(k) < len(others):
            raise ValueError("these cannot be loaded together")
        return load_block(list(places))


def chain_sources(sources: Sequence[GridSource], prefixes: Sequence[str]) -> GridSource:
    """Join several sources, such as the batches of one grid.

    Parameters
    ----------
    sources : sequence of `~astropayne.plugins.GridSource`
    prefixes : sequence of str
        Put before the names of the spectra of each source if there are several sources.

    Returns
    -------
    `~astropayne.plugins.GridSource`

    Raises
    ------
    ValueError
        If their labels or metadata differ.
    """
    if len(sources) == 1:
        return sources[0]
    first, named = sources[0], list(zip(sources, prefixes, strict=True))
    for source, prefix in named[1:]:
        require_batch(source, prefix, first, prefixes[0])
    chain, blocks = _Chain(sources), any(source.load_block for source in sources)
    return GridSource(
        names=[f"{prefix}/{name}" for source, prefix in named for name in source.names],
        labels=vstack([source.labels for source in sources], metadata_conflicts="silent"),
        load=chain.load,
        load_block=chain.load_block if blocks else None,
        threads=all(source.threads for source in sources),
        meta=first.meta,
        rejected={
            f"{prefix}/{name}": why
            for source, prefix in named
            for name, why in source.rejected.items()
        },
    )


def require_batch(source: GridSource, name: str, first: GridSource, first_name: str) -> None:
    """Raise an error if a source is not a batch of the same grid as the first."""
    if set(source.labels.colnames) != set(first.labels.colnames):
        raise ValueError(
            f"{name} has the labels {', '.join(source.labels.colnames)}, {first_name} has "
            f"{', '.join(first.labels.colnames)}: batches of one grid must have the same labels"
        )
    for key in _OF_ALL:
        one, other = source.meta.get(key), first.meta.get(key)
        if not (same_scale if key == "solar_scale" else eq)(one, other):
            raise ValueError(
                f"{name} has {key} = {one}, {first_name} has {other}: batches of one grid must "
                "have the same"
            )


def common_wavelength(source: GridSource, n_tried: int = 21) -> np.ndarray:
    """Return the wavelengths that most of the first readable spectra have, in Å.

    The majority decides, so that one faulty file cannot.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
    n_tried : int
        How many readable spectra are compared.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)

    Raises
    ------
    ValueError
        If no spectrum can be read, or the wavelengths are not those of a star.
    """
    axes: Counter[bytes] = Counter()
    reasons = {}
    loader = Loader(source.load, flux_unit=source.meta.get("flux_unit", ""))
    for i, name in enumerate(source.names):
        try:
            axis = loader.spectrum(i)[0]
        except Exception as error:
            reasons[name] = reason(error)
            continue
        axes[axis.tobytes()] += 1
        if axes.total() == n_tried:
            break
    # An axis that is unsorted or not finite is never the right one, however frequent.
    for content, _ in axes.most_common():
        axis = np.frombuffer(content)
        if np.isfinite(axis).all() and (np.diff(axis) > 0).all() and len(axis):
            require_axis(axis, source.meta.get("medium", "air"), None)
            return axis
    reasons.update(dict.fromkeys(source.names[: axes.total()], "has wavelengths out of order"))
    counts = summary({**source.rejected, **reasons}) or "there is none"
    raise ValueError(f"no spectrum could be read by {source.meta.get('reader')!r}: {counts}")


def read_blocks(
    source: GridSource, wavelength: np.ndarray, rejected: dict[str, str], effort: Effort
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Load a source block by block and yield the sound spectra.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
    wavelength : numpy.ndarray
        The wavelengths that all spectra must have, Å.
    rejected : dict
        Name and reason of every spectrum that is set aside are added to it.
    effort : Effort

    Yields
    ------
    indices : list of int
        Positions of the sound spectra in the source.
    flux : numpy.ndarray, shape (n, n_pixels)
        Their flux.
    """
    faults = label_faults(source)
    rejected.update(faults)
    if effort.strict and rejected:
        raise ValueError("strict: {} {}".format(*next(iter(rejected.items()))))
    wanted = [i for i, name in enumerate(source.names) if name not in faults]
    size = _block_size(source, len(wavelength))
    blocks = [wanted[i : i + size] for i in range(0, len(wanted), size)]
    unit, repeated = source.meta.get("flux_unit", ""), _Repeated(source)
    loader = Loader(source.load, source.load_block, unit, wavelength, effort.limits)
    loaded = load_blocks(loader, blocks, effort.workers, source.threads)
    bar = progress_bar(len(wanted), "reading spectra", effort.progress)
    with bar, closing(loaded):
        for block, (flux, reasons) in zip(blocks, loaded, strict=True):
            names = [source.names[i] for i in block]
            repeated.find(names, flux, reasons)
            faults = {n: why for n, why in zip(names, reasons, strict=True) if why}
            rejected.update(faults)
            if effort.strict and faults:
                raise ValueError("strict: {} {}".format(*next(iter(faults.items()))))
            sound = [row for row, why in enumerate(reasons) if not why]
            yield [block[row] for row in sound], flux[sound]
            bar.update(len(block))
    repeated.warn()


def _block_size(source: GridSource, n_pixels: int) -> int:
    most = _ONE_BY_ONE if source.load_block is None else _TOGETHER
    return max(1, min(most, _PIXELS // n_pixels))


class _Repeated:
    """Spectra whose flux another one has already.

    That is a fault if their labels say that it cannot be: an abundance may have no line in the
    wavelengths of a grid, but a temperature changes any spectrum.
    """

    def __init__(self, source: GridSource) -> None:
        labels = source.labels
        self.names, self.values = tuple(labels.colnames), label_values(labels)
        self.weak = np.array([Label(name).element not in (None, "alpha") for name in self.names])
        self.places = {name: i for i, name in enumerate(source.names)}
        self.seen: dict[bytes, str] = {}
        self.without_effect: dict[str, int] = {}

    def find(self, names: Sequence[str], flux: np.ndarray, reasons: list[str]) -> None:
        """Set the reasons of spectra that repeat others."""
        for row, name in enumerate(names):
            if reasons[row]:
                continue
            digest = blake2b(flux[row].tobytes(), digest_size=16).digest()
            if (first := self.seen.setdefault(digest, name)) == name:
                continue
            differ = self.values[self.places[name]] != self.values[self.places[first]]
            if (differ & ~self.weak).any():
                reasons[row] = f"has the flux of another, but other labels: {first}"
            else:
                key = ", ".join(n for n, other in zip(self.names, differ, strict=True) if other)
                self.without_effect[key] = self.without_effect.get(key, 0) + 1

    def warn(self) -> None:
        """Warn of labels that do not change the flux."""
        for names, count in self.without_effect.items():
            warnings.warn(
                f"{count} spectra have the flux of others that differ only in {names}: the "
                "wavelengths of the grid have little or no information about it",
                GridWarning,
                stacklevel=6,  # the line that called read
            )
