# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files in the layouts that surveys and pipelines publish, for tests of reading."""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table

N = 60
WAVE = np.linspace(5160.0, 5163.0, N)
FLUX = np.linspace(0.8, 1.0, N)
SIGMA = FLUX / 50
BAD, ONES = np.arange(N) % 10 < 2, np.ones(N, dtype=int)
LOG = 3.7 + 1e-5 * np.arange(N)


def fits_file(path, *hdus, primary=()):
    first = fits.PrimaryHDU()
    first.header.update(dict(primary))
    fits.HDUList([first, *hdus]).writeto(path, overwrite=True)
    return path


def table_hdu(columns, name="", units=(), **cards):
    table = Table(columns)
    for column, unit in dict(units).items():
        table[column].unit = unit
    hdu = fits.table_to_hdu(table)
    hdu.name = name
    hdu.header.update(cards)
    return hdu


def image_hdu(data, name="", **cards):
    hdu = fits.ImageHDU(np.asarray(data), name=name)
    hdu.header.update(cards)
    return hdu


def desi(path):
    hdus = [table_hdu({"TARGETID": np.array([39, 41]), "TARGET_RA": [1.0, 2.0]}, "FIBERMAP")]
    hdus.append(table_hdu({"SCORE": [1.0, 2.0]}, "SCORES"))
    for band, shift in (("B", 0), ("R", 100), ("Z", 200)):
        hdus += [
            image_hdu(WAVE + shift, f"{band}_WAVELENGTH", BUNIT="Angstrom"),
            image_hdu([FLUX, 2 * FLUX], f"{band}_FLUX", BUNIT="10**-17 erg/(s cm2 Angstrom)"),
            image_hdu([SIGMA**-2, SIGMA**-2 / 4], f"{band}_IVAR",
                   BUNIT="10**+34 (s2 cm4 Angstrom2) / erg2"),
            image_hdu(np.array([BAD, BAD], dtype=np.int32), f"{band}_MASK"),
        ]  # fmt: skip
    return fits_file(path, *hdus, primary={"INFIL000": "x"})


def sdss(path):
    columns = {"flux": FLUX, "loglam": LOG, "ivar": SIGMA**-2, "and_mask": BAD * 1,
               "or_mask": ONES, "wdisp": np.ones(N), "sky": FLUX, "model": FLUX}  # fmt: skip
    single = table_hdu(columns, "B1-00012345")
    primary = {"TELESCOP": "SDSS 2.5-M", "PLATEID": 266, "FIBERID": 1, "VERS2D": "v5_13_2"}
    return fits_file(path, table_hdu(columns, "COADD"), single, primary=primary)


def sdss_v(path):
    columns = {"FLUX": FLUX, "LOGLAM": LOG, "IVAR": SIGMA**-2, "AND_MASK": BAD * 1,
               "OR_MASK": ONES, "WDISP": np.ones(N), "SKY": FLUX, "MODEL": FLUX}  # fmt: skip
    primary = {"TELESCOP": "SDSS 2.5-M", "PLATEID": 1, "VERS2D": "v6_1_3", "OBSERVAT": "APO"}
    return fits_file(
        path, table_hdu(columns, "COADD"), table_hdu({"Z": [0.0]}, "SPALL"), primary=primary
    )


def _apogee(rows):
    n = 8575
    flux = np.tile(np.linspace(0.8, 1.0, n), (rows, 1))
    mask = np.tile(np.arange(n) % 10 < 2, (rows, 1)).astype(np.int16)
    return flux, flux / 50, mask, 4.179 + 6e-6 * np.arange(n)


def ap_star(path):
    flux, sigma, mask, log = _apogee(3)
    cards = {"CRVAL1": log[0], "CDELT1": 6e-6, "CTYPE1": "LOG-LINEAR", "BUNIT": "Flux"}
    images = [image_hdu(flux, **cards), image_hdu(sigma, BUNIT="Err"), image_hdu(mask)]
    return fits_file(
        path, *images, primary={"HISTORY": "APOGEE reduction", "SFILE1": "apVisit-r12"}
    )


def aspcap_star(path):
    flux, sigma, mask, log = (np.squeeze(x) for x in _apogee(1))
    cards = {"CRVAL1": log[0], "CDELT1": 6e-6, "CTYPE1": "LOG-LINEAR"}
    images = [image_hdu(flux, **cards), image_hdu(sigma, **cards), image_hdu(mask), image_hdu(flux)]
    return fits_file(path, *images, primary={"HISTORY": "ASPCAP"})


