# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The posterior distribution of one star's parameters: its value, its gradient, samples of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable
from tqdm.auto import tqdm

from astropayne.engine.flags import Flag
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.fitting.results import result_of
from astropayne.fitting.setup import FitSetup
from astropayne.forward.parameters import velocity_of
from astropayne.models.model import PayneModel
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
        Of the parameters that were free.
    values : numpy.ndarray, shape (n_samples, n_free)
        In the parameters' own units, as ``corner.corner(samples.values, labels=samples.names)``
        takes them; the walkers of each step one after another.
    log_probability : numpy.ndarray, shape (n_samples,)
    units : tuple of `~astropy.units.Unit`
    acceptance : float
        Fraction of steps that were taken.
    autocorrelation_time : numpy.ndarray, shape (n_free,)
        In steps; fifty times as many steps are needed for it to be well known.
    """

    names: tuple
    values: np.ndarray
    log_probability: np.ndarray
    units: tuple
    acceptance: float
    autocorrelation_time: np.ndarray

    @property
    def table(self):
        """The samples as a `~astropy.table.QTable`, a column a parameter."""
        columns = zip(self.names, self.values.T, self.units, strict=True)
        return QTable({name: u.Quantity(column, unit) for name, column, unit in columns})

    @property
    def covariance(self):
        """Covariance of the samples: shape (n_free, n_free)."""
        return np.cov(self.values, rowvar=False).reshape(len(self.names), -1)


@takes_fit_options
class Posterior:
    """The posterior distribution of the parameters of one observed star.

    It is that which `~astropayne.fit_spectrum` approximates by a Gaussian: the same pixels, noise,
    emulator's errors, bounds, ties and priors, the continuum at its best for each star. Within
    their bounds, parameters without a prior are equally probable.

    Parameters
    ----------
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        With uncertainties.
    model : `~astropayne.PayneModel`
    options : FitOptions, optional
        Options to start from; the keywords change them.
    **keywords
        Options of the fit, as in `~astropayne.fit_spectrum`.

    Attributes
    ----------
    names : tuple of str
        Of the free parameters.
    fit : `~astropayne.FitResult`
    low, high : numpy.ndarray, shape (n_free,)
        Bounds.

    Raises
    ------
    ValueError
        If the spectrum cannot be fitted, or its noise is not known.

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
        problem = setup.problem
        with without_gradients(), one_thread():
            observed, star, outcome = setup.fit_one(observed)
            if outcome.flags & Flag.NO_UNCERTAINTY:
                raise ValueError(
                    "the spectrum has no uncertainty, so that nothing says how probable labels "
                    "are: give it one, or a noise_floor"
                )
            self.fit = result_of(setup.report, observed, outcome)
            likely = 0.5 * (problem.low + problem.high)
            for name in ("vsini", "vmac"):  # a spectrum says little of them where they are small
                velocity_of(likely, name)[...] = velocity_of(problem.low, name)
            theta = np.where(np.isfinite(outcome.theta), outcome.theta, likely)
            self._likelihood = problem.likelihood(star, theta, outcome.used, outcome.terms)
        self._parameters = problem.parameters
        index = problem.parameters.index
        self.names, self.best = problem.parameters.free, theta[index]
        self.low, self.high = (bound[0, index] for bound in problem.box(theta[None]))
        units = setup.report.units
        self.units = tuple(units[name] or u.dimensionless_unscaled for name in self.names)

    def log_probability(self, theta, *, gradient=False):
        """Return the logarithm of the posterior density, up to a constant.

        Parameters
        ----------
        theta : array_like, shape (n_free,) or (n, n_free)
            Free parameters, in the order of ``names`` and their own units.
        gradient : bool
            Whether to return the derivatives, too.

        Returns
        -------
        value : numpy.ndarray, shape () or (n,)
            −χ²/2, priors included; −∞ beyond the bounds.
        gradient : numpy.ndarray, shape (n_free,) or (n, n_free)
            If wanted.
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

    def loglike(self, theta, *, gradient=False):
        """Return the logarithm of the likelihood alone; as `log_probability`, without priors."""
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
                f"theta has shape {theta.shape}: its last axis has to be the {len(self.names)} "
                f"free parameters, {', '.join(self.names)}"
            )
        return theta

    def sample(
        self, n_steps=1500, *, n_walkers=None, burn_in=500, thin=10, seed=None, progress=None
    ):
        """Draw samples with the ensemble of walkers of `emcee`, which has to be installed.

        The walkers start from the fit and its covariance, and move by differential evolution (ter
        Braak & Vrugt 2008). All of them are computed as one batch.

        Parameters
        ----------
        n_steps : int
            Steps of each walker, after those of ``burn_in``.
        n_walkers : int, optional
            Four for each parameter by default, two at least.
        burn_in : int
            Steps at first that are thrown away.
        thin : int
            Keep one step in so many.
        seed : int, optional
            Makes it reproducible.
        progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.

        Returns
        -------
        Samples

        Raises
        ------
        ImportError
            If there is no emcee.
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
                "walkers at least"
            )
        if not 1 <= thin <= n_steps or burn_in < 0:
            raise ValueError(
                f"n_steps={n_steps}, thin={thin}, burn_in={burn_in} keep no step: thin has to be "
                "from 1 to n_steps, and burn_in zero or positive"
            )
        random = np.random.RandomState(seed)  # emcee takes no other
        moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
        sampler = emcee.EnsembleSampler(
            n_walkers, len(self.names), self.log_probability, moves=moves, vectorize=True
        )
        state = emcee.State(self._around(n_walkers, random), random_state=random.get_state())
        total = burn_in + n_steps
        steps = sampler.sample(state, iterations=total)
        disable = None if progress is None else not progress
        for _ in tqdm(steps, total=total, desc="sampling", disable=disable):
            pass
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
        """Covariance to start from; where the fit has none, as wide as a part of the range."""
        width = (self.high - self.low) / 12**0.5
        known = np.isfinite(np.diagonal(self.fit.covariance))
        return np.where(known[:, None] & known, self.fit.covariance, np.diag((0.2 * width) ** 2))

    def _around(self, n, random):
        """Return starts about the fit, within the bounds."""
        start = random.multivariate_normal(self.best, self._scatter, size=n)
        spread = 2 * np.sqrt(np.diagonal(self._scatter))
        low, high = (
            np.maximum(self.low, self.best - spread),
            np.minimum(self.high, self.best + spread),
        )
        outside = (start <= self.low) | (start >= self.high)
        return np.where(outside, random.uniform(low, high, start.shape), start)
