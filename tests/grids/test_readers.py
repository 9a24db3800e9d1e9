"""The built-in readers: files made with numpy, pandas, astropy and specutils, read back."""

import gzip

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from hypothesis import given
from hypothesis import strategies as st
from specutils import Spectrum

from astropayne import SpectralGrid
from astropayne.grids.grid import GridWarning
from astropayne.grids.readers import npz_arrays as npz
from astropayne.grids.readers.files import match_files
from astropayne.grids.readers.the_payne import APOGEE_LABELS
from astropayne.io.result_tables import write_table
from astropayne.labels.columns import label_columns
from astropayne.wavelengths.media import spectral_equivalencies


def reasons(grid):
    return {str(row["name"]): str(row["reason"]) for row in grid.report}


def rewrite_table(folder, change):
    path = folder / "spectra_parameters.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def rewrite_header(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


# --- tables of labels


def naive_match(names, files):
    """Look at every file for every row, and at every other row."""
    found = []
    for name in names:
        text = str(name or "").strip()
        fitting = [f for f in files if f == text]
        if not fitting:
            fitting = [f for f in files if "." in f[1:] and f[: f.rindex(".")] == text]
        found.append(fitting[0] if text and len(fitting) == 1 else None)
    kept = [i for i, f in enumerate(found) if f is not None and found.count(f) == 1]
    return kept, [found[i] for i in kept]


_NAMES = st.text("ab.", min_size=1, max_size=4)


@given(
    st.lists(st.one_of(_NAMES, st.just(" a "), st.just(""), st.none()), max_size=12),
    st.sets(_NAMES, max_size=12),
)
def test_matching_is_what_looking_at_everything_gives(names, files):
    kept, found, rejected = match_files(names, sorted(files))
    assert (kept, found) == naive_match(names, sorted(files))
    for i, name in enumerate(names):  # nothing is lost without a reason
        text = str(name or "").strip()
        lost = {text, f"row {i + 1}", *(f for f in files if f.startswith(f"{text}."))}
        assert i in kept or lost & rejected.keys()
    assert files <= {*found, *rejected}


@given(st.lists(st.floats(2000, 50000), min_size=1, max_size=5))
def test_labels_may_be_in_any_unit_of_a_table(values):
    plain = label_columns({"Teff": np.array(values)})
    kilo = np.array(values) / 1000
    for table, options in (
        (QTable({"Teff": kilo * u.kK}), {}),
        ({"Teff": kilo}, {"units": {"Teff": "kK"}}),
        ({"Teff [kK]": kilo}, {}),
        ({"T_eff(kK)": kilo}, {}),
        ({"teff_kK": kilo}, {}),
        ({"T (kK)": kilo}, {"columns": {"T (kK)": "teff"}}),
    ):
        other = label_columns(table, **options)
        assert plain.colnames == other.colnames == ["teff"]
        assert u.allclose(plain["teff"], other["teff"], rtol=1e-12)


def test_names_of_labels_are_not_taken_for_units():
    table = label_columns({"log(g)": [4.0], "A(C)": [8.0], "[C/H]": [0.1], "vmic [m/s]": [900.0]})
    assert table.colnames == ["logg", "A_C", "C_H", "vmic"]
    assert table["vmic"].to_value("km/s") == pytest.approx([0.9])


@pytest.mark.parametrize(
    ("table", "options", "match"),
    [
        ({"a b": [1.0]}, {}, r"column 'a b' .* columns=\{'a b': 'its label'\}.*ignore=\('a b',\)"),
        ({"vmac": [1.0]}, {}, "cannot be a label: that is a velocity"),
        ({"feh": [1.0], "[Fe/H]": [1.0]}, {}, r"'feh' is given twice .*ignore=\('\[Fe/H\]',\)"),
        ({"feh": ["", "?"]}, {}, "'feh' of the table of labels holds no number"),
        ({"feh": np.ma.masked_all(2)}, {}, "holds no number"),
        ({"feh": [1.0]}, {"ignore": "feh"}, "has no label, only feh"),
        ({"feh": [1.0] * u.K}, {}, "label 'feh' is in dex, but was given in K"),
        ({"Teff": [5.7, 6.1]}, {}, r"up to 6.1 K: if they are in kK, give units=\{'Teff': 'kK'\}"),
        (
            {"Teff": [5.7]},
            {"units": {"Teff": "foo"}},
            "column 'Teff' .* 'foo' did not parse as unit",
        ),
        ({"Teff": [5700.0]}, {"units": {"T": "kK"}}, "no column 'T'; it has Teff"),
    ],
)
def test_columns_that_are_no_labels_are_errors(table, options, match):
    with pytest.raises(ValueError, match=match):
        label_columns(table, **options)


# --- TSFitPy


