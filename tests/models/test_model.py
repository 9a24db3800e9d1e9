import copy
import functools
import itertools
import json
import pickle
import warnings
from dataclasses import fields
from datetime import date, datetime

import asdf
import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning
from specutils import Spectrum

from astropayne import PayneModel, broaden_spectrum, fit_spectra, fit_spectrum
from astropayne.io.container import read_container
from astropayne.labels.space import LabelRangeWarning, LabelSpace
from astropayne.modeling import PayneSpectrum
from astropayne.models import EmulatorError
from astropayne.models.residuals import (
    label_shifts,
    leading_components,
    shift_covariance,
    white_rest,
)
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)

SUN = {"teff": 5777 * u.K, "logg": 4.44, "feh": 0.0, "vmic": 1 * u.km / u.s, "A_Li": 1.05}


def test_training_learns_spectra(model, sample):
    _, held_out = sample.split(0.8, seed=42)
    flux = model.predict(held_out.labels).flux.value
    rms = np.sqrt(np.mean((flux - held_out.flux) ** 2))
    spread = np.sqrt(np.mean((held_out.flux - held_out.flux.mean(0)) ** 2))
    assert rms < 0.01 < 0.1 * spread + 0.01
    assert model.meta["validation_rms"] == pytest.approx(np.sqrt(np.mean(model.error.rms**2)))
    assert model.history["time"].unit == u.s
    assert model.history["valid_rms"].min() == pytest.approx(model.meta["validation_rms"], rel=1e-4)


def test_spectra_of_unknown_resolution_are_said_to_be_taken_for_sharp(model):
    other = model.replace(resolution=None)
    other(**SUN)  # as they are, which is right
    with pytest.warns(AstropyUserWarning, match="lines are smoothed twice"):
        star = other(**SUN, resolution=10000)
    with pytest.warns(AstropyUserWarning, match="lines are smoothed twice") as said:
        exact_fit_spectra([star, star], other)
    assert len(said) == 1
    with pytest.warns(AstropyUserWarning, match=r"Use model.replace\(resolution=...\)"):
        PayneSpectrum(other, resolution=10000)
    PayneSpectrum(other.replace(resolution=20000), resolution=10000)


def test_flux_that_is_not_normalised_is_learnt_with_a_warning(sample):
    grid = sample[:40].replace(flux=8e6 * np.asarray(sample.flux[:40], dtype=np.float32))
    with pytest.warns(AstropyUserWarning, match=r"7.88e\+06 in the median, not about one") as said:
        PayneModel((8, 8), components=8).train(grid, max_epochs=2)
    assert [one.filename for one in said] == [__file__]


def test_a_prediction_is_a_spectrum_with_units(model):
    spectrum = model(**SUN)
    assert isinstance(spectrum, Spectrum)
    assert spectrum.spectral_axis.unit == u.AA
    assert spectrum.flux.unit == u.dimensionless_unscaled
    assert spectrum.meta["medium"] == "air"
    assert spectrum.flux.value == pytest.approx(
        model(
            **{"[Fe/H]": 0, "Teff": 5.777 * u.kK, "log g": 4.44, "vturb": 1000 * u.m / u.s}
        ).flux.value
    )  # and lithium, left out, is the Sun's


def test_many_predictions_are_the_single_ones(model, sample):
    many = model.predict(sample.labels[:3])
    assert many.flux.shape == (3, 3903)
    labels = {name: sample.labels[name][1] for name in sample.labels.colnames}
    assert many.flux[1].value == pytest.approx(model(**labels).flux.value, abs=3e-6)  # float32
    moved = model.predict(sample.labels[:3], rv=[0, 10, 20] * u.km / u.s, vsini=5)
    one = model(**labels, rv=10, vsini=5)
    assert moved.flux[1].value == pytest.approx(one.flux.value, nan_ok=True, abs=1e-12)
    for broadening in ({}, {"vsini": 5}):
        assert model.predict(sample.labels[:0], **broadening).flux.shape == (0, 3903)
    with pytest.raises(ValueError, match="use predict"):
        model(teff=[5000, 6000], logg=4, feh=0, vmic=1)


def test_a_data_frame_goes_by_name(model, sample):
    table = sample.labels[:3]
    frame = table[table.colnames[::-1]].to_pandas()
    expected = model.predict(table).flux
    assert np.array_equal(model.predict(frame).flux, expected)
    row = model.predict(table[1]).flux[0].value
    assert row == pytest.approx(expected[1].value, abs=3e-6)  # float32
    values = model.labels.to_array(table)  # a plain array goes by order, as always
    assert np.array_equal(model.predict(values).flux, expected)


