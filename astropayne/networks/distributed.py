# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Processes that train one network together, if ``torchrun`` has started several."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Workers", "workers"]


class Workers:
    """The processes that train a network together, as one of them sees them.

    Attributes
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def part(self) -> slice:
        """The items of a sequence that this process takes."""
        return slice(self.rank, None, self.size)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are averaged over all processes."""
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        return DistributedDataParallel(
            network, device_ids=None if device.type == "cpu" else [device]
        )

    def sum(self, value: float, device: torch.device) -> float:
        """Return the sum of a number over all processes."""
        return self._exchange(value, device, distributed.all_reduce)

    def minimum(self, value: float, device: torch.device) -> float:
        """Return the minimum of a number over all processes."""
        return self._exchange(
            value, device, lambda tensor: distributed.all_reduce(tensor, distributed.ReduceOp.MIN)
        )

    def is_shared(self, value: float, device: torch.device) -> bool:
        """Return whether all processes have the same number; each gets the same answer."""
        return self.minimum(value, device) == -self.minimum(-value, device)

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """Copy the first process's tensors into those of all others."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def first_value(self, value: float, device: torch.device) -> float:
        """Return the number that the first process has."""
        return self._exchange(value, device, lambda tensor: distributed.broadcast(tensor, 0))

    def _exchange(self, value: float, device: torch.device, exchange: Callable) -> float:
        if self.size == 1:
            return value
        dtype = torch.float32 if device.type == "mps" else torch.float64
        tensor = torch.tensor(value, dtype=dtype, device=device)
        exchange(tensor)
        return float(tensor)


@contextlib.contextmanager
def workers(device: torch.device) -> Iterator[Workers]:
    """Yield the `Workers` in a ``with`` block; a process group that it makes ends with it.

    Parameters
    ----------
    device : torch.device
        Device of this process.
    """
    ours = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized()
    if ours:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        if distributed.is_available() and distributed.is_initialized():
            yield Workers(distributed.get_rank(), distributed.get_world_size())
        else:
            yield Workers()
    finally:
        if ours:
            distributed.destroy_process_group()
