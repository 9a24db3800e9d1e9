import functools
import gzip
import os

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from astropy.utils.introspection import minversion
from specutils import Spectrum

from astropayne import Flag, degrade_spectrum, fit_spectra
from astropayne.io.container import write_container
from astropayne.io.result_tables import write_table
from astropayne.spectra.files import file_names, read_star
from astropayne.spectra.read import read_spectrum
from astropayne.spectra.write import write_spectrum
from astropayne.workflows.fit_files import describe_fits, fit_files

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)
exact_fit_files = functools.partial(fit_files, **EXACT)

WAVELENGTH, FLUX = np.array([5160.0, 5160.05, 5160.1, 5160.15]), np.array([0.9, 0.8, 0.85, 1.0])


@pytest.mark.parametrize(
    ("head", "separator"),
    [("", " "), ("# made by hand\n", "\t"), ("wavelength,flux,err\n", ","), ("# wl f e\n", "  ")],
)
def test_text_is_read_whatever_its_head(tmp_path, head, separator):
    lines = (separator.join(map(str, row)) for row in zip(WAVELENGTH, FLUX, FLUX / 50, strict=True))
    (tmp_path / "star.dat").write_text(head + "\n".join(lines))
    spectrum = read_spectrum(tmp_path / "star.dat", meta={"medium": "air"})
    assert np.array_equal(spectrum.spectral_axis.to_value(u.AA), WAVELENGTH)
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert np.array_equal(spectrum.uncertainty.array, FLUX / 50)
    assert spectrum.meta == {"medium": "air", "name": str(tmp_path / "star.dat")}


def test_two_columns_another_unit_and_columns_in_another_order(tmp_path):
    np.savetxt(tmp_path / "two.txt", np.column_stack([WAVELENGTH / 10, FLUX]))
    spectrum = read_spectrum(tmp_path / "two.txt", wavelength_unit="nm")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)
    assert spectrum.uncertainty is None
    table = {"flux": FLUX, "flux_error": FLUX / 9, "lambda": WAVELENGTH}
    QTable(table).write(tmp_path / "named.csv", format="ascii.csv")
    spectrum = read_spectrum(tmp_path / "named.csv")
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert np.array_equal(spectrum.uncertainty.array, FLUX / 9)


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
@pytest.mark.parametrize(("name", "power"), [("ivar", -2), ("Variance", 2)])
def test_noise_may_be_a_variance_or_its_inverse(tmp_path, suffix, name, power):
    sigma = np.array([0.01, 0.02, np.inf if name == "ivar" else 0.04, 0.05])
    table = QTable({"wavelength": WAVELENGTH, "flux": FLUX, name: sigma**power})
    table.write(tmp_path / f"star{suffix}")
    spectrum = read_spectrum(tmp_path / f"star{suffix}")
    assert spectrum.uncertainty.array == pytest.approx(sigma)


@pytest.mark.parametrize("head", ["wave_nm,flux", "# lambda (nm), flux (norm)", "# wl[nm] F"])
def test_the_unit_may_be_in_the_name_of_the_wavelength(tmp_path, head):
    lines = [f"{w / 10:.3f},{f}" for w, f in zip(WAVELENGTH, FLUX, strict=True)]
    (tmp_path / "star.csv").write_text("\n".join([head, *lines]))
    spectrum = read_spectrum(tmp_path / "star.csv")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)


@pytest.mark.parametrize("suffix", [".csv", ".fits"])
def test_wavelengths_may_be_logarithms_and_have_to_be_wavelengths(tmp_path, suffix):
    file = tmp_path / f"star{suffix}"
    table = QTable({"flux": FLUX, "loglam": np.log10(WAVELENGTH), "ivar": FLUX**-2})
    table.write(file)
    spectrum = read_spectrum(file)
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH, rel=1e-12)
    assert spectrum.uncertainty.array == pytest.approx(FLUX)
    if suffix == ".csv":
        QTable({"frequency": 1 / WAVELENGTH, "flux": FLUX}).write(file, overwrite=True)
        with pytest.raises(ValueError, match="column 'frequency' is no wavelength"):
            read_spectrum(file)


@pytest.mark.parametrize(("names", "medium"), [
    (["wavelength", "wavelength_air"], "vacuum"), (["wave_vac", "wave"], "vacuum"),
    (["lambda_air"], "air"), (["wave", "pair"], None),
])  # fmt: skip
def test_the_medium_may_be_in_the_name_of_the_wavelength(tmp_path, names, medium):
    table = QTable({**dict.fromkeys(names, WAVELENGTH * u.AA), "flux": FLUX * u.Jy})
    table.write(tmp_path / "espresso.fits")
    assert read_spectrum(tmp_path / "espresso.fits").meta.get("medium") == medium
    given = read_spectrum(tmp_path / "espresso.fits", meta={"medium": "air"})
    assert given.meta["medium"] == "air"


