import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from astropayne import PayneModel, SpectralGrid
from astropayne.evaluation import (
    THRESHOLDS,
    flux_errors,
    held_out,
    judge,
    recover_labels,
    summarize_recovery,
    true_labels,
    write_report,
)
from astropayne.evaluation.report import display_names, provenance
from astropayne.evaluation.verdict import limits_of
from astropayne.labels.space import LabelRangeWarning


@pytest.fixture(scope="module")
def network():
    return PayneModel.sample()


@pytest.fixture(scope="module")
def unseen(network):
    return held_out(network, SpectralGrid.sample())


@pytest.fixture(scope="module")
def errors(network, unseen):
    return flux_errors(network, unseen, progress=False)


@pytest.fixture(scope="module")
def recovery(network, unseen):
    return recover_labels(network, unseen, snr=(np.inf, 100), n_stars=24, progress=False)


def test_spectra_trained_on_are_left_out(model, sample):
    train, valid = sample.split(0.8, seed=42)
    # The fixture splits its 240 spectra again, and chooses by the smaller part.
    assert len(model.training_labels) == 216
    rest = held_out(model, sample)
    assert set(valid.names) <= set(rest.names)
    assert len(rest) == 60 + 24
    with pytest.raises(ValueError, match="trained on all 10 spectra"):
        held_out(model, train[[n not in rest.names for n in train.names]][:10])


def test_labels_of_large_grids_are_all_kept(rng):
    n, names = 50_100, ["teff", "logg"]
    labels = QTable(rng.uniform([4500, 1], [6500, 5], (n, 2)), names=names)
    wavelength = np.linspace(5000, 5001, 8) * u.AA
    grid = SpectralGrid(wavelength, rng.uniform(0.5, 1, (n, 8)).astype(np.float32), labels)
    train, valid = grid[: n - 50], grid[n - 50 :]
    model = PayneModel(hidden_layers=(2,), components=None)
    model.train(train, valid, max_epochs=1, batch_size=25_000)
    assert held_out(model, grid).names == valid.names


def test_flux_errors_are_those_of_plain_numpy(network, unseen, errors):
    pixels, spectra = errors
    difference = network.predict(unseen.labels).flux.value - unseen.flux.astype(float)
    assert pixels["rms"] == pytest.approx(np.sqrt(np.mean(difference**2, axis=0)), rel=1e-6)
    assert pixels["bias"] == pytest.approx(np.mean(difference, axis=0), abs=1e-9)
    low, high = np.percentile(difference, [15.866, 84.134], axis=0)
    assert pixels["minus_sigma"] == pytest.approx(low, abs=1e-7)
    assert pixels["plus_sigma"] == pytest.approx(high, abs=1e-7)
    assert spectra["rms"] == pytest.approx(np.sqrt(np.mean(difference**2, axis=1)), rel=1e-6)
    worst = np.argmax(np.abs(difference), axis=1)
    assert (spectra["worst_wavelength"] == unseen.wavelength[worst]).all()
    assert tuple(spectra["name"]) == unseen.names
    assert spectra["A_Li"] == pytest.approx(unseen.transform_labels("A_Li").labels["A_Li"])


def test_a_grid_on_disk_is_taken_in_parts(network, unseen, errors, tmp_path, monkeypatch):
    unseen.write(tmp_path / "grid.asdf")
    grid = SpectralGrid.read(tmp_path / "grid.asdf")
    monkeypatch.setattr("astropayne.evaluation.flux._MOST_RESIDUALS", 20 * 3903)
    blocks = SpectralGrid.blocks
    monkeypatch.setattr(SpectralGrid, "blocks", lambda self: blocks(self, size=10))
    pixels, spectra = flux_errors(network, grid, progress=False)
    # in single precision, a product of other shape is rounded otherwise
    assert pixels["rms"] == pytest.approx(errors[0]["rms"], rel=1e-4, abs=1e-7)
    assert np.array_equal(spectra["name"], errors[1]["name"])
    # Every fourth of the 61 spectra, whatever the blocks are.
    assert pixels.meta["n_percentiles"] == 16
    some = network.predict(unseen[::4].labels).flux.value - unseen[::4].flux
    assert pixels["median"] == pytest.approx(np.median(some, axis=0), abs=1e-6)


