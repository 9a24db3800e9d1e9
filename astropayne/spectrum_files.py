# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of observed spectra, and tables of what was found: read, fitted, written."""

import re
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.utils.data import get_readable_fileobj
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.fitting import Flag, fit_spectra
from astropayne.formats.container import replacing
from astropayne.labels import Label
from astropayne.observation import degrade_spectrum
from astropayne.wavelengths import resolution_at

__all__ = [
    "describe_fits",
    "file_names",
    "files_of",
    "fit_files",
    "measured",
    "predict_files",
    "read_spectrum",
    "read_star",
    "writable_suffix",
    "write_spectrum",
    "write_table",
]

_TABLES = {  # the format of each suffix, which may be in capitals
    ".ecsv": "ascii.ecsv", ".fits": "fits", ".csv": "ascii.csv", ".txt": "ascii.commented_header"
}  # fmt: skip
# What columns are called, in lower case; the first that fits counts.
_CALLED = {
    "guessed_noise": re.compile(r"^guessed_noise$"),
    "inverse_variance": re.compile(r"ivar|inv.*var"),
    "variance": re.compile(r"^var|variance"),
    "uncertainty": re.compile(r"err|unc|^sig|^e_|^std|noise"),
    "wavelength": re.compile(r"^wav|^lam|^wl"),
    "log_wavelength": re.compile(r"^log(10)?_?(wav|lam|wl)"),  # SDSS
    "flux": re.compile(r"flux|intensity"),
    "mask": re.compile(r"^mask"),
    "resolution": re.compile(r"^resolution$"),
    "correlation": re.compile(r"^correlation$"),
}
_IN_ORDER = ("wavelength", "flux", "uncertainty")
_NO_WAVELENGTH = re.compile(r"^(freq|nu$|wavenum|energy|vel|log|ln|pix|order)")
_MEDIUM_IN_NAME = re.compile(r"(?:^|[_ (\[])(air|vac)")
# The unit at the end of a wavelength's name, as in "wave_nm" or "lambda[A]".
_UNIT_IN_NAME = re.compile(r"[_ (\[]([a-zåµ]+)[)\]]?$")
_UNITS = {
    **dict.fromkeys(("a", "aa", "å", "ang", "angstrom", "angstroms"), u.AA),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), u.nm),
    **dict.fromkeys(("um", "µm", "micron", "microns"), u.um),
}
_OF_NOISE = ("correlation", "guessed_noise")  # metadata of `degrade_spectrum`, a value a pixel
_POWERS = {"uncertainty": 1, "variance": 0.5, "inverse_variance": -0.5}  # that make it a deviation
_AT_ONCE = 64  # spectra that are predicted together


