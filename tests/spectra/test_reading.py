"""What files call things: columns, masks, media, units, and files of several spectra."""

from importlib.metadata import version

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning
from specutils import SpectralAxis, Spectrum, SpectrumList

from astropayne import read_spectrum
from astropayne.spectra.conventions.columns import choose_roles, flux_candidates, matching_noise
from astropayne.spectra.conventions.headers import _rows, medium_of_headers
from astropayne.spectra.conventions.units import flux_unit, wavelength_unit_of
from astropayne.spectra.files import read_star
from astropayne.spectra.observation import observe
from astropayne.spectra.options import ReadOptions
from astropayne.wavelengths.resolution import resolution_at

N = 40
WAVE = np.linspace(5160.0, 5162.0, N)
FLUX = np.linspace(0.8, 1.0, N)
BAD = np.arange(N) % 8 < 2


def _table(path, columns, header=(), primary=(), name="", units=()):
    table = Table(columns)
    for column, unit in dict(units).items():
        table[column].unit = unit
    hdu = fits.table_to_hdu(table)
    hdu.header.update(dict(header))
    hdu.name = name
    first = fits.PrimaryHDU()
    first.header.update(dict(primary))
    fits.HDUList([first, hdu]).writeto(path, overwrite=True)
    return path


def _image(path, data, cards):
    hdu = fits.PrimaryHDU(np.asarray(data))
    hdu.header.update(cards)
    hdu.writeto(path, overwrite=True)
    return path


def test_every_convention_has_a_source():
    for name in ("columns", "media", "masks"):
        assert all(row["source"] for row in _rows(name))


@pytest.mark.parametrize(("card", "value", "medium"), [
    ("AIRORVAC", "vac", "vacuum"), ("AIRORVAC", "Air", "air"), ("VACUUM", "T", "vacuum"),
    ("VACUUM", False, "air"), ("CUNIT1", "Angstrom (vacuum)", "vacuum"), ("CTYPE1", "AWAV", "air"),
    ("TELESCOP", "LAMOST", "vacuum"), ("INSTRUME", "IGRINS", "vacuum"), ("VACUUM", " ", None),
    ("INSTRUME", "HARPS", None),
])  # fmt: skip
def test_the_medium_is_in_one_table(card, value, medium):
    assert medium_of_headers([{card: value}]) == medium


def test_a_medium_that_is_not_clear_is_reported(tmp_path):
    path = _table(tmp_path / "a.fits", {"wave": WAVE, "flux": FLUX}, primary={"AIRORVAC": "both"})
    with pytest.warns(AstropyUserWarning, match="AIRORVAC = 'both' does not state whether"):
        assert "medium" not in read_spectrum(path).meta


@pytest.mark.parametrize(("columns", "roles"), [
    (["WAVE", "FLUX_NORM", "FLUX", "ERR"], {"flux": "FLUX", "uncertainty": "ERR"}),
    (["WAVE", "FLUX_NORM", "FLUX", "ERR", "ERR_NORM"],
     {"flux": "FLUX_NORM", "uncertainty": "ERR_NORM"}),
    (["wave", "model_flux", "flux", "sky_err", "ivar", "sky"],
     {"flux": "flux", "inverse_variance": "ivar"}),
    (["wave", "wave_err", "flux"], {"flux": "flux"}),
    (["wave", "flux", "err_tot"], {"flux": "flux", "uncertainty": "err_tot"}),
    (["lambda", "intensity", "background", "sigma"], {"flux": "intensity", "uncertainty": "sigma"}),
])  # fmt: skip
def test_an_uncertainty_belongs_to_the_flux_whose_name_it_shares(columns, roles):
    found = choose_roles(columns)
    assert {role: name for role, name in found.items() if role != "wavelength"} == roles


