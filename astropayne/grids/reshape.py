# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Other pixels for the spectra of a grid: cut, rebin, degrade, convert between air and vacuum.

Each change is computed as a `Reshaping` first, and then applied to the flux block by block, in
memory or from file to file.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import numpy.typing as npt

from astropayne.grids.data import GridData, GridWarning, no_flux
from astropayne.grids.files import collector
from astropayne.grids.info import GridInfo
from astropayne.utils.quantities import strip_unit
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import require_medium, spectral_equivalencies, to_air, to_vacuum
from astropayne.wavelengths.rebinning import log_axis, pixel_edges, rebin_matrix
from astropayne.wavelengths.regions import checked_region, inside_regions
from astropayne.wavelengths.resolution import FWHM
from astropayne.wavelengths.smoothing import degrade_matrix
from astropayne.wavelengths.velocity import C_KMS

if TYPE_CHECKING:
    from scipy.sparse import spmatrix
    from specutils import SpectralRegion

__all__ = ["Reshaping", "convert_medium", "cut", "degrade", "rebin", "reshaped"]

_KMS = u.km / u.s
_FEWEST = 2.5  # pixels per FWHM that sample a line well


@dataclass(frozen=True)
class Reshaping:
    """A change of the pixels of spectra.

    Attributes
    ----------
    wavelength : numpy.ndarray
        The new pixels, Å.
    change : callable
        Takes flux, shape (n, n_old), and returns flux, shape (n, n_new).
    info : GridInfo
        What holds for the spectra afterwards.
    """

    wavelength: np.ndarray
    change: Callable[[np.ndarray], np.ndarray]
    info: GridInfo


def reshaped(
    data: GridData, how: Reshaping, output: str | os.PathLike | None, overwrite: bool
) -> GridData:
    """Apply a change of pixels to all spectra of a grid, one block at a time.

    Parameters
    ----------
    data : GridData
    how : Reshaping
    output : path-like or None
        Grid file to write; `None` to stay in memory.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    GridData
    """
    shape, dtype = (len(data), len(how.wavelength)), np.result_type(data.flux.dtype, np.float32)
    new = replace(data, wavelength=how.wavelength, info=how.info, flux=no_flux(*shape, dtype))
    with collector(output, overwrite, *shape, dtype, how.info.to_meta()) as rows:
        for block in data.flux_blocks():
            rows.append(np.asarray(how.change(block), dtype=dtype))
        return rows.finish(new)


def cut(wavelength: np.ndarray, info: GridInfo, regions: "SpectralRegion") -> Reshaping:
    """Keep the pixels inside regions; what lies between the regions becomes a gap.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    info : GridInfo
    regions : `~specutils.SpectralRegion`
        In any spectral unit, in the medium of the grid.

    Raises
    ------
    TypeError
        If ``regions`` is not a `~specutils.SpectralRegion`.
    ValueError
        If no pixel lies inside.
    """
    checked_region(regions, "regions")
    inside = inside_regions(wavelength * u.AA, regions, info.medium)
    if not inside.any():
        intervals = ", ".join(f"{low:g} to {high:g}" for low, high in regions.subregions)
        raise ValueError(
            f"no pixel lies in {intervals}; the grid goes from {wavelength[0]:.1f} to "
            f"{wavelength[-1]:.1f} Angstrom"
        )
    return Reshaping(wavelength[inside], lambda flux: flux[:, inside], info)


def rebin(
    wavelength: np.ndarray,
    info: GridInfo,
    new: u.Quantity | npt.ArrayLike | None,
    velocity: u.Quantity | float | None,
) -> Reshaping:
    """Put spectra onto other pixels, conserving flux.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    info : GridInfo
    new : `~astropy.units.Quantity` or array_like, optional
        Centers of the new pixels; by default an axis uniform in ln λ with the same gaps.
    velocity : `~astropy.units.Quantity` or float, optional
        Step of the default axis in km/s.

    Raises
    ------
    ValueError
        If a new pixel is not covered by the old ones.
    """
    if new is None:
        step = None if velocity is None else float(strip_unit(velocity, "velocity", _KMS))
        centers = log_axis(wavelength, velocity=step)
    else:
        centers = _angstrom(new, info.medium)
    matrix, covered = rebin_matrix(wavelength, centers)
    if new is not None and not covered.all():
        raise ValueError(
            f"{np.sum(~covered)} of {len(centers)} pixels are not covered by the grid, the first "
            f"at {centers[~covered][0]:.2f} Angstrom: restrict the wavelengths to the windows of "
            "the grid"
        )
    matrix, centers = matrix[np.flatnonzero(covered)], centers[covered]
    if info.resolution is not None:
        info = replace(info, resolution=_resolution_after(matrix, wavelength, info.resolution))
        _warn_undersampled(centers, info.resolution)
    return Reshaping(centers, lambda flux: (matrix @ flux.T).T, info)


