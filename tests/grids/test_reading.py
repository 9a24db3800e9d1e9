"""Reading folders: every fault is found and named, and nothing else changes the result."""

import copy
import gc
import importlib
import os
import pickle
import re
import subprocess
import sys
import threading

import asdf
import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

import astropayne
from astropayne import SpectralGrid
from astropayne.grids import flux_file as grid_file
from astropayne.grids.flux_file import FluxFile
from astropayne.grids.grid import GridWarning
from astropayne.io.asdf_extension import extension_enabled
from astropayne.plugins import GridReader, GridSource

pytestmark = pytest.mark.filterwarnings("ignore::astropayne.grids.grid.GridWarning")


def _lines(folder, change, name="2.spec"):
    path = folder / name
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def _row(value, column, row=100):
    """Change one number of one spectrum."""

    def change(lines):
        words = lines[row].split()
        words[column] = value
        lines[row] = "  ".join(words)

    return lambda folder: _lines(folder, change)


def _table(change):
    """Change the table of labels."""

    def damage(folder):
        table = pd.read_csv(folder / "spectra_parameters.csv", dtype=str)
        change(table).to_csv(folder / "spectra_parameters.csv", index=False)

    return damage


def _cell(value, column="teff", row=2):
    def change(table):
        table.loc[row, column] = value
        return table

    return _table(change)


def _same_labels(table):
    table.iloc[2, 1:] = table.iloc[0, 1:]
    return table


def _like_first(folder):
    (folder / "2.spec").write_text((folder / "0.spec").read_text())


def _no_flux(folder):
    path = folder / "2.spec"
    path.write_text(re.sub(r"(?m)^(\d\S+)\s+\S+", r"\1  0.0", path.read_text()))


def _shift(folder):
    def change(lines):
        for i, line in enumerate(lines):
            if not line.startswith("#"):
                words = line.split()
                lines[i] = "  ".join([f"{float(words[0]) + 0.02:.6f}", *words[1:]])

    _lines(folder, change)


