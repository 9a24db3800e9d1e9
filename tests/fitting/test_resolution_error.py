"""The uncertainty of the resolution: in vsini, not in labels, and a flag that contradicts it."""

import numpy as np
import pytest
from specutils import Spectrum

from astropayne import Flag, PayneModel, fit_spectra, fit_spectrum
from astropayne.fitting import FitOptions

STAR = {"teff": 5600, "logg": 4.2, "feh": -0.3, "vmic": 1.2, "A_Li": 2.0}
TRUE = 14000.0


@pytest.fixture(scope="module")
def trained():
    return PayneModel.sample()


def _stars(model, rng, n, vsini, stated=TRUE):
    """Return spectra at R = 14 000, for which another resolution is stated."""
    spectra = []
    for _ in range(n):
        star = model(**STAR, rv=rng.uniform(-80, 80), vsini=vsini, resolution=TRUE)
        noisy = star.flux.value + rng.normal(0, 0.01, len(star.flux))
        good = np.isfinite(noisy)
        spectra.append(
            Spectrum(
                spectral_axis=star.spectral_axis[good], flux=noisy[good] * star.flux.unit,
                uncertainty=type(star.uncertainty)(np.full(good.sum(), 0.01))
                if star.uncertainty is not None else None,
                meta={"resolution": stated, "medium": star.meta["medium"]},
            )
        )  # fmt: skip
    return spectra


def test_rotation_knows_that_the_resolution_is_uncertain(trained, rng):
    spectra = _stars(trained, rng, 12, 8.0)
    table = fit_spectra(spectra, trained)
    exact = fit_spectra(spectra, trained, resolution_error=0)
    assert np.all(table["vsini_err"] > 2 * exact["vsini_err"])
    assert np.median(table["teff_err"] / exact["teff_err"]) < 1.05


@pytest.mark.parametrize("wrong", [1.1, 1 / 1.1])
def test_a_wrong_resolution_spoils_nothing_in_silence(trained, rng, wrong):
    table = fit_spectra(_stars(trained, rng, 12, 3.0, wrong * TRUE), trained)
    for name in ("teff", "logg", "feh"):
        pull = (np.asarray(table[name]) - STAR[name]) / np.asarray(table[f"{name}_err"])
        assert np.all(np.abs(pull) < 4)
    pull = (table["vsini"].value - 3.0) / table["vsini_err"].value
    doubtful = (table["flags"] & int(Flag.RESOLUTION_DOUBTFUL)) > 0
    assert not np.any((np.abs(pull) > 5) & ~doubtful)


def test_lines_that_are_too_narrow_contradict_the_resolution(trained, rng):
    (spectrum,) = _stars(trained, rng, 1, 0.5, 0.85 * TRUE)
    result = fit_spectrum(spectrum, trained)
    assert result.flags & Flag.RESOLUTION_DOUBTFUL
    assert any("narrower than the stated resolution" in note for note in result.notes)
    right = fit_spectrum(*_stars(trained, rng, 1, 0.5), trained)
    assert not right.flags & Flag.RESOLUTION_DOUBTFUL


def test_slow_rotation_is_a_limit(trained, rng):
    result = fit_spectrum(*_stars(trained, rng, 1, 1.0), trained)
    assert result.vsini_limit.value > 1.0


@pytest.mark.parametrize("error", [-0.1, 5, np.nan])
def test_an_impossible_error_is_refused(error):
    with pytest.raises(ValueError, match="resolution_error="):
        FitOptions(resolution_error=error)


def test_priors_and_bounds_of_vsini_hold(trained, rng):
    (spectrum,) = _stars(trained, rng, 1, 4.0)
    prior = fit_spectrum(spectrum, trained, priors={"vsini": (4.0, 0.2)})
    assert prior.errors["vsini"].value < 0.21
    assert np.isnan(prior.vsini_limit.value)
    bounded = fit_spectrum(spectrum, trained, bounds={"vsini": (3, 20)})
    assert np.isnan(bounded.vsini_limit.value)
