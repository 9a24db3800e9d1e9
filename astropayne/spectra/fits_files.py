# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from FITS files, which are opened once."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io import registry as io_registry
from astropy.utils.data import get_readable_fileobj
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import FITSFixedWarning
from specutils import Spectrum, SpectrumList

import astropayne.spectra.loaders.apogee  # registers its loaders, as the next ones
import astropayne.spectra.loaders.lamost
import astropayne.spectra.loaders.sdss_v  # noqa: F401
from astropayne.spectra.conventions.columns import choose_roles, flux_candidates
from astropayne.spectra.conventions.headers import exact_names, plain_name
from astropayne.spectra.images import spectrum_of_images
from astropayne.spectra.options import ReadOptions, SeveralTablesError
from astropayne.spectra.specutils_files import complete, first_line
from astropayne.spectra.tables import SpectrumTable, spectrum_of_table
from astropayne.spectra.targets import choose_target

__all__ = ["FitsFile", "opened_fits"]

# Formats of specutils that describe a form of file, not the product of a survey.
_GENERIC = {"wcs1d-fits", "tabular-fits", "iraf", "ASCII", "ECSV", "IPAC"}
_GENERIC |= {"JWST x1d MIRI MRS"}  # it takes any list, such as a list of HDUs
# Formats of this package, preferred to those of specutils, which lose masks or arms.
_OWN_LISTS = {"LAMOST MRS", "APOGEE visit", "SDSS-V mwm visits"}
_OWN_FORMATS = {"LAMOST LRS image", "APOGEE star"}
_DAMAGED = "{} is damaged: it ends before its data do; copy it again"
_COADDED = ("COADD", "SPECTRUM", "EXTRACT1D")  # preferred to those of single exposures


@dataclass(frozen=True)
class FitsFile:
    """An open FITS file, of which several targets can be read.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
    path : `~pathlib.Path`
    """

    hdus: fits.HDUList
    path: Path
    loaded: dict[str, Any] = field(default_factory=dict)

    def read(self, options: ReadOptions) -> Spectrum | SpectrumList:
        """Return the spectrum, or the arms of one star.

        Raises
        ------
        ValueError
            If the file does not hold one spectrum.
        """
        try:
            return _read(self, options)
        except ValueError:
            raise
        except Exception as error:  # of astropy, numpy and loaders
            raise ValueError(f"{self.path} cannot be read: {first_line(error)}") from error


