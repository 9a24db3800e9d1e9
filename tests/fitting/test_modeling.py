import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.modeling.fitting import DogBoxLSQFitter, TRFLSQFitter, parallel_fit_dask
from astropy.modeling.models import Chebyshev1D, Polynomial1D
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import PayneModel, fit_spectrum
from astropayne.labels.space import LabelRangeWarning
from astropayne.modeling import PayneSpectrum
from astropayne.wavelengths.media import to_vacuum

TRUTH = {"teff": 5777 * u.K, "logg": 4.44, "feh": 0.0, "vmic": 1.1 * u.km / u.s, "A_Li": 2.0}
VELOCITIES = {"rv": 4.0, "vsini": 6.0}


@pytest.fixture(scope="module")
def model(quick_model):
    """The network of the tests of other folders, which astropy's fitters are compared with."""
    return quick_model


@pytest.fixture
def star(model):
    return PayneSpectrum(model, resolution=15000, **TRUTH, **VELOCITIES, vmac=3 * u.km / u.s)


def test_it_is_the_model(model, star):
    expected = model(**TRUTH, **VELOCITIES, vmac=3, resolution=15000)
    good = star.supported(model.wavelength)
    assert good.sum() > 3700
    assert star(model.wavelength)[good].value == pytest.approx(expected.flux[good].value, abs=1e-6)


def test_parameters_have_units_bounds_and_spellings(model):
    star = PayneSpectrum(model, **{"Teff": 5.5 * u.kK, "[Mg/Fe]": 0.3, "rv": 2000 * u.m / u.s})
    assert star.param_names == (*model.labels.names, "rv", "vsini", "vmac")
    assert star.teff.quantity == 5500 * u.K
    assert star.rv.quantity == 2 * u.km / u.s
    assert star.Mg_Fe.value == 0.3
    assert star.Mg_Fe.unit is None
    assert star.Ca_Fe.value == 0
    assert star.logg.bounds == (model.labels.minimum[1], model.labels.maximum[1])
    assert star.vmac.fixed
    assert not star.vsini.fixed


def test_quantities_in_quantities_out(model, star):
    x = model.wavelength[500:600]
    flux = star(x)
    assert flux.unit == u.dimensionless_unscaled
    plain = star(x.value)
    assert not isinstance(plain, u.Quantity)
    assert flux.value == pytest.approx(plain, abs=1e-12)
    assert star(x.to(u.nm)).value == pytest.approx(plain, abs=1e-9)
    vacuum = to_vacuum(x.value, "air") * u.AA  # frequencies are vacuum's
    assert star(vacuum.to(u.THz, u.spectral())).value == pytest.approx(plain, abs=1e-6)
    assert star(vacuum.to(u.eV, u.spectral())).value == pytest.approx(plain, abs=1e-6)
    assert star(x[3]).shape == ()
    with pytest.raises(u.UnitsError):
        star(3 * u.K)


def test_parameters_may_take_another_unit(model, star):
    x = model.wavelength[500:600]
    expected = star(x)
    star.teff = 5.777 * u.kK
    star.rv = 4000 * u.m / u.s
    assert u.allclose(star(x), expected, atol=1e-10)


def test_derivatives_against_central_differences(model, star):
    x = model.wavelength.value[::3]
    derivatives = star.fit_deriv(x, *star.parameters)
    for i, name in enumerate(star.param_names):
        step = 1e-4 * max(1, abs(star.parameters[i]))
        ahead, behind = star.parameters.copy(), star.parameters.copy()
        ahead[i] += step
        behind[i] -= step
        number = (star.evaluate(x, *ahead) - star.evaluate(x, *behind)) / (2 * step)
        assert np.abs(number).max() > 0
        assert derivatives[i] == pytest.approx(number, abs=1e-5 * np.abs(number).max()), name


