# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The posterior distribution of one star's parameters: its density, its gradient, samples."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import torch
from astropy.table import QTable

from astropayne.engine.flags import Flag
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.fitting.results import result_of
from astropayne.fitting.setup import FitSetup
from astropayne.forward.parameters import velocity_of
from astropayne.models.model import PayneModel
from astropayne.utils.progress import progress_bar
from astropayne.utils.torch_state import one_thread, without_gradients

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["Posterior", "Samples"]

_AT_ONCE = 32  # parameter vectors that are computed at a time


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a posterior distribution.

    Attributes
    ----------
    names : tuple of str
        Names of the free parameters.
    values : numpy.ndarray, shape (n_samples, n_free)
        Values in the units of the parameters, as ``corner.corner(samples.values,
        labels=samples.names)`` takes them. The walkers of each step follow one another.
    log_probability : numpy.ndarray, shape (n_samples,)
    units : tuple of `~astropy.units.Unit`
    acceptance : float
        Fraction of proposed steps that were accepted.
    autocorrelation_time : numpy.ndarray, shape (n_free,)
        In steps; an accurate estimate takes fifty times as many steps.
    """

    names: tuple
    values: np.ndarray
    log_probability: np.ndarray
    units: tuple
    acceptance: float
    autocorrelation_time: np.ndarray

    @property
    def table(self) -> QTable:
        """The samples as a `~astropy.table.QTable` with one column per parameter."""
        columns = zip(self.names, self.values.T, self.units, strict=True)
        return QTable({name: u.Quantity(column, unit) for name, column, unit in columns})

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the samples: shape (n_free, n_free)."""
        return np.cov(self.values, rowvar=False).reshape(len(self.names), -1)