def test_tsfitpy_names_columns_and_extensions_are_options(tsfitpy_folder, sample):
    for path in tsfitpy_folder.glob("*.spec"):
        path.rename(path.with_suffix(".txt"))

    def change(table):
        table["specname"] = table["specname"].str.removesuffix(".spec")
        return table.rename(columns={"specname": "star", "teff": "T"}).assign(note="x", mass=1.0)

    rewrite_table(tsfitpy_folder, change)
    (tsfitpy_folder / "spectra_parameters.csv").rename(tsfitpy_folder / "stars.csv")
    options = {"format": "tsfitpy", "table": "stars.csv", "extension": ".txt"}
    with pytest.raises(ValueError, match=r"no column 'specname'.*name_column="):
        SpectralGrid.read(tsfitpy_folder, **options)
    options["name_column"] = "star"
    with pytest.raises(ValueError, match=r"column 'T' .* may mean 'teff'.*columns=\{'T':"):
        SpectralGrid.read(tsfitpy_folder, **options)
    options["columns"] = {"T": "teff"}
    with pytest.raises(ValueError, match=r"column 'note' .* holds no number.*ignore=\('note',\)"):
        SpectralGrid.read(tsfitpy_folder, **options)
    options |= {"ignore": ("note", "mass")}
    grid = SpectralGrid.read(tsfitpy_folder, **options)
    assert set(grid.labels.colnames) == set(sample.labels.colnames)
    assert grid.labels["teff"].value == pytest.approx(sample.labels["teff"].value[:6])
    assert list(grid.names) == [f"{i}.txt" for i in range(6)]
    assert len(grid.report) == 0
    few = SpectralGrid.read(
        tsfitpy_folder, **{**options, "columns": {"T": "teff", "feh": "feh"}, "ignore": "rest"}
    )
    assert few.labels.colnames == ["teff", "feh"]
    assert few.meta["resolution"] == 20000
    with pytest.raises(ValueError, match="no column 'weight'"):
        SpectralGrid.read(tsfitpy_folder, **{**options, "ignore": "weight"})


@pytest.mark.parametrize(
    ("name", "options"), [("Teff [kK]", {}), ("teff", {"units": {"teff": "kK"}})]
)
def test_tsfitpy_temperatures_may_be_in_kilokelvin(tsfitpy_folder, sample, name, options):
    rewrite_table(
        tsfitpy_folder, lambda t: t.assign(teff=t.teff / 1e3).rename(columns={"teff": name})
    )
    grid = SpectralGrid.read(tsfitpy_folder, **options)
    assert grid.labels["teff"].unit == u.K
    assert grid.labels["teff"].value == pytest.approx(sample.labels["teff"].value[:6])


@pytest.mark.parametrize("name", ["vmac", "rotation", "rv", "resolution"])
def test_tsfitpy_columns_of_the_run_are_never_dropped_in_silence(tsfitpy_folder, name):
    rewrite_table(tsfitpy_folder, lambda t: t.assign(**{name: np.arange(6.0)}))
    if name == "resolution":  # which the headers state
        with pytest.warns(AstropyUserWarning, match="has resolution = 0, which is not used"):
            assert SpectralGrid.read(tsfitpy_folder).meta["resolution"] == 20000
    else:
        with pytest.raises(ValueError, match=rf"column '{name}' .* not the same for all spectra"):
            SpectralGrid.read(tsfitpy_folder)
    label = f"{name}_of_grid"
    grid = SpectralGrid.read(tsfitpy_folder, columns={name: label})
    assert list(grid.labels[label]) == [0, 1, 2, 3, 4, 5]
    assert name not in SpectralGrid.read(tsfitpy_folder, ignore=name).labels.colnames


def test_tsfitpy_constant_columns_are_said(tsfitpy_folder):
    rewrite_table(tsfitpy_folder, lambda t: t.assign(vmac=3.0, rotation=0.0))
    with pytest.warns(GridWarning, match=r"broadened already, by vmac = 3 \(km/s\)"):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert grid.meta["constant_columns"] == {"vmac": 3.0}
    assert "vmac" not in grid.labels.colnames


def test_tsfitpy_resolution_is_that_of_most_files(tsfitpy_folder):
    rewrite_header(tsfitpy_folder, "0.spec", "resolution: 20000.0", "resolution: 0.0")
    with pytest.warns(GridWarning):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert grid.meta["resolution"] == 20000
    assert reasons(grid) == {"0.spec": "has resolution = 0 in its header, not 20000"}
    given = SpectralGrid.read(tsfitpy_folder, resolution=15000)
    assert given.meta["resolution"] == 15000
    assert len(given) == 6
    for i in range(1, 6):
        rewrite_header(tsfitpy_folder, f"{i}.spec", "resolution: 20000.0", "resolution: 0.0")
    assert SpectralGrid.read(tsfitpy_folder).meta["resolution"] is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01" * 99, b"# resolution: high\n"])
def test_tsfitpy_first_file_does_not_matter(tsfitpy_folder, content):
    (tsfitpy_folder / "0.spec").write_bytes(content)
    with pytest.warns(GridWarning):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert grid.meta["resolution"] == 20000
    assert list(reasons(grid)) == ["0.spec"]
    assert len(grid) == 5


