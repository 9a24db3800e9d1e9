import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.utils.exceptions import AstropyUserWarning
from specutils import SpectralRegion, Spectrum

from astropayne import broaden_spectrum, degrade_spectrum
from astropayne.spectra.observation import observe
from astropayne.wavelengths.media import to_vacuum

WAVELENGTH = np.linspace(5160, 5170, 50)
SIGMA = np.linspace(0.01, 0.02, 50)


def _spectrum(flux=None, axis=WAVELENGTH * u.AA, unit=u.dimensionless_unscaled, **options):
    flux = np.linspace(0.5, 1, 50) if flux is None else flux
    return Spectrum(spectral_axis=axis, flux=flux * unit, **options)


@pytest.mark.parametrize(
    "uncertainty",
    [StdDevUncertainty(SIGMA), VarianceUncertainty(SIGMA**2), InverseVariance(SIGMA**-2)],
    ids=lambda value: type(value).__name__,
)
def test_every_class_of_uncertainty_means_the_same(uncertainty):
    observation = observe(_spectrum(uncertainty=uncertainty))
    assert observation.sigma == pytest.approx(SIGMA)
    assert observation.good.all()
    assert observation.has_uncertainty


def test_units_of_flux_and_uncertainty_may_differ():
    jansky = StdDevUncertainty(1e3 * SIGMA * u.mJy)
    observation = observe(_spectrum(unit=u.Jy, uncertainty=jansky))
    assert observation.sigma == pytest.approx(SIGMA)
    assert observation.unit == u.Jy


@pytest.mark.parametrize("unit", [u.nm, u.um, u.GHz, u.eV, 1 / u.cm])
def test_every_spectral_unit_leads_to_the_same_wavelengths(unit):
    axis = (to_vacuum(WAVELENGTH, "air") * u.AA).to(unit, u.spectral())
    observation = observe(_spectrum(axis=axis), medium="vacuum")
    assert observation.wavelength == pytest.approx(to_vacuum(WAVELENGTH, "air"), rel=1e-12)


def test_frequencies_are_never_in_air():
    axis = (WAVELENGTH * u.AA).to(u.GHz, u.spectral())
    assert observe(_spectrum(axis=axis), medium="air").wavelength == pytest.approx(WAVELENGTH)
    assert observe(_spectrum(), medium="air").wavelength == pytest.approx(
        to_vacuum(WAVELENGTH, "air")
    )


def test_bad_pixels_are_found():
    flux, sigma = np.full(50, 0.9), SIGMA.copy()
    flux[3], flux[4], sigma[5], sigma[6], sigma[7] = np.nan, np.inf, 0, np.nan, np.inf
    sigma[9] = 1e-12  # stands for zero: the pixel would count alone
    mask = np.zeros(50, dtype=bool)
    mask[[3, 8]] = True
    with np.errstate(divide="ignore"):
        observation = observe(
            _spectrum(flux, uncertainty=StdDevUncertainty(sigma), mask=mask),
            regions=SpectralRegion(516.0 * u.nm, 516.9 * u.nm),
        )
    bad = np.flatnonzero(~observation.good & (WAVELENGTH <= 5169))
    assert bad.tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert not observation.good[WAVELENGTH > 5169].any()
    assert np.isnan(observation.flux[~observation.good]).all()


def test_what_is_no_spectrum_is_refused():
    with pytest.raises(TypeError, match="must be a specutils Spectrum, got ndarray"):
        observe(np.ones(5))
    with pytest.raises(ValueError, match="fit_spectra many"):
        observe(_spectrum(np.ones((2, 50))))
    with pytest.raises(ValueError, match="no usable pixel: of 50, 0 have"):
        observe(_spectrum(np.full(50, np.nan))).require_pixels()
    with pytest.raises(ValueError, match="medium is 'water'"):
        observe(_spectrum(), medium="water")


def test_broadening_keeps_the_order_and_masks_the_edges(sample):
    spectrum = sample[5]
    star = broaden_spectrum(spectrum, rv=50 * u.km / u.s, vsini=10, resolution=12000)
    assert star.meta["rv"] == 50 * u.km / u.s
    assert star.meta["resolution"] == 12000
    assert star.meta["teff"] == spectrum.meta["teff"]
    edges = np.flatnonzero(np.diff(star.mask.astype(int)))
    assert len(edges) == 6  # both ends of three windows
    assert np.isfinite(star.flux[~star.mask]).all()
    # the equivalent width of a line stays: Ca 6122 Å, moved by 50 km/s
    window = slice(1601, 3202)
    x, before, after = star.spectral_axis.value[window], spectrum.flux[window], star.flux[window]
    near = (x > 6121.4) & (x < 6123.2)
    moved = (x > 6121.4 + 0.2) & (x < 6123.2 + 1.9)
    assert (1 - after[moved]).sum() > 0.9 * (1 - before[near]).sum()
    backwards = Spectrum(spectral_axis=spectrum.spectral_axis[::-1], flux=spectrum.flux[::-1],
                         meta=spectrum.meta)  # fmt: skip
    again = broaden_spectrum(backwards, rv=50, vsini=10, resolution=12000)
    assert again.flux[::-1].value == pytest.approx(star.flux.value, nan_ok=True, abs=1e-12)
    with pytest.raises(ValueError, match=r"\d+ of \d+ pixels are masked or not finite"):
        broaden_spectrum(star)
    with pytest.raises(ValueError, match="higher than"):
        broaden_spectrum(spectrum, resolution=40000)


