import pytest

from astropayne.workflows.training_runs import read_configuration


def test_a_file_is_checked_before_the_command_line(tmp_path):
    path = tmp_path / "run.toml"

    def read(text, changes=None):
        path.write_text(text, encoding="utf-8")
        return read_configuration(path, changes)

    text = '[training]\nseed = 3\nt_max = false\ncompile = false\n[model]\nauthor = "A. N."'
    found = read(text, {"training.seed": 4, "grid.labels": ["A(Li)"]})
    assert (found["training"]["seed"], found["training"]["t_max"]) == (4, None)
    assert found["training"]["compile"] is False
    assert found["grid"]["labels"] == ["A(Li)"]
    assert found["model"]["author"] == "A. N."
    with pytest.raises(TypeError, match=r"run.toml: \[training\] must be a section, got 3"):
        read("training = 3", {"training.seed": 4})
    with pytest.raises(ValueError, match=r"run.toml: option of \[training\] 'sed'.* mean 'seed'"):
        read("[training]\nsed = 3", {"training.sead": 4})
    with pytest.raises(ValueError, match=r"^option of \[training\] 'sead' is not"):
        read("[training]\nseed = 3", {"training.sead": 4})
    with pytest.raises(ValueError, match=r"^section 'trainin' is not one of grid, network"):
        read("", {"trainin.seed": 4})
    with pytest.raises(TypeError, match=r"labels of \[grid\] must be a list, such as \['Li"):
        read('[grid]\nlabels = "Li_Fe"')


def test_files_are_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text('[model]\nauthor = "Ñandú"', encoding="utf-8")
    monkeypatch.setattr("io.text_encoding", lambda given, *_: given or "ascii")
    assert read_configuration(tmp_path / "run.toml")["model"]["author"] == "Ñandú"
