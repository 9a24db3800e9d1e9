"""README and documentation: valid commands, existing links, running notebooks, documented names."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import click
import pytest

import astropayne
from astropayne.cli.main import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.rst"))]
PAGES = [page for page in PAGES if not {"_build", "generated"} & set(page.parts)]
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.ipynb"))


def _commands(text):
    """Return the commands in a text, each with whether it is a line of its own.

    Text after two spaces describes the command.
    """
    text = re.sub(r" *\\\n *", " ", text)
    lines = re.findall(r"^ +(astropayne [a-z].*)$", text, re.MULTILINE)
    inline = [" ".join(words.split()) for words in re.findall(r"``(astropayne [^`]+)``", text)]
    return {(re.split(r" {2,}", line)[0], True) for line in lines} | {(i, False) for i in inline}


def _all_commands():
    for page in PAGES:
        yield from ((page.name, *found) for found in _commands(page.read_text()))
    for name, command in main.commands.items():
        yield from ((f"{name} --help", *found) for found in _commands(command.help))


@pytest.mark.parametrize(("where", "line", "whole"), sorted(set(_all_commands())))
def test_commands_are_right(where, line, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run.toml", "model.asdf"):
        Path(name).touch()
    _, name, *words = shlex.split(line)
    if name == "COMMAND":
        return
    assert name in main.commands, line
    if words not in (["--help"], []):
        try:
            main.commands[name].make_context(name, words)  # raises where an option is not known
        except click.MissingParameter:
            assert not whole, f"{where}: {line}"  # an option that is only talked about


def test_pages_are_found():
    assert len(PAGES) > 40
    assert {"tsfitpy.rst", "migrating.rst"} <= {page.name for page in PAGES}
    assert len(NOTEBOOKS) == 3


def test_links_of_readme_exist():
    for page in PAGES[:2]:
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
        assert links
        assert all((page.parent / link).exists() for link in links), page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    cells = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells), "notebooks are stored without outputs"
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(path), "exec"), names)


def test_public_names_are_in_the_reference():
    text = "".join(page.read_text() for page in sorted((DOCS / "api").glob("*.rst")))
    folders = re.findall(r"automodapi:: (astropayne\.[\w.]+)", text)
    documented = {name for folder in folders for name in import_module(folder).__all__}
    public = {name for name in astropayne.__all__ if not name.startswith("__")}
    assert not public - documented
    assert not {name for name in public if name not in (DOCS / "api" / "index.rst").read_text()}
