# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Options of fits that have a value for each star."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne import Flag, fit_spectra


@pytest.fixture(scope="module")
def stars(model):
    return [model(teff=t, logg=4.3, feh=0.0, vmic=1.0, vsini=4) for t in (5400, 5400, 5900)]


def test_values_of_each_star_are_held(model, stars):
    known = QTable({"teff": [5400, 5400, 5900] * u.K, "logg": [4.3, 4.3, 4.3]})
    table = fit_spectra(
        stars,
        model,
        fixed={"teff": known["teff"], "vmac": 0},
        priors={"logg": (known["logg"], 0.1)},
    )
    assert table["teff"].value.tolist() == [5400, 5400, 5900]
    assert table["logg"] == pytest.approx(4.3, abs=0.05)
    assert not (table["flags"] & Flag.BAD_INPUT).any()


def test_a_star_whose_value_is_unknown_has_the_reason(model, stars):
    table = fit_spectra(stars, model, fixed={"teff": [5400, np.nan, 5900]})
    assert ((table["flags"] & Flag.BAD_INPUT) > 0).tolist() == [False, True, False]
    assert "teff = nan is not a number" in table["message"][1]


def test_numbers_of_values_must_be_those_of_stars(model, stars):
    with pytest.raises(ValueError, match="fixed: teff has 3, start: rv has 2"):
        fit_spectra(stars, model, fixed={"teff": [5400] * 3}, start={"rv": [0, 0]})
    with pytest.warns(AstropyUserWarning, match="values for 4 stars, and there were 3"):
        fit_spectra(stars, model, fixed={"teff": [5400] * 4})
    table = fit_spectra(stars, model, fixed={"teff": [5400] * 2})
    assert table["message"][2] == "the options have values for 2 stars only"
