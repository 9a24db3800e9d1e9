# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Broadening and degrading of spectra."""

import warnings

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.forward.broadener import Broadener
from astropayne.spectra.noise import guessed_noise, shared_noise
from astropayne.spectra.observation import observe
from astropayne.utils.quantities import one_value
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.smoothing import degrade
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

__all__ = ["broaden_spectrum", "degrade_spectrum"]


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