def test_broadening_a_prediction_is_broadening_its_spectrum(model):
    broadening = {"rv": 12 * u.km / u.s, "vsini": 7, "vmac": 3 * u.km / u.s, "resolution": 15000}
    found = model(**SUN, **broadening)
    expected = broaden_spectrum(model(**SUN), **broadening)
    # a network needs fewer points, and less room at the edges, than a spectrum of any kind
    assert (expected.mask | ~found.mask).all()
    assert expected.mask.sum() - found.mask.sum() < 24
    assert expected.mask.sum() < 200
    assert np.isnan(found.flux[found.mask]).all()
    good = ~expected.mask
    assert found.flux[good].value == pytest.approx(expected.flux[good].value, abs=1e-5)
    assert found.meta["resolution"] == 15000


def test_other_wavelengths(model):
    wavelength = np.arange(520.0, 522.0, 0.003) * u.nm
    spectrum = model(**SUN, rv=30 * u.km / u.s, wavelength=wavelength)
    assert spectrum.spectral_axis.unit == u.nm
    own = model(**SUN, rv=30 * u.km / u.s)
    near = np.interp(wavelength.to_value(u.AA), own.spectral_axis.value, own.flux.value)
    assert spectrum.flux.value == pytest.approx(near, abs=0.02)


def test_out_of_range_warns_by_name(model):
    with pytest.warns(LabelRangeWarning, match=r"teff = 7500 \(range 45"):
        model(**{**SUN, "teff": 7500})


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        ({"teff": 5777 * u.km}, u.UnitConversionError, "'teff' is in K, but was given in km"),
        ({"Mn_Fe": 0.1}, ValueError, "'Mn_Fe' is not one of teff, logg"),
        ({"rv": 3 * u.K}, u.UnitConversionError, "rv is in km / s"),
        ({"resolution": 50000}, ValueError, "higher than the model's own, 20000"),
        ({"vsini": [1, 2]}, ValueError, r"vsini has shape \(2,\): give one .* labels \(1\)"),
        ({"wavelength": 5200 * u.AA}, ValueError, r"shape \(\): it must be one axis of pixels"),
        ({"wavelength": [] * u.AA}, ValueError, r"shape \(0,\): it must be one axis of pixels"),
    ],
)
def test_wrong_input_is_a_clear_error(model, labels, error, match):
    with pytest.raises(error, match=match):
        model(**{**SUN, **labels})


def test_missing_labels_are_named(model, sample):
    table = QTable(sample.labels[:3], masked=True)
    table["feh"][1] = np.nan
    with pytest.raises(ValueError, match="not finite in some rows: feh"):
        model.predict(table)
    with pytest.raises(ValueError, match="labels are missing: logg, feh"):
        model(teff=5777, vmic=1)


def test_an_untrained_model_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="not trained yet"):
        PayneModel()(**SUN)
    with pytest.raises(ValueError, match="not trained"):
        PayneModel().write(tmp_path / "x.asdf")
    with pytest.raises(ValueError, match="activation='x'"):
        PayneModel(activation="x")
    with pytest.raises(ValueError, match="hidden_layers=64 must be a sequence"):
        PayneModel(hidden_layers=64)


def test_training_is_reproducible_and_quiet(sample):
    one, two = (PayneModel(hidden_layers=(16,), components=8) for _ in range(2))
    state = torch.get_rng_state()
    with torch.inference_mode():
        one.train(sample[:50], sample[50:60], max_epochs=3, seed=7, device="cpu")
    torch.set_default_dtype(torch.float64)
    try:
        two.train(sample[:50], sample[50:60], max_epochs=3, seed=7, device="cpu")
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(state, torch.get_rng_state())
    for name, value in one.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, two.network.state_dict()[name])


def test_models_are_made_and_read_without_random_numbers(model, tmp_path):
    model.write(tmp_path / "model.asdf")
    state = torch.get_rng_state()
    PayneModel()
    again = PayneModel.read(tmp_path / "model.asdf")
    assert torch.equal(state, torch.get_rng_state())
    for name, value in model.network.state_dict().items():
        found = again.network.state_dict()[name]
        assert torch.equal(found, value)
        assert found.stride() == value.stride()


