from itertools import pairwise

import astropy.units as u
import numpy as np
import pytest
import torch

from astropayne import PayneModel

NAMES = ["teff", "logg", "feh", "vmic", "A_Li", "Mg_Fe"]


def _weights(rng, sizes, gain=1.7):
    content = {}
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        content[f"w_array_{i}"] = rng.normal(0, gain / np.sqrt(n_in), (n_out, n_in))
        content[f"b_array_{i}"] = rng.normal(0, 0.3, n_out)
    return {name: value.astype(np.float32) for name, value in content.items()}


def by_hand(content, labels):
    """Plain float64 numpy, after the programs' own conventions."""
    c = {
        name: np.asarray(value, dtype=float)
        for name, value in content.items()
        if name[:2] in ("w_", "b_", "x_")
    }
    n = sum(name.startswith("w_") for name in c)
    z = (labels - c["x_min"]) / (c["x_max"] - c["x_min"]) - 0.5
    for i in range(n - 1):
        z = z @ c[f"w_array_{i}"].T + c[f"b_array_{i}"]
        z = z / (1 + np.exp(-z)) if n == 4 else np.where(z > 0, z, 0.01 * z)
    z = z @ c[f"w_array_{n - 1}"].T + c[f"b_array_{n - 1}"]
    return 1 / (1 + np.exp(-z)) if n == 4 else z


@pytest.fixture
def one_payne(rng):
    """The content of a file as one_payne writes it."""
    return {
        **_weights(rng, [6, 256, 300, 256, 500]),
        "x_min": np.array([4.5, 1.0, -2.5, 0.5, 0.0, -0.4]),
        "x_max": np.array([7.0, 5.0, 0.5, 2.5, 3.5, 0.8]),
        "wavelength": np.linspace(5000, 5025, 500),
        "label_names": np.array(NAMES),
        "model_architecture": "Linear-SiLU-Linear-SiLU-Linear-SiLU-Linear-Sigmoid",
        "author": "storm",
        "date": "2025-08-01 11:57:03",
        "data_file_path": ["a.npz"],
        "base_lr": 1e-3,
        "amp": True,
        "patience": 10,
    }


@pytest.fixture
def the_payne(rng):
    """The content of a file as The_Payne writes it: no names, no wavelengths."""
    low = np.array([4000, 0.5, 0.1, *[-1.5] * 20, 1.0, 2.0])
    return {
        **_weights(rng, [25, 300, 300, 7214], gain=1.0),
        "x_min": low,
        "x_max": low + np.array([3000, 4, 3, *[2] * 20, 90, 10]),
    }


def _saved(path, content):
    np.savez(path, **content)
    return path


def _random(content, rng, n=7):
    return rng.uniform(content["x_min"], content["x_max"], (n, len(content["x_min"])))


def test_one_payne_is_what_numpy_says(one_payne, rng, tmp_path):
    model = PayneModel.read(_saved(tmp_path / "net.npz", one_payne), format="one_payne")
    assert model.labels.names == tuple(NAMES)
    assert model.labels.minimum[0] == 4500
    assert (model.medium, model.resolution) == ("air", None)
    assert model.meta["author"] == "storm"
    assert model.meta["patience"] == 10
    values = _random(one_payne, rng)
    expected = by_hand(one_payne, values)
    values[:, 0] *= 1000  # kilokelvin is the file's affair
    flux = model.predict(values).flux.value
    assert np.ptp(expected) > 0.5
    assert np.abs(flux - expected).max() < 1e-6
    table = model.labels.to_table(values)
    table["teff"] = table["teff"].to(u.kK)
    assert np.array_equal(PayneModel.read(tmp_path / "net.npz").predict(table).flux.value, flux)
    broad = model.predict(values, vsini=10, rv=3)  # whatever its resolution is
    assert np.nanstd(broad.flux.value) > 0


def test_teff_of_one_payne_may_be_in_kelvin(one_payne, tmp_path):
    for name in ("x_min", "x_max"):
        one_payne[name] = one_payne[name] * np.array([1000, 1, 1, 1, 1, 1])
    model = PayneModel.read(_saved(tmp_path / "net.npz", one_payne), format="one_payne")
    assert (model.labels.minimum[0], model.labels.maximum[0]) == (4500, 7000)


def test_the_payne_is_what_numpy_says(the_payne, rng, tmp_path):
    model = PayneModel.read(_saved(tmp_path / "net.npz", the_payne), format="the_payne")
    assert model.labels.names[:4] == ("teff", "logg", "vmic", "C_H")
    assert model.labels.names[18] == "feh"
    assert model.medium == "vacuum"
    # the ends of the three detectors, as in its own apogee_wavelength.npz
    assert model.wavelength.value[[0, 2919, 2920, 5319, 5320, -1]] == pytest.approx(
        [15168.1285, 15792.3223, 15881.3713, 16416.5540, 16499.5462, 16936.7470], abs=1e-4
    )
    values = _random(the_payne, rng)
    flux = model.predict(values).flux.value
    assert np.abs(flux - by_hand(the_payne, values)).max() < 1e-6


