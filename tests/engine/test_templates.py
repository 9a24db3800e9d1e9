import copy

import numpy as np
import pytest
import torch

from astropayne import PayneModel
from astropayne.engine.search.templates import templates_of
from astropayne.labels.solar import solar_scale


@pytest.fixture(scope="module")
def model():
    return PayneModel.sample()


@pytest.fixture(scope="module")
def templates(model):
    forward = model.forward_model(dtype=torch.float32)
    return templates_of(forward, model.labels, solar_scale(model.solar_scale), {"vmac": 0}, 15000.0)


@pytest.fixture(scope="module")
def stars(model):
    """Wavelength, flux, weight, and the truth, of eight stars with noise of S/N 100."""
    rng = np.random.default_rng(4)
    space, n = model.labels, 8
    labels = space.minimum + rng.uniform(0.2, 0.8, (n, len(space))) * space.width
    rv, vsini = rng.uniform(-400, 400, n), rng.uniform(1, 25, n)
    flux = model.predict(labels, rv=rv, vsini=vsini, resolution=15000).flux.value
    good = np.isfinite(flux)
    flux = np.where(good, flux + rng.normal(0, 0.01, flux.shape), 0.0)
    wavelength = np.tile(model.vacuum_wavelength, (n, 1))
    return (wavelength, flux, np.where(good, 1e4, 0.0)), labels, rv, vsini


def test_velocities_of_several_stars_are_found_at_once(templates, stars):
    seen, _, rv, _ = stars
    found = templates.correlate(*seen)
    best = found.gain.argmax(axis=1)
    assert found.rv[np.arange(len(rv)), best] == pytest.approx(rv, abs=2)
    assert (found.rival < found.gain.max(axis=1) - 25).all()
    one = templates.correlate(*(a[3:4] for a in seen))
    assert one.gain[0] == pytest.approx(found.gain[3], rel=1e-3)
    near = templates.correlate(*seen, near=rv[0])
    assert near.rv[0, near.gain[0].argmax()] == pytest.approx(rv[0], abs=2)
    assert (templates.correlate(*seen, known=12.0).rv == 12.0).all()


@pytest.mark.parametrize("degree", [None, 2])
def test_the_regression_is_near_the_truth(model, templates, stars, degree):
    (wavelength, flux, weight), labels, rv, vsini = stars
    if degree is not None:
        flux = flux * (1 + 0.1 * np.sin(wavelength / 300))
    holes = np.random.default_rng(1).random(weight.shape) < 0.2  # pixels that are missing
    guess, sound = templates.regress(wavelength, flux, np.where(holes, 0, weight), rv, degree)
    assert sound.all()
    assert (guess[:, -3] == rv).all()
    away = np.abs(guess[:, : len(model.labels)] - labels) / model.labels.width
    assert np.median(away[:, :3], axis=0) == pytest.approx(0, abs=0.08)  # teff, logg, feh
    assert np.median(np.abs(guess[:, -2] - vsini)) < 3


def test_the_regression_knows_the_resolution_of_a_star(model, templates):
    """Templates have another: what the model looks like at its own says how far that leads."""
    rng = np.random.default_rng(8)
    labels = model.labels.minimum + rng.uniform(0.2, 0.8, (24, len(model.labels))) * (
        model.labels.width
    )
    vsini = rng.uniform(5, 20, 24)
    flux = model.predict(labels, vsini=vsini, resolution=10000).flux.value
    weight = np.where(np.isfinite(flux), 1e4, 0)
    wavelength = np.broadcast_to(model.vacuum_wavelength, flux.shape)
    seen = wavelength, np.nan_to_num(flux), weight, np.zeros(24)

    def away(**known):
        return np.median(np.abs(templates.regress(*seen, **known)[0][:, -2] - vsini))

    assert away(resolution=np.full(24, 10000.0)) < 0.6 * away()


def test_a_constant_resembles_no_template(templates, stars):
    (wavelength, flux, weight), *_ = stars
    found = templates.correlate(wavelength, np.ones_like(flux), weight)
    assert (found.gain <= 0).all()


def test_templates_are_made_once_for_what_is_known(model, templates):
    forward = model.forward_model(dtype=torch.float32)
    scale = solar_scale(model.solar_scale)
    assert templates_of(forward, model.labels, scale, {"vmac": 0}, 15000.0) is templates
    other = templates_of(copy.copy(forward), model.labels, scale, {"teff": 5000.0}, 15000.0)
    assert (other.theta[:, 0] == 5000).all()
