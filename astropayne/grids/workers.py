# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loading spectra through a reader, a block at a time, and saying what is wrong with each.

Blocks are loaded by threads of this process or by other processes, which import this module:
nothing but numpy may be needed to start them.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["load_blocks", "serve"]

_AHEAD = 16  # blocks for each worker that may wait for those before them, as while it starts


def load_blocks(loader, blocks, workers=1, threads=False):
    """Load blocks of spectra, in order.

    Parameters
    ----------
    loader : Loader
    blocks : iterable of list of int
        Indices of spectra.
    workers : int
        How many load at the same time.
    threads : bool
        Whether they are threads of this process. Otherwise one is, and the others are processes.

    Yields
    ------
    flux, reasons
        As `Loader.block` returns them.

    Raises
    ------
    ValueError
        If the reader cannot work in other processes.
    RuntimeError
        If one of them ends.
    """
    if workers < 2:
        yield from map(loader.block, blocks)
        return
    with ThreadPoolExecutor(workers) as pool, contextlib.ExitStack() as stack:
        idle, ahead = queue.SimpleQueue(), deque()
        idle.put(loader.block)
        for load in [loader.block] * (workers - 1) if threads else _others(loader, workers, stack):
            idle.put(load)
        # nobody waits for what is not done when this ends early
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for block in blocks:
            ahead.append(pool.submit(_by_the_next, idle, block))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _by_the_next(idle, block):
    load = idle.get()
    try:
        return load(block)
    finally:
        idle.put(load)


def _others(loader, workers, stack):
    """Start processes that end with the stack; return what loads a block in each."""
    content = _pickled(loader)
    return [stack.enter_context(_Process(content)).block for _ in range(workers - 1)]


class _Process:
    """A process that loads blocks, in a ``with`` block that ends it.

    It is started as a program, not by `multiprocessing`: a script needs no ``__main__`` guard,
    what it imports is not imported again, and nothing is forked that has threads.

    Parameters
    ----------
    content : bytes
        The pickled loader.
    """

    def __init__(self, content):
        self.order = content  # its first one
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from astropayne.grids.workers import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            start_new_session=True,  # an interrupt is for the process that reads the grid
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()  # nobody waits for what it does
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):  # what it was not sent any more
            self.process.stdin.close()

    def block(self, indices):
        """Do what `Loader.block` does, over there."""
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


def _pickled(loader):
    advice = "cannot work in other processes ({}): read with workers=1"
    try:
        content = pickle.dumps(loader)
    except Exception as error:
        raise ValueError(f"this reader {advice.format(error)}") from None
    if b"__main__" in content:
        where = "it is defined in a notebook or script, not in a module"
        raise ValueError(f"this reader {advice.format(where)}")
    return content


def serve():
    """Load blocks for another process: orders come in by stdin, blocks go out by stdout.

    Objects are pickled on these pipes, as `multiprocessing` does it: they lead from the process
    that reads the grid to those it has started itself. Nothing from a file is ever unpickled.
    """
    orders, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a reader prints must not come between
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
            os._exit(1)  # who wanted it has ended
