# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import dataclasses

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

import astropayne
from astropayne import PayneModel, SpectralGrid
from astropayne.labels.conversion import LabelConversion, labels_in
from astropayne.labels.solar import SolarScale, solar_scale
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

SUN = solar_scale("magg2022")
MODEL = ("teff", "logg", "feh", "vmic", "Mg_Fe", "Ca_Fe", "Na_Fe", "Li_Fe")
STAR = {"teff": 5777.0, "logg": 4.44, "feh": -1.0, "vmic": 1.0}


# --- chains


@pytest.mark.parametrize(
    ("given", "values", "wanted", "expected"),
    [
        ("A_Li feh", (2.05, -1.0), "Li_Fe", 2.0),
        ("A_Li A_Fe", (2.05, 6.5), "Li_Fe", 2.0),
        ("Li_Fe feh", (2.0, -1.0), "A_Li", 2.05),
        ("Mg_H A_Fe", (-0.6, 6.5), "Mg_Fe", 0.4),
        ("alpha_Fe Mg_alpha feh", (0.3, 0.1, -1.0), "A_Mg", 0.4 - 1.0 + 7.55),
        ("alpha_H feh A_Mg", (-0.7, -1.0, 6.95), "Mg_alpha", 0.1),
        ("log_teff", (np.log10(5777.0),), "teff", 5777.0),
        ("vmic", (2.0,), "log_vmic", np.log10(2.0)),
    ],
)
def test_a_chain_is_found(given, values, wanted, expected):
    conversion = LabelConversion(given.split(), [wanted], "magg2022")
    assert conversion(values) == pytest.approx([expected], abs=1e-9)


def test_labels_that_stay_come_through():
    conversion = LabelConversion(["teff", "[Li/Fe]", "feh"], ["feh", "A(Li)", "Teff"], SUN)
    values = np.array([[5777.0, 1.0, -1.0], [5000.0, 0.0, 0.0]])
    assert conversion(values) == pytest.approx(np.array([[-1, 1.05, 5777], [0, 1.05, 5000]]))
    assert conversion.used == {"teff", "Li_Fe", "feh"}
    assert LabelConversion(["teff", "feh"], ["feh"]).used == {"feh"}
    assert LabelConversion(["teff"], [])(np.zeros((3, 1))).shape == (3, 0)


@pytest.mark.parametrize(
    ("given", "wanted", "match"),
    [
        (
            ["A_Li"],
            ["Li_Fe"],
            "leads to 'Li_Fe' from A_Li; 'Li_Fe' follows from 'Li_H' where 'feh'",
        ),
        (["Mg_Fe"], ["A_Mg"], "'Mg_H' follows from 'Mg_Fe' where 'feh' is given too"),
        (["teff"], ["A_Eu"], "no label transform leads to 'A_Eu' from teff; `astropayne plugins`"),
        ([], ["teff"], "leads to 'teff' from nothing"),
    ],
)
def test_what_is_missing_is_named(given, wanted, match):
    with pytest.raises(ValueError, match=match):
        LabelConversion(given, wanted, SUN)


def test_a_scale_is_needed_only_where_it_is():
    assert LabelConversion(["Li_Fe", "feh"], ["Li_H"])([1.0, -1.0]) == pytest.approx([0.0])
    with pytest.raises(ValueError, match=r"solar abundance of Li is needed.*give solar=.*magg2022"):
        LabelConversion(["Li_Fe", "feh"], ["A_Li"])([1.0, -1.0])
    with pytest.raises(ValueError, match="'mine' has no abundance of 'Eu'"):
        LabelConversion(["Eu_H"], ["A_Eu"], SolarScale("mine", {"Li": 1.0}))([1.0])


def test_tables_are_read_by_name_with_units():
    conversion = LabelConversion(["teff", "A_Li", "feh"], ["log_teff", "[Li/Fe]"], SUN)
    columns = {"A(Li)": [2.05, 1.05], "Teff": [5.777, 5.0] * u.kK, "chi2": [1, 2], "feh": [-1, 0]}
    found = conversion.table(columns)
    assert found.colnames == ["log_teff", "Li_Fe"]
    assert found["Li_Fe"] == pytest.approx([2.0, 0.0])
    assert found["log_teff"] == pytest.approx(np.log10([5777, 5000]))
    back = LabelConversion(["log_teff"], ["teff"]).table(found)
    assert back["teff"].unit == u.K
    with pytest.raises(ValueError, match="missing: A_Li, feh"):
        conversion.table(Table({"teff": [5000.0]}))