def test_what_a_file_does_not_say_is_given(the_payne, tmp_path):
    small = {name: value for name, value in the_payne.items() if name[:2] != "x_"}
    small |= {"x_min": np.zeros(3), "x_max": np.ones(3), "w_array_0": the_payne["w_array_0"][:, :3]}
    small["w_array_2"], small["b_array_2"] = small["w_array_2"][:10], small["b_array_2"][:10]
    path = _saved(tmp_path / "net.npz", small)
    given = {"labels": ["Teff", "logg", "[Fe/H]"], "wavelength": np.linspace(500, 501, 10) * u.nm}
    model = PayneModel.read(path, format="the_payne", **given, medium="air", resolution=20000)
    assert model.labels.names == ("teff", "logg", "feh")
    assert model.wavelength[-1].value == pytest.approx(5010)
    assert (model.medium, model.resolution) == ("air", 20000)
    with pytest.raises(ValueError, match="25 names for 3 labels; give labels="):
        PayneModel.read(path, format="the_payne", wavelength=given["wavelength"])
    with pytest.raises(ValueError, match="7214 wavelengths for 10 pixels; give wavelength="):
        PayneModel.read(path, format="the_payne", labels=given["labels"])


def _without(*names):
    return lambda content: {k: v for k, v in content.items() if k not in names}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda c: c | {"model_architecture": "Linear-GELU-Linear-Sigmoid"},
            "has the architecture",
        ),
        (_without("model_architecture"), "contains no architecture; only .* give arch"),
        (_without("w_array_3", "b_array_3"), "4 layers .* needs the arrays"),
        (lambda c: c | {"w_array_4": c["w_array_3"]}, "needs the arrays"),
        (lambda c: c | {"w_array_1": c["w_array_1"].T}, "layer 1 has weights of shape"),
        (lambda c: c | {"w_array_1": np.full_like(c["w_array_1"], np.nan)}, "layer 1 are not fin"),
        (lambda c: c | {"label_names": c["label_names"][1:]}, "5 names for 6 labels"),
        (lambda c: c | {"x_max": c["x_min"]}, "'teff' ranges from 4.5 to 4.5"),
        (_without("wavelength"), "no wavelengths for 500 pixels"),
        (lambda c: c | {"wavelength": c["wavelength"][::-1]}, "pixel 1 .* increasing"),
        (lambda c: c | {"medium": "Vacuum"}, "medium is 'Vacuum'; it can be 'air' or 'vacuum'"),
        (_without("x_min"), "needs the arrays"),
        (_without("x_max"), "x_max, x_min; there are"),
        (_without("label_names"), "no names for 6 labels"),
        (lambda c: c | {"label_names": np.array(NAMES, dtype=object)}, "cannot be read .* allow_"),
    ],
)
def test_any_other_network_is_refused(one_payne, tmp_path, change, match):
    path = _saved(tmp_path / "net.npz", change(one_payne))
    with pytest.raises(ValueError, match=match) as error:
        PayneModel.read(path, format="one_payne")
    assert "net.npz" in str(error.value)


def test_the_two_formats_are_not_mixed_up(one_payne, the_payne, tmp_path):
    one, the = (_saved(tmp_path / f"{i}.npz", c) for i, c in enumerate((one_payne, the_payne)))
    assert PayneModel.read(one).meta["read_from"] == "one_payne"
    assert PayneModel.read(the).meta["read_from"] == "the_payne"
    with pytest.raises(ValueError, match="has the architecture 'Linear-SiLU"):
        PayneModel.read(one, format="the_payne")
    with pytest.raises(ValueError, match="contains no architecture"):
        PayneModel.read(the, format="one_payne")
    with pytest.raises(ValueError, match="needs the arrays"):
        PayneModel.read(the, format="one_payne", architecture=one_payne["model_architecture"])
    one.write_bytes(one.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"0.npz cannot be read as an .npz"):
        PayneModel.read(one, format="one_payne")


@pytest.mark.parametrize(("members", "parts"), [(1, 1), (2, 1), (1, 3), (2, 3)])
def test_a_trained_model_is_written_for_one_payne(members, parts, sample, tmp_path):
    model = PayneModel((24, 32, 24), "silu", "sigmoid", 16, members, parts)
    model.train(sample, max_epochs=3, batch_size=32)
    path = tmp_path / "net.npz"
    model.write(path, format="one_payne")
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    values = model.labels.to_array(sample.labels[:5])
    kilo = values.copy()
    kilo[:, model.labels.index("teff")] /= 1000
    flux = model.predict(values).flux.value
    assert np.abs(by_hand(content, kilo) - flux).max() < 1e-5
    again = PayneModel.read(path)
    assert again.labels.names == model.labels.names
    assert (again.medium, again.resolution) == (model.medium, model.resolution)
    assert np.array_equal(again.wavelength, model.wavelength)
    assert np.abs(again.predict(values).flux.value - flux).max() < 1e-5
    with pytest.raises(FileExistsError, match="overwrite"):
        model.write(path, format="one_payne")
    model.write(path, format="one_payne", overwrite=True)
    with pytest.raises(ValueError, match=r"3 x silu . sigmoid, but the_payne evaluates 2 x leaky"):
        model.write(tmp_path / "other.npz", format="the_payne")
    assert not (tmp_path / "other.npz").exists()
    with pytest.raises(ValueError, match="not trained"):
        PayneModel().write(tmp_path / "other.npz", format="one_payne")


def test_what_is_read_is_written_again(one_payne, the_payne, tmp_path):
    state = torch.get_rng_state()
    for format, content in (("one_payne", one_payne), ("the_payne", the_payne)):
        first, second = tmp_path / f"{format}.npz", tmp_path / f"{format}_again.npz"
        PayneModel.read(_saved(first, content), format=format).write(second, format=format)
        with np.load(second) as file:
            for name, value in content.items():
                if name[:2] in ("w_", "b_", "x_"):
                    assert file[name] == pytest.approx(value, rel=1e-12), name
        PayneModel.read(second, format=format).write(tmp_path / f"{format}.asdf")
        asdf = PayneModel.read(tmp_path / f"{format}.asdf")
        assert asdf.labels.names == PayneModel.read(first).labels.names
    assert torch.equal(state, torch.get_rng_state())
