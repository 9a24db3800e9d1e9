import inspect
import pickle

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from hypothesis import assume, given
from hypothesis import strategies as st

from astropayne import PayneModel, fit_spectrum
from astropayne.labels.names import ELEMENTS, RESERVED_NAMES, Label, parse_label
from astropayne.labels.space import LabelRangeWarning, LabelSpace
from astropayne.modeling import PayneSpectrum
from astropayne.utils.quantities import strip_unit

SPELLINGS = {
    "teff": ["teff", "Teff", "T_eff", "TEFF", "effective temperature"],
    "logg": ["logg", "log g", "Log_g", "log(g)"],
    "feh": ["feh", "[Fe/H]", "Fe_H", "Fe/H", "[ fe / h ]"],
    "vmic": ["vmic", "vturb", "xi", "Vmicro", "microturbulence"],
    "Li_Fe": ["[Li/Fe]", "Li_Fe", "li_fe", "Li/Fe", "[ Li / Fe ]"],
    "Mg_H": ["[Mg/H]", "Mg_H", "mg/h"],
    "A_Li": ["A(Li)", "A_Li", "a_li", "A( Li )"],
    "alpha_Fe": ["[alpha/Fe]", "alpha_fe", "[Alpha/Fe]"],
    "age": ["age"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in SPELLINGS.items() for t in ts])
def test_every_spelling_leads_to_the_name(name, text):
    assert parse_label(text) == name


@pytest.mark.parametrize("text", ["[Xx/Fe]", "[Mg/Fe", "Mg Fe", "", "2nd", "rv", "vsini", "vmac"])
def test_what_is_not_a_label_is_refused(text):
    with pytest.raises(ValueError, match="label"):
        parse_label(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("RV", "a velocity"),
        ("Zeta", "a velocity"),
        ("Resolution", "a velocity or the resolution"),
        ("wavelength", "an argument"),
        ("chi2", "a column of results"),
        ("Name", "an attribute of astropy's models"),
        ("parameters", "an attribute of astropy's models"),
        ("lambda", "a word of Python"),
        ("None", "a word of Python"),
        ("teff_err", "a column of errors"),
        ("_hidden", "a private name"),
    ],
)
def test_names_that_mean_something_else_are_refused(text, what):
    for make in (parse_label, Label, lambda name: LabelSpace(["teff", name], [0, 0], [1, 1])):
        with pytest.raises(ValueError, match=rf"'{text}' cannot be a label: that is .*{what}"):
            make(text)


def test_names_are_read_as_python_reads_identifiers():
    with pytest.raises(ValueError, match="'fixed' cannot be a label"):
        parse_label("\ufb01xed")  # a ligature
    assert parse_label("\uff34eff") == "teff"  # a wide letter


def test_every_name_of_a_fittable_model_is_reserved():
    model = PayneModel.sample()
    star = PayneSpectrum(model)
    taken = {name for name in (*dir(star), *vars(star)) if not name.startswith("_")}
    functions = (PayneModel.__call__, PayneSpectrum.__init__, PayneSpectrum.evaluate, fit_spectrum)
    for function in functions:
        taken |= set(inspect.signature(function).parameters) - {"self", "values", "parameters"}
    taken -= {*model.labels.names, "observed"}  # which is positional
    assert not sorted({name.lower() for name in taken} - RESERVED_NAMES.keys())
    assert "rv" not in model.labels


