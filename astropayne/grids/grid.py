# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`SpectralGrid`: synthetic spectra on one wavelength axis, with their labels."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import Table

from astropayne.grids import combine, relabel, reshape, select
from astropayne.grids.data import GridWarning, make_grid_data
from astropayne.grids.files import open_grid_file, write_grid_file
from astropayne.grids.info import GridInfo
from astropayne.grids.read import GridRead, stored_grid
from astropayne.grids.view import GridView
from astropayne.labels.columns import named_columns, require_clear
from astropayne.utils.suggestions import suggests_options

if TYPE_CHECKING:
    from specutils import SpectralRegion

__all__ = ["GridWarning", "SpectralGrid"]


@suggests_options
class SpectralGrid(GridView):
    """Synthetic spectra on one wavelength axis, with their labels.

    A grid does not change: methods return new grids, attributes cannot be set, and arrays are
    read-only. Labels therefore always belong to their spectra.

    Parameters
    ----------
    wavelength : `~astropy.units.Quantity`, shape (n_pixels,)
        Increasing; may have gaps. Numbers without a unit are in Å.
    flux : array_like, shape (n_spectra, n_pixels)
        Usually normalized to the continuum. Masked values become NaN; percent are converted to
        fractions.
    labels : `~astropy.table.Table`
        A row for each spectrum and a column for each label; label names in any spelling.
    names : sequence of str, optional
        Names of the spectra; by default their numbers.
    meta : mapping, optional
        ``medium`` ("air" or "vacuum"; "air" by default), ``resolution`` (λ/FWHM, `None` if
        unknown), ``solar_scale`` (a name, `None` if unknown), ``flux_unit`` of flux that is
        given as plain numbers, ``constant_labels`` that all spectra have, and anything else.
    report : `~astropy.table.QTable`, optional
        Spectra that were set aside: ``name`` and ``reason``.

    Raises
    ------
    ValueError
        If sizes differ, wavelengths do not increase or are not those of a star, or the medium or
        the resolution is not valid.

    Examples
    --------
    >>> from astropayne import SpectralGrid
    >>> grid = SpectralGrid.sample()
    >>> grid
    <SpectralGrid: 300 spectra x 3903 pixels in 3 windows, 12 labels, R = 20000, air>
    >>> grid = grid.transform_labels("A(Li)")
    >>> [len(part) for part in grid.split(train_fraction=0.8, seed=42)]
    [240, 60]
    >>> metal_poor = grid[grid.labels["feh"] < -1]
    >>> grid[3].meta["teff"]
    <Quantity 4676.27 K>
    >>> by_temperature = grid[grid.labels["teff"].argsort()]
    """

    read = UnifiedReadWriteMethod(GridRead)

    def __init__(
        self,
        wavelength: u.Quantity | npt.ArrayLike,
        flux: npt.ArrayLike,
        labels: Table | Mapping[str, npt.ArrayLike],
        names: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        report: Table | None = None,
    ) -> None:
        info = GridInfo.from_meta(meta)
        for name in named_columns(labels) or ():
            require_clear(name)
        data = make_grid_data(wavelength, flux, labels, names, info, report)
        relabel.require_independent(data.labels, "the grid")
        object.__setattr__(self, "_data", data)

    def replace(
        self,
        *,
        wavelength: u.Quantity | npt.ArrayLike | None = None,
        flux: npt.ArrayLike | None = None,
        labels: Table | Mapping[str, npt.ArrayLike] | None = None,
        names: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "SpectralGrid":
        """Return a grid with some parts replaced.

        Parameters
        ----------
        wavelength, flux, labels, names : optional
            As for `SpectralGrid`; by default those of this grid. Labels must be in the order of
            the spectra.
        meta : mapping, optional
            Entries of the metadata to add or to change; the others remain.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            As for `SpectralGrid`, or if the labels are those of this grid in another order.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid.sample()
        >>> grid.replace(meta={"resolution": 19000}).info.resolution
        19000
        >>> labels = grid.labels.copy()
        >>> labels["teff"] *= 1.01
        >>> warmer = grid.replace(labels=labels)
        """
        data = self._data
        if labels is not None:
            labels = relabel.in_same_order(data.labels, labels)
        return self.from_data(
            make_grid_data(
                data.wavelength if wavelength is None else wavelength,
                data.flux if flux is None else flux,
                data.labels if labels is None else labels,
                data.names if names is None else names,
                data.info.changed(meta or {}),
                data.report,
            )
        )

    # --- choosing and shaping

    def split(
        self,
        train_fraction: float = 0.8,
        seed: int = 42,
        *,
        where: npt.ArrayLike | None = None,
    ) -> "tuple[SpectralGrid, SpectralGrid]":
        """Split the grid at random, or by labels.

        Parameters
        ----------
        train_fraction : float
            Fraction of the spectra in the first grid, between 0 and 1.
        seed : int
            The same seed gives the same split.
        where : array_like of bool, shape (n_spectra,), optional
            Whether each spectrum belongs to the first grid, instead of a random split:
            ``where=grid.labels["feh"] > -1``.

        Returns
        -------
        tuple of SpectralGrid
            Two grids, with spectra in the order of this one.

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
        if where is None:
            first, second = select.rows_of_split(len(self), train_fraction, seed)
        else:
            first, second = select.rows_where(len(self), where)
        return self[first], self[second]

    def subsample(self, n: int, seed: int = 42) -> "SpectralGrid":
        """Choose spectra at random.

        Parameters
        ----------
        n : int
            How many; they stay in their order.
        seed : int
            The same seed gives the same spectra.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If the grid has fewer spectra.
        """
        return self[select.rows_of_subsample(len(self), n, seed)]

    def cut(
        self,
        regions: "SpectralRegion",
        *,
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> "SpectralGrid":
        """Keep some wavelengths; what lies between regions becomes a gap.

        Parameters
        ----------
        regions : `~specutils.SpectralRegion`
            One or several, in any spectral unit and in the medium of the grid.
        output : path-like, optional
            Write the result to a grid file, one block of spectra at a time, and return that grid.
        overwrite : bool
            Whether ``output`` may replace an existing file.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        TypeError
            If ``regions`` is not a `~specutils.SpectralRegion`.
        ValueError
            If no pixel lies inside.
        """
        how = reshape.cut(self._data.wavelength, self.info, regions)
        return self.from_data(reshape.reshaped(self._data, how, output, overwrite))

    def rebin(
        self,
        wavelength: u.Quantity | npt.ArrayLike | None = None,
        *,
        velocity: u.Quantity | float | None = None,
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> "SpectralGrid":
        """Put the spectra onto other pixels, conserving flux.

        Pixels broaden lines: a pixel of width w (km/s) adds w²/12 to their variance.
        ``meta["resolution"]`` becomes the resolution afterwards, averaged over all pixels. A
        `~astropayne.grids.GridWarning` is issued if lines are then sampled by fewer than 2.5
        pixels per FWHM.

        Parameters
        ----------
        wavelength : `~astropy.units.Quantity`, optional
            Centers of the new pixels, increasing, in the medium of the grid or in another
            spectral unit; numbers without a unit are in Å. By default an axis uniform in ln λ
            with the gaps of this one; pixels at the edges of windows that are not fully covered
            are dropped.
        velocity : `~astropy.units.Quantity` or float, optional
            Step of that axis in km/s; by default that of the narrowest pixel of this grid.
        output : path-like, optional
            Write the result to a grid file, one block of spectra at a time, and return that grid.
        overwrite : bool
            Whether ``output`` may replace an existing file.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If a new pixel is not covered by this grid.
        """
        how = reshape.rebin(self._data.wavelength, self.info, wavelength, velocity)
        return self.from_data(reshape.reshaped(self._data, how, output, overwrite))

    def degrade(
        self,
        resolution: float | u.Quantity,
        *,
        output: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> "SpectralGrid":
        """Lower the resolution.

        Parameters
        ----------
        resolution : float
            λ/FWHM, below that of the grid. Pixels whose kernel leaves their window are dropped.
        output : path-like, optional
            Write the result to a grid file, one block of spectra at a time, and return that grid.
        overwrite : bool
            Whether ``output`` may replace an existing file.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If the resolution is higher than that of the grid, or so low that no pixel is left.
        """
        how = reshape.degrade(self._data.wavelength, self.info, resolution)
        return self.from_data(reshape.reshaped(self._data, how, output, overwrite))

    def convert_medium(self, medium: str) -> "SpectralGrid":
        """Express the wavelengths in air or in vacuum; the flux does not change.

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
        return self.from_data(reshape.convert_medium(self._data, medium))

    def astype(self, dtype: npt.DTypeLike) -> "SpectralGrid":
        """Return the grid with flux of another precision, in memory.

        Parameters
        ----------
        dtype : dtype
            Such as ``"float16"``.

        Returns
        -------
        SpectralGrid
        """
        return self.from_data(replace(self._data, flux=np.asarray(self._data.flux).astype(dtype)))

    # --- labels, and grids side by side

    def transform_labels(self, *targets: str | Sequence[str], solar: Any = None) -> "SpectralGrid":
        """Replace labels by others, such as [Li/Fe] by A(Li).

        Parameters
        ----------
        *targets : str or sequence of str
            The labels to have, in any spelling. Registered transforms, or several in a row, must
            lead to each from a label that holds the same information; the target replaces that
            label. ``alpha_Fe`` replaces all [X/Fe] of α elements if they are equal.
        solar : str, `~astropayne.labels.solar.SolarScale` or mapping, optional
            Solar abundances that the grid was computed with, if its metadata do not give them.

        Returns
        -------
        SpectralGrid

        Raises
        ------
        ValueError
            If no transforms lead to a target, or they need the solar scale and it is unknown.

        Examples
        --------
        >>> from astropayne import SpectralGrid
        >>> grid = SpectralGrid.sample().transform_labels("A(Li)", "[Mg/H]")
        >>> grid.labels.colnames[4], grid.labels.colnames[-1]
        ('Mg_H', 'A_Li')
        """
        return self.from_data(relabel.relabeled(self._data, relabel.label_targets(targets), solar))

    def with_constants(self, names: Collection[str]) -> "SpectralGrid":
        """Turn labels that have one value in all spectra into columns.

        Parameters
        ----------
        names : collection of str
            Names in ``meta["constant_labels"]``; others are ignored.

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
        return self.from_data(relabel.with_constants(self._data, names))

    @classmethod
    def with_same_labels(cls, grids: "Sequence[SpectralGrid]") -> "list[SpectralGrid]":
        """Give grids the labels that distinguish spectra of one from those of another.

        Parameters
        ----------
        grids : sequence of SpectralGrid

        Returns
        -------
        list of SpectralGrid
            With columns for labels of ``meta["constant_labels"]`` that vary, or have another
            value, in another grid.

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
        return [cls.from_data(d) for d in relabel.with_same_labels([g._data for g in grids])]

    @classmethod
    def concatenate(cls, grids: "Sequence[SpectralGrid]") -> "SpectralGrid":
        """Put grids of the same wavelengths and labels together.

        Parameters
        ----------
        grids : sequence of SpectralGrid
            The first one determines the metadata.

        Returns
        -------
        SpectralGrid
            In memory, unless there is only one grid.

        Raises
        ------
        ValueError
            If there is no grid, or wavelengths, labels, medium, resolution, solar scale or unit
            of flux differ.

        Notes
        -----
        A constant label, ``meta["constant_labels"]``, that varies or has another value in another
        grid becomes a label of all of them.
        """
        return cls.from_data(combine.concatenated([grid._data for grid in grids]))

    # --- files

    def write(
        self,
        path: str | os.PathLike,
        *,
        overwrite: bool = False,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        """Write one ASDF file that holds everything.

        Parameters
        ----------
        path : path-like
            Usually ``*.asdf``.
        overwrite : bool
            Whether an existing file may be replaced.
        dtype : dtype, optional
            Precision of the flux in the file, such as ``"float16"``; by default that of the grid.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is not set.
        ValueError
            If the metadata cannot be stored, or the precision does not hold the flux.
        """
        write_grid_file(self._data, path, overwrite=overwrite, dtype=dtype)

    @classmethod
    def sample(cls) -> "SpectralGrid":
        """Return the grid that ships with the package: 300 spectra of FGK stars.

        Turbospectrum in LTE at R = 20000: 5160–5240, 6090–6170 and 6690–6725 Å;
        ``meta["description"]`` describes how it was made.

        Returns
        -------
        SpectralGrid
        """
        with as_file(files("astropayne") / "data" / "sample_grid.asdf") as path:
            data = stored_grid(open_grid_file(path))
            return cls.from_data(replace(data, flux=np.asarray(data.flux, dtype=np.float32)))
