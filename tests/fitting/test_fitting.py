import functools
import gc
import pickle
import weakref
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, vstack
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from specutils import SpectralRegion, Spectrum, SpectrumList

from astropayne import (
    Flag,
    PayneModel,
    Posterior,
    broaden_spectrum,
    degrade_spectrum,
    fit_spectra,
    fit_spectrum,
)
from astropayne.abundances.planning import plan
from astropayne.engine.likelihood import Likelihood
from astropayne.evaluation import evaluate
from astropayne.fitting.batches import IncompleteError, Interrupted
from astropayne.fitting.options import FitOptions
from astropayne.fitting.preparation import Prepared
from astropayne.fitting.setup import FitSetup
from astropayne.labels.names import Label
from astropayne.modeling import PayneSpectrum
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import to_vacuum

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {"continuum": None, "inadequacy": None, "exclude_at_rest": None}
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)
exact_posterior = functools.partial(Posterior, **EXACT)

TRUTH = {"teff": 5600.0, "logg": 4.2, "feh": -0.3, "vmic": 1.2}
TRUTH |= {"Mg_Fe": 0.2, "Ca_Fe": 0.0, "Ti_Fe": 0.1, "Na_Fe": 0.0}
TRUTH |= {"Al_Fe": 0.0, "Ni_Fe": 0.0, "Ba_Fe": 0.1, "A_Li": 2.4}
VELOCITIES = {"rv": -37.0, "vsini": 9.0}


def _noisy(spectrum, sigma, rng, scale=1.0, unit=u.dimensionless_unscaled):
    noise = rng.normal(0, sigma, len(spectrum.flux)) if sigma else 0
    flux = (spectrum.flux.value + noise) * scale
    size = np.abs(np.broadcast_to(sigma * scale, flux.shape))
    uncertainty = StdDevUncertainty(size) if sigma else None
    return Spectrum(
        spectral_axis=spectrum.spectral_axis, flux=flux * unit, uncertainty=uncertainty,
        mask=spectrum.mask,
    )  # fmt: skip


def _noisy_rows(spectra, sigma, rng, scale=1.0):
    """Return the same of each row of a prediction."""
    return [
        _noisy(
            Spectrum(spectral_axis=spectra.spectral_axis, flux=row, mask=~np.isfinite(row)),
            sigma, rng, scale,
        )
        for row in spectra.flux
    ]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """The network that ships with the package."""
    return PayneModel.sample()


@pytest.fixture(scope="module")
def exact(model):
    """A star that the model describes exactly."""
    return model(**TRUTH, **VELOCITIES, resolution=16000)


def test_a_model_spectrum_is_recovered(model, exact):
    result = exact_fit_spectrum(exact, model, resolution=16000)
    for name, value in {**TRUTH, **VELOCITIES}.items():
        tolerance = 1e-3 * (
            1 if name in VELOCITIES else model.labels.width[model.labels.index(name)]
        )
        assert result.labels[name].value == pytest.approx(value, abs=tolerance), name
    for name in model.labels.names:
        assert result.labels[name].unit == (Label(name).column_unit or u.dimensionless_unscaled)
    assert result.labels["rv"].unit == u.km / u.s
    assert result.labels["vmac"] == 0 * u.km / u.s
    assert np.isnan(result.errors["vmac"])
    assert result.flags == Flag.NO_UNCERTAINTY
    assert str(result.flags) == "NO_UNCERTAINTY"
    best = result.best_fit
    assert best.flux[~best.mask].value == pytest.approx(exact.flux[~best.mask].value, abs=1e-4)
    assert "teff" in repr(result)


def test_errors_are_those_of_the_noise(ideal, exact, rng):
    """Pulls on injected noise, with an emulator that is exact and says so."""
    table = exact_fit_spectra(
        [_noisy(exact, 0.01, rng) for _ in range(12)], ideal, resolution=16000
    )
    names = ["teff", "logg", "feh", "Mg_Fe", "rv", "vsini"]
    pulls = np.array(
        [
            (table[name] - u.Quantity(value, table[name].unit)) / table[f"{name}_err"]
            for name, value in {**TRUTH, **VELOCITIES}.items()
            if name in names
        ]
    )
    assert 0.7 < np.sqrt(np.mean(pulls**2)) < 1.35
    assert np.abs(pulls).max() < 4.5
    assert np.mean(table["chi2"] / table["dof"]) == pytest.approx(1, abs=0.03)
    assert not (table["flags"] & ~Flag.AT_BOUND).any()  # noise may push a weak element there


def test_the_emulator_error_widens_errors(model, ideal, exact, rng):
    star = _noisy(exact, 0.002, rng)
    with_error = exact_fit_spectrum(star, model, resolution=16000)
    without = exact_fit_spectrum(star, ideal, resolution=16000)
    assert with_error.errors["teff"] > 1.2 * without.errors["teff"]
    assert with_error.chi2 < without.chi2


def test_spectra_never_seen(quick_model, sample):
    """Spectra of the grid, broadened and moved: what is measured is what was put in."""
    _, held_out = sample.split(0.8, seed=42)
    held_out = held_out[held_out.labels["feh"] > -1.5][:5]
    stars = [
        broaden_spectrum(spectrum, rv=7.3, vsini=6)
        for spectrum in map(held_out.__getitem__, range(5))
    ]
    table = exact_fit_spectra(stars, quick_model)
    assert np.abs(table["rv"].value - 7.3) == pytest.approx(0, abs=0.1)
    assert np.abs(table["vsini"].value - 6) == pytest.approx(0, abs=1.5)
    assert np.median(np.abs(table["teff"] - held_out.labels["teff"])) < 100 * u.K
    assert np.median(np.abs(table["feh"] - held_out.labels["feh"])) < 0.1


