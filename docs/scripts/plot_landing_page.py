# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Draw the picture on the landing page: the fit of an observed spectrum of 18 Sco.

    ASTROPAYNE_TEST_OBSERVED=FOLDER python docs/scripts/plot_landing_page.py

The folder contains ``18sco_HARPS_R32K.fits``, a normalized HARPS spectrum at R = 32000 (ESO).
The environment variable is the one that the tests use.
"""

import os
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt

from astropayne import PayneModel, fit_spectrum, read_spectrum
from astropayne.wavelengths.media import to_air

OBSERVED, MODEL, RESIDUALS = "0.1", "#D55E00", "0.5"
SHOWN = (5161.0, 5199.0)  # Angstrom
LINES = {5167.32: "Mg I", 5172.68: "Mg I", 5183.60: "Mg I", 5169.03: "Fe II", 5188.69: "Ti II"}


def fit_18_sco(folder):
    """Fit 18 Sco without options, and return the fit and the regions that it excludes."""
    model = PayneModel.sample()
    result = fit_spectrum(read_spectrum(Path(folder) / "18sco_HARPS_R32K.fits"), model)
    excluded = [
        (low.to_value(u.AA), high.to_value(u.AA)) for low, high in model.untrusted.subregions
    ]
    return result, excluded


def plot(result, excluded):
    """Draw the observed spectrum, the best fit and the residuals; the fit excludes gray regions."""
    # Spectra that a fit smooths are in vacuum.
    wavelength = to_air(result.observed.spectral_axis.to_value(u.AA))
    observed, fitted = result.observed.flux.value, result.best_fit.flux.value
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(10, 4), sharex=True, height_ratios=(4, 1), layout="constrained"
    )
    upper.plot(wavelength, observed, ".", ms=3.5, color=OBSERVED, label="18 Sco, HARPS")
    upper.plot(wavelength, fitted, lw=1.2, color=MODEL, label="best fit")
    lower.plot(wavelength, observed - fitted, lw=0.8, color=RESIDUALS)
    lower.axhline(0, color=MODEL, lw=0.8)
    for line, name in LINES.items():
        upper.text(line, 1.05, name, ha="center", va="bottom", fontsize=8, color="0.3")
    labels, errors = result.labels, result.errors
    text = (
        f"$T_\\mathrm{{eff}}$ = {labels['teff'].value:.0f} ± {errors['teff'].value:.0f} K\n"
        f"log g = {labels['logg']:.2f} ± {errors['logg']:.2f}\n"
        f"[Fe/H] = {labels['feh']:.2f} ± {errors['feh']:.2f}"
    )
    upper.text(5189.5, 0.04, text.replace("-", "−"), ha="left", va="bottom", fontsize=9)
    for low, high in excluded:
        upper.axvspan(low, high, color="0.92", zorder=0)
        lower.axvspan(low, high, color="0.92", zorder=0)
    upper.legend(loc="lower left", bbox_to_anchor=(0.34, 0), frameon=False, ncols=2, fontsize=9)
    upper.set(xlim=SHOWN, ylim=(0, 1.15), ylabel="normalized flux")
    lower.set(ylim=(-0.06, 0.06), xlabel="wavelength in air (Å)", ylabel="residual")
    return figure


if __name__ == "__main__":
    result, excluded = fit_18_sco(os.environ["ASTROPAYNE_TEST_OBSERVED"])
    print(result)
    path = Path(__file__).parents[1] / "images" / "fit_18sco.png"
    plot(result, excluded).savefig(path, dpi=110, metadata={"Software": None})
    print(path, path.stat().st_size // 1024, "kB")
