# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Defaults that a user can set in ``~/.astropy/config/astropayne.cfg``."""

from astropy.config import ConfigItem, ConfigNamespace

__all__ = ["Conf", "conf"]


class Conf(ConfigNamespace):
    """Configuration of astropayne."""

    rootname = "astropayne"

    device = ConfigItem(
        "auto",
        "Default device for training: auto, cpu, cuda, cuda:1, mps.",
        cfgtype="string",
    )


#: The configuration in use.
conf = Conf()