def ap_visit(path):
    images = [[x[:, :N]] * 3 for x in _apogee(1)[:3]]
    wave = [16000 - 400.0 * i - WAVE + 5160 for i in range(3)]
    hdus = [image_hdu(np.squeeze(i), BUNIT="Flux") for i in images]
    return fits_file(
        path, *hdus, image_hdu(wave, BUNIT="Wavelength"), primary={"SURVEY": "apogee2"}
    )


def _mwm(path, rows, **more):
    columns = {"flux": [FLUX] * rows, "ivar": [SIGMA**-2] * rows, "wavelength": [10**LOG] * rows,
               "pixel_flags": [BAD * 4] * rows, "sdss_id": [7] * rows, **more}  # fmt: skip
    boss = table_hdu(columns, "BOSS/APO")
    apogee = table_hdu(columns, "APOGEE/APO")
    hdus = [boss, table_hdu({"flux": np.zeros((0, N))}, "BOSS/LCO"), apogee]
    for hdu in hdus:
        hdu.header["DATASUM"] = str(len(hdu.data))
    return fits_file(path, *hdus, primary={"V_ASTRA": "0.6.0", "SDSS_ID": 7})


def mwm_star(path):
    return _mwm(path, 1)


def mwm_visit(path):
    return _mwm(path, 2)


def astra_star(path):
    return _mwm(path, 1, model_flux=[0.5 * FLUX], continuum=[3 * FLUX], p_dc_ms=[1.0])


def lamost(path):
    row = {"FLUX": [FLUX], "IVAR": [SIGMA**-2], "WAVELENGTH": [WAVE], "ANDMASK": [BAD * 1],
           "ORMASK": [np.ones(N, int)], "NORMALIZATION": [3 * FLUX]}  # fmt: skip
    return fits_file(path, table_hdu(row, "COADD"), primary={"TELESCOP": "LAMOST"})


def lamost_mrs(path):
    pixels = {"FLUX": FLUX, "IVAR": SIGMA**-2, "LOGLAM": LOG, "PIXMASK": BAD * 1}
    hdus = [table_hdu(pixels, name) for name in ("COADD_B", "COADD_R", "B-84420148")]
    return fits_file(path, *hdus, primary={"TELESCOP": "LAMOST"})


def four_most(path):
    row = {"WAVE": [WAVE], "FLUX": [FLUX], "ERR_FLUX": [SIGMA], "QUAL": [BAD * 1],
           "FLUX_NOSS": [3 * FLUX], "ERR_FLUX_NOSS": [SIGMA], "SKY": [2 * FLUX]}  # fmt: skip
    hdu = table_hdu(row, "PHASE3SPECTRUM", {"WAVE": "Angstrom"}, TUCD1="em.wl")
    return fits_file(path, hdu, primary={"PRODCATG": "SCIENCE.SPECTRUM", "SPEC_RES": 20000.0})


def eso(path):
    row = {"WAVE": [WAVE / 10], "FLUX_REDUCED": [FLUX], "ERR_REDUCED": [SIGMA], "QUAL": [BAD * 1],
           "BGFLUX_REDUCED": [9 * FLUX], "SNR": [FLUX / SIGMA]}  # fmt: skip
    hdu = table_hdu(row, "SPECTRUM", {"WAVE": "nm"}, TUCD1="em.wl;obs.atmos")
    return fits_file(path, hdu, primary={"PRODCATG": "SCIENCE.SPECTRUM", "SPEC_RES": 42310.0})


def espresso_s1d(path):
    pixels = {"wavelength": WAVE, "wavelength_air": WAVE - 1.4, "flux": FLUX, "error": SIGMA,
              "quality": BAD * 1, "flux_el": 9 * FLUX, "error_el": SIGMA}  # fmt: skip
    return fits_file(
        path, table_hdu(pixels, units={"wavelength": "angstrom"}), primary={"INSTRUME": "ESPRESSO"}
    )


def espresso_s2d(path):
    images = {"SCIDATA": FLUX, "ERRDATA": SIGMA, "QUALDATA": BAD * 1,
              "WAVEDATA_VAC_BARY": WAVE, "WAVEDATA_AIR_BARY": WAVE - 1.4}  # fmt: skip
    return fits_file(path, *(image_hdu([data, data], name) for name, data in images.items()))


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
    hdus = [image_hdu([data, data], name) for name, data in images.items()]
    return fits_file(path, *hdus, primary={"INSTRUME": "CARMENES"})


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
