# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.io.result_tables import TABLE_FORMATS, writable_suffix, write_table


@pytest.fixture
def table():
    columns = {"teff": [5777.0, 5000.0] * u.K, "name": ["a", "b"]}
    return QTable(columns, meta={"model": "fgk.asdf", "resolution": 18000.0})


@pytest.mark.parametrize("suffix", TABLE_FORMATS)
def test_every_format_is_read_again(tmp_path, table, suffix):
    file = tmp_path / f"stars{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    write_table(table, file)
    again = QTable.read(file, format=TABLE_FORMATS[suffix])
    assert again.colnames == table.colnames
    assert np.asarray(u.Quantity(again["teff"]).value).tolist() == [5777.0, 5000.0]
    with pytest.raises(FileExistsError, match="exists already"):
        write_table(table, file)
    write_table(table, file, overwrite=True)


def test_metadata_are_kept_where_the_format_can(tmp_path, table):
    write_table(table, tmp_path / "stars.ecsv")
    assert QTable.read(tmp_path / "stars.ecsv").meta == table.meta
    table.meta |= {
        "fitted": ["teff", "logg"],
        "n": np.int64(2),
        "more": {"author": "me"},
        "by": "é",
        "a_long_name": 1,
    }
    with pytest.warns(AstropyUserWarning, match="has no by, a_long_name: the header of a FITS"):
        write_table(table, tmp_path / "stars.fits")
    meta = QTable.read(tmp_path / "stars.fits").meta
    assert {key: meta[key] for key in ("MODEL", "RESOLUT", "FITTED", "N", "AUTHOR")} == {
        "MODEL": "fgk.asdf", "RESOLUT": 18000.0, "FITTED": "teff logg", "N": 2, "AUTHOR": "me"
    }  # fmt: skip


def test_columns_that_text_cannot_store_are_left_out(tmp_path, table):
    table["covariance"] = np.zeros((2, 3))
    with pytest.warns(AstropyUserWarning, match="has no covariance: text cannot hold several"):
        write_table(table, tmp_path / "stars.csv")
    assert QTable.read(tmp_path / "stars.csv").colnames == ["teff", "name"]
    assert "covariance" in table.colnames


def test_letters_that_fits_cannot_store_are_escaped(tmp_path, table):
    table["name"] = ["é", "b"]
    with pytest.warns(AstropyUserWarning, match="name has letters that FITS cannot store"):
        write_table(table, tmp_path / "stars.fits")
    assert QTable.read(tmp_path / "stars.fits")["name"].tolist() == ["\\xe9", "b"]
    assert table["name"][0] == "é"


def test_suffixes():
    assert writable_suffix("stars.FITS") == ".fits"
    with pytest.raises(ValueError, match=r"stars\.doc: a table's name must end in one of \.ecsv, "):
        writable_suffix("stars.doc")


@pytest.mark.parametrize("suffix", [".vot", ".parquet"])
def test_tables_for_archives_keep_units(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    table = QTable(
        {"name": ["a"], "teff": [5777.0] * u.K, "Mg_Fe_err": [0.1], "rv": [1] * u.km / u.s}
    )
    write_table(table, tmp_path / f"stars{suffix}")
    found = QTable.read(tmp_path / f"stars{suffix}")
    assert found["teff"].unit == u.K
    assert found["rv"].to_value(u.m / u.s) == 1000
    if suffix == ".vot":
        assert found["teff"].info.meta["ucd"] == "phys.temperature.effective"
        assert found["Mg_Fe_err"].info.meta["ucd"] == "stat.error;phys.abund"
