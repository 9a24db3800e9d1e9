# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The processes that train one network together, if ``torchrun`` has started several."""

import contextlib
import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Workers", "workers"]


class Workers:
    """What a process knows of those that train together with it.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    """

    def __init__(self, rank=0, size=1):
        self.rank, self.size = rank, size

    @property
    def part(self):
        """Which of many things this process takes (slice)."""
        return slice(self.rank, None, self.size)

    def parallel(self, network):
        """Return the network such that gradients are averaged over all processes."""
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        return DistributedDataParallel(
            network, device_ids=None if device.type == "cpu" else [device]
        )

    def sum(self, value, device):
        """Return the sum of a number over all processes."""
        return self._exchange(value, device, distributed.all_reduce)

    def least(self, value, device):
        """Return the least value of a number that any process has."""
        return self._exchange(
            value, device, lambda tensor: distributed.all_reduce(tensor, distributed.ReduceOp.MIN)
        )

    def is_shared(self, value, device):
        """Say whether all processes have the same number; all of them get the same answer."""
        return self.least(value, device) == -self.least(-value, device)

    def share(self, tensors):
        """Put the first process's numbers into the tensors of all others."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def agree(self, value, device):
        """Return the first process's value of a number."""
        return self._exchange(value, device, lambda tensor: distributed.broadcast(tensor, 0))

    def _exchange(self, value, device, exchange):
        if self.size == 1:
            return value
        dtype = torch.float32 if device.type == "mps" else torch.float64
        tensor = torch.tensor(value, dtype=dtype, device=device)
        exchange(tensor)
        return float(tensor)


@contextlib.contextmanager
def workers(device):
    """Give the `Workers` in a ``with`` block; a process group that it makes ends with it.

    Parameters
    ----------
    device : torch.device
        Of this process.
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
