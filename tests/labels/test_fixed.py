# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import pytest

from astropayne.labels.fixed import FixedLabels

NAMES = ("teff", "feh", "Mg_Fe")


def test_fixed_labels_are_expressed_in_the_models():
    labels = FixedLabels(NAMES, {"log_teff": 3.7, "feh": -1.0, "Mg_H": -0.5})
    assert labels.values == pytest.approx({"teff": 10**3.7, "feh": -1.0, "Mg_Fe": 0.5})
    assert not labels.ties
    assert labels.convert({}) == {}


def test_a_label_that_needs_a_free_one_is_tied():
    labels = FixedLabels(NAMES, {"Mg_H": -0.5})
    assert labels.ties["Mg_Fe"].needs == {"feh"}
    assert labels.ties["Mg_Fe"]({"feh": [-1.0, 0.0]}).tolist() == [0.5, -0.5]


def test_other_values_ranges_and_priors_are_converted():
    labels = FixedLabels(NAMES, {"feh": -1.0}, "magg2022")
    assert labels.convert({"A_Mg": 7.0, "teff": 5000.0}) == pytest.approx(
        {"teff": 5000.0, "Mg_Fe": 7.0 - 7.55 + 1.0}
    )
    name, ends = labels.convert_range("Mg_H", (0.0, -0.5))
    assert (name, *ends) == ("Mg_Fe", 0.5, 1.0)
    assert labels.convert_range("feh", (-1.0, 0.0)) == ("feh", (-1.0, 0.0))
    name, prior = labels.convert_gaussian("Mg_H", (-0.5, 0.1))
    assert name == "Mg_Fe"
    assert prior == pytest.approx((0.5, 0.1))


def test_what_cannot_be_converted_is_explained():
    labels = FixedLabels(NAMES, {})
    with pytest.raises(ValueError, match="'Mg_H' determines 'Mg_Fe' only together with other"):
        labels.convert_range("Mg_H", (-0.5, 0.0))
    with pytest.raises(ValueError, match="Gaussian in 'log_teff' is not Gaussian in 'teff'"):
        labels.convert_gaussian("log_teff", (3.7, 0.1))
    with pytest.raises(ValueError, match="'Eu_H' is not one of teff, feh, Mg_Fe"):
        labels.convert_range("Eu_H", (-0.5, 0.0))
    with pytest.raises(ValueError, match="they express the same quantity"):
        FixedLabels(NAMES, {"Mg_H": -0.5, "Mg_Fe": 0.1})
