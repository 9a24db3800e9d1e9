"""Fits of simulated stars: values, errors, flags and rows."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty
from simulated import (
    TRUTH,
    VELOCITIES,
    exact_fit_spectra,
    exact_fit_spectrum,
    exact_posterior,
    noisy,
    noisy_rows,
)
from specutils import SpectralRegion, Spectrum, SpectrumList

from astropayne import (
    Flag,
    PayneModel,
    broaden_spectrum,
    degrade_spectrum,
    fit_spectra,
)
from astropayne.abundances.planning import plan
from astropayne.evaluation import evaluate
from astropayne.fitting.batches import IncompleteError
from astropayne.labels.names import Label
from astropayne.modeling import PayneSpectrum
from astropayne.wavelengths.media import to_vacuum


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
    table = exact_fit_spectra([noisy(exact, 0.01, rng) for _ in range(12)], ideal, resolution=16000)
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
    star = noisy(exact, 0.002, rng)
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
    star = noisy(model(**TRUTH, rv=rv, vsini=20), 0.02, rng)
    result = exact_fit_spectrum(star, model)
    assert result.labels["rv"].value == pytest.approx(rv, abs=0.5)


def test_wavelength_order_unit_medium_and_regions_do_not_matter(model, exact, rng):
    star = noisy(exact, 0.01, rng)
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
    star = noisy(model(**{**TRUTH, "Mg_Fe": model.labels.maximum[4]}), 0.001, rng)
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
    star = noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(
        star, model, resolution=16000, regions=SpectralRegion(5165 * u.AA, 5200 * u.AA)
    )
    assert result.flags & Flag.FEW_PIXELS


def test_every_spectrum_has_its_row(model, exact, rng):
    good = noisy(exact, 0.01, rng)
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
    stars = [noisy(exact, 0.01, rng) for _ in range(2)]
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


def test_wavelength_medium_and_resolution_come_from_the_metadata(model, exact, rng):
    star = noisy(exact, 0.01, rng)
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


def test_no_error_is_less_than_what_the_emulator_shifts(model, exact, rng):
    star = noisy(exact, 1e-5, rng)
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


def test_what_says_nothing_of_a_label_leaves_it_open(model, exact, rng):
    star = noisy(exact, 0.1, rng)
    region = SpectralRegion(5160 * u.AA, 5240 * u.AA)  # without the lithium line
    result = exact_fit_spectrum(star, model, resolution=16000, regions=region)
    assert "A_Li" in result.low_information
    assert np.isnan(result.labels["A_Li"])
    assert np.isnan(result.errors["A_Li"])
    assert result.flags & Flag.LOW_INFORMATION
    assert np.isfinite(result.labels["teff"])


def test_a_velocity_that_nothing_is_said_of_is_not_a_number(model, rng):
    exact = model(**TRUTH, rv=12, vsini=4, vmac=3, resolution=18000)
    stars = [noisy(exact, 0.01, rng) for _ in range(6)]
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


def test_values_that_fill_gaps_are_no_flux(model, exact, rng):
    """Nor do they take the other stars of the batch with them."""
    star = noisy(exact, 0.01, rng)
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
            seen = noisy(clean, 0.03, rng)
            if not known:
                seen = Spectrum(spectral_axis=seen.spectral_axis, flux=seen.flux)
            star = degrade_spectrum(seen, 15000, resolution=20000)
            fits.append(exact_fit_spectrum(star, model, fixed=fixed))
        error = np.mean([fit.errors["teff"].value for fit in fits])
        scatter = np.std([fit.labels["teff"].value for fit in fits])
        assert 0.6 * error < scatter < 1.3 * error
        assert np.mean([fit.chi2 / fit.dof for fit in fits]) == pytest.approx(1, abs=0.15)
        part = exact_fit_spectrum(
            star[100:-100], model, fixed=fixed
        )  # its metadata are the whole's
        assert part.errors["teff"].value == pytest.approx(error, rel=0.3)


def test_gaps_are_not_covered(model, exact, rng):
    x = exact.spectral_axis.value
    few = ((x > 5200) & (x < 5210)) | ((x > 6100) & (x < 6110))
    star = noisy(exact, 0.01, rng)
    star = Spectrum(
        spectral_axis=star.spectral_axis[few], flux=star.flux[few],
        uncertainty=StdDevUncertainty(star.uncertainty.array[few]),
    )  # fmt: skip
    assert exact_fit_spectrum(star, model, resolution=16000).flags & Flag.FEW_PIXELS


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
    spectra = [noisy(exact, 0.01, rng) for _ in range(2)]
    spectra[0].meta["resolution"] = 40000
    short = noisy(exact, 0.01, rng)[30:140]
    alone = exact_fit_spectra(spectra[:1], unknown)
    together = exact_fit_spectra([*spectra, short], unknown)
    for name in ("teff", "vsini", "chi2", "dof"):
        assert u.isclose(together[name][0], alone[name][0], rtol=1e-4), name
    without = exact_fit_spectra(spectra[1:], unknown)
    assert u.isclose(together["vsini"][1], without["vsini"][0], rtol=1e-4)
    spectra[0].meta["resolution"] = 16000
    assert exact_fit_spectra(spectra[:1], unknown)["vsini"][0] < 0.8 * alone["vsini"][0]


def test_far_from_training_spectra_is_said(model, rng):
    """The grid has no hot giants, though both labels are inside their ranges."""
    star = model(**{**TRUTH, "teff": 6400, "logg": 1.9}, vsini=9, resolution=16000)
    assert exact_fit_spectrum(star, model, resolution=16000).flags & Flag.OUTSIDE_COVERAGE
    fixed = {"teff": 6400, "logg": 1.9}
    table = exact_fit_spectra([noisy(star, 0.01, rng)], model, fixed=fixed, resolution=16000)
    assert table["flags"][0] & Flag.OUTSIDE_COVERAGE
    parts = (model.network, model.labels, model.wavelength)
    elsewhere = PayneModel.from_network(*parts, resolution=model.resolution, error=model.error)
    assert not exact_fit_spectrum(star, elsewhere, resolution=16000).flags & Flag.OUTSIDE_COVERAGE


def test_rotation_that_is_not_seen_is_limited(ideal, rng):
    """One star in twenty rotates faster than its limit says; those that are seen have none."""
    slow = [noisy(ideal(**TRUTH, vsini=v), 0.02, rng) for v in np.linspace(0, 3, 30)]
    fast = [noisy(ideal(**TRUTH, vsini=v), 0.02, rng) for v in (12, 20)]
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
    told = noisy(exact, 0.01, rng)
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
    stars = noisy_rows(exact, 0.01, rng)
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
    stars = noisy_rows(exact, 0.01, rng)
    table = exact_fit_spectra(stars, model, resolution=16000, continuum=1)
    assert not (table["flags"] & Flag.BAD_INPUT).any()
    assert table["rv"].value == pytest.approx(rv, abs=15)
    assert np.abs((table["vsini"].value - 220) / table["vsini_err"].value).max() < 4


def test_the_emulator_is_said_to_be_the_limit(model, ideal, exact, rng):
    """Where its error is not small beside the noise: by the signal, the star, the pixels' width."""

    def limited(star, of=model, **options):
        flags = exact_fit_spectrum(star, of, resolution=16000, **options).flags
        return bool(flags & Flag.EMULATOR_LIMITED)

    scale = model.error_scale_at([[TRUTH[name] for name in model.labels.names]])[0]
    noise = scale * np.sqrt(np.mean(model.error.rms**2)) / 0.3
    assert not limited(noisy(exact, 1.1 * noise, rng))
    assert limited(noisy(exact, 0.9 * noise, rng))
    assert limited(noisy(exact, 0.9 * noise, rng, scale=3e4), continuum=1)
    assert not limited(noisy(exact, 0.9 * noise, rng), noise_floor=0.02)
    assert not limited(noisy(exact, 0.1 * noise, rng), ideal)
    assert not limited(exact)  # of unknown noise
    star, half = noisy(exact, 0.9 * noise, rng), slice(None, None, 2)
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
    star = noisy(exact, 0.0005, rng)
    one, four = (
        exact_fit_spectrum(star, m, resolution=16000).errors["teff"] for m in (quiet, loud)
    )
    assert 2.5 < four / one < 4.1


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
