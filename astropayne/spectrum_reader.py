# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from files of nearly every form: text, tables, images, and what specutils reads."""

import re
import warnings
from numbers import Real
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.utils.data import get_readable_fileobj

__all__ = ["OF_NOISE", "floats", "guessed_table", "read_spectrum"]

# What columns are called, in lower case; the first that fits counts.
_CALLED = {
    "guessed_noise": re.compile(r"^guessed_noise$"),
    "inverse_variance": re.compile(r"ivar|inv.*var"),
    "variance": re.compile(r"^var|variance"),
    "uncertainty": re.compile(r"err|unc|^sig|^e_|^std|noise"),
    "wavelength": re.compile(r"^wav|^lam|^wl"),
    "log_wavelength": re.compile(r"^log(10)?_?(wav|lam|wl)"),  # SDSS
    "flux": re.compile(r"flux|intensity"),
    "mask": re.compile(r"^mask|^(and|pix)_?mask$|^qual(ity)?$"),  # SDSS, LAMOST; ESO, 4MOST
    "resolution": re.compile(r"^resolution$"),
    "correlation": re.compile(r"^correlation$"),
}
_IN_ORDER = ("wavelength", "flux", "uncertainty")
_NO_WAVELENGTH = re.compile(r"^(freq|nu$|wavenum|energy|vel|log|ln|pix|order)")
_MEDIUM_IN_NAME = re.compile(r"(?:^|[_ (\[])(air|vac)")
_METRES = 1e-3  # up to where wavelengths without a unit are in metres, as FITS has it
_IN_AIR = "em.wl;obs.atmos"  # ESO's standard of products: without obs.atmos it is vacuum
# The unit at the end of a wavelength's name, as in "wave_nm" or "lambda[A]".
_UNIT_IN_NAME = re.compile(r"[_ (\[]([a-zåµ]+)[)\]]?$")
_UNITS = {
    **dict.fromkeys(("a", "aa", "å", "ang", "angstrom", "angstroms"), u.AA),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), u.nm),
    **dict.fromkeys(("um", "µm", "micron", "microns"), u.um),
}
OF_NOISE = ("correlation", "guessed_noise")  # metadata of `degrade_spectrum`, a value a pixel
_POWERS = {"uncertainty": 1, "variance": 0.5, "inverse_variance": -0.5}  # that make it a deviation

# What specutils calls images beside that of the flux; it knows ERR and UNCERT, but fails to read
# them, and not the names of X-shooter and MUSE.
_BESIDE = {
    **dict.fromkeys(("ERR", "ERRS", "ERROR", "SIGMA", "UNCERT"), "STD"),
    **dict.fromkeys(("STAT", "VARIANCE"), "VAR"),
    "QUAL": "QUALITY",
}
_NEGATIVE = 0.1  # the part of a third column from which on it is no uncertainty, but Stokes V, say


