# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The fitter on arrays: likelihood, least squares, templates, batches of stars, profiles."""
