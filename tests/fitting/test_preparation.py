"""Spectra made ready for fits: blemishes, resolution, smoothing."""

import astropy.units as u
import numpy as np
import pytest
from specutils import Spectrum

from astropayne import FitOptions, Flag, PayneModel, fit_spectra, fit_spectrum
from astropayne.fitting.preparation import Preparation
from astropayne.fitting.resolution import excess_variance
from astropayne.wavelengths.velocity import C_KMS

STAR = {"teff": 5600, "logg": 4.2, "feh": -0.3, "vmic": 1.2}


@pytest.fixture(scope="module")
def preparation(model):
    return Preparation(model)


def _spectrum(wavelength, flux, **meta):
    return Spectrum(
        spectral_axis=wavelength * u.AA, flux=flux * u.one, meta={"medium": "air", **meta}
    )


def test_a_spectrum_without_faults_stays_as_it_is(preparation, model):
    star = model(**STAR, resolution=15000)
    prepared = preparation.prepare(star)
    assert prepared.spectrum is star
    assert (prepared.notes, prepared.estimated) == ((), False)


def test_sharper_lines_are_smoothed_to_the_models_resolution(preparation, model):
    """A Gaussian line of R = 60000 becomes one of the model's resolution: widths add in squares."""
    wavelength = np.arange(5155, 5246, 0.02)
    width = 5200 / 60000 / 2.3548
    flux = 1 - 0.5 * np.exp(-0.5 * ((wavelength - 5200) / width) ** 2)
    prepared = preparation.prepare(_spectrum(wavelength, flux), 60000)
    goal = prepared.resolution
    assert goal == pytest.approx(0.995 * model.resolution)
    assert "smoothed from R = 60000 (stated)" in prepared.notes[0]
    x, depth = prepared.spectrum.spectral_axis.value, 1 - prepared.spectrum.flux.value
    weights = depth * np.gradient(x)
    center = np.average(x, weights=weights)
    variance = np.average((x - center) ** 2, weights=weights)
    expected = (center / goal / 2.3548) ** 2
    assert variance == pytest.approx(expected, rel=0.03)
    assert np.trapezoid(depth, x) == pytest.approx(0.5 * width * np.sqrt(2 * np.pi), rel=0.01)
    assert len(x) < len(wavelength) / 2


def test_blemishes_are_left_out_and_counted(preparation, model):
    star = model(**STAR, resolution=15000)
    flux = star.flux.value.copy()
    good = np.flatnonzero(np.isfinite(flux))
    flux[good[200]] += 5
    flux[good[500:520]] = 0
    prepared = preparation.prepare(_spectrum(star.spectral_axis.value, flux, resolution=15000))
    assert any("spikes" in note for note in prepared.notes)
    left = prepared.spectrum.spectral_axis.value
    assert len(left) <= len(good) - 21
    assert prepared.spectrum.flux.value.max() < 2


@pytest.mark.parametrize("factor", [0.4, 0.7])
def test_line_widths_are_compared_with_the_models(model, factor):
    """The excess variance is that of the instrument, whatever the velocity."""
    rng = np.random.default_rng(5)
    labels = model.labels.minimum + model.labels.width * rng.random((12, len(model.labels)))
    known = model.predict(labels).flux.value
    resolution = factor * model.resolution
    star = model(**STAR, rv=40, resolution=resolution)
    good = np.isfinite(star.flux.value)
    axis = model.wavelength.value
    found = excess_variance(axis[good], star.flux.value[good], axis, known, model.resolution)
    sigma = C_KMS / 2.3548 * np.array([1 / resolution, 1 / model.resolution])
    assert found == pytest.approx(sigma[0] ** 2 - sigma[1] ** 2, rel=0.35)


def test_counts_with_a_tilt_are_fitted_without_options(model, rng):
    star = model(**STAR, rv=20, vsini=5, resolution=15000)
    x = np.linspace(-1, 1, len(star.flux))
    flux = 3e4 * (1 + 0.3 * x) * (star.flux.value + rng.normal(0, 0.005, len(x)))
    good = np.isfinite(flux)
    spectrum = _spectrum(star.spectral_axis.value[good], flux[good], resolution=15000)
    result = fit_spectrum(spectrum, model)
    for name, true in STAR.items():
        assert abs(result.labels[name].value - true) < 4 * result.errors[name].value
    assert any(note.startswith("continuum: a polynomial") for note in result.notes)


def test_the_amplitude_of_wrong_lines_is_part_of_the_errors(model, rng):
    star = model(**STAR, resolution=15000)
    flux = star.flux.value
    knots = np.arange(5150, 6740, 0.35)
    factor = 1 + np.interp(star.spectral_axis.value, knots, rng.normal(0, 0.15, len(knots)))
    noisy = 1 - factor * (1 - flux) + rng.normal(0, 0.003, len(flux))
    good = np.isfinite(noisy)
    spectrum = _spectrum(star.spectral_axis.value[good], noisy[good], resolution=15000)
    table = fit_spectra([spectrum], model)
    exact = fit_spectra([spectrum], model, options=FitOptions(continuum=None, inadequacy=None))
    assert table["teff_err"][0] > 1.1 * exact["teff_err"][0]
    assert abs(table["teff"][0].value - STAR["teff"]) < 4 * table["teff_err"][0].value


def test_a_star_beyond_the_range_is_not_measured():
    """Lines far weaker than in any spectrum of the grid."""
    model = PayneModel.sample()
    low = model.labels.minimum[model.labels.index("feh")]
    star = model(**{**STAR, "feh": low}, A_Li=2.0, resolution=15000)
    flux = 1 - 0.7 * (1 - star.flux.value)
    good = np.isfinite(flux)
    spectrum = _spectrum(star.spectral_axis.value[good], flux[good], resolution=15000)
    result = fit_spectrum(spectrum, model, fixed={"teff": 5600, "logg": 4.2})
    assert result.flags & Flag.OUT_OF_RANGE
    assert result.limits["feh"].startswith("<")
    assert np.isnan(result.labels["feh"])
