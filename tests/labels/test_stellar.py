# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import warnings

import numpy as np
import pytest

from astropayne.labels.space import LabelRangeWarning
from astropayne.labels.stellar_transforms import LogTransform, stellar_transforms

RELATIONS = {t.name: t for t in stellar_transforms() if hasattr(t, "estimate")}

# By hand from the formulas as published: teff, logg, feh, vmic.
BY_HAND = {
    "bruntt2010": [(5700, 4.4, 0.0, 1.01), (6000, 4.2, -0.3, 1.01 + 0.1368 + 0.02475)],
    "tsantaki2013": [(5777, 4.44, 0.0, 1.0225), (5000, 4.5, 0.2, 0.463)],
    "gaiaeso": [
        (5500, 4.0, 0.0, 1.05),
        (6000, 4.5, -1.0, 1.05 + 0.1255 + 0.0375 - 0.07 - 0.00125 - 0.05 + 0.01),
        (4500, 4.5, 0.0, 1.05 - 0.1255 + 0.0375 - 0.07 - 0.00125),  # as for 5000 K
        (4500, 2.0, 0.0, 1.25 - 0.401 + 0.31 + 0.28 - 0.02),
    ],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_relations_are_the_papers(name):
    teff, logg, feh, vmic = np.transpose(BY_HAND[name])
    found = RELATIONS[name].estimate({"teff": teff, "logg": logg, "feh": feh})
    assert found == pytest.approx(vmic, abs=1e-4)


def test_every_relation_is_cited():
    assert RELATIONS.keys() == BY_HAND.keys()
    for name, relation in RELATIONS.items():
        assert name.isalnum()
        assert name == name.lower()
        assert "20" in relation.citation
        assert "A&A" in relation.citation or "MNRAS" in relation.citation


def test_relations_agree_for_the_sun():
    sun = {"teff": 5777.0, "logg": 4.44, "feh": 0.0}
    for relation in RELATIONS.values():
        assert relation.estimate(sun) == pytest.approx(1.05, abs=0.04)


def test_beyond_the_range_is_warned_about():
    giant = {"teff": np.array([4800.0]), "logg": np.array([2.5]), "feh": np.array([0.0])}
    with (
        pytest.warns(LabelRangeWarning, match=r"Bruntt.*calibrated for teff from 5000 to 6500"),
        pytest.warns(LabelRangeWarning, match=r"calibrated for logg from 4 to 5"),
    ):
        RELATIONS["bruntt2010"].estimate(giant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RELATIONS["gaiaeso"].estimate(giant)


def test_logarithms():
    transform = LogTransform("vturb")
    assert (transform.source, transform.target) == ("vmic", "log_vmic")
    found = transform.forward({"vmic": np.array([0.1, 1.0, 2.0, 0.0, -1.0])}, None)
    assert found[:3] == pytest.approx([-1, 0, np.log10(2)])
    assert np.isnan(found[3:]).all()