def read_spectrum(path, *, format=None, wavelength_unit=u.AA, columns=None, meta=None):
    r"""Read an observed spectrum from a file.

    Text with columns of wavelength, flux and, if there are three, uncertainty (standard
    deviation) is read directly, with or without a line of names, and so are tables (ECSV, VOTable,
    FITS) with columns of those names, of ``loglam`` (log10 of Å) in place of the wavelength, of
    ``variance`` or ``ivar`` in place of the uncertainty, and of a ``mask`` (zero or false where a
    pixel is good). Units may be in the wavelength's name, as in ``wave_nm`` or ``lambda [nm]``. A
    FITS table may have a row for each pixel, or one row that holds all (as ESO's products have).
    Everything else is specutils'. Any of them may be compressed (``.gz``). Uncertainties of which
    none is a positive number, as HARPS' products have them, are left out.

    Parameters
    ----------
    path : path-like
    format : str, optional
        Of `specutils.Spectrum.read`; found out if not given.
    wavelength_unit : `~astropy.units.Unit` or str
        Of text files and tables, where the file does not say it.
    columns : int, optional
        How many columns of a text file to use; 2 takes wavelength and flux only, of any file, and
        leaves out what is called an uncertainty, or comes third, and is none.
    meta : dict, optional
        What is known of it beside: ``medium``, ``resolution``. These come first; a medium is taken
        from a column's name, as ``wavelength_air``, and from ``CTYPE1 = 'AWAV'`` (air), too.

    Returns
    -------
    `~specutils.Spectrum`
        Its ``meta["name"]`` is the path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.spectrum_files import read_spectrum
    >>> file = Path(mkdtemp()) / "star.txt"
    >>> _ = file.write_text("# wavelength flux error\n5160.0 0.98 0.01\n5160.1 0.97 0.01\n")
    >>> spectrum = read_spectrum(file)
    >>> print(spectrum.spectral_axis, spectrum.uncertainty.array)
    [5160.  5160.1] Angstrom [0.01 0.01]
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the spectra in it, one by one")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    more = {**(meta or {}), "name": str(path)}
    if format is None and _is_text(path):
        table = _text_table(path)
        if table is not None:
            return _of_table(table, path, u.Unit(wavelength_unit), columns, more)
    spectrum, reason = _by_specutils(path, format)
    more_in_table = spectrum is None or (format is None and _says_more(path))
    if more_in_table and path.name.lower().removesuffix(".gz").endswith((".fits", ".fit")):
        table = _fits_table(path)
        if table is not None:
            return _of_table(table, path, u.Unit(wavelength_unit), columns, more)
    if spectrum is None:
        if format is None and _is_text(path):  # of which specutils says nothing of use
            reason = "lines that are not numbers have to start with #, but one of names"
        raise ValueError(
            f"{path} is neither text with columns of wavelength, flux and uncertainty, nor what "
            f"specutils can read: {reason}"
        )
    header = spectrum.meta.get("header", {})
    # IRAF's; some of specutils' loaders know it, but not the one of plain images
    if (
        header.get("DC-FLAG") == 1
        and spectrum.spectral_axis.to_value(u.AA, u.spectral()).max() < 10
    ):
        spectrum = _of_logarithms(spectrum)
    if str(header.get("CTYPE1", "")).startswith("AWAV"):
        spectrum.meta["medium"] = "air"
    spectrum.meta.update(more)
    noise = spectrum.uncertainty
    if columns == 2 or (noise is not None and not _says_noise(noise.array)):
        spectrum.uncertainty = None
    return spectrum


def _is_text(path):
    start = _start(path)
    return b"\0" not in start and not start.startswith(b"SIMPLE  =")


def _start(path):
    with get_readable_fileobj(path, encoding="binary") as file:
        return file.read(2048)


def _text_table(path):
    """Return the columns of a text file, or `None` if they are not numbers."""
    start = _start(path)
    try:
        if start.startswith(b"# %ECSV"):
            table = QTable.read(path, format="ascii.ecsv")
        elif b"<VOTABLE" in start:
            table = QTable.read(path, format="votable")
        else:
            table = _guessed(path)
    except Exception:  # ascii's guesses fail in many ways; specutils may do better
        return None
    numbers = len(table) and all(table[name].dtype.kind in "fiub" for name in table.colnames[:2])
    return table if numbers and len(table.colnames) > 1 else None


def _guessed(path):
    with get_readable_fileobj(path, encoding="utf-8-sig") as file:
        text = file.read()
    text = text if "," in text else text.replace(";", ",")  # as spreadsheets write it
    table = text_tables.read(text)
    if table[table.colnames[1]].dtype.kind == "U":  # pandas' index, a column without a name
        table = text_tables.read(text, format="csv", guess=False)
    last = table.meta.get("comments", [""])[-1]
    names = re.sub(r"\s+(?=[(\[])", "", last.replace(",", " ")).split()  # a unit is of its name
    if table.colnames[0] == "col1" and len(names) == len(table.colnames):
        table.rename_columns(table.colnames, names)
    table.meta.clear()
    return QTable(table)


def _fits_table(path):
    try:
        table = QTable.read(path)
    except Exception:  # no table, and specutils has said what else is wrong
        return None
    table.meta = {key.lower(): value for key, value in table.meta.items()}
    if "resolut" in table.meta:
        table.meta["resolution"] = table.meta["resolut"]
    if len(table) == 1:  # of arrays
        row = {name: table[name][0] for name in table.colnames}
        pixels = {name: value for name, value in row.items() if np.ndim(value) == 1}
        table = QTable(pixels, meta=table.meta)
    return table if {"wavelength", "flux"} <= _roles(table.colnames).keys() else None


def _says_more(path):
    """Say whether a FITS table has what specutils does not look for."""
    try:
        header = fits.getheader(path, 1)
    except (OSError, IndexError):
        return False
    names = [str(value) for key, value in header.items() if key.startswith("TTYPE")]
    ours = ("resolution", "variance", "inverse_variance")
    return (
        not _roles(names).keys().isdisjoint(ours)
        or not {"MEDIUM", "RESOLUT"}.isdisjoint(header)
        or any(_MEDIUM_IN_NAME.search(name.lower()) for name in names)
    )


def _by_specutils(path, format):
    from specutils import Spectrum

    try:
        return Spectrum.read(path, format=format), None
    except Exception as error:  # loaders raise what they like
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    try:
        return _image_without_unit(path), None
    except Exception:  # no such image, and the reason is known
        return None, reason


def _of_logarithms(spectrum):
    """Return the spectrum whose axis is log10 of wavelengths in Å, not said by its unit."""
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=10**spectrum.spectral_axis.value * u.AA,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        mask=spectrum.mask,
        meta=spectrum.meta,
    )


def _image_without_unit(path):
    """Read a one-dimensional image whose unit of flux is none, as "Relative Flux"."""
    from specutils import Spectrum

    with fits.open(path) as images:
        del images[0].header["BUNIT"]
        return Spectrum.read(images, format="wcs1d-fits", flux_unit=u.one)


def _roles(names):
    """Return which column is what, by their names."""
    roles = {}
    for name in names:
        fits = [role for role, called in _CALLED.items() if called.search(name.lower())]
        if fits:
            roles.setdefault(fits[0], name)
    if "log_wavelength" in roles:
        roles.setdefault("wavelength", roles["log_wavelength"])
    return roles


def _of_table(table, path, wavelength_unit, columns, meta):
    """Make a spectrum of a table's columns, which go by their names or their order."""
    from specutils import Spectrum

    names = table.colnames if columns == 2 else table.colnames[:columns]  # in any order
    roles = _roles(names)
    if not {"wavelength", "flux"} <= roles.keys():
        roles = dict(zip(_IN_ORDER, names, strict=False))
        if _NO_WAVELENGTH.search(table.colnames[0].lower()):
            raise ValueError(
                f"{path} has columns {', '.join(table.colnames)}, of which none is a wavelength: "
                "call it 'wavelength'"
            )
    found = {r: table[n] for r, n in roles.items() if columns != 2 or r not in _POWERS}
    flux, axis = _floats(found["flux"]), _axis(found, roles, path, wavelength_unit)
    sigma = _deviation(found, flux.unit)
    if sigma is not None and _middle(sigma) > _middle(np.abs(flux)):
        name = next(roles[role] for role in _POWERS if role in roles)
        raise ValueError(
            f"{path}: column {name!r} makes errors larger than the flux, which no uncertainty "
            "does; columns=2 (--columns 2) reads wavelength and flux only"
        )
    # What specutils cannot have, an axis out of order, is said with the file's name.
    steps = np.diff(axis.value)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"{path}: wavelengths neither increase nor decrease all the way")
    mask = found.get("mask")
    known = {key: table.meta[key] for key in ("medium", "resolution") if key in table.meta}
    if "medium" not in known and (medium := _medium(roles["wavelength"], table.colnames)):
        known["medium"] = medium
    resolution = found.get("resolution")
    if resolution is not None and resolution.unit in (None, u.one):  # else it is a width
        known["resolution"] = _floats(resolution).value
    known |= {name: _floats(found[name]).value for name in _OF_NOISE if name in found}
    return Spectrum(
        spectral_axis=axis,
        flux=flux,
        uncertainty=None if sigma is None else StdDevUncertainty(sigma),
        mask=None if mask is None else _mask(mask, path),
        meta={**known, **meta},
    )


