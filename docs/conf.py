# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Configuration of the documentation."""

import importlib
import os

from sphinx_astropy.conf.v3 import *

import astropayne

project = "astropayne"
author = "astropayne developers"
copyright = "2026, astropayne developers"
version = release = astropayne.__version__
html_title = project

extensions += ["myst_nb", "sphinx_design"]
automodapi_inheritance_diagram = False
automodapi_toctreedirnm = "api/generated"
exclude_patterns += ["scripts", "changes/*.*.rst", "changes/README.rst"]

# Notebooks are executed by the build; an error in one fails it.
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_raise_on_error = nb_execution_show_tb = True
nb_execution_timeout = 120
nb_output_stderr = "remove"

intersphinx_mapping["specutils"] = ("https://specutils.readthedocs.io/en/stable/", None)
intersphinx_mapping["torch"] = ("https://docs.pytorch.org/docs/stable/", None)
if os.environ.get("DOCS_OFFLINE"):
    intersphinx_mapping.clear()

# Names that do not exist in this package fail the build; those of others need their inventories.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!astropayne\.).*")]


def find_object(path):
    """Return the object of a dotted name, or None if the name leads nowhere."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for name in parts[length:]:
            found = getattr(found, name, None)
        return found
    return None


def resolve_public_name(app, env, node, contnode):
    """Let every name of an object lead to its page: ``astropayne.X`` to ``astropayne.grids.X``."""
    target, python = node["reftarget"], env.get_domain("py")
    if node.get("refdomain") != "py" or not target.startswith("astropayne."):
        return None
    owner, _, name = target.rpartition(".")
    wanted, wanted_owner = find_object(target), find_object(owner)
    for documented in python.objects:
        if not documented.startswith("astropayne.") or documented.rpartition(".")[2] != name:
            continue
        same = wanted is not None and find_object(documented) is wanted
        if not same and find_object(documented.rpartition(".")[0]) is not wanted_owner:
            continue
        return python.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], documented, node, contnode
        )
    return contnode if wanted is not None else None  # names without a page remain plain text


def setup(app):
    """Connect what is defined above."""
    app.connect("missing-reference", resolve_public_name)