FAULTS = {
    "NaN flux": (_row("nan", 1), "NaN"),
    "infinite flux": (_row("inf", 1), "infinite"),
    "negative infinite flux": (_row("-inf", 1), "infinite"),
    "negative flux": (_row("-0.01", 1), "negative flux"),
    "no flux": (_no_flux, "zero everywhere"),
    "emission": (_row("1.9", 1), "above 1.2"),
    "text for a flux": (_row("bright", 1), "cannot be read"),
    "NaN wavelength": (_row("nan", 0), "not finite"),
    "infinite wavelength": (_row("inf", 0), "not finite|increase"),
    "one wavelength off": (_row("5164.62", 0), "other wavelengths|increase"),
    "doubled wavelength": (lambda f: _lines(f, lambda x: x.insert(50, x[50])), "3904 pixels"),
    "two lines swapped": (
        lambda f: _lines(f, lambda x: x.__setitem__(slice(50, 52), x[51:49:-1])),
        "do not increase",
    ),
    "backwards": (lambda f: _lines(f, lambda x: x.reverse()), "do not increase"),
    "all wavelengths shifted": (_shift, "other wavelengths"),
    "last line missing": (lambda f: _lines(f, lambda x: x.pop()), "3902 pixels"),
    "half the file": (lambda f: _lines(f, lambda x: x.__delitem__(slice(2000, None))), "pixels"),
    "line cut in the middle": (
        lambda f: _lines(f, lambda x: x.append("6725.05")),
        "pixels|NaN|read",
    ),
    "empty file": (lambda f: (f / "2.spec").write_text(""), "cannot be read|pixels|empty"),
    "header only": (
        lambda f: _lines(f, lambda x: x.__delitem__(slice(4, None))),
        "read|pixels|empty",
    ),
    "another kind of file": (lambda f: (f / "2.spec").write_text("<html></html>\n"), "read"),
    "bytes that are no text": (
        lambda f: (f / "2.spec").write_bytes(b"\xff\xfe\x00\x01" * 99),
        "read",
    ),
    "a folder in its place": (
        lambda f: ((f / "2.spec").unlink(), (f / "2.spec").mkdir()),
        "directory|cannot be read",
    ),
    "spectrum of another star": (_like_first, "has the flux of another, but other labels: 0.spec"),
    "no such file": (lambda f: (f / "2.spec").unlink(), "no such .spec file"),
    "label missing": (_cell(""), "missing or not finite"),
    "label is text": (_cell("hot"), "missing or not finite"),
    "label infinite": (_cell("inf"), "missing or not finite"),
    "label that stands for none": (_cell("-9999", "logg"), "has impossible labels: logg = -9999"),
    "another one": (_cell("99.99", "Mg_Fe"), "has impossible labels: Mg_Fe = 99.99"),
    "temperature that stands for none": (_cell("-999"), "has impossible labels: teff = -999"),
    "label row missing": (_table(lambda t: t.drop(index=2)), "no row in the table"),
    "label row doubled": (
        _table(lambda t: pd.concat([t, t.iloc[[2]]])),
        "more than one row",
    ),
    "labels of another star": (
        _table(_same_labels),
        "has the labels of another: 0.spec",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_and_named(tsfitpy_folder, sample, fault):
    damage, reason = FAULTS[fault]
    damage(tsfitpy_folder)
    with pytest.warns(GridWarning, match="1 spectra of grid were set aside"):
        grid = SpectralGrid.read(tsfitpy_folder, maximum_flux=1.2)
    assert list(grid.names) == ["0.spec", "1.spec", "3.spec", "4.spec", "5.spec"]
    assert grid.flux == pytest.approx(sample.flux[[0, 1, 3, 4, 5]], abs=1e-6)
    assert list(grid.report["name"]) == ["2.spec"]
    assert re.search(reason, grid.report["reason"][0])
    with pytest.raises(ValueError, match=r"strict: 2.spec"):
        SpectralGrid.read(tsfitpy_folder, maximum_flux=1.2, strict=True)


def test_limits_are_options(tsfitpy_folder):
    _row("-0.01", 1)(tsfitpy_folder)
    (tsfitpy_folder / "3.spec").write_text(
        re.sub(r"(5200.000000)  \S+", r"\1  3.0", (tsfitpy_folder / "3.spec").read_text())
    )
    assert len(SpectralGrid.read(tsfitpy_folder)) == 5
    assert len(SpectralGrid.read(tsfitpy_folder, minimum_flux=-0.1)) == 6
    assert len(SpectralGrid.read(tsfitpy_folder, minimum_flux=-0.1, maximum_flux=2)) == 5
    assert len(SpectralGrid.read(tsfitpy_folder, minimum_flux=None)) == 6


def test_labels_that_are_constant_are_kept_apart(tsfitpy_folder):
    _table(lambda table: table.assign(vmic="1.5"))(tsfitpy_folder)
    grid = SpectralGrid.read(tsfitpy_folder)
    assert "vmic" not in grid.labels.colnames
    assert grid.meta["constant_labels"] == {"vmic": 1.5}


@pytest.mark.parametrize("output", [None, "grid.asdf"])
def test_labels_that_vary_in_what_is_set_aside_only_are_constant(read, tmp_path, output):
    labels = {
        "teff": [4000.0, 4500, 5000, 5500, 6000],
        "vmic": [1.5, np.nan, 1.5, 1.5, 1.5],
        "logg": [4.0, 4.0, -9999, 4.0, 4.0],
    }
    grid = read(
        lambda i: (AXIS, FLUX[0] * (1 - 0.1 * i)),
        labels,
        "abcde",
        output=output and tmp_path / output,
    )
    assert list(grid.names) == ["a", "d", "e"]
    assert grid.labels.colnames == ["teff"]
    assert grid.meta["constant_labels"] == {"vmic": 1.5, "logg": 4.0}


def test_several_folders_are_one_grid(sample, tmp_path, write_tsfitpy):
    one = write_tsfitpy(sample[:4], tmp_path / "one")
    two = write_tsfitpy(sample[4:7], tmp_path / "two")
    (two / "1.spec").write_text("")
    grid = SpectralGrid.read([one, two])
    assert list(grid.names[3:]) == ["one/3.spec", "two/0.spec", "two/2.spec"]
    assert list(grid.report["name"]) == ["two/1.spec"]
    assert grid.flux == pytest.approx(sample.flux[[0, 1, 2, 3, 4, 6]], abs=1e-6)
    assert grid.labels["teff"].value == pytest.approx(
        sample.labels["teff"].value[[0, 1, 2, 3, 4, 6]], abs=1e-3
    )
    _table(lambda table: table.drop(columns="A_Li"))(two)
    with pytest.raises(ValueError, match="two has the labels"):
        SpectralGrid.read([one, two])


def test_reading_into_a_file_gives_the_same_grid(tsfitpy_folder, tmp_path):
    (tsfitpy_folder / "3.spec").write_text("")
    expected = SpectralGrid.read(tsfitpy_folder)
    path = tmp_path / "grid.asdf"
    grid = SpectralGrid.read(tsfitpy_folder, output=path)
    assert isinstance(grid.flux, FluxFile)
    assert np.array_equal(grid.flux, expected.flux)
    assert grid.names == expected.names
    assert grid.meta == expected.meta
    assert list(grid.report["reason"]) == list(expected.report["reason"])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        SpectralGrid.read(tsfitpy_folder, output=path)


def test_an_interrupted_reading_leaves_nothing(tsfitpy_folder, tmp_path):
    (tsfitpy_folder / "3.spec").write_text("")
    with pytest.raises(ValueError, match="strict"):
        SpectralGrid.read(tsfitpy_folder, output=tmp_path / "grid.asdf", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["grid"]


def test_two_workers_read_the_same(sample, tmp_path, write_tsfitpy):
    folder = write_tsfitpy(sample[:150], tmp_path / "many")  # more than a block
    (folder / "130.spec").write_text("")
    one, two = (SpectralGrid.read(folder, workers=n) for n in (1, 2))
    assert one.names == two.names
    assert np.array_equal(one.flux, two.flux)
    assert list(one.report["reason"]) == list(two.report["reason"])


# --- what any reader may return

AXIS = np.arange(5000.0, 5030)
FLUX = np.array([0.5, 0.6, 0.7])[:, None] * np.linspace(0.8, 1, 30)


@pytest.fixture
def read():
    """A function that reads a `GridSource` through a reader of its own."""

    class Reader(GridReader):
        format = "testing"

        def sniff(self, path):
            return False

        def open(self, path):
            return self.source

    class Plugin:
        @astropayne.hookimpl
        def astropayne_grid_readers(self):
            return [reader]

    def call(
        load=lambda i: (AXIS, FLUX[i]),
        labels=None,
        names="abc",
        meta=None,
        load_block=None,
        threads=False,
        **options,
    ):
        labels = {"teff": [4000.0, 5000, 6000]} if labels is None else labels
        reader.source = GridSource(names, labels, load, meta or {}, {}, load_block, threads)
        return SpectralGrid.read(__file__, format="testing", **options)

    reader = Reader()
    astropayne.register_plugin(Plugin(), name="testing")
    yield call
    astropayne.unregister_plugin("testing")


def test_a_reader_that_fails_costs_one_spectrum(read):
    def load(i):
        return (AXIS, FLUX[i]) if i != 1 else {}["flux"]

    grid = read(load)
    assert list(grid.names) == ["a", "c"]
    assert "the reader failed: KeyError: 'flux'" in grid.report["reason"][0]
    with pytest.raises(ValueError, match="cannot work in other processes"):
        read(load, workers=2)
    with pytest.raises(ValueError, match="by 'testing': 3 x the reader failed: ZeroDivisionError"):
        read(lambda i: 1 / 0)


# --- blocks


def test_a_reader_may_load_blocks(read):
    asked = []

    def load_block(indices):
        asked.append(list(indices))
        return AXIS / 10 * u.nm, FLUX[indices] * u.one

    grid = read(None, load_block=load_block)
    assert np.array_equal(grid.flux, FLUX.astype(np.float32))
    assert asked[-1] == [0, 1, 2]  # after looking for the wavelengths of single ones


@pytest.mark.parametrize(
    "load_block",
    [
        lambda indices: 1 / 0,
        lambda indices: (AXIS, FLUX[:2]),
        lambda indices: (AXIS, FLUX[0]),
        lambda indices: (AXIS, FLUX * u.K),
        lambda indices: None,
    ],
)
def test_blocks_that_cannot_be_loaded_are_loaded_one_by_one(read, load_block):
    def load(i):
        return AXIS, FLUX[i] if i != 1 else np.full(30, np.nan)

    grid = read(load, load_block=load_block)
    assert np.array_equal(grid.flux, FLUX[[0, 2]].astype(np.float32))
    assert list(grid.report["reason"]) == ["has flux that is NaN"]


def test_faults_in_a_block_are_those_of_one_spectrum(read):
    flux = FLUX.copy()
    flux[1, 4] = -1
    grid = read(None, load_block=lambda indices: (AXIS, flux[indices]))
    assert list(grid.names) == ["a", "c"]
    assert list(grid.report["reason"]) == ["has negative flux"]


def test_blocks_across_several_folders(sample, tmp_path, write_tsfitpy):
    folders = [write_tsfitpy(sample[i : i + 20], tmp_path / f"part{i}") for i in range(0, 60, 20)]
    grid = SpectralGrid.read(folders)
    assert grid.flux == pytest.approx(sample.flux[:60], abs=1e-6)


# --- helper processes

THEIR_MODULE = """
import os, time
import numpy as np

def load(i):
    time.sleep(0.002)
    print("loading", i)
    os.write(1, b"loading")
    if i % 50 == 7:
        raise KeyError(i)
    return np.arange(5000.0, 5030), np.linspace(0.5, 0.6 + i / 1000, 30)

def die(i):
    if os.getppid() == int(os.environ["READING_PROCESS"]):
        os._exit(3)
    time.sleep(0.02)
    return load(i)
"""


@pytest.fixture
def their_module(tmp_path, monkeypatch):
    """A module of a reader's author, which is no part of astropayne."""
    (tmp_path / "their_module.py").write_text(THEIR_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("READING_PROCESS", str(os.getpid()))
    monkeypatch.delitem(sys.modules, "their_module", raising=False)
    return importlib.import_module("their_module")


def test_any_number_of_workers_reads_the_same_in_order(read, their_module):
    many = {"names": [f"s{i}" for i in range(300)], "labels": {"teff": 4000 + np.arange(300.0)}}
    one, two, three = (read(their_module.load, **many, workers=n) for n in (1, 2, 3))
    expected = [their_module.load(i)[1] for i in range(300) if i % 50 != 7]
    for grid in (one, two, three):
        assert np.array_equal(grid.flux, np.array(expected, dtype=np.float32))
        assert list(grid.names) == [f"s{i}" for i in range(300) if i % 50 != 7]
        assert list(grid.report["reason"]) == list(one.report["reason"])
        assert list(grid.report["name"]) == [f"s{i}" for i in range(7, 300, 50)]


def test_threads_read_what_other_processes_cannot(read, monkeypatch):
    """Also if they are lambdas; each block by one thread, several at the same time."""
    seen, together = set(), threading.Barrier(2, timeout=20)

    def load(i):
        seen.add(threading.get_ident())
        if i in (30, 50):  # in two blocks, which wait for each other
            together.wait()
        return AXIS, np.linspace(0.5, 0.6 + i / 1000, 30)

    many = {"names": [f"s{i}" for i in range(60)], "labels": {"teff": 4000 + np.arange(60.0)}}
    grid = read(load, **many, threads=True, workers=2)
    assert list(grid.names) == many["names"]
    assert grid.flux[:, -1] == pytest.approx(0.6 + np.arange(60) / 1000)
    assert len(seen - {threading.get_ident()}) == 2
    with pytest.raises(ValueError, match="cannot work in other processes"):
        read(load, **many, workers=2)


def test_a_bad_spectrum_in_a_block_is_found_by_halves(read):
    asked = []

    def load_block(indices):
        asked.append(len(indices))
        if 37 in indices:
            raise OSError("that one is gone")
        return AXIS, 0.5 + np.array(indices)[:, None] / 1000 + 0 * AXIS

    many = {"names": [f"s{i}" for i in range(64)], "labels": {"teff": 4000 + np.arange(64.0)}}
    grid = read(None, load_block=load_block, **many)
    assert list(grid.report["name"]) == ["s37"]
    assert grid.report["reason"][0] == "that one is gone"
    assert grid.flux[:, 0] == pytest.approx(0.5 + np.delete(np.arange(64), 37) / 1000)
    assert sum(n > 1 for n in asked) == 11  # all, and the halves, quarters... around it


def test_helpers_end_with_the_reading(read, their_module):
    many = {"names": [f"s{i}" for i in range(300)], "labels": {"teff": 4000 + np.arange(300.0)}}
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Recorded)
        with pytest.raises(ValueError, match="strict: s7 the reader failed: KeyError: 7"):
            read(their_module.load, **many, workers=3, strict=True)
        read(their_module.load, **many, workers=2)
    assert started
    assert all(process.returncode is not None for process in started)


def test_a_helper_that_dies_is_an_error(read, their_module):
    many = {"names": [f"s{i}" for i in range(300)], "labels": {"teff": 4000 + np.arange(300.0)}}
    with pytest.raises(RuntimeError, match=r"has ended \(exit code 3\): read with workers=1"):
        read(their_module.die, **many, workers=2)


def _in_main(i):
    return AXIS, FLUX[i]


def test_a_reader_of_a_notebook_works_in_one_process_only(read, monkeypatch):
    monkeypatch.setattr(_in_main, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "_in_main", _in_main, raising=False)
    assert len(read(_in_main)) == 3
    with pytest.raises(ValueError, match="defined in a notebook or script, not in a module"):
        read(_in_main, workers=2)
    for workers in (0, "2", 1.5):
        with pytest.raises(
            ValueError, match=f"workers={workers!r} must be a positive whole number"
        ):
            read(_in_main, workers=workers)


# --- what is wrong with what a reader returns

FAULTY = {
    "a column": (lambda a, f: (a, f[:, None]), r"shape \(30,\) and \(30, 1\), not one axis"),
    "a row": (lambda a, f: (a, f[None]), r"shape \(30,\) and \(1, 30\)"),
    "a number": (lambda a, f: (a, f[0]), r"shape \(30,\) and \(\)"),
    "no flux": (lambda a, f: a, "loaded as ndarray: load must return wavelength and flux"),
    "nothing": (lambda a, f: None, "loaded as NoneType"),
    "text": (lambda a, f: (a, f.astype(str)), "flux of type <U32, not numbers"),
    "complex": (lambda a, f: (a, f + 0j), "flux of type complex128, not numbers"),
    "objects": (lambda a, f: (a, [None] * 30), "flux of type object"),
    "masked": (lambda a, f: (a, np.ma.masked_less(f, 0.5)), "NaN"),
    "masked quantity": (lambda a, f: (a, Masked(f * u.one, mask=f < 0.5)), "NaN"),
    "masked column": (lambda a, f: (a, MaskedColumn(f, mask=f < 0.5)), "NaN"),
    "a masked wavelength": (lambda a, f: (np.ma.masked_less(a, 5002), f), "not finite"),
    "flux in Jy": (lambda a, f: (a, f * u.Jy), "flux in Jy, which does not convert to no unit"),
    "wavelengths in K": (lambda a, f: (a * u.K, f), "wavelengths in K, which does not convert"),
    "frequencies": (lambda a, f: ((a * u.AA).to(u.Hz, u.spectral())[::-1], f), "not increase"),
    "an error of its own": (lambda a, f: exec("raise OSError('disk is gone')"), "disk is gone"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_faults_of_any_reader_are_found_and_named(read, fault):
    change, reason = FAULTY[fault]
    grid = read(lambda i: (AXIS, FLUX[i]) if i != 1 else change(AXIS, FLUX[i]))
    assert list(grid.names) == ["a", "c"]
    assert np.array_equal(grid.flux, FLUX[[0, 2]].astype(np.float32))
    assert list(grid.report["name"]) == ["b"]
    assert re.search(reason, grid.report["reason"][0])


SOUND = {
    "nm": lambda i: (AXIS / 10 * u.nm, FLUX[i]),
    "wave numbers": lambda i: ((AXIS * u.AA).to(1 / u.cm, u.spectral()), FLUX[i] * u.one),
    "big-endian": lambda i: (AXIS.astype(">f8"), FLUX[i].astype(">f8")),
    "lists": lambda i: [list(AXIS), list(FLUX[i])],
    "masked, nothing masked": lambda i: (np.ma.array(AXIS), np.ma.array(FLUX[i], mask=False)),
    "columns": lambda i: (Column(AXIS, unit="Angstrom"), Column(FLUX[i])),
    "per cent": lambda i: (AXIS, 100 * FLUX[i] * u.percent),
    "strided": lambda i: (AXIS[::-1].copy()[::-1], FLUX.T.copy()[:, i]),
}


@pytest.mark.parametrize("kind", SOUND)
def test_spectra_may_be_any_arrays(read, kind):
    grid = read(SOUND[kind])
    assert len(grid.report) == 0
    assert grid.flux.dtype == np.dtype("float32")
    assert grid.flux == pytest.approx(FLUX, rel=1e-6)
    assert grid.wavelength.value == pytest.approx(AXIS, rel=1e-12)
    assert grid.wavelength.value.dtype.isnative


def test_flux_is_converted_to_the_unit_the_source_says(read):
    def load(i):
        unit = (u.Jy, u.mJy, u.erg / u.s / u.cm**2 / u.AA)[i]
        return AXIS, (FLUX[i] * u.Jy).to(unit, u.spectral_density(AXIS * u.AA))

    grid = read(load, meta={"flux_unit": "Jy"})
    assert grid.flux == pytest.approx(FLUX, rel=1e-6)
    assert grid.meta["flux_unit"] == "Jy"


@pytest.mark.parametrize(
    "labels",
    [
        {"Teff": [4, 5, 6] * u.kK, "[Fe/H]": [0.0, -1, -2]},
        QTable({"T_eff": [4, 5, 6] * u.kK, "feh": [0.0, -1, -2]}),
        Table({"teff": np.array([4000, 5000, 6000], ">i4"), "feh": np.array([0, -1, -2], ">f4")}),
        pd.DataFrame({"teff": [4000, 5000, 6000], "feh": [0.0, -1, -2]}, index=[7, 8, 9]),
    ],
)
def test_labels_may_be_any_table(read, labels):
    grid = read(labels=labels)
    assert u.allclose(grid.labels["teff"], [4000, 5000, 6000] * u.K)
    assert np.array_equal(grid.labels["feh"], [0, -1, -2])
    assert len(grid.report) == 0


def test_masked_labels_are_missing(read):
    labels = Table({"teff": MaskedColumn([4000, 5000, 6000], mask=[0, 1, 0])})
    grid = read(labels=labels)
    assert list(grid.names) == ["a", "c"]
    assert "not finite: teff" in grid.report["reason"][0]


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"labels": {}}, "there are no labels"),
        ({"labels": {"teff": [4000.0, 5000]}}, "'testing' returned 3 names of spectra and 2 rows"),
        ({"names": "ab"}, "'testing' returned 2 names of spectra and 3 rows"),
        ({"names": "aab"}, "gave the name 'a' to more than one spectrum"),
        ({"labels": {"teff": ["hot", "cool", "?"]}}, "'teff' must be numeric: could not"),
        ({"labels": {"teff": np.ones((3, 2))}}, "'teff' has 2 dimensions"),
        ({"labels": {"teff": [1, 2, 3] * u.m}}, "in K, but was given in m"),
        ({"labels": {"feh": [0, 1, 2], "[Fe/H]": [0, 1, 2]}}, "'feh' is given twice"),
        ({"labels": {"resolution": [0, 1, 2]}}, "'resolution' cannot be a label"),
        ({"meta": {"medium": "Air"}}, "medium is 'Air'; it can be 'air' or 'vacuum'"),
        ({"meta": {"resolution": -5}}, "resolution is -5; it can be a positive number"),
        ({"meta": {"resolution": "high"}}, "resolution is 'high'"),
        ({"labels": {"feh": [1.0, 1, 1]}}, r"every label \(feh\) has one value in all spectra"),
        ({"labels": {"feh": []}, "names": ""}, "no spectrum could be read by 'testing': there is"),
    ],
)
def test_sources_that_do_not_fit_together_are_errors(read, parts, match):
    with pytest.raises(ValueError, match=match):
        read(**parts)


def test_the_wavelength_tolerance_is_an_option(read):
    def load(i):
        return AXIS * (1 + 1e-5 * (i == 1)), FLUX[i]

    assert list(read(load).names) == ["a", "c"]
    assert list(read(load, wavelength_tolerance=1e-4).names) == ["a", "b", "c"]


# --- flux on disk


@pytest.fixture
def on_disk(sample, tmp_path):
    sample[:20].write(tmp_path / "grid.asdf")
    return SpectralGrid.read(tmp_path / "grid.asdf")


ITEMS = [
    3, -1, np.int64(4), slice(2, 9), slice(None, None, -3), [4, 4, 1], [], np.arange(20) % 3 == 0,
    (5, 7), (5, slice(3)), (slice(3), slice(10, 20)), ([2, 0], 3), ([0, 1], [2, 3]),
    ([0, 1], slice(4)), ([7, 3, 3], np.arange(3)), (slice(5), [2, 3]), (3, [2, 3]), (),
    (slice(3), np.arange(3903) % 7 == 0), (np.arange(20) % 10 == 0, [5, 6]), Ellipsis, None,
    (Ellipsis, 3), (np.array([[0], [1]]), np.array([2, 3])), (slice(2), None), (np.array(2), 3),
]  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=str)
def test_flux_on_disk_is_indexed_as_an_array(sample, on_disk, item):
    assert isinstance(on_disk.flux, FluxFile)
    found, expected = on_disk.flux[item], sample.flux[:20][item]
    assert np.shape(found) == np.shape(expected)
    assert np.array_equal(found, expected)
    assert on_disk.flux.shape == (20, 3903)
    assert len(on_disk.flux) == 20


