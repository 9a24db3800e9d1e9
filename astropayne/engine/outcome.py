# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Starting points and outcomes of fits, as arrays."""

from dataclasses import dataclass, field

import numpy as np

from astropayne.engine.flags import Flag

__all__ = ["Outcome", "Start"]


@dataclass(frozen=True)
class Start:
    """Where a star's fit may start.

    Attributes
    ----------
    templates : numpy.ndarray, shape (n, n_names)
        The most similar ones, at the star's velocity.
    guess : numpy.ndarray, shape (n_names,), or None
        Of the regression, if the star is of its kind.
    ambiguous : bool
        Whether another velocity is about as good.
    message : str
        Why the star cannot be fitted.
    """

    templates: np.ndarray
    guess: np.ndarray | None
    ambiguous: bool
    message: str


@dataclass
class Outcome:
    """What is found for one star; as `~astropayne.FitResult` has it, without units."""

    theta: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray  # of all parameters, zero for what is fixed
    flags: Flag
    chi2: float = np.nan
    dof: int = 0
    iterations: int = 0
    message: str = ""
    at_bound: tuple = ()
    low_information: tuple = ()
    vsini_limit: float = np.nan
    used: list = field(default_factory=list)
    covered: float = 0.0  # of ln λ, by the pixels used
    best_fit: list = field(default_factory=list)
