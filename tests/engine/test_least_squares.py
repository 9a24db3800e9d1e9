import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from astropayne.engine.least_squares import expected_minimum, levenberg_marquardt

T = np.linspace(0, 4, 30)


def _model(x):
    """A decay on a slope: amplitude, rate, slope; and its derivatives."""
    amplitude, rate, slope = np.moveaxis(np.asarray(x)[..., None], -2, 0)
    decay = np.exp(-rate * T)
    value = amplitude * decay + slope * T
    return value, np.stack([decay, -amplitude * T * decay, T + 0 * decay], axis=-1)


def _problem(data):
    def evaluate(x, rows):
        value, jacobian = _model(x.numpy())
        r, jacobian = torch.as_tensor(value - data[rows.numpy()]), torch.as_tensor(jacobian)
        return (r**2).sum(1), (jacobian * r[..., None]).sum(1), jacobian.mT @ jacobian

    return evaluate


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    truth = rng.uniform([0.5, 0.1, -0.5], [3, 2, 0.5], size=(40, 3))
    return _model(truth)[0] + rng.normal(0, 0.02, (40, len(T)))


@pytest.mark.parametrize("upper", [5.0, 0.8])  # without and with bounds that are met
def test_it_finds_what_scipy_finds(data, upper):
    low, high = np.array([0, 0.05, -1.0]), np.array([5.0, upper, 1.0])
    start = np.tile([1.0, 0.5, 0.0], (len(data), 1))
    shape = start.shape
    bounds = (torch.as_tensor(np.broadcast_to(a, shape).copy()) for a in (low, high))
    found = levenberg_marquardt(_problem(data), torch.as_tensor(start), *bounds, tolerance=1e-12)
    assert found.converged.all()
    at_bound = 0
    for x, chi2, row in zip(found.x, found.chi2, data, strict=True):
        theirs = least_squares(
            lambda p, row=row: _model(p)[0] - row, start[0], bounds=(low, high),
            xtol=1e-12, ftol=1e-12, gtol=1e-12,
        )  # fmt: skip
        assert chi2.item() == pytest.approx(2 * theirs.cost, rel=1e-6)
        assert x.numpy() == pytest.approx(theirs.x, abs=1e-4)
        at_bound += theirs.x[1] > upper - 1e-3
    assert (at_bound > 5) == (upper == 0.8)


def test_problems_do_not_see_each_other(data):
    start = torch.tile(torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64), (len(data), 1))
    low, high = start - 5, start + 5
    together = levenberg_marquardt(_problem(data), start, low, high)
    alone = levenberg_marquardt(_problem(data[7:8]), start[:1], low[:1], high[:1])
    assert torch.allclose(together.x[7], alone.x[0], atol=1e-12)
    assert together.iterations[7] == alone.iterations[0]
    assert together.iterations.unique().numel() > 1  # some leave earlier


def test_what_cannot_be_computed_does_not_converge(data):
    spoilt = data.copy()
    spoilt[3] = np.nan
    start = torch.tile(torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64), (len(data), 1))
    found = levenberg_marquardt(_problem(spoilt), start, start - 5, start + 5)
    assert not found.converged[3]
    assert found.converged.sum() == len(data) - 1


def test_a_parameter_without_information_stays(data):
    def evaluate(x, rows):
        chi2, gradient, hessian = _problem(data)(x[:, :3], rows)
        bigger = torch.zeros(len(x), 4, 4, dtype=x.dtype)
        bigger[:, :3, :3] = hessian
        return chi2, torch.cat([gradient, 0 * gradient[:, :1]], dim=1), bigger

    start = torch.tile(torch.tensor([1.0, 0.5, 0.0, 7.0], dtype=torch.float64), (len(data), 1))
    found = levenberg_marquardt(evaluate, start, start - 5, start + 5)
    assert found.converged.all()
    assert (found.x[:, 3] == 7).all()


def test_what_the_data_says_nothing_of_stays_where_it_is():
    """The second parameter changes χ² by next to nothing, and its minimum is far away."""

    def evaluate(x, rows):
        residual = torch.stack([x[:, 0] - 1, 1e-4 * (x[:, 1] - 1000)], dim=1)
        jacobian = torch.diag(torch.tensor([1.0, 1e-4], dtype=x.dtype)).expand(len(x), 2, 2)
        gradient = (jacobian @ residual[..., None])[..., 0]
        return (residual**2).sum(dim=1), gradient, jacobian.mT @ jacobian

    start = torch.zeros(1, 2, dtype=torch.float64)
    box = start - 50, start + 50
    free = levenberg_marquardt(evaluate, start, *box)
    held = levenberg_marquardt(evaluate, start, *box, reach=torch.tensor([100.0, 1.0]))
    assert free.x[0].tolist() == pytest.approx([1, 50])
    assert held.x[0].tolist() == pytest.approx([1, 0], abs=1e-2)
    assert held.converged.all()


def test_the_minimum_that_normal_equations_tell_is_that_of_least_squares(rng):
    jacobian, residual = rng.normal(size=(30, 4)) * [1, 1e6, 1e-6, 0], rng.normal(size=30)
    step = np.linalg.lstsq(jacobian / [1, 1e6, 1e-6, 1], residual)[0]
    expected = np.sum((residual - jacobian / [1, 1e6, 1e-6, 1] @ step) ** 2)
    one = residual @ residual, jacobian.T @ residual, jacobian.T @ jacobian
    found = expected_minimum(*(np.array([part]) for part in one))
    assert found == pytest.approx([expected], rel=1e-10)