def test_flux_on_disk_is_computed_with_as_an_array(sample, on_disk):
    flux, expected = on_disk.flux, sample.flux[:20]
    assert flux.mean() == np.mean(flux) == expected.mean()
    assert np.array_equal(flux.max(axis=1), expected.max(axis=1))
    assert flux.astype("f8").dtype == np.float64
    assert np.array_equal(1 - flux, 1 - expected)
    assert np.array_equal(flux > 0.5, expected > 0.5)
    assert np.array_equal(np.sqrt(flux), np.sqrt(expected))
    assert np.array_equal(flux.T, expected.T)
    assert flux.size == expected.size
    with pytest.raises(ValueError, match="read-only"):
        flux.fill(0)
    with pytest.raises(TypeError):
        flux += 1
    with pytest.raises(TypeError):
        flux[0] = 1
    with pytest.raises(AttributeError, match="'nothing'"):
        flux.nothing  # noqa: B018
    assert len(pickle.dumps(flux)) < 1000


def test_a_grid_may_be_written_over_its_own_file(sample, on_disk, tmp_path):
    path = tmp_path / "grid.asdf"
    before = on_disk[::2]
    on_disk[5:15].write(path, overwrite=True)
    assert np.array_equal(before.flux, sample.flux[:20:2])  # as before
    assert np.array_equal(on_disk.flux[7], sample.flux[7])
    assert np.array_equal(SpectralGrid.read(path).flux, sample.flux[5:15])
    with pytest.raises(ValueError, match="has changed since the grid was opened: read it again"):
        pickle.loads(pickle.dumps(on_disk.flux))[0]
    again = SpectralGrid.read(path).flux
    assert np.array_equal(pickle.loads(pickle.dumps(again)), sample.flux[5:15])
    assert np.array_equal(copy.deepcopy(again)[3], sample.flux[8])


