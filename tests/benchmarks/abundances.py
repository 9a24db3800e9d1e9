# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances of spectra that the shipped network has not seen: pulls, limits, sensitivities, cost.

    python tests/benchmarks/abundances.py GRID [--stars 200] [--limits 429] [--cost 256] [--seed 6]

GRID is the folder of the full grid. Its second part, ``split(0.8, seed=42)``, was never trained
on. Spectra are rotated, degraded and shifted by plain convolutions in real space.

A line is truly below detection where the significance to expect of it is below 3 - 1.645, so that
noise lifts it over the threshold of 3 in less than 5 % of the stars. That significance is the root
of the sum over the pixels of the element's windows of (what the element takes away / noise)²,
without noise, at the true labels, as if everything else were known.

Limits beyond the model's range are judged with ranges that are cut on purpose: the grid has stars
above them, and the limits of the whole range to compare with.
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

from astropayne import LineList, PayneModel, SpectralGrid, fit_abundances, fit_spectra
from astropayne.abundances.options import ElementFlag
from astropayne.abundances.stages import Stage
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import to_vacuum

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
    """Return noisy spectra of all of a grid; how each was made is in its metadata."""
    wavelength, stars = grid.wavelength.value, []
    for flux in grid.flux:
        resolution, vsini = rng.uniform(12000, 19000), rng.uniform(1, 15)
        rv = rng.uniform(-50, 50)
        made = {"resolution": resolution, "true_vsini": vsini, "true_rv": rv}
        flux = broadened(wavelength, np.asarray(flux, float), resolution, 20000, vsini, rv)
        sigma = 1 / rng.choice(np.atleast_1d(snr))
        stars.append(
            Spectrum(
                spectral_axis=grid.wavelength,
                flux=(flux + rng.normal(0, sigma, flux.size)) * u.one,
                mask=~np.isfinite(flux),
                uncertainty=StdDevUncertainty(np.full(flux.size, sigma)),
                meta=made,
            )
        )
    return stars


def expected_significance(stars, labels, model, element):
    """Return the significance that noise-free lines of an element have, all else known."""
    name, more = LABELS[element], 0.1
    lowest, weak = labels.copy(), labels.copy()
    lowest[name] = model.labels.minimum[model.labels.index(name)]
    weak[name] = lowest[name] + more
    flux, low, above = (
        model.predict(table[list(model.labels.names)]).flux.value
        for table in (labels, lowest, weak)
    )
    without = low + (low - above) / (10**more - 1)  # weak lines grow tenfold a dex
    lines = LineList.sample().select(element)
    wavelength, found = model.wavelength.value, []
    for star, *fluxes in zip(stars, flux, without, strict=True):
        resolution, vsini, rv = (star.meta[n] for n in ("resolution", "true_vsini", "true_rv"))
        one, none = (broadened(wavelength, f, resolution, 20000, vsini, rv) for f in fluxes)
        rest = to_vacuum(wavelength, "air") * np.exp(-np.arctanh(rv / C_KMS))
        width = np.hypot(vsini, C_KMS * np.sqrt(resolution**-2 - 20000.0**-2))
        used = lines.inside_windows(rest, width).any(axis=0) & ~star.mask
        noise = star.uncertainty.array
        found.append(np.sqrt(np.sum(((none - one) / noise)[used] ** 2)))
    return np.array(found)


def tell_undetectable(table, stars, labels, model):
    """Say how many of the lines that are truly below detection come out as limits."""
    print("truly below detection: stars, limits, of these beyond the range, measured, neither")
    total = np.zeros(5, dtype=int)
    for element in ELEMENTS:
        below = expected_significance(stars, labels, model, element) < 3 - 1.645
        limited = ~np.ma.getmaskarray(table[f"{LABELS[element]}_upper_limit"]) & below
        beyond = limited & _beyond(table, element)
        measured = ~np.ma.getmaskarray(table[LABELS[element]]) & below
        neither = below & ~limited & ~measured
        counts = np.array([a.sum() for a in (below, limited, beyond, measured, neither)])
        total += counts
        print(f"{element:7s} {counts}")
    print(f"all     {total}: limits {total[1] / max(total[0], 1):.3f}")


def _beyond(table, element):
    return (np.asarray(table[f"{element}_flags"]) & ElementFlag.LIMIT_BEYOND_RANGE) > 0


def tell_beyond(table, stars, labels, model, ends=(("Na", 0.1), ("Al", 0.1), ("Li", 1.5))):
    """Cut ranges, and say what limits beyond them are worth."""
    print("ranges cut at: limits beyond, that hold, differences from those of the whole range:")
    print("number, median, robust std")
    for element, end in ends:
        name = LABELS[element]
        bounds = {name: (model.labels.minimum[model.labels.index(name)], end)}
        cut = fit_abundances(stars, model, [element], bounds=bounds)
        cut = _as_labels(cut, model) if element == "Li" else cut
        limit, whole = (
            np.ma.filled(np.ma.asarray(t[f"{name}_upper_limit"]), np.nan) for t in (cut, table)
        )
        some = _beyond(cut, element)
        holds = np.asarray(labels[name])[some] < limit[some]
        apart = (limit - whole)[some & ~_beyond(table, element)]
        apart = apart[np.isfinite(apart)]
        width = 1.4826 * np.median(np.abs(apart - np.median(apart)))
        print(f"{element:4s} {end:4.1f} {some.sum():5d} {holds.mean():6.3f} "
              f"{len(apart):5d} {np.median(apart):6.3f} {width:6.3f}")  # fmt: skip


