"""Simulated stars for tests of fits, and fits that take the model as exact."""

import functools

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import (
    Posterior,
    fit_spectra,
    fit_spectrum,
)

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)
exact_posterior = functools.partial(Posterior, **EXACT)

TRUTH = {"teff": 5600.0, "logg": 4.2, "feh": -0.3, "vmic": 1.2}
TRUTH |= {"Mg_Fe": 0.2, "Ca_Fe": 0.0, "Ti_Fe": 0.1, "Na_Fe": 0.0}
TRUTH |= {"Al_Fe": 0.0, "Ni_Fe": 0.0, "Ba_Fe": 0.1, "A_Li": 2.4}
VELOCITIES = {"rv": -37.0, "vsini": 9.0}


def noisy(spectrum, sigma, rng, scale=1.0, unit=u.dimensionless_unscaled):
    noise = rng.normal(0, sigma, len(spectrum.flux)) if sigma else 0
    flux = (spectrum.flux.value + noise) * scale
    size = np.abs(np.broadcast_to(sigma * scale, flux.shape))
    uncertainty = StdDevUncertainty(size) if sigma else None
    return Spectrum(
        spectral_axis=spectrum.spectral_axis, flux=flux * unit, uncertainty=uncertainty,
        mask=spectrum.mask,
    )  # fmt: skip


def noisy_rows(spectra, sigma, rng, scale=1.0):
    """Return the same of each row of a prediction."""
    return [
        noisy(
            Spectrum(spectral_axis=spectra.spectral_axis, flux=row, mask=~np.isfinite(row)),
            sigma, rng, scale,
        )
        for row in spectra.flux
    ]  # fmt: skip
