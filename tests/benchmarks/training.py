# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Accuracy on held-out spectra of this package and of one_payne's recipe, for the same seconds.

    python tests/benchmarks/training.py FOLDER [--minutes 5] [--spectra N] [--batches 64 512]

A fifth of the spectra is held out and looked at only here; a tenth of the rest chooses the
checkpoint. one_payne's network and loop: 1024 x 3 SiLU and a sigmoid, AdamW with a rate and a
weight decay of 1e-3, a cosine, spectra from a DataLoader. Its cosine ends with the time here.
"""

import argparse
import math
import time
from itertools import pairwise

import astropy.units as u
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from astropayne import PayneModel, SpectralGrid
from astropayne.labels.space import LabelSpace


def one_payne(train, held_out, seconds, batch_size):
    """Train one_payne's network, and return its rms on the held-out spectra."""
    torch.manual_seed(0)
    labels = LabelSpace.from_table(train.labels)
    x, x_held_out = (
        torch.as_tensor(labels.scale(labels.to_array(part.labels)), dtype=torch.float32)
        for part in (train, held_out)
    )
    y, y_held_out = (
        torch.as_tensor(np.asarray(part.flux), dtype=torch.float32) for part in (train, held_out)
    )
    sizes = [x.shape[1], 1024, 1024, 1024]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    network = nn.Sequential(*hidden, nn.Linear(1024, y.shape[1]), nn.Sigmoid())
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
    begun, steps = time.monotonic(), 0
    while (part := (time.monotonic() - begun) / seconds) < 1:
        for batch, flux in loader:
            optimiser.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * min(part, 1)))
            optimiser.zero_grad()
            nn.functional.mse_loss(network(batch), flux).backward()
            optimiser.step()
            steps += 1
            part = (time.monotonic() - begun) / seconds
            if part >= 1:
                break
    with torch.no_grad():
        return float(((network(x_held_out) - y_held_out) ** 2).mean() ** 0.5), steps


def ours(train, held_out, seconds):
    """Train with the defaults, and return the rms on the held-out spectra."""
    model = PayneModel()
    history = model.train(train, max_time=seconds * u.s, max_epochs=10**6)
    residual = model.predict(held_out.labels).flux.value - np.asarray(held_out.flux)
    return float(np.sqrt(np.mean(residual**2))), history["step"][-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--spectra", type=int, help="train on so many only")
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 512], help="of one_payne")
    options = parser.parse_args()
    grid = SpectralGrid.read(options.folder).transform_labels("A_Li")
    train, held_out = grid.split(train_fraction=0.8, seed=42)
    if options.spectra:
        train = train.subsample(options.spectra)
    seconds = 60 * options.minutes
    found = {"astropayne": ours(train, held_out, seconds)}
    for size in options.batches:
        found[f"one_payne, batches of {size}"] = one_payne(train, held_out, seconds, size)
    best = found["astropayne"][0]
    for name, (rms, steps) in found.items():
        print(f"{name:30s} rms {rms:.5f} after {steps:6d} steps, {rms / best:6.2f} x ours")


if __name__ == "__main__":
    main()
