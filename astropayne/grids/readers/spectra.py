# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader of spectra in files of any form that can be read, with a table of their labels."""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.grids.readers.files import match_files
from astropayne.io.text_tables import header_of, read_csv
from astropayne.labels.columns import label_columns
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

if TYPE_CHECKING:
    import astropy.units as u
    from astropy.table import QTable, Table
    from specutils import Spectrum

__all__ = ["SpecutilsReader"]

# Possible names of a table of labels in the folder, and of its column of file names.
_TABLES = tuple(f"labels.{suffix}" for suffix in ("ecsv", "csv", "txt", "fits", "vot", "xml"))
_TEXT = (".csv", ".txt", ".dat")  # may be tables or spectra, which the header tells
_NAMES = ("file", "filename", "file_name", "name", "specname", "spectrum", "path")
_STATED = ("medium", "resolution")  # metadata that files of spectra may have
_N_TRIED = 21  # files that are tried to find the first readable spectrum


class SpecutilsReader(GridReader):
    """Text, ECSV and FITS: all files that `~astropayne.read_spectrum` reads.

    The wavelength and the flux of each file are used; flux without a unit must be normalized. The
    path is a folder, a pattern such as ``"grid/*.fits"``, or a table (text, ECSV, FITS, VOTable)
    with a column of file names relative to the folder of the table. Folders and patterns need a
    table of labels: ``labels.csv`` (or ``.ecsv``, ``.txt``, ``.fits``, ``.vot``, ``.xml``) in the
    folder is found.

    Options of ``SpectralGrid.read(path, format="specutils", ...)``:

    * ``labels``, the table of labels or its file, and ``name_column``, its column of file names
      (with or without extension); by default one called ``file``, ``filename``, ``name``,
      ``specname``, ``spectrum`` or ``path``;
    * ``columns={"T": "teff"}``, for columns that have other names than their labels, and
      ``ignore=("mass",)``, for columns that are not labels (``"rest"``: all columns that
      ``columns`` does not name);
    * ``units={"Teff": "kK"}``, for columns whose names do not give the unit, as ``"Teff [kK]"``
      does;
    * ``medium="air"`` or ``"vacuum"``, unless the spectra or the metadata of the table give it;
      likewise ``resolution`` and, from the table only, ``solar_scale``, which are optional;
    * ``flux_unit``, the unit that flux is converted to; by default that of the first spectrum;
    * ``wavelength_unit``, if the files do not give it; Å by default;
    * ``spectrum_format``, the format that specutils assumes.
    """

    format = "specutils"

    def sniff(self, path: Path) -> bool:
        """Look for a table of labels, without which spectra are not a grid."""
        if path.is_file():
            return path.suffix.lower() in (".ecsv", *_TEXT) and _names_files(path)
        folder = path if path.is_dir() else path.parent
        return any((folder / table).is_file() for table in _TABLES)

    def open(
        self,
        path: Path,
        *,
        labels: "Table | str | Path | None" = None,
        name_column: str | None = None,
        columns: Mapping[str, str] | None = None,
        ignore: str | Sequence[str] = (),
        units: Mapping[str, Any] | None = None,
        medium: str | None = None,
        resolution: float | None = None,
        solar_scale: str | None = None,
        flux_unit: "str | u.UnitBase | None" = None,
        wavelength_unit: "str | u.UnitBase" = "Angstrom",
        spectrum_format: str | None = None,
    ) -> GridSource:
        """Match label rows with files; see `~astropayne.plugins.GridReader.open`."""
        import astropy.units as u

        table, file, rejected = _table(path, labels, name_column)
        name_column = _name_column(table, name_column)
        folder, files = _files(path, table[name_column], file)
        rows, names, unmatched = match_files(table[name_column], files)
        table = table[rows]
        table.remove_column(name_column)
        paths = [folder / name for name in names]
        options = {"format": spectrum_format, "wavelength_unit": u.Unit(wavelength_unit)}
        asked = {"medium": medium, "resolution": resolution, "solar_scale": solar_scale}
        meta = _metadata(table.meta, asked, flux_unit, _first(paths, options))
        same = {k: meta[k] for k in _STATED if asked[k] is None}  # an option overrides the files
        arrays = {name: table[name] for name in table.colnames}
        return GridSource(
            names=names,
            labels=label_columns(arrays, columns, ignore, units=units),
            load=partial(_load, paths, options, meta["medium"], same),
            meta=meta,
            rejected={**unmatched, **rejected},
        )


def _metadata(
    of_table: Mapping[str, Any],
    asked: Mapping[str, Any],
    flux_unit: "str | u.UnitBase | None",
    first: "Spectrum | None",
) -> dict[str, Any]:
    """Return the metadata of a grid from options, its table of labels and its first spectrum."""
    import astropy.units as u

    from astropayne.wavelengths.media import MEDIA

    of_table = {str(key).lower(): value for key, value in of_table.items()}
    meta = {k: of_table.get(k) if value is None else value for k, value in asked.items()}
    if first is not None:
        _warn_varying(first, asked["resolution"])
        meta |= {k: v for k, v in _stated(first).items() if meta[k] is None}
    if meta["medium"] not in MEDIA:
        raise ValueError(
            f"medium={meta['medium']!r} does not tell whether the wavelengths are in air or in "
            f"vacuum: give one of {', '.join(map(repr, MEDIA))}"
        )
    own_unit = u.one if first is None else first.flux.unit
    unit = own_unit if flux_unit is None else u.Unit(flux_unit)
    normalized = unit.is_equivalent(u.one)  # percent are converted to fractions
    return meta | {"flux_unit": "" if normalized else str(unit), "normalized": normalized}


