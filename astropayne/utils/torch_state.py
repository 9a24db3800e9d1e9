# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Devices, threads and gradients of torch, set for a block and restored."""

import contextlib
import os
import threading

import torch

__all__ = ["no_default_device", "one_thread", "pick_device", "without_gradients"]


def pick_device(name="auto"):
    """Return the torch device of that name; "auto" is the best there is.

    Parameters
    ----------
    name : str or torch.device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``. Of several processes that
        ``torchrun`` has started, each gets a GPU of its own by ``"auto"`` and ``"cuda"``.

    Raises
    ------
    ValueError
        If torch knows no such device, or this machine has none.
    """
    if name == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else mps
    if str(name) == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device {str(name)!r} cannot be used here ({str(error).splitlines()[0]}); "
            "'auto' takes the best there is, 'cpu' always works"
        ) from None
    return device


@contextlib.contextmanager
def no_default_device():
    """Let tensors be made on the CPU, if nothing else is said, whatever the caller's default is.

    It is for `torch.set_default_device`: what numpy gives and takes has to be on the CPU.
    """
    # The block itself costs a little at each of torch's functions.
    changed = torch.get_default_device().type != "cpu"
    with torch.device("cpu") if changed else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def without_gradients():
    """Let torch compute numbers alone, whatever the caller's default device is."""
    with torch.no_grad(), no_default_device():
        yield


_LOCK = threading.Lock()
_BLOCKS = {"open": 0, "threads_before": 1}


@contextlib.contextmanager
def one_thread():
    """Let torch work with one thread in a ``with`` block, and as before after it.

    On small matrices, several threads cost more than they bring: little on an idle machine, ten
    times the time on a busy one. The number is torch's, for the whole process. Blocks may overlap,
    in one thread or in several: it is one until the last of them ends.
    """
    with _LOCK:
        if _BLOCKS["open"] == 0:
            _BLOCKS["threads_before"] = torch.get_num_threads()
        _BLOCKS["open"] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            _BLOCKS["open"] -= 1
            if _BLOCKS["open"] == 0:
                torch.set_num_threads(_BLOCKS["threads_before"])
