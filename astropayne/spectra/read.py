# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading of observed spectra from text, tables, images and what specutils reads."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.table import Table
from astropy.utils.data import get_readable_fileobj
from specutils import Spectrum, SpectrumList

import astropayne.spectra.loaders.libre_esprit  # noqa: F401  # registers its loader
from astropayne.io.number_tables import TextTableError
from astropayne.io.text_tables import read_columns
from astropayne.spectra.fits_files import FitsFile, opened_fits
from astropayne.spectra.options import ReadOptions, SeveralTargetsError
from astropayne.spectra.specutils_files import read_by_specutils
from astropayne.spectra.tables import spectrum_of_table, table_of_astropy
from astropayne.spectra.targets import choose_arm
from astropayne.utils.suggestions import suggests_options

__all__ = ["opened_file", "read_from", "read_spectrum"]

_FITS = b"SIMPLE  ="
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")  # gzip, bzip2, xz


@suggests_options
def read_spectrum(
    path: str | Path,
    *,
    format: str | None = None,
    wavelength_unit: u.UnitBase | str | None = None,
    columns: int | Mapping[str, str] | None = None,
    hdu: int | str | Sequence[int | str] | None = None,
    target: int | None = None,
    arm: int | str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Spectrum | SpectrumList:
    r"""Read an observed spectrum from a file.

    Text with columns of wavelength, flux and, if there are three, uncertainty (standard deviation)
    is read with or without a line of names, and so are tables (ECSV, VOTable, FITS), with a row
    per pixel or a row that holds arrays. Columns go by their names: ``loglam`` is the decimal
    logarithm of wavelengths in Å, ``ivar`` an inverse variance, ``mask``, ``and_mask``, ``QUAL`` or
    ``DQ`` are zero where a pixel is good. Uncertainties belong to the flux whose name they share;
    models, sky and background are not taken for the flux. Units may be in the name of the
    wavelength, as in ``wave_nm``. FITS images have their wavelengths in the header and noise and
    mask in images next to them, such as ``ERRS``, ``STAT`` (a variance), ``IVAR``, ``DQ`` and
    ``QUAL``. All other formats are those of specutils. Files may be compressed (``.gz``, ``.xz``).
    Uncertainties of which none is a positive number are left out.

    Parameters
    ----------
    path : path-like
    format : str, optional
        Format of `specutils.Spectrum.read`; detected by default.
    wavelength_unit : `~astropy.units.Unit` or str, optional
        Unit of wavelengths where the file does not state one that is known; Å by default.
    columns : int or mapping, optional
        2 reads wavelength and flux only. A mapping names columns by their role, such as
        ``{"flux": "FLUX_NORM", "uncertainty": "ERR"}``; roles are ``wavelength``,
        ``log_wavelength``, ``flux``, ``uncertainty``, ``variance``, ``inverse_variance``,
        ``resolution``, ``mask`` (zero where a pixel is good) and ``good`` (not zero where it is).
    hdu : int or str, optional
        Table or image of a FITS file, by number or name; several of them are read as arms.
    target : int, optional
        Row, counted from zero, or identifier of one star in a file of many.
    arm : int or str, optional
        Arm of a star that has several, by its number, counted from zero, or its name.
    meta : dict, optional
        Metadata that override those of the file, such as ``medium`` and ``resolution``. A medium
        is taken from the name of the wavelength, such as ``wavelength_air``, or from FITS headers;
        spectra of APOGEE, DESI, LAMOST, HST, JWST and others are known to be in vacuum. The
        resolution is taken from headers, such as ``SPEC_RES``, from columns of resolution or
        line-spread functions, and from resolution matrices.

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list if there are several arms. ``meta["name"]`` is the path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, or holds spectra of several stars of which none is chosen; see
        `~astropayne.read_spectra`.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If something in the file is left out or doubtful, such as a mask of most pixels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne import read_spectrum
    >>> file = Path(mkdtemp()) / "star.txt"
    >>> _ = file.write_text("# wavelength flux error\n5160.0 0.98 0.01\n5160.1 0.97 0.01\n")
    >>> spectrum = read_spectrum(file)
    >>> print(spectrum.spectral_axis, spectrum.uncertainty.array)
    [5160.  5160.1] Angstrom [0.01 0.01]
    """
    path = Path(path).expanduser()
    options = ReadOptions(format, wavelength_unit, columns, hdu, target, arm, meta)
    with ExitStack() as stack:
        return read_from(opened_file(path, stack), path, options)


def opened_file(path: Path, stack: ExitStack) -> FitsFile | bytes:
    """Open a file if it is FITS, or else return its first bytes.

    Parameters
    ----------
    path : `~pathlib.Path`
    stack : `~contextlib.ExitStack`
        Closes the file.

    Returns
    -------
    FitsFile or bytes

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty or damaged.
    """
    _require_file(path)
    start = _start(path)
    return stack.enter_context(opened_fits(path)) if start.startswith(_FITS) else start


def read_from(file: FitsFile | bytes, path: Path, options: ReadOptions) -> Spectrum | SpectrumList:
    """Return the spectrum, or the arms of one star, in a file that `opened_file` opened.

    Parameters
    ----------
    file : FitsFile or bytes
        Result of `opened_file`.
    path : `~pathlib.Path`
    options : ReadOptions

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`

    Raises
    ------
    ValueError
        If the file cannot be read, or holds several stars and none is chosen.
    """
    found = _read(file, path, options)
    return found if options.arm is None else choose_arm(found, path, options.arm)


def _read(file: FitsFile | bytes, path: Path, options: ReadOptions) -> Spectrum | SpectrumList:
    if options.format is not None:
        try:
            return read_by_specutils(path, options)
        except SeveralTargetsError:
            raise
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as {options.format}: {error}") from None
    if isinstance(file, FitsFile):
        return file.read(options)
    if file.startswith(b"***"):
        return read_by_specutils(path, replace(options, format="Libre-ESpRIT"))
    is_text = b"\0" not in file or file.startswith((b"\xff\xfe", b"\xfe\xff"))
    table = _text_table(path, file) if is_text else None
    if table is not None:
        return spectrum_of_table(
            table_of_astropy(table),
            path,
            wavelength_unit=options.unit,
            columns=options.columns,
            target=options.target,
            meta=options.meta_of(path),
        )
    try:
        return read_by_specutils(path, options)
    except SeveralTargetsError:
        raise
    except ValueError as error:
        reason = str(error)
        if is_text:  # errors of specutils do not help here
            reason = "lines that are not numbers must start with #, except one of names"
        raise ValueError(
            f"{path} is neither text with columns of wavelength, flux and uncertainty, nor what "
            f"specutils can read: {reason}"
        ) from None


def _require_file(path: Path) -> None:
    """Raise an error if there is no file, or it is empty."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the spectra in it, one by one")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")


def _start(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed."""
    with open(path, "rb") as file:
        start = file.read(2048)
    if not start.startswith(_PACKED):
        return start
    try:
        with get_readable_fileobj(path, encoding="binary") as file:
            unpacked = file.read(2048)
    except (OSError, EOFError):
        unpacked = start
    if unpacked.startswith(_PACKED):  # what astropy returns if it cannot decompress the file
        raise ValueError(f"{path} is damaged: it ends before its data do; copy it again")
    return unpacked


def _text_table(path: Path, start: bytes) -> Table | None:
    """Return the columns of a text file, or `None` if they are not numbers."""
    try:
        if start.startswith(b"# %ECSV"):
            table = Table.read(path, format="ascii.ecsv")
        elif b"<VOTABLE" in start:
            table = Table.read(path, format="votable")
        else:
            table = read_columns(path)
    except TextTableError as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception:  # readers of text fail in many ways; specutils may do better
        return None
    numbers = len(table) and (len(table) == 1 or all(
        table[name].dtype.kind in "fiub" for name in table.colnames[:2]))  # fmt: skip
    return table if numbers and len(table.colnames) > 1 else None