@pytest.mark.parametrize(("cards", "medium"), [
    ({"CTYPE1": "AWAV", "CUNIT1": "nm", "CRVAL1": 516.0, "CDELT1": 0.005}, "air"),
    ({"DC-FLAG": 1, "CRVAL1": np.log10(5160), "CDELT1": np.log10(5160.05 / 5160)}, None),
    ({"CTYPE1": "WAVE", "CRVAL1": 5160.0, "CDELT1": 0.05}, None),  # in m, by the standard
    ({"CTYPE1": "AWAV", "CUNIT1": " ", "CRVAL1": 5160.0, "CDELT1": 0.05}, "air"),
])  # fmt: skip
def test_images_may_have_wavelengths_in_air_and_logarithms(tmp_path, cards, medium):
    image = fits.PrimaryHDU(FLUX)
    image.header.update({"CRPIX1": 1.0, **cards})
    image.writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH, abs=1e-5)
    assert spectrum.meta.get("medium") == medium


@pytest.mark.parametrize(("first", "table", "medium"), [
    ({"VACUUM": True}, {}, "vacuum"), ({"VACUUM": "T"}, {}, "vacuum"),
    ({"VACUUM": False}, {}, "air"), ({"VACUUM": 1}, {}, "vacuum"), ({"VACUUM": 0}, {}, "air"),
    ({"VACUUM": ""}, {}, None),
    ({}, {"TUCD1": "em.wl;obs.atmos"}, "air"), ({}, {"TUCD1": "em.wl"}, None),
    ({"PRODCATG": "SCIENCE.SPECTRUM"}, {"TUCD1": "em.wl"}, "vacuum"),
    ({"TELESCOP": "JWST"}, {}, "vacuum"), ({"SURVEY": "apogee2"}, {}, "vacuum"),
])  # fmt: skip
def test_headers_of_tables_may_say_the_medium(tmp_path, first, table, medium):
    rows = fits.table_to_hdu(QTable({"WAVE": WAVELENGTH * u.AA, "FLUX": FLUX * u.Jy}))
    primary = fits.PrimaryHDU()
    rows.header.update(table)
    primary.header.update(first)
    fits.HDUList([primary, rows]).writeto(tmp_path / "star.fits")
    assert read_spectrum(tmp_path / "star.fits").meta.get("medium") == medium
    given = read_spectrum(tmp_path / "star.fits", meta={"medium": "air"})
    assert given.meta["medium"] == "air"


@pytest.mark.parametrize(("said", "resolution"), [(115000, 115000.0), (0.0, None), ("?", None)])
def test_headers_of_eso_say_the_resolution(tmp_path, said, resolution):
    rows = fits.table_to_hdu(QTable({"WAVE": WAVELENGTH * u.AA, "FLUX": FLUX * u.Jy}))
    primary = fits.PrimaryHDU(header=fits.Header({"SPEC_RES": said}))
    fits.HDUList([primary, rows]).writeto(tmp_path / "star.fits")
    assert read_spectrum(tmp_path / "star.fits").meta.get("resolution") == resolution
    given = read_spectrum(tmp_path / "star.fits", meta={"resolution": 18000})
    assert given.meta["resolution"] == 18000


def test_wavelengths_of_apogee_are_in_vacuum(tmp_path):
    cards = {"CTYPE1": "LOG-LINEAR", "CRPIX1": 1, "CRVAL1": 4.179, "CDELT1": 6e-6, "DC-FLAG": 1}
    images = [fits.ImageHDU(np.ones(8575), fits.Header(cards)) for _ in range(3)]
    last = fits.table_to_hdu(Table({"ASPCAPFLAG": [0]}))
    fits.HDUList([fits.PrimaryHDU(), *images, last]).writeto(tmp_path / "aspcapStar.fits")
    spectrum = read_spectrum(tmp_path / "aspcapStar.fits")
    ends = spectrum.spectral_axis.to_value(u.AA)[[0, -1]]
    assert ends == pytest.approx([15100.8, 16999.8], abs=0.1)
    assert spectrum.meta["medium"] == "vacuum"