def _small():
    return PayneModel(hidden_layers=(16,), components=8)


def test_training_on_several_grids(sample):
    one, two = _small(), _small()
    one.train(sample[:60], max_epochs=2, train_fraction=0.75, author="A. Nonymous")
    two.train([sample[:20], sample[20:60]], max_epochs=2, train_fraction=0.75)
    assert torch.equal(one.network.pixels.weight, two.network.pixels.weight)
    assert (one.meta["n_training"], one.meta["n_validation"]) == (45, 15)
    assert one.meta["author"] == "A. Nonymous"
    assert datetime.fromisoformat(one.meta["date"]).tzinfo is not None
    assert "author" not in two.meta


def test_validation_spectra_need_not_differ(sample):
    """Of ten, one is left to validate; ranges are those of all."""
    model, (train, valid) = _small(), sample[:10].split(0.9, seed=0)
    model.train(sample[:10], max_epochs=2)
    assert model.meta["n_validation"] == 1
    assert (model.labels.minimum == sample[:10].label_space.minimum).all()
    assert (model.labels.maximum == sample[:10].label_space.maximum).all()
    residual = model.predict(valid.labels).flux.value - valid.flux
    assert model.error.bias == pytest.approx(residual[0], abs=1e-6)
    assert np.isfinite(model.error.rest).all()
    labels = valid.labels.copy()
    labels["feh"] = np.nan
    with pytest.raises(ValueError, match="missing or not finite: feh; take all such out"):
        model.train(train, valid.replace(labels=labels))


def test_flux_that_cannot_be_learnt_is_refused(sample):
    grid = sample[:40]
    masked = np.ma.MaskedArray(grid.flux, mask=False)
    masked[3, 7] = masked[5, 8] = np.ma.masked
    with pytest.raises(ValueError, match="of 2 of 36 spectra is not finite everywhere or masked"):
        _small().train(grid.replace(flux=masked), seed=1)
    with pytest.raises(ValueError, match=r"flux of the grid is in erg / .* plain numbers"):
        _small().train(grid.replace(flux=grid.flux * u.erg / u.s))
    with (
        pytest.raises(ValueError, match="normalize the spectra"),
        pytest.warns(AstropyUserWarning, match="not about one"),
    ):
        PayneModel((8,), output="sigmoid").train(grid.replace(flux=1e5 * grid.flux))


