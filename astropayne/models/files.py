# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading and writing of models by the registry of formats."""

import os
from pathlib import Path
from typing import Any

from astropy.io import registry
from astropy.io.registry import UnifiedReadWrite

from astropayne.io.container import sniff_container

__all__ = ["PayneModelRead", "PayneModelWrite"]


class PayneModelRead(UnifiedReadWrite):
    """Read a model.

    Parameters
    ----------
    path : path-like
        The file.
    format : str, optional
        ``"asdf"``, ``"one_payne"`` or ``"the_payne"``; by default, the format is identified.
    **options
        Options of the format: `~astropayne.models.formats.npz.read_one_payne` and
        `~astropayne.models.formats.npz.read_the_payne` take values that files may not contain.

    Returns
    -------
    PayneModel

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a model, or is damaged.

    Notes
    -----
    Formats are registered with `astropy.io.registry`, which lists them here.
    """

    def __init__(self, instance: Any, cls: type) -> None:
        super().__init__(instance, cls, "read", registry=registry)

    def __call__(self, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Read the file with the reader of its format."""
        path = Path(path).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        if "format" not in kwargs and path.is_file() and sniff_container(path, "PayneModel"):
            kwargs["format"] = "asdf"  # whatever it is called
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
        ``"asdf"``, ``"one_payne"`` or ``"the_payne"``; by default, ``"asdf"``, unless the name ends
        in ``.npz``.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    OSError
        If the file exists and ``overwrite`` is false.
    ValueError
        If the model is not trained, or the format is unknown or does not support the model.

    Notes
    -----
    Formats are registered with `astropy.io.registry`, which lists them here.
    """

    def __init__(self, instance: Any, cls: type) -> None:
        super().__init__(instance, cls, "write", registry=registry)

    def __call__(self, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        """Write the file with the writer of its format."""
        path = Path(path).expanduser()
        if "format" not in kwargs and path.suffix.lower() != ".npz":
            kwargs["format"] = "asdf"
        try:
            return self.registry.write(self._instance, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            raise ValueError(f"{path}: {error}") from None
