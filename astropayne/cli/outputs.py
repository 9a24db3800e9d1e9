# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files that commands write: checked before the work, written after it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

__all__ = [
    "count",
    "refuse_ending",
    "refuse_existing",
    "refuse_picture",
    "refuse_pictures",
    "refuse_table",
    "save_axes",
    "save_figure",
]


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise an error if a file cannot be written, or exists and must not be replaced."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise click.ClickException(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise click.ClickException(f"{path} may not be written: its folder is read-only for you")
    if Path(path).exists() and not overwrite:
        raise click.ClickException(f"{path} exists already; --overwrite replaces it")


def refuse_table(path: str | Path | None, overwrite: bool) -> None:
    """Raise an error if a table is to be written and cannot be."""
    from astropayne.io.result_tables import writable_suffix

    if path is not None:
        writable_suffix(path)
        refuse_existing(path, overwrite)


def refuse_ending(path: str | Path, endings: Sequence[str], what: str) -> None:
    """Raise an error if the name of a file does not end in one of the given suffixes."""
    if Path(path).suffix.lower() not in endings:
        accepted = f"one of {', '.join(endings)}" if len(endings) > 1 else endings[0]
        raise click.ClickException(f"{path}: the name of a {what} must end in {accepted}")


def refuse_picture(path: str | Path, overwrite: bool) -> None:
    """Raise an error if a picture cannot be written, or is in no format of matplotlib."""
    from matplotlib.backend_bases import FigureCanvasBase

    refuse_existing(path, overwrite)
    endings = [f".{kind}" for kind in FigureCanvasBase.get_supported_filetypes()]
    refuse_ending(path, endings, "picture")


def refuse_pictures(folder: str | None, names: Iterable[str], overwrite: bool) -> None:
    """Raise an error if one of the pictures exists in the folder and must not be replaced."""
    if folder is None:
        return
    for name in names:
        path = Path(folder) / f"{name}.png"
        if path.exists():  # a folder that does not exist is made later
            refuse_existing(path, overwrite)


def save_axes(axes: "np.ndarray", path: str | Path) -> None:
    """Save the figure of an array of axes, and close it."""
    save_figure(axes.flat[0].figure, path)


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Save a figure, and close it."""
    import matplotlib.pyplot as plt

    from astropayne.io.paths import replacing

    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150)
    finally:
        plt.close(figure)


def count(number: int, what: str) -> str:
    """Return a number with a noun, in the plural unless the number is one."""
    return f"{number} {what}{'s' if number != 1 else ''}"
