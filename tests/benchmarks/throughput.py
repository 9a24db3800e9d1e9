# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""How fast training and prediction are, against the bare matrix products in them.

    OMP_NUM_THREADS=1 python tests/benchmarks/throughput.py [--rounds 5] [--only training ...]

Arms are run in turns, on spectra of random numbers, with the same threads; the least seconds of the
processor count. "Bare" is a loop over the matrix products of a step, or of a prediction, alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from unittest import mock

import numpy as np
import torch
from astropy.table import Table
from torch.utils.data import DataLoader, TensorDataset

from astropayne import PayneModel, SpectralGrid
from astropayne.grids.data import make_grid_data
from astropayne.grids.files import GridWriter
from astropayne.networks.feed import SpectraFeed
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.options import TrainingOptions
from astropayne.networks.training import train_network

N_LABELS, N_PIXELS, N_SPECTRA = 12, 3903, 1717
HIDDEN, COMPONENTS, MEMBERS, PARTS = 96, 192, 2, 16


def a_grid(n=N_SPECTRA, n_pixels=N_PIXELS):
    """Return a grid of smooth functions of the labels."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (n, N_LABELS))
    shapes = rng.normal(0, 0.01, (N_LABELS, n_pixels))
    flux = (1 - np.abs(x @ shapes)).astype(np.float32)
    labels = Table({f"label_{i}": column for i, column in enumerate(x.T)})
    return SpectralGrid(5000 + 0.05 * np.arange(n_pixels), flux, labels)


def timed(functions, rounds):
    """Return the least seconds of the processor that each of some functions takes, in turns."""
    best = [np.inf] * len(functions)
    for _ in range(rounds):
        for i, run in enumerate(functions):
            start = time.process_time()
            run()
            best[i] = min(best[i], time.process_time() - start)
    return best


def products_of_a_step(network, batch):
    """Return a function that does the matrix products of one step of training."""
    members = network.members * network.parts
    last = network.coefficients or network.pixels
    sizes = [N_LABELS, *(layer.out_features for layer in [*network.hidden, last])]
    layers = [
        (
            torch.randn(members, batch, a),
            torch.randn(members, b, a),
            torch.randn(members, batch, b),
        )
        for a, b in pairwise(sizes)
    ]

    def run():
        for i, (x, weight, slope) in enumerate(layers):
            torch.bmm(x, weight.mT)
            torch.bmm(slope.mT, x)
            if i:  # nothing is derived by the labels
                torch.bmm(slope, weight)

    return run


class Plain:
    """What users write: a network, AdamW, and spectra from a DataLoader, one epoch at a time."""

    def __init__(self, network, x, y, batch):
        self.network = network
        self.optimiser = torch.optim.AdamW(network.parameters())
        self.loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, drop_last=True)

    def epoch(self):
        """Take the steps of an epoch."""
        for labels, flux in self.loader:
            self.optimiser.zero_grad()
            torch.nn.functional.mse_loss(self.network(labels), flux).backward()
            self.optimiser.step()


def training(rounds, batch, steps=60):
    """Compare steps of training with the bare products, and with loops over a DataLoader."""
    n = max(batch, N_SPECTRA - N_SPECTRA % batch)
    grid = a_grid(n)
    x = np.column_stack([grid.labels[name] for name in grid.labels.colnames]).astype("f4") - 0.5
    y = np.asarray(grid.flux)
    default = {"hidden_layers": (HIDDEN,) * 3, "activation": "gelu", "output": "linear",
               "components": COMPONENTS, "members": MEMBERS, "parts": PARTS}  # fmt: skip
    payne = {"hidden_layers": (1024,) * 3, "activation": "silu", "output": "sigmoid"}
    for name, network, some in (("the default", default, steps), ("one_payne's", payne, 4)):
        epochs = max(1, round(some * batch / n))
        bare = products_of_a_step(SpectralNetwork(N_LABELS, N_PIXELS, **network), batch)
        options = TrainingOptions(batch_size=batch, max_epochs=epochs, check_interval=10**6)
        seconds = []

        def ours(network=network, options=options, seconds=seconds):
            # what is done once, the basis above all, is not part of the rate
            feed, begun = SpectraFeed.batches, []

            def batches(*args):
                begun.append(time.process_time())
                return feed(*args)

            with mock.patch.object(SpectraFeed, "batches", batches):
                train_network(SpectralNetwork(N_LABELS, N_PIXELS, **network), x, y, x[:16], y[:16],
                              options, torch.device("cpu"), False)  # fmt: skip
            seconds.append(time.process_time() - begun[0])

        loops = {
            "the same network": SpectralNetwork(N_LABELS, N_PIXELS, **network),
            "one_payne's network": SpectralNetwork(N_LABELS, N_PIXELS, **payne),
        }
        if network is payne:
            del loops["one_payne's network"]
        loops = {
            key: Plain(value, torch.as_tensor(x), torch.as_tensor(y), batch)
            for key, value in loops.items()
        }
        _, products, *usual = timed(
            [ours, lambda: [bare() for _ in range(epochs * (n // batch))],  # noqa: B023
             *(loop.epoch for loop in loops.values())], rounds,
        )  # fmt: skip
        step = min(seconds) / (epochs * (n // batch))
        print(f"training {name} network, batches of {batch}: {batch / step:.0f} spectra/s, "
              f"{products / min(seconds):.0%} of the bare products' rate")  # fmt: skip
        for key, loop in zip(loops, usual, strict=True):
            print(f"    {loop / (n // batch) / step:.1f} times a DataLoader's loop with {key}")


def prediction(rounds):
    """Compare prediction with the bare product, and one spectrum with einsum."""
    wide = SpectralNetwork(N_LABELS, 33780, (1024,) * 3, "silu", "sigmoid")
    default = SpectralNetwork(N_LABELS, 33780, (HIDDEN,) * 3, "gelu", "linear", COMPONENTS, MEMBERS)
    x, one = torch.rand(256, N_LABELS) - 0.5, torch.rand(1, N_LABELS) - 0.5
    layers = [*wide.hidden, wide.pixels]
    pairs = [(torch.randn(256, layer.in_features), layer.weight.detach()) for layer in layers]
    # in the order in which torch's layers and one_payne's files have them
    weights = [(la.weight.detach().contiguous().numpy(), la.bias.detach().numpy()) for la in layers]

    def einsum(dtype):
        z = one[0].numpy().astype(dtype)
        for i, (weight, bias) in enumerate(weights):
            z = np.einsum("ij,j->i", weight, z) + bias
            z = z / (1 + np.exp(-z)) if i < 3 else 1 / (1 + np.exp(-z))

    with torch.no_grad():
        ours, bare, alone, single, double, read, small = timed(
            [lambda: wide(x), lambda: [a @ w.T for a, w in pairs], lambda: wide(one),
             lambda: einsum("f4"), lambda: einsum("f8"),
             lambda: [weight.sum() for weight, _ in weights], lambda: default(one)],
            3 * rounds,
        )  # fmt: skip
    n_bytes = sum(weight.nbytes for weight, _ in weights)
    print(f"prediction of 256 spectra (1024 x 3, 33 780 pixels): {256 / ours:.0f} a second, "
          f"{bare / ours:.0%} of the bare products' rate")  # fmt: skip
    print(f"one spectrum: {1e3 * alone:.1f} ms, {alone / single:.2f} of einsum's time in single "
          f"precision, {alone / double:.2f} with labels in double, as in one_payne; the sum of its "
          f"weights takes {1e3 * read:.1f} ms ({1e-9 * n_bytes / read:.1f} GB/s)")  # fmt: skip
    print(f"one spectrum of the default network, 33 780 pixels: {1e3 * small:.1f} ms, "
          f"{small / single:.2f} and {small / double:.2f} of those times")  # fmt: skip
    model = PayneModel.sample()
    values = model.labels.minimum[None] + 0.5 * model.labels.width
    scaled = torch.as_tensor(model.labels.scale(values)).float()
    bare = model.network
    with torch.no_grad():
        network, predict = timed([lambda: bare(scaled), lambda: model.predict(values)], 10 * rounds)
    print(f"PayneModel.predict, one spectrum: {1e3 * predict:.1f} ms, of which the network takes "
          f"{1e3 * network:.1f} ms")  # fmt: skip


FROM_DISK = """
    import resource, sys, time
    from astropayne import PayneModel, SpectralGrid
    path, where, output = sys.argv[1:]
    if where == "disk":
        resource.setrlimit(resource.RLIMIT_DATA, (1_500_000_000, 1_500_000_000))
    grid = SpectralGrid.read(path)
    model = PayneModel(output=output)
    start = time.perf_counter(), time.process_time()
    history = model.train(grid[64:], grid[:64], max_epochs=5 if output == "linear" else 1,
                          memory=400e6 if where == "disk" else 1e10, batch_size=512,
                          check_interval=100, progress=False)
    whole = time.perf_counter() - start[0], time.process_time() - start[1]
    first, last = history[0], history[-1]
    rate = 512 * (last["step"] - first["step"]) / (last["time"] - first["time"]).value
    print(rate, *whole, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def from_disk(gigabytes):
    """Compare training from a file, in a process of 1.5 GB, with training from memory."""
    n = int(gigabytes * 1e9 / 4 / N_PIXELS)
    part = a_grid(4096)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.asdf"
        rng = np.random.default_rng(2)
        x = rng.uniform(0, 1, (n, N_LABELS))
        labels = Table({f"label_{i}": column for i, column in enumerate(x.T)})
        with GridWriter(path, N_PIXELS) as writer:
            for first in range(0, n, len(part)):
                writer.append(part.flux[: n - first])
            empty = np.broadcast_to(np.float32(0), (n, N_PIXELS))
            writer.finish(make_grid_data(part.wavelength, empty, labels))
        for output in ("linear", "sigmoid"):
            found = {}
            for where in ("memory", "disk"):
                with open(path, "rb") as file:  # nothing of it is in memory already
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                result = subprocess.run(
                    [sys.executable, "-c", dedent(FROM_DISK), str(path), where, output],
                    stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
                found[where] = rate, wall, cpu, most = [*map(float, result.stdout.split()[-4:])]
                print(f"{gigabytes} GB, output {output}, from {where}: {rate:.0f} spectra/s once "
                      f"under way; in all {wall:.0f} s, {cpu:.0f} s of the processor, "
                      f"{most:.0f} MB at most")  # fmt: skip
            rate, wall, cpu, _ = np.divide(found["disk"], found["memory"])
            print(f"    from disk: {rate:.0%} of the rate, {wall:.2f} of the time, {cpu:.2f} of "
                  "that of the processor")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.6, help="of the grid on disk")
    parts = ("training", "prediction", "disk")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; grid of {N_SPECTRA} x {N_PIXELS}")
    if "training" in options.only:
        for batch in (64, 512):
            training(options.rounds, batch)
    if "prediction" in options.only:
        prediction(options.rounds)
    if "disk" in options.only:
        from_disk(options.gigabytes)


if __name__ == "__main__":
    main()
