# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import errno
import os

import pytest

from astropayne.io.paths import naming, refuse_existing, replacing


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    file = tmp_path / "star.txt"
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert temporary.name == "star.txt"
        assert not file.exists()
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["star.txt"]


def test_an_error_leaves_the_old_file(tmp_path):
    file = tmp_path / "star.txt"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text(str(1 / 0))
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["star.txt"]


def test_errors_of_the_system_name_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left.*star\.txt"), naming(tmp_path / "star.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="of its own"), naming("star.txt"):
        raise OSError("of its own")
    with pytest.raises(FileNotFoundError, match=r"other\.txt"), naming("star.txt"):
        (tmp_path / "other.txt").read_text()


def test_existing_files_are_refused(tmp_path):
    file = tmp_path / "star.txt"
    refuse_existing(file, overwrite=False)
    file.write_text("old")
    refuse_existing(str(file), overwrite=True)
    with pytest.raises(FileExistsError, match=r"star\.txt exists already; pass overwrite=True to"):
        refuse_existing(file, overwrite=False)


def test_folders_must_exist_and_be_writable(tmp_path, monkeypatch):
    missing = tmp_path / "missing" / "star.txt"
    with pytest.raises(FileNotFoundError, match="cannot be written: there is no folder"):
        refuse_existing(missing, overwrite=True)
    with pytest.raises(FileNotFoundError, match="there is no folder"), replacing(missing):
        pass
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="its folder is read-only for you"):
        refuse_existing(tmp_path / "star.txt", overwrite=False)
