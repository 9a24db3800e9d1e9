# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import subprocess
import sys
import types

import pytest

from astropayne.utils.lazy import attach


@pytest.fixture
def package(monkeypatch):
    """A package with two public names in modules of their own."""
    package, colors = types.ModuleType("rainbow"), types.ModuleType("rainbow.colors")
    colors.red, colors.blue = "red", "blue"
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "rainbow", package)
    monkeypatch.setitem(sys.modules, "rainbow.colors", colors)
    return package


def test_names_are_imported_on_first_use(package):
    package.__getattr__, package.__dir__, package.__all__ = attach(
        "rainbow", {"colors": "red blue", "shapes": "arc"}
    )
    assert package.__all__ == ["arc", "blue", "red"]
    assert "red" not in vars(package)
    assert package.red == "red"
    assert vars(package)["red"] == "red"
    assert {"arc", "blue", "red", "__all__"} <= set(package.__dir__())


def test_unknown_names_are_attribute_errors(package):
    get, _, _ = attach("rainbow", {"colors": "red"})
    with pytest.raises(AttributeError, match="module 'rainbow' has no attribute 'green'"):
        get("green")


def test_a_missing_module_is_an_import_error(package):
    get, _, _ = attach("rainbow", {"shapes": "arc"})
    with pytest.raises(ModuleNotFoundError, match=r"rainbow\.shapes"):
        get("arc")


def test_importing_a_folder_imports_none_of_its_modules():
    code = (
        "import sys, astropayne.labels, astropayne.wavelengths;"
        "assert 'astropayne.labels.space' not in sys.modules;"
        "assert astropayne.labels.parse_label('[Fe/H]') == 'feh';"
        "assert 'astropayne.labels.solar' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
