# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Can the errors be believed? Pulls on spectra that the network was not trained on.

    python tests/benchmarks/pulls.py GRID [--stars N] [--draws 3] [--snr 50 100 200]

Spectra of the grid that had no part in the training of the shipped network are broadened in real
space by the code below, not the package's, moved, tilted, and get noise, each several times. The
emulator's error that fits count is measured on other spectra than those fitted: on each half, and
the spectra that chose the network, for the other half. Printed are, for each label, median and
robust scatter of (fitted - true) / error over the stars in which it is measured, of all and of
cool dwarfs, the scatter over the Cramér-Rao limit of photon noise at the lowest S/N, and how many
velocities are wrong or ambiguous. What is behind ± is from drawing the spectra anew with
replacement: draws of one spectrum share the emulator's error there, and say little more than one.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.stats import mad_std
from astropy.table import vstack
from scipy.interpolate import CubicSpline
from scipy.signal import fftconvolve
from specutils import Spectrum

from astropayne import Flag, PayneModel, SpectralGrid, fit_spectra
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import C_KMS

STEP = 0.5  # km/s, of the fine axis
HALVES = (slice(0, None, 2), slice(1, None, 2))


def rotation_kernel(vsini, epsilon=0.6):
    """Gray 2005, eq. 18.14, each sample the mean over its width."""
    n = int(np.ceil(vsini / STEP))
    fine = (np.arange(-n * 20 - 10, n * 20 + 10) + 0.5) / 20 * STEP / vsini
    y = np.clip(1 - fine**2, 0, None)
    kernel = 2 * (1 - epsilon) * np.sqrt(y) + 0.5 * np.pi * epsilon * y
    kernel = kernel.reshape(-1, 20).sum(axis=1)
    return kernel / kernel.sum()


def gaussian_kernel(fwhm):
    sigma = fwhm / np.sqrt(8 * np.log(2)) / STEP
    x = np.arange(-int(6 * sigma) - 1, int(6 * sigma) + 2)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    return kernel / kernel.sum()


def observe(wavelength, flux, rv, vsini, fwhm):
    """Return the flux at the same wavelengths (vacuum) of a star that moves and rotates."""
    out, doppler = np.ones_like(flux), np.sqrt((1 + rv / C_KMS) / (1 - rv / C_KMS))
    for w in find_windows(wavelength):
        log = np.log(wavelength[w])
        axis = np.arange(log[0], log[-1], STEP / C_KMS)
        row = 1 - CubicSpline(log, flux[w])(axis)
        for kernel in (rotation_kernel(vsini), gaussian_kernel(fwhm)):
            row = fftconvolve(row, kernel, mode="same")
        moved = np.exp(axis) * doppler
        inside = (wavelength >= moved[0]) & (wavelength <= moved[-1])
        out[inside] = 1 - CubicSpline(moved, row)(wavelength[inside])
    return out


def make_stars(model, spectra, snr, rng):
    """Return observed spectra, and their true velocities and rotation."""
    axis, stars, velocities = model.vacuum_wavelength, [], []
    for flux, s in zip(np.asarray(spectra.flux, dtype=float), snr, strict=True):
        rv, vsini = rng.uniform(-300, 300), rng.uniform(0.5, 30)
        resolution = rng.uniform(10000, 20000)
        fwhm = C_KMS * np.sqrt(resolution**-2 - model.resolution**-2)
        tilt = 1 + rng.uniform(-0.1, 0.1) * (axis - axis.mean()) / np.ptp(axis)
        seen = tilt * observe(axis, flux, rv, vsini, fwhm)
        stars.append(
            Spectrum(
                spectral_axis=model.wavelength,
                flux=(seen + rng.normal(0, 1 / s, len(seen))) * u.one,
                uncertainty=StdDevUncertainty(np.full(len(seen), 1 / s)),
                meta={"resolution": resolution},
            )
        )
        velocities.append((rv, vsini))
    return stars, np.array(velocities)


