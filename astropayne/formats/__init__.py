# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of models and grids."""
