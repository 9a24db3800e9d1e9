# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Paths, and files that are written beside and renamed into place."""

import contextlib
import os
import tempfile
from pathlib import Path

__all__ = ["refuse_existing", "replacing"]


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside ``path``, and rename it into place if all went well.

    It is in a folder of its own: other processes may write the same file, the name ends as it
    has to, and who may read it is for the user's umask to say.
    """
    path = Path(path)
    _require_folder(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        with naming(path):
            yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def naming(path):
    """Name a file in errors for which the system does not, such as that its disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def refuse_existing(path, overwrite):
    """Raise an `OSError` if a file is there and may not be replaced, or its folder is not there."""
    _require_folder(Path(path))
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; overwrite=True replaces it")


def _require_folder(path):
    if not path.parent.is_dir():  # what is written first has a name that says nothing to people
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path} may not be written: its folder is read-only for you")
