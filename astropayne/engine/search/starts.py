# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Initial values of fits: velocities from templates, labels from a regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astropayne.engine.arms import Star, filled
from astropayne.engine.problem import FitProblem
from astropayne.forward.parameters import velocity_of
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.velocity import FASTEST_RV

__all__ = ["Start", "find_starts"]

_N_STARTS = 4  # in addition to the first, for stars whose first fit is doubtful
# Another velocity is as good if its χ² is higher by less than this, or if its gain is more than
# this fraction of the best gain. The fraction allows for differences between templates and stars,
# which matter more than noise if there are few lines.
_AMBIGUOUS, _AS_GOOD = 25.0, 0.5


@dataclass(frozen=True, eq=False)
class Start:
    """Initial values of the fit of a star.

    Attributes
    ----------
    templates : numpy.ndarray, shape (n, n_names)
        The templates most similar to the star, at its velocity.
    guess : numpy.ndarray, shape (n_names,), or None
        Parameters from the regression; `None` outside the range that it was trained on.
    ambiguous : bool
        Whether another velocity fits about as well.
    message : str
        Reason why the star cannot be fitted; empty if it can.
    """

    templates: np.ndarray
    guess: np.ndarray | None
    ambiguous: bool
    message: str


def find_starts(problem: FitProblem, stars: Sequence[Star]) -> list[Start]:
    """Compare stars with templates, and return the initial values of each fit."""
    wavelength, flux, sigma = _rows(stars)
    seen = wavelength, np.nan_to_num(flux), np.maximum(sigma, 1e-15) ** -2.0
    if problem.continuum is not None:
        seen = wavelength, *problem.templates.flatten(*seen, problem.first_degree)
    velocity = problem.templates.correlate(
        *seen, near=problem.start.get("rv"), known=problem.fixed.get("rv")
    )
    order = np.argsort(-velocity.gain, axis=1)[:, : 1 + _N_STARTS]
    rv = np.take_along_axis(velocity.rv, order[:, :1], axis=1)
    resolution = np.array([star.typical_resolution for star in stars])
    guess, sound = problem.templates.regress(*seen, rv[:, 0], problem.first_degree, resolution)
    theta = np.concatenate([guess[:, None], problem.templates.theta[order]], axis=1)
    velocity_of(theta, "rv")[:] = rv
    for name, value in {**problem.start, **problem.fixed}.items():
        if name != "rv" or name in problem.fixed:
            theta[..., problem.names.index(name)] = value
    best = velocity.gain.max(axis=1)
    ambiguous = velocity.rival > np.minimum(best - _AMBIGUOUS, _AS_GOOD * best)
    messages = [_no_lines(problem, g, w) for g, w in zip(velocity.gain, wavelength, strict=True)]
    return [
        Start(t[1:], t[0] if usable else None, bool(doubt), message)
        for t, usable, doubt, message in zip(theta, sound, ambiguous, messages, strict=True)
    ]


def _rows(stars: Sequence[Star]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return wavelength, flux and sigma of stars, arms one after another: (n, n_pixels) each."""
    n = max(sum(map(len, star.flux)) for star in stars)
    wavelength, flux, sigma = (
        filled([np.concatenate(getattr(star, name)) for star in stars], n, rest)
        for name, rest in (("wavelength", np.nan), ("flux", 0.0), ("sigma", np.inf))
    )
    for f, s in zip(flux, sigma, strict=True):
        if not (s[np.isfinite(s)] > 0).any():  # unknown or zero noise
            s[np.isfinite(s)] = 1e-2 * np.nanmedian(np.abs([*f[np.isfinite(s)], 0.0]))
    return wavelength, flux, sigma


def _no_lines(problem: FitProblem, gain: np.ndarray, wavelength: np.ndarray) -> str:
    """Return the likely reason if no template resembles the spectrum, "" otherwise."""
    if gain.max() > 0:
        return ""
    theirs = f"{np.nanmin(wavelength):.0f}-{np.nanmax(wavelength):.0f} Angstrom in vacuum"
    if _overlaps(problem, wavelength):
        return (
            "no template of the model resembles the spectrum more than a constant does, at any "
            f"velocity that was searched: are there absorption lines in it ({theirs})?"
        )
    nm = "; they would if they were nm: is their unit right?"
    axis = problem.forward.wavelength
    windows = ", ".join(f"{axis[w][0]:.0f}-{axis[w][-1]:.0f}" for w in find_windows(axis))
    return (
        f"the wavelengths ({theirs}) do not overlap with the model's ({windows})"
        f"{nm if _overlaps(problem, 10 * wavelength) else ''}"
    )


def _overlaps(problem: FitProblem, wavelength: np.ndarray) -> bool:
    """Return whether any pixel may lie in the model's windows, at some velocity."""
    return bool((problem.forward.margin(wavelength, 0.0) > -FASTEST_RV).any())