@pytest.mark.parametrize(("names", "power"), [
    (("FLUX", "ERRS", "QUAL"), 1), (("SCI", "ERR", "DQ"), 1), (("DATA", "STAT", "DQ"), 2),
    (("FLUX", "IVAR", "MASK"), -2),
])  # fmt: skip
@pytest.mark.parametrize("unit", ["adu", "Relative Flux", None])
@pytest.mark.parametrize("in_primary", [True, False])
def test_noise_and_mask_may_be_images_beside_the_flux(tmp_path, names, power, unit, in_primary):
    cards = {"CTYPE1": "AWAV", "CUNIT1": "nm", "CRPIX1": 1.0, "CRVAL1": 516.0, "CDELT1": 0.005}
    columns, heads = (FLUX, (0.1 * FLUX) ** power, np.array([0, 2, 0, 0])), [fits.Header(cards)] * 3
    images = [fits.ImageHDU(*those) for those in zip(columns, heads, names, strict=True)]
    if unit:
        images[0].header["BUNIT"] = unit
    first = fits.PrimaryHDU()
    if in_primary:
        first = fits.PrimaryHDU(FLUX, images.pop(0).header)
    fits.HDUList([first, *images]).writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits")
    sigma = spectrum.uncertainty.represent_as(StdDevUncertainty)
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert spectrum.flux.unit == (u.adu if unit == "adu" else u.one)
    assert sigma.array == pytest.approx(0.1 * FLUX)
    assert np.asarray(spectrum.mask, dtype=bool).tolist() == [False, True, False, False]
    assert spectrum.meta["medium"] == "air"


@pytest.mark.skipif(not minversion("specutils", "2.1"), reason="specutils 2.0 does not read it")
@pytest.mark.filterwarnings("ignore:Flux unit was not provided")
@pytest.mark.filterwarnings("ignore:Read spectral axis of shape")
def test_the_only_order_of_iraf_is_a_spectrum(tmp_path):
    image = fits.PrimaryHDU(FLUX[None])
    image.header.update(WCSDIM=2, CTYPE1="MULTISPE", CTYPE2="MULTISPE", CDELT1=1.0, CD1_1=1.0)
    image.header.update(CD2_2=1.0, WAT0_001="system=multispec")
    image.header["WAT1_001"] = "wtype=multispec label=Wavelength units=angstroms"
    start, step = np.log10(5160), np.log10(5160.05 / 5160)
    order = f'wtype=multispec spec1 = "1 1 1 {start:.15f} {step:.15e} 4 0. 1. 1."'
    image.header.update(WAT2_001=order[:68], WAT2_002=order[68:])
    image.writeto(tmp_path / "order.fits")
    spectrum = read_spectrum(tmp_path / "order.fits")
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH, abs=1e-3)


@pytest.mark.parametrize("cards", [{}, {"CTYPE1": "WAVE"}, {"CTYPE1": "LINEAR"}])
def test_the_unit_of_an_image_can_be_given(tmp_path, cards):
    header = fits.Header({"CRPIX1": 1.0, "CRVAL1": 516.0, "CDELT1": 0.005, **cards})
    fits.PrimaryHDU(FLUX, header).writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits", wavelength_unit="nm")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH, abs=1e-5)


def test_metres_of_an_image_are_the_standards(tmp_path):
    cards = {"CTYPE1": "WAVE", "CRPIX1": 1.0, "CRVAL1": 516e-9, "CDELT1": 5e-12}
    fits.PrimaryHDU(FLUX, fits.Header(cards)).writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH, abs=1e-5)


def test_an_image_without_wavelengths_is_none_of_a_spectrum(tmp_path):
    fits.PrimaryHDU(np.ones(8000)).writeto(tmp_path / "raw.fits")
    with pytest.raises(ValueError, match=r"raw\.fits counts its pixels where wavelengths should"):
        read_spectrum(tmp_path / "raw.fits")


def test_images_of_rows_are_read_of_lamost_and_else_said_to_be_that(tmp_path):
    rows = [FLUX, FLUX**-2, WAVELENGTH, np.array([0, 4, 0, 0]), 0 * FLUX]
    image = fits.PrimaryHDU(np.array(rows), fits.Header({"TELESCOP": "LAMOST", "VACUUM": True}))
    image.writeto(tmp_path / "lamost.fits")
    spectrum = read_spectrum(tmp_path / "lamost.fits")
    assert np.array_equal(spectrum.spectral_axis.to_value(u.AA), WAVELENGTH)
    assert np.array_equal(spectrum.flux.value, FLUX)
    assert spectrum.uncertainty.represent_as(StdDevUncertainty).array == pytest.approx(FLUX)
    assert spectrum.mask.tolist() == [False, True, False, False]
    assert spectrum.meta["medium"] == "vacuum"
    fits.PrimaryHDU(np.ones((3, 7))).writeto(tmp_path / "orders.fits")
    with pytest.raises(ValueError, match="an image of 3 x 7 values, not one spectrum; write each"):
        read_spectrum(tmp_path / "orders.fits")


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.filterwarnings("ignore:Error validating header")
@pytest.mark.parametrize("name", ["table.fits", "image.fits"])
@pytest.mark.parametrize("part", [0.05, 0.2, 0.9, "compressed"])
def test_files_that_end_too_early_are_said_to_be_damaged(tmp_path, name, part):
    file = tmp_path / name
    if name == "table.fits":
        Table({"wavelength": np.arange(5000.0, 6000), "flux": np.ones(1000)}).write(file)
    else:
        cards = {"CRVAL1": 5000.0, "CDELT1": 1.0, "CRPIX1": 1}
        fits.PrimaryHDU(np.random.default_rng(1).random(9000), fits.Header(cards)).writeto(file)
    content = file.read_bytes()
    if part == "compressed":
        content, file, part = gzip.compress(content), tmp_path / f"{name}.gz", 0.7
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged: it ends before its data do"):
        read_spectrum(file)


