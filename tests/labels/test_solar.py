# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import copy
import pickle
import re

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from astropayne.labels.abundance_transforms import AbundanceTransform, abundance_transforms
from astropayne.labels.names import ALPHA_ELEMENTS, ELEMENTS
from astropayne.labels.solar import SOLAR_SCALES, SolarScale, solar_scale
from astropayne.plugins.interfaces import LabelTransform

# From the papers' tables; chosen where the scales differ, or where copies in use are wrong.
PINNED = {
    "grevesse2007": {"He": 10.93, "Li": 1.05, "C": 8.39, "O": 8.66, "Ne": 7.84, "Mg": 7.53,
                     "Si": 7.51, "Sc": 3.17, "Fe": 7.45, "Kr": 3.25, "Zr": 2.58, "Pd": 1.66,
                     "Ba": 2.17, "Ce": 1.70, "Pr": 0.58, "Eu": 0.52, "Ta": -0.17, "Os": 1.25,
                     "U": -0.52},
    "asplund2009": {"He": 10.93, "Li": 1.05, "C": 8.43, "N": 7.83, "O": 8.69, "Ne": 7.93,
                    "Na": 6.24, "Mg": 7.60, "Al": 6.45, "Si": 7.51, "Ca": 6.34, "Ti": 4.95,
                    "Fe": 7.50, "Ni": 6.22, "As": 2.30, "Ba": 2.18, "Ta": -0.12, "Ir": 1.38,
                    "Pb": 1.75, "Th": 0.02, "U": -0.54},
    "asplund2021": {"He": 10.914, "Li": 0.96, "C": 8.46, "N": 7.83, "O": 8.69, "Ne": 8.06,
                    "Na": 6.22, "Mg": 7.55, "Si": 7.51, "K": 5.07, "Fe": 7.46, "Kr": 3.12,
                    "Rh": 0.78, "Ba": 2.27, "Eu": 0.52, "Tm": 0.11, "Ir": 1.32, "Pb": 1.95,
                    "Th": 0.03},
    "lodders2009": {"He": 10.93, "Li": 3.28, "C": 8.39, "N": 7.86, "O": 8.73, "Mg": 7.54,
                    "Si": 7.53, "Ar": 6.50, "Ca": 6.31, "Ti": 4.93, "Fe": 7.46, "Kr": 3.28,
                    "Ba": 2.18, "Eu": 0.53, "Th": 0.08, "U": -0.52},
    "magg2022": {"He": 10.93, "Li": 1.05, "C": 8.56, "N": 7.98, "O": 8.77, "F": 4.40, "Ne": 8.15,
                 "Na": 6.29, "Mg": 7.55, "Al": 6.43, "Si": 7.59, "S": 7.16, "Ar": 6.50, "K": 5.14,
                 "Ca": 6.37, "Sc": 3.07, "Ti": 4.94, "V": 3.89, "Cr": 5.74, "Mn": 5.52, "Fe": 7.50,
                 "Co": 4.95, "Ni": 6.24, "Cu": 4.19, "Ba": 2.18, "Eu": 0.52},
}  # fmt: skip

