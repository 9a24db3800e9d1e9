"""The model's inadequacy: its amplitude is found, whatever the sampling and the noise."""

import numpy as np
import pytest

from astropayne.engine.inadequacy import FLOOR, Inadequacy, estimate_inadequacy

ELEMENT = 5e-5


def _spectrum(rng, step, amplitude, noise):
    """Return wavelengths, residuals and depths of lines with errors over an element each."""
    wavelength = np.arange(5160, 5240, step)
    depth = np.zeros(len(wavelength))
    for center, strength in zip(
        rng.uniform(5160, 5240, 120), rng.uniform(0.05, 0.6, 120), strict=True
    ):
        depth += strength * np.exp(-0.5 * ((wavelength - center) / 0.15) ** 2)
    depth = np.minimum(depth, 0.95)
    log = np.log(wavelength)
    fine = np.arange(log[0] - 20 * ELEMENT, log[-1] + 20 * ELEMENT, ELEMENT / 8)
    offsets = np.arange(-40, 41) / 8
    process = np.convolve(rng.standard_normal(len(fine)), np.exp(-2.77 * offsets**2), "same")
    errors = amplitude * np.interp(log, fine, process / process.std()) * np.hypot(depth, FLOOR)
    return wavelength, errors + rng.normal(0, noise, len(log)), depth


@pytest.mark.parametrize("step", [0.02, 0.05, 0.1, 0.3])
def test_amplitude_is_recovered_at_any_sampling(rng, step):
    found = []
    for _ in range(20):
        wavelength, residual, depth = _spectrum(rng, step, 0.06, 0.005)
        sigma = np.full(len(depth), 0.005)
        found.append(estimate_inadequacy(wavelength, residual, sigma, depth, ELEMENT, 10, True)[0])
    assert np.median(found) == pytest.approx(0.06, rel=0.2)
    assert np.std(found) < 0.01


def test_a_perfect_model_has_none(rng):
    found = []
    for _ in range(50):
        wavelength, residual, depth = _spectrum(rng, 0.05, 0.0, 0.01)
        sigma = np.full(len(depth), 0.01)
        found.append(estimate_inadequacy(wavelength, residual, sigma, depth, ELEMENT, 0, True)[0])
    assert np.mean(np.array(found) > 0) <= 0.1


def test_unknown_noise_is_scaled(rng):
    wavelength, residual, depth = _spectrum(rng, 0.05, 0.0, 0.02)
    sigma = np.full(len(depth), 0.005)
    amplitude, noise = estimate_inadequacy(wavelength, residual, sigma, depth, ELEMENT, 0, False)
    assert noise == pytest.approx(4, rel=0.2)
    assert amplitude < 0.02


def test_weights_do_not_depend_on_the_sampling():
    """Two pixels of half the width hold as much as one: variances of means are the same."""
    errors = Inadequacy(np.array([0.05]), np.array([ELEMENT]), np.ones(1))
    depth = np.array([[0.5, 0.5]])
    wide = errors.sigma(depth, np.array([[1e-5, 1e-5]]))
    narrow = errors.sigma(depth, np.array([[5e-6, 5e-6]]))
    np.testing.assert_allclose(narrow**2 / 2, wide**2)
