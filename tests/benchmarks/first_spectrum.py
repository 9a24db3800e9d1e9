"""How well do fits without options do?

    python tests/benchmarks/first_spectrum.py [N_STARS]      synthetic spectra
    python tests/benchmarks/first_spectrum.py FOLDER         observed stars, each left out once

Synthetic spectra of the sample grid have rotation, a velocity, an instrument of unknown resolution,
lines whose depths are wrong by 30 % (1 σ, independent in each resolution element), a tilted or
curved continuum in counts, noise of S/N 100 and no uncertainties. A star fails if Teff is off by
more than 3 of its standard deviations, and in silence if no flag of the fit says so. Perfect
spectra (normalized, with uncertainties and resolution) are fitted with and without ``auto``.

FOLDER holds the stars of docs/scripts/calibrate_sample_model.py. The calibration of a star's fit is
made without it.
"""

import runpy
import sys
import time
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import (
    Flag,
    PayneModel,
    SpectralGrid,
    broaden_spectrum,
    calibrate,
    fit_spectra,
    fit_spectrum,
)

TELLING = (
    Flag.BAD_INPUT | Flag.POOR_FIT | Flag.OUT_OF_RANGE | Flag.NOT_CONVERGED | Flag.SINGULAR
    | Flag.VELOCITY_AMBIGUOUS | Flag.OUTSIDE_COVERAGE
)  # fmt: skip
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip


def synthetic(grid, rng, *, perfect):
    """Return a spectrum of a random star, and its labels."""
    star = grid[int(rng.integers(len(grid)))]
    resolution = np.exp(rng.uniform(np.log(8000), np.log(19000)))
    widths = {"rv": rng.uniform(-150, 150), "vsini": rng.uniform(0, 15)}
    broad = broaden_spectrum(star, **widths, resolution=resolution)
    flux, x = broad.flux.value, np.log(broad.spectral_axis.value)
    level, sigma = np.ones(len(x)), 0.01
    if not perfect:
        knots = np.arange(x[0], x[-1] + 1e-4, 1 / resolution)
        factor = 1 + np.interp(x, knots, rng.normal(0, 0.3, len(knots)))
        flux = 1 - np.clip(factor, 0, None) * (1 - flux)
        away = (x - x.mean()) / np.ptp(x)
        level = 10 ** rng.uniform(1, 5) * (1 + rng.uniform(-1, 1) * away)
        starts = np.flatnonzero(np.diff(x) > 1e-3) + 1
        for part in np.split(np.arange(len(x)), starts):  # a blaze in each window
            within = (x[part] - x[part].mean()) / np.ptp(x[part])
            level[part] *= 1 - rng.uniform(0, 1) * (within - rng.uniform(-0.3, 0.3)) ** 2
    flux = flux * level + rng.normal(0, sigma, len(x)) * level
    good = np.isfinite(flux)
    spectrum = Spectrum(
        spectral_axis=broad.spectral_axis[good], flux=flux[good] * u.one,
        uncertainty=StdDevUncertainty(np.full(good.sum(), sigma)) if perfect else None,
        meta={"medium": star.meta["medium"]},
    )  # fmt: skip
    if perfect:
        spectrum.meta["resolution"] = resolution
    return spectrum, star.meta["teff"].value


def judge(table, truth):
    """Print the shares of stars that fail, and that fail in silence."""
    pull = (table["teff"].value - truth) / table["teff_err"].value
    told = (table["flags"] & int(TELLING)) != 0
    failed = ~(np.abs(pull) < 3)
    silent = failed & ~told & np.isfinite(pull)
    scatter = 1.4826 * np.nanmedian(np.abs(pull - np.nanmedian(pull)))
    print(f"  failed {failed.mean():.3f}, in silence {silent.mean():.3f}; scatter {scatter:.2f}")


def stars(n):
    """Fit synthetic stars."""
    model, rng = PayneModel.sample(), np.random.default_rng(11)
    grid = SpectralGrid.sample().transform_labels("A_Li")
    spectra, truth = zip(*(synthetic(grid, rng, perfect=False) for _ in range(n)), strict=True)
    for what, options in (("auto", {}), ("continuum=2, as before", {**EXACT, "continuum": 2})):
        print(what)
        judge(fit_spectra(spectra, model, progress=False, **options), np.array(truth))
    spectra, truth = zip(*(synthetic(grid, rng, perfect=True) for _ in range(n)), strict=True)
    found = {}
    for what, options in (("perfect, auto", {}), ("perfect, exact", EXACT)):
        start = time.process_time()
        found[what] = fit_spectra(spectra, model, progress=False, **options)
        print(f"{what}: {1e3 * (time.process_time() - start) / n:.1f} ms a star")
        judge(found[what], np.array(truth))
    for name in ("teff", "logg", "feh"):
        one, other = (np.asarray(table[f"{name}_err"]) for table in found.values())
        print(f"  errors of {name}, auto over exact: {np.nanmedian(one / other):.3f}")


def observed(folder):
    """Fit observed stars without options, each with a calibration by the others."""
    script = Path(__file__).parents[2] / "docs" / "scripts" / "calibrate_sample_model.py"
    names = runpy.run_path(str(script))
    spectra = [names["read"](Path(folder) / row[0], row[2]) for row in names["SPECTRA"]]
    known = [dict(zip(("teff", "logg", "feh", "vmic"), row[3:], strict=True))
             for row in names["SPECTRA"]]  # fmt: skip
    of_star = [row[1] for row in names["SPECTRA"]]
    model = PayneModel.sample().replace(calibration=None)
    for i, truth in enumerate(known):
        others = [k for k in range(len(known)) if of_star[k] != of_star[i]]
        labels = {name: [known[k][name] for k in others] for name in truth}
        used = calibrate(model, [spectra[k] for k in others], labels,
                         names=[of_star[k] for k in others])  # fmt: skip
        spectrum = spectra[i]
        del spectrum.meta["resolution"]
        for what, one in (("without", model), ("left out", used)):
            result = fit_spectrum(spectrum, one)
            text = ", ".join(
                f"{name} {result.labels[name].value:.2f} ± {result.errors[name].value:.2f}"
                for name in (*truth, "rv")
            )
            print(f"{names['SPECTRA'][i][0]} ({what}): {text}; {result.flags!s}")
        spectrum.meta["resolution"] = names["SPECTRA"][i][2]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = sys.argv[1] if len(sys.argv) > 1 else "300"
    stars(int(given)) if given.isdigit() else observed(given)
