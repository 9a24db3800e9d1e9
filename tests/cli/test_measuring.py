"""The commands that measure observed spectra."""

import errno
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from commands import SUN, run, signal_at

from astropayne import PayneModel, degrade_spectrum, fit_spectra
from astropayne.cli.abundances import abundance_text
from astropayne.forward.transfer import MACROTURBULENCE
from astropayne.spectra.files import files_of
from astropayne.spectra.read import read_spectrum
from astropayne.spectra.write import write_spectrum


@pytest.mark.parametrize("words", [("fit",), ("abundances", "-e", "Na")])
def test_stars_are_measured_without_a_table(model_file, folder, words):
    run("predict", *SUN, "-m", model_file, "-o", "sun.txt")
    result = run(*words, "sun.txt", "-m", model_file)
    assert result.exit_code == 0
    assert "sun.txt" in result.stdout
    assert "written" not in result.output
    assert [path.name for path in Path().iterdir()] == ["sun.txt"]


@pytest.mark.parametrize("words", [("fit", "--plot", "pictures"), ("abundances", "-e", "Na")])
def test_what_is_measured_before_an_interrupt_is_kept(monkeypatch, model_file, folder, words):
    run("predict", *SUN, "-m", model_file, "-o", "sun.txt")
    words = (*words, "-m", model_file, "-o", "stars.ecsv", "sun.txt", "none.txt", "sun.txt")
    monkeypatch.setattr("astropayne.fitting.batches._STARS_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        signal_at(patch, "astropayne.spectra.files.iter_stars")
        assert run(*words).exit_code == 130
    assert not Path("stars.ecsv").exists()  # there is no star in it
    signal_at(monkeypatch, "astropayne.spectra.files.iter_stars", after=2)
    result = run(*words)
    assert result.exit_code == 130
    assert "Warning: interrupted: the table has the first 2 stars of 3 files" in result.output
    assert "written   stars.ecsv\n" in result.stdout
    table = QTable.read("stars.ecsv")
    assert list(table["name"]) == ["sun.txt", "none.txt"]
    assert np.isfinite(table["teff"][0])
    assert table["message"][1].startswith("there is no file")
    assert not Path("pictures").exists()


def test_abundances_are_told_with_their_flags():
    row = {"Na_Fe": 0.1, "Na_Fe_err": 0.02, "Na_n_lines": 3, "Na_flags": 48}
    text = abundance_text(row, "Na_Fe", "Na")
    assert text.endswith("0.10 ± 0.02  (3 lines)  DISCREPANT_LINES, NOT_CONVERGED")
    row |= {"Na_Fe": np.ma.masked, "Na_Fe_upper_limit": 0.3, "Na_flags": 1}
    assert abundance_text(row, "Na_Fe", "Na").endswith("< 0.30  (3 lines)")


def test_a_full_disk_leaves_no_part_of_a_picture(model_file, folder, monkeypatch):
    def full(figure, path, **options):
        Path(path).write_text("a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    result = run("predict", *SUN, "-m", model_file, "-o", "sun.txt", "--plot", "sun.png")
    assert result.exit_code == 1
    assert result.output == "Error: sun.png: No space left on device\n"
    assert [path.name for path in folder.iterdir()] == ["sun.txt"]


def test_fit_measures_files(model_file, folder):
    for i, velocity in enumerate((-30, 40)):
        run("predict", *SUN, "--rv", velocity, "--vsini", 6, "-m", model_file, "-o", f"{i}.txt")
    result = run("fit", "0.txt", "1.txt", "-m", model_file, "-o", "table.ecsv",
                  "--plot", "pictures", "--noise-floor", 0.01, "--fixed", "logg=4.44",
                  "--bounds", "teff=5000:6000", "--region", "5162:5238", "--report", "A(Mg)",
                  "--prior", "vmic=1:0.2")  # fmt: skip
    assert result.exit_code == 0, result.output
    table = QTable.read("table.ecsv")
    assert list(table["name"]) == ["0.txt", "1.txt"]
    assert table["rv"].to_value(u.km / u.s) == pytest.approx([-30, 40], abs=0.2)
    assert np.isnan(table["logg_err"]).all()
    assert {"A_Mg", "A_Mg_err"} <= set(table.colnames)
    assert "2 spectra, 2 measured" in result.output
    assert "5777 ±" in result.output
    assert {file.name for file in (folder / "pictures").iterdir()} == {"0.png", "1.png"}


def test_macroturbulence_is_what_one_says_it_is(model_file, folder):
    run("predict", *SUN, "-m", model_file, "-o", "sun.txt", "--vmac", 4, "-q")
    found = {}
    for meant, vmac in (("fwhm", 4), ("product", 4 * MACROTURBULENCE["fwhm"]), ("joint", 4)):
        words = ("fit", "sun.txt", "-m", model_file, "-o", f"{meant}.ecsv", "--resolution-error",
                 0, "--macroturbulence")  # fmt: skip
        assert run(*words, meant, "--fixed", f"vmac={vmac}").exit_code == 0
        found[meant] = QTable.read(f"{meant}.ecsv")["teff"][0].value
    assert found["fwhm"] == pytest.approx(found["product"], abs=0.5)
    assert abs(found["fwhm"] - found["joint"]) > 2


@pytest.mark.parametrize(
    ("words", "picture"), [(["fit"], "0.png"), (["abundances", "-e", "Mg,Ca"], "0-Ca.png")]
)
def test_pictures_are_replaced_only_if_wanted(model_file, folder, words, picture):
    Path("pictures").mkdir()
    Path("pictures", picture).write_text("older")
    result = run(*words, "0.txt", "-m", model_file, "-o", "table.ecsv", "--plot", "pictures")
    assert result.exit_code == 1
    assert f"{picture} exists already; --overwrite replaces it" in result.output
    assert not Path("table.ecsv").exists()  # it is said before the work
    result = run(*words, "0.txt", "-m", model_file, "-o", "table.ecsv", "--plot", "other")
    assert "there is no file 0.txt" in result.output


def test_arms_of_a_star_are_fitted_together(model, model_file, folder):
    star = model(teff=5777, logg=4.44, feh=0, vmic=1, rv=25, vsini=6)
    for name, part in (("blue", star[:1601]), ("red", star[1601:])):
        part.meta["medium"] = "air"
        write_spectrum(part, f"{name}.ecsv")
    result = run("fit", "blue.ecsv,red.ecsv", "blue.ecsv,no.ecsv", "-m", model_file,
                  "-o", "a.ecsv", "-R", 20000, "-R", 20000, "--plot", "pictures")  # fmt: skip
    assert result.exit_code == 3, result.output
    both, broken = QTable.read("a.ecsv")
    assert both["name"] == "blue.ecsv,red.ecsv"
    assert both["rv"].value == pytest.approx(25, abs=0.2)
    assert both["dof"] > 3500
    assert broken["message"] == "there is no file no.ecsv"
    assert [file.name for file in (folder / "pictures").iterdir()] == ["blue.png"]
    (folder / "a,b.txt").write_text("5000 1\n")
    assert files_of("a,b.txt") == ["a,b.txt"]


def test_spectra_sharper_than_the_model_are_degraded(model_file, folder):
    coarse = PayneModel.read(model_file).replace(resolution=12000.0)
    coarse.write("coarse.asdf")
    run("predict", *SUN, "-m", model_file, "-o", "sun.txt", "--vsini", 3, "-q")
    words = ("fit", "sun.txt", "-m", "coarse.asdf", "-o", "a.ecsv", "--overwrite")
    assert run(*words, "-R", 20000).exit_code == 0  # smoothed to just below the model's
    smoothed = QTable.read("a.ecsv")
    result = run(*words, "--degrade-from", 20000)
    assert result.exit_code == 0
    degraded = degrade_spectrum(read_spectrum("sun.txt"), 12000, resolution=20000)
    table = fit_spectra([degraded], coarse, resolution=12000)
    assert QTable.read("a.ecsv")["teff"].value == pytest.approx(table["teff"].value)
    assert smoothed["teff"].value == pytest.approx(table["teff"].value, abs=20)


def test_what_the_model_has_wrong_is_left_out(model_file, folder):
    model = PayneModel.read(model_file)
    run("predict", *SUN, "-m", model_file, "-o", "sun.txt", "-q")
    words = ("fit", "sun.txt", "-o", "a.ecsv", "--quiet", "--overwrite", "--inadequacy", 0.01, "-m")
    model = model.replace(meta={**model.meta, "untrusted": [[5165.0, 5185.0]]})
    model.write("careful.asdf")
    assert run(*words, "careful.asdf").exit_code == 0
    alone = QTable.read("a.ecsv")["dof"][0]
    model = model.replace(meta={**model.meta, "untrusted": [[5165.0, 5166.0]]})
    model.write("careful.asdf", overwrite=True)
    assert run(*words, "careful.asdf").exit_code == 0
    assert QTable.read("a.ecsv")["dof"][0] - alone > 300
    assert run(*words, "careful.asdf", "--all-pixels").exit_code == 0
    assert QTable.read("a.ecsv")["dof"][0] - alone > 350


def test_a_picture_that_could_not_be_drawn_is_said_before_the_work(model_file, folder):
    Path("old.png").write_text("old")
    for command in ("predict", "plan"):
        for plot, said in (("sun.doc", "must end in one of"), ("old.png", "--overwrite")):
            words = (command, *SUN, "-m", model_file, "-o", "sun.ecsv", "--plot", plot)
            result = run(*words)
            assert (result.exit_code, said in result.output) == (1, True)
    assert [file.name for file in folder.iterdir()] == ["old.png"]


def test_fit_says_what_it_could_not_measure(model_file, folder):
    run("predict", *SUN, "-m", model_file, "-o", "good.txt")
    (folder / "bad.txt").write_text("nothing")
    words = ("fit", "bad.txt", "good.txt", "-m", model_file, "-o", "table.csv")
    result = run(*words)
    assert result.exit_code == 3
    assert "not measured: bad.txt is neither text" in result.output
    assert len(QTable.read("table.csv")) == 2
    assert run(*words).exit_code == 1
    result = run(*words, "--overwrite", "--quiet")
    assert (result.exit_code, result.output) == (3, "")
    assert run("fit", "bad.txt", "-m", model_file, "-o", "other.csv").exit_code == 1


def _abundances_of_arms_in_stages(model_file, folder):
    lines = Path("0.txt").read_text().splitlines()
    for name, some in (("early", lines[:1700]), ("late", [lines[0], *lines[1700:]])):
        Path(f"{name}.txt").write_text("\n".join(some))
    Path("stages.toml").write_text(
        "[[stage]]\nfixed = {Na_Fe = 0}\n"
        '[[stage]]\nelements = ["Ca", "Na"]\nfree = ["Na_Fe"]\ntied = {Ti_Fe = "Ca_Fe"}\n'
    )
    words = ("abundances", "early.txt,late.txt", "-m", model_file, "-o", "s.ecsv")
    more = ("-R", 20000, "-R", 20000, "--plot", "arms")
    result = run(*words, "--stages", "stages.toml", *more)
    assert result.exit_code == 0, result.output
    row = QTable.read("s.ecsv")[0]
    assert row["name"] == "early.txt,late.txt"
    assert abs(row["Ca_Fe"]) < 5 * row["Ca_Fe_err"] + 0.05
    assert {p.name for p in Path("arms").iterdir()} == {"early-Ca.png", "early-Na.png"}
    assert "one of the two" in run(*words, "--overwrite").output
    Path("stages.toml").write_text("[[stage]]\nelement = 'Ca'\n")
    result = run(*words, "--stages", "stages.toml", "--overwrite")
    assert result.exit_code != 0
    assert "stages.toml: key 'element' is not one of elements, lines" in result.output


def test_abundances_and_plans(model_file, folder, monkeypatch):
    """Lines measured or limited, with a row for what cannot be read, and pictures."""
    assert run("predict", *SUN, "-m", model_file, "-o", "0.txt").exit_code == 0
    Path("bad.txt").write_text("no spectrum")
    words = ("abundances", "0.txt", "bad.txt", "-m", model_file, "-o", "a.ecsv", "-e", "Ca,Na")
    result = run(*words, "--plot", "windows", "--per-line")
    assert result.exit_code == 3, result.output
    assert "[Ca/Fe]" in result.output
    table = QTable.read("a.ecsv")
    assert np.isfinite(table["Ca_Fe"][0])
    assert table["Ca_Fe"].mask.tolist() == [False, True]
    assert {"Ca_lines", "Ca_n_lines"} <= set(table.colnames)
    assert {p.name for p in Path("windows").iterdir()} == {"0-Ca.png", "0-Na.png"}
    drawn = []
    words = ("abundances", "0.txt", "-m", model_file, "-o", "v.ecsv", "-e", "Ca", "--plot", "v")
    with monkeypatch.context() as patch:
        patch.setattr(
            "astropayne.plotting.abundances.plot_element", lambda star, *_: drawn.append(star)
        )
        patch.setattr("astropayne.cli.abundances.save_axes", lambda *_: None)
        assert run(*words, "--medium", "vacuum").exit_code == 0
    assert drawn[0].meta["medium"] == "vacuum"
    assert QTable.read("v.ecsv")["rv"][0].value == pytest.approx(-83, abs=3)  # it is air
    blue = [line for line in Path("0.txt").read_text().splitlines() if line[:2] in ("# ", "51")]
    Path("blue.txt").write_text("\n".join(blue))
    words = ("abundances", "blue.txt", "-m", model_file, "-o", "c.ecsv", "-e", "Mg,Li")
    result = run(*words, "--plot", "windows", "--degrade-from", 30000, "-R", 15000)
    assert result.exit_code == 0, result.output
    assert "not measured: no lines" in result.output
    assert "1 picture in windows" in result.output
    assert QTable.read("c.ecsv")["Mg_n_lines"][0] > 0
    assert "Mg_best_fit" not in QTable.read("c.ecsv").colnames
    words = ("abundances", "0.txt", "-m", model_file, "-o", "b.fits", "-e", "Ca")
    result = run(*words, "--reference", "0.txt")
    assert result.exit_code == 0, result.output
    assert abs(QTable.read("b.fits")["Ca_Fe"][0]) < 1e-6
    _abundances_of_arms_in_stages(model_file, folder)
    star = ("teff=5700", "logg=4.4", "feh=0", "vmic=1", "A_Li=1", "vsini=0")
    result = run("plan", *star, "-m", model_file, "--snr", "50", "-o", "p.ecsv", "--plot", "p.png")
    assert result.exit_code == 0, result.output
    assert Path("p.png").stat().st_size > 10_000
    told = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert told["teff"][0] == "5700"
    assert told["teff"][-1] == "K"
    assert told["A_Li"][3] == "dex"
    assert told["vsini"] == ["0.00", "-", "-", "km", "/", "s"]  # no first derivative, no error
    assert "A_Li" in QTable.read("p.ecsv")["label"].tolist()
