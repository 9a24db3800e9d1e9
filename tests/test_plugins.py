import types
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from astropy.table import QTable

import astropayne
from astropayne import SpectralGrid
from astropayne.labels import LabelTransform
from astropayne.plugins import GridReader, GridSource, PluginWarning, hookspecs, manager

BUILT_IN = {"tsfitpy", "one_payne", "the_payne", "specutils", "astropayne"}


@pytest.fixture
def fresh(monkeypatch):
    """A plugin registry of its own."""
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
    assert grid.names == ["a", "b"]
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
        "asdf_grid",
        "abundances",
    ]
    assert set(manager.grid_readers()) == BUILT_IN
    assert any(t.target == "A_Li" for t in manager.label_transforms())


def test_a_misspelt_hook_is_an_error(fresh):
    class Wrong:
        @astropayne.hookimpl
        def astropayne_grid_reader(self):
            return []

    with pytest.raises(ValueError, match=r"astropayne_grid_reader,.*its hooks are astropayne_gr"):
        astropayne.register_plugin(Wrong())
    assert len(manager.list_plugins()) == 6


def test_a_name_that_is_taken_is_an_error(fresh):
    astropayne.register_plugin(Plugin(), name="mine")
    with pytest.raises(ValueError, match="'mine' is already registered"):
        astropayne.register_plugin(Plugin(), name="mine")
    with pytest.raises(ValueError, match="no plugin is registered as 'yours'"):
        astropayne.unregister_plugin("yours")


def test_two_readers_of_one_format_are_an_error(fresh):
    astropayne.register_plugin(Plugin(), name="one")
    astropayne.register_plugin(Plugin(), name="two")
    with pytest.raises(ValueError, match="'flat' is given by two plugins: 'one' and 'two'"):
        manager.grid_readers()


def test_a_plugin_that_raises_is_set_aside_alone(fresh, tmp_path):
    class Broken:
        @astropayne.hookimpl
        def astropayne_grid_readers(self):
            raise RuntimeError("no licence")

    astropayne.register_plugin(Broken(), name="broken")
    with pytest.warns(PluginWarning, match=r"'broken' from .* is not used. RuntimeError: no lic"):
        assert set(manager.grid_readers()) == BUILT_IN
    assert set(manager.grid_readers()) == BUILT_IN  # warned once
    assert "no licence" in {p.name: p.problem for p in manager.list_plugins()}["broken"]
    with pytest.raises(ValueError, match=r"could not be used: 'broken' \(RuntimeError: no licence"):
        SpectralGrid.read(tmp_path, format="theirs")


def _install(monkeypatch, name, module):
    point = EntryPoint(name, f"module_{name}", "astropayne")
    monkeypatch.setattr(EntryPoint, "load", lambda self: module())
    monkeypatch.setattr(manager, "entry_points", lambda group: [point])


def test_an_entry_point_is_loaded(fresh):
    _install(fresh, "theirs", Plugin)
    assert "flat" in manager.grid_readers()


def test_an_entry_point_that_cannot_be_imported_is_reported(fresh):
    def fail():
        raise ImportError("no module named 'idlpy'")

    _install(fresh, "theirs", fail)
    with pytest.warns(PluginWarning, match="'theirs' from module_theirs is not used. ImportError"):
        assert "tsfitpy" in manager.grid_readers()
    assert "idlpy" in {p.name: p.problem for p in manager.list_plugins()}["theirs"]


def test_a_plugin_can_be_disabled(fresh):
    _install(fresh, "theirs", Plugin)
    fresh.setenv("ASTROPAYNE_DISABLED_PLUGINS", "theirs, other")
    assert "flat" not in manager.grid_readers()
    assert "disabled" in {p.name: p.problem for p in manager.list_plugins()}["theirs"]


def test_every_hook_is_tested_and_documented():
    hooks = [name for name in hookspecs.__all__ if name.startswith("astropayne_")]
    for hook in hooks:
        assert f"test_hook_{hook}" in globals()
        assert isinstance(getattr(hookspecs, hook), types.FunctionType)
        assert getattr(hookspecs, hook).__doc__