def test_a_file_changed_in_place_is_recognised(on_disk, tmp_path):
    path = tmp_path / "grid.asdf"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"has changed.*grid.load\(\)"):
        on_disk.flux[0]


def test_reading_works_where_the_system_cannot_read_at_a_place(sample, on_disk, monkeypatch):
    monkeypatch.delattr(os, "preadv")
    monkeypatch.setattr(grid_file, "_MOST", 1000)
    assert np.array_equal(on_disk.flux[[4, 9]], sample.flux[[4, 9]])


def test_open_files_are_closed(sample, tmp_path):
    sample[:3].write(tmp_path / "grid.asdf")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        SpectralGrid.read(tmp_path / "grid.asdf")[:2]
    gc.collect()
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


def _change_tree(path, change):
    """Write a grid file again with another tree, as another version might have written it."""
    with extension_enabled(), asdf.open(path, memmap=False, lazy_load=False) as file:
        tree = dict(file.tree)
        tree["astropayne"].pop("text_checksum", None)
        change(tree)
        with asdf.AsdfFile(tree) as other:
            other.write_to(path)


def test_a_file_of_another_layout_is_refused_with_advice(on_disk, tmp_path):
    path = tmp_path / "grid.asdf"
    _change_tree(path, lambda tree: tree["SpectralGrid"].pop("checksums"))
    with pytest.raises(ValueError, match=r"has no checksums\. Write it again"):
        SpectralGrid.read(path)
    _change_tree(path, lambda tree: tree["astropayne"].update(format_version=99))
    with pytest.raises(ValueError, match=r"in file format 99; .* format 1: update astropayne"):
        SpectralGrid.read(path)
    _change_tree(path, lambda tree: tree["astropayne"].update(format_version=0))
    with pytest.raises(ValueError, match=r"in file format 0; .*: write the file anew"):
        SpectralGrid.read(path)


