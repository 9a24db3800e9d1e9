# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Can the errors be believed? Pulls on spectra that the network was not trained on.

    python tests/benchmarks/pulls.py GRID [--stars 300]

Spectra of the grid that had no part in the training of the shipped network are broadened in real
space by the code below, not the package's, moved, tilted, and get noise. Printed are, for each
label, median and robust scatter of (fitted - true) / error over the stars in which it is measured,
the scatter against the Cramér-Rao limit of photon noise at S/N 50, and how many velocities are
wrong or ambiguous.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.stats import mad_std
from scipy.interpolate import CubicSpline
from scipy.signal import fftconvolve
from specutils import Spectrum

from astropayne import Flag, PayneModel, SpectralGrid, fit_spectra
from astropayne.wavelengths import C_KMS, find_windows, to_vacuum

STEP = 0.5  # km/s, of the fine axis
SNR = (50, 100, 200)


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


def make_stars(model, spectra, rng):
    """Return observed spectra, their true parameters, and their S/N."""
    axis, (low, high) = model.vacuum_wavelength, np.array([10000, 20000])
    stars, velocities, snr = [], [], rng.choice(SNR, len(spectra.flux))
    for flux, s in zip(np.asarray(spectra.flux, dtype=float), snr, strict=True):
        rv, vsini, resolution = rng.uniform(-300, 300), rng.uniform(0.5, 30), rng.uniform(low, high)
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
    return stars, np.array(velocities), snr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid")
    parser.add_argument("--stars", type=int, default=300)
    options = parser.parse_args()
    model, rng = PayneModel.sample(), np.random.default_rng(5)
    grid = SpectralGrid.read(options.grid, format="tsfitpy").transform_labels("A_Li")
    _, unseen = grid.split(train_fraction=0.8, seed=42)
    rows = rng.choice(len(unseen), options.stars, replace=False)
    unseen = unseen[np.sort(rows)]
    assert np.allclose(to_vacuum(grid.wavelength.value, "air"), model.vacuum_wavelength)
    stars, velocities, snr = make_stars(model, unseen, rng)
    truth = {name: np.asarray(unseen.labels[name]) for name in model.labels.names}
    truth |= dict(zip(("rv", "vsini"), velocities.T, strict=True))
    table = fit_spectra(stars, model, continuum=1, progress=False)
    photons = PayneModel.sample()
    photons.error = photons.bias = photons.error_components = photons.error_rest = None
    faint = snr == 50
    limit = fit_spectra([s for s, f in zip(stars, faint, strict=True) if f], photons, continuum=1)

    print("label    median  scatter  measured   S/N 50: scatter / Cramér-Rao")
    for name, true in truth.items():
        away, error = np.asarray(table[name]) - true, np.asarray(table[f"{name}_err"])
        used = np.isfinite(away) & np.isfinite(error)
        pull = (away / error)[used]
        print(f"{name:7s} {np.median(pull):7.2f} {mad_std(pull):8.2f} {used.sum():9d}", end="")
        ratio = away[faint] / np.asarray(limit[f"{name}_err"])
        print(f" {mad_std(ratio[np.isfinite(ratio)]):14.2f}")
    wrong = np.abs(np.asarray(table["rv"]) - truth["rv"]) > 10
    ambiguous = (table["flags"] & Flag.VELOCITY_AMBIGUOUS) > 0
    print(f"velocities: {wrong.sum()} wrong, {ambiguous.sum()} ambiguous, of {len(table)}")
    stopped = ((table["flags"] & Flag.NOT_CONVERGED) > 0).sum()
    poor = ((table["flags"] & Flag.POOR_FIT) > 0).sum()
    ratio = np.median(table["chi2"] / table["dof"])
    print(f"not converged: {stopped}; poor: {poor}; chi2 / dof: {ratio:.3f} (median)")
    print(f"sum of chi2: {np.nansum(table['chi2']):.1f}; evaluations: {table['iterations'].mean()}")


if __name__ == "__main__":
    main()
