# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import pytest
import torch

from astropayne.utils.torch_state import no_default_device, one_thread, pick_device
from astropayne.utils.torch_state import without_gradients as no_gradients


@pytest.fixture
def meta_device():
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_devices_are_picked_by_name(monkeypatch):
    assert pick_device("cpu").type == "cpu"
    assert pick_device().type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="device 'tpu9' cannot be used here"):
        pick_device("tpu9")
    monkeypatch.setenv("LOCAL_RANK", "99")  # as torchrun sets it
    with pytest.raises(ValueError, match="device 'cuda:99' cannot be used here"):
        pick_device("cuda")


def test_tensors_are_on_the_cpu_whatever_the_default_is(meta_device):
    assert torch.ones(1).device.type == "meta"
    with no_default_device():
        assert torch.ones(1).device.type == "cpu"
    with no_gradients():
        assert not (torch.ones(1, requires_grad=True) * 2).requires_grad
    assert torch.ones(1).device.type == "meta"


def test_blocks_of_one_thread_overlap():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread():
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
