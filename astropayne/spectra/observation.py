# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Observed spectra as arrays: the only place where specutils objects are unpacked."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from specutils import SpectralRegion, Spectrum

from astropayne.spectra.uncertainty import standard_deviation
from astropayne.wavelengths.media import vacuum_angstrom
from astropayne.wavelengths.regions import inside_regions

__all__ = ["Observation", "observe"]


_ZEROS = 3  # consecutive pixels of exactly zero flux that are a gap, not a line
_FILL_VALUES = (-9999, -999, -99, -32768, 9999, 99999, 1e20, 1e30, -1e30, 9.969209968386869e36)
_FAR = 20  # widths of the flux's distribution beyond which a repeated value is none of a star
_NEGATIVE = 0.5  # of the median flux, below minus which no pixel of a bright star lies
_PLAUSIBLE_SNR = (0.05, 1e7)  # of the median pixel


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
        Number of pixels, and how many of them meet each condition.
    unit : `~astropy.units.Unit`
        Of the flux.
    spectral_axis : `~astropy.units.Quantity`
        As the spectrum has it; wavelengths if it has velocities.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    sigma: np.ndarray
    good: np.ndarray
    counts: dict[str, int]
    unit: u.UnitBase
    spectral_axis: u.Quantity

    @property
    def has_uncertainty(self) -> bool:
        """Whether the spectrum states its noise."""
        return bool(self.sigma.any())

    def require_pixels(self) -> None:
        """Raise an error if the spectrum has no usable pixel, or its noise is not plausible.

        Raises
        ------
        ValueError
            If no pixel meets all conditions, or the median signal-to-noise ratio is one that no
            spectrum has.
        """
        if not self.good.any():
            total, *conditions = self.counts.items()
            rest = ", ".join(f"{n} {what}" for what, n in conditions)
            raise ValueError(f"the spectrum has no usable pixel: of {total[1]}, {rest}")
        if self.has_uncertainty:
            snr = np.median(np.abs(self.flux[self.good]) / self.sigma[self.good])
            low, high = _PLAUSIBLE_SNR
            if snr > high or 0 < snr < low:
                raise ValueError(
                    f"the median signal-to-noise ratio of a pixel is {snr:.2g}: the uncertainty is "
                    "in another unit or scale than the flux, such as that of a spectrum before it "
                    "was normalized; divide it by the same continuum, or leave it out"
                )


def observe(
    spectrum: Spectrum,
    medium: str = "air",
    regions: SpectralRegion | None = None,
    exclude: SpectralRegion | None = None,
) -> Observation:
    """Unpack a spectrum.

    Three or more consecutive pixels of exactly zero flux are a gap that was filled, and not used,
    nor are pixels with a value that is repeated exactly and far from all others, such as -9999.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`
        One-dimensional; any spectral unit, any class of uncertainty, with or without a mask.
    medium : {"air", "vacuum"}
        Medium of its wavelengths; frequencies, energies and wavenumbers are always those of
        vacuum.
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
        If it has more than one dimension or no pixel, or its axis or uncertainty cannot be
        converted.
    """
    if getattr(spectrum, "spectral_axis", None) is None or getattr(spectrum, "flux", None) is None:
        raise TypeError(
            f"an observed spectrum must be a specutils Spectrum, got {type(spectrum).__name__}: "
            "make one with Spectrum(spectral_axis=wavelength, flux=flux, uncertainty=...), or with "
            "read_spectrum of a file"
        )
    flux = spectrum.flux
    if flux.ndim != 1:
        raise ValueError(
            f"flux has shape {flux.shape}: fit_spectrum takes one spectrum, fit_spectra many"
        )
    if not len(flux):
        raise ValueError("the spectrum is empty: it has no pixel")
    axis = _wavelengths(spectrum)
    sigma, has_sigma = standard_deviation(spectrum)
    values = np.array(flux.value, dtype=float)
    conditions = {
        "have finite flux": np.isfinite(values),
        "a positive, finite uncertainty": has_sigma,
    }
    gaps = _runs_of_zeros(values)
    if gaps.any():
        conditions["are not in runs of exact zeros"] = ~gaps
    filled = _fill_values(values)
    if filled.any():
        conditions["have no fill value, such as -9999"] = ~filled
    if spectrum.mask is not None:
        conditions["are not masked"] = ~np.asarray(spectrum.mask, dtype=bool)
    if regions is not None:
        conditions["lie in the regions"] = inside_regions(axis, regions, medium)
    if exclude is not None:
        conditions["are not excluded"] = ~inside_regions(axis, exclude, medium)
    good = np.logical_and.reduce(list(conditions.values()))
    counts = {"pixels": len(values), **{what: int(c.sum()) for what, c in conditions.items()}}
    return Observation(
        wavelength=vacuum_angstrom(axis, medium),
        flux=np.where(good, values, np.nan),
        sigma=sigma,
        good=good,
        counts=counts,
        unit=flux.unit,
        spectral_axis=axis,
    )


def _wavelengths(spectrum: Spectrum) -> u.Quantity:
    """Return the spectral axis; of velocities, the wavelengths that they stand for."""
    axis = spectrum.spectral_axis
    if axis.unit.is_equivalent(u.km / u.s):
        rest, convention = (
            getattr(axis, name, None) for name in ("doppler_rest", "doppler_convention")
        )
        if rest is None or convention is None:
            raise ValueError(
                f"the spectral axis is in {axis.unit} without rest wavelength and Doppler "
                "convention: give them, as in SpectralAxis(velocity, doppler_rest=6562.8 * u.AA, "
                "doppler_convention='relativistic'), or wavelengths"
            )
        axis = axis.to(u.AA)
    axis = u.Quantity(axis, copy=False, subok=False)
    if not axis.unit.is_equivalent(u.AA, u.spectral()):
        raise ValueError(
            f"the spectral axis is in {axis.unit}: it must be wavelengths, frequencies, energies "
            "or wavenumbers"
        )
    return axis


def _runs_of_zeros(flux: np.ndarray) -> np.ndarray:
    """Return the pixels of a run of exact zeros, which fills a gap."""
    zero = np.concatenate([[False], flux == 0, [False]])
    if np.count_nonzero(zero) < _ZEROS:
        return np.zeros(len(flux), dtype=bool)
    ends = np.flatnonzero(np.diff(zero)).reshape(-1, 2)
    gaps = np.zeros(len(flux), dtype=bool)
    for start, end in ends[np.diff(ends)[:, 0] >= _ZEROS]:
        gaps[start:end] = True
    return gaps


def _fill_values(flux: np.ndarray) -> np.ndarray:
    """Return the pixels whose value stands for a missing one.

    That is one of the usual values, or one of three or more pixels, far from the rest of the flux.
    """
    finite = flux[np.isfinite(flux)]
    values, counts = np.unique(finite, return_counts=True)
    usual = np.isclose(values[:, None], np.array(_FILL_VALUES), rtol=1e-6, atol=0).any(axis=1)
    suspects = values[usual | (counts >= _ZEROS)]
    rest = finite[~np.isin(finite, suspects)]
    if not len(suspects) or not len(rest):
        return np.zeros(len(flux), dtype=bool)
    low, middle, high = np.percentile(rest, [16, 50, 84])
    far = np.abs(suspects - middle) > max(_FAR * (high - low), abs(middle))
    far |= (suspects < -_NEGATIVE * middle) & (middle > high - low)
    return np.isin(flux, suspects[far])
