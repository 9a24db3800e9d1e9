# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Conventions of grids: what is read right, and what is refused because it cannot be told."""

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne import PayneModel, SpectralGrid, fit_spectrum
from astropayne.grids import GridWarning
from astropayne.grids.readers.spectrum_files import unit_of_flux

LEVEL = 7.2e6
FLAM = "erg / (s cm2 Angstrom)"


@pytest.fixture
def small(sample):
    """Eight spectra of the sample in one window: wavelength, flux, and a data frame of labels."""
    table = sample.labels[["teff", "logg", "feh"]][:8].to_pandas()
    return sample.wavelength.value[:400], np.asarray(sample.flux[:8, :400], dtype=float), table


def write_texts(folder, columns, labels, suffix=".txt", names=None):
    """Write a text file with columns for each spectrum, and the table of labels."""
    folder.mkdir(exist_ok=True)
    files = names or [f"{i}{suffix}" for i in range(len(labels))]
    for i, file in enumerate(files):
        frame = pd.DataFrame({k: v[i] if np.ndim(v) == 2 else v for k, v in columns.items()})
        frame.to_csv(folder / file, sep=" ", index=False)
    labels.assign(file=files).to_csv(folder / "labels.csv", index=False)
    return folder


def write_tables(folder, wavelength, flux, labels, units):
    """Write a FITS table for each spectrum, with units as they are spelled."""
    folder.mkdir(exist_ok=True)
    for i, row in enumerate(flux):
        columns = [("WAVELENGTH", wavelength), ("FLUX", row)]
        fits.BinTableHDU.from_columns(
            [
                fits.Column(name, "D", unit=unit, array=values)
                for (name, values), unit in zip(columns, units, strict=True)
            ]
        ).writeto(folder / f"{i}.fits")
    labels.assign(file=[f"{i}.fits" for i in range(len(flux))]).to_csv(
        folder / "labels.csv", index=False
    )
    return folder


# --- which column is the flux, and of what kind it is


@pytest.mark.parametrize("order", [("wl", "flux", "cntm"), ("cntm", "flux", "wl")])
def test_flux_is_divided_by_a_continuum(small, tmp_path, order):
    wavelength, flux, labels = small
    columns = {"wl": wavelength, "flux": LEVEL * flux, "cntm": np.full_like(wavelength, LEVEL)}
    folder = write_texts(tmp_path / "grid", {name: columns[name] for name in order}, labels)
    with pytest.warns(AstropyUserWarning, match=r"not normalized: give continuum='cntm'"):
        absolute = SpectralGrid.read(folder, medium="vacuum")
    assert absolute.meta["normalized"] is False
    grid = SpectralGrid.read(folder, medium="vacuum", continuum="cntm")
    assert grid.meta["normalized"] is True
    assert grid.flux == pytest.approx(flux, rel=1e-6)
    stated = SpectralGrid.read(folder, medium="vacuum", flux_unit="erg/s/cm2/A")
    assert u.Unit(stated.meta["flux_unit"]) == u.Unit(FLAM)
    assert stated.flux == pytest.approx(LEVEL * flux, rel=1e-6)


def test_columns_without_an_obvious_name_are_chosen_or_asked_for(small, tmp_path):
    wavelength, flux, labels = small
    columns = {"wave": wavelength, "flux_a": flux, "flux_b": flux**2}
    folder = write_texts(tmp_path / "grid", columns, labels)
    with pytest.raises(ValueError, match=r"flux_a, flux_b .* flux='flux_a'"):
        SpectralGrid.read(folder, medium="air")
    grid = SpectralGrid.read(folder, medium="air", flux="flux_b")
    assert grid.flux == pytest.approx(flux**2, rel=1e-6)
    with pytest.raises(ValueError, match="column 'flux_c' is not one of"):
        SpectralGrid.read(folder, medium="air", flux="flux_c")


@pytest.mark.parametrize(
    "text",
    ["FLAM", "erg/s/cm2/A", "ERG/S/CM**2/A", "ergs/sec/cm^2/Angstroms", "erg cm-2 s-1 AA-1"],
)
def test_spellings_of_units_of_flux(small, tmp_path, text):
    wavelength, flux, labels = small
    folder = write_tables(tmp_path / "g", wavelength, LEVEL * flux, labels, ("ANGSTROMS", text))
    grid = SpectralGrid.read(folder, medium="vacuum")
    assert u.Unit(grid.meta["flux_unit"]) == u.Unit(FLAM)
    assert grid.meta["normalized"] is False


