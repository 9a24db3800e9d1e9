# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The outcome of the fit of one star, as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from astropayne.engine.flags import Flag
from astropayne.engine.terms import Terms

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of the fit of one star, without units.

    Attributes
    ----------
    theta, errors : numpy.ndarray, shape (n_names,)
        All parameters and their standard deviations; NaN for those that were not measured.
    covariance : numpy.ndarray, shape (n_names, n_names)
        Zero for fixed parameters.
    flags : Flag
    chi2 : float
    dof : int
        Number of degrees of freedom.
    iterations : int
        Number of evaluations of the model in the last pass.
    message : str
        Reason why there is no fit, or description of its problem; empty without one.
    at_bound, low_information : tuple of str
        Parameters at a bound, and those that the spectrum hardly constrains.
    vsini_limit : float
        Upper limit of vsini in km/s, NaN where it is measured.
    used : tuple of numpy.ndarray of bool
        Pixels of each arm that were fitted.
    covered : float
        Range of ln λ that these pixels cover.
    best_fit : tuple of numpy.ndarray
        Best-fit model of each arm in the units of its flux; NaN where it is not supported.
    limits : mapping of str to str
        Limits of labels beyond the range of the model by their names, such as "< -2".
    resolution : tuple or None
        Resolution of each arm if the fit determined it.
    notes : tuple of str
        Sentences that describe changes of the spectra before the fit.
    log_likelihood : float
        Logarithm of the likelihood, up to a constant of the star.
    resemblance : float
        Similarity of the residuals to the model's calibration; one if they are equal.
    resolution_shift : tuple of float
        Change of ln R that the widths of lines ask for, and its error; NaN where R is exact.
    fitted_with : {"everything", "trusted", "calibrated"}
        Problem of the fit: all regions, trusted regions only, or the calibrated model.
    terms : `~astropayne.engine.terms.Terms` or None
        Continuum and inadequacy of the star.
    """

    theta: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray
    flags: Flag
    chi2: float = np.nan
    dof: int = 0
    iterations: int = 0
    message: str = ""
    at_bound: tuple[str, ...] = ()
    low_information: tuple[str, ...] = ()
    vsini_limit: float = np.nan
    used: tuple[np.ndarray, ...] = ()
    covered: float = 0.0
    best_fit: tuple[np.ndarray, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    resolution: tuple | None = None
    notes: tuple[str, ...] = ()
    log_likelihood: float = np.nan
    resemblance: float = 0.0
    resolution_shift: tuple[float, float] = (np.nan, np.nan)
    fitted_with: str = "everything"
    terms: Terms | None = None

    @classmethod
    def rejected(cls, n_names: int, message: str) -> Self:
        """Return the outcome of a star that cannot be fitted."""
        nan = np.full(n_names, np.nan)
        return cls(nan, nan, np.full((n_names, n_names), np.nan), Flag.BAD_INPUT, message=message)

    def with_flag(self, flag: Flag) -> Self:
        """Return the outcome with one more flag."""
        return replace(self, flags=self.flags | flag)