@pytest.mark.parametrize("rv", [-850.0, 310.0])
def test_high_velocities_are_found(model, rng, rv):
    star = _noisy(model(**TRUTH, rv=rv, vsini=20), 0.02, rng)
    result = exact_fit_spectrum(star, model)
    assert result.labels["rv"].value == pytest.approx(rv, abs=0.5)


def test_the_continuum_is_fitted_and_marginalised(model, exact, rng):
    x = np.linspace(-1, 1, len(exact.flux))
    tilt = 3e-14 * (1 + 0.2 * x - 0.1 * x**2)
    star = _noisy(exact, 0.005, rng, tilt, u.erg / u.s / u.cm**2 / u.AA)
    result = exact_fit_spectrum(star, model, resolution=16000, continuum=2)
    assert result.labels["teff"].value == pytest.approx(5600, abs=60)
    assert result.best_fit.flux.unit == star.flux.unit
    assert result.dof == result.used.sum() - 14 - 9
    flat = exact_fit_spectrum(_noisy(exact, 0.005, rng), model, resolution=16000)
    assert result.errors["teff"] > flat.errors["teff"]
    with pytest.raises(ValueError, match="not normalised: give continuum="):
        exact_fit_spectrum(star, model)
    table = exact_fit_spectra(
        [_noisy(exact, 0.005, rng, scale, u.one) for scale in (100, 1e-15)], model
    )
    assert all("in the median, not about one" in text for text in table["message"])


