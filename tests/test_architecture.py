"""The floors of the house: which folder may import which, and what importing costs.

Every import is read, also those inside functions and under ``TYPE_CHECKING``.
"""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import astropayne

ROOT = Path(astropayne.__file__).parent

# A folder may import from lower floors and from itself.
FLOORS = [
    ["utils", "plugins", "config"],
    ["wavelengths", "labels", "io"],
    ["plotting", "networks"],
    ["forward"],
    ["engine", "spectra"],
    ["grids"],
    ["models"],
    ["fitting", "modeling"],
    ["abundances", "evaluation"],
    ["workflows"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
ARRAYS_ONLY = ("networks", "forward", "engine")
SPECTRA = ("spectra", "fitting", "grids", "models", "evaluation", "abundances", "workflows", "cli")
MAKES_SPECTRA = ("spectra.", "grids.view", "models.prediction", "fitting.prep", "fitting.results")


def imports_of(source):
    """Return the modules that a source imports anywhere in it, each as a dotted name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def module_of(dotted):
    """Return the module of the package that a dotted name is in, relative to it; "" for itself."""
    parts = dotted.split(".")[1:]
    while parts:
        place = ROOT.joinpath(*parts)
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return ""


def own_imports(source):
    """Return the modules of the package that a source imports."""
    return {module_of(name) for name in imports_of(source) if name.split(".")[0] == "astropayne"}


def faults_of(room, source):
    """Return what a source in a room imports although its floor does not allow it."""
    others = {module for module in own_imports(source) if module}
    others = {module for module in others if module.split(".")[0] != room}
    if room in ("plugins", "utils"):
        return sorted(others)
    return sorted(m for m in others if FLOOR[m.split(".")[0]] >= FLOOR[room])


def modules():
    """Return every module of the package by its name, relative to it."""
    paths = {path: path.relative_to(ROOT).with_suffix("").parts for path in ROOT.rglob("*.py")}
    return {".".join(parts): path for path, parts in sorted(paths.items())}


MODULES = {name: path for name, path in modules().items() if name not in ("__init__", "_version")}


def test_every_module_has_a_floor():
    assert {name.split(".")[0] for name in MODULES} == set(FLOOR)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name):
    assert faults_of(name.split(".")[0], MODULES[name].read_text()) == []


def test_an_import_in_a_function_that_points_up_is_seen():
    source = "def f():\n    from astropayne.fitting.fit import fit_spectrum\n"
    assert faults_of("engine", source) == ["fitting.fit"]
    guarded = "if TYPE_CHECKING:\n    import astropayne.grids.grid\n"
    assert faults_of("labels", guarded) == ["grids.grid"]
    assert faults_of("plugins", "from astropayne.utils.quantities import strip_unit") != []
    assert faults_of("models", "from astropayne.labels.names import Label") == []


def test_no_circle_of_files():
    needs = {name: own_imports(path.read_text()) & MODULES.keys() for name, path in MODULES.items()}
    while leaves := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in leaves:
            del needs[name]
    assert not needs, f"these import each other in a circle, or one that does: {sorted(needs)}"


@pytest.mark.parametrize("name", [n for n in MODULES if n.split(".")[0] in ARRAYS_ONLY])
def test_arrays_only(name):
    outside = imports_of(MODULES[name].read_text())
    forbidden = ("astropy.units", "astropy.table", "specutils")
    assert not [other for other in outside if other.startswith(forbidden)]


@pytest.mark.parametrize("name", MODULES)
def test_spectra_are_unpacked_where_they_belong(name):
    uses = any(
        other.startswith("specutils.Spectr") for other in imports_of(MODULES[name].read_text())
    )
    assert not uses or name.split(".")[0] in SPECTRA
    calls = [n for n in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(n, ast.Call)]
    makes = any(getattr(c.func, "id", "") in ("Spectrum", "SpectrumList") for c in calls)
    assert not makes or name.startswith(MAKES_SPECTRA)


@pytest.mark.parametrize("name", MODULES)
def test_nobody_knows_the_command_line(name):
    room = name.split(".")[0]
    source = MODULES[name].read_text()
    if room in ("cli", "__main__"):
        return
    above = ("cli", "workflows") if room != "workflows" else ("cli",)
    assert not [module for module in own_imports(source) if module.split(".")[0] in above]
    strings = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
    assert not [s for s in strings if isinstance(s, str) and re.search(r"(?<![\w-])--[a-z]", s)]


def test_sizes():
    for name, path in MODULES.items():
        assert len(path.read_text().splitlines()) <= 500, name
    for folder in {path.parent for path in MODULES.values()}:
        assert len(list(folder.glob("*.py"))) <= 18, folder  # __init__ aside, 17


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda p: p.parent.name)
def test_every_folder_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_importing_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import astropayne;"
        "seconds = time.perf_counter() - start;"
        "heavy = {'torch', 'specutils', 'astropy', 'numpy'} & sys.modules.keys();"
        "sys.exit(f'{heavy} {seconds}' if heavy or seconds > 0.3 else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_listing_plugins_is_light():
    code = (
        "import sys; from astropayne.plugins import list_plugins; found = list_plugins();"
        "heavy = {'torch', 'specutils', 'asdf', 'pandas', 'astropy.units', 'astropy.table'};"
        "assert all(plugin.gives for plugin in found if plugin.source == 'astropayne'), found;"
        "sys.exit(f'{heavy & sys.modules.keys()}' if heavy & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def type_checking_imports(path):
    """Return module and name of what a file imports for type checkers alone."""
    (block,) = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name) for node in imports for alias in node.names]


def test_public_names_are_there():
    for name in astropayne.__all__:
        assert getattr(astropayne, name)
    for module, name in type_checking_imports(ROOT / "__init__.py"):
        assert getattr(importlib.import_module(module), name) is getattr(astropayne, name)
    names = {name for _, name in type_checking_imports(ROOT / "__init__.py")}
    assert names == {name for name in astropayne.__all__ if not name.startswith("_")}
    assert "PayneModel" in dir(astropayne)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        astropayne.nothing  # noqa: B018


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/__init__.py")), ids=lambda p: p.parent.name)
def test_public_names_of_folders_are_there(path):
    folder = importlib.import_module(f"astropayne.{path.parent.name}")
    for name in getattr(folder, "__all__", ()):
        assert getattr(folder, name) is not None


def test_nothing_prints():
    for path in MODULES.values():
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [c for c in calls if getattr(c.func, "id", "") == "print"], path


def test_the_package_is_the_command_too():
    words = [sys.executable, "-m", "astropayne", "--version"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("astropayne, version")
