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
from astropayne.grids.readers.label_tables import (
    TABLES,
    TEXT,
    Labels,
    columns_of_run,
    name_column_of,
    names_files,
    read_labels,
)
from astropayne.labels.columns import label_columns
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

if TYPE_CHECKING:
    import astropy.units as u
    import numpy.typing as npt

    from astropayne.grids.readers.spectrum_files import LoadedSpectrum, SpectrumFiles

__all__ = ["SpecutilsReader"]

_STATED = ("medium", "resolution")  # metadata that files of spectra may have
_ABOUT_ONE = (0.1, 1.5)  # medians of normalized flux, with any lines
_SHORTEST_IN_AIR = 2000.0  # Å; shorter wavelengths are given in vacuum, or are in another unit


class SpecutilsReader(GridReader):
    """Text, ECSV and FITS: all files that `~astropayne.read_spectrum` reads.

    The wavelength and the flux of each file are used; flux without a unit must be normalized. The
    path is a folder, a pattern such as ``"grid/*.fits"``, or a table (text, ECSV, FITS, VOTable)
    with a column of file names relative to the folder of the table. Folders and patterns need a
    table of labels: ``labels.csv`` or ``parameters.csv`` (or ``.ecsv``, ``.tsv``, ``.txt``,
    ``.fits``, ``.vot``, ``.xml``) in the folder is found.

    Options of ``SpectralGrid.read(path, format="specutils", ...)``:

    * ``labels``, the table of labels (of astropy or pandas, or a mapping of columns) or its file,
      and ``name_column``, its column of file names, with or without extension; by default one
      called ``file``, ``filename``, ``name``, ``specname``, ``spectrum`` or ``path``;
    * ``columns={"T": "teff"}``, for columns that have other names than their labels, and
      ``ignore=("mass",)``, for columns that are not labels (``"rest"``: all columns that
      ``columns`` does not name);
    * ``units={"Teff": "kK"}``, for columns whose names do not give the unit, as ``"Teff [kK]"``
      does;
    * ``medium="air"`` or ``"vacuum"``, unless the spectra or the metadata of the table give it;
      likewise ``resolution`` and, from the table only, ``solar_scale``, which are optional;
    * ``flux`` and ``continuum``, the columns of the flux and of the continuum that it is divided
      by; by default the flux is found by its name and not divided. Columns without names are
      ``"col1"``, ``"col2"``…;
    * ``flux_unit``, the unit that flux is converted to, or that it has where the files state none;
      by default that of the first spectrum;
    * ``wavelength``, if files of flux have none: a file (FITS, ``.npy``, or text with it in the
      first column), an array or a `~astropy.units.Quantity`; or else the name of its column;
    * ``wavelength_unit``, if the files do not give it, such as ``"nm"``; by default Å, if all
      wavelengths are above 2000;
    * ``spectrum_format``, the format that specutils assumes.

    Columns of the table for ``vsini``, ``vmac``, ``rotation``, ``resolution`` and ``rv`` that are
    the same for all spectra are no labels. Flux without a unit is normalized if its median is about
    one.
    """

    format = "specutils"

    def sniff(self, path: Path) -> bool:
        """Look for a table of labels, without which spectra are not a grid."""
        if path.is_file():
            return path.suffix.lower() in (".ecsv", *TEXT) and names_files(path)
        folder = path if path.is_dir() else path.parent
        return any((folder / table).is_file() for table in TABLES)

    def open(
        self,
        path: Path,
        *,
        labels: Labels = None,
        name_column: str | None = None,
        columns: Mapping[str, str] | None = None,
        ignore: str | Sequence[str] = (),
        units: Mapping[str, Any] | None = None,
        medium: str | None = None,
        resolution: float | None = None,
        solar_scale: str | None = None,
        flux: str | None = None,
        continuum: str | None = None,
        flux_unit: "str | u.UnitBase | None" = None,
        wavelength: "str | Path | u.Quantity | npt.ArrayLike | None" = None,
        wavelength_unit: "str | u.UnitBase | None" = None,
        spectrum_format: str | None = None,
    ) -> GridSource:
        """Match label rows with files; see `~astropayne.plugins.GridReader.open`."""
        from astropayne.grids.readers.spectrum_files import SpectrumFiles

        table, file, rejected = read_labels(path, labels, name_column)
        name_column = name_column_of(table, name_column)
        folder, files = _files(path, table[name_column], file)
        chosen = {"flux": flux, "continuum": continuum, "wavelength": wavelength}
        options = {"format": spectrum_format, "wavelength_unit": wavelength_unit}
        files = [name for name in files if not _is_axis(folder / name, wavelength, folder)]
        rows, names, unmatched = match_files(table[name_column], files)
        table = table[rows]
        table.remove_column(name_column)
        run = columns_of_run(table, columns, ignore)
        spectra = SpectrumFiles.of([folder / name for name in names], folder, **chosen, **options)
        asked = {"medium": medium, "resolution": resolution, "solar_scale": solar_scale}
        of_table = {**table.meta, **{k: v for k, v in run.items() if k == "resolution"}}
        first = spectra.first()
        meta = _metadata(of_table, asked, first)
        if first is not None:
            meta |= _kind_of_flux(spectra, first, flux_unit)
            _require_stated_unit(spectra, first)
        same = {k: meta[k] for k in _STATED if asked[k] is None}  # an option overrides the files
        arrays = {name: table[name] for name in table.colnames}
        if velocities := {k: v for k, v in run.items() if k != "resolution"}:
            meta["constant_columns"] = velocities
        return GridSource(
            names=names,
            labels=label_columns(arrays, columns, ignore, units=units),
            load=partial(_load, spectra.in_unit(meta.get("flux_unit")), meta["medium"], same),
            meta=meta,
            rejected={**unmatched, **rejected},
        )


