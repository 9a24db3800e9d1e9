# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Helpers that know nothing of spectra: quantities, suggestions, statistics, state of torch."""