def test_metadata_comes_back_as_it_was(sample, tmp_path):
    meta = {
        "vmac": 3 * u.km / u.s,
        "edges": [5160, 5240] * u.AA,
        "table": QTable({"x": [1.0, 2.0] * u.K}),
        "array": np.arange(3),
        "resolution": np.float64(20000),
        "count": np.int32(3),
        "nested": {"a": [1, 2 * u.m], "b": "text", "c": None},
    }
    grid = sample[:3].replace(meta=meta)
    grid.write(tmp_path / "grid.asdf")
    found = SpectralGrid.read(tmp_path / "grid.asdf").meta
    assert found["vmac"] == 3 * u.km / u.s
    assert u.allclose(found["edges"], [5160, 5240] * u.AA)
    assert found["edges"].unit == u.AA
    assert u.allclose(found["table"]["x"], [1, 2] * u.K)
    assert np.array_equal(found["array"], [0, 1, 2])
    assert found["resolution"] == 20000
    assert found["count"] == 3
    assert found["nested"] == {"a": [1, 2 * u.m], "b": "text", "c": None}


def test_metadata_that_cannot_be_stored_is_named_before_the_work(
    sample, on_disk, tsfitpy_folder, tmp_path, monkeypatch
):
    grid = on_disk[:3].replace(meta={"reference": object()})
    monkeypatch.setattr(FluxFile, "_read", None)  # nothing may be read
    for work in (grid.write, lambda path: grid.degrade(12000, output=path)):
        with pytest.raises(ValueError, match=r"grid.meta\['reference'\] cannot be stored"):
            work(tmp_path / "out.asdf")
        assert not (tmp_path / "out.asdf").exists()


