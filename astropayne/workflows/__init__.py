# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Runs from files to files: fits, predictions, training and the demo."""
