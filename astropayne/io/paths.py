# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Writing files: in a temporary place first, then renamed, and never over an existing file."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["naming", "refuse_existing", "replacing"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to ``path`` if no error occurred.

    The temporary file has the same name, in a folder of its own: several processes may write the
    same file, the suffix is kept, and the user's umask determines the permissions.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OSError
        If the folder does not exist, is read-only, or the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from astropayne.io.paths import replacing
    >>> file = Path(mkdtemp()) / "star.txt"
    >>> with replacing(file) as temporary:
    ...     _ = temporary.write_text("5160.0 0.98")
    >>> file.read_text()
    '5160.0 0.98'
    """
    path = Path(path).expanduser()
    _require_folder(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        with naming(path):
            yield temporary
        temporary.replace(path)


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Add the name of a file to errors of the system that have none, such as that of a full disk.

    Parameters
    ----------
    path : path-like
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise an error if a file cannot be written.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    FileNotFoundError
        If its folder does not exist.
    PermissionError
        If its folder is read-only.
    """
    path = Path(path).expanduser()
    _require_folder(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; pass overwrite=True to replace it")


def _require_folder(path: Path) -> None:
    """Check the folder here, because an error about the temporary file would not name the path."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path} may not be written: its folder is read-only for you")
