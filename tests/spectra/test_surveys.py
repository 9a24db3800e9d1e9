# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files in the layouts that surveys and pipelines publish: every star and every arm is read."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from specutils import SpectrumList

from astropayne import read_spectra, read_spectrum
from astropayne.spectra.files import SpectraFromFiles
from astropayne.spectra.observation import observe
from astropayne.spectra.options import ReadOptions
from astropayne.workflows.fit_files import fit_files

N = 60
WAVE = np.linspace(5160.0, 5163.0, N)
FLUX = np.linspace(0.8, 1.0, N)
SIGMA = FLUX / 50
BAD, ONES = np.arange(N) % 10 < 2, np.ones(N, dtype=int)
LOG = 3.7 + 1e-5 * np.arange(N)


def _file(path, *hdus, primary=()):
    first = fits.PrimaryHDU()
    first.header.update(dict(primary))
    fits.HDUList([first, *hdus]).writeto(path, overwrite=True)
    return path


def _table(columns, name="", units=(), **cards):
    table = Table(columns)
    for column, unit in dict(units).items():
        table[column].unit = unit
    hdu = fits.table_to_hdu(table)
    hdu.name = name
    hdu.header.update(cards)
    return hdu


def _image(data, name="", **cards):
    hdu = fits.ImageHDU(np.asarray(data), name=name)
    hdu.header.update(cards)
    return hdu


def desi(path):
    hdus = [_table({"TARGETID": np.array([39, 41]), "TARGET_RA": [1.0, 2.0]}, "FIBERMAP")]
    hdus.append(_table({"SCORE": [1.0, 2.0]}, "SCORES"))
    for band, shift in (("B", 0), ("R", 100), ("Z", 200)):
        hdus += [
            _image(WAVE + shift, f"{band}_WAVELENGTH", BUNIT="Angstrom"),
            _image([FLUX, 2 * FLUX], f"{band}_FLUX", BUNIT="10**-17 erg/(s cm2 Angstrom)"),
            _image([SIGMA**-2, SIGMA**-2 / 4], f"{band}_IVAR",
                   BUNIT="10**+34 (s2 cm4 Angstrom2) / erg2"),
            _image(np.array([BAD, BAD], dtype=np.int32), f"{band}_MASK"),
        ]  # fmt: skip
    return _file(path, *hdus, primary={"INFIL000": "x"})


def sdss(path):
    columns = {"flux": FLUX, "loglam": LOG, "ivar": SIGMA**-2, "and_mask": BAD * 1,
               "or_mask": ONES, "wdisp": np.ones(N), "sky": FLUX, "model": FLUX}  # fmt: skip
    single = _table(columns, "B1-00012345")
    primary = {"TELESCOP": "SDSS 2.5-M", "PLATEID": 266, "FIBERID": 1, "VERS2D": "v5_13_2"}
    return _file(path, _table(columns, "COADD"), single, primary=primary)


def sdss_v(path):
    columns = {"FLUX": FLUX, "LOGLAM": LOG, "IVAR": SIGMA**-2, "AND_MASK": BAD * 1,
               "OR_MASK": ONES, "WDISP": np.ones(N), "SKY": FLUX, "MODEL": FLUX}  # fmt: skip
    primary = {"TELESCOP": "SDSS 2.5-M", "PLATEID": 1, "VERS2D": "v6_1_3", "OBSERVAT": "APO"}
    return _file(path, _table(columns, "COADD"), _table({"Z": [0.0]}, "SPALL"), primary=primary)


def _apogee(rows):
    n = 8575
    flux = np.tile(np.linspace(0.8, 1.0, n), (rows, 1))
    mask = np.tile(np.arange(n) % 10 < 2, (rows, 1)).astype(np.int16)
    return flux, flux / 50, mask, 4.179 + 6e-6 * np.arange(n)


def ap_star(path):
    flux, sigma, mask, log = _apogee(3)
    cards = {"CRVAL1": log[0], "CDELT1": 6e-6, "CTYPE1": "LOG-LINEAR", "BUNIT": "Flux"}
    images = [_image(flux, **cards), _image(sigma, BUNIT="Err"), _image(mask)]
    return _file(path, *images, primary={"HISTORY": "APOGEE reduction", "SFILE1": "apVisit-r12"})


