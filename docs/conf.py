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