def _axis(columns, roles, path, wavelength_unit):
    """Return wavelengths with the unit that the column, its name or else the caller says."""
    name, column = roles["wavelength"], columns["wavelength"]
    values, unit = _floats(column), getattr(column, "unit", None)
    if roles.get("log_wavelength") == name:
        return 10**values.value * u.AA
    if isinstance(unit, u.UnrecognizedUnit):
        raise ValueError(  # noqa: TRY004
            f"{path}: column {name!r} is in {str(unit)!r}, a unit that is not known"
        )
    if unit is not None:
        return values
    match = _UNIT_IN_NAME.search(name.lower())
    return values.value * _UNITS.get(match and match[1], wavelength_unit)


def _medium(name, names):
    """Return the medium that a wavelength's name says, or the name of another one beside it."""
    if match := _MEDIUM_IN_NAME.search(name.lower()):
        return {"air": "air", "vac": "vacuum"}[match[1]]
    beside = [n.lower() for n in names if n.lower().startswith(f"{name.lower()}_")]
    others = {match[1] for n in beside if (match := _MEDIUM_IN_NAME.search(n))}
    return {frozenset({"air"}): "vacuum", frozenset({"vac"}): "air"}.get(frozenset(others))


def _deviation(columns, unit):
    """Return standard deviations of what a table says of the noise, or None if that is nothing."""
    for role, power in _POWERS.items():
        values = _floats(columns[role]) if role in columns else None
        if values is not None and _says_noise(values.value):
            with np.errstate(divide="ignore", invalid="ignore"):  # of weights that are zero
                sigma = values**power
            return sigma.value * unit if sigma.unit == u.one else sigma
    return None