def test_two_candidates_are_listed():
    assert flux_candidates(["wave", "flux_a", "flux_b"]) == ["flux_a", "flux_b"]
    with pytest.raises(ValueError, match="columns flux_a, flux_b may each be the flux"):
        choose_roles(["wave", "flux_a", "flux_b"])
    with pytest.raises(ValueError, match="err_stat, err_sys may each be the uncertainty of 'flux'"):
        matching_noise(["wave", "flux", "err_stat", "err_sys"], "flux")
    assert choose_roles(["wave", "flux_a", "flux_b"], {"flux": "flux_b"})["flux"] == "flux_b"
    with pytest.raises(ValueError, match=r"role of a column 'fluks' is not one of .*'flux'"):
        choose_roles(["wave", "flux"], {"fluks": "flux"})


@pytest.mark.parametrize("name", ["MASK", "DQ", "FLAGS", "BPM", "pixel_flags", "OR_MASK"])
def test_masks_have_many_names(tmp_path, name):
    columns = {"wave": WAVE, "flux": FLUX, "err": FLUX / 99, name: BAD.astype(np.int16)}
    assert np.array_equal(read_spectrum(_table(tmp_path / "a.fits", columns)).mask, BAD)


def test_what_looks_like_a_mask_and_is_not_used_is_named(tmp_path):
    columns = {"wave": WAVE, "flux": FLUX, "line_flag": BAD.astype(int)}
    path = _table(tmp_path / "a.fits", columns)
    with pytest.warns(AstropyUserWarning, match="line_flag looks like a mask and is not used"):
        assert read_spectrum(path).mask is None
    assert np.array_equal(read_spectrum(path, columns={"mask": "line_flag"}).mask, BAD)


def test_a_mask_may_mark_good_pixels(tmp_path):
    columns = {"wave": WAVE, "flux": FLUX, "ivar": FLUX**-2, "mask": (~BAD).astype(int)}
    path = _table(tmp_path / "a.fits", columns, header={"DMODCLS": "OneSpec"})
    assert np.array_equal(read_spectrum(path).mask, BAD)
    columns["gpm"] = columns.pop("mask")
    assert np.array_equal(read_spectrum(_table(tmp_path / "b.fits", columns)).mask, BAD)


def test_a_mask_of_most_pixels_is_doubted(tmp_path):
    columns = {"wave": WAVE, "flux": FLUX, "mask": (~BAD).astype(int)}
    path = _table(tmp_path / "a.fits", columns)
    with pytest.warns(AstropyUserWarning, match=r"masks 30 of 40 .* columns=\{'good': 'mask'\}"):
        read_spectrum(path)
    assert np.array_equal(read_spectrum(path, columns={"good": "mask"}).mask, BAD)
    columns["ivar"] = np.where(BAD, 0, 1e4)  # which proves what the mask means
    with pytest.warns(AstropyUserWarning, match="therefore taken to mark good pixels"):
        assert np.array_equal(read_spectrum(_table(path, columns)).mask, BAD)


@pytest.mark.parametrize("unit", ["A", "ANGSTROM", "Angstroms", "Ang", "Angstroem", "0.1nm"])
def test_units_have_many_spellings(tmp_path, unit):
    path = _table(tmp_path / "a.fits", {"wave": WAVE, "flux": FLUX}, header={"TUNIT1": unit})
    assert read_spectrum(path).spectral_axis.to_value(u.AA) == pytest.approx(WAVE)


def test_units_that_cannot_be_used():
    assert wavelength_unit_of("second") is None
    assert flux_unit("erg/s/cm^2/A") == u.erg / u.s / u.cm**2 / u.AA
    assert flux_unit("counts per fortnight") == u.one


