# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`LineList`: spectral lines of elements, and the windows around them."""

from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.table import QTable, Table, vstack

from astropayne.abundances.line_files import (
    CSV_COLUMNS,
    angstrom,
    read_line_table,
    window_ends,
)
from astropayne.labels.names import ELEMENTS
from astropayne.utils.suggestions import suggests_options
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import require_medium, to_air, to_vacuum
from astropayne.wavelengths.velocity import C_KMS, checked_velocity

if TYPE_CHECKING:
    from specutils import SpectralRegion

__all__ = ["LineList"]


@suggests_options
class LineList:
    """Lines of elements, with the window around each in which abundances are measured.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity` or array_like
        Centers of the lines; bare numbers are in Å.
    half_width : `~astropy.units.Quantity` or array_like, optional
        Half-widths of the windows; 0.5 Å by default.
    lower, upper : `~astropy.units.Quantity` or array_like, optional
        Ends of the windows, instead of ``half_width``.
    element : str or sequence of str
        Symbols of the elements; empty if unknown.
    ion : int or sequence of int
        Ionization stages as in spectroscopy, 1 for neutral; 0 if unknown.
    core : `~astropy.units.Quantity` or array_like
        Half-widths around the centers that are excluded, such as line cores that the model
        atmospheres do not describe.
    reference : str or sequence of str
        Sources of the lines.
    medium : {"air", "vacuum"}
        Medium of the wavelengths.

    Attributes
    ----------
    table : `~astropy.table.QTable`
        Columns ``wavelength``, ``lower``, ``upper``, ``element``, ``ion``, ``core`` and
        ``reference``, and any other columns of a file; sorted by wavelength.

    Raises
    ------
    ValueError
        If a window does not contain its line, an element is unknown, or the medium is neither air
        nor vacuum.

    Examples
    --------
    >>> from astropayne import LineList
    >>> lines = LineList([6707.8, 6102.72], half_width=0.4, element=["Li", "Ca"], ion=1)
    >>> lines
    <LineList: 2 lines (Li, Ca), 6102.7-6707.8 Angstrom (air)>
    >>> lines.select("Li").region().upper
    <Quantity 6708.2 Angstrom>
    """

    def __init__(
        self,
        wavelength: npt.ArrayLike,
        *,
        half_width: npt.ArrayLike | None = None,
        lower: npt.ArrayLike | None = None,
        upper: npt.ArrayLike | None = None,
        element: npt.ArrayLike = "",
        ion: npt.ArrayLike = 0,
        core: npt.ArrayLike = 0.0,
        reference: npt.ArrayLike = "",
        medium: str = "air",
    ) -> None:
        center = angstrom(wavelength, "wavelength")
        if lower is not None and half_width is not None:
            raise ValueError("give either half_width, or lower and upper ends of windows")
        lower, upper = window_ends(center, half_width, lower, upper)
        columns: dict[str, npt.ArrayLike] = {"wavelength": center, "lower": lower, "upper": upper}
        columns |= {"element": element, "ion": ion}
        columns |= {"core": angstrom(core, "core"), "reference": reference}
        table = QTable({n: np.broadcast_to(c, center.shape).copy() for n, c in columns.items()})
        for name in ("wavelength", "lower", "upper", "core"):
            table[name] = table[name] * u.AA
        table.meta["medium"] = medium
        self.table = _checked(table)

    @classmethod
    def _from_table(cls, table: QTable) -> Self:
        lines = cls.__new__(cls)
        lines.table = _checked(table)
        return lines

    @classmethod
    def sample(cls) -> Self:
        """Return the lines that ship with the package, in the windows of the sample grid.

        Returns
        -------
        LineList

        Examples
        --------
        >>> from astropayne import LineList
        >>> print(LineList.sample().select("Al").table["wavelength"])
        [6696.023 6698.673] Angstrom
        """
        with as_file(files("astropayne") / "data" / "lines.ecsv") as path:
            return cls.read(path)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, rows: Any) -> Self:
        """Return some of the lines."""
        return self._from_table(self.table[np.atleast_1d(np.arange(len(self))[rows])])

    def __add__(self, other: "LineList") -> Self:
        """Return the lines of both lists, in the medium of the first."""
        other = other.in_medium(self.medium)
        return self._from_table(vstack([self.table, other.table], metadata_conflicts="silent"))

    def __repr__(self) -> str:
        if not len(self):
            return "<LineList: empty>"
        ends = f"{self.table['wavelength'].value.min():.1f}-{self.table['wavelength'].max():.1f}"
        return f"<LineList: {len(self)} lines ({', '.join(self.elements)}), {ends} ({self.medium})>"

    @property
    def medium(self) -> str:
        """Medium of the wavelengths: "air" or "vacuum"."""
        return self.table.meta["medium"]

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the lines, by atomic number."""
        present = set(self.table["element"])
        return tuple(element for element in ELEMENTS if element in present)

    def select(self, element: str, ion: int | None = None) -> Self:
        """Return the lines of an element, or of one of its ions.

        Parameters
        ----------
        element : str
        ion : int, optional
            Ionization stage, 1 for neutral; all by default.

        Returns
        -------
        LineList
        """
        good = np.asarray(self.table["element"]) == element
        if ion is not None:
            good &= np.asarray(self.table["ion"]) == ion
        return self[good]

    def inside(self, wavelength: u.Quantity, medium: str = "air") -> Self:
        """Return the lines whose centers are covered by the pixels of a spectrum or a model.

        Parameters
        ----------
        wavelength : `~astropy.units.Quantity`
            Pixels, with gaps between windows.
        medium : {"air", "vacuum"}
            Medium of the pixels.

        Returns
        -------
        LineList
        """
        pixels = to_vacuum(angstrom(wavelength, "wavelength"), medium)
        center = self.vacuum()[:, 0, None]
        ends = np.array([pixels[window][[0, -1]] for window in find_windows(pixels)])
        return self[((ends[:, 0] <= center) & (center <= ends[:, 1])).any(axis=1)]

    def in_medium(self, medium: str) -> Self:
        """Return the list with wavelengths in a medium, "air" or "vacuum"."""
        require_medium(medium)
        if medium == self.medium:
            return self
        table = self.table.copy()
        for name in ("wavelength", "lower", "upper"):
            value = table[name].to_value(u.AA)
            table[name] = (to_air(value) if medium == "air" else to_vacuum(value, "air")) * u.AA
        table.meta["medium"] = medium
        return self._from_table(table)

    def vacuum(self) -> np.ndarray:
        """Return center, lower and upper end of each line's window: Å in vacuum, shape (n, 3)."""
        table = self.in_medium("vacuum").table
        columns = [table[name].to_value(u.AA) for name in ("wavelength", "lower", "upper")]
        return np.stack(columns, axis=1)

    def inside_windows(
        self, wavelength: npt.ArrayLike, broadening: npt.ArrayLike = 0.0
    ) -> np.ndarray:
        """Return which pixels are inside the window of each line.

        Parameters
        ----------
        wavelength : array_like, shape (...)
            Wavelengths of pixels in the star's frame: Å in vacuum.
        broadening : float or array_like
            Velocity in km/s by which windows are extended on either side, for all pixels or for
            each. Excluded cores are not extended.

        Returns
        -------
        numpy.ndarray of bool, shape (n_lines, ...)
        """
        wavelength = np.asarray(wavelength, dtype=float)
        shape = (-1, *[1] * wavelength.ndim)
        center, lower, upper = (column.reshape(shape) for column in self.vacuum().T)
        factor = 1 + np.asarray(broadening) / C_KMS
        core = self.table["core"].to_value(u.AA).reshape(shape)
        inside = (wavelength >= lower / factor) & (wavelength <= upper * factor)
        return inside & ~(np.abs(wavelength - center) < core)

    def window_width(self, broadening: npt.ArrayLike = 0.0) -> np.ndarray:
        """Return the width of each line's window in ln λ, without its core.

        Parameters
        ----------
        broadening : float or array_like, shape (n,)
            As in `inside_windows`.

        Returns
        -------
        numpy.ndarray, shape (n_lines,) or (n_lines, n)
        """
        shape = (-1, *[1] * np.ndim(broadening))
        center, lower, upper = (column.reshape(shape) for column in self.vacuum().T)
        core = self.table["core"].to_value(u.AA).reshape(shape)
        whole = np.log(upper / lower) + 2 * np.log1p(np.asarray(broadening) / C_KMS)
        return whole - 2 * np.arctanh(core / center)

    def region(self, broadening: u.Quantity | float = 0.0) -> "SpectralRegion":
        """Return the windows as a `~specutils.SpectralRegion`, merged where they overlap.

        Parameters
        ----------
        broadening : float or `~astropy.units.Quantity`
            Velocity by which windows are extended on either side, in km/s.

        Returns
        -------
        `~specutils.SpectralRegion`
            In the medium of the list, without the excluded cores. If the medium of a spectrum
            differs, convert the list with `in_medium` first.

        Raises
        ------
        ValueError
            If the list is empty.
        """
        from specutils import SpectralRegion

        if not len(self):
            raise ValueError("an empty line list has no region")
        factor = 1 + checked_velocity(broadening, "vsini") / C_KMS
        lower = self.table["lower"].to_value(u.AA) / factor
        upper = self.table["upper"].to_value(u.AA) * factor
        parts = _union(np.stack([lower, upper], axis=1))
        for line in self.table[self.table["core"] > 0]:
            center, core = line["wavelength"].to_value(u.AA), line["core"].to_value(u.AA)
            parts = _without(parts, center - core, center + core)
        return SpectralRegion([(a * u.AA, b * u.AA) for a, b in parts])

    # --- files

    @classmethod
    def read(
        cls, path: str | PathLike, *, element: str | None = None, medium: str | None = None
    ) -> Self:
        """Read a line list.

        Parameters
        ----------
        path : path-like
            ECSV as written by `write`; a CSV table with a column ``wavelength`` or ``ll``, and
            optionally ``dlam`` (half-width) or ``Bluewidth`` and ``Redwidth`` (ends), ``Element``
            and ``ionisation``, such as the masks of one_payne; or a line mask of TSFitPy (center,
            ends and optionally a code such as 12.01, after comments with ``;``). Wavelengths are
            in Å.
        element : str, optional
            Element of all lines. By default that in the file, or else that in its name:
            ``mg.csv``, ``mg-lmask.txt``.
        medium : {"air", "vacuum"}, optional
            Medium of the wavelengths. By default that in the file, or else air.

        Returns
        -------
        LineList

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file is not a table of lines, or a window does not contain its line, as with
            widths in place of ends.

        Notes
        -----
        TSFitPy ignores the codes of elements in its line masks, and some are wrong. The name of a
        mask therefore takes precedence over its codes.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        table = read_line_table(path, element, medium)
        try:
            return cls._from_table(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self, path: str | PathLike, *, overwrite: bool = False) -> None:
        """Write the list.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.csv`` gives a table with the column names of one_payne, in air;
            any other gives ECSV.
        overwrite : bool
            Whether an existing file is replaced.
        """
        if Path(path).suffix.lower() != ".csv":
            self.table.write(path, format="ascii.ecsv", overwrite=overwrite)
            return
        table = Table(self.in_medium("air").table, copy=True)
        for name, column in CSV_COLUMNS.items():
            table.rename_column(name, column)
        table.write(path, format="ascii.csv", overwrite=overwrite)


def _checked(table: QTable) -> QTable:
    """Return the table sorted by wavelength, or raise an error if it is invalid."""
    require_medium(table.meta.get("medium"))
    center, lower, upper = (table[n].to_value(u.AA) for n in ("wavelength", "lower", "upper"))
    wrong = ~((lower < upper) & (lower <= center) & (center <= upper) & (lower > 0))
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"the line at {center[i]:g} has a window from {lower[i]:g} to {upper[i]:g} Angstrom, "
            "which does not contain it"
        )
    core = table["core"].to_value(u.AA)
    if not (core >= 0).all():
        raise ValueError(
            f"core is {core.min():g} Angstrom; it must be a half-width, zero for no core"
        )
    if unknown := sorted({str(e) for e in table["element"]} - {"", *ELEMENTS}):
        raise ValueError(f"unknown element: {', '.join(unknown)}; give symbols such as Mg")
    return table[np.argsort(center, kind="stable")]


def _union(parts: np.ndarray) -> list[tuple[float, float]]:
    """Return intervals, merged where they overlap."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(map(tuple, parts)):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def _without(
    parts: list[tuple[float, float]], low: float, high: float
) -> list[tuple[float, float]]:
    """Return intervals without the part from low to high."""
    pieces = [(a, min(b, low)) for a, b in parts] + [(max(a, high), b) for a, b in parts]
    return sorted((a, b) for a, b in pieces if a < b)
