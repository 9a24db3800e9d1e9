"""Options of fits: what they change, and which are refused."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty
from simulated import TRUTH, VELOCITIES, exact_fit_spectra, exact_fit_spectrum, noisy, noisy_rows
from specutils import SpectralRegion, Spectrum, SpectrumList

from astropayne import (
    Flag,
    PayneModel,
    fit_spectra,
    fit_spectrum,
)
from astropayne.abundances.planning import plan
from astropayne.engine.likelihood import Likelihood
from astropayne.fitting.options import FitOptions
from astropayne.fitting.preparation import Prepared
from astropayne.fitting.setup import FitSetup
from astropayne.wavelengths.axis import find_windows


def test_the_continuum_is_fitted_and_marginalised(model, exact, rng):
    x = np.linspace(-1, 1, len(exact.flux))
    tilt = 3e-14 * (1 + 0.2 * x - 0.1 * x**2)
    star = noisy(exact, 0.005, rng, tilt, u.erg / u.s / u.cm**2 / u.AA)
    result = exact_fit_spectrum(star, model, resolution=16000, continuum=2)
    assert result.labels["teff"].value == pytest.approx(5600, abs=60)
    assert result.best_fit.flux.unit == star.flux.unit
    assert result.dof == result.used.sum() - 14 - 9
    flat = exact_fit_spectrum(noisy(exact, 0.005, rng), model, resolution=16000)
    assert result.errors["teff"] > flat.errors["teff"]
    with pytest.raises(ValueError, match="not normalised: give continuum="):
        exact_fit_spectrum(star, model)
    table = exact_fit_spectra(
        [noisy(exact, 0.005, rng, scale, u.one) for scale in (100, 1e-15)], model
    )
    assert all("in the median, not about one" in text for text in table["message"])


def test_fixed_free_and_start(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(
        star, model, resolution=16000,
        fixed={"Teff": 5.6 * u.kK, "[Mg/Fe]": 0.2, "vmac": 2 * u.km / u.s}, start={"logg": 4.0},
    )  # fmt: skip
    assert result.labels["teff"] == 5600 * u.K
    assert result.labels["vmac"] == 2 * u.km / u.s
    assert "Mg_Fe" not in result.free
    assert np.isnan(result.errors["teff"])
    assert result.covariance.shape == (12, 12)
    assert result.labels["logg"].value == pytest.approx(4.2, abs=0.1)
    assert "vmac" in exact_fit_spectrum(star, model, resolution=16000, free=["vmac"]).free
    known = exact_fit_spectrum(star, model, resolution=16000, fixed={"rv": -37 * u.km / u.s})
    assert known.labels["rv"] == -37 * u.km / u.s


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"fixed": {"Mn_Fe": 0}}, ValueError, r"fixed: label 'Mn_Fe' is not one of .*rv, vsini"),
        ({"fixed": {"teff": 3 * u.km}}, u.UnitConversionError, "'teff' is in K"),
        ({"fixed": {"rv": 3 * u.K}}, u.UnitConversionError, "rv is in km / s"),
        ({"free": ["zeta"]}, ValueError, "free: label 'zeta'"),
        ({"continuum": -1}, ValueError, "must be 'auto', a degree"),
        ({"start": {"vmac": 1}}, ValueError, "given in fixed and in start"),
        ({"fixed": {"teff": 5000}, "free": ["teff"]}, ValueError, "given in fixed and in free"),
        ({"fixed": {"vsini": -3}}, ValueError, "is not possible: it must be"),
        ({"fixed": {"vsini": 1e5}}, ValueError, "must be from 0 to 1000 km/s"),
        ({"fixed": {"rv": np.nan}}, ValueError, "is not possible: it must be"),
        ({"fixed": {"rv": 4e5}}, ValueError, "slower than light"),
        ({"fixed": {"teff": np.nan}}, ValueError, "is not a number"),
        ({"fixed": ["teff"]}, TypeError, "mapping of names to values"),
        ({"bounds": {"teff": (9000, 9500)}}, ValueError, "outside the model's range"),
        ({"bounds": {"rv": (0, 1)}}, ValueError, "rv cannot be bounded"),
        ({"priors": {"vmac": (3, 1)}}, ValueError, "vmac is not fitted"),
        (
            {"bounds": {"teff": (6000, 5000)}},
            ValueError,
            "which are not a valid lower and upper end",
        ),
        (
            {"priors": {"teff": (5000, 0)}},
            ValueError,
            "which are not a valid mean and standard deviation",
        ),
        ({"priors": {"teff": (np.nan, 50)}}, ValueError, "which are not a valid mean"),
        ({"priors": {"teff": 5000}}, ValueError, "needs two values, mean and standard deviation"),
        ({"bounds": {"teff": 5000 * u.K}}, ValueError, "needs two values, lower and upper end"),
        ({"continuum": True}, ValueError, "must be 'auto', a degree"),
        ({"limb_darkening": 1.4}, ValueError, "from 0 to 1"),
        ({"loss": "cauchy"}, ValueError, "not one of linear, huber"),
        ({"noise_floor": -1}, ValueError, "zero or positive"),
        ({"noise_floor": 2}, ValueError, "part of the flux: 2 % are 0.02"),
        ({"noise_floor": np.full(2, 0.01)}, ValueError, "noise_floor needs one value, got 2"),
        ({"report": ["Mn_H"]}, ValueError, "Mn_H"),
        ({"fixed": dict.fromkeys([*TRUTH, *VELOCITIES], 1)}, ValueError, "nothing to fit"),
    ],
)
def test_wrong_options_are_errors_also_for_many(model, exact, options, error, match):
    for fit, what in ((fit_spectrum, exact), (fit_spectra, [exact])):
        with pytest.raises(error, match=match):
            fit(what, model, **options)


def test_ties_follow_and_their_errors_too(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    tied = {"Ca_Fe": lambda star: 0.5 * star["Mg_Fe"] - 0.1}
    result = exact_fit_spectrum(star, model, resolution=16000, tied=tied)
    assert "Ca_Fe" not in result.free
    assert result.labels["Ca_Fe"] == pytest.approx(0.5 * result.labels["Mg_Fe"] - 0.1)
    half = 0.5 * result.errors["Mg_Fe"].value
    assert result.errors["Ca_Fe"].value == pytest.approx(half, rel=1e-5)
    apart = exact_fit_spectrum(star, model, resolution=16000)
    assert result.errors["Mg_Fe"] < apart.errors["Mg_Fe"]  # two elements' lines say it
    assert result.labels["Mg_Fe"].value == pytest.approx(0.2, abs=0.05)


def test_ties_may_follow_from_each_other_in_any_order(model, exact, rng):
    star, scaled = noisy(exact, 0.01, rng), lambda factor, name: lambda star: factor * star[name]
    tied = {"Mg_Fe": scaled(2, "Ca_Fe"), "Ca_Fe": scaled(0.5, "Ti_Fe")}
    result = exact_fit_spectrum(star, model, resolution=16000, tied=tied)
    for found in (result.labels, result.errors):
        assert found["Mg_Fe"].value == pytest.approx(found["Ti_Fe"].value, rel=1e-6)
        assert found["Ca_Fe"].value == pytest.approx(0.5 * found["Ti_Fe"].value, rel=1e-6)
    with pytest.raises(ValueError, match="tied: Mg_Fe, Ca_Fe would follow from what follows"):
        exact_fit_spectrum(
            star, model, tied={"Mg_Fe": scaled(1, "Ca_Fe"), "Ca_Fe": scaled(1, "Mg_Fe")}
        )


def test_priors_pull_and_bounds_hold(model, exact, rng):
    star = noisy(exact, 0.05, rng)
    plain = exact_fit_spectrum(star, model, resolution=16000)
    sharp = exact_fit_spectrum(star, model, resolution=16000, priors={"logg": (4.5, 0.001)})
    assert sharp.labels["logg"].value == pytest.approx(4.5, abs=0.003)
    assert sharp.errors["logg"].value == pytest.approx(0.001, rel=0.05)
    assert sharp.errors["teff"] < plain.errors["teff"]
    held = exact_fit_spectrum(
        star, model, resolution=16000, bounds={"teff": (5800 * u.K, 6200 * u.K)}
    )
    assert held.labels["teff"] == 5800 * u.K
    assert held.flags & Flag.AT_BOUND
    assert held.at_bound == ("teff",)


def test_cosmic_rays_pull_less_with_huber(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    flux = star.flux.value.copy()
    # wider than the spikes that are left out before the fit
    hits = rng.choice(np.flatnonzero(~star.mask)[:-8], 25, replace=False)
    flux[(hits[:, None] + np.arange(6)).ravel()] += 0.06
    hit = Spectrum(
        spectral_axis=star.spectral_axis, flux=flux * u.one, uncertainty=star.uncertainty,
        mask=star.mask,
    )  # fmt: skip
    away = {
        loss: abs(
            exact_fit_spectrum(hit, model, resolution=16000, loss=loss).labels["teff"].value - 5600
        )
        for loss in ("linear", "huber")
    }
    assert away["huber"] < 40
    assert away["huber"] < away["linear"]


def test_regions_may_be_left_out(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    region = SpectralRegion([(5170, 5180), (6100, 6110)] * u.AA)
    without = exact_fit_spectrum(star, model, resolution=16000, exclude=region)
    x = star.spectral_axis.value
    assert not without.used[(x > 5170) & (x < 5180)].any()
    assert without.used[(x > 5181) & (x < 5200)].all()


def test_a_noise_floor_counts(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    plain = exact_fit_spectrum(star, model, resolution=16000)
    floored = exact_fit_spectrum(star, model, resolution=16000, noise_floor=0.02)
    assert floored.errors["rv"] > 1.5 * plain.errors["rv"]
    assert floored.chi2 < 0.4 * plain.chi2


def test_a_noise_floor_is_a_part_of_the_flux_around(model, exact, rng):
    """A window that is fainter than the others counts as much as it did."""
    star = noisy(exact, 0.01, rng)
    faint = np.where(exact.spectral_axis < 5300 * u.AA, 0.1, 1.0)
    dimmed = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux * faint, mask=star.mask,
        uncertainty=StdDevUncertainty(star.uncertainty.array * faint),
    )  # fmt: skip
    plain, dimmed = (
        exact_fit_spectrum(s, model, resolution=16000, continuum=1, noise_floor=0.02)
        for s in (star, dimmed)
    )
    assert dimmed.errors["Mg_Fe"].value == pytest.approx(plain.errors["Mg_Fe"].value, rel=1e-3)
    assert dimmed.flags == plain.flags


@pytest.mark.parametrize("given", ["array", "function"])
def test_a_continuum_may_be_given(model, exact, rng, given):
    star = noisy(exact, 0.01, rng)
    level = np.linspace(2, 9, len(star.flux)) * u.Jy
    bright = noisy(exact, 0.01, rng, scale=level.value, unit=u.Jy)
    continuum = level if given == "array" else lambda spectrum: level
    plain = exact_fit_spectrum(
        Spectrum(
            spectral_axis=star.spectral_axis, flux=bright.flux / level, mask=star.mask,
            uncertainty=star.uncertainty,
        ),
        model, resolution=16000,
    )  # fmt: skip
    found = exact_fit_spectrum(bright, model, resolution=16000, continuum=continuum)
    assert found.labels["teff"].value == pytest.approx(plain.labels["teff"].value, abs=1e-3)
    assert found.chi2 == pytest.approx(plain.chi2, rel=1e-6)
    shown = ~found.best_fit.mask
    ratio = found.best_fit.flux[shown] / level[shown]
    assert ratio.value == pytest.approx(plain.best_fit.flux[shown].value, abs=1e-5)
    with pytest.raises(ValueError, match=r"continuum= has shape \(3,\), the spectrum"):
        exact_fit_spectrum(bright, model, continuum=np.ones(3))
    with pytest.raises(ValueError, match="polynomials have the same degree in all"):
        exact_fit_spectrum(SpectrumList([bright, bright]), model, continuum=[1, 1])


@pytest.mark.parametrize("rv", [-1500.0, 1010.0])
def test_known_velocities_may_be_beyond_the_search(model, rv):
    star = model(**TRUTH, vsini=4, rv=rv, wavelength=np.arange(5050, 5360, 0.05) * u.AA)
    options = {"noise_floor": 0.01, "exclude_at_rest": None}
    known = exact_fit_spectrum(star, model, fixed={"rv": rv}, **options)
    near = exact_fit_spectrum(star, model, start={"rv": rv + 40}, **options)
    assert known.labels["teff"].value == pytest.approx(TRUTH["teff"], abs=5)
    assert near.labels["rv"].value == pytest.approx(rv, abs=0.05)


def test_what_is_fixed_may_be_said_in_any_convention(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(star, model, resolution=16000, fixed={"[Mg/H]": -0.1, "A(Fe)": 7.2})
    assert result.labels["feh"].value == pytest.approx(-0.3)
    assert result.labels["Mg_Fe"].value == pytest.approx(0.2)
    assert not {"feh", "Mg_Fe"} & set(result.free)
    result = exact_fit_spectrum(
        star, model, resolution=16000, fixed={"[Mg/H]": -0.1}, start={"log Teff": 3.75}
    )
    feh, mg_fe = (result.labels[name].value for name in ("feh", "Mg_Fe"))
    assert mg_fe + feh == pytest.approx(-0.1, abs=1e-6)
    assert feh == pytest.approx(-0.3, abs=0.05)
    assert result.errors["Mg_Fe"].value == pytest.approx(result.errors["feh"].value, rel=1e-5)


def test_priors_and_bounds_may_be_said_in_any_convention(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    options = {"resolution": 16000, "fixed": {"feh": -0.3}}
    said = {"priors": {"[Mg/H]": (0.0, 0.01)}, "bounds": {"A(Ca)": (6.2, 6.4)}}
    same = {"priors": {"Mg_Fe": (0.3, 0.01)}, "bounds": {"Ca_Fe": (0.13, 0.33)}}
    one, other = (exact_fit_spectrum(star, model, **options, **given) for given in (said, same))
    assert one.labels["Mg_Fe"].value == pytest.approx(other.labels["Mg_Fe"].value, abs=1e-6)
    assert one.at_bound == other.at_bound == ("Ca_Fe",)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bounds": {"[Mg/H]": (-1, 0)}}, "together with other labels: fix those, or give 'Mg_Fe'"),
        ({"priors": {"log Teff": (3.7, 0.1)}}, "Gaussian in 'log_teff' is not Gaussian in 'teff'"),
        ({"start": {"[Mg/H]": -0.1}}, "'Mg_Fe' follows from 'Mg_H' where 'feh' is given too"),
        ({"fixed": {"[Mg/H]": 0, "Mg_Fe": 0}}, "they express the same quantity"),
        ({"fixed": {"[Mg/H]": 0}, "start": {"Mg_Fe": 0}}, "Mg_Fe: given in start and in tied"),
        ({"fixed": {"A(Mg)": 7}, "tied": {"feh": lambda star: 0}}, "depends on feh, which is tied"),
        ({"tied": {"[Mg/H]": lambda star: 0}}, "tied: 'Mg_H' is not a label of .* use 'Mg_Fe'"),
        ({"fixed": {"[Mn/H]": 0}}, "fixed: label '.Mn/H.' is not one of"),
        ({"fixed": {"teff": [5600, 5700]}}, "fixed: teff needs one value, got 2"),
        ({"start": {"rv": [10, 20]}}, "start: rv needs one value, got 2"),
        ({"bounds": {"teff": ([5000, 5100], 6000)}}, "bounds: teff needs one value, got 2"),
    ],
)  # fmt: skip
def test_what_options_do_not_say_is_named(model, exact, options, match):
    with pytest.raises(ValueError, match=match):
        exact_fit_spectrum(exact, model, **options)


def test_a_blaze_that_falls_to_a_tenth(model, rng):
    """The search looks at lines, not at the shape of each window."""
    shape = np.ones(len(model.wavelength))
    for window in find_windows(model.vacuum_wavelength):
        x = np.linspace(-1, 1, window.stop - window.start)
        shape[window] = 1 - 0.6 * x**2 + 0.3 * x
    labels = np.array([list(TRUTH.values())] * 6)
    labels[:, 0] = np.linspace(4700, 6500, 6)
    rv = rng.uniform(-300, 300, 6)
    exact = model.predict(labels, rv=rv, vsini=9.0, resolution=16000)
    stars = noisy_rows(exact, 0.01, rng, shape)
    table = exact_fit_spectra(stars, model, resolution=16000, continuum=2)
    assert not (table["flags"] & (Flag.NOT_CONVERGED | Flag.POOR_FIT)).any()
    assert table["iterations"].max() < 10
    assert table["rv"].value == pytest.approx(rv, abs=2)
    assert np.abs((table["teff"].value - labels[:, 0]) / table["teff_err"].value).max() < 4


@pytest.mark.parametrize("continuum", [None, 2])
def test_the_robust_loss_converges(model, exact, rng, continuum):
    """Cosmic rays on one pixel in twenty, continuum and emulator's errors fitted along."""
    stars = []
    for _ in range(8):
        star = noisy(exact, 0.01, rng)
        hit = rng.random(len(star.flux)) < 0.05
        flux = star.flux + hit * rng.uniform(-0.5, 1, len(hit))
        stars.append(Spectrum(spectral_axis=star.spectral_axis, flux=flux, mask=star.mask,
                              uncertainty=star.uncertainty))  # fmt: skip
    options = {"resolution": 16000, "continuum": continuum}
    table = exact_fit_spectra(stars, model, loss="huber", **options)
    assert not (table["flags"] & Flag.NOT_CONVERGED).any()
    assert table["iterations"].max() <= 15
    pulls = (table["teff"].value - TRUTH["teff"]) / table["teff_err"].value
    assert np.abs(pulls).max() < 4
    squares = exact_fit_spectra(stars, model, **options)
    off = (squares["teff"].value - TRUTH["teff"]) / squares["teff_err"].value
    assert np.mean(off**2) > 5 * np.mean(pulls**2)


