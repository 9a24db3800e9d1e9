# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Readers of published libraries of spectra, whose labels are in headers or names of files.

The layouts are those of the publications that each reader names.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astropayne.grids.readers.label_tables import TABLES
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

if TYPE_CHECKING:
    import astropy.units as u

__all__ = ["BoszReader", "MarcsReader", "PhoenixReader", "SynphotReader"]

_PER_ANGSTROM = "erg / (s cm2 Angstrom)"
_KINDS_OF_FLUX = ("normalized", "absolute")
_SMALL = 1e-6  # differences of labels that are those of rounding
_MOST_TRIED, _MOST_FOLDERS = 1000, 30  # entries of a folder, to recognize a library
_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
Range = Sequence[float] | None


class PhoenixReader(GridReader):
    """The high-resolution library of PHOENIX (Husser et al. 2013, A&A 553, A6).

    A folder with files ``lte*-HiRes.fits``, also in folders inside, and the wavelengths in
    ``WAVE_PHOENIX*.fits`` there or up to three folders above. Labels are in the headers: Teff,
    log g, [M/H] (``PHXM_H``), [α/M] and the microturbulence. The flux is absolute, in
    erg / (s cm2 cm), the wavelengths are in vacuum, and the resolution is not the same everywhere,
    so it is unknown.

    Options of ``SpectralGrid.read(folder, format="phoenix", ...)``:

    * ``wavelength``, the file of wavelengths if it is elsewhere;
    * ``wavelength_range=(4800, 6800)``, the wavelengths to read, Å;
    * ``resolution``.
    """

    format = "phoenix"

    def sniff(self, path: Path) -> bool:
        """Look for a file of the library."""
        return _is_library(path, re.compile(r"lte.*-HiRes\.fits"))

    def open(
        self,
        path: Path,
        *,
        wavelength: str | Path | None = None,
        wavelength_range: Range = None,
        resolution: float | None = None,
    ) -> GridSource:
        """Read headers and wavelengths; see `~astropayne.plugins.GridReader.open`."""
        from astropy.io import fits

        files = _require(sorted(path.rglob("lte*-HiRes.fits")), path, "lte*-HiRes.fits")
        cards = {"PHXTEFF": "teff", "PHXLOGG": "logg", "PHXM_H": "M_H", "PHXALPHA": "alpha_M"}
        cards["PHXXI_L"] = "vmic"
        rows, kept, rejected = [], [], {}
        for file in files:
            try:
                header = fits.getheader(file)
                rows.append([float(header[card]) for card in cards])
                kept.append(file)
            except (OSError, KeyError, ValueError, TypeError) as error:
                rejected[_name(file, path)] = f"has no labels in its header: {error}"
        _require(kept, path, "with PHXTEFF and other labels in the header")
        labels = dict(zip(cards.values(), np.transpose(rows), strict=True))
        axis = _axis(path, wavelength, "WAVE_PHOENIX*.fits")
        return _source(
            kept,
            path,
            labels,
            partial(_load_phoenix, kept, axis, wavelength_range),
            {"resolution": resolution, "solar_scale": "asplund2009"},
            absolute="erg / (s cm2 cm)",
            rejected=rejected,
        )


class MarcsReader(GridReader):
    """Sampled fluxes of MARCS (Gustafsson et al. 2008, A&A 486, 951): files ``.flx``.

    The files, also compressed (``.flx.gz``), have one column, the absolute flux in
    erg / (s cm2 Å). Their wavelengths, in vacuum, are in ``flx_wavelengths.vac`` there or up to
    three folders above. Labels are in the names: Teff, log g, vmic, [Fe/H], and [α/Fe], [C/Fe],
    [N/Fe] and [O/Fe]. The fluxes are sampled and not resolved: a resolution is not defined.

    Options of ``SpectralGrid.read(folder, format="marcs", ...)``:

    * ``wavelength``, the file of wavelengths if it is elsewhere;
    * ``wavelength_range=(4800, 6800)``, the wavelengths to read, Å.
    """

    format = "marcs"
    _NAME = re.compile(
        rf"(?P<shape>[ps])(?P<teff>\d+)_g{_NUMBER}_m{_NUMBER}_t(\d+)_(\w\w)_z{_NUMBER}_a{_NUMBER}"
        rf"_c{_NUMBER}_n{_NUMBER}_o{_NUMBER}_r{_NUMBER}_s{_NUMBER}\.flx(?:\.gz)?"
    )

    def sniff(self, path: Path) -> bool:
        """Look for a file of MARCS."""
        return _is_library(path, self._NAME)

    def open(
        self,
        path: Path,
        *,
        wavelength: str | Path | None = None,
        wavelength_range: Range = None,
    ) -> GridSource:
        """Read names and wavelengths; see `~astropayne.plugins.GridReader.open`."""
        files, found, rejected = _matching(path, "*.flx*", self._NAME)
        columns = [[float(value) for value in m.groups()[1:5]] for m in found]
        teff, logg, mass, vmic = np.transpose(columns)
        of_metals = np.array([[float(v) for v in m.groups()[6:11]] for m in found]).T
        labels = {"teff": teff, "logg": logg, "vmic": vmic}
        labels |= dict(zip(("feh", "alpha_Fe", "C_Fe", "N_Fe", "O_Fe"), of_metals, strict=True))
        if np.ptp(labels["O_Fe"] - labels["alpha_Fe"]) < _SMALL:
            del labels["O_Fe"]  # oxygen is one of the α elements
        if np.ptp(mass) > _SMALL:
            labels["mass"] = mass
        axis = _axis(path, wavelength, "flx_wavelengths.vac*")
        load = partial(_load_text, files, axis, wavelength_range, "absolute")
        meta = {"resolution": None, "solar_scale": None}
        return _source(files, path, labels, load, meta, absolute=_PER_ANGSTROM, rejected=rejected)