def test_flux_may_be_in_percent_and_in_any_order_of_bytes(sample):
    plain, swapped, percent = _small(), _small(), _small()
    grid = sample[:40]
    plain.train(grid, max_epochs=2)
    swapped.train(grid.replace(flux=(grid.flux * u.one).astype(">f4")), max_epochs=2)
    assert torch.equal(plain.network.pixels.weight, swapped.network.pixels.weight)
    percent.train(grid.replace(flux=100 * grid.flux * u.percent), max_epochs=2)
    rms = plain.meta["validation_rms"]
    assert percent.meta["validation_rms"] == pytest.approx(rms, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.nan, "has labels that are missing or not finite: logg; take all such out"),
        (-9999, "has impossible labels: logg = -9999; take all such out"),
        (4.0, r"'logg' ranges from 4.0 to 4.0: .* del labels\['logg'\]"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(sample, value, match):
    rows = slice(None) if value == 4.0 else slice(3, 4)
    labels = sample.labels[:20].copy()
    labels["logg"][rows] = value
    with pytest.raises(ValueError, match=match):
        PayneModel().train(sample[:20].replace(labels=labels), max_epochs=1)


def test_training_resumes_from_the_model(sample, tmp_path):
    path = tmp_path / "run.npz"
    whole, cut = _small(), _small()
    options = {"max_epochs": 40, "check_interval": 7, "batch_size": 16, "checkpoint_interval": 0}
    whole.train(sample[:60], **options)
    with pytest.raises(ValueError, match="resume=True needs checkpoint="):
        cut.train(sample[:60], **options, resume=True)
    for _ in range(2):  # begins anew first, has nothing left to do then
        cut.train(sample[:60], **options, checkpoint=path, resume=True)
        assert torch.equal(whole.network.pixels.weight, cut.network.pixels.weight)
        assert whole.meta["validation_rms"] == cut.meta["validation_rms"]


@pytest.mark.parametrize("what", [KeyboardInterrupt, "not finite"])
def test_the_best_network_is_kept(sample, monkeypatch, what):
    true, calls = torch.nn.functional.mse_loss, []

    def loss(flux, y):
        calls.append(1)
        if len(calls) == 30 and what is KeyboardInterrupt:
            raise KeyboardInterrupt
        return true(flux, y) * (torch.nan if len(calls) >= 30 else 1)

    monkeypatch.setattr(torch.nn.functional, "mse_loss", loss)
    model, options = _small(), {"batch_size": 16, "check_interval": 5, "max_epochs": 50}
    if what is KeyboardInterrupt:
        with pytest.warns(
            AstropyUserWarning, match="interrupted after step 25; the model is"
        ) as caught:
            model.train(sample[:60], **options)
        assert caught[0].filename == __file__  # it points at the line that called
    else:
        with pytest.raises(FloatingPointError, match="not finite any more after step 25; the mod"):
            model.train(sample[:60], **options)
    assert model.history["valid_rms"].min() == pytest.approx(model.meta["validation_rms"], rel=1e-5)
    assert np.isfinite(model(**SUN).flux).all()


def test_grids_that_do_not_go_together_are_refused(sample):
    model = PayneModel(hidden_layers=(8,), components=4)
    with pytest.raises(ValueError, match="must be the same"):
        model.train(sample[:30], sample[30:40].transform_labels("Li_Fe"))
    for grid in ("grid.asdf", [sample[:30], "grid.asdf"]):
        with pytest.raises(TypeError, match=r"got 'grid.asdf', a str: SpectralGrid.read reads"):
            model.train(grid)
    with pytest.raises(ValueError, match=r"'max_epoch' is not one of .*; did .* 'max_epochs'"):
        model.train(sample[:30], max_epoch=3)
    with pytest.raises(ValueError, match="did you mean 'train_fraction'"):
        model.train(sample[:30], train_fracton=0.5)
    with pytest.raises(u.UnitConversionError, match="max_time is in s"):
        model.train(sample[:30], max_time=3 * u.K)


def test_a_file_gives_the_model_back(model, tmp_path):
    path = tmp_path / "model.asdf"
    with np.errstate(all="raise"):  # as some pipelines have it
        model.write(path)
    again = PayneModel.read(path)
    assert np.array_equal(again(**SUN).flux, model(**SUN).flux)
    assert repr(again) == repr(model)
    assert again.meta == model.meta
    assert np.array_equal(again.training_labels, model.training_labels)
    for field in fields(EmulatorError):
        one, other = (getattr(m.error, field.name) for m in (again, model))
        assert np.array_equal(one, other), field.name
    assert np.array_equal(again.labels.minimum, model.labels.minimum)
    assert again.history.colnames == model.history.colnames
    assert again.history["time"].unit == u.s
    with pytest.raises(FileExistsError, match="overwrite"):
        model.write(path)
    model.write(path, overwrite=True)


def test_the_file_is_plain(model, tmp_path):
    path = tmp_path / "model.asdf"
    model.write(path)
    with warnings.catch_warnings():  # by anyone, without astropayne
        warnings.simplefilter("ignore", asdf.exceptions.AsdfWarning)
        file = asdf.open(path)
    with file:
        tree = file["PayneModel"]
        assert [label["name"] for label in tree["labels"]][:2] == ["teff", "logg"]
        assert tree["weights"]["pixels.weight"].shape == (3903, 192)
    assert b"pickle" not in path.read_bytes()
    assert pickle.loads(pickle.dumps(model)).labels.names == model.labels.names


def _cut(content):
    return content[: len(content) * 3 // 5]


def _altered(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_cut, _altered])
def test_a_damaged_file_is_recognised(model, tmp_path, damage):
    path = tmp_path / "model.asdf"
    model.write(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model.asdf is damaged"):
        PayneModel.read(path)


def _set_weight(tree):
    tree["weights"]["hidden.1.weight"][3, 4] += 0.01


def _set_nan(tree):
    tree["weights"]["pixels.bias"][7] = np.nan


def _swap_labels(tree):
    tree["labels"] = tree["labels"][:-1]


def _cut_error(tree):
    tree["error"] = tree["error"][:-1]


def _drop_fingerprint(tree):
    del tree["fingerprint"]


def _drop_minimum(tree):
    del tree["labels"][0]["minimum"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set_weight, "does not give the flux of the file's fingerprint"),
        (_set_nan, "weights pixels.bias of the network are not finite"),
        (_swap_labels, "leads from 12 labels to 3903 pixels, but there are 11 labels"),
        (_cut_error, r"rms of the emulator error has shape \(3902,\); the last size must be 3903"),
        (_drop_fingerprint, "part missing: fingerprint. It was altered, or written by another"),
        (_drop_minimum, "part changed: 'minimum'"),
    ],
)
def test_what_was_altered_and_written_again_is_recognised(model, tmp_path, change, match):
    path = tmp_path / "model.asdf"
    model.write(path)
    tree = read_container(path, "PayneModel")
    change(tree)
    _write_without_tag(path, tree)
    with pytest.raises(ValueError, match=match) as error:
        PayneModel.read(path)
    assert "model.asdf" in str(error.value)


