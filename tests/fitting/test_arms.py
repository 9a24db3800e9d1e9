"""Stars in several arms, orders or epochs."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from simulated import TRUTH, VELOCITIES, exact_fit_spectra, exact_fit_spectrum, noisy
from specutils import SpectralRegion, Spectrum, SpectrumList

from astropayne import (
    Flag,
)
from astropayne.wavelengths.axis import find_windows


def test_epochs_are_as_good_as_their_mean_and_no_better(model, exact, rng):
    """The emulator is as wrong in one epoch as in another, and a range is covered once."""
    epochs = SpectrumList(noisy(exact, 0.003, rng) for _ in range(12))
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
    star = noisy(exact, 0.01, rng)
    dead = Spectrum(spectral_axis=exact.spectral_axis, flux=np.nan * exact.flux)
    arms = SpectrumList([dead, star] if first else [star, dead])
    alone, found = (exact_fit_spectrum(s, model, resolution=16000) for s in (star, arms))
    assert (found.flags, found.dof) == (alone.flags, alone.dof)
    assert found.chi2 == pytest.approx(alone.chi2, rel=1e-4)
    assert found.errors["teff"].value == pytest.approx(alone.errors["teff"].value, rel=1e-3)


def test_arms_with_their_own_resolution_are_fitted_together(model, rng):
    truth = {**TRUTH, **VELOCITIES}
    blue, red = (model(**truth, resolution=r) for r in (18000, 9000))
    blue = noisy(blue[:1601], 0.01, rng)
    red = noisy(red[1601:], 0.02, rng, 3.0)
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


def test_arms_may_be_in_any_units(model, exact, rng):
    windows = find_windows(exact.spectral_axis.value)
    star = noisy(exact, 0.01, rng)
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
    star = noisy(exact, 0.01, rng)
    arms = SpectrumList(star[w] for w in find_windows(exact.spectral_axis.value))
    options = {"resolution": 16000, "regions": SpectralRegion(5160 * u.AA, 5240 * u.AA)}
    whole, parts = (exact_fit_spectrum(s, model, **options) for s in (star, arms))
    assert parts.labels["teff"].value == pytest.approx(whole.labels["teff"].value, abs=0.1)
    with pytest.raises(ValueError, match=r"no usable pixel: of .* 0 lie in the regions"):
        exact_fit_spectrum(star, model, regions=SpectralRegion(516 * u.AA, 524 * u.AA))
