# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading spectra through a reader, a block at a time, and saying what is wrong with each.

Helper processes import this module first: it takes nothing but numpy to start.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Limits", "Loader", "reason"]


@dataclass(frozen=True)
class Limits:
    """What a sound spectrum may be like.

    Attributes
    ----------
    minimum_flux : float
        Lower flux is a fault; zero by default.
    maximum_flux : float or None
        Higher flux is a fault, such as emission; `None` for no limit.
    wavelength_tolerance : float
        How far wavelengths may differ from the others', relative.
    """

    minimum_flux: float = 0.0
    maximum_flux: float | None = None
    wavelength_tolerance: float = 1e-7

    def fault(self, axis, flux, wavelength):
        """Return what is wrong with a spectrum, or an empty string."""
        if axis.ndim != 1 or flux.ndim != 1:
            return f"has wavelengths and flux of shape {axis.shape} and {flux.shape}, not one axis"
        if not len(axis) == len(flux) == len(wavelength):
            return f"has {len(flux)} pixels, the others {len(wavelength)}"
        if not np.isfinite(axis).all():
            return "has wavelengths that are not finite"
        if (np.diff(axis) <= 0).any():
            return "has wavelengths that do not increase"
        if not np.allclose(axis, wavelength, rtol=self.wavelength_tolerance, atol=0):
            return "has other wavelengths than most"
        if np.isnan(flux).any():
            return "has flux that is NaN"
        if not np.isfinite(flux).all():
            return "has flux that is infinite"
        if (flux < self.minimum_flux).any():
            below = "negative flux" if self.minimum_flux == 0 else f"flux below {self.minimum_flux}"
            return f"has {below}"
        if self.maximum_flux is not None and (flux > self.maximum_flux).any():
            return f"has flux above {self.maximum_flux}"
        return ""


@dataclass
class Loader:
    """A reader's ``load``, whatever it returns made plain arrays and checked.

    Attributes
    ----------
    load : callable
        ``load(i)`` as in `~astropayne.plugins.GridSource`.
    flux_unit : str
        Unit of the flux, for readers that return quantities.
    wavelength : numpy.ndarray
        What all spectra should have, Å.
    limits : Limits
    """

    load: object
    flux_unit: str = ""
    wavelength: np.ndarray | None = None
    limits: Limits = Limits()

    def spectrum(self, i):
        """Load one spectrum: wavelength in Å, and flux, NaN where it is masked."""
        loaded = self.load(i)
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
        flux = np.full((len(indices), len(self.wavelength)), np.nan, dtype=np.float32)
        reasons = []
        for row, i in zip(flux, indices, strict=True):
            try:
                axis, values = self.spectrum(i)
                fault = self.limits.fault(axis, values, self.wavelength)
                if not fault:
                    row[:] = values
            except Exception as error:  # a reader may raise what it likes: it costs one spectrum
                fault = reason(error)
            reasons.append(fault)
        return flux, reasons


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