class BoszReader(GridReader):
    """The libraries BOSZ of 2024 (Mészáros et al. 2024, A&A 688, A197) and 2017.

    Of 2024, text files of flux and continuum (``…_resam.txt.gz``) with their wavelengths in
    ``bosz2024_wave_r….txt`` there or up to three folders above, or of wavelength, flux and
    continuum (``…_noresam.txt.gz``); of 2017 (Bohlin et al. 2017, AJ 153, 234), FITS tables
    ``am…modrt0b…rs.fits``. Labels are in the names: Teff, log g, [M/H], [α/M], [C/M] and vmic.
    Wavelengths are in vacuum. Absolute fluxes are Eddington fluxes H, as in the files: 4π H is the
    flux at the surface of the star.

    Options of ``SpectralGrid.read(folder, format="bosz", ...)``:

    * ``flux``: ``"normalized"``, flux over continuum, or ``"absolute"``;
    * ``wavelength``, the file of wavelengths if it is elsewhere;
    * ``wavelength_range=(4800, 6800)``, the wavelengths to read, Å.
    """

    format = "bosz"
    _NAME = re.compile(
        rf"bosz2024_(?P<kind>ap|mp|ms)_t(\d+)_g{_NUMBER}_m{_NUMBER}_a{_NUMBER}_c{_NUMBER}_v(\d+)"
        r"_r(?P<resolution>\d+|orig)_(?:no)?resam\.txt(?:\.gz)?"
    )
    _OLD = re.compile(
        r"am([mp]\d\d)c([mp]\d\d)o([mp]\d\d)t(\d+)g(\d\d)v(\d\d)modrt0b(?P<resolution>\d+)rs\.fits"
    )

    def sniff(self, path: Path) -> bool:
        """Look for a file of the libraries."""
        return _is_library(path, self._NAME) or _is_library(path, self._OLD)

    def open(
        self,
        path: Path,
        *,
        flux: str = "normalized",
        wavelength: str | Path | None = None,
        wavelength_range: Range = None,
    ) -> GridSource:
        """Read names and wavelengths; see `~astropayne.plugins.GridReader.open`."""
        if flux not in _KINDS_OF_FLUX:
            raise ValueError(f"flux={flux!r} is not one of {', '.join(_KINDS_OF_FLUX)}")
        is_old = next(path.rglob("bosz2024_*resam.txt*"), None) is None
        if is_old:
            files, found, rejected = _matching(path, "am*rs.fits", self._OLD)
            labels = _labels_of_2017(found)
            load: Callable = partial(_load_bosz_table, files, wavelength_range, flux)
        else:
            files, found, rejected = _matching(path, "bosz2024_*resam.txt*", self._NAME)
            values = np.transpose([[float(v) for v in m.groups()[1:7]] for m in found])
            names = ("teff", "logg", "M_H", "alpha_M", "C_M", "vmic")
            labels = dict(zip(names, values, strict=True))
            axis = None
            if not files[0].name.rpartition("_")[2].startswith("noresam"):
                axis = _axis(path, wavelength, f"bosz2024_wave_r{found[0]['resolution']}.txt*")
            load = partial(_load_text, files, axis, wavelength_range, flux)
        stated = {m["resolution"] for m in found}
        if len(stated) > 1:
            raise ValueError(
                f"{path} has spectra of different resolutions ({', '.join(sorted(stated))}): read "
                "the folder of one of them"
            )
        number = stated.pop()
        meta = {"resolution": float(number) if number.isdigit() else None, "solar_scale": None}
        absolute = _PER_ANGSTROM if flux == "absolute" else None
        return _source(files, path, labels, load, meta, absolute=absolute, rejected=rejected)