def tell_sensitivities(held, model, n, shift=100.0):
    """Fix everything but one abundance, and the temperature too high or too low on purpose."""
    sigma = np.full(held.flux.shape[1], 1e-2)
    shifts = (-shift, -shift / 10, 0.0, shift / 10, shift)
    found = {e: [] for e in ELEMENTS}
    for flux, row in zip(held.flux[:n], held.labels[:n], strict=True):
        star = Spectrum(
            spectral_axis=held.wavelength,
            flux=flux * u.one,
            uncertainty=StdDevUncertainty(sigma),
        )
        true = {name: u.Quantity(row[name]).value for name in model.labels.names}
        true |= {"rv": 0.0, "vsini": 0.01}
        rows = [
            fit_abundances([star], model, _one_by_one(true | {"teff": true["teff"] + more}))[0]
            for more in shifts
        ]
        k = rows[0].meta["by"].index("teff")
        for e in ELEMENTS:
            if not any(one[f"{e}_flags"] for one in rows):
                values = [one[f"{e}_Fe"] for one in rows]
                told = [one[f"{e}_sensitivity"][k] for one in rows]
                found[e].append((*values, *told, rows[2][f"{e}_Fe_err"]))
    print(
        f"teff ± {shift:.0f} K: stars; slope over sensitivity of a step up, of both steps together,"
    )
    print("of steps of a tenth; of a step up over the mean sensitivity of its ends; share of stars")
    print("within 10 % or a tenth of the error: a step up, both, a tenth, the mean of the ends")
    for e in ELEMENTS:
        low, less, here, more, high, *told, error = np.transpose(found[e])
        at, ends = shift * told[2], 0.5 * shift * (told[2] + told[4])
        pairs = (
            (high - here, at),
            ((high - low) / 2, at),
            (5 * (more - less), at),
            (high - here, ends),
        )
        slopes = [(moved * t).sum() / (t * t).sum() for moved, t in pairs]
        good = [np.mean(np.abs(moved - t) < np.maximum(0.1 * np.abs(t), 0.1 * error))
                for moved, t in pairs]  # fmt: skip
        print(f"{e:7s} {len(here):4d} ", *(f"{x:6.2f}" for x in (*slopes, *good)))


def _one_by_one(true):
    """Return stages that measure each element with all else fixed."""
    stages, before = [Stage()], true
    for e in ELEMENTS:
        fixed = {name: value for name, value in before.items() if name != LABELS[e]}
        stages.append(Stage([e], fixed=fixed, free=[LABELS[e]]))
        before = {LABELS[e]: true[LABELS[e]]}
    return stages


def tell_pulls(table, truth):
    print("element measured limits none  median  scatter  limits hold")
    everything, inside = [], []
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
        inside += (~_beyond(table, e)[some]).tolist()
        scatter = 1.4826 * np.median(np.abs(pull - np.median(pull)))
        print(
            f"{e:7s} {len(pull):8d} {some.sum():6d} {len(value) - len(pull) - some.sum():4d} "
            f"{np.median(pull):7.2f} {scatter:8.2f}     {holds.mean() if len(holds) else 0:.3f}"
        )
    everything, inside = np.array(everything), np.array(inside, dtype=bool)
    for what, some in (("all", everything), ("within the range", everything[inside])):
        error = np.sqrt(0.05 * 0.95 / max(len(some), 1))
        print(f"{what}: {np.mean(some):.3f} ± {error:.3f} of {len(some)} limits hold")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid")
    parser.add_argument("--stars", type=int, default=200)
    parser.add_argument("--limits", type=int, default=429)
    parser.add_argument("--cost", type=int, default=256)
    parser.add_argument("--shift", type=int, default=40)
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    model, rng = PayneModel.sample(), np.random.default_rng(options.seed)
    grid = SpectralGrid.read(options.grid, format="tsfitpy").transform_labels("A_Li")
    held = grid.split(0.8, seed=42)[1]
    if options.stars:
        some = held[: options.stars]
        stars = observed(some, 100, rng)
        start = time.process_time()
        table = fit_abundances(stars, model, ELEMENTS, convention="X_Fe")
        print(f"S/N 100, {time.process_time() - start:.0f} s")
        tell_pulls(_as_labels(table, model), some.labels)
        tell_undetectable(table, stars, some.labels, model)
    if options.limits:
        some = held[: options.limits]
        stars = observed(some, [15, 25, 40], rng)
        table = _as_labels(fit_abundances(stars, model, ELEMENTS), model)
        print("S/N 15 to 40")
        tell_pulls(table, some.labels)
        tell_undetectable(table, stars, some.labels, model)
        tell_beyond(table, stars, some.labels, model)
    if options.shift:
        tell_sensitivities(held, model, options.shift)
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
    from astropayne.labels.solar import solar_scale

    solar = solar_scale(model.solar_scale)["Li"]
    for suffix in ("", "_upper_limit"):
        table[f"A_Li{suffix}"] = table[f"Li_Fe{suffix}"] + np.asarray(table["feh"]) + solar
    table["A_Li_err"] = table["Li_Fe_err"]
    return table


if __name__ == "__main__":
    main()
