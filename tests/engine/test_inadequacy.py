"""The model's inadequacy: its amplitude is found, whatever the sampling and the noise."""

import numpy as np
import pytest

from astropayne.engine.inadequacy import Inadequacy, estimate_inadequacy

ELEMENT = 5e-5


FLOOR = 0.004


def _spectrum(rng, step, amplitude, noise, floor=0.0):
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
    # White noise averaged over an element has a triangular autocorrelation.
    white = rng.standard_normal(len(fine))
    process = np.convolve(white, np.ones(8), "same") / np.sqrt(8)
    errors = np.interp(log, fine, process) * np.hypot(amplitude * depth, floor)
    return wavelength, errors + rng.normal(0, noise, len(log)), depth


def _estimates(rng, n, *words, step=0.05, floor=0.0):
    found = []
    for _ in range(n):
        wavelength, residual, depth = _spectrum(rng, step, *words, floor)
        sigma = np.full(len(depth), words[1])
        found.append(estimate_inadequacy(wavelength, residual, sigma, depth, ELEMENT, 0, True))
    return np.array(found)


@pytest.mark.parametrize("step", [0.02, 0.05, 0.1])
def test_amplitude_is_recovered_at_any_sampling(rng, step):
    found = _estimates(rng, 40, 0.06, 0.005, step=step)[:, 0]
    assert np.mean(found) == pytest.approx(0.06, rel=0.12)
    assert np.std(found) < 0.01


def test_errors_without_lines_are_told_from_those_of_lines(rng):
    amplitude, floor, _ = _estimates(rng, 40, 0.06, 0.005, floor=FLOOR).T
    assert np.mean(amplitude) == pytest.approx(0.06, rel=0.08)
    assert np.mean(floor) == pytest.approx(FLOOR, rel=0.15)


def test_errors_of_labels_agree_with_their_scatter(rng):
    """The strength of all lines, fitted with the weights, scatters by as much as they say."""
    pulls = []
    for _ in range(100):
        wavelength, residual, depth = _spectrum(rng, 0.05, 0.1, 0.005, FLOOR)
        sigma = np.full(len(depth), 0.005)
        found = estimate_inadequacy(wavelength, residual, sigma, depth, ELEMENT, 0, True)
        errors = Inadequacy(*(np.array([value]) for value in (found[0], found[1], ELEMENT, 1.0)))
        width = np.gradient(np.log(wavelength))
        total = np.hypot(sigma, errors.sigma(depth[None], width[None])[0])
        design, error = depth / total, 1 / np.sqrt(np.sum((depth / total) ** 2))
        pulls.append(design @ (residual / total) * error)
    assert 0.8 < np.std(pulls) < 1.25


def test_a_perfect_model_has_none(rng):
    found = _estimates(rng, 50, 0.0, 0.01)
    assert np.mean(found[:, 0] > 0) <= 0.1
    assert np.mean(found[:, 1] > 0) <= 0.1


def test_unknown_noise_is_scaled(rng):
    wavelength, residual, depth = _spectrum(rng, 0.05, 0.0, 0.02)
    sigma = np.full(len(depth), 0.005)
    amplitude, floor, noise = estimate_inadequacy(
        wavelength, residual, sigma, depth, ELEMENT, 0, False
    )
    assert noise == pytest.approx(4, rel=0.2)
    assert amplitude < 0.02
    assert floor == 0


def test_arms_over_each_other_count_once(rng):
    """Two spectra of one star with the same errors of lines give the amplitude of one."""
    found = []
    for _ in range(20):
        wavelength, errors, depth = _spectrum(rng, 0.05, 0.06, 0.0)
        twice = [np.concatenate([part, part]) for part in (wavelength, errors, depth)]
        twice[1] = twice[1] + rng.normal(0, 0.005, len(twice[1]))
        sigma = np.full(len(twice[0]), 0.005)
        found.append(estimate_inadequacy(twice[0], twice[1], sigma, twice[2], ELEMENT, 0, True)[0])
    assert np.mean(found) == pytest.approx(0.06, rel=0.1)


def test_weights_do_not_depend_on_the_sampling():
    """Two pixels of half the width hold as much as one: variances of means are the same."""
    errors = Inadequacy(*(np.array([value]) for value in (0.05, 0.003, ELEMENT, 1.0)))
    depth = np.array([[0.5, 0.5]])
    wide = errors.sigma(depth, np.array([[1e-5, 1e-5]]))
    narrow = errors.sigma(depth, np.array([[5e-6, 5e-6]]))
    np.testing.assert_allclose(narrow**2 / 2, wide**2)
