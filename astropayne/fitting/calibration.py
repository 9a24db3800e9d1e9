# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Calibration of a model with spectra of stars whose labels are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup
from astropayne.models.calibration import Calibration
from astropayne.models.model import PayneModel
from astropayne.utils.suggestions import suggests_options
from astropayne.utils.torch_state import one_thread, without_gradients
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import VELOCITIES, doppler_factor

__all__ = ["calibrate"]

_STRENGTH, _MISSING = 0.08, 0.015  # how large corrections are beforehand, standard deviations
_OWN = 0.02  # part of the depth of lines by which stars differ from each other
_LEAST_DEPTH = 0.1  # in quadrature, of lines that the model lacks
_ELEMENT = 5e-5  # width of a resolution element in ln λ, where the model's resolution is not known


@dataclass(frozen=True)
class _Residuals:
    """Residuals of one star: rest wavelengths, observed minus model, depth of the model, noise."""

    name: str
    wavelength: np.ndarray
    residual: np.ndarray
    depth: np.ndarray
    variance: np.ndarray


@suggests_options
def calibrate(
    model: PayneModel,
    observed: Sequence,
    labels,
    *,
    names: Sequence[str] | None = None,
    options: FitOptions | None = None,
) -> PayneModel:
    """Return a model whose lines are corrected by spectra of stars with known labels.

    Velocity, rotation and continuum of each star are fitted with its labels fixed. The residuals
    that the stars have in common determine a relative correction of the depths of lines and the
    depths of missing lines. Each star is then fitted with the corrections derived from the others;
    the differences from its labels are included in the errors of later fits.

    Parameters
    ----------
    model : PayneModel
        With a linear output.
    observed : sequence of `~specutils.Spectrum`
        A few stars, several spectra of one star among them.
    labels : `~astropy.table.Table`, mapping or array_like
        Labels of each spectrum, as for `PayneModel.label_array`.
    names : sequence of str, optional
        Names of the stars; spectra of the same name are of one star. By default
        ``meta["name"]``, or each a star of its own.
    options : FitOptions, optional
        Options of the fits.

    Returns
    -------
    PayneModel
        With a ``calibration``, which fits use for stars whose residuals resemble it.

    Raises
    ------
    ValueError
        If there are not as many labels as spectra, or the output of the model is not linear.
    """
    observed = list(observed)
    values = model.label_array(labels)
    if len(values) != len(observed) or not observed:
        raise ValueError(
            f"{len(observed)} spectra and {len(values)} rows of labels must be as many"
        )
    if names is None:
        names = [s.meta.get("name") or f"star {i}" for i, s in enumerate(observed)]
    options = options or FitOptions()
    model = model.replace(calibration=None)
    stars = [
        _residuals(model, *star, options) for star in zip(names, observed, values, strict=True)
    ]
    covariance = _judged(model, stars, observed, values, options)
    return model.replace(calibration=_learnt(model, stars, covariance, values))


def _residuals(model, name, spectrum, values, options):
    """Return the residuals of a star from the model with its labels."""
    fixed = dict(zip(model.labels.names, values.tolist(), strict=True))
    setup = FitSetup.of(model, replace(options, fixed=fixed, exclude_at_rest=None))
    with without_gradients(), one_thread():
        _, star, outcome = setup.fit_one(spectrum)
        likelihood = setup.problem.likelihood(star, outcome.theta, outcome.used, outcome.terms)
        flux, level = likelihood.at(outcome.theta[None])
    good = likelihood.weight.numpy()[0] > 0
    wavelength = np.concatenate([pixels.wavelength[0] for pixels in likelihood.pixels])
    rv = outcome.theta[-len(VELOCITIES)]
    one = level[0][good]
    return _Residuals(
        name,
        wavelength[good] / doppler_factor(rv),
        likelihood.flux.numpy()[0][good] / one - flux[0][good],
        1 - flux[0][good],
        (likelihood.photon[0][good] / one) ** 2,
    )


def _judged(model, stars, observed, values, options):
    """Return the covariance of label errors of stars that are left out, scaled labels."""
    errors, kinds = [], dict.fromkeys(star.name for star in stars)
    for name in kinds if len(kinds) > 1 else ():
        others = _learnt(model, [s for s in stars if s.name != name], None, values[:0])
        setup = FitSetup.of(model.replace(calibration=others), options)
        for i, star in enumerate(stars):
            if star.name == name:
                with without_gradients(), one_thread():
                    outcome = setup.fit_one(observed[i])[2]
                found = outcome.theta[: len(model.labels)]
                errors.append((found - values[i]) / model.labels.width)
    if not errors:
        return np.zeros((len(model.labels),) * 2)
    return np.diag(np.nan_to_num(np.nanmean(np.square(errors), axis=0)))


def _learnt(model, stars, covariance, values):
    """Return the corrections that stars have in common."""
    axis = np.log(model.vacuum_wavelength)
    strength, missing = np.zeros((2, len(axis)))
    element = 1 / model.resolution if model.resolution else _ELEMENT
    for window in find_windows(model.vacuum_wavelength):
        knots, found = _common(stars, *axis[window][[0, -1]], element)
        for curve, values_there in zip((strength, missing), found, strict=True):
            curve[window] = np.interp(axis[window], knots, values_there)
    if covariance is None:
        covariance = np.zeros((len(model.labels),) * 2)
    names = model.labels.names
    described = tuple(
        {"name": star.name, "labels": dict(zip(names, map(float, row), strict=True))}
        for star, row in zip(stars, values, strict=False)
    )
    return Calibration(strength, missing, covariance, described)


def _common(stars, low, high, element):
    """Return knots in a window, and strength and missing lines there: posterior means.

    Both are linear between knots, with Gaussian priors about zero, and noise of each pixel is
    that of the spectrum and of the star's own differences.
    """
    n = int((high - low) / element) + 2
    knots = np.linspace(low, high, n)
    normal = np.diag(np.repeat([_STRENGTH**-2.0, _MISSING**-2.0], n))
    right = np.zeros(2 * n)
    for star in stars:
        x = np.log(star.wavelength)
        inside = (x > low) & (x < high)
        if inside.sum() < 2:
            continue
        x, depth, residual = x[inside], star.depth[inside], star.residual[inside]
        width = np.median(np.diff(np.sort(x)))
        own = _OWN**2 * (depth**2 + _LEAST_DEPTH**2) * element / width
        weight = 1 / (star.variance[inside] + own)
        place = np.clip((x - low) / (knots[1] - low), 0, n - 1 - 1e-9)
        first = place.astype(int)
        hats = np.zeros((len(x), n))
        hats[np.arange(len(x)), first] = 1 - (place - first)
        hats[np.arange(len(x)), first + 1] = place - first
        design = np.hstack([-hats * depth[:, None], -hats])
        normal += (design * weight[:, None]).T @ design
        right += (design * weight[:, None]).T @ residual
    return knots, np.linalg.solve(normal, right).reshape(2, n)
