# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The spectra of a star from one or several files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
from specutils import Spectrum, SpectrumList

from astropayne.spectra.broaden import degrade_spectrum
from astropayne.spectra.options import ReadOptions
from astropayne.spectra.read import read_spectrum
from astropayne.spectra.stars import iter_stars

__all__ = ["SpectraFromFiles", "file_names", "files_of", "read_star", "row_of"]

_CHOICE = "::"  # between a file and what is chosen in it


class SpectraFromFiles:
    """Spectra that are read when they are iterated over.

    Parameters
    ----------
    stars : sequence of path-like, or of sequences of them
        A file for each star, or several, which are its arms. Of a file of several stars, all are
        read, unless one is chosen.
    options : ReadOptions

    Attributes
    ----------
    reasons : dict of int to str
        Why stars could not be read, by their position. In place of their spectra stands an object
        that has only a name, so that they have a row in tables.
    """

    def __init__(
        self, stars: Sequence[str | Path | Sequence[str | Path]], options: ReadOptions
    ) -> None:
        self.stars, self.options = stars, options
        self.reasons: dict[int, str] = {}

    def __len__(self) -> int:  # for progress bars
        return len(self.stars)

    def __iter__(self) -> Iterator[Spectrum | SpectrumList | SimpleNamespace]:
        number = 0
        for star in self.stars:
            files = [star] if isinstance(star, str | Path) else list(star)
            for name, spectra in _stars_of(files, self.options):
                if isinstance(spectra, Exception):
                    self.reasons[number] = str(spectra) or type(spectra).__name__
                    yield SimpleNamespace(meta={"name": name})
                else:
                    yield spectra
                number += 1


def _stars_of(
    files: Sequence[str | Path], options: ReadOptions
) -> Iterator[tuple[str, Spectrum | SpectrumList | Exception]]:
    """Yield all stars of one file, or the star of several; errors instead of what is not read."""
    name = _name_of(files)
    try:
        path, chosen = _with_choice(files[0], options) if len(files) == 1 else ("", options)
        if len(files) != 1 or chosen != options or options.target is not None or not str(path):
            yield name, read_star(files, options)
            return
        for name, star in iter_stars(Path(path), options):
            if isinstance(star, Exception):
                yield name, star
                continue
            arms = list(star) if isinstance(star, SpectrumList) else [star]
            yield name, _as_star(arms, name, options)
    except GeneratorExit:
        raise
    except Exception as error:  # loaders raise any error; the other stars are fitted
        yield name, error


def files_of(text: str | Path) -> list[str]:
    """Return the files of one star: the parts between commas, unless there is such a file.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> from astropayne.spectra.files import files_of
    >>> files_of("blue.fits,red.fits")
    ['blue.fits', 'red.fits']
    """
    if Path(text).exists():
        return [str(text)]
    return [part for part in str(text).split(",") if part]


def _name_of(files: Iterable[str | Path]) -> str:
    return ",".join(map(str, files))


def _with_choice(file: str | Path, options: ReadOptions) -> tuple[str | Path, ReadOptions]:
    """Return a path and options, of ``path::5`` (a target) or ``path::COADD_B`` (an HDU)."""
    path, mark, choice = str(file).rpartition(_CHOICE)
    if not mark or Path(file).exists():
        return file, options
    if choice.lstrip("-").isdigit():
        return path, replace(options, target=int(choice))
    names = choice.split("+")
    return path, replace(options, hdu=names if len(names) > 1 else choice)


def read_star(
    files: Sequence[str | Path], options: ReadOptions | None = None
) -> Spectrum | SpectrumList:
    """Read the spectra of one star.

    Parameters
    ----------
    files : sequence of path-like
        One, or one for each of several arms. In files of several spectra, ``"path::5"`` chooses
        a target, ``"path::COADD_B"`` an HDU, and ``"path::COADD_B+COADD_R"`` several as arms.
    options : ReadOptions, optional

    Returns
    -------
    `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list if there are several arms. ``meta["name"]`` of each are all files.

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
    >>> from astropayne.spectra.files import read_star
    >>> from astropayne.spectra.options import ReadOptions
    >>> from astropayne.spectra.write import write_spectrum
    >>> sun = PayneModel.sample()(teff=5777, logg=4.44, feh=0, vmic=1)
    >>> file = mkdtemp() + "/sun.ecsv"
    >>> write_spectrum(sun, file)
    >>> star = read_star([file, file], ReadOptions(degrade=(20000, 15000)))
    >>> len(star), star[0].meta["resolution"]
    (2, 15000.0)
    """
    options = options or ReadOptions()
    if not any(map(str, files)):
        raise ValueError("a star without a name of a file: give one, or several with commas")
    spectra: list[Spectrum] = []
    for file in files:
        path, chosen = _with_choice(file, options)
        found = read_spectrum(
            path,
            format=chosen.format,
            wavelength_unit=chosen.wavelength_unit,
            columns=chosen.columns,
            hdu=chosen.hdu,
            target=chosen.target,
            arm=chosen.arm,
            meta=chosen.meta,
        )
        spectra += found if isinstance(found, SpectrumList) else [found]
    return _as_star(spectra, _name_of(files), options)


def _as_star(
    spectra: Sequence[Spectrum], name: str, options: ReadOptions
) -> Spectrum | SpectrumList:
    """Return the arms of a star with its name, at a lower resolution if that is an option."""
    if options.degrade is not None:
        own, wanted = options.degrade
        spectra = [
            degrade_spectrum(spectrum, float(to), resolution=own)
            for spectrum, to in zip(spectra, np.broadcast_to(wanted, len(spectra)), strict=True)
        ]
    for spectrum in spectra:
        spectrum.meta["name"] = name
    return SpectrumList(spectra) if len(spectra) > 1 else spectra[0]


def file_names(paths: Iterable[str | Path]) -> list[str]:
    """Return a short name for each path, no two the same: file names without their endings.

    Parameters
    ----------
    paths : iterable of path-like

    Returns
    -------
    list of str

    Examples
    --------
    >>> from astropayne.spectra.files import file_names
    >>> file_names(["a/star.fits", "b/star.fits", "many.fits::3"])
    ['star', 'star-2', 'many-3']
    """
    names: dict[str, None] = {}
    last: dict[str, int] = {}  # a survey may have "spectrum.fits" in many thousands of folders
    for path in paths:
        whole, _, choice = Path(path).name.partition(_CHOICE)
        stem = whole.removesuffix(Path(whole).suffix) + (f"-{choice}" if choice else "")
        n = last.get(stem, 0) + 1
        while (name := stem if n == 1 else f"{stem}-{n}") in names:
            n += 1
        names[name], last[stem] = None, n
    return list(names)


def row_of(spectra: Spectrum, row: int) -> Spectrum:
    """Return one of many spectra that a model predicted together.

    Parameters
    ----------
    spectra : `~specutils.Spectrum`
        With flux of shape (n_spectra, n_pixels), and a row per spectrum in ``meta["labels"]``.
    row : int

    Returns
    -------
    `~specutils.Spectrum`
    """
    return Spectrum(
        spectral_axis=u.Quantity(spectra.spectral_axis, subok=False),
        flux=spectra.flux[row],
        mask=None if spectra.mask is None else spectra.mask[row],
        meta={**spectra.meta, "labels": spectra.meta["labels"][row : row + 1]},
    )
