# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Measuring of many spectra, some at a time."""

from collections.abc import Mapping

import numpy as np
from tqdm.auto import tqdm

from astropayne.utils.torch_state import one_thread, without_gradients

__all__ = ["Interrupted"]

_STARS_AT_ONCE, _PIXELS_AT_ONCE = 128, 1 << 20


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while many spectra are measured; ``table`` is that of those before, perhaps empty."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def __reduce__(self):  # it goes from one process to another
        return type(self), (self.table,)


def measure_all(spectra, measure, table, what, progress):
    """Measure spectra, some at a time, and return the table of them.

    Parameters
    ----------
    spectra : iterable
    measure : callable
        Returns what it finds of each of some spectra.
    table : callable
        Makes the table, of the names of spectra and what is found of them.
    what : str
        Is written beside the progress bar.
    progress : bool or None

    Raises
    ------
    Interrupted
        If it is interrupted.
    TypeError
        If there is something else in place of spectra.
    """
    if isinstance(spectra, str | bytes | Mapping) or not np.iterable(spectra):
        raise TypeError(
            f"spectra is {repr(spectra)[:60]}: it has to be a list of specutils Spectrum, each of "
            "which read_spectrum makes of a file"
        )
    total = len(spectra) if hasattr(spectra, "__len__") else None
    bar = tqdm(total=total, desc=what, disable=None if progress is None else not progress)
    names, found = [], []
    try:
        with bar, without_gradients(), one_thread():
            for some in _take_chunks(iter(spectra)):
                found += measure(some)
                names += [spectrum_name(one, len(names) + i) for i, one in enumerate(some)]
                bar.update(len(some))
    except KeyboardInterrupt:
        raise Interrupted(table(names, found[: len(names)])) from None
    return table(names, found)


def _take_chunks(spectra):
    """Yield lists of spectra: until there are enough of them, or of their pixels, in each."""
    some, n_pixels = [], 0
    for spectrum in spectra:
        some.append(spectrum)
        parts = spectrum if isinstance(spectrum, list) else [spectrum]
        n_pixels += sum(np.size(getattr(part, "flux", 0)) for part in parts)
        if len(some) >= _STARS_AT_ONCE or n_pixels >= _PIXELS_AT_ONCE:
            yield some
            some, n_pixels = [], 0
    if some:
        yield some


def spectrum_name(spectrum, i):
    """Return what a spectrum, or the first of a list, says its name is; its number by default."""
    parts = spectrum if isinstance(spectrum, list) else [spectrum]
    name = getattr(next(iter(parts), None), "meta", {}).get("name")
    if np.ndim(name) and i < len(name):  # each spectrum of a collection has the metadata of all
        name = name[i]
    return str(i if name is None else name)