def read_spectrum(path, *, format=None, wavelength_unit=u.AA, columns=None, meta=None):
    r"""Read an observed spectrum from a file.

    Text with columns of wavelength, flux and, if there are three, uncertainty (standard deviation)
    is read directly, with or without a line of names, and so are tables (ECSV, VOTable, FITS) with
    columns of those names, of ``loglam`` (log10 of Å) in place of the wavelength, of ``variance``
    or ``ivar`` in place of the uncertainty, and of a ``mask`` (zero or false where a pixel is
    good), which surveys call ``and_mask``, ``pixmask``, ``QUAL`` or ``quality``. Units may be in
    the wavelength's name, as in ``wave_nm`` or ``lambda [nm]``. A table may have a row for each
    pixel, or one row that holds all (as ESO's and Gaia's products have); an image of several rows
    is read if it is of an older release of LAMOST, and one of a single row with noise and mask in
    images beside it, such as ``ERRS``, ``STAT`` (a variance), ``IVAR``, ``DQ`` and ``QUAL``.
    Everything else is specutils'. Any of them may be compressed (``.gz``). Uncertainties of which
    none is a positive number, as HARPS' products have them, are left out.

    Parameters
    ----------
    path : path-like
    format : str, optional
        Of `specutils.Spectrum.read`; found out if not given.
    wavelength_unit : `~astropy.units.Unit` or str
        Of text files, tables and images, where the file does not say it.
    columns : int, optional
        How many columns of a text file to use; 2 takes wavelength and flux only, of any file, and
        leaves out what is called an uncertainty, or comes third, and is none.
    meta : dict, optional
        What is known of it beside: ``medium``, ``resolution``. These come first; a medium is taken
        from a column's name, as ``wavelength_air``, or from a FITS header: ``CTYPE1 = 'AWAV'``
        (air), ``VACUUM = T`` (SDSS, LAMOST) and ESO's ``TUCD1 = 'em.wl;obs.atmos'`` (air; in ESO's
        products it is vacuum without ``obs.atmos``), too. Spectra of APOGEE, HST and JWST are in
        vacuum. The resolution is ESO's ``SPEC_RES``, too.

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
    >>> from astropayne import read_spectrum
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
            spectrum = _of_table(table, path, u.Unit(wavelength_unit), columns, more)
            return _as_headers_say(spectrum, path)
    if spectrum is None:
        if format is None and _is_text(path):  # of which specutils says nothing of use
            reason = "lines that are not numbers have to start with #, but one of names"
        elif _is_cut_off(path):
            raise ValueError(f"{path} is damaged: it ends before its data do; copy it again")
        elif len(shape := _image_shape(path) or ()) > 1:
            reason = (
                f"it is an image of {' x '.join(map(str, shape))} values, not one spectrum; write "
                "each row, such as an order, with its wavelengths to a file, and fit them as arms"
            )
        raise ValueError(
            f"{path} is neither text with columns of wavelength, flux and uncertainty, nor what "
            f"specutils can read: {reason}"
        )
    if spectrum.flux.ndim > 1 and spectrum.flux.size == spectrum.flux.shape[-1]:
        spectrum = _flat(spectrum)  # IRAF's, of one row
    axis = spectrum.spectral_axis
    if np.array_equal(axis.value, 1 + np.arange(len(axis))):  # what an image without any has
        raise ValueError(
            f"{path} counts its pixels where wavelengths should be: its header needs CRVAL1 and "
            "CDELT1; or write it as text with columns of wavelength and flux"
        )
    header = spectrum.meta.get("header", {})
    # IRAF's; some of specutils' loaders know it, but not the one of plain images
    if header.get("DC-FLAG") == 1 and axis.to_value(u.AA, u.spectral()).max() < 10:
        spectrum = _on_axis(spectrum, 10**axis.value * u.AA)
    elif _says_no_unit(header) and axis.unit in (u.m, u.AA) and axis.value.max() > _METRES:
        spectrum = _on_axis(spectrum, axis.value * u.Unit(wavelength_unit))
    spectrum.meta.update(more)
    noise = spectrum.uncertainty
    if columns == 2 or (noise is not None and not _says_noise(noise.array)):
        spectrum.uncertainty = None
    return _as_headers_say(spectrum, path)


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
            table = _read_table(path, format="ascii.ecsv")
        elif b"<VOTABLE" in start:
            table = _read_table(path, format="votable")
        else:
            table = guessed_table(path)
    except Exception:  # ascii's guesses fail in many ways; specutils may do better
        return None
    numbers = len(table) and all(table[name].dtype.kind in "fiub" for name in table.colnames[:2])
    return table if numbers and len(table.colnames) > 1 else None


def guessed_table(path):
    """Return the columns of a text file, whatever separates and names them."""
    with get_readable_fileobj(path, encoding="binary") as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:  # which has a letter for every byte, in comments and units
        text = content.decode("latin-1")
    text = text if "," in text else text.replace(";", ",")  # as spreadsheets write it
    table = _numbers_only(text) or text_tables.read(text)
    if table[table.colnames[1]].dtype.kind == "U":  # pandas' index, a column without a name
        table = text_tables.read(text, format="csv", guess=False)
    last = table.meta.get("comments", [""])[-1]
    names = re.sub(r"\s+(?=[(\[])", "", last.replace(",", " ")).split()  # a unit is of its name
    if table.colnames[0] == "col1" and len(names) == len(table.colnames):
        table.rename_columns(table.colnames, names)
    table.meta.clear()
    return QTable(table)


def _numbers_only(text):
    """Read columns without names, for which ascii would try all other formats before."""
    first = re.search(r"^(?!#)\s*\S.*", text, re.MULTILINE)
    if first is None or not re.fullmatch(r"[-+\d.eE,\s]+", first[0]):
        return None
    how = {"format": "no_header", "guess": False, "delimiter": "," if "," in first[0] else " "}
    try:
        table = text_tables.read(text.replace("\t", " "), **how)
    except Exception:  # ascii's guesses may do better
        return None
    return table if len(table.colnames) > 1 else None


def _fits_table(path):
    try:
        table = _of_lamost(path) or _read_table(path)
    except Exception:  # no table, and specutils has said what else is wrong
        return None
    table.meta = {key.lower(): value for key, value in table.meta.items()}
    if "resolut" in table.meta:
        table.meta["resolution"] = table.meta["resolut"]
    return table if {"wavelength", "flux"} <= _roles(table.colnames).keys() else None


def _read_table(path, format=None):
    with warnings.catch_warnings():  # of arrays of any length, whose units are looked after here
        warnings.filterwarnings("ignore", "column .* has a unit but is kept as a")
        return _out_of_one_row(QTable.read(path, format=format))


def _out_of_one_row(table):
    """Return a table with a row for each pixel, of one whose only row holds arrays."""
    if len(table) != 1:
        return table
    pixels = {}
    for name in table.colnames:
        values, unit = table[name][0], table[name].unit
        if np.ndim(values) == 1:  # arrays of any length, as VOTables have them, leave units behind
            pixels[name] = values * unit if unit and not hasattr(values, "unit") else values
    return QTable(pixels, meta=table.meta) if pixels else table


def _of_lamost(path):
    """Return what the rows of an image are in LAMOST's older releases, if it is one."""
    with fits.open(path) as hdus:
        image = hdus[0]
        if image.header.get("TELESCOP") != "LAMOST" or np.shape(image.data)[:-1] != (5,):
            return None
        rows = ("flux", "ivar", "wavelength", "and_mask")
        return QTable(dict(zip(rows, image.data[:4], strict=True)))