# --- what anyone registers takes part


@dataclasses.dataclass
class Metallicity(LabelTransform):
    """[M/H] of a star where α elements count: Salaris et al. 1993."""

    source = "M_H"
    target = "[Fe/H]"
    needs = ("alpha_Fe",)

    def forward(self, values, solar):
        return values["M_H"] - np.log10(0.638 * 10.0 ** values["alpha_Fe"] + 0.362)

    def inverse(self, values, solar):
        return values["feh"] + np.log10(0.638 * 10.0 ** values["alpha_Fe"] + 0.362)


class Linear(LabelRelation):
    name, target, needs, citation = "linear", "vmic", ("logg",), "nobody"

    def estimate(self, values):
        return 3.0 - 0.5 * values["logg"]


class Mine:
    @astropayne.hookimpl
    def astropayne_label_transforms(self):
        return [Metallicity(), Linear()]


@pytest.fixture
def mine():
    name = astropayne.register_plugin(Mine())
    yield
    astropayne.unregister_plugin(name)


def test_transforms_of_others_are_in_the_chain(mine):
    conversion = LabelConversion(["M_H", "alpha_Fe", "Li_Fe"], ["A_Li"], SUN)
    feh = -1.0 - np.log10(0.638 * 10**0.4 + 0.362)
    assert conversion([-1.0, 0.4, 2.0]) == pytest.approx([2.0 + feh + 1.05])
    slope = -0.638 * 10**0.4 / (0.638 * 10**0.4 + 0.362)
    assert conversion.jacobian([-1.0, 0.4, 2.0])[0] == pytest.approx([1, slope, 1], abs=1e-9)
    assert labels_in(["vmic", "logg"], {"vmic": "linear", "logg": 4.0})["vmic"] == 1.0


@pytest.mark.parametrize(
    ("compute", "match"),
    [
        (lambda values: values["alpha_Fe"], "failed: KeyError: 'alpha_Fe'"),
        (lambda values: None, "returned None; it must return an array of shape"),
        (lambda values: values["M_H"][:1], r"returned an array of shape \(1,\); it must"),
    ],
)
def test_transforms_of_others_that_fail_are_named(compute, match):
    class Broken(LabelTransform):
        source, target = "M_H", "feh"

        def forward(self, values, solar):
            return compute(values)

    class Theirs:
        @astropayne.hookimpl
        def astropayne_label_transforms(self):
            return [Broken()]

    name = astropayne.register_plugin(Theirs())
    try:
        conversion = LabelConversion(["M_H"], ["feh"], SUN)
        with pytest.raises(ValueError, match=f"from 'M_H' to 'feh' {match}"):
            conversion([[-1.0], [0.0]])
    finally:
        astropayne.unregister_plugin(name)


def test_transforms_that_are_gone_are_gone():
    with pytest.raises(ValueError, match="no label transform leads to 'feh' from M_H"):
        LabelConversion(["M_H", "alpha_Fe"], ["feh"])


# --- uncertainties


def test_covariance_of_a_sum_is_the_one_by_hand():
    # A(Li) = [Li/Fe] + [Fe/H] + A_sun; teff is in between and must not get in
    conversion = LabelConversion(["Li_Fe", "teff", "feh"], ["A_Li", "feh"], SUN)
    covariance = np.array([[0.04, 3.0, -0.01], [3.0, 2500.0, 2.0], [-0.01, 2.0, 0.09]])
    found = conversion.covariance([1.0, 5777.0, -1.0], covariance)
    expected = [[0.04 + 0.09 - 0.02, -0.01 + 0.09], [-0.01 + 0.09, 0.09]]
    assert found == pytest.approx(np.array(expected), abs=1e-10)


