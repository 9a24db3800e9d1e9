# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reader for spectra in files of nearly any form, and a table of their labels."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.grids.readers.files import match_files
from astropayne.io.text_tables import header_of, read_csv
from astropayne.labels.columns import label_columns
from astropayne.plugins.hookspecs import hookimpl
from astropayne.plugins.interfaces import GridReader, GridSource

__all__ = ["SpecutilsReader"]

# What a table of labels in the folder may be called, and its column of file names.
_TABLES = tuple(f"labels.{suffix}" for suffix in ("ecsv", "csv", "txt", "fits", "vot", "xml"))
_TEXT = (".csv", ".txt", ".dat")  # of which nothing but the header says what it is
_NAMES = ("file", "filename", "file_name", "name", "specname", "spectrum", "path")
_STATED = ("medium", "resolution")  # what files of spectra may say themselves


class SpecutilsReader(GridReader):
    """Text, ECSV, FITS: all files that `~astropayne.read_spectrum` reads.

    Wavelength and flux are taken of each; flux without a unit is taken to be normalized. The path
    is a folder, a pattern such as ``"grid/*.fits"``, or a table (text, ECSV, FITS, VOTable) with
    a column of file names, relative to the table's folder. Folders and patterns need a table of
    labels: ``labels.csv`` (or ``.ecsv``, ``.txt``, ``.fits``, ``.vot``, ``.xml``) in the folder is
    found.

    Options of ``SpectralGrid.read(path, format="specutils", ...)``:

    * ``labels``, the table of labels or its file, and ``name_column``, its column of file names
      (with or without extension); by default one called ``file``, ``filename``, ``name``,
      ``specname``, ``spectrum`` or ``path``;
    * ``columns={"T": "teff"}`` for label columns of other names, and ``ignore=("mass",)`` for
      columns that are no labels (``"rest"``: all that are not in ``columns``);
    * ``units={"Teff": "kK"}`` for columns that do not say their unit, as ``"Teff [kK]"`` does;
    * ``medium="air"`` or ``"vacuum"``, unless the table's metadata has ``medium`` or the spectra
      say it; likewise ``resolution`` and (of the table) ``solar_scale``, which may be left out;
    * ``flux_unit``, to which flux is converted; by default the first spectrum's;
    * ``wavelength_unit``, where files do not say it; Å by default;
    * ``spectrum_format``, the format specutils is to assume.
    """

    format = "specutils"

    def sniff(self, path):
        """Look for a table of labels: nothing else says that spectra are a grid."""
        if path.is_file():
            return path.suffix.lower() in (".ecsv", *_TEXT) and _names_files(path)
        folder = path if path.is_dir() else path.parent
        return any((folder / table).is_file() for table in _TABLES)

    def open(
        self,
        path,
        *,
        labels=None,
        name_column=None,
        columns=None,
        ignore=(),
        units=None,
        medium=None,
        resolution=None,
        solar_scale=None,
        flux_unit=None,
        wavelength_unit="Angstrom",
        spectrum_format=None,
    ):
        """Match the label rows with the files; see `GridReader.open`."""
        import astropy.units as u

        from astropayne.wavelengths.media import MEDIA

        table, file, rejected = _table(path, labels, name_column)
        name_column = _name_column(table, name_column)
        folder, files = _files(path, table[name_column], file)
        rows, names, unmatched = match_files(table[name_column], files)
        table = table[rows]
        table.remove_column(name_column)
        known = {str(key).lower(): value for key, value in table.meta.items()}
        given = {"medium": medium, "resolution": resolution, "solar_scale": solar_scale}
        meta = {k: known.get(k) if value is None else value for k, value in given.items()}
        paths = [folder / name for name in names]
        options = {"format": spectrum_format, "wavelength_unit": u.Unit(wavelength_unit)}
        first = _first(paths, options)
        if first is not None:
            _warn_varying(first, resolution)
            meta |= {k: v for k, v in _stated(first).items() if meta[k] is None}
        if meta["medium"] not in MEDIA:
            raise ValueError(
                f"medium={meta['medium']!r}: say whether the wavelengths are in air or in vacuum, "
                f"one of {', '.join(map(repr, MEDIA))}"
            )
        own_unit = u.one if first is None else first.flux.unit
        unit = own_unit if flux_unit is None else u.Unit(flux_unit)
        normalized = unit.is_equivalent(u.one)  # percent are made parts of one
        meta |= {"flux_unit": "" if normalized else str(unit), "normalized": normalized}
        same = {k: meta[k] for k in _STATED if given[k] is None}  # what is given comes first
        return GridSource(
            names=names,
            labels=label_columns(
                {n: table[n] for n in table.colnames}, columns, ignore, units=units
            ),
            load=partial(_load, paths, options, meta["medium"], same),
            meta=meta,
            rejected={**unmatched, **rejected},
        )


