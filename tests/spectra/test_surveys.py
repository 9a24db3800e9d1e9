# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files in the layouts that surveys and pipelines publish: every star and every arm is read."""

import numpy as np
import pytest
from astropy.utils.exceptions import AstropyUserWarning
from specutils import SpectrumList
from survey_files import (
    BAD,
    FLUX,
    SURVEYS,
    WAVE,
    ap_visit,
    desi,
    eso,
    fits_file,
    image_hdu,
    sdss,
    table_hdu,
)  # fmt: skip

from astropayne import read_spectra, read_spectrum
from astropayne.spectra.files import SpectraFromFiles
from astropayne.spectra.observation import observe
from astropayne.spectra.options import ReadOptions
from astropayne.workflows.fit_files import fit_files


@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
@pytest.mark.parametrize(
    ("build", "n_stars", "n_arms", "medium", "masked"),
    SURVEYS,
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_every_star_and_arm_of_a_survey_is_read(tmp_path, build, n_stars, n_arms, medium, masked):
    path = build(tmp_path / "star.fits")
    stars = read_spectra(path)
    assert len(stars) == n_stars
    for i, star in enumerate(stars):
        arms = star if isinstance(star, SpectrumList) else [star]
        assert len(arms) == n_arms
        for arm in arms:
            assert arm.meta["name"] == (f"{path}::{i}" if n_stars > 1 else str(path))
            assert arm.meta.get("medium") == medium
            seen = observe(arm, "vacuum")
            ratio = seen.flux / seen.flux[seen.good][0]
            expected = np.linspace(0.8, 1.0, len(ratio))
            usual = build is not ap_visit
            if usual:
                good = seen.good
                assert ratio[good] == pytest.approx(expected[good] / expected[good][0], rel=1e-4)
                assert seen.sigma[good] == pytest.approx(seen.flux[good] / 50, rel=1e-3)
            if masked:
                assert np.array_equal(seen.good, np.arange(len(seen.good)) % 10 >= 2)


@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
def test_one_star_and_one_arm_can_be_chosen(tmp_path):
    path = desi(tmp_path / "coadd.fits")
    with pytest.raises(ValueError, match=r"has 2 targets: give .* or read all with read_spectra"):
        read_spectrum(path)
    assert read_spectrum(path, target=41, arm="R").spectral_axis[0].value == 5260
    assert read_spectrum(path, target=0, arm=2).spectral_axis[0].value == 5360
    with pytest.raises(ValueError, match="has no arm='x': give 0 to 2, or one of b, r, z"):
        read_spectrum(path, target=0, arm="x")


def test_a_resolution_of_the_file_is_read(tmp_path):
    assert read_spectrum(eso(tmp_path / "a.fits")).meta["resolution"] == 42310
    curve = read_spectrum(sdss(tmp_path / "b.fits")).meta["resolution"]
    assert np.asarray(curve) == pytest.approx(1 / (2.3548 * np.log(10) * 1e-4), rel=1e-4)


def test_tables_next_to_each_other_are_arms(tmp_path):
    hdus = [table_hdu({"wave": WAVE + s, "flux": FLUX}, n) for s, n in ((0, "BLUE"), (90, "RED"))]
    (arms,) = read_spectra(fits_file(tmp_path / "a.fits", *hdus))
    assert [arm.spectral_axis[0].value for arm in arms] == [5160, 5250]
    hdus[1] = table_hdu({"wave": WAVE, "flux": FLUX}, "RED")
    with pytest.raises(ValueError, match=r"2 tables that hold spectra \(BLUE, RED\)"):
        read_spectra(fits_file(tmp_path / "a.fits", *hdus))


def test_a_star_that_cannot_be_read_keeps_its_place(tmp_path):
    wave = np.array([WAVE, WAVE, WAVE])
    wave[1] = 0
    path = fits_file(tmp_path / "a.fits", table_hdu({"wave": wave, "flux": [FLUX] * 3}))
    with pytest.raises(ValueError, match=r"a.fits::1: .* no positive number"):
        read_spectra(path)
    spectra = SpectraFromFiles([path, f"{path}::2"], ReadOptions())
    names = [getattr(star, "meta", {})["name"] for star in spectra]
    assert names == [f"{path}::0", f"{path}::1", f"{path}::2", f"{path}::2"]
    assert list(spectra.reasons) == [1]


def test_all_stars_of_a_file_are_fitted(model, tmp_path):
    stars = [model(teff=t, logg=4.2, feh=0, vmic=1) for t in (5400, 5800)]
    wave = stars[0].spectral_axis.value
    columns = {"wavelength_air": [wave, wave], "flux": [star.flux.value for star in stars]}
    path = fits_file(tmp_path / "two.fits", table_hdu(columns))
    table = fit_files([path], model)
    assert list(table["name"]) == [f"{path}::0", f"{path}::1"]
    assert table["teff"].value == pytest.approx([5400, 5800], abs=60)


def test_masks_of_images_that_are_not_used_are_named(tmp_path):
    cards = {"CRVAL1": 5160.0, "CDELT1": 0.05}
    images = [
        image_hdu(FLUX, "FLUX", **cards),
        image_hdu(BAD * 1, "MASK"),
        image_hdu(BAD * 1, "CRMASK"),
    ]
    with pytest.warns(AstropyUserWarning, match="image crmask looks like a mask and is not used"):
        read_spectrum(fits_file(tmp_path / "a.fits", *images))


def test_images_without_a_flux_are_refused(tmp_path):
    images = [image_hdu([FLUX, FLUX], name) for name in ("CONT", "SIG", "WAVE")]
    with pytest.raises(ValueError, match="CONT, SIG, WAVE, of which none is known to be the flux"):
        read_spectrum(fits_file(tmp_path / "a.fits", *images))