def test_text_may_have_other_letters_in_latin_1(tmp_path):
    text = "# Wellenlänge\nwave [Å], flux\n5160,1\n5161,2\n"
    (tmp_path / "star.txt").write_bytes(text.encode("latin-1"))
    spectrum = read_spectrum(tmp_path / "star.txt")
    assert spectrum.spectral_axis.to_value(u.AA).tolist() == [5160, 5161]


@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning")
def test_units_that_are_not_known_are_none_for_flux_and_errors_for_wavelengths(tmp_path):
    def write(unit):
        columns = [
            fits.Column("wavelength", "D", unit=unit, array=WAVELENGTH),
            fits.Column("flux", "D", unit="e-", array=FLUX),
            fits.Column("error", "D", unit="e-", array=FLUX / 50),
        ]
        fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "star.fits", overwrite=True)
        return tmp_path / "star.fits"

    spectrum = read_spectrum(write("angstrom"))
    assert np.array_equal(spectrum.flux, FLUX * u.one)
    assert spectrum.uncertainty.array == pytest.approx(FLUX / 50)
    with pytest.raises(ValueError, match="column 'wavelength' is in 'furlong2', a unit that is"):
        read_spectrum(write("furlong2"))
    assert read_spectrum(write("furlong2"), wavelength_unit="AA").spectral_axis.unit == u.AA


def test_all_pixels_may_be_in_one_row_of_a_fits_table(tmp_path):
    units = {"WAVE": "nm", "FLUX": "erg / (s cm2 nm)", "ERR": "erg / (s cm2 nm)"}
    values = dict(zip(units, (WAVELENGTH / 10, FLUX, FLUX / 50), strict=True))
    columns = [
        fits.Column(name, format="4D", unit=unit, array=values[name][None])
        for name, unit in units.items()
    ]
    columns.append(fits.Column("OBJECT", format="5A", array=["a sun"]))
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "eso.fits")
    spectrum = read_spectrum(tmp_path / "eso.fits")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)
    assert spectrum.flux.unit == u.Unit("erg / (s cm2 nm)")
    assert np.array_equal(spectrum.uncertainty.array, FLUX / 50)


@pytest.mark.parametrize("suffix", [".vot", ".ecsv", ".fits"])
@pytest.mark.parametrize("any_length", [False, True])
def test_one_row_may_hold_all_pixels_in_any_table(tmp_path, suffix, any_length):
    """As Gaia's RVS spectra come, in nm."""
    file, columns = tmp_path / f"rvs{suffix}", {"wavelength": WAVELENGTH / 10, "flux": FLUX}
    table = Table({"source_id": [5853]})
    for name, values in columns.items():
        row = np.empty(1, dtype=object) if any_length else np.empty((1, len(values)))
        row[0] = values
        table[name] = row
    table["wavelength"].unit = u.nm
    table.write(file, format="votable" if suffix == ".vot" else None)
    spectrum = read_spectrum(file)
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)
    assert np.array_equal(spectrum.flux.value, FLUX)
    table = Table({name: [values, values] for name, values in columns.items()})
    table.write(file, format="votable" if suffix == ".vot" else None, overwrite=True)
    with pytest.raises(ValueError, match=f"rvs{suffix} has 2 rows of arrays, each of which is a"):
        read_spectrum(file)


def test_text_may_be_compressed_a_votable_or_of_spreadsheets(tmp_path):
    table = QTable({"wavelength": WAVELENGTH / 10 * u.nm, "flux": FLUX, "flux_error": FLUX / 50})
    table.write(tmp_path / "gaia.xml", format="votable")
    plain = QTable({"wave": WAVELENGTH, "flux": FLUX, "err": FLUX / 50}).to_pandas()
    plain.to_csv(tmp_path / "index.csv")
    plain.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    plain.to_csv(tmp_path / "no_names.csv", index=False, sep=";", header=False)
    plain.to_csv(tmp_path / "packed.csv.gz", index=False)
    with gzip.open(tmp_path / "packed.fits.gz", "wb") as file:
        fits.table_to_hdu(QTable.from_pandas(plain)).writeto(file)
    for file in sorted(tmp_path.iterdir()):
        spectrum = read_spectrum(file)
        assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH), file
        assert spectrum.flux.value == pytest.approx(FLUX)
        assert spectrum.uncertainty.array == pytest.approx(FLUX / 50)