def test_a_variance_may_have_the_unit_of_the_flux(tmp_path):
    columns = {"wave": WAVE, "flux": 50 * FLUX, "ivar": np.full(N, 4.0)}
    path = _table(tmp_path / "a.fits", columns, units={"flux": "adu", "ivar": "adu"})
    assert observe(read_spectrum(path)).sigma == pytest.approx(0.5)


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_masked_pixels_need_no_wavelength(tmp_path, fill):
    wave, mask = WAVE.copy(), np.zeros(N, dtype=int)
    wave[-4:], mask[-4:] = fill, 1
    columns = {"wave": wave, "flux": FLUX, "mask": mask}
    assert len(read_spectrum(_table(tmp_path / "a.fits", columns)).flux) == N - 4
    columns["mask"] = 0 * mask
    with pytest.warns(AstropyUserWarning, match="4 pixels are left out"):
        read_spectrum(_table(tmp_path / "a.fits", columns))


def test_repeated_wavelengths_are_left_out(tmp_path):
    wave = WAVE.copy()
    wave[7] = wave[6]
    path = _table(tmp_path / "a.fits", {"wave": wave, "flux": FLUX})
    with pytest.warns(AstropyUserWarning, match="1 pixels are left out"):
        assert len(read_spectrum(path).flux) == N - 1


def test_images_of_iraf(tmp_path):
    cards = {"CRVAL1": WAVE[0], "CDELT1": WAVE[1] - WAVE[0], "CRPIX1": 1.0, "CTYPE1": "LINEAR"}
    spectrum = read_spectrum(_image(tmp_path / "a.fits", [FLUX], cards))
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVE)
    bands = [[FLUX], [0.9 * FLUX], [0 * FLUX], [FLUX / 99]]
    spectrum = read_spectrum(_image(tmp_path / "b.fits", bands, cards))
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert spectrum.uncertainty.array == pytest.approx(FLUX / 99)
    log = {"CRVAL1": 3.7, "CDELT1": 1e-5, "CRPIX1": 1.0, "CTYPE1": "LOG-LINEAR"}
    axis = read_spectrum(_image(tmp_path / "c.fits", FLUX, log)).spectral_axis
    assert axis[0].to_value(u.AA) == pytest.approx(10**3.7)


def test_logarithms_without_a_word_are_refused(tmp_path):
    path = _table(tmp_path / "a.fits", {"wave": np.log10(WAVE), "flux": FLUX})
    with pytest.raises(ValueError, match=r"column 'wave' .* only be logarithms .* 'loglam'"):
        read_spectrum(path)


def test_the_table_of_the_spectrum_is_found_or_chosen(tmp_path):
    hdus = [fits.PrimaryHDU(), fits.table_to_hdu(Table({"EXPID": [1, 2], "AIRMASS": [1.1, 1.2]}))]
    for name, part in (("BLUE", slice(0, 20)), ("RED", slice(20, None))):
        hdu = fits.table_to_hdu(Table({"wave": WAVE[part], "flux": FLUX[part]}))
        hdu.name = name
        hdus.append(hdu)
    fits.HDUList(hdus[:3]).writeto(tmp_path / "one.fits")
    assert len(read_spectrum(tmp_path / "one.fits").flux) == 20
    path = tmp_path / "two.fits"
    fits.HDUList(hdus).writeto(path)
    with pytest.raises(ValueError, match=r"2 tables that hold spectra \(BLUE, RED\): give hdu="):
        read_spectrum(path)
    assert read_spectrum(path, hdu="RED").spectral_axis[0].value == WAVE[20]
    arms = read_spectrum(path, hdu=["BLUE", "RED"])
    assert isinstance(arms, SpectrumList)
    assert len(read_star([f"{path}::BLUE+RED"])) == 2
    assert len(read_star([f"{path}::RED"]).flux) == 20
    with pytest.raises(ValueError, match="no hdu='GREEN'; it has"):
        read_spectrum(path, hdu="GREEN")


def test_rows_of_arrays_are_targets(tmp_path):
    path = _table(tmp_path / "a.fits", {"wave": [WAVE, WAVE], "flux": [FLUX, 2 * FLUX]})
    with pytest.raises(ValueError, match=r"2 rows of arrays.*give target=0 to target=1"):
        read_spectrum(path)
    assert np.array_equal(read_spectrum(path, target=1).flux.value, 2 * FLUX)
    assert np.array_equal(read_star([path], ReadOptions(target=0)).flux.value, FLUX)


