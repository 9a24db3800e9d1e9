# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of observed spectra, and tables of what was found: read, fitted, written."""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.fitting import Flag, Interrupted, fit_spectra
from astropayne.formats.container import refuse_existing, replacing
from astropayne.forward import VELOCITIES
from astropayne.labels import Label
from astropayne.observation import degrade_spectrum
from astropayne.spectrum_reader import OF_NOISE, floats, guessed_table, read_spectrum
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
_AT_ONCE = 64  # spectra that are predicted together


class _Unreadable:
    """What stands for a file that could not be read, so that it has its row."""

    def __init__(self, name):
        self.meta = {"name": name}


class _FromFiles:
    """Spectra that are read as they are asked for; ``reasons`` are those of the unreadable."""

    def __init__(self, stars, options):
        self.stars, self.options, self.reasons = stars, options, {}

    def __len__(self):  # a progress bar says of how many
        return len(self.stars)

    def __iter__(self):
        for i, star in enumerate(self.stars):
            files = [star] if isinstance(star, str | Path) else list(star)
            try:
                yield read_star(files, **self.options)
            except Exception as error:  # loaders raise what they like; the others are fitted
                self.reasons[i] = str(error) or type(error).__name__
                yield _Unreadable(_name_of(files))


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
    stars : iterable of path-like, or of sequences of them
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

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If Ctrl-C ends it, when some are measured: the table has these only.

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
    stars = list(stars)
    spectra = _FromFiles(stars, read or {})
    try:
        table = measure(spectra, model, **options)
    except Interrupted as interrupt:
        table = interrupt.table
        if not len(table):
            raise
        warnings.warn(
            f"interrupted: the table has the first {len(table)} of {len(stars)} stars",
            AstropyUserWarning,
            stacklevel=2,
        )
    table["message"] = [
        spectra.reasons.get(i, str(said)) for i, said in enumerate(table["message"])
    ]
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
    >>> from astropayne import read_spectrum
    >>> from astropayne.spectrum_files import write_spectrum
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
    for name in OF_NOISE:
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
    refuse_existing(path, overwrite)
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
    names, last = {}, {}  # a survey may have "spectrum.fits" in each of many thousand folders
    for path in paths:
        stem = Path(path).name.removesuffix(Path(path).suffix)
        n = last.get(stem, 0) + 1
        while (name := stem if n == 1 else f"{stem}-{n}") in names:
            n += 1
        names[name], last[stem] = path, n
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
        u.Quantity(np.ma.filled(row[column], np.nan)).value if column in row.colnames else np.nan
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
    OSError
        If a file is missing, or there already.

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
    if Path(output).is_file():
        raise FileExistsError(f"{output} is a file: spectra of a table go into a folder")
    table = _label_table(Path(labels), model)
    names = [str(name) for name in _taken(table, "name", np.arange(len(table)))]
    velocities = {name: _taken(table, name, value) for name, value in given.items()}
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


def _label_table(path, model):
    """Read a table of labels; of one of fits, what is measured and can be predicted from."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        table = guessed_table(path) if path.suffix.lower() == ".txt" else QTable.read(path)
    except Exception as error:  # readers raise what they like
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{path} is not a table that can be read (*{', *'.join(_TABLES)}): {reason}"
        ) from None
    if {"chi2", "flags"} <= set(table.colnames):
        table = _of_fits(table, path, model)
    if not len(table):
        raise ValueError(f"{path} has no row to predict a spectrum from")
    return table


def _of_fits(table, path, model):
    """Return labels and velocities of a table of fits, which are what has errors."""
    names = [name for name in table.colnames if f"{name}_err" in table.colnames]
    if set(model.labels.names) <= set(names):  # what was reported beside them says the same
        names = [name for name in names if name in {*model.labels.names, *VELOCITIES}]
    known = np.array([np.isfinite(floats(table[name])) for name in names])
    whole = known.all(axis=0)
    if not whole.all():
        lacking = ", ".join(np.array(names)[~known.all(axis=1)])
        warnings.warn(
            f"{path}: {', '.join(map(str, table['name'][~whole]))} left out, as labels or "
            f"velocities were not measured ({lacking}); fits may be told them, as `fixed`",
            AstropyUserWarning,
            stacklevel=4,
        )
    return table[["name", *names]][whole]


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