UNSTABLE = {"Tc", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa"}


@pytest.mark.parametrize("name", PINNED)
def test_values_are_the_papers(name):
    scale = SOLAR_SCALES[name]
    assert {element: scale[element] for element in PINNED[name]} == PINNED[name]


def test_every_scale_is_complete_ordered_and_cited():
    assert set(SOLAR_SCALES) == set(PINNED)
    expected = [element for element in ELEMENTS if element not in UNSTABLE]
    for name, scale in SOLAR_SCALES.items():
        assert scale.name == name
        assert list(scale) == expected
        assert scale["H"] == 12.0
        assert name[-4:] in scale.citation
        assert "doi:10." in scale.citation


def test_whole_columns_are_the_papers():
    # sums of A(X) over the 83 elements, from transcriptions that these tables were not made from
    sums = {"grevesse2007": 254.64, "asplund2009": 253.58, "asplund2021": 252.634,
            "lodders2009": 257.11, "magg2022": 254.13}  # fmt: skip
    for name, total in sums.items():
        assert sum(SOLAR_SCALES[name].values()) == pytest.approx(total, abs=1e-9)


def test_metal_mass_fractions_are_the_papers():
    # Z/X as the papers give it, from the elements that matter for it
    mass = {"C": 12.011, "N": 14.007, "O": 15.999, "Ne": 20.180, "Na": 22.990, "Mg": 24.305,
            "Al": 26.982, "Si": 28.085, "S": 32.06, "Ar": 39.95, "Ca": 40.078, "Cr": 51.996,
            "Mn": 54.938, "Fe": 55.845, "Ni": 58.693}  # fmt: skip
    published = {"grevesse2007": 0.0165, "asplund2009": 0.0181, "asplund2021": 0.0187,
                 "lodders2009": 0.0191, "magg2022": 0.0225}  # fmt: skip
    for name, ratio in published.items():
        scale = SOLAR_SCALES[name]
        metals = sum(m * 10 ** (scale[element] - 12) for element, m in mass.items()) / 1.008
        assert metals == pytest.approx(ratio, rel=0.015)


def test_meteoritic_values_are_marked():
    assert {"As", "Pt", "U"} <= SOLAR_SCALES["asplund2009"].meteoritic
    assert "Ir" not in SOLAR_SCALES["asplund2009"].meteoritic
    assert "Ir" in SOLAR_SCALES["asplund2021"].meteoritic
    assert "Li" in SOLAR_SCALES["lodders2009"].meteoritic
    assert SOLAR_SCALES["magg2022"].meteoritic == SOLAR_SCALES["asplund2009"].meteoritic
    assert not SOLAR_SCALES["magg2022"].meteoritic & {"Li", "Mg", "Ca", "Fe", "Ba", "Eu"}


@pytest.mark.parametrize(
    "text", ["asplund2009", "Asplund 2009", "ASPLUND_2009", "Asplund et al. (2009)", "Asplund+2009"]
)
def test_names_in_any_spelling(text):
    assert solar_scale(text) is SOLAR_SCALES["asplund2009"]


def test_a_scale_of_ones_own():
    scale = solar_scale({"Fe": 7.5, "Li": np.float32(1.05)})
    assert scale.name == "custom"
    assert list(scale) == ["Li", "Fe"]
    assert scale["Li"] == pytest.approx(1.05)
    assert solar_scale(scale) is scale


def test_scale_is_frozen_and_copied_whole():
    given = {"Li": 1.05}
    scale = SolarScale("mine", given, "me", {"Li"})
    given["Li"] = 3.0
    assert scale["Li"] == 1.05
    with pytest.raises(AttributeError):
        scale.name = "yours"
    with pytest.raises(TypeError):
        scale.abundances["Li"] = 3.0
    for twin in (pickle.loads(pickle.dumps(scale)), copy.deepcopy(scale)):
        assert twin == scale
        assert (twin.name, twin.citation, twin.meteoritic) == ("mine", "me", frozenset({"Li"}))


def test_missing_element_is_explained():
    with pytest.raises(KeyError) as error:
        SOLAR_SCALES["asplund2009"]["Tc"]
    for part in ("asplund2009", "'Tc'", "Li, Be, B", "SolarScale"):
        assert part in str(error.value)
    assert SOLAR_SCALES["asplund2009"].get("Tc") is None


@pytest.mark.parametrize(
    ("value", "error", "parts"),
    [
        ("asplund 1999", ValueError, ["'asplund 1999'", "grevesse2007, asplund2009", "SolarScale"]),
        ("", ValueError, ["grevesse2007"]),
        (7.5, TypeError, ["7.5", "magg2022"]),
        ({"fe": 7.5}, ValueError, ["'fe'", "not an element"]),
        ({"Fe": np.nan}, ValueError, ["A(Fe) = nan", "leave out"]),
        ({"Fe": "high"}, ValueError, ["A(Fe) = 'high'"]),
        ({"H": 0.0, "Fe": -4.5}, ValueError, ["A(H) = 0.0", "A(H) is 12"]),
    ],
)
def test_bad_scales_are_explained(value, error, parts):
    with pytest.raises(error) as caught:
        solar_scale(value)
    for part in parts:
        assert part in str(caught.value)


def test_known_conversions():
    sun = solar_scale("magg2022")
    labels = {"feh": np.array([0.0, -2.0]), "Li_Fe": np.array([0.0, 3.15])}
    a_li = AbundanceTransform("Li_Fe", "A_Li").forward(labels, sun)
    np.testing.assert_allclose(a_li, [1.05, 2.2])
    li_h = AbundanceTransform("Li_Fe", "Li_H").forward(labels, sun)
    np.testing.assert_allclose(li_h, [0.0, 1.15])
    by_way_of_h = AbundanceTransform("Li_H", "A_Li").forward({"Li_H": li_h}, sun)
    np.testing.assert_allclose(by_way_of_h, a_li)
    a_fe = AbundanceTransform("feh", "A_Fe").forward(labels, sun)
    np.testing.assert_allclose(a_fe, [7.5, 5.5])


def test_spellings_and_opposite_direction():
    forth = AbundanceTransform("[Mg/Fe]", "A(Mg)")
    back = AbundanceTransform("A(Mg)", "[Mg/Fe]")
    assert (forth.source, forth.target, forth.needs) == ("Mg_Fe", "A_Mg", ("feh",))
    assert AbundanceTransform("[Fe/H]", "A(Fe)").source == "feh"
    values = {"Mg_Fe": np.array([0.3]), "A_Mg": np.array([7.0]), "feh": np.array([-0.5])}
    sun = solar_scale("asplund2021")
    assert forth.forward(values, sun) == back.inverse(values, sun)
    assert forth.inverse(values, sun) == back.forward(values, sun)


def test_the_list_of_transforms():
    transforms = abundance_transforms()
    pairs = [(transform.source, transform.target) for transform in transforms]
    assert len(set(pairs)) == len(pairs) == 3 * (len(ELEMENTS) - 3) + 4 + len(ALPHA_ELEMENTS)
    assert all(isinstance(transform, LabelTransform) for transform in transforms)
    assert {("Li_Fe", "Li_H"), ("Li_H", "A_Li"), ("feh", "A_Fe")} <= set(pairs)
    assert {("Mg_alpha", "Mg_Fe"), ("alpha_Fe", "alpha_H")} <= set(pairs)
    assert not any("He" in pair[0].split("_") or "Fe_Fe" in pair for pair in pairs)
    for transform in transforms:
        reference = transform.source.rpartition("_")[2]
        needs = {"Fe": ("feh",), "alpha": ("alpha_Fe",), "M": ("M_H",)}
        assert transform.needs == needs.get(reference, ())


SCALED = [t for t in abundance_transforms() if not UNSTABLE & {*t.source.split("_")}]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    transform=st.sampled_from(SCALED),
    scale=st.sampled_from(sorted(SOLAR_SCALES)),
    value=st.floats(-6, 6),
    feh=st.floats(-6, 1),
)
def test_round_trips(transform, scale, value, feh):
    sun = SOLAR_SCALES[scale]
    values = {name: np.array([feh]) for name in transform.needs}
    values[transform.source] = np.array([value])
    there = {**values, transform.target: transform.forward(values, sun)}
    del there[transform.source]
    np.testing.assert_allclose(transform.inverse(there, sun), [value], rtol=0, atol=1e-13)


