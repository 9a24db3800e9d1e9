# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Preparation of observed spectra for fits.

Bad pixels are excluded, an unknown resolution is estimated, and spectra of higher resolution than
that of the model are smoothed near the windows of the model. Every change has a note.
"""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from scipy.ndimage import median_filter

from astropayne.fitting.resolution import excess_variance, sampled_resolution
from astropayne.spectra.noise import guessed_noise, shared_noise
from astropayne.spectra.observation import Observation, observe
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.resolution import FWHM, resolution_at
from astropayne.wavelengths.smoothing import degrade
from astropayne.wavelengths.velocity import C_KMS, FASTEST_RV, doppler_factor

__all__ = ["Preparation", "Prepared"]

_TARGET = 0.995  # of the model's resolution, that sharper spectra are smoothed to
_FINEST = 12  # pixels in the width of a profile that smoothing starts from, at most about
_PER_FWHM = 4.0  # pixels that are kept in the width of a profile after smoothing
_SHARPER = -8.0  # (km/s)²; lines with a variance smaller by so much are narrower than the model's
_BROADER = 8.0  # (km/s)²; lines with a variance larger by so much may be those of the instrument
_SPIKE, _HEIGHT, _NEIGHBORS = 8.0, 0.15, 9  # in σ and in parts of the flux; pixels of a median
_BORDER = 150.0  # km/s of pixels that smoothing needs beyond those that are kept
_TEMPLATES = 24  # spectra of the model that line widths are compared with


@dataclass(frozen=True)
class Prepared:
    """A spectrum that was prepared for a fit.

    Attributes
    ----------
    spectrum : `~specutils.Spectrum`
        The input spectrum if no change was necessary.
    resolution : float, numpy.ndarray or None
        λ/FWHM, a value or one for each pixel.
    excess : float
        Variance of its line profiles minus that of the model, (km/s)², if its resolution is
        unknown; otherwise NaN.
    notes : tuple of str
        Sentences for the user.
    """

    spectrum: object
    resolution: object
    excess: float
    notes: tuple[str, ...]

    @property
    def estimated(self) -> bool:
        """Whether the resolution was estimated."""
        return bool(np.isfinite(self.excess))

    @property
    def smoothed(self) -> bool:
        """Whether the spectrum was smoothed."""
        return "correlation" in self.spectrum.meta


class Preparation:
    """Prepares spectra for fits with one model.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    medium : {"air", "vacuum"}, optional
        Medium of all spectra; by default that of each one's metadata, or the model's.
    """

    def __init__(self, model, medium=None):
        self._model, self._medium = model, medium
        self._axis = model.vacuum_wavelength
        self._flux = None

    def prepare(self, spectrum, resolution=None):
        """Return a `Prepared` spectrum.

        Parameters
        ----------
        spectrum : `~specutils.Spectrum`
            One-dimensional.
        resolution : float, array_like or callable, optional
            λ/FWHM; by default that of its ``meta["resolution"]``.

        Raises
        ------
        TypeError, ValueError
            If it is not a spectrum with pixels, or the resolution is not positive.
        """
        medium = self._medium or getattr(spectrum, "meta", {}).get("medium") or self._model.medium
        seen = observe(spectrum, medium)
        stated = spectrum.meta.get("resolution") if resolution is None else resolution
        stated = resolution_at(stated, seen.spectral_axis)
        if stated is not None and np.ndim(stated) == 0 and not stated:
            stated = None
        good, notes = _without_blemishes(spectrum, seen)
        order = np.argsort(seen.wavelength, kind="stable")
        order = order[self._reach(seen.wavelength[order]) & good[order]]
        usual = self._usual(stated, order)
        excess = np.nan
        if usual is None and self._model.resolution is not None and len(order) > 100:
            excess = self._excess(seen.wavelength[order], seen.flux[order])
        sharper = self._model.resolution is not None and (
            excess < _SHARPER if usual is None else usual > self._model.resolution
        )
        if not (sharper or notes) or not len(order):
            return Prepared(spectrum, stated, excess, notes)
        wavelength, arrays, merged = _merged(seen, order, spectrum)
        notes += merged
        if not sharper:
            made = self._spectrum(spectrum, seen, medium, wavelength, *arrays, stated)
            return Prepared(made, made.meta["resolution"], excess, notes)
        own = usual or sampled_resolution(wavelength)
        made = self._smoothed(spectrum, seen, medium, wavelength, arrays, own)
        how = "stated" if usual else "taken from the width of its pixels"
        notes += (
            f"its lines are narrower than the model's: smoothed from R = {own:.0f} ({how}) to "
            f"{made.meta['resolution']:.0f}",
        )
        return Prepared(made, made.meta["resolution"], excess, notes)

    def lower_resolutions(self, arms):
        """Return lower resolutions to fit a star with, if its lines are broader than the model's.

        Either the instrument or the star broadens the lines; the likelihood decides.
        """
        excess = [arm.excess for arm in arms if arm.estimated and not arm.smoothed]
        if len(excess) < len(arms) or min(excess) < _BROADER:
            return []
        own = (C_KMS / FWHM / self._model.resolution) ** 2
        return [C_KMS / FWHM / np.sqrt(own + part * min(excess)) for part in (0.5, 1.0)]

    def _usual(self, stated, order):
        """Return the median resolution near the windows of the model; `None` if unknown."""
        if stated is None:
            return None
        return float(np.median(stated[order] if np.ndim(stated) and len(order) else stated))

    def _reach(self, wavelength):
        """Return which pixels are within reach of the model's windows at any velocity."""
        near = np.zeros(len(wavelength), dtype=bool)
        ends = np.array([-1, 1]) * (FASTEST_RV + _BORDER)
        for window in find_windows(self._axis):
            low, high = self._axis[window][[0, -1]] * doppler_factor(ends)
            near |= (wavelength > low) & (wavelength < high)
        return near

    def _excess(self, wavelength, flux):
        """Return the variance of line profiles over the model's, in (km/s)²."""
        if self._flux is None:
            labels, rng = self._model.labels, np.random.default_rng(3)
            values = labels.minimum + labels.width * rng.random((_TEMPLATES, len(labels)))
            self._flux = self._model.predict(values).flux.value
        axis, first = np.unique(wavelength, return_index=True)
        return excess_variance(axis, flux[first], self._axis, self._flux, self._model.resolution)

    def _smoothed(self, spectrum, seen, medium, wavelength, arrays, own):
        """Return a spectrum smoothed to just below the model's resolution, with fewer pixels."""
        flux, sigma, alike = arrays
        measured = seen.has_uncertainty
        noise = sigma if measured else guessed_noise(spectrum, seen)[seen.good].min()
        noise = np.broadcast_to(noise, flux.shape) * np.sqrt(alike)
        goal = _TARGET * self._model.resolution
        wavelength, flux, noise, alike = _averaged(wavelength, flux, noise, alike, goal)
        flux, sigma, shared = degrade(wavelength, flux, max(own, 1.001 * goal), goal, sigma=noise)
        total = np.sqrt(shared**2 + alike**2 - 1)
        sigma = np.where(alike > 1, sigma * np.sqrt(shared / total), sigma)
        step = 1 / (goal * _PER_FWHM)
        log = np.log(wavelength)
        kept = np.unique(np.floor((log - log[0]) / step), return_index=True)[1]
        kept = kept[np.isfinite(flux[kept])]
        width = np.gradient(log)[kept]
        total = np.maximum(total[kept] * width / np.maximum(step, width), 1.0)
        made = self._spectrum(
            spectrum, seen, medium, wavelength[kept], flux[kept], sigma[kept], total, goal
        )
        if not measured:
            made.uncertainty = None
            made.meta["guessed_noise"] = sigma[kept] / (np.median(np.abs(flux[kept])) or 1.0)
        return made

    def _spectrum(self, spectrum, seen, medium, wavelength, flux, sigma, alike, resolution):
        """Return arrays as a spectrum, wavelengths in Å in vacuum."""
        from specutils import Spectrum

        meta = {**spectrum.meta, "medium": "vacuum", "correlation": alike}
        if np.ndim(resolution):  # of the pixels that are left
            order = np.argsort(seen.wavelength, kind="stable")
            axis, first = np.unique(seen.wavelength[order], return_index=True)
            resolution = np.interp(wavelength, axis, np.asarray(resolution)[order][first])
        meta["resolution"] = resolution
        uncertainty = StdDevUncertainty(sigma * seen.unit) if seen.has_uncertainty else None
        return Spectrum(
            spectral_axis=wavelength * u.AA,
            flux=flux * seen.unit,
            uncertainty=uncertainty,
            meta=meta,
        )