def test_both_arms_of_lamost(tmp_path):
    hdus = [fits.PrimaryHDU()]
    hdus[0].header["TELESCOP"] = "LAMOST"
    for name in ("COADD_B", "COADD_R"):
        columns = {"FLUX": FLUX, "IVAR": FLUX**-2, "LOGLAM": np.log10(WAVE), "PIXMASK": BAD * 1}
        hdus.append(fits.table_to_hdu(Table(columns)))
        hdus[-1].name = name
    fits.HDUList(hdus).writeto(tmp_path / "mrs.fits")
    arms = read_spectrum(tmp_path / "mrs.fits")
    assert [arm.meta["arm"] for arm in arms] == ["COADD_B", "COADD_R"]
    assert arms[0].meta["medium"] == "vacuum"
    assert np.array_equal(arms[1].mask, BAD)


def test_widths_of_lines_become_a_resolution(tmp_path):
    columns = {"loglam": np.log10(WAVE), "flux": FLUX, "ivar": 1e4 * FLUX, "wdisp": np.full(N, 1.0)}
    spectrum = read_spectrum(_table(tmp_path / "a.fits", columns))
    assert spectrum.meta["resolution"] == pytest.approx(1 / (2.3548 * np.log(10) * 1e-4), rel=1e-4)
    columns = {"lambda": WAVE, "flux": FLUX, "lsf_sigma": np.full(N, 0.1)}
    spectrum = read_spectrum(_table(tmp_path / "b.fits", columns))
    assert spectrum.meta["resolution"] == pytest.approx(WAVE / 0.23548, rel=1e-4)


def test_text_of_fortran_and_iraf(tmp_path):
    rows = [f"{w:.6E} {f:.6E} 1.0E-02" for w, f in zip(WAVE, FLUX, strict=True)]
    for lines in (
        [row.replace("E", "D") for row in rows], ["! star", *rows],
        [*rows[:5], f"{WAVE[5]:.6E} ******** 0.01", *rows[6:]],
        [*rows[:5], f"{WAVE[5]:.6E} INDEF 0.01", *rows[6:]],
    ):  # fmt: skip
        (tmp_path / "a.txt").write_text("\n".join(lines))
        spectrum = read_spectrum(tmp_path / "a.txt")
        assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVE, abs=0.01)
        assert np.delete(spectrum.flux.value, 5) == pytest.approx(np.delete(FLUX, 5), abs=1e-5)


def _spectrum(axis=WAVE * u.AA, flux=FLUX, **options):
    return Spectrum(spectral_axis=axis, flux=flux * u.one, **options)


@pytest.mark.filterwarnings("ignore:Physical type may be ambiguous")  # of gwcs with specutils 2.0
def test_velocities_are_converted_if_they_can_be():
    axis = SpectralAxis(WAVE * u.AA).to(
        u.km / u.s, doppler_rest=5161 * u.AA, doppler_convention="relativistic"
    )
    assert observe(_spectrum(axis), "vacuum").wavelength == pytest.approx(WAVE)
    with pytest.raises(ValueError, match="in km / s without rest wavelength"):
        observe(_spectrum(np.linspace(-50, 50, N) * u.km / u.s))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_uncertainty_has_to_state_what_it_is():
    with pytest.raises(ValueError, match=r"UnknownUncertainty.*StdDevUncertainty\(array\)"):
        observe(_spectrum(uncertainty=FLUX / 99))


@pytest.mark.parametrize("factor", [1e-17, 5e3])
def test_uncertainties_of_another_scale_are_refused(factor):
    spectrum = _spectrum(uncertainty=StdDevUncertainty(factor * FLUX / 99))
    with pytest.raises(ValueError, match="the uncertainty is in another unit or scale"):
        observe(spectrum).require_pixels()