def test_covariance_is_that_of_a_monte_carlo():
    given = ["teff", "vmic", "Mg_Fe", "A_Fe"]
    mean = np.array([5777.0, 1.2, 0.3, 6.9])
    sigma = np.array([60.0, 0.05, 0.04, 0.05])
    correlation = np.array([[1, 0.5, -0.3, 0.6], [0.5, 1, 0.1, 0.2], [-0.3, 0.1, 1, -0.5],
                            [0.6, 0.2, -0.5, 1]])  # fmt: skip
    covariance = correlation * np.outer(sigma, sigma)
    conversion = LabelConversion(given, ["log_teff", "log_vmic", "A_Mg", "feh", "teff"], SUN)
    draws = np.random.default_rng(5).multivariate_normal(mean, covariance, 200_000)
    expected = np.cov(conversion(draws).T)
    found = conversion.covariance(mean, covariance)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((found - expected) / scale).max() < 0.01
    assert found[0, 0] == pytest.approx((60 / 5777 / np.log(10)) ** 2, rel=1e-7)
    batch = conversion.covariance(np.stack([mean, mean]), np.stack([covariance, 4 * covariance]))
    assert batch == pytest.approx(np.stack([found, 4 * found]), rel=1e-12)


def test_what_is_not_known_spreads_only_where_it_matters():
    conversion = LabelConversion(["Li_Fe", "feh", "teff"], ["A_Li", "teff"], SUN)
    covariance = np.diag([np.nan, 0.01, 100.0])
    covariance[0, :] = covariance[:, 0] = np.nan
    found = conversion.covariance([0.0, 0.0, 5000.0], covariance)
    assert np.isnan([found[0, 0], found[0, 1], found[1, 0]]).all()
    assert found[1, 1] == pytest.approx(100.0)
    # also where the value itself is not known: labels that a fit does not measure are NaN
    values = np.array([[0.0, 0.0, 5000.0], [np.nan, 0.0, 5000.0]])
    conversion = LabelConversion(["Li_Fe", "feh", "teff"], ["A_Li", "A_Fe", "log_teff"], SUN)
    known, found = conversion.covariance(values, np.diag([0.04, 0.01, 100.0]))
    assert np.isfinite(known).all()
    assert np.isnan(found[0]).all()
    assert found[1:, 1:] == pytest.approx(known[1:, 1:])


# --- labels in any convention


def test_any_convention_says_the_labels():
    given = {**STAR, "[Mg/H]": -0.6, "A(Li)": [2.05, 1.05], "log vmic": 0.0}
    del given["vmic"]
    said = labels_in(MODEL, given, "magg2022")
    assert list(said) == [name for name in MODEL if name not in ("Ca_Fe", "Na_Fe")]
    assert said["Mg_Fe"] == pytest.approx([0.4, 0.4])
    assert said["Li_Fe"] == pytest.approx([2.0, 1.0])
    assert said["vmic"] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (
            {"Mg_Fe": 0.4, "Mg_H": -0.6},
            "'Mg_Fe' and 'Mg_H' are both given, but they express",
        ),
        ({"A_Fe": 6.5}, "'feh' and 'A_Fe' are both given"),
        ({"Teff": 5777}, "'teff' is given twice"),
        ({"Eu_Fe": 0.1}, "'Eu_Fe' is not one of teff, logg"),
        ({"Mg_alpha": 0.1}, "'Mg_Fe' follows from 'Mg_alpha' where 'alpha_Fe' is given too"),
        ({"log_vmic": "bruntt2010"}, "'log_vmic' must be a number, not 'bruntt2010'"),
        ({"rv": 3}, "'rv' cannot be a label"),
    ],
)
def test_labels_that_make_no_sense_together(labels, match):
    with pytest.raises(ValueError, match=match):
        labels_in(MODEL, {**STAR, **labels}, SUN)


def test_alpha_is_for_the_alpha_elements_left_out():
    for alpha in ({"alpha_Fe": 0.4}, {"[alpha/H]": -0.6}):
        said = labels_in(MODEL, {**STAR, **alpha, "Mg_Fe": 0.2}, SUN)
        assert said["Mg_Fe"] == 0.2
        assert said["Ca_Fe"] == pytest.approx(0.4)
        assert "Na_Fe" not in said
    said = labels_in(["feh", "A_Ca"], {"feh": -1.0, "alpha_Fe": 0.4}, SUN)
    assert said["A_Ca"] == pytest.approx(6.37 - 0.6)
    own = ["feh", "alpha_Fe", "Mg_alpha"]  # a grid of offsets
    said = labels_in(own, {"feh": 0.0, "alpha_Fe": 0.4, "Mg_Fe": 0.5})
    assert said["Mg_alpha"] == pytest.approx(0.1)
    assert "Mg_alpha" not in labels_in(own, {"feh": 0.0, "alpha_Fe": 0.4})


