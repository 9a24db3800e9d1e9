import functools

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import PayneModel, fit_spectra, fit_spectrum
from astropayne.abundances import plan

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)

SUN = {"teff": 5770.0, "logg": 4.4, "feh": -0.1, "vmic": 1.1, "A_Li": 2.4}
VELOCITIES = {"rv": 10.0, "vsini": 8.0}


@pytest.fixture(scope="module")
def network():
    return PayneModel.sample().replace(error=None)  # taken as exact


def test_errors_are_the_scatter_of_fits(network, rng):
    exact = network(**SUN, **VELOCITIES, resolution=18000)
    noise = np.full(len(exact.flux), 1 / 150)
    stars = [
        Spectrum(
            spectral_axis=exact.spectral_axis, mask=exact.mask,
            flux=exact.flux + rng.normal(0, noise) * u.one, uncertainty=StdDevUncertainty(noise),
        )
        for _ in range(200)
    ]  # fmt: skip
    options = {"resolution": 18000, "continuum": 1}
    fits = exact_fit_spectra(stars, network, **options)
    expected = plan(network, {**SUN, **VELOCITIES}, snr=150, **options)
    ratio = [np.std(u.Quantity(fits[r["label"]]).value) / r["error"] for r in expected]
    # a standard deviation of 200 numbers is good to 5 %
    assert np.array(ratio) == pytest.approx(1, abs=0.15)
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)
    assert (expected["error_alone"] <= expected["error"]).all()


@pytest.mark.parametrize("options", [{}, {"fixed": {"logg": 4.4}}, {"continuum": 2}])
def test_a_plan_has_the_errors_of_a_fit(options):
    model, snr = PayneModel.sample(), 500
    exact = model(**SUN, **VELOCITIES, resolution=18000)
    star = Spectrum(
        spectral_axis=exact.spectral_axis, flux=exact.flux, mask=exact.mask,
        uncertainty=StdDevUncertainty(np.full(len(exact.flux), 1 / snr)),
    )  # fmt: skip
    fit = exact_fit_spectrum(star, model, resolution=18000, **options)
    held = {"fixed": ["vmac", *options["fixed"]]} if "fixed" in options else options
    table = plan(model, {**SUN, **VELOCITIES}, resolution=18000, snr=snr, **held)
    errors = [fit.errors[name].value for name in table["label"]]
    assert np.asarray(table["error"]) == pytest.approx(errors, rel=0.02)


def test_narrow_pixels_do_not_make_the_emulator_better():
    model = PayneModel.sample()
    wide = np.concatenate([np.arange(5162, 5238, 0.05), np.arange(6092, 6168, 0.05)])
    narrow = np.concatenate([np.arange(5162, 5238, 0.005), np.arange(6092, 6168, 0.005)])
    options = {"labels": ["teff", "Ca_Fe", "rv"], "resolution": 18000}
    one = plan(model, {**SUN, **VELOCITIES}, snr=1000, wavelength=wide * u.AA, **options)
    same = {"snr": 1000 / 10**0.5, "wavelength": narrow * u.AA}  # as much light
    other = plan(model, {**SUN, **VELOCITIES}, **same, **options)
    assert other["error"] == pytest.approx(one["error"], rel=0.02)


def test_lithium_is_measurable_where_there_is_enough(network):
    def row(abundance, snr):
        return plan(network, {**SUN, "A_Li": abundance}, labels=["A(Li)"], snr=snr)[0]

    few, many = row(0.8, 50), row(3.0, 50)
    assert not few["measurable"]
    assert many["measurable"]
    assert few["detectable_from"] == pytest.approx(many["detectable_from"], abs=0.05)
    threshold = few["detectable_from"]
    assert row(threshold, 50)["significance"] == pytest.approx(3, rel=0.05)
    # a weak line is as strong as its abundance: half of the noise, 0.3 dex less, about
    gain = row(2.0, 50)["detectable_from"] - row(2.0, 100)["detectable_from"]
    assert gain == pytest.approx(0.3, abs=0.1)


def test_what_a_plan_is_asked(network):
    table = plan(network, SUN, fixed=["vmac", "logg"], labels=["teff", "vsini"])
    assert table["label"].tolist() == ["teff", "vsini"]
    assert np.isnan(table["significance"]).all()
    with pytest.raises(ValueError, match="logg: fixed"):
        plan(network, SUN, fixed=["logg"], labels=["logg"])
    with pytest.raises(ValueError, match="one star needs one value per label, got 2"):
        plan(network, {**SUN, "teff": [5600, 5700]})
    with pytest.raises(ValueError, match="Eu_Fe"):
        plan(network, SUN, labels=["Eu_Fe"])
    for snr in (0, -50.0, np.nan):
        with pytest.raises(ValueError, match=r"snr=.* must be positive"):
            plan(network, SUN, snr=snr)
    with pytest.raises(ValueError, match="snr needs one value, got 3"):
        plan(network, SUN, snr=[50, 60, 70])
    with pytest.raises(ValueError, match=r"none of the 2 pixels, 40.* is in the model's windows"):
        plan(network, SUN, wavelength=[4000, 4001] * u.AA)
    with pytest.raises(ValueError, match="none of the 0 pixels is in"):
        plan(network, SUN, wavelength=[] * u.AA)
    with pytest.raises(ValueError, match="1 of 2 wavelengths are not finite"):
        plan(network, SUN, wavelength=[5200, np.nan] * u.AA)
    part = network.wavelength[network.wavelength < 5300 * u.AA]
    less = plan(network, SUN, wavelength=part, labels=["teff", "A_Li"])
    assert less["error"][0] > plan(network, SUN, labels=["teff"])["error"][0]
    assert not less["measurable"][1]


def test_the_order_of_pixels_does_not_matter():
    model = PayneModel.sample()
    star = {"teff": 5600, "logg": 4.3, "feh": -0.2, "vmic": 1.1, "vsini": 4}
    few = model.wavelength[-300:]
    options = {"labels": ["teff", "feh", "A_Li"], "continuum": 1}
    up, down = (plan(model, star, wavelength=w, **options) for w in (few, few[::-1]))
    for name in ("error", "error_alone", "significance"):
        assert np.asarray(up[name]) == pytest.approx(np.asarray(down[name]), rel=1e-6, nan_ok=True)
