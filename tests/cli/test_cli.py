"""The command line: help, errors, files, and commands of grids and models."""

import errno
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import astropy.units as u
import click
import numpy as np
import pytest
from astropy.table import QTable
from commands import SUN, run, signal_at

from astropayne import PayneModel, SpectralGrid, fit_spectra
from astropayne.cli.console import Console
from astropayne.cli.main import main
from astropayne.io.result_tables import write_table
from astropayne.networks.options import TrainingOptions


def test_help_teaches():
    result = run("--help")
    assert result.exit_code == 0
    for name in main.commands:
        assert name in result.output
        own = run(name, "--help")
        assert own.exit_code == 0
        assert f"\n    astropayne {name}" in own.output, f"{name} has no example"
        assert max(map(len, own.output.splitlines())) <= 100


def test_help_is_light():
    code = (
        "import sys; from astropayne.cli.main import main\n"
        "try: main(['fit', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(str({'torch', 'specutils', 'astropy', 'numpy'} & sys.modules.keys() or ''))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == 1
    assert result.stderr.strip() == b""


@pytest.mark.parametrize(("options", "said"), [([], "Warning: odd\n"), (["--quiet"], "")])
def test_warnings_are_ours_though_astropy_comes_late(options, said):
    """In a fresh process astropy, imported by the command, puts its own way of warning in place."""
    code = """
        import click, sys, warnings
        from astropayne.cli.console import Command
        @click.command(cls=Command)
        def command():
            "Warn."
            assert "astropy" in sys.modules
            from astropy.utils.exceptions import AstropyUserWarning
            warnings.warn("odd", AstropyUserWarning)
        command()
    """
    result = subprocess.run([sys.executable, "-c", dedent(code), *options], capture_output=True,
                            text=True, check=False)  # fmt: skip
    assert (result.returncode, result.stderr) == (0, said)


def test_plugins_are_listed():
    result = run("plugins")
    assert result.exit_code == 0
    assert "grid format 'tsfitpy'" in result.output
    assert "label transforms" in result.output


def test_info_tells_what_is_in_a_model_and_in_a_grid(model_file, sample, folder):
    result = run("info", model_file)
    assert result.exit_code == 0
    for part in ("2 x 16 x (96 x 96 x 96", "A_Li", "4507.41", "validation_rms"):
        assert part in result.output
    sample[:5].write("grid.asdf")
    result = run("info", "grid.asdf")
    assert result.exit_code == 0
    for part in ("5 spectra x 3903 pixels", "A_Li", "solar_scale: magg2022"):
        assert part in result.output
    (folder / "not.asdf").write_text("x")
    result = run("info", "not.asdf")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "not an ASDF file" in result.output


def test_a_reader_that_has_seen_enough_is_no_error(monkeypatch):
    def closed(*args, **kwargs):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("astropayne.cli.console.Console.__call__", closed)
    result = run("plugins")
    assert result.exit_code == 1
    assert not result.output


def test_a_signal_interrupts_a_command_and_nothing_is_left(monkeypatch, tsfitpy_folder, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    signal_at(monkeypatch, "astropayne.grids.loading.Loader.block")
    result = run("grid", tsfitpy_folder, "-o", tmp_path / "grid.asdf")
    assert (result.exit_code, result.output) == (130, "Aborted!\n")
    assert not list(tmp_path.glob("*grid.asdf*"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_training_that_is_interrupted_is_written(monkeypatch, sample, folder):
    sample[:60].write("grid.asdf")
    Path("run.toml").write_text("[training]\ncheck_interval = 5\n")
    # Private, because no public function is called in every step.
    signal_at(monkeypatch, "astropayne.networks.training._rate", after=12)
    result = run("train", "grid.asdf", "-o", "model.asdf", "-c", "run.toml")
    assert result.exit_code == 130
    assert "the model is the best network so far" in result.output
    assert PayneModel.read("model.asdf").meta["training"]["stopped"] == "interrupted"
    assert len(list(folder.iterdir())) == 3


def test_errors_are_sentences_unless_one_debugs(model_file, folder):
    words = ("predict", "tef=5777", "-m", model_file, "-o", "x.ecsv")
    result = run(*words)
    assert result.exit_code == 1
    assert result.output == result.output.strip() + "\n"
    assert result.output.startswith("Error: ")
    assert "did you mean 'teff'?" in result.output
    assert isinstance(run(*words, "--debug").exception, ValueError)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "-o", "x.txt"), "Give labels"),
        (("predict", "teff=5777", "-o", "x.txt", "--rv", "12foo"), "'--rv': '12foo' must be"),
        (("predict", "teff", "-o", "x.txt"), "must be like NAME=VALUE"),
        (("predict", "teff=5777,", "-o", "x.txt"), "'teff=5777,' must be like NAME=VALUE, one"),
        (("plan", "teff=5777Kelvins"), "in units of astropy"),
        (("fit", "a.txt", "-o", "x.ecsv", "--bounds", "teff=5000"), "must be like NAME=A:B"),
        (("fit", "a.txt", "-o", "x.ecsv", "--region", "5160-5240"), "must be like 5160:5240"),
        (("fit", "-o", "x.ecsv"), "Missing argument"),
        (("train", "grid.asdf"), "where to write the model"),
        (("grid", "folder"), "Missing option"),
    ],
)
def test_wrong_usage(folder, words, said):
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.output


