import pytest

from astropayne import Stage
from astropayne.abundances import read_stages


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("stage = [1]", r"the file must consist of tables \[\[stage\]\]"),
        ("[[stage]]\nelements = 5", "elements must be a sequence of names; got 5"),
        ("[[stage]]\nfixed = 5", "fixed must be a sequence of names"),
        ("[[stage]]\nlines = 5", "lines must be a LineList"),
        ("[[stage]]\ntied = ['Na_Fe']", "tied must be a mapping"),
        ("[[stage]]\njointly = 'no'", "jointly must be True or False; got 'no'"),
    ],
)
def test_files_that_hold_no_stages(tmp_path, text, match):
    (tmp_path / "stages.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"stages.toml: {match}"):
        read_stages(tmp_path / "stages.toml")
    with pytest.raises(TypeError, match=r"returned by LineList\.read; got 'my\.csv'"):
        Stage(["Na"], "my.csv")


def test_ties_in_a_file_take_any_spelling(tmp_path):
    (tmp_path / "stages.toml").write_text('[[stage]]\ntied = {"[Ca/Fe]" = "[Mg/Fe]"}')
    (stage,) = read_stages(tmp_path / "stages.toml")
    assert stage.tied["[Ca/Fe]"]({"Mg_Fe": 0.2}) == 0.2


def test_stages_that_are_not_there_are_named():
    with pytest.raises(FileNotFoundError, match=r"^there is no file nofile.toml$"):
        read_stages("nofile.toml")