class SynphotReader(GridReader):
    """Model atlases of synphot: Castelli & Kurucz 2004 (``ck04models``), Kurucz 1993, PHOENIX.

    FITS tables such as ``ckp00_5750.fits`` with a column ``WAVELENGTH`` and one for each surface
    gravity (``g45``), in erg / (s cm2 Å); columns of zeros are models that do not exist. Teff and
    [M/H] are in the names. Wavelengths are in vacuum, and the resolution is low and unknown.

    Options of ``SpectralGrid.read(folder, format="synphot", ...)``:

    * ``wavelength_range=(4800, 6800)``, the wavelengths to read, Å.
    """

    format = "synphot"
    _NAME = re.compile(r"(?:ck|k|phoenix)([mp]\d\d)_(\d+)\.fits")

    def sniff(self, path: Path) -> bool:
        """Look for a file of an atlas."""
        return _is_library(path, self._NAME)

    def open(self, path: Path, *, wavelength_range: Range = None) -> GridSource:
        """Read names and columns; see `~astropayne.plugins.GridReader.open`."""
        from astropy.io import fits

        files, found, rejected = _matching(path, "*_*.fits", self._NAME)
        rows, places, names = [], [], []
        for file, match in zip(files, found, strict=True):
            table = fits.getdata(file, 1)
            for column in table.names:
                if re.fullmatch(r"g\d\d", column) and table[column].any():
                    logg = int(column[1:]) / 10
                    rows.append((float(match[2]), logg, _sign(match[1]) * int(match[1][1:]) / 10))
                    places.append((file, column))
                    names.append(f"{_name(file, path)}[{column}]")
        labels = dict(zip(("teff", "logg", "M_H"), np.transpose(rows), strict=True))
        meta = {"medium": "vacuum", "resolution": None, "solar_scale": None}
        meta |= {"flux_unit": _PER_ANGSTROM, "normalized": False}
        load = partial(_load_synphot, places, wavelength_range)
        return GridSource(names, labels, load, meta, rejected)


def _is_library(path: Path, name: re.Pattern) -> bool:
    """Return whether some files of a folder, or of folders inside, have such names.

    A folder with a table of labels is read with that. Large folders are not searched as a whole.
    """
    if not path.is_dir() or any((path / table).is_file() for table in TABLES):
        return False
    entries = _some_entries(path)
    folders = [entry.path for entry in entries if entry.is_dir()][:_MOST_FOLDERS]
    inside = (entry for one in folders for entry in _some_entries(one))
    return any(name.fullmatch(entry.name) for entry in chain(entries, inside))


def _some_entries(folder: str | Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _MOST_TRIED))
    except OSError:  # it may not be read
        return []


def _source(
    files: Sequence[Path],
    folder: Path,
    labels: Mapping[str, np.ndarray],
    load: Callable,
    meta: dict[str, Any],
    *,
    absolute: str | None,
    rejected: Mapping[str, str],
) -> GridSource:
    """Return a source of files in vacuum, with absolute flux in a unit or normalized flux."""
    meta = {"medium": "vacuum", **meta, "normalized": absolute is None}
    if absolute is not None:
        meta["flux_unit"] = absolute
    return GridSource([_name(file, folder) for file in files], labels, load, meta, rejected)


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _require(files: list[Path], folder: Path, what: str) -> list[Path]:
    if not files:
        raise ValueError(f"{folder} has no files {what}")
    return files


def _matching(
    folder: Path, pattern: str, name: re.Pattern
) -> tuple[list[Path], list[re.Match], dict[str, str]]:
    """Return files whose names have labels, the matches, and reasons of the others."""
    files = sorted(folder.rglob(pattern))
    matches = [(file, name.fullmatch(file.name)) for file in files]
    rejected = {_name(file, folder): "has a name without labels" for file, m in matches if not m}
    found = [(file, match) for file, match in matches if match]
    _require([file for file, _ in found], folder, f"{pattern} whose names have labels")
    kept, those = zip(*found, strict=True)
    return list(kept), list(those), rejected


def _axis(folder: Path, given: str | Path | None, pattern: str) -> np.ndarray:
    """Return the wavelengths in a file, which may be in a folder above, in Å."""
    import astropy.units as u

    from astropayne.grids.readers.spectrum_files import axis_of_file

    if given is not None:
        file = Path(given).expanduser()
        places = [file if file.is_file() else folder / given]
    else:
        parents = [folder, *list(folder.absolute().parents)[:3]]
        places = [file for parent in parents for file in sorted(parent.glob(pattern))]
    if not places or not places[0].is_file():
        raise FileNotFoundError(
            f"there is no file of wavelengths {given or pattern} in {folder} or the folders above: "
            "give wavelength=, its path"
        )
    return axis_of_file(places[0]).to_value(u.AA)