@contextlib.contextmanager
def opened_fits(path: Path) -> Iterator[FitsFile]:
    """Open a file once, and refuse one that ends too early, of which astropy only warns.

    Parameters
    ----------
    path : `~pathlib.Path`

    Yields
    ------
    FitsFile

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    damaged = _DAMAGED.format(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(path, memmap=False)
            len(hdus)  # reads all headers
        except (OSError, EOFError):  # it ends within the first header, or its compressed data
            raise ValueError(damaged) from None
    try:
        if any(re.search("truncated|validating header", str(w.message)) for w in caught):
            raise ValueError(damaged)
        with warnings.catch_warnings():
            for category in (fits.verify.VerifyWarning, u.UnitsWarning, FITSFixedWarning):
                warnings.simplefilter("ignore", category)
            yield FitsFile(hdus, path)
    finally:
        hdus.close()


def _read(file: FitsFile, options: ReadOptions) -> Spectrum | SpectrumList:
    hdus, path = file.hdus, file.path
    if options.hdu is not None:
        return _of_hdu(hdus, path, options)
    formats = [] if _is_plain(hdus) else _survey_formats(hdus, path)
    single = _formats_of_single_spectra()
    lists = [name for name in formats if name not in single]
    if lists:
        first = next((name for name in lists if name in _OWN_LISTS), lists[0])
        return _load(file, first, SpectrumList, options)
    if own := [name for name in formats if name in _OWN_FORMATS]:
        return _load(file, own[0], Spectrum, options)
    named = options.columns if isinstance(options.columns, Mapping) else None
    tables = [hdu for hdu in hdus if _has_spectrum(hdu, named)]
    tables = [hdu for hdu in tables if hdu.name in _COADDED][:1] or tables
    if len(tables) > 1:
        names = [hdu.name if hdu.name else hdus.index(hdu) for hdu in tables]
        raise SeveralTablesError(
            f"{path} has {len(tables)} tables that hold spectra ({', '.join(map(str, names))}): "
            f"give hdu={names[0]!r}, or several of them to be arms of one star",
            tuple(names),
        )
    several = tables and tables[0].header["NAXIS2"] > 1 and options.target is None
    if tables and not (several and formats and _has_arrays(tables[0])):
        return _of_table(hdus, tables[0], path, options)
    if formats:
        return _load(file, formats[0], Spectrum, options)
    spectrum = spectrum_of_images(hdus, path, options)
    return _of_rest(hdus, path, options) if spectrum is None else spectrum


def _of_hdu(hdus: fits.HDUList, path: Path, options: ReadOptions) -> Spectrum | SpectrumList:
    """Return the spectrum in the chosen HDU, or a list of those in several."""
    wanted = options.hdu
    several = not isinstance(wanted, str | int)
    found = SpectrumList()
    for name in wanted if several else (wanted,):
        try:
            hdu = hdus[name]
        except (KeyError, IndexError):
            names = ", ".join(h.name or str(i) for i, h in enumerate(hdus))
            raise ValueError(f"{path} has no hdu={name!r}; it has {names}") from None
        if not hdu.is_image:
            spectrum = _of_table(hdus, hdu, path, options)
        else:
            spectrum = spectrum_of_images(hdus, path, options, name)
        if spectrum is None:
            raise ValueError(f"{path}: hdu={name!r} is not an image of one spectrum")
        found += spectrum if isinstance(spectrum, SpectrumList) else [spectrum]
    return found[0] if len(found) == 1 and not several else found


def _of_table(
    hdus: fits.HDUList, hdu: fits.BinTableHDU, path: Path, options: ReadOptions
) -> Spectrum:
    columns = hdu.columns
    table = SpectrumTable(
        tuple(columns.names),
        {c.name: c.unit for c in columns if c.unit},
        cache(lambda name: _values(hdu, name)),
        hdu.header["NAXIS2"],
        (hdu.header, hdus[0].header),
    )
    return spectrum_of_table(
        table,
        path,
        wavelength_unit=options.unit,
        columns=options.columns,
        target=options.target,
        meta=options.meta_of(path),
    )


def _values(hdu: fits.BinTableHDU, name: str) -> np.ndarray:
    """Return a column in the byte order of the machine, masked where integers are undefined."""
    values = hdu.data[name]
    if values.dtype.kind in "fiub":
        values = values.astype(values.dtype.newbyteorder("="))
    undefined = hdu.columns[name].null
    if undefined is not None and values.dtype.kind in "iu":
        return np.ma.masked_equal(values, undefined)
    return values


def _has_spectrum(hdu: fits.hdu.base._BaseHDU, named: Mapping[str, str] | None = None) -> bool:
    """Return whether a table has columns of wavelength and flux, with more than one pixel."""
    if hdu.is_image or not getattr(hdu, "columns", None) or not hdu.header["NAXIS2"]:
        return False
    names = hdu.columns.names
    if named is not None:
        return set(named.values()) <= set(names)
    try:
        roles = choose_roles(names)
    except ValueError:  # several columns may be the flux, which is an error if this is the table
        exact = {*exact_names("wavelength"), *exact_names("log_wavelength")}
        has_axis = bool(exact & {plain_name(name) for name in names})
        return has_axis and len(flux_candidates(names)) > 0
    if "flux" not in roles or not roles.keys() & {"wavelength", "log_wavelength"}:
        return False
    return hdu.header["NAXIS2"] > 1 or _has_arrays(hdu)


def _has_arrays(hdu: fits.BinTableHDU) -> bool:
    """Return whether rows of a table hold arrays of numbers."""
    return any(
        "A" not in (form := str(column.format)) and re.match(r"[PQ]|1[PQ]|(?!1\D)[1-9]", form)
        for column in hdu.columns
    )


def _is_plain(hdus: fits.HDUList) -> bool:
    """Return whether a file has one table of pixels or one image, which is no survey's format."""
    if len(hdus) == 1:
        return len(hdus[0].shape) == 1
    return (
        len(hdus) == 2
        and not hdus[0].size
        and _has_spectrum(hdus[1])
        and (hdus[1].header["NAXIS2"] == 1 or not _has_arrays(hdus[1]))
    )


