# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Configuration of the documentation."""

import os

from sphinx_astropy.conf.v3 import *

import astropayne

project = "astropayne"
author = "astropayne developers"
copyright = "2026, astropayne developers"
version = release = astropayne.__version__
html_title = project

automodapi_inheritance_diagram = False
exclude_patterns.append("scripts")

intersphinx_mapping["specutils"] = ("https://specutils.readthedocs.io/en/stable/", None)
intersphinx_mapping["torch"] = ("https://docs.pytorch.org/docs/stable/", None)
if os.environ.get("DOCS_OFFLINE"):
    intersphinx_mapping.clear()

# Names of this package that lead nowhere fail the build; those of others need their inventories.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!astropayne\.).*")]


def resolve_public_name(app, env, node, contnode):
    """Let ``astropayne.X`` lead to the page of X in the module that it comes from."""
    package, _, path = node["reftarget"].partition(".")
    home = astropayne._HOME.get(path.split(".")[0])
    if node.get("refdomain") != "py" or package != "astropayne" or home is None:
        return None
    python, target = env.get_domain("py"), f"astropayne.{home}.{path}"
    return python.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, contnode
    )


def setup(app):
    """Connect what is defined above."""
    app.connect("missing-reference", resolve_public_name)
