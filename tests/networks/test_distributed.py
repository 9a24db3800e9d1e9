import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import distributed

import astropayne
from astropayne import PayneModel, SpectralGrid
from astropayne.networks.distributed import workers
from astropayne.networks.feed import available_memory

# Twenty-five in a batch: one process takes thirteen, the other twelve.
OPTIONS = {"max_epochs": 6, "batch_size": 25, "check_interval": 10, "seed": 3}


def _run_two(folder, code):
    """Run code in two processes, as torchrun does; return their exit codes and messages."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    environment |= {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}  # what torchrun sets
    path = f"import sys; sys.path.insert(0, {str(Path(astropayne.__file__).parents[1])!r})\n"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", path + dedent(code)],
            cwd=folder,
            env={**environment, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    return [run.returncode for run in runs], errors


@pytest.mark.skipif(not distributed.is_available(), reason="torch is built without it")
@pytest.mark.parametrize("limit", [{}, pytest.param({"max_time": 1000.0}, marks=pytest.mark.slow)])
def test_two_processes_give_the_model_of_one(sample, tmp_path, limit):
    options = {**OPTIONS, **limit}
    # One has less memory than the other, and a GPU that gives components other signs.
    code = f"""
        import os
        from astropayne import PayneModel, SpectralGrid
        from astropayne.networks import objectives
        from torch import distributed
        grid = SpectralGrid.read("grid.asdf")
        model = PayneModel(hidden_layers=(32, 32), components=16)
        path, memory = "run.npz", 1e9
        if os.environ["RANK"] == "1":
            memory, components = 1e6, objectives.principal_components
            def negative(*args):
                basis, mean = components(*args)
                return -basis, mean
            objectives.principal_components = negative
        model.train(
            grid, checkpoint=path, progress=True, device="cpu", memory=memory, **{options}
        )
        assert not distributed.is_initialized()
        model.write(os.environ["RANK"] + ".asdf")
    """
    sample[:200].write(tmp_path / "grid.asdf")
    codes, errors = _run_two(tmp_path, code)
    assert codes == [0, 0], errors
    assert "training 100%" in errors[0]
    assert "training" not in errors[1]  # one bar is enough
    assert (tmp_path / "run.npz").exists()
    alone = PayneModel(hidden_layers=(32, 32), components=16)
    grid = SpectralGrid.read(tmp_path / "grid.asdf")
    alone.train(grid, device="cpu", memory=1e6, **options)
    first, second = (PayneModel.read(tmp_path / f"{rank}.asdf") for rank in "01")
    for name, value in alone.network.state_dict().items():
        assert torch.equal(first.network.state_dict()[name], second.network.state_dict()[name])
        assert torch.allclose(first.network.state_dict()[name], value, atol=2e-4), name
    for name in ("train_rms", "valid_rms"):
        assert first.history[name] == pytest.approx(alone.history[name], rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not distributed.is_available(), reason="torch is built without it")
def test_processes_that_have_not_the_same_are_refused(sample, tmp_path):
    """As where only one machine has the checkpoint: the other would begin anew."""
    options = {**OPTIONS, "max_epochs": 2, "checkpoint": tmp_path / "0.npz", "device": "cpu"}
    PayneModel(hidden_layers=(16,), components=8).train(sample[:100], **options)
    code = f"""
        import os
        from astropayne import PayneModel, SpectralGrid
        grid = SpectralGrid.sample().transform_labels("A_Li")[:100]
        PayneModel(hidden_layers=(16,), components=8).train(
            grid, checkpoint=os.environ["RANK"] + ".npz", resume=True, device="cpu",
            **{ {**OPTIONS, "max_epochs": 2} }
        )
    """
    codes, errors = _run_two(tmp_path, code)
    assert codes == [1, 1]
    assert all("or only some of them have a checkpoint: they need" in error for error in errors)


def test_processes_on_one_machine_share_its_memory(monkeypatch):
    alone = available_memory(torch.device("cpu"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_memory(torch.device("cpu")) == alone // 4


def test_alone_there_is_nothing_to_exchange():
    network = torch.nn.Linear(2, 3)
    with workers(torch.device("cpu")) as processes:
        assert (processes.rank, processes.size, processes.part) == (0, 1, slice(0, None, 1))
        assert processes.parallel(network) is network
        same = processes.sum, processes.first_value, processes.minimum
        assert [exchange(1.5, None) for exchange in same] == [1.5] * 3
        assert processes.is_shared(1.5, None)
    assert not (distributed.is_available() and distributed.is_initialized())