def test_one_option_cannot_be_a_value_and_a_mapping(folder):
    for pair in (("units=x", "units.Teff=kK"), ("units.Teff=kK", "units=x")):
        result = run("grid", "g", "-o", "g.asdf", *(f"--option={text}" for text in pair))
        assert result.exit_code == 2
        assert "--option units=... and --option units.Teff=... exclude each other" in result.output


def test_messages_of_the_library_are_shown_with_flags():
    flags = {p.name: p for p in main.commands["evaluate"].params if isinstance(p, click.Option)}
    flags |= {p.name: p for p in main.commands["fit"].params if isinstance(p, click.Option)}
    console = Console(flags=flags)
    for message, expected in (
        ("overwrite=True replaces it", "--overwrite replaces it"),
        ("columns=2 reads flux only", "--columns 2 reads flux only"),
        ("or all of them (held_out_only=False)", "or all of them (--all)"),
        ("give wavelength_unit='nm'", "give --wavelength-unit nm"),
        ("no such option: tables=3, x.columns=2", "no such option: tables=3, x.columns=2"),
    ):
        assert console.with_flags(message) == expected
    assert Console().with_flags("overwrite=True") == "overwrite=True"


def test_predict_writes_what_the_model_gives(model, model_file, folder):
    result = run("predict", "Teff=5.777kK", *SUN[1:], "[Mg/Fe]=0.2", "--rv", "12 km/s",
                  "-R", 15000, "-m", model_file, "-o", "sun.ecsv", "--plot", "sun.png")  # fmt: skip
    assert result.output == "written   sun.ecsv, sun.png\n"
    table = QTable.read("sun.ecsv")
    expected = model(teff=5777, logg=4.44, feh=0, vmic=1, Mg_Fe=0.2, rv=12, resolution=15000)
    assert np.array_equal(table["flux"], expected.flux.value, equal_nan=True)
    assert table.meta["resolution"] == 15000
    assert (folder / "sun.png").read_bytes().startswith(b"\x89PNG")
    words = ("rv=12km/s", "resolution=15000", "-m", model_file, "-o", "b.ecsv", "--rv", 3)
    assert run("predict", *SUN, "[Mg/Fe]=0.2", *words).exit_code == 0
    assert np.array_equal(QTable.read("b.ecsv")["flux"], table["flux"], equal_nan=True)
    again = run("predict", *SUN, "-m", model_file, "-o", "sun.ecsv")
    assert (again.exit_code, "--overwrite" in again.output) == (1, True)
    assert run("predict", *SUN, "-m", model_file, "-o", "sun.ecsv", "--overwrite").exit_code == 0


