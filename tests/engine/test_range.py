"""Parameters at their bounds, compared with samples."""

import numpy as np
import pytest

from astropayne.engine.range import beyond_bounds, truncated


@pytest.mark.parametrize("beyond", [0.0, 1.0, 2.5])
def test_truncated_covariance_is_that_of_samples(rng, beyond):
    covariance = np.array([[4.0, 1.2, 0.5], [1.2, 1.0, 0.1], [0.5, 0.1, 2.0]])
    mean = np.array([2 * beyond, 0.0, 0.0])
    samples = rng.multivariate_normal(mean, covariance, 1_000_000)
    samples = samples[samples[:, 0] < 0]
    found = truncated(covariance, np.array([0]), np.array([beyond, 0.0, 0.0]))
    np.testing.assert_allclose(found, np.cov(samples.T), atol=0.06)


def test_minimum_beyond_the_bounds():
    hessian = np.array([[4.0, 1.0], [1.0, 2.0]])
    minimum = np.array([0.7, -0.2])
    here = np.array([0.0, 0.1])
    step, pull = beyond_bounds(hessian @ (here - minimum), hessian)
    np.testing.assert_allclose(here + step, minimum)
    np.testing.assert_allclose(pull, step / np.sqrt(np.diag(np.linalg.inv(hessian))))
