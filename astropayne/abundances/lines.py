# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Lines and the windows around them: tables, files, and masks that a model finds by itself."""

import re
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table, vstack

from astropayne.abundances.line_files import (
    CSV_NAME,
    angstrom,
    completed,
    ends,
    is_mask,
    line_text,
    read_line_csv,
    read_line_mask,
)
from astropayne.io.text_tables import read_text
from astropayne.labels.names import ELEMENTS
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import require_medium, to_air, to_vacuum
from astropayne.wavelengths.velocity import C_KMS, checked_velocity

__all__ = ["LineList"]

CSV_NAME |= {"element": "Element", "ion": "ionisation"}


class LineList:
    """Lines of elements, and the window around each that an abundance is measured in.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity` or array_like
        Centres, Å if bare numbers.
    half_width : `~astropy.units.Quantity` or array_like, optional
        Of the windows; 0.5 Å by default.
    lower, upper : `~astropy.units.Quantity` or array_like, optional
        Ends of the windows, instead of ``half_width``.
    element : str or sequence of str
        Symbols; empty where it is not known.
    ion : int or sequence of int
        Stage as in spectra, 1 for neutral; 0 where it is not known.
    core : `~astropy.units.Quantity` or array_like
        Half-width of what is left out around each centre, such as a core that the model atmosphere
        does not describe.
    reference : str or sequence of str
        Where the line comes from.
    medium : {"air", "vacuum"}
        What wavelengths are measured in.

    Attributes
    ----------
    table : `~astropy.table.QTable`
        Columns ``wavelength``, ``lower``, ``upper``, ``element``, ``ion``, ``core`` and
        ``reference``, and whatever else a file had; sorted by wavelength.

    Raises
    ------
    ValueError
        If a window does not hold its line, an element is none, or the medium is neither.

    Examples
    --------
    >>> from astropayne.abundances.lines import LineList
    >>> lines = LineList([6707.8, 6102.72], half_width=0.4, element=["Li", "Ca"], ion=1)
    >>> lines
    <LineList: 2 lines (Li, Ca), 6102.7-6707.8 Angstrom (air)>
    >>> lines.select("Li").region().upper
    <Quantity 6708.2 Angstrom>
    """

    def __init__(
        self,
        wavelength,
        *,
        half_width=None,
        lower=None,
        upper=None,
        element="",
        ion=0,
        core=0.0,
        reference="",
        medium="air",
    ):
        centre = angstrom(wavelength, "wavelength")
        if lower is not None and half_width is not None:
            raise ValueError("windows are given by half_width, or by lower and upper; choose one")
        lower, upper = ends(centre, half_width, lower, upper)
        columns = {"wavelength": centre, "lower": lower, "upper": upper}
        columns |= {"element": element, "ion": ion}
        columns |= {"core": angstrom(core, "core"), "reference": reference}
        table = QTable({n: np.broadcast_to(c, centre.shape).copy() for n, c in columns.items()})
        for name in ("wavelength", "lower", "upper", "core"):
            table[name] = table[name] * u.AA
        table.meta["medium"] = medium
        self.table = _checked(table)

    @classmethod
    def _of(cls, table):
        lines = cls.__new__(cls)
        lines.table = _checked(table)
        return lines

    @classmethod
    def sample(cls):
        """Return the lines that ship with the package: those of the sample grid's windows.

        Returns
        -------
        LineList

        Examples
        --------
        >>> from astropayne.abundances.lines import LineList
        >>> print(LineList.sample().select("Al").table["wavelength"])
        [6696.023 6698.673] Angstrom
        """
        with as_file(files("astropayne") / "data" / "lines.ecsv") as path:
            return cls.read(path)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        """Return some of the lines."""
        return self._of(self.table[np.atleast_1d(np.arange(len(self))[rows])])

    def __add__(self, other):
        """Put two lists together; wavelengths of the other are converted if need be."""
        other = other.in_medium(self.medium)
        return self._of(vstack([self.table, other.table], metadata_conflicts="silent"))

    def __repr__(self):
        if not len(self):
            return "<LineList: empty>"
        ends = f"{self.table['wavelength'].value.min():.1f}-{self.table['wavelength'].max():.1f}"
        return f"<LineList: {len(self)} lines ({', '.join(self.elements)}), {ends} ({self.medium})>"

    @property
    def medium(self):
        """What wavelengths are measured in: "air" or "vacuum"."""
        return self.table.meta["medium"]

    @property
    def elements(self):
        """Elements there are lines of, by atomic number (tuple of str)."""
        present = set(self.table["element"])
        return tuple(element for element in ELEMENTS if element in present)

    def select(self, element, ion=None):
        """Return the lines of an element, and of one ion only if that is given."""
        good = np.asarray(self.table["element"]) == element
        if ion is not None:
            good &= np.asarray(self.table["ion"]) == ion
        return self[good]

    def inside(self, wavelength, medium="air"):
        """Return the lines whose centre is between the pixels of a spectrum or a model.

        Parameters
        ----------
        wavelength : `~astropy.units.Quantity`
            Pixels, with gaps between windows.
        medium : {"air", "vacuum"}

        Returns
        -------
        LineList
        """
        pixels = to_vacuum(angstrom(wavelength, "wavelength"), medium)
        centre = self.vacuum()[:, 0, None]
        ends = np.array([pixels[window][[0, -1]] for window in find_windows(pixels)])
        return self[((ends[:, 0] <= centre) & (centre <= ends[:, 1])).any(axis=1)]

    def in_medium(self, medium):
        """Return the list with wavelengths in another medium."""
        require_medium(medium)
        if medium == self.medium:
            return self
        table = self.table.copy()
        for name in ("wavelength", "lower", "upper"):
            value = table[name].to_value(u.AA)
            table[name] = (to_air(value) if medium == "air" else to_vacuum(value, "air")) * u.AA
        table.meta["medium"] = medium
        return self._of(table)

    def vacuum(self):
        """Return centre, lower and upper end of each line's window: Å in vacuum, shape (n, 3)."""
        table = self.in_medium("vacuum").table
        columns = [table[name].to_value(u.AA) for name in ("wavelength", "lower", "upper")]
        return np.stack(columns, axis=1)

    def inside_windows(self, wavelength, broadening=0.0):
        """Say which pixels belong to which line.

        Parameters
        ----------
        wavelength : array_like, shape (...)
            Å in vacuum, in the star's frame.
        broadening : float or array_like
            Velocity in km/s that windows are wider by at either side, perhaps of each pixel;
            excluded cores stay as they are.

        Returns
        -------
        numpy.ndarray of bool, shape (n_lines, ...)
        """
        wavelength = np.asarray(wavelength, dtype=float)
        shape = (-1, *[1] * wavelength.ndim)
        centre, lower, upper = (column.reshape(shape) for column in self.vacuum().T)
        more = 1 + np.asarray(broadening) / C_KMS
        core = self.table["core"].to_value(u.AA).reshape(shape)
        inside = (wavelength >= lower / more) & (wavelength <= upper * more)
        return inside & ~(np.abs(wavelength - centre) < core)

    def window_width(self, broadening=0.0):
        """Return how wide each line's window is in ln λ, its core left out.

        Parameters
        ----------
        broadening : float or array_like, shape (n,)
            As for `inside_windows`.

        Returns
        -------
        numpy.ndarray, shape (n_lines,) or (n_lines, n)
        """
        shape = (-1, *[1] * np.ndim(broadening))
        centre, lower, upper = (column.reshape(shape) for column in self.vacuum().T)
        core = self.table["core"].to_value(u.AA).reshape(shape)
        whole = np.log(upper / lower) + 2 * np.log1p(np.asarray(broadening) / C_KMS)
        return whole - 2 * np.arctanh(core / centre)

    def region(self, broadening=0.0):
        """Return the windows, put together where they overlap, as a `~specutils.SpectralRegion`.

        Parameters
        ----------
        broadening : float or `~astropy.units.Quantity`
            Velocity that windows are wider by at either side, km/s.

        Returns
        -------
        `~specutils.SpectralRegion`
            In the list's medium; give ``medium`` to `~astropayne.fit_spectrum` if the spectrum's
            is another. Excluded cores are left out.

        Raises
        ------
        ValueError
            If the list is empty.
        """
        from specutils import SpectralRegion

        if not len(self):
            raise ValueError("this line list is empty: it makes no region")
        more = 1 + checked_velocity(broadening, "vsini") / C_KMS
        lower = self.table["lower"].to_value(u.AA) / more
        upper = self.table["upper"].to_value(u.AA) * more
        parts = _union(np.stack([lower, upper], axis=1))
        for line in self.table[self.table["core"] > 0]:
            centre, core = line["wavelength"].to_value(u.AA), line["core"].to_value(u.AA)
            parts = _without(parts, centre - core, centre + core)
        return SpectralRegion([(a * u.AA, b * u.AA) for a, b in parts])

    # --- files

    @classmethod
    def read(cls, path, *, element=None, medium=None):
        """Read a line list.

        Parameters
        ----------
        path : path-like
            ECSV as `write` makes it; any CSV with a column ``wavelength`` or ``ll``, and perhaps
            ``dlam`` (half-width) or ``Bluewidth`` and ``Redwidth`` (ends), ``Element`` and
            ``ionisation``, such as one_payne's masks; a line mask of TSFitPy (centre, ends and
            maybe a code such as 12.01, after ``;`` comments). All in Å.
        element : str, optional
            Of all lines, where the file does not say or is wrong. By default what the file says,
            and without that its name: ``mg.csv``, ``mg-lmask.txt``.
        medium : {"air", "vacuum"}, optional
            By default what the file says, and without that air.

        Returns
        -------
        LineList

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not such a table, or a window does not hold its line: widths where ends
            belong.

        Notes
        -----
        TSFitPy does not use the code of an element in its line masks, and some are wrong: there
        the file's name goes first.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            content = read_text(path)
        except ValueError as error:
            raise ValueError(
                f"{error}: a line list is a table in ECSV or CSV, or a mask of TSFitPy"
            ) from None
        if content.startswith("# %ECSV"):
            table = QTable.read(path, format="ascii.ecsv")
        elif is_mask(content):
            table = read_line_mask(content)
            element = element or _element_of(path.stem, r"([a-z]{1,2})-lmask")
        else:
            table = read_line_csv(content, path)
        said = "element" in table.colnames and any(map(line_text, table["element"]))
        if element is None and not said:
            element = _element_of(path.stem, r"([a-z]{1,2})")
        try:
            return cls._of(completed(table, path, element, medium))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def write(self, path, *, overwrite=False):
        """Write the list.

        Parameters
        ----------
        path : path-like
            ``.csv`` makes a table with one_payne's column names, in air; anything else ECSV.
        overwrite : bool
            Whether a file that is there may be replaced.
        """
        if Path(path).suffix.lower() != ".csv":
            self.table.write(path, format="ascii.ecsv", overwrite=overwrite)
            return
        table = Table(self.in_medium("air").table, copy=True)
        for name, its in CSV_NAME.items():
            table.rename_column(name, its)
        table.write(path, format="ascii.csv", overwrite=overwrite)


def _checked(table):
    """Return the table, sorted, or say what is wrong with it."""
    require_medium(table.meta.get("medium"))
    centre, lower, upper = (table[n].to_value(u.AA) for n in ("wavelength", "lower", "upper"))
    wrong = ~((lower < upper) & (lower <= centre) & (centre <= upper) & (lower > 0))
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"the line at {centre[i]:g} has a window from {lower[i]:g} to {upper[i]:g} Angstrom, "
            "which does not hold it"
        )
    core = table["core"].to_value(u.AA)
    if not (core >= 0).all():
        raise ValueError(f"core is {core.min():g} Angstrom; it is a half-width, zero for none")
    if unknown := sorted({str(e) for e in table["element"]} - {"", *ELEMENTS}):
        raise ValueError(f"{', '.join(unknown)}: not the symbol of an element")
    return table[np.argsort(centre, kind="stable")]


def _union(parts):
    """Put overlapping intervals together."""
    found = []
    for low, high in sorted(map(tuple, parts)):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def _without(parts, low, high):
    """Cut an interval out of others."""
    pieces = [(a, min(b, low)) for a, b in parts] + [(max(a, high), b) for a, b in parts]
    return sorted((a, b) for a, b in pieces if a < b)


def _element_of(stem, pattern):
    match = re.fullmatch(pattern, stem.lower())
    symbol = match[1].capitalize() if match else None
    return symbol if symbol in ELEMENTS else None
