# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Helpers without astronomy: quantities, suggestions, statistics, lazy imports, state of torch."""