def _angstrom(wavelength: u.Quantity | npt.ArrayLike, medium: str) -> np.ndarray:
    """Return wavelengths in Å from any spectral unit; numbers without a unit are in Å."""
    quantity = u.Quantity(wavelength)
    unit = u.AA if quantity.unit == u.one else quantity.unit
    return (quantity.value * unit).to_value(u.AA, spectral_equivalencies(medium))


def _resolution_after(matrix: "spmatrix", wavelength: np.ndarray, resolution: float) -> float:
    """Return the resolution of spectra that a matrix has averaged over pixels."""
    velocity, weight = C_KMS * np.log(wavelength), matrix.tocoo()
    offset = velocity[weight.col] - (matrix @ velocity)[weight.row]
    added = np.sum(weight.data * offset**2) / matrix.shape[0]
    return float(C_KMS / np.sqrt((C_KMS / resolution) ** 2 + FWHM**2 * added))


def _warn_undersampled(wavelength: np.ndarray, resolution: float) -> None:
    lower, upper = pixel_edges(wavelength)
    sampling = np.min(wavelength / (resolution * (upper - lower)))
    if sampling < _FEWEST:
        warnings.warn(
            f"{sampling:.2f} pixels per FWHM at R = {resolution:.0f}: lines are undersampled, and "
            "interpolation between such pixels is inaccurate; use pixels of "
            f"{C_KMS / resolution / _FEWEST:.2f} km/s or less",
            GridWarning,
            stacklevel=4,
        )


def degrade(wavelength: np.ndarray, info: GridInfo, resolution: float | u.Quantity) -> Reshaping:
    """Lower the resolution; pixels whose kernel leaves their window are dropped.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    info : GridInfo
    resolution : float
        λ/FWHM, below that of the grid.

    Raises
    ------
    ValueError
        If the resolution is not one number, is higher than that of the grid, or so low that no
        pixel is left.
    """
    resolution = strip_unit(resolution, "resolution", u.one)
    if np.ndim(resolution):
        raise ValueError(
            f"resolution has shape {np.shape(resolution)}: a grid is degraded to one number"
        )
    if info.resolution is None:
        warnings.warn(
            "the resolution of the grid is unknown, so its spectra are degraded as if they were "
            f"perfectly sharp, and R = {resolution:g} is too high where they are not: give the "
            "resolution with grid.replace(meta={'resolution': ...}) first",
            GridWarning,
            stacklevel=3,  # the line that called degrade
        )
    matrix, good = degrade_matrix(wavelength, info.resolution, resolution)
    if not good.any():
        raise ValueError(
            f"at R = {resolution:g} no pixel is left: the kernel is wider than any of the "
            f"{len(find_windows(wavelength))} windows of the grid"
        )
    info = replace(info, resolution=float(resolution))
    return Reshaping(wavelength[good], lambda flux: (matrix @ flux.T).T[:, good], info)


def convert_medium(data: GridData, medium: str) -> GridData:
    """Express wavelengths in air or in vacuum; the flux does not change.

    Parameters
    ----------
    data : GridData
    medium : {"air", "vacuum"}

    Raises
    ------
    ValueError
        If the medium is neither.
    """
    require_medium(medium)
    vacuum = to_vacuum(data.wavelength, data.info.medium)
    wavelength = vacuum if medium == "vacuum" else to_air(vacuum)
    return replace(data, wavelength=wavelength, info=replace(data.info, medium=medium))
