"""Results and tables of fits."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, vstack
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from simulated import exact_fit_spectra, exact_fit_spectrum, noisy

from astropayne import (
    Flag,
)
from astropayne.fitting.batches import Interrupted


def test_no_star_gives_a_table_with_the_columns_of_any(model, exact, rng):
    options = {"resolution": 16000, "report": "A(Ca)", "covariances": True}
    some = exact_fit_spectra([noisy(exact, 0.01, rng)], model, **options)
    none = exact_fit_spectra([], model, **options)
    assert len(none) == 0
    assert none.colnames == some.colnames
    assert none["teff"].unit == u.K
    assert vstack([none, some])["teff"][0] == some["teff"][0]


def test_labels_are_reported_in_other_conventions(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    result = exact_fit_spectrum(
        star, model, resolution=16000, report=["[Mg/H]", "A(Ca)", "[Li/Fe]"]
    )
    free = list(result.free)
    i, j = free.index("feh"), free.index("Mg_Fe")
    c = result.covariance
    assert result.labels["Mg_H"] == pytest.approx(result.labels["Mg_Fe"] + result.labels["feh"])
    assert result.errors["Mg_H"].value == pytest.approx(
        np.sqrt(c[i, i] + c[j, j] + 2 * c[i, j]), rel=1e-6
    )
    table = exact_fit_spectra([star], model, resolution=16000, report="A(Ca)")
    assert table["A_Ca"][0] == pytest.approx(result.labels["A_Ca"].value, abs=1e-3)
    assert table["A_Ca_err"][0] == pytest.approx(result.errors["A_Ca"].value, rel=1e-2)


def test_a_table_has_names_covariances_and_models(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    star.meta["name"] = "HD 1"
    short = star[:2000]
    stars = (spectrum for spectrum in (star, short, "no spectrum"))
    table = exact_fit_spectra(stars, model, resolution=16000, covariances=True, models=True)
    assert table["name"].tolist() == ["HD 1", "HD 1", "2"]
    k = table.meta["free"].index("teff")
    assert np.sqrt(table["covariance"][0, k, k]) == pytest.approx(table["teff_err"][0].value)
    assert table["best_fit"].shape == (3, 3903)
    assert np.isnan(table["best_fit"][1, 2000:]).all()
    good = ~star.mask & np.isfinite(table["best_fit"][0])
    assert np.std(table["best_fit"][0] - star.flux.value, where=good) < 0.011
    assert "specutils Spectrum" in table["message"][2]


def test_interruptions_pickle():
    """A pool of processes breaks, or waits for ever, on an error that does not."""
    again = pickle.loads(pickle.dumps(Interrupted(QTable({"dof": [7]}))))
    assert again.table["dof"] == 7


def test_results_pickle(model, exact, rng):
    result = exact_fit_spectrum(noisy(exact, 0.01, rng), model, resolution=16000)
    again = pickle.loads(pickle.dumps(result))
    assert again.labels.keys() == result.labels.keys()
    assert u.allclose(again.labels["teff"], result.labels["teff"])
    assert u.allclose(again.best_fit.flux, result.best_fit.flux, equal_nan=True)
    assert u.allclose(again.best_fit.spectral_axis, result.best_fit.spectral_axis)
    assert u.allclose(again.observed.uncertainty.quantity, result.observed.uncertainty.quantity)
    assert len({result, again}) == 2


@pytest.mark.parametrize("value", [0, 18, 258, 1 + 2 + 1024])
def test_flags_come_back_from_tables(value):
    assert Flag(np.int64(value)) == Flag(value)


def test_names_of_a_result_are_found_in_any_spelling(model, exact):
    result = exact_fit_spectrum(exact, model, resolution=16000, report="A(Mg)")
    assert result.labels["Teff"] is result.labels["teff"]
    assert result.labels["[Fe/H]"] is result.labels["feh"]
    assert result.errors["A(Mg)"] is result.errors["A_Mg"]
    assert "[Mg/Fe]" in result.labels
    assert "vrad" not in result.labels
    for name in ("[Eu/Fe]", "rotation speed"):
        with pytest.raises(KeyError, match=r"; it has teff, logg, .*rv, vsini, vmac"):
            result.labels[name]
    with pytest.raises(TypeError, match="item assignment"):
        result.labels["teff"] = 5000


def test_a_result_is_pickled_with_what_is_in_the_metadata(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    star.meta["header"] = fits.Header({"OBJECT": "Sun", "EXPTIME": 30.0})
    star.meta["wcs"] = WCS(naxis=1)
    result = exact_fit_spectrum(star, model, resolution=16000)
    other = pickle.loads(pickle.dumps(result))
    assert other.labels == result.labels
    assert other.observed.meta["header"]["OBJECT"] == "Sun"
    assert other.observed.meta["wcs"].naxis == 1
    star.meta["reader"] = lambda: None
    with pytest.warns(AstropyUserWarning, match="^reader in the metadata .* cannot be pickled"):
        other = pickle.loads(pickle.dumps(result))
    assert "reader" not in other.observed.meta
    assert "reader" in result.observed.meta
    np.testing.assert_array_equal(other.observed.flux.value, result.observed.flux.value)


def test_systematic_errors_are_kept_apart(model, exact, rng):
    star = noisy(exact, 0.01, rng)
    systematic = {"Teff": 0.05 * u.kK, "[Fe/H]": 0.1 * u.dex, "A(Mg)": 0.05, "rv": 200 * u.m / u.s}
    with_them = exact_fit_spectrum(star, model, report="A(Mg)", systematic=systematic)
    without = exact_fit_spectrum(star, model)
    assert with_them.errors["teff"] == without.errors["teff"]
    assert without.systematic == {}
    assert with_them.systematic["teff"] == 50 * u.K
    assert with_them.systematic["feh"] == 0.1
    assert with_them.systematic["A_Mg"] == 0.05
    assert with_them.systematic["rv"] == 0.2 * u.km / u.s
    known = model.replace(meta={**model.meta, "systematic": {"logg": 0.12}})
    table = exact_fit_spectra([star, "no spectrum"], known)
    assert table["logg_sys"].tolist() == [0.12, 0.12]
    assert "teff_sys" not in table.colnames
    with pytest.raises(ValueError, match="systematic: label 'A_Mg' is not one of"):
        exact_fit_spectrum(star, model, systematic=systematic)
    with pytest.raises(ValueError, match=r"systematic: feh = -0\.1 must be zero or positive"):
        exact_fit_spectrum(star, model, systematic={"feh": -0.1})
