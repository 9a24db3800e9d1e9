# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra for training, on the device if they fit, and otherwise streamed from the grid."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["SpectraFeed", "available_memory"]

_BLOCK = 1024  # spectra in one block
_RUN = 1 << 20  # bytes of neighboring spectra that are read at once


class SpectraFeed:
    """Labels and flux of spectra, in batches.

    Flux that fits into ``memory`` is put onto the device once. Other flux stays where it is (on
    disk, or in the computer's memory if the device has its own); a thread reads shuffled blocks of
    it ahead, each a quarter of ``memory`` or less: one is in use while the next one is read.

    Parameters
    ----------
    x : array_like, shape (n, n_labels)
        Scaled labels.
    y : array_like or ``astropayne.grids.flux_file.FluxFile``, shape (n, n_pixels)
        Flux.
    device : torch.device
    memory : float
        Bytes available for flux.
    """

    def __init__(self, x: npt.ArrayLike, y: Any, device: torch.device, memory: float) -> None:
        self.device = device
        self.x = torch.as_tensor(np.asarray(x, dtype=np.float32)).to(device)
        self._row_bytes = 4 * y.shape[1]
        self._memory, self._block_rows = memory, max(1, int(memory / 4 // self._row_bytes))
        costs_nothing = isinstance(y, np.ndarray) and y.dtype == np.float32 and device.type == "cpu"
        self.resident = costs_nothing or len(y) * self._row_bytes <= memory
        self._y: Any = y  # a tensor if it is resident
        if self.resident:
            self._y = self._checked(y if isinstance(y, np.ndarray) else y[:], np.arange(len(y)))
        self._target: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_pixels(self) -> int:
        """Number of pixels of a spectrum."""
        return self._row_bytes // 4

    def set_target(self, target: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Let `batches` yield ``target(flux)`` in place of the flux.

        Flux on the device is replaced by its target. So is other flux, which is then read only
        once, if the target and two of the `blocks` that it is made from fit into ``memory``.
        Afterwards, only `batches` may be used.

        Parameters
        ----------
        target : callable
            Function of flux of shape (n, n_pixels); it returns a row for each spectrum.
        """
        row = target(self.flux(np.zeros(1, dtype=int)))
        left = self._memory - 2 * min(_BLOCK, self._block_rows) * self._row_bytes
        if not self.resident and len(self) * row.nbytes > left:
            self._target = target
            return
        made, first = row.new_empty(len(self), row.shape[1]), 0
        for _, flux in self.blocks():
            made[first : first + len(flux)] = target(flux)
            first += len(flux)
        self._y, self.resident = made, True

    def flux(self, rows: np.ndarray) -> torch.Tensor:
        """Return the flux of spectra, on the device.

        Parameters
        ----------
        rows : numpy.ndarray of int

        Raises
        ------
        ValueError
            If the flux is not finite everywhere.
        """
        if self.resident:
            return self._y[torch.as_tensor(rows).to(self.device)]
        return self._checked(self._y[rows], rows)

    def _checked(self, flux: npt.ArrayLike, rows: np.ndarray) -> torch.Tensor:
        """Return flux on the device; an array of the right type is not copied."""
        flux = np.require(flux, dtype=np.float32, requirements=["C", "W"])
        finite = np.isfinite(flux.sum(axis=1, dtype=np.float64))
        if not finite.all():
            raise ValueError(
                f"the flux of {np.sum(~finite)} of {len(finite)} spectra is not finite everywhere "
                f"or masked (number {rows[np.argmin(finite)]} is the first); take them out: "
                "grid[np.isfinite(grid.flux).all(axis=1)]"
            )
        return torch.from_numpy(flux).to(self.device)

    def sample(self, n: int, least: int = 2) -> torch.Tensor:
        """Return the flux of at most ``n`` spectra, spread evenly over all of them.

        Parameters
        ----------
        n : int
            Number of spectra; of streamed flux, as many as ``memory`` allows.
        least : int
            Minimum number of spectra, which are returned for any ``memory``.
        """
        n = min(n, len(self) if self.resident else max(self._block_rows, min(least, len(self))))
        if n >= len(self) and self.resident:
            return self._y
        return self.flux(np.linspace(0, len(self) - 1, n).astype(int))

    @property
    def memory(self) -> float:
        """Bytes that the flux takes, or that are available for it if it is streamed."""
        return len(self) * self._row_bytes if self.resident else self._memory

    def blocks(
        self, rows: slice = slice(None), size: int = _BLOCK
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the spectra in order.

        Yields
        ------
        x, y : torch.Tensor, shapes (m, n_labels) and (m, n_pixels)
        """
        chosen = np.arange(len(self))[rows]
        size = size if self.resident else min(size, self._block_rows)
        for first in range(0, len(chosen), size):
            part = chosen[first : first + size]
            if self.resident and part[-1] - part[0] == len(part) - 1:
                yield self.x[part[0] : part[-1] + 1], self._y[part[0] : part[-1] + 1]
            else:
                yield self.x[torch.as_tensor(part).to(self.device)], self.flux(part)

    def epoch(self, generator: torch.Generator, batch_size: int) -> torch.Tensor:
        """Return the indices of the spectra of an epoch's batches, in random order.

        Parameters
        ----------
        generator : torch.Generator
            On the CPU, so that the order does not depend on the device.
        batch_size : int

        Returns
        -------
        torch.Tensor, shape (n_steps, batch_size)
            Spectra that do not fill a batch are left out.
        """
        n_steps = len(self) // batch_size
        if self.resident:
            order = torch.randperm(len(self), generator=generator)
        else:
            order = self._order_of_runs(generator, batch_size)
        return order[: n_steps * batch_size].view(n_steps, batch_size)

    def _order_of_runs(self, generator: torch.Generator, batch_size: int) -> torch.Tensor:
        """Return an order in which each block has runs from the whole grid, shuffled in it."""
        run = max(1, min(_RUN // self._row_bytes, self._block_rows // 8))
        runs = torch.arange(len(self)).split(run)
        order = torch.cat([runs[i] for i in torch.randperm(len(runs), generator=generator)])
        blocks = order.split(batch_size * self._steps_in_block(batch_size))
        return torch.cat([b[torch.randperm(len(b), generator=generator)] for b in blocks])

    def _steps_in_block(self, batch_size: int) -> int:
        return max(1, self._block_rows // batch_size)

    def batches(
        self, epochs: Iterable[torch.Tensor], first: int, part: slice
    ) -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        """Yield batches without end.

        Parameters
        ----------
        epochs : iterable of torch.Tensor
            Results of `epoch`, one after the other.
        first : int
            Number of steps to skip at the start.
        part : slice
            Part of each batch that this process takes.

        Yields
        ------
        x, y : torch.Tensor, shapes (m, n_labels) and (m, n_pixels)
            In place of the flux, the target if `set_target` was called.
        """
        steps = islice((rows[part] for epoch in epochs for rows in epoch), first, None)
        if self.resident:
            for rows in steps:
                rows = rows.to(self.device)
                yield self.x[rows], self._y[rows]
            return
        with ThreadPoolExecutor(1) as reader:
            head = next(steps)
            size = self._steps_in_block(len(head))
            coming = reader.submit(self._read, [head, *islice(steps, size - 1)])
            while True:
                block, places, flux = coming.result()
                coming = reader.submit(self._read, list(islice(steps, size)))
                for rows, place in zip(block, places, strict=True):
                    yield self.x[rows.to(self.device)], flux[place.to(self.device)]

    def _read(
        self, steps: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], tuple[torch.Tensor, ...], torch.Tensor]:
        """Read the spectra of several batches, each once and in the order of the file."""
        rows, places = torch.cat(steps).unique(return_inverse=True)
        flux = self.flux(rows.numpy())
        y = self._target(flux) if self._target else flux
        return steps, places.split([len(step) for step in steps]), y


def available_memory(device: torch.device | str) -> int:
    """Return the bytes for flux by default: half of the memory that a device has.

    Processes that ``torchrun`` has started on one machine share its memory.

    Parameters
    ----------
    device : torch.device or str
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        return half // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    except (AttributeError, ValueError, OSError):  # not on every system
        return 4 << 30