@given(st.sampled_from(ELEMENTS[2:]), st.sampled_from(["[{}/Fe]", "[{}/H]", "A({})"]))
def test_text_and_name_are_inverse(element, pattern):
    assume((element, pattern) != ("Fe", "[{}/Fe]"))  # which is always 0, and no label
    text = pattern.format(element)
    label = Label(text)
    assert label.name.isidentifier()
    assert parse_label(label.name) == label.name
    assert parse_label(label.text) == label.name
    assert label.element == (element if label.name != "feh" else None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("teff", 5777, 5777),
        ("teff", 5.777 * u.kK, 5777),
        ("vmic", 1000 * u.m / u.s, 1),
        ("logg", 4.44 * u.dex, 4.44),
        ("logg", 4.44 * u.dex(u.cm / u.s**2), 4.44),
        ("logg", 274 * u.m / u.s**2, np.log10(27400)),
        ("feh", -0.5 * u.dimensionless_unscaled, -0.5),
    ],
)
def test_units_are_converted(name, value, expected):
    assert Label(name).to_value(value) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "value"), [("teff", 5 * u.km), ("vmic", 1 * u.K), ("feh", 1 * u.K), ("logg", 1 * u.m)]
)
def test_a_wrong_unit_names_label_and_units(name, value):
    with pytest.raises(u.UnitConversionError, match=rf"{name}.*is in.*was given in {value.unit}"):
        Label(name).to_value(value)


def test_what_is_masked_is_nan():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for column in (masked, MaskedColumn(masked), MaskedColumn([1, 2], mask=[False, True])):
        assert np.array_equal(Label("feh").to_value(column), [1.0, np.nan], equal_nan=True)
    quantity = Masked([5.0, 6.0] * u.kK, mask=[False, True])
    assert np.array_equal(Label("teff").to_value(quantity), [5000.0, np.nan], equal_nan=True)


def test_strip_unit_keeps_bare_numbers():
    assert strip_unit(3, "rv", u.km / u.s) == 3.0
    assert strip_unit([1, 2], "rv", u.km / u.s).tolist() == [1.0, 2.0]


@pytest.fixture
def space():
    return LabelSpace(["Teff", "logg", "[Fe/H]", "[Mg/Fe]", "[Ca/H]", "A(Li)"],
                      [4000, 1, -2, -0.4, -2, 0], [7000, 5, 0.5, 0.6, 0.5, 3])  # fmt: skip


def test_scaling_maps_the_range_to_half_and_back(space):
    assert space.scale(space.minimum).tolist() == [-0.5] * 6
    assert space.scale(space.maximum).tolist() == [0.5] * 6
    values = np.random.default_rng(0).uniform(space.minimum, space.maximum, (7, 6))
    assert space.unscale(space.scale(values)) == pytest.approx(values)


def test_left_out_abundances_are_solar_scaled(space):
    labels = {"teff": 5000, "logg": 4, "feh": -0.5}
    assert space.to_array(labels, solar={"Li": 1.05})[0] == pytest.approx(
        [5000, 4, -0.5, 0, -0.5, 0.55]
    )


def test_what_is_missing_unknown_or_doubled_is_named(space):
    solar = {"Li": 1.05}
    with pytest.raises(ValueError, match="missing: feh"):
        space.to_array({"teff": 5000, "logg": 4}, solar=solar)
    with pytest.raises(ValueError, match="'Mn_Fe' is not one of teff"):
        space.to_array({"Mn_Fe": 0})
    with pytest.raises(ValueError, match="did you mean 'teff'"):
        space.to_array({"tef": 0})
    with pytest.raises(ValueError, match="'feh' is given twice"):
        space.to_array({"feh": 0, "[Fe/H]": 0})
    with pytest.raises(ValueError, match="needs 6 columns"):
        space.to_array(np.zeros((3, 4)))


def test_tables_and_arrays_mean_the_same(space):
    values = np.random.default_rng(1).uniform(space.minimum, space.maximum, (4, 6))
    table = space.to_table(values)
    assert table["teff"].unit == u.K
    assert (table["logg"] > 0.5).all()
    assert space.to_array(table[table.colnames[::-1]]) == pytest.approx(values)
    assert LabelSpace.from_table(table).names == space.names


def _named(values, names):
    """The same label values in everything that has names; the columns in another order."""
    order = list(reversed(range(len(names))))
    columns = {names[i]: values[:, i] for i in order}
    fields = np.empty(len(values), dtype=[(name, float) for name in columns])
    for name, column in columns.items():
        fields[name] = column
    frame = pd.DataFrame(columns)
    return {
        "mapping": columns,
        "table": Table(columns),
        "frame": frame,
        "indexed": frame.set_index(np.arange(7, 7 + len(values))),
        "nullable": frame.convert_dtypes(),
        "structured": fields,
        "recarray": fields.view(np.recarray),
    }