def test_other_wavelengths_medium_and_resolution(network, unseen, errors):
    vacuum = unseen.convert_medium("vacuum")
    pixels, _ = flux_errors(network, vacuum, progress=False)
    assert pixels["rms"] == pytest.approx(errors[0]["rms"], rel=1e-4)
    coarse = unseen.degrade(12000).rebin(velocity=3)
    pixels, _ = flux_errors(network, coarse, progress=False)
    assert len(pixels) > 0.95 * len(coarse.wavelength)
    assert np.sqrt(np.mean(pixels["rms"] ** 2)) < 0.003
    far = SpectralGrid(unseen.wavelength + 3000 * u.AA, unseen.flux, unseen.labels)
    with pytest.raises(ValueError, match="no wavelength in common"):
        flux_errors(network, far, progress=False)


def test_labels_with_one_value_are_not_taken_for_solar(network, unseen):
    same = unseen[[0, 0]]
    known = same.labels["teff", "logg", "feh"]
    constant = {name: float(same.labels[name][0]) for name in same.labels.colnames[4:]}
    meta = {
        **same.meta,
        "constant_labels": {**constant, "vmic": float(same.labels["vmic"][0].value)},
    }
    grid = SpectralGrid(same.wavelength, same.flux, known, meta=meta)
    np.testing.assert_array_equal(network.grid_labels(grid), network.grid_labels(same))
    found, expected = flux_errors(network, grid)[1], flux_errors(network, same)[1]
    np.testing.assert_array_equal(found["rms"], expected["rms"])


@pytest.mark.parametrize(
    ("meta", "match"),
    [
        ({"resolution": 50000}, r"compare the model with grid.degrade\(20000\)"),
        ({"solar_scale": "asplund2009"}, "solar scale 'asplund2009'"),
    ],
)
def test_a_grid_of_another_kind_is_not_compared(network, unseen, meta, match):
    grid = unseen[:2].replace(meta=meta)
    with pytest.raises(ValueError, match=match):
        flux_errors(network, grid)


def test_labels_outside_are_warned_of_once(network, unseen):
    labels = unseen.labels.copy()
    labels["teff"] += 3000 * u.K
    grid = SpectralGrid(unseen.wavelength, unseen.flux, labels, meta=unseen.meta)
    with pytest.warns(LabelRangeWarning) as caught:
        flux_errors(network, grid, progress=False)
    assert len(caught) == 1


def test_labels_come_back(network, unseen, recovery):
    assert len(recovery) == 48
    truth = true_labels(recovery)
    assert truth.colnames == list(network.labels.names)
    again = unseen.subsample(24, seed=42).labels["teff"]
    assert np.array_equal(truth["teff"][:24], again)
    assert np.array_equal(truth["teff"][24:], again)
    noisy = recovery[recovery["snr"] == 100]
    pull = ((noisy["teff"] - noisy["teff_true"]) / noisy["teff_err"]).value
    assert np.abs(np.median(pull)) < 1
    assert np.all(noisy["vsini"] == 0)
    assert np.all(np.abs(recovery["rv"].value) < 1)


def test_rotation_can_be_part_of_it(network, unseen):
    table = recover_labels(network, unseen, n_stars=3, vsini=8, resolution=15000, progress=False)
    assert table["vsini"].value == pytest.approx(8, abs=0.5)
    assert np.isinf(table["snr"]).all()
    with pytest.raises(ValueError, match="snr=-1"):
        recover_labels(network, unseen, snr=-1)


