# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Arrays in ``.npz`` files: mapped instead of read if possible, and never unpickled."""

import os
import struct
import zipfile
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["NpzSpectra", "labels_of_array", "npz_names", "read_array"]

_BLOCK = 1 << 28  # bytes of spectra that are read together if each is scattered over the file


def npz_names(path: str | os.PathLike) -> set[str]:
    """Return the names of the arrays in a file; an empty set if it is not an ``.npz`` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def read_array(path: str | os.PathLike, name: str) -> np.ndarray:
    """Read one array into memory.

    Parameters
    ----------
    path : path-like
    name : str
        Name of the array in the file.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError
        If there is no such array, or it cannot be read, or holds Python objects.
    """
    if name not in npz_names(path):
        raise ValueError(f"{path} is not an .npz file with an array {name!r}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        advice = (
            "it holds Python objects, which are never unpickled: save it as numbers or text"
            if "allow_pickle" in str(error)
            else str(error)
        )
        raise ValueError(f"array {name!r} of {path} cannot be read: {advice}") from None


class NpzSpectra:
    """Spectra in an array of an ``.npz`` file, which stay on disk until they are used.

    An array written by ``numpy.savez`` is mapped. One written by ``numpy.savez_compressed`` is
    read into memory as a whole.

    Parameters
    ----------
    path : path-like
    name : str
        Name of the array in the file.
    axis : {0, 1}
        Axis along which spectra follow each other.

    Raises
    ------
    ValueError
        If the array is not two-dimensional, or does not hold numbers.
    """

    def __init__(self, path: str | os.PathLike, name: str, axis: int = 0) -> None:
        self.path, self.name, self.axis = path, name, axis
        self._array: np.ndarray | None = None
        self._block: tuple[int, np.ndarray] | None = None
        if self.array.ndim != 2 or self.array.dtype.kind not in "fiu":
            raise ValueError(
                f"array {name!r} of {path} has shape {self.array.shape} and type "
                f"{self.array.dtype}: spectra must be a two-dimensional array of numbers"
            )

    def __getstate__(self) -> dict[str, Any]:  # other processes map the file again
        return {**self.__dict__, "_array": None, "_block": None}

    @property
    def array(self) -> np.ndarray:
        """The spectra, each along the last axis."""
        if self._array is None:
            array = _mapped(self.path, self.name)
            array = read_array(self.path, self.name) if array is None else array
            self._array = array.T if self.axis else array
        return self._array

    def __len__(self) -> int:
        return len(self.array)

    @property
    def n_pixels(self) -> int:
        """Number of pixels of a spectrum."""
        return self.array.shape[1]

    def __getitem__(self, i: int) -> np.ndarray:
        array = self.array
        if not isinstance(array, np.memmap) or array.strides[1] == array.itemsize:
            return np.array(array[i], dtype=float)
        # The pixels of a spectrum are far apart in the file: read its neighbors, too.
        size = max(1, _BLOCK // (array.itemsize * self.n_pixels))
        first = i - i % size
        if self._block is None or self._block[0] != first:
            self._block = first, np.array(array[first : first + size])
        return self._block[1][i - first].astype(float)


def _mapped(path: str | os.PathLike, name: str) -> np.memmap | None:
    """Map an array that is not compressed; `None` for a compressed or unusual one."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            if entry.compress_type != zipfile.ZIP_STORED:
                return None
            with archive.open(entry) as member:
                shape, fortran_order, dtype = _read_header(member)
                start = member.tell()
        with open(path, "rb") as file:
            file.seek(entry.header_offset)
            lengths = struct.unpack("<26x2H", file.read(30))  # of the name and the extra field
        start += entry.header_offset + 30 + sum(lengths)
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran_order else "C")
    except (OSError, KeyError, ValueError, struct.error, zipfile.BadZipFile):
        return None  # read_array reads it, or raises an error


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, fortran_order, dtype = read[np.lib.format.read_magic(member)](member)
    if dtype.hasobject or 0 in shape:
        raise ValueError(f"an array of {dtype} cannot be mapped")
    return shape, fortran_order, dtype


def labels_of_array(names: Sequence[str], values: npt.ArrayLike) -> "QTable":
    """Make a table of labels from an array.

    Parameters
    ----------
    names : sequence of str
        Names of the labels, in any spelling.
    values : array_like, shape (n_spectra, n_labels)
        Teff below 100 is taken to be in kK and converted to K.

    Returns
    -------
    `~astropy.table.QTable`

    Raises
    ------
    ValueError
        If a name is not that of a label, or is given twice.
    """
    from astropy.table import QTable

    from astropayne.labels.columns import is_in_kilokelvin, require_clear
    from astropayne.labels.names import Label

    labels = QTable()
    for name, column in zip(names, np.asarray(values, dtype=float).T, strict=True):
        try:
            require_clear(name, "it must be stated")
            label = Label(name)
        except ValueError as error:
            raise ValueError(f"{error}; give label_names=, the labels in their order") from None
        if label.name in labels.colnames:
            raise ValueError(f"label {label.name!r} is given twice (once as {name!r})")
        if label.name == "teff" and is_in_kilokelvin(column):
            column = 1000 * column
        labels[label.name] = label.column(column)
    return labels
