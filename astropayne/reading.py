# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From a source of spectra to sound rows: loading, in parallel if wished, and checking."""

import itertools
import multiprocessing
import pickle
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from astropy.table import vstack
from tqdm.auto import tqdm

from astropayne.labels import Label
from astropayne.plugins import GridSource

__all__ = ["Limits", "chain_sources", "read_blocks", "summary"]

_BLOCK = 128  # spectra that are loaded, checked and passed on together


@dataclass(frozen=True)
class Limits:
    """What a sound spectrum may be like.

    Attributes
    ----------
    minimum_flux : float
        Lower flux is a fault; zero by default.
    maximum_flux : float or None
        Higher flux is a fault, such as emission; `None` for no limit.
    wavelength_tolerance : float
        How far wavelengths may differ from the others', relative.
    """

    minimum_flux: float = 0.0
    maximum_flux: float | None = None
    wavelength_tolerance: float = 1e-7

    def fault(self, axis, flux, wavelength):
        """Return what is wrong with a spectrum, or an empty string."""
        if not len(axis) == len(flux) == len(wavelength):
            return f"has {len(flux)} pixels, the others {len(wavelength)}"
        if not np.isfinite(axis).all():
            return "has wavelengths that are not finite"
        if (np.diff(axis) <= 0).any():
            return "has wavelengths that do not increase"
        if not np.allclose(axis, wavelength, rtol=self.wavelength_tolerance, atol=0):
            return "has other wavelengths than most"
        if np.isnan(flux).any():
            return "has flux that is NaN"
        if not np.isfinite(flux).all():
            return "has flux that is infinite"
        if (flux < self.minimum_flux).any():
            below = "negative flux" if self.minimum_flux == 0 else f"flux below {self.minimum_flux}"
            return f"has {below}"
        if self.maximum_flux is not None and (flux > self.maximum_flux).any():
            return f"has flux above {self.maximum_flux}"
        return ""


class _Chain:
    """Loading from several sources, one after the other."""

    def __init__(self, sources):
        self.loads = [source.load for source in sources]
        self.ends = np.cumsum([len(source.names) for source in sources])

    def __call__(self, i):
        k = int(np.searchsorted(self.ends, i, side="right"))
        return self.loads[k](i - (int(self.ends[k - 1]) if k else 0))


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
        for key in ("medium", "resolution", "solar_scale", "normalised"):
            if source.meta.get(key) != first.meta.get(key):
                raise ValueError(
                    f"{prefix} has {key} = {source.meta.get(key)}, {prefixes[0]} has "
                    f"{first.meta.get(key)}: batches of one grid need the same"
                )
    named = list(zip(sources, prefixes, strict=True))
    return GridSource(
        names=[f"{prefix}/{name}" for source, prefix in named for name in source.names],
        labels=vstack([source.labels for source in sources], metadata_conflicts="silent"),
        load=_Chain(sources),
        meta=first.meta,
        rejected={
            f"{prefix}/{name}": reason
            for source, prefix in named
            for name, reason in source.rejected.items()
        },
    )


def summary(rejected):
    """Count the reasons in a dict of name to reason, the most frequent first."""
    counts = Counter(rejected.values()).most_common()
    text = "; ".join(f"{count} x {reason}" for reason, count in counts[:3])
    return text + (f"; and {len(counts) - 3} other reasons" if len(counts) > 3 else "")


def _label_faults(source):
    """Return name and reason of spectra whose labels are missing or another's."""
    values = np.stack([Label(n).to_value(source.labels[n]) for n in source.labels.colnames], axis=1)
    faults, seen = {}, {}
    for name, row, finite in zip(source.names, values, np.isfinite(values).all(1), strict=True):
        if not finite:
            faults[name] = "a label is missing or not finite"
        elif (first := seen.setdefault(row.tobytes(), name)) != name:
            faults[name] = f"has the labels of {first}"
    return faults