def test_frequencies_are_fitted_as_fit_spectrum_does(model, star, rng):
    star.vmac = 0 * u.km / u.s
    wavelength = model.wavelength[100:1500]
    frequency = (to_vacuum(wavelength.value, "air") * u.AA).to(u.GHz, u.spectral())[::-1]
    flux = star(frequency) + rng.normal(0, 0.01, len(frequency))
    observed = Spectrum(
        spectral_axis=frequency, flux=flux, uncertainty=StdDevUncertainty(0.01 + 0 * flux.value)
    )
    assert fit_spectrum(observed, model, resolution=15000).labels["rv"].value == pytest.approx(
        4.0, abs=0.5
    )
    start = star.copy()
    start.rv = 0 * u.km / u.s
    fitted = TRFLSQFitter()(start, frequency, flux, weights=star.supported(frequency) / 0.01)
    assert fitted.rv.value == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize("fitter", [TRFLSQFitter, DogBoxLSQFitter])
def test_astropys_fitters_agree_with_ours(model, ideal, star, rng, fitter):
    star.vmac = 0 * u.km / u.s
    x, sigma = model.wavelength, 0.01
    flux = star(x) + rng.normal(0, sigma, len(x))
    good = star.supported(x)
    observed = Spectrum(
        spectral_axis=x, flux=flux, uncertainty=StdDevUncertainty(np.full(len(x), sigma)),
        mask=~good,
    )  # fmt: skip
    # astropy's fitters know nothing of the errors of emulator and resolution
    ours = fit_spectrum(observed, ideal, resolution=15000, resolution_error=0)
    start = PayneSpectrum(model, resolution=15000, rv=0, vsini=10)
    fit = fitter(calc_uncertainties=True)
    theirs = fit(start, x, flux, weights=good / sigma)
    assert theirs.teff.unit == u.K
    assert theirs.rv.unit == u.km / u.s
    for name in ours.free:
        difference = getattr(theirs, name).value - ours.labels[name].value
        assert abs(difference) < 0.5 * ours.errors[name].value, name
        assert getattr(theirs, name).std == pytest.approx(ours.errors[name].value, rel=0.1)
    without = fit(start, x.value, flux.value, weights=good / sigma)
    assert without.teff.value == pytest.approx(theirs.teff.value, abs=0.01)


def test_fixed_and_tied_parameters(model, star, rng):
    star.vmac = 0 * u.km / u.s
    x = model.wavelength.value
    flux = star(x) + rng.normal(0, 0.01, len(x))
    start = PayneSpectrum(model, resolution=15000, teff=5700, vmic=1.1, **VELOCITIES)
    start.vmic.fixed = True
    start.Ca_Fe.tied = lambda m: m.Mg_Fe.value
    # astropy leaves out the chain rule for tied parameters where derivatives are given
    fitted = TRFLSQFitter()(start, x, flux, estimate_jacobian=True)
    assert fitted.vmic.value == 1.1
    assert fitted.Ca_Fe.value == fitted.Mg_Fe.value
    assert fitted.teff.value == pytest.approx(5777, abs=80)


@pytest.mark.parametrize("continuum", [Chebyshev1D, Polynomial1D])
def test_it_is_part_of_compound_models(model, star, rng, continuum):
    star.vmac = 0 * u.km / u.s
    x = model.wavelength.value[:1601]
    # a window as wide as the model's, in which polynomials of both kinds are the same
    product = star * continuum(1, c0=1.0, c1=0.0, domain=(x[0], x[-1]), window=(-1, 1))
    flux = star(x) * (1.3 + 0.1 * (x - 5200) / 40) + rng.normal(0, 0.005, len(x))
    for name in star.param_names[4:12]:
        getattr(product, f"{name}_0").fixed = True
    # astropy's derivatives of a polynomial leave its domain out, so they have to be estimated
    fitted = TRFLSQFitter()(product, x, flux, estimate_jacobian=True)
    assert fitted.teff_0.value == pytest.approx(5777, abs=100)
    assert fitted.c0_1.value == pytest.approx(1.3, abs=0.02)
    assert fitted.c1_1.value == pytest.approx(0.1, abs=0.02)


