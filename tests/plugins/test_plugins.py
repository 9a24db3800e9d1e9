import io
import os
import shutil
import subprocess
import sys
import types
import warnings
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import numpy as np
import pytest
from astropy.table import QTable
from click.testing import CliRunner
from packaging.version import Version

import astropayne
from astropayne import SpectralGrid
from astropayne.cli.main import main
from astropayne.labels.conversion import labels_in
from astropayne.labels.graph import label_graph
from astropayne.plugins import GridReader, GridSource, PluginWarning, hookspecs, manager
from astropayne.plugins.interfaces import LabelRelation, LabelTransform

BUILT_IN = {"tsfitpy", "one_payne", "the_payne", "specutils", "astropayne"}
BUILT_IN |= {"phoenix", "marcs", "bosz", "synphot"}


@pytest.fixture
def fresh(monkeypatch):
    """A plugin registry of its own; users have one for each process, and cannot clear it."""
    manager._registry.cache_clear()
    yield monkeypatch
    manager._registry.cache_clear()


class FlatReader(GridReader):
    format = "flat"

    def sniff(self, path):
        return path.suffix == ".flat"

    def open(self, path):
        wavelength = np.linspace(5000, 5010, 50)
        labels = QTable({"teff": [5000.0, 6000.0], "logg": [4.0, 4.5]})
        return GridSource(["a", "b"], labels, lambda i: (wavelength, np.full(50, 0.5 + 0.1 * i)))


class Kilokelvin(LabelTransform):
    source, target = "teff", "teff_kk"

    def forward(self, values, solar):
        return values["teff"] / 1000

    def inverse(self, values, solar):
        return values["teff_kk"] * 1000


class Plugin:
    @astropayne.hookimpl
    def astropayne_grid_readers(self):
        return [FlatReader()]

    @astropayne.hookimpl
    def astropayne_label_transforms(self):
        return [Kilokelvin()]


def test_hook_astropayne_grid_readers(fresh, tmp_path):
    astropayne.register_plugin(Plugin(), name="mine")
    path = tmp_path / "x.flat"
    path.touch()
    grid = SpectralGrid.read(path)
    assert list(grid.names) == ["a", "b"]
    assert grid.meta["reader"] == "flat"
    assert grid.flux[1] == pytest.approx(0.6)
    astropayne.unregister_plugin("mine")
    with pytest.raises(ValueError, match="no grid reader for format 'flat'"):
        SpectralGrid.read(path, format="flat")


def test_hook_astropayne_label_transforms(fresh, sample):
    astropayne.register_plugin(Plugin())
    changed = sample.transform_labels("teff_kk")
    assert changed.labels["teff_kk"] == pytest.approx(sample.labels["teff"].value / 1000)
    assert changed.transform_labels("teff").labels["teff"].unit == "K"


def test_the_built_in_ones_go_through_the_same_hooks(fresh):
    assert [plugin.name for plugin in manager.list_plugins()] == [
        "tsfitpy",
        "one_payne",
        "the_payne",
        "specutils_reader",
        "libraries",
        "asdf_grid",
        "abundances",
        "stellar",
    ]
    assert set(manager.grid_readers()) == BUILT_IN
    assert any(t.target == "A_Li" for t in label_graph().transforms)


def test_a_name_that_is_taken_is_an_error(fresh):
    astropayne.register_plugin(Plugin(), name="mine")
    with pytest.raises(ValueError, match="'mine' is already registered"):
        astropayne.register_plugin(Plugin(), name="mine")
    with pytest.raises(ValueError, match="no plugin is registered as 'yours'"):
        astropayne.unregister_plugin("yours")


def _states():
    return {plugin.name: plugin.state for plugin in manager.list_plugins()}


def _problem(name):
    return {plugin.name: plugin.problem for plugin in manager.list_plugins()}[name]


class Gives:
    """A plugin that gives whatever it is made with; an exception is raised."""

    def __init__(self, readers=(), transforms=()):
        self.readers, self.transforms = readers, transforms

    @astropayne.hookimpl
    def astropayne_grid_readers(self):
        if isinstance(self.readers, Exception):
            raise self.readers
        return self.readers

    @astropayne.hookimpl
    def astropayne_label_transforms(self):
        return self.transforms


class Nameless(FlatReader):
    format = ""


class Twice(FlatReader):
    format = "twice"


class Unparsable(Kilokelvin):
    target = "kilo kelvin!"


class NeedsText(Kilokelvin):
    needs = "feh"  # ("feh") is no tuple


