# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import asdf
import numpy as np
import pytest
from astropy.table import QTable

from astropayne.io.container import (
    check_storable,
    read_container,
    sniff_container,
    write_container,
    write_tree,
)

TREE = {"name": "sun", "flux": np.arange(5.0), "rows": [np.ones(3), {"teff": 5777}]}


@pytest.fixture
def file(tmp_path):
    write_container(tmp_path / "sun.asdf", "Star", TREE)
    return tmp_path / "sun.asdf"


def test_a_tree_is_read_again(file):
    tree = read_container(file, "Star")
    assert tree["name"] == "sun"
    assert np.array_equal(tree["flux"], TREE["flux"])
    assert np.array_equal(tree["rows"][0], np.ones(3))
    assert tree["rows"][1] == {"teff": 5777}
    assert "flux" not in read_container(file, "Star", skip=["flux"])


def test_tables_are_stored(tmp_path):
    write_container(tmp_path / "table.asdf", "Star", {"table": QTable({"teff": [1.0]})})
    assert read_container(tmp_path / "table.asdf", "Star")["table"]["teff"][0] == 1.0


def test_files_are_recognized(file, tmp_path):
    assert sniff_container(file, "Star")
    assert not sniff_container(file, "Planet")
    assert not sniff_container(tmp_path, "Star")
    (tmp_path / "text").write_text("Star:")
    assert not sniff_container(tmp_path / "text", "Star")


def test_existing_files_are_refused(file):
    with pytest.raises(FileExistsError, match="exists already"):
        write_container(file, "Star", TREE)
    write_container(file, "Star", {"name": "moon"}, overwrite=True)
    assert read_container(file, "Star") == {"name": "moon"}


def test_other_files_are_refused(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_container(tmp_path / "none.asdf", "Star")
    with pytest.raises(ValueError, match=r"is not a file; an astropayne Star is one \.asdf file"):
        read_container(tmp_path, "Star")
    (tmp_path / "text").write_text("Star:")
    with pytest.raises(ValueError, match="it is not an ASDF file"):
        read_container(tmp_path / "text", "Star")
    with pytest.raises(ValueError, match="is not an astropayne Planet: it is Star"):
        read_container(file, "Planet")
    asdf.AsdfFile({"a": 1}).write_to(tmp_path / "other.asdf")
    with pytest.raises(ValueError, match="it is an ASDF file of another program"):
        read_container(tmp_path / "other.asdf", "Star")


def test_damaged_files_are_refused(file):
    content = file.read_bytes()
    file.write_bytes(content.replace(b"sun", b"son"))
    with pytest.raises(ValueError, match="the text before its arrays was altered"):
        read_container(file, "Star")
    file.write_bytes(content[:-8])
    with pytest.raises(ValueError, match="damaged"):
        read_container(file, "Star")
    altered = bytearray(content)
    altered[content.index(np.arange(5.0).tobytes())] ^= 1
    file.write_bytes(altered)
    with pytest.raises(ValueError, match="damaged"):
        read_container(file, "Star")


@pytest.mark.parametrize(("version", "advice"), [(2, "update astropayne"), (0, "write the file")])
def test_other_versions_of_the_format_are_refused(tmp_path, monkeypatch, version, advice):
    monkeypatch.setattr("astropayne.io.container._VERSION", version)
    write_tree(tmp_path / "sun.asdf", "Star", TREE)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=f"in file format {version}.*reads format 1: {advice}"):
        read_container(tmp_path / "sun.asdf", "Star")


def test_a_file_without_checksum_of_its_text_is_read(tmp_path):
    header = {"kind": "Star", "format_version": 1}
    asdf.AsdfFile({"astropayne": header, "Star": {"name": "sun"}}).write_to(tmp_path / "old.asdf")
    assert read_container(tmp_path / "old.asdf", "Star") == {"name": "sun"}


def test_what_cannot_be_stored_is_named():
    check_storable({"author": "me", "n": 3}, "meta")
    with pytest.raises(ValueError, match=r"meta\['function'\] cannot be stored in a file"):
        check_storable({"function": print}, "meta")
