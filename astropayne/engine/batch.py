# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fits of a batch of stars, from arrays to numbers: starts, passes, covariances, flags.

Plain numpy and torch, no units: wavelengths are Å in vacuum, velocities km/s, labels in their own
units.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from astropayne.engine.arms import Arm, filled, resolution_of
from astropayne.engine.flags import Flag
from astropayne.engine.least_squares import expected_minimum, levenberg_marquardt, scaled
from astropayne.engine.likelihood import Likelihood
from astropayne.engine.outcome import Outcome, Start
from astropayne.engine.parameters import Parameters
from astropayne.forward.sampling import a_row
from astropayne.wavelengths.axis import covered_range, find_windows
from astropayne.wavelengths.velocity import FASTEST_RV, VELOCITIES, doppler_factor

__all__ = ["BatchFitter"]

_N_STARTS = 4  # beside the first, for stars whose first fit is doubtful
_FIRST_RESERVE = 50.0  # km/s of room for rotation and velocity, while these are not known
_GUESS_RESERVE = 5.0  # km/s, when they are guessed
_RESERVE = 2.0  # km/s, once velocity and rotation are known
_TOLERANCE = {"first": 1.0, "last": 0.03}  # of χ²: a last step of this size is nearly exact
_REACH = 0.5  # of a parameter's range, that a step goes if the spectrum says nothing of it
_MIN_PIXELS = 20
_SEARCHED = 16  # stars that are compared with templates at a time
# Another velocity is as good if χ² is worse by so little, or if templates gain so large a part of
# the best gain there: they are not the star, and for few lines that matters more than noise.
_AMBIGUOUS, _AS_GOOD = 25.0, 0.5
_DOUBT = 4.0  # χ² of each degree of freedom from which on other starts are tried
_POOR = 5.0  # standard deviations of χ² beyond which a fit is poor
_ROUNDING = 1e-6  # of the flux, which is computed in single precision
_NO_ROTATION = 0.1  # km/s, so slow that nothing sees it
_TOLD_APART, _LIMIT = 4.0, 2.71  # rises of χ²: of two standard deviations; one-sided, of 95 %
_UNMEASURED = 0.2  # of its range, the error of what the spectrum says little of