@takes_fit_options
class Posterior:
    """The posterior distribution of the parameters of one observed star.

    `~astropayne.fit_spectrum` approximates the same distribution by a Gaussian: pixels, noise,
    emulator errors, bounds, ties and priors are the same, and the continuum is the best one for
    each set of parameters. Parameters without a prior have a uniform prior within their bounds.

    Parameters
    ----------
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        The observed spectrum, with uncertainties.
    model : `~astropayne.PayneModel`
    options : FitOptions, optional
        Options to start from; the keywords change them.
    **keywords
        Options of the fit, as in `~astropayne.fit_spectrum`.

    Attributes
    ----------
    names : tuple of str
        Names of the free parameters.
    units : tuple of `~astropy.units.Unit`
        Their units.
    best : numpy.ndarray, shape (n_free,)
        Their values in the best fit.
    fit : `~astropayne.FitResult`
        Result of the fit of the star.
    low, high : numpy.ndarray, shape (n_free,)
        Bounds of the free parameters.

    Raises
    ------
    ValueError
        If the spectrum cannot be fitted, or has no uncertainties.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne import PayneModel
    >>> from astropayne.fitting.posterior import Posterior
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.2, feh=-0.3, vmic=1.2, rv=20, vsini=5)
    >>> posterior = Posterior(star, model, noise_floor=0.01)
    >>> value, gradient = posterior.log_probability(posterior.best, gradient=True)
    >>> value.shape, gradient.shape, len(posterior.names)
    ((), (14,), 14)
    """

    def __init__(
        self,
        observed: "Spectrum | SpectrumList",
        model: PayneModel,
        *,
        options: FitOptions | None = None,
        **keywords: Any,
    ) -> None:
        setup = FitSetup.of(model, FitOptions.from_call(Posterior, options, keywords))
        with without_gradients(), one_thread():
            observed, star, outcome = setup.fit_one(observed)
            if outcome.flags & Flag.NO_UNCERTAINTY:
                raise ValueError(
                    "the spectrum has no uncertainty, which a posterior needs: give the spectrum "
                    "an uncertainty, or pass a noise_floor"
                )
            self.fit = result_of(setup.report, observed, outcome)
            problem = setup.problem_of(outcome)
            likely = 0.5 * (problem.low + problem.high)
            for name in ("vsini", "vmac"):  # small ones are hardly constrained
                velocity_of(likely, name)[...] = velocity_of(problem.low, name)
            theta = np.where(np.isfinite(outcome.theta), outcome.theta, likely)
            self._likelihood = problem.likelihood(star, theta, outcome.used, outcome.terms)
        self._parameters = problem.parameters
        index = problem.parameters.index
        self.names, self.best = problem.parameters.free, theta[index]
        self.low, self.high = (bound[0, index] for bound in problem.box(theta[None]))
        units = setup.report.units
        self.units = tuple(units[name] or u.dimensionless_unscaled for name in self.names)

    def log_probability(
        self, theta: npt.ArrayLike, *, gradient: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the logarithm of the posterior density, up to a constant.

        Parameters
        ----------
        theta : array_like, shape (n_free,) or (n, n_free)
            Free parameters in the order of ``names``, in their units.
        gradient : bool
            Whether to return the gradient as well.

        Returns
        -------
        value : numpy.ndarray, shape () or (n,)
            −χ²/2 including priors; −∞ outside the bounds.
        gradient : numpy.ndarray, shape (n_free,) or (n, n_free)
            Returned if ``gradient`` is true.

        Raises
        ------
        ValueError
            If ``theta`` does not have the shape above.
        """
        theta = self._checked(theta)
        rows = np.atleast_2d(theta)
        value, slope = np.full(len(rows), -np.inf), np.full(rows.shape, np.nan)
        inside = np.flatnonzero(((rows >= self.low) & (rows <= self.high)).all(axis=1))
        with without_gradients(), one_thread():
            for some in np.array_split(inside, -(-len(inside) // _AT_ONCE) or 1):
                if not len(some):
                    continue
                chi2, by, _ = self._likelihood.normal_equations(
                    torch.as_tensor(rows[some]),
                    torch.zeros(len(some), dtype=torch.long),
                    derivatives=gradient,
                )
                value[some] = -0.5 * chi2.cpu().numpy()
                if gradient:
                    slope[some] = -by.cpu().numpy()
        value, slope = value.reshape(theta.shape[:-1]), slope.reshape(theta.shape)
        return (value, slope) if gradient else value

    def loglike(
        self, theta: npt.ArrayLike, *, gradient: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the logarithm of the likelihood: `log_probability` without priors."""
        mean, precision = self._parameters.prior()
        away = self._checked(theta) - mean
        prior = -0.5 * (precision * away**2).sum(axis=-1)
        if not gradient:
            return self.log_probability(theta) - prior
        value, slope = self.log_probability(theta, gradient=True)
        return value - prior, slope + precision * away

    def _checked(self, theta):
        theta = np.asarray(theta, dtype=float)
        if theta.ndim not in (1, 2) or theta.shape[-1] != len(self.names):
            raise ValueError(
                f"theta has shape {theta.shape}: its last axis must be the {len(self.names)} "
                f"free parameters, {', '.join(self.names)}"
            )
        return theta

    def sample(
        self,
        n_steps: int = 1500,
        *,
        n_walkers: int | None = None,
        burn_in: int = 500,
        thin: int = 10,
        seed: int | None = None,
        progress: bool | None = None,
    ) -> Samples:
        """Draw samples with the ensemble sampler of `emcee`, which must be installed.

        The walkers are initialized from the fit and its covariance, and move by differential
        evolution (ter Braak & Vrugt 2008). All walkers are computed as one batch.

        Parameters
        ----------
        n_steps : int
            Number of steps of each walker after the first ``burn_in``.
        n_walkers : int, optional
            Number of walkers: at least two per parameter; four by default.
        burn_in : int
            Number of initial steps that are discarded.
        thin : int
            Every ``thin``-th step is kept.
        seed : int, optional
            Seed of the random numbers, for reproducible samples.
        progress : bool, optional
            Whether to show a progress bar; by default, only on a terminal.

        Returns
        -------
        Samples

        Raises
        ------
        ImportError
            If emcee is not installed.
        ValueError
            If there are too few walkers, or no step would be kept.
        """
        try:
            import emcee
        except ImportError as error:
            raise ImportError("sampling needs emcee: pip install astropayne[mcmc]") from error
        n_walkers = 4 * len(self.names) if n_walkers is None else n_walkers
        if n_walkers < 2 * len(self.names):
            raise ValueError(
                f"n_walkers={n_walkers}: {len(self.names)} parameters need {2 * len(self.names)} "
                "walkers or more"
            )
        if not 1 <= thin <= n_steps or burn_in < 0:
            raise ValueError(
                f"n_steps={n_steps}, thin={thin}, burn_in={burn_in} keep no step: thin must be "
                "from 1 to n_steps, and burn_in zero or positive"
            )
        random = np.random.RandomState(seed)  # the only kind that emcee takes
        moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
        sampler = emcee.EnsembleSampler(
            n_walkers, len(self.names), self.log_probability, moves=moves, vectorize=True
        )
        state = emcee.State(self._around(n_walkers, random), random_state=random.get_state())
        total = burn_in + n_steps
        with progress_bar(total, "sampling", progress) as bar:
            for _ in sampler.sample(state, iterations=total):
                bar.update()
        with np.errstate(invalid="ignore"):  # of walkers that never moved
            time = sampler.get_autocorr_time(discard=burn_in, quiet=True, tol=0)
        kept = {"discard": burn_in, "thin": thin, "flat": True}
        return Samples(
            self.names,
            sampler.get_chain(**kept),
            sampler.get_log_prob(**kept),
            self.units,
            float(np.mean(sampler.acceptance_fraction)),
            time,
        )

    @cached_property
    def _scatter(self):
        """Covariance of the initial walkers; a fraction of the range where the fit has none."""
        width = (self.high - self.low) / 12**0.5
        measured = np.isfinite(np.diagonal(self.fit.covariance))
        return np.where(
            measured[:, None] & measured, self.fit.covariance, np.diag((0.2 * width) ** 2)
        )

    def _around(self, n, random):
        """Return initial positions of walkers around the fit, within the bounds."""
        start = random.multivariate_normal(self.best, self._scatter, size=n)
        spread = 2 * np.sqrt(np.diagonal(self._scatter))
        low, high = (
            np.maximum(self.low, self.best - spread),
            np.minimum(self.high, self.best + spread),
        )
        outside = (start <= self.low) | (start >= self.high)
        return np.where(outside, random.uniform(low, high, start.shape), start)
