# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Progress bars, the same everywhere in the package."""

from typing import Any

from tqdm.auto import tqdm

__all__ = ["progress_bar"]


def progress_bar(
    total: float | None, description: str, progress: bool | None = None, **options: Any
) -> tqdm:
    """Return a progress bar, which is shown on a terminal or in a notebook by default.

    Parameters
    ----------
    total : float or None
        Total number of steps; `None` if unknown.
    description : str
        Description of the activity, such as ``"reading spectra"``.
    progress : bool, optional
        Whether to show the bar; by default only if the output is a terminal.
    **options
        Other options of `tqdm.tqdm`.

    Returns
    -------
    tqdm.tqdm
        The bar, for use in a ``with`` block; its ``update(n)`` advances it.

    Examples
    --------
    >>> from astropayne.utils.progress import progress_bar
    >>> with progress_bar(3, "counting", progress=False) as bar:
    ...     for _ in range(3):
    ...         _ = bar.update()
    """
    hidden = None if progress is None else not progress
    return tqdm(total=total, desc=description, disable=hidden, **options)
