# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""How often is a fit wrong without saying so, also of spectra that are not what they seem?

    python tests/benchmarks/silent.py GRID [--stars 200]

Spectra of the grid that had no part in the training of the shipped network are observed as in
pulls.py, with S/N from 20 to 300, and then spoilt. A star counts as wrong if a label, the velocity
or the rotation is off by more than five of its errors, and as silent if no flag says that something
is the matter; that a label has little information, that the emulator limits, or that the noise is
guessed, does not. Beside them is the median of (fitted - true) / error of some parameters.
"""

import argparse

import astropy.units as u
import numpy as np
from pulls import make_stars, observe
from specutils import Spectrum

from astropayne import Flag, PayneModel, SpectralGrid, fit_spectra
from astropayne.wavelengths.velocity import C_KMS

NOT_TELLING = Flag.LOW_INFORMATION | Flag.EMULATOR_LIMITED | Flag.NO_UNCERTAINTY
SHOWN = ("teff", "logg", "feh", "rv", "vsini")


def changed(star, flux=None, resolution=None):
    """Return a spectrum with another flux, or another resolution said of it."""
    return Spectrum(
        spectral_axis=star.spectral_axis,
        flux=star.flux if flux is None else flux * u.one,
        uncertainty=star.uncertainty,
        meta={"resolution": resolution or star.meta["resolution"]},
    )


def with_companion(model, star, flux, velocities, rng):
    """Return the spectrum of two stars, the other one having 10 to 50 % of the light."""
    share, rv = rng.uniform(0.1, 0.5), velocities[0] + rng.uniform(-100, 100)
    fwhm = C_KMS * np.sqrt(star.meta["resolution"] ** -2 - model.resolution**-2)
    other = observe(model.vacuum_wavelength, flux, rv, rng.uniform(0.5, 30), fwhm)
    return changed(star, (1 - share) * star.flux.value + share * other)


def with_cosmics(star, rng, n=25):
    """Return the spectrum with pixels that are too bright, by up to three times the continuum."""
    flux = star.flux.value.copy()
    flux[rng.choice(len(flux), n, replace=False)] += rng.uniform(0.1, 3, n)
    return changed(star, flux)


def report(what, table, truth):
    """Print how many of the stars are wrong, and how many of these do not say so."""
    pulls = {
        name: (np.asarray(table[name]) - true) / np.asarray(table[f"{name}_err"])
        for name, true in truth.items()
    }
    wrong = np.any([np.abs(pull) > 5 for pull in pulls.values()], axis=0)  # not for NaN
    telling = (table["flags"] & ~int(NOT_TELLING)) > 0
    medians = "  ".join(f"{name} {np.nanmedian(pulls[name]):5.1f}" for name in SHOWN)
    print(f"{what:28s} {wrong.sum():4d} {(wrong & ~telling).sum():4d} of {len(table)}  {medians}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid")
    parser.add_argument("--stars", type=int, default=200, help="of each kind")
    options = parser.parse_args()
    model, rng = PayneModel.sample(), np.random.default_rng(8)
    grid = SpectralGrid.read(options.grid, format="tsfitpy").transform_labels("A_Li")
    unseen = grid.split(train_fraction=0.8, seed=42)[1]
    row, companion = (rng.integers(0, len(unseen), options.stars) for _ in range(2))
    snr = np.exp(rng.uniform(np.log(20), np.log(300), len(row)))
    stars, velocities = make_stars(model, unseen[row], snr, rng)
    truth = {name: np.asarray(unseen.labels[name])[row] for name in model.labels.names}
    truth |= dict(zip(("rv", "vsini"), velocities.T, strict=True))
    others = np.asarray(unseen.flux[companion], dtype=float)
    struck = [with_cosmics(star, rng) for star in stars]
    print(f"{'':28s} wrong silent     medians of (fitted - true) / error")
    for what, spoilt, more in (
        ("as they are", stars, {}),
        ("R said 10 % too high",
         [changed(s, resolution=min(1.1 * s.meta["resolution"], model.resolution))
          for s in stars], {}),
        ("R said 10 % too low",
         [changed(s, resolution=s.meta["resolution"] / 1.1) for s in stars], {}),
        ("two stars",
         [with_companion(model, *star, rng)
          for star in zip(stars, others, velocities, strict=True)], {}),
        ("25 cosmic rays", struck, {}),
        ("25 cosmic rays, huber", struck, {"loss": "huber"}),
    ):  # fmt: skip
        report(what, fit_spectra(spoilt, model, continuum=1, progress=False, **more), truth)


if __name__ == "__main__":
    main()