def test_selections_of_a_file_stay_on_disk(sample, on_disk):
    train, valid = on_disk.split(0.75, seed=3)
    for part in (train, valid, train[::-1][2:5], on_disk[on_disk.labels["feh"] < -1]):
        assert isinstance(part.flux, FluxFile)
        rows = [sample.names.index(name) for name in part.names]
        assert np.array_equal(part.flux, sample.flux[rows])
    assert isinstance(train.load().flux, np.ndarray)
    assert np.array_equal(train[3].flux.value, train.load().flux[3].astype(float))
    parts = list(on_disk.blocks(size=8))
    assert [len(part) for part in parts] == [8, 8, 4]
    assert np.array_equal(np.concatenate([part.flux for part in parts]), sample.flux[:20])


def test_a_file_is_not_read_twice(on_disk, tmp_path):
    with pytest.raises(ValueError, match="one path is given twice"):
        SpectralGrid.read([tmp_path / "grid.asdf", tmp_path / "grid.asdf"])


def test_a_file_on_disk_can_be_written_and_put_together(sample, on_disk, tmp_path):
    on_disk[5:9].write(tmp_path / "part.asdf", dtype="float16")
    again = SpectralGrid.read(tmp_path / "part.asdf")
    assert again.flux.dtype == np.float16
    assert np.asarray(again.flux) == pytest.approx(sample.flux[5:9], abs=5e-4)
    both = SpectralGrid.concatenate([on_disk[:3], sample[10:12]])
    assert both.names == sample.names[:3] + sample.names[10:12]
    assert np.array_equal(both.flux, sample.flux[[0, 1, 2, 10, 11]])
    with pytest.raises(ValueError, match="must be the same"):
        SpectralGrid.concatenate([sample[:2], sample[2:4].transform_labels("Li_Fe")])


