# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Masks of bad pixels: which columns they are, and what their values mean."""

import warnings
from collections.abc import Iterable

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.spectra.conventions.headers import exact_names, plain_name, role_patterns

__all__ = ["looks_like_mask", "mask_candidates", "mask_of_values"]

_MOST_MASKED = 0.5  # fraction of masked pixels above which the sense of a mask is doubted
_FEW = 10  # pixels; masks of shorter spectra are not doubted
_FEW_MARKED = 0.3  # fraction of pixels that are not zero in a column that may be a mask
_TEXT = {
    **dict.fromkeys(("true", "t", "1", "yes", "y"), True),
    **dict.fromkeys(("false", "f", "0", "no", "n", ""), False),
}
_PLAIN_TEXT = {
    **dict.fromkeys(("bad", "masked", "rejected"), True),
    **dict.fromkeys(("good", "ok", "unmasked", "valid"), False),
}


def mask_candidates(columns: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the mask among columns, by its role, and other columns that look like masks.

    A name of the package's table is taken first; of other names that suggest a mask, the only one.

    Parameters
    ----------
    columns : iterable of str

    Returns
    -------
    chosen : dict of str to str
        Name of the mask by its role, ``mask`` or ``good``; empty if there is none.
    unused : list of str

    Examples
    --------
    >>> from astropayne.spectra.conventions.masks import mask_candidates
    >>> mask_candidates(["wave", "flux", "mask", "line_flag"])
    ({'mask': 'mask'}, ['line_flag'])
    """
    names = {plain_name(name): name for name in reversed(list(columns))}
    exact = {role: exact_names(role) for role in ("mask", "good")}
    chosen: dict[str, str] = {}
    for role, known in exact.items():
        if name := next((names[plain] for plain in known if plain in names), None):
            chosen = {role: name}
            break
    like = {
        plain: name
        for plain, name in reversed(names.items())
        if any(plain in known for known in exact.values()) or _suggests_mask(plain)
    }
    clear = [plain for plain in like if not role_patterns("mask_unclear").search(plain)]
    if not chosen and len(clear) == 1:
        role = "good" if role_patterns("mask_good").search(clear[0]) else "mask"
        chosen = {role: like[clear[0]]}
    used = {plain_name(name) for name in chosen.values()}
    alternative = {"or_mask", "ormask"} if used & {"and_mask", "andmask"} else set()
    return chosen, [name for plain, name in like.items() if plain not in used | alternative]


def _suggests_mask(plain: str) -> bool:
    return role_patterns("mask_like").search(plain) is not None


def looks_like_mask(values: np.ndarray, name: str) -> bool:
    """Return whether the values of a column that is not used may be a mask.

    Parameters
    ----------
    values : numpy.ndarray
        Values of the column.
    name : str
        Its name.

    Returns
    -------
    bool
        True for Boolean values, and for integers if the name suggests a mask.
    """
    values = np.ma.asarray(values)
    if values.ndim != 1 or not values.size or plain_name(name) in exact_names("not_mask"):
        return False
    if values.dtype.kind == "b":
        return True
    return values.dtype.kind in "iu" and (
        _suggests_mask(plain_name(name)) or 0 < np.mean(np.ma.getdata(values) != 0) < _FEW_MARKED
    )


def mask_of_values(
    column: np.ndarray, name: str, path: object, *, good: bool = False, usable: np.ndarray
) -> np.ndarray:
    """Return a mask from a column; pixels without a value are masked.

    Parameters
    ----------
    column : array_like
        Numbers, or text with true and false.
    name : str
        Name of the column, for errors.
    path : path-like
        Name of the file, for errors.
    good : bool
        Whether good pixels are those that are not zero.
    usable : numpy.ndarray of bool
        Pixels whose flux and uncertainty can be used.

    Returns
    -------
    numpy.ndarray of bool
        True where a pixel is bad.

    Raises
    ------
    ValueError
        If the column has other text.

    Warns
    -----
    astropy.utils.exceptions.AstropyUserWarning
        If most usable pixels are masked. If exactly those are, values other than zero are taken
        to mark good pixels.
    """
    values = np.ma.asarray(column)
    missing = np.ma.getmaskarray(values)
    data = np.asarray(values.data)
    if data.dtype.kind in "biuf":
        nonzero = data != 0
    else:
        text = np.char.lower(np.char.strip(data.astype(str)))
        if not set(text[~missing].tolist()) - _PLAIN_TEXT.keys():
            return missing | np.isin(text, [word for word, bad in _PLAIN_TEXT.items() if bad])
        if odd := sorted(set(text[~missing].tolist()) - _TEXT.keys()):
            raise ValueError(
                f"{path}: column {name!r} has {odd[0]!r}: a mask has numbers, of which "
                "zero is a good pixel, or true and false; call the column something else if it is "
                "not a mask"
            )
        nonzero = np.isin(text, [word for word, yes in _TEXT.items() if yes])
    mask = missing | (~nonzero if good else nonzero)
    n_usable, n_left = np.count_nonzero(usable), np.count_nonzero(usable & ~mask)
    if n_usable > _FEW and n_left < (1 - _MOST_MASKED) * n_usable:
        inverted = not good and n_left == 0 and not (usable ^ nonzero).any() and not usable.all()
        advice = (
            "values other than zero are therefore taken to mark good pixels"
            if inverted
            else f"if {'zero marks' if good else 'values other than zero mark'} good pixels, give "
            f"columns={{{'mask' if good else 'good'!r}: {name!r}}}"
        )
        warnings.warn(
            f"{path}: column {name!r} masks {n_usable - n_left} of {n_usable} usable pixels; "
            f"{advice}",
            AstropyUserWarning,
            stacklevel=4,
        )
        mask = missing | ~nonzero if inverted else mask
    return mask