def test_tied_alpha_elements_become_one_label(sample):
    with pytest.raises(ValueError, match="Mg_Fe, Ca_Fe, Ti_Fe differ"):
        sample.transform_labels("alpha_Fe")
    table = sample.labels[:20]
    table["Ca_Fe"] = table["Ti_Fe"] = table["Mg_Fe"]
    tied = SpectralGrid(sample.wavelength, sample.flux[:20], table, meta=sample.meta)
    found = tied.transform_labels("[α/Fe]")
    assert found.labels.colnames[3:6] == ["vmic", "alpha_Fe", "Na_Fe"]
    assert np.array_equal(found.labels["alpha_Fe"], table["Mg_Fe"])
    again = found.transform_labels("alpha_H").transform_labels("alpha_Fe").labels["alpha_Fe"]
    assert np.asarray(again) == pytest.approx(np.asarray(table["Mg_Fe"]), abs=1e-12)


def test_a_relation_fills_in():
    star = {"teff": [5700.0, 6000.0], "logg": 4.4, "A_Fe": 7.5}
    names = ["teff", "logg", "feh", "vmic"]
    for word in ("bruntt2010", "Bruntt 2010", ["bruntt2010"] * 2, np.array(["Bruntt+2010"] * 2)):
        said = labels_in(names, {**star, "vmic": word}, SUN)
        assert said["vmic"] == pytest.approx([1.01, 1.17155])
    frame = pd.DataFrame({**star, "vmic": "bruntt2010"})
    assert labels_in(names, dict(frame), SUN)["vmic"] == pytest.approx([1.01, 1.17155])
    said = labels_in(["teff", "logg", "feh", "log_vmic"], {**star, "vmic": "bruntt2010"}, SUN)
    assert said["log_vmic"] == pytest.approx(np.log10([1.01, 1.17155]))
    # iron that only the relation reads is not a label too many
    said = labels_in(["teff", "logg", "vmic"], {**star, "vmic": "gaiaeso"}, SUN)
    assert said["vmic"][0] == pytest.approx(1.05 + 0.0502 + 0.006 - 0.056 - 0.0008)
    assert labels_in(["vmic"], {"teff": 5700, "logg": 4.4, "vmic": "bruntt2010"})["vmic"] == 1.01
    with pytest.raises(ValueError, match=r"a number or the name of a relation \(bruntt2010, "):
        labels_in(names, {**star, "vmic": "bruntt"}, SUN)
    with pytest.raises(ValueError, match="no label transform leads to 'logg'"):
        labels_in(names, {"teff": 5700, "feh": 0, "vmic": "bruntt2010"}, SUN)


# --- models


SAID_BY = {
    "Mg_H": "Mg_Fe",
    "A(Mg)": "Mg_Fe",
    "A_Fe": "feh",
    "Li_Fe": "A_Li",
    "[Li/H]": "A_Li",
    "log_vmic": "vmic",
    "log Teff": "teff",
}


def test_a_model_takes_any_convention(model, sample):
    own = {"teff": 5777, "logg": 4.44, "feh": -0.5, "vmic": 1.1, "Mg_Fe": 0.3, "A_Li": 2.0}
    expected = model(**own).flux.value
    for other in (
        {"Mg_H": -0.2},
        {"A(Mg)": 7.55 - 0.2},
        {"A_Fe": 7.0, "Li_Fe": 2.0 + 0.5 - 1.05},
        {"[Li/H]": 0.95, "log_vmic": np.log10(1.1), "log Teff": np.log10(5777)},
    ):
        replaced = {SAID_BY[name] for name in other}
        labels = {name: value for name, value in own.items() if name not in replaced} | other
        assert model(**labels).flux.value == pytest.approx(expected, abs=2e-6)
    table = sample.transform_labels("Li_Fe", "Mg_H", "log_teff").labels[:4]
    expected = model.predict(sample.labels[:4]).flux.value
    assert model.predict(table).flux.value == pytest.approx(expected, abs=2e-6)
    assert model.predict(table.to_pandas()).flux.value == pytest.approx(expected, abs=2e-6)
    with pytest.raises(ValueError, match="'Mg_Fe' and 'Mg_H' are both given"):
        model(**own, Mg_H=0.1)


def test_alpha_and_relations_in_a_model(model):
    star = {"teff": 5777, "logg": 4.44, "feh": -0.5}
    vmic = 1.01 + 4.56e-4 * 77 + 2.75e-7 * 77**2
    expected = model(**star, vmic=vmic, Mg_Fe=0.3, Ca_Fe=0.3, Ti_Fe=0.3)
    found = model(**star, vmic="bruntt2010", alpha_Fe=0.3)
    assert found.flux.value == pytest.approx(expected.flux.value, abs=2e-6)


