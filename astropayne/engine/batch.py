# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fits of a batch of stars, from arrays to outcomes.

A star starts from the regression on its spectrum, or from the templates most similar to it, and
is fitted once with the pixels that its velocity and broadening allow. Stars whose fit is doubtful
are fitted again from several templates.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from astropayne.engine.arms import Arm, Star
from astropayne.engine.flags import Flag
from astropayne.engine.judging import judged, judged_pixels
from astropayne.engine.least_squares import Solution, levenberg_marquardt
from astropayne.engine.likelihood import Likelihood
from astropayne.engine.modes import resolution_shift
from astropayne.engine.outcome import Outcome
from astropayne.engine.problem import FitProblem
from astropayne.engine.range import beyond_bounds
from astropayne.engine.search.starts import Start, find_starts
from astropayne.engine.terms import Terms, chosen_degrees, revised_terms, terms_differ
from astropayne.engine.uncertainties import covariances, vsini_limits, with_width_errors
from astropayne.forward.parameters import velocities_of, velocity_of
from astropayne.forward.sampling import as_row
from astropayne.wavelengths.axis import covered_range

__all__ = ["fit_batch", "refit_batch"]

_FIRST_RESERVE = 50.0  # km/s of room for rotation and velocity, while these are uncertain
_GUESS_RESERVE = 5.0  # km/s, when they are guessed
_RESERVE = 2.0  # km/s, once velocity and rotation are about right
_TOLERANCE = {"first": 1.0, "last": 0.03}  # of χ²: a last step of this size is nearly exact
_REACH = 0.5  # of a parameter's range, that a step goes if the spectrum says nothing about it
_SEARCHED = 16  # stars that are compared with templates at a time
_DOUBT = 4.0  # χ² per degree of freedom from which on other starts are tried
_ROUNDING = 1e-6  # of the flux, which is computed in single precision


def fit_batch(
    problem: FitProblem, stars: Sequence[Star], *, best_fits: bool = False
) -> list[Outcome]:
    """Fit some stars.

    Parameters
    ----------
    problem : FitProblem
    stars : sequence of Star
        With the same number of arms each; the resolution varies in all of them, or in none.
    best_fits : bool
        Whether to compute the best-fitting model at all pixels.

    Returns
    -------
    list of Outcome
        In the order of the stars.
    """
    starts = [start for some in _blocks(stars, _SEARCHED) for start in find_starts(problem, some)]
    outcomes = [_refusal(problem, *pair) for pair in zip(stars, starts, strict=True)]
    going = [i for i, outcome in enumerate(outcomes) if outcome is None]
    guessed = [i for i in going if starts[i].guess is not None]
    others = [i for i in going if starts[i].guess is None]  # go some way from a template first
    fits = _fit_guessed(
        problem, [stars[i] for i in guessed], [starts[i].guess for i in guessed], best_fits
    )
    fits += _fit_from(
        problem, [stars[i] for i in others], [starts[i].templates[:1] for i in others], best_fits
    )
    for i, outcome in zip([*guessed, *others], fits, strict=True):
        outcomes[i] = outcome
    doubtful = [i for i in going if _is_doubtful(outcomes[i])]
    again = _fit_from(
        problem, [stars[i] for i in doubtful], [starts[i].templates for i in doubtful], best_fits
    )
    for i, other in zip(doubtful, again, strict=True):
        if other.chi2 < outcomes[i].chi2:
            outcomes[i] = other
    for i in going:
        if starts[i].ambiguous:
            outcomes[i] = outcomes[i].with_flag(Flag.VELOCITY_AMBIGUOUS)
    return outcomes


def refit_batch(
    problem: FitProblem,
    stars: Sequence[Star],
    outcomes: Sequence[Outcome],
    *,
    best_fits: bool = False,
) -> list[Outcome]:
    """Fit stars again, each from the parameters of an outcome."""
    theta = np.array([outcome.theta for outcome in outcomes])
    theta = np.where(np.isnan(theta), 0.5 * (problem.low + problem.high), theta)
    fits = _fit_guessed(problem, stars, list(theta), best_fits)
    ambiguous = [before.flags & Flag.VELOCITY_AMBIGUOUS for before in outcomes]
    return [fit.with_flag(flag) for fit, flag in zip(fits, ambiguous, strict=True)]


def _is_doubtful(outcome: Outcome) -> bool:
    return bool(outcome.flags & Flag.NOT_CONVERGED) or outcome.chi2 > _DOUBT * outcome.dof


