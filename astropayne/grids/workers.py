# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading blocks of spectra in threads of this process, or in other processes.

The other processes import this module, so it needs nothing but the standard library.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropayne.grids.loading import Loader

__all__ = ["load_blocks", "serve"]

_AHEAD = 16  # blocks for each worker that may be finished before their turn

# Indices of spectra in; their flux and what is wrong with each out.
_LoadBlock = Callable[[Sequence[int]], tuple[Any, list[str]]]


def load_blocks(
    loader: "Loader", blocks: Iterable[Sequence[int]], workers: int = 1, threads: bool = False
) -> Iterator[tuple[Any, list[str]]]:
    """Load blocks of spectra, in order.

    Parameters
    ----------
    loader : `~astropayne.grids.loading.Loader`
    blocks : iterable of sequence of int
        Indices of spectra.
    workers : int
        How many load at the same time.
    threads : bool
        Whether all workers are threads of this process. By default one is, and the others are
        processes.

    Yields
    ------
    flux : numpy.ndarray
    reasons : list of str
        As `~astropayne.grids.loading.Loader.block` returns them.

    Raises
    ------
    ValueError
        If the reader cannot work in other processes.
    RuntimeError
        If one of the processes ends.
    """
    if workers < 2:
        yield from map(loader.block, blocks)
        return
    with ThreadPoolExecutor(workers) as pool, contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[_LoadBlock] = queue.SimpleQueue()
        ahead: deque[Any] = deque()
        idle.put(loader.block)
        for load in [loader.block] * (workers - 1) if threads else _others(loader, workers, stack):
            idle.put(load)
        # do not wait for unfinished blocks if the reading ends early
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for block in blocks:
            ahead.append(pool.submit(_by_the_next, idle, block))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _by_the_next(idle: "queue.SimpleQueue[_LoadBlock]", block: Sequence[int]) -> Any:
    """Load a block with the next worker that is idle."""
    load = idle.get()
    try:
        return load(block)
    finally:
        idle.put(load)


def _others(loader: "Loader", workers: int, stack: contextlib.ExitStack) -> list[_LoadBlock]:
    """Start processes that end with the stack; return a function that loads a block in each."""
    content = _pickled(loader)
    return [stack.enter_context(_Process(content)).block for _ in range(workers - 1)]


class _Process:
    """A process that loads blocks, in a ``with`` block that ends it.

    It is started as a program instead of by `multiprocessing`, so that a script needs no
    ``__main__`` guard, imports of the script are not repeated, and no process with threads is
    forked.

    Parameters
    ----------
    content : bytes
        The pickled loader.
    """

    def __init__(self, content: bytes) -> None:
        self.order = content  # sent before the first block
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from astropayne.grids.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            start_new_session=True,  # Ctrl-C only interrupts the process that reads the grid
        )

    def __enter__(self) -> "_Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()  # its result is not needed
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):  # an order that was not sent
            self.process.stdin.close()

    def block(self, indices: Sequence[int]) -> tuple[Any, list[str]]:
        """Load a block in that process, as `~astropayne.grids.loading.Loader.block` does."""
        try:
            self.process.stdin.write(self.order + pickle.dumps(indices))
            self.process.stdin.flush()
            self.order = b""
            return pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise RuntimeError(
                "a process that was loading spectra has ended (exit code "
                f"{self.process.wait()}): read with workers=1 to see why"
            ) from None


def _pickled(loader: "Loader") -> bytes:
    advice = "cannot work in other processes ({}): read with workers=1"
    try:
        content = pickle.dumps(loader)
    except Exception as error:
        raise ValueError(f"this reader {advice.format(error)}") from None
    if b"__main__" in content:
        where = "it is defined in a notebook or script, not in a module"
        raise ValueError(f"this reader {advice.format(where)}")
    return content


def serve() -> None:
    """Load blocks for another process: orders arrive on stdin, blocks leave on stdout.

    Objects are pickled on these pipes, as in `multiprocessing`: they connect the process that
    reads the grid with those that it has started. Nothing from a file is ever unpickled.
    """
    orders, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints goes to stderr
    loader = pickle.load(orders)
    while True:
        try:
            block = pickle.load(orders)
        except EOFError:
            return
        flux_and_reasons = loader.block(block)
        try:
            pickle.dump(flux_and_reasons, out, protocol=pickle.HIGHEST_PROTOCOL)
            out.flush()
        except BrokenPipeError:
            os._exit(1)  # the other process has ended