def _without_blemishes(spectrum, seen: Observation):
    """Return which pixels are sound, and notes on those that are not."""
    good, notes = seen.good.copy(), ()
    flux, axis = seen.flux, seen.spectral_axis
    if (impossible := good & ~(seen.wavelength > 0)).any():
        good &= ~impossible
        notes += (_counted(impossible, axis, "pixels without a wavelength were left out"),)
    empty = good & (flux == 0)
    if empty.any() and not empty[good].all():
        good &= ~empty
        notes += (_counted(empty, axis, "pixels with a flux of exactly zero were left out"),)
    back = np.diff(seen.wavelength[good])
    if len(back) and not ((back > 0).all() or (back < 0).all()):
        notes += ("its wavelengths do not increase all the way: pixels were sorted",)
    index = np.flatnonzero(good)
    if len(index) > 5 * _NEIGHBORS:
        middle = median_filter(flux[index], _NEIGHBORS, mode="nearest")
        rise = flux[index] - middle
        spike = rise > _HEIGHT * np.abs(np.median(flux[index]))
        if not spike.any():
            return good, notes
        noise = guessed_noise(spectrum, seen)[index]
        noise = np.maximum(noise, seen.sigma[index] if seen.has_uncertainty else 0.0)
        spike &= rise > _SPIKE * noise
        if 0 < spike.sum() < 0.02 * len(index):
            spikes = np.zeros(len(good), dtype=bool)
            spikes[index[spike]] = True
            good &= ~spikes
            notes += (_counted(spikes, axis, "spikes, such as cosmic rays, were left out"),)
    return good, notes


