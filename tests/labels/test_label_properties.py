# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What holds for every label and every transform, not for examples only."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from astropayne.labels.abundance_transforms import AbundanceTransform
from astropayne.labels.conversion import LabelConversion, labels_in
from astropayne.labels.names import ELEMENTS, RESERVED_NAMES, Label, parse_label
from astropayne.labels.solar import SOLAR_SCALES
from astropayne.plugins import label_transforms
from astropayne.plugins.interfaces import LabelTransform

STABLE = [element for element in ELEMENTS[2:] if element in SOLAR_SCALES["magg2022"]]
WRITTEN = {
    "teff": ["teff", "t_eff", "t eff", "effective temperature"],
    "logg": ["logg", "log g", "log_g", "log(g)"],
    "feh": ["feh", "[fe/h]", "fe/h", "fe_h", "[ fe / h ]"],
    "vmic": ["vmic", "v_mic", "vturb", "v turb", "xi", "microturbulence"],
    "log_teff": ["log_teff", "log teff", "log(teff)", "log10(t_eff)", "logteff"],
    "log_vmic": ["log_vmic", "log vturb", "log10 vmic", "log(xi)"],
    "alpha_Fe": ["alpha_fe", "[alpha/fe]", "[α/fe]", "alpha/fe"],
}
FORMS = {
    "{}_Fe": ["[{}/Fe]", "{}_Fe", "{}/Fe", "[ {} / Fe ]"],
    "{}_H": ["[{}/H]", "{}_H", "{}/H", "[{} /H]"],
    "A_{}": ["A({})", "A_{}", "A( {} )", "A ({})"],
    "{}_alpha": ["[{}/alpha]", "{}_alpha", "[{}/α]"],
}


@st.composite
def spellings(draw):
    """Draw a label's name, and one of the ways to write it."""
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(WRITTEN)))
        text = draw(st.sampled_from(WRITTEN[name]))
    else:
        form = draw(st.sampled_from(sorted(FORMS)))
        element = draw(st.sampled_from([element for element in ELEMENTS[2:] if element != "Fe"]))
        name, text = form.format(element), draw(st.sampled_from(FORMS[form])).format(element)
    text = draw(st.sampled_from([str.lower, str.upper, str.title, str]))(text)
    return name, draw(st.sampled_from(["", " ", "\t"])) + text + draw(st.sampled_from(["", "  "]))


@given(spellings())
def test_any_spelling_leads_to_the_name(spelling):
    name, text = spelling
    assert parse_label(text) == name
    assert parse_label(Label(text).text) == name


@given(
    st.text(max_size=12) | st.from_regex(r"[A-Za-z_\[(]{1,4}[/_ ]?[A-Za-z\])]{0,6}", fullmatch=True)
)
def test_parsing_is_idempotent_and_gives_identifiers(text):
    try:
        name = parse_label(text)
    except ValueError:
        assume(False)
    assert name.isidentifier()
    assert name.lower() not in RESERVED_NAMES
    assert parse_label(name) == name
    assert parse_label(f" {name} ") == name


@given(st.sampled_from(sorted(RESERVED_NAMES)), st.sampled_from([str.lower, str.upper, str.title]))
def test_reserved_names_are_refused_in_any_case(name, case):
    with pytest.raises(ValueError, match="cannot be a label"):
        parse_label(case(name))


TRANSFORMS = [
    t
    for t in label_transforms()
    if isinstance(t, LabelTransform) and Label(t.source).element in (None, "alpha", *STABLE)
]
FINITE = st.floats(-4.0, 4.0)


def test_transforms_of_every_kind_are_tried():
    assert {t.target.partition("_")[0] for t in TRANSFORMS} >= {"A", "log", "alpha", "Mg", "U"}