@pytest.mark.parametrize("separator", [", ", " , ", ",\t"])
def test_tsfitpy_tables_may_have_spaces_around_commas(tsfitpy_folder, sample, separator):
    path = tsfitpy_folder / "spectra_parameters.csv"
    path.write_text(path.read_text().replace(",", separator))
    grid = SpectralGrid.read(tsfitpy_folder)
    assert list(grid.names) == [f"{i}.spec" for i in range(6)]
    assert grid.labels.colnames == sample.labels.colnames
    assert grid.labels["logg"] == pytest.approx(np.asarray(sample.labels["logg"][:6]))


@pytest.mark.parametrize(("separator", "decimal"), [(";", "."), (" ; ", ","), ("\t", ".")])
def test_tsfitpy_tables_may_have_other_separators(tsfitpy_folder, sample, separator, decimal):
    path = tsfitpy_folder / "spectra_parameters.csv"
    rows = [row.split(",") for row in path.read_text().splitlines()]
    numbers = [[name, *(cell.replace(".", decimal) for cell in row)] for name, *row in rows]
    path.write_text("\n".join(map(separator.join, numbers)) + "\n")
    grid = SpectralGrid.read(tsfitpy_folder)
    assert list(grid.names) == [f"{i}.spec" for i in range(6)]
    assert grid.labels["logg"] == pytest.approx(np.asarray(sample.labels["logg"][:6]))


