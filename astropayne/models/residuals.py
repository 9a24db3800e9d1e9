# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Statistics of an emulator's residuals: size, covariance and effect of its errors on labels."""

import numpy as np
import numpy.typing as npt

from astropayne.wavelengths.axis import find_windows

__all__ = [
    "label_shifts",
    "leading_components",
    "scale_at_labels",
    "scale_at_spread",
    "scale_by_labels",
    "scale_by_spread",
    "shift_covariance",
    "white_rest",
]

_FREEDOM, _ROUNDS = 4, 100  # of the t distribution of shifts, and of its iteration
_NOTHING = 1e-8  # of a spectrum's derivatives, below which it does not constrain a label
_RIDGE = 0.1  # of the regression of errors on labels
_ALIKE = 0.15  # correlation of pixels below which it is not due to the line-spread function


def scale_by_labels(x: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Fit the dependence of the size of errors on labels.

    The size differs by a factor of three between spectra: errors are larger where lines are strong,
    and near the ends of the ranges. A ridge regression of its logarithm on labels and their squares
    describes most of this dependence if there are enough spectra. For an ensemble of networks,
    `scale_by_spread` is more accurate.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_spectra, n_labels)
        Scaled labels.
    size : numpy.ndarray, shape (n_spectra,)
        Rms error of each spectrum.

    Returns
    -------
    numpy.ndarray, shape (3 + 2 · n_labels,)
        Coefficients for `scale_at_labels`, whose mean square over these spectra is one: constant,
        lowest and highest value of the logarithm, and the slopes.
    """
    terms, y = _terms(x), np.log(size)
    middle = terms.mean(axis=0)
    normal = (terms - middle).T @ (terms - middle) + _RIDGE * np.eye(terms.shape[1])
    slope = np.linalg.solve(normal, (terms - middle).T @ (y - y.mean()))
    log = terms @ slope
    shift = -0.5 * np.log(np.mean(np.exp(2 * log)))
    return np.concatenate([[shift, log.min(), log.max()], slope])


def scale_at_labels(coefficients: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the size of errors at labels relative to the rms of all spectra: shape (n,).

    Parameters
    ----------
    coefficients : numpy.ndarray
        Coefficients that `scale_by_labels` returned.
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels; those outside the ranges are clipped to them.
    """
    shift, lowest, highest, *slope = coefficients
    return np.exp(shift + np.clip(_terms(x) @ np.array(slope), lowest, highest))


