"""The README and the pages: commands that exist, pages that are found, names that are explained."""

import re
import shlex
from pathlib import Path

import click
import pytest

import astropayne
from astropayne.cli.main import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.rst"))]
PAGES = [page for page in PAGES if not {"_build", "api"} & set(page.parts)]


def _commands(text):
    """Return what a text says to type, and whether it is a line of its own.

    Behind two spaces it says what it does.
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
    assert len(PAGES) > 20
    assert {"tsfitpy.rst", "migrating.rst"} <= {page.name for page in PAGES}


def test_public_names_are_in_the_reference():
    text = (ROOT / "docs" / "reference.rst").read_text()
    listed = set(re.findall(r"automodapi:: astropayne\.([\w.]+)", text))
    homes = {getattr(astropayne, n).__module__ for n in astropayne.__all__ if n[0] != "_"}
    homes = {home.removeprefix("astropayne.") for home in homes if home.startswith("astropayne.")}
    assert all(home in listed or home.split(".")[0] in listed for home in homes)
    assert {"plotting", "evaluation", "labels", "plugins", "wavelengths"} <= listed