@pytest.mark.parametrize(
    ("factor", "dtype", "match"),
    [(1e6, "float16", "is more than float16 holds"), (1, "int16", "cut to whole numbers by int16")],
)
def test_flux_that_a_precision_does_not_hold_is_not_written(sample, tmp_path, factor, dtype, match):
    grid = SpectralGrid(sample.wavelength, factor * sample.flux[:3], sample.labels[:3])
    with pytest.raises(ValueError, match=match):
        grid.write(tmp_path / "grid.asdf", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_a_file_whose_text_is_altered_is_refused(on_disk, tmp_path):
    content = on_disk.flux.path.read_bytes()
    for word in (b"teff", b"resolution", b"magg2022", b"checksums"):
        changed = bytearray(content)
        changed[content.index(word) + 2] ^= 1
        (tmp_path / "altered.asdf").write_bytes(changed)
        with pytest.raises(ValueError, match="damaged: the text before its arrays was altered"):
            SpectralGrid.read(tmp_path / "altered.asdf")


def test_a_file_that_is_cut_is_recognised_without_reading_it(on_disk, tmp_path):
    path = tmp_path / "grid.asdf"
    content = path.read_bytes()
    path.write_bytes(content[:-1000])
    with pytest.raises(ValueError, match="damaged"):
        SpectralGrid.read(path, verify=False)
    path.write_bytes(content[:-1000] + bytes(1000))
    with pytest.raises(ValueError, match="altered"):
        SpectralGrid.read(path)
    assert len(SpectralGrid.read(path, verify=False)) == 20


def test_a_disk_that_is_full_is_said_of_the_grid_file(sample, tmp_path):
    resource = pytest.importorskip("resource")  # there is none on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*grid\.asdf'"):
            sample.write(tmp_path / "grid.asdf")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
