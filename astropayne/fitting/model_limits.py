# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Flags for stars that a model cannot describe: outside its coverage, or limited by its error."""

import warnings
from collections.abc import Sequence

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.engine.arms import Star
from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.forward.parameters import labels_of
from astropayne.grids.info import BROADENING
from astropayne.models.model import PayneModel
from astropayne.wavelengths.axis import pixel_width

__all__ = ["warn_of_broadening", "with_model_limits"]

_HOLE = 8.0  # distance from training spectra above which a star is outside the coverage
_LIMITED = 0.3  # of the noise; with an emulator error of that size, errors are a fifth too small


def warn_of_broadening(model: PayneModel) -> None:
    """Warn of a model of spectra that were broadened before it was trained."""
    columns = model.meta.get("grid", {}).get("constant_columns", {})
    if found := [f"{name} = {columns[name]:g}" for name in BROADENING if columns.get(name)]:
        warnings.warn(
            f"the training spectra of the model have {' and '.join(found)} (km/s), so vsini and "
            "vmac of fits are in addition to that, and zero for a star that has just that",
            AstropyUserWarning,
            stacklevel=4,  # the line that called the fit
        )


def with_model_limits(
    model: PayneModel, stars: Sequence[Star], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Return outcomes with flags where a star exceeds the limits of the model."""
    values = labels_of(np.array([outcome.theta for outcome in outcomes]))
    with np.errstate(invalid="ignore"):
        outside = model.labels.outside(values).any(axis=1)
    if model.training_labels is not None:
        outside |= model.distance_to_training(values) > _HOLE
    limited = _emulator_over_noise(model, stars, outcomes, values) > _LIMITED
    judged = []
    for outcome, is_outside, is_limited in zip(outcomes, outside, limited, strict=True):
        outcome = outcome.with_flag(Flag.OUTSIDE_COVERAGE) if is_outside else outcome
        judged.append(outcome.with_flag(Flag.EMULATOR_LIMITED) if is_limited else outcome)
    return judged


def _emulator_over_noise(
    model: PayneModel, stars: Sequence[Star], outcomes: Sequence[Outcome], values: np.ndarray
) -> np.ndarray:
    """Return the rms emulator error over the noise, in pixels as wide as the model's: (n,).

    It is zero where either is unknown.
    """
    if model.error is None:
        return np.zeros(len(stars))
    values = np.where(np.isfinite(values), values, model.labels.middle)
    error = model.error_scale_at(values) * np.sqrt(np.mean(model.error.rms**2))
    width = pixel_width(model.vacuum_wavelength[None]).mean()
    return error * [
        np.sqrt(width * _information(*pair)) for pair in zip(stars, outcomes, strict=True)
    ]


def _information(star: Star, outcome: Outcome) -> float:
    """Return the mean inverse variance of a star's pixels over their widths in ln λ."""
    if not (star.noise_known and outcome.covered):
        return 0.0
    arms = zip(star.sigma, star.level, outcome.used, strict=True)
    information = sum(np.sum((level[used] / sigma[used]) ** 2) for sigma, level, used in arms)
    return information / outcome.covered