@pytest.mark.parametrize("suffix", [".csv", ".ecsv"])
def test_what_a_table_does_not_say_is_nan(tmp_path, suffix):
    gap = np.array([False, True, False, False])
    table = QTable({"wavelength": WAVELENGTH, "flux": MaskedColumn(FLUX, mask=gap)})
    table["error"] = MaskedColumn(FLUX / 50, mask=gap[::-1])
    write_table(table, tmp_path / f"star{suffix}")
    spectrum = read_spectrum(tmp_path / f"star{suffix}")
    assert np.array_equal(spectrum.flux.value, np.where(gap, np.nan, FLUX), equal_nan=True)
    assert np.isnan(spectrum.uncertainty.array).tolist() == gap[::-1].tolist()


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv"])
@pytest.mark.parametrize(
    "mask", [[False, True, True], [0, 1, 4], [0.0, 1.0, 0.5], ["false", "True", "TRUE"]]
)
def test_masks_are_of_numbers_or_true_and_false(tmp_path, suffix, mask):
    table = QTable({"wavelength": WAVELENGTH[:3], "flux": FLUX[:3], "mask": mask})
    write_table(table, tmp_path / f"star{suffix}")
    assert read_spectrum(tmp_path / f"star{suffix}").mask.tolist() == [False, True, True]
    table["mask"] = ["good", "maybe", "bad"]
    write_table(table, tmp_path / f"star{suffix}", overwrite=True)
    with pytest.raises(ValueError, match="column 'mask' has 'bad': a mask has numbers"):
        read_spectrum(tmp_path / f"star{suffix}")


def test_a_third_column_of_both_signs_is_no_uncertainty(tmp_path, rng):
    """Stokes V follows intensity where a spectropolarimeter wrote the file."""
    file, wavelength = tmp_path / "espadons.s", np.linspace(516, 517, 50)
    columns = wavelength, np.ones(50), 1e-4 * rng.normal(size=50), np.full(50, 5e-3)
    np.savetxt(file, np.transpose(columns))
    with pytest.raises(ValueError, match=r"column 'col3' has negative values.*columns=2"):
        read_spectrum(file, wavelength_unit="nm")
    assert read_spectrum(file, wavelength_unit="nm", columns=2).uncertainty is None
    columns[2][:] = np.where(np.arange(50) == 3, -1, 5e-3)  # which stands for a bad pixel
    np.savetxt(file, np.transpose(columns))
    assert read_spectrum(file, wavelength_unit="nm").uncertainty is not None


@pytest.mark.parametrize("name", ["and_mask", "ANDMASK", "PIXMASK", "QUAL", "quality"])
@pytest.mark.parametrize("in_one_row", [False, True])
def test_masks_of_surveys_have_names_of_their_own(tmp_path, name, in_one_row):
    columns = {"WAVE": WAVELENGTH, "FLUX": FLUX, "ERR": FLUX, name: [0, 1 << 20, 0, 1]}
    table = QTable({n: [c] if in_one_row else c for n, c in columns.items()})
    table.write(tmp_path / "star.fits")
    assert read_spectrum(tmp_path / "star.fits").mask.tolist() == [False, True, False, True]


def test_a_third_column_that_is_no_uncertainty(tmp_path):
    np.savetxt(tmp_path / "a.spec", np.column_stack([WAVELENGTH, FLUX, 1e6 * FLUX]))
    with pytest.raises(ValueError, match="columns=2"):
        read_spectrum(tmp_path / "a.spec")
    assert read_spectrum(tmp_path / "a.spec", columns=2).uncertainty is None
    names = "wavelength normalised_flux unnormalised_flux"
    np.savetxt(
        tmp_path / "b.spec", np.column_stack([WAVELENGTH, FLUX, 1e6 * FLUX]), header=f"B\n{names}"
    )
    spectrum = read_spectrum(tmp_path / "b.spec")
    assert spectrum.uncertainty is None
    assert np.array_equal(spectrum.flux.value, FLUX)