def fit_by_halves(stars, row, unseen, others):
    """Fit each half of the spectra with the emulator's error of the other half and of others."""
    tables = []
    for mine, other in zip(HALVES, HALVES[::-1], strict=True):
        spectra = SpectralGrid.concatenate([others, unseen[other]])
        model = PayneModel.sample().measure_error(spectra)
        chosen = np.isin(row, np.arange(len(unseen))[mine])
        some = [star for star, used in zip(stars, chosen, strict=True) if used]
        tables.append(fit_spectra(some, model, continuum=1, progress=False))
        tables[-1]["star"] = np.flatnonzero(chosen)
    table = vstack(tables, metadata_conflicts="silent")
    table.sort("star")
    return table


def sampled(statistic, values, row, rng, n=200):
    """Return a statistic of values that are finite, ± its scatter for spectra drawn anew."""
    value, row = values[np.isfinite(values)], row[np.isfinite(values)]
    if len(np.unique(row)) < 10:
        return f"{'':14s}"
    by_spectrum = [value[row == i] for i in np.unique(row)]
    again = [
        statistic(
            np.concatenate(
                [by_spectrum[i] for i in rng.integers(0, len(by_spectrum), len(by_spectrum))]
            )
        )
        for _ in range(n)
    ]
    return f"{statistic(value):7.2f} ± {np.std(again):4.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid")
    parser.add_argument("--stars", type=int, help="spectra; by default all that are held out")
    parser.add_argument("--draws", type=int, default=3, help="of noise and velocities, of each")
    parser.add_argument("--snr", type=float, nargs="+", default=[50, 100, 200])
    options = parser.parse_args()
    model, rng = PayneModel.sample(), np.random.default_rng(5)
    grid = SpectralGrid.read(options.grid, format="tsfitpy").transform_labels("A_Li")
    train, unseen = grid.split(train_fraction=0.8, seed=42)
    _, chose = train.split(0.95, seed=model.meta["training"]["seed"])
    n = options.stars or len(unseen)
    unseen = unseen[np.sort(rng.choice(len(unseen), n, replace=False))]
    assert np.allclose(to_vacuum(grid.wavelength.value, "air"), model.vacuum_wavelength)
    row = np.tile(np.arange(n), options.draws)
    snr = rng.choice(options.snr, len(row))
    stars, velocities = make_stars(model, unseen[row], snr, rng)
    truth = {name: np.asarray(unseen.labels[name])[row] for name in model.labels.names}
    truth |= dict(zip(("rv", "vsini"), velocities.T, strict=True))
    table = fit_by_halves(stars, row, unseen, chose)
    photons = PayneModel.sample().replace(error=None)
    faint = snr == min(options.snr)
    limit = fit_spectra([s for s, f in zip(stars, faint, strict=True) if f], photons, continuum=1)

    cool = (truth["teff"] < 4700) & (truth["logg"] > 4)
    print("label          median        scatter   cool dwarfs'  measured   over Cramér-Rao")
    for name, true in truth.items():
        away = np.asarray(table[name]) - true
        pull, ratio = (
            away / np.asarray(table[f"{name}_err"]),
            away[faint] / np.asarray(limit[f"{name}_err"]),
        )
        columns = [
            sampled(np.median, pull, row, rng),
            sampled(mad_std, pull, row, rng),
            sampled(mad_std, pull[cool], row[cool], rng),
            f"{np.isfinite(pull).sum():9d}  ",
            sampled(mad_std, ratio, row[faint], rng),
        ]
        print(f"{name:6s}", *columns)
    wrong = np.abs(np.asarray(table["rv"]) - truth["rv"]) > 10
    ambiguous = (table["flags"] & Flag.VELOCITY_AMBIGUOUS) > 0
    limited = (table["flags"] & Flag.EMULATOR_LIMITED) > 0
    print(f"velocities: {wrong.sum()} wrong, {ambiguous.sum()} ambiguous, of {len(table)}")
    print(f"limited by the emulator: {limited.sum()}, of cool dwarfs' {(limited & cool).sum()}")
    stopped = ((table["flags"] & Flag.NOT_CONVERGED) > 0).sum()
    poor = ((table["flags"] & Flag.POOR_FIT) > 0).sum()
    ratio = np.median(table["chi2"] / table["dof"])
    print(f"not converged: {stopped}; poor: {poor}; chi2 / dof: {ratio:.3f} (median)")
    print(f"sum of chi2: {np.nansum(table['chi2']):.1f}; evaluations: {table['iterations'].mean()}")


if __name__ == "__main__":
    main()