def _is_axis(file: Path, wavelength: Any, folder: Path) -> bool:
    """Return whether a file is that of the wavelengths, which is no spectrum."""
    if not isinstance(wavelength, str | Path):
        return False
    return file in (Path(wavelength).expanduser(), folder / wavelength)


def _metadata(
    of_table: Mapping[str, Any], asked: Mapping[str, Any], first: "LoadedSpectrum | None"
) -> dict[str, Any]:
    """Return the metadata of a grid from options, its table of labels and its first spectrum."""
    from astropayne.wavelengths.media import MEDIA

    of_table = {str(key).lower(): value for key, value in of_table.items()}
    meta = {k: of_table.get(k) if value is None else value for k, value in asked.items()}
    if first is not None:
        _warn_varying(first.meta, asked["resolution"])
        meta |= {k: v for k, v in _stated(first.meta).items() if meta[k] is None}
    if meta["medium"] not in MEDIA:
        raise ValueError(
            f"medium={meta['medium']!r} does not tell whether the wavelengths are in air or in "
            f"vacuum: give one of {', '.join(map(repr, MEDIA))}"
        )
    return meta


def _kind_of_flux(
    files: "SpectrumFiles", first: "LoadedSpectrum", flux_unit: "str | u.UnitBase | None"
) -> dict[str, Any]:
    """Return the unit of the flux and whether it is normalized, as metadata of a grid.

    Raises
    ------
    ValueError
        If the files state a unit that is not known.
    """
    import astropy.units as u

    from astropayne.grids.readers.spectrum_files import unit_of_flux

    unit = first.flux.unit if flux_unit is None else unit_of_flux(flux_unit)
    if unit is None:
        raise ValueError(f"flux_unit={flux_unit!r} is not a unit that is known")
    if flux_unit is None and unit == u.one and "continuum" not in files.columns:
        unit = unit_of_flux(text := files.stated_unit())
        if unit is None:
            raise ValueError(
                f"the flux is in {text!r}, a unit that is not known: give flux_unit=, such as "
                "'erg/(s cm2 Angstrom)', or flux_unit='' if it is normalized"
            )
    if not unit.is_equivalent(u.one):
        return {"flux_unit": str(unit), "normalized": False}
    level = float(np.nanmedian(first.flux.to_value(u.one))) if flux_unit is None else 1.0
    normalized = _ABOUT_ONE[0] <= level <= _ABOUT_ONE[1]  # percent are converted to fractions
    if not normalized:
        advice = "flux_unit=, its unit, or continuum=, the column that normalizes it"
        if found := files.continua():
            advice = f"continuum={found[0]!r}, which normalizes it, or flux_unit=, its unit"
        warnings.warn(
            f"the flux is {level:.4g} in the median and has no unit, so it is not normalized: "
            f"give {advice}",
            AstropyUserWarning,
            stacklevel=2,
        )
    return {"flux_unit": "", "normalized": normalized}


def _require_stated_unit(files: "SpectrumFiles", first: "LoadedSpectrum") -> None:
    """Raise an error for wavelengths without a unit that are unlikely to be in Å."""
    import astropy.units as u

    shortest, longest = sorted(first.wavelength[[0, -1]].to_value(u.AA, u.spectral()))
    if shortest < _SHORTEST_IN_AIR and not files.states_unit():
        raise ValueError(
            f"wavelengths from {shortest:.6g} to {longest:.6g} have no unit, and may be in nm, "
            "micrometers or Angstrom: give wavelength_unit='nm', 'um' or 'Angstrom'"
        )


def _files(path: Path, names: Sequence[Any], table: Path | None) -> tuple[Path, list[str]]:
    """Return the folder, and the names of the spectra in it."""
    folder = path if path.is_dir() else path.parent
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


def _stated(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a file that a grid uses; a varying resolution is left out."""
    stated = {key: meta.get(key) for key in _STATED}
    own = stated["resolution"]
    if np.ndim(own) and np.ptp(own) == 0:
        stated["resolution"] = float(own[0])
    return {k: v for k, v in stated.items() if v is not None and np.ndim(v) == 0}


def _warn_varying(meta: Mapping[str, Any], given: float | None) -> None:
    """Warn that a varying resolution is left out, unless another one is given."""
    own = meta.get("resolution")
    if given is None and "resolution" not in _stated(meta) and own is not None:
        warnings.warn(
            f"the spectra have a resolution that varies from {np.nanmin(own):g} to "
            f"{np.nanmax(own):g}, but a grid has only one: it stays unknown. Give resolution= "
            "if one number is accurate enough",
            AstropyUserWarning,
            stacklevel=2,
        )


def _load(
    files: "SpectrumFiles", medium: str, same: Mapping[str, Any], i: int
) -> "tuple[u.Quantity, u.Quantity]":
    """Load wavelength and flux of one file as quantities, NaN where masked."""
    import astropy.units as u

    from astropayne.wavelengths.media import spectral_equivalencies

    loaded = files.load(i)
    for key, value in _stated(loaded.meta).items():
        if value != same.get(key, value):
            raise ValueError(f"has {key} = {value}, not {same[key]}")
    wavelength, flux = loaded.wavelength.to(u.AA, spectral_equivalencies(medium)), loaded.flux
    if wavelength[0] > wavelength[-1]:  # frequencies
        wavelength, flux = wavelength[::-1], flux[..., ::-1]
    return wavelength, flux


@hookimpl
def astropayne_grid_readers() -> list[GridReader]:
    """Return the reader of files of spectra."""
    return [SpecutilsReader()]