@cache
def _formats_of_single_spectra() -> frozenset[str]:
    return frozenset(io_registry.get_formats(Spectrum, "Read")["Format"])


def _survey_formats(hdus: fits.HDUList, path: Path) -> list[str]:
    """Return the formats of surveys that loaders of specutils recognize."""
    found = io_registry.identify_format("read", SpectrumList, str(path), None, (hdus,), {})
    return [name for name in found if name not in _GENERIC]


def _load(file: FitsFile, name: str, kind: type, options: ReadOptions) -> Spectrum | SpectrumList:
    """Return the spectra of a file from a loader of specutils, which runs once."""
    path = file.path
    if name not in file.loaded:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyUserWarning)  # of HDUs that are not read
                file.loaded[name] = kind.read(file.hdus, format=name)
        except Exception as error:  # loaders raise any error
            names = ", ".join(hdu.name or str(i) for i, hdu in enumerate(file.hdus))
            raise ValueError(
                f"{path} looks like a file of {name} and is not a complete one "
                f"({first_line(error)}): read a table or an image with hdu=; it has {names}"
            ) from error
    spectra = file.loaded[name]
    if kind is SpectrumList:
        spectra = choose_target(spectra, path, options.target)
    headers = tuple(hdu.header for hdu in file.hdus[:2])
    if isinstance(spectra, SpectrumList):
        return SpectrumList(complete(s, path, headers, options) for s in spectra)
    return complete(spectra, path, headers, options)


def _of_rest(hdus: fits.HDUList, path: Path, options: ReadOptions) -> Spectrum:
    """Return a spectrum that only the generic loaders of specutils can read."""
    headers = (hdus[-1].header,) if len(hdus) == 1 else (hdus[0].header, hdus[1].header)
    has_table = any(isinstance(hdu, fits.BinTableHDU | fits.TableHDU) for hdu in hdus)
    name = "tabular-fits" if has_table else None
    try:
        spectrum = Spectrum.read(hdus if has_table else path, format=name)
    except Exception as error:  # loaders raise any error
        raise ValueError(_refusal(hdus, path, first_line(error))) from None
    return complete(spectrum, path, headers, options)


def _refusal(hdus: fits.HDUList, path: Path, reason: str) -> str:
    """Return the error message for a file that is not read, which depends on its contents."""
    if _cannot_be_unpacked(path):
        return _DAMAGED.format(path)
    tables = [hdu for hdu in hdus if getattr(hdu, "columns", None) and hdu.header["NAXIS2"]]
    if tables:
        table = max(tables, key=lambda hdu: hdu.header["NAXIS2"])
        names = table.columns.names
        return (
            f"{path}: no table has columns that are known to be wavelength and flux; "
            f"hdu={table.name or hdus.index(table)!r} has {', '.join(names)}: name them, such as "
            f"columns={{'wavelength': {names[0]!r}, 'flux': {names[-1]!r}}}"
        )
    images = [hdu.shape for hdu in hdus if hdu.is_image and hdu.size]
    shape = images[0] if images else ()
    if len(shape) > 1:
        reason = (
            f"it is an image of {' x '.join(map(str, shape))} values, not one spectrum; write "
            "each row, such as an order, with its wavelengths to a file, and fit them as arms"
        )
    return (
        f"{path} is neither text with columns of wavelength, flux and uncertainty, nor what "
        f"specutils can read: {reason}"
    )


def _cannot_be_unpacked(path: Path) -> bool:
    """Return whether a compressed file ends too early, which astropy may not notice."""
    try:
        with get_readable_fileobj(path, encoding="binary") as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError):
        return True
    return False
