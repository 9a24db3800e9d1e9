# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grid files of any size: flux written in blocks, read row by row, never all at once.

A grid file is an ASDF file whose last block is a stream of flux rows. What stands before it
(labels, names, metadata, checksums of the rows) is known only when the last row has come, so rows
are first collected in a file beside it.
"""

import os
import shutil
import tempfile
import zlib
from pathlib import Path

import asdf
import numpy as np
from asdf.tags.core import Stream

from astropayne.formats.container import (
    container_header,
    read_container,
    refuse_existing,
    replacing,
)

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

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is not set.
    """

    def __init__(self, path, n_pixels, dtype="float32", overwrite=False):
        refuse_existing(path, overwrite)
        self.path, self.n_pixels = Path(path), n_pixels
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.n_rows, self.chunk_rows = 0, max(1, _CHUNK // (n_pixels * self.dtype.itemsize))
        self._checksums, self._pending = [], []

    def __enter__(self):
        self._rows = tempfile.TemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.")
        return self

    def __exit__(self, *error):
        self._rows.close()

    def append(self, flux):
        """Add rows, shape (n, n_pixels)."""
        for row in np.asarray(flux, dtype=self.dtype):
            self._pending.append(row)
            if len(self._pending) == self.chunk_rows:
                self._flush()

    def _flush(self):
        data = np.array(self._pending, dtype=self.dtype).tobytes()
        self._rows.write(data)
        self._checksums.append(zlib.crc32(data))
        self.n_rows += len(self._pending)
        self._pending = []

    def finish(self, tree):
        """Write the file: what `append` was given, and a dict of everything else."""
        if self._pending:
            self._flush()
        tree = {
            **tree,
            "n_spectra": self.n_rows,
            "dtype": self.dtype.str,
            "chunk_rows": self.chunk_rows,
            "checksums": self._checksums,
            "flux": Stream([self.n_pixels], self.dtype),
        }
        with replacing(self.path) as temporary:
            with asdf.AsdfFile({**container_header(_KIND), _KIND: tree}) as file:
                file.write_to(temporary)
            self._rows.seek(0)
            with temporary.open("ab") as whole:
                shutil.copyfileobj(self._rows, whole, _CHUNK)


class FluxFile:
    """Flux of a grid file, as an array that stays on disk.

    Indexing reads the rows asked for; `take` chooses rows without reading them.

    Parameters
    ----------
    path : path-like
    offset : int
        Byte at which the first row starts.
    shape : tuple of int
        Rows and pixels.
    dtype : dtype
    rows : numpy.ndarray of int, optional
        Which rows of the file these are; all by default.
    """

    ndim = 2

    def __init__(self, path, offset, shape, dtype, rows=None):
        self.path, self.offset, self.dtype = Path(path), offset, np.dtype(dtype)
        self.rows = np.arange(shape[0]) if rows is None else np.asarray(rows)
        self.shape = (len(self.rows), shape[1])

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<FluxFile: {self.shape[0]} x {self.shape[1]} {self.dtype} in {self.path}>"

    def take(self, index):
        """Return the flux of some of the rows; nothing is read."""
        return FluxFile(self.path, self.offset, self.shape, self.dtype, self.rows[index])

    def __getitem__(self, item):
        rows, rest = (item[0], item[1:]) if isinstance(item, tuple) else (item, ())
        chosen = self.rows[rows]
        flux = self._read(np.atleast_1d(chosen))
        if np.ndim(chosen) == 0:
            return flux[(0, *rest)]
        return flux[(slice(None), *rest)]

    def __array__(self, dtype=None, copy=None):
        return self._read(self.rows).astype(dtype or self.dtype, copy=False)

    def _read(self, rows):
        """Read rows, neighbouring ones in one go."""
        flux = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        size = self.shape[1] * self.dtype.itemsize
        runs = np.flatnonzero(np.diff(rows) != 1) + 1
        with self.path.open("rb", buffering=0) as file:
            for first, last in zip([0, *runs], [*runs, len(rows)], strict=True):
                if first < last:
                    file.seek(self.offset + int(rows[first]) * size)
                    if file.readinto(flux[first:last]) != (last - first) * size:
                        raise ValueError(
                            f"{self.path} is damaged: it ends before its last spectrum"
                        )
        return flux


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
            if zlib.crc32(flux[first : first + tree["chunk_rows"]].tobytes()) != checksum:
                raise ValueError(
                    f"{path} is damaged: the flux of spectra {first} and following was altered"
                )
    return tree, flux
