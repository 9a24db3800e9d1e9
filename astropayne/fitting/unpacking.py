# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""One star's spectra as arrays that a fit can take: scales, noise, resolution."""

from dataclasses import replace

import astropy.units as u
import numpy as np

from astropayne.engine.arms import Star
from astropayne.forward.transfer import instrument_fwhm, is_reachable
from astropayne.models.training import ABOUT_ONE
from astropayne.spectra.noise import guessed_noise, shared_noise
from astropayne.spectra.observation import observe
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import FASTEST_RV, doppler_factor

__all__ = ["StarReader", "for_each"]

_AROUND = 0.005  # of a wavelength, within which flux around a pixel is looked at
_NO_LIGHT = 1e12  # times the continuum, from which on a value is not flux but fills a gap


class StarReader:
    """Converts spectra to a `Star`, with the options of a fit.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    options : FitOptions
    """

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.degree = options.degree
        self.continuum = None if self.degree is not None else options.continuum
        self._warned = False

    def star(self, prepared):
        """Unpack one star, of which each arm is prepared.

        Raises
        ------
        TypeError, ValueError
            If it is no spectrum, or has no pixel that can be used, or arms do not go together.
        """
        if not prepared:
            raise ValueError("this star has no spectrum: its list is empty")
        arms, resolutions = zip(*((p.spectrum, p.resolution) for p in prepared), strict=True)
        continua = for_each(self.continuum, arms, "continua")
        seen = [self._observe(arm) for arm in arms]
        if not any(o.good.any() for o in seen):
            seen[0].require_pixels()
        kinds = {o.has_uncertainty for o in seen if o.good.any()}  # others do not matter
        if len(kinds) > 1:
            raise ValueError("some arms of this star have an uncertainty, others have not")
        resolutions, seen = zip(*map(self._resolution, resolutions, arms, seen), strict=True)
        if any(map(np.ndim, resolutions)) and any(r is None for r in resolutions):
            raise ValueError("the resolution varies in one arm and is not known in another")
        columns = zip(*map(self._arm, arms, seen, continua), strict=True)
        wavelength, flux, sigma, *others = map(list, columns)
        noise_known = kinds.pop() or self.options.noise_floor > 0
        return Star(wavelength, flux, sigma, list(resolutions), *others, noise_known)

    def _observe(self, spectrum):
        meta = getattr(spectrum, "meta", None) or {}
        medium = self.options.medium or meta.get("medium") or self.model.medium
        observation = observe(spectrum, medium, self.options.regions, self.options.exclude)
        if observation.good.any() and not observation.flux[observation.good].any():
            raise ValueError("the flux is zero in all usable pixels: there is no light")
        if self.degree is None and self.continuum is None:
            _require_normalised(observation, observation.good & self._near(observation))
        return observation

    def _arm(self, spectrum, observation, continuum):
        """Return the arrays of an arm, in the order in which `star` names them."""
        scale = self._scale(spectrum, observation, continuum)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            flux = observation.flux / scale
        good = observation.good & (np.abs(flux) < _NO_LIGHT)
        flux = np.where(good, flux, np.nan)
        level = np.ones_like(flux)
        if self.degree is not None:
            level = _level(observation.wavelength, flux)
        noise = observation.sigma
        if not observation.has_uncertainty:
            noise = 0.0 if self.options.noise_floor else guessed_noise(spectrum, observation)
        alike = shared_noise(spectrum, good)
        sigma = np.sqrt(alike) * np.hypot(noise / np.abs(scale), self.options.noise_floor * level)
        sigma = np.where(good, sigma, np.inf)
        return observation.wavelength, flux, sigma, scale, level, 1 / alike

    def _scale(self, spectrum, observation, continuum):
        """Return the divisor of an arm: its continuum if known, otherwise its median flux."""
        if continuum is not None:
            return _given_continuum(continuum, spectrum, observation)
        if self.degree is None or not observation.good.any():
            return 1.0
        return float(np.nanmedian(np.abs(observation.flux))) or 1.0

    def _resolution(self, values, spectrum, observation):
        """Return the resolution of an arm, and its observation with the pixels that can be used.

        The resolution is that of the options, the arm's own, or the model's. Where it varies,
        pixels that are bad or far from the model's windows may have any value; they are not used
        if the model cannot be brought to it, and have the median of the others.
        """
        resolution = values
        if resolution is None:
            return self.model.resolution, observation
        if not self._warned:  # once in a run
            self.model.warn_if_taken_for_sharp(resolution)
            self._warned = True
        if not np.ndim(resolution):
            instrument_fwhm(resolution, self.model.resolution)  # complains if it is too high
            return float(resolution), observation
        needed = observation.good & self._near(observation)
        instrument_fwhm(resolution[needed], self.model.resolution)
        reachable = is_reachable(resolution, self.model.resolution)
        usual = np.median(resolution[reachable]) if reachable.any() else self.model.resolution
        resolution = np.where(reachable, resolution, usual or np.inf)
        return resolution, replace(observation, good=observation.good & reachable)

    def _near(self, observation):
        """Return which pixels are within the model's windows at usual velocities."""
        axis, near = self.model.vacuum_wavelength, np.zeros(observation.good.shape, dtype=bool)
        for window in find_windows(axis):
            low, high = axis[window][[0, -1]] * doppler_factor(np.array([-1, 1]) * FASTEST_RV)
            near |= (observation.wavelength > low) & (observation.wavelength < high)
        return near


