# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`SpectralGrid`: synthetic spectra on one wavelength axis, with their labels."""

import warnings
from collections import Counter
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from tqdm.auto import tqdm

from astropayne import __version__
from astropayne.abundances import SOLAR_SCALES, solar_scale
from astropayne.formats.container import write_container
from astropayne.labels import Label, LabelSpace, parse_label
from astropayne.plugins import grid_readers, label_transforms, list_plugins
from astropayne.wavelengths import find_windows

__all__ = ["GridWarning", "SpectralGrid"]


class GridWarning(AstropyUserWarning):
    """Spectra of a grid were set aside."""


class SpectralGrid:
    """Synthetic spectra on one wavelength axis, with their labels.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity`, shape (n_pixels,)
        Increasing; may have gaps.
    flux : array_like, shape (n_spectra, n_pixels)
        Usually continuum-normalised.
    labels : `~astropy.table.Table`
        A row a spectrum, a column a label; label names in any spelling.
    names : sequence of str, optional
        Names of the spectra.
    meta : dict, optional
        ``medium`` ("air" or "vacuum"), ``resolution`` (λ/FWHM, `None` if not known),
        ``solar_scale`` (a name), and whatever else is known of all spectra.
    report : `~astropy.table.QTable`, optional
        Spectra that were set aside: ``name`` and ``reason``.

    Examples
    --------
    >>> from astropayne import SpectralGrid
    >>> grid = SpectralGrid.sample()
    >>> grid
    <SpectralGrid: 300 spectra x 3903 pixels in 3 windows, 12 labels, R = 20000, air>
    >>> grid = grid.transform_labels("A(Li)")
    >>> train, valid = grid.split(train_fraction=0.8, seed=42)
    >>> len(train), len(valid)
    (240, 60)
    >>> metal_poor = grid[grid.labels["feh"] < -1]
    >>> spectrum = grid[3]
    >>> spectrum.meta["teff"]
    <Quantity 4676.27 K>
    """

    def __init__(self, wavelength, flux, labels, names=None, meta=None, report=None):
        self.wavelength = u.Quantity(wavelength, u.AA, dtype=float)
        self.flux = np.asanyarray(flux)
        self.labels = _canonical(labels)
        n = len(self.labels)
        self.names = list(names) if names is not None else [str(i) for i in range(n)]
        self.meta = {"medium": "air", "resolution": None, "solar_scale": None, **(meta or {})}
        self.report = report if report is not None else _report({})
        if self.flux.shape != (n, len(self.wavelength)) or len(self.names) != n:
            raise ValueError(
                f"flux has shape {self.flux.shape}, but there are {n} label rows, "
                f"{len(self.names)} names and {len(self.wavelength)} wavelengths: "
                "flux needs a row a spectrum and a column a pixel"
            )
        if np.any(np.diff(self.wavelength.value) <= 0):
            raise ValueError("wavelengths of a grid have to increase from pixel to pixel")

    # --- what is in it

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        n, pixels = self.flux.shape
        resolution = self.meta["resolution"]
        return (
            f"<SpectralGrid: {n} spectra x {pixels} pixels in {len(self.windows)} windows, "
            f"{len(self.labels.colnames)} labels, "
            f"R = {'unknown' if resolution is None else f'{resolution:g}'}, {self.meta['medium']}>"
        )

    @property
    def label_space(self):
        """Names, units and ranges of the labels (`~astropayne.labels.LabelSpace`)."""
        return LabelSpace.from_table(self.labels)

    @property
    def windows(self):
        """Slices of the wavelength axis between gaps, a list."""
        return find_windows(self.wavelength.value)

    def __getitem__(self, item):
        """Return one spectrum for an integer, else a grid of the spectra selected."""
        if isinstance(item, int | np.integer):
            return self._spectrum(int(item))
        index = np.arange(len(self))[item]
        return self._with(
            flux=self.flux[index],
            labels=self.labels[index],
            names=[self.names[i] for i in index],
        )

    def _spectrum(self, i):
        from specutils import Spectrum

        meta = {name: Label(name).quantity(self.labels[name][i]) for name in self.labels.colnames}
        keys = ("medium", "resolution", "solar_scale")
        meta.update(name=self.names[i], **{key: self.meta[key] for key in keys})
        return Spectrum(
            spectral_axis=self.wavelength,
            flux=np.array(self.flux[i], dtype=float) * u.dimensionless_unscaled,
            meta=meta,
        )

    def _with(self, **changes):
        parts = {
            "wavelength": self.wavelength,
            "flux": self.flux,
            "labels": self.labels,
            "names": self.names,
            "meta": dict(self.meta),
            "report": self.report,
        }
        return SpectralGrid(**{**parts, **changes})

    # --- shaping

    def split(self, train_fraction=0.8, seed=42):
        """Split at random.

        Parameters
        ----------
        train_fraction : float
            Part of the spectra in the first grid, between 0 and 1.
        seed : int
            The same seed gives the same split.

        Returns
        -------
        tuple of SpectralGrid
            Two grids, in the order of this one.

        Raises
        ------
        ValueError
            If one of the parts would be empty.
        """
        n_train = round(train_fraction * len(self))
        if not 0 < n_train < len(self):
            raise ValueError(
                f"train_fraction={train_fraction} of {len(self)} spectra leaves {n_train} and "
                f"{len(self) - n_train}; neither part may be empty"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return self[np.sort(order[:n_train])], self[np.sort(order[n_train:])]

    def transform_labels(self, *targets, solar=None):
        """Replace labels by others, such as [Li/Fe] by A(Li).

        Parameters
        ----------
        *targets : str
            Labels wanted, in any spelling. A registered transform has to reach each from a label
            that is there; it takes that label's place.
        solar : str, `~astropayne.abundances.SolarScale` or mapping, optional
            Solar abundances the grid was computed with, where its metadata does not say so.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If no transform reaches a target, or the solar scale is not known.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid.sample().transform_labels("A(Li)", "[Mg/H]")
        >>> grid.labels.colnames[4], grid.labels.colnames[-1]
        ('Mg_H', 'A_Li')
        """
        scale = self._solar_scale(solar)
        table = self.labels
        for target in targets:
            table = _transform(table, parse_label(target), scale)
        known = scale.name if scale.name in SOLAR_SCALES else dict(scale)
        return self._with(labels=table, meta={**self.meta, "solar_scale": known})

    def _solar_scale(self, given):
        """Return the scale the grid was computed with: what it says itself, or what is given."""
        own = self.meta["solar_scale"]
        if own is None:
            if given is None:
                raise ValueError(
                    "the grid does not say which solar abundances it was computed with: give "
                    f"solar=, one of {', '.join(SOLAR_SCALES)} or a mapping of element to A(X)"
                )
            return solar_scale(given)
        if given is not None and dict(solar_scale(given)) != dict(solar_scale(own)):
            raise ValueError(
                f"the grid was computed with the solar scale {own!r}, which solar= contradicts; "
                "if the grid is wrong about it, set grid.meta['solar_scale']"
            )
        return solar_scale(own)

    # --- files

    @classmethod
    def sample(cls):
        """Return the grid that ships with the package: 300 spectra of FGK stars.

        Turbospectrum in LTE at R = 20000: 5160–5240, 6090–6170 and 6690–6725 Å; its
        ``meta["description"]`` says how it was made.

        Returns
        -------
        SpectralGrid
        """
        with as_file(files("astropayne") / "data" / "sample_grid.asdf") as path:
            grid = cls.read(path, format="astropayne")
        return grid._with(flux=grid.flux.astype(np.float32))

    @classmethod
    def read(cls, path, format=None, *, progress=None, **options):
        """Read a grid.

        Parameters
        ----------
        path : path-like
            A folder or file.
        format : str, optional
            ``"tsfitpy"``, ``"astropayne"``, or what a plugin gives. Found out if not given.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        **options
            Options of the format's reader.

        Returns
        -------
        SpectralGrid
            Of the spectra that are sound; the others are listed with the reason in its
            ``report``, with one `GridWarning`.

        Raises
        ------
        FileNotFoundError
            If there is nothing at the path.
        ValueError
            If the format is not known, or no spectrum is sound.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        reader = _find_reader(path, format)
        source = reader.open(path, **options)
        if isinstance(source, cls):
            return source
        meta = {
            "reader": reader.format,
            "source": path.name,
            "written_by": f"astropayne {__version__}",
            **source.meta,
        }
        return cls._collect(source, meta, progress)

    @classmethod
    def _collect(cls, source, meta, progress):
        """Load every spectrum of a source, and set aside those that are not sound."""
        rejected = dict(source.rejected)
        wavelength = _common_wavelength(source, rejected)
        flux = np.empty((len(source.names), len(wavelength)), dtype=np.float32)
        finite = np.all(
            [np.isfinite(Label(n).to_value(source.labels[n])) for n in source.labels.colnames],
            axis=0,
        )
        kept = []
        bar = tqdm(
            source.names, "reading spectra", disable=None if progress is None else not progress
        )
        for i, name in enumerate(bar):
            reason = "" if finite[i] else "a label is missing or not finite"
            try:
                if not reason:
                    axis, flux[len(kept)] = _same_length(*source.load(i), len(wavelength))
                    reason = _fault(axis, flux[len(kept)], wavelength)
            except (ValueError, OSError) as error:
                reason = str(error)
            if reason:
                rejected[name] = reason
            else:
                kept.append(i)
        if not kept:
            raise ValueError(f"no spectrum of {meta['source']} is sound: {_summary(rejected)}")
        if rejected:
            warnings.warn(
                f"{len(rejected)} spectra of {meta['source']} were set aside "
                f"({_summary(rejected)}); the grid's report lists them",
                GridWarning,
                stacklevel=3,
            )
        return cls(
            wavelength * u.AA,
            flux[: len(kept)],
            source.labels[kept],
            [source.names[i] for i in kept],
            meta,
            _report(rejected),
        )

    def write(self, path, *, overwrite=False, dtype=None):
        """Write one ASDF file that holds everything.

        Parameters
        ----------
        path : path-like
            Usually ``*.asdf``.
        overwrite : bool
            Whether a file that is there may be replaced.
        dtype : dtype, optional
            Precision of the flux in the file, such as ``"float16"``.
        """
        tree = {
            "meta": dict(self.meta),
            "names": list(self.names),
            "label_names": list(self.labels.colnames),
            "labels": self.label_space.to_array(self.labels),
            "report": {name: list(map(str, self.report[name])) for name in ("name", "reason")},
            "wavelength": self.wavelength.value,
            "flux": np.ascontiguousarray(self.flux, dtype=dtype),
        }
        write_container(path, "SpectralGrid", tree, overwrite)


def _canonical(labels):
    table = QTable()
    for given in labels.colnames:
        label = Label(given)
        if label.name in table.colnames:
            raise ValueError(f"label {label.name!r} is there twice (once as {given!r})")
        table[label.name] = label.column(label.to_value(labels[given]))
    return table


def _report(rejected):
    return QTable({"name": list(rejected), "reason": list(rejected.values())}, dtype=["str", "str"])


def _summary(rejected):
    counts = Counter(rejected.values()).most_common(3)
    more = len(set(rejected.values())) - len(counts)
    text = "; ".join(f"{count} x {reason}" for reason, count in counts)
    return text + (f"; and {more} other reasons" if more else "")


def _transform(table, target, scale):
    if target in table.colnames:
        return table
    values = {name: Label(name).to_value(table[name]) for name in table.colnames}
    for transform in label_transforms():
        for source, result, compute in (
            (transform.source, transform.target, transform.forward),
            (transform.target, transform.source, transform.inverse),
        ):
            if result == target and {source, *transform.needs} <= values.keys():
                new = table.copy()
                new[source] = Label(target).column(compute(values, scale))
                new.rename_column(source, target)
                return new
    raise ValueError(
        f"no label transform leads to {target!r} from {', '.join(table.colnames)}; "
        "`astropayne plugins` lists where transforms come from"
    )


def _find_reader(path, format):
    readers = grid_readers()
    if format is not None:
        if format in readers:
            return readers[format]
        broken = [
            f"{plugin.name!r} ({plugin.problem})" for plugin in list_plugins() if plugin.problem
        ]
        raise ValueError(
            f"no grid reader for format {format!r}; there is {', '.join(sorted(readers))}"
            + (f". Plugins that could not be used: {'; '.join(broken)}" if broken else "")
        )
    fitting = [name for name, reader in readers.items() if reader.sniff(path)]
    if len(fitting) == 1:
        return readers[fitting[0]]
    what = (
        "no grid format fits"
        if not fitting
        else f"more than one format fits ({', '.join(fitting)})"
    )
    raise ValueError(f"{path}: {what}; give format=, one of {', '.join(sorted(readers))}")


def _common_wavelength(source, rejected, n_tried=21):
    """Return the axis most of the first readable spectra have: one bad file may not set it."""
    axes = Counter()
    for i in range(len(source.names)):
        try:
            axis = np.asarray(source.load(i)[0], dtype=float)
        except (ValueError, OSError):
            continue  # its reason is written down when it is its turn
        axes[axis.tobytes()] += 1
        if axes.total() == n_tried:
            break
    if not axes:
        raise ValueError(f"no spectrum could be read: {_summary(rejected) or 'there is none'}")
    return np.frombuffer(axes.most_common(1)[0][0])


def _same_length(wavelength, flux, n_pixels):
    if not len(wavelength) == len(flux) == n_pixels:
        raise ValueError(f"has {len(flux)} pixels, the others {n_pixels}")
    return wavelength, flux


def _fault(axis, flux, wavelength):
    """Return what is wrong with a spectrum, or an empty string."""
    if not np.allclose(axis, wavelength, rtol=1e-8, atol=0):
        return "has other wavelengths than most"
    if not np.isfinite(flux).all():
        return "has flux that is not finite"
    if (flux < 0).any():
        return "has negative flux"
    return ""