def test_files_that_are_not_there_are_named_first(folder):
    result = run("predict", "--table", "labels.ecsv", "-o", "spectra")
    assert result.exit_code == 1
    assert "Error: there is no file labels.ecsv\n" in result.output


def test_warnings_are_sentences(model_file, folder):
    words = ("predict", "teff=9000", *SUN[1:], "-m", model_file, "-o", "hot.txt")
    result = run(*words)
    assert result.exit_code == 0
    assert result.output.startswith("Warning: outside the range of the model's training labels")
    assert run(*words, "--overwrite", "--quiet").output == ""


def test_predict_takes_a_table(model, model_file, folder):
    stars = QTable({
        "name": ["one", "two"], "Teff": [5500, 6000] * u.K, "logg": [4.0, 4.2], "[Fe/H]": [0, -0.5],
        "vmic": [1, 1] * u.km / u.s, "rv": [0, 100] * u.km / u.s,
    })  # fmt: skip
    stars.write("stars.ecsv")
    result = run(
        "predict", "--table", "stars.ecsv", "-m", model_file, "-o", "out", "--vsini", 5, "-q"
    )
    assert (result.exit_code, result.output) == (0, "")
    result = run(*"predict -t stars.ecsv -o out --vsini 5 --overwrite".split(), "-m", model_file)
    assert result.output == "written   2 files in out\n"
    two = QTable.read("out/two.ecsv")
    expected = model(teff=6000, logg=4.2, feh=-0.5, vmic=1, rv=100, vsini=5)
    assert two["flux"] == pytest.approx(expected.flux.value, nan_ok=True, abs=1e-12)


def test_predict_takes_a_table_of_fits(model, model_file, folder):
    sun = model(teff=5777, logg=4.44, feh=0, vmic=1, rv=-20, vsini=7)
    table = fit_spectra([sun, sun[:3]], model, report=["A(Mg)"])
    table["name"] = ["sun", "bad"]
    for ending in ("ecsv", "fits", "csv"):
        write_table(table, f"fits.{ending}")
        result = run("predict", "-t", f"fits.{ending}", "-m", model_file, "-o", ending)
        assert result.exit_code == 0, result.output
        assert f"Warning: fits.{ending}: bad left out, as labels" in result.output
        assert "were not measured (teff, logg, " in result.output
        assert [file.name for file in Path(ending).iterdir()] == ["sun.ecsv"]
        flux = QTable.read(f"{ending}/sun.ecsv")["flux"]
        assert flux == pytest.approx(sun.flux.value, abs=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("no.ecsv", None, "there is no file no.ecsv"),
        ("a.png", "teff", "a.png is not a table that can be read (*.ecsv, *.fits, *.csv, *.txt,"),
        ("a.csv", "name,teff,logg,feh,vmic\n", "a.csv has no row"),
        ("a.csv", "teff,logg,feh,vmic\n5e3,4,0,1\n5e3,,0,1\n", "logg; counted from zero, rows 1 "),
        ("a.csv", "teff,logg,feh,vmic,rv\n5e3,4,0,1,5\n5e3,4,0,1,\n", "rv = nan km/s is no"),
        ("a.txt", "teff logg feh vmic rv\n5e3 4 0 1 5\n5e3 4 0 1 1e6\n", "rv = 1e+06 km/s is no"),
    ],
)
def test_a_table_that_nothing_can_be_predicted_from_is_named(model_file, folder, name, text, said):
    if text is not None:
        Path(name).write_text(text)
    result = run("predict", "-t", name, "-m", model_file, "-o", "out")
    assert (result.exit_code, said in result.output) == (1, True), result.output
    assert not Path("out").exists()


