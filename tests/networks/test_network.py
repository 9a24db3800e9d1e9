import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from scipy.special import erf

from astropayne.networks.architecture import ACTIVATIONS, OUTPUTS
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions
from astropayne.networks.training import train_network
from astropayne.utils.torch_state import one_thread, pick_device

NUMPY = {
    "silu": lambda z: z / (1 + np.exp(-z)),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "tanh": np.tanh,
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "linear": lambda z: z,
}


def by_hand(network, x):
    """The same weights, evaluated in plain numpy."""
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def layer(name, x):
        return x @ np.swapaxes(weights[f"{name}.weight"], -1, -2) + weights[f"{name}.bias"]

    for i in range(len(network.hidden)):
        x = NUMPY[network.activation](layer(f"hidden.{i}", x))
    if network.coefficients is not None:
        x = layer("coefficients", x)
        if network.members * network.parts > 1:
            x = np.mean(x.reshape(network.members, network.parts, *x.shape[1:]), axis=0)
            x = np.concatenate(list(x), axis=1)
        if network.parts > 1:
            x = x @ weights["assembly.weight"].T
    return NUMPY[network.output](layer("pixels", x))


@pytest.mark.parametrize(
    ("components", "members", "parts"), [(None, 1, 1), (7, 1, 1), (7, 3, 1), (7, 1, 5), (7, 3, 2)]
)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_network_against_numpy(activation, output, components, members, parts, rng):
    torch.manual_seed(1)
    network = SpectralNetwork(4, 50, (9, 11), activation, output, components, members, parts)
    x = rng.uniform(-0.5, 0.5, (6, 4))
    assert network(torch.as_tensor(x, dtype=torch.float32)).detach().numpy() == pytest.approx(
        by_hand(network, x), abs=1e-6
    )
    network.double()
    flux, jacobian = network.flux_and_jacobian(torch.as_tensor(x))
    assert flux.detach().numpy() == pytest.approx(by_hand(network, x), abs=1e-13)
    for i in range(4):
        step = 1e-6 * np.eye(4)[i]
        number = (by_hand(network, x + step) - by_hand(network, x - step)) / 2e-6
        assert jacobian[:, i].detach().numpy() == pytest.approx(number, abs=1e-7)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_spread_of_members(output, parts, rng):
    torch.manual_seed(1)
    network = SpectralNetwork(4, 50, (9, 11), "gelu", output, 7, 3, parts)
    x = torch.as_tensor(rng.uniform(-0.5, 0.5, (6, 4)), dtype=torch.float32)
    with torch.no_grad():
        members = torch.stack([network.flux_of(z) for z in network.member_features(x)])
        expected = (members - network(x)).square().mean(dim=(0, 2)).sqrt()
        assert network.spread(x).numpy() == pytest.approx(expected.numpy(), rel=1e-5)
        alone = SpectralNetwork(4, 50, (9, 11), "gelu", output, 7, parts=parts)
        assert (alone.spread(x) == 0).all()


@pytest.mark.parametrize("hidden_layers", [(9, 11), ()])
@pytest.mark.parametrize(("components", "members", "parts"), [(None, 1, 1), (7, 1, 1), (7, 3, 2)])
def test_the_architecture_makes_the_network_again(hidden_layers, components, members, parts):
    network = SpectralNetwork(4, 50, hidden_layers, "gelu", "linear", components, members, parts)
    assert network.architecture["n_labels"] == 4
    again = SpectralNetwork(**network.architecture)
    again.load_state_dict(network.state_dict())
    x = torch.ones(1, 4)
    assert torch.equal(again(x), network(x))


@pytest.mark.parametrize(("components", "members", "parts"), [(None, 1, 1), (7, 1, 5), (7, 3, 2)])
def test_no_spectra_are_fine(components, members, parts):
    network = SpectralNetwork(4, 50, (9, 11), "gelu", "linear", components, members, parts)
    none = torch.zeros(0, 4)
    flux, jacobian = network.flux_and_jacobian(none)
    assert network(none).shape == flux.shape == (0, 50)
    assert jacobian.shape == (0, 4, 50)
    assert network.spread(none).shape == (0,)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"activation": "relu6"}, "activation='relu6' is not one of silu"),
        ({"output": "exp"}, "output='exp' is not one of sigmoid, linear"),
        ({"hidden_layers": (0,)}, "at least one neuron"),
        ({"hidden_layers": 64}, r"hidden_layers=64 must be a sequence .* \(64, 64, 64\)"),
        ({"hidden_layers": (64.5,)}, r"hidden_layers=\(64.5,\) must be a sequence of whole"),
        ({"components": 1.5}, "components=1.5 must be a whole number of 1 or more"),
        ({"components": 0}, "components=0 must be"),
        ({"members": 0}, "members=0 must be"),
        ({"members": "two", "components": 4}, "members='two' must be"),
        ({"members": 2}, "members=2: networks side by side need components="),
        ({"parts": 1.5}, "parts=1.5 must be"),
        ({"parts": 2}, "parts=2: networks side by side need components="),
    ],
)
def test_choices_are_checked(options, match):
    with pytest.raises(ValueError, match=match):
        SpectralNetwork(4, 50, **options)


def test_the_network_runs_on_any_device():
    # the meta device has no numbers, so anything made on the CPU on the way would be an error
    network = SpectralNetwork(4, 50, (8, 8), components=5, members=2, parts=3).to("meta")
    flux, jacobian = network.flux_and_jacobian(torch.zeros(3, 4, device="meta"))
    assert flux.device.type == jacobian.device.type == "meta"


def test_devices_by_name():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="'nonsense' cannot be used here"):
        pick_device("nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="'cuda' cannot be used here"):
            pick_device("cuda")


def test_each_process_gets_a_gpu_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *args, device: asked.append(str(device)))
    for name in ("auto", "cuda", "cuda:1", "cpu"):
        pick_device(name)
    monkeypatch.setenv("LOCAL_RANK", "3")
    for name in ("auto", "cuda", "cuda:1", "cpu"):
        pick_device(name)
    assert asked == ["cuda", "cuda", "cuda:1", "cpu", "cuda:3", "cuda:3", "cuda:1", "cpu"]


def test_one_thread_in_several_threads_at_once():
    before, both, left, seen = torch.get_num_threads(), Barrier(2), Barrier(2), []

    def work(leaves_first):
        with one_thread():
            both.wait()
            if not leaves_first:
                left.wait()
            seen.append(torch.get_num_threads())
        if leaves_first:
            left.wait()

    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, [True, False]))
        assert seen == [1, 1]
        assert torch.get_num_threads() == 3
        with one_thread():
            with one_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_weights_of_pixels_lie_as_one_spectrum_reads_them():
    """Also after training, which wants them in torch's order, and in a copy."""
    network = SpectralNetwork(2, 30, (8,), components=4)
    assert network.pixels.weight.stride() == (1, 30)
    network.pixels.lay_out(training=True)
    before = network.pixels.weight.detach().clone()
    x, y = torch.rand(20, 2) - 0.5, torch.rand(20, 30)
    options = TrainingOptions(max_epochs=1, batch_size=10)
    train_network(network, x, y, x, y, options, torch.device("cpu"), False)
    assert not torch.equal(network.pixels.weight, before)
    assert copy.deepcopy(network).double().pixels.weight.stride() == (1, 30)