def test_the_summary_names_what_carries_no_information():
    kms = u.km / u.s
    n = 40
    rng = np.random.default_rng(3)
    teff = rng.uniform(5000, 6000, n)
    noise = rng.normal(10, 20, n)
    partly = np.where(np.arange(n) < 20, np.nan, 0.1)
    table = QTable({
        "snr": np.full(n, 50.0), "teff_true": teff * u.K, "teff": (teff + noise) * u.K,
        "teff_err": np.full(n, 20.0) * u.K, "vmic_true": np.ones(n) * kms,
        "vmic": np.full(n, np.nan) * kms, "vmic_err": np.full(n, np.nan) * kms,
        "feh_true": np.zeros(n), "feh": partly, "feh_err": np.full(n, 0.1),
    })  # fmt: skip
    summary = summarize_recovery(table)
    assert list(summary["information"]) == ["yes", "none", "partly"]
    assert list(summary["unit"]) == ["K", "km / s", ""]
    teff, vmic, feh = summary
    assert teff["bias"] == pytest.approx(np.median(noise))
    mad = 1.482602218505602 * np.median(np.abs(noise - np.median(noise)))
    assert teff["scatter"] == pytest.approx(mad)
    assert teff["pull_scatter"] == pytest.approx(mad / 20)
    assert np.isnan(vmic["bias"])
    assert (feh["measured"], feh["bias"], feh["pull_bias"]) == (0.5, 0.1, 1.0)


def test_the_verdict_keeps_to_its_limits(errors, recovery):
    summary = summarize_recovery(recovery)
    verdict = judge(*errors, summary)
    assert all(verdict["passed"])
    assert set(verdict["name"]) >= {"rms", "bias", "scatter_teff", "scatter_A_Li", "pulls"}
    strict = judge(*errors, summary, {"rms": 1e-5, "scatter_Mg_Fe": 1e-6})
    assert set(strict["name"][~strict["passed"]]) == {"rms", "scatter_Mg_Fe"}
    summary["information"] = ["none" if i == 3 else "yes" for i in range(len(summary))]
    assert judge(*errors, summary).meta["no_information"] == ["vmic without noise"]
    with pytest.raises(ValueError, match=r"'scatter_U_Fe' is not one of .*mean 'scatter_"):
        judge(*errors, summary, {"scatter_U_Fe": 1})
    assert THRESHOLDS["rms"] == 0.005


@pytest.fixture(scope="module")
def small(sample):
    """A grid of four labels, whose pictures are soon drawn, and a network of it."""
    labels = sample.labels["teff", "logg", "feh", "vmic"]
    grid = SpectralGrid(sample.wavelength, sample.flux, labels, meta=sample.meta)
    network = PayneModel(hidden_layers=(64,), components=32, members=1)
    network.train(grid[:240], max_epochs=60, seed=1, progress=False)
    return network, grid[240:]


def test_the_report_is_one_page(small, tmp_path):
    network, unseen = small
    found = write_report({"<b>.asdf": network}, unseen, tmp_path / "report", n_stars=8,
                         progress=False, thresholds={"rms": 1e-6, "rms_95": 1})  # fmt: skip
    verdict = found["<b>.asdf"].verdict
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("<img ") == page.count('src="data:image/png;base64,') == 10
    assert "<link" not in page
    assert "<script" not in page
    failed = np.sum(~verdict["passed"])
    assert 1 <= failed < len(verdict)
    assert f"{failed} of {len(verdict)} limits are exceeded" in page
    assert "Evaluation of &lt;b&gt;.asdf" in page
    assert "grid_checksum" in page
    for name in ("pixels", "spectra", "recovery", "summary", "verdict"):
        assert len(QTable.read(tmp_path / "report" / f"{name}.ecsv"))


