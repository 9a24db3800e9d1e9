import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import QTable
from astropy.utils.masked import Masked
from specutils import Spectrum

from astropayne import SpectralGrid
from astropayne.grids.grid import GridWarning
from astropayne.grids.readers import tsfitpy


def test_the_sample_is_what_it_says(sample):
    assert sample.flux.shape == (300, 3903)
    assert sample.flux.dtype == np.float32
    assert [w.stop - w.start for w in sample.windows] == [1601, 1601, 701]
    assert sample.wavelength.unit == u.AA
    assert sample.labels.colnames[:4] == ["teff", "logg", "feh", "vmic"]
    assert sample.labels["teff"].unit == u.K
    assert sample.meta["resolution"] == 20000
    assert "Turbospectrum" in sample.meta["description"]
    assert ((sample.flux >= 0) & (sample.flux <= 1)).all()


def test_an_item_is_a_spectrum_with_its_labels(sample):
    spectrum = sample[3]
    assert isinstance(spectrum, Spectrum)
    assert spectrum.flux.unit == u.dimensionless_unscaled
    assert spectrum.flux.value == pytest.approx(sample.flux[3])
    assert spectrum.meta["teff"] == sample.labels["teff"][3]
    assert spectrum.meta["A_Li"] == sample.labels["A_Li"][3]
    assert spectrum.meta["medium"] == "air"


@pytest.mark.parametrize(
    "item", [slice(2, 20, 3), [4, 1, 7], np.array([True] + 298 * [False] + [True]), -1]
)
def test_selecting_keeps_rows_together(sample, item):
    part = sample[item]
    if isinstance(item, int):
        assert part.meta["name"] == sample.names[-1]
        return
    rows = np.arange(300)[item]
    assert list(part.names) == [sample.names[i] for i in rows]
    assert np.array_equal(part.flux, sample.flux[rows])
    assert np.array_equal(part.labels["feh"], sample.labels["feh"][rows])


def test_label_expressions_select(sample):
    assert (sample[sample.labels["feh"] < -1].labels["feh"] < -1).all()
    assert (sample[sample.labels["teff"] > 6 * u.kK].labels["teff"] > 6000 * u.K).all()


def test_split_is_a_partition_and_repeats(sample):
    train, valid = sample.split(train_fraction=0.8, seed=5)
    assert (len(train), len(valid)) == (240, 60)
    assert sorted(train.names + valid.names) == sorted(sample.names)
    assert train.names == sample.split(train_fraction=0.8, seed=5)[0].names
    assert train.names != sample.split(train_fraction=0.8, seed=6)[0].names
    with pytest.raises(ValueError, match="neither part may be empty"):
        sample.split(train_fraction=1.0)
    for fraction in (np.nan, "0.8", None):
        with pytest.raises(ValueError, match="a number between 0 and 1"):
            sample.split(fraction)


def test_lithium_becomes_absolute():
    grid = SpectralGrid.sample()
    changed = grid.transform_labels("A(Li)")
    # the grid was computed for A(Li) between 0.5 and 3.5, with A(Li) = 1.05 in the Sun
    expected = grid.labels["Li_Fe"] + grid.labels["feh"] + 1.05
    assert changed.labels["A_Li"] == pytest.approx(np.asarray(expected))
    assert 0.5 <= changed.labels["A_Li"].min() <= changed.labels["A_Li"].max() <= 3.5
    assert changed.labels.colnames == [*grid.labels.colnames[:-1], "A_Li"]
    back = changed.transform_labels("[Li/Fe]").labels["Li_Fe"]
    assert back == pytest.approx(np.asarray(grid.labels["Li_Fe"]))
    assert "Li_Fe" in grid.labels.colnames  # the first grid is as it was