def test_degrading_propagates_errors_and_order(sample, rng):
    clean = sample[7]
    expected = degrade_spectrum(clean, 12000)
    assert expected.uncertainty is None
    assert expected.meta["resolution"] == 12000
    broadened = broaden_spectrum(clean, resolution=12000)
    both = ~expected.mask & ~broadened.mask
    assert expected.flux[both].value == pytest.approx(broadened.flux[both].value, abs=2e-4)

    sigma = 0.02
    draws = [clean.flux.value + rng.normal(0, sigma, 3903) for _ in range(60)]
    noisy = [
        degrade_spectrum(
            Spectrum(
                spectral_axis=clean.spectral_axis[::-1],
                flux=flux[::-1] * u.one,
                uncertainty=StdDevUncertainty(np.full(3903, sigma)),
            ),
            12000,
            resolution=20000,
        )
        for flux in draws
    ]
    scatter = np.std([spectrum.flux.value for spectrum in noisy], axis=0)[100:200]
    assert np.mean(scatter / noisy[0].uncertainty.array[100:200]) == pytest.approx(1, abs=0.05)
    assert noisy[0].uncertainty.array[150] < 0.6 * sigma
    assert noisy[0].meta["correlation"][150] > 3
    mean = np.mean([spectrum.flux.value for spectrum in noisy], axis=0)[::-1][100:200]
    assert mean == pytest.approx(expected.flux.value[100:200], abs=6e-3)
    with pytest.raises(ValueError, match="resolution"):
        degrade_spectrum(clean, 30000)


@pytest.mark.parametrize("known", [True, False])
def test_noise_of_what_is_degraded_twice_is_that_of_degrading_once(sample, rng, known):
    wavelength = np.arange(5170, 5200, 0.02)
    noisy = Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=(1 + rng.normal(0, 0.01, len(wavelength))) * u.one,
        uncertainty=StdDevUncertainty(np.full(len(wavelength), 0.01)) if known else None,
        meta={"resolution": 80000},
    )
    once = degrade_spectrum(noisy, 18000)
    twice = degrade_spectrum(degrade_spectrum(noisy, 25000), 18000)
    middle = slice(400, -400)
    for of_noise in (
        lambda s: s.uncertainty.array if known else s.meta["guessed_noise"],
        lambda s: s.meta["correlation"],
    ):
        assert of_noise(twice)[middle] == pytest.approx(of_noise(once)[middle], rel=0.01)


def test_where_there_is_no_noise_none_is_guessed_after_degrading():
    wavelength = np.arange(5170, 5200, 0.02) * u.AA
    flat = Spectrum(spectral_axis=wavelength, flux=np.ones(1500) * u.one, meta={"resolution": 8e4})
    for smooth in (once := degrade_spectrum(flat, 25000), degrade_spectrum(once, 18000)):
        assert (smooth.meta["guessed_noise"][~smooth.mask] == 0).all()


def test_a_resolution_that_can_hardly_be_is_doubted(sample):
    star = sample[0]  # R = 20 000, 2.9 km/s a pixel
    with pytest.warns(AstropyUserWarning, match="R = 32000 .* itself says R = 20000"):
        degrade_spectrum(star, 12000, resolution=32000)
    unknown = Spectrum(spectral_axis=star.spectral_axis, flux=star.flux)
    with pytest.warns(AstropyUserWarning, match=r"would then be 0\.4\d pixels wide"):
        degrade_spectrum(unknown, 12000, resolution=260000)
    degrade_spectrum(unknown, 12000, resolution=60000)  # warnings are errors


def test_a_resolution_that_varies_is_not_degraded(sample):
    star = sample[0]
    said = np.linspace(15000, 20000, len(star.flux))
    for stated in (said, lambda axis: said):
        varying = Spectrum(
            spectral_axis=star.spectral_axis, flux=star.flux, meta={"resolution": stated}
        )
        with pytest.raises(ValueError, match="resolution varies"):
            degrade_spectrum(varying, 10000)
        with pytest.raises(ValueError, match="resolution varies"):
            degrade_spectrum(star, stated)
        assert degrade_spectrum(varying, 10000, resolution=17500.0).meta["resolution"] == 10000


def test_flux_in_any_unit_is_broadened(sample):
    star = sample[0]
    absolute = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux * 3e-14 * u.erg / u.s / u.cm**2 / u.AA,
        meta=star.meta,
    )  # fmt: skip
    options = {"rv": 12, "vsini": 9, "resolution": 12000}
    one, other = (broaden_spectrum(spectrum, **options) for spectrum in (star, absolute))
    good = ~one.mask
    assert other.flux.unit == absolute.flux.unit
    assert other.flux.value[good] / 3e-14 == pytest.approx(one.flux.value[good], abs=1e-4)