def test_units_of_flux_that_are_not_known_are_asked_for(small, tmp_path):
    wavelength, flux, labels = small
    folder = write_tables(tmp_path / "g", wavelength, flux, labels, ("Angstrom", "furlongs"))
    with pytest.raises(ValueError, match=r"the flux is in 'furlongs'.*flux_unit=''"):
        SpectralGrid.read(folder, medium="vacuum")
    assert SpectralGrid.read(folder, medium="vacuum", flux_unit="").meta["normalized"] is True


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("W/m2/micron", u.W / u.m**2 / u.um),
        ("FNU", u.erg / u.s / u.cm**2 / u.Hz),
        ("counts", u.ct),
        ("normalised", u.one),
        ("erg/s/cm^2/cm", u.erg / u.s / u.cm**3),
        ("nonsense", None),
    ],
)
def test_unit_of_flux(text, unit):
    assert unit_of_flux(text) == unit


# --- wavelengths


@pytest.mark.parametrize("factor", [0.1, 1e-4])
def test_wavelengths_in_another_unit_than_angstrom_are_asked_for(small, tmp_path, factor):
    wavelength, flux, labels = small
    columns = {"waveobs": wavelength * factor, "flux": flux, "err": np.zeros_like(wavelength)}
    folder = write_texts(tmp_path / "grid", columns, labels)
    with pytest.raises(ValueError, match="wavelength_unit="):
        SpectralGrid.read(folder, medium="air")
    unit = {0.1: "nm", 1e-4: "um"}[factor]
    grid = SpectralGrid.read(folder, medium="air", wavelength_unit=unit)
    assert grid.wavelength.value == pytest.approx(wavelength)


def test_nanometers_in_the_infrared_are_asked_for(small, tmp_path):
    _, flux, labels = small
    columns = {"wave": np.linspace(1510.0, 1520.0, 400), "flux": flux}
    folder = write_texts(tmp_path / "grid", columns, labels)
    with pytest.raises(ValueError, match=r"from 1510 to 1520 .*wavelength_unit='nm'"):
        SpectralGrid.read(folder, medium="vacuum")
    grid = SpectralGrid.read(folder, medium="vacuum", wavelength_unit="Angstrom")
    assert grid.wavelength[0] == 1510 * u.AA


def test_air_does_not_reach_below_2000_angstrom():
    with pytest.raises(ValueError, match=r"in air go from 380 to 700 .* such as nm"):
        SpectralGrid([380, 700], [[1, 0.9], [1, 0.8]], {"teff": [5000, 6000]})
    inside = SpectralGrid([380, 700] * u.nm, [[1, 0.9], [1, 0.8]], {"teff": [5000, 6000]})
    assert inside.wavelength[0].to_value(u.AA) == pytest.approx(3800)


@pytest.mark.parametrize("kind", ["fits", "npy", "txt", "array"])
def test_wavelengths_may_be_in_a_file_apart(small, tmp_path, kind):
    wavelength, flux, labels = small
    folder = tmp_path / "grid"
    folder.mkdir()
    for i, row in enumerate(flux):
        image = fits.PrimaryHDU(LEVEL * row)
        image.header["BUNIT"] = "erg/s/cm^2/cm"
        image.writeto(folder / f"{i}.fits")
    labels.assign(file=[f"{i}.fits" for i in range(8)]).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(ValueError, match="give wavelength=, a file or an array"):
        SpectralGrid.read(folder, medium="vacuum")
    given = f"WAVE.{kind}"
    if kind == "fits":
        fits.PrimaryHDU(wavelength).writeto(folder / given)
    elif kind == "npy":
        np.save(folder / given, wavelength)
    elif kind == "txt":
        np.savetxt(folder / given, wavelength)
    else:
        given = wavelength / 10 * u.nm
    grid = SpectralGrid.read(folder, medium="vacuum", wavelength=given)
    assert len(grid) == 8
    assert grid.wavelength.value == pytest.approx(wavelength)
    assert u.Unit(grid.meta["flux_unit"]) == u.erg / u.s / u.cm**3
    assert len(grid.report) == 0


