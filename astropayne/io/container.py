# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The ASDF container of our files: written beside and renamed, checked when read, no pickle."""

import io
import re
import struct
import warnings
import zlib
from pathlib import Path

import asdf
import numpy as np
from astropy.table import Table

from astropayne import __version__
from astropayne.io.paths import refuse_existing, replacing

__all__ = ["check_storable", "read_container", "sniff_container", "write_container", "write_tree"]

_VERSION = 1
# The checksum of a file's text stands in that text; it is computed with this in its place.
_SEAL, _OPEN = "text_checksum", "unsealed"
_SEALED = re.compile(rb"text_checksum: (\w{8})")
# What a block begins with, by the ASDF standard: the size of the rest of its header, flags, the
# size of its data.
_BLOCK, _STREAMED = struct.Struct(">4xHI4xQ"), 1
_PART, _LONGEST = 1 << 20, 1 << 28  # bytes


def write_container(path, kind, tree, overwrite=False):
    """Write a tree of plain values, tables and arrays.

    Parameters
    ----------
    path : path-like
        The file.
    kind : str
        What is in it, such as ``"PayneModel"``.
    tree : dict
        Its content. Arrays are stored uncompressed, each with a checksum.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    """
    refuse_existing(path, overwrite)
    with replacing(path) as temporary:
        write_tree(temporary, kind, tree)


def write_tree(path, kind, tree):
    """Write a tree to a new file, with a checksum of its text; arrays have their own by ASDF."""
    version = f"astropayne {__version__}"
    header = {"kind": kind, "format_version": _VERSION, "written_by": version, _SEAL: _OPEN}
    with asdf.AsdfFile({"astropayne": header, kind: tree}) as file:
        file.write_to(path)
    with open(path, "r+b") as file:
        text = _text(file)
        match = _SEALED.search(text)
        file.seek(match.start(1))
        file.write(f"{zlib.crc32(text):08x}".encode())


def _text(file):
    """Read the text that an ASDF file begins with."""
    text = b""
    while b"\n...\n" not in text[-_PART:] and len(text) < _LONGEST:
        if not (part := file.read(_PART // 2)):
            break
        text += part
    return text.partition(b"\n...\n")[0]


def _without_stream(path):
    """Return a file that ends where a stream of rows begins; asdf would look through all of it."""
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


def _is_altered(path):
    """Say whether the text of a file is not what its checksum says; files may have none."""
    with open(path, "rb") as file:
        text = _text(file)
    match = _SEALED.search(text)
    if not match:
        return False
    original = text[: match.start(1)] + _OPEN.encode() + text[match.end(1) :]
    return f"{zlib.crc32(original):08x}".encode() != match[1]


def check_storable(tree, what):
    """Raise `ValueError` if a dict cannot be stored, naming the key that cannot.

    Parameters
    ----------
    tree : dict
    what : str
        What it is, for the error.
    """
    for key, value in tree.items():
        try:
            asdf.AsdfFile({"value": value}).write_to(io.BytesIO())
        except Exception as error:  # asdf's converters raise what they like
            raise ValueError(
                f"{what}[{key!r}] cannot be stored in a file: {error}. It can hold numbers, text, "
                "lists, dicts, arrays, tables and quantities"
            ) from None


def sniff_container(path, kind):
    """Say whether a file is one of ours and of this kind, from its first bytes."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(2000)
    return head.startswith(b"#ASDF") and f"\n{kind}:".encode() in head


def read_container(path, kind, skip=()):
    """Read a tree that `write_container` has written.

    Parameters
    ----------
    path : path-like
    kind : str
        What is expected in it.
    skip : sequence of str
        Arrays at the top of the tree that are not to be read.

    Returns
    -------
    dict
        With all arrays in memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, of another kind, truncated or altered.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise ValueError(f"{path} is not a file; an astropayne {kind} is one .asdf file")
    with path.open("rb") as file:
        if file.read(5) != b"#ASDF":
            raise ValueError(f"{path} is not an astropayne {kind}: it is not an ASDF file")
    if _is_altered(path):
        raise ValueError(f"{path} is damaged: what it says before its arrays was altered")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", asdf.exceptions.AsdfWarning)
            # A file written by a newer asdf is none the worse for it.
            warnings.simplefilter("ignore", asdf.exceptions.AsdfPackageVersionWarning)
            with asdf.open(
                _without_stream(path), validate_checksums=True, lazy_load=True, memmap=False
            ) as file:
                header, tree = file.tree.get("astropayne", {}), file.tree.get(kind)
                _check_version(path, header)
                if tree is not None:
                    tree = _in_memory({k: v for k, v in tree.items() if k not in skip})
    except _OtherVersionError:
        raise
    except Exception as error:  # whatever the reader makes of a file that is not whole
        raise ValueError(
            f"{path} is damaged (truncated or altered) and was not read: {error}"
        ) from error
    if tree is None or header.get("kind") != kind:
        found = header.get("kind") or "an ASDF file of some other program"
        raise ValueError(f"{path} is not an astropayne {kind}: it is {found}")
    return tree


class _OtherVersionError(ValueError):
    """A file of ours that this version cannot read."""


def _check_version(path, header):
    """Look at the version first: a later one may differ in anything else."""
    version = header.get("format_version", _VERSION)
    if version != _VERSION:
        raise _OtherVersionError(
            f"{path} was written by {header.get('written_by')} in file format {version}; this "
            f"version, astropayne {__version__}, reads format {_VERSION}: "
            + ("update astropayne" if version > _VERSION else "write the file anew")
        )


def _in_memory(node):
    """Return a copy of a tree of dicts and lists, its arrays read."""
    if isinstance(node, dict):
        return {key: _in_memory(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_in_memory(value) for value in node]
    if isinstance(node, np.ndarray | Table):  # also a Quantity
        return node.copy()
    return np.array(node) if hasattr(node, "dtype") else node
