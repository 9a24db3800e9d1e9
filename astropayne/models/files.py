# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Reading and writing of models by the registry of formats."""

import contextlib
import inspect
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from astropy.io import registry
from astropy.io.registry import UnifiedReadWrite

from astropayne.io.container import sniff_container
from astropayne.utils.suggestions import unknown_option_message

__all__ = ["PayneModelRead", "PayneModelWrite"]


@contextlib.contextmanager
def _suggesting_options(owner: UnifiedReadWrite, what: str, options: Collection[str]) -> Iterator:
    """Name the nearest option if a format does not have one."""
    try:
        yield
    except TypeError as error:
        match = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if match is None or match[1] not in options:
            raise
        get = registry.get_reader if what == "read" else registry.get_writer
        formats = registry.get_formats(owner._cls, what.capitalize())["Format"]
        functions = [get(name, owner._cls) for name in formats]
        known = {name for one in functions for name in list(inspect.signature(one).parameters)[1:]}
        known = {"format", *known} - {"path"}
        name = f"{owner._cls.__name__}.{what}"
        raise TypeError(unknown_option_message(name, match[1], sorted(known))) from None


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
            with _suggesting_options(self, "read", kwargs):
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
            with _suggesting_options(self, "write", kwargs):
                return self.registry.write(self._instance, str(path), *args, **kwargs)
        except registry.IORegistryError as error:
            raise ValueError(f"{path}: {error}") from None