def test_windows_of_the_same_spectra_are_joined_by_name(sample, tmp_path, write_tsfitpy):
    windows = sample.windows
    folders = [tmp_path / name for name in ("red", "blue")]
    for folder, window in zip(folders, (windows[1], windows[0]), strict=True):
        part = sample[:6].replace(
            wavelength=sample.wavelength[window], flux=sample.flux[:6, window]
        )
        write_tsfitpy(part, folder)
    (folders[0] / "3.spec").unlink()
    with pytest.warns(GridWarning, match="1 spectra of red, blue were set aside"):
        grid = SpectralGrid.read(folders)
    both = np.r_[windows[0], windows[1]]
    assert list(grid.names) == ["0.spec", "1.spec", "2.spec", "4.spec", "5.spec"]
    assert grid.wavelength.value == pytest.approx(sample.wavelength.value[both])
    assert grid.flux == pytest.approx(sample.flux[:6][[0, 1, 2, 4, 5]][:, both], abs=1e-6)
    overlapping = sample[:6].replace(
        wavelength=sample.wavelength[:2000], flux=sample.flux[:6, :2000]
    )
    write_tsfitpy(overlapping, tmp_path / "both")
    with pytest.raises(ValueError, match="windows of it must not overlap"):
        SpectralGrid.read([tmp_path / "both", folders[1]])


def test_wavelengths_rounded_to_single_precision_are_the_same(sample, model):
    rounded = sample.wavelength.value.astype("f4").astype(float)
    grid = sample[:50].replace(wavelength=rounded)
    assert np.abs(rounded / sample.wavelength.value - 1).max() > 1e-9
    assert model.measure_error(grid).error is not None
    assert len(SpectralGrid.concatenate([sample[:5], grid[5:9]])) == 9
    with pytest.raises(ValueError, match="the grid's wavelengths are not the model's"):
        model.measure_error(sample[:50].replace(wavelength=sample.wavelength * (1 + 1e-6)))


# --- labels


@pytest.mark.parametrize("pair", [("feh", "A(Fe)"), ("[Mg/Fe]", "[Mg/H]"), ("Mg_H", "A(Mg)")])
def test_labels_that_express_the_same_quantity_are_refused(tsfitpy_folder, pair):
    table = pd.read_csv(tsfitpy_folder / "spectra_parameters.csv")[["specname", "teff", "logg"]]
    random = np.random.default_rng(1).uniform(-0.3, 0.3, (2, len(table)))
    table = table.assign(**dict(zip(pair, random, strict=True)))
    table.to_csv(tsfitpy_folder / "spectra_parameters.csv", index=False)
    with pytest.raises(ValueError, match=r"express the same quantity.*ignore=.*columns="):
        SpectralGrid.read(tsfitpy_folder)
    grid = SpectralGrid.read(tsfitpy_folder, columns={pair[1]: "lines"})
    assert "lines" in grid.labels.colnames
    assert pair[1] not in SpectralGrid.read(tsfitpy_folder, ignore=pair[1]).labels.colnames
    with pytest.raises(ValueError, match="express the same quantity"):
        SpectralGrid([5000, 5001], np.ones((6, 2)), dict(zip(pair, random, strict=True)))


def test_labels_that_vary_together_are_warned_of(sample):
    labels = sample.labels.copy()
    labels["Ba_Fe"] = labels["Na_Fe"] - 0.1
    with pytest.warns(GridWarning, match=r"\[Na/Fe\] and \[Ba/Fe\] .* differ by the same number"):
        SpectralGrid(sample.wavelength, sample.flux, labels)


def test_labels_that_differ_by_rounding_are_constant(tsfitpy_folder):
    table = pd.read_csv(tsfitpy_folder / "spectra_parameters.csv").drop(columns="A_Li")
    table["Li_Fe"] = 2.0 - 1.05 - table["feh"]
    table.to_csv(tsfitpy_folder / "spectra_parameters.csv", index=False)
    grid = SpectralGrid.read(tsfitpy_folder)
    for changed in (
        grid.transform_labels("A(Li)"),
        SpectralGrid.read(tsfitpy_folder, transform_labels="A(Li)"),
    ):
        assert changed.meta["constant_labels"] == {"A_Li": pytest.approx(2.0)}
        assert "A_Li" not in changed.labels.colnames


@pytest.mark.parametrize(
    "name", ["Mg", "mg", "a_fe", "alpha", "metallicity", "Z", "T", "snr", "id"]
)
def test_names_that_may_be_several_labels_are_asked_for(small, tmp_path, name):
    wavelength, flux, labels = small
    labels[name] = np.linspace(0.0, 0.7, 8)
    folder = write_texts(tmp_path / "grid", {"wave": wavelength, "flux": flux}, labels)
    with pytest.raises(ValueError, match=rf"column '{name}'.*columns=.*ignore=\('{name}',\)"):
        SpectralGrid.read(folder, medium="air")
    grid = SpectralGrid.read(folder, medium="air", columns={name: "[Ti/Fe]"})
    assert grid.labels.colnames == ["teff", "logg", "feh", "Ti_Fe"]
    with pytest.raises(ValueError, match=name):
        SpectralGrid(wavelength, flux, {name: labels[name]})


