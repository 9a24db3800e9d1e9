# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import numpy as np
import pytest

from astropayne.utils.statistics import finite_median, median_and_scatter


def test_values_that_are_not_finite_are_ignored():
    assert finite_median(np.array([1.0, np.nan, 3.0, np.inf])) == 2.0
    assert np.isnan(finite_median(np.array([np.nan])))


def test_scatter_is_that_of_a_gaussian():
    values = np.random.default_rng(1).normal(3.0, 0.5, 20001)
    middle, scatter = median_and_scatter(values)
    assert middle == pytest.approx(3.0, abs=0.02)
    assert scatter == pytest.approx(0.5, rel=0.03)
    values[:1000] = 1e6  # outliers hardly matter
    assert median_and_scatter(values)[1] == pytest.approx(0.53, rel=0.05)


def test_the_scatter_of_one_value_is_not_known():
    middle, scatter = median_and_scatter(np.array([2.0, np.nan]))
    assert middle == 2.0
    assert np.isnan(scatter)
    assert np.isnan(median_and_scatter(np.array([]))).all()