def test_spectra_of_a_table_do_not_go_into_a_file(model_file, folder):
    Path("labels.csv").write_text("teff,logg,feh,vmic\n5777,4.4,0,1\n")
    for more in ([], ["--overwrite"]):
        result = run("predict", "-t", "labels.csv", "-m", model_file, "-o", "labels.csv", *more)
        assert result.exit_code == 1
        assert "labels.csv is a file: spectra of a table go into a folder" in result.output


def test_the_shell_completes_commands_and_files(folder):
    def complete(words):
        values = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        env = {**os.environ, **values, "_ASTROPAYNE_COMPLETE": "bash_complete"}
        code = "from astropayne.cli.main import main; main(prog_name='astropayne')"
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                              check=False).stdout.split()  # fmt: skip

    assert complete("astropayne fi") == ["plain,fit"]
    assert "plain,--continuum" in complete("astropayne fit --cont")
    assert complete("astropayne fit star") == ["file,star"]
    assert complete("astropayne evaluate mod") == ["file,mod"]


def test_what_could_not_be_written_is_said_before_the_work(model_file, folder):
    for words in (("fit", "a.txt", "-o", "no/table.ecsv"), ("predict", *SUN, "-o", "no/sun.txt"),
                  ("grid", "g", "-o", "no/g.asdf"), ("train", "g", "-o", "no/m.asdf")):  # fmt: skip
        result = run(*words)
        assert result.exit_code == 1
        assert "there is no folder" in result.output


