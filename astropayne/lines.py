# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Lines and the windows around them: tables, files, and masks that a model finds by itself."""

import re
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import ascii as text_tables
from astropy.table import QTable, Table, vstack

from astropayne.abundances import ELEMENTS
from astropayne.forward import VELOCITIES
from astropayne.labels import Label, one_star, one_value, strip_unit
from astropayne.network import without_gradients
from astropayne.resampling import pixel_edges
from astropayne.wavelengths import (
    C_KMS,
    checked_velocity,
    doppler_factor,
    find_windows,
    require_medium,
    to_air,
    to_vacuum,
)

__all__ = ["LineList", "find", "sensitivity", "without_gaps"]

_HALF_WIDTH = 0.5  # Å, where a file gives a line's centre only, as one_payne has it
_IONS = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}
# Columns by the names that files have, in lower case.
_COLUMN = {
    "wavelength": "wavelength ll wave centre center lambda",
    "lower": "lower bluewidth wave_base",
    "upper": "upper redwidth wave_top",
    "half_width": "half_width dlam",
    "element": "element",
    "ion": "ion ionisation ionization",
    "core": "core",
    "reference": "reference",
}
_NAME = {alias: name for name, aliases in _COLUMN.items() for alias in aliases.split()}
_ROUNDED = 0.15  # Å; masks are rounded to 0.1
_CSV_NAME = {"wavelength": "ll", "lower": "Bluewidth", "upper": "Redwidth"}
_CSV_NAME |= {"element": "Element", "ion": "ionisation"}


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
    >>> from astropayne.lines import LineList
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
        centre = _angstrom(wavelength, "wavelength")
        if lower is not None and half_width is not None:
            raise ValueError("windows are given by half_width, or by lower and upper; choose one")
        lower, upper = _ends(centre, half_width, lower, upper)
        columns = {"wavelength": centre, "lower": lower, "upper": upper}
        columns |= {"element": element, "ion": ion}
        columns |= {"core": _angstrom(core, "core"), "reference": reference}
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
        >>> from astropayne.lines import LineList
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
        pixels = to_vacuum(_angstrom(wavelength, "wavelength"), medium)
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
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is no text: a line list is a table in ECSV or CSV, or a mask of TSFitPy"
            ) from error
        if content.startswith("# %ECSV"):
            table = QTable.read(path, format="ascii.ecsv")
        elif _is_mask(content):
            table = _read_mask(content)
            element = element or _element_of(path.stem, r"([a-z]{1,2})-lmask")
        else:
            table = _read_csv(content, path)
        said = "element" in table.colnames and any(map(_text, table["element"]))
        if element is None and not said:
            element = _element_of(path.stem, r"([a-z]{1,2})")
        try:
            return cls._of(_completed(table, path, element, medium))
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
        for name, its in _CSV_NAME.items():
            table.rename_column(name, its)
        table.write(path, format="ascii.csv", overwrite=overwrite)


def _angstrom(value, what):
    if value is None:
        raise ValueError(f"{what} is missing")
    return np.atleast_1d(np.asarray(strip_unit(value, what, u.AA), dtype=float))


def _ends(centre, half_width, lower, upper):
    """Return the ends of windows, Å, given as such or by half of their width."""
    if (lower is None) != (upper is None):
        raise ValueError("lower and upper ends of windows go together: one of them is missing")
    if lower is not None:
        return _angstrom(lower, "lower"), _angstrom(upper, "upper")
    half = _angstrom(_HALF_WIDTH if half_width is None else half_width, "half_width")
    return centre - half, centre + half


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


def _rows(content):
    return [
        line.split(";")[0].split() for line in content.splitlines() if line.split(";")[0].strip()
    ]


def _is_mask(content):
    """Say whether all there is are at least three numbers a row, as in TSFitPy's masks."""
    rows = _rows(content)
    return bool(rows) and all(len(row) >= 3 and _is_number(row[0]) for row in rows)


def _is_number(word):
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word.lower()) is not None


def _read_mask(content):
    rows = _rows(content)
    table = QTable(np.array([row[:3] for row in rows], dtype=float), names=list(_COLUMN)[:3])
    codes = [row[3].partition(".") if len(row) > 3 and _is_number(row[3]) else "" for row in rows]
    numbers = [int(code[0] or 0) if code else 0 for code in codes]
    symbols = dict(enumerate(ELEMENTS, start=1))
    table["element"] = [symbols.get(number, "") for number in numbers]
    table["ion"] = [int(code[2] or 0) if code else 0 for code in codes]
    return table