def test_fixed_free_and_start(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
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


def test_wavelength_order_unit_medium_and_regions_do_not_matter(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    expected = exact_fit_spectrum(star, model, resolution=16000).labels["teff"].value
    air = star.spectral_axis.value
    vacuum = (to_vacuum(air, "air") * u.AA).to(u.THz, u.spectral())[::-1]
    turned = Spectrum(
        spectral_axis=vacuum, flux=star.flux[::-1],
        uncertainty=StdDevUncertainty(star.uncertainty.array[::-1]), mask=star.mask[::-1],
    )  # fmt: skip
    found = exact_fit_spectrum(turned, model, resolution=16000)
    assert found.labels["teff"].value == pytest.approx(expected, abs=0.1)
    assert found.best_fit.spectral_axis.unit == u.THz
    region = SpectralRegion([(516, 524), (609, 617)] * u.nm)
    part = exact_fit_spectrum(star, model, resolution=16000, regions=region)
    assert not part.used[air > 6600].any()
    assert part.labels["teff"].value == pytest.approx(expected, abs=60)


def test_a_parameter_at_its_bound_is_flagged(model, rng):
    star = _noisy(model(**{**TRUTH, "Mg_Fe": model.labels.maximum[4]}), 0.001, rng)
    deeper = star.flux - 0.02 * (star.flux < 0.7)  # than any label makes it
    star = Spectrum(
        spectral_axis=star.spectral_axis, flux=deeper, uncertainty=star.uncertainty, mask=star.mask
    )
    result = exact_fit_spectrum(star, model)
    assert result.flags & Flag.AT_BOUND
    at_bound = [n for n in result.free if np.isnan(result.errors[n])]
    assert at_bound
    others = set(result.free) - set(at_bound)
    assert all(np.isfinite(result.errors[name]) for name in others)


def test_little_coverage_is_flagged(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(
        star, model, resolution=16000, regions=SpectralRegion(5165 * u.AA, 5200 * u.AA)
    )
    assert result.flags & Flag.FEW_PIXELS


def test_every_spectrum_has_its_row(model, exact, rng):
    good = _noisy(exact, 0.01, rng)
    axis, n = good.spectral_axis, len(good.flux)
    one = u.dimensionless_unscaled
    spectra = SpectrumList([
        good,
        Spectrum(spectral_axis=axis, flux=np.full(n, np.nan) * one),
        Spectrum(spectral_axis=axis, flux=np.ones(n) * one),
        Spectrum(spectral_axis=np.linspace(8000, 9000, n) * u.AA, flux=good.flux),
        Spectrum(spectral_axis=axis, flux=good.flux * u.Jy),
        good,
    ])  # fmt: skip
    table = exact_fit_spectra(spectra, model, resolution=16000)
    assert len(table) == 6
    bad = (table["flags"] & Flag.BAD_INPUT) > 0
    assert bad.tolist() == [False, True, True, True, True, False]
    assert np.isnan(table["teff"][bad]).all()
    assert np.isnan(table["chi2"][bad]).all()
    assert u.isclose(table["teff"][0], table["teff"][5], atol=0.01 * u.K)
    for row, part in ((1, "no usable pixel"), (2, "more than a constant"), (4, "continuum=")):
        assert part in table["message"][row]
    for name in (*TRUTH, "rv", "vsini", "vmac"):
        assert f"{name}_err" in table.colnames
    assert table["teff_err"].unit == u.K


def test_one_spectrum_is_not_many(model, exact):
    with pytest.raises(ValueError, match="use fit_spectrum"):
        exact_fit_spectra(exact, model)


@pytest.mark.parametrize("given", ["sun.fits", Path("sun.fits"), {"sun": 1}, None])
def test_files_are_no_spectra(model, given):
    with pytest.raises(TypeError, match=r"a list of specutils Spectrum, .* read_spectrum"):
        exact_fit_spectra(given, model)
    table = exact_fit_spectra(["sun.fits"], model)
    assert "got str" in table["message"][0]
    assert "read_spectrum" in table["message"][0]


@pytest.mark.parametrize("given", ["fgk.asdf", PayneModel])
def test_what_is_no_model_is_refused(model, exact, given):
    match = "model must be a PayneModel, got ('fgk.asdf'|a type): PayneModel.read"
    for call in (
        lambda: exact_fit_spectrum(exact, given),
        lambda: exact_fit_spectra([exact], given),
        lambda: PayneSpectrum(given),
        lambda: plan(given, {"teff": 5000}, snr=100),
        lambda: evaluate(given, None),
    ):
        with pytest.raises(TypeError, match=match):
            call()
    with pytest.raises(TypeError, match="got a Spectrum"):
        exact_fit_spectrum(model, exact)


def test_two_dimensional_spectra_are_rows(model, exact, rng):
    stars = [_noisy(exact, 0.01, rng) for _ in range(2)]
    good = ~exact.mask
    both = Spectrum(
        spectral_axis=exact.spectral_axis[good],
        flux=np.stack([star.flux[good] for star in stars]) * u.dimensionless_unscaled,
        uncertainty=StdDevUncertainty(np.full((2, good.sum()), 0.01)),
        meta={"name": ["HD 1", "HD 2"]},
    )
    table = exact_fit_spectra(both, model, resolution=16000)
    assert table["teff"].value == pytest.approx(5600, abs=100)
    assert table["name"].tolist() == ["HD 1", "HD 2"]


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


def test_wavelength_medium_and_resolution_come_from_the_metadata(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    vacuum = Spectrum(
        spectral_axis=to_vacuum(star.spectral_axis.value, "air") * u.AA, flux=star.flux,
        uncertainty=star.uncertainty, mask=star.mask,
        meta={"medium": "vacuum", "resolution": 16000},
    )  # fmt: skip
    said = exact_fit_spectrum(vacuum, model)
    told = exact_fit_spectrum(star, model, resolution=16000)
    for name in ("rv", "vsini"):  # they start, and choose pixels, a little differently
        tolerance = 0.1 * told.errors[name].value
        assert said.labels[name].value == pytest.approx(told.labels[name].value, abs=tolerance)


def test_ties_follow_and_their_errors_too(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    tied = {"Ca_Fe": lambda star: 0.5 * star["Mg_Fe"] - 0.1}
    result = exact_fit_spectrum(star, model, resolution=16000, tied=tied)
    assert "Ca_Fe" not in result.free
    assert result.labels["Ca_Fe"] == pytest.approx(0.5 * result.labels["Mg_Fe"] - 0.1)
    half = 0.5 * result.errors["Mg_Fe"].value
    assert result.errors["Ca_Fe"].value == pytest.approx(half, rel=1e-5)
    apart = exact_fit_spectrum(star, model, resolution=16000)
    assert result.errors["Mg_Fe"] < apart.errors["Mg_Fe"]  # two elements' lines say it
    assert result.labels["Mg_Fe"].value == pytest.approx(0.2, abs=0.05)


def test_epochs_are_as_good_as_their_mean_and_no_better(model, exact, rng):
    """The emulator is as wrong in one epoch as in another, and a range is covered once."""
    epochs = SpectrumList(_noisy(exact, 0.003, rng) for _ in range(12))
    mean = Spectrum(
        spectral_axis=exact.spectral_axis, mask=exact.mask,
        flux=np.mean([epoch.flux for epoch in epochs], axis=0) * u.one,
        uncertainty=StdDevUncertainty(np.full(len(exact.flux), 0.003 / 12**0.5)),
    )  # fmt: skip
    one, many = (exact_fit_spectrum(star, model, resolution=16000) for star in (mean, epochs))
    assert one.flags == many.flags == Flag.EMULATOR_LIMITED
    for name in one.free:
        error = one.errors[name].value
        assert many.labels[name].value == pytest.approx(one.labels[name].value, abs=0.1 * error)
        assert many.errors[name].value == pytest.approx(error, rel=0.01)
    dead = Spectrum(
        spectral_axis=exact.spectral_axis, flux=exact.flux, mask=np.ones(len(exact.flux), bool),
        uncertainty=mean.uncertainty,
    )  # fmt: skip
    window = SpectralRegion(5160 * u.AA, 5240 * u.AA)
    with_dead = SpectrumList([*epochs[:3], dead])
    little = exact_fit_spectrum(with_dead, model, resolution=16000, regions=window)
    assert little.flags & Flag.FEW_PIXELS


@pytest.mark.parametrize("first", [True, False])
def test_an_arm_without_a_good_pixel_needs_no_uncertainty(model, exact, rng, first):
    star = _noisy(exact, 0.01, rng)
    dead = Spectrum(spectral_axis=exact.spectral_axis, flux=np.nan * exact.flux)
    arms = SpectrumList([dead, star] if first else [star, dead])
    alone, found = (exact_fit_spectrum(s, model, resolution=16000) for s in (star, arms))
    assert (found.flags, found.dof) == (alone.flags, alone.dof)
    assert found.chi2 == pytest.approx(alone.chi2, rel=1e-4)
    assert found.errors["teff"].value == pytest.approx(alone.errors["teff"].value, rel=1e-3)


def test_ties_may_follow_from_each_other_in_any_order(model, exact, rng):
    star, scaled = _noisy(exact, 0.01, rng), lambda factor, name: lambda star: factor * star[name]
    tied = {"Mg_Fe": scaled(2, "Ca_Fe"), "Ca_Fe": scaled(0.5, "Ti_Fe")}
    result = exact_fit_spectrum(star, model, resolution=16000, tied=tied)
    for found in (result.labels, result.errors):
        assert found["Mg_Fe"].value == pytest.approx(found["Ti_Fe"].value, rel=1e-6)
        assert found["Ca_Fe"].value == pytest.approx(0.5 * found["Ti_Fe"].value, rel=1e-6)
    with pytest.raises(ValueError, match="tied: Mg_Fe, Ca_Fe would follow from what follows"):
        exact_fit_spectrum(
            star, model, tied={"Mg_Fe": scaled(1, "Ca_Fe"), "Ca_Fe": scaled(1, "Mg_Fe")}
        )


def test_no_error_is_less_than_what_the_emulator_shifts(model, exact, rng):
    star = _noisy(exact, 1e-5, rng)
    sure = exact_fit_spectrum(star, model, resolution=16000)
    values = np.array([[sure.labels[name].value for name in model.labels.names]])
    shift = np.sqrt(np.diagonal(model.error_shift_at(values)[0]))
    errors = np.array([sure.errors[name].value for name in model.labels.names])
    assert (errors > 0.999 * shift).all()
    assert np.median(errors / shift) < 2
    told = exact_fit_spectrum(
        star, model, resolution=16000, priors={"teff": (5777 * u.K, 0.1 * u.K)}
    )
    assert told.errors["teff"].value == pytest.approx(0.1, rel=0.02)


def test_priors_pull_and_bounds_hold(model, exact, rng):
    star = _noisy(exact, 0.05, rng)
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


def test_arms_with_their_own_resolution_are_fitted_together(model, rng):
    truth = {**TRUTH, **VELOCITIES}
    blue, red = (model(**truth, resolution=r) for r in (18000, 9000))
    blue = _noisy(blue[:1601], 0.01, rng)
    red = _noisy(red[1601:], 0.02, rng, 3.0)
    star = SpectrumList([blue, red])
    result = exact_fit_spectrum(star, model, resolution=[18000, 9000], continuum=1)
    assert result.labels["teff"].value == pytest.approx(5600, abs=60)
    assert result.labels["vsini"].value == pytest.approx(9, abs=1.0)
    assert isinstance(result.best_fit, SpectrumList)
    for fit, seen in zip(result.best_fit, star, strict=True):
        pull = ((fit.flux - seen.flux) / seen.uncertainty.quantity).value
        assert np.nanstd(pull) == pytest.approx(1, abs=0.1)
    alone = exact_fit_spectrum(blue, model, resolution=18000, continuum=1)
    assert result.errors["teff"] < alone.errors["teff"]
    table = exact_fit_spectra([star, star], model, resolution=[18000, 9000], continuum=1)
    assert u.isclose(table["teff"][1], result.labels["teff"], atol=0.1 * u.K)
    with pytest.raises(ValueError, match="1 resolutions for 2"):
        exact_fit_spectrum(star, model, resolution=[18000])


def test_cosmic_rays_pull_less_with_huber(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
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


def test_what_says_nothing_of_a_label_leaves_it_open(model, exact, rng):
    star = _noisy(exact, 0.1, rng)
    region = SpectralRegion(5160 * u.AA, 5240 * u.AA)  # without the lithium line
    result = exact_fit_spectrum(star, model, resolution=16000, regions=region)
    assert "A_Li" in result.low_information
    assert np.isnan(result.labels["A_Li"])
    assert np.isnan(result.errors["A_Li"])
    assert result.flags & Flag.LOW_INFORMATION
    assert np.isfinite(result.labels["teff"])


def test_a_velocity_that_nothing_is_said_of_is_not_a_number(model, rng):
    exact = model(**TRUTH, rv=12, vsini=4, vmac=3, resolution=18000)
    stars = [_noisy(exact, 0.01, rng) for _ in range(6)]
    table = exact_fit_spectra(stars, model, resolution=18000, free=["vmac"])  # as good as vsini
    error = table["vmac_err"].value
    assert not (error > 10).any()
    unknown = ["vmac" in names.split() for names in table["low_information"]]
    assert any(unknown)
    assert np.isnan(table["vmac"][unknown]).all()
    assert (table["flags"][unknown] & Flag.LOW_INFORMATION).all()
    assert np.isfinite(table["teff"]).all()
    star = stars[unknown.index(True)]
    posterior = exact_posterior(star, model, resolution=18000, free=["vmac"])
    assert posterior.best[-1] < 1  # not the middle of its range


def test_no_star_gives_a_table_with_the_columns_of_any(model, exact, rng):
    options = {"resolution": 16000, "report": "A(Ca)", "covariances": True}
    some = exact_fit_spectra([_noisy(exact, 0.01, rng)], model, **options)
    none = exact_fit_spectra([], model, **options)
    assert len(none) == 0
    assert none.colnames == some.colnames
    assert none["teff"].unit == u.K
    assert vstack([none, some])["teff"][0] == some["teff"][0]


def test_labels_are_reported_in_other_conventions(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(
        star, model, resolution=16000, report=["[Mg/H]", "A(Ca)", "[Li/Fe]"]
    )
    free = list(result.free)
    i, j = free.index("feh"), free.index("Mg_Fe")
    c = result.covariance
    assert result.labels["Mg_H"] == pytest.approx(result.labels["Mg_Fe"] + result.labels["feh"])
    assert result.errors["Mg_H"].value == pytest.approx(
        np.sqrt(c[i, i] + c[j, j] + 2 * c[i, j]), rel=1e-6
    )
    table = exact_fit_spectra([star], model, resolution=16000, report="A(Ca)")
    assert table["A_Ca"][0] == pytest.approx(result.labels["A_Ca"].value, abs=1e-3)
    assert table["A_Ca_err"][0] == pytest.approx(result.errors["A_Ca"].value, rel=1e-2)


def test_a_table_has_names_covariances_and_models(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    star.meta["name"] = "HD 1"
    short = star[:2000]
    stars = (spectrum for spectrum in (star, short, "no spectrum"))
    table = exact_fit_spectra(stars, model, resolution=16000, covariances=True, models=True)
    assert table["name"].tolist() == ["HD 1", "HD 1", "2"]
    k = table.meta["free"].index("teff")
    assert np.sqrt(table["covariance"][0, k, k]) == pytest.approx(table["teff_err"][0].value)
    assert table["best_fit"].shape == (3, 3903)
    assert np.isnan(table["best_fit"][1, 2000:]).all()
    good = ~star.mask & np.isfinite(table["best_fit"][0])
    assert np.std(table["best_fit"][0] - star.flux.value, where=good) < 0.011
    assert "specutils Spectrum" in table["message"][2]


def test_interruptions_pickle():
    """A pool of processes breaks, or waits for ever, on an error that does not."""
    again = pickle.loads(pickle.dumps(Interrupted(QTable({"dof": [7]}))))
    assert again.table["dof"] == 7


def test_results_pickle(model, exact, rng):
    result = exact_fit_spectrum(_noisy(exact, 0.01, rng), model, resolution=16000)
    again = pickle.loads(pickle.dumps(result))
    assert again.labels.keys() == result.labels.keys()
    assert u.allclose(again.labels["teff"], result.labels["teff"])
    assert u.allclose(again.best_fit.flux, result.best_fit.flux, equal_nan=True)
    assert u.allclose(again.best_fit.spectral_axis, result.best_fit.spectral_axis)
    assert u.allclose(again.observed.uncertainty.quantity, result.observed.uncertainty.quantity)
    assert len({result, again}) == 2


def test_regions_may_be_left_out(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    region = SpectralRegion([(5170, 5180), (6100, 6110)] * u.AA)
    without = exact_fit_spectrum(star, model, resolution=16000, exclude=region)
    x = star.spectral_axis.value
    assert not without.used[(x > 5170) & (x < 5180)].any()
    assert without.used[(x > 5181) & (x < 5200)].all()


def test_a_noise_floor_counts(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    plain = exact_fit_spectrum(star, model, resolution=16000)
    floored = exact_fit_spectrum(star, model, resolution=16000, noise_floor=0.02)
    assert floored.errors["rv"] > 1.5 * plain.errors["rv"]
    assert floored.chi2 < 0.4 * plain.chi2


def test_a_noise_floor_is_a_part_of_the_flux_around(model, exact, rng):
    """A window that is fainter than the others counts as much as it did."""
    star = _noisy(exact, 0.01, rng)
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


def test_arms_may_be_in_any_units(model, exact, rng):
    windows = find_windows(exact.spectral_axis.value)
    star = _noisy(exact, 0.01, rng)
    scales = (1, 1e-16, 1e5)
    arms = SpectrumList(
        Spectrum(
            spectral_axis=star.spectral_axis[w], flux=scale * star.flux.value[w] * unit,
            uncertainty=StdDevUncertainty(scale * star.uncertainty.array[w]), mask=star.mask[w],
        )
        for w, scale, unit in zip(windows, scales, (u.one, u.Jy, u.adu), strict=True)
    )  # fmt: skip
    whole, parts = (
        exact_fit_spectrum(s, model, resolution=16000, continuum=1) for s in (star, arms)
    )
    assert parts.labels["teff"].value == pytest.approx(whole.labels["teff"].value, abs=0.1)
    assert parts.chi2 == pytest.approx(whole.chi2, rel=1e-4)
    for fit, scale, unit in zip(parts.best_fit, scales, (u.one, u.Jy, u.adu), strict=True):
        assert np.nanmax(fit.flux.to_value(unit)) == pytest.approx(scale, rel=0.05)


def test_arms_without_pixels_are_left_out(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    arms = SpectrumList(star[w] for w in find_windows(exact.spectral_axis.value))
    options = {"resolution": 16000, "regions": SpectralRegion(5160 * u.AA, 5240 * u.AA)}
    whole, parts = (exact_fit_spectrum(s, model, **options) for s in (star, arms))
    assert parts.labels["teff"].value == pytest.approx(whole.labels["teff"].value, abs=0.1)
    with pytest.raises(ValueError, match=r"no usable pixel: of .* 0 lie in the regions"):
        exact_fit_spectrum(star, model, regions=SpectralRegion(516 * u.AA, 524 * u.AA))


@pytest.mark.parametrize("given", ["array", "function"])
def test_a_continuum_may_be_given(model, exact, rng, given):
    star = _noisy(exact, 0.01, rng)
    level = np.linspace(2, 9, len(star.flux)) * u.Jy
    bright = _noisy(exact, 0.01, rng, scale=level.value, unit=u.Jy)
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


def test_values_that_fill_gaps_are_no_flux(model, exact, rng):
    """Nor do they take the other stars of the batch with them."""
    star = _noisy(exact, 0.01, rng)
    flux = star.flux.value.copy()
    flux[700] = 9.96921e36  # netCDF's
    filled = Spectrum(
        spectral_axis=star.spectral_axis, flux=flux * u.one, mask=star.mask,
        uncertainty=star.uncertainty,
    )  # fmt: skip
    for continuum in (None, 1):
        table = exact_fit_spectra([star, filled], model, resolution=16000, continuum=continuum)
        assert table["teff"][1].value == pytest.approx(table["teff"][0].value, abs=10)
        assert table["dof"][1] == table["dof"][0] - 1


def test_noise_that_pixels_share_is_counted_once(model, rng):
    """Labels of a spectrum that was smoothed scatter as their errors say."""
    axis = np.arange(5161, 5239, 0.02) * u.AA
    clean = model(**TRUTH, vsini=4, wavelength=axis)
    fixed = {name: TRUTH[name] for name in list(TRUTH)[4:]}
    for known in (True, False):
        fits = []
        for _ in range(12):
            noisy = _noisy(clean, 0.03, rng)
            if not known:
                noisy = Spectrum(spectral_axis=noisy.spectral_axis, flux=noisy.flux)
            star = degrade_spectrum(noisy, 15000, resolution=20000)
            fits.append(exact_fit_spectrum(star, model, fixed=fixed))
        error = np.mean([fit.errors["teff"].value for fit in fits])
        scatter = np.std([fit.labels["teff"].value for fit in fits])
        assert 0.6 * error < scatter < 1.3 * error
        assert np.mean([fit.chi2 / fit.dof for fit in fits]) == pytest.approx(1, abs=0.15)
        part = exact_fit_spectrum(
            star[100:-100], model, fixed=fixed
        )  # its metadata are the whole's
        assert part.errors["teff"].value == pytest.approx(error, rel=0.3)


@pytest.mark.parametrize("rv", [-1500.0, 1010.0])
def test_known_velocities_may_be_beyond_the_search(model, rv):
    star = model(**TRUTH, vsini=4, rv=rv, wavelength=np.arange(5050, 5360, 0.05) * u.AA)
    options = {"noise_floor": 0.01, "exclude_at_rest": None}
    known = exact_fit_spectrum(star, model, fixed={"rv": rv}, **options)
    near = exact_fit_spectrum(star, model, start={"rv": rv + 40}, **options)
    assert known.labels["teff"].value == pytest.approx(TRUTH["teff"], abs=5)
    assert near.labels["rv"].value == pytest.approx(rv, abs=0.05)


def test_gaps_are_not_covered(model, exact, rng):
    x = exact.spectral_axis.value
    few = ((x > 5200) & (x < 5210)) | ((x > 6100) & (x < 6110))
    star = _noisy(exact, 0.01, rng)
    star = Spectrum(
        spectral_axis=star.spectral_axis[few], flux=star.flux[few],
        uncertainty=StdDevUncertainty(star.uncertainty.array[few]),
    )  # fmt: skip
    assert exact_fit_spectrum(star, model, resolution=16000).flags & Flag.FEW_PIXELS


@pytest.mark.parametrize("value", [0, 18, 258, 1 + 2 + 1024])
def test_flags_come_back_from_tables(value):
    assert Flag(np.int64(value)) == Flag(value)


def test_templates_die_with_their_model(exact):
    model = PayneModel.sample()
    exact_fit_spectrum(exact, model)
    (forward,) = map(weakref.ref, [model.forward_model(dtype=torch.float32)])
    del model
    gc.collect()
    assert forward() is None


@pytest.mark.filterwarnings("ignore:the resolution of the model's spectra is not known")
def test_stars_of_a_batch_do_not_see_each_other(model, exact, rng):
    """One without a resolution, and one with hardly any pixels, leave the others as they are."""
    unknown = model.replace(resolution=None)
    spectra = [_noisy(exact, 0.01, rng) for _ in range(2)]
    spectra[0].meta["resolution"] = 40000
    short = _noisy(exact, 0.01, rng)[30:140]
    alone = exact_fit_spectra(spectra[:1], unknown)
    together = exact_fit_spectra([*spectra, short], unknown)
    for name in ("teff", "vsini", "chi2", "dof"):
        assert u.isclose(together[name][0], alone[name][0], rtol=1e-4), name
    without = exact_fit_spectra(spectra[1:], unknown)
    assert u.isclose(together["vsini"][1], without["vsini"][0], rtol=1e-4)
    spectra[0].meta["resolution"] = 16000
    assert exact_fit_spectra(spectra[:1], unknown)["vsini"][0] < 0.8 * alone["vsini"][0]


# --- labels in other conventions


def test_what_is_fixed_may_be_said_in_any_convention(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
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
    star = _noisy(exact, 0.01, rng)
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


def test_far_from_training_spectra_is_said(model, rng):
    """The grid has no hot giants, though both labels are inside their ranges."""
    star = model(**{**TRUTH, "teff": 6400, "logg": 1.9}, vsini=9, resolution=16000)
    assert exact_fit_spectrum(star, model, resolution=16000).flags & Flag.OUTSIDE_COVERAGE
    fixed = {"teff": 6400, "logg": 1.9}
    table = exact_fit_spectra([_noisy(star, 0.01, rng)], model, fixed=fixed, resolution=16000)
    assert table["flags"][0] & Flag.OUTSIDE_COVERAGE
    parts = (model.network, model.labels, model.wavelength)
    elsewhere = PayneModel.from_network(*parts, resolution=model.resolution, error=model.error)
    assert not exact_fit_spectrum(star, elsewhere, resolution=16000).flags & Flag.OUTSIDE_COVERAGE


def test_names_of_a_result_are_found_in_any_spelling(model, exact):
    result = exact_fit_spectrum(exact, model, resolution=16000, report="A(Mg)")
    assert result.labels["Teff"] is result.labels["teff"]
    assert result.labels["[Fe/H]"] is result.labels["feh"]
    assert result.errors["A(Mg)"] is result.errors["A_Mg"]
    assert "[Mg/Fe]" in result.labels
    assert "vrad" not in result.labels
    for name in ("[Eu/Fe]", "rotation speed"):
        with pytest.raises(KeyError, match=r"; it has teff, logg, .*rv, vsini, vmac"):
            result.labels[name]
    with pytest.raises(TypeError, match="item assignment"):
        result.labels["teff"] = 5000


def test_a_result_is_pickled_with_what_is_in_the_metadata(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    star.meta["header"] = fits.Header({"OBJECT": "Sun", "EXPTIME": 30.0})
    star.meta["wcs"] = WCS(naxis=1)
    result = exact_fit_spectrum(star, model, resolution=16000)
    other = pickle.loads(pickle.dumps(result))
    assert other.labels == result.labels
    assert other.observed.meta["header"]["OBJECT"] == "Sun"
    assert other.observed.meta["wcs"].naxis == 1
    star.meta["reader"] = lambda: None
    with pytest.warns(AstropyUserWarning, match="^reader in the metadata .* cannot be pickled"):
        other = pickle.loads(pickle.dumps(result))
    assert "reader" not in other.observed.meta
    assert "reader" in result.observed.meta
    np.testing.assert_array_equal(other.observed.flux.value, result.observed.flux.value)


def test_systematic_errors_are_kept_apart(model, exact, rng):
    star = _noisy(exact, 0.01, rng)
    systematic = {"Teff": 0.05 * u.kK, "[Fe/H]": 0.1 * u.dex, "A(Mg)": 0.05, "rv": 200 * u.m / u.s}
    with_them = exact_fit_spectrum(star, model, report="A(Mg)", systematic=systematic)
    without = exact_fit_spectrum(star, model)
    assert with_them.errors["teff"] == without.errors["teff"]
    assert without.systematic == {}
    assert with_them.systematic["teff"] == 50 * u.K
    assert with_them.systematic["feh"] == 0.1
    assert with_them.systematic["A_Mg"] == 0.05
    assert with_them.systematic["rv"] == 0.2 * u.km / u.s
    known = model.replace(meta={**model.meta, "systematic": {"logg": 0.12}})
    table = exact_fit_spectra([star, "no spectrum"], known)
    assert table["logg_sys"].tolist() == [0.12, 0.12]
    assert "teff_sys" not in table.colnames
    with pytest.raises(ValueError, match="systematic: label 'A_Mg' is not one of"):
        exact_fit_spectrum(star, model, systematic=systematic)
    with pytest.raises(ValueError, match=r"systematic: feh = -0\.1 must be zero or positive"):
        exact_fit_spectrum(star, model, systematic={"feh": -0.1})


def test_rotation_that_is_not_seen_is_limited(ideal, rng):
    """One star in twenty rotates faster than its limit says; those that are seen have none."""
    slow = [_noisy(ideal(**TRUTH, vsini=v), 0.02, rng) for v in np.linspace(0, 3, 30)]
    fast = [_noisy(ideal(**TRUTH, vsini=v), 0.02, rng) for v in (12, 20)]
    table = exact_fit_spectra(slow + fast, ideal)
    limit = table["vsini_limit"].value
    assert np.isnan(limit[-2:]).all()
    limited = np.isfinite(limit)
    assert limited[:10].sum() >= 8
    true = np.append(np.linspace(0, 3, 30), (12, 20))
    assert (true[limited] > limit[limited]).sum() <= 4
    assert limit[limited].max() < 8
    # by hand, with the same pixels: chi2 with vsini held there, all else fitted, is 2.71 higher
    i = int(np.flatnonzero(limited)[0])
    inner = SpectralRegion([(5162, 5238), (6092, 6168), (6692, 6723)] * u.AA)
    best = exact_fit_spectrum(slow[i], ideal, regions=inner)
    held = exact_fit_spectrum(slow[i], ideal, regions=inner, fixed={"vsini": best.vsini_limit})
    assert held.chi2 - best.chi2 == pytest.approx(2.71, abs=0.15)


def test_noise_that_is_not_known_is_guessed(model, exact, rng):
    """The fit is as good as one that is told; the flag says that it was not."""
    told = _noisy(exact, 0.01, rng)
    untold = Spectrum(spectral_axis=told.spectral_axis, flux=told.flux, mask=told.mask)
    options = {"resolution": 16000, "continuum": 1}
    first, second = (exact_fit_spectrum(star, model, **options) for star in (told, untold))
    assert second.flags == first.flags | Flag.NO_UNCERTAINTY
    for name, error in first.errors.items():
        if name != "vmac" and np.isfinite(error):
            assert abs(second.labels[name] - first.labels[name]) < 0.1 * error, name
            assert float(second.errors[name] / error) == pytest.approx(1, abs=0.25), name


def test_velocities_from_few_lines_are_said_to_be_ambiguous(model, rng):
    """The window of Li alone: a line may be taken for another. All windows leave no doubt."""
    n = 24
    labels = model.labels.minimum + rng.uniform(0.1, 0.9, (n, len(model.labels))) * (
        model.labels.width
    )
    rv = rng.uniform(-300, 300, n)
    exact = model.predict(labels, rv=rv, vsini=9.0, resolution=16000)
    stars = _noisy_rows(exact, 0.01, rng)
    few = SpectralRegion(6690 * u.AA, 6725 * u.AA)
    options = {"resolution": 16000, "continuum": 1}

    def judged(**more):
        table = exact_fit_spectra(stars, model, **options, **more)
        wrong = ~(np.abs(table["rv"].value - rv) < 20)
        return wrong, np.asarray(table["flags"] & Flag.VELOCITY_AMBIGUOUS) > 0

    wrong, ambiguous = judged(regions=few)
    assert wrong.sum() > 3
    assert (wrong & ~ambiguous).sum() <= 0.25 * wrong.sum()
    wrong, ambiguous = judged()
    assert not wrong.any()
    assert not ambiguous.any()


def test_fast_rotators_with_few_lines(model, rng):
    labels = np.array([list(TRUTH.values())] * 8)
    labels[:, 0], labels[:, 2] = np.linspace(5400, 6600, 8), -1.4
    rv = rng.uniform(-150, 150, 8)
    exact = model.predict(labels, rv=rv, vsini=220.0, resolution=16000)
    stars = _noisy_rows(exact, 0.01, rng)
    table = exact_fit_spectra(stars, model, resolution=16000, continuum=1)
    assert not (table["flags"] & Flag.BAD_INPUT).any()
    assert table["rv"].value == pytest.approx(rv, abs=15)
    assert np.abs((table["vsini"].value - 220) / table["vsini_err"].value).max() < 4


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
    stars = _noisy_rows(exact, 0.01, rng, shape)
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
        star = _noisy(exact, 0.01, rng)
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
    star = _noisy(exact, 0.01, rng)
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


def test_the_emulator_is_said_to_be_the_limit(model, ideal, exact, rng):
    """Where its error is not small beside the noise: by the signal, the star, the pixels' width."""

    def limited(star, of=model, **options):
        flags = exact_fit_spectrum(star, of, resolution=16000, **options).flags
        return bool(flags & Flag.EMULATOR_LIMITED)

    scale = model.error_scale_at([[TRUTH[name] for name in model.labels.names]])[0]
    noise = scale * np.sqrt(np.mean(model.error.rms**2)) / 0.3
    assert not limited(_noisy(exact, 1.1 * noise, rng))
    assert limited(_noisy(exact, 0.9 * noise, rng))
    assert limited(_noisy(exact, 0.9 * noise, rng, scale=3e4), continuum=1)
    assert not limited(_noisy(exact, 0.9 * noise, rng), noise_floor=0.02)
    assert not limited(_noisy(exact, 0.1 * noise, rng), ideal)
    assert not limited(exact)  # of unknown noise
    star, half = _noisy(exact, 0.9 * noise, rng), slice(None, None, 2)
    few = Spectrum(  # half as many pixels, of twice the width
        spectral_axis=star.spectral_axis[half], flux=star.flux[half], mask=star.mask[half],
        uncertainty=StdDevUncertainty(star.uncertainty.array[half]),
    )  # fmt: skip
    assert not limited(few)
    hard = model.replace(error=replace(model.error, rms=3 * model.error.rms))
    assert limited(few, hard)


def test_the_emulator_errs_more_for_some_stars(model, exact, rng):
    """Where its errors are known to be twice as large, so is their part of the errors."""
    n = len(model.labels)
    scales = np.zeros(3 + 2 * n), np.append([np.log(4), 0, 0], np.zeros(2 * n))
    quiet, loud = (model.replace(error=replace(model.error, scale=scale)) for scale in scales)
    star = _noisy(exact, 0.0005, rng)
    one, four = (
        exact_fit_spectrum(star, m, resolution=16000).errors["teff"] for m in (quiet, loud)
    )
    assert 2.5 < four / one < 4.1


@pytest.mark.parametrize("kind", ["fixed", "tied"])
def test_labels_that_are_held_are_shifted_too(exact, rng, kind):
    network = PayneModel.sample()
    i = network.labels.index("logg")
    shift = np.zeros_like(network.error.shift)
    model = network.replace(error=replace(network.error, shift=shift))
    star = _noisy(exact, 1e-3, rng)

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


def test_wavelengths_elsewhere_are_named(model):
    star = model(**TRUTH)
    axis = u.Quantity(star.spectral_axis, subok=False)
    for factor, said in ((0.1, r"\(516-673 .*\).*the model's \(51.*; they would if they were nm"),
                         (2.0, r"do not overlap with the model's \([0-9, -]*\)$")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            exact_fit_spectrum(Spectrum(spectral_axis=factor * axis, flux=star.flux), model)


def test_flux_of_zero_is_said_to_be_zero(model):
    dark = Spectrum(spectral_axis=np.linspace(5165, 5235, 500) * u.AA, flux=np.zeros(500) * u.one)
    for continuum in (None, 2):
        with pytest.raises(ValueError, match="0 are not in runs of exact zeros"):
            exact_fit_spectrum(dark, model, continuum=continuum)


def test_a_star_that_cannot_be_fitted_does_not_end_the_others(model):
    stars = [model(teff=t, logg=4.2, feh=0, vmic=1.2, vsini=4) for t in (5600, 5200)]

    def some():
        yield stars[0]
        raise OSError("the disk is gone")

    with pytest.raises(IncompleteError, match=r"OSError .* after 1 spectra") as caught:
        fit_spectra(some(), model)
    assert len(caught.value.table) == 1
    assert np.isfinite(caught.value.table["teff"][0])
    with np.errstate(invalid="ignore"):
        table = fit_spectra(
            stars, model, tied={"vmic": lambda star: 1.0 + np.sqrt(star["teff"] - 5400) / 50}
        )
    bad = (table["flags"] & Flag.BAD_INPUT) > 0
    assert bad.tolist() == [False, True]
    assert "must return finite numbers" in table["message"][1]
