"""A resolution that varies along the spectrum: against direct sums, and through fits."""

import functools

import astropy.units as u
import numpy as np
import pytest
import torch
from specutils import Spectrum, SpectrumList

from astropayne import Flag, fit_abundances, fit_spectra, fit_spectrum
from astropayne.forward.broadener import Broadener
from astropayne.modeling import PayneSpectrum
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.velocity import C_KMS

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)
exact_fit_abundances = functools.partial(fit_abundances, **EXACT)

FWHM = np.sqrt(8 * np.log(2))
TRUTH = {"teff": 5600.0, "logg": 4.2, "feh": -0.3, "vmic": 1.2}


def along(axis):
    """R from 12000 to 19000 over the model's range, bent."""
    x = (axis.to_value(u.AA, u.spectral()) - 5160) / (6725 - 5160)
    return 12000 + 7000 * x * (1.4 - 0.4 * x)


@pytest.mark.parametrize(("low", "high"), [(18000, 19000), (10000, 20000), (4000, 20000)])
def test_against_direct_summation(low, high):
    """Each pixel sums the fine spectrum with its own kernel."""
    rng = np.random.default_rng(1)
    step = 1.0  # km/s
    log = np.arange(0, 1200, step) / C_KMS + np.log(5000)
    v = C_KMS * (log - log[0])
    own = C_KMS / (step * 5)
    depth = np.zeros_like(v)
    for centre in rng.uniform(150, 1050, 40):
        depth += rng.uniform(0, 0.3) * np.exp(-0.5 * ((v - centre) / (8 / FWHM)) ** 2)
    broadener = Broadener(np.exp(log), own)
    pixels = broadener.pixels(np.exp(log[::3]))
    resolution = np.linspace(low, high, len(log[::3]))[None]
    found = broadener.broaden(1 - depth[None], [0, 0, 0], pixels, resolution)[0].numpy()
    sigma = C_KMS * np.sqrt(resolution[0] ** -2 - own**-2) / FWHM
    kernel = np.exp(-0.5 * ((v[::3, None] - v) / sigma[:, None]) ** 2)
    kernel /= sigma[:, None] * np.sqrt(2 * np.pi) / step
    good = broadener.supported(pixels, resolution=resolution)[0]
    assert good.sum() > 200
    assert found[good] == pytest.approx((1 - kernel @ depth)[good], abs=3e-5)


def test_the_same_everywhere_is_a_number(model):
    forward = model.forward_model()
    theta = np.append(model.label_array(TRUTH)[0], [20.0, 5.0, 2.0])[None]
    pixels = forward.pixels(model.vacuum_wavelength, 20.0)
    n = len(model.wavelength)
    for one, other in zip(
        forward.forward_and_jacobian(theta, pixels, 15000.0),
        forward.forward_and_jacobian(theta, pixels, np.full((1, n), 15000.0)),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-9)
    assert np.array_equal(
        forward.supported(pixels, 5.0, 2.0, 15000.0),
        forward.supported(pixels, 5.0, 2.0, np.full((1, n), 15000.0)),
    )


def test_the_jacobian_against_differences(model):
    forward = model.forward_model()
    theta = np.append(model.label_array(TRUTH)[0], [20.0, 5.0, 2.0])
    pixels = forward.pixels(model.vacuum_wavelength[::40], 20.0)
    resolution = along(model.wavelength[::40])[None]
    _, jacobian = forward.forward_and_jacobian(theta[None], pixels, resolution)
    step = 1e-4 * np.append(forward.width.numpy(), [1.0, 1.0, 1.0])
    moved = theta + np.concatenate([np.diag(step), -np.diag(step)])
    flux = forward.forward(moved, pixels, resolution).numpy()
    expected = ((flux[: len(step)] - flux[len(step) :]) / (2 * step[:, None])).T
    scale = np.abs(expected).max(axis=0)
    assert jacobian[0].numpy() / scale == pytest.approx(expected / scale, abs=1e-5)


def test_a_star_is_recovered_in_any_way_it_is_said(model):
    star = model(**TRUTH, rv=30, vsini=6, resolution=along)
    values = along(star.spectral_axis)
    assert star.meta["resolution"] == pytest.approx(values)
    bare = Spectrum(spectral_axis=star.spectral_axis, flux=star.flux, mask=star.mask)
    found = [
        exact_fit_spectrum(bare, model, resolution=along),
        exact_fit_spectrum(bare, model, resolution=values),
        exact_fit_spectrum(star, model),  # its own meta
    ]
    for result in found:
        assert result.flags == Flag.NO_UNCERTAINTY
        assert result.labels["teff"].value == pytest.approx(5600, abs=0.5)
        assert result.labels["vsini"].value == pytest.approx(6, abs=0.02)
        good = ~result.best_fit.mask
        assert result.best_fit.flux.value[good] == pytest.approx(star.flux.value[good], abs=1e-4)
    wrong = exact_fit_spectrum(bare, model, resolution=13000)
    assert abs(wrong.labels["teff"].value - 5600) > 5
    leaf = PayneSpectrum(model, resolution=along, **TRUTH, rv=30, vsini=6)
    good = ~np.asarray(star.mask)
    assert leaf.supported(star.spectral_axis)[good].all()
    assert leaf(star.spectral_axis)[good].value == pytest.approx(star.flux.value[good], abs=1e-9)