def test_a_folder_that_is_read_only_is_said_before_the_work(model_file, folder, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    for words in (("fit", "a.txt", "-o", "table.ecsv"), ("grid", "g", "-o", "g.asdf")):
        result = run(*words)
        assert result.exit_code == 1
        assert "may not be written: its folder is read-only" in result.output
    with pytest.raises(
        PermissionError, match=r"g\.ecsv may not be written: its folder is read-only"
    ):
        write_table(QTable({"teff": [5777.0]}), "g.ecsv")


def test_grid_reads_and_reports(tsfitpy_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spoilt = tsfitpy_folder / "2.spec"
    spoilt.write_text(spoilt.read_text().replace("0.9", "nan", 1))
    result = run("grid", "grid", "-o", "grid.asdf", "--label", "[Mg/H]", "-j", 1)
    assert result.exit_code == 0, result.output
    assert "5 spectra x 3903 pixels" in result.output
    assert "set aside 1 x" in result.output
    assert "Warning" not in result.output
    grid = SpectralGrid.read("grid.asdf")
    assert "Mg_H" in grid.labels.colnames
    report = QTable.read("grid.set-aside.ecsv")
    assert list(report["name"]) == ["2.spec"]
    result = run("grid", "grid", "-o", "b.asdf", "--label", "A(Eu)")
    assert (result.exit_code, "leads to 'A_Eu'" in result.output) == (1, True)
    assert not Path("b.asdf").exists()
    assert (
        "no option 'nothing'" in run("grid", "grid", "-o", "b.asdf", "--option", "nothing=1").output
    )
    lines = (tsfitpy_folder / "spectra_parameters.csv").read_text().splitlines(keepends=True)
    spoilt.unlink()  # a list of what was set aside is not of a grid that has all
    (tsfitpy_folder / "spectra_parameters.csv").write_text(
        "".join(line for line in lines if not line.startswith("2.spec"))
    )
    assert run("grid", "grid", "-o", "grid.asdf", "--overwrite").exit_code == 0
    assert not Path("grid.set-aside.ecsv").exists()


def test_units_of_a_grids_labels_are_options_of_the_command(tsfitpy_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = tsfitpy_folder / "spectra_parameters.csv"
    table = QTable.read(path)
    name = next(name for name in table.colnames if name.lower() == "teff")
    kelvin = np.asarray(table[name], dtype=float)
    table[name] = kelvin / 1000
    table.write(path, overwrite=True)
    assert "if they are in kK, give units={" in run("grid", "grid", "-o", "a.asdf").output
    result = run("grid", "grid", "-o", "grid.asdf", "--option", f"units.{name}=kK")
    assert result.exit_code == 0, result.output
    assert SpectralGrid.read("grid.asdf").labels["teff"].value == pytest.approx(kelvin)


@pytest.mark.parametrize("name", ["model", "model.npz"])
def test_a_model_that_could_not_be_written_is_not_trained(folder, name):
    result = run("train", "no-grid-is-read", "-o", name)
    assert result.exit_code == 1
    assert "the name of a model must end in .asdf" in result.output


def test_training_follows_a_file_and_the_command_line(sample, folder):
    sample[:60].write("grid.asdf")
    result = run("train", "--write-config", "run.toml")
    assert "edit it" in result.output
    template = tomllib.loads((folder / "run.toml").read_text())
    options = TrainingOptions()
    for name, value in template["training"].items():
        assert value == getattr(options, name)
    text = (folder / "run.toml").read_text()
    text = text.replace("[96, 96, 96]", "[16, 16]").replace(
        "components = 192", "components = false"
    )
    (folder / "run.toml").write_text(text.replace("# author =", 'author = "A. Nonymous"'))
    result = run("train", "grid.asdf", "-o", "model.asdf", "--config", "run.toml",
                  "--max-epochs", 4, "--seed", 3)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "rms flux error" in result.output
    model = PayneModel.read("model.asdf")
    used = model.meta["configuration"]
    assert used["network"]["hidden_layers"] == (16, 16)
    assert "components" not in used["network"]
    assert (used["training"]["max_epochs"], used["training"]["seed"]) == (4, 3)
    assert used["grid"]["paths"] == ("grid.asdf",)
    assert model.meta["author"] == "A. Nonymous"
    assert model.meta["training"]["max_epochs"] == 4
    (folder / "run.toml").write_text("[training]\nmax_epoch = 3")
    result = run("train", "grid.asdf", "-o", "b.asdf", "--config", "run.toml")
    assert (result.exit_code, "did you mean 'max_epochs'" in result.output) == (1, True)


def test_the_demo_measures_stars_and_repeats(tmp_path, monkeypatch):
    tables = []
    for name in ("one", "two"):
        folder = tmp_path / name
        result = run("demo", "-o", folder, "--stars", 3, "--epochs", 60)
        assert result.exit_code == 0, result.output
        tables.append(QTable.read(folder / "stars.ecsv"))
        assert PayneModel.read(folder / "model.asdf").labels.names[-1] == "A_Li"
        monkeypatch.setattr(
            "astropayne.workflows.demo._save", lambda *_: None
        )  # once is enough, and slow
    for picture in ("sun.png", "fit.png", "recovery.png"):
        assert (tmp_path / "one" / picture).stat().st_size > 20_000
    assert "rms flux error" in result.output
    assert "teff" in result.output
    one, two = tables
    assert len(one) == 3
    assert one.colnames[:2] == ["name", "teff_true"]
    assert set(one["name"]) < set(SpectralGrid.sample().names)
    for column in one.colnames:
        if one[column].dtype.kind == "f":
            assert np.array_equal(one[column], two[column], equal_nan=True), column
    assert np.abs(one["rv"] - one["rv_true"]).value == pytest.approx(0, abs=0.5)


def test_evaluate_writes_a_page_and_judges(model_file, sample, folder, monkeypatch):
    # The pictures of one model are slow, and tested with the page itself.
    monkeypatch.setattr("astropayne.evaluation.report._recovery_sections", lambda *_: [])
    sample.write("grid.asdf")
    words = ("evaluate", model_file, "grid.asdf", "-o", "report", "-n", 4)
    result = run(*words, "--threshold", "rms=1e-9", "--check")
    assert result.exit_code == 3, result.output
    assert "POOR  rms flux error, all pixels" in result.output
    assert "written   report/index.html" in result.output
    assert "<img" in (folder / "report" / "index.html").read_text()
    assert "84 of the 300 spectra" in (folder / "report" / "index.html").read_text()
    assert "--overwrite" in run(*words).output