def for_each(values, arms, what):
    """Return an option for each arm: a list of one for each, or the same for all."""
    if not isinstance(values, list | tuple):
        return [values] * len(arms)
    if len(values) != len(arms):
        raise ValueError(
            f"{len(values)} {what} for {len(arms)} spectra of a star; "
            "values for each pixel have to be a numpy array"
        )
    return values


def _require_normalised(observation, needed):
    """Refuse flux that cannot have a continuum of one; none at all is another fault."""
    unit = observation.unit
    level = np.median(observation.flux[needed]) if needed.any() else 1.0
    if unit != u.dimensionless_unscaled:
        what = f"the flux is in {unit}"
    elif level != 0 and not ABOUT_ONE[0] < abs(level) < ABOUT_ONE[1]:
        what = f"the flux is {level:.3g} in the median, not about one"
    else:
        return
    raise ValueError(
        f"{what}, so it is not normalised: give continuum=, the degree of the polynomial that "
        "multiplies the model, or the continuum itself"
    )


def _given_continuum(continuum, spectrum, observation):
    """Return a continuum at a spectrum's pixels, in the flux's unit."""
    values = continuum(spectrum) if callable(continuum) else continuum
    if isinstance(values, u.Quantity):
        values = values.to_value(observation.unit)
    values = np.asarray(values, dtype=float)
    if not values.ndim:
        raise ValueError(
            f"continuum= has {continuum!r} for one of several arms: polynomials have the same "
            "degree in all, which is one number; a list is of values a pixel, or of functions"
        )
    if values.shape != observation.flux.shape:
        raise ValueError(
            f"continuum= has shape {values.shape}, the spectrum {observation.flux.shape}: give "
            "the degree of a polynomial, or a value a pixel"
        )
    return np.where(values > 0, values, np.nan)


def _level(wavelength, flux):
    """Return the median flux around each pixel, within some Ångströms."""
    level = np.full(len(flux), np.nanmedian(np.abs(np.append(flux, 0.0))))
    order = np.argsort(wavelength)
    for window in find_windows(wavelength[order]):
        log = np.log(wavelength[order[window]])
        good = order[window][np.isfinite(flux[order[window]])]
        if len(good):
            n = min(len(good), 1 + int((log[-1] - log[0]) / _AROUND))
            parts = np.array_split(good, n)
            where = [np.median(np.log(wavelength[part])) for part in parts]
            level[order[window]] = np.interp(
                log, where, [np.median(np.abs(flux[p])) for p in parts]
            )
    return level
