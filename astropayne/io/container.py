# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The ASDF container of models and grids: written atomically, verified when read, no pickle."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import asdf
import numpy as np
from astropy.table import Table

from astropayne import __version__
from astropayne.io.asdf_extension import extension_enabled, tagged
from astropayne.io.paths import refuse_existing, replacing

__all__ = ["check_storable", "read_container", "sniff_container", "write_container", "write_tree"]

_VERSION = 1
# The checksum of a file's text is part of that text; it is computed with _OPEN in its place.
_SEAL, _OPEN = "text_checksum", "unsealed"
_SEALED = re.compile(rb"text_checksum: (\w{8})")
# The start of a block in the ASDF standard: size of the rest of its header, flags, size of its
# data.
_BLOCK, _STREAMED = struct.Struct(">4xHI4xQ"), 1
_PART, _LONGEST = 1 << 20, 1 << 28  # bytes


def write_container(
    path: str | Path, kind: str, tree: Mapping[str, Any], overwrite: bool = False
) -> None:
    """Write a tree of plain values, tables and arrays.

    Parameters
    ----------
    path : path-like
    kind : str
        Kind of the content, such as ``"PayneModel"``.
    tree : dict
        Content. Arrays are stored uncompressed, each with a checksum.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    """
    refuse_existing(path, overwrite)
    with replacing(path) as temporary:
        write_tree(temporary, kind, tree)


def write_tree(path: str | Path, kind: str, tree: Mapping[str, Any]) -> None:
    """Write a tree to a new file, with a checksum of its text.

    Parameters
    ----------
    path, kind, tree
        As for `write_container`.
    """
    version = f"astropayne {__version__}"
    header = {"kind": kind, "format_version": _VERSION, "written_by": version, _SEAL: _OPEN}
    content = {"astropayne": header, kind: tagged(kind, tree)}
    with extension_enabled(), asdf.AsdfFile(content) as file:
        file.write_to(path)
    with open(path, "r+b") as file:
        text = _text(file)
        place = f"{_SEAL}: ".encode()
        file.seek(text.index(place + _OPEN.encode()) + len(place))
        file.write(f"{zlib.crc32(text):08x}".encode())


def _text(file: BinaryIO) -> bytes:
    """Read the text at the start of an ASDF file."""
    text = b""
    while b"\n...\n" not in text[-_PART:] and len(text) < _LONGEST:
        if not (part := file.read(_PART // 2)):
            break
        text += part
    return text.partition(b"\n...\n")[0]


def _without_stream(path: Path) -> Path | BinaryIO:
    """Return a file that ends where a stream of rows begins, because asdf would read all rows."""
    with open(path, "rb") as file:
        at = len(_text(file)) + len(b"\n...\n")
        while True:
            file.seek(at)
            header = file.read(_BLOCK.size)
            if len(header) < _BLOCK.size or not header.startswith(b"\xd3BLK"):
                return path
            size, flags, allocated = _BLOCK.unpack(header)
            if flags & _STREAMED:
                file.seek(0)
                return io.BytesIO(file.read(at + 6 + size))
            at += 6 + size + allocated


def _is_altered(path: Path) -> bool:
    """Return whether the text of a file has another checksum than stored; false without one."""
    with open(path, "rb") as file:
        text = _text(file)
    match = _SEALED.search(text)
    if not match:
        return False
    original = text[: match.start(1)] + _OPEN.encode() + text[match.end(1) :]
    return f"{zlib.crc32(original):08x}".encode() != match[1]


def check_storable(tree: Mapping[str, Any], what: str) -> None:
    """Check that the values of a dict can be stored in a file.

    Parameters
    ----------
    tree : dict
    what : str
        Name of the dict, for the error message.

    Raises
    ------
    ValueError
        If a value cannot be stored; the message names its key.
    """
    for key, value in tree.items():
        try:
            asdf.AsdfFile({"value": value}).write_to(io.BytesIO())
        except Exception as error:  # converters of asdf may raise any exception
            raise ValueError(
                f"{what}[{key!r}] cannot be stored in a file: {error}. It can hold numbers, text, "
                "lists, dicts, arrays, tables and quantities"
            ) from None


def sniff_container(path: str | Path, kind: str) -> bool:
    """Return whether a file is a container of a kind, from its first bytes.

    Parameters
    ----------
    path : path-like
    kind : str

    Returns
    -------
    bool
    """
    path = Path(path).expanduser()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(2000)
    return head.startswith(b"#ASDF") and f"\n{kind}:".encode() in head


def read_container(path: str | Path, kind: str, skip: Collection[str] = ()) -> dict[str, Any]:
    """Read a tree that `write_container` wrote.

    Parameters
    ----------
    path : path-like
    kind : str
        Expected kind of the content.
    skip : collection of str
        Keys at the top of the tree that are not read.

    Returns
    -------
    dict
        With all arrays in memory.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a container of that kind, or is truncated or altered.
    """
    path = Path(path).expanduser()
    _require_container(path, kind)
    try:
        header, tree = _opened(path, kind, skip)
    except _OtherVersionError:
        raise
    except Exception as error:  # a damaged file may cause any exception
        reason = str(error).partition("\n")[0]  # without the schema that it may quote
        raise ValueError(
            f"{path} is damaged (truncated or altered) and was not read: {reason}"
        ) from error
    if tree is None or header.get("kind") != kind:
        content = header.get("kind") or "an ASDF file of another program"
        raise ValueError(f"{path} is not an astropayne {kind}: it is {content}")
    return tree


def _require_container(path: Path, kind: str) -> None:
    """Raise an error if a path is not an intact ASDF file, as far as its text says."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is not a file; an astropayne {kind} is one .asdf file")
    with path.open("rb") as file:
        if file.read(5) != b"#ASDF":
            raise ValueError(f"{path} is not an astropayne {kind}: it is not an ASDF file")
    if _is_altered(path):
        raise ValueError(f"{path} is damaged: the text before its arrays was altered")


def _opened(
    path: Path, kind: str, skip: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the header of a container, and its tree in memory if it is of that kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", asdf.exceptions.AsdfWarning)
        # Files written by a newer asdf can be read.
        warnings.simplefilter("ignore", asdf.exceptions.AsdfPackageVersionWarning)
        with (
            extension_enabled(),
            asdf.open(
                _without_stream(path), validate_checksums=True, lazy_load=True, memmap=False
            ) as file,
        ):
            header, tree = file.tree.get("astropayne", {}), file.tree.get(kind)
            _check_version(path, header)
            if tree is not None:
                tree = _in_memory({k: v for k, v in tree.items() if k not in skip})
            return dict(header), tree


class _OtherVersionError(ValueError):
    """A container whose format this version of astropayne cannot read."""


def _check_version(path: Path, header: Mapping[str, Any]) -> None:
    """Check the version first, because another one may differ in everything else."""
    version = header.get("format_version", _VERSION)
    if version != _VERSION:
        raise _OtherVersionError(
            f"{path} was written by {header.get('written_by')} in file format {version}; this "
            f"version, astropayne {__version__}, reads format {_VERSION}: "
            + ("update astropayne" if version > _VERSION else "write the file anew")
        )


def _in_memory(node: Any) -> Any:
    """Return a copy of a tree of dicts and lists with all arrays in memory."""
    if isinstance(node, dict):
        return {key: _in_memory(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_in_memory(value) for value in node]
    if isinstance(node, np.ndarray | Table):  # also a Quantity
        return node.copy()
    return np.array(node) if hasattr(node, "dtype") else node
