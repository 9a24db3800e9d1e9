# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The inadequacy of the model: how much lines of real stars differ from synthetic ones.

Line lists, atmospheres and LTE are wrong by some percent of a line's depth, over the whole width of
the line. Such an error is a Gaussian process: its standard deviation grows with the depth of the
spectrum, and it is correlated over a resolution element. All that labels, velocities and the
continuum do to a spectrum is at least as wide as that, so that the process acts on them as white
noise of the same power, whatever the sampling.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Inadequacy", "estimate_inadequacy"]

#: Depth, in quadrature, of lines that the model lacks.
FLOOR = 0.1
_AMPLITUDES = np.concatenate([[0.0], np.geomspace(2e-3, 1.0, 64)])
_NOISES = np.geomspace(1.0, 30.0, 24)
_EVIDENT = 2.0  # gain in log-likelihood below which there is no inadequacy


@dataclass(frozen=True)
class Inadequacy:
    """Errors of a model's lines, for a batch of stars.

    Attributes
    ----------
    amplitude : numpy.ndarray, shape (n,)
        Standard deviation of the relative error of a line's depth over a resolution element.
    element : numpy.ndarray, shape (n,)
        Width of a resolution element in ln λ.
    noise : numpy.ndarray, shape (n,)
        Factor by which the noise of the pixels is larger than assumed.
    """

    amplitude: np.ndarray
    element: np.ndarray
    noise: np.ndarray

    def sigma(self, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return the standard deviation that pixels are weighted with.

        Parameters
        ----------
        depth : numpy.ndarray, shape (n, n_pixels)
            Depth of the model's spectrum below a continuum of one.
        width : numpy.ndarray, shape (n, n_pixels)
            Widths of the pixels in ln λ.

        Returns
        -------
        numpy.ndarray, shape (n, n_pixels)
            For a continuum of one.
        """
        density = self.amplitude[:, None] * np.sqrt(self.element[:, None] / width)
        return density * np.hypot(depth, FLOOR)


def estimate_inadequacy(
    wavelength: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    depth: np.ndarray,
    element: float,
    n_parameters: int,
    noise_known: bool,
) -> tuple[float, float]:
    """Estimate the amplitude of the inadequacy of one star by maximum likelihood.

    Residuals are averaged over resolution elements. Their variance is that of the noise plus
    (amplitude · depth)².

    Parameters
    ----------
    wavelength, residual, sigma, depth : numpy.ndarray, shape (n_pixels,)
        Of the pixels that are used: Å, observed minus model and its standard deviation for a
        continuum of one, and the depth of the model.
    element : float
        Width of a resolution element in ln λ.
    n_parameters : int
        Number of fitted parameters, which make residuals smaller.
    noise_known : bool
        Whether σ was measured; otherwise a factor of it is estimated, too.

    Returns
    -------
    amplitude, noise : float
    """
    averages = _averages(wavelength, residual, sigma, depth, element)
    mean, variance, square = averages
    n = len(mean)
    if n < 2 * n_parameters:
        return 0.0, 1.0
    mean = mean**2 * n / (n - n_parameters)
    noise = np.ones(1) if noise_known else _NOISES
    total = noise[:, None, None] ** 2 * variance + _AMPLITUDES[:, None] ** 2 * square
    likelihood = -0.5 * np.sum(np.log(total) + mean / total, axis=2)
    best = np.unravel_index(likelihood.argmax(), likelihood.shape)
    if likelihood[best] - likelihood[:, 0].max() < _EVIDENT:
        return 0.0, float(noise[likelihood[:, 0].argmax()])
    return float(_AMPLITUDES[best[1]]), float(noise[best[0]])


def _averages(
    wavelength: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    depth: np.ndarray,
    element: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means of residuals, their variances and mean squares of depths, by elements."""
    place = np.floor(np.log(wavelength) / element).astype(int)
    _, place = np.unique(place, return_inverse=True)
    weight = sigma**-2.0
    total = np.bincount(place, weight)
    mean = np.bincount(place, weight * residual) / total
    square = np.bincount(place, weight * (depth**2 + FLOOR**2)) / total
    return mean, 1 / total, square
