# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Loaders of survey files that specutils does not have, registered with its ``data_loader``.

Each module stands alone, in the form in which specutils keeps its loaders, and registers itself
when it is imported.
"""
