# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Train ``astropayne/data/sample_model.asdf`` on a folder of the full grid.

    python docs/scripts/train_sample_model.py FOLDER [MINUTES]

A fifth of the spectra is held out: nothing in the training looks at it, and the rms flux error
there goes into the file. The emulator's error that fits count is measured on it and on the spectra
that chose the network.
"""

import sys
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import torch

import astropayne
from astropayne import PayneModel, SpectralGrid


def main(folder, minutes=20):
    """Train, measure, write."""
    grid = SpectralGrid.read(folder, format="tsfitpy").transform_labels("A_Li")
    train, held_out = grid.split(train_fraction=0.8, seed=42)
    model = PayneModel()
    model.train(
        train,
        train_fraction=0.95,
        max_time=float(minutes) * u.min,
        max_epochs=10**6,
        license="BSD-3-Clause",
    )
    # Half precision takes half the bytes. It would round the mean spectrum, near one, by up to
    # 2.4e-4 from pixel to pixel, which the fits' axis cannot follow: that stays as it is.
    network = model.network
    mean = network.pixels.bias.detach().clone()
    network.half().float()
    with torch.no_grad():
        network.pixels.bias.copy_(mean)
    names = ("medium", "resolution", "solar_scale", "training_labels", "history")
    parts = {name: getattr(model, name) for name in names}
    description = SpectralGrid.sample().meta["description"]
    description = description.replace("The first 300 of 2146", "2146")
    meta = {**model.meta, "grid": {**model.meta["grid"], "description": description}}
    model = PayneModel.from_network(network, model.labels, model.wavelength, **parts)
    residual = model.predict(held_out.labels).flux.value - held_out.flux
    meta["held_out"] = {
        "n": len(held_out),
        "rms": float(np.sqrt(np.mean(residual**2))),
        "split": "SpectralGrid.split(train_fraction=0.8, seed=42)",
    }
    model = model.replace(meta=meta)
    _, validation = train.split(0.95, seed=model.meta["training"]["seed"])
    model = model.measure_error(SpectralGrid.concatenate([validation, held_out]))
    components = model.error.components.astype(np.float16).astype(np.float32)
    model = model.replace(error=replace(model.error, components=components))
    print(model, model.meta["held_out"])
    model.write(Path(astropayne.__file__).parent / "data" / "sample_model.asdf", overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