def _write_without_tag(path, tree):
    """Write a model's file as it was written before models had a tag and a schema."""
    header = {"kind": "PayneModel", "format_version": 1}
    asdf.AsdfFile({"astropayne": header, "PayneModel": tree}).write_to(path)


def test_a_file_without_a_tag_is_read(model, tmp_path):
    path = tmp_path / "model.asdf"
    model.write(path)
    tree = read_container(path, "PayneModel")
    tree["meta"]["licence"] = "MIT"
    _write_without_tag(path, tree)
    again = PayneModel.read(path)
    assert np.array_equal(again(**SUN).flux, model(**SUN).flux)
    assert again.meta["license"] == "MIT"


def test_a_file_says_what_it_is_and_is_checked_by_its_schema(model, tmp_path):
    path = tmp_path / "model.asdf"
    model.write(path)
    content = path.read_bytes()
    assert b"PayneModel: !<asdf://astropayne.org/tags/PayneModel-1.0.0>" in content
    for old, new in ((b"  fingerprint:", b"  fingerprinX:"), (b"text_checksum", b"text_checksuX")):
        content = content.replace(old, new)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged .* 'fingerprint' is a required property$"):
        PayneModel.read(path)


def test_a_file_of_a_newer_version_is_refused(model, tmp_path, monkeypatch):
    path = tmp_path / "model.asdf"
    with monkeypatch.context() as newer:
        newer.setattr("astropayne.io.container._VERSION", 99)
        model.write(path)
    with pytest.raises(ValueError, match=r"file format 99; .* reads format 1: update"):
        PayneModel.read(path)


def test_a_model_says_where_it_comes_from(sample):
    model, other = _small(), _small()
    about = {"author": "A", "license": "CC-BY-4.0", "citation": "A et al."}
    model.train(sample[:60], max_epochs=2, **about)
    assert {name: model.meta[name] for name in about} == about
    for library in ("astropayne", "torch", "numpy", "astropy", "Python"):
        assert f"{library} " in model.meta["made_by"]
    assert model.meta["training"]["seed"] == 0
    checksum = model.meta["grid_checksum"]
    assert checksum.startswith("sha256:")
    other.train(sample[:60].astype(">f4"), max_epochs=1)
    assert other.meta["grid_checksum"] == checksum
    other.train(sample[:61], max_epochs=1)
    assert other.meta["grid_checksum"] != checksum


