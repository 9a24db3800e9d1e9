# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra from files of nearly every form: text, tables, images, and what specutils reads."""

import re
import warnings
from numbers import Real
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.data import get_readable_fileobj

from astropayne.io.text_tables import read_columns
from astropayne.spectra.tables import (
    MEDIUM_IN_NAME,
    column_roles,
    says_no_unit,
    says_noise,
    spectrum_of_table,
    unit_of,
)

__all__ = ["read_spectrum"]

_METRES = 1e-3  # up to where wavelengths without a unit are in metres, as FITS has it
_IN_AIR = "em.wl;obs.atmos"  # ESO's standard of products: without obs.atmos it is vacuum
# What specutils calls images beside that of the flux; it knows ERR and UNCERT, but fails to read
# them, and not the names of X-shooter and MUSE.
_BESIDE = {
    **dict.fromkeys(("ERR", "ERRS", "ERROR", "SIGMA", "UNCERT"), "STD"),
    **dict.fromkeys(("STAT", "VARIANCE"), "VAR"),
    "QUAL": "QUALITY",
}


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
            return spectrum_of_table(table, path, u.Unit(wavelength_unit), columns, more)
    spectrum, reason = _by_specutils(path, format)
    more_in_table = spectrum is None or (format is None and _says_more(path))
    if more_in_table and path.name.lower().removesuffix(".gz").endswith((".fits", ".fit")):
        table = _fits_table(path)
        if table is not None:
            spectrum = spectrum_of_table(table, path, u.Unit(wavelength_unit), columns, more)
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
    elif says_no_unit(header) and axis.unit in (u.m, u.AA) and axis.value.max() > _METRES:
        spectrum = _on_axis(spectrum, axis.value * u.Unit(wavelength_unit))
    spectrum.meta.update(more)
    noise = spectrum.uncertainty
    if columns == 2 or (noise is not None and not says_noise(noise.array)):
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
            table = read_columns(path)
    except Exception:  # ascii's guesses fail in many ways; specutils may do better
        return None
    numbers = len(table) and all(table[name].dtype.kind in "fiub" for name in table.colnames[:2])
    return table if numbers and len(table.colnames) > 1 else None


def _fits_table(path):
    try:
        table = _of_lamost(path) or _read_table(path)
    except Exception:  # no table, and specutils has said what else is wrong
        return None
    table.meta = {key.lower(): value for key, value in table.meta.items()}
    if "resolut" in table.meta:
        table.meta["resolution"] = table.meta["resolut"]
    return table if {"wavelength", "flux"} <= column_roles(table.colnames).keys() else None


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
        not column_roles(names).keys().isdisjoint(ours)
        or not {"MEDIUM", "RESOLUT"}.isdisjoint(header)
        or any(MEDIUM_IN_NAME.search(name.lower()) for name in names)
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
            if isinstance(unit_of(hdu), u.UnrecognizedUnit):  # as "Relative Flux"
                del hdu.header["BUNIT"]
        first = next(hdu for hdu in hdus if hdu.is_image and hdu.size)
        if len(first.shape) != 1 or str(first.header.get("CTYPE1")).startswith("MULTISPE"):
            raise ValueError("it has several axes, or one that cards of IRAF's say")
        given = {} if "BUNIT" in first.header else {"flux_unit": u.one}
        return Spectrum.read(hdus, format="wcs1d-fits", **given)
