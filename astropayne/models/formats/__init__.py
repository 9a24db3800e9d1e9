# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Formats of model files, registered with `astropy.io.registry`."""
