# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files: atomic writing, containers of arrays, text tables and tables of results.

Everything that writes a file calls `paths.refuse_existing` and `paths.replacing`; everything that
reads a text table calls `text_tables`.
"""