@pytest.mark.parametrize("name", ["err", "ivar"])
@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv"])
def test_what_is_called_an_uncertainty_and_is_none(tmp_path, suffix, name):
    file = tmp_path / f"star{suffix}"
    for values in (np.full(4, np.nan), np.zeros(4)):
        QTable({"flux": FLUX, name: values, "wave": WAVELENGTH}).write(file, overwrite=True)
        spectrum = read_spectrum(file)
        assert spectrum.uncertainty is None
        assert np.array_equal(spectrum.flux.value, FLUX)
    noise = FLUX / 50 if name == "err" else (FLUX / 50) ** -2
    QTable({"flux": FLUX, name: noise, "wave": WAVELENGTH}).write(file, overwrite=True)
    assert read_spectrum(file).uncertainty is not None
    spectrum = read_spectrum(file, columns=2)
    assert spectrum.uncertainty is None
    assert np.array_equal(spectrum.spectral_axis.value, WAVELENGTH)


@pytest.mark.parametrize("suffix", [".ecsv", ".fits", ".csv", ".txt", ".FITS", ".ECSV"])
def test_what_is_written_is_read(tmp_path, suffix):
    mask = np.array([True, False, False, False])
    spectrum = Spectrum(
        spectral_axis=WAVELENGTH * u.AA, flux=np.where(mask, np.nan, FLUX) * u.one, mask=mask,
        uncertainty=StdDevUncertainty(FLUX / 10), meta={"medium": "air", "resolution": 18000.0},
    )  # fmt: skip
    write_spectrum(spectrum, tmp_path / f"star{suffix}")
    again = read_spectrum(tmp_path / f"star{suffix}")
    assert np.array_equal(again.spectral_axis.to_value(u.AA), WAVELENGTH)
    assert np.array_equal(again.flux.value, spectrum.flux.value, equal_nan=True)
    assert again.uncertainty.array == pytest.approx(FLUX / 10)
    if suffix.lower() in (".ecsv", ".fits"):
        assert np.array_equal(again.mask, mask)
        assert (again.meta["medium"], again.meta["resolution"]) == ("air", 18000)
    with pytest.raises(FileExistsError, match="overwrite"):
        write_spectrum(spectrum, tmp_path / f"star{suffix}")
    write_spectrum(spectrum, tmp_path / f"star{suffix}", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == [f"star{suffix}"]


@pytest.mark.parametrize("suffix", [".ecsv", ".fits"])
@pytest.mark.parametrize("unit", [u.one, u.Jy])
@pytest.mark.parametrize("meta", [
    {"medium": "vacuum"}, {"resolution": np.float32(18000)},
    {"resolution": np.array([18000.0, 18100, 18200, 18300])},
])  # fmt: skip
def test_what_is_known_of_a_spectrum_comes_back(tmp_path, suffix, unit, meta):
    spectrum = Spectrum(
        spectral_axis=WAVELENGTH * u.AA, flux=FLUX * unit,
        uncertainty=StdDevUncertainty(FLUX / 10 * unit), meta=meta,
    )  # fmt: skip
    write_spectrum(spectrum, tmp_path / f"star{suffix}")
    again = read_spectrum(tmp_path / f"star{suffix}")
    assert u.allclose(again.flux, spectrum.flux)
    assert again.uncertainty.array == pytest.approx(FLUX / 10)
    found = {key: value for key, value in again.meta.items() if key != "name"}
    assert found.keys() == meta.keys()
    assert np.array_equal(*found.values(), *meta.values())


def test_specutils_reads_the_rest(tmp_path):
    header = fits.Header({"CTYPE1": "WAVE", "CUNIT1": "Angstrom", "CRVAL1": 5160.0, "CDELT1": 0.05})
    header["CRPIX1"] = 1
    header["BUNIT"] = "erg / (s cm2 Angstrom)"
    fits.PrimaryHDU(FLUX, header).writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits", format="wcs1d-fits")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx(WAVELENGTH)
    assert spectrum.flux.unit == u.Unit("erg / (s cm2 Angstrom)")


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_spectrum(tmp_path / "nothing.txt")
    (tmp_path / "letter.txt").write_text("Dear reader,\nthis is no spectrum.\n")
    with pytest.raises(ValueError, match=r"letter.txt is neither text with columns"):
        read_spectrum(tmp_path / "letter.txt")
    (tmp_path / "short.txt").write_text("5160.0 0.9\n5160.1 0.8\n5160.2\n")
    with pytest.raises(ValueError, match=r"short.txt: line 3 has 1 fields .* '5160.2'; mend it"):
        read_spectrum(tmp_path / "short.txt")
    np.savetxt(tmp_path / "mixed.txt", np.column_stack([[5160, 5162, 5161], FLUX[:3]]))
    with pytest.raises(ValueError, match=r"mixed.txt: wavelengths neither"):
        read_spectrum(tmp_path / "mixed.txt")
    with pytest.raises(ValueError, match=r"must end in one of \.ecsv"):
        write_table(QTable({"a": [1]}), tmp_path / "table.doc")


_FORMATS = {
    "ecsv": "ascii.ecsv",
    "fits": "fits",
    "csv": "ascii.csv",
    "txt": "ascii.commented_header",
}


@pytest.mark.parametrize("suffix", _FORMATS)
def test_two_processes_may_write_the_same_table(tmp_path, suffix):
    path = tmp_path / f"stars.{suffix}"

    class WithAnother(QTable):
        """A table that another process writes to the same file meanwhile."""

        def write(self, *args, **options):
            super().write(*args, **options)
            write_table(QTable({"x": [1]}), path, overwrite=True)

    write_table(WithAnother({"x": [2]}), path)
    assert list(QTable.read(path, format=_FORMATS[suffix])["x"]) == [2]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="no umask")