@pytest.mark.parametrize("kind", _named(np.zeros((1, 1)), ["teff"]))
def test_whatever_has_names_goes_by_them(space, kind):
    values = np.random.default_rng(3).uniform(space.minimum, space.maximum, (4, 6))
    assert space.to_array(values).tolist() == values.tolist()  # without names: the order
    assert space.to_array(_named(values, space.names)[kind]).tolist() == values.tolist()


def test_rows_go_by_name_too(space):
    values = np.random.default_rng(4).uniform(space.minimum, space.maximum, (4, 6))
    named = _named(values, space.names)
    rows = (
        named["table"][2],
        named["frame"].iloc[2],
        named["structured"][2],
        space.to_table(values)[2],
    )
    for row in rows:
        assert space.to_array(row)[0] == pytest.approx(values[2], rel=1e-14)


def test_columns_without_proper_names_are_an_error(space):
    frame = pd.DataFrame(np.zeros((2, 6)))
    with pytest.raises(ValueError, match=r"DataFrame has columns called 0, 1.*plain array"):
        space.to_array(frame)
    assert space.to_array(frame.to_numpy()).shape == (2, 6)
    with pytest.raises(ValueError, match=r"label 'teff' must be numeric.*'hot'"):
        space.to_array({"teff": "hot"})
    with pytest.raises(ValueError, match="a plain array of labels must be numeric"):
        space.to_array([{"teff": 5777}])
    with pytest.raises(u.UnitConversionError, match="a plain array of labels"):
        space.to_array(np.zeros((2, 6)) * u.K)


def test_missing_values_of_a_frame_are_nan():
    frame = pd.DataFrame({"feh": pd.array([0.1, None], dtype="Float64")})
    found = LabelSpace(["feh"], [-1], [1]).to_array(frame)
    assert np.array_equal(found, [[0.1], [np.nan]], equal_nan=True)


def test_outside_is_warned_about_with_the_range(space):
    with pytest.warns(LabelRangeWarning, match=r"teff = 8000 \(range 4000 to 7000 K\)"):
        space.warn_outside([8000, 4, 0, 0, 0, 1])
    space.warn_outside([7001, 4, 0, 0, 0, 1])  # a rounding error is forgiven


@pytest.mark.parametrize(
    ("names", "low", "high", "match"),
    [
        (["teff", "Teff"], [1, 1], [2, 2], "doubled"),
        (["teff"], [5000], [5000], "'teff' ranges from 5000"),
        (["teff"], [np.nan], [5000], "'teff' ranges"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(names, low, high, match):
    with pytest.raises(ValueError, match=match):
        LabelSpace(names, low, high)


def test_from_table_takes_the_ranges():
    table = QTable({"Teff": [5, 6] * u.kK, "[Fe/H]": [-1.0, 0.0]})
    space = LabelSpace.from_table(table)
    assert space.names == ("teff", "feh")
    assert space.minimum.tolist() == [5000, -1]


def test_a_space_cannot_be_changed(space):
    with pytest.raises(AttributeError):
        space.minimum = np.zeros(6)
    twin = pickle.loads(pickle.dumps(space))
    assert twin.names == space.names
    for same in (space, twin):
        for ends in (same.minimum, same.maximum):
            with pytest.raises(ValueError, match="read-only"):
                ends[0] = 0.0
    assert "age" not in space
    assert "rv" not in space
    assert "[Fe/H]" in space


def test_a_space_is_widened_to_values(space):
    values = np.array([space.minimum - 1, space.middle])
    wider = space.covering(values)
    assert wider.minimum.tolist() == (space.minimum - 1).tolist()
    assert wider.maximum.tolist() == space.maximum.tolist()


def test_a_fit_starts_within_the_ranges(space):
    start = space.start_from({"teff": [4500.0, 9000.0]}, {"Fe": 7.5})
    assert start[:, 0].tolist() == [4500, 9000]
    assert start[0, 1:].tolist() == [3, -0.75, 0, -0.75, 1.5]
