# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Single spectra of a grid in files: chosen columns, continua, and wavelengths in a file apart."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from astropayne.io.text_tables import read_columns
from astropayne.spectra.conventions.units import wavelength_unit_of
from astropayne.spectra.read import read_spectrum

__all__ = ["LoadedSpectrum", "SpectrumFiles", "axis_of_file", "unit_of_flux"]

_N_TRIED = 21  # files that are tried to find the first readable spectrum
_FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
_FLUX_UNITS = {
    "flam": "erg / (s cm2 Angstrom)",
    "fnu": "erg / (s cm2 Hz)",
    "photlam": "ph / (s cm2 Angstrom)",
    "photnu": "ph / (s cm2 Hz)",
    **dict.fromkeys(("counts", "cts", "adu", "dn"), "ct"),
}
_PLAIN = ("normalized", "normalised", "norm", "relative", "relative flux", "none", "unitless")
_PLAIN_UNITS = frozenset((*_PLAIN, "dimensionless", "continuum", "-", "1"))
# Words of units as people write them, in lower case, and as astropy does.
_WORDS = {
    **dict.fromkeys(("ergs", "erg"), "erg"),
    **dict.fromkeys(("sec", "second", "s"), "s"),
    **dict.fromkeys(("a", "aa", "ang", "angs", "angstrom", "angstroms", "å"), "Angstrom"),
    **dict.fromkeys(("micron", "microns", "um", "µm", "μm"), "um"),
    **{word.lower(): word for word in ("Hz", "Jy", "mJy", "W", "cm", "m", "nm", "sr", "ph", "J")},
}


def unit_of_flux(text: object) -> "u.UnitBase | None":
    """Return a unit of flux in any common spelling.

    Parameters
    ----------
    text : str or `~astropy.units.Unit`

    Returns
    -------
    `~astropy.units.Unit` or None
        Dimensionless for normalized flux; `None` if the unit is not known.

    Examples
    --------
    >>> from astropayne.grids.readers.spectrum_files import unit_of_flux
    >>> unit_of_flux("FLAM") == unit_of_flux("ergs/sec/cm^2/A")
    True
    """
    plain = str(text).strip().lower()
    if not plain or plain in _PLAIN_UNITS:
        return u.one
    spelled = _FLUX_UNITS.get(plain) or re.sub(
        r"[a-zåµμ]+", lambda match: _WORDS.get(match[0], match[0]), plain
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)  # such as of several slashes
        for one in (spelled, str(text)):
            unit = u.Unit(one, parse_strict="silent")
            if not isinstance(unit, u.UnrecognizedUnit):
                return unit
    return None