def test_who_may_read_a_file_is_for_the_umask_to_say(tmp_path):
    umask = os.umask(0o077)
    try:
        write_container(tmp_path / "private.asdf", "Test", {"labels": []})
    finally:
        os.umask(umask)
    assert (tmp_path / "private.asdf").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("suffix", ["csv", "txt"])
def test_text_tables_go_without_columns_of_vectors(tmp_path, suffix):
    table = QTable({"Mg_Fe": [0.1, 0.2], "Mg_n_lines": [3, 2], "Mg_sensitivity": np.ones((2, 3))})
    with pytest.warns(AstropyUserWarning, match=r"has no Mg_sensitivity: text cannot hold"):
        write_table(table, tmp_path / f"table.{suffix}")
    assert len(table.colnames) == 3
    kept = ["Mg_Fe", "Mg_n_lines"]
    assert QTable.read(tmp_path / f"table.{suffix}", format="ascii").colnames == kept
    write_table(table, tmp_path / "table.ecsv")
    assert QTable.read(tmp_path / "table.ecsv")["Mg_sensitivity"].shape == (2, 3)


def test_metadata_that_fits_cannot_hold_are_named(tmp_path):
    meta = {"snr": np.int64(80), "by": ["teff", "logg"], "labels": {"A_Li": 2.5}}
    path = tmp_path / "table.fits"
    write_table(QTable({"a": [1]}, meta=meta), path)
    assert QTable.read(path).meta == {"SNR": 80, "BY": "teff logg", "A_LI": 2.5}
    meta |= {"spectrograph": "HARPS", "slit": np.ones(2)}
    with pytest.warns(AstropyUserWarning, match="has no spectrograph, slit: the header of a FITS"):
        write_table(QTable({"a": [1]}, meta=meta), path, overwrite=True)
    assert len(QTable.read(path).meta) == 3
    with pytest.warns(AstropyUserWarning, match="has no observer"):
        write_table(QTable({"a": [1]}, meta={"observer": "Ångström"}), path, overwrite=True)


def test_fits_has_escapes_of_other_letters(tmp_path):
    """They used to end a run of many stars when its table was written."""
    table, path = QTable({"name": ["α Cen", "Sun"], "message": ["", ""]}), tmp_path / "table.fits"
    with pytest.warns(AstropyUserWarning, match=r"name has letters that FITS cannot store"):
        write_table(table, path)
    assert list(QTable.read(path)["name"]) == ["\\u03b1 Cen", "Sun"]
    assert table["name"][0] == "α Cen"
    write_table(table, tmp_path / "table.ecsv")
    assert QTable.read(tmp_path / "table.ecsv")["name"][0] == "α Cen"


def test_what_is_no_file_of_a_spectrum_is_said(tmp_path):
    (tmp_path / "empty.txt").touch()
    for files, said in (([tmp_path], "is a folder"), ([tmp_path / "empty.txt"], "txt is empty"),
                        ([], "without a name"), ([""], "without a name")):  # fmt: skip
        with pytest.raises((OSError, ValueError), match=said):
            read_star(files)


def test_every_file_has_its_row(model, tmp_path):
    star = model(teff=5600, logg=4.2, feh=-0.3, vmic=1, rv=33, vsini=6)
    write_spectrum(star, tmp_path / "star.ecsv")
    (tmp_path / "bad.txt").write_text("nothing")
    seconds = QTable({"wavelength": star.spectral_axis.value * u.s, "flux": star.flux.value})
    seconds.write(tmp_path / "seconds.fits")
    names = ("bad.txt", "star.ecsv", "gone.txt", "seconds.fits")
    files = [tmp_path / name for name in names]
    table = exact_fit_files(files, model)
    assert list(table["name"]) == [str(file) for file in files]
    assert table["rv"][1].value == pytest.approx(33, abs=0.1)
    assert ((table["flags"] & Flag.BAD_INPUT) > 0).tolist() == [True, False, True, True]
    assert "bad.txt is neither" in table["message"][0]
    assert "there is no file" in table["message"][2]
    assert "'s'" in table["message"][3]
    for suffix in ("ecsv", "fits", "csv"):
        write_table(table, tmp_path / f"table.{suffix}")
        again = QTable.read(tmp_path / f"table.{suffix}")
        assert float(u.Quantity(again["teff"]).value[1]) == pytest.approx(table["teff"].value[1])
        assert len(again) == len(files)


