# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Grid files of any size: flux is written in blocks, so that memory never holds all of it.

A grid file is an ASDF file whose last block is a stream of flux rows. Labels, names, metadata and
checksums of the rows come first but are known only after the last row, so rows are collected in a
temporary file in the same folder.
"""

import os
import shutil
import tempfile
import zlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from asdf.tags.core import Stream
from astropy.table import QTable

from astropayne.grids.data import GridData
from astropayne.grids.flux_file import FluxFile
from astropayne.io.container import check_storable, read_container, write_tree
from astropayne.io.paths import naming, refuse_existing, replacing
from astropayne.labels.columns import label_values
from astropayne.labels.names import Label
from astropayne.plugins.interfaces import GridSource

__all__ = ["FluxArray", "GridWriter", "collector", "open_grid_file", "write_grid_file"]

_KIND = "SpectralGrid"
_CHUNK = 1 << 24  # bytes; each chunk of rows has a checksum
_BLOCK_HEADER = 54  # bytes before the data of a block, by the ASDF standard
_ALWAYS_VERIFIED = 1 << 30  # bytes; smaller files are verified whenever they are opened
_KEYS = (  # of the tree of a grid file, apart from the flux
    *("chunk_rows", "checksums", "dtype", "label_names", "labels", "meta", "n_spectra", "names"),
    *("report", "wavelength"),
)


class FluxArray:
    """Collect rows of flux in memory.

    Parameters
    ----------
    n_rows, n_pixels : int
        The largest number of rows, and pixels in each.
    dtype : dtype
        Precision of the flux.
    """

    def __init__(self, n_rows: int, n_pixels: int, dtype: npt.DTypeLike = "float32") -> None:
        self._flux, self.n_rows = np.empty((n_rows, n_pixels), dtype), 0

    def append(self, flux: np.ndarray) -> None:
        """Add rows, shape (n, n_pixels)."""
        self._flux[self.n_rows : self.n_rows + len(flux)] = flux
        self.n_rows += len(flux)

    def finish(self, data: GridData) -> GridData:
        """Return the grid with the collected flux in place of its own."""
        return replace(data, flux=self._flux[: self.n_rows])


class GridWriter:
    """Write a grid file row by row, in a ``with`` block; if that fails, no file is left.

    Parameters
    ----------
    path : path-like
        File to write.
    n_pixels : int
        Pixels of each row.
    dtype : dtype
        Precision of the flux in the file.
    overwrite : bool
        Whether an existing file may be replaced.
    meta : dict, optional
        Metadata that will be stored; entries that cannot be stored raise an error at once.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is not set.
    ValueError
        If the metadata cannot be stored.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        n_pixels: int,
        dtype: npt.DTypeLike = "float32",
        overwrite: bool = False,
        meta: dict[str, Any] | None = None,
    ) -> None:
        refuse_existing(path, overwrite)
        check_storable(meta or {}, "grid.meta")
        self.path, self.n_pixels = Path(path).expanduser(), n_pixels
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.n_rows, self.chunk_rows = 0, max(1, _CHUNK // (n_pixels * self.dtype.itemsize))
        self._checksums: list[int] = []

    def __enter__(self) -> "GridWriter":
        self._rows = tempfile.TemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rows.close()

    def append(self, flux: np.ndarray) -> None:
        """Add rows.

        Parameters
        ----------
        flux : numpy.ndarray, shape (n, n_pixels)

        Raises
        ------
        ValueError
            If the precision of the file does not hold them.
        """
        rows = self._in_precision(flux)
        while len(rows):
            in_chunk = self.n_rows % self.chunk_rows
            if in_chunk == 0:
                self._checksums.append(0)
            part, rows = np.split(rows, [self.chunk_rows - in_chunk])
            with naming(self.path):
                self._rows.write(part)
            self._checksums[-1] = zlib.crc32(part, self._checksums[-1])
            self.n_rows += len(part)

    def _in_precision(self, flux: np.ndarray) -> np.ndarray:
        if not np.can_cast(flux.dtype, self.dtype, "same_kind"):
            raise ValueError(f"flux of {flux.dtype} would be cut to whole numbers by {self.dtype}")
        with np.errstate(over="ignore", under="ignore"):
            rows = np.ascontiguousarray(flux, dtype=self.dtype)
        if (np.isinf(rows) & np.isfinite(flux)).any():
            raise ValueError(
                f"flux up to {np.nanmax(np.abs(flux)):.3g} is more than {self.dtype.name} holds "
                f"({np.finfo(self.dtype).max:.3g}): store it in a higher precision"
            )
        return rows

    def finish(self, data: GridData) -> GridData:
        """Write the file, with the appended rows in place of the flux of the grid.

        Parameters
        ----------
        data : GridData
            Everything but the flux.

        Returns
        -------
        GridData
            The same grid, its flux in the new file.
        """
        tree = {
            **_tree(data),
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
        shape = self.n_rows, self.n_pixels
        offset = _offset(self.path, shape, self.dtype)
        return replace(data, flux=FluxFile(self.path, offset, shape, self.dtype))


def _tree(data: GridData) -> dict[str, Any]:
    """Return everything but the flux, as plain values and arrays."""
    return {
        "meta": data.info.to_meta(),
        "names": np.array(data.names, dtype=str),  # a list of 400 000 takes YAML many seconds
        "label_names": list(data.labels.colnames),
        "labels": label_values(data.labels),
        "report": {name: np.array(c, dtype=str) for name, c in data.report.items()},
        "wavelength": data.wavelength,
    }


def collector(
    output: str | os.PathLike | None,
    overwrite: bool,
    n_rows: int,
    n_pixels: int,
    dtype: npt.DTypeLike,
    meta: dict[str, Any],
) -> Any:
    """Return a context manager that collects rows of flux.

    Parameters
    ----------
    output : path-like or None
        File to write; `None` to stay in memory.
    overwrite : bool
        Whether an existing file may be replaced.
    n_rows, n_pixels : int
        The largest number of rows, and pixels in each.
    dtype : dtype
        Precision of the flux.
    meta : dict
        Metadata that will be stored.

    Returns
    -------
    context manager
        Of a `FluxArray` or a `GridWriter`, which have the methods ``append`` and ``finish``.
    """
    if output is None:
        return nullcontext(FluxArray(n_rows, n_pixels, dtype))
    return GridWriter(output, n_pixels, dtype, overwrite, meta)


def write_grid_file(
    data: GridData,
    path: str | os.PathLike,
    *,
    overwrite: bool = False,
    dtype: npt.DTypeLike | None = None,
) -> GridData:
    """Write a grid file.

    Parameters
    ----------
    data : GridData
    path : path-like
    overwrite : bool
        Whether an existing file may be replaced.
    dtype : dtype, optional
        Precision of the flux in the file; by default that of the grid.

    Returns
    -------
    GridData
        The same grid, its flux in the new file.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is not set.
    ValueError
        If the metadata cannot be stored, or the precision does not hold the flux.
    """
    dtype = data.flux.dtype if dtype is None else dtype
    writer = GridWriter(path, len(data.wavelength), dtype, overwrite, data.info.to_meta())
    with writer:
        for block in data.flux_blocks():
            writer.append(block)
        return writer.finish(data)


def open_grid_file(path: str | os.PathLike, verify: bool | None = None) -> GridSource:
    """Open a grid file without reading its flux.

    Parameters
    ----------
    path : path-like
    verify : bool, optional
        Whether to read the flux once and compare its checksums; by default for files up to 1 GB.
        Whether the file is complete is always checked.

    Returns
    -------
    GridSource
        With its flux on disk.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a grid, or is truncated or altered.
    """
    path = Path(path).expanduser()
    tree = read_container(path, _KIND, skip=("flux",))
    missing = [key for key in _KEYS if key not in tree]
    if missing:
        raise ValueError(
            f"{path} is not a grid as this version writes them: it has no {', '.join(missing)}. "
            "Write it again with the version of astropayne that wrote it, or create it again"
        )
    shape, dtype = (tree["n_spectra"], len(tree["wavelength"])), np.dtype(tree["dtype"])
    flux = FluxFile(path, _offset(path, shape, dtype), shape, dtype)
    if verify or (verify is None and os.path.getsize(path) <= _ALWAYS_VERIFIED):
        _verify(path, flux, tree["checksums"], tree["chunk_rows"])
    columns = zip(tree["label_names"], np.array(tree["labels"]).T, strict=True)
    names, reasons = (map(str, tree["report"][key]) for key in ("name", "reason"))
    return GridSource(
        names=[str(name) for name in tree["names"]],
        labels=QTable({name: Label(name).column(values) for name, values in columns}),
        meta=_present_names(tree["meta"]),
        rejected=list(zip(names, reasons, strict=True)),
        wavelength=tree["wavelength"],
        flux=flux,
    )


def _present_names(meta: dict[str, Any]) -> dict[str, Any]:
    """Return metadata under their present names; older files have British ones."""
    return {{"normalised": "normalized"}.get(key, key): value for key, value in meta.items()}


def _offset(path: str | os.PathLike, shape: tuple[int, int], dtype: np.dtype) -> int:
    """Return the position of the first row; the stream of rows is the last block of a file."""
    offset = os.path.getsize(path) - shape[0] * shape[1] * dtype.itemsize
    with open(path, "rb") as file:
        file.seek(max(offset - _BLOCK_HEADER, 0))
        if offset < _BLOCK_HEADER or file.read(4) != b"\xd3BLK":  # a block must start there
            raise ValueError(f"{path} is damaged (truncated or altered): spectra are missing")
    return offset


def _verify(path: str | os.PathLike, flux: FluxFile, checksums: list[int], rows: int) -> None:
    for i, checksum in enumerate(checksums):
        if zlib.crc32(flux[i * rows : (i + 1) * rows]) != checksum:
            raise ValueError(
                f"{path} is damaged: the flux of spectra from number {i * rows} on was altered"
            )