@dataclass(frozen=True)
class LoadedSpectrum:
    """One spectrum of a grid.

    Attributes
    ----------
    wavelength : `~astropy.units.Quantity`
        Or another spectral axis.
    flux : `~astropy.units.Quantity`
        NaN where masked.
    meta : mapping
        Metadata of the file.
    """

    wavelength: "u.Quantity"
    flux: "u.Quantity"
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class SpectrumFiles:
    """The files of the spectra of a grid, and how they are read.

    Attributes
    ----------
    paths : tuple of `pathlib.Path`
    columns : mapping of str to str
        Columns that were chosen for ``flux``, ``continuum`` and ``wavelength``.
    axis : `~astropy.units.Quantity` or None
        Wavelengths, if the files have none.
    options : mapping
        Options of `~astropayne.read_spectrum`.
    flux_unit : str or None
        Unit of flux without one.
    """

    paths: tuple[Path, ...]
    columns: Mapping[str, str]
    axis: "u.Quantity | None"
    options: Mapping[str, Any]
    flux_unit: str | None = None

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        folder: Path,
        *,
        flux: str | None,
        continuum: str | None,
        wavelength: Any,
        **options: Any,
    ) -> "SpectrumFiles":
        """Return files with the choices of a user; see `SpecutilsReader` for the options.

        Raises
        ------
        ValueError
            If the file of the wavelengths cannot be read.
        """
        columns = {"flux": flux, "continuum": continuum}
        axis = None
        if isinstance(wavelength, str | Path):
            file = Path(wavelength).expanduser()
            file = file if file.is_file() else folder / wavelength
            if file.is_file():
                axis = axis_of_file(file, options["wavelength_unit"])
            elif Path(wavelength).suffix and "." in str(wavelength):
                raise FileNotFoundError(f"there is no file of wavelengths {wavelength}")
            else:
                columns["wavelength"] = str(wavelength)
        elif wavelength is not None:
            axis = _in_unit(wavelength, options["wavelength_unit"])
        chosen = {role: name for role, name in columns.items() if name is not None}
        if chosen and "wavelength" not in chosen and re.fullmatch(r"col\d+", str(flux)):
            chosen["wavelength"] = "col1"
        return cls(tuple(paths), chosen, axis, options)

    def in_unit(self, flux_unit: str | None) -> "SpectrumFiles":
        """Return files whose flux has a unit where they state none."""
        return replace(self, flux_unit=flux_unit or None)

    def load(self, i: int) -> LoadedSpectrum:
        """Read one spectrum; the name of its file is left out of errors, as reports have it."""
        path = self.paths[i]
        try:
            loaded = self._read("flux", path)
            if "continuum" in self.columns:
                below = self._read("continuum", path).flux
                with np.errstate(divide="ignore", invalid="ignore"):
                    flux = loaded.flux / below
                flux[~(below.value > 0)] = np.nan
                loaded = replace(loaded, flux=flux)
        except ValueError as error:
            text = str(error).removeprefix(str(path)).lstrip(": ")
            # the options of read_spectrum have other names here
            text = re.sub(r"columns=\{'flux': ('[^']*')\}", r"flux=\1", text)
            if "counts its pixels" in text or "only be logarithms" in text:
                text += "; or give wavelength=, a file or an array of the wavelengths"
            raise ValueError(text) from None
        if self.flux_unit is not None and loaded.flux.unit == "":
            loaded = replace(loaded, flux=loaded.flux.value * _unit(self.flux_unit))
        return loaded

    def _read(self, role: str, path: Path) -> LoadedSpectrum:
        """Read a file, with one of its columns as the flux."""
        if self.axis is not None:
            flux = _flux_of_file(path, self.columns.get(role))
            if flux.shape != self.axis.shape:
                raise ValueError(
                    f"has {flux.size} values of flux, and wavelength= has {self.axis.size}"
                )
            return LoadedSpectrum(self.axis, flux, {})
        chosen: Any = {}
        if role in self.columns:
            chosen["flux"] = self.columns[role]
        if "wavelength" in self.columns:
            chosen["wavelength"] = self.columns["wavelength"]
        spectrum = read_spectrum(path, columns=chosen or 2, **self.options)
        flux = spectrum.flux
        if spectrum.mask is not None:
            flux = flux.astype(float)
            flux[np.broadcast_to(spectrum.mask, flux.shape)] = np.nan
        return LoadedSpectrum(spectrum.spectral_axis, flux, spectrum.meta)

    def first(self) -> LoadedSpectrum | None:
        """Return the first spectrum that can be read."""
        for i in range(min(_N_TRIED, len(self.paths))):
            try:
                return self.load(i)
            except Exception:
                continue  # the file is set aside when it is loaded
        return None

    def states_unit(self) -> bool:
        """Return whether the unit of wavelengths is stated, in the files or by the user."""
        if self.axis is not None or self.options["wavelength_unit"] is not None:
            return True
        in_nm = replace(self, options={**self.options, "wavelength_unit": u.nm}).first()
        own = self.first()
        if own is None or in_nm is None:
            return True  # there is an error about something else
        return bool(
            np.isclose(*(s.wavelength[0].to_value(u.AA, u.spectral()) for s in (own, in_nm)))
        )

    def stated_unit(self) -> str:
        """Return the unit of the flux as the first file spells it; empty if it states none."""
        if not self.paths or self.axis is not None:
            return ""
        name = self.paths[0].name.lower()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AstropyWarning)
                if name.endswith(_FITS):
                    units = _units_of_fits(self.paths[0])
                elif name.endswith((".ecsv", ".vot", ".xml")):
                    table = Table.read(self.paths[0])
                    units = {name: str(table[name].unit or "") for name in table.colnames}
                else:
                    return ""
        except Exception:  # the file is set aside when it is loaded
            return ""
        chosen = self.columns.get("flux")
        is_flux = [n for n in units if (n == chosen if chosen else "flux" in n.lower())]
        return next((units[name] for name in is_flux if units[name]), "")

    def continua(self) -> list[str]:
        """Return columns of the first file that are called like a continuum."""
        try:
            names = read_columns(self.paths[0]).colnames
        except Exception:  # a file of another kind
            return []
        return [name for name in names if re.match(r"cont|cntm", name.lower())]