def _is_cut_off(path):
    """Say whether a FITS file ends too early, of which astropy only warns."""
    if not _start(path).startswith(b"SIMPLE  ="):
        return False
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with get_readable_fileobj(path, encoding="binary") as file:
                file.read()
            with fits.open(path) as hdus:
                len(hdus)  # looks at all of them
        except (OSError, EOFError):  # within the first header, or where it is compressed
            return True
    return any(re.search("truncated|validating header", str(one.message)) for one in said)


def _image_shape(path):
    try:
        with fits.open(path) as hdus:
            return next((np.shape(hdu.data) for hdu in hdus if hdu.is_image and hdu.size), None)
    except Exception:  # it is damaged or no FITS file, which specutils has said
        return None


def _as_headers_say(spectrum, path):
    """Return a spectrum with the medium and resolution of its FITS headers, if none else says."""
    if _start(path).startswith(b"SIMPLE  ="):
        with fits.open(path) as hdus:
            header = hdus[-1].header if len(hdus) == 1 else {**hdus[1].header, **hdus[0].header}
        said = {"medium": _header_medium(header), "resolution": _header_resolution(header)}
        for key, value in said.items():
            if value is not None and spectrum.meta.get(key) is None:
                spectrum.meta[key] = value
    return spectrum


def _header_resolution(header):
    value = header.get("SPEC_RES")  # of ESO's products
    return float(value) if isinstance(value, Real) and value > 0 else None


def _header_medium(header):
    if "VACUUM" in header:  # SDSS, LAMOST
        return "vacuum" if str(header["VACUUM"]).upper().startswith(("T", "1")) else "air"
    if str(header.get("CTYPE1", "")).startswith("AWAV") or header.get("TUCD1") == _IN_AIR:
        return "air"
    if _is_in_vacuum(header):
        return "vacuum"
    is_eso = str(header.get("PRODCATG", "")).startswith("SCIENCE.SPECTRUM")
    return "vacuum" if is_eso and header.get("TUCD1") == "em.wl" else None


def _is_in_vacuum(header):
    """Say whether a spectrum is of APOGEE or a space telescope, whose headers take it as known."""
    return (
        header.get("TELESCOP") in ("HST", "JWST")
        or str(header.get("SURVEY")).lower().startswith("apogee")
        or (header.get("CRVAL1"), header.get("CDELT1")) == (4.179, 6e-6)  # APOGEE's pixels
    )


def _says_more(path):
    """Say whether a FITS table has what specutils does not look for."""
    try:
        header = fits.getheader(path, 1)
    except (OSError, IndexError):
        return False
    names = [str(value) for key, value in header.items() if key.startswith("TTYPE")]
    ours = ("resolution", "variance", "inverse_variance", "mask")
    return (
        not _roles(names).keys().isdisjoint(ours)
        or not {"MEDIUM", "RESOLUT"}.isdisjoint(header)
        or any(_MEDIUM_IN_NAME.search(name.lower()) for name in names)
    )