def test_labels_may_be_relative_to_all_metals(sample):
    labels = QTable({"teff": sample.labels["teff"], "[M/H]": sample.labels["feh"]})
    labels["[a/M]"] = np.linspace(0.0, 0.4, len(labels))
    grid = SpectralGrid(sample.wavelength, sample.flux, labels)
    assert grid.labels.colnames == ["teff", "M_H", "alpha_M"]
    ratio = grid.transform_labels("[alpha/H]").labels["alpha_H"]
    assert ratio == pytest.approx(labels["[M/H]"] + labels["[a/M]"])
    with pytest.raises(ValueError, match="no label transform leads to 'feh'"):
        grid.transform_labels("[Fe/H]")


@pytest.mark.parametrize("form", ["data frame", "index", "QTable", "dict", "tsv"])
def test_labels_may_be_any_table(small, tmp_path, form):
    wavelength, flux, labels = small
    folder = write_texts(tmp_path / "grid", {"wave": wavelength, "flux": flux}, labels)
    (folder / "labels.csv").unlink()
    frame = labels.assign(file=[f"{i}.txt" for i in range(8)])
    frame.to_csv(folder / "parameters.tsv", sep="\t", index=False)
    given = {
        "data frame": frame,
        "index": frame.set_index("file"),
        "QTable": QTable.from_pandas(frame),
        "dict": frame.to_dict(orient="list"),
        "tsv": "parameters.tsv",
    }[form]
    if form != "tsv":
        (folder / "parameters.tsv").unlink()
    grid = SpectralGrid.read(folder, format="specutils", labels=given, medium="air")
    assert grid.labels["teff"].value == pytest.approx(labels["teff"])
    with pytest.raises(ValueError, match="labels= is a int"):
        SpectralGrid.read(folder, format="specutils", labels=3, medium="air")


def test_equal_flux_is_a_fault_only_if_the_labels_say_so(small, tmp_path):
    wavelength, flux, labels = small
    labels = labels.loc[[0, 0, 1, 1]].assign(**{"[Eu/Fe]": [-0.3, 0.3, -0.3, 0.3]})
    columns = {"wave": wavelength, "flux": flux[[0, 0, 1, 1]]}
    folder = write_texts(tmp_path / "grid", columns, labels)
    with pytest.warns(GridWarning, match="2 spectra have the flux of others .* only in Eu_Fe"):
        grid = SpectralGrid.read(folder, medium="air")
    assert (len(grid), "Eu_Fe" in grid.labels.colnames) == (4, True)
    folder = write_texts(folder, columns, labels.assign(teff=[5000, 5100, 5200, 5300]))
    with pytest.warns(GridWarning, match="2 x has the flux of another"):
        assert len(SpectralGrid.read(folder, medium="air")) == 2


# --- what spectra contain


@pytest.mark.filterwarnings("ignore::astropayne.grids.grid.GridWarning")
def test_broadening_in_the_spectra_is_warned_of_in_fits(sample):
    grid = sample.replace(meta={"constant_columns": {"rotation": 8.0}})
    model = PayneModel(hidden_layers=(8,), components=4, parts=1, members=1)
    model.train(grid, max_epochs=2, progress=False)
    with pytest.warns(AstropyUserWarning, match=r"rotation = 8 \(km/s\), so vsini and vmac"):
        fit_spectrum(sample[0], model)


@pytest.mark.parametrize("name", ["vsini", "vmacro"])
def test_broadening_in_a_table_of_labels_is_warned_of(small, tmp_path, name):
    wavelength, flux, labels = small
    columns = {"wave": wavelength, "flux": flux}
    folder = write_texts(tmp_path / "g", columns, labels.assign(**{name: 5.0}, R=9000, rv=0))
    with pytest.warns(GridWarning, match=f"broadened already, by {name} = 5"):
        grid = SpectralGrid.read(folder, medium="air")
    assert (grid.meta["resolution"], grid.meta["constant_columns"]) == (9000, {name: 5.0})
    assert grid.labels.colnames == ["teff", "logg", "feh"]
    labels.assign(file=[f"{i}.txt" for i in range(8)], rv=12.0).to_csv(folder / "labels.csv")
    with pytest.raises(ValueError, match=r"column 'rv' .* is 12 for all .* must be at rest"):
        SpectralGrid.read(folder, medium="air", ignore="Unnamed: 0")