def test_round_trip_of_a_column_leaves_its_input_alone():
    rng = np.random.default_rng(42)
    values = {"Ba_Fe": rng.uniform(-0.6, 0.8, 500), "feh": rng.uniform(-2, 0.5, 500)}
    before = copy.deepcopy(values)
    sun = solar_scale("magg2022")
    transform = AbundanceTransform("Ba_Fe", "A_Ba")
    result = transform.forward(values, sun)
    assert result.shape == (500,)
    np.testing.assert_allclose(result, before["Ba_Fe"] + before["feh"] + 2.18)
    back = transform.inverse({"A_Ba": result, "feh": values["feh"]}, sun)
    np.testing.assert_allclose(back, before["Ba_Fe"], atol=1e-14)
    for name in before:
        np.testing.assert_array_equal(values[name], before[name])


def test_columns_of_a_table_give_a_plain_array():
    table = Table({"Li_Fe": [0.0, 1.0], "feh": [-1.0, -1.0]})
    transform = AbundanceTransform("Li_Fe", "A_Li")
    values = {name: table[name] for name in table.colnames}
    result = transform.forward(values, solar_scale("magg2022"))
    assert type(result) is np.ndarray


def test_transform_of_an_element_without_abundance():
    transform = AbundanceTransform("Tc_Fe", "A_Tc")
    with pytest.raises(KeyError, match="no abundance of 'Tc'"):
        transform.forward({"Tc_Fe": np.zeros(1), "feh": np.zeros(1)}, solar_scale("magg2022"))
    # [X/Fe] and [X/H] are related without knowing the Sun
    ratio = AbundanceTransform("Tc_Fe", "Tc_H")
    assert ratio.forward({"Tc_Fe": np.ones(1), "feh": np.ones(1)}, solar_scale("magg2022")) == 2


@pytest.mark.parametrize(
    ("source", "target", "part"),
    [
        ("Li_Fe", "A_Mg", "'[Li/Fe]', '[Li/H]' and 'A(Li)'"),
        ("Li_Fe", "[Li/Fe]", "cannot become"),
        ("teff", "A_Li", "'teff' is not an element's abundance"),
        ("age", "alpha_H", "'age' is not an element's abundance"),
        ("Fe_alpha", "A_Fe", "'Fe_alpha' is not an element's abundance"),
        ("Fe_Fe", "A_Fe", "it is always 0"),
    ],
)
def test_bad_transforms_are_explained(source, target, part):
    with pytest.raises(ValueError, match=re.escape(part)):
        AbundanceTransform(source, target)