@pytest.mark.parametrize("separator", [",", "  "])
@pytest.mark.parametrize("above", ["# my grid\n# of specname, made on Monday\n", "#", "# x\n# "])
def test_tables_may_have_comments_above_and_names_of_columns_in_them(
    tsfitpy_folder, sample, separator, above
):
    path = tsfitpy_folder / "spectra_parameters.csv"
    path.write_text(above + path.read_text().replace(",", separator))
    options = {"format": "specutils", "ignore": "rv", "medium": "air"}
    for grid in (SpectralGrid.read(tsfitpy_folder), SpectralGrid.read(path, **options)):
        assert list(grid.names) == [f"{i}.spec" for i in range(6)]
        assert grid.labels.colnames == sample.labels.colnames
        assert grid.labels["logg"] == pytest.approx(np.asarray(sample.labels["logg"][:6]))
        assert grid.flux == pytest.approx(sample.flux[:6], abs=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_tables_of_labels_may_be_latin_1_and_have_exponents_of_fortran(
    tsfitpy_folder, sample, encoding
):
    path = tsfitpy_folder / "spectra_parameters.csv"
    rows = pd.read_csv(path)
    teff = rows["teff"]
    rows["teff"] = [f"{value:.6E}".replace("E", "D") for value in teff]
    rows["logg"] = [f"{value:.6e}".replace("e", "d") for value in rows["logg"]]
    rows = rows.rename(columns={"vmic": "Größe"})
    path.write_bytes(("# für Sterne\n" + rows.to_csv(index=False)).encode(encoding))
    options = {"format": "specutils", "ignore": "rv", "medium": "air"}
    for grid in (SpectralGrid.read(tsfitpy_folder), SpectralGrid.read(path, **options)):
        assert grid.labels["teff"].value == pytest.approx(teff.to_numpy())
        assert grid.labels["logg"] == pytest.approx(np.asarray(sample.labels["logg"][:6]))
        assert "Größe" in grid.labels.colnames


def test_what_is_wrong_with_a_table_of_labels_is_said_once(tmp_path):
    (tmp_path / "labels.csv").write_text("file,teff\na,5000,4\nb,5500,3\n")
    with pytest.raises(ValueError, match=r"^\S*labels\.csv has rows of more fields than"):
        SpectralGrid.read(tmp_path, medium="air")


@pytest.mark.parametrize("folder", ["out/", "/data/me/", "C:\\grids\\"])
def test_names_may_have_folders_in_front_that_are_elsewhere(tsfitpy_folder, folder):
    rewrite_table(tsfitpy_folder, lambda t: t.assign(specname=folder + t.specname))
    assert list(SpectralGrid.read(tsfitpy_folder).names) == [f"{i}.spec" for i in range(6)]
    rows, _, rejected = match_files([f"{folder}1", "b/2.spec", "c/2.spec"], ["1.spec", "2.spec"])
    assert rows == [0]
    assert rejected == {"2.spec": "has more than one row in the table of labels"}


@pytest.mark.parametrize("extension", [".spec", ".spec.gz"])
def test_tsfitpy_spectra_may_be_compressed(tsfitpy_folder, extension):
    plain = SpectralGrid.read(tsfitpy_folder)
    for file in sorted(tsfitpy_folder.glob("*.spec"))[1:]:
        content = gzip.compress(file.read_bytes())
        cut = -20 if file.name == "2.spec" else None
        (tsfitpy_folder / f"{file.name}.gz").write_bytes(content[:cut])
        file.unlink()
    with pytest.warns(GridWarning):
        grid = SpectralGrid.read(tsfitpy_folder, extension=extension)
    assert list(reasons(grid)) == ["2.spec"]
    assert "cannot be decompressed" in reasons(grid)["2.spec"]
    assert list(grid.names) == [name for name in plain.names if name != "2.spec"]
    assert np.array_equal(grid.flux, plain.flux[[0, 1, 3, 4, 5]])


def test_tsfitpy_tables_saved_by_pandas_with_their_index_are_fine(tsfitpy_folder, sample):
    path = tsfitpy_folder / "spectra_parameters.csv"
    pd.read_csv(path).to_csv(path)  # with the index, a column without a name
    grid = SpectralGrid.read(tsfitpy_folder)
    assert grid.labels.colnames == sample.labels.colnames
    assert len(grid) == 6


def test_tsfitpy_a_row_with_too_many_fields_costs_one_spectrum(tsfitpy_folder):
    path = tsfitpy_folder / "spectra_parameters.csv"
    lines = path.read_text().splitlines()
    lines[3] += ",1.0"
    path.write_text("\n".join(lines) + "\n")
    with pytest.warns(GridWarning):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert reasons(grid) == {"2.spec": "has a row of 15 fields in the table of labels, not 14"}


@pytest.mark.parametrize("content", ["", "\x00\xff", "specname\n0.spec,1\n1.spec,2\n"])
def test_tsfitpy_tables_that_are_none_are_errors(tsfitpy_folder, content):
    (tsfitpy_folder / "spectra_parameters.csv").write_text(content)
    with pytest.raises(ValueError, match=r"spectra_parameters.csv (cannot|has)"):
        SpectralGrid.read(tsfitpy_folder)


def test_tsfitpy_folders_of_one_name_are_told_apart(sample, tmp_path, write_tsfitpy):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [
        write_tsfitpy(sample[:3], tmp_path / "a" / "grid"),
        write_tsfitpy(sample[3:6], tmp_path / "b" / "grid"),
    ]
    grid = SpectralGrid.read(paths)
    assert grid.flux == pytest.approx(sample.flux[:6], abs=1e-6)
    assert len(set(grid.names)) == 6
    with pytest.raises(ValueError, match="would be read twice"):
        SpectralGrid.read([paths[0], paths[0]])
    for path in paths[1].glob("*.spec"):
        path.write_text(path.read_text().replace("resolution: 20000.0", "resolution: 10000.0"))
    with pytest.raises(ValueError, match=r"has resolution = 10000.0, .* has 20000.0"):
        SpectralGrid.read(paths)


# --- .npz files


@pytest.fixture
def one_payne(sample, tmp_path):
    """A function that writes spectra as one_payne's process_data.py does."""

    def write(grid, name="grid.npz", save=np.savez, **changes):
        columns = [np.asarray(grid.labels[name]) for name in grid.labels.colnames]
        labels = np.array(columns)
        labels[grid.labels.colnames.index("teff")] /= 1000
        arrays = {
            "flxn": np.asarray(grid.flux).T,
            "wvl": grid.wavelength.value,
            "labels": labels,
            "label_names": np.array(grid.labels.colnames),
            **changes,
        }
        save(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        return tmp_path / name

    return write


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_payne_is_read(sample, one_payne, save):
    part = sample[:9]
    grid = SpectralGrid.read(one_payne(part, save=save))  # the format is found out
    assert grid.meta["reader"] == "one_payne"
    assert np.array_equal(grid.flux, part.flux)
    assert grid.labels.colnames == part.labels.colnames
    for name in part.labels.colnames:
        assert np.asarray(grid.labels[name]) == pytest.approx(np.asarray(part.labels[name]))
    assert grid.labels["teff"].unit == u.K
    assert u.allclose(grid.wavelength, part.wavelength)


def test_one_payne_reads_several_files_as_one(sample, one_payne):
    paths = [one_payne(sample[:4], "a.npz"), one_payne(sample[4:7], "b.npz")]
    grid = SpectralGrid.read(paths, resolution=20000)
    assert np.array_equal(grid.flux, sample.flux[:7])
    assert list(grid.names[3:5]) == ["a.npz/3", "b.npz/0"]
    assert grid.meta["resolution"] == 20000


def test_one_payne_blocks_of_scattered_spectra_are_right(sample, one_payne, monkeypatch):
    monkeypatch.setattr(npz, "_BLOCK", 4 * 3903 * 4)  # four spectra at a time
    path = one_payne(sample[:11])
    assert np.array_equal(SpectralGrid.read(path).flux, sample.flux[:11])
    assert np.array_equal(SpectralGrid.read(path, workers=2).flux, sample.flux[:11])


def test_one_payne_faults_are_found_and_named(sample, one_payne):
    flux = np.array(sample.flux[:6]).T
    flux[7, 1], flux[8, 2], flux[9, 3] = np.nan, np.inf, -1
    labels = np.array([np.asarray(sample.labels[n][:6]) for n in sample.labels.colnames])
    labels[2, 4] = np.nan
    with pytest.warns(GridWarning, match="4 spectra"):
        grid = SpectralGrid.read(one_payne(sample[:6], flxn=flux, labels=labels))
    found = reasons(grid)
    for name, word in zip("1234", ("NaN", "infinite", "negative", "feh"), strict=True):
        assert word in found[name]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": np.ones((3, 6))}, r"labels the shape \(3, 6\)"),
        ({"wvl": np.arange(5.0)}, "wvl 5 pixels"),
        ({"label_names": None}, "array 'label_names'"),
        ({"label_names": np.array(["teff", None] * 6, dtype=object)}, "never unpickled"),
        ({"label_names": np.array(["teff"] * 12)}, "given twice"),
        ({"label_names": np.array(["teff", "?"] * 6)}, "'\\?' is not a label.*label_names="),
        ({"flxn": np.ones(6)}, "two-dimensional array of numbers"),
    ],
)
def test_one_payne_files_that_do_not_fit_are_errors(sample, one_payne, changes, match):
    path = one_payne(sample[:6], **changes)
    with pytest.raises(ValueError, match=match):
        SpectralGrid.read(path, format="one_payne")