def _read_csv(content, path):
    if not content.strip():
        raise ValueError(f"{path} is no table of lines: it is empty")
    try:
        return QTable(text_tables.read(content.splitlines(), format="csv", fast_reader=False))
    except (ValueError, text_tables.InconsistentTableError) as error:
        raise ValueError(f"{path} is no table of lines: {error}") from None


def _completed(table, path, element, medium):
    """Give a table the columns of a line list."""
    for name in table.colnames:
        its = _NAME.get(name.lower())
        if its is not None and its != name and its not in table.colnames:
            table.rename_column(name, its)
    if "wavelength" not in table.colnames:
        raise ValueError(
            f"there is no column of line centres, 'wavelength' or 'll', in {table.colnames}"
        )
    own = {name: table[name] for name in _COLUMN if name in table.colnames}
    centre = _angstrom(own["wavelength"], "wavelength")
    lower, upper = _ends(centre, *(own.get(name) for name in ("half_width", "lower", "upper")))
    # Ends that are rounded still hold the line; widths in their place never do.
    lower = np.where(lower - centre < _ROUNDED, np.minimum(lower, centre), lower)
    upper = np.where(centre - upper < _ROUNDED, np.maximum(upper, centre), upper)
    n = len(table)
    table["wavelength"], table["lower"] = centre * u.AA, lower * u.AA
    table["upper"] = upper * u.AA
    table["element"] = [element or _text(e) for e in own.get("element", [""] * n)]
    table["ion"] = [_ion(i) for i in own.get("ion", [0] * n)]
    core = np.nan_to_num(_angstrom(own.get("core", 0.0), "core"))  # none in empty cells
    table["core"] = np.broadcast_to(core, n) * u.AA
    table["reference"] = [_text(r) for r in own.get("reference", [path.name] * n)]
    if "half_width" in table.colnames:
        del table["half_width"]
    table.meta["medium"] = medium or table.meta.get("medium", "air")
    return table


def _text(cell):
    return "" if cell is np.ma.masked else str(cell)


def _ion(cell):
    text = _text(cell).strip() or "0"  # of an empty cell it is not known
    if text in _IONS:
        return _IONS[text]
    try:
        return int(float(text))
    except ValueError:
        raise ValueError(
            f"the ion {text!r} is neither a number, 1 for neutral, nor one of {', '.join(_IONS)}"
        ) from None


def without_gaps(wavelength, pixels):
    """Split some of the pixels of an axis where others are between them, or a gap is.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.
    pixels : array_like of bool, shape (n_pixels,)

    Returns
    -------
    list of numpy.ndarray
        The pixels' indices.

    Examples
    --------
    >>> from astropayne.lines import without_gaps
    >>> wavelength = [5000, 5001, 5002, 6000, 6003, 6006]
    >>> [part.tolist() for part in without_gaps(wavelength, [True, False, True, True, True, True])]
    [[0], [2], [3, 4, 5]]
    """
    pixels = np.flatnonzero(pixels)
    starts = [window.start for window in find_windows(wavelength)]
    breaks = (np.diff(pixels) > 1) | np.diff(np.searchsorted(starts, pixels, "right")).astype(bool)
    return np.split(pixels, np.flatnonzero(breaks) + 1) if len(pixels) else []


# --- masks that a model finds


def sensitivity(model, at, *, resolution=None, wavelength=None, limb_darkening=0.6):
    """Return what a star's spectrum is, and how it changes with labels and velocities.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    at : mapping
        Labels of the star, as the model takes them, and perhaps ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        λ/FWHM; the model's own by default.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels, in the model's medium; the model's own by default.
    limb_darkening : float

    Returns
    -------
    wavelength : numpy.ndarray, shape (n,)
        Å in vacuum, of the pixels that the model supports.
    theta : numpy.ndarray, shape (n_labels + 3,)
        The labels, then rv, vsini and vmac.
    flux : numpy.ndarray, shape (n,)
    jacobian : numpy.ndarray, shape (n, n_labels + 3)
    """
    theta, vacuum = parameters_of(model, at), vacuum_pixels(model, wavelength)
    rv, *widths = theta[-len(VELOCITIES) :]
    forward = model.forward_model(limb_darkening=limb_darkening)
    placed = forward.pixels(vacuum, rv)
    good = forward.supported(placed, *widths, resolution)[0]
    with without_gradients():
        flux, jacobian = forward.forward_and_jacobian(theta, placed, resolution)
    return vacuum[good], theta, flux[0].numpy()[good], jacobian[0].numpy()[good]


def parameters_of(model, at):
    """Return a star's labels, rv, vsini and vmac (n_labels + 3,); as `sensitivity` takes them."""
    labels = {name: value for name, value in at.items() if name not in VELOCITIES}
    velocities = [one_value(checked_velocity(at.get(name, 0.0), name), name) for name in VELOCITIES]
    theta = np.concatenate([one_star(model.label_array(labels)), velocities])
    if not np.isfinite(theta).all():
        raise ValueError(f"labels are missing or not finite: a star needs {model.labels.names}")
    return theta


