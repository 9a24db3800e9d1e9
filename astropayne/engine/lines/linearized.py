# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""A batch of stars near their best fits, where everything but one abundance is linear."""

import numpy as np

from astropayne.engine.likelihood import Likelihood
from astropayne.engine.parameters import Parameters
from astropayne.forward.parameters import is_label, velocities_of, velocity_of
from astropayne.wavelengths.axis import pixel_width
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["LinearizedStars", "products_of"]

_FARTHEST = 20.0  # km/s, error of a velocity that counts as unknown


class LinearizedStars:
    """A batch of stars, linearized about their best-fitting parameters.

    Parameters
    ----------
    likelihood : `~astropayne.engine.likelihood.Likelihood`
        Of all pixels that can be used, at ``theta``.
    theta : numpy.ndarray, shape (n, n_names)
        All parameters.
    fitted : numpy.ndarray of bool, shape (n, n_pixels)
        Pixels to which the stellar labels were fitted.
    chain : numpy.ndarray, shape (n, n_names, n_free)
        Derivatives of all parameters by the free parameters of the fit of the stellar labels.
    low, high : numpy.ndarray, shape (n_names,)
        Ranges.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        theta: np.ndarray,
        fitted: np.ndarray,
        chain: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        self.forward, self.theta, self.low, self.high = likelihood.forward, theta, low, high
        self.pixels, self.resolution = likelihood.pixels, likelihood.resolution
        root = likelihood.roots(theta).cpu().numpy()
        self.weight = likelihood.weight.cpu().numpy() * root
        observed = likelihood.flux.cpu().numpy()
        flux, self.by_name = self._model()
        linear, level = [], np.ones_like(observed)
        if likelihood.basis is not None:
            basis = likelihood.basis.cpu().numpy()
            coefficients = np.asarray(likelihood.coefficients(theta), dtype=basis.dtype)
            level = (basis @ coefficients[..., None])[..., 0]
            linear.append(basis * (flux * self.weight)[..., None])
        self.n_continuum = sum(part.shape[2] for part in linear)
        if likelihood.modes is not None:
            linear.append(likelihood.modes.cpu().numpy() * root[..., None])
        self.linear = np.concatenate([*linear, np.zeros((*flux.shape, 0), flux.dtype)], axis=2)
        self.scale = level * self.weight
        self.by_name *= self.scale[..., None]
        self.observed = observed * self.weight
        self.fitted, self.chain = fitted & (self.weight > 0), chain
        self._collect(likelihood.parameters, flux)

    def _collect(self, parameters: Parameters, flux: np.ndarray) -> None:
        """Collect the information on all parameters from all fitted pixels and the priors."""
        mask = self.fitted[..., None]
        self.residual = self.observed - self.scale * flux
        chain = self.chain.astype(flux.dtype)
        design = np.concatenate([self.by_name @ chain, self.linear], axis=2) * mask
        products = products_of(design, self.residual * self.fitted)
        self.shared = design.mT @ self.by_name
        self.information, self.gradient = products[:, :-1, :-1], products[:, :-1, -1]
        index = parameters.index
        k, n_modes = len(index), self.linear.shape[2] - self.n_continuum
        # of labels, the variance of a uniform distribution over their ranges, as in the stellar fit
        prior = np.where(
            is_label(index, len(self.low)), 12 / (self.high - self.low)[index] ** 2, _FARTHEST**-2
        )
        mean, precision = parameters.prior()
        everything = [*(prior + precision), *[0] * self.n_continuum, *[1] * n_modes]
        self.information = self.information + np.diag(np.array(everything, dtype=float))
        self.gradient[:, :k] += precision * (mean - self.theta[:, index])

    def _model(self) -> tuple[np.ndarray, ...]:
        """Return flux and Jacobian over all arms."""
        parts = [
            self.forward.forward_and_jacobian(self.theta, p, r)
            for p, r in zip(self.pixels, self.resolution, strict=True)
        ]
        return tuple(
            np.concatenate([part.cpu().numpy() for part in some], axis=1)
            for some in zip(*parts, strict=True)
        )

    @property
    def rest_wavelength(self) -> np.ndarray:
        """Vacuum wavelengths in the rest frames of the stars in Å: (n, n_pixels)."""
        wavelength = np.concatenate([p.wavelength for p in self.pixels], axis=1)
        return wavelength / doppler_factor(velocity_of(self.theta, "rv")[:, None])

    @property
    def supported(self) -> np.ndarray:
        """Whether pixels do not depend on flux beyond the edges of the model: (n, n_pixels)."""
        _, vsini, vmac = velocities_of(self.theta).T
        parts = zip(self.pixels, self.resolution, strict=True)
        return np.hstack([self.forward.supported(p, vsini, vmac, r) for p, r in parts])

    @property
    def pixel_width(self) -> np.ndarray:
        """Widths of pixels in ln λ: (n, n_pixels)."""
        return np.concatenate([pixel_width(p.wavelength) for p in self.pixels], axis=1)


def products_of(design: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return products of all columns of a design and of residuals, in double precision."""
    matrix = np.concatenate([design, residual[..., None]], axis=2)
    return (matrix.mT @ matrix).astype(float)
