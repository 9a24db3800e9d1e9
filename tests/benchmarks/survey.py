# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What a star of a large survey costs: 33 780 pixels in three windows, 21 labels.

    python tests/benchmarks/survey.py [--stars 48]

No grid of that size is at hand. A network of the default's size, with random weights and a basis of
random lines, stands for its emulator; stars are its own spectra with noise (S/N 100), fitted for
all labels, velocity and rotation, with a continuum of degree one. One thread; times are of the
processor.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u
import numpy as np
import torch
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import PayneModel, fit_spectra
from astropayne.labels.space import LabelSpace
from astropayne.models import EmulatorError
from astropayne.networks.network import SpectralNetwork
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import C_KMS

WINDOWS, STEP, RESOLUTION, SNR = ((3926, 4355), (5160, 5730), (6100, 6790)), 0.05, 20000, 100
ELEMENTS = "C N O Na Mg Al Si Ca Sc Ti V Cr Mn Co Ni Ba Eu".split()
COMPONENTS, MEMBERS, PARTS, HIDDEN = 192, 2, 16, (96,) * 3
N_LINES, N_ERRORS = 6000, 32


def lines(wavelength, strengths, rng):
    """Return sums of lines at random places: strengths (k, n_lines) → (k, n_pixels)."""
    places = np.exp(rng.uniform(*np.log(wavelength[[0, -1]]), strengths.shape[1]))
    sigma = C_KMS / RESOLUTION / np.sqrt(8 * np.log(2))
    found = np.zeros((len(strengths), len(wavelength)))
    for place, strength in zip(places, strengths.T, strict=True):
        near = slice(*np.searchsorted(wavelength, place * np.array([0.9998, 1.0002])))
        profile = np.exp(-0.5 * (C_KMS * np.log(wavelength[near] / place) / sigma) ** 2)
        found[:, near] += strength[:, None] * profile
    return found


def a_model(rng):
    """Return an emulator of nothing, of the size that a survey's would have."""
    names = ["teff", "logg", "feh", "vmic", *(f"{element}_Fe" for element in ELEMENTS)]
    low = np.array([4000, 0.5, -2.5, 0.5, *[-0.5] * len(ELEMENTS)])
    high = np.array([7000, 5.0, 0.5, 2.5, *[0.5] * len(ELEMENTS)])
    wavelength = np.concatenate([a + STEP * np.arange(round((b - a) / STEP)) for a, b in WINDOWS])
    torch.manual_seed(0)
    network = SpectralNetwork(
        len(names), len(wavelength), HIDDEN, "gelu", "linear", COMPONENTS, MEMBERS, PARTS
    )
    depth = rng.exponential(0.05, N_LINES)
    size = 0.3 / np.arange(1, COMPONENTS + 1)
    strengths = rng.normal(size=(COMPONENTS, N_LINES)) * size[:, None] * depth
    with torch.no_grad():
        features = network.features(torch.rand(512, len(names)) - 0.5)
        every = torch.as_tensor(lines(wavelength, np.vstack([depth, strengths]), rng)).float()
        weight = -every[1:].T / features.std(0)
        network.pixels.weight.copy_(weight)
        network.pixels.bias.copy_(1 - every[0] - weight @ features.mean(0))
    errors = lines(wavelength, 0.001 * rng.normal(size=(N_ERRORS, 500)), rng)
    error = EmulatorError(
        to_vacuum(wavelength, "air"), np.full(len(wavelength), 0.001), np.zeros(len(wavelength)),
        components=errors, rest=np.full(len(wavelength), 0.0018),
        shift=np.diag(np.full(len(names), 1e-6)),
    )  # fmt: skip
    return PayneModel.from_network(
        network, LabelSpace(names, low, high), wavelength * u.AA, resolution=RESOLUTION,
        error=error,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=48)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    model = a_model(rng)
    space, n = model.labels, options.stars
    labels = space.minimum + rng.uniform(0.15, 0.85, (n, len(space))) * space.width
    motion = {"rv": rng.uniform(-200, 200, n), "vsini": rng.uniform(2, 25, n)}
    flux = model.predict(labels, **motion).flux.value
    stars = [
        Spectrum(
            spectral_axis=model.wavelength,
            flux=(row + rng.normal(0, 1 / SNR, row.size)) * u.one,
            uncertainty=StdDevUncertainty(np.full(row.size, 1 / SNR)),
            mask=~np.isfinite(row),
        )
        for row in flux
    ]
    known = {"continuum": 1, "fixed": {"vmac": 0.0}}
    for error in ("its", "no"):
        fit_spectra(stars[:2], model, **known)  # what is made once
        start = time.process_time()
        table = fit_spectra(stars, model, **known)
        each = (time.process_time() - start) / n
        pulls = np.column_stack(
            [(np.asarray(table[name]) - true) / np.asarray(table[f"{name}_err"])
             for name, true in zip(space.names, labels.T, strict=True)]
        )  # fmt: skip
        print(f"with {error} emulator error: {1e3 * each:.0f} ms a star, "
              f"{np.mean(table['iterations']):.1f} evaluations, "
              f"scatter of pulls {np.nanstd(pulls):.2f}")  # fmt: skip
        model = model.replace(error=None)


if __name__ == "__main__":
    main()