def _units_of_fits(file: Path) -> dict[str, str]:
    """Return the units of columns and of the image, which is called flux."""
    with fits.open(file) as hdus:
        units = {
            column.name: column.unit or ""
            for hdu in hdus
            for column in getattr(hdu, "columns", None) or ()
        }
        for hdu in hdus:
            if hdu.is_image and hdu.size:
                units.setdefault("flux", str(hdu.header.get("BUNIT", "")))
    return units


def _unit(text: Any) -> "u.UnitBase":
    unit = unit_of_flux(text)
    if unit is None:
        raise ValueError(f"{text!r} is not a unit of flux that is known")
    return unit


def _in_unit(wavelength: Any, unit: Any) -> "u.Quantity":
    """Return wavelengths with their unit; Å by default."""
    given = getattr(wavelength, "unit", None)
    values = np.ravel(np.asarray(getattr(wavelength, "value", wavelength), dtype=float))
    return values * (u.Unit(given or unit or u.AA))


def axis_of_file(file: Path, unit: Any = None) -> "u.Quantity":
    """Return the wavelengths in a file that holds nothing else.

    Parameters
    ----------
    file : `pathlib.Path`
        FITS (image or table), ``.npy``, or text with wavelengths in the first column.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the wavelengths; by default that of the file, or else Å.

    Returns
    -------
    `~astropy.units.Quantity`

    Raises
    ------
    ValueError
        If they cannot be read.
    """
    values, text = _values_of_file(file, None, ("wavelength", "wave", "lambda"))
    if unit is None and text:
        unit = wavelength_unit_of(text)
        if unit is None:
            raise ValueError(
                f"{file} has wavelengths in {text!r}, a unit that is not known: give "
                "wavelength_unit='Angstrom'"
            )
    if not np.isfinite(values).all() or len(values) < 2:
        raise ValueError(f"{file} does not hold wavelengths: they must be two or more numbers")
    return _in_unit(values, unit)


def _flux_of_file(path: Path, column: str | None) -> "u.Quantity":
    """Return the flux in a file without wavelengths."""
    values, text = _values_of_file(path, column, ("flux", "sp", "specific_intensity"))
    unit = unit_of_flux(text or "")
    if unit is None:
        raise ValueError(f"has flux in {text!r}, a unit that is not known")
    return values * unit


def _values_of_file(
    file: Path, column: str | None, names: Sequence[str]
) -> tuple[np.ndarray, str | None]:
    """Return the values of a file with one array, or of a column, and their unit if it is stated.

    Parameters
    ----------
    file : `pathlib.Path`
    column : str or None
        Column of a table.
    names : sequence of str
        Names of the column otherwise, in lower case; if there is none, it is the only one.
    """
    lower = file.name.lower()
    if lower.endswith(_FITS):
        return _values_of_fits(file, column, names)
    if lower.endswith(".npy"):
        return np.ravel(np.load(file, allow_pickle=False)).astype(float), None
    try:
        if column is None:
            return np.loadtxt(file, usecols=0, ndmin=1), None
    except ValueError:
        pass  # it has names above
    table = read_columns(file)
    chosen = _column(table.colnames, column, names, file)
    return np.asarray(table[chosen], dtype=float), None


def _values_of_fits(
    file: Path, column: str | None, names: Sequence[str]
) -> tuple[np.ndarray, str | None]:
    with fits.open(file) as hdus:
        if column is None:
            for hdu in hdus:
                if hdu.is_image and hdu.size and max(hdu.shape) == np.prod(hdu.shape):
                    unit = hdu.header.get("BUNIT") or hdu.header.get("UNIT")
                    return np.ravel(hdu.data).astype(float), unit
        for hdu in hdus:
            if getattr(hdu, "columns", None):
                chosen = _column(hdu.columns.names, column, names, file)
                values = np.ravel(hdu.data[chosen]).astype(float)
                return values, hdu.columns[chosen].unit
    raise ValueError(f"{file} has no array of numbers along one axis")


def _column(found: Sequence[str], column: str | None, names: Sequence[str], file: Path) -> str:
    """Return the name of a column."""
    if column is not None and column in found:
        return column
    by_name = {name.lower(): name for name in found}
    matches = [by_name[name] for name in names if name in by_name]
    if column is None and (matches or len(found) == 1):
        return matches[0] if matches else found[0]
    raise ValueError(
        f"{file.name} has the columns {', '.join(found)}: name the one to read"
        + (f", as {column!r} is none of them" if column else "")
    )