def test_the_gradient_of_the_robust_loss(model, exact, rng):
    """Against central differences, with the continuum and the emulator's errors eliminated."""
    star = noisy(exact, 0.01, rng)
    flux = star.flux.value + np.where(rng.random(len(star.flux)) < 0.05, 0.3, 0)
    setup = FitSetup.of(model, FitOptions(resolution=16000, continuum=1, loss="huber"))
    fitter = setup.problem
    star = Spectrum(spectral_axis=star.spectral_axis, flux=flux * u.one, mask=star.mask,
                    uncertainty=star.uncertainty)  # fmt: skip
    theta = np.array([[*TRUTH.values(), *VELOCITIES.values(), 0.0]])
    arms, _ = fitter.used_arms(
        [setup.reader.star([Prepared(star, 16000.0, np.nan, ())])], theta, 2.0
    )
    double = model.forward_model()
    likelihood = Likelihood(
        double, fitter.parameters, arms, theta, continuum=1, loss="huber",
        rest=fitter.rest, modes=fitter.modes,
    )  # fmt: skip
    x, rows = torch.as_tensor(theta[:, fitter.parameters.index]), torch.arange(1)
    _, gradient, _ = likelihood.normal_equations(x, rows)
    for i, size in enumerate(fitter.parameters.scale[fitter.parameters.index]):
        step = torch.zeros_like(x)
        step[0, i] = 1e-3 * size
        ahead, behind = (likelihood.normal_equations(x + s, rows)[0] for s in (step, -step))
        by_chi2 = float(ahead - behind) / (4e-3 * size)  # gradients are of half of it
        assert float(gradient[0, i]) == pytest.approx(by_chi2, rel=2e-2, abs=0.5 / size)


