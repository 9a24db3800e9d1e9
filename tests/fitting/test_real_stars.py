"""Observed spectra of stars whose labels are known; with options and without."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from specutils import SpectralRegion, Spectrum

from astropayne import (
    Flag,
    degrade_spectrum,
    fit_abundances,
    fit_spectra,
    fit_spectrum,
    read_spectrum,
)
from astropayne.fitting.posterior import Posterior


def _fit(spectrum, model, vsini):
    return fit_spectrum(
        spectrum,
        model,
        continuum=2,
        noise_floor=0.02,
        exclude_at_rest=model.untrusted,
        fixed={"vsini": vsini, "vmac": 3.5},
    )


def _assert_like(result, teff, logg, feh):
    assert result.labels["teff"].value == pytest.approx(teff, abs=100)
    assert result.labels["logg"].value == pytest.approx(logg, abs=0.15)
    assert result.labels["feh"].value == pytest.approx(feh, abs=0.15)
    assert result.labels["rv"].value == pytest.approx(0.3, abs=0.3)  # both near rest


def test_the_sun(observed_folder, model):
    with fits.open(observed_folder / "sun_HARPS_ganymede.fits") as hdus:
        header, flux = hdus[0].header, hdus[0].data.astype(float)
    wavelength = header["CRVAL1"] + header["CDELT1"] * np.arange(len(flux))
    near = np.zeros(len(flux), dtype=bool)
    for low, high in ((5160, 5240), (6090, 6170), (6690, 6725)):
        near |= (wavelength > low - 5) & (wavelength < high + 5)
    sun = Spectrum(spectral_axis=wavelength[near] * u.AA, flux=flux[near] * u.one)
    result = _fit(degrade_spectrum(sun, 20000, resolution=115000), model, 1.6)
    _assert_like(result, 5771, 4.44, 0.0)
    assert result.labels["vmic"].value == pytest.approx(1.06, abs=0.15)


def test_18_sco(observed_folder, model):
    table = QTable.read(observed_folder / "18sco_HARPS_R32K.fits")
    star = Spectrum(
        spectral_axis=np.asarray(table["waveobs"], float) * u.AA,
        flux=np.asarray(table["flux"], float) * u.one,
        uncertainty=StdDevUncertainty(np.asarray(table["err"], float)),
    )
    result = _fit(degrade_spectrum(star, 20000, resolution=32000), model, 2.2)
    _assert_like(result, 5810, 4.44, 0.03)


def test_the_model_says_where_it_is_wrong(model):
    (low, *_), (*_, high) = zip(*model.untrusted.subregions, strict=True)
    assert low > 5159 * u.AA
    assert high < 6726 * u.AA
    inside = np.zeros(len(model.wavelength), bool)
    for low, high in model.untrusted.subregions:
        inside |= (model.wavelength > low) & (model.wavelength < high)
    for line in (5165.41, 6107.32, 6129.58, 6159.37, 6711.82):  # the grid's makers disown these
        assert inside[np.abs(model.wavelength.value - line).argmin()]
    assert 0.08 < inside.mean() < 0.16


def test_what_is_left_out_moves_with_the_star(model):
    """A line that is wrong does no harm, at either velocity, if it is left out in its frame."""
    truth = {"teff": 5600.0, "logg": 4.2, "feh": -0.3, "vmic": 1.2}
    line = 6122.2 * u.AA
    wrong = SpectralRegion(line - 1.5 * u.AA, line + 1.5 * u.AA)
    stars = []
    for rv in (-250.0, 250.0):
        star = model(**truth, rv=rv, vsini=5)
        rest = star.spectral_axis / np.exp(np.arctanh(rv / 299792.458))
        flux = np.where(np.abs(rest - line) < 0.7 * u.AA, 0.5 + 0.5 * star.flux.value, star.flux)
        stars.append(Spectrum(spectral_axis=star.spectral_axis, flux=flux * u.one, mask=star.mask))
    exact = {"continuum": None, "inadequacy": None}
    table = fit_spectra(stars, model, exclude_at_rest=wrong, **exact)
    spoiled = fit_spectra(stars, model, exclude_at_rest=None, **exact)
    assert np.abs(table["teff"].value - 5600) == pytest.approx(0, abs=2)
    assert np.abs(table["Ca_Fe"]) == pytest.approx(0, abs=0.005)
    assert np.all(np.abs(spoiled["Ca_Fe"]) > 0.05)
    assert np.all(table["dof"] < spoiled["dof"])


def _observed(star, rng, factor=None):
    """Return the spectrum of a model with noise, and with line depths that are off."""
    flux = star.flux.value
    if factor is not None:
        flux = 1 - factor * (1 - flux)
    flux = flux + rng.normal(0, 0.003, len(flux))
    good = np.isfinite(flux)
    return Spectrum(
        spectral_axis=star.spectral_axis[good], flux=flux[good] * u.one,
        uncertainty=StdDevUncertainty(np.full(good.sum(), 0.003)),
        meta={"resolution": 15000.0, "medium": star.meta["medium"]},
    )  # fmt: skip


TRUTH = {"teff": 5700.0, "logg": 4.3, "feh": -0.2, "vmic": 1.1, "A_Li": 2.0}


def test_untrusted_lines_are_left_out_only_for_stars_with_wrong_lines(model, rng):
    star = model(**TRUTH, vsini=4, resolution=15000)
    perfect = fit_spectrum(_observed(star, rng), model)
    knots = np.arange(5150, 6740, 0.35)
    factor = 1 + np.interp(star.spectral_axis.value, knots, rng.normal(0, 0.1, len(knots)))
    wrong = fit_spectrum(_observed(star, rng, factor), model)
    everything = fit_spectrum(_observed(star, rng, factor), model, exclude_at_rest=None)
    assert wrong.dof < everything.dof - 100
    assert perfect.dof > wrong.dof + 100
    assert not wrong.flags & Flag.POOR_FIT


def test_posterior_and_abundances_use_the_model_that_the_fit_used(model, rng):
    """A star as the calibrated model predicts it: χ² has its minimum at the labels of the fit."""
    forward = model.forward_model(calibrated=True)
    theta = np.array([*(TRUTH.get(name, 0.0) for name in model.labels.names), 0.0, 4.0, 0.0])
    wavelength = model.vacuum_wavelength
    pixels = forward.pixels(wavelength[None], np.zeros(1))
    flux = forward.forward(theta[None], pixels, np.array([15000.0]))[0].cpu().numpy()
    good = forward.supported(pixels, 4.0, 0.0, np.array([15000.0]))[0]
    spectrum = Spectrum(
        spectral_axis=wavelength[good] * u.AA,
        flux=(flux + rng.normal(0, 0.003, len(flux)))[good] * u.one,
        uncertainty=StdDevUncertainty(np.full(good.sum(), 0.003)),
        meta={"resolution": 15000.0, "medium": "vacuum"},
    )
    plain = model.replace(calibration=None)
    assert (
        fit_spectrum(spectrum, model).chi2
        < 0.7 * fit_spectrum(spectrum, plain, inadequacy=None).chi2
    )
    posterior = Posterior(spectrum, model)
    errors = np.array([posterior.fit.errors[name].value for name in posterior.names])
    known = np.isfinite(errors) & (np.array(posterior.names) != "vsini")  # flat, by the resolution
    best = posterior.log_probability(posterior.best)
    for i in np.flatnonzero(known):
        for sign in (-1, 1):
            away = posterior.best.copy()
            away[i] = np.clip(away[i] + sign * errors[i], posterior.low[i], posterior.high[i])
            assert posterior.log_probability(away) < best + 0.5
    abundances = fit_abundances([spectrum], model, ["Ca", "Ti"])
    for element in ("Ca", "Ti"):
        away = abundances[f"{element}_Fe"][0] / abundances[f"{element}_Fe_err"][0]
        assert abs(away) < 4


NO_OPTIONS = {
    "sun_HARPS_ganymede.fits": (5772, 4.44, 0.0),
    "18sco_HARPS_R32K.fits": (5810, 4.44, 0.03),
    "procyon_HARPS_GBOG.fits": (6554, 4.00, 0.01),
}


@pytest.mark.parametrize("name", NO_OPTIONS)
def test_no_options_are_needed(observed_folder, model, name):
    result = fit_spectrum(read_spectrum(observed_folder / name), model)
    for label, true, most in zip(
        ("teff", "logg", "feh"), NO_OPTIONS[name], (100, 0.15, 0.1), strict=True
    ):
        away = abs(result.labels[label].value - true)
        assert away < most
        assert away < 3 * result.errors[label].value
    assert any("smoothed" in note for note in result.notes)


def test_a_star_outside_the_grid_is_not_measured(observed_folder, model):
    result = fit_spectrum(read_spectrum(observed_folder / "hd122563_MIKE.fits"), model)
    assert result.flags & Flag.OUT_OF_RANGE
    assert result.limits["feh"] == "< -2"
    assert all(np.isnan(result.labels[name]) for name in ("teff", "logg", "feh"))