def test_gaps_that_are_filled_with_zeros_are_not_used():
    flux = FLUX.copy()
    flux[10:20], flux[30] = 0, 0  # one zero may be noise
    assert np.flatnonzero(~observe(_spectrum(flux=flux)).good).tolist() == list(range(10, 20))


def test_desi_has_many_targets(observed_folder):
    path = observed_folder / "desi_coadd_5_targets.fits"
    with pytest.raises(
        ValueError, match="has 5 targets: give target=0 to target=4, or their ident"
    ):
        read_spectrum(path)
    arms = read_spectrum(path, target=4)
    assert [arm.meta["band"] for arm in arms] == ["b", "r", "z"]
    assert arms[0].meta["medium"] == "vacuum"
    assert isinstance(arms[0].uncertainty, InverseVariance)


@pytest.mark.parametrize("card", [
    {"WAVEVAC": True}, {"VACWAVES": "T"}, {"WAVEMODE": "VACUUM"}, {"AIR2VAC": True},
    {"HIERARCH WAVE MEDIUM": "vacuum"}, {"PYP_SPEC": "x_shooter"},
    {"COMMENT": "all wavelengths are in vacuum"},
])  # fmt: skip
def test_cards_of_the_medium_have_many_spellings(card):
    header = fits.Header()
    header.update(card)
    assert medium_of_headers([header]) == "vacuum"
    assert medium_of_headers([{"FILTER": "air", "VACPRES": 1, "AIRMASS": 1.2}]) is None


@pytest.mark.parametrize(("name", "medium"), [
    ("vac_wave", "vacuum"), ("air_wavelength", "air"), ("WAVEVAC", "vacuum"), ("AWAV", "air"),
    ("Vacuum Wavelength (A)", "vacuum"), ("lambda_air", "air"),
])  # fmt: skip
def test_names_of_the_wavelength_may_state_the_medium(tmp_path, name, medium):
    assert read_spectrum(_table(tmp_path / "a.fits", {name: WAVE, "flux": FLUX})).meta[
        "medium"
    ] == (medium)


@pytest.mark.parametrize(("columns", "sigma"), [
    ({"OPT_WAVE": WAVE, "OPT_COUNTS": FLUX, "OPT_COUNTS_IVAR": 100 * FLUX**-2, "BOX_COUNTS": WAVE},
     0.1), ({"wave": WAVE, "counts": FLUX, "counts_err": FLUX / 10}, 0.1),
    ({"wave": WAVE, "flux": FLUX, "rel_err": np.full(N, 0.1)}, 0.1),
    ({"wave": WAVE, "flux": FLUX, "snr": np.full(N, 10)}, 0.1),
    ({"WAVE": WAVE, "SPEC": FLUX, "ESPEC": FLUX / 10}, 0.1),
    ({"wave": WAVE, "flux": FLUX, "fluxvar": FLUX**2 / 100}, 0.1),
    ({"wave": WAVE, "FLUX_SKYSUB": FLUX, "SKY": WAVE, "ERR": FLUX / 10}, 0.1),
])  # fmt: skip
def test_columns_of_more_programs(tmp_path, columns, sigma):
    spectrum = read_spectrum(_table(tmp_path / "a.fits", columns))
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert spectrum.uncertainty.array == pytest.approx(sigma * FLUX)


def test_two_candidates_of_any_role_are_an_error(tmp_path):
    columns = {"wave_rest": WAVE, "wave_shifted": WAVE, "flux": FLUX}
    with pytest.raises(ValueError, match="wave_rest, wave_shifted may each be the wavelength"):
        choose_roles(list(columns))
    path = _table(tmp_path / "a.fits", {"wave": WAVE, "flux": FLUX, "err_lo": FLUX, "err_hi": FLUX})
    with pytest.raises(ValueError, match="err_lo, err_hi may each be the uncertainty"):
        read_spectrum(path)
    path = _table(tmp_path / "b.fits", {"x": WAVE, "y": FLUX})
    with pytest.raises(ValueError, match=r"has x, y: name them, such as columns=\{'wavelength'"):
        read_spectrum(path)
    assert len(read_spectrum(path, columns={"wavelength": "x", "flux": "y"}).flux) == N
    path = _table(tmp_path / "c.fits", {"wave": WAVE, "flux": FLUX, "weight": FLUX})
    with pytest.warns(AstropyUserWarning, match="'weight' is not used: if it is an inverse var"):
        read_spectrum(path)


