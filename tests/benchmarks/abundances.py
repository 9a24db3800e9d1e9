# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances of spectra that the shipped network has not seen: pulls, limits, sensitivities, cost.

    python tests/benchmarks/abundances.py GRID [--stars 200] [--limits 429] [--cost 256]

GRID is the folder of the full grid. Its second part, ``split(0.8, seed=42)``, was never trained
on. Spectra are rotated, degraded and shifted by plain convolutions in real space.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from scipy.interpolate import CubicSpline
from specutils import Spectrum

from astropayne import PayneModel, SpectralGrid, fit_abundances, fit_spectra
from astropayne.wavelengths import find_windows

ELEMENTS = ("Mg", "Ca", "Ti", "Na", "Al", "Ni", "Ba", "Li")
LABELS = {e: f"{e}_Fe" if e != "Li" else "A_Li" for e in ELEMENTS}
C_KMS, STEP = 299792.458, 0.5  # km/s


def broadened(wavelength, flux, resolution, of_grid, vsini, rv, epsilon=0.6):
    """Convolve with a rotation profile and a Gaussian, in real space, and shift."""
    out = np.full(flux.shape, np.nan)
    fwhm = C_KMS * np.sqrt(resolution**-2 - of_grid**-2)
    sigma = fwhm / 2.3548200450309493
    v = STEP * np.arange(-round(vsini / STEP) - 1, round(vsini / STEP) + 2)
    edges = np.clip((v[:, None] + STEP * np.linspace(-0.5, 0.5, 41)) / vsini, -1, 1)
    profile = 2 * (1 - epsilon) * np.sqrt(1 - edges**2) + np.pi / 2 * epsilon * (1 - edges**2)
    rotation = profile.mean(axis=1)
    g = STEP * np.arange(-round(5 * sigma / STEP) - 1, round(5 * sigma / STEP) + 2)
    kernel = np.convolve(rotation, np.exp(-0.5 * (g / sigma) ** 2))
    kernel /= kernel.sum()
    reach = STEP * len(kernel) / 2 + abs(rv) + 5
    for w in find_windows(wavelength):
        log = np.log(wavelength[w])
        fine = np.arange(log[0], log[-1], STEP / C_KMS)
        smooth = np.convolve(CubicSpline(log, flux[w])(fine), kernel, mode="same")
        rest = log - np.arctanh(rv / C_KMS)
        inside = (rest > log[0] + reach / C_KMS) & (rest < log[-1] - reach / C_KMS)
        out[w] = np.where(inside, CubicSpline(fine, smooth)(np.clip(rest, *fine[[0, -1]])), np.nan)
    return out


def observed(grid, snr, rng):
    """Return noisy spectra of all of a grid."""
    wavelength, stars = grid.wavelength.value, []
    for flux in grid.flux:
        resolution, vsini = rng.uniform(12000, 19000), rng.uniform(1, 15)
        rv = rng.uniform(-50, 50)
        flux = broadened(wavelength, np.asarray(flux, float), resolution, 20000, vsini, rv)
        sigma = 1 / rng.choice(np.atleast_1d(snr))
        stars.append(
            Spectrum(
                spectral_axis=grid.wavelength,
                flux=(flux + rng.normal(0, sigma, flux.size)) * u.one,
                mask=~np.isfinite(flux),
                uncertainty=StdDevUncertainty(np.full(flux.size, sigma)),
                meta={"resolution": resolution},
            )
        )
    return stars


def tell_pulls(table, truth):
    print("element measured limits none  median  scatter  limits hold")
    everything = []
    for e in ELEMENTS:
        name, true = LABELS[e], np.asarray(truth[LABELS[e]])
        value, error, limit = (
            np.ma.filled(np.ma.asarray(table[n]), np.nan)
            for n in (name, f"{name}_err", f"{name}_upper_limit")
        )
        pull = ((value - true) / error)[np.isfinite(value)]
        some = np.isfinite(limit)
        holds = (true < limit)[some]
        everything += holds.tolist()
        scatter = 1.4826 * np.median(np.abs(pull - np.median(pull)))
        print(
            f"{e:7s} {len(pull):8d} {some.sum():6d} {len(value) - len(pull) - some.sum():4d} "
            f"{np.median(pull):7.2f} {scatter:8.2f}     {holds.mean() if len(holds) else 0:.3f}"
        )
    n = len(everything)
    print(
        f"all {n} limits: {np.mean(everything):.3f} ± {np.sqrt(0.05 * 0.95 / max(n, 1)):.3f} hold"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid")
    parser.add_argument("--stars", type=int, default=200)
    parser.add_argument("--limits", type=int, default=429)
    parser.add_argument("--cost", type=int, default=256)
    options = parser.parse_args()
    model, rng = PayneModel.sample(), np.random.default_rng(6)
    grid = SpectralGrid.read(options.grid, format="tsfitpy").transform_labels("A_Li")
    held = grid.split(0.8, seed=42)[1]
    if options.stars:
        some = held[: options.stars]
        stars = observed(some, 100, rng)
        start = time.process_time()
        table = fit_abundances(stars, model, ELEMENTS, convention="X_Fe")
        print(f"S/N 100, {time.process_time() - start:.0f} s")
        tell_pulls(_as_labels(table, model), some.labels)
    if options.limits:
        some = held[: options.limits]
        stars = observed(some, [15, 25, 40], rng)
        table = fit_abundances(stars, model, ELEMENTS)
        print("S/N 15 to 40")
        tell_pulls(_as_labels(table, model), some.labels)
    if options.cost:
        n = options.cost
        stars = observed(held[np.arange(n) % len(held)], 100, rng)
        fit_spectra(stars[:4], model)
        alone = both = 0.0
        for part in np.array_split(np.arange(n), max(1, n // 64)):
            mine = [stars[i] for i in part]
            start = time.process_time()
            fit_spectra(mine, model)
            middle = time.process_time()
            fit_abundances(mine, model, ELEMENTS)
            alone, both = alone + middle - start, both + time.process_time() - middle
        print(f"{n} stars: labels {1e3 * alone / n:.1f} ms a star, "
              f"with 8 elements {both / alone:.2f} times that")  # fmt: skip


def _as_labels(table, model):
    """Give lithium as A(Li), which the grid has."""
    from astropayne.abundances import solar_scale

    solar = solar_scale(model.solar_scale)["Li"]
    for suffix in ("", "_upper_limit"):
        table[f"A_Li{suffix}"] = table[f"Li_Fe{suffix}"] + np.asarray(table["feh"]) + solar
    table["A_Li_err"] = table["Li_Fe_err"]
    return table


if __name__ == "__main__":
    main()
