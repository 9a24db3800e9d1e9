# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Metadata of models: values that a file can hold, in a mapping that cannot be changed."""

import datetime
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from astropy.table import Table

from astropayne.io.container import check_storable

__all__ = ["FrozenMeta", "plain_meta", "storable_meta"]


class FrozenMeta(dict):
    """A dict that cannot be changed, and neither can the dicts, lists and arrays in it.

    Lists become tuples, arrays are copied and read-only. Otherwise it is a dict: it can be
    compared, pickled, and written as JSON; ``{**meta, "key": value}`` is a plain dict again.

    Parameters
    ----------
    meta : mapping
    """

    def __init__(self, meta: Mapping = ()) -> None:
        super().__init__({key: _frozen(value) for key, value in dict(meta).items()})

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(
            "the meta of a model cannot be changed in place: "
            "model.replace(meta={**model.meta, key: value}) returns a model with other meta"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple:
        return type(self), (dict(self),)


def plain_meta(value: Any) -> Any:
    """Return metadata with plain dicts and lists in place of frozen dicts and tuples."""
    if isinstance(value, Mapping):
        return {key: plain_meta(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_meta(item) for item in value]
    return value


def storable_meta(meta: Mapping, what: str) -> dict:
    """Return metadata that a model's file can hold.

    Numpy's numbers and bools become Python's, dates become text by ISO 8601, a masked value
    becomes `None`, and `None` values are left out of dicts.

    Parameters
    ----------
    meta : mapping
        The metadata.
    what : str
        Name of the metadata for the error, such as ``"grid.meta"``.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a value cannot be stored; the error names its key.
    """
    result = _storable(meta)
    check_storable(result, what)
    return result


def _storable(value: Any) -> Any:
    if value is np.ma.masked:
        return None
    if isinstance(value, Mapping):
        items = ((str(key), _storable(item)) for key, item in value.items())
        return {key: item for key, item in items if item is not None}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        return value.item()
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, FrozenMeta):
        return value
    if isinstance(value, Mapping):
        return FrozenMeta(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, Table):
        return value.copy()
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value