def test_labels_are_transformed_with_those_that_do_not_vary(tsfitpy_folder):
    table = pd.read_csv(tsfitpy_folder / "spectra_parameters.csv").rename(columns={"A_Li": "Li_Fe"})
    table.assign(feh=-1.0).to_csv(tsfitpy_folder / "spectra_parameters.csv", index=False)
    grid = SpectralGrid.read(tsfitpy_folder)
    expected = grid.labels["Li_Fe"] - 1.0 + 1.05
    for changed in (
        grid.transform_labels("A(Li)"),
        SpectralGrid.read(tsfitpy_folder, transform_labels="A(Li)"),
    ):
        assert changed.labels["A_Li"] == pytest.approx(np.asarray(expected))
        assert changed.meta["constant_labels"] == {"feh": -1.0}
    with pytest.raises(ValueError, match="which has one value in all spectra"):
        grid.transform_labels("A(Fe)")


def test_labels_that_nothing_leads_to_are_named(sample):
    with pytest.raises(ValueError, match="no label transform leads to 'A_Eu'"):
        sample.transform_labels("A(Eu)")


def test_labels_wanted_may_be_a_list(sample):
    names = sample.transform_labels("A(Li)", "[Mg/H]").labels.colnames
    assert sample.transform_labels(["A(Li)", "[Mg/H]"]).labels.colnames == names
    assert sample.transform_labels(("A(Li)",), "[Mg/H]").labels.colnames == names


def test_the_solar_scale_is_never_guessed(sample):
    unknown = sample[:3].replace(meta={"solar_scale": None})
    with pytest.raises(ValueError, match="does not say which solar abundances"):
        unknown.transform_labels("Li_Fe")
    assert unknown.transform_labels("Li_Fe", solar="Asplund 2009").meta["solar_scale"]
    with pytest.raises(ValueError, match="contradicts"):
        sample.transform_labels("Li_Fe", solar="asplund2021")


def test_a_file_gives_the_grid_back(sample, tmp_path):
    path = tmp_path / "grid.asdf"
    sample[:7].write(path)
    again = SpectralGrid.read(path)  # the format is found out
    assert np.array_equal(again.flux, sample.flux[:7])
    assert again.labels.colnames == sample.labels.colnames
    assert all((again.labels == sample.labels[:7]).tolist())
    assert again.names == sample.names[:7]
    assert again.meta == sample.meta
    assert u.allclose(again.wavelength, sample.wavelength, rtol=0, atol=0 * u.AA)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        sample.write(path)
    assert len(SpectralGrid.read(path)) == 7


def test_a_damaged_file_is_recognised(sample, tmp_path):
    path = tmp_path / "grid.asdf"
    sample[:7].write(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        SpectralGrid.read(path)
    changed = bytearray(content)
    changed[-2000] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="damaged"):
        SpectralGrid.read(path)


def test_a_failed_write_leaves_no_file(sample, tmp_path):
    grid = sample[:3].replace(meta={"what": object()})
    with pytest.raises(Exception, match="object"):
        grid.write(tmp_path / "grid.asdf")
    assert list(tmp_path.iterdir()) == []


def test_shapes_that_do_not_match_are_refused(sample):
    with pytest.raises(ValueError, match="one row for each spectrum"):
        SpectralGrid(sample.wavelength, sample.flux[:5], sample.labels[:4])
    with pytest.raises(ValueError, match="increasing"):
        SpectralGrid(sample.wavelength[::-1], sample.flux[:5], sample.labels[:5])
    with pytest.raises(ValueError, match="'feh' is given twice"):
        SpectralGrid([1, 2] * u.nm, [[1, 1]], QTable({"feh": [0.0], "[Fe/H]": [0.0]}))


@pytest.mark.parametrize(
    ("wavelength", "meta", "match"),
    [
        ([5000, np.nan], {}, "the wavelength of pixel 1 is nan"),
        ([3.71, 3.72], {}, "from 3.71 to 3.72 Angstrom, outside of any stellar spectrum"),
        ([5.0, 5.1] * u.km, {}, "outside of any stellar spectrum: state their unit"),
        ([5000, 5001], {"medium": "Air"}, "medium is 'Air'; it can be 'air' or 'vacuum'"),
        ([5000, 5001], {"resolution": -5}, "resolution is -5; it can be a positive number"),
        ([5000, 5001], {"resolution": np.array([2e4, 3e4])}, "it can be a positive number"),
    ],
)
def test_axes_that_are_those_of_no_grid_are_refused(wavelength, meta, match):
    with pytest.raises(ValueError, match=match):
        SpectralGrid(wavelength, np.ones((2, 2)), {"teff": [5000, 6000]}, meta=meta)


