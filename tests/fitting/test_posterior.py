import builtins
import functools

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from specutils import SpectralRegion, Spectrum

from astropayne import Posterior, fit_spectrum

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_posterior = functools.partial(Posterior, **EXACT)

TRUTH = {"teff": 5600.0, "logg": 4.2, "feh": -0.3, "vmic": 1.2, "A_Li": 2.4}
FIXED = dict.fromkeys(("Mg_Fe", "Ca_Fe", "Ti_Fe", "Na_Fe", "Al_Fe", "Ni_Fe", "Ba_Fe"), 0.0)
OPTIONS = {
    "fixed": {**FIXED, "A_Li": 2.4},
    "priors": {"vmic": (1.3, 0.1 * u.km / u.s)},
    "continuum": 1,
    "regions": SpectralRegion(6090 * u.AA, 6170 * u.AA),
}


@pytest.fixture(scope="module")
def observed(model):
    rng = np.random.default_rng(5)
    star = model(**TRUTH, rv=-30, vsini=9)
    flux = star.flux.value + rng.normal(0, 0.01, star.flux.shape)
    return Spectrum(
        spectral_axis=star.spectral_axis, flux=1e3 * flux * u.one, mask=star.mask,
        uncertainty=StdDevUncertainty(np.full(len(flux), 10.0)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def posterior(model, observed):
    return exact_posterior(observed, model, **OPTIONS)


def test_it_is_that_of_the_fit(posterior, model, observed):
    fit = exact_fit_spectrum(observed, model, **OPTIONS)
    assert posterior.names == fit.free == posterior.fit.free
    # not to the last digit: the emulator's error is that at the best labels here, and in a fit that
    # at the labels it started from
    assert posterior.log_probability(posterior.best) == pytest.approx(-0.5 * fit.chi2, abs=5)
    # the curvature at the best is the inverse of the covariance, but for the labels' ranges
    step = 0.5 * np.sqrt(np.diag(fit.covariance))
    for i, size in enumerate(step):
        if not np.isfinite(size):
            continue
        away = np.zeros(len(step))
        away[i] = size
        _, up = posterior.log_probability(posterior.best + away, gradient=True)
        _, down = posterior.log_probability(posterior.best - away, gradient=True)
        curvature = (down[i] - up[i]) / (2 * size)
        assert curvature == pytest.approx(np.linalg.inv(fit.covariance)[i, i], rel=0.1)


def test_values_gradients_and_bounds(posterior):
    rng = np.random.default_rng(1)
    sigma = np.sqrt(np.diag(posterior.fit.covariance))
    theta = posterior.best + sigma * rng.normal(size=(40, len(sigma)))
    value, gradient = posterior.log_probability(theta, gradient=True)
    assert value == pytest.approx(posterior.log_probability(theta), abs=0.05)
    assert posterior.log_probability(theta[3]) == pytest.approx(value[3], abs=0.05)
    for i in range(len(sigma)):  # in single precision, over a standard deviation
        ahead, behind = theta[:4].copy(), theta[:4].copy()
        ahead[:, i] += 0.5 * sigma[i]
        behind[:, i] -= 0.5 * sigma[i]
        rise = posterior.log_probability(ahead) - posterior.log_probability(behind)
        assert gradient[:4, i] * sigma[i] == pytest.approx(rise, abs=0.15, rel=0.05)
    k = posterior.names.index("vmic")
    likelihood, slope = posterior.loglike(theta, gradient=True)
    prior = -0.5 * ((theta[:, k] - 1.3) / 0.1) ** 2
    assert value - likelihood == pytest.approx(prior)
    assert gradient[:, k] - slope[:, k] == pytest.approx(-(theta[:, k] - 1.3) / 0.1**2)
    outside = posterior.best.copy()
    outside[0] = 9000
    assert posterior.log_probability(outside) == -np.inf


def test_it_knows_what_the_emulator_shifts(model, observed):
    """Where there is hardly any noise, nothing else is left."""
    quiet = Spectrum(
        spectral_axis=observed.spectral_axis, flux=1e3 * model(**TRUTH, rv=-30, vsini=9).flux,
        uncertainty=StdDevUncertainty(np.full(len(observed.flux), 0.1)), mask=observed.mask,
    )  # fmt: skip
    sharp = exact_posterior(quiet, model, continuum=1)
    i, sigma = sharp.names.index("feh"), np.sqrt(np.diag(sharp.fit.covariance))
    step = 0.3 * sharp.fit.covariance[:, i] / sigma[i]  # along which nothing else is to be gained
    _, up = sharp.log_probability(sharp.best + step, gradient=True)
    _, down = sharp.log_probability(sharp.best - step, gradient=True)
    assert (down - up)[i] / 0.6 * sigma[i] == pytest.approx(1, abs=0.2)


def test_samples_agree_with_the_covariance(posterior):
    pytest.importorskip("emcee")
    samples = posterior.sample(150, burn_in=50, thin=5, n_walkers=16, seed=1, progress=False)
    assert samples.values.shape == (150 // 5 * 16, 6)
    sigma = np.sqrt(np.diag(posterior.fit.covariance))
    mean, spread = samples.values.mean(axis=0), samples.values.std(axis=0)
    assert (mean - posterior.best) / sigma == pytest.approx(0, abs=0.4)
    assert spread / sigma == pytest.approx(1, abs=0.25)
    correlation = posterior.fit.covariance / np.outer(sigma, sigma)
    assert samples.covariance / np.outer(spread, spread) == pytest.approx(correlation, abs=0.3)
    assert 0.1 < samples.acceptance < 0.6
    table = samples.table
    assert table["teff"].unit == u.K
    assert table.colnames == list(posterior.names)
    again = posterior.sample(6, burn_in=0, thin=2, seed=7, progress=False)
    twice = posterior.sample(6, burn_in=0, thin=2, seed=7, progress=False)
    assert np.array_equal(again.values, twice.values)
    other = posterior.sample(6, burn_in=0, thin=2, seed=8, progress=False)
    assert not np.array_equal(again.values, other.values)


def test_ties_hold_and_what_is_not_measured_is_wide(model, observed):
    pytest.importorskip("emcee")
    fixed = {k: v for k, v in OPTIONS["fixed"].items() if k not in ("Ba_Fe", "Ca_Fe")}
    near = exact_posterior(
        observed, model, fixed={**fixed, "vmic": 1.2}, regions=OPTIONS["regions"], noise_floor=0.3,
        continuum=1, tied={"Ca_Fe": lambda star: star["Ba_Fe"]},
    )  # fmt: skip
    assert "Ca_Fe" not in near.names
    samples = near.sample(20, burn_in=10, n_walkers=16, seed=1, progress=False)
    assert np.isfinite(samples.log_probability).all()
    assert ((samples.values > near.low) & (samples.values < near.high)).all()


def test_what_cannot_be_sampled(model, posterior, monkeypatch):
    with pytest.raises(ValueError, match="has no uncertainty"):
        exact_posterior(model(**TRUTH), model)

    def without_emcee(name, *args, **kwargs):
        if name == "emcee":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_emcee)
    with pytest.raises(ImportError, match=r"pip install astropayne\[mcmc\]"):
        posterior.sample()


@pytest.mark.parametrize("method", ["log_probability", "loglike"])
def test_parameters_that_are_too_few_are_named(posterior, method):
    with pytest.raises(ValueError, match=r"must be the 6 free parameters, teff, logg"):
        getattr(posterior, method)(posterior.best[:-1])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_walkers": 11}, "n_walkers=11: 6 parameters need 12"),
        ({"n_steps": 5}, "n_steps=5, thin=10, burn_in=500 keep no step"),
        ({"thin": 0}, "thin=0"),
        ({"burn_in": -1}, "burn_in=-1"),
    ],
)
def test_samples_that_would_be_none_are_refused(posterior, options, match):
    pytest.importorskip("emcee")
    with pytest.raises(ValueError, match=match):
        posterior.sample(**options)
