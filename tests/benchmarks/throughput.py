# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""How fast training and prediction are, against the bare matrix products in them.

    python tests/benchmarks/throughput.py [--rounds 3]

Everything is measured in turns, with the same threads, on spectra of random numbers; the best of
the rounds counts. "Bare" is a loop over the matrix products of a step, or of a prediction, alone.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import numpy as np
import torch
from astropy.table import Table
from torch.utils.data import DataLoader, TensorDataset

from astropayne import PayneModel, SpectralGrid
from astropayne.network import SpectralNetwork

N_LABELS, N_PIXELS, N_SPECTRA = 12, 3903, 1717
HIDDEN, COMPONENTS, MEMBERS = 256, 192, 4


def a_grid(n=N_SPECTRA, n_pixels=N_PIXELS):
    """Return a grid of smooth functions of the labels."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (n, N_LABELS))
    shapes = rng.normal(0, 0.01, (N_LABELS, n_pixels))
    flux = (1 - np.abs(x @ shapes)).astype(np.float32)
    labels = Table({f"label_{i}": column for i, column in enumerate(x.T)})
    return SpectralGrid(5000 + 0.05 * np.arange(n_pixels), flux, labels)


def timed(function, rounds):
    """Return the least seconds that each of some functions takes, run in turns."""
    best = [np.inf] * len(function)
    for _ in range(rounds):
        for i, run in enumerate(function):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def products_of_a_step(batch):
    """Return a function that does the matrix products of one step of the default training."""
    shape = MEMBERS, batch
    sizes = [N_LABELS, HIDDEN, HIDDEN, HIDDEN, COMPONENTS]
    layers = [
        (torch.randn(*shape, a), torch.randn(MEMBERS, b, a), torch.randn(*shape, b))
        for a, b in pairwise(sizes)
    ]

    def run():
        for i, (x, weight, slope) in enumerate(layers):
            torch.bmm(x, weight.mT)
            torch.bmm(slope.mT, x)
            if i:  # nothing is derived by the labels
                torch.bmm(slope, weight)

    return run


def training(rounds, batch, steps=1000):
    """Compare training with the bare products, and with a DataLoader."""
    grid, bare = a_grid(), products_of_a_step(batch)
    valid, epochs = grid[:16], max(1, round(steps * batch / N_SPECTRA))
    steps = epochs * (N_SPECTRA // batch)
    x = torch.as_tensor(np.column_stack([grid.labels[n] for n in grid.labels.colnames])).float()
    y = torch.as_tensor(np.asarray(grid.flux))
    network = SpectralNetwork(N_LABELS, N_PIXELS, (HIDDEN,) * 3, "gelu", "linear", COMPONENTS,
                              MEMBERS)  # fmt: skip
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    optimiser = torch.optim.AdamW(network.parameters())

    def ours(n_epochs):
        PayneModel().train(grid, valid, max_epochs=n_epochs, batch_size=batch,
                           check_interval=10**6, progress=False)  # fmt: skip

    def with_loader():
        for labels, flux in loader:
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network(labels), flux).backward()
            optimiser.step()

    # what is done once, the basis above all, is not part of the rate
    once, all_of_it, products, usual = timed(
        [lambda: ours(1), lambda: ours(1 + epochs), lambda: [bare() for _ in range(steps)],
         with_loader], rounds,
    )  # fmt: skip
    rate = steps * batch / (all_of_it - once)
    print(f"training, batches of {batch}: {rate:.0f} spectra/s, "
          f"{products / (all_of_it - once):.0%} of the bare products' rate, "
          f"{rate * usual / N_SPECTRA:.1f} times a DataLoader's loop over pixels")  # fmt: skip


def prediction(rounds):
    """Compare prediction with the bare product, and one spectrum with einsum."""
    wide = SpectralNetwork(N_LABELS, 33780, (1024,) * 3, "silu", "sigmoid")
    x, one = torch.rand(256, N_LABELS) - 0.5, torch.rand(1, N_LABELS) - 0.5
    layers = [*wide.hidden, wide.pixels]
    pairs = [
        (torch.randn(256, layer.in_features), layer.weight.detach().T.contiguous().T)
        for layer in layers
    ]
    weights = [(la.weight.detach().numpy(), la.bias.detach().numpy()) for la in layers]

    def einsum():
        z = one[0].numpy()
        for i, (weight, bias) in enumerate(weights):
            z = np.einsum("ij,j->i", weight, z) + bias
            z = z / (1 + np.exp(-z)) if i < 3 else 1 / (1 + np.exp(-z))

    with torch.no_grad():
        ours, bare, alone, usual = timed(
            [lambda: wide(x), lambda: [a @ w.T for a, w in pairs], lambda: wide(one), einsum],
            3 * rounds,
        )  # fmt: skip
    print(f"prediction of 256 spectra (1024 x 3, 33 780 pixels): {256 / ours:.0f} a second, "
          f"{bare / ours:.0%} of the bare products' rate")  # fmt: skip
    print(f"one spectrum: {1e3 * alone:.1f} ms, {alone / usual:.2f} of einsum's time")


FROM_DISK = """
    import resource, sys, time
    import numpy as np
    from astropayne import PayneModel, SpectralGrid
    limited = sys.argv[2] == "disk"
    if limited:
        resource.setrlimit(resource.RLIMIT_DATA, (1500 << 20, 1500 << 20))
    grid = SpectralGrid.read(sys.argv[1])
    train, valid = grid[64:], grid[:64]
    if not limited:
        train = train.load() if hasattr(train, "load") else train
    options = {"batch_size": 512, "check_interval": 10**6, "progress": False}
    if limited:
        options["memory"] = 400e6
    model = PayneModel()
    seconds = []
    for epochs in (1, 4):
        start = time.perf_counter()
        model.train(train, valid, max_epochs=epochs, **options)
        seconds.append(time.perf_counter() - start)
    print(3 * len(train) / (seconds[1] - seconds[0]),
          resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def from_disk(megabytes=1600):
    """Compare training from a file four times the budget with training from memory."""
    n = int(megabytes * 1e6 / 4 / N_PIXELS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.asdf"
        a_grid(n).write(path)
        rates = {}
        for where in ("memory", "disk"):
            result = subprocess.run(
                [sys.executable, "-c", dedent(FROM_DISK), str(path), where],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            rates[where], most = map(float, result.stdout.split()[-2:])
            print(f"training from {where}: {rates[where]:.0f} spectra/s, {most:.0f} MB at most")
    print(f"from disk: {rates['disk'] / rates['memory']:.0%} of the rate from memory")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; grid of {N_SPECTRA} x {N_PIXELS}")
    for batch in (64, 512):
        training(options.rounds, batch)
    prediction(options.rounds)
    from_disk()


if __name__ == "__main__":
    main()