def aspcap_star(path):
    flux, sigma, mask, log = (np.squeeze(x) for x in _apogee(1))
    cards = {"CRVAL1": log[0], "CDELT1": 6e-6, "CTYPE1": "LOG-LINEAR"}
    images = [_image(flux, **cards), _image(sigma, **cards), _image(mask), _image(flux)]
    return _file(path, *images, primary={"HISTORY": "ASPCAP"})


def ap_visit(path):
    images = [[x[:, :N]] * 3 for x in _apogee(1)[:3]]
    wave = [16000 - 400.0 * i - WAVE + 5160 for i in range(3)]
    hdus = [_image(np.squeeze(i), BUNIT="Flux") for i in images]
    return _file(path, *hdus, _image(wave, BUNIT="Wavelength"), primary={"SURVEY": "apogee2"})


def _mwm(path, rows, **more):
    columns = {"flux": [FLUX] * rows, "ivar": [SIGMA**-2] * rows, "wavelength": [10**LOG] * rows,
               "pixel_flags": [BAD * 4] * rows, "sdss_id": [7] * rows, **more}  # fmt: skip
    boss = _table(columns, "BOSS/APO")
    apogee = _table(columns, "APOGEE/APO")
    hdus = [boss, _table({"flux": np.zeros((0, N))}, "BOSS/LCO"), apogee]
    for hdu in hdus:
        hdu.header["DATASUM"] = str(len(hdu.data))
    return _file(path, *hdus, primary={"V_ASTRA": "0.6.0", "SDSS_ID": 7})


def mwm_star(path):
    return _mwm(path, 1)


def mwm_visit(path):
    return _mwm(path, 2)


def astra_star(path):
    return _mwm(path, 1, model_flux=[0.5 * FLUX], continuum=[3 * FLUX], p_dc_ms=[1.0])


def lamost(path):
    row = {"FLUX": [FLUX], "IVAR": [SIGMA**-2], "WAVELENGTH": [WAVE], "ANDMASK": [BAD * 1],
           "ORMASK": [np.ones(N, int)], "NORMALIZATION": [3 * FLUX]}  # fmt: skip
    return _file(path, _table(row, "COADD"), primary={"TELESCOP": "LAMOST"})


def lamost_mrs(path):
    pixels = {"FLUX": FLUX, "IVAR": SIGMA**-2, "LOGLAM": LOG, "PIXMASK": BAD * 1}
    hdus = [_table(pixels, name) for name in ("COADD_B", "COADD_R", "B-84420148")]
    return _file(path, *hdus, primary={"TELESCOP": "LAMOST"})


def four_most(path):
    row = {"WAVE": [WAVE], "FLUX": [FLUX], "ERR_FLUX": [SIGMA], "QUAL": [BAD * 1],
           "FLUX_NOSS": [3 * FLUX], "ERR_FLUX_NOSS": [SIGMA], "SKY": [2 * FLUX]}  # fmt: skip
    hdu = _table(row, "PHASE3SPECTRUM", {"WAVE": "Angstrom"}, TUCD1="em.wl")
    return _file(path, hdu, primary={"PRODCATG": "SCIENCE.SPECTRUM", "SPEC_RES": 20000.0})


def eso(path):
    row = {"WAVE": [WAVE / 10], "FLUX_REDUCED": [FLUX], "ERR_REDUCED": [SIGMA], "QUAL": [BAD * 1],
           "BGFLUX_REDUCED": [9 * FLUX], "SNR": [FLUX / SIGMA]}  # fmt: skip
    hdu = _table(row, "SPECTRUM", {"WAVE": "nm"}, TUCD1="em.wl;obs.atmos")
    return _file(path, hdu, primary={"PRODCATG": "SCIENCE.SPECTRUM", "SPEC_RES": 42310.0})


def espresso_s1d(path):
    pixels = {"wavelength": WAVE, "wavelength_air": WAVE - 1.4, "flux": FLUX, "error": SIGMA,
              "quality": BAD * 1, "flux_el": 9 * FLUX, "error_el": SIGMA}  # fmt: skip
    return _file(
        path, _table(pixels, units={"wavelength": "angstrom"}), primary={"INSTRUME": "ESPRESSO"}
    )