def _averaged(wavelength, flux, noise, alike, resolution):
    """Return means over pixels that are many to an element of the resolution: twelve are enough."""
    steps = np.diff(np.log(wavelength))
    n = int(1 / (_FINEST * resolution * np.median(steps)))
    if n < 2:
        return wavelength, flux, noise, alike
    size = len(wavelength) // n * n
    groups = wavelength[:size].reshape(-1, n)
    whole = np.ptp(groups, axis=1) < 2 * n * np.median(steps) * groups[:, 0]  # without a gap
    means = [a[:size].reshape(-1, n)[whole] for a in (wavelength, flux, noise**2, alike)]
    wavelength, flux, variance, alike = (values.mean(axis=1) for values in means)
    return wavelength, flux, np.sqrt(variance / n), np.maximum(alike / n, 1.0)


def _counted(which, axis, what):
    first = axis[np.flatnonzero(which)[0]]
    return f"{which.sum()} {what}, the first at {first:.2f}"


def _merged(seen, order, spectrum):
    """Return sorted arrays in which pixels of the same wavelength are averaged, and a note."""
    wavelength, flux = seen.wavelength[order], seen.flux[order]
    sigma = seen.sigma[order] if seen.has_uncertainty else np.ones(len(order))
    alike = shared_noise(spectrum, seen.good)[order]
    axis, first, place, count = np.unique(
        wavelength, return_index=True, return_inverse=True, return_counts=True
    )
    if (count == 1).all():
        return wavelength, (flux, sigma, alike), ()
    weight = sigma**-2.0
    total = np.bincount(place, weight)
    mean = np.bincount(place, weight * flux) / total
    where = axis[np.argmax(count > 1)]
    note = f"{np.sum(count - 1)} repeated wavelengths were averaged, the first at {where:.2f} Å"
    return axis, (mean, total**-0.5, alike[first]), (note + " (vacuum)",)