def test_an_image_may_have_a_unit_that_is_none(tmp_path):
    image = fits.PrimaryHDU(np.linspace(0.9, 1, 50))
    image.header.update(CTYPE1="WAVE", CUNIT1="Angstrom", CRVAL1=5160.0, CDELT1=0.1, CRPIX1=1.0)
    image.header["BUNIT"] = "Relative Flux"
    image.writeto(tmp_path / "star.fits")
    spectrum = read_spectrum(tmp_path / "star.fits")
    assert spectrum.spectral_axis[[0, -1]].to_value(u.AA) == pytest.approx([5160, 5164.9])
    assert spectrum.flux.unit == u.one
    assert spectrum.flux.value == pytest.approx(np.linspace(0.9, 1, 50))


def test_progress_says_of_how_many_files(model, tmp_path, capsys):
    exact_fit_files((tmp_path / f"{i}.txt" for i in range(3)), model, progress=True)
    assert "3/3" in capsys.readouterr().err


def test_flags_are_told_with_the_labels_they_concern(model):
    star = model(teff=5700, logg=4.4, feh=0, vmic=1, A_Li=2)
    table = exact_fit_spectra([star[:1601]], model)
    *_, row, _ = describe_fits(table)
    assert "LOW_INFORMATION (" in row
    assert "A_Li" in row.partition("LOW_INFORMATION (")[2]


def test_what_tables_mask_when_they_are_read_is_told_as_not_measured(model, tmp_path):
    star = model(teff=5700, logg=4.4, feh=0, vmic=1)
    table = exact_fit_spectra([star, star[:0]], model)
    told = list(describe_fits(table))
    for ending in ("fits", "ecsv"):
        write_table(table, tmp_path / f"stars.{ending}")
        assert list(describe_fits(QTable.read(tmp_path / f"stars.{ending}"))) == told


def test_names_that_are_alike_take_no_longer():
    paths = [f"{i}/spectrum.fits" for i in range(30_000)]  # all pairs of them would take minutes
    names = file_names([*paths, "spectrum-2.fits", "spectrum.txt"])
    assert len({*names}) == len(names)
    assert names[:2] == ["spectrum", "spectrum-2"]
    assert names[-2:] == ["spectrum-2-2", "spectrum-30001"]


@pytest.mark.parametrize(
    "text", ["5160\t1\n5161\t2\n", "# made\n# wl_nm, f\n\n 516.0, 1\n516.1, 2"]
)
def test_columns_of_numbers_are_not_tried_in_all_formats(tmp_path, monkeypatch, text):
    """Each is tried on the whole text, which took ten times as long as to read it."""
    (tmp_path / "star.txt").write_text(text)
    monkeypatch.setattr("astropy.io.ascii.ui._guess", None)
    spectrum = read_spectrum(tmp_path / "star.txt")
    assert spectrum.spectral_axis.to_value(u.AA) == pytest.approx([5160, 5161])
    assert spectrum.flux.value.tolist() == [1, 2]


@pytest.mark.parametrize("suffix", [".ecsv", ".fits"])
@pytest.mark.parametrize("unit", [u.one, u.Jy])
@pytest.mark.parametrize("known", [True, False])
def test_what_smoothing_does_to_noise_is_kept(sample, tmp_path, rng, suffix, unit, known):
    spectrum = sample[0]
    noisy = Spectrum(
        spectral_axis=spectrum.spectral_axis,
        flux=(spectrum.flux.value + rng.normal(0, 0.01, len(spectrum.flux))) * unit,
        uncertainty=StdDevUncertainty(np.full(len(spectrum.flux), 0.01)) if known else None,
    )
    smooth = degrade_spectrum(noisy, 10000, resolution=20000)
    write_spectrum(smooth, tmp_path / f"star{suffix}")
    again = read_spectrum(tmp_path / f"star{suffix}")
    assert (again.uncertainty is None) is not known
    names = ["correlation"] if known else ["correlation", "guessed_noise"]
    for name in names:
        np.testing.assert_allclose(again.meta[name], smooth.meta[name])


def test_flux_of_zero_has_no_wrong_column(tmp_path):
    path = tmp_path / "dark.txt"
    np.savetxt(path, np.transpose([np.arange(5160.0, 5200), np.zeros(40), np.full(40, 0.01)]))
    assert not read_spectrum(path).flux.value.any()