def _names_files(path: Path) -> bool:
    """Return whether a text table has a column of file names."""
    _, words = header_of(path, _NAMES)
    return not set(_NAMES).isdisjoint(words) and len(words) > 1


def _table(
    path: Path, labels: "Table | str | Path | None", name_column: str | None
) -> "tuple[QTable, Path | None, dict[str, str]]":
    """Return the table of labels, its file if there is one, and rows that cannot be read."""
    from astropy.table import QTable, Table

    if isinstance(labels, Table):
        return QTable(labels), None, {}
    file = _table_file(path, labels)
    if file.name.lower().removesuffix(".gz").endswith(_TEXT):
        rows, rejected = read_csv(file, _NAMES if name_column is None else (name_column,))
        return QTable.from_pandas(rows), file, rejected
    try:
        return QTable.read(file), file, {}
    except Exception as error:  # readers of astropy may raise anything
        reason = str(error).partition("\n")[0]  # the other lines list the formats
        raise ValueError(f"{file} cannot be read as a table of labels: {reason}") from None


def _table_file(path: Path, labels: str | Path | None) -> Path:
    """Return the file of the table of labels."""
    folder = _folder(path)
    if labels is not None:
        for file in (Path(labels), folder / labels):
            if file.is_file():
                return file
        raise FileNotFoundError(f"there is no table of labels {labels}, nor one in {folder}")
    if path.is_file():
        return path
    there = [name for name in _TABLES if (folder / name).is_file()]
    if len(there) != 1:
        raise ValueError(
            f"{folder} has {' and '.join(there) or 'no table of labels'}: give labels=, a table or "
            "its file"
        )
    return folder / there[0]


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _name_column(table: "QTable", given: str | None) -> str:
    """Return the column of file names."""
    lower = {name.lower(): name for name in reversed(table.colnames)}
    wanted = _NAMES if given is None else (given.lower(),)
    for name in wanted:
        if name in lower:
            return lower[name]
    raise ValueError(
        f"the table of labels has no column {' or '.join(map(repr, wanted))} of file names (it "
        f"has {', '.join(table.colnames)}): give name_column="
    )


def _files(path: Path, names: Sequence[Any], table: Path | None) -> tuple[Path, list[str]]:
    """Return the folder, and the names of the spectra in it."""
    folder = _folder(path)
    if path.is_file():  # the table names them
        return folder, _named(folder, [str(name).strip() for name in names])
    pattern = "*" if path.is_dir() else path.name
    return folder, [
        file.name
        for file in folder.glob(pattern)
        if file.is_file() and file != table and not file.name.startswith(".")
    ]


def _named(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the files with these names, which may lack extensions or be in other folders."""
    inside = {name: name.rpartition("/")[0] for name in names if name}
    there = {"", *(part for part in set(inside.values()) if (folder / part).is_dir())}
    wanted = {n if part in there else n.rpartition("/")[2] for n, part in inside.items()}
    files = [
        f"{part}/{file.name}" if part else file.name
        for part in there
        for file in (folder / part).iterdir()
        if file.is_file()
    ]
    return [f for f in files if not wanted.isdisjoint((f, f.rpartition(".")[0]))]


def _first(paths: Sequence[Path], options: Mapping[str, Any]) -> "Spectrum | None":
    """Return the first spectrum that can be read."""
    for path in paths[:_N_TRIED]:
        try:
            return _read(path, options)
        except Exception:
            continue  # the file is set aside when it is loaded
    return None


def _stated(spectrum: "Spectrum") -> dict[str, Any]:
    """Return the metadata of a file that a grid uses; a varying resolution is left out."""
    stated = {key: spectrum.meta.get(key) for key in _STATED}
    own = stated["resolution"]
    if np.ndim(own) and np.ptp(own) == 0:
        stated["resolution"] = float(own[0])
    return {k: v for k, v in stated.items() if v is not None and np.ndim(v) == 0}


def _warn_varying(spectrum: "Spectrum", given: float | None) -> None:
    """Warn that a varying resolution is left out, unless another one is given."""
    own = spectrum.meta.get("resolution")
    if given is None and "resolution" not in _stated(spectrum) and own is not None:
        warnings.warn(
            f"the spectra have a resolution that varies from {np.nanmin(own):g} to "
            f"{np.nanmax(own):g}, but a grid has only one: it stays unknown. Give resolution= "
            "if one number is accurate enough",
            AstropyUserWarning,
            stacklevel=2,
        )


def _read(path: Path, options: Mapping[str, Any]) -> "Spectrum":
    """Read a spectrum; the name of the file is left out of errors, because reports have it."""
    from astropayne.spectra.read import read_spectrum

    try:
        return read_spectrum(path, columns=2, **options)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(str(path)).lstrip(": ")) from None


def _load(
    paths: Sequence[Path],
    options: Mapping[str, Any],
    medium: str,
    same: Mapping[str, Any],
    i: int,
) -> "tuple[u.Quantity, u.Quantity]":
    """Load wavelength and flux of one file as quantities, NaN where masked."""
    import astropy.units as u

    from astropayne.wavelengths.media import spectral_equivalencies

    spectrum = _read(paths[i], options)
    for key, value in _stated(spectrum).items():
        if value != same.get(key, value):
            raise ValueError(f"has {key} = {value}, not {same[key]}")
    wavelength = spectrum.spectral_axis.to(u.AA, spectral_equivalencies(medium))
    flux = spectrum.flux
    if spectrum.mask is not None:
        flux = flux.astype(float)
        flux[np.broadcast_to(spectrum.mask, flux.shape)] = np.nan
    if wavelength[0] > wavelength[-1]:  # frequencies
        wavelength, flux = wavelength[::-1], flux[..., ::-1]
    return wavelength, flux


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of files of spectra."""
    return [SpecutilsReader()]
