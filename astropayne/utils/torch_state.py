# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Devices, threads and gradients of torch: set for a block and restored after it."""

import contextlib
import os
import threading
from collections.abc import Iterator

import torch

_AUTOCAST = ("cpu", "cuda")  # devices whose operations may be in low precision

__all__ = ["no_default_device", "one_thread", "pick_device", "without_gradients"]


def pick_device(name: "str | torch.device" = "auto") -> torch.device:
    """Return a torch device by its name.

    Parameters
    ----------
    name : str or torch.device
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``. Of
        several processes that ``torchrun`` started, each gets a GPU of its own with ``"auto"`` and
        ``"cuda"``.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the device does not exist on this machine.

    Examples
    --------
    >>> from astropayne.utils.torch_state import pick_device
    >>> pick_device("cpu")
    device(type='cpu')
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
            "'auto' selects the best device, 'cpu' always works"
        ) from None
    return device


@contextlib.contextmanager
def no_default_device() -> Iterator[None]:
    """Make the CPU the default device in a ``with`` block, as arrays of numpy require.

    The caller may have changed it with `torch.set_default_device`, and may have entered
    `torch.autocast`, whose low precision is left for the block.
    """
    with contextlib.ExitStack() as stack:
        # A device context slows down every function of torch, so it is entered only if necessary.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Compute on the CPU by default and without gradients in a ``with`` block."""
    with torch.no_grad(), no_default_device():
        yield


_LOCK = threading.Lock()
_BLOCKS = {"open": 0, "threads_before": 1}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread for the operations of torch in a ``with`` block.

    Several threads slow down operations on small matrices, by a factor of ten on a busy machine.
    The number of threads applies to the whole process. Blocks may overlap, in one thread or in
    several; the former number is restored when the last of them ends.
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