@pytest.mark.parametrize("masked", [np.ma.MaskedArray, Masked])
@pytest.mark.parametrize("dtype", [np.float32, int])
def test_what_is_masked_is_nan(sample, tmp_path, masked, dtype):
    flux, mask = sample.flux[:3].astype(dtype), np.zeros((3, 3903), dtype=bool)
    flux[2, 7], mask[2, 7] = -99, True
    grid = sample[:3].replace(flux=masked(flux, mask=mask))
    assert type(grid.flux) is np.ndarray
    assert np.array_equal(np.isnan(grid.flux), mask)
    assert np.array_equal(grid.flux[~mask], flux[~mask])
    assert np.isnan(grid[2].flux[7])
    assert np.nanmin(grid.rebin(velocity=3).flux) >= 0
    grid.write(tmp_path / "grid.asdf")
    assert np.array_equal(np.isnan(SpectralGrid.read(tmp_path / "grid.asdf").flux), mask)


def test_percent_are_parts_of_one(sample):
    grid = sample[:3].replace(flux=Masked(100 * sample.flux[:3], mask=False) * u.percent)
    assert type(grid.flux) is np.ndarray
    assert grid.flux.dtype == np.float32
    assert grid.flux == pytest.approx(sample.flux[:3])


def test_flux_of_any_file_stays_there(sample, tmp_path):
    np.save(tmp_path / "flux.npy", sample.flux[:3])
    flux = np.load(tmp_path / "flux.npy", mmap_mode="r")
    grid = sample[:3].replace(flux=flux)
    assert np.shares_memory(grid.flux, flux)
    assert isinstance(grid.flux, np.memmap)


# --- TSFitPy's folders


def test_a_tsfitpy_folder_is_read(tsfitpy_folder, sample):
    grid = SpectralGrid.read(tsfitpy_folder)  # the format is found out
    assert grid.flux == pytest.approx(sample.flux[:6], abs=1e-6)
    assert grid.labels.colnames == sample.labels.colnames  # rv is none
    assert grid.labels["teff"].unit == u.K
    assert grid.meta["resolution"] == 20000
    assert grid.meta["solar_scale"] == "magg2022"
    assert len(grid.report) == 0
    assert "flux_unit" not in grid.meta


def test_absolute_flux_keeps_its_unit(tsfitpy_folder, sample, tmp_path):
    absolute = SpectralGrid.read(tsfitpy_folder, flux="absolute", output=tmp_path / "grid.asdf")
    assert absolute.flux[0] == pytest.approx(1e6 * sample.flux[0], rel=1e-5, abs=1)
    again = SpectralGrid.read(tmp_path / "grid.asdf")
    assert u.Unit(again.meta["flux_unit"]) == u.erg / u.s / u.cm**2 / u.AA
    assert again.meta["normalized"] is False


def test_labels_are_transformed_before_spectra_are_read(tsfitpy_folder, tmp_path, monkeypatch):
    grid = SpectralGrid.read(tsfitpy_folder).transform_labels("[Mg/H]", "Li_Fe")
    stored = tmp_path / "grid.asdf"
    for options in ({"output": stored}, {}):
        found = SpectralGrid.read(tsfitpy_folder, transform_labels=["[Mg/H]", "Li_Fe"], **options)
        assert all((found.labels == grid.labels).tolist())
        assert found.labels.colnames == grid.labels.colnames
        assert found.meta == grid.meta
    again = SpectralGrid.read(stored, transform_labels=["A(Li)"])
    assert again.labels.colnames[-1] == "A_Li"
    monkeypatch.delattr("astropayne.grids.read.read_blocks")
    with pytest.raises(ValueError, match="no label transform leads to 'A_Eu'"):
        SpectralGrid.read(tsfitpy_folder, transform_labels=["A(Eu)"])