def _says_noise(values):
    """Say whether values of an uncertainty have a positive number among them."""
    return bool(np.any((values > 0) & np.isfinite(values)))


def _middle(values):
    """Return the median of what is finite, NaN if nothing is."""
    finite = values[np.isfinite(values)]
    return np.median(finite) if len(finite) else np.nan * values.unit


def _floats(column):
    """Return a column as a quantity, NaN where it has no value; a unit that none knows is none."""
    column = column.astype(float)
    values = u.Quantity(column.filled(np.nan) if hasattr(column, "filled") else column)
    return values.value * u.one if isinstance(values.unit, u.UnrecognizedUnit) else values


def _mask(column, path):
    """Return a column as a mask; what is not said is masked."""
    values = np.asarray(np.ma.filled(column, True))
    if values.dtype.kind in "biuf":
        return values != 0
    text = np.char.lower(values.astype(str))
    if odd := sorted(set(text.tolist()) - {"true", "false"}):
        raise ValueError(
            f"{path}: column {column.info.name!r} has {odd[0]!r}: a mask has numbers, of which "
            "zero is a good pixel, or true and false; a column that is none needs another name"
        )
    return text == "true"


class _Unreadable:
    """What stands for a file that could not be read, so that it has its row."""

    def __init__(self, name):
        self.meta = {"name": name}


def files_of(text):
    """Return the files of one star: what is between commas, unless there is such a file.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> from astropayne.spectrum_files import files_of
    >>> files_of("blue.fits,red.fits")
    ['blue.fits', 'red.fits']
    """
    return [text] if Path(text).exists() else [part for part in str(text).split(",") if part]


def _name_of(files):
    return ",".join(map(str, files))


