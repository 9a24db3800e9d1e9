# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import astropy.units as u
import numpy as np
import pytest

from astropayne.utils.quantities import one_value, strip_unit

KMS = u.km / u.s


def test_bare_numbers_stay():
    assert strip_unit(3, "rv", KMS) == 3.0
    assert strip_unit([1, 2], "rv", KMS).tolist() == [1.0, 2.0]


def test_quantities_are_converted_to_the_first_unit_that_fits():
    assert strip_unit(3000 * u.m / u.s, "rv", KMS) == 3.0
    assert strip_unit(2 * u.Hz, "x", KMS, u.kHz) == 0.002
    with pytest.raises(u.UnitConversionError, match=r"rv is in km / s, but was given in K: give"):
        strip_unit(3 * u.K, "rv", KMS)


def test_masked_values_are_nan():
    masked = np.ma.array([1, 2], mask=[False, True])
    assert np.array_equal(strip_unit(masked, "rv", KMS), [1, np.nan], equal_nan=True)


def test_text_is_refused():
    with pytest.raises(ValueError, match="rv must be numeric"):
        strip_unit("fast", "rv", KMS)


def test_one_value():
    assert one_value(np.array([[3]]), "rv") == 3.0
    for values in ([], [1, 2]):
        with pytest.raises(ValueError, match=f"rv needs one value, got {len(values)}"):
            one_value(values, "rv")
