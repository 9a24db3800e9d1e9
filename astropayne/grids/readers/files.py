# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Matching files of spectra with the rows of a table that name them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["match_files"]


def match_files(
    names: Sequence[Any], files: Iterable[str], kind: str = "file"
) -> tuple[list[int], list[str], dict[str, str]]:
    """Match the rows of a table of labels with files, in time linear in their number.

    Parameters
    ----------
    names : sequence of str
        Name of the file in each row, with or without its extension. Folders in front of it are
        ignored if there is no such file.
    files : iterable of str
        Names of the existing files.
    kind : str
        How reasons call a file, such as ``".spec file"``.

    Returns
    -------
    rows : list of int
        Rows that match exactly one file, which no other row matches.
    matched : list of str
        Names of their files.
    rejected : dict of str to str
        Name and reason of every other row and file.

    Examples
    --------
    >>> from astropayne.grids.readers.files import match_files
    >>> match_files(["a", "b.txt", "d"], ["a.txt", "b.txt", "c.txt"])[:2]
    ([0, 1], ['a.txt', 'b.txt'])
    """
    files = set(files)
    by_stem = [(file.rpartition(".")[0] or file, file) for file in files]
    stems = Counter(stem for stem, _ in by_stem)
    by_name = {stem: file for stem, file in by_stem if stems[stem] == 1}
    by_name.update(zip(files, files, strict=True))
    texts = [_text(name) for name in names]
    matches = [by_name.get(text) or by_name.get(re.split(r"[/\\]", text)[-1]) for text in texts]
    count = Counter(match or text for match, text in zip(matches, texts, strict=True))
    rows, matched, rejected = [], [], {}
    for row, (text, match) in enumerate(zip(texts, matches, strict=True)):
        if not text:
            rejected[f"row {row + 1}"] = "has no name in the table of labels"
        elif count[match or text] > 1:
            rejected[match or text] = "has more than one row in the table of labels"
        elif stems[text] > 1 and match is None:
            rejected[text] = f"is in the table of labels, but may be any of {stems[text]} files"
        elif match is None:
            rejected[text] = f"is in the table of labels, but there is no such {kind}"
        else:
            rows.append(row)
            matched.append(match)
    for file in sorted(files.difference(count)):
        rejected[file] = "has no row in the table of labels"
    return rows, matched, rejected


def _text(name: Any) -> str:
    """Return a name as text, empty if it is missing."""
    if type(name) is str:  # the common case, which should be fast
        return name.strip()
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    missing = name is None or name is np.ma.masked or name != name  # only NaN is not itself
    return "" if missing else str(name).strip()