def test_npz_files_that_are_cut_are_errors(sample, one_payne):
    path = one_payne(sample[:6])
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"not an \.npz file"):
        SpectralGrid.read(path, format="one_payne")


@pytest.fixture
def payne_arrays(rng):
    """Arrays of a training set of The Payne, 25 labels."""
    labels = rng.uniform(0.1, 1, (25, 9))
    labels[0] = rng.uniform(4, 7, 9)
    return rng.uniform(0.3, 1, (9, 80)), labels


def test_the_payne_is_read_with_wavelengths_given_apart(payne_arrays, tmp_path):
    spectra, labels = payne_arrays
    path, wavelength = tmp_path / "set.npz", np.linspace(15100, 15140, 80)
    np.savez(
        path,
        labels=labels[:, :7],  # labels × spectra, as in the file that comes with The Payne
        spectra=spectra[:7],
        validation_labels=labels[:, 7:],
        validation_spectra=spectra[7:],
    )
    with pytest.raises(ValueError, match="give wavelength="):
        SpectralGrid.read(path)
    np.savez(tmp_path / "wavelength.npz", wavelength=wavelength)
    np.save(tmp_path / "wavelength.npy", wavelength)
    np.savetxt(tmp_path / "wavelength.txt", wavelength)
    ways = [wavelength, wavelength / 10 * u.nm, list(wavelength)]
    ways += [tmp_path / f"wavelength.{suffix}" for suffix in ("npz", "npy", "txt")]
    for way in ways:
        grid = SpectralGrid.read(path, wavelength=way)
        assert grid.wavelength.value == pytest.approx(wavelength)
    assert np.array_equal(grid.flux, spectra.astype(np.float32))
    assert tuple(grid.labels.colnames) == APOGEE_LABELS
    assert grid.labels["teff"].value == pytest.approx(1000 * labels[0])
    assert np.asarray(grid.labels["Mg_H"]) == pytest.approx(labels[APOGEE_LABELS.index("Mg_H")])
    assert list(grid.names[6:8]) == ["train/6", "validation/0"]
    assert grid.meta["medium"] == "vacuum"
    with pytest.raises(ValueError, match=r"79 values, the spectra of .* have 80 pixels"):
        SpectralGrid.read(path, wavelength=wavelength[1:])


def test_the_payne_takes_labels_by_rows_and_other_names(payne_arrays, tmp_path):
    spectra, labels = payne_arrays
    path = tmp_path / "set.npz"
    np.savez(path, labels=labels[:3].T, spectra=spectra, wavelength=np.linspace(5000, 5008, 80))
    with pytest.raises(ValueError, match=r"\(9, 3\) for 9 spectra, and there are 25 label names"):
        SpectralGrid.read(path)
    grid = SpectralGrid.read(path, label_names=["Teff", "log g", "[Fe/H]"], medium="air")
    assert grid.labels.colnames == ["teff", "logg", "feh"]
    assert np.asarray(grid.labels["feh"]) == pytest.approx(labels[2])
    assert grid.meta["medium"] == "air"


# --- what specutils reads


@pytest.fixture
def spectra(rng):
    """Arrays: wavelength, flux of four spectra, labels."""
    wavelength = np.linspace(5000, 5010, 60)
    labels = QTable({"teff": [5000.0, 5500, 6000, 6500] * u.K, "logg": [4.0, 4.2, 4.4, 4.6]})
    return wavelength, rng.uniform(0.2, 1, (4, 60)), labels