def read_star(files, *, degrade=None, **options):
    """Read the spectra of one star.

    Parameters
    ----------
    files : sequence of path-like
        One, or one for each of several arms.
    degrade : (float, float or sequence of float), optional
        The resolution that the spectra have, and the lower one they are to have, perhaps of each.
    **options
        Of `read_spectrum`.

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list if there are several; their ``meta["name"]`` are all files.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If one cannot be read, or its resolution would not become lower.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.spectrum_files import read_star, write_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> file = mkdtemp() + "/sun.ecsv"
    >>> write_spectrum(sun, file)
    >>> star = read_star([file, file], degrade=(20000, 15000))
    >>> len(star), star[0].meta["resolution"]
    (2, 15000.0)
    """
    from specutils import SpectrumList

    if not any(map(str, files)):
        raise ValueError("a star without a name of a file: give one, or several with commas")
    spectra = [read_spectrum(file, **options) for file in files]
    if degrade is not None:
        own, wanted = degrade
        wanted = np.broadcast_to(wanted, len(spectra))
        spectra = [
            degrade_spectrum(spectrum, float(to), resolution=own)
            for spectrum, to in zip(spectra, wanted, strict=True)
        ]
    for spectrum in spectra:
        spectrum.meta["name"] = _name_of(files)
    return SpectrumList(spectra) if len(spectra) > 1 else spectra[0]


def fit_files(stars, model, *, read=None, measure=fit_spectra, **options):
    """Fit spectra in files.

    Parameters
    ----------
    stars : sequence of path-like, or of sequences of them
        A file for each star, or several: its arms, which are fitted together.
    model : `~astropayne.PayneModel`
    read : dict, optional
        Options of `read_star`.
    measure : callable
        What measures them: `~astropayne.fit_spectra`, or `~astropayne.fit_abundances`.
    **options
        Of what measures.

    Returns
    -------
    `~astropy.table.QTable`
        As of `~astropayne.fit_spectra`, ``name`` being the files, with commas between them. They
        are read one after another; what cannot be read has the flag ``BAD_INPUT``, and the reason
        in ``message``.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.spectrum_files import fit_files, write_spectrum
    >>> model, file = PayneModel.sample(), mkdtemp() + "/sun.ecsv"
    >>> write_spectrum(model(teff=5777, logg=4.44, feh=0, vmic=1, rv=12), file)
    >>> table = fit_files([file], model)
    >>> print(table["rv"].round(1))
    [12.] km / s
    """
    reasons = {}

    def spectra():
        for i, star in enumerate(stars):
            files = [star] if isinstance(star, str | Path) else list(star)
            try:
                yield read_star(files, **(read or {}))
            except Exception as error:  # loaders raise what they like; the others are fitted
                reasons[i] = str(error) or type(error).__name__
                yield _Unreadable(_name_of(files))

    table = measure(spectra(), model, **options)
    table["message"] = [reasons.get(i, str(said)) for i, said in enumerate(table["message"])]
    return table


def write_spectrum(spectrum, path, *, overwrite=False):
    """Write a spectrum, so that `read_spectrum` reads it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional.
    path, overwrite
        As for `write_table`. ``*.ecsv`` and ``*.fits`` hold units, mask, medium and resolution,
        which is a column if it varies, and what `~astropayne.degrade_spectrum` says of the noise.

    Raises
    ------
    OSError, ValueError
        As `write_table`.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.spectrum_files import read_spectrum, write_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> file = mkdtemp() + "/sun.fits"
    >>> write_spectrum(sun, file)
    >>> read_spectrum(file).meta["medium"]
    'air'
    """
    holds_all = writable_suffix(path) in (".ecsv", ".fits")
    table = QTable({"wavelength": u.Quantity(spectrum.spectral_axis, subok=False)})
    table["flux"] = spectrum.flux.value if spectrum.flux.unit == u.one else spectrum.flux
    if spectrum.uncertainty is not None:
        sigma = spectrum.uncertainty.represent_as(StdDevUncertainty)
        table["uncertainty"] = sigma.array if spectrum.flux.unit == u.one else sigma.quantity
    if spectrum.mask is not None and holds_all:
        table["mask"] = np.asarray(spectrum.mask, dtype=bool)
    for name in _OF_NOISE:
        stated = spectrum.meta.get(name)
        if holds_all and np.shape(stated) == spectrum.flux.shape:
            table[name] = stated
    known = {"medium": spectrum.meta.get("medium")}
    resolution = resolution_at(spectrum.meta.get("resolution"), spectrum.spectral_axis)
    if np.ndim(resolution) == 0:
        known["resolution"] = resolution
    elif holds_all:
        table["resolution"] = resolution
    table.meta = {key: value for key, value in known.items() if value is not None}
    labels = spectrum.meta.get("labels")
    if labels is not None:
        table.meta["labels"] = {
            name: float(Label(name).to_value(labels[name])[0]) for name in labels.colnames
        }
    write_table(table, path, overwrite=overwrite)


