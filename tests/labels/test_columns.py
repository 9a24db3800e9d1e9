# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from astropayne.labels.columns import is_in_kilokelvin, label_columns, label_values, one_star


def test_units_come_from_options_names_and_columns():
    table = {"Teff [kK]": [5.0, 6.0], "vmic": [1000, 2000] * u.m / u.s, "T2": [1.0, 2.0]}
    labels = label_columns(table, ignore="T2")
    assert labels["teff"].to_value(u.K).tolist() == [5000, 6000]
    assert labels["vmic"].value.tolist() == [1, 2]
    labels = label_columns({"t": ["5.0", "6.0D0"]}, {"t": "teff"}, units={"t": "kK"})
    assert labels["teff"].to_value(u.K).tolist() == [5000, 6000]
    assert label_columns({"teff_kK": [5.0]})["teff"].to_value(u.K) == [5000]


def test_columns_are_selected():
    table = {"teff": [5000.0], "rv": [3.0], "note": ["hot"], "age": [4.5]}
    assert label_columns(table, ignore=("note", "age"), never=("rv",)).colnames == ["teff"]
    assert label_columns(table, {"age": "age"}, ignore="rest").colnames == ["age"]
    assert label_values(label_columns(table, ignore=["note", "rv"])).tolist() == [[5000, 4.5]]


@pytest.mark.parametrize(
    ("table", "options", "match"),
    [
        ({"teff": [5.0]}, {}, r"temperatures up to 5 K: if they are in kK, give units=\{'teff'"),
        ({"teff": [5000.0]}, {"ignore": "x"}, "has no column 'x'; it has teff"),
        ({"teff": ["?", ""]}, {}, r"holds no number: if it is not a label, give ignore=\('teff',"),
        ({"teff": [5e3], "Teff": [5e3]}, {}, "'teff' is given twice .*leave one column out"),
        ({"rv": [3.0]}, {}, r"column 'rv' of the table of labels: 'rv' cannot be a label"),
        ({"rv": [3.0]}, {"ignore": "rv"}, "has no label, only rv"),
        ({"teff": [5e3]}, {"units": {"teff": "parsecs"}}, "column 'teff' of the table of labels"),
    ],
)
def test_tables_that_make_no_sense_are_refused(table, options, match):
    with pytest.raises(ValueError, match=match):
        label_columns(table, **options)


def test_one_rule_for_kilokelvin():
    assert is_in_kilokelvin([4.5, np.nan])
    assert not is_in_kilokelvin(4500.0)
    assert not is_in_kilokelvin([4.5, 4500.0])


def test_one_star_is_one_row():
    assert one_star(np.array([[5777.0, 4.44]])).tolist() == [5777.0, 4.44]
    with pytest.raises(ValueError, match="one star needs one value per label, got 2"):
        one_star(np.zeros((2, 3)))


def test_masked_columns_are_nan():
    table = QTable({"feh": np.ma.array(["-1", "x"], mask=[False, True])}, masked=True)
    labels = label_columns({name: table[name] for name in table.colnames})
    assert np.array_equal(labels["feh"], [-1, np.nan], equal_nan=True)
