# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files: atomic writing, containers of arrays, text tables and tables of results."""