@pytest.mark.parametrize(("name", "good"), [
    ("is_good", True), ("valid_mask", True), ("goodpix", True), ("badpixmask", False),
    ("CR_MASK", False), ("DQI", False), ("rejected", False), ("STATUS", False),
])  # fmt: skip
def test_the_only_column_that_suggests_a_mask_is_one(tmp_path, name, good):
    columns = {"wave": WAVE, "flux": FLUX, name: (BAD ^ good).astype(np.int16)}
    assert np.array_equal(read_spectrum(_table(tmp_path / "a.fits", columns)).mask, BAD)


def test_boolean_columns_are_never_ignored_in_silence(tmp_path):
    columns = {"wave": WAVE, "flux": FLUX, "mask": BAD, "telluric": BAD}
    with pytest.warns(AstropyUserWarning, match="telluric looks like a mask and is not used"):
        read_spectrum(_table(tmp_path / "a.fits", columns))


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "nm"), (1e-4, "um"), (1e-10, "m")])
def test_wavelengths_that_cannot_be_angstroms_are_refused(tmp_path, factor, unit):
    path = _table(tmp_path / "a.fits", {"wave": WAVE * factor, "flux": FLUX})
    with pytest.raises(ValueError, match=f"give their unit, such as wavelength_unit='{unit}'"):
        read_spectrum(path)
    axis = read_spectrum(path, wavelength_unit=unit).spectral_axis
    assert axis.to_value(u.AA) == pytest.approx(WAVE)
    with pytest.raises(ValueError, match="wavelength_unit='furlongs' must be a unit of wave"):
        read_spectrum(path, wavelength_unit="furlongs")


@pytest.mark.parametrize(("name", "values", "unit"), [
    ("lnlam", np.log(WAVE), None), ("ln_wave", np.log(WAVE), None), ("lglam", np.log10(WAVE), None),
    ("wave", np.log10(WAVE), "log10(Angstrom)"), ("wave", np.log(WAVE), "ln(Angstrom)"),
    ("wavenumber", 1e8 / WAVE, "cm-1"), ("lambda_nm_vac", WAVE / 10, None),
    ("frequency", 2.99792458e18 / WAVE, "Hz"), ("wave", WAVE, "Angstrom_vac"),
])  # fmt: skip
def test_axes_of_every_kind_become_wavelengths(tmp_path, name, values, unit):
    path = _table(
        tmp_path / "a.fits", {name: values, "flux": FLUX}, {"TUNIT1": unit} if unit else ()
    )
    axis = read_spectrum(path).spectral_axis
    assert axis.to_value(u.AA, u.spectral()) == pytest.approx(WAVE)


def test_logarithms_of_something_else_are_refused(tmp_path):
    path = _table(tmp_path / "a.fits", {"loglam": WAVE, "flux": FLUX})
    with pytest.raises(ValueError, match=r"no decimal logarithms .* call the column 'wavelength'"):
        read_spectrum(path)
    path = _table(path, {"log_wave": np.log(WAVE), "flux": FLUX})
    with pytest.raises(ValueError, match="natural logarithms need the name 'lnlam'"):
        read_spectrum(path)
    path = _table(path, {"wavenumber": 1e8 / WAVE, "flux": FLUX})
    with pytest.raises(ValueError, match="'wavenumber' is no wavelength, and its unit is not"):
        read_spectrum(path)
    path = _table(path, {"wave": WAVE, "flux": FLUX}, {"TUNIT2": "mag"})
    with pytest.raises(ValueError, match="'flux' is in mag, which is a logarithm"):
        read_spectrum(path)


