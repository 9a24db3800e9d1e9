# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The spectra of a star from one or several files."""

from pathlib import Path

import numpy as np

from astropayne.spectra.broaden import degrade_spectrum
from astropayne.spectra.read import read_spectrum

__all__ = ["SpectraFromFiles", "file_names", "files_of", "read_star"]


class _Unreadable:
    """What stands for a file that could not be read, so that it has its row."""

    def __init__(self, name):
        self.meta = {"name": name}


class SpectraFromFiles:
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
    >>> from astropayne.spectra.files import files_of
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
    >>> from astropayne.spectra.files import read_star
    >>> from astropayne.spectra.write import write_spectrum
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
    >>> from astropayne.spectra.files import file_names
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