def _refusal(problem: FitProblem, star: Star, start: Start) -> Outcome | None:
    """Return the outcome of a star that cannot be fitted, `None` if it can."""
    if start.message:
        return problem.rejected(start.message)
    theta = start.templates[0] if start.guess is None else start.guess
    rv = velocity_of(theta, "rv")
    n_pixels = 0
    for wavelength, resolution, sigma in zip(
        star.wavelength, star.resolution, star.sigma, strict=True
    ):
        reach = problem.reach(theta[None], as_row(resolution), _RESERVE)[0]
        margin = problem.forward.margin(wavelength, rv)[0]
        n_pixels += ((margin >= reach) & np.isfinite(sigma)).sum()
    if n_pixels >= problem.least_pixels:
        return None
    return problem.rejected(
        f"only {n_pixels} usable pixels lie in the model's windows at the velocity {rv:.0f} km/s, "
        f"too few for {len(problem.parameters.free)} parameters"
    )


# --- passes


def _fit_guessed(
    problem: FitProblem, stars: Sequence[Star], starts: Sequence[np.ndarray], best_fits: bool
) -> list[Outcome]:
    """Fit stars, each from a start that is near; once more if it turns out not to be."""
    if not stars:
        return []
    outcomes = _final(problem, stars, np.array(starts), best_fits, _GUESS_RESERVE)
    pairs = enumerate(zip(starts, outcomes, strict=True))
    far = [i for i, pair in pairs if _strayed(problem, *pair)]
    if far:
        theta = np.array([outcomes[i].theta for i in far])
        theta = np.where(np.isnan(theta), np.array(starts)[far], theta)
        again = _final(problem, [stars[i] for i in far], theta, best_fits)
        for i, outcome in zip(far, again, strict=True):
            outcomes[i] = outcome
    return outcomes


def _strayed(problem: FitProblem, start: np.ndarray, outcome: Outcome) -> bool:
    """Return whether a star's pixels see more of the edges than was allowed for."""
    before, after = (problem.reach(t[None], None, 0.0)[0, 0] for t in (start, outcome.theta))
    moved = abs(velocity_of(outcome.theta, "rv") - velocity_of(start, "rv"))
    return bool(after - before + moved > _GUESS_RESERVE)


def _fit_from(
    problem: FitProblem, stars: Sequence[Star], starts: Sequence[np.ndarray], best_fits: bool
) -> list[Outcome]:
    """Fit stars, each from the same number of starts."""
    if not stars:
        return []
    return _final(problem, stars, _best_start(problem, stars, starts), best_fits)


def _best_start(
    problem: FitProblem, stars: Sequence[Star], starts: Sequence[np.ndarray]
) -> np.ndarray:
    """Go some way from each start, and return where the best of each star ends: (n, n_names)."""
    n = len(starts[0])
    theta = np.concatenate(starts)
    many = [star for star in stars for _ in range(n)]
    arms, used = problem.used_arms(many, theta, _FIRST_RESERVE)
    enough = np.array([sum(map(np.sum, mine)) >= problem.least_pixels for mine in used])
    if not enough.all():  # these stars get less room
        reserve = np.where(enough, _FIRST_RESERVE, _RESERVE)[:, None]
        arms, _ = problem.used_arms(many, theta, reserve)
    terms = problem.first_terms(many)
    theta, solution, _ = _solve(problem, arms, theta, _TOLERANCE["first"], None, terms)
    chi2 = np.nan_to_num(solution.chi2.numpy().reshape(-1, n), nan=np.inf)
    return theta.reshape(-1, n, theta.shape[1])[np.arange(len(stars)), chi2.argmin(axis=1)]


def _final(
    problem: FitProblem,
    stars: Sequence[Star],
    theta: np.ndarray,
    best_fits: bool,
    reserve: float = _RESERVE,
) -> list[Outcome]:
    """Fit with the pixels that velocity and broadening allow."""
    arms, used = problem.used_arms(stars, theta, reserve)
    theta, terms = _first_pass(problem, stars, arms, theta)
    solved = _solve(problem, arms, theta, _TOLERANCE["last"], problem.modes, terms)
    if problem.inadequacy != "auto":
        return _outcomes(problem, stars, used, terms, solved, best_fits)
    theta, _, likelihood = solved
    revised = revised_terms(terms, likelihood, theta, [star.noise_known for star in stars])
    rows = np.flatnonzero(terms_differ(terms, revised))
    outcomes = [None] * len(stars)
    if len(rows) < len(stars):
        outcomes = _outcomes(problem, stars, used, terms, solved, best_fits)
    if len(rows):
        some, terms = [stars[i] for i in rows], revised[rows]
        arms, used = problem.used_arms(some, theta[rows], reserve)
        solved = _solve(problem, arms, theta[rows], _TOLERANCE["last"], problem.modes, terms)
        again = _outcomes(problem, some, used, terms, solved, best_fits)
        for i, outcome in zip(rows, again, strict=True):
            outcomes[i] = outcome
    return outcomes