@pytest.mark.filterwarnings("ignore::astropayne.labels.space.LabelRangeWarning")
def test_errors_of_the_network_are_known(sample):
    model, (train, valid) = _small(), sample.split(0.5, seed=1)
    model.train(train, valid, max_epochs=20)
    residual = model.predict(valid.labels).flux.value - valid.flux
    assert model.error.rms == pytest.approx(np.sqrt(np.mean(residual**2, axis=0)), rel=1e-4)
    assert model.error.bias == pytest.approx(np.mean(residual, axis=0), abs=1e-6)
    assert len(model.error.components) == 32
    values = model.labels.to_array(valid.labels)
    scale = model.error_scale_at(values)
    assert np.mean(scale**2) == pytest.approx(1)
    # what they share and what looks like changes of labels are most of how errors go together
    x = torch.as_tensor(model.labels.scale(values), dtype=torch.float32)
    jacobian = model.network.flux_and_jacobian(x)[1].detach().numpy()
    rows = np.linalg.cholesky(model.error.shift).T @ jacobian
    rows = rows.reshape(-1, rows.shape[-1]) / len(residual) ** 0.5
    by_labels = rows.T @ rows
    raw, scale = residual, scale[:, None]
    residual = (residual - model.error.bias) / scale
    covariance = residual.T @ residual / len(residual)
    shared = model.error.components.T @ model.error.components
    difference = covariance - shared - by_labels
    assert np.linalg.norm(difference) < 0.3 * np.linalg.norm(covariance)
    # components are the best approximation of that rank of what the shifts leave
    before = leading_components(residual, 32), white_rest(residual, 32, model.wavelength.value)
    found = label_shifts(raw / scale, jacobian, np.vstack([before[0], model.error.bias]), before[1])
    left = raw - scale * np.einsum("ni,nip->np", shift_covariance(*found)[1], jacobian)
    left = (left - left.mean(axis=0)) / scale
    values_left = np.linalg.svd(left, compute_uv=False) ** 2 / len(valid)
    difference = left.T @ left / len(left) - shared
    assert np.linalg.norm(difference) == pytest.approx(np.linalg.norm(values_left[32:]), rel=1e-3)
    shift = model.error_shift_at(values[:2])
    error = np.sqrt(np.diagonal(shift, axis1=1, axis2=2)) / (scale[:2] * model.labels.width)
    assert error == pytest.approx(np.sqrt(np.diag(model.error.shift))[None].repeat(2, axis=0))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"wavelength": [5000, 5001, np.nan] * u.AA}, "of pixel 2 is nan: wavelengths must be"),
        ({"wavelength": [5001, 5000, 5002] * u.AA}, r"of pixel 1 is 5000\.0: .* increasing"),
        ({"wavelength": [0, 5000, 5001] * u.AA}, r"of pixel 0 is 0\.0: .* positive"),
        ({"medium": "Vacuum"}, "medium is 'Vacuum'; it can be 'air' or 'vacuum'"),
        ({"resolution": -5}, "resolution is -5; it can be a positive number"),
    ],
)
def test_pixels_of_no_spectrum_are_refused(change, match):
    network = SpectralNetwork(1, 3, (4,))
    parts = {"labels": LabelSpace(["feh"], [-1], [0]), "wavelength": [5000, 5001, 5002] * u.AA}
    PayneModel.from_network(network, **parts)
    with pytest.raises(ValueError, match=match):
        PayneModel.from_network(network, **{**parts, **change})


def test_labels_that_the_training_spectra_had_in_common_are_said_to_be_that():
    parts = {"labels": LabelSpace(["feh"], [-1], [0]), "wavelength": [5000, 5001, 5002] * u.AA}
    meta = {"grid": {"constant_labels": {"vmic": 1.5}}}
    model = PayneModel.from_network(SpectralNetwork(1, 3, (4,)), **parts, meta=meta)
    match = "label 'vturb' was 1.5 in all spectra that the model was trained on"
    with pytest.raises(ValueError, match=match.replace("vturb", "vmic")):
        model(feh=-0.5, vmic=2.0)
    with pytest.raises(ValueError, match=f"fixed: {match}"):
        exact_fit_spectrum(model(feh=-0.5), model, fixed={"vturb": 2.0})
    with pytest.raises(ValueError, match="label 'logg' is not one of feh"):
        model(feh=-0.5, logg=4)


def test_coverage(model, sample):
    _, held_out = sample.split(0.8, seed=42)
    labels = model.labels
    seen = model.coverage(labels.unscale(labels.scale(model.training_labels)))
    assert seen["inside"].all()
    assert seen["distance"] == pytest.approx(0, abs=1e-5)
    fair = model.coverage(held_out.labels)
    assert 1.5 < np.median(fair["distance"]) < 3.5
    assert (fair["distance"] < 8).all()
    # by hand: the nearest spectrum, in units of the typical distance between neighbours
    points = labels.scale(model.training_labels)
    star = labels.scale(labels.to_array(held_out.labels))[:5]
    farthest = np.zeros(5)
    for i, j in itertools.combinations(range(len(labels)), 2):
        plane, mine = points[:, [i, j]], star[:, [i, j]]
        apart = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
        spacing = np.median(np.sort(apart, axis=1)[:, 1])
        nearest = np.linalg.norm(mine[:, None] - plane[None], axis=-1).min(axis=1)
        farthest = np.maximum(farthest, nearest / spacing)
    assert fair["distance"][:5] == pytest.approx(farthest)
    hot_giant = model.coverage({**SUN, "teff": 6400, "logg": 1.8})  # the grid has none
    assert hot_giant["inside"][0]
    assert hot_giant["distance"][0] > 8
    far = model.coverage({**SUN, "teff": [5777, 50000] * u.K})
    assert far["inside"].tolist() == [True, False]
    assert far["distance"][1] > 5
    with pytest.raises(ValueError, match="not finite in some rows: teff"):
        model.coverage({**SUN, "teff": np.nan})
    bare = PayneModel.from_network(model.network, labels, model.wavelength)
    with pytest.raises(ValueError, match="does not know the labels of its training spectra"):
        bare.coverage(SUN)


