# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command line: options and printing, no logic."""
