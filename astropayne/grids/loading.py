# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading and checking of single spectra and blocks of them.

Helper processes import this module, so it needs nothing but numpy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Limits", "Loader", "reason"]

_HIGHEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Limits:
    """Limits of flux and wavelengths that valid spectra keep.

    Attributes
    ----------
    minimum_flux : float or None
        Lower flux is a fault; `None` for no limit.
    maximum_flux : float or None
        Higher flux, such as emission, is a fault; `None` for no limit.
    wavelength_tolerance : float
        Largest relative difference between wavelengths of the spectra.
    """

    minimum_flux: float | None = 0.0
    maximum_flux: float | None = None
    wavelength_tolerance: float = 1e-7

    def axis_fault(self, axis: np.ndarray, n_pixels: int, wavelength: np.ndarray) -> str:
        """Return the fault of the wavelengths of a spectrum, or an empty string.

        Parameters
        ----------
        axis : numpy.ndarray
            Wavelengths of the spectrum, Å.
        n_pixels : int
            Number of pixels of its flux.
        wavelength : numpy.ndarray
            Wavelengths of the grid, Å.
        """
        if not len(axis) == n_pixels == len(wavelength):
            return f"has {n_pixels} pixels, the others {len(wavelength)}"
        if np.array_equal(axis, wavelength):
            return ""
        if not np.isfinite(axis).all():
            return "has wavelengths that are not finite"
        if (np.diff(axis) <= 0).any():
            return "has wavelengths that do not increase"
        if not np.allclose(axis, wavelength, rtol=self.wavelength_tolerance, atol=0):
            return "has other wavelengths than most"
        return ""

    def flux_faults(self, flux: np.ndarray) -> list[str]:
        """Return the fault of each row of flux, or an empty string."""
        lowest, highest = flux.min(axis=1), flux.max(axis=1)  # NaN is both
        return [self._flux_fault(low, high) for low, high in zip(lowest, highest, strict=True)]

    def _flux_fault(self, low: float, high: float) -> str:
        if np.isnan(low):
            return "has flux that is NaN"
        if np.isinf(low) or np.isinf(high):
            return "has flux that is infinite"
        if low == high == 0:  # a placeholder for a spectrum that was not computed
            return "has flux that is zero everywhere"
        if self.minimum_flux is not None and low < self.minimum_flux:
            below = "negative flux" if self.minimum_flux == 0 else f"flux below {self.minimum_flux}"
            return f"has {below}"
        if self.maximum_flux is not None and high > self.maximum_flux:
            return f"has flux above {self.maximum_flux}"
        if max(-low, high) > _HIGHEST:
            return f"has flux above {_HIGHEST:.1e}, more than single precision holds"
        return ""


@dataclass
class Loader:
    """Loads spectra with the functions of a reader, as plain arrays that are checked.

    Attributes
    ----------
    load, load_block : callable
        As in `~astropayne.plugins.GridSource`; the second may be `None`.
    flux_unit : str
        Unit of the flux, for readers that return quantities.
    wavelength : numpy.ndarray
        Wavelengths that all spectra must have, Å.
    limits : Limits
        Limits that valid spectra keep.
    """

    load: Callable[[int], Any]
    load_block: Callable[[Sequence[int]], Any] | None = None
    flux_unit: str = ""
    wavelength: np.ndarray | None = None
    limits: Limits = Limits()

    def spectrum(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Load one spectrum.

        Parameters
        ----------
        i : int
            Its number in the source.

        Returns
        -------
        wavelength, flux : numpy.ndarray
            In Å and in ``flux_unit``; NaN where masked.

        Raises
        ------
        ValueError
            If the reader returns something else.
        """
        axis, flux = self._arrays(self.load(i))
        if axis.ndim != 1 or flux.ndim != 1:
            raise ValueError(
                f"has wavelengths and flux of shape {axis.shape} and {flux.shape}, not one axis"
            )
        return axis, flux

    def _arrays(self, loaded: Any) -> tuple[np.ndarray, np.ndarray]:
        try:
            axis, flux = loaded
        except (TypeError, ValueError):
            raise ValueError(
                f"was loaded as {type(loaded).__name__}: load must return wavelength and flux"
            ) from None
        axis = _plain(axis, "wavelengths", "Angstrom")
        return axis, _plain(flux, "flux", self.flux_unit, axis)

    def block(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        """Load and check several spectra.

        Parameters
        ----------
        indices : sequence of int
            Their numbers in the source.

        Returns
        -------
        flux : numpy.ndarray of float32, shape (n, n_pixels)
            NaN for spectra that are not valid.
        reasons : list of str
            Fault of each spectrum; empty for a valid one.
        """
        if self.load_block is not None:
            try:
                axis, flux = self._arrays(self.load_block(indices))
            except Exception:  # load by halves, down to the faulty spectrum
                if len(indices) > 1:
                    half = len(indices) // 2
                    return _joined(map(self.block, (indices[:half], indices[half:])))
            else:
                if axis.ndim == 1 and flux.ndim == 2 and len(flux) == len(indices):
                    return self._checked(axis, flux)
        return _joined(map(self._single, indices))

    def _single(self, i: int) -> tuple[np.ndarray, list[str]]:
        try:
            axis, flux = self.spectrum(i)
            return self._checked(axis, flux[None])
        except Exception as error:  # any error of a reader costs only this spectrum
            return np.full((1, len(self.wavelength)), np.nan, dtype=np.float32), [reason(error)]

    def _checked(self, axis: np.ndarray, flux: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Check spectra on one axis; the flux of faulty ones becomes NaN."""
        fault = self.limits.axis_fault(axis, flux.shape[1], self.wavelength)
        reasons = [fault] * len(flux) if fault else self.limits.flux_faults(flux)
        sound = [not reason for reason in reasons]
        checked = np.full((len(flux), len(self.wavelength)), np.nan, dtype=np.float32)
        if any(sound):
            checked[sound] = flux[sound]
        return checked, reasons


def _joined(parts: Iterable[tuple[np.ndarray, list[str]]]) -> tuple[np.ndarray, list[str]]:
    flux, reasons = zip(*parts, strict=True)
    return np.concatenate(flux), [reason for part in reasons for reason in part]


def _plain(values: Any, what: str, unit: str, wavelength: np.ndarray | None = None) -> np.ndarray:
    """Return an array of native floats in a unit, NaN where masked."""
    mask = getattr(values, "mask", False)
    given = getattr(values, "unit", None)
    # masked arrays of numpy and masked quantities of astropy keep values under the mask
    array = np.asarray(np.ma.getdata(getattr(values, "unmasked", values)))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"has {what} of type {array.dtype}, not numbers")
    array = array.astype(float, copy=False)
    if given is not None:
        array = _converted(array, what, given, unit, wavelength)
    return np.where(mask, np.nan, array) if np.any(mask) else array


def _converted(
    array: np.ndarray, what: str, given: Any, unit: str, wavelength: np.ndarray | None
) -> np.ndarray:
    import astropy.units as u

    ways = u.spectral() if wavelength is None else u.spectral_density(wavelength * u.AA)
    try:
        return u.Quantity(array, given).to_value(unit, ways)
    except u.UnitConversionError:
        wanted = str(unit) or "no unit (the reader can set flux_unit in meta)"
        raise ValueError(f"has {what} in {given}, which does not convert to {wanted}") from None


def reason(error: Exception) -> str:
    """Return why a reader failed: the message of its error, with the type of an unusual one."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"the reader failed: {type(error).__name__}: {error}"
