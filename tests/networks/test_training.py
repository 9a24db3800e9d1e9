import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from astropy.utils.exceptions import AstropyUserWarning

import astropayne
from astropayne.networks.feed import SpectraFeed
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.objectives import initialize, principal_components
from astropayne.networks.options import TrainingOptions
from astropayne.networks.training import rms_error, train_network
from astropayne.networks.training_state import read_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    """Spectra of three lines whose depths are smooth functions of two labels."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-0.5, 0.5, (200, 2))
    pixel = np.arange(80)
    depth = np.stack([0.4 + 0.3 * x[:, 0], 0.3 + 0.4 * x[:, 1] ** 2, 0.2 - 0.3 * x.prod(1)], 1)
    profile = np.exp(-0.5 * ((pixel - np.array([[15], [40], [60]])) / 4) ** 2)
    return x, 1 - depth @ profile


def _train(
    data, components=8, checkpoint=None, resume=None, progress=False, parts=1, activation="silu",
    **options,
):  # fmt: skip
    x, y = data
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SpectralNetwork(2, 80, (24, 24), activation, components=components, parts=parts)
    options = TrainingOptions(batch_size=32, check_interval=20, checkpoint_interval=0, **options)
    files = {"checkpoint": checkpoint, "resume": resume}
    run = train_network(
        network, x[:150], y[:150], x[150:], y[150:], options, CPU, progress, **files
    )
    return network, run.rows


@pytest.mark.parametrize(("components", "parts"), [(None, 1), (8, 1), (8, 3)])
def test_training_learns(data, components, parts):
    network, rows = _train(data, components, parts=parts, max_epochs=800)
    x, y = (torch.as_tensor(a[150:], dtype=torch.float32) for a in data)
    found = rms_error(network, SpectraFeed(x, y.numpy(), CPU, 1e9))
    assert found < 0.05 * (y - y.mean(0)).std()
    assert found == pytest.approx(min(row[-1] for row in rows), rel=1e-5)
    residual = network(x).detach().numpy() - y.numpy()
    assert found == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-5)


def test_parts_forget_labels_that_do_not_matter_there(data):
    def weights(**options):  # of a label in each of four parts
        network, _ = _train(data, parts=4, max_epochs=400, learning_rate=5e-3, **options)
        return torch.linalg.vector_norm(network.hidden[0].weight.detach(), dim=1)

    # the first quarter of the pixels has the first line alone, which only the first label changes
    first, second = weights(label_decay=0.0)[0]
    assert second > 0.8 * first
    first, second = weights(label_decay=1.0)[0]
    assert second < 0.5 * first


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_parts_begin_as_parts_of_the_basis(data, output):
    """What their components say of a spectrum, put together, is the spectrum."""
    network = SpectralNetwork(2, 80, (8,), output=output, components=12, members=2, parts=3)
    flux = torch.as_tensor(data[1], dtype=torch.float32)
    bases = initialize(network, flux)
    assert [basis.shape for basis in bases] == [(12, 27), (12, 26), (12, 27)]
    z = torch.logit(flux.clamp(1e-4, 1 - 1e-4)) if output == "sigmoid" else flux
    known = torch.block_diag(*bases)
    coefficients = (z - network.pixels.bias) @ torch.linalg.pinv(known)
    found = network.flux_of(network.assembly(coefficients))
    assert found.detach().numpy() == pytest.approx(data[1], abs=3e-4)


def test_the_rate_rises_and_falls_to_zero(data):
    _, rows = _train(data, max_epochs=100)
    rates = [row[2] for row in rows]
    assert max(rates) == pytest.approx(TrainingOptions().learning_rate, rel=0.2)
    assert rates[-1] < 0.001 * max(rates)


def test_the_same_seed_gives_the_same_network(data):
    one, rows = _train(data, max_epochs=5, seed=3)
    two, again = _train(data, max_epochs=5, seed=3)
    other, _ = _train(data, max_epochs=5, seed=4)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert [row[3:] for row in rows] == [row[3:] for row in again]
    assert not torch.equal(one.pixels.weight, other.pixels.weight)


def test_the_time_limit_holds(data):
    _, rows = _train(data, max_epochs=10**6, max_time=0.5)
    assert rows[-1][1] < 2
    assert rows[-1][2] < 1e-4  # the cosine went all the way


def test_patience_stops_early(data):
    _, rows = _train(data, max_epochs=10**6, max_time=60, patience=1, learning_rate=1e-12)
    assert len(rows) <= 3


def test_a_loss_that_is_not_finite_is_an_error(data):
    with pytest.raises(FloatingPointError, match="learning rate"):
        _train(data, max_epochs=200, learning_rate=1e30)
    x, y = data
    with pytest.raises(ValueError, match="flux of 50 of 50 spectra is not finite"):
        _train((x, np.where(y > 0.99, np.nan, y)), max_epochs=20)


def test_principal_components_span_the_spectra(data):
    flux = torch.as_tensor(data[1])
    basis, mean = principal_components(flux, 3, "linear")  # there are three lines
    solution = torch.linalg.lstsq(basis.T, (flux - mean).T).solution
    assert torch.allclose(basis.T @ solution, (flux - mean).T, atol=1e-10)
    assert solution.std(dim=1).numpy() == pytest.approx(1, abs=0.05)
    basis, _ = principal_components(flux, 300, "sigmoid")  # more than there are spectra
    assert basis.shape == (300, 80)
    assert torch.isfinite(basis).all()


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of 1 or more, got 0"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_epochs": 1.5}, "max_epochs must be a whole number"),
        ({"max_epochs": None}, "max_epochs"),
        ({"patience": 0}, "patience"),
        ({"check_interval": -5}, "check_interval"),
        ({"t_max": 0}, "t_max"),
        ({"learning_rate": 0}, "learning_rate must be a positive number, got 0"),
        ({"learning_rate": np.nan}, "learning_rate"),
        ({"max_time": -1}, "max_time"),
        ({"memory": 0}, "memory"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"batch_size": "64"}, "batch_size must be .*, got '64', a str"),
        ({"max_epochs": np.inf}, "max_epochs must be a whole number of 1 or more, got inf"),
        ({"learning_rate": "1e-3"}, "learning_rate must be .*, got '1e-3', a str"),
        ({"weight_decay": None}, "weight_decay must be .*, got None, a NoneType"),
        ({"weight_decay": -0.1}, "weight_decay must be a number of 0 or more, got -0.1"),
        ({"checkpoint_interval": -1}, "checkpoint_interval"),
        ({"precision": "float16"}, "precision='float16' is not one of float32, bfloat16"),
        ({"compile": "yes"}, "compile must be True or False, got 'yes', a str"),
    ],
)
def test_options_are_checked(option, match):
    with pytest.raises(ValueError, match=match):
        TrainingOptions(**option)
    assert type(TrainingOptions(batch_size=np.int64(3), max_epochs=1e6).max_epochs) is int


def test_options_may_be_numbers_of_numpy(data, tmp_path):
    numbers = {
        "seed": np.int64(3),
        "learning_rate": np.float32(0.01),
        "weight_decay": np.float32(0),
    }
    path = tmp_path / "run.npz"
    _train(data, max_epochs=5, checkpoint=path, **numbers)
    assert _train(data, max_epochs=5, resume=path, **numbers)[1]


def test_flux_of_any_memory_layout_is_learnt_alike(data):
    x, y = data
    expected = _train((x, y.astype(np.float32)), max_epochs=3)[0].pixels.weight
    strange = np.asfortranarray(y.astype(np.float32).astype(">f8"))
    strange.flags.writeable = False
    assert torch.equal(_train((x, strange), max_epochs=3)[0].pixels.weight, expected)


def test_flux_that_a_sigmoid_cannot_give_is_refused(data):
    x, y = data
    with pytest.raises(ValueError, match=r'1e\+06.*output="sigmoid" gives 0 to 1.*="linear"'):
        _train((x, 1e6 * y), max_epochs=3)
    emission = y.copy()
    emission[7, 3] = 3.0  # one line of one star is not absolute flux
    _train((x, emission), max_epochs=3)


def _kill_when_there_is(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it was not done yet


def test_a_killed_run_resumes_to_the_same_network(data, tmp_path):
    code = f"""
        import numpy as np, sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(astropayne.__file__).parents[1])]}
        from test_training import _train
        file = np.load({str(tmp_path / "data.npz")!r})
        _train((file["x"], file["y"]), max_epochs=300, checkpoint="run.npz")
    """
    np.savez(tmp_path / "data.npz", x=data[0], y=data[1])
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(code)], cwd=tmp_path, env={**os.environ, **threads}
    )
    checkpoint = tmp_path / "run.npz"
    _kill_when_there_is(checkpoint, process)
    _, facts = read_checkpoint(checkpoint)
    assert 0 < facts["step"] < 1500
    whole, rows = _train(data, max_epochs=300)
    resumed, again = _train(data, max_epochs=300, checkpoint=checkpoint, resume=checkpoint)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [(row[0], *row[2:]) for row in rows] == [(row[0], *row[2:]) for row in again]
    seconds = [row[1] for row in again]
    assert seconds == sorted(seconds)
    # and a run that is over has nothing to resume
    assert _train(data, max_epochs=300, resume=checkpoint)[1] == again


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    path = tmp_path / "run.npz"
    _train(data, max_epochs=5, checkpoint=path)
    with pytest.raises(ValueError, match=r"with learning_rate=0.01, not 0.001"):
        _train(data, max_epochs=5, resume=path, learning_rate=1e-3)
    with pytest.raises(ValueError, match="on other spectra"):
        _train((data[0] * 0.9, data[1]), max_epochs=5, resume=path)
    with pytest.raises(ValueError, match="another architecture"):
        _train(data, components=7, max_epochs=5, resume=path)
    with pytest.raises(ValueError, match=r"another architecture: .*'silu'"):
        _train(data, max_epochs=5, resume=path, activation="tanh")  # whose weights would do
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nothing"):
        _train(data, resume=tmp_path / "nothing.npz")
    with pytest.raises(FileNotFoundError, match="no folder for the checkpoint"):
        _train(data, checkpoint=tmp_path / "nowhere" / "run.npz")
    with pytest.raises(IsADirectoryError, match="is a folder: give a file, such"):
        _train(data, checkpoint=tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"damaged: it is not a complete"):
        _train(data, max_epochs=5, resume=path)
    np.savez(path, x=1)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        _train(data, max_epochs=5, resume=path)


def test_a_full_disk_does_not_end_training(data, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    _train(data, max_epochs=5, checkpoint=path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    expected, _ = _train(data, max_epochs=10)
    with pytest.warns(AstropyUserWarning, match=r"run.npz could not be written .*No space left"):
        network, _ = _train(data, max_epochs=10, checkpoint=path)
    assert torch.equal(network.pixels.weight, expected.pixels.weight)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


class _Interrupting(SpectralNetwork):
    """Raises KeyboardInterrupt, or stops being finite, in its so-many-th step."""

    def __init__(self, *args, after, what, **options):
        super().__init__(*args, **options)
        self.after, self.what = after, what

    def member_features(self, x):
        if self.training and torch.is_grad_enabled():
            self.after -= 1
            if self.after == 0 and self.what == "interrupted":
                raise KeyboardInterrupt
            if self.after <= 0:
                return super().member_features(x) * torch.nan
        return super().member_features(x)


@pytest.mark.parametrize("what", ["interrupted", "not finite"])
def test_the_best_network_survives(data, what):
    x, y = data
    torch.manual_seed(0)
    network = _Interrupting(2, 80, hidden_layers=(24, 24), after=150, what=what)
    options = TrainingOptions(batch_size=32, check_interval=20, max_epochs=100)
    run = train_network(network, x[:150], y[:150], x[150:], y[150:], options, CPU, progress=False)
    assert run.stopped == what
    assert run.rows[-1][0] == 140
    network.eval()
    found = rms_error(network, SpectraFeed(x[150:], y[150:], CPU, 1e9))
    assert found == pytest.approx(run.best, rel=1e-6)
    early = _Interrupting(2, 80, hidden_layers=(24, 24), after=5, what=what)
    with pytest.raises((KeyboardInterrupt, FloatingPointError)):
        train_network(early, x[:150], y[:150], x[150:], y[150:], options, CPU, progress=False)


def test_the_cosine_of_so_many_steps(data):
    _, rows = _train(data, max_epochs=10**6, t_max=200, learning_rate=1e-3)
    assert rows[-1][0] == 600
    rates = {row[0]: row[2] for row in rows}
    # 0-based steps, as torch's CosineAnnealingLR counts them, behind the warming up
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200, eta_min=1e-7)
    for step in range(1, 201):
        if step >= 100 and step in rates:
            assert rates[step] == pytest.approx(schedule.get_last_lr()[0], rel=1e-6)
        optimiser.step()
        schedule.step()
    assert rates[400] == rates[600] == pytest.approx(1e-7)


def test_half_precision_learns_too(data):
    full, _ = _train(data, max_epochs=100)
    half, rows = _train(data, max_epochs=100, precision="bfloat16")
    assert half.pixels.weight.dtype == torch.float32
    assert not torch.equal(full.pixels.weight, half.pixels.weight)
    assert rows[-1][-1] < 0.1 * data[1].std()


@pytest.mark.parametrize("components", [None, 8])
def test_a_network_that_is_compiled_is_trained_alike(data, components, monkeypatch):
    expected, _ = _train(data, components, max_epochs=5)
    # the graph is made as ever, and run by torch's own kernels: no compiler is needed
    compiled = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiled)
    network, _ = _train(data, components, max_epochs=5, compile=True)
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # it takes a C++ compiler, and that its time
@pytest.mark.filterwarnings("ignore:`torch.jit.*is deprecated:DeprecationWarning")  # torch's own
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_kernels_train_alike(data):
    options = {"components": 8, "parts": 3, "activation": "gelu", "max_epochs": 5}
    expected, _ = _train(data, **options)
    network, _ = _train(data, compile=True, **options)
    for name, weight in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], weight, rtol=1e-3, atol=1e-4)


def test_callers_state_of_torch_does_not_matter_and_stays(data):
    expected, _ = _train(data, max_epochs=5)
    state = torch.get_rng_state()
    with torch.no_grad():
        network, _ = _train(data, max_epochs=5)
        assert not torch.is_grad_enabled()
    assert torch.equal(network.pixels.weight, expected.pixels.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_bar_shows_loss_rate_and_time(data, capsys):
    _train(data, max_epochs=100, progress=True)
    shown = capsys.readouterr().err
    assert "training 100%" in shown
    assert "valid; rate" in shown
    assert "left" in shown
