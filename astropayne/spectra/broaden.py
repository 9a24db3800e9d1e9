# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Broadening and degrading of spectra."""

import warnings

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from specutils import Spectrum

from astropayne.forward.broadener import Broadener
from astropayne.spectra.info import SpectrumInfo
from astropayne.spectra.noise import guessed_noise, shared_noise
from astropayne.spectra.observation import observe
from astropayne.utils.quantities import one_value
from astropayne.utils.suggestions import suggests_options
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.smoothing import degrade
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

__all__ = ["broaden_spectrum", "degrade_spectrum"]


@suggests_options
def broaden_spectrum(
    spectrum: Spectrum,
    *,
    rv: float | u.Quantity = 0.0,
    vsini: float | u.Quantity = 0.0,
    vmac: float | u.Quantity = 0.0,
    resolution: float | None = None,
    limb_darkening: float = 0.6,
    macroturbulence: str = "joint",
) -> Spectrum:
    """Shift and broaden a synthetic spectrum, such as one of a grid.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        Without noise, normalized or not. Its ``meta`` may state its ``resolution`` (perfect if
        `None` or missing) and the ``medium`` of its wavelengths (air if missing).
    rv, vsini, vmac : float or `~astropy.units.Quantity`
        Radial velocity, rotation and radial–tangential macroturbulence ζ, in km/s.
    resolution : float, optional
        λ/FWHM of the result; that of the spectrum by default.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        Definition of vmac: ζ, integrated over the disc together with rotation; ζ of a kernel
        separate from that of rotation; or the full width at half maximum of that kernel, as in
        TSFitPy and one_payne.

    Returns
    -------
    `~specutils.Spectrum`
        At the same wavelengths; NaN, and masked, where it would depend on flux beyond the edges
        of the spectrum or of a gap in it.

    Raises
    ------
    ValueError
        If the resolution is higher than that of the spectrum, or its flux is not finite.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import SpectralGrid, broaden_spectrum
    >>> star = broaden_spectrum(SpectralGrid.sample()[0], rv=20 * u.km / u.s, vsini=8)
    >>> int(star.mask.sum())  # the edges of three windows
    65
    """
    info = SpectrumInfo.of(spectrum.meta)
    observation = observe(spectrum, info.medium or "air")
    if bad := np.count_nonzero(~observation.good):
        raise ValueError(
            f"{bad} of {len(observation.good)} pixels are masked or not finite, and a spectrum to "
            "broaden must have none: slice them off, or let a model broaden, model(..., vsini=8)"
        )
    velocities = [
        one_value(checked_velocity(value, name), name)
        for name, value in zip(VELOCITIES, (rv, vsini, vmac), strict=True)
    ]
    order = np.argsort(observation.wavelength)
    broadener = Broadener(
        observation.wavelength[order],
        info.resolution,
        limb_darkening=limb_darkening,
        macroturbulence=macroturbulence,
    )
    pixels = broadener.pixels(observation.wavelength, velocities[0])
    level = np.percentile(observation.flux, 90)
    flux = observation.flux[order][None] / level  # broadening works on depths below one
    flux = level * broadener.broaden(flux, velocities, pixels, resolution)[0].numpy()
    flux[~broadener.supported(pixels, *velocities[1:], resolution)[0]] = np.nan
    meta = dict(zip(VELOCITIES, velocities * (u.km / u.s), strict=True))
    meta["resolution"] = resolution or info.resolution
    return Spectrum(
        spectral_axis=observation.spectral_axis,
        flux=flux * observation.unit,
        mask=~np.isfinite(flux),
        meta={**spectrum.meta, **meta},
    )


@suggests_options
def degrade_spectrum(
    spectrum: Spectrum, to_resolution: float, *, resolution: float | None = None
) -> Spectrum:
    """Lower the resolution of an observed spectrum, such as to that of a model.

    Uncertainties are propagated. Smoothing correlates the noise of neighboring pixels:
    ``meta["correlation"]`` is the number of pixels that share their noise. Fits of this package
    count that many pixels as one, which is right for broad features, makes the errors somewhat too
    large for the depths of single lines, and up to about twice too large for their positions and
    widths; code that takes pixels to be independent returns errors that are too small, by up to the
    root of that number. For a spectrum without uncertainty, the noise is estimated before it is
    smoothed, and ``meta["guessed_noise"]`` is the noise after smoothing, as a fraction of the
    median flux. The entries of a spectrum that was degraded before are taken into account.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional, in any spectral unit.
    to_resolution : float
        λ/FWHM of the result.
    resolution : float, optional
        λ/FWHM of the spectrum; its ``meta["resolution"]`` by default, and perfect without either.

    Returns
    -------
    `~specutils.Spectrum`
        At the same wavelengths; NaN, and masked, where bad pixels or the ends of a window are
        within reach of the kernel.

    Raises
    ------
    ValueError
        If the resolution would not become lower, or it varies.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If ``resolution`` contradicts ``meta["resolution"]``, or its profile is narrower than a
        pixel.

    Examples
    --------
    >>> from astropayne import SpectralGrid, degrade_spectrum
    >>> spectrum = degrade_spectrum(SpectralGrid.sample()[0], 15000)
    >>> spectrum.meta["resolution"]
    15000.0
    """
    observation = observe(spectrum, "vacuum")  # the medium does not matter here
    observation.require_pixels()
    stated = resolution_at(SpectrumInfo.of(spectrum.meta).resolution, observation.spectral_axis)
    resolution = stated if resolution is None else resolution
    if any(np.ndim(r) or callable(r) for r in (resolution, to_resolution)):
        raise ValueError(
            "a spectrum whose resolution varies cannot be degraded, nor to one that varies: give "
            "one number, such as that of each order of a spectrum that is cut into orders"
        )
    stated = stated if stated is None else np.median(stated)
    order = np.argsort(observation.wavelength)
    _warn_of_implausible(resolution, stated, observation.wavelength[order])
    has_noise = observation.has_uncertainty
    noise = observation.sigma if has_noise else guessed_noise(spectrum, observation)
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
    # Widths of two kernels add in quadrature. The noise is that of as many independent pixels.
    total = np.sqrt(correlation**2 + before**2 - 1)
    sigma = np.where(before > 1, sigma * np.sqrt(correlation / total), sigma)
    mask = ~np.isfinite(flux)
    meta = {"resolution": float(to_resolution), "correlation": total}
    if not has_noise:
        meta["guessed_noise"] = sigma / (np.nanmedian(np.abs(observation.flux)) or 1.0)
    return Spectrum(
        spectral_axis=observation.spectral_axis,
        flux=flux * observation.unit,
        uncertainty=StdDevUncertainty(sigma * observation.unit) if has_noise else None,
        mask=mask,
        meta={**spectrum.meta, **meta},
    )


def _warn_of_implausible(
    resolution: float | None, stated: float | None, wavelength: np.ndarray
) -> None:
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
        f"R = {resolution:g} is taken for the resolution of a spectrum, but {reason}",
        AstropyUserWarning,
        stacklevel=3,
    )
