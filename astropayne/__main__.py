# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""``python -m astropayne`` is the command ``astropayne``."""

from astropayne.cli.main import main

if __name__ == "__main__":
    main()