@given(st.sampled_from(TRANSFORMS), st.sampled_from(sorted(SOLAR_SCALES)), FINITE, st.data())
def test_every_transform_goes_there_and_back(transform, scale, exponent, data):
    sun = SOLAR_SCALES[scale]
    value = 10.0**exponent if transform.target.startswith("log_") else exponent
    values = {name: data.draw(FINITE) for name in transform.needs} | {transform.source: value}
    there = {**values, transform.target: transform.forward(values, sun)}
    assert transform.inverse(there, sun) == pytest.approx(value, rel=1e-12, abs=1e-12)
    values[transform.target] = exponent
    back = {**values, transform.source: transform.inverse(values, sun)}
    assert transform.forward(back, sun) == pytest.approx(exponent, rel=1e-12, abs=1e-12)


WAYS = ("{}_Fe", "{}_H", "A_{}")
ELEMENT = st.sampled_from([element for element in STABLE if element != "Fe"])


@given(ELEMENT, st.permutations(WAYS), st.sampled_from(sorted(SOLAR_SCALES)), FINITE, FINITE)
def test_a_chain_is_the_direct_transform(element, ways, scale, value, feh):
    one, two, three = (way.format(element) for way in ways)
    direct = AbundanceTransform(one, three).forward({one: value, "feh": feh}, SOLAR_SCALES[scale])
    found = LabelConversion([one, "feh"], [three], scale)([value, feh])
    assert found[0] == pytest.approx(direct, abs=1e-13)
    between = LabelConversion([one, "feh"], [two, "feh"], scale)
    chained = LabelConversion([two, "feh"], [three], scale)(between([value, feh]))
    assert chained == pytest.approx(found, abs=1e-13)
    last = LabelConversion([two, "feh"], [three], scale)
    together = last.jacobian(between([value, feh])) @ between.jacobian([value, feh])
    whole = LabelConversion([one, "feh"], [three], scale).jacobian([value, feh])
    assert together == pytest.approx(whole, abs=1e-9)


@given(ELEMENT, st.permutations(WAYS), FINITE, FINITE, st.integers(1, 50))
def test_there_and_back_leaves_values_and_covariance(element, ways, value, feh, seed):
    one, two = (way.format(element) for way in ways[:2])
    there = LabelConversion([one, "feh"], [two, "A_Fe"], "magg2022")
    back = LabelConversion([two, "A_Fe"], [one, "feh"], "magg2022")
    start = np.array([value, feh])
    root = np.random.default_rng(seed).normal(size=(2, 2))
    covariance = root @ root.T
    middle = there(start)
    assert back(middle) == pytest.approx(start, abs=1e-12)
    returned = back.covariance(middle, there.covariance(start, covariance))
    assert returned == pytest.approx(covariance, rel=1e-7, abs=1e-8)


TEFF, VMIC = st.floats(2000.0, 50000.0), st.floats(0.01, 20.0)


@given(TEFF, VMIC)
def test_units_do_not_matter(teff, vmic):
    for quantity in (teff * u.K, (teff / 1000) * u.kK, teff * 1e3 * u.mK):
        assert Label("teff").to_value(quantity) == pytest.approx(teff, rel=1e-12)
        log = Label("log_teff").to_value(quantity)
        assert log == pytest.approx(np.log10(teff), abs=1e-12)
    for quantity in (vmic * u.km / u.s, 1000 * vmic * u.m / u.s, 1e5 * vmic * u.cm / u.s):
        assert Label("vmic").to_value(quantity) == pytest.approx(vmic, rel=1e-12)
        said = labels_in(["log_teff", "log_vmic"], {"teff": teff / 1000 * u.kK, "vmic": quantity})
        assert said["log_teff"] == pytest.approx(np.log10(teff), abs=1e-12)
        assert said["log_vmic"] == pytest.approx(np.log10(vmic), abs=1e-12)


@given(TEFF, VMIC, st.floats(-1.0, 5.5))
def test_quantities_are_read_as_they_are_written(teff, vmic, logg):
    for name, value in (("teff", teff), ("vmic", vmic), ("logg", logg), ("A_Li", logg)):
        label = Label(name)
        assert label.to_value(label.quantity(value)) == value
        assert label.to_value(value) == value
    gravity = 10.0**logg * u.cm / u.s**2
    for quantity in (gravity, gravity.to(u.m / u.s**2), logg * u.dex(u.cm / u.s**2), logg * u.dex):
        assert Label("logg").to_value(quantity) == pytest.approx(logg, abs=1e-12)
