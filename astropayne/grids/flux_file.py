# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FluxFile`: flux in a file as an array that is read row by row, never all at once."""

import copy
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FluxFile"]

_MOST = 1 << 24  # bytes that are read in one go where the system cannot read at a place


class _OpenFile:
    """A file that is read at any position and must not change while it is open.

    The file stays open, so replacing it by another does no harm. A copy in another process opens
    the path again, and raises an error if the file is a different one by then.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path).absolute()
        self._handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._handle)
        self._lock, self._state = threading.Lock(), self._now()

    def _now(self) -> tuple[int, int, int]:
        """Return what identifies the content of the file: size, time of change, inode."""
        status = os.fstat(self._handle)
        return status.st_size, status.st_mtime_ns, status.st_ino

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_state": self._state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])
        self._state = state["_state"]

    def read_into(self, buffer: np.ndarray, offset: int) -> None:
        """Fill an array with the bytes that start at an offset."""
        if self._now() != self._state:
            raise ValueError(
                f"{self.path} has changed since the grid was opened: read it again with "
                "SpectralGrid.read. To replace a file that a grid comes from, load the grid into "
                "memory first with grid.load()"
            )
        view = memoryview(buffer.reshape(-1).view(np.uint8))
        while len(view):  # one call reads at most 2 GB
            count = self._read(view, offset)
            if count == 0:
                raise ValueError(f"{self.path} is damaged: it ends before the last spectrum")
            view, offset = view[count:], offset + count

    def _read(self, view: memoryview, offset: int) -> int:
        """Read into the view and return the number of bytes."""
        if hasattr(os, "preadv"):  # safe for several threads and forked processes
            return os.preadv(self._handle, [view], offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            content = os.read(self._handle, min(len(view), _MOST))
        view[: len(content)] = content
        return len(content)


class FluxFile(np.lib.mixins.NDArrayOperatorsMixin):
    """Flux of a grid file, as a read-only array that stays on disk.

    Indexing reads the selected rows and returns the same values as indexing an array. `take`
    selects rows without reading them. All other operations on arrays (arithmetic, ``mean``,
    ``astype``, …) read the whole flux.

    Parameters
    ----------
    path : path-like
        File with the flux.
    offset : int
        Position of the first row, in bytes.
    shape : tuple of int
        Numbers of rows and pixels.
    dtype : dtype
        Precision of the flux in the file.

    Raises
    ------
    ValueError
        When rows are read, if the file has changed since it was opened or ends too early.
    """

    ndim = 2

    def __init__(
        self,
        path: str | os.PathLike,
        offset: int,
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
    ) -> None:
        self._file, self.offset, self.dtype = _OpenFile(path), offset, np.dtype(dtype)
        self._choose(np.arange(shape[0]), shape[1])

    def _choose(self, rows: np.ndarray, n_pixels: int) -> None:
        self.rows, self.shape = rows, (len(rows), n_pixels)

    @property
    def path(self) -> Path:
        """The file (`pathlib.Path`)."""
        return self._file.path

    @property
    def size(self) -> int:
        """Number of pixels of all spectra."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<FluxFile: {self.shape[0]} x {self.shape[1]} {self.dtype} in {self.path}>"

    def take(self, index: npt.ArrayLike) -> "FluxFile":
        """Return the flux of some of the rows without reading it."""
        other = copy.copy(self)  # shares the open file
        other._choose(self.rows[index], self.shape[1])
        return other

    def __getitem__(self, item: Any) -> np.ndarray:
        rows, *rest = item if isinstance(item, tuple) and item else (item,)
        if isinstance(rows, slice):
            return self._read(self.rows[rows])[(slice(None), *rest)]
        if isinstance(rows, int | np.integer):
            return self._read(self.rows[[rows]])[(0, *rest)]
        if not isinstance(rows, list | np.ndarray) or np.ndim(rows) != 1:
            return np.asarray(self)[item]  # unusual indices
        chosen = self.rows[rows]
        return self._read(chosen)[(np.arange(len(chosen)), *rest)]

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> np.ndarray:
        return self._read(self.rows).astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        arrays = [np.asarray(x) if isinstance(x, FluxFile) else x for x in inputs]
        if any(isinstance(x, FluxFile) for x in kwargs.get("out", ())):
            return NotImplemented  # the file is read-only
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"FluxFile has no attribute {name!r}")
        array = np.asarray(self)
        array.flags.writeable = False  # changes in place would be lost
        return getattr(array, name)

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Read rows; adjacent ones are read together."""
        flux = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        runs = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip([0, *runs], [*runs, len(rows)], strict=True):
            if first < last:
                start = int(rows[first]) * self.shape[1] * self.dtype.itemsize
                self._file.read_into(flux[first:last], self.offset + start)
        return flux