def _rewrite(path, change):
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def test_faulty_spectra_are_set_aside_with_their_reasons(tsfitpy_folder, sample):
    folder = tsfitpy_folder
    _rewrite(folder / "0.spec", lambda lines: lines.pop())
    _rewrite(folder / "1.spec", lambda lines: lines.insert(9, "5160.3  nan  nan"))
    (folder / "1.spec").write_text((folder / "1.spec").read_text().replace("5160.300000", "#", 1))
    _rewrite(folder / "2.spec", lambda lines: lines.__setitem__(-1, "6725.0  -0.5  -1"))
    (folder / "3.spec").write_text("not a spectrum\n")
    (folder / "stray.spec").write_text("")
    _rewrite(
        folder / "spectra_parameters.csv",
        lambda lines: lines.append("lost.spec" + lines[1][lines[1].index(",") :]),
    )
    with pytest.warns(GridWarning, match="6 spectra of grid were set aside"):
        grid = SpectralGrid.read(folder)
    assert list(grid.names) == ["4.spec", "5.spec"]
    assert grid.flux == pytest.approx(sample.flux[4:6], abs=1e-6)
    reasons = dict(zip(grid.report["name"], grid.report["reason"], strict=True))
    assert reasons["0.spec"] == "has 3902 pixels, the others 3903"
    assert "NaN" in reasons["1.spec"]
    assert "negative" in reasons["2.spec"]
    assert "cannot be read" in reasons["3.spec"]
    assert "no row in the table" in reasons["stray.spec"]
    assert "no such .spec file" in reasons["lost.spec"]


def test_labels_that_are_faulty_set_their_spectrum_aside(tsfitpy_folder):
    def change(lines):
        lines[1] = lines[1].replace(lines[1].split(",")[2], "hot")
        lines.append(lines[2])

    _rewrite(tsfitpy_folder / "spectra_parameters.csv", change)
    with pytest.warns(GridWarning):
        grid = SpectralGrid.read(tsfitpy_folder)
    reasons = dict(zip(grid.report["name"], grid.report["reason"], strict=True))
    assert reasons == {
        "0.spec": "has labels that are missing or not finite: teff",
        "1.spec": "has more than one row in the table of labels",
    }


def test_the_first_file_does_not_set_the_wavelengths(tsfitpy_folder):
    text = (tsfitpy_folder / "0.spec").read_text()
    (tsfitpy_folder / "0.spec").write_text(text.replace("5160.000000", "5159.000000"))
    with pytest.warns(GridWarning, match="other wavelengths"):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert len(grid) == 5
    assert grid.wavelength[0] == 5160 * u.AA


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"flux": "wrong"}, "normalized, absolute"),
        ({"table": "labels.csv"}, "no file 'labels.csv'"),
    ],
)
def test_reader_options_are_checked(tsfitpy_folder, options, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        SpectralGrid.read(tsfitpy_folder, format="tsfitpy", **options)


def test_paths_and_formats_are_checked(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        SpectralGrid.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no grid format fits"):
        SpectralGrid.read(tmp_path)
    with pytest.raises(ValueError, match=r"no grid reader for format 'idl'.*astropayne, bosz"):
        SpectralGrid.read(tmp_path, format="idl")


def test_files_are_parsed_alike_alone_and_together(tsfitpy_folder):
    source = tsfitpy.TSFitPyReader().open(tsfitpy_folder)
    wavelength, flux = source.load_block([3, 0, 5])
    for row, i in zip(flux, (3, 0, 5), strict=True):
        alone = source.load(i)
        assert np.array_equal(alone[0], wavelength)
        assert np.array_equal(alone[1], row)
    text = (tsfitpy_folder / "3.spec").read_text()
    for changed in (
        text[:-60],  # in the middle of a line
        text + "6725.05  1.0  1.0\n",
        text.replace("5160.050000", "5160.060000"),
        text.replace("5160.050000", "bright"),
        text.replace("5160.050000", "#"),
        text.replace("20000.0", "10000.0"),
    ):
        (tsfitpy_folder / "3.spec").write_text(changed)
        with pytest.raises(ValueError, match=r"."):
            source.load_block([0, 3])