def espresso_s2d(path):
    images = {"SCIDATA": FLUX, "ERRDATA": SIGMA, "QUALDATA": BAD * 1,
              "WAVEDATA_VAC_BARY": WAVE, "WAVEDATA_AIR_BARY": WAVE - 1.4}  # fmt: skip
    return _file(path, *(_image([data, data], name) for name, data in images.items()))


def gaia(path):
    path = path.with_suffix(".vot")
    table = Table({"wavelength": WAVE / 10 * u.nm, "flux": FLUX, "flux_error": SIGMA})
    table.write(path, format="votable", overwrite=True)
    return path


def narval(path):
    path = path.with_suffix(".s")
    rows = [
        f"{w / 10:.5f} {f:.5f} 0 0 0 {s:.5f}" for w, f, s in zip(WAVE, FLUX, SIGMA, strict=True)
    ]
    path.write_text("\n".join(["*** Reduced spectrum of 'HD 1'", f"{2 * N} 5", *rows, *rows]))
    return path


def carmenes(path):
    images = {"SPEC": FLUX, "CONT": 9 * FLUX, "SIG": SIGMA, "WAVE": WAVE}
    hdus = [_image([data, data], name) for name, data in images.items()]
    return _file(path, *hdus, primary={"INSTRUME": "CARMENES"})


# builder, number of stars, number of arms of each, medium, whether it has a mask
SURVEYS = [
    (desi, 2, 3, "vacuum", True), (sdss, 1, 1, "vacuum", True), (sdss_v, 1, 1, "vacuum", True),
    (ap_star, 1, 1, "vacuum", True), (aspcap_star, 1, 1, "vacuum", True),
    (ap_visit, 1, 3, "vacuum", True), (mwm_star, 1, 2, "vacuum", True),
    (mwm_visit, 1, 4, "vacuum", True), (astra_star, 1, 2, "vacuum", True),
    (lamost, 1, 1, "vacuum", True), (lamost_mrs, 1, 2, "vacuum", True),
    (four_most, 1, 1, "vacuum", True), (eso, 1, 1, "air", True),
    (espresso_s1d, 1, 1, "vacuum", True), (espresso_s2d, 1, 2, "vacuum", True),
    (gaia, 1, 1, None, False), (narval, 1, 2, "air", False), (carmenes, 1, 2, "vacuum", False),
]  # fmt: skip


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
    hdus = [_table({"wave": WAVE + s, "flux": FLUX}, n) for s, n in ((0, "BLUE"), (90, "RED"))]
    (arms,) = read_spectra(_file(tmp_path / "a.fits", *hdus))
    assert [arm.spectral_axis[0].value for arm in arms] == [5160, 5250]
    hdus[1] = _table({"wave": WAVE, "flux": FLUX}, "RED")
    with pytest.raises(ValueError, match=r"2 tables that hold spectra \(BLUE, RED\)"):
        read_spectra(_file(tmp_path / "a.fits", *hdus))


def test_a_star_that_cannot_be_read_keeps_its_place(tmp_path):
    wave = np.array([WAVE, WAVE, WAVE])
    wave[1] = 0
    path = _file(tmp_path / "a.fits", _table({"wave": wave, "flux": [FLUX] * 3}))
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
    path = _file(tmp_path / "two.fits", _table(columns))
    table = fit_files([path], model)
    assert list(table["name"]) == [f"{path}::0", f"{path}::1"]
    assert table["teff"].value == pytest.approx([5400, 5800], abs=60)


def test_masks_of_images_that_are_not_used_are_named(tmp_path):
    cards = {"CRVAL1": 5160.0, "CDELT1": 0.05}
    images = [_image(FLUX, "FLUX", **cards), _image(BAD * 1, "MASK"), _image(BAD * 1, "CRMASK")]
    with pytest.warns(AstropyUserWarning, match="image crmask looks like a mask and is not used"):
        read_spectrum(_file(tmp_path / "a.fits", *images))
