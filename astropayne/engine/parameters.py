# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The parameters of a fit: free, fixed and tied."""

from dataclasses import dataclass, field

import numpy as np

from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["Parameters"]

_STEP = 1e-5  # of a parameter's scale, for the derivatives of ties


@dataclass(frozen=True)
class Parameters:
    """The free, fixed and tied parameters of a fit.

    Attributes
    ----------
    names : tuple of str
        All parameters of the forward model: labels, then rv, vsini and vmac.
    free : tuple of str
        Names of the fitted parameters.
    scale : numpy.ndarray, shape (n_names,)
        Typical changes of the parameters.
    tied : mapping of str to callable
        Parameters that follow from others: functions of a mapping of names to arrays.
    priors : mapping of str to (float, float)
        Mean and standard deviation of Gaussian priors on free parameters.
    """

    names: tuple
    free: tuple
    scale: np.ndarray
    tied: dict = field(default_factory=dict)
    priors: dict = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all labels, fitted or not."""
        return tuple(name for name in self.names if name not in VELOCITIES)

    @property
    def index(self) -> np.ndarray:
        """Positions of the free parameters among all."""
        return np.array([self.names.index(name) for name in self.free], dtype=int)

    @property
    def moving(self) -> list[int]:
        """Increasing positions of the parameters that are free or tied."""
        return [i for i, name in enumerate(self.names) if name in self.free or name in self.tied]

    def expand(self, free: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Return all parameters (n, n_names) with these free ones (n, n_free), ties applied."""
        theta = theta.copy()
        theta[:, self.index] = free
        values = dict(zip(self.names, theta.T, strict=True))  # views, which follow
        for _ in self.tied:  # one may follow from another that comes later
            for name, function in self.tied.items():
                theta[:, self.names.index(name)] = function(values)
        return theta

    def chain(self, free: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Return derivatives of all parameters by the free ones: (n, n_names, n_free)."""
        by = np.zeros((len(free), len(self.names), len(self.free)))
        by[:, self.index, np.arange(len(self.free))] = 1
        if self.tied:
            tied = [self.names.index(name) for name in self.tied]
            for k, i in enumerate(self.index):
                step = np.zeros(len(self.free))
                step[k] = _STEP * self.scale[i]
                ahead, behind = (self.expand(free + s, theta)[:, tied] for s in (step, -step))
                by[:, tied, k] = (ahead - behind) / (2 * step[k])
        return by

    def spread(self, covariance: np.ndarray, free: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Return the covariances of all parameters from those of free ones: (n, n_names, n_names).

        They are zero for fixed parameters, and NaN for those that depend on undetermined ones.
        """
        if not self.tied:
            everything = np.zeros((len(free), len(self.names), len(self.names)))
            everything[:, self.index[:, None], self.index] = covariance
            return everything
        by = self.chain(free, theta)
        unknown = np.isnan(np.diagonal(covariance, axis1=1, axis2=2))
        everything = by @ np.nan_to_num(covariance) @ by.transpose(0, 2, 1)
        lost = ((by != 0) & unknown[:, None]).any(axis=2)
        return np.where(lost[:, :, None] | lost[:, None], np.nan, everything)

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means and inverse variances of the free parameters' priors."""
        pairs = [self.priors.get(name, (0.0, np.inf)) for name in self.free]
        mean, sigma = np.transpose(pairs) if pairs else np.zeros((2, 0))
        return mean, sigma**-2.0
