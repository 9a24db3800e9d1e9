# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Solar abundance scales.

Three labels describe the abundance of an element: ``X_Fe`` is [X/Fe], ``X_H`` is [X/H], and
``A_X`` is A(X) = log10(N_X / N_H) + 12. The first two are relative to the Sun and have a meaning
only together with a solar scale: the same spectrum has another [X/Fe] on another scale, but the
same A(X).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from astropayne.labels.names import ELEMENTS

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = [
    "SOLAR_SCALES",
    "MissingAbundanceError",
    "SolarLike",
    "SolarScale",
    "same_scale",
    "solar_scale",
]


class MissingAbundanceError(KeyError, ValueError):
    """The solar abundance of an element is needed, but the solar scale does not contain it."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message in quotes


@dataclass(frozen=True, eq=False, repr=False)
class SolarScale(Mapping[str, float]):
    """Solar abundances A(X) = log10(N_X / N_H) + 12, by element: a read-only mapping.

    Parameters
    ----------
    name : str
        Name of the scale.
    abundances : mapping of str to float
        A(X) by element symbol.
    citation : str, optional
        Source of the abundances.
    meteoritic : iterable of str, optional
        Elements whose abundance is measured in meteorites instead of the solar photosphere.

    Raises
    ------
    ValueError
        If a key is not an element, an abundance is not finite, or A(H) is not 12.

    Examples
    --------
    >>> from astropayne.labels.solar import SolarScale, solar_scale
    >>> sun = solar_scale("magg2022")
    >>> sun["Li"], sun["Fe"]
    (1.05, 7.5)
    >>> mine = SolarScale("mine", {**sun, "Li": 1.1})
    >>> mine
    <SolarScale 'mine': 83 elements>
    """

    name: str
    abundances: Mapping[str, float]
    citation: str = ""
    meteoritic: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        checked = {
            element: _checked_abundance(self.name, element, value)
            for element, value in self.abundances.items()
        }
        in_order = {element: checked[element] for element in ELEMENTS if element in checked}
        object.__setattr__(self, "abundances", MappingProxyType(in_order))
        object.__setattr__(self, "meteoritic", frozenset(self.meteoritic))

    def __getitem__(self, element: str) -> float:
        try:
            return self.abundances[element]
        except KeyError:
            if not self.abundances:
                raise MissingAbundanceError(_unknown_scale_message(element)) from None
            raise MissingAbundanceError(
                f"solar scale {self.name!r} has no abundance of {element!r}; it contains "
                f"{', '.join(self)}. Use another scale, or a SolarScale of your own that adds "
                f"{element!r} to these"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.abundances)

    def __len__(self) -> int:
        return len(self.abundances)

    @property
    def entry(self) -> str | dict[str, Any] | None:
        """Form in which metadata store the scale and from which `solar_scale` restores it.

        The name of a scale that ships with the package; a dict of the fields of any other scale;
        `None` for the scale without abundances.
        """
        if SOLAR_SCALES.get(self.name) == self:
            return self.name
        if not self.abundances:
            return None
        return {
            "name": self.name,
            "abundances": dict(self),
            "citation": self.citation,
            "meteoritic": sorted(self.meteoritic),
        }

    def __repr__(self) -> str:
        return f"<SolarScale {self.name!r}: {len(self)} elements>"

    def __reduce__(self) -> tuple:
        # A mapping proxy can be neither pickled nor copied, but a dict of its items can.
        return SolarScale, (self.name, dict(self.abundances), self.citation, self.meteoritic)


def _checked_abundance(scale: str, element: str, value: Any) -> float:
    if element not in ELEMENTS:
        raise ValueError(
            f"solar scale {scale!r} contains {element!r}, which is not an element: give abundances "
            "by element symbol, such as {'Li': 1.05, 'Fe': 7.5}"
        )
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (element == "H" and number != 12.0):
        raise ValueError(
            f"solar scale {scale!r} has A({element}) = {value!r}: abundances are finite numbers "
            "log10(N_X / N_H) + 12, so that A(H) is 12; leave out elements without abundance"
        )
    return number


def _unknown_scale_message(element: str) -> str:
    return (
        f"the solar abundance of {element} is needed, but the grid or the model does not say which "
        "solar abundances it was computed with: give solar=, or set the grid's "
        f"meta['solar_scale'] or the model's solar_scale, to one of {', '.join(SOLAR_SCALES)}, or "
        "to A(X) by element, such as {'Li': 1.05, 'Fe': 7.5}"
    )


@cache
def _builtin_scales() -> Mapping[str, SolarScale]:
    """Read the solar scales that ship with the package."""
    from astropy.table import Table

    with as_file(files("astropayne").joinpath("data", "solar_abundances.ecsv")) as path:
        table = Table.read(path, format="ascii.ecsv")
    table["meteorites"] = table["meteorites"].filled("")
    return MappingProxyType({name: _scale_of(table, name) for name in table.meta["citations"]})


def _scale_of(table: "Table", name: str) -> SolarScale:
    """Return a column of the table as a scale, with empty cells filled from another scale."""
    other = table.meta["completed_by"].get(name, name)
    abundances, meteoritic = {}, set()
    for row in table:
        element, source = str(row["element"]), other if np.ma.is_masked(row[name]) else name
        abundances[element] = row[source]
        if source in row["meteorites"].split():
            meteoritic.add(element)
    return SolarScale(name, abundances, table.meta["citations"][name], frozenset(meteoritic))


class _BuiltinScales(Mapping):
    """The solar scales that ship with the package; their file is read on first use."""

    def __getitem__(self, name: str) -> SolarScale:
        return _builtin_scales()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_builtin_scales())

    def __len__(self) -> int:
        return len(_builtin_scales())

    def __repr__(self) -> str:
        return f"SOLAR_SCALES({', '.join(self)})"


#: Solar scales that ship with the package, by name: ``grevesse2007``, ``asplund2009``,
#: ``asplund2021``, ``lodders2009``, ``magg2022``.
SOLAR_SCALES: Mapping[str, SolarScale] = _BuiltinScales()


#: The types that `solar_scale` accepts.
SolarLike: TypeAlias = str | SolarScale | Mapping[str, Any] | None


def solar_scale(value: SolarLike) -> SolarScale:
    """Return a solar scale from a name, a mapping of abundances or a scale.

    Parameters
    ----------
    value : str, `SolarScale`, mapping of str to float, or None
        The name of a scale in `SOLAR_SCALES` (case, spaces, punctuation and "et al." are
        ignored), a scale, its `SolarScale.entry`, or abundances A(X) by element, which become the
        scale ``"custom"``. `None` returns the scale ``"unknown"``, which contains no abundance;
        looking one up raises an error that explains how to state the scale.

    Returns
    -------
    SolarScale

    Raises
    ------
    ValueError
        If the name is unknown or the abundances are not valid.
    TypeError
        If the value has another type.

    Examples
    --------
    >>> from astropayne.labels.solar import solar_scale
    >>> solar_scale("Asplund et al. (2009)")
    <SolarScale 'asplund2009': 83 elements>
    >>> solar_scale({"Li": 1.05, "Fe": 7.5})
    <SolarScale 'custom': 2 elements>
    """
    if isinstance(value, SolarScale):
        return value
    if isinstance(value, Mapping):
        return SolarScale(**value) if "abundances" in value else SolarScale("custom", value)
    if value is None:
        return SolarScale("unknown", {})
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a solar scale: {_accepted()}")
    key = re.sub(r"et al|[\W_]", "", value.lower())
    if key not in SOLAR_SCALES:
        raise ValueError(f"solar scale {value!r} is not known: {_accepted()}")
    return SOLAR_SCALES[key]


def _accepted() -> str:
    return (
        f"give the name of a scale ({', '.join(SOLAR_SCALES)}), a SolarScale, or A(X) by element, "
        "such as {'Li': 1.05, 'Fe': 7.5}"
    )


def same_scale(one: SolarLike, other: SolarLike) -> bool:
    """Return whether two solar scales contain the same abundances.

    Parameters
    ----------
    one, other : str, `SolarScale`, mapping of str to float, or None
        Scales as `solar_scale` accepts them.

    Returns
    -------
    bool

    Examples
    --------
    >>> from astropayne.labels.solar import same_scale
    >>> same_scale("magg2022", "Magg et al. (2022)"), same_scale("magg2022", None)
    (True, False)
    """
    return one == other or dict(solar_scale(one)) == dict(solar_scale(other))
