import numpy as np
import pytest
import torch

from astropayne.network import SpectralNetwork
from astropayne.training import TrainingOptions, principal_components, rms_error, train_network


@pytest.fixture(scope="module")
def data():
    """Spectra of three lines whose depths are smooth functions of two labels."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-0.5, 0.5, (200, 2))
    pixel = np.arange(80)
    depth = np.stack([0.4 + 0.3 * x[:, 0], 0.3 + 0.4 * x[:, 1] ** 2, 0.2 - 0.3 * x.prod(1)], 1)
    profile = np.exp(-0.5 * ((pixel - np.array([[15], [40], [60]])) / 4) ** 2)
    return x, 1 - depth @ profile


def _train(data, components=8, **options):
    x, y = data
    torch.manual_seed(0)
    network = SpectralNetwork(2, 80, (24, 24), components=components)
    options = TrainingOptions(batch_size=32, check_interval=20, **options)
    rows = train_network(
        network, x[:150], y[:150], x[150:], y[150:], options, torch.device("cpu"), progress=False
    )
    return network, rows


@pytest.mark.parametrize("components", [None, 8])
def test_training_learns(data, components):
    network, rows = _train(data, components, max_epochs=800)
    x, y = (torch.as_tensor(a[150:], dtype=torch.float32) for a in data)
    found = rms_error(network, x, y)
    assert found < 0.05 * (y - y.mean(0)).std()
    assert found == pytest.approx(min(row[-1] for row in rows), rel=1e-5)
    residual = network(x).detach().numpy() - y.numpy()
    assert found == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-5)


def test_the_rate_rises_and_falls_to_zero(data):
    _, rows = _train(data, max_epochs=100)
    rates = [row[2] for row in rows]
    assert max(rates) == pytest.approx(TrainingOptions().learning_rate, rel=0.2)
    assert rates[-1] < 0.001 * max(rates)


def test_the_same_seed_gives_the_same_network(data):
    one, rows = _train(data, max_epochs=5, seed=3)
    two, again = _train(data, max_epochs=5, seed=3)
    other, _ = _train(data, max_epochs=5, seed=4)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert [row[3:] for row in rows] == [row[3:] for row in again]
    assert not torch.equal(one.pixels.weight, other.pixels.weight)


def test_the_time_limit_holds(data):
    _, rows = _train(data, max_epochs=10**6, max_time=0.5)
    assert rows[-1][1] < 2
    assert rows[-1][2] < 1e-4  # the cosine went all the way


def test_patience_stops_early(data):
    _, rows = _train(data, max_epochs=10**6, max_time=60, patience=1, learning_rate=1e-12)
    assert len(rows) <= 3


def test_a_loss_that_is_not_finite_is_an_error(data):
    with pytest.raises(FloatingPointError, match="learning rate"):
        _train(data, max_epochs=200, learning_rate=1e30)
    x, y = data
    with pytest.raises(ValueError, match="flux of the grid is not finite"):
        _train((x, np.where(y > 0.99, np.nan, y)), max_epochs=20)


def test_principal_components_span_the_spectra(data):
    flux = torch.as_tensor(data[1])
    basis, mean = principal_components(flux, 3, "linear")  # there are three lines
    solution = torch.linalg.lstsq(basis.T, (flux - mean).T).solution
    assert torch.allclose(basis.T @ solution, (flux - mean).T, atol=1e-10)
    assert solution.std(dim=1).numpy() == pytest.approx(1, abs=0.05)
    basis, _ = principal_components(flux, 300, "sigmoid")  # more than there are spectra
    assert basis.shape == (300, 80)
    assert torch.isfinite(basis).all()