def test_spectra_with_intensities_are_not_convolved(tsfitpy_folder):
    for file in tsfitpy_folder.glob("*.spec"):
        text = "# vmac: 3.0\n# rotation: 5.0\n# Wavelength Intensities\n" + file.read_text()
        file.write_text(text)
    with pytest.warns(AstropyUserWarning, match="computed with intensities"):
        grid = SpectralGrid.read(tsfitpy_folder)
    assert grid.meta["resolution"] is None
    assert "constant_columns" not in grid.meta


@pytest.mark.parametrize("date", ["2023-08-03", "2025-03-03"])
def test_dates_of_a_known_fault_are_warned_of(tsfitpy_folder, date, recwarn):
    for file in tsfitpy_folder.glob("*.spec"):
        file.write_text(f"#date: {date} 10:04:18.787979\n" + file.read_text())
    SpectralGrid.read(tsfitpy_folder)
    found = [str(w.message) for w in recwarn if "took [X/Fe] of its input" in str(w.message)]
    assert len(found) == (date < "2023-10-27")


def test_a_resolution_in_headers_comes_before_that_of_the_table(tsfitpy_folder):
    table = pd.read_csv(tsfitpy_folder / "spectra_parameters.csv").assign(resolution=80000.0)
    table.to_csv(tsfitpy_folder / "spectra_parameters.csv", index=False)
    with pytest.warns(AstropyUserWarning, match="has resolution = 80000, which is not used"):
        assert SpectralGrid.read(tsfitpy_folder).meta["resolution"] == 20000


def test_degrading_spectra_of_unknown_resolution_is_warned_of(sample):
    unknown = sample[:3].replace(meta={"resolution": None})
    with pytest.warns(GridWarning, match="resolution of the grid is unknown"):
        assert unknown.degrade(15000).info.resolution == 15000


def test_the_range_of_a_model_is_that_of_its_training_spectra(sample):
    hot = sample.labels["teff"] > 6000 * u.K
    model = PayneModel(hidden_layers=(8,), components=4, parts=1, members=1)
    model.train(sample[~hot], validation=sample[hot], max_epochs=2, progress=False)
    assert model.labels.maximum[0] == sample[~hot].labels["teff"].value.max()


def test_a_tilde_is_the_home_folder(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    sample[:3].write("~/grid.asdf")
    assert (tmp_path / "grid.asdf").exists()
    assert len(SpectralGrid.read("~/grid.asdf")) == 3


# --- options and files


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda grid: grid.cut(None, outptu="a.asdf"), "SpectralGrid.cut.*did you mean 'output'"),
        (lambda grid: grid.rebin(velocty=3), "SpectralGrid.rebin.*did you mean 'velocity'"),
        (lambda grid: grid.degrade(1, overwrit=1), "SpectralGrid.degrade.*'overwrite'"),
        (lambda grid: grid.load(now=1), "SpectralGrid.load.. has no option 'now'; it has none"),
        (lambda grid: SpectralGrid([], [], {}, nmes=1), "SpectralGrid.. has .* 'names'"),
        (lambda grid: SpectralGrid.concatenate(grid=1), "SpectralGrid.concatenate.*'grids'"),
        (lambda grid: PayneModel(hiden_layers=1), "PayneModel.. has .*'hidden_layers'"),
        (lambda grid: PayneModel.sample().write("a", ovrwrite=1), "PayneModel.write.*'overwrite'"),
    ],
)
def test_misspelled_options_name_the_function_and_the_nearest_option(sample, call, message):
    with pytest.raises(TypeError, match=message):
        call(sample)


def test_grid_files_have_a_tag_and_a_schema(sample, tmp_path):
    sample[:3].write(tmp_path / "grid.asdf")
    content = (tmp_path / "grid.asdf").read_bytes()
    assert b"!<asdf://astropayne.org/tags/SpectralGrid-1.0.0>" in content
    assert len(SpectralGrid.read(tmp_path / "grid.asdf")) == 3
    assert len(SpectralGrid.sample()) == 300  # its file has no tag
    with pytest.raises(ValueError, match="maximum_flux and wavelength_tolerance have no effect"):
        SpectralGrid.read(tmp_path / "grid.asdf", maximum_flux=1.5)
