# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Initial values of fits: velocities from templates, labels from a regression."""
