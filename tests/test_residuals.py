import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from astropayne import SpectralGrid
from astropayne.residuals import leading_components, white_rest

WAVELENGTH = np.concatenate([np.arange(5000, 5020, 0.05), np.arange(6000, 6020, 0.05)])


def _smooth_noise(rng, n, width=2.1):
    noise = gaussian_filter1d(rng.normal(size=(n, len(WAVELENGTH))), width, axis=1, mode="wrap")
    return noise / noise.std()


def test_components_are_the_leading_part_of_the_covariance(rng):
    shapes = np.stack([np.sin(WAVELENGTH), np.cos(3 * WAVELENGTH)])
    residual = rng.normal(size=(200, 2)) @ (shapes * [[0.02], [0.01]])
    residual = residual + rng.normal(0, 1e-5, residual.shape)
    residual -= residual.mean(axis=0)
    components = leading_components(residual, 2)
    covariance = residual.T @ residual / len(residual)
    assert components.T @ components == pytest.approx(covariance, abs=1e-8)
    assert len(leading_components(residual[:12], 32)) == 3


def test_the_rest_does_to_lines_what_white_noise_would(rng):
    """The scatter of a line's strength, with errors that neighbours share."""
    residual = 0.001 * _smooth_noise(rng, 400)
    line = np.exp(-0.5 * ((WAVELENGTH - 5010) / 0.2) ** 2)  # wider than what makes errors alike
    scatter = (residual @ line).std() / (line @ line)
    white = white_rest(residual, 0, WAVELENGTH)
    assert white.shape == WAVELENGTH.shape
    expected = np.sqrt((white**2) @ line**2) / (line @ line)
    assert expected == pytest.approx(scatter, rel=0.15)
    assert expected > 2 * 0.001 / np.sqrt(line @ line)  # what independent pixels would give


def test_components_are_not_trusted_on_their_own_spectra(rng):
    """With few spectra, many components describe noise, and leave it all in others."""
    residual = 0.001 * _smooth_noise(rng, 40)
    few, many = (white_rest(residual, n, WAVELENGTH).mean() for n in (0, 5))
    assert many == pytest.approx(few, rel=0.15)


def test_a_model_measures_its_error_on_other_spectra(model, sample):
    before = model.error, model.bias, model.error_components, model.error_rest, dict(model.meta)
    _, other = sample.split(0.8, seed=42)
    model.measure_error(other)
    residual = model.predict(other.labels).flux.value - other.flux
    assert model.error == pytest.approx(np.sqrt(np.mean(residual**2, axis=0)), rel=1e-3)
    assert model.bias == pytest.approx(residual.mean(axis=0), abs=1e-6)
    assert model.meta["n_error"] == 60
    with pytest.raises(ValueError, match="wavelengths are not the model's"):
        model.measure_error(SpectralGrid.sample().rebin(velocity=4.0))
    model.error, model.bias, model.error_components, model.error_rest, model.meta = before