def vacuum_pixels(model, wavelength=None):
    """Return pixels in vacuum, Å; as `sensitivity` takes them."""
    pixels = model.wavelength if wavelength is None else u.Quantity(wavelength, u.AA)
    return to_vacuum(pixels.value, model.medium)


def find(model, label, *, at, resolution=None, snr=100.0, wavelength=None, share=0.9, purity=0.3):
    """Find the windows of a spectrum that say most of a label.

    What pixels say of a label is their part of its Fisher information, all other labels and
    velocities being unknown as well: with J the derivative of the flux by the label over the
    noise, and r what is left of J when all that other derivatives can imitate is taken off, the
    information is the sum of J·r over pixels, and 1/√sum the error of the label.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    label : str
        One of the model's labels, in any spelling.
    at : mapping
        The star: its labels, and perhaps ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        λ/FWHM; the model's own by default.
    snr : float
        Signal to noise of a pixel; the emulator's own error is added.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels, in the model's medium; the model's own by default.
    share : float
        Take the best windows that together have this part of the information of all that are pure.
    purity : float
        Leave out pixels of which less is due to the label: its squared derivative over that of
        all abundances together, each by one dex.

    Returns
    -------
    LineList
        With columns ``information`` (each window's share of that of all pixels) and ``purity``.

    Raises
    ------
    ValueError
        If the spectrum says nothing of the label, or an option makes no sense.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.lines import find
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 2.2}
    >>> lines = find(PayneModel.sample(), "A(Li)", at=star)
    >>> print(lines.table["wavelength"].round(1))
    [6707.8] Angstrom
    """
    if not snr > 0:
        raise ValueError(f"snr={snr} has to be positive")
    if not 0 < share <= 1:
        raise ValueError(f"share={share} has to be above 0, and 1 at most")
    k = model.labels.index(label)
    vacuum, theta, _, jacobian = sensitivity(
        model, at, resolution=resolution, wavelength=wavelength
    )
    if not len(vacuum):
        ends = f"{model.wavelength[0].value:.0f} to {model.wavelength[-1]:.0f} ({model.medium})"
        raise ValueError(f"wavelength: no pixel is within the windows of the model, {ends}")
    rest = vacuum / doppler_factor(theta[-len(VELOCITIES)])
    sigma = np.full(len(rest), 1 / float(snr))
    sigma = np.hypot(sigma, model.error_at(rest))
    weighted = jacobian / sigma[:, None]
    own, others = weighted[:, k], np.delete(weighted, k, axis=1)
    others = others / np.maximum(np.linalg.norm(others, axis=0), 1e-300)
    left = own - others @ np.linalg.lstsq(others, own, rcond=1e-10)[0]
    information = own * left
    abundances = [i for i, x in enumerate(model.labels) if x.element or x.name == "feh" or i == k]
    pure = own**2 / np.maximum((weighted[:, abundances] ** 2).sum(axis=1), 1e-300)
    windows = _windows(rest, np.where(pure >= purity, information, 0.0), share)
    if not windows:
        raise ValueError(
            f"there is no pixel whose purity for {label!r} is {purity:g} and that says something "
            f"of it; the purest has {pure.max():.2g}: take a lower purity"
        )
    name = model.labels.names[k]
    element = Label(name).element or ("Fe" if name == "feh" else "")
    first, last = np.transpose(windows)
    lower, upper = pixel_edges(rest)
    centres = [rest[a + np.argmax(np.abs(own[a : b + 1]))] for a, b in windows]
    lines = LineList(
        centres,
        lower=lower[first],
        upper=upper[last],
        element=element,
        reference="found by the model",
        medium="vacuum",
    )
    gains = np.array([information[a : b + 1].sum() for a, b in windows]) / information.sum()
    lines.table["information"] = gains
    lines.table["purity"] = [float(np.max(pure[a : b + 1])) for a, b in windows]
    return lines.in_medium(model.medium)


def _windows(rest, gain, share):
    """Return first and last pixel of the best windows, in the order of pixels."""
    peak = gain.max(initial=0.0)
    if not peak > 0:
        return []
    parts = [(p[0], p[-1]) for p in without_gaps(rest, gain > 1e-2 * peak)]
    sums = np.array([gain[a : b + 1].sum() for a, b in parts])
    order = np.argsort(-sums)
    n = 1 + np.searchsorted(np.cumsum(sums[order]), share * sums.sum())
    return sorted(parts[i] for i in order[:n])