def write_table(table, path, *, overwrite=False):
    r"""Write a table in the format that its file's name says.

    Parameters
    ----------
    table : `~astropy.table.QTable`
    path : path-like
        ``*.ecsv``, ``*.fits``, ``*.csv`` or ``*.txt``. The last two hold no units, no metadata,
        and no columns of several numbers a row; these are left out with a warning, and so are
        metadata that a FITS header cannot hold. Text in FITS is ASCII: of names such as "é",
        escapes such as "\xe9" are written, with a warning.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OSError
        If there is such a file already.
    ValueError
        If the name ends in something else.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropy.table import QTable
    >>> from astropayne.spectrum_files import write_table
    >>> write_table(QTable({"teff": [5777.0]}), mkdtemp() + "/stars.csv")
    """
    path, suffix = Path(path), writable_suffix(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; overwrite=True (--overwrite) replaces it")
    table = table.copy(copy_data=False)
    if suffix == ".fits":
        table.meta = _header(table.meta, path)
        _escape(table, path)
    elif suffix != ".ecsv":
        wide = [name for name in table.colnames if table[name].ndim > 1]
        if wide:
            warnings.warn(
                f"{path} has no {', '.join(wide)}: text cannot hold several numbers a row; "
                "*.ecsv and *.fits can",
                AstropyUserWarning,
                stacklevel=2,
            )
            table.remove_columns(wide)
    with replacing(path) as beside:
        table.write(beside, format=_TABLES[suffix])


def _header(meta, path):
    """Return metadata as a FITS header has them: single values, under short names."""
    flat, short = {}, {"resolution": "resolut"}
    for key, value in meta.items():
        flat |= value if isinstance(value, dict) else {key: value}
    cards = {short.get(key, key): _card(value) for key, value in flat.items()}
    lost = [
        key
        for key, value in cards.items()
        if len(key) > 8 or not isinstance(value, str | int | float) or not str(value).isascii()
    ]
    if lost:
        warnings.warn(
            f"{path} has no {', '.join(lost)}: the header of a FITS table holds single values, "
            "under names of up to 8 letters; *.ecsv holds all metadata",
            AstropyUserWarning,
            stacklevel=3,
        )
    return {key.upper(): value for key, value in cards.items() if key not in lost}


def _escape(table, path):
    """Write in ASCII, which is all that FITS has, what columns say in other letters."""
    escaped = []
    for name in table.colnames:
        column = table[name]
        if getattr(column, "dtype", None) is None or column.dtype.kind != "U":
            continue
        text = np.asarray(column)
        plain = np.char.decode(np.char.encode(text, "ascii", "backslashreplace"), "ascii")
        if (plain != text).any():
            table[name] = plain
            escaped.append(name)
    if escaped:
        warnings.warn(
            f"{path}: {', '.join(escaped)} has letters that FITS cannot hold, and escapes in their "
            "place; *.ecsv holds all letters",
            AstropyUserWarning,
            stacklevel=3,
        )


def _card(value):
    if isinstance(value, list):
        return " ".join(map(str, value))
    return value.item() if isinstance(value, np.generic) else value


def writable_suffix(path):
    """Return how a table's name ends, which has to be one of the formats.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> from astropayne.spectrum_files import writable_suffix
    >>> writable_suffix("stars.ecsv")
    '.ecsv'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _TABLES:
        raise ValueError(f"{path}: a table's name has to end in one of {', '.join(_TABLES)}")
    return suffix


def measured(table):
    """Say which rows of a table of fits hold a measurement.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Of `~astropayne.fit_spectra`.

    Returns
    -------
    numpy.ndarray of bool, shape (n_rows,)

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from astropayne import Flag
    >>> from astropayne.spectrum_files import measured
    >>> measured(QTable({"flags": [0, int(Flag.BAD_INPUT)]})).tolist()
    [True, False]
    """
    return (table["flags"] & Flag.BAD_INPUT) == 0


def file_names(paths):
    """Return a short name for each path, no two the same: file names without their endings.

    Parameters
    ----------
    paths : sequence of path-like

    Returns
    -------
    list of str

    Examples
    --------
    >>> from astropayne.spectrum_files import file_names
    >>> file_names(["a/star.fits", "b/star.fits"])
    ['star', 'star-2']
    """
    names = {}
    for path in paths:
        stem, n = Path(path).name.removesuffix(Path(path).suffix), 1
        while (name := stem if n == 1 else f"{stem}-{n}") in names:
            n += 1
        names[name] = path
    return list(names)


def describe_fits(table, *, everything=False, n_rows=20):
    """Tell in lines what a table of fits says.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Of `~astropayne.fit_spectra`.
    everything : bool
        Whether to tell of every star, not of the first ones only.
    n_rows : int
        How many are the first ones.

    Yields
    ------
    str
    """
    good = measured(table)
    shown = {n: d for n, d in (("teff", 0), ("logg", 2), ("feh", 2), ("rv", 2), ("vsini", 1))
             if n in table.colnames}  # fmt: skip
    width = max([4, *map(len, table["name"])])
    yield f"{'name':{width}s}" + "".join(f"{name:>16s}" for name in shown) + "  flags"
    for row in table if everything else table[:n_rows]:
        cells = "".join(f"{_shown(row, name, digits):>16s}" for name, digits in shown.items())
        yield f"{row['name']:{width}s}{cells}  {_flags_text(row)}"
    if not everything and len(table) > n_rows:
        yield f"... and {len(table) - n_rows} more"
    yield f"{len(table)} {'spectrum' if len(table) == 1 else 'spectra'}, {good.sum()} measured"
    for row in table[~good]:
        named = row["name"] in row["message"]
        yield "not measured: " + ("" if named else f"{row['name']}: ") + row["message"]


def _shown(row, name, digits):
    """Return a value with its error, or as an upper limit."""
    value, error, limit = (
        u.Quantity(row[column]).value if column in row.colnames else np.nan
        for column in (name, f"{name}_err", f"{name}_limit")
    )
    if np.isfinite(limit):
        return f"< {limit:.{digits}f}"
    if not np.isfinite(value):
        return "-"
    value = round(float(value), digits) + 0.0  # not minus zero
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")


def _flags_text(row):
    which = {Flag.AT_BOUND: row["at_bound"], Flag.LOW_INFORMATION: row["low_information"]}
    said = [
        f"{flag.name} ({', '.join(which[flag].split())})" if which.get(flag) else flag.name
        for flag in Flag
        if flag & int(row["flags"])
    ]
    return ", ".join(said) or "-"


def predict_files(model, labels, output, *, like=None, resolution=None, overwrite=False, **given):
    """Predict spectra into files.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    labels : mapping or path-like
        One star's labels, or a file with a table of them, perhaps of `~astropayne.fit_spectra`.
        What is called ``rv``, ``vsini`` and ``vmac`` are velocities; a column ``name`` is what the
        spectra of a table are called.
    output : path-like
        A file for one star, a folder for a table.
    like : path-like, optional
        A spectrum whose pixels are to be predicted.
    resolution : float, optional
        λ/FWHM.
    overwrite : bool
        Whether files that are there may be replaced.
    **given
        ``rv``, ``vsini`` and ``vmac`` where the labels do not say them.

    Returns
    -------
    spectra : list of `~specutils.Spectrum`
        The first some of them.
    files : list of `~pathlib.Path`

    Raises
    ------
    ValueError
        If labels are unknown or missing, or the file's format.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If stars of a table of fits are left out, as something of them was not measured.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from astropayne import PayneModel
    >>> from astropayne.spectrum_files import predict_files
    >>> sun = {"teff": 5777, "logg": 4.44, "feh": 0, "vmic": 1}
    >>> spectra, files = predict_files(PayneModel.sample(), sun, mkdtemp() + "/sun.ecsv", rv=12)
    >>> files[0].name
    'sun.ecsv'
    """
    options = {"resolution": resolution, "wavelength": _axis_like(like, model)}
    if isinstance(labels, dict):
        writable_suffix(output)
        spectrum = model(**{**options, **given, **labels})
        write_spectrum(spectrum, output, overwrite=overwrite)
        return [spectrum], [Path(output)]
    table = _label_table(Path(labels))
    names = [str(name) for name in _taken(table, "name", np.arange(len(table)))]
    velocities = {name: _filled(_taken(table, name, value)) for name, value in given.items()}
    folder = Path(output)
    files = [folder / f"{name}.ecsv" for name in file_names([f"{name}.ecsv" for name in names])]
    first = []
    for rows in (slice(i, i + _AT_ONCE) for i in range(0, len(table), _AT_ONCE)):
        some = {n: v[rows] if np.ndim(v) else v for n, v in velocities.items()}
        many = model.predict(table[rows], **some, **options)
        spectra = [_row(many, i) for i in range(len(many.flux))]
        folder.mkdir(parents=True, exist_ok=True)  # nothing is left of a table that makes no sense
        for spectrum, file in zip(spectra, files[rows], strict=True):
            write_spectrum(spectrum, file, overwrite=overwrite)
        first = first or spectra
    return first, files


def _label_table(path):
    """Read a table of labels; of one of fits, what is measured and can be predicted from."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        table = _guessed(path) if path.suffix.lower() == ".txt" else QTable.read(path)
    except Exception as error:  # readers raise what they like
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} is not a table that can be read (*{', *'.join(_TABLES)}): {reason}"
        ) from None
    if {"chi2", "flags"} <= set(table.colnames):
        table = _of_fits(table, path)
    if not len(table):
        raise ValueError(f"{path} has no row to predict a spectrum from")
    return table


