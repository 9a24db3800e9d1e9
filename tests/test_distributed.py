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
from astropayne import PayneModel
from astropayne.distributed import workers

# Twenty-five in a batch: one process takes thirteen, the other twelve.
OPTIONS = {"max_epochs": 6, "batch_size": 25, "check_interval": 10, "seed": 3}


@pytest.mark.skipif(not distributed.is_available(), reason="torch is built without it")
@pytest.mark.parametrize("limit", [{}, pytest.param({"max_time": 1000.0}, marks=pytest.mark.slow)])
def test_two_processes_give_the_model_of_one(sample, tmp_path, limit):
    options = {**OPTIONS, **limit}
    code = f"""
        import os, sys, warnings
        sys.path.insert(0, {str(Path(astropayne.__file__).parents[1])!r})
        from astropayne import PayneModel, SpectralGrid
        from torch import distributed
        grid = SpectralGrid.sample().transform_labels("A_Li")
        model = PayneModel(hidden_layers=(32, 32), components=16)
        path = "run.npz"
        model.train(grid[:200], checkpoint=path, progress=True, device="cpu", **{options})
        assert not distributed.is_initialized()
        model.write(os.environ["RANK"] + ".asdf")
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    environment |= {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}  # what torchrun sets
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", dedent(code)],
            cwd=tmp_path,
            env={**environment, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    assert "training 100%" in errors[0]
    assert "training" not in errors[1]  # one bar is enough
    assert (tmp_path / "run.npz").exists()
    alone = PayneModel(hidden_layers=(32, 32), components=16)
    alone.train(sample[:200], device="cpu", **options)
    first, second = (PayneModel.read(tmp_path / f"{rank}.asdf") for rank in "01")
    for name, value in alone.network.state_dict().items():
        assert torch.equal(first.network.state_dict()[name], second.network.state_dict()[name])
        assert torch.allclose(first.network.state_dict()[name], value, atol=2e-4), name
    for name in ("train_rms", "valid_rms"):
        assert first.history[name] == pytest.approx(alone.history[name], rel=1e-3)


def test_alone_there_is_nothing_to_exchange():
    network = torch.nn.Linear(2, 3)
    with workers(torch.device("cpu")) as crew:
        assert (crew.rank, crew.size, crew.part) == (0, 1, slice(0, None, 1))
        assert crew.parallel(network) is network
        assert crew.sum(1.5, None) == crew.agree(1.5, None) == 1.5
    assert not (distributed.is_available() and distributed.is_initialized())
