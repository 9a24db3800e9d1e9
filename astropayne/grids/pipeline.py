# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From a source of spectra to sound rows: loading, in parallel if wished, and checking."""

from collections import Counter
from contextlib import closing
from hashlib import blake2b
from operator import eq

import numpy as np
from astropy.table import vstack
from tqdm.auto import tqdm

from astropayne.grids.checks import label_faults, summary
from astropayne.grids.loading import Loader, reason
from astropayne.grids.workers import load_blocks
from astropayne.labels.solar import same_scale
from astropayne.plugins import GridSource
from astropayne.wavelengths.axis import require_axis

__all__ = ["chain_sources", "common_wavelength", "read_blocks"]

# Spectra are loaded, checked and passed on in blocks of so many pixels, or fewer: of so many
# spectra if they are loaded together, and if one by one, so that workers get something each.
_PIXELS, _TOGETHER, _ONE_BY_ONE = 1 << 17, 128, 16
# What has to be the same in all batches of one grid.
_OF_ALL = ("medium", "resolution", "solar_scale", "normalised", "flux_unit", "constant_columns")


class _Chain:
    """Loading from several sources, one after the other."""

    def __init__(self, sources):
        self.sources = [(source.load, source.load_block) for source in sources]
        self.ends = np.cumsum([len(source.names) for source in sources])

    def _place(self, i):
        k = int(np.searchsorted(self.ends, i, side="right"))
        return k, i - (int(self.ends[k - 1]) if k else 0)

    def load(self, i):
        k, place = self._place(i)
        return self.sources[k][0](place)

    def load_block(self, indices):
        (k, *others), places = zip(*map(self._place, indices), strict=True)
        load_block = self.sources[k][1]
        if load_block is None or others.count(k) < len(others):
            raise ValueError("these cannot be loaded together")
        return load_block(list(places))


def chain_sources(sources, prefixes):
    """Make one source of several, such as the batches of one grid.

    Parameters
    ----------
    sources : list of `~astropayne.plugins.GridSource`
    prefixes : list of str
        Put before the names of each source's spectra, where there is more than one source.

    Raises
    ------
    ValueError
        If their labels or what is known of their spectra are not the same.
    """
    if len(sources) == 1:
        return sources[0]
    first = sources[0]
    for source, prefix in zip(sources, prefixes, strict=True):
        if set(source.labels.colnames) != set(first.labels.colnames):
            raise ValueError(
                f"{prefix} has the labels {', '.join(source.labels.colnames)}, {prefixes[0]} has "
                f"{', '.join(first.labels.colnames)}: batches of one grid need the same"
            )
        for key in _OF_ALL:
            one, other = source.meta.get(key), first.meta.get(key)
            if not (same_scale if key == "solar_scale" else eq)(one, other):
                raise ValueError(
                    f"{prefix} has {key} = {one}, {prefixes[0]} has {other}: batches of one grid "
                    "need the same"
                )
    named, chain = list(zip(sources, prefixes, strict=True)), _Chain(sources)
    return GridSource(
        names=[f"{prefix}/{name}" for source, prefix in named for name in source.names],
        labels=vstack([source.labels for source in sources], metadata_conflicts="silent"),
        load=chain.load,
        load_block=chain.load_block,
        threads=all(source.threads for source in sources),
        meta=first.meta,
        rejected={
            f"{prefix}/{name}": reason
            for source, prefix in named
            for name, reason in source.rejected.items()
        },
    )


def common_wavelength(source, n_tried=21):
    """Return the axis that most of the first readable spectra have: one bad file may not set it."""
    axes, reasons = Counter(), {}
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
    # An axis that is not sorted or not finite is never the right one, however frequent.
    for content, _ in axes.most_common():
        axis = np.frombuffer(content)
        if np.isfinite(axis).all() and (np.diff(axis) > 0).all() and len(axis):
            require_axis(axis, source.meta.get("medium", "air"), None)
            return axis
    reasons.update(dict.fromkeys(source.names[: axes.total()], "has wavelengths out of order"))
    found = summary({**source.rejected, **reasons}) or "there is none"
    raise ValueError(f"no spectrum could be read by {source.meta.get('reader')!r}: {found}")


def read_blocks(source, wavelength, limits, rejected, *, workers=1, strict=False, progress=None):
    """Load a source block by block, keeping what is sound.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
    wavelength : numpy.ndarray
        What all spectra should have.
    limits : `~astropayne.grids.loading.Limits`
    rejected : dict
        Filled with name and reason of every spectrum that is set aside.
    workers : int
        How many load at the same time.
    strict : bool
        Whether the first fault is an error.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.

    Yields
    ------
    indices : list of int
        Positions in the source of the spectra that are sound.
    flux : numpy.ndarray, shape (n, n_pixels)
        Theirs.
    """
    faults, seen = label_faults(source), {}
    rejected.update(faults)
    if strict and rejected:
        raise ValueError("strict: {} {}".format(*next(iter(rejected.items()))))
    wanted = [i for i, name in enumerate(source.names) if name not in faults]
    most = _ONE_BY_ONE if source.load_block is None else _TOGETHER
    size = max(1, min(most, _PIXELS // len(wavelength)))
    blocks = [wanted[i : i + size] for i in range(0, len(wanted), size)]
    bar = tqdm(
        total=len(wanted),
        desc="reading spectra",
        disable=None if progress is None else not progress,
    )
    unit = source.meta.get("flux_unit", "")
    loader = Loader(source.load, source.load_block, unit, wavelength, limits)
    with bar, closing(load_blocks(loader, blocks, workers, source.threads)) as loaded:
        for block, (flux, reasons) in zip(blocks, loaded, strict=True):
            for row, i in enumerate(block):
                name = source.names[i]
                if not reasons[row]:
                    digest = blake2b(flux[row].tobytes(), digest_size=16).digest()
                    if (first := seen.setdefault(digest, name)) != name:
                        reasons[row] = f"has the flux of another, but other labels: {first}"
                if reasons[row]:
                    rejected[name] = reasons[row]
                    if strict:
                        raise ValueError(f"strict: {name} {reasons[row]}")
            sound = [row for row, reason in enumerate(reasons) if not reason]
            yield [block[row] for row in sound], flux[sound]
            bar.update(len(block))
