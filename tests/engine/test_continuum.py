"""The degree of the continuum by its evidence: linear problems whose answer is known."""

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from astropayne.engine.continuum import continuum_evidence


def _problem(rng, coefficients, noise=0.01, degree=5, n=400):
    """Return products of all columns for a flat model times a polynomial, and the best fit."""
    x = np.linspace(-1, 1, n)
    design = chebyshev.chebvander(x, degree) / noise
    parameter = 0.2 * np.sin(40 * x)[:, None] / noise
    observed = chebyshev.chebval(x, coefficients) / noise + rng.standard_normal(n)
    columns = np.hstack([parameter, design])
    best = np.linalg.lstsq(columns, observed, rcond=None)[0]
    residual = columns @ best - observed
    everything = np.hstack([columns, residual[:, None]])
    return everything.T @ everything, best[1:]


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [([1.0], -1), ([1.3], 0), ([1.0, 0.2], 1), ([1, 0.1, -0.3], 2), ([2, 0, 0, 0.2], 3)],
)
def test_degree_with_the_highest_evidence_is_the_true_one(rng, coefficients, expected):
    products, best = _problem(rng, coefficients)
    evidence = continuum_evidence(products, 1, best, 5, 1.0)
    assert evidence.argmax() - 1 == expected


def test_evidence_is_the_integral(rng):
    """By direct integration over one coefficient, whose prior is centered on the level."""
    n, noise = 30, 0.1
    observed = 1.1 + noise * rng.standard_normal(n)
    column = np.ones(n) / noise
    best = np.array([observed.mean()])
    everything = np.column_stack([column, column * best[0] - observed / noise])
    evidence = continuum_evidence(everything.T @ everything, 0, best, 0, 1.0)
    level = np.linspace(-3, 5, 200_001)
    chi2 = np.sum(((level[:, None] - observed) / noise) ** 2, axis=1)
    prior = np.exp(-0.5 * (level - best[0]) ** 2) / np.sqrt(2 * np.pi)
    direct = (
        np.log(np.trapezoid(prior * np.exp(-0.5 * (chi2 - chi2.min())), level)) - chi2.min() / 2
    )
    exactly_one = -0.5 * np.sum(((1 - observed) / noise) ** 2)
    assert evidence[1] - evidence[0] == pytest.approx(direct - exactly_one, rel=1e-3)
