"""The walls between the rooms: which module may import which, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import astropayne

ROOT = Path(astropayne.__file__).parent

# From the bottom up: a module may import those before it.
ORDER = [
    "labels",
    "abundances",
    "stellar",
    "wavelengths",
    "config",
    "spectrum_reader",
    "broadening",
    "network",
    "formats.container",
    "feed",
    "distributed",
    "checkpoint",
    "training",
    "finetuning",
    "resampling",
    "forward",
    "residuals",
    "formats.grid_file",
    "plugins",
    "conversion",
    "loading",
    "reading",
    "grid",
    "model",
    "formats.asdf_model",
    "formats.npz_model",
    "observation",
    "least_squares",
    "likelihood",
    "search",
    "stars",
    "batch",
    "fitting",
    "posterior",
    "modeling",
    "spectrum_files",
    "runs",
    "evaluation",
    "lines",
    "planning",
    "profiles",
    "elements",
    "plotting",
    "report",
    "demo",
    "cli",
    "__main__",
]
WITHOUT_UNITS = """broadening network feed distributed checkpoint training finetuning
    forward search resampling residuals least_squares likelihood batch profiles""".split()


def _room(module):
    return "plugins" if module.startswith("plugins") else module


def _imports(path):
    """Names of the modules that are imported when ``path`` is."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def _modules():
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.rpartition(".")[2] not in ("__init__", "_version"):
            yield _room(name), path


def test_every_module_has_a_place():
    assert {room for room, _ in _modules()} == set(ORDER)


@pytest.mark.parametrize(("room", "path"), list(_modules()), ids=lambda value: str(value)[-25:])
def test_imports_point_down(room, path):
    for module in _imports(path):
        if module.startswith("astropayne."):
            other = _room(module.removeprefix("astropayne."))
            assert ORDER.index(other) <= ORDER.index(room), f"{room} imports {other}"


@pytest.mark.parametrize("room", WITHOUT_UNITS)
def test_the_core_knows_no_units(room):
    astropy = {name for name in _imports(ROOT / f"{room}.py") if name.startswith("astropy.")}
    assert astropy <= {"astropy.utils.exceptions"}


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


def test_public_names_are_there():
    for name in astropayne.__all__:
        assert getattr(astropayne, name)
    assert "PayneModel" in dir(astropayne)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        astropayne.nothing  # noqa: B018


def test_nothing_prints():
    for _, path in _modules():
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [c for c in calls if getattr(c.func, "id", "") == "print"], path


def test_the_package_is_the_command_too():
    words = [sys.executable, "-m", "astropayne", "--version"]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("astropayne, version")