def write_spectra(folder, wavelength, flux, unit=u.Jy, suffix=".fits"):
    """Write each spectrum with specutils, which needs a unit of flux to read it again."""
    folder.mkdir(exist_ok=True)
    names = [f"{i:03d}{suffix}" for i in range(len(flux))]
    for name, row in zip(names, flux, strict=True):
        spectrum = Spectrum(
            spectral_axis=wavelength * u.AA,
            flux=row * unit,
            uncertainty=StdDevUncertainty(np.full(len(row), 0.1)),
        )
        spectrum.write(folder / name, format="tabular-fits")
    return names


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits", "vot"])
@pytest.mark.parametrize("with_extension", [True, False])
def test_specutils_folders_with_a_table_of_labels(spectra, tmp_path, suffix, with_extension):
    wavelength, flux, labels = spectra
    names = write_spectra(tmp_path / "grid", wavelength, flux)
    labels["file"] = names if with_extension else [name[:3] for name in names]
    kind = {"vot": "votable", "csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(suffix, suffix)
    labels[::-1].write(tmp_path / "grid" / f"labels.{suffix}", format=kind)
    grid = SpectralGrid.read(tmp_path / "grid", medium="air", resolution=20000)
    assert grid.meta["reader"] == "specutils"
    assert list(grid.names) == names[::-1]
    assert grid.flux == pytest.approx(flux[::-1], rel=1e-6)
    assert grid.labels["teff"].value == pytest.approx(labels["teff"].value[::-1])
    assert grid.labels.colnames == ["teff", "logg"]
    assert grid.wavelength.value == pytest.approx(wavelength)
    assert grid.meta["resolution"] == 20000
    assert grid.meta["flux_unit"] == "Jy"
    assert grid.meta["normalized"] is False
    assert len(grid.report) == 0


@pytest.mark.filterwarnings("ignore::astropayne.grids.grid.GridWarning")
def test_specutils_globs_tables_and_metadata(spectra, tmp_path):
    wavelength, flux, labels = spectra
    folder = tmp_path / "grid"
    names = write_spectra(folder, wavelength, flux)
    labels["name"] = names
    labels.meta.update(medium="vacuum", resolution=11500)
    labels.write(tmp_path / "elsewhere.ecsv")
    (folder / "notes.txt").write_text("not a spectrum")
    grid = SpectralGrid.read(
        folder / "*.fits", format="specutils", labels=tmp_path / "elsewhere.ecsv"
    )
    assert grid.flux == pytest.approx(flux, rel=1e-6)
    assert grid.meta["medium"] == "vacuum"
    assert grid.meta["resolution"] == 11500
    assert len(grid.report) == 0
    inner = SpectralGrid.read(folder, format="specutils", labels=labels, ignore=())
    assert list(reasons(inner)) == ["notes.txt"]
    assert np.array_equal(inner.flux, grid.flux)
    # a table is the path, its files are relative to it
    labels["name"] = [f"grid/{name}" for name in names]
    labels.write(tmp_path / "stars.ecsv")
    again = SpectralGrid.read(tmp_path / "stars.ecsv")
    assert list(again.names) == list(labels["name"])
    assert np.array_equal(again.flux, grid.flux)


def test_specutils_units_masks_and_frequencies(spectra, tmp_path):
    wavelength, flux, labels = spectra
    folder = tmp_path / "grid"
    names = write_spectra(folder, wavelength, flux)
    write_spectra(tmp_path / "milli", wavelength, 1000 * flux, u.mJy)
    (tmp_path / "milli" / names[1]).replace(folder / names[1])
    frequency = (wavelength * u.AA).to(u.GHz, spectral_equivalencies("air"))
    Spectrum(spectral_axis=frequency, flux=flux[2] * u.Jy).write(
        folder / names[2], format="tabular-fits", overwrite=True
    )
    write_spectra(tmp_path / "counts", wavelength, flux, u.count)
    (tmp_path / "counts" / names[3]).replace(folder / names[3])
    labels["file"] = names
    labels.write(folder / "labels.ecsv")
    with pytest.warns(GridWarning, match="1 spectra"):
        grid = SpectralGrid.read(folder, medium="air")
    assert grid.flux == pytest.approx(flux[:3], rel=1e-6)
    assert "flux in ct," in reasons(grid)[names[3]]


@pytest.mark.filterwarnings("ignore::astropayne.grids.grid.GridWarning")
def test_specutils_faults_are_found_and_named(spectra, tmp_path):
    wavelength, flux, _ = spectra
    flux = np.vstack([flux, flux + 0.01, flux + 0.02])
    flux[1, 3], flux[2, 4] = np.nan, -1
    folder = tmp_path / "grid"
    names = write_spectra(folder, wavelength, flux)
    write_spectra(tmp_path / "other", wavelength + 0.1, flux)
    write_spectra(tmp_path / "short", wavelength[:-1], flux[:, :-1])
    (tmp_path / "other" / names[3]).replace(folder / names[3])
    (tmp_path / "short" / names[4]).replace(folder / names[4])
    (folder / names[5]).write_bytes((folder / names[5]).read_bytes()[:3000])
    (folder / names[6]).write_text("nothing of that kind\n")
    (folder / names[7]).unlink()
    teff = np.linspace(5000, 6000, 12)
    table = Table({"file": names, "Teff": teff, "[Fe/H]": np.linspace(-1, 0, 12)}, masked=True)
    table["[Fe/H]"].mask[8] = True
    table = table[[*range(12), 9]]
    table.remove_row(10)
    table.write(folder / "labels.ecsv")
    grid = SpectralGrid.read(folder, medium="air")
    assert list(grid.names) == [names[0], names[11]]
    assert grid.labels.colnames == ["teff", "feh"]
    found = reasons(grid)
    words = ["NaN", "negative", "other wavelengths", "59 pixels", "ends before its data do"]
    words += ["is neither text with", "no such file", "not finite: feh", "more than one row"]
    words += ["no row in the table"]
    for name, word in zip(names[1:11], words, strict=True):
        assert word in found[name], name


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".ecsv", ".fits"])
@pytest.mark.parametrize("workers", [1, 2])
def test_folders_of_plain_spectra_of_normalised_flux(spectra, tmp_path, suffix, workers):
    wavelength, flux, labels = spectra
    for i, row in enumerate(flux):
        table = QTable({"wavelength": wavelength, "flux": row, "error": row / 50})
        write_table(table, tmp_path / f"{i:04d}{suffix}")
    labels["file"] = [f"{i:04d}" for i in range(4)]
    labels.write(tmp_path / "labels.csv")
    grid = SpectralGrid.read(tmp_path, medium="vacuum", workers=workers)
    assert grid.meta["reader"] == "specutils"
    assert (grid.meta["normalized"], grid.meta["flux_unit"]) == (True, "")
    assert np.array_equal(grid.flux, flux.astype(np.float32))
    assert np.array_equal(grid.wavelength.value, wavelength)
    assert len(grid.report) == 0


