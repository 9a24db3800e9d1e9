import numpy as np
import pytest
from astropy.table import QTable
from click.testing import CliRunner

from astropayne import PayneModel
from astropayne.cli import main


def _run(*words):
    return CliRunner().invoke(main, list(words))


def test_help_teaches():
    result = _run("--help")
    assert result.exit_code == 0
    for command in ("demo", "info", "plugins"):
        assert command in result.output
        assert _run(command, "--help").exit_code == 0


def test_plugins_are_listed():
    result = _run("plugins")
    assert result.exit_code == 0
    assert "grid format 'tsfitpy'" in result.output
    assert "label transforms" in result.output


def test_info_tells_what_is_in_a_model(model, tmp_path):
    model.write(tmp_path / "model.asdf")
    result = _run("info", str(tmp_path / "model.asdf"))
    assert result.exit_code == 0
    for part in ("256 x 256 x 256", "A_Li", "4507.41", "validation_rms"):
        assert part in result.output
    (tmp_path / "not.asdf").write_text("x")
    result = _run("info", str(tmp_path / "not.asdf"))
    assert result.exit_code == 1
    assert "Error: " in result.output
    assert "not an ASDF file" in result.output


def test_the_demo_measures_stars_and_repeats(tmp_path):
    tables = []
    for name in ("one", "two"):
        folder = tmp_path / name
        result = _run("demo", "-o", str(folder), "--stars", "3", "--epochs", "60")
        assert result.exit_code == 0, result.output
        tables.append(QTable.read(folder / "stars.ecsv"))
        for picture in ("sun.png", "fit.png", "recovery.png"):
            assert (folder / picture).stat().st_size > 20_000
        assert PayneModel.read(folder / "model.asdf").labels.names[-1] == "A_Li"
    assert "rms flux error" in result.output
    assert "teff" in result.output
    one, two = tables
    assert len(one) == 3
    for column in one.colnames:
        if one[column].dtype.kind == "f":
            assert np.array_equal(one[column], two[column], equal_nan=True), column
    assert np.abs(one["rv"] - one["rv_true"]).value == pytest.approx(0, abs=0.5)