def scale_by_spread(spread: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Fit the dependence of the size of errors on the spread of an ensemble.

    Where networks that were trained on the same spectra disagree, the error of their mean is
    larger: it is modeled as a power of their spread, whose two coefficients need few spectra.

    Parameters
    ----------
    spread, size : numpy.ndarray, shape (n_spectra,)
        Spread of the networks and rms error of their mean, for each spectrum.

    Returns
    -------
    numpy.ndarray, shape (2,)
        Coefficients for `scale_at_spread`, whose mean square over these spectra is one: logarithm
        of the factor, and power.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.models.residuals import scale_at_spread, scale_by_spread
    >>> spread = np.array([0.001, 0.002, 0.008])
    >>> law = scale_by_spread(spread, 2 * spread)
    >>> (scale_at_spread(law, spread) / scale_at_spread(law, spread[:1])).round(6).tolist()
    [1.0, 2.0, 8.0]
    """
    x, y = np.log(spread), np.log(size)
    x, y = x - x.mean(), y - y.mean()
    power = x @ y / max(x @ x, np.finfo(float).tiny)
    factor = np.mean(spread ** (2 * power)) ** -0.5
    return np.array([np.log(factor), power])


def scale_at_spread(coefficients: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the size of errors at a spread relative to the rms of all spectra: shape (n,).

    Parameters
    ----------
    coefficients : numpy.ndarray
        Coefficients that `scale_by_spread` returned.
    spread : numpy.ndarray, shape (n,)
    """
    log_factor, power = coefficients
    return np.exp(log_factor) * spread**power


def _terms(x: npt.ArrayLike) -> np.ndarray:
    x = np.clip(np.asarray(x, dtype=float), -0.5, 0.5)
    return np.hstack([x, x**2])


def label_shifts(
    residual: np.ndarray, jacobian: np.ndarray, components: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes of labels that fit the errors of spectra best.

    They are least-squares solutions with equal weights of all pixels. Their uncertainty is the
    effect on them of errors with the covariance that ``components`` and ``rest`` describe.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n, n_pixels)
    jacobian : numpy.ndarray, shape (n, n_labels, n_pixels)
        Derivatives of the flux.
    components : numpy.ndarray, shape (n_components, n_pixels)
        Components of the covariance of the errors, from `leading_components`.
    rest : numpy.ndarray, shape (n_pixels,)
        Standard deviation of the white noise in addition to them, from `white_rest`.

    Returns
    -------
    shift : numpy.ndarray, shape (n, n_labels)
    uncertainty : numpy.ndarray, shape (n, n_labels, n_labels)
        Covariance of the shifts; one for a scaled label that the spectrum does not constrain.
    """
    jacobian = jacobian.astype(float)
    normal = jacobian @ jacobian.mT
    nothing = np.maximum(_NOTHING * np.trace(normal, axis1=1, axis2=2), 1e-30)[:, None, None]
    inverse = np.linalg.inv(normal + nothing * np.eye(normal.shape[1]))
    solver = inverse @ jacobian
    shared = solver @ components.T
    uncertainty = (solver * rest**2) @ solver.mT + shared @ shared.mT + nothing * inverse
    return np.einsum("nip,np->ni", solver, residual), uncertainty


def shift_covariance(shift: np.ndarray, uncertainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the intrinsic covariance of shifts, and the shifts expected from it.

    Shifts are assumed to have a t distribution, so that a few large ones do not dominate, and the
    covariance is the scatter of the majority. It is found by expectation maximization (Dempster,
    Laird & Rubin 1977; for the t distribution Liu & Rubin 1995, Statistica Sinica 5, 19).

    Parameters
    ----------
    shift, uncertainty : numpy.ndarray
        Shifts and covariances that `label_shifts` returned.

    Returns
    -------
    covariance : numpy.ndarray, shape (n_labels, n_labels)
    expected : numpy.ndarray, shape (n, n_labels)
        Expected values of the shifts, given their measured values and uncertainties.
    """
    n, k = shift.shape
    covariance = np.diag(np.maximum(np.median(shift**2, axis=0), 1e-12))
    for _ in range(_ROUNDS):
        inverse = np.linalg.inv(covariance + uncertainty)
        distance = np.einsum("ni,nij,nj->n", shift, inverse, shift)
        gain = covariance @ inverse
        expected = np.einsum("nij,nj->ni", gain, shift)
        weight = (_FREEDOM + k) / (_FREEDOM + distance)
        left = covariance - gain @ covariance
        covariance = ((weight[:, None] * expected).T @ expected + left.sum(axis=0)) / n
        covariance = 0.5 * (covariance + covariance.T)
    return covariance, expected


def leading_components(residual: np.ndarray, n_components: int) -> np.ndarray:
    """Return the leading components of a covariance: errors that pixels share.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n_spectra, n_pixels)
        Residuals with their mean subtracted.
    n_components : int
        Maximum number of components; at most a quarter of the number of spectra is returned.

    Returns
    -------
    numpy.ndarray, shape (n_components, n_pixels)
        Components E, so that EᵀE is the leading part of the covariance.
    """
    n = min(n_components, len(residual) // 4)
    # The products of spectra make a smaller matrix than those of pixels. The principal components
    # of training are about a mean, and of transformed flux.
    _, vectors = np.linalg.eigh((residual @ residual.T).astype(float))
    leading = vectors[:, ::-1][:, :n].astype(residual.dtype)
    return leading.T @ residual / len(residual) ** 0.5


def white_rest(residual: np.ndarray, n_components: int, wavelength: npt.ArrayLike) -> np.ndarray:
    """Return the errors without components, as white noise with the same effect on lines.

    Errors of neighboring pixels are correlated over the width of the line-spread function, which
    is also that of lines. Their effect on the strength of a line is that of white noise whose
    variance is the sum of the covariances of a pixel with all others. To avoid overfitting, the
    components are found in one half of the spectra and removed from the other half.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n_spectra, n_pixels)
    n_components : int
        Maximum number of components, as for `leading_components`.
    wavelength : array_like, shape (n_pixels,)
        Wavelengths in Å.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        Standard deviation for pixels of this width; it is proportional to one over the square
        root of the width.
    """
    left = np.concatenate(
        [_left(residual[i::2], residual[1 - i :: 2], n_components) for i in (0, 1)]
    )
    return np.sqrt(np.mean(left**2, axis=0) * _correlated_pixels(left, wavelength))


def _left(others: np.ndarray, tried: np.ndarray, n_components: int) -> np.ndarray:
    """Return residuals without the components of others."""
    mean = others.sum(axis=0) / max(len(others), 1)  # one spectrum alone has no other half
    components = leading_components(others - mean, n_components)
    size = np.linalg.norm(components, axis=1, keepdims=True)
    directions = components / np.where(size > 0, size, 1)
    tried = tried - mean
    return tried - (tried @ directions.T) @ directions


def _correlated_pixels(left: np.ndarray, wavelength: npt.ArrayLike) -> float:
    """Return the correlation length of errors in pixels: the sum of their correlations."""
    size = np.sqrt(np.mean(left**2, axis=0))
    scaled = left / np.where(size > 0, size, 1)
    total, lag = 1.0, 1
    windows = find_windows(wavelength)
    longest = max(w.stop - w.start for w in windows)
    while lag < longest:
        pairs = [scaled[:, w][:, lag:] * scaled[:, w][:, :-lag] for w in windows]
        correlation = np.concatenate([p.ravel() for p in pairs]).mean()
        if not correlation > _ALIKE:
            break
        total, lag = total + 2 * correlation, lag + 1
    return total
