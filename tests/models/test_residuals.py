import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from astropayne import SpectralGrid
from astropayne.models.residuals import (
    label_shifts,
    leading_components,
    scale_at_labels,
    scale_at_spread,
    scale_by_labels,
    scale_by_spread,
    shift_covariance,
    white_rest,
)

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


def test_errors_that_look_like_changes_of_labels_are_known(rng):
    """They are drawn; others are added, of which some are large; one label changes nothing."""
    n, n_pixels = 400, len(WAVELENGTH)
    true = np.array([[0.04, 0.01], [0.01, 0.02]]) ** 2 * [[1, 3], [3, 1]]
    jacobian = np.zeros((n, 3, n_pixels))
    jacobian[:, :2] = rng.uniform(0.5, 2, (n, 2, 1)) * _smooth_noise(rng, 2)
    shift = np.zeros((n, 3))
    shift[:, :2] = rng.multivariate_normal([0, 0], true, n)
    shift[::20, :2] *= 10
    other = 0.2 * _smooth_noise(rng, n)
    components = 0.05 * _smooth_noise(rng, 1)
    residual = np.einsum("ni,nip->np", shift, jacobian) + other
    residual += rng.normal(size=(n, 1)) * components
    rest = white_rest(other, 0, WAVELENGTH)
    found, uncertainty = label_shifts(residual, jacobian, components, rest)
    pull = (found - shift)[:, :2] / np.sqrt(np.diagonal(uncertainty, axis1=1, axis2=2))[:, :2]
    assert pull.std(axis=0) == pytest.approx(1, abs=0.2)
    assert uncertainty[:, 2, 2] == pytest.approx(1)
    nothing = label_shifts(residual, 0 * jacobian, components, rest)
    assert (nothing[0] == 0).all()
    assert nothing[1] == pytest.approx(np.tile(np.eye(3), (n, 1, 1)))
    covariance, expected = shift_covariance(found, uncertainty)
    assert np.sqrt(np.diag(covariance)[:2]) == pytest.approx(np.sqrt(np.diag(true)), rel=0.15)
    assert covariance[0, 1] == pytest.approx(true[0, 1], abs=0.3 * true[1, 1])
    assert np.std(expected - shift, axis=0)[0] < 0.5 * np.std(shift, axis=0)[0]


def test_components_are_not_trusted_on_their_own_spectra(rng):
    """With few spectra, many components describe noise, and leave it all in others."""
    residual = 0.001 * _smooth_noise(rng, 40)
    few, many = (white_rest(residual, n, WAVELENGTH).mean() for n in (0, 5))
    assert many == pytest.approx(few, rel=0.15)


@pytest.mark.parametrize(("n", "within"), [(30, 0.35), (400, 0.13)])
def test_the_size_of_errors_goes_with_labels(rng, n, within):
    """Spectra that had no part in the regression; with few it says less, but nothing wild."""
    x = rng.uniform(-0.5, 0.5, (n + 500, 6))
    true = np.exp(-7 + 1.2 * x[:, 0] + 3 * x[:, 1] ** 2 - 0.8 * x[:, 2])
    size = true * np.exp(rng.normal(0, 0.2, len(x)))
    coefficients = scale_by_labels(x[:n], size[:n])
    scale = scale_at_labels(coefficients, x)
    assert np.mean(scale[:n] ** 2) == pytest.approx(1)
    ratio = np.log(true[n:] / scale[n:])
    assert ratio.std() < within < np.log(true).std()
    beyond = scale_at_labels(coefficients, np.full((1, 6), 9.0))
    assert scale[:n].min() * 0.99 < beyond[0] < scale[:n].max() * 1.01


def test_the_size_of_errors_goes_with_the_spread(rng):
    spread = np.exp(rng.normal(-7, 0.6, 500))
    size = 0.5 * spread**0.8 * np.exp(rng.normal(0, 0.2, 500))
    law = scale_by_spread(spread[:30], size[:30])
    scale = scale_at_spread(law, spread)
    assert np.mean(scale[:30] ** 2) == pytest.approx(1)
    assert law[1] == pytest.approx(0.8, abs=0.15)
    assert np.log(size / scale).std() < 0.23 < np.log(size).std()
    same = scale_by_spread(np.full(5, 1e-3), size[:5])  # says nothing
    assert scale_at_spread(same, np.full(2, 1e-3)) == pytest.approx(1)


def test_the_spread_of_members_tells_where_a_model_errs(model, sample):
    """On spectra that had no part in the training, and by a law that other spectra gave."""
    _, unseen = sample.split(0.8, seed=42)
    assert model.error.scale.shape == (2,)
    assert 0.4 < model.error.scale[1] < 1.6
    scale = model.error_scale_at(model.labels.to_array(unseen.labels))
    residual = model.predict(unseen.labels).flux.value - unseen.flux
    size = np.log(np.sqrt(np.mean(residual**2, axis=1)))
    assert np.std(size - np.log(scale)) < 0.7 * np.std(size)
    far = model.error_scale_at(model.labels.unscale(np.full((1, len(model.labels)), 0.9)))
    assert far > 3 * scale.max()  # beyond all spectra, it goes on to grow


def test_a_model_measures_its_error_on_other_spectra(model, sample):
    _, other = sample.split(0.8, seed=42)
    before = model.error.rms.copy()
    measured = model.measure_error(other)
    assert np.array_equal(model.error.rms, before)
    assert "n_error" not in model.meta
    model = measured
    residual = model.predict(other.labels).flux.value - other.flux
    assert model.error.rms == pytest.approx(np.sqrt(np.mean(residual**2, axis=0)), rel=1e-3)
    assert model.error.bias == pytest.approx(residual.mean(axis=0), abs=1e-6)
    assert model.meta["n_error"] == 60
    with pytest.raises(ValueError, match="wavelengths are not the model's"):
        model.measure_error(SpectralGrid.sample().rebin(velocity=4.0))