def _names_files(path):
    """Say whether a text table has a column of file names."""
    _, words = header_of(path, _NAMES)
    return not set(_NAMES).isdisjoint(words) and len(words) > 1


def _table(path, labels, name_column):
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
    except Exception as error:  # astropy's readers raise what they like
        reason = str(error).partition("\n")[0]  # astropy lists all its formats below
        raise ValueError(f"{file} cannot be read as a table of labels: {reason}") from None


def _table_file(path, labels):
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


def _folder(path):
    return path if path.is_dir() else path.parent


def _name_column(table, given):
    lower = {name.lower(): name for name in reversed(table.colnames)}
    wanted = _NAMES if given is None else (given.lower(),)
    for name in wanted:
        if name in lower:
            return lower[name]
    raise ValueError(
        f"the table of labels has no column {' or '.join(map(repr, wanted))} of file names (it "
        f"has {', '.join(table.colnames)}): give name_column="
    )


def _files(path, names, table):
    """Return the folder, and the names in it of the spectra there are."""
    folder = _folder(path)
    if path.is_file():  # the table says which
        return folder, _named(folder, [str(name).strip() for name in names])
    pattern = "*" if path.is_dir() else path.name
    return folder, [
        file.name
        for file in folder.glob(pattern)
        if file.is_file() and file != table and not file.name.startswith(".")
    ]


def _named(folder, names):
    """Return the files that names mean, with or without endings and folders that are elsewhere."""
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


def _first(paths, options):
    """Return the first spectrum that can be read."""
    for path in paths[:21]:
        try:
            return _read(path, options)
        except Exception:
            continue  # it is set aside when it is loaded
    return None


def _stated(spectrum):
    """Return what a file says that a grid needs to know; a resolution of each pixel is not one."""
    stated = {key: spectrum.meta.get(key) for key in _STATED}
    own = stated["resolution"]
    if np.ndim(own) and np.ptp(own) == 0:
        stated["resolution"] = float(own[0])
    return {k: v for k, v in stated.items() if v is not None and np.ndim(v) == 0}


def _warn_varying(spectrum, given):
    """Say that a resolution of each pixel is left out, unless another one is given."""
    own = spectrum.meta.get("resolution")
    if given is None and "resolution" not in _stated(spectrum) and own is not None:
        warnings.warn(
            f"the spectra have a resolution that varies from {np.nanmin(own):g} to "
            f"{np.nanmax(own):g}, and a grid has one number: it is left unknown. Give resolution=, "
            "if one number is good enough",
            AstropyUserWarning,
            stacklevel=2,
        )


def _read(path, options):
    from astropayne.spectra.read import read_spectrum

    try:
        return read_spectrum(path, columns=2, **options)
    except ValueError as error:  # the report has the name beside
        raise ValueError(str(error).removeprefix(str(path)).lstrip(": ")) from None


def _load(paths, options, medium, same, i):
    """Load wavelength and flux of one file, as quantities; what is masked is NaN."""
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
def astropayne_grid_readers():
    """Return the reader of files of spectra."""
    return [SpecutilsReader()]
