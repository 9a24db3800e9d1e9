# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What plugins provide: grid readers, label transforms and relations."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # helper processes do not import these
    import numpy as np
    import numpy.typing as npt
    import pandas
    from astropy.table import Table

__all__ = ["GridReader", "GridSource", "LabelRelation", "LabelTransform"]


class LabelTransform:
    """Another way to express a label: a plugin registers instances of its subclasses.

    Subclass it, set the three attributes, and write both directions. Source and target hold the
    same information: if the labels in ``needs`` are known, each follows from the other. Therefore
    only one of them can be given, and `~astropayne.labels.conversion.LabelConversion` replaces
    one by the other, also through several transforms.

    Attributes
    ----------
    source, target : str
        The label that is replaced, and the label that replaces it.
    needs : tuple of str
        Other labels that the transform reads.

    Examples
    --------
    [M/H] of a mixture where the α elements count (Salaris et al. 1993, ApJ 414, 580):

    >>> import numpy as np
    >>> import astropayne
    >>> from astropayne.plugins import LabelTransform
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

    source: str = ""
    target: str = ""
    needs: tuple[str, ...] = ()

    def forward(self, values: "Mapping[str, np.ndarray]", solar: Any) -> "np.ndarray":
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The source and the labels in ``needs``, in their own units.
        solar : `~astropayne.labels.solar.SolarScale`
            Solar abundances that the grid was computed with.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def inverse(self, values: "Mapping[str, np.ndarray]", solar: Any) -> "np.ndarray":
        """Compute the source from the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The target and the labels in ``needs``, in their own units.
        solar : `~astropayne.labels.solar.SolarScale`
            Solar abundances that the grid was computed with.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.source} -> {self.target}>"


class LabelRelation:
    """An estimate of a label from others: a plugin may register instances of its subclasses.

    A relation has no inverse. It is used only where its name is given as the value of a label, as
    in ``model(teff=5777, logg=4.44, feh=0, vmic="bruntt2010")``.

    Attributes
    ----------
    name : str
        Name of the relation; case and punctuation do not matter.
    target : str
        The label that it estimates.
    needs : tuple of str
        The labels that it reads.
    citation : str
        The publication that it comes from.
    """

    name: str = ""
    target: str = ""
    needs: tuple[str, ...] = ()
    citation: str = ""

    def estimate(self, values: "Mapping[str, np.ndarray]") -> "np.ndarray":
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The labels in ``needs``, in their own units.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {', '.join(self.needs)} -> {self.target}>"


@dataclass
class GridSource:
    """A grid that was found but not read yet: the result of `GridReader.open`.

    The package checks the spectra, shows progress, stores them and makes the
    `~astropayne.SpectralGrid`; a reader only describes the contents of the grid.

    Attributes
    ----------
    names : sequence of str
        Names of the spectra, such as the names of their files.
    labels : `~astropy.table.Table`, `pandas.DataFrame` or mapping of str to array_like
        A row for each name and a column for each label, in any spelling; NaN or masked where a
        label is unknown.
    load : callable, optional
        ``load(i)`` returns the wavelength (array in Å, or quantity) and the flux (array, or
        quantity in ``meta["flux_unit"]``) of spectrum number ``i``. If that spectrum cannot be
        read, it raises `ValueError` or `OSError` with the reason. Masked values are a fault.
    meta : dict
        What holds for all spectra: ``medium`` ("air" or "vacuum"), ``resolution`` (λ/FWHM),
        ``solar_scale``, ``normalized``, ``flux_unit``, and anything else.
    rejected : mapping of str to str, or sequence of pairs
        Spectra without labels, labels without a spectrum, and so on: name and reason.
    load_block : callable, optional
        ``load_block(indices)`` returns the common wavelength of several spectra and their flux,
        spectra × pixels, where that is faster than one by one. If it raises an error, the spectra
        are loaded by halves, down to single ones, so that the report names the faulty ones.
        ``load`` may be `None` then.
    threads : bool
        Whether several workers are threads, for functions that release Python's lock most of the
        time, as the parser of pandas does. By default they are processes, for which ``load`` and
        ``load_block`` must be functions of a module or a `functools.partial` of one.
    wavelength : array_like, optional
        Common wavelength of spectra that were checked before, in Å.
    flux : array_like, shape (n_spectra, n_pixels), optional
        Flux of spectra that were checked before, as in the files of the package. It is neither
        loaded nor checked again, and may stay on disk. ``load`` may be `None` then.
    """

    names: "Sequence[str]"
    labels: "Table | pandas.DataFrame | Mapping[str, npt.ArrayLike]"
    load: "Callable[[int], tuple[npt.ArrayLike, npt.ArrayLike]] | None" = None
    meta: dict[str, Any] = field(default_factory=dict)
    rejected: Mapping[str, str] | Sequence[tuple[str, str]] = field(default_factory=dict)
    load_block: "Callable[[Sequence[int]], tuple[npt.ArrayLike, npt.ArrayLike]] | None" = None
    threads: bool = False
    wavelength: "npt.ArrayLike | None" = None
    flux: Any = None

    def __post_init__(self) -> None:
        if self.load is None and self.load_block is not None:
            self.load = partial(_first, self.load_block)


def _first(
    load_block: "Callable[[Sequence[int]], tuple[npt.ArrayLike, npt.ArrayLike]]", i: int
) -> "tuple[npt.ArrayLike, npt.ArrayLike]":
    """Load one spectrum with a function that loads several."""
    wavelength, (flux,) = load_block([i])
    return wavelength, flux


class GridReader(ABC):
    """Reads grids of one format. A plugin returns instances from ``astropayne_grid_readers``.

    Attributes
    ----------
    format : str
        Name of the format, as in ``SpectralGrid.read(path, format=...)``.
    """

    format: str = ""

    @abstractmethod
    def sniff(self, path: Path) -> bool:
        """Return whether a path looks like this format. It must be quick.

        Parameters
        ----------
        path : `pathlib.Path`

        Returns
        -------
        bool
        """

    @abstractmethod
    def open(self, path: Path, **options: Any) -> GridSource:
        """Find the spectra at a path, without reading them.

        Parameters
        ----------
        path : `pathlib.Path`
        **options
            Options of the format. A reader names them in its signature, with defaults;
            ``SpectralGrid.read(path, format=..., ...)`` takes them and suggests the nearest name
            for a misspelled one.

        Returns
        -------
        GridSource

        Raises
        ------
        ValueError, OSError
            If there is no such grid; the message is shown to the user.
        """
