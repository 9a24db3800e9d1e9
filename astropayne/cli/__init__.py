# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The command ``astropayne``: parses options, calls functions, prints their results.

This is the only folder that knows the names of flags. Each command has a file; ``main`` collects
them, ``options`` holds parameter types and options that commands share, ``console`` prints and
reports errors, and ``outputs`` checks and writes files. Everything heavy is imported inside the
commands, so that ``--help`` and shell completion are quick.
"""
