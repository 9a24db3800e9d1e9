# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading and checking of single spectra and blocks of them."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Limits", "Loader", "reason"]

_HIGHEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Limits:
    """What a sound spectrum may be like.

    Attributes
    ----------
    minimum_flux : float or None
        Lower flux is a fault; zero by default, `None` for no limit.
    maximum_flux : float or None
        Higher flux is a fault, such as emission; `None` for no limit.
    wavelength_tolerance : float
        How far wavelengths may differ from the others', relative.
    """

    minimum_flux: float | None = 0.0
    maximum_flux: float | None = None
    wavelength_tolerance: float = 1e-7

    def axis_fault(self, axis, n_pixels, wavelength):
        """Return what is wrong with an axis for flux of so many pixels, or an empty string."""
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

    def flux_faults(self, flux):
        """Return what is wrong with each row of flux, a list with an empty string for "nothing"."""
        lowest, highest = flux.min(axis=1), flux.max(axis=1)  # NaN is both
        return [self._flux_fault(low, high) for low, high in zip(lowest, highest, strict=True)]

    def _flux_fault(self, low, high):
        if np.isnan(low):
            return "has flux that is NaN"
        if np.isinf(low) or np.isinf(high):
            return "has flux that is infinite"
        if low == high == 0:  # what fills a place that was not computed
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
    """A reader's ``load``, whatever it returns made plain arrays and checked.

    Attributes
    ----------
    load, load_block : callable
        As in `~astropayne.plugins.GridSource`; the second may be `None`.
    flux_unit : str
        Unit of the flux, for readers that return quantities.
    wavelength : numpy.ndarray
        What all spectra should have, Å.
    limits : Limits
    """

    load: object
    load_block: object = None
    flux_unit: str = ""
    wavelength: np.ndarray | None = None
    limits: Limits = Limits()

    def spectrum(self, i):
        """Load one spectrum: wavelength in Å, and flux, NaN where it is masked."""
        axis, flux = self._arrays(self.load(i))
        if axis.ndim != 1 or flux.ndim != 1:
            raise ValueError(
                f"has wavelengths and flux of shape {axis.shape} and {flux.shape}, not one axis"
            )
        return axis, flux

    def _arrays(self, loaded):
        try:
            axis, flux = loaded
        except (TypeError, ValueError):
            raise ValueError(
                f"was loaded as {type(loaded).__name__}: load has to return wavelength and flux"
            ) from None
        axis = _plain(axis, "wavelengths", "Angstrom")
        return axis, _plain(flux, "flux", self.flux_unit, axis)

    def block(self, indices):
        """Load and check some spectra.

        Returns
        -------
        flux : numpy.ndarray of float32, shape (n, n_pixels)
            NaN where it is not sound.
        reasons : list of str
            One for each, empty if it is sound.
        """
        if self.load_block is not None:
            try:
                axis, flux = self._arrays(self.load_block(indices))
            except Exception:  # what is wrong is found by halves, down to single ones
                if len(indices) > 1:
                    half = len(indices) // 2
                    return _joined(map(self.block, (indices[:half], indices[half:])))
            else:
                if axis.ndim == 1 and flux.ndim == 2 and len(flux) == len(indices):
                    return self._checked(axis, flux)
        return _joined(map(self._single, indices))

    def _single(self, i):
        try:
            axis, flux = self.spectrum(i)
            return self._checked(axis, flux[None])
        except Exception as error:  # a reader may raise what it likes: it costs one spectrum
            return np.full((1, len(self.wavelength)), np.nan, dtype=np.float32), [reason(error)]

    def _checked(self, axis, flux):
        """Take what is sound of some spectra on one axis."""
        fault = self.limits.axis_fault(axis, flux.shape[1], self.wavelength)
        reasons = [fault] * len(flux) if fault else self.limits.flux_faults(flux)
        sound = [not reason for reason in reasons]
        checked = np.full((len(flux), len(self.wavelength)), np.nan, dtype=np.float32)
        if any(sound):
            checked[sound] = flux[sound]
        return checked, reasons


def _joined(parts):
    flux, reasons = zip(*parts, strict=True)
    return np.concatenate(flux), [reason for part in reasons for reason in part]


def _plain(values, what, unit, wavelength=None):
    """Return an array of native floats in a unit, NaN where it is masked."""
    mask = getattr(values, "mask", False)
    given = getattr(values, "unit", None)
    # numpy's masked arrays and astropy's masked quantities show what is under the mask
    array = np.asarray(np.ma.getdata(getattr(values, "unmasked", values)))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"has {what} of type {array.dtype}, not numbers")
    array = array.astype(float, copy=False)
    if given is not None:
        array = _converted(array, what, given, unit, wavelength)
    return np.where(mask, np.nan, array) if np.any(mask) else array


def _converted(array, what, given, unit, wavelength):
    import astropy.units as u

    ways = u.spectral() if wavelength is None else u.spectral_density(wavelength * u.AA)
    try:
        return u.Quantity(array, given).to_value(unit, ways)
    except u.UnitConversionError:
        wanted = str(unit) or "no unit (which flux_unit in the source's meta would say)"
        raise ValueError(f"has {what} in {given}, which does not convert to {wanted}") from None


def reason(error):
    """Say what went wrong in a reader: its own words, or what kind of error it was."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"the reader failed: {type(error).__name__}: {error}"
