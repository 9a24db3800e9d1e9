# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What plugins provide: grid readers, label transforms and relations."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

__all__ = ["GridReader", "GridSource", "LabelRelation", "LabelTransform"]


class LabelTransform:
    """Another way to say what a label says: what a plugin registers.

    Subclass it, set the three attributes, and write both directions. Source and target say the
    same: where the labels in ``needs`` are known, each follows from the other. So nobody can give
    both, and `~astropayne.labels.conversion.LabelConversion` puts one in the place of the other, also by
    way of several transforms.

    Attributes
    ----------
    source, target : str
        The label that is replaced, and the one that takes its place.
    needs : tuple of str
        Other labels that the transform reads.

    Examples
    --------
    [M/H] of a mixture where the α elements count (Salaris et al. 1993, ApJ 414, 580):

    >>> import numpy as np
    >>> import astropayne
    >>> from astropayne.plugins.interfaces import LabelTransform
    >>> class Metallicity(LabelTransform):
    ...     source, target, needs = "M_H", "feh", ("alpha_Fe",)
    ...     def difference(self, values):
    ...         return np.log10(0.638 * 10.0 ** values["alpha_Fe"] + 0.362)
    ...     def forward(self, values, solar):
    ...         return values["M_H"] - self.difference(values)
    ...     def inverse(self, values, solar):
    ...         return values["feh"] + self.difference(values)
    >>> class MyPlugin:
    ...     @astropayne.hookimpl
    ...     def astropayne_label_transforms(self):
    ...         return [Metallicity()]
    >>> astropayne.register_plugin(MyPlugin(), name="metallicity")
    'metallicity'
    >>> from astropayne.labels.conversion import LabelConversion
    >>> LabelConversion(["M_H", "[α/Fe]"], ["A(Fe)"], "magg2022")([-1.0, 0.4]).round(2).tolist()
    [6.21]
    >>> astropayne.unregister_plugin("metallicity")
    """

    source = ""
    target = ""
    needs = ()

    def forward(self, values, solar):
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The source and the needed labels, in their own units.
        solar : `~astropayne.labels.solar.SolarScale`
            Solar abundances the grid was computed with.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def inverse(self, values, solar):
        """Compute the source from the target; parameters as in `forward`."""
        raise NotImplementedError

    def __repr__(self):
        return f"<{type(self).__name__}: {self.source} -> {self.target}>"


class LabelRelation:
    """A label estimated from others, for want of better: what a plugin may register too.

    It has no inverse, and is used only where its name is given in place of the label's value, as
    in ``model(teff=5777, logg=4.44, feh=0, vmic="bruntt2010")``.

    Attributes
    ----------
    name : str
        How it is asked for; case and punctuation do not matter.
    target : str
        The label it estimates.
    needs : tuple of str
        The labels it reads.
    citation : str
        Where it comes from.
    """

    name = ""
    target = ""
    needs = ()
    citation = ""

    def estimate(self, values):
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The needed labels, in their own units.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r}: {', '.join(self.needs)} -> {self.target}>"


if TYPE_CHECKING:  # helper processes do without
    import numpy as np
    from astropy.table import QTable


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