@dataclass(frozen=True)
class BatchFitter:
    """What all stars of a run have in common, and the way they are fitted.

    Attributes
    ----------
    forward : `~astropayne.forward.model.ForwardModel`
    parameters : Parameters
    make_templates : callable
        Returns the `~astropayne.engine.templates.Templates`, when they are needed.
    low, high : numpy.ndarray, shape (n_names,)
        Bounds of all parameters; those of rv are relative to where the search finds it.
    fixed, start : dict of str to float
    continuum, loss : see `~astropayne.engine.likelihood.Likelihood`
    error, rest, modes : numpy.ndarray or None
        The emulator's: the error of each pixel, and the same apart, as white noise and what
        pixels share.
    scale : callable
        Of labels (n, n_labels): how large these errors are there (n,).
    shift : callable
        Of labels: the covariance of those that errors are worth beside (n, n_labels, n_labels).
    untrusted : numpy.ndarray of bool, shape (n_model_pixels,)
        Where the model is not to be compared with stars.
    """

    forward: object
    parameters: Parameters
    make_templates: Callable
    low: np.ndarray
    high: np.ndarray
    fixed: dict
    start: dict
    continuum: int | None
    loss: str
    error: np.ndarray | None
    rest: np.ndarray | None
    modes: np.ndarray | None
    scale: object
    shift: object
    untrusted: np.ndarray

    @functools.cached_property
    def templates(self):
        """The spectra that stars are compared with."""
        return self.make_templates()

    @property
    def names(self):
        """All parameters."""
        return self.parameters.names

    @property
    def _least_pixels(self):
        return max(_MIN_PIXELS, len(self.parameters.free))

    def rejected(self, message):
        """Return the outcome of a star that cannot be fitted."""
        n = len(self.names)
        nan = np.full(n, np.nan)
        return Outcome(nan, nan.copy(), np.full((n, n), np.nan), Flag.BAD_INPUT, message=message)

    def fit(self, stars, *, best_fits=False):
        """Fit some stars.

        Parameters
        ----------
        stars : sequence of Star
            With the same number of arms each; the resolution varies in all of them, or in none.
        best_fits : bool
            Whether to compute the best-fitting model at all pixels.

        Returns
        -------
        list of Outcome
            In their order.
        """
        starts = [start for some in _blocks(stars, _SEARCHED) for start in self._starts(some)]
        outcomes = [self.rejected(s.message) if s.message else None for s in starts]
        going = self._enough_pixels(stars, starts, outcomes)
        guessed = [i for i in going if starts[i].guess is not None]
        others = [i for i in going if starts[i].guess is None]  # go some way from a template first
        found = self._fit_guessed(
            [stars[i] for i in guessed], [starts[i].guess for i in guessed], best_fits
        )
        found += self._fit_from(
            [stars[i] for i in others], [starts[i].templates[:1] for i in others], best_fits
        )
        for i, outcome in zip([*guessed, *others], found, strict=True):
            outcomes[i] = outcome
        doubtful = [i for i in going if self._is_doubtful(outcomes[i])]
        again = self._fit_from(
            [stars[i] for i in doubtful], [starts[i].templates for i in doubtful], best_fits
        )
        for i, other in zip(doubtful, again, strict=True):
            if other.chi2 < outcomes[i].chi2:
                outcomes[i] = other
        for i in going:
            if starts[i].ambiguous:
                outcomes[i].flags |= Flag.VELOCITY_AMBIGUOUS
        return outcomes

    def _fit_guessed(self, stars, starts, best_fits):
        """Fit stars, each from a start that is near; from there again if it was not."""
        if not stars:
            return []
        outcomes = self._final(stars, np.array(starts), best_fits, _GUESS_RESERVE)
        far = [
            i for i, pair in enumerate(zip(starts, outcomes, strict=True)) if self._strayed(*pair)
        ]
        if far:
            theta = np.array([outcomes[i].theta for i in far])
            theta = np.where(np.isnan(theta), np.array(starts)[far], theta)
            again = self._final([stars[i] for i in far], theta, best_fits)
            for i, outcome in zip(far, again, strict=True):
                outcomes[i] = outcome
        return outcomes

    def _strayed(self, start, outcome):
        """Say whether a star's pixels see more of the edges than was reckoned with."""
        before, after = (self._reach(t[None], None, 0.0)[0, 0] for t in (start, outcome.theta))
        rv = self.names.index("rv")
        return bool(after - before + abs(outcome.theta[rv] - start[rv]) > _GUESS_RESERVE)

    def _fit_from(self, stars, starts, best_fits):
        """Fit stars, each from the same number of starts."""
        if not stars:
            return []
        return self._final(stars, self._choose_start(stars, starts), best_fits)

    @staticmethod
    def _is_doubtful(outcome):
        return bool(outcome.flags & Flag.NOT_CONVERGED) or outcome.chi2 > _DOUBT * outcome.dof

    # --- where to start

    def _starts(self, stars):
        """Return where to start each of some stars."""
        n = max(sum(map(len, star.flux)) for star in stars)

        def rows(name, rest):
            return filled([np.concatenate(getattr(star, name)) for star in stars], n, rest)

        wavelength, flux, sigma = (
            rows("wavelength", np.nan),
            rows("flux", 0.0),
            rows("sigma", np.inf),
        )
        for f, s in zip(flux, sigma, strict=True):
            if not (s[np.isfinite(s)] > 0).any():
                s[np.isfinite(s)] = 1e-2 * np.nanmedian(np.abs([*f[np.isfinite(s)], 0.0]))
        seen = wavelength, np.nan_to_num(flux), np.maximum(sigma, 1e-15) ** -2.0
        if self.continuum is not None:
            seen = wavelength, *self.templates.flatten(*seen, self.continuum)
        velocity = self.templates.correlate(
            *seen, near=self.start.get("rv"), known=self.fixed.get("rv")
        )
        order = np.argsort(-velocity.gain, axis=1)[:, : 1 + _N_STARTS]
        rv = np.take_along_axis(velocity.rv, order[:, :1], axis=1)
        resolution = np.array([star.typical_resolution for star in stars])
        guess, sound = self.templates.regress(*seen, rv[:, 0], self.continuum, resolution)
        theta = np.concatenate([guess[:, None], self.templates.theta[order]], axis=1)
        theta[:, :, self.names.index("rv")] = rv
        for name, value in {**self.start, **self.fixed}.items():
            if name != "rv" or name in self.fixed:
                theta[:, :, self.names.index(name)] = value
        best = velocity.gain.max(axis=1)
        ambiguous = velocity.rival > np.minimum(best - _AMBIGUOUS, _AS_GOOD * best)
        return [
            Start(t[1:], t[0] if ok else None, bool(doubt), message)
            for t, ok, doubt, message in zip(
                theta,
                sound,
                ambiguous,
                map(self._says_nothing, velocity.gain, wavelength),
                strict=True,
            )
        ]

    def _says_nothing(self, gain, wavelength):
        """Return what is wrong if no template resembles the spectrum, "" otherwise."""
        if gain.max() > 0:
            return ""
        theirs = f"{np.nanmin(wavelength):.0f}-{np.nanmax(wavelength):.0f} Angstrom in vacuum"
        if self._overlaps(wavelength):
            return (
                "no template of the model resembles the spectrum more than a constant does, at any "
                f"velocity that was looked at: are there absorption lines in it ({theirs})?"
            )
        nm = "; they would if they were nm: is their unit right?"
        axis = self.forward.wavelength
        windows = ", ".join(f"{axis[w][0]:.0f}-{axis[w][-1]:.0f}" for w in find_windows(axis))
        return (
            f"the wavelengths ({theirs}) do not overlap with the model's ({windows})"
            f"{nm if self._overlaps(10 * wavelength) else ''}"
        )

    def _overlaps(self, wavelength):
        """Say whether any pixel is in the model's windows, or as near as velocities shift it."""
        return bool((self.forward.margin(wavelength, 0.0) > -FASTEST_RV).any())

    def _enough_pixels(self, stars, starts, outcomes):
        """Return the stars that have pixels to be fitted; the others get their outcome."""
        going = []
        for i, start in enumerate(starts):
            if outcomes[i] is not None:
                continue
            theta = start.templates[:1] if start.guess is None else start.guess[None]
            margin = self._margin(stars[i], theta[0])
            n_pixels = sum(
                ((m >= self._reach(theta[:1], a_row(r), _RESERVE)[0]) & np.isfinite(s)).sum()
                for m, r, s in zip(margin, stars[i].resolution, stars[i].sigma, strict=True)
            )
            if n_pixels >= self._least_pixels:
                going.append(i)
            else:
                rv = theta[0, self.names.index("rv")]
                outcomes[i] = self.rejected(
                    f"only {n_pixels} usable pixels lie in the model's windows at the velocity "
                    f"{rv:.0f} km/s, too few for {len(self.parameters.free)} parameters"
                )
        return going

    def _margin(self, star, theta):
        rv = theta[self.names.index("rv")]
        return [self.forward.margin(wavelength, rv)[0] for wavelength in star.wavelength]

    def _reach(self, theta, resolution, reserve):
        """Return how far from a window's edge pixels have to be, as `reach` has it."""
        _, vsini, vmac = theta[:, -len(VELOCITIES) :].T
        return self.forward.reach(vsini, vmac, resolution) + reserve

    # --- the two passes

    def _choose_start(self, stars, starts):
        """Go some way from each start, and return where the best is: (n, n_names)."""
        n = len(starts[0])
        theta = np.concatenate(starts)
        many = [star for star in stars for _ in range(n)]
        arms, used = self._arms(many, theta, _FIRST_RESERVE)
        enough = np.array([sum(map(np.sum, mine)) >= self._least_pixels for mine in used])
        if not enough.all():  # these stars get less room
            reserve = np.where(enough, _FIRST_RESERVE, _RESERVE)[:, None]
            arms, _ = self._arms(many, theta, reserve)
        theta, solution = self._solve(arms, theta, _TOLERANCE["first"], modes=None)[:2]
        chi2 = np.nan_to_num(solution.chi2.numpy().reshape(-1, n), nan=np.inf)
        return theta.reshape(-1, n, theta.shape[1])[np.arange(len(stars)), chi2.argmin(axis=1)]

    def _final(self, stars, theta, best_fits, reserve=_RESERVE):
        """Fit with the pixels that velocity and broadening allow; return the outcomes."""
        arms, used = self._arms(stars, theta, reserve)
        theta, solution, likelihood = self._solve(arms, theta, _TOLERANCE["last"], self.modes)
        covariance, known = self.covariance(likelihood, theta, solution.hessian.numpy())
        outcomes = []
        limits = self._vsini_limits(likelihood, theta, solution, covariance)
        models = self._best_fits(stars, theta, likelihood) if best_fits else [[]] * len(stars)
        n_linear = np.zeros(len(stars), dtype=int)
        if likelihood.basis is not None:
            n_linear += (likelihood.basis != 0).any(dim=1).sum(dim=1).cpu().numpy()
        for i, star in enumerate(stars):
            n_pixels = sum(w[u].sum() for w, u in zip(star.worth, used[i], strict=True))
            dof = round(n_pixels) - len(self.parameters.free) - int(n_linear[i])
            outcome = Outcome(
                theta[i], np.full(len(self.names), np.nan), covariance[i], Flag(0),
                float(solution.chi2[i]), dof, int(solution.iterations[i]),
                vsini_limit=limits[i], used=used[i], best_fit=models[i],
                covered=covered_range(star.wavelength, used[i]),
            )  # fmt: skip
            self._judge(outcome, bool(solution.converged[i]), known[i])
            if not star.noise_known:
                outcome.flags |= Flag.NO_UNCERTAINTY
            elif outcome.chi2 > dof + _POOR * np.sqrt(2 * max(dof, 1)):
                outcome.flags |= Flag.POOR_FIT
            if outcome.covered < 0.5 * (self.forward.end - self.forward.start).sum():
                outcome.flags |= Flag.FEW_PIXELS
            outcomes.append(outcome)
        return outcomes

    def _arms(self, stars, theta, reserve):
        """Return the arms, with the pixels that can be used only, and which these are."""
        arms, used = [], [[] for _ in stars]
        for a, arm in enumerate(self.arms(stars, theta, reserve)):
            good = np.isfinite(arm.sigma)
            for star, mine, row in zip(stars, used, good, strict=True):
                mine.append(row[: len(star.flux[a])])
            arms.append(arm.keep(good))
        return arms, used

    def arms(self, stars, theta, reserve=0.0):
        """Return the arms of stars that are about at ``theta``.

        What lies nearer to the edges of windows than broadening and a reserve in km/s reach, or is
        not trusted, has an infinite sigma.
        """
        arms, rv = [], theta[:, self.names.index("rv")]
        for a in range(len(stars[0].wavelength)):
            n = max(len(star.wavelength[a]) for star in stars)
            wavelength, flux, sigma = (
                filled([getattr(star, name)[a] for star in stars], n, rest)
                for name, rest in (("wavelength", np.nan), ("flux", 0.0), ("sigma", np.inf))
            )
            resolution = resolution_of(stars, a, n)
            reach = self._reach(theta, resolution, reserve)
            good = self.forward.margin(wavelength, rv) >= reach
            sigma = np.where(good & self.trusted(wavelength, rv), sigma, np.inf)
            arms.append(Arm(wavelength, np.nan_to_num(flux), sigma, resolution))
        return arms

    def trusted(self, wavelength, rv):
        """Say which pixels are, in the star's frame, where the model is to be believed."""
        if not self.untrusted.any():
            return np.ones(wavelength.shape, dtype=bool)
        rest = wavelength / doppler_factor(rv)[:, None]
        return np.interp(rest, self.forward.wavelength, self.untrusted.astype(float)) < 0.5

    def _solve(self, arms, theta, tolerance, modes):
        """Minimise χ² from parameters on; return those found, the solution and the likelihood."""
        index = self.parameters.index
        low, high = self.box(theta)
        theta = self.parameters.expand(np.clip(theta, low, high)[:, index], theta)
        likelihood = self.likelihood_of(arms, theta, modes, coarse=True)
        # What errors of the flux do to the size of the residuals' vector.
        rounding = _ROUNDING * torch.linalg.vector_norm(likelihood.weight, dim=1).cpu().double()
        solution = levenberg_marquardt(
            self._in_blocks(likelihood),
            torch.as_tensor(theta[:, index]),
            *(torch.as_tensor(bound[:, index]) for bound in (low, high)),
            reach=torch.as_tensor((self.high - self.low)[index] * _REACH),
            tolerance=torch.clamp_min(rounding**2, tolerance),
            rounding=6 * rounding,
        )
        return self.parameters.expand(solution.x.numpy(), theta), solution, likelihood

    def box(self, theta):
        """Return the bounds of all parameters for stars that are about at ``theta``."""
        low, high = (np.tile(bound, (len(theta), 1)) for bound in (self.low, self.high))
        rv = self.names.index("rv")
        low[:, rv] += theta[:, rv]
        high[:, rv] += theta[:, rv]
        return low, high

    def likelihood(self, star, theta, used):
        """Return the likelihood of one star that is about at ``theta`` (n_names,).

        ``used`` are the pixels of each arm that count: those of a fit.
        """
        sigma = [np.where(good, s, np.inf) for good, s in zip(used, star.sigma, strict=True)]
        arms, _ = self._arms([replace(star, sigma=sigma)], theta[None], -np.inf)
        modes = self.modes
        if modes is not None:
            modes = np.vstack([modes, self._shifted(theta[: -len(VELOCITIES)])])
        return self.likelihood_of(arms, theta[None], modes)

    def _shifted(self, labels):
        """Return what the shifts that errors are worth do to the flux: (n_labels, n_pixels)."""
        shift, scale = self.shift(labels[None])[0], self.scale(labels[None])[0]
        size, directions = np.linalg.eigh(shift / scale**2)
        by_labels = self.forward.rest_jacobian(labels)
        return (directions * np.sqrt(np.maximum(size, 0))).T @ by_labels

    def likelihood_of(self, arms, theta, modes, *, coarse=False):
        """Return the likelihood of arms, at first at ``theta``."""
        emulator = {"error": self.error}
        if modes is not None:
            emulator = {"rest": self.rest, "modes": modes}
        return Likelihood(
            self.forward, self.parameters, arms, theta,
            continuum=self.continuum, loss=self.loss,
            scale=self.scale(theta[:, : -len(VELOCITIES)]), coarse=coarse, **emulator,
        )  # fmt: skip

    @staticmethod
    def _in_blocks(likelihood):
        """Return the function that computes normal equations, so many stars at a time."""

        def evaluate(x, rows):
            blocks = zip(*(part.split(likelihood.at_once) for part in (x, rows)), strict=True)
            parts = [likelihood.normal_equations(*block) for block in blocks]
            return tuple(torch.cat(part) for part in zip(*parts, strict=True))

        return evaluate

    # --- what is known then

    def covariance(self, likelihood, theta, hessian):
        """Return covariances of the free parameters (n, k, k), and which are determined (n, k)."""
        matrix = self._shifted_too(likelihood, theta, hessian) + np.diag(self.of_ranges)
        matrix, scale = scaled(matrix)
        size, vectors = np.linalg.eigh(np.nan_to_num(matrix))
        weak = size < 1e-10 * size[:, -1:]
        inverse = np.where(weak, 0.0, 1 / np.where(weak, 1.0, size))
        covariance = np.einsum("nij,nj,nkj->nik", vectors, inverse, vectors) / scale
        known = np.einsum("nij,nj->ni", vectors**2, weak.astype(float)) < 1e-6
        known &= likelihood.noise_known[:, None]
        known &= np.isfinite(hessian).all(axis=(1, 2))[:, None]
        return np.where(known[:, :, None] & known[:, None], covariance, np.nan), known

    @property
    def of_ranges(self):
        """What is known of free parameters beforehand, inverse variances: (k,).

        That a label is within its range matters where the spectrum says little. It is counted as a
        Gaussian as wide as a uniform distribution over the range.
        """
        index = self.parameters.index
        is_label = index < len(self.names) - len(VELOCITIES)
        return np.where(is_label, 12 / (self.high - self.low)[index] ** 2, 0.0)

    def _shifted_too(self, likelihood, theta, hessian):
        """Return what is left of JᵀJ if labels may be shifted by what errors are worth: (n, k, k).

        The inverse of what the spectrum says is larger by what the shifts do to the fit; priors on
        the labels are as good as they were.
        """
        shift = self.shift(theta[:, : -len(VELOCITIES)])
        if not shift.any():
            return hessian
        prior = np.diag(self.parameters.prior()[1])
        said, scale = scaled(hessian - prior)
        follow = self._following(likelihood, theta, said, scale)
        shift = follow @ shift @ follow.transpose(0, 2, 1) * scale
        return scale * np.linalg.solve(np.eye(len(prior)) + said @ shift, said) + prior

    def _following(self, likelihood, theta, said, scale):
        """Return how free parameters follow shifts of all labels: (n, k, n_labels).

        Where all labels are free, each follows its own; one that is held takes others along.
        """
        names, index = self.names[: -len(VELOCITIES)], self.parameters.index
        if {*names} <= {*self.parameters.free}:
            return np.eye(len(index), len(names))[None]
        moving = tuple(self.names[i] for i in self.parameters.moving if self.names[i] in VELOCITIES)
        free = likelihood.of(Parameters(self.names, names + moving, self.parameters.scale))
        x = torch.as_tensor(theta[:, free.parameters.index])
        everything = self._in_blocks(free)(x, torch.arange(len(theta)))[2].numpy()
        chain = self.parameters.chain(theta[:, index], theta)[:, free.parameters.index]
        by_shifts = chain.transpose(0, 2, 1) @ everything[:, :, : len(names)]
        inverse = np.linalg.pinv(np.nan_to_num(said), 1e-10, hermitian=True) / scale
        return inverse @ np.nan_to_num(by_shifts)

    def _vsini_limits(self, likelihood, theta, solution, covariance):
        """Return upper limits of vsini where it cannot be told from zero, NaN elsewhere: (n,).

        They are where χ², all else fitted again by its normal equations, has risen by ``_LIMIT``.
        """
        limits = np.full(len(theta), np.nan)
        vsini = self.names.index("vsini")
        if "vsini" not in self.parameters.free or self.low[vsini] > _NO_ROTATION:
            return limits
        k = self.parameters.free.index("vsini")
        others = torch.arange(len(self.parameters.free)) != k
        evaluate = self._in_blocks(likelihood)

        def excess(rows, velocity):
            if not len(rows):
                return np.zeros(0)
            x = solution.x[rows].clone()
            x[:, k] = torch.as_tensor(velocity)
            chi2, gradient, hessian = evaluate(x, torch.as_tensor(rows))
            hessian = hessian[:, others][:, :, others]
            lowest = expected_minimum(
                *(part.numpy() for part in (chi2, gradient[:, others], hessian))
            )
            return lowest - solution.chi2[rows].numpy()

        best, error = theta[:, vsini], np.sqrt(covariance[:, k, k])
        error[best <= self.low[vsini]] = np.inf
        rows = np.flatnonzero(likelihood.noise_known & (best < 3 * error))
        rows = rows[excess(rows, np.full(len(rows), self.low[vsini])) < _TOLD_APART]
        # the spectrum changes with the square of vsini, and so χ² with the square of its change
        change = np.maximum(best[rows] ** 2, 9.0)
        for _ in range(4):
            rise = np.maximum(excess(rows, np.sqrt(best[rows] ** 2 + change)), 1e-3)
            change = change * np.clip((_LIMIT / rise) ** 0.5, 0.1, 10)
            change = np.minimum(change, self.high[vsini] ** 2 - best[rows] ** 2)
        limits[rows] = np.sqrt(best[rows] ** 2 + change)
        return limits

    def _judge(self, outcome, converged, known):
        """Set flags and errors, and NaN for what was not measured."""
        names, index = np.array(self.parameters.free), self.parameters.index
        x, low, high = outcome.theta[index], self.low[index], self.high[index]
        is_rv = names == "rv"  # its bounds are where the search ends, not where velocities do
        slack = 1e-6 * (high - low)
        at_bound = ((x <= low + slack) | (x >= high - slack)) & ~is_rv
        error = np.sqrt(np.diagonal(outcome.covariance))
        is_label = index < len(self.names) - len(VELOCITIES)
        # A width of zero has no error to speak of: the derivative by it vanishes there.
        no_error = at_bound & ~is_label
        little = known & ~is_rv & ~no_error & (error > _UNMEASURED * (high - low))
        if not converged:
            outcome.flags |= Flag.NOT_CONVERGED
            outcome.message = "the optimiser stopped before it was sure"
        for which, flag, attribute in (
            (at_bound, Flag.AT_BOUND, "at_bound"),
            (little, Flag.LOW_INFORMATION, "low_information"),
        ):
            if which.any():
                outcome.flags |= flag
                setattr(outcome, attribute, tuple(names[which].tolist()))
        if not (known | is_label).all():
            outcome.flags |= Flag.SINGULAR
        lost = little | no_error
        covariance = outcome.covariance.copy()
        covariance[lost] = covariance[:, lost] = np.nan
        everything = self.parameters.spread(covariance[None], x[None], outcome.theta[None])[0]
        moving = self.parameters.moving
        outcome.covariance = everything
        outcome.errors[moving] = np.sqrt(np.diagonal(everything)[moving])
        outcome.theta[index[little]] = np.nan

    def _best_fits(self, stars, theta, likelihood):
        """Return the model at every pixel of every arm, NaN where it is not supported."""
        coefficients, models, first = likelihood.coefficients(theta), [[] for _ in stars], 0
        for a in range(len(stars[0].wavelength)):
            for i, star in enumerate(stars):
                rv, vsini, vmac = theta[i, -len(VELOCITIES) :]
                pixels = self.forward.pixels(star.wavelength[a], rv)
                resolution = a_row(star.resolution[a])
                flux = self.forward.forward(theta[i], pixels, resolution)[0].cpu().numpy()
                if coefficients is not None:
                    basis = likelihood.continua[a][i : i + 1].basis(pixels)[0]
                    m = basis.shape[1]
                    flux = flux * (basis @ coefficients[i, first : first + m])
                good = self.forward.supported(pixels, vsini, vmac, resolution)[0]
                models[i].append(np.where(good, flux * star.scale[a], np.nan))
            if coefficients is not None:
                first += m
        return models


def _blocks(items, size):
    """Yield a sequence in parts."""
    for i in range(0, len(items), size):
        yield items[i : i + size]