def common_wavelength(source, n_tried=21):
    """Return the axis that most of the first readable spectra have: one bad file may not set it."""
    axes, reasons = Counter(), {}
    for i, name in enumerate(source.names):
        try:
            axis = np.asarray(source.load(i)[0], dtype=float)
        except Exception as error:
            reasons[name] = _reason(error)
            continue
        axes[axis.tobytes()] += 1
        if axes.total() == n_tried:
            break
    # An axis that is not sorted or not finite is never the right one, however frequent.
    for content, _ in axes.most_common():
        axis = np.frombuffer(content)
        if np.isfinite(axis).all() and (np.diff(axis) > 0).all() and len(axis):
            return axis
    found = summary({**source.rejected, **reasons}) or "there is none"
    raise ValueError(f"no spectrum could be read: {found}")


def _reason(error):
    """Say what went wrong in a reader: its own words, or what kind of error it was."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"the reader failed: {type(error).__name__}: {error}"


def _load_block(load, indices, wavelength, limits):
    """Load and check some spectra: their flux, and a reason for each, empty if it is sound."""
    flux, reasons = np.full((len(indices), len(wavelength)), np.nan, dtype=np.float32), []
    for row, i in enumerate(indices):
        try:
            axis, values = (np.asarray(part, dtype=float) for part in load(i))
            reasons.append(limits.fault(axis, values, wavelength))
            if not reasons[-1]:
                flux[row] = values
        except Exception as error:  # a reader may raise what it likes: it costs one spectrum
            reasons.append(_reason(error))
    return flux, reasons


def _mapped(load, blocks, wavelength, limits, workers):
    """Load blocks in order, a few ahead where there are several workers."""
    if workers == 1:
        for block in blocks:
            yield _load_block(load, block, wavelength, limits)
        return
    try:
        pickle.dumps(load)
    except Exception as error:
        raise ValueError(
            f"workers={workers}: this reader cannot work in other processes ({error}); "
            "read with workers=1"
        ) from None
    context = multiprocessing.get_context("spawn")  # forking a process with threads may hang
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        blocks, waiting = iter(blocks), deque()
        for block in itertools.islice(blocks, 2 * workers):
            waiting.append(pool.submit(_load_block, load, block, wavelength, limits))
        while waiting:
            yield waiting.popleft().result()
            for block in itertools.islice(blocks, 1):
                waiting.append(pool.submit(_load_block, load, block, wavelength, limits))


def read_blocks(source, wavelength, limits, rejected, *, workers=1, strict=False, progress=None):
    """Load a source block by block, keeping what is sound.

    Parameters
    ----------
    source : `~astropayne.plugins.GridSource`
    wavelength : numpy.ndarray
        What all spectra should have.
    limits : Limits
    rejected : dict
        Filled with name and reason of every spectrum that is set aside.
    workers : int
        Processes that load.
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
    faults, seen = _label_faults(source), {}
    rejected.update(faults)
    if strict and rejected:
        raise ValueError("strict: {} {}".format(*next(iter(rejected.items()))))
    wanted = [i for i, name in enumerate(source.names) if name not in faults]
    blocks = [wanted[i : i + _BLOCK] for i in range(0, len(wanted), _BLOCK)]
    bar = tqdm(
        total=len(wanted),
        desc="reading spectra",
        disable=None if progress is None else not progress,
    )
    loaded = _mapped(source.load, blocks, wavelength, limits, workers)
    with bar:
        for block, (flux, reasons) in zip(blocks, loaded, strict=True):
            for row, i in enumerate(block):
                name = source.names[i]
                if not reasons[row]:
                    digest = blake2b(flux[row].tobytes(), digest_size=16).digest()
                    if (first := seen.setdefault(digest, name)) != name:
                        reasons[row] = f"has the flux of {first}, but other labels"
                if reasons[row]:
                    rejected[name] = reasons[row]
                    if strict:
                        raise ValueError(f"strict: {name} {reasons[row]}")
            sound = [row for row, reason in enumerate(reasons) if not reason]
            yield [block[row] for row in sound], flux[sound]
            bar.update(len(block))
