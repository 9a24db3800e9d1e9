# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading and writing of models by the registry of formats."""

from pathlib import Path

from astropy.io import registry
from astropy.io.registry import UnifiedReadWrite

__all__ = ["PayneModelRead", "PayneModelWrite"]


class PayneModelRead(UnifiedReadWrite):
    """Read a model.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        ``"asdf"``, ``"one_payne"`` or ``"the_payne"``; found out if not given.
    **options
        Of the format: `~astropayne.models.formats.npz.read_one_payne` and
        `~astropayne.models.formats.npz.read_the_payne` take what their files may not say.

    Returns
    -------
    PayneModel

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a model, or damaged.

    Notes
    -----
    Formats are registered with `astropy.io.registry`, which lists them here.
    """

    def __init__(self, instance, cls):
        super().__init__(instance, cls, "read", registry=registry)

    def __call__(self, path, *args, **kwargs):
        """Read by the format's reader."""
        if not Path(path).exists():
            raise FileNotFoundError(f"there is no file {path}")
        try:
            return self.registry.read(self._cls, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            formats = ", ".join(self.registry.get_formats(self._cls, "Read")["Format"])
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{path} is not a model that can be read (formats: {formats}): {reason}"
            ) from None


class PayneModelWrite(UnifiedReadWrite):
    """Write a model.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        ``"asdf"`` (the default where the name ends so), ``"one_payne"`` or ``"the_payne"``.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OSError
        If the file is there and ``overwrite`` is not set.
    ValueError
        If the model is not trained, or the format is not known or does not hold it.

    Notes
    -----
    Formats are registered with `astropy.io.registry`, which lists them here.
    """

    def __init__(self, instance, cls):
        super().__init__(instance, cls, "write", registry=registry)

    def __call__(self, path, *args, **kwargs):
        """Write by the format's writer."""
        try:
            return self.registry.write(self._instance, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            raise ValueError(f"{path}: {error}") from None