def _inside(axis: np.ndarray, wavelength_range: Range) -> slice:
    """Return the pixels in a range of wavelengths."""
    if wavelength_range is None:
        return slice(None)
    low, high = map(float, wavelength_range)
    first, last = np.searchsorted(axis, low), np.searchsorted(axis, high, side="right")
    if first >= last:
        raise ValueError(
            f"has no wavelength in {low:g} to {high:g}: it goes from {axis[0]:g} to {axis[-1]:g} "
            "Angstrom"
        )
    return slice(int(first), int(last))


def _require_length(flux: np.ndarray, axis: np.ndarray) -> None:
    if len(flux) != len(axis):
        raise ValueError(f"has {len(flux)} values of flux, and there are {len(axis)} wavelengths")


def _load_phoenix(
    files: Sequence[Path], axis: np.ndarray, wavelength_range: Range, i: int
) -> "tuple[np.ndarray, u.Quantity]":
    """Load one spectrum of PHOENIX."""
    from astropy.io import fits

    from astropayne.grids.readers.spectrum_files import unit_of_flux

    with fits.open(files[i]) as hdus:
        flux, text = np.ravel(hdus[0].data), hdus[0].header.get("BUNIT")
        _require_length(flux, axis)
        inside = _inside(axis, wavelength_range)
        unit = unit_of_flux(text or "erg / (s cm2 cm)")
        if unit is None:
            raise ValueError(f"has flux in {text!r}, a unit that is not known")
        return axis[inside], np.array(flux[inside], dtype=float) * unit


def _load_text(
    files: Sequence[Path], axis: np.ndarray | None, wavelength_range: Range, kind: str, i: int
) -> tuple[np.ndarray, np.ndarray]:
    """Load one text file of flux and continuum, with wavelengths in front if they are not apart."""
    import pandas as pd

    options = {"sep": r"\s+", "header": None, "comment": "#", "dtype": float}
    table = pd.read_csv(files[i], **options).to_numpy()
    if axis is None:
        axis, table = table[:, 0], table[:, 1:]
    _require_length(table, axis)
    inside = _inside(axis, wavelength_range)
    if kind == "absolute":
        return axis[inside], table[inside, 0]
    if table.shape[1] < 2:
        raise ValueError("has no column of the continuum")
    return axis[inside], _normalized(table[inside, 0], table[inside, 1])


def _normalized(flux: np.ndarray, continuum: np.ndarray) -> np.ndarray:
    return np.divide(flux, continuum, out=np.full(len(flux), np.nan), where=continuum > 0)


def _load_bosz_table(
    files: Sequence[Path], wavelength_range: Range, kind: str, i: int
) -> tuple[np.ndarray, np.ndarray]:
    """Load one FITS table of the library of 2017."""
    from astropy.io import fits

    with fits.open(files[i]) as hdus:
        table = hdus[1].data
        axis = np.array(table["Wavelength"], dtype=float)
        inside = _inside(axis, wavelength_range)
        flux = np.array(table["SpecificIntensity"][inside], dtype=float)
        if kind == "normalized":
            flux = _normalized(flux, np.array(table["Continuum"][inside], dtype=float))
        return axis[inside], flux


def _load_synphot(
    places: Sequence[tuple[Path, str]], wavelength_range: Range, i: int
) -> tuple[np.ndarray, np.ndarray]:
    """Load one column of an atlas."""
    file, column = places[i]
    axis, table = _synphot_table(file)
    inside = _inside(axis, wavelength_range)
    return axis[inside], np.array(table[column][inside], dtype=float)


@cache
def _synphot_table(file: Path) -> tuple[np.ndarray, Any]:
    from astropy.io import fits

    table = fits.getdata(file, 1)
    return np.array(table["WAVELENGTH"], dtype=float), table


def _sign(code: str) -> int:
    return -1 if code.startswith("m") else 1


def _labels_of_2017(found: Sequence[re.Match]) -> dict[str, np.ndarray]:
    """Return the labels in names of 2017, where m03 is −0.25 and m08 is −0.75."""
    quarters = [
        [_sign(code) * round(int(code[1:]) / 10 * 4) / 4 for code in match.groups()[:3]]
        for match in found
    ]
    rest = [[float(match[4]), int(match[5]) / 10, int(match[6]) / 10] for match in found]
    names = ("M_H", "C_M", "alpha_M", "teff", "logg", "vmic")
    return dict(zip(names, np.transpose(np.hstack([quarters, rest])), strict=True))


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the readers of published libraries."""
    return [PhoenixReader(), MarcsReader(), BoszReader(), SynphotReader()]
