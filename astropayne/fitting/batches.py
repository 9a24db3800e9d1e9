# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Measurement of many spectra in batches, with a progress bar."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table

from astropayne.spectra.identity import Identity, columns_of, identity_of
from astropayne.utils.progress import progress_bar
from astropayne.utils.torch_state import one_thread, without_gradients

__all__ = ["IncompleteError", "Interrupted"]

_STARS_AT_ONCE, _PIXELS_AT_ONCE = 128, 1 << 20


class Interrupted(KeyboardInterrupt):
    """Raised by Ctrl-C during the measurement of many spectra.

    Attributes
    ----------
    table : `~astropy.table.Table`
        Results of the spectra that were measured before; it may be empty.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def __reduce__(self) -> tuple:  # processes exchange it
        return type(self), (self.table,)


class IncompleteError(RuntimeError):
    """Raised if the iterable of spectra raises an error.

    The error of the iterable is its cause.

    Attributes
    ----------
    table : `~astropy.table.Table`
        Results of all spectra that came before.
    """

    def __init__(self, message: str, table: Table) -> None:
        super().__init__(message)
        self.table = table

    def __reduce__(self) -> tuple:
        return type(self), (*self.args, self.table)


class _SourceError(Exception):
    """Error of the iterable of spectra, which is the cause."""


def measure_all(
    spectra: Iterable,
    measure: Callable[[list], Sequence],
    table: Callable[[list[str], Sequence], Table],
    what: str,
    progress: bool | None,
) -> Table:
    """Measure spectra in batches, and return the table of results.

    Parameters
    ----------
    spectra : iterable
    measure : callable
        Takes a list of spectra, and returns a list of their results.
    table : callable
        Takes the names of spectra and their results, and returns the table.
    what : str
        Description that the progress bar shows.
    progress : bool or None
        Whether to show the progress bar; by default, only on a terminal.

    Returns
    -------
    `~astropy.table.Table`

    Raises
    ------
    Interrupted
        If the user presses Ctrl-C.
    IncompleteError
        If ``spectra`` raises an error.
    TypeError
        If ``spectra`` is not an iterable of spectra.
    """
    if isinstance(spectra, str | bytes | Mapping) or not np.iterable(spectra):
        raise TypeError(
            f"spectra must be a list of specutils Spectrum, got {repr(spectra)[:60]}: "
            "read_spectrum reads a file as a Spectrum"
        )
    total = len(spectra) if hasattr(spectra, "__len__") else None
    names: list[str] = []
    found: list = []
    identities: list[Identity] = []

    def result(n: int) -> Table:
        made = table(names[:n], found[:n])
        for place, (name, column) in enumerate(columns_of(identities[:n]).items(), start=1):
            if name not in made.colnames:
                made.add_column(column, name=name, index=place)
        return made

    try:
        with progress_bar(total, what, progress) as bar, without_gradients(), one_thread():
            for some in _take_chunks(iter(spectra)):
                found += measure(some)
                identities += [identity_of(one) for one in some]
                names += [spectrum_name(one, len(names) + i) for i, one in enumerate(some)]
                bar.update(len(some))
    except KeyboardInterrupt:
        raise Interrupted(result(len(names))) from None
    except _SourceError as error:
        cause = error.__cause__
        raise IncompleteError(
            f"the iterable of spectra raised {type(cause).__name__} ({cause}) after {len(names)} "
            "spectra, whose results are in the attribute `table` of this error",
            result(len(names)),
        ) from cause
    return result(len(names))


def _take_chunks(spectra: Iterator) -> Iterator[list]:
    """Yield lists of spectra, limited in their number and in that of their pixels."""
    some: list = []
    n_pixels = 0
    failure = None
    while True:
        try:
            spectrum = next(spectra)
        except StopIteration:
            break
        except Exception as error:  # what came before is measured first
            failure = error
            break
        some.append(spectrum)
        parts = spectrum if isinstance(spectrum, list) else [spectrum]
        n_pixels += sum(np.size(getattr(part, "flux", 0)) for part in parts)
        if len(some) >= _STARS_AT_ONCE or n_pixels >= _PIXELS_AT_ONCE:
            yield some
            some, n_pixels = [], 0
    if some:
        yield some
    if failure is not None:
        raise _SourceError from failure


def spectrum_name(spectrum: Any, i: int) -> str:
    """Return the name in the metadata of a spectrum (the first of a list); ``i`` by default."""
    parts = spectrum if isinstance(spectrum, list) else [spectrum]
    name: Any = getattr(next(iter(parts), None), "meta", {}).get("name")
    if np.ndim(name) and i < len(name):  # each spectrum of a collection has the metadata of all
        name = name[i]
    return str(i if name is None else name)
