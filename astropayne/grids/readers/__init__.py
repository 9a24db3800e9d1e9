# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Readers of grids, registered by the plugin hooks."""
