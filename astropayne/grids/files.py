# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grid files of any size: flux written in blocks, read row by row, never all at once.

A grid file is an ASDF file whose last block is a stream of flux rows. What stands before it
(labels, names, metadata, checksums of the rows) is known only when the last row has come, so rows
are first collected in a file beside it.
"""

import copy
import os
import shutil
import tempfile
import threading
import weakref
import zlib
from pathlib import Path

import numpy as np
from asdf.tags.core import Stream

from astropayne.io.container import check_storable, read_container, write_tree
from astropayne.io.paths import naming, refuse_existing, replacing

__all__ = ["FluxFile", "GridWriter", "open_grid_file"]

_KIND = "SpectralGrid"
_CHUNK = 1 << 24  # bytes; each chunk of rows has a checksum
_BLOCK_HEADER = 54  # bytes before the data of a block, by the ASDF standard
_ALWAYS_VERIFIED = 1 << 30  # bytes that are checked whenever a file is opened


class GridWriter:
    """Write a grid file row by row, in a ``with`` block; nothing is left of it if that fails.

    Parameters
    ----------
    path : path-like
    n_pixels : int
    dtype : dtype
        Precision of the flux in the file.
    overwrite : bool
        Whether a file that is there may be replaced.
    meta : dict, optional
        Metadata that will be part of the file: what cannot be is found before all the work.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    ValueError
        If the metadata cannot be stored.
    """

    def __init__(self, path, n_pixels, dtype="float32", overwrite=False, meta=None):
        refuse_existing(path, overwrite)
        check_storable(meta or {}, "grid.meta")
        self.path, self.n_pixels = Path(path), n_pixels
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.n_rows, self.chunk_rows = 0, max(1, _CHUNK // (n_pixels * self.dtype.itemsize))
        self._checksums = []

    def __enter__(self):
        self._rows = tempfile.TemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.")
        return self

    def __exit__(self, *error):
        self._rows.close()

    def append(self, flux):
        """Add rows, shape (n, n_pixels); a precision that cannot hold them is an error."""
        if not np.can_cast(flux.dtype, self.dtype, "same_kind"):
            raise ValueError(f"flux of {flux.dtype} would be cut to whole numbers by {self.dtype}")
        with np.errstate(over="ignore", under="ignore"):
            rows = np.ascontiguousarray(flux, dtype=self.dtype)
        if (np.isinf(rows) & np.isfinite(flux)).any():
            raise ValueError(
                f"flux up to {np.nanmax(np.abs(flux)):.3g} is more than {self.dtype.name} holds "
                f"({np.finfo(self.dtype).max:.3g}): store it in a higher precision"
            )
        while len(rows):
            in_chunk = self.n_rows % self.chunk_rows
            if in_chunk == 0:
                self._checksums.append(0)
            part, rows = np.split(rows, [self.chunk_rows - in_chunk])
            with naming(self.path):
                self._rows.write(part)
            self._checksums[-1] = zlib.crc32(part, self._checksums[-1])
            self.n_rows += len(part)

    def finish(self, tree):
        """Write the file: what `append` was given, and a dict of everything else."""
        tree = {
            **tree,
            "n_spectra": self.n_rows,
            "dtype": self.dtype.str,
            "chunk_rows": self.chunk_rows,
            "checksums": self._checksums,
            "flux": Stream([self.n_pixels], self.dtype),
        }
        with replacing(self.path) as temporary:
            write_tree(temporary, _KIND, tree)
            self._rows.seek(0)
            with temporary.open("ab") as whole:
                shutil.copyfileobj(self._rows, whole, _CHUNK)


class _OpenFile:
    """A file that is read at any place, and that has to stay as it was when it was opened.

    It stays open, so that replacing it by another does no harm; a copy in another process opens it
    again, and is an error if it is another file by then.
    """

    def __init__(self, path):
        self.path = Path(path).absolute()
        self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._handle)
        self._lock, self._state = threading.Lock(), self._now()

    def _now(self):
        found = os.fstat(self._handle)
        return found.st_size, found.st_mtime_ns, found.st_ino

    def __getstate__(self):
        return {"path": self.path, "_state": self._state}

    def __setstate__(self, state):
        self.__init__(state["path"])
        self._state = state["_state"]

    def read_into(self, buffer, offset):
        """Fill a buffer with the bytes from an offset on."""
        if self._now() != self._state:
            raise ValueError(
                f"{self.path} has changed since the grid was opened: read it again with "
                "SpectralGrid.read. Before a file is written anew, grids that come from it can be "
                "taken into memory with grid.load()"
            )
        view = memoryview(buffer.reshape(-1).view(np.uint8))
        while len(view):  # the system reads 2 GB at most in one go
            count = self._read(view, offset)
            if count == 0:
                raise ValueError(f"{self.path} is damaged: it ends before its last spectrum")
            view, offset = view[count:], offset + count

    def _read(self, view, offset):
        if hasattr(os, "preadv"):  # several threads and forked processes may read at once
            return os.preadv(self._handle, [view], offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            content = os.read(self._handle, min(len(view), _CHUNK))
        view[: len(content)] = content
        return len(content)


class FluxFile(np.lib.mixins.NDArrayOperatorsMixin):
    """Flux of a grid file, as an array that stays on disk.

    Indexing reads the rows asked for, and gives what it would give of an array; `take` chooses rows
    without reading them. Everything else that arrays do (arithmetic, ``mean``, ``astype``…) reads
    it as a whole.

    Parameters
    ----------
    path : path-like
    offset : int
        Byte at which the first row starts.
    shape : tuple of int
        Rows and pixels.
    dtype : dtype
    """

    ndim = 2

    def __init__(self, path, offset, shape, dtype):
        self._file, self.offset, self.dtype = _OpenFile(path), offset, np.dtype(dtype)
        self._choose(np.arange(shape[0]), shape[1])

    def _choose(self, rows, n_pixels):
        self.rows, self.shape = rows, (len(rows), n_pixels)

    @property
    def path(self):
        """The file (`pathlib.Path`)."""
        return self._file.path

    @property
    def size(self):
        """Number of pixels of all spectra together."""
        return self.shape[0] * self.shape[1]

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<FluxFile: {self.shape[0]} x {self.shape[1]} {self.dtype} in {self.path}>"

    def take(self, index):
        """Return the flux of some of the rows; nothing is read."""
        other = copy.copy(self)  # of the same open file
        other._choose(self.rows[index], self.shape[1])
        return other

    def __getitem__(self, item):
        rows, *rest = item if isinstance(item, tuple) and item else (item,)
        if isinstance(rows, slice):
            return self._read(self.rows[rows])[(slice(None), *rest)]
        if isinstance(rows, int | np.integer):
            return self._read(self.rows[[rows]])[(0, *rest)]
        if not isinstance(rows, list | np.ndarray) or np.ndim(rows) != 1:
            return np.asarray(self)[item]  # rarities
        chosen = self.rows[rows]
        return self._read(chosen)[(np.arange(len(chosen)), *rest)]

    def __array__(self, dtype=None, copy=None):
        return self._read(self.rows).astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        arrays = [np.asarray(x) if isinstance(x, FluxFile) else x for x in inputs]
        if any(isinstance(x, FluxFile) for x in kwargs.get("out", ())):
            return NotImplemented  # a file is not written to
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getattr__(self, name):
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"FluxFile has no attribute {name!r}")
        array = np.asarray(self)
        array.flags.writeable = False  # what changes it in place would be lost
        return getattr(array, name)

    def _read(self, rows):
        """Read rows, neighbouring ones in one go."""
        flux = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        runs = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip([0, *runs], [*runs, len(rows)], strict=True):
            if first < last:
                start = int(rows[first]) * self.shape[1] * self.dtype.itemsize
                self._file.read_into(flux[first:last], self.offset + start)
        return flux


# What a grid file holds beside the flux.
_KEYS = (
    "chunk_rows",
    "checksums",
    "dtype",
    "label_names",
    "labels",
    "meta",
    "n_spectra",
    "names",
    "report",
    "wavelength",
)


def open_grid_file(path, verify=None):
    """Open a grid file without reading its flux.

    Parameters
    ----------
    path : path-like
    verify : bool, optional
        Whether to read the flux once and compare its checksums; by default up to 1 GB. That the
        file is complete is always checked.

    Returns
    -------
    tree : dict
        Everything but the flux.
    flux : FluxFile

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it is no grid, or it is truncated or altered.
    """
    tree = read_container(path, _KIND, skip=("flux",))
    missing = [key for key in _KEYS if key not in tree]
    if missing:
        raise ValueError(
            f"{path} is not a grid as this version writes them: it has no {', '.join(missing)}. "
            "Write it again with the version of astropayne that wrote it, or make it anew"
        )
    shape = (tree["n_spectra"], len(tree["wavelength"]))
    dtype = np.dtype(tree["dtype"])
    offset = os.path.getsize(path) - shape[0] * shape[1] * dtype.itemsize
    # The stream is the last block; where it should start, the mark of a block has to stand.
    with open(path, "rb") as file:
        file.seek(max(offset - _BLOCK_HEADER, 0))
        if offset < _BLOCK_HEADER or file.read(4) != b"\xd3BLK":
            raise ValueError(f"{path} is damaged (truncated or altered): spectra are missing")
    flux = FluxFile(path, offset, shape, dtype)
    if verify or (verify is None and os.path.getsize(path) <= _ALWAYS_VERIFIED):
        for i, checksum in enumerate(tree["checksums"]):
            first = i * tree["chunk_rows"]
            if zlib.crc32(flux[first : first + tree["chunk_rows"]]) != checksum:
                raise ValueError(
                    f"{path} is damaged: the flux of spectra {first} and following was altered"
                )
    return tree, flux
