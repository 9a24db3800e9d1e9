# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Profiles of χ² against the abundance of an element, line by line."""