def _by_specutils(path, format):
    from specutils import Spectrum

    spectrum = reason = None
    try:
        spectrum = Spectrum.read(path, format=format)
    except Exception as error:  # loaders raise what they like
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if spectrum is not None and (format is not None or spectrum.uncertainty is not None):
        return spectrum, None
    try:
        image = _image(path)
    except Exception:  # no such image, and the reason is known
        return spectrum, reason
    same = spectrum is not None and np.array_equal(image.spectral_axis, spectrum.spectral_axis)
    with_noise = same and image.uncertainty is not None
    return (image, None) if spectrum is None or with_noise else (spectrum, None)


def _says_no_unit(header):
    """Say whether the header of a one-dimensional image leaves out the unit of its wavelengths."""
    one_image = header.get("NAXIS") == 1 and "CRVAL1" in header
    return one_image and not str(header.get("CUNIT1", "")).strip()


def _on_axis(spectrum, axis):
    """Return the spectrum with other wavelengths, where its unit does not say what they are."""
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=axis,
        flux=spectrum.flux,
        uncertainty=spectrum.uncertainty,
        mask=spectrum.mask,
        meta=spectrum.meta,
    )


def _flat(spectrum):
    """Return the only spectrum in an array of more than one dimension."""
    from specutils import Spectrum

    noise, mask = spectrum.uncertainty, spectrum.mask
    return Spectrum(
        spectral_axis=spectrum.spectral_axis.ravel(),
        flux=spectrum.flux.ravel(),
        uncertainty=None if noise is None else type(noise)(np.ravel(noise.array), unit=noise.unit),
        mask=None if mask is None else np.ravel(mask),
        meta=spectrum.meta,
    )


def _image(path):
    """Read a one-dimensional image, also if its unit is none, and noise and mask beside it."""
    from specutils import Spectrum

    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu.name in _BESIDE:
                hdu.name = _BESIDE[hdu.name]
            if isinstance(_unit(hdu), u.UnrecognizedUnit):  # as "Relative Flux"
                del hdu.header["BUNIT"]
        first = next(hdu for hdu in hdus if hdu.is_image and hdu.size)
        if len(first.shape) != 1 or str(first.header.get("CTYPE1")).startswith("MULTISPE"):
            raise ValueError("it has several axes, or one that cards of IRAF's say")
        given = {} if "BUNIT" in first.header else {"flux_unit": u.one}
        return Spectrum.read(hdus, format="wcs1d-fits", **given)


def _unit(hdu):
    return u.Unit(hdu.header.get("BUNIT", ""), parse_strict="silent")


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
    if in_order := not {"wavelength", "flux"} <= roles.keys():
        roles = dict(zip(_IN_ORDER, names, strict=False))
        if _NO_WAVELENGTH.search(table.colnames[0].lower()):
            raise ValueError(
                f"{path} has columns {', '.join(table.colnames)}, of which none is a wavelength: "
                "call it 'wavelength'"
            )
    found = {r: table[n] for r, n in roles.items() if columns != 2 or r not in _POWERS}
    if found["flux"].ndim > 1:
        raise ValueError(
            f"{path} has {len(table)} rows of arrays, each of which is a spectrum: write each row "
            "to a file of its own, or make a Spectrum of it"
        )
    flux, axis = floats(found["flux"]), _axis(found, roles, path, wavelength_unit)
    sigma = _deviation(found, flux.unit)
    light = _middle(np.abs(flux))
    if sigma is not None and light > 0 and _middle(sigma) > light:
        name = next(roles[role] for role in _POWERS if role in roles)
        raise ValueError(
            f"{path}: column {name!r} makes errors larger than the flux, which no uncertainty "
            "does; columns=2 (--columns 2) reads wavelength and flux only"
        )
    if sigma is not None and in_order and np.mean(found["uncertainty"] < 0) > _NEGATIVE:
        raise ValueError(
            f"{path}: column {roles['uncertainty']!r} has negative values, which no uncertainty "
            "has; columns=2 (--columns 2) reads wavelength and flux only"
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
        known["resolution"] = floats(resolution).value
    known |= {name: floats(found[name]).value for name in OF_NOISE if name in found}
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
    values, unit = floats(column), getattr(column, "unit", None)
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
        values = floats(columns[role]) if role in columns else None
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


def floats(column):
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