BROKEN = {
    "raises": (Gives(RuntimeError("no licence")), "RuntimeError: no licence"),
    "no list": (Gives(None), "TypeError: 'NoneType' object is not iterable"),
    "no reader": (
        Gives([lambda path: True]),
        "TypeError: astropayne_grid_readers returned <function",
    ),
    "a class": (Gives([FlatReader]), "instances of subclasses of astropayne.plugins.GridReader"),
    "no format": (Gives([Nameless()]), "has the format '': it needs a name"),
    "a format that is taken": (
        Gives([FlatReader()]),
        "'flat' is already provided by plugin 'first'",
    ),
    "a format twice": (
        Gives([Twice(), Twice()]),
        "'twice' is already provided by this plugin itself",
    ),
    "no transform": (Gives(transforms=["teff"]), "astropayne_label_transforms returned 'teff'"),
    "needs text": (
        Gives(transforms=[NeedsText()]),
        "it must be a tuple of labels, such as ('feh',)",
    ),
    "no label": (Gives(transforms=[Unparsable()]), "'kilo kelvin!' is not a label"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plugin_that_cannot_be_used_is_set_aside_alone(fresh, tmp_path, case):
    plugin, problem = BROKEN[case]
    astropayne.register_plugin(Plugin(), name="first")
    astropayne.register_plugin(plugin, name="broken")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert set(manager.grid_readers()) == {*BUILT_IN, "flat"}
            assert any(t.target == "A_Li" for t in label_graph().transforms)
    (warning,) = caught  # one
    assert warning.category is PluginWarning
    assert f"plugin 'broken' from {__name__} is not used" in str(warning.message)
    assert problem in str(warning.message)
    assert _states()["broken"] == "broken"
    assert problem in _problem("broken")
    with pytest.raises(ValueError, match=f"could not be used: plugin 'broken' from {__name__}"):
        SpectralGrid.read(tmp_path, format="theirs")
    # mended in the notebook, it is registered again
    astropayne.unregister_plugin("first")
    astropayne.register_plugin(Plugin(), name="broken")
    assert "flat" in manager.grid_readers()
    assert _states()["broken"] == "loaded"


def test_a_relation_is_found_by_the_name_it_has(fresh):
    class Constant(LabelRelation):
        name, target, needs = "My_Relation", "vmic", ("teff",)

        def estimate(self, values):
            return 0 * values["teff"] + 1.5

    astropayne.register_plugin(Gives(transforms=[Constant()]), name="relation")
    for name in ("My_Relation", "my relation"):
        assert labels_in(["teff", "vmic"], {"teff": 5000, "vmic": name})["vmic"] == 1.5


def test_names_of_transforms_may_be_in_any_spelling(fresh, sample):
    class Spelt(Kilokelvin):
        source, target, needs = "Teff", " teff_kk", ("[Fe/H]",)

    astropayne.register_plugin(Gives(transforms=[Spelt()]), name="spelt")
    changed = sample.transform_labels("teff_kk")
    assert changed.labels["teff_kk"] == pytest.approx(sample.labels["teff"].value / 1000)


class Careless(FlatReader):
    format = "careless"

    def sniff(self, path):
        return open(path / "index").read() == "careless"

    def open(self, path, flavour="plain"):
        return {"flavour": flavour}["colour"]


def test_a_reader_whose_sniff_raises_does_not_fit(fresh, tmp_path):
    astropayne.register_plugin(Plugin(), name="mine")
    astropayne.register_plugin(Gives([Careless()]), name="careless")
    path = tmp_path / "x.flat"
    path.touch()
    with pytest.warns(PluginWarning, match=r"plugin 'careless' from .*: sniff .* failed: NotA"):
        assert len(SpectralGrid.read(path)) == 2
    assert len(SpectralGrid.read(path)) == 2  # warned once
    assert "sniff of grid format 'careless' failed" in _problem("careless")


def test_a_reader_that_raises_is_named(fresh, tmp_path):
    astropayne.register_plugin(Gives([Careless()]), name="careless")
    with pytest.raises(ValueError, match=r"reader of grid format 'careless' failed \(plugin 'car"):
        SpectralGrid.read(tmp_path, format="careless")
    with pytest.raises(
        TypeError, match=r"no option 'colour'; .*; grid format 'careless' has flavour"
    ):
        SpectralGrid.read(tmp_path, format="careless", colour=1)
    for option, meant in (("flavor", "flavour"), ("ouput", "output")):
        with pytest.raises(TypeError, match=rf"read\(\) has no option .*; did you mean '{meant}'"):
            SpectralGrid.read(tmp_path, format="careless", **{option: 1})


def test_a_reader_may_return_spectra_that_were_checked(fresh, tmp_path):
    class Stored(FlatReader):
        def open(self, path):
            source = super().open(path)
            flux = np.array([source.load(i)[1] for i in range(2)])
            return GridSource(source.names, source.labels, wavelength=source.load(0)[0], flux=flux)

    class Nothing(FlatReader):
        format = "nothing"

        def open(self, path):
            return GridSource(["a"], {"teff": [5000.0]})

    astropayne.register_plugin(Gives([Stored(), Nothing()]), name="stored")
    grid = SpectralGrid.read(tmp_path, format="flat", transform_labels=[])
    assert grid.flux[:, 0].tolist() == [0.5, 0.6]
    with pytest.raises(ValueError, match="neither load, load_block nor flux"):
        SpectralGrid.read(tmp_path, format="nothing")


def test_formats_of_plugins_are_listed_and_explained(fresh):
    astropayne.register_plugin(Plugin(), name="mine")
    table = SpectralGrid.read.list_formats()
    assert set(table["Format"]) == {*BUILT_IN, "flat"}
    assert "mine" in table[table["Format"] == "flat"]["Plugin"][0]
    text = io.StringIO()
    SpectralGrid.read.help("tsfitpy", out=text)
    SpectralGrid.read.help(out=text)
    SpectralGrid.read.list_formats(out=text)
    assert "name_column" in text.getvalue()
    assert "transform_labels : str" in text.getvalue()
    assert "flat" in text.getvalue()


def test_a_reader_that_returns_something_else_is_an_error(fresh, tmp_path):
    class Other(FlatReader):
        def open(self, path):
            return [1, 2]

    astropayne.register_plugin(Gives([Other()]), name="other")
    with pytest.raises(TypeError, match="'flat' returned a list: open must return a GridSource"):
        SpectralGrid.read(tmp_path, format="flat")


class NoHooks:
    def astropayne_grid_readers(self):
        return []


class WrongHook:
    @astropayne.hookimpl
    def astropayne_grid_reader(self):
        return []


class WrongArguments:
    @astropayne.hookimpl
    def astropayne_grid_readers(self, path):
        return []


@pytest.mark.parametrize(
    ("plugin", "match"),
    [
        (WrongHook, "astropayne_grid_reader, hooks that astropayne does not have"),
        (NoHooks, "implements no hook: mark its functions with astropayne.hookimpl"),
        (WrongArguments, "path"),
    ],
)
def test_a_plugin_with_wrong_hooks_can_be_mended(fresh, plugin, match):
    with pytest.raises(Exception, match=match):
        astropayne.register_plugin(plugin(), name="mine")
    assert set(_states()) == {m.rpartition(".")[2] for m in manager._BUILTIN}
    astropayne.register_plugin(Plugin(), name="mine")
    assert "flat" in manager.grid_readers()


# --- plugins of installed packages


def _install(monkeypatch, **modules):
    """Make entry points, as those of installed packages are, of functions that load."""
    points = [EntryPoint(name, f"module_{name}", "astropayne") for name in modules]
    monkeypatch.setattr(EntryPoint, "load", lambda self: modules[self.name]())
    monkeypatch.setattr(manager, "entry_points", lambda group: points)


def test_a_plugin_that_calls_exit_is_set_aside(fresh):
    def leave():
        raise SystemExit("MOOGSILENT not found")

    _install(fresh, theirs=leave, mine=Plugin)
    with pytest.warns(PluginWarning, match="'theirs' .* SystemExit: MOOGSILENT not found"):
        readers = manager.grid_readers()
    assert set(readers) == {*BUILT_IN, "flat"}


@pytest.mark.parametrize("pair", [("M_H", "feh"), ("[Li/Fe]", "A(Li)")])
def test_a_second_transform_for_a_pair_is_set_aside(fresh, pair):
    def plugin(difference):
        class Shift(LabelTransform):
            source, target = pair

            def forward(self, values, solar):
                return values[self.source] - difference

        class Gives:
            @astropayne.hookimpl
            def astropayne_label_transforms(self):
                return [Shift()]

        return Gives()

    if pair[0] == "M_H":
        astropayne.register_plugin(plugin(0.1), name="first")
        label_graph()
    astropayne.register_plugin(plugin(0.2), name="second")
    owner = "first" if pair[0] == "M_H" else "abundances"
    with pytest.warns(PluginWarning, match=f"'second' .* already provided by plugin '{owner}'"):
        label_graph()
    if pair[0] == "M_H":
        step = label_graph().plan(["M_H"], ["feh"])[0]
        assert step({"M_H": np.array(0.0)}, None) == pytest.approx(-0.1)


def test_an_entry_point_is_loaded(fresh):
    _install(fresh, theirs=Plugin)
    assert "flat" in manager.grid_readers()
    assert _states()["theirs"] == "loaded"


def _fail():
    raise ImportError("no module named 'idlpy'")


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (_fail, "ImportError: no module named 'idlpy'"),
        (WrongHook, "ValueError: plugin 'theirs' implements astropayne_grid_reader,"),
        (NoHooks, "ValueError: plugin 'theirs' implements no hook"),
        (WrongArguments, "PluginValidationError"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_reported(fresh, load, problem):
    _install(fresh, theirs=load, good=Plugin)
    with pytest.warns(PluginWarning, match=f"'theirs' from module_theirs is not used. {problem}"):
        assert {"tsfitpy", "flat"} <= set(manager.grid_readers())
    assert _states()["theirs"] == "broken"
    assert _states()["good"] == "loaded"
    with pytest.raises(ValueError, match=f"'theirs' from module_theirs \\({problem}"):
        SpectralGrid.read(__file__, format="idl")


def test_an_entry_point_whose_name_is_taken_is_reported(fresh):
    _install(fresh, tsfitpy=Plugin)
    with pytest.warns(PluginWarning, match=r"'tsfitpy' from module_tsfitpy .* already registered"):
        assert set(manager.grid_readers()) == BUILT_IN
    states = [(p.source, p.state) for p in manager.list_plugins() if p.name == "tsfitpy"]
    assert states == [("astropayne", "loaded"), ("module_tsfitpy", "broken")]


@pytest.mark.parametrize("names", ["theirs", "one_payne, theirs"])
def test_a_plugin_can_be_disabled(fresh, names):
    _install(fresh, theirs=_fail)  # it would fail, and is not even loaded
    fresh.setenv("ASTROPAYNE_DISABLED_PLUGINS", names)
    assert ("one_payne" in manager.grid_readers()) is (names == "theirs")
    assert _states()["theirs"] == "disabled"
    assert "ASTROPAYNE_DISABLED_PLUGINS" in _problem("theirs")
    with pytest.raises(ValueError, match="'theirs' is disabled by the environment variable"):
        astropayne.register_plugin(Plugin(), name="theirs")


def test_the_command_lists_what_is_broken_and_disabled(fresh):
    _install(fresh, theirs=_fail)
    fresh.setenv("ASTROPAYNE_DISABLED_PLUGINS", "one_payne")
    lines = CliRunner().invoke(main, ["plugins"]).output.splitlines()
    assert sum("'theirs'" in line and "is not used" in line for line in lines) == 1
    assert "tsfitpy          loaded   astropayne" in lines
    assert "theirs           broken   module_theirs" in lines
    assert "                 ImportError: no module named 'idlpy'" in lines
    assert "one_payne        disabled astropayne" in lines


def test_every_hook_is_tested_and_documented():
    hooks = [name for name in hookspecs.__all__ if name.startswith("astropayne_")]
    for hook in hooks:
        assert f"test_hook_{hook}" in globals()
        assert isinstance(getattr(hookspecs, hook), types.FunctionType)
        assert getattr(hookspecs, hook).__doc__


# --- the example of the documentation

USE = """
import sys
from pathlib import Path

import numpy as np

from astropayne import SpectralGrid
from astropayne.cli.main import main

main(["plugins"], standalone_mode=False)
path = Path(sys.argv[1])
one, two = (SpectralGrid.read(path, workers=n, name="star {}") for n in (1, 2))
assert one.names == two.names and np.array_equal(one.flux, two.flux)
one.write(path.with_suffix(".asdf"))
"""


def test_the_example_package_reads_a_grid_through_its_entry_point(tmp_path, sample):
    h5py = pytest.importorskip("h5py")
    versions = {d.name.lower(): d.version for d in distributions()}
    if "pip" not in versions or Version(versions.get("setuptools", "0")) < Version("70.1"):
        pytest.skip("pip and setuptools 70.1 are needed to install a package")
    source = Path(__file__).parents[2] / "docs" / "example_plugin"
    shutil.copytree(source, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--quiet", "--target", tmp_path / "site", tmp_path / "source"]
    subprocess.run(command, check=True)
    part = sample[:7]
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file["wavelength"], file["flux"] = part.wavelength.value, part.flux
        file.attrs.update(medium="vacuum", resolution=20000.0)
        for name in part.labels.colnames:
            file[f"labels/{name}"] = np.asarray(part.labels[name])
        file["labels/teff"].attrs["unit"] = "K"
    (tmp_path / "use.py").write_text(USE)
    paths = [str(tmp_path / "site"), str(Path(astropayne.__file__).parents[1])]
    found = subprocess.run(
        [sys.executable, "-W", "error", tmp_path / "use.py", tmp_path / "grid.h5"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = found.stdout.splitlines()
    at = lines.index("hdf5             loaded   astropayne-hdf5 1.0")
    assert lines[at + 1].strip() == "grid format 'hdf5'"
    grid = SpectralGrid.read(tmp_path / "grid.asdf")
    assert np.array_equal(grid.flux, part.flux)
    assert grid.names[3] == "star 3"
    assert grid.meta["reader"] == "hdf5"
    assert grid.meta["medium"] == "vacuum"
    assert grid.meta["resolution"] == 20000
    for name in part.labels.colnames:
        assert np.array_equal(grid.labels[name], part.labels[name])
    assert grid.labels["teff"].unit == "K"
