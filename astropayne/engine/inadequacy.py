# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The inadequacy of the model: how much lines of real stars differ from synthetic ones.

Line lists, atmospheres and LTE are wrong by some percent of a line's depth, over the whole width of
the line, and lines are missing. Such an error is a Gaussian process: its variance is the sum of a
part that grows with the depth of the spectrum and a constant, and it is correlated over a
resolution element. All that labels, velocities and the continuum do to a spectrum is at least as
wide as that, so that the process acts on them as white noise of the same power, whatever the
sampling.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from astropayne.wavelengths.axis import pixel_width

__all__ = ["Inadequacy", "estimate_inadequacy"]

_EVIDENT = 2.0  # gain in log-likelihood below which there is no inadequacy
_AVERAGED = 2.0  # resolution elements that residuals are averaged over
_STEPS, _SETTLED = 30, 1e-2  # of Fisher scoring: at most, and a change that ends it


@dataclass(frozen=True)
class Inadequacy:
    """Errors of a model's lines, for a batch of stars.

    Attributes
    ----------
    amplitude : numpy.ndarray, shape (n,)
        Standard deviation of the relative error of a line's depth over a resolution element.
    floor : numpy.ndarray, shape (n,)
        Standard deviation of the error where the spectrum has no lines, for a continuum of one.
    element : numpy.ndarray, shape (n,)
        Width of a resolution element in ln λ.
    noise : numpy.ndarray, shape (n,)
        Factor by which the noise of the pixels is larger than assumed.
    """

    amplitude: np.ndarray
    floor: np.ndarray
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
        errors = np.hypot(self.amplitude[:, None] * depth, self.floor[:, None])
        return errors * np.sqrt(self.element[:, None] / width)

    def shares(
        self, noise: np.ndarray, errors: np.ndarray, width: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected parts of noise and of line errors in the squares of residuals.

        Errors of the model are correlated over an element. The white noise of the same power,
        which pixels are weighted with, is larger in each pixel.

        Parameters
        ----------
        noise, errors : numpy.ndarray, shape (n, n_pixels)
            Standard deviations that pixels are weighted with.
        width : numpy.ndarray, shape (n, n_pixels)
            Widths of the pixels in ln λ.

        Returns
        -------
        by_noise, by_lines : numpy.ndarray, shape (n, n_pixels)
            Relative to the square of both together.
        """
        shrunk = np.minimum(np.nan_to_num(width / self.element[:, None]), 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = noise**2 + errors**2
            by_noise, by_lines = np.nan_to_num(noise**2 / total), np.nan_to_num(errors**2 / total)
        return by_noise, shrunk * by_lines


def estimate_inadequacy(
    wavelength: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    depth: np.ndarray,
    element: float,
    n_parameters: int,
    noise_known: bool,
) -> tuple[float, float, float]:
    """Estimate the inadequacy of one star by maximum likelihood.

    Residuals are averaged over two resolution elements each. The variance of these means is that of
    the noise plus what errors with a triangular autocorrelation, as wide as an element, leave.

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
        Whether σ was measured. Otherwise a factor of it is estimated instead of the floor: noise
        that pixels share and errors where there are no lines look the same.

    Returns
    -------
    amplitude, floor, noise : float
    """
    mean, variance, share, square = _averages(wavelength, residual, sigma, depth, element)
    n = len(mean)
    if n < 2 * n_parameters:
        return 0.0, 0.0, 1.0
    squares = mean**2 * n / (n - n_parameters)
    other = share if noise_known else variance
    with_lines, gain = _components(squares, variance, np.column_stack([other, share * square]))
    without, gain_without = _components(squares, variance, other[:, None])
    least, lines = with_lines if gain > gain_without + _EVIDENT else (without[0], 0.0)
    amplitude = float(np.sqrt(lines))
    if not noise_known:
        return amplitude, 0.0, float(np.sqrt(1 + least))
    evident = max(gain, gain_without) > _EVIDENT
    return amplitude, float(np.sqrt(least)) if evident else 0.0, 1.0


def _averages(
    wavelength: np.ndarray,
    residual: np.ndarray,
    sigma: np.ndarray,
    depth: np.ndarray,
    element: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return means of residuals, variances of their noise, shares of errors that are left, depth².

    Errors with a triangular autocorrelation of half width w have, averaged over a length l > w, the
    variance w/l · (1 - w/(3l)), and 1 - l/(3w) otherwise.
    """
    place = np.floor(np.log(wavelength) / (_AVERAGED * element)).astype(int)
    _, place = np.unique(place, return_inverse=True)
    weight = sigma**-2.0
    total = np.bincount(place, weight)
    mean = np.bincount(place, weight * residual) / total
    square = np.bincount(place, weight * depth**2) / total
    covered = np.bincount(place, pixel_width(wavelength[None])[0]) / element
    ratio = np.minimum(covered, _AVERAGED)  # pixels of several arms lie over each other
    share = np.where(ratio > 1, (1 - 1 / (3 * np.maximum(ratio, 1))) / np.maximum(ratio, 1),
                     1 - ratio / 3)  # fmt: skip
    return mean, 1 / total, share, square


def _components(
    squares: np.ndarray, variance: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the variances that multiply columns, by maximum likelihood, and the gain by them.

    This is Fisher scoring: weighted least squares without negative values.
    """
    components, total = np.zeros(columns.shape[1]), np.maximum(squares.mean(), variance)
    for _ in range(_STEPS):
        before, weight = total, 1 / total
        components = nnls(columns * weight[:, None], (squares - variance) * weight)[0]
        total = variance + columns @ components
        if np.all(np.abs(total - before) < _SETTLED * total):
            break
    gain = 0.5 * np.sum(np.log(variance / total) + squares / variance - squares / total)
    return components, gain
