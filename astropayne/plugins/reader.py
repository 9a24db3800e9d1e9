# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What a grid reader is: it says which spectra there are, and loads the i-th one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # helper processes do without
    import numpy as np
    from astropy.table import QTable

__all__ = ["GridReader", "GridSource"]


@dataclass
class GridSource:
    """A grid that has been found but not read: what `GridReader.open` returns.

    Checking, progress, storage and the making of the `~astropayne.SpectralGrid` are the
    package's work, not the reader's.

    Attributes
    ----------
    names : sequence of str
        Names of the spectra, such as their files'.
    labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping of str to array_like
        A row for each name, a column for each label, in any spelling; NaN or masked where a label
        is not known.
    load : callable
        ``load(i)`` returns the wavelength (array in Å, or quantity) and the flux (array, or
        quantity in ``meta["flux_unit"]``) of the i-th spectrum, or raises `ValueError` or
        `OSError` with the reason if that one cannot be read. What is masked is a fault.
    load_block : callable, optional
        Where many are loaded faster than one by one: ``load_block(indices)`` returns the
        wavelength they have in common and their flux, spectra × pixels. If it raises, they are
        loaded by halves, down to single ones, and what is wrong is said of each. ``load`` may be
        `None` then.
    meta : dict
        What is known of all spectra: ``medium`` ("air" or "vacuum"), ``resolution`` (λ/FWHM),
        ``solar_scale``, ``normalised``, ``flux_unit``, anything else.
    rejected : dict of str to str
        Spectra that have no labels, labels that have no spectrum…: name and reason.
    threads : bool
        Whether several workers are threads, for what spends its time without Python's lock, as
        pandas' parser does. Otherwise they are processes, for which ``load`` and ``load_block``
        have to be functions of a module or a `functools.partial` of one.
    """

    names: list
    labels: "QTable"
    load: "Callable[[int], tuple[np.ndarray, np.ndarray]] | None"
    meta: dict = field(default_factory=dict)
    rejected: dict = field(default_factory=dict)
    load_block: Callable | None = None
    threads: bool = False

    def __post_init__(self):
        if self.load is None and self.load_block is not None:
            self.load = partial(_first, self.load_block)


def _first(load_block, i):
    wavelength, (flux,) = load_block([i])
    return wavelength, flux


class GridReader(ABC):
    """Reads grids of one format. A plugin returns instances from ``astropayne_grid_readers``.

    Attributes
    ----------
    format : str
        What people write as ``SpectralGrid.read(path, format=...)``.
    """

    format = ""

    @abstractmethod
    def sniff(self, path):
        """Say whether ``path`` (a `pathlib.Path`) looks like this format. Must be quick."""

    @abstractmethod
    def open(self, path, **options):
        """Return a `GridSource` for ``path`` (a `pathlib.Path`)."""