def test_text_without_names_may_be_in_nanometers_and_backwards(spectra, tmp_path):
    wavelength, flux, labels = spectra
    for i, row in enumerate(flux):
        np.savetxt(tmp_path / f"{i}.dat", np.transpose([wavelength / 10, row, 1e6 * row])[::-1])
    labels["file"] = [f"{i}.dat" for i in range(4)]
    labels.write(tmp_path / "labels.ecsv")
    grid = SpectralGrid.read(tmp_path, medium="air", wavelength_unit="nm")
    assert grid.wavelength.value == pytest.approx(wavelength)
    assert grid.flux == pytest.approx(flux, rel=1e-6)


@pytest.mark.filterwarnings("ignore::astropayne.grids.grid.GridWarning")
@pytest.mark.parametrize("suffix", [".ecsv", ".fits"])
def test_spectra_may_say_medium_resolution_mask_and_percent(spectra, tmp_path, suffix):
    wavelength, flux, labels = spectra
    said = {"medium": "vacuum", "resolution": 9000.0}
    for i, row in enumerate(flux):
        table = QTable({"wavelength": wavelength * u.AA, "flux": 100 * row * u.percent})
        table.meta = {**said, "medium": "air"} if i == 1 else said
        table["mask"] = (wavelength < 5001) & (i == 2)
        write_table(table, tmp_path / f"{i}{suffix}")
    labels["file"] = [f"{i}{suffix}" for i in range(4)]
    labels.write(tmp_path / "labels.ecsv")
    grid = SpectralGrid.read(tmp_path)
    assert (grid.meta["medium"], grid.meta["resolution"]) == ("vacuum", 9000)
    assert grid.meta["normalized"]
    assert grid.flux == pytest.approx(flux[[0, 3]], rel=1e-6)
    found = reasons(grid)
    assert found[f"1{suffix}"] == "has medium = air, not vacuum"
    assert found[f"2{suffix}"] == "has flux that is NaN"
    assert len(SpectralGrid.read(tmp_path, medium="air")) == 3  # what is given comes first


@pytest.mark.parametrize("highest", [20000.0, 30000.0])
def test_a_resolution_of_each_pixel_is_one_number_or_said_to_be_left_out(
    spectra, tmp_path, highest
):
    wavelength, flux, labels = spectra
    names = [f"{i}.ecsv" for i in range(len(flux))]
    for name, values in zip(names, flux, strict=True):
        resolution = np.linspace(20000, highest, len(wavelength))
        columns = {"wavelength": wavelength, "flux": values, "resolution": resolution}
        QTable(columns).write(tmp_path / name)
    labels["file"] = names
    labels.write(tmp_path / "labels.ecsv")
    if highest == 20000:
        assert SpectralGrid.read(tmp_path, medium="air").meta["resolution"] == 20000
        return
    with pytest.warns(AstropyUserWarning, match="varies from 20000 to 30000"):
        grid = SpectralGrid.read(tmp_path, medium="air")
    assert grid.meta["resolution"] is None
    given = SpectralGrid.read(tmp_path, medium="air", resolution=25000)  # without a warning
    assert given.meta["resolution"] == 25000


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, r"medium=None does not tell whether the wavelengths are in air"),
        ({"medium": "air", "labels": "lost.csv"}, "no table of labels lost.csv"),
        ({"medium": "air", "name_column": "star"}, "no column 'star' of file names"),
        ({"medium": "air", "columns": {"T": "teff"}}, "no column 'T'"),
        ({"medium": "air", "ignore": ("teff", "logg")}, "has no label"),
    ],
)
def test_specutils_options_are_checked(spectra, tmp_path, options, match):
    wavelength, flux, labels = spectra
    labels["file"] = write_spectra(tmp_path / "grid", wavelength, flux)
    labels.write(tmp_path / "grid" / "labels.ecsv")
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        SpectralGrid.read(tmp_path / "grid", format="specutils", **options)


