# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The outcome of the fit of one star, as arrays."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from astropayne.engine.flags import Flag

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of the fit of one star, without units.

    Attributes
    ----------
    theta, errors : numpy.ndarray, shape (n_names,)
        All parameters and their standard deviations; NaN for what was not measured.
    covariance : numpy.ndarray, shape (n_names, n_names)
        Zero for fixed parameters.
    flags : Flag
    chi2 : float
    dof : int
        Degrees of freedom.
    iterations : int
        Evaluations of the model in the last pass.
    message : str
        Why there is no fit, or what is wrong with it.
    at_bound, low_information : tuple of str
        Parameters at a bound, and those that the spectrum hardly constrains.
    vsini_limit : float
        Upper limit of vsini in km/s, NaN where it is measured.
    used : tuple of numpy.ndarray of bool
        Pixels of each arm that took part.
    covered : float
        Range of ln λ that these pixels cover.
    best_fit : tuple of numpy.ndarray
        Model of each arm in the units of its flux, NaN where it is not supported.
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

    @classmethod
    def rejected(cls, n_names: int, message: str) -> Self:
        """Return the outcome of a star that cannot be fitted."""
        nan = np.full(n_names, np.nan)
        return cls(nan, nan, np.full((n_names, n_names), np.nan), Flag.BAD_INPUT, message=message)

    def with_flag(self, flag: Flag) -> Self:
        """Return the outcome with one more flag."""
        return replace(self, flags=self.flags | flag)
