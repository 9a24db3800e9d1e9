# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitProblem`: what all stars of a run have in common."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astropayne.engine.arms import Arm, Star, filled, resolution_of
from astropayne.engine.likelihood import Likelihood
from astropayne.engine.outcome import Outcome
from astropayne.engine.parameters import Parameters
from astropayne.engine.search.templates import Templates
from astropayne.engine.terms import Terms, first_terms
from astropayne.forward.model import ForwardModel
from astropayne.forward.parameters import is_label, labels_of, velocities_of, velocity_of
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["FitProblem"]

_MIN_PIXELS = 20
_FIRST_DEGREE = 2  # of the continuum in the search for velocity and kind of star
_UNKNOWN_RESOLUTION = 2e4  # of spectra and models whose resolution is not known


@dataclass(frozen=True, eq=False)
class FitProblem:
    """What all stars of a run have in common: model, parameters, bounds, emulator error.

    Plain numpy and torch, no units: wavelengths are Å in vacuum, velocities km/s, labels in their
    own units.

    Attributes
    ----------
    forward : `~astropayne.forward.model.ForwardModel`
    parameters : Parameters
    make_templates : callable
        Returns the `~astropayne.engine.search.templates.Templates` when they are first needed.
    low, high : numpy.ndarray, shape (n_names,)
        Bounds of all parameters; those of rv are relative to the velocity that the search finds.
    fixed, start : mapping of str to float
        Values of fixed parameters, and starting values that replace those of the search.
    continuum, loss : see `~astropayne.engine.likelihood.Likelihood`
    error, rest, modes : numpy.ndarray or None
        The emulator error: its rms in each pixel; and the same error divided into white noise and
        the errors that pixels share.
    scale : callable
        Takes labels (n, n_labels) and returns the size of the emulator error relative to its rms,
        shape (n,).
    shift : callable
        Takes labels (n, n_labels) and returns the covariance of the label errors that the emulator
        error causes, shape (n, n_labels, n_labels).
    untrusted : numpy.ndarray of bool, shape (n_model_pixels,)
        Model pixels that are not compared with stars.
    inadequacy : float or "auto"
        Amplitude of the errors of the model's lines, see `astropayne.engine.inadequacy`.
    resolution_error : float
        Standard deviation of the relative error of resolutions.
    corrected : `~astropayne.forward.model.ForwardModel`, optional
        The same model with lines that are corrected for real stars.
    """

    forward: ForwardModel
    parameters: Parameters
    make_templates: Callable[[], Templates]
    low: np.ndarray
    high: np.ndarray
    fixed: Mapping[str, float]
    start: Mapping[str, float]
    continuum: int | str | None
    loss: str
    error: np.ndarray | None
    rest: np.ndarray | None
    modes: np.ndarray | None
    scale: Callable[[np.ndarray], np.ndarray]
    shift: Callable[[np.ndarray], np.ndarray]
    untrusted: np.ndarray
    inadequacy: float | str = 0.0
    resolution_error: float = 0.0
    corrected: ForwardModel | None = None

    @functools.cached_property
    def templates(self) -> Templates:
        """Model spectra from which fits start."""
        return self.make_templates()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return self.parameters.names

    @property
    def first_degree(self) -> int | None:
        """Degree of the continuum while velocity and kind of star are not known."""
        return _FIRST_DEGREE if self.continuum == "auto" else self.continuum

    @property
    def least_pixels(self) -> int:
        """The smallest number of pixels that can be fitted."""
        return max(_MIN_PIXELS, len(self.parameters.free))

    @property
    def range_precision(self) -> np.ndarray:
        """Inverse variances of the free parameters that follow from the labels' ranges: (k,).

        A range is a Gaussian prior with the variance of a uniform distribution over it.
        """
        index = self.parameters.index
        width = (self.high - self.low)[index]
        return np.where(is_label(index, len(self.names)), 12 / width**2, 0.0)

    def rejected(self, message: str) -> Outcome:
        """Return the outcome of a star that cannot be fitted."""
        return Outcome.rejected(len(self.names), message)

    def box(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds of all parameters for stars near ``theta`` (n, n_names)."""
        low, high = (np.tile(bound, (len(theta), 1)) for bound in (self.low, self.high))
        for bound in (low, high):
            velocity_of(bound, "rv")[:] += velocity_of(theta, "rv")
        return low, high

    # --- pixels

    def reach(
        self, theta: np.ndarray, resolution: float | np.ndarray | None, reserve: float | np.ndarray
    ) -> np.ndarray:
        """Return how far pixels must be from the edges of windows, in km/s, with a reserve."""
        _, vsini, vmac = velocities_of(theta).T
        return self.forward.reach(vsini, vmac, resolution) + reserve

    def trusted(self, wavelength: np.ndarray, rv: np.ndarray) -> np.ndarray:
        """Return which pixels lie where the model is trusted in the star's frame."""
        if not self.untrusted.any():
            return np.ones(wavelength.shape, dtype=bool)
        rest = wavelength / doppler_factor(rv)[:, None]
        return np.interp(rest, self.forward.wavelength, self.untrusted.astype(float)) < 0.5

    def arms(
        self, stars: Sequence[Star], theta: np.ndarray, reserve: float | np.ndarray = 0.0
    ) -> list[Arm]:
        """Return the arms of stars near ``theta``, with all pixels.

        Sigma is infinite for pixels that are not trusted, and for those nearer to the edges of
        windows than broadening and the reserve (km/s) reach.
        """
        arms, rv = [], velocity_of(theta, "rv")
        for a in range(len(stars[0].wavelength)):
            n = max(len(star.wavelength[a]) for star in stars)
            wavelength, flux, sigma = (
                filled([getattr(star, name)[a] for star in stars], n, rest)
                for name, rest in (("wavelength", np.nan), ("flux", 0.0), ("sigma", np.inf))
            )
            resolution = resolution_of(stars, a, n)
            reach = self.reach(theta, resolution, reserve)
            good = self.forward.margin(wavelength, rv) >= reach
            sigma = np.where(good & self.trusted(wavelength, rv), sigma, np.inf)
            arms.append(Arm(wavelength, np.nan_to_num(flux), sigma, resolution))
        return arms

    def used_arms(
        self, stars: Sequence[Star], theta: np.ndarray, reserve: float | np.ndarray
    ) -> tuple[list[Arm], list[tuple[np.ndarray, ...]]]:
        """Return the arms with their usable pixels only, and a mask of these for each star."""
        arms, used = [], []
        for a, arm in enumerate(self.arms(stars, theta, reserve)):
            good = np.isfinite(arm.sigma)
            used.append([row[: len(s.flux[a])] for s, row in zip(stars, good, strict=True)])
            arms.append(arm.keep(good))
        return arms, list(zip(*used, strict=True))

    # --- likelihoods

    def first_terms(self, stars: Sequence[Star]) -> Terms | None:
        """Return the terms that fits begin with, `None` if the fit itself finds none."""
        if self.continuum != "auto" and self.inadequacy == 0:
            return None
        own = self.forward.resolution or np.inf
        resolution = np.minimum([star.typical_resolution for star in stars], own)
        element = 1 / np.where(np.isfinite(resolution), resolution, _UNKNOWN_RESOLUTION)
        one = [1 / np.median(np.concatenate([np.ravel(s) for s in star.scale])) for star in stars]
        return first_terms(len(stars), self.continuum, one, element, self.inadequacy)

    def likelihood_of(
        self,
        arms: Sequence[Arm],
        theta: np.ndarray,
        modes: np.ndarray | None,
        terms: Terms | None = None,
        *,
        coarse: bool = False,
    ) -> Likelihood:
        """Return the likelihood of arms of stars near ``theta`` (n, n_names)."""
        emulator = {"error": self.error}
        if modes is not None:
            emulator = {"rest": self.rest, "modes": modes}
        return Likelihood(
            self.forward, self.parameters, arms, theta,
            continuum=self.continuum if terms is None else terms.highest, loss=self.loss,
            scale=self.scale(labels_of(theta)), terms=terms, coarse=coarse,
            resolution_error=self.resolution_error, **emulator,
        )  # fmt: skip

    def likelihood(
        self,
        star: Star,
        theta: np.ndarray,
        used: Sequence[np.ndarray],
        terms: Terms | None = None,
    ) -> Likelihood:
        """Return the likelihood of one star near ``theta`` (n_names,), from the pixels used."""
        sigma = [np.where(good, s, np.inf) for good, s in zip(used, star.sigma, strict=True)]
        arms, _ = self.used_arms([replace(star, sigma=sigma)], theta[None], -np.inf)
        modes = self.modes
        if modes is not None:
            modes = np.vstack([modes, self._label_shift_modes(labels_of(theta))])
        return self.likelihood_of(arms, theta[None], modes, terms)

    def _label_shift_modes(self, labels: np.ndarray) -> np.ndarray:
        """Return the flux changes by the label errors of the emulator: (n_labels, n_pixels)."""
        shift, scale = self.shift(labels[None])[0], self.scale(labels[None])[0]
        size, directions = np.linalg.eigh(shift / scale**2)
        by_labels = self.forward.rest_jacobian(labels)
        return (directions * np.sqrt(np.maximum(size, 0))).T @ by_labels