def test_a_model_reports_in_any_convention(model):
    conversion = model.conversion(["[Mg/H]", "Li_Fe", "teff"])
    values = model.label_array({**STAR, "feh": -0.5, "Mg_Fe": 0.3, "A_Li": 2.0})
    assert conversion(values)[0] == pytest.approx([-0.2, 2.0 + 0.5 - 1.05, 5777])
    sigma = np.linspace(0.01, 0.1, len(model.labels))
    covariance = conversion.covariance(values[0], np.diag(sigma**2))
    by_name = dict(zip(model.labels.names, sigma, strict=True))
    assert covariance[0, 0] == pytest.approx(by_name["Mg_Fe"] ** 2 + by_name["feh"] ** 2)
    assert covariance[0, 1] == pytest.approx(-(by_name["feh"] ** 2))
    with pytest.raises(ValueError, match="no label transform leads to 'A_Eu'"):
        model.conversion(["A_Eu"])
    with pytest.raises(RuntimeError, match="not trained"):
        PayneModel().conversion(["A_Li"])


def test_an_unknown_scale_stays_unknown(sample):
    grid = sample[:40].replace(meta={"solar_scale": None})
    model = PayneModel(hidden_layers=(8,), components=4)
    model.train(grid, max_epochs=1)
    assert model.solar_scale is None
    star = {"teff": 5777, "logg": 4.44, "feh": 0.0, "vmic": 1.0}
    model(**star, A_Li=1.05, Mg_H=0.1)  # needs no scale
    for labels in (star, {**star, "Li_H": 0.0}):
        with pytest.raises(ValueError, match=r"abundance of Li is needed.*the model's solar_scale"):
            model(**labels)
    model.replace(solar_scale="magg2022")(**star, Li_H=0.0)


def test_ones_own_scale_works_everywhere(sample, tmp_path):
    mine = SolarScale("mine", {**SUN, "Li": 1.10}, citation="me 2026", meteoritic=["Li"])
    unknown = SpectralGrid.sample()[:40].replace(meta={"solar_scale": None})
    grid = unknown.transform_labels("A(Li)", solar=mine)
    change = grid.labels["A_Li"] - sample.labels["A_Li"][:40]
    assert np.asarray(change) == pytest.approx(0.05, abs=1e-12)
    grid.write(tmp_path / "grid.asdf")
    grid = SpectralGrid.read(tmp_path / "grid.asdf")
    assert grid.transform_labels("Li_H").labels["Li_H"] == pytest.approx(
        np.asarray(grid.labels["A_Li"]) - 1.10
    )
    model = PayneModel(hidden_layers=(8,), components=4)
    model.train(grid, max_epochs=1)
    model.write(tmp_path / "model.asdf")
    again = PayneModel.read(tmp_path / "model.asdf")
    kept = solar_scale(again.solar_scale)
    assert (kept.name, kept.citation, kept.meteoritic) == ("mine", "me 2026", {"Li"})
    assert dict(kept) == dict(mine)
    star = {"teff": 5500, "logg": 4.44, "feh": 0.0, "vmic": 1.0}
    assert again(**star).meta["labels"]["A_Li"][0] == pytest.approx(1.10)
    assert again(**star, Li_H=0.5).meta["labels"]["A_Li"][0] == pytest.approx(1.60)


@pytest.mark.parametrize(
    ("key", "value"),
    [("medium", "vacuum"), ("resolution", 47000.0), ("solar_scale", "asplund2009")],
)
def test_grids_of_two_kinds_are_not_trained_together(sample, key, value):
    train, validation = sample[:30], sample[30:40].replace(meta={key: value})
    with pytest.raises(ValueError, match=rf"training grid has {key} .*validation grid .*{value}"):
        PayneModel(hidden_layers=(8,), components=4).train(train, validation, max_epochs=1)


def test_a_scale_in_another_spelling_is_the_same(sample):
    train = sample[:30].replace(meta={"solar_scale": "Magg et al. (2022)"})
    validation = sample[30:40].replace(meta={"solar_scale": SUN})
    model = PayneModel(hidden_layers=(8,), components=4)
    model.train(train, validation, max_epochs=1)
    assert model.solar_scale == "magg2022"