def test_arms_and_batches(model):
    star = model(**TRUTH, rv=30, vsini=6, resolution=along)
    first, second = slice(0, 1601), slice(1601, None)
    arms = SpectrumList(
        Spectrum(spectral_axis=star.spectral_axis[w], flux=star.flux[w], mask=star.mask[w])
        for w in (first, second)
    )
    values = along(star.spectral_axis)
    result = exact_fit_spectrum(arms, model, resolution=[values[first], along])
    assert result.labels["teff"].value == pytest.approx(5600, abs=0.5)
    plain = model(**TRUTH, rv=-20, vsini=4)
    short = Spectrum(
        spectral_axis=star.spectral_axis[second], flux=star.flux[second], mask=star.mask[second],
        meta={"resolution": values[second]},
    )  # fmt: skip
    table = exact_fit_spectra([star, plain, arms, short], model, resolution=None)
    alone = exact_fit_spectra([plain], model)
    assert table["teff"][1] == alone["teff"][0]  # others do not matter
    assert table["teff"][[0, 3]].value == pytest.approx(5600, abs=1)
    elements = exact_fit_abundances([star], model, ["Ca"])
    assert elements["Ca_Fe"][0] == pytest.approx(0, abs=0.01)


def test_it_does_not_matter_where_the_spectrum_is_not_used(model):
    """Masked pixels often have none, and arms go on to where the model would be too blunt."""
    star = model(**TRUTH, rv=30, vsini=6, resolution=along, wavelength=model.wavelength[:1601])
    beyond = np.linspace(7000, 9000, 200)
    axis = np.append(star.spectral_axis.to_value(u.AA), beyond) * u.AA
    flux, values = np.append(star.flux.value, np.ones(200)), along(axis)
    mask = ~np.isfinite(flux)
    mask[1000:1010] = True
    found = {}
    for name, of_mask, of_rest in (("finite", 15000, 15000), ("odd", np.nan, 40000)):
        values[mask], values[-200:] = of_mask, of_rest
        longer = Spectrum(spectral_axis=axis, flux=flux * u.one, mask=mask)
        found[name] = exact_fit_spectrum(longer, model, resolution=values)
        assert not found[name].used[mask].any()
    assert found["odd"].labels["teff"].value == pytest.approx(5600, abs=1)
    assert found["odd"].chi2 == pytest.approx(found["finite"].chi2, rel=0.05, abs=0.05)
    values[500] = np.nan
    with pytest.raises(ValueError, match="must be positive"):
        exact_fit_spectrum(longer, model, resolution=values)


def test_a_function_may_be_one_of_an_arms_own_wavelengths(model):
    star = model(**TRUTH, rv=30, vsini=6, resolution=along)
    first = slice(0, 1601)
    arm = Spectrum(
        spectral_axis=star.spectral_axis[first].to(u.nm), flux=star.flux[first],
        mask=star.mask[first],
    )  # fmt: skip

    def of_arm(axis):
        if axis.max() > 525 * u.nm:
            raise ValueError("A value in x_new is above the interpolation range.")
        return along(axis)

    result = exact_fit_spectrum(arm, model, resolution=of_arm)
    assert result.labels["teff"].value == pytest.approx(5600, abs=1)
    in_nanometres = exact_fit_spectrum(arm, model, resolution=lambda axis: 30 * axis.value)
    assert np.isfinite(in_nanometres.labels["teff"])  # with Angstrom it would be above the model's


def test_it_may_be_a_quantity(model):
    assert isinstance(resolution_at(18000 * u.one, [5000] * u.AA), float)
    star = model(**TRUTH, resolution=15000 * u.one, wavelength=model.wavelength[:1601])
    assert star.meta["resolution"] == 15000
    star.meta["resolution"] = u.Quantity(15000)
    for option in ({}, {"resolution": u.Quantity(15000)}):
        result = exact_fit_spectrum(star, model, **option)
        assert result.labels["teff"].value == pytest.approx(5600, abs=1)
    star.meta["resolution"] = 0.3 * u.AA
    with pytest.raises(u.UnitConversionError, match="resolution"):
        exact_fit_spectrum(star, model)


def test_what_cannot_be(model):
    star = model(**TRUTH)
    with pytest.raises(ValueError, match="has shape \\(3,\\), but there are 3903 pixels"):
        exact_fit_spectrum(star, model, resolution=np.array([14000.0, 15000.0, 16000.0]))
    with pytest.raises(ValueError, match="have to be a numpy array"):
        exact_fit_spectrum(star, model, resolution=[15000.0] * 3903)