def test_copies_and_pickles_are_apart(model, star):
    x = model.wavelength[:50]
    flux = star(x)
    for other in (pickle.loads(pickle.dumps(star)), copy.deepcopy(star), star.copy()):
        assert u.allclose(other(x), flux, atol=1e-12)
        assert other.vmac.fixed
        other.teff = 5000 * u.K
        other.logg.fixed = True
        assert star.teff.value == 5777
        assert not star.logg.fixed
        assert not u.allclose(other(x), flux, atol=1e-4)


def test_wrong_input_is_a_clear_error(model):
    with pytest.raises(u.UnitConversionError, match="'teff' is in K"):
        PayneSpectrum(model, teff=5000 * u.km)
    with pytest.raises(ValueError, match="'Mn_Fe' is not one of"):
        PayneSpectrum(model, Mn_Fe=0)
    with pytest.raises(ValueError, match="higher than the model's own"):
        PayneSpectrum(model, resolution=30000)
    with pytest.raises(ValueError, match="one star needs one value per label, got 2"):
        PayneSpectrum(model, teff=[5600, 5700])
    with pytest.raises(ValueError, match="1 of 2 wavelengths are not finite"):
        PayneSpectrum(model)([5200, np.nan])
    assert PayneSpectrum(model)([] * u.AA).shape == (0,)
    with pytest.raises(ValueError, match="rv needs one value, got 2"):
        PayneSpectrum(model, rv=[1, 2] * u.km / u.s)
    with pytest.warns(LabelRangeWarning, match="teff = 9000"):
        PayneSpectrum(model, teff=9000)


def test_many_spectra_with_dask():
    """One leaf, and a product with a continuum; fixed and tied parameters; pickled on the way."""
    pytest.importorskip("dask")
    network = PayneModel.sample()
    truth = {"teff": 5600, "logg": 4.2, "feh": -0.3, "vmic": 1.2, "rv": 5, "vsini": 6}
    x = network.wavelength[1650:2600:2]
    start = PayneSpectrum(network, **truth)
    for name in set(start.param_names) - {"teff", "feh", "Mg_Fe", "Ca_Fe", "rv"}:
        start.fixed[name] = True
    start.Ca_Fe.tied = _calcium_like_magnesium
    x = x[start.supported(x)]
    teff = [5400, 5600]
    flux = np.array([network(**{**truth, "teff": t}, wavelength=x).flux.value for t in teff])
    start.teff, start.rv = 5500 * u.K, 0 * u.km / u.s
    options = {"fitter": TRFLSQFitter(), "fitting_axes": 0, "world": (x,)}
    # astropy leaves out the chain rule for tied parameters where derivatives are given
    options |= {"scheduler": "synchronous", "fitter_kwargs": {"estimate_jacobian": True}}
    found = parallel_fit_dask(model=start, data=flux.T * u.one, **options)
    assert found.teff.quantity.to_value(u.K) == pytest.approx(teff, abs=1)
    assert found.Ca_Fe.value == pytest.approx(found.Mg_Fe.value)
    assert np.array_equal(found.vsini.value, [6, 6])
    start.Ca_Fe.tied, start.Ca_Fe.fixed = False, True
    product = pickle.loads(pickle.dumps(start * Chebyshev1D(1, c0=1, c1=0)))
    tilt = 2 + 0.1 * ((x - x.mean()) / np.ptp(x)).value
    options |= {"world": (x.value,), "fitter_kwargs": {"maxiter": 300}}
    found = parallel_fit_dask(model=product, data=tilt[:, None] * flux.T, **options)
    assert found.teff_0.value == pytest.approx(teff, abs=1)


def _calcium_like_magnesium(model):
    return model.Mg_Fe.value