def _of_fits(table, path):
    """Return labels and velocities of a table of fits, which are what has errors."""
    names = [name for name in table.colnames if f"{name}_err" in table.colnames]
    whole = np.all([np.isfinite(_floats(table[name])) for name in names], axis=0)
    if not whole.all():
        warnings.warn(
            f"{path}: {', '.join(map(str, table['name'][~whole]))} left out, as labels or "
            "velocities were not measured",
            AstropyUserWarning,
            stacklevel=4,
        )
    return table[["name", *names]][whole]


def _filled(values):
    """Return values with NaN where a column has none: what is under its mask is no velocity."""
    return values.astype(float).filled(np.nan) if hasattr(values, "filled") else values


def _taken(table, name, default):
    """Take a column out of a table."""
    if name not in table.colnames:
        return default
    column = table[name]
    table.remove_column(name)
    return column


def _axis_like(path, model):
    if path is None:
        return None
    spectrum = read_spectrum(path)
    medium = spectrum.meta.get("medium", model.medium)
    if medium != model.medium:
        raise ValueError(f"{path} has wavelengths in {medium}, the model in {model.medium}")
    return u.Quantity(spectrum.spectral_axis, subok=False)


def _row(many, i):
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=u.Quantity(many.spectral_axis, subok=False),
        flux=many.flux[i],
        mask=None if many.mask is None else many.mask[i],
        meta={**many.meta, "labels": many.meta["labels"][i : i + 1]},
    )