def test_specutils_tables_of_labels_may_be_compressed(spectra, tmp_path):
    wavelength, flux, labels = spectra
    labels["file"] = write_spectra(tmp_path / "grid", wavelength, flux)
    labels.to_pandas().to_csv(tmp_path / "labels.csv.gz", index=False, sep=";")
    options = {"format": "specutils", "medium": "air"}
    grid = SpectralGrid.read(tmp_path / "grid", labels=tmp_path / "labels.csv.gz", **options)
    assert grid.flux == pytest.approx(flux, rel=1e-6)
    (tmp_path / "labels.odd").write_text("nothing that is known")
    with pytest.raises(ValueError, match=r"as a table of labels: [^\n]*\Z"):
        SpectralGrid.read(tmp_path / "grid", labels=tmp_path / "labels.odd", **options)


@pytest.mark.parametrize("table", ["labels.txt", "stars.dat", "stars.csv"])
@pytest.mark.parametrize("column", ["File", "star"])
def test_names_of_files_are_text_in_any_column(spectra, tmp_path, table, column):
    """They used to be numbers without their zeros, but in columns of some names."""
    wavelength, flux, labels = spectra
    for i, row in enumerate(flux):
        np.savetxt(tmp_path / f"{i:04d}.spec", np.transpose([wavelength, row]))
    rows = [f"{i:04d} {row['teff'].value} {row['logg']}" for i, row in enumerate(labels)]
    (tmp_path / table).write_text("\n".join([f"# {column} Teff logg", *rows]))
    options = {"name_column": column, "format": "specutils"} if column == "star" else {}
    path = tmp_path if table == "labels.txt" else tmp_path / table
    grid = SpectralGrid.read(path, medium="air", **options)
    assert list(grid.names) == [f"{i:04d}.spec" for i in range(4)]
    assert grid.labels["logg"].tolist() == labels["logg"].tolist()
    assert grid.flux == pytest.approx(flux, rel=1e-6)


@pytest.mark.parametrize("suffix", ["", ".dat"])
@pytest.mark.parametrize("front", ["", "out/", "elsewhere/", "absolute"])
def test_tables_name_files_with_folders_and_without_endings(spectra, tmp_path, suffix, front):
    wavelength, flux, labels = spectra
    folder = tmp_path / ("" if front == "elsewhere/" else "out" if front else "")
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(flux):
        np.savetxt(folder / f"{i}.dat", np.transpose([wavelength, row]))
    front = f"{folder}/" if front == "absolute" else front
    labels["file"] = [f"{front}{i}{suffix}" for i in range(4)]
    labels[:3].write(tmp_path / "stars.csv")  # the fourth is none of this grid
    grid = SpectralGrid.read(tmp_path / "stars.csv", medium="air")
    assert [name.rpartition("/")[2] for name in grid.names] == ["0.dat", "1.dat", "2.dat"]
    assert grid.flux == pytest.approx(flux[:3], rel=1e-6)
    assert len(grid.report) == 0


def test_batches_may_spell_their_solar_scale_in_two_ways(spectra, tmp_path):
    wavelength, flux, labels = spectra
    for i, scale in enumerate(["magg2022", "Magg et al. (2022)", "asplund2009"]):
        (tmp_path / f"{i}").mkdir()
        for k in range(2):
            row = np.transpose([wavelength, flux[k] * (1 - i / 9)])
            np.savetxt(tmp_path / f"{i}" / f"{k}.txt", row)
        table = QTable({"file": ["0", "1"], "teff": labels["teff"][:2] + i * u.K})
        table.meta = {"medium": "air", "solar_scale": scale}
        table.write(tmp_path / f"{i}" / "labels.ecsv")
    grid = SpectralGrid.read([tmp_path / "0", tmp_path / "1"])
    assert (len(grid), grid.meta["solar_scale"]) == (4, "magg2022")
    with pytest.raises(ValueError, match="2 has solar_scale = asplund2009, 0 has magg2022: batch"):
        SpectralGrid.read([tmp_path / "0", tmp_path / "2"])


def test_two_formats_that_fit_are_named(tsfitpy_folder):
    (tsfitpy_folder / "labels.csv").write_text("file,teff\n")
    with pytest.raises(ValueError, match=r"more than one format fits \(tsfitpy, specutils\)"):
        SpectralGrid.read(tsfitpy_folder)
    assert len(SpectralGrid.read(tsfitpy_folder, format="tsfitpy")) == 6
