import astropy.units as u
import numpy as np
import pytest
import torch

from astropayne import PayneModel
from astropayne.labels.space import LabelSpace
from astropayne.models.network_blocks import network_flux
from astropayne.networks.fine_tuning import adapt_labels, adapt_pixels
from astropayne.networks.network import SpectralNetwork


def _rms(model, grid):
    x = model.labels.scale(model.labels.to_array(grid.labels))
    return np.sqrt(np.mean((network_flux(model.network, x) - grid.flux) ** 2))


@pytest.fixture(scope="module")
def parts(sample):
    """Many spectra without lithium's range, few to tune on, and some to judge by."""
    return sample[:200], sample[200:230], sample[230:]


@pytest.fixture(scope="module")
def trained(parts):
    model = PayneModel(hidden_layers=(64, 64), components=32)
    blue = parts[0].cut(_region(5150, 5250))
    model.train(blue, max_epochs=250, batch_size=32, seed=2)
    return model


def _region(low, high):
    from specutils import SpectralRegion

    return SpectralRegion(low * u.AA, high * u.AA)


OPTIONS = {"max_epochs": 60, "batch_size": 10, "train_fraction": 0.8, "learning_rate": 1e-3}


def test_other_ranges_and_more_labels_change_nothing(rng):
    old = LabelSpace(["teff", "feh"], [4000, -2], [7000, 0.5])
    new = LabelSpace(["feh", "Mg_Fe", "teff"], [-1, -0.4, 5000], [0, 0.6, 6000])
    values = rng.uniform(new.minimum, new.maximum, (7, 3))
    for hidden in ((6, 5), ()):
        network = SpectralNetwork(2, 20, hidden)
        adapted = adapt_labels(network, old, new)
        found = adapted(torch.as_tensor(new.scale(values), dtype=torch.float32))
        expected = network(torch.as_tensor(old.scale(values[:, [2, 0]]), dtype=torch.float32))
        assert found.detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)
        assert adapted.architecture == {**network.architecture, "n_labels": 3}
    with pytest.raises(ValueError, match="labels that the grid lacks: Mg_Fe"):
        adapt_labels(adapted, new, old)


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_other_wavelengths_are_interpolated_or_fitted(rng, output):
    torch.manual_seed(3)
    network = SpectralNetwork(2, 60, (8,), output=output, components=4)
    old = np.concatenate([np.arange(5000, 5003, 0.1), np.arange(5100, 5103, 0.1)])
    x = rng.uniform(-0.5, 0.5, (40, 2)).astype(np.float32)
    with torch.no_grad():
        between = network(torch.as_tensor(x)).numpy()
    new = np.concatenate([old[3:20], [5050.0, 5200.0]])
    # what is not covered: a spectrum that the features can make, and one that does not vary
    flux = np.column_stack([between[:, 3:20], between[:, 40], np.full(40, 0.7)])
    state = torch.get_rng_state()
    adapted = adapt_pixels(network, old, new, x, flux)
    assert torch.equal(state, torch.get_rng_state())
    with torch.no_grad():
        found = adapted(torch.as_tensor(x)).numpy()
    assert found == pytest.approx(flux, abs=2e-3)
    assert found[:, :17] == pytest.approx(flux[:, :17], abs=1e-6)
    half = adapt_pixels(network, old, 0.5 * (old[3:20] + old[4:21]), x, None)
    assert half.pixels.weight.detach().numpy() == pytest.approx(
        0.5 * (network.pixels.weight[3:20] + network.pixels.weight[4:21]).detach().numpy(), abs=1e-6
    )


def test_few_spectra_are_enough_for_a_trained_model(parts, trained):
    # another code's lines, a tenth shallower: the trained model is wrong, but not by much
    _, few, judge = (part.cut(_region(5150, 5250)) for part in parts)
    few, judge = (part.replace(flux=1 - 0.9 * (1 - part.flux)) for part in (few, judge))
    tuned, new = PayneModel(), PayneModel(hidden_layers=(64, 64), components=32)
    tuned.train(few, start=trained, **OPTIONS)
    new.train(few, **OPTIONS)
    assert len(tuned.history) == len(new.history)  # the same steps
    assert _rms(tuned, judge) < 0.6 * min(_rms(new, judge), _rms(trained, judge))
    assert tuned.labels.maximum[0] <= few.labels["teff"].max().value
    assert tuned.meta["started_from"]["n_training"] == 180
    assert repr(tuned).startswith("<PayneModel: 2 x 16 x (64 x 64 into 32 components)")


def test_other_wavelengths_gain_too(parts, trained):
    _, few, judge = parts  # with two windows more
    tuned, new = PayneModel(), PayneModel(hidden_layers=(64, 64), components=32)
    tuned.train(few, start=trained, **OPTIONS)
    new.train(few, **OPTIONS)
    assert _rms(tuned, judge) < 0.85 * _rms(new, judge)


def test_labels_are_added(parts, sample):
    many, few, _ = parts
    without = many.replace(labels=many.labels["teff", "logg", "feh", "vmic", "Mg_Fe"])
    model = PayneModel(hidden_layers=(32,), components=16)
    model.train(without, max_epochs=60, batch_size=32)
    tuned, new = PayneModel(), PayneModel(hidden_layers=(32,), components=16)
    tuned.train(few, start=model, **OPTIONS)
    assert tuned.labels.names == sample.label_space.names
    new.train(few, **OPTIONS)
    assert tuned.meta["validation_rms"] < new.meta["validation_rms"]
    with pytest.raises(ValueError, match="labels that the grid lacks: Ca_Fe, Ti_Fe"):
        PayneModel().train(without, start=PayneModel.sample())
    with pytest.raises(RuntimeError, match="not trained yet"):
        PayneModel().train(few, start=PayneModel())
    with pytest.raises(TypeError, match=r"start must be a PayneModel, got 'fgk.asdf'"):
        PayneModel().train(few, start="fgk.asdf")