def test_a_prediction_outside_warns_once(model):
    with pytest.warns(LabelRangeWarning) as caught:
        model.predict({**SUN, "teff": [7500, 9000] * u.K, "logg": 9})
    assert len(caught) == 1


def test_what_is_not_a_model_is_refused(sample, tmp_path):
    text, grid, empty, partial = (
        tmp_path / name for name in ("a.asdf", "b.asdf", "c.asdf", "d.asdf")
    )
    text.write_text("wavelength,flux\n")
    empty.write_text("")
    sample[:2].write(grid)
    _write_without_tag(partial, {"labels": []})
    for path, match in (
        (text, "it is not an ASDF file"),
        (empty, "it is not an ASDF file"),
        (grid, "it is SpectralGrid"),
        (partial, "a part missing: wavelength, wavelength_unit, medium"),
    ):
        with pytest.raises(ValueError, match=match):
            PayneModel.read(path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes.txt is not a model that can be read"):
        PayneModel.read(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        PayneModel.read(tmp_path / "nowhere.asdf")
    with pytest.raises(ValueError, match="format"):
        PayneModel.read(grid, format="hdf7")


def test_metadata_that_cannot_be_stored_are_named(model, tmp_path):
    changed = model.replace(meta={**model.meta, "grid": {"source": tmp_path}})
    with pytest.raises(ValueError, match=r"model.meta\['grid'\] cannot be stored"):
        changed.write(tmp_path / "model.asdf")


@pytest.mark.parametrize(("key", "value"), [("medium", "vacuum"), ("resolution", 15000.0)])
def test_errors_are_measured_on_spectra_of_the_same_kind(model, sample, key, value):
    grid = sample[:3].replace(meta={key: value})
    with pytest.raises(ValueError, match=f"the grid has {key} {value!r}, and the model"):
        model.measure_error(grid)


def test_errors_are_not_measured_on_nothing(model, sample):
    with pytest.raises(ValueError, match="there is no spectrum in <SpectralGrid: 0 spectra"):
        model.measure_error(sample[:0])
    with pytest.raises(TypeError, match=r"a grid is a SpectralGrid .*, got 'x.asdf'"):
        model.measure_error("x.asdf")


# --- a model does not change


def test_a_resolution_that_is_replaced_after_a_fit_counts(model, rng):
    """What is kept for one resolution is not used for another."""
    star = model(**SUN, vsini=5, resolution=15000)
    noise = np.full(len(star.flux), 1e-3)
    star = Spectrum(
        spectral_axis=star.spectral_axis,
        flux=star.flux + rng.normal(0, noise) * u.one,
        uncertainty=StdDevUncertainty(noise),
        mask=star.mask,
    )
    fixed = {"vmac": 0 * u.km / u.s}
    with pytest.warns(AstropyUserWarning, match="smoothed twice"):
        exact_fit_spectrum(star, model.replace(resolution=None), resolution=15000, fixed=fixed)
    unknown = model.replace(resolution=None)
    with pytest.warns(AstropyUserWarning, match="smoothed twice"):
        wrong = exact_fit_spectrum(star, unknown, resolution=15000, fixed=fixed)
    right = exact_fit_spectrum(
        star, unknown.replace(resolution=20000), resolution=15000, fixed=fixed
    )
    assert right.labels["vsini"].value == pytest.approx(5, abs=0.1)
    assert wrong.labels["vsini"].value < 2
    assert right.chi2 < 1.2 * right.dof < wrong.chi2


@pytest.mark.parametrize("name", ["resolution", "error", "meta", "labels", "nonsense"])
def test_attributes_cannot_be_set(model, name):
    for one in (model, PayneModel()):
        with pytest.raises(AttributeError, match=rf"{name}' cannot be set: model.replace\("):
            setattr(one, name, None)
    with pytest.raises(AttributeError, match=r"model\.replace"):
        del model.resolution


def test_replacing_leaves_the_model_as_it_was(model):
    before = model.resolution, model.error, model.meta, model.solar_scale
    other = model.replace(resolution=15000.0, error=None, meta={"a": 1}, solar_scale=None)
    assert (other.resolution, other.error, other.solar_scale) == (15000, None, None)
    assert other.meta == {"a": 1}
    assert before == (model.resolution, model.error, model.meta, model.solar_scale)
    assert np.array_equal(other(**SUN).flux, model(**SUN).flux)
    with pytest.raises(ValueError, match="resolution is -5"):
        model.replace(resolution=-5)
    with pytest.raises(TypeError, match="error must be an EmulatorError or None, got a float"):
        model.replace(error=0.01)
    elsewhere = EmulatorError([5000.0, 5001.0], [0.1, 0.1])
    with pytest.raises(ValueError, match="are not those of the pixels"):
        model.replace(error=elsewhere)
    with pytest.raises(RuntimeError, match="not trained"):
        PayneModel().replace(resolution=15000)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_arrays_and_meta_cannot_be_changed_in_place(model, again):
    for one in (model, again(model)):
        expected = one(**SUN).flux.copy()
        for array in (
            one.wavelength,
            one.training_labels,
            one.labels.minimum,
            one.labels.maximum,
            one.error.rms,
            one.error.components,
            one.error.shift,
        ):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1 * getattr(array, "unit", 1)
        for meta in (one.meta, one.meta["grid"]):
            with pytest.raises(TypeError, match=r"model.replace\(meta=\{\*\*model.meta"):
                meta["note"] = 1
            with pytest.raises(TypeError, match=r"model.replace\(meta="):
                meta.update(note=1)
        one.vacuum_wavelength[:] = 0  # copies
        one.history["valid_rms"][:] = 0
        with torch.no_grad():
            one.network.pixels.bias[:] = 0
        assert (one.vacuum_wavelength > 0).all()
        assert (one.history["valid_rms"] > 0).all()
        assert np.array_equal(one(**SUN).flux, expected)
        assert json.loads(json.dumps(one.meta["training"]))["seed"] == 1


def test_training_again_changes_the_model_that_was_made(sample):
    model = _small()
    model.train(sample[:40], max_epochs=1)
    before = model(**SUN, vsini=5).flux.value  # what is kept is of the first network
    history = model.train(sample[:60], max_epochs=2, options=TrainingOptions(seed=4))
    assert (model.meta["training"]["seed"], model.meta["n_training"]) == (4, 54)
    assert history.colnames == model.history.colnames
    assert not np.allclose(model(**SUN, vsini=5).flux.value, before, equal_nan=True)
    with pytest.raises(TypeError, match=r"options of PayneModel\.train must be a TrainingOptions"):
        model.train(sample[:40], options={"seed": 4})


def test_an_unknown_label_with_a_unit_is_unknown(model):
    with pytest.raises(ValueError, match=r"label 'tef' is not one of .*; did you mean 'teff'"):
        model(tef=5700 * u.K, logg=4.4, feh=0, vmic=1)


def test_metadata_that_cannot_be_stored_are_refused_before_training(sample, monkeypatch, tmp_path):
    monkeypatch.setattr("astropayne.models.training.train_network", pytest.fail)
    grid = sample[:20].replace(meta={"source": object()})
    with pytest.raises(ValueError, match=r"grid.meta\['source'\] cannot be stored"):
        _small().train(grid, max_epochs=1)
    with pytest.raises(ValueError, match=r"PayneModel.train\['author'\] cannot be stored"):
        _small().train(sample[:20], max_epochs=1, author=object())


def test_metadata_of_other_types_are_converted(sample, tmp_path):
    meta = {
        "checked": np.bool_(True), "date": date(2026, 11, 30), "at": np.datetime64("2026-11-30"),
        "factor": np.float32(0.5), "none": np.ma.masked,
        "where": {"n": np.int64(3), "when": [date(2026, 1, 2)]},
    }  # fmt: skip
    grid = sample[:20].replace(meta=meta)
    model = _small()
    model.train(grid, max_epochs=1)
    model.write(tmp_path / "model.asdf")
    for one in (model, PayneModel.read(tmp_path / "model.asdf")):
        found = one.meta["grid"]
        assert found["checked"] is True
        assert (found["date"], found["at"], found["factor"]) == ("2026-11-30", "2026-11-30", 0.5)
        assert found["where"] == {"n": 3, "when": ("2026-01-02",)}
        assert found.get("none") is None