@pytest.mark.parametrize("kind", ["fixed", "tied"])
def test_labels_that_are_held_are_shifted_too(exact, rng, kind):
    network = PayneModel.sample()
    i = network.labels.index("logg")
    shift = np.zeros_like(network.error.shift)
    model = network.replace(error=replace(network.error, shift=shift))
    star = noisy(exact, 1e-3, rng)

    def fit(logg):
        hold = {"fixed": logg} if kind == "fixed" else {"tied": lambda _: logg}
        options = {what: {"logg": value} for what, value in hold.items()}
        return exact_fit_spectrum(star, model, resolution=16000, **options)

    names, step = ["teff", "feh", "Mg_Fe", "Ni_Fe"], 0.02
    sure = fit(TRUTH["logg"])
    up, down = fit(TRUTH["logg"] + step), fit(TRUTH["logg"] - step)
    shift[i, i] = 1e-4
    model = network.replace(error=replace(network.error, shift=shift))
    values = np.array([[sure.labels[name].value for name in model.labels.names]])
    shift = np.sqrt(model.error_shift_at(values)[0, i, i])
    shifted = fit(TRUTH["logg"])
    for name in names:
        by_logg = (up.labels[name].value - down.labels[name].value) / (2 * step)
        expected = np.hypot(sure.errors[name].value, by_logg * shift)
        assert expected > 1.1 * sure.errors[name].value
        assert shifted.errors[name].value == pytest.approx(expected, rel=0.02)


def test_a_degree_that_follows_lines_is_refused(model):
    with pytest.raises(ValueError, match=r"continuum=51 is the degree .* 50 at most"):
        exact_fit_spectra([], model, continuum=51)
    with pytest.raises(ValueError, match=r"continuum=9999 is the degree .* 50 at most"):
        plan(model, {**TRUTH, "vsini": 3}, continuum=9999)