def test_orders_in_one_table_become_arms(tmp_path):
    wave = np.concatenate([WAVE, WAVE + 1.0])
    path = _table(tmp_path / "a.fits", {"wave": wave, "flux": np.tile(FLUX, 2)})
    orders = read_spectrum(path)
    assert [order.spectral_axis[0].value for order in orders] == [WAVE[0], WAVE[0] + 1.0]
    wave = WAVE.copy()
    wave[[5, 6]] = wave[[6, 5]]
    with pytest.raises(ValueError, match="neither increase nor decrease all the way; row 6"):
        read_spectrum(_table(path, {"wave": wave, "flux": FLUX}))
    with pytest.raises(ValueError, match="20 of 40 pixels have the wavelength of the pixel before"):
        read_spectrum(_table(path, {"wave": np.repeat(WAVE[::2], 2), "flux": FLUX}))


@pytest.mark.parametrize("value", [-9999, -999.0, 1e30, -1.0, 99999])
def test_fill_values_are_not_flux(value):
    assert np.array_equal(observe(_spectrum(flux=np.where(BAD, value, FLUX))).good, ~BAD)
    assert observe(_spectrum(flux=np.where(BAD, 1.3, FLUX))).good.all()


CARDS = {"CRVAL1": WAVE[0], "CDELT1": WAVE[1] - WAVE[0], "CRPIX1": 1.0}


@pytest.mark.parametrize(("data", "cards"), [
    (FLUX[:, None], {"CRVAL2": WAVE[0], "CDELT2": CARDS["CDELT1"], "CRPIX2": 1.0}),
    ([WAVE, FLUX], {}), (np.transpose([WAVE, FLUX, FLUX / 99]), {}),
    (FLUX, {**CARDS, "CDELT1": str(CARDS["CDELT1"])}),
    (FLUX, {"W0": WAVE[0], "WPC": CARDS["CDELT1"]}),
    (FLUX, {**CARDS, "CTYPE1": "DISPERSION"}), ([[FLUX / 99], [FLUX]],
     {**CARDS, "BANDID1": "sigma - x", "BANDID2": "spectrum - x"}),
])  # fmt: skip
def test_images_in_more_layouts(tmp_path, data, cards):
    spectrum = read_spectrum(_image(tmp_path / "a.fits", data, cards))
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVE)
    assert np.array_equal(spectrum.flux.value, FLUX)


@pytest.mark.parametrize("cards", [
    {"COEFF0": 3.7, "COEFF1": 1e-5}, {"CRVAL1": 3.7, "CDELT1": 1e-5, "DC-FLAG": "1"},
    {"CRVAL1": 3.7, "CDELT1": 1e-5, "CUNIT1": "log(Angstrom)"},
    {"CRVAL1": np.log(10**3.7), "CDELT1": 1e-5 * np.log(10), "CTYPE1": "LN-LAMBDA"},
    {"CRVAL1": 2.7, "CDELT1": 1e-5, "DC-FLAG": 1, "CUNIT1": "nm"},
])  # fmt: skip
def test_images_with_logarithms_in_more_spellings(tmp_path, cards):
    axis = read_spectrum(_image(tmp_path / "a.fits", FLUX, cards)).spectral_axis
    assert axis.to_value(u.AA) == pytest.approx(10 ** (3.7 + 1e-5 * np.arange(N)))


