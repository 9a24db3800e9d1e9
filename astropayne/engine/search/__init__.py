# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Where fits start: velocities from templates, labels from a regression."""
