# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What the residuals of an emulator say of its errors: how they go together. Plain numpy."""

import numpy as np

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
_NOTHING = 1e-8  # of a spectrum's derivatives, that say nothing of a label
_RIDGE = 0.1  # of the regression of errors on labels
_ALIKE = 0.15  # correlation below which it is not the profile's that makes pixels alike


def scale_by_labels(x, size):
    """Say how the size of errors goes with labels.

    It differs by a factor of three between spectra: where lines are strong, and near the ends of
    the ranges, errors are large. A ridge regression of its logarithm on labels and their squares
    says most of that, and with few spectra little. Where the emulator has members,
    `scale_by_spread` says more.

    Parameters
    ----------
    x : numpy.ndarray, shape (n_spectra, n_labels)
        Scaled labels.
    size : numpy.ndarray, shape (n_spectra,)
        Rms error of each spectrum.

    Returns
    -------
    numpy.ndarray, shape (3 + 2 · n_labels,)
        For `scale_at_labels`, whose mean square over these spectra is one: the logarithm's
        constant, its lowest and its highest value, and the coefficients.
    """
    terms, y = _terms(x), np.log(size)
    middle = terms.mean(axis=0)
    normal = (terms - middle).T @ (terms - middle) + _RIDGE * np.eye(terms.shape[1])
    slope = np.linalg.solve(normal, (terms - middle).T @ (y - y.mean()))
    log = terms @ slope
    shift = -0.5 * np.log(np.mean(np.exp(2 * log)))
    return np.concatenate([[shift, log.min(), log.max()], slope])


def scale_at_labels(coefficients, x):
    """Return how large errors are at labels, relative to the rms of all: (n,).

    Parameters
    ----------
    coefficients : numpy.ndarray
        Of `scale_by_labels`.
    x : numpy.ndarray, shape (n, n_labels)
        Scaled labels; beyond the ranges, their ends count.
    """
    shift, lowest, highest, *slope = coefficients
    return np.exp(shift + np.clip(_terms(x) @ np.array(slope), lowest, highest))


def scale_by_spread(spread, size):
    """Say how the size of errors goes with the spread of an ensemble.

    Where networks that were trained on the same spectra do not agree, their mean is wrong too:
    by a power of their spread. Two numbers, which few spectra determine.

    Parameters
    ----------
    spread, size : numpy.ndarray, shape (n_spectra,)
        The members' spread, and the rms error of their mean, of each spectrum.

    Returns
    -------
    numpy.ndarray, shape (2,)
        For `scale_at_spread`, whose mean square over these spectra is one: the logarithm of the
        factor, and the power.

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


def scale_at_spread(coefficients, spread):
    """Return how large errors are at a spread, relative to the rms of all: (n,).

    Parameters
    ----------
    coefficients : numpy.ndarray
        Of `scale_by_spread`.
    spread : numpy.ndarray, shape (n,)
    """
    log_factor, power = coefficients
    return np.exp(log_factor) * spread**power


def _terms(x):
    x = np.clip(np.asarray(x, dtype=float), -0.5, 0.5)
    return np.hstack([x, x**2])


def label_shifts(residual, jacobian, components, rest):
    """Return the changes of labels that errors of spectra look like.

    They are those of least squares with pixels that count the same, as in spectra whose noise is
    that of photons; what components and rest would do to them is their uncertainty.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n, n_pixels)
    jacobian : numpy.ndarray, shape (n, n_labels, n_pixels)
        Derivatives of the flux.
    components : numpy.ndarray, shape (n_components, n_pixels)
        Of the errors' covariance, as `leading_components` gives them.
    rest : numpy.ndarray, shape (n_pixels,)
        As `white_rest` gives it.

    Returns
    -------
    shift : numpy.ndarray, shape (n, n_labels)
    uncertainty : numpy.ndarray, shape (n, n_labels, n_labels)
        Its covariance; one for a scaled label that the spectrum says nothing of.
    """
    jacobian = jacobian.astype(float)
    normal = jacobian @ jacobian.mT
    nothing = np.maximum(_NOTHING * np.trace(normal, axis1=1, axis2=2), 1e-30)[:, None, None]
    inverse = np.linalg.inv(normal + nothing * np.eye(normal.shape[1]))
    solver = inverse @ jacobian
    shared = solver @ components.T
    uncertainty = (solver * rest**2) @ solver.mT + shared @ shared.mT + nothing * inverse
    return np.einsum("nip,np->ni", solver, residual), uncertainty


def shift_covariance(shift, uncertainty):
    """Return the covariance that shifts have beside their uncertainty, and the shifts it expects.

    Shifts are taken to have a t distribution, lest few large ones decide, and the scatter of most
    is what is returned. By expectation and maximisation (Dempster, Laird & Rubin 1977; of the t
    distribution Liu & Rubin 1995, Statistica Sinica 5, 19).

    Parameters
    ----------
    shift, uncertainty : numpy.ndarray
        Of `label_shifts`.

    Returns
    -------
    covariance : numpy.ndarray, shape (n_labels, n_labels)
    expected : numpy.ndarray, shape (n, n_labels)
        The shifts, as far as they are more than their uncertainty makes likely.
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


def leading_components(residual, n_components):
    """Return the leading part of a covariance, as errors that pixels share.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n_spectra, n_pixels)
        About their mean.
    n_components : int
        At most; never more than a quarter of the spectra.

    Returns
    -------
    numpy.ndarray, shape (n_components, n_pixels)
        With E the result, EᵀE is the part of the covariance.
    """
    n = min(n_components, len(residual) // 4)
    # The components from the spectra's products, which are fewer than those of the pixels.
    _, vectors = np.linalg.eigh((residual @ residual.T).astype(float))
    leading = vectors[:, ::-1][:, :n].astype(residual.dtype)
    return leading.T @ residual / len(residual) ** 0.5


def white_rest(residual, n_components, wavelength):
    """Return what components leave of the errors, as white noise of the same effect on lines.

    Errors of neighbouring pixels are alike over the width of the instrument's profile, and so are
    lines: what such errors do to a line's strength is what white noise would do whose variance is
    the sum of the covariances of a pixel with all others. Components are found in one half of the
    spectra and tried on the other, because they describe their own too well.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n_spectra, n_pixels)
    n_components : int
        As for `leading_components`.
    wavelength : array_like, shape (n_pixels,)
        In Å.

    Returns
    -------
    numpy.ndarray, shape (n_pixels,)
        A standard deviation for pixels as wide as these; it goes with one over the root of their
        width.
    """
    left = np.concatenate(
        [_left(residual[i::2], residual[1 - i :: 2], n_components) for i in (0, 1)]
    )
    return np.sqrt(np.mean(left**2, axis=0) * _correlated_pixels(left, wavelength))


def _left(known, tried, n_components):
    mean = known.sum(axis=0) / max(len(known), 1)  # one spectrum alone has no other half
    components = leading_components(known - mean, n_components)
    size = np.linalg.norm(components, axis=1, keepdims=True)
    directions = components / np.where(size > 0, size, 1)
    tried = tried - mean
    return tried - (tried @ directions.T) @ directions


def _correlated_pixels(left, wavelength):
    """Return over how many pixels errors are alike: the sum of their correlations."""
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
