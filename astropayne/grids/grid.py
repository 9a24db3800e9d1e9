# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`SpectralGrid`: synthetic spectra on one wavelength axis, with their labels."""

import warnings
from contextlib import closing
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack
from astropy.utils.exceptions import AstropyUserWarning

from astropayne import __version__
from astropayne.grids.checks import canonical_labels, summary
from astropayne.grids.combine import require_alike, tell_apart
from astropayne.grids.files import FluxFile, GridWriter
from astropayne.grids.loading import Limits
from astropayne.grids.opening import open_source
from astropayne.grids.pipeline import chain_sources, common_wavelength, read_blocks
from astropayne.grids.relabel import transformed, without_constant_labels
from astropayne.io.paths import refuse_existing
from astropayne.labels.columns import label_values
from astropayne.labels.names import Label
from astropayne.labels.solar import same_scale, solar_scale
from astropayne.labels.space import LabelSpace
from astropayne.utils.quantities import strip_unit
from astropayne.wavelengths.axis import find_windows, require_axis
from astropayne.wavelengths.media import require_medium, spectral_equivalencies, to_air, to_vacuum
from astropayne.wavelengths.rebinning import log_axis, pixel_edges, rebin_matrix
from astropayne.wavelengths.regions import checked_region, inside_regions
from astropayne.wavelengths.resolution import FWHM
from astropayne.wavelengths.smoothing import degrade_matrix
from astropayne.wavelengths.velocity import C_KMS

__all__ = ["GridWarning", "SpectralGrid"]

_KMS = u.km / u.s


class GridWarning(AstropyUserWarning):
    """Spectra of a grid were set aside."""