def test_one_spectrum_has_no_scatter_to_be_judged():
    flux = QTable({"rms": [0.001, 0.001], "bias": [0.0, 0.0]})
    recovery = QTable({
        "snr": [np.inf] * 3 + [100.0] * 3,
        "feh_true": [0.0] * 6, "feh": [0.1, 0.2, 0.3] * 2, "feh_err": [0.1] * 6,
        "Ba_Fe_true": [0.0] * 6, "Ba_Fe": [0.9, np.nan, np.nan] * 2, "Ba_Fe_err": [0.1] * 6,
    })  # fmt: skip
    summary = summarize_recovery(recovery)
    assert np.isnan(summary["scatter"][summary["label"] == "Ba_Fe"]).all()
    verdict = judge(flux, flux, summary)
    assert "scatter_Ba_Fe" not in verdict["name"]
    assert verdict["value"][verdict["name"] == "pulls"] == pytest.approx(
        1.482602218505602
    )  # of [Fe/H]
    assert verdict.meta["measured_once"] == ["Ba_Fe without noise", "Ba_Fe at S/N 100"]
    nothing = judge(flux, flux, summary[summary["label"] == "Ba_Fe"])
    assert list(nothing["name"]) == ["rms", "rms_95", "bias", "worst_pixel"]


def test_models_whose_files_have_one_name_are_told_apart():
    assert display_names(["a/new.asdf", "b/old.asdf"]) == ["new.asdf", "old.asdf"]
    assert display_names(["a/model.asdf", "b/model.asdf"]) == ["a/model.asdf", "b/model.asdf"]


def test_the_report_holds_all_metadata_that_a_model_may_have(network, unseen):
    facts = {"weights": np.arange(3), "band": [500, 510] * u.nm, "none": None, "empty": []}
    table = provenance(
        "x.asdf", network.replace(meta=facts), 5, unseen, {"held_out_only": True, "snr": 100.0}
    )
    assert [*table] == ["model", "network", "compared with", "snr", "weights", "band"]
    assert table["compared with"].startswith("5 of the 61 spectra of ")


def test_models_are_compared_with_what_none_was_trained_on(
    network, model, sample, tmp_path, monkeypatch
):
    # The pictures of one model are slow, and another test looks at them.
    nothing = {"pictures": [], "columns": [], "worst": []}
    monkeypatch.setattr("astropayne.evaluation.report._flux_section", lambda *_: nothing)
    monkeypatch.setattr("astropayne.evaluation.report._recovery_sections", lambda *_: [])
    found = write_report({"a/ours.asdf": network, "b/quick.asdf": model}, sample, tmp_path,
                         n_stars=6, progress=False)  # fmt: skip
    ours, quick = found.values()
    names = set(held_out(network, sample).names) & set(held_out(model, sample).names)
    assert set(ours.spectra["name"]) == set(quick.spectra["name"]) == names
    assert 0 < len(names) < len(held_out(network, sample).names)
    assert np.array_equal(ours.recovery["teff_true"], quick.recovery["teff_true"])
    page = (tmp_path / "index.html").read_text()
    assert "Evaluation of ours.asdf and quick.asdf" in page
    better = ours.verdict["value"][0]
    assert better < quick.verdict["value"][0]
    assert f'<td class="best">{better:.3g}</td>' in page
    assert page.count("<img ") == 2 + 2 * 2  # of both, and scatter and training of each
    assert len(QTable.read(tmp_path / "ours-pixels.ecsv")) == 3903
    assert len(QTable.read(tmp_path / "quick-summary.ecsv")) == 24


@pytest.mark.parametrize("limit", ["0.01", np.nan, -1.0])
def test_limits_are_numbers(limit):
    with pytest.raises(ValueError, match=r"thresholds: rms is .*; it must be a number"):
        limits_of(["feh"], {"rms": limit})


@pytest.mark.parametrize("snr", [[], [100.0, 0.0], np.nan])
def test_signal_to_noise_is_checked_before_the_fits(network, unseen, snr, monkeypatch):
    monkeypatch.setattr("astropayne.evaluation.recovery.fit_spectra", None)
    with pytest.raises(ValueError, match="must be positive; use infinity for no noise"):
        recover_labels(network, unseen, snr=snr)