def _multispec(n):
    """Return cards of IRAF for orders that are linear, each 100 Å after the one before."""
    step, cards = WAVE[1] - WAVE[0], {"CTYPE1": "MULTISPE", "CTYPE2": "MULTISPE", "WCSDIM": 2}
    text = "wtype=multispec " + " ".join(
        f'spec{i + 1} = "{i + 1} {i + 1} 0 {WAVE[0] + 100 * i} {step:.12f} {N} 0. 1. 5."'
        for i in range(n)
    )
    parts = {f"WAT2_{i // 68 + 1:03d}": text[i : i + 68] for i in range(0, len(text), 68)}
    return {**cards, "WAT1_001": "wtype=multispec label=Wavelength units=angstroms", **parts}


@pytest.mark.skipif(
    version("specutils").startswith("2.0."), reason="specutils 2.0 does not parse these cards"
)
@pytest.mark.parametrize("bands", [1, 4])
def test_orders_of_iraf_are_arms(tmp_path, bands):
    data = np.array([[FLUX, 2 * FLUX], [FLUX, FLUX], [0 * FLUX, FLUX], [FLUX / 9, FLUX / 5]])
    data = data[0] if bands == 1 else data
    orders = read_spectrum(_image(tmp_path / "a.fits", data, _multispec(2)))
    assert [o.spectral_axis[0].value for o in orders] == pytest.approx([WAVE[0], WAVE[0] + 100])
    assert np.array_equal(orders[1].flux.value, 2 * FLUX)
    if bands == 4:
        assert orders[1].uncertainty.array == pytest.approx(FLUX / 5)
    else:
        assert orders[0].uncertainty is None


def test_images_that_may_each_be_the_flux_are_listed(tmp_path):
    header = fits.Header(CARDS)
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(FLUX, header, "BLUE"),
        fits.ImageHDU(FLUX, header, "RED"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(ValueError, match=r"2 images that may be spectra \(BLUE, RED\): give hdu="):
        read_spectrum(tmp_path / "a.fits")
    assert len(read_spectrum(tmp_path / "a.fits", hdu=["BLUE", "RED"])) == 2
    hdus[1:] = [fits.ImageHDU(FLUX / 9, header, "ERR"), fits.ImageHDU(FLUX, header, "OBJECT1")]
    fits.HDUList(hdus).writeto(tmp_path / "b.fits")
    spectrum = read_spectrum(tmp_path / "b.fits")
    assert np.array_equal(spectrum.flux.value, FLUX)
    fits.HDUList([fits.PrimaryHDU(FLUX, header), fits.ImageHDU(FLUX)]).writeto(tmp_path / "c.fits")
    with pytest.warns(AstropyUserWarning, match="image 1 has no name and is not used"):
        read_spectrum(tmp_path / "c.fits")
    path = _image(tmp_path / "d.fits", [FLUX, FLUX / 9], CARDS)
    with pytest.raises(ValueError, match=r"image of 2 x 40 values.*target=0 to target=1"):
        read_spectrum(path)
    assert np.array_equal(read_spectrum(path, target=0).flux.value, FLUX)


def test_orders_with_wavelengths_beside(tmp_path):
    images = {"SPEC": [FLUX, FLUX, 0 * FLUX], "SIG": [FLUX / 9] * 3, "WAVE": [WAVE, WAVE + 9, WAVE]}
    hdus = [fits.ImageHDU(np.array(data), name=name) for name, data in images.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    with pytest.warns(AstropyUserWarning, match="1 of 3 orders have no light and are left out"):
        orders = read_spectrum(tmp_path / "a.fits")
    assert [order.spectral_axis[0].value for order in orders] == [WAVE[0], WAVE[0] + 9]
    assert orders[1].uncertainty.array == pytest.approx(FLUX / 9)


def test_a_part_of_a_spectrum_keeps_its_resolution(tmp_path):
    columns = {"wave": WAVE, "flux": FLUX, "resolution": np.linspace(2000, 3000, N)}
    part = read_spectrum(_table(tmp_path / "a.fits", columns))[10:20]
    assert resolution_at(part.meta["resolution"], part.spectral_axis) == pytest.approx(
        columns["resolution"][10:20]
    )
    assert resolution_at(np.full(N, 2000.0), part.spectral_axis) == 2000
