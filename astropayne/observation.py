# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""From a spectrum with units to arrays: the only place where specutils objects are unpacked."""

import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.forward import VELOCITIES, Broadener
from astropayne.labels import one_value
from astropayne.resampling import degrade
from astropayne.wavelengths import (
    checked_velocity,
    inside_regions,
    resolution_at,
    vacuum_angstrom,
)

__all__ = [
    "Observation",
    "broaden_spectrum",
    "degrade_spectrum",
    "guessed_noise",
    "observe",
    "shared_noise",
]

_NO_NOISE = 1e-6  # of the median of all errors, below which one is taken for zero


@dataclass(frozen=True)
class Observation:
    """An observed spectrum as arrays, in the order of its own pixels.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        Å, vacuum.
    flux : numpy.ndarray, shape (n_pixels,)
        In ``unit``; NaN where it is bad.
    sigma : numpy.ndarray, shape (n_pixels,)
        Standard deviation; zero where the spectrum has no uncertainty.
    good : numpy.ndarray of bool, shape (n_pixels,)
        Pixels that can be used.
    counts : dict of str to int
        How many there are, and how many of them are good for what.
    unit : `~astropy.units.Unit`
        Of the flux.
    spectral_axis : `~astropy.units.Quantity`
        As it was given.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    good: np.ndarray
    counts: dict
    unit: u.UnitBase
    spectral_axis: u.Quantity

    @property
    def has_uncertainty(self):
        """Whether the noise is known."""
        return bool(self.sigma.any())

    def require_pixels(self):
        """Refuse a spectrum without a good pixel, and say why none is."""
        if not self.good.any():
            of, *others = self.counts.items()
            rest = ", ".join(f"{n} {what}" for what, n in others)
            raise ValueError(f"the spectrum has no usable pixel: of {of[1]}, {rest}")


def observe(spectrum, medium="air", regions=None, exclude=None):
    """Unpack a spectrum.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional; any spectral unit, any class of uncertainty, with or without a mask.
    medium : {"air", "vacuum"}
        What its wavelengths are measured in; frequencies, energies and wave numbers always are
        vacuum's.
    regions : `~specutils.SpectralRegion`, optional
        Use only the pixels inside.
    exclude : `~specutils.SpectralRegion`, optional
        Leave out the pixels inside.

    Returns
    -------
    Observation

    Raises
    ------
    TypeError
        If it is not a spectrum.
    ValueError
        If it has more than one dimension, or no pixel.
    """
    axis, flux = getattr(spectrum, "spectral_axis", None), getattr(spectrum, "flux", None)
    if axis is None or flux is None:
        raise TypeError(
            f"an observed spectrum has to be a specutils Spectrum, got {type(spectrum).__name__}: "
            "make one with Spectrum(spectral_axis=wavelength, flux=flux, uncertainty=...), or with "
            "read_spectrum of a file"
        )
    if flux.ndim != 1:
        raise ValueError(
            f"flux has shape {flux.shape}: fit_spectrum takes one spectrum, fit_spectra many"
        )
    if not len(flux):
        raise ValueError("the spectrum is empty: it has no pixel")
    axis = u.Quantity(axis, copy=False, subok=False)
    wavelength = vacuum_angstrom(axis, medium)
    sigma, known = _standard_deviation(spectrum)
    values = np.array(flux.value, dtype=float)
    reasons = {
        "have finite flux": np.isfinite(values),
        "a positive, finite uncertainty": known,
    }
    if spectrum.mask is not None:
        reasons["are not masked"] = ~np.asarray(spectrum.mask, dtype=bool)
    if regions is not None:
        reasons["lie in the regions"] = inside_regions(axis, regions, medium)
    if exclude is not None:
        reasons["are not excluded"] = ~inside_regions(axis, exclude, medium)
    good = np.logical_and.reduce(list(reasons.values()))
    counts = {"pixels": len(values), **{why: int(which.sum()) for why, which in reasons.items()}}
    values = np.where(good, values, np.nan)
    return Observation(wavelength, values, sigma, good, counts, flux.unit, axis)


def _standard_deviation(spectrum):
    """Return σ in the flux's unit, and where it is known; zeros if there is no uncertainty."""
    uncertainty, n = spectrum.uncertainty, len(spectrum.flux)
    if uncertainty is None:
        return np.zeros(n), np.ones(n, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not isinstance(uncertainty, StdDevUncertainty):
            uncertainty = uncertainty.represent_as(StdDevUncertainty)
        sigma = np.array(uncertainty.array, dtype=float)
        if uncertainty.unit not in (None, spectrum.flux.unit):
            sigma = (sigma * uncertainty.unit).to_value(spectrum.flux.unit)
    known = np.isfinite(sigma) & (sigma > 0)
    if known.any():  # one of 1e-12 stands for zero: such a pixel would count alone
        known &= sigma > _NO_NOISE * np.median(sigma[known])
    return np.where(known, sigma, np.inf), known


def guessed_noise(spectrum, observation):
    """Return the noise of a spectrum that has no uncertainty.

    It is guessed from how pixels differ from their neighbours. Smoothing makes these alike, so
    that of a spectrum that `degrade_spectrum` made, it is what that has guessed before.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    observation : Observation
        Of the spectrum.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        In the flux's unit; infinite where a pixel is not good.
    """
    part = spectrum.meta.get("guessed_noise")
    if part is None or not observation.good.any():
        noise = _difference_of_neighbours(observation)
    else:
        noise = _of_pixels(part, observation.flux.shape) * np.nanmedian(np.abs(observation.flux))
    return np.where(observation.good, noise, np.inf)


def _difference_of_neighbours(observation):
    """Return the noise of all good pixels, zero if there is none.

    This is DER_SNR (Stoehr et al. 2008, ASP Conf. Ser. 394, 505), by way of specutils.
    """
    from specutils import Spectrum
    from specutils.analysis import snr_derived

    flux = observation.flux[observation.good]
    if len(flux) <= 4 or np.ptp(flux) == 0:
        return 0.0
    with np.errstate(divide="ignore"):  # of a smooth spectrum without noise
        snr = snr_derived(Spectrum(flux * u.one, np.arange(1.0, 1 + len(flux)) * u.AA)).value
    return abs(np.median(flux) / snr) if snr else 0.0


def shared_noise(spectrum, good):
    """Return over how many pixels noise is shared, as `degrade_spectrum` says it.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
    good : numpy.ndarray of bool, shape (n_pixels,)

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        One where the spectrum does not say, and where a pixel is not good.
    """
    alike = _of_pixels(spectrum.meta.get("correlation", 1.0), good.shape)
    return np.where(good, np.fmax(alike, 1.0), 1.0)


def _of_pixels(stated, shape):
    """Return what metadata state of pixels; the median if they are of more than these.

    A spectrum that is cut out of another one has the other's metadata.
    """
    stated = np.asarray(stated, dtype=float)
    return stated if stated.shape in ((), shape) else np.nanmedian(stated)


def broaden_spectrum(
    spectrum,
    *,
    rv=0.0,
    vsini=0.0,
    vmac=0.0,
    resolution=None,
    limb_darkening=0.6,
    macroturbulence="joint",
):
    """Shift and broaden a synthetic spectrum, such as one of a grid.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        Without noise, normalised or not; its ``meta`` says the ``resolution`` it has (`None` or
        missing: perfect) and the ``medium`` of its wavelengths (air if missing).
    rv, vsini, vmac : float or `~astropy.units.Quantity`
        Radial velocity, rotation and radial–tangential macroturbulence ζ, in km/s.
    resolution : float, optional
        λ/FWHM wanted; its own by default.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        What vmac is: ζ, over the disc together with rotation; ζ of a kernel apart from that of
        rotation; or the full width at half maximum of that kernel, as in TSFitPy and one_payne.

    Returns
    -------
    `~specutils.Spectrum`
        At the same wavelengths; NaN, and masked, where it would depend on flux beyond the edges
        of the spectrum or of a gap in it.

    Raises
    ------
    ValueError
        If the resolution is higher than the spectrum's own, or its flux is not finite.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import SpectralGrid, broaden_spectrum
    >>> star = broaden_spectrum(SpectralGrid.sample()[0], rv=20 * u.km / u.s, vsini=8)
    >>> int(star.mask.sum())  # the edges of three windows
    65
    """
    from specutils import Spectrum

    medium = spectrum.meta.get("medium", "air")
    observation = observe(spectrum, medium)
    if bad := np.count_nonzero(~observation.good):
        raise ValueError(
            f"{bad} of {len(observation.good)} pixels are masked or not finite, and a spectrum to "
            "broaden may have none: slice them off, or let a model broaden, model(..., vsini=8)"
        )
    velocities = [
        one_value(checked_velocity(value, name), name)
        for name, value in zip(VELOCITIES, (rv, vsini, vmac), strict=True)
    ]
    order = np.argsort(observation.wavelength)
    broadener = Broadener(
        observation.wavelength[order],
        spectrum.meta.get("resolution"),
        limb_darkening=limb_darkening,
        macroturbulence=macroturbulence,
    )
    pixels = broadener.pixels(observation.wavelength, velocities[0])
    level = np.percentile(observation.flux, 90)
    flux = observation.flux[order][None] / level  # broadening works on depths below one
    flux = level * broadener.broaden(flux, velocities, pixels, resolution)[0].numpy()
    flux[~broadener.supported(pixels, *velocities[1:], resolution)[0]] = np.nan
    meta = dict(zip(VELOCITIES, velocities * (u.km / u.s), strict=True))
    meta["resolution"] = resolution or spectrum.meta.get("resolution")
    return Spectrum(
        spectral_axis=observation.spectral_axis,
        flux=flux * observation.unit,
        mask=~np.isfinite(flux),
        meta={**spectrum.meta, **meta},
    )


def degrade_spectrum(spectrum, to_resolution, *, resolution=None):
    """Lower the resolution of an observed spectrum, such as to that of a model.

    The errors are propagated. Smoothing makes the noise of neighbouring pixels correlated:
    ``meta["correlation"]`` is the number of pixels over which noise is shared. Fits of this package
    take so many for one, which is right for broad features, makes errors somewhat too large for the
    depths of single lines, and for their positions and widths up to about twice; what takes pixels
    for independent gives errors that are too small, by up to the root of that number. Where a
    spectrum has no uncertainty, its noise is guessed before it is smoothed, and
    ``meta["guessed_noise"]`` is what becomes of it, a part of the median flux. Of a spectrum that
    has been smoothed before, these entries are taken into account.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional, wavelengths in any spectral unit.
    to_resolution : float
        λ/FWHM wanted.
    resolution : float, optional
        λ/FWHM it has; by default that of its ``meta["resolution"]``. Without either, perfect. If
        it contradicts that entry, or the profile would be narrower than a pixel, there is a
        warning.

    Returns
    -------
    `~specutils.Spectrum`
        At the same wavelengths; NaN, and masked, where bad pixels or the ends of a window are
        within reach of the kernel.

    Raises
    ------
    ValueError
        If the resolution would not become lower, or it varies.

    Examples
    --------
    >>> from astropayne import SpectralGrid, degrade_spectrum
    >>> spectrum = degrade_spectrum(SpectralGrid.sample()[0], 15000)
    >>> spectrum.meta["resolution"]
    15000.0
    """
    from specutils import Spectrum

    observation = observe(spectrum, "vacuum")  # the medium does not matter here
    observation.require_pixels()
    stated = resolution_at(spectrum.meta.get("resolution"), observation.spectral_axis)
    resolution = stated if resolution is None else resolution
    if any(np.ndim(r) or callable(r) for r in (resolution, to_resolution)):
        raise ValueError(
            "a resolution that varies cannot be taken from here, or to: give one number, such as "
            "of each order of a spectrum that is cut into these"
        )
    stated = stated if stated is None else np.median(stated)
    order = np.argsort(observation.wavelength)
    _doubt(resolution, stated, observation.wavelength[order])
    known = observation.has_uncertainty
    noise = observation.sigma if known else guessed_noise(spectrum, observation)
    before = shared_noise(spectrum, observation.good)
    flux, sigma, correlation = degrade(
        observation.wavelength[order],
        observation.flux[order],
        resolution,
        to_resolution,
        sigma=(noise * np.sqrt(before))[order],
    )
    back = np.argsort(order)
    flux, sigma, correlation = flux[back], sigma[back], correlation[back]
    # Of two kernels squares of widths add up. Their noise is that of so many independent pixels.
    total = np.sqrt(correlation**2 + before**2 - 1)
    sigma = np.where(before > 1, sigma * np.sqrt(correlation / total), sigma)
    mask = ~np.isfinite(flux)
    meta = {"resolution": float(to_resolution), "correlation": total}
    if not known:
        meta["guessed_noise"] = sigma / (np.nanmedian(np.abs(observation.flux)) or 1.0)
    return Spectrum(
        spectral_axis=observation.spectral_axis,
        flux=flux * observation.unit,
        uncertainty=StdDevUncertainty(sigma * observation.unit) if known else None,
        mask=mask,
        meta={**spectrum.meta, **meta},
    )


def _doubt(resolution, stated, wavelength):
    """Warn of a resolution that a spectrum can hardly have."""
    if resolution is None or not np.isfinite(resolution):
        return
    pixels = np.median(wavelength[1:] / np.diff(wavelength)) / resolution
    if stated is not None and abs(stated / resolution - 1) > 0.01:
        reason = f"the spectrum itself says R = {stated:g}"
    elif pixels < 1:
        reason = f"the profile would then be {pixels:.2f} pixels wide"
    else:
        return
    warnings.warn(
        f"R = {resolution:g} is taken for a spectrum's resolution, but {reason}",
        AstropyUserWarning,
        stacklevel=3,
    )