def _outcomes(
    problem: FitProblem,
    stars: Sequence[Star],
    used: Sequence,
    terms: Terms | None,
    solved: tuple[np.ndarray, Solution, Likelihood],
    best_fits: bool,
) -> list[Outcome]:
    """Return the outcomes of stars at the minimum of χ²."""
    theta, solution, likelihood = solved
    hessian = solution.hessian.numpy()
    covariance, determined = covariances(problem, likelihood, theta, hessian)
    limits = vsini_limits(problem, likelihood, theta, solution, covariance)
    resolution = np.minimum(
        [star.typical_resolution for star in stars], problem.forward.resolution or np.inf
    )
    covariance, limits = with_width_errors(problem, resolution, theta, covariance, limits)
    models = [()] * len(stars)
    if best_fits:
        models = _best_fits(problem, stars, theta, likelihood)
    shifts = _resolution_shifts(problem, likelihood, theta)
    n_linear, resemblance = likelihood.n_continuum(), _resemblance(problem, likelihood, theta)
    weight = likelihood.weight.cpu().double()
    scale = torch.where(weight > 0, weight, 1.0).log().sum(dim=1)  # the rest is -χ²/2
    log_likelihood = scale - 0.5 * solution.chi2
    outcomes = []
    for i, star in enumerate(stars):
        by_noise, by_lines = _expected_squares(likelihood, i, star.n_independent, used[i])
        outcome = Outcome(
            theta[i], np.full(len(problem.names), np.nan), covariance[i], Flag(0),
            chi2=float(solution.chi2[i]),
            dof=round(by_noise + by_lines) - len(problem.parameters.free) - int(n_linear[i]),
            iterations=int(solution.iterations[i]),
            vsini_limit=limits[i], used=used[i], best_fit=models[i],
            covered=covered_range(star.wavelength, used[i]),
            log_likelihood=float(log_likelihood[i]), resemblance=float(resemblance[i]),
            resolution_shift=shifts[i],
            terms=None if terms is None else terms[i : i + 1],
        )  # fmt: skip
        converged = bool(solution.converged[i])
        beyond = beyond_bounds(solution.gradient[i].numpy(), hessian[i])
        outcome = judged(
            problem, outcome, converged=converged, determined=determined[i], beyond=beyond
        )
        if _is_limited_by_model(likelihood, i):
            outcome = outcome.with_flag(Flag.MODEL_LIMITED)
        outcomes.append(judged_pixels(problem, outcome, star, by_lines))
    return outcomes


def _first_pass(
    problem: FitProblem, stars: Sequence[Star], arms: Sequence[Arm], theta: np.ndarray
) -> tuple[np.ndarray, Terms | None]:
    """Go most of the way to the minimum, and find the continuum and the inadequacy of each star."""
    terms = problem.first_terms(stars)
    if terms is None:
        return theta, None
    theta, _, likelihood = _solve(problem, arms, theta, _TOLERANCE["first"], problem.modes, terms)
    if problem.inadequacy == "auto":
        noise_known = [star.noise_known for star in stars]
        terms = revised_terms(terms, likelihood, theta, noise_known)
    if problem.continuum == "auto":
        likelihood = likelihood.with_inadequacy(terms.inadequacy)
        terms = chosen_degrees(terms, likelihood, theta).compact()
    return theta, terms


def _resolution_shifts(
    problem: FitProblem, likelihood: Likelihood, theta: np.ndarray
) -> list[tuple[float, float]]:
    """Return the change of ln R that each star's line widths ask for, and its error."""
    if not (problem.resolution_error and likelihood.resolution_is_free):
        return [(np.nan, np.nan)] * len(theta)
    shift, error = (problem.resolution_error * part for part in resolution_shift(likelihood, theta))
    return list(zip(shift.tolist(), error.tolist(), strict=True))


