"""Simulated stars for tests of abundances, and analyses that take the model as exact."""

import functools

import astropy.units as u
import numpy as np
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum

from astropayne import fit_abundances, fit_spectra

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip

exact_fit_spectra = functools.partial(fit_spectra, **EXACT)

exact_fit_abundances = functools.partial(fit_abundances, **EXACT)

SUN = {"teff": 5770.0, "logg": 4.4, "feh": -0.1, "vmic": 1.1, "A_Li": 2.0, "Na_Fe": 0.1}

BLURRED = {"rv": 20.0, "vsini": 6.0}

HELD = {"teff": 5770.0, "logg": 4.4, "feh": -0.1, "vmic": 1.1, **BLURRED}


def simulate(network, rng, n, snr=100, **labels):
    exact = network(**{**SUN, **labels}, **BLURRED, resolution=18000)
    stars = []
    for _ in range(n):
        flux = exact.flux.value + rng.normal(0, 1 / snr, len(exact.flux))
        stars.append(
            Spectrum(
                spectral_axis=exact.spectral_axis, flux=flux * u.one, mask=exact.mask,
                uncertainty=StdDevUncertainty(np.full(len(flux), 1 / snr)),
                meta={"resolution": 18000.0},
            )
        )  # fmt: skip
    return stars