class SpectralGrid:
    """Synthetic spectra on one wavelength axis, with their labels.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity`, shape (n_pixels,)
        Increasing; may have gaps.
    flux : array_like, shape (n_spectra, n_pixels)
        Usually continuum-normalised. What is masked becomes NaN, percent parts of one.
    labels : `~astropy.table.Table`
        A row a spectrum, a column a label; label names in any spelling.
    names : sequence of str, optional
        Names of the spectra.
    meta : dict, optional
        ``medium`` ("air" or "vacuum"), ``resolution`` (λ/FWHM, `None` if not known),
        ``solar_scale`` (a name), and whatever else is known of all spectra, such as the
        ``flux_unit``, if ``flux`` is numbers in one.
    report : `~astropy.table.QTable`, optional
        Spectra that were set aside: ``name`` and ``reason``.

    Raises
    ------
    ValueError
        If sizes do not go together, wavelengths do not increase or are those of no star, or there
        is no such medium or resolution.

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
        self.flux = flux if isinstance(flux, FluxFile) else _plain(flux)
        self.labels = canonical_labels(labels)
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
        require_axis(self.wavelength.value, self.meta["medium"], self.meta["resolution"])

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
        """Names, units and ranges of the labels (`~astropayne.labels.space.LabelSpace`)."""
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
            flux=self.flux.take(index) if isinstance(self.flux, FluxFile) else self.flux[index],
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

    def split(self, train_fraction=0.8, seed=42, *, where=None):
        """Split at random, or by labels.

        Parameters
        ----------
        train_fraction : float
            Part of the spectra in the first grid, between 0 and 1.
        seed : int
            The same seed gives the same split.
        where : array_like of bool, shape (n_spectra,), optional
            What is true of the first grid's spectra and of no other, instead of a draw:
            ``where=grid.labels["feh"] > -1``.

        Returns
        -------
        tuple of SpectralGrid
            Two grids, in the order of this one.

        Raises
        ------
        ValueError
            If one of the parts would be empty.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid.sample()
        >>> [len(part) for part in grid.split(train_fraction=0.9, seed=1)]
        [270, 30]
        >>> rich, poor = grid.split(where=grid.labels["feh"] > -1)
        >>> float(poor.labels["feh"].max()) <= -1
        True
        """
        if where is not None:
            chosen = np.asarray(where)
            if chosen.dtype != bool or chosen.shape != (len(self),):
                raise ValueError(
                    f"where= has shape {chosen.shape} and type {chosen.dtype}: it needs true or "
                    f"false for each of the {len(self)} spectra"
                )
            if chosen.all() or not chosen.any():
                raise ValueError(
                    f"where= is {chosen[0]} for all spectra: neither part may be empty"
                )
            return self[chosen], self[~chosen]
        is_number = isinstance(train_fraction, int | float | np.number)
        if not (is_number and np.isfinite(train_fraction)):
            raise ValueError(
                f"train_fraction={train_fraction!r}: it is the part of the spectra in the first "
                "grid, a number between 0 and 1"
            )
        n_train = round(train_fraction * len(self))
        if not 0 < n_train < len(self):
            raise ValueError(
                f"train_fraction={train_fraction} of {len(self)} spectra leaves {n_train} and "
                f"{len(self) - n_train}; neither part may be empty"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return self[np.sort(order[:n_train])], self[np.sort(order[n_train:])]

    def subsample(self, n, seed=42):
        """Take some spectra at random.

        Parameters
        ----------
        n : int
            How many; they stay in their order.
        seed : int

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If there are not so many.
        """
        if not (isinstance(n, int | np.integer) and 0 < n <= len(self)):
            raise ValueError(
                f"n={n!r} of {len(self)} spectra cannot be taken: it is a whole number from 1 to "
                f"{len(self)}"
            )
        return self[np.sort(np.random.default_rng(seed).permutation(len(self))[:n])]

    def cut(self, regions, **output):
        """Keep some wavelengths; what lies between stays a gap.

        Parameters
        ----------
        regions : `~specutils.SpectralRegion`
            One or several, in any spectral unit and in the grid's medium.
        **output
            ``output=`` and ``overwrite=``, as in `read`.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        TypeError
            If it is no region.
        ValueError
            If no pixel lies inside.
        """
        checked_region(regions, "what is cut out")
        inside = inside_regions(self.wavelength, regions, self.meta["medium"])
        if not inside.any():
            given = ", ".join(f"{low:g} to {high:g}" for low, high in regions.subregions)
            raise ValueError(
                f"no pixel lies in {given}; the grid goes from {self.wavelength[0]:.1f} to "
                f"{self.wavelength[-1]:.1f}"
            )
        return self._reshaped(lambda flux: flux[:, inside], self.wavelength[inside], {}, **output)

    def rebin(self, wavelength=None, *, velocity=None, **output):
        """Put the spectra onto other pixels, conserving flux.

        Pixels broaden lines: those of width w (km/s) add up to w²/12 to their variance, and
        ``meta["resolution"]`` becomes what is left, the mean over all pixels. A `GridWarning` says
        if lines are sampled by less than 2.5 pixels per FWHM then.

        Parameters
        ----------
        wavelength : `~astropy.units.Quantity`, optional
            New pixels' centres, increasing, in the grid's medium or another spectral unit; bare
            numbers are in Å. By default an axis uniform in ln λ, with the gaps of this one; the
            edges of windows that it does not cover wholly fall away.
        velocity : `~astropy.units.Quantity` or float, optional
            Step of that axis in km/s; by default that of this grid's narrowest pixel.
        **output
            ``output=`` and ``overwrite=``, as in `read`.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If a given pixel is not covered by this grid.
        """
        own = self.wavelength.value
        if wavelength is None:
            step = None if velocity is None else float(strip_unit(velocity, "velocity", _KMS))
            new = log_axis(own, velocity=step)
        else:
            to_grid = spectral_equivalencies(self.meta["medium"])
            given = u.Quantity(wavelength)  # bare numbers are Å, as where a grid is made
            unit = u.AA if given.unit == u.one else given.unit
            new = (given.value * unit).to_value(u.AA, to_grid)
        matrix, covered = rebin_matrix(own, new)
        if wavelength is not None and not covered.all():
            raise ValueError(
                f"{np.sum(~covered)} of {len(new)} pixels are not covered by the grid, the first "
                f"at {new[~covered][0]:.2f} Angstrom: cut the wavelengths to the grid's windows"
            )
        matrix, new, meta = matrix[np.flatnonzero(covered)], new[covered], {}
        if self.meta["resolution"] is not None:
            meta["resolution"] = _resolution_after(matrix, own, self.meta["resolution"])
            _warn_undersampled(new, meta["resolution"])
        return self._reshaped(lambda flux: (matrix @ flux.T).T, new * u.AA, meta, **output)

    def degrade(self, resolution, **output):
        """Lower the resolution.

        Parameters
        ----------
        resolution : float
            λ/FWHM, below the grid's own. Pixels whose kernel leaves their window fall away.
        **output
            ``output=`` and ``overwrite=``, as in `read`.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If the resolution is above the grid's own, or so low that no pixel is left.
        """
        own, before = self.wavelength.value, self.meta["resolution"]
        resolution = strip_unit(resolution, "resolution", u.one)
        if np.ndim(resolution):
            raise ValueError(
                f"resolution has shape {np.shape(resolution)}: a grid is degraded to one number"
            )
        matrix, good = degrade_matrix(own, before, resolution)
        if not good.any():
            raise ValueError(
                f"at R = {resolution:g} no pixel is left: the kernel is wider than any of the "
                f"{len(self.windows)} windows of the grid"
            )
        return self._reshaped(
            lambda flux: (matrix @ flux.T).T[:, good],
            self.wavelength[good],
            {"resolution": float(resolution)},
            **output,
        )

    def convert_medium(self, medium):
        """Express the wavelengths in air or in vacuum; the flux stays as it is.

        Parameters
        ----------
        medium : {"air", "vacuum"}

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If the medium is neither.
        """
        require_medium(medium)
        vacuum = to_vacuum(self.wavelength.value, self.meta["medium"])
        wavelength = vacuum if medium == "vacuum" else to_air(vacuum)
        return self._with(wavelength=wavelength * u.AA, meta={**self.meta, "medium": medium})

    def astype(self, dtype):
        """Return the grid with flux of another precision, in memory."""
        return self._with(flux=np.asarray(self.flux).astype(dtype))

    def _reshaped(self, change, wavelength, meta, output=None, overwrite=False):
        """Apply a change to the flux of all spectra, a block at a time."""
        changed = {"wavelength": wavelength, "meta": {**self.meta, **meta}}
        dtype = np.result_type(self.flux.dtype, np.float32)
        blocks = (np.asarray(change(part.flux), dtype=dtype) for part in self.blocks())
        if output is None:
            return self._with(flux=np.concatenate(list(blocks)), **changed)
        meta = changed["meta"]
        with GridWriter(output, len(wavelength), dtype, overwrite, meta) as writer:
            for block in blocks:
                writer.append(block)
            no_flux = np.broadcast_to(dtype.type(0), (len(self), len(wavelength)))
            writer.finish(self._with(flux=no_flux, **changed)._tree())
        return SpectralGrid.read(output, format="astropayne")

    def transform_labels(self, *targets, solar=None):
        """Replace labels by others, such as [Li/Fe] by A(Li).

        Parameters
        ----------
        *targets : str or sequence of str
            Labels wanted, in any spelling. Registered transforms, also several in a row, have to
            lead to each from a label that says the same; it takes that label's place.
            ``alpha_Fe`` takes the place of all [X/Fe] of α elements, if they are equal.
        solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
            Solar abundances the grid was computed with, where its metadata does not say so.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If no transforms lead to a target, or they need the solar scale and it is not known.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid.sample().transform_labels("A(Li)", "[Mg/H]")
        >>> grid.labels.colnames[4], grid.labels.colnames[-1]
        ('Mg_H', 'A_Li')
        """
        scale, several = self._solar_scale(solar), (list, tuple)
        targets = [name for t in targets for name in (t if isinstance(t, several) else [t])]
        labels = transformed(self.labels, targets, scale, self.meta.get("constant_labels", {}))
        return self._with(labels=labels, meta={**self.meta, "solar_scale": scale.entry})

    def _solar_scale(self, given):
        """Return the scale the grid was computed with: what it says itself, or what is given."""
        own = self.meta["solar_scale"]
        if None not in (own, given) and not same_scale(given, own):
            raise ValueError(
                f"the grid was computed with the solar scale {own!r}, which solar= contradicts; "
                "if the grid is wrong about it, set grid.meta['solar_scale']"
            )
        return solar_scale(given if own is None else own)

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
            return grid._with(flux=np.asarray(grid.flux, dtype=np.float32))

    @classmethod
    def read(
        cls,
        path,
        format=None,
        *,
        output=None,
        overwrite=False,
        workers=1,
        strict=False,
        minimum_flux=0.0,
        maximum_flux=None,
        wavelength_tolerance=1e-7,
        transform_labels=(),
        progress=None,
        **options,
    ):
        """Read a grid, and set aside what is not sound.

        Parameters
        ----------
        path : path-like or list of path-like
            A folder or file, or several: batches of one grid.
        format : str, optional
            ``"tsfitpy"``, ``"one_payne"``, ``"the_payne"``, ``"specutils"``, ``"astropayne"``,
            or what a plugin gives. Found out if not given.
        output : path-like, optional
            Write a grid file while reading, and return that grid: memory holds one block of
            spectra at a time.
        overwrite : bool
            Whether ``output`` may replace a file.
        workers : int
            How many load and check spectra at the same time, threads or processes as the reader
            says; order and result are the same for any number.
        strict : bool
            Whether the first fault is an error.
        minimum_flux, maximum_flux : float, optional
            Flux beyond is a fault; by default negative flux is, and emission is not. `None` is no
            limit.
        wavelength_tolerance : float
            How far wavelengths may differ from those most spectra have, relative.
        transform_labels : str or sequence of str
            Labels wanted in place of the grid's own, as in `transform_labels`; what cannot be had
            is an error before the spectra are read.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        **options
            Options of the format's reader.

        Returns
        -------
        SpectralGrid
            Of the spectra that are sound. The others are in its ``report`` with the reason, and
            one `GridWarning` counts them. Labels that have the same value in all spectra are
            kept in ``meta["constant_labels"]``.

        Raises
        ------
        FileNotFoundError
            If there is nothing at a path.
        ValueError
            If the format is not known, no spectrum is sound, or no transforms lead to a label.
        TypeError
            If the format has no such option.
        """
        paths = [Path(p) for p in (path if isinstance(path, list | tuple) else [path])]
        if isinstance(transform_labels, str):
            transform_labels = (transform_labels,)
        if output is not None:
            refuse_existing(output, overwrite)
        limits = Limits(minimum_flux, maximum_flux, wavelength_tolerance)
        if not (isinstance(workers, int | np.integer) and workers > 0):
            raise ValueError(f"workers={workers!r}: it takes at least one, a whole number")
        how = {"workers": workers, "limits": limits, "strict": strict, "progress": progress}
        opened = [open_source(p, format, options) for p in paths]
        grid, rejected = cls._read(opened, paths, transform_labels, output, overwrite, how)
        if rejected:
            warnings.warn(
                f"{len(rejected)} spectra of {grid.meta['source']} were set aside "
                f"({summary(rejected)}); the grid's report lists them",
                GridWarning,
                stacklevel=2,
            )
        return grid

    @classmethod
    def _read(cls, opened, paths, targets, output, overwrite, how):
        """Read a grid; return it and what was set aside just now."""
        prefixes = tell_apart(paths)
        if all(isinstance(source, cls) for source in opened):
            grid = cls.concatenate(opened)
            grid = grid.transform_labels(*targets) if targets else grid
            return (grid if output is None else grid._stored(output, overwrite)), {}
        if any(isinstance(source, cls) for source in opened):
            raise ValueError(
                f"{', '.join(map(str, paths))}: files of ours and other formats cannot be read as "
                "one grid; read each, and use SpectralGrid.concatenate"
            )
        source = chain_sources(opened, prefixes)
        source, constant = without_constant_labels(source)
        source.meta = {
            "source": ", ".join(prefixes),
            "written_by": f"astropayne {__version__}",
            **source.meta,
        }
        if constant:
            source.meta["constant_labels"] = constant
        if targets:
            scale = solar_scale(source.meta.get("solar_scale"))
            source.meta["solar_scale"] = scale.entry
            source.labels = transformed(source.labels, targets, scale, constant)
        wavelength, rejected = common_wavelength(source), dict(source.rejected)
        with closing(read_blocks(source, wavelength, rejected=rejected, **how)) as blocks:
            if output is None:
                grid = cls._collect(source, wavelength, blocks, rejected)
            else:
                grid = cls._collect_into(output, overwrite, source, wavelength, blocks, rejected)
        return grid, rejected

    @classmethod
    def _collect(cls, source, wavelength, blocks, rejected):
        """Make a grid in memory."""
        flux = np.empty((len(source.names), len(wavelength)), dtype=np.float32)
        kept = []
        for indices, block in blocks:
            flux[len(kept) : len(kept) + len(indices)] = block
            kept += indices
        return cls._of_source(source, wavelength, flux[: len(kept)], kept, rejected)

    @classmethod
    def _collect_into(cls, path, overwrite, source, wavelength, blocks, rejected):
        """Make a grid file, a block in memory at a time."""
        kept = []
        with GridWriter(path, len(wavelength), overwrite=overwrite, meta=source.meta) as writer:
            for indices, block in blocks:
                writer.append(block)
                kept += indices
            no_flux = np.broadcast_to(np.float32(0), (len(kept), len(wavelength)))
            grid = cls._of_source(source, wavelength, no_flux, kept, rejected)
            writer.finish(grid._tree())
        return cls.read(path, format="astropayne")

    @classmethod
    def _of_source(cls, source, wavelength, flux, kept, rejected):
        if not kept:
            raise ValueError(
                f"no spectrum of {source.meta['source']} is sound: {summary(rejected)}"
            )
        names = [source.names[i] for i in kept]
        # what varied in spectra that are set aside only does not vary any more
        source, constant = without_constant_labels(replace(source, labels=source.labels[kept]))
        meta = dict(source.meta)
        if constant:
            meta["constant_labels"] = {**meta.get("constant_labels", {}), **constant}
        return cls(wavelength * u.AA, flux, source.labels, names, meta, _report(rejected))

    @classmethod
    def concatenate(cls, grids):
        """Put grids of the same wavelengths and labels together.

        Parameters
        ----------
        grids : list of SpectralGrid
            The first says what the metadata are.

        Returns
        -------
        SpectralGrid
            In memory, unless it is one grid only.

        Raises
        ------
        ValueError
            If there is none, or wavelengths, labels, medium, resolution, solar scale or kind of
            flux differ.

        Notes
        -----
        What has one value in all spectra of a grid, ``meta["constant_labels"]``, and another one or
        several in the next, is a label of all of them.
        """
        if not grids:
            raise ValueError("there is no grid to put together: it takes at least one")
        if len(grids) == 1:
            return grids[0]
        grids = cls.with_same_labels(grids)
        first = grids[0]
        for i, grid in enumerate(grids[1:], start=2):
            require_alike(first, grid, ("the first grid", f"grid {i}"))
        return first._with(
            flux=np.concatenate([grid.flux for grid in grids]),
            labels=vstack([grid.labels for grid in grids], metadata_conflicts="silent"),
            names=[name for grid in grids for name in grid.names],
            report=vstack([grid.report for grid in grids], metadata_conflicts="silent"),
        )

    def with_constants(self, names):
        """Return the grid with labels that have one value in all its spectra among the others.

        Parameters
        ----------
        names : collection of str
            Those wanted, as ``meta["constant_labels"]`` calls them; what is not there is left out.

        Returns
        -------
        SpectralGrid

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid([5000, 5001], [[1, 0.9], [1, 0.8]], {"logg": [4.0, 4.5]},
        ...                     meta={"constant_labels": {"feh": -1.0}})
        >>> grid.with_constants(["feh"]).labels["feh"].tolist()
        [-1.0, -1.0]
        """
        meta, labels = dict(self.meta), self.labels.copy()
        constant = dict(meta.pop("constant_labels", {}))
        for name in [name for name in constant if name in names]:
            labels[name] = Label(name).column(np.full(len(self), constant.pop(name)))
        if constant:
            meta["constant_labels"] = constant
        return self._with(labels=labels, meta=meta)

    @classmethod
    def with_same_labels(cls, grids):
        """Return grids with those labels that tell spectra of one from those of another.

        Parameters
        ----------
        grids : list of SpectralGrid

        Returns
        -------
        list of SpectralGrid
            As they were, but for labels of ``meta["constant_labels"]`` that vary in another grid,
            or have another value there.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grids = [
        ...     SpectralGrid([5000, 5001], [[1, 0.9], [1, 0.8]], {"logg": [4.0, 4.5]},
        ...                  meta={"constant_labels": {"feh": feh}})
        ...     for feh in (0.0, -1.0)
        ... ]
        >>> [grid.labels.colnames for grid in SpectralGrid.with_same_labels(grids)]
        [['logg', 'feh'], ['logg', 'feh']]
        """
        varying, values = {name for grid in grids for name in grid.labels.colnames}, {}
        for grid in grids:
            for name, value in grid.meta.get("constant_labels", {}).items():
                values.setdefault(name, set()).add(value)
        varying |= {name for name, several in values.items() if len(several) > 1}
        return [grid.with_constants(varying) for grid in grids]

    def plot_coverage(self, names=None, **options):
        """Draw where the spectra are, as `~astropayne.plotting.emulator.plot_coverage`."""
        from astropayne.plotting.emulator import plot_coverage

        return plot_coverage(self, names, **options)

    def load(self):
        """Return this grid with its flux in memory."""
        return self._with(flux=np.asarray(self.flux))

    def blocks(self, size=512):
        """Go through the grid in parts.

        Parameters
        ----------
        size : int
            Spectra in each.

        Yields
        ------
        SpectralGrid
            With its flux in memory.
        """
        for first in range(0, len(self), size):
            yield self[first : first + size].load()

    def write(self, path, *, overwrite=False, dtype=None):
        """Write one ASDF file that holds everything.

        Parameters
        ----------
        path : path-like
            Usually ``*.asdf``.
        overwrite : bool
            Whether a file that is there may be replaced.
        dtype : dtype, optional
            Precision of the flux in the file, such as ``"float16"``; by default as it is.

        Raises
        ------
        FileExistsError
            If the file is there and ``overwrite`` is not set.
        ValueError
            If the metadata cannot be stored, or the precision does not hold the flux.
        """
        dtype = self.flux.dtype if dtype is None else dtype
        with GridWriter(path, len(self.wavelength), dtype, overwrite, self.meta) as writer:
            for part in self.blocks():
                writer.append(part.flux)
            writer.finish(self._tree())

    def _stored(self, path, overwrite):
        self.write(path, overwrite=overwrite)
        return SpectralGrid.read(path, format="astropayne")

    def _tree(self):
        """Everything but the flux, as plain values and arrays."""
        return {
            "meta": dict(self.meta),
            "names": np.array(self.names, dtype=str),  # a list of 400 000 takes YAML many seconds
            "label_names": list(self.labels.colnames),
            "labels": label_values(self.labels),
            "report": {name: np.array(self.report[name], dtype=str) for name in _REPORT},
            "wavelength": self.wavelength.value,
        }


def _plain(flux):
    """Return flux without a mask, and without a unit that is a number only."""
    flux = np.asanyarray(flux)
    if hasattr(flux, "mask"):  # integers have no NaN
        flux = flux.astype(np.result_type(flux.dtype, np.float16)).filled(np.nan)
    unit = getattr(flux, "unit", None)
    if unit is not None and unit.is_equivalent(u.one):
        flux = u.Quantity(flux, copy=False).to_value(u.one)
    return flux


_REPORT = ("name", "reason")


def _report(rejected):
    columns = (list(rejected), list(rejected.values()))
    return QTable({name: np.array(c, dtype=str) for name, c in zip(_REPORT, columns, strict=True)})


def _resolution_after(matrix, wavelength, resolution):
    """Return the resolution of spectra of which a matrix has made averages."""
    velocity, weight = C_KMS * np.log(wavelength), matrix.tocoo()
    offset = velocity[weight.col] - (matrix @ velocity)[weight.row]
    added = np.sum(weight.data * offset**2) / matrix.shape[0]
    return float(C_KMS / np.sqrt((C_KMS / resolution) ** 2 + FWHM**2 * added))


def _warn_undersampled(wavelength, resolution):
    lower, upper = pixel_edges(wavelength)
    sampling = np.min(wavelength / (resolution * (upper - lower)))
    if sampling < 2.5:
        warnings.warn(
            f"{sampling:.2f} pixels per FWHM at R = {resolution:.0f}: lines are undersampled, and "
            "interpolation between such pixels is wrong; take pixels of "
            f"{C_KMS / resolution / 2.5:.2f} km/s or less",
            GridWarning,
            stacklevel=3,
        )