def _expected_squares(likelihood, i, n_independent, used) -> tuple[float, float]:
    """Return the expected sums of squares that noise and line errors of star ``i`` make over σ."""
    each = np.concatenate([n[u] for n, u in zip(n_independent, used, strict=True)])
    if likelihood.noise_share is None:
        return each.sum(), 0.0
    good = likelihood.weight[i].cpu().numpy() > 0
    by_noise, by_lines = likelihood.noise_share[i, good], likelihood.inadequacy_share[i, good]
    return np.sum(by_noise * each), np.sum(by_lines)


def _is_limited_by_model(likelihood: Likelihood, i: int) -> bool:
    """Return whether inadequacy makes more of the errors of lines of star ``i`` than noise."""
    if likelihood.noise_share is None:
        return False
    weight = np.nan_to_num(likelihood.depth[i]) ** 2 * (likelihood.weight[i].cpu().numpy() > 0)
    return bool(np.sum(weight * likelihood.noise_share[i]) < 0.5 * weight.sum())


def _resemblance(problem: FitProblem, likelihood: Likelihood, theta: np.ndarray) -> np.ndarray:
    """Return how much residuals resemble the corrections for real stars: (n,).

    One if they are these, zero if they have nothing to do with them.
    """
    if problem.corrected is None:
        return np.zeros(len(theta))
    flux, level = likelihood.at(theta)
    pattern = level * (likelihood.with_forward(problem.corrected).at(theta)[0] - flux)
    weight = likelihood.weight.cpu().numpy().astype(float) ** 2
    residual = likelihood.flux.cpu().numpy() - level * flux
    power = np.sum(weight * pattern**2, axis=1)
    return np.sum(weight * pattern * residual, axis=1) / np.maximum(power, 1e-30)


def _solve(
    problem: FitProblem,
    arms: Sequence[Arm],
    theta: np.ndarray,
    tolerance: float,
    modes: np.ndarray | None,
    terms: Terms | None = None,
) -> tuple[np.ndarray, Solution, Likelihood]:
    """Minimize χ² from ``theta``; return the best parameters, the solution and the likelihood."""
    parameters = problem.parameters
    index = parameters.index
    low, high = problem.box(theta)
    theta = parameters.expand(np.clip(theta, low, high)[:, index], theta)
    likelihood = problem.likelihood_of(arms, theta, modes, terms, coarse=True)
    # What errors of the flux do to the size of the residuals' vector.
    rounding = _ROUNDING * torch.linalg.vector_norm(likelihood.weight, dim=1).cpu().double()
    solution = levenberg_marquardt(
        likelihood.in_blocks,
        torch.as_tensor(theta[:, index]),
        *(torch.as_tensor(bound[:, index]) for bound in (low, high)),
        reach=torch.as_tensor((problem.high - problem.low)[index] * _REACH),
        tolerance=torch.clamp_min(rounding**2, tolerance),
        rounding=6 * rounding,
    )
    return parameters.expand(solution.x.numpy(), theta), solution, likelihood


def _best_fits(
    problem: FitProblem, stars: Sequence[Star], theta: np.ndarray, likelihood: Likelihood
) -> list[tuple[np.ndarray, ...]]:
    """Return the model at every pixel of every arm, NaN where it is not supported."""
    forward = problem.forward
    coefficients, models, first = likelihood.coefficients(theta), [[] for _ in stars], 0
    for a in range(len(stars[0].wavelength)):
        for i, star in enumerate(stars):
            rv, vsini, vmac = velocities_of(theta[i])
            pixels = forward.pixels(star.wavelength[a], rv)
            resolution = as_row(star.resolution[a])
            flux = forward.forward(theta[i], pixels, resolution)[0].cpu().numpy()
            if coefficients is not None:
                basis = likelihood.continua[a][i : i + 1].basis(pixels)[0]
                m = basis.shape[1]
                flux = flux * (basis @ coefficients[i, first : first + m])
            good = forward.supported(pixels, vsini, vmac, resolution)[0]
            models[i].append(np.where(good, flux * star.scale[a], np.nan))
        if coefficients is not None:
            first += m
    return [tuple(model) for model in models]


def _blocks(items: Sequence, size: int) -> Iterator[Sequence]:
    """Yield a sequence in parts."""
    for i in range(0, len(items), size):
        yield items[i : i + size]
