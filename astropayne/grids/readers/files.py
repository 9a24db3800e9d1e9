# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Files of spectra and the rows of a table that name them."""

import re
from collections import Counter

import numpy as np

__all__ = ["match_files"]


def match_files(names, files, kind="file"):
    """Find the file of each row of a table of labels, in time linear in their number.

    Parameters
    ----------
    names : sequence of str
        What the rows say: a file's name, or that name without its extension; folders in front of
        it do not count where there is no such file.
    files : iterable of str
        Names of the files there are.
    kind : str
        What a file is called in the reasons, such as ``".spec file"``.

    Returns
    -------
    rows : list of int
        The rows that have one file, which no other row has.
    found : list of str
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
    rows, found, rejected = [], [], {}
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
            found.append(match)
    for file in sorted(files.difference(count)):
        rejected[file] = "has no row in the table of labels"
    return rows, found, rejected


def _text(name):
    """Return a name as text, empty if it is missing."""
    if type(name) is str:  # nearly all, and there may be many
        return name.strip()
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    missing = name is None or name is np.ma.masked or name != name  # only NaN is not itself
    return "" if missing else str(name).strip()
