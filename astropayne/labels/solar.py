# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Solar abundance scales, and the label transforms built on them.

Three labels say how much of an element a star holds: ``X_Fe`` is [X/Fe], ``X_H`` is [X/H], and
``A_X`` is A(X) = log10(N_X / N_H) + 12. The first two are relative to the Sun, so they mean
nothing without a solar scale: the same spectrum has another [X/Fe] on another scale, but the
same A(X).

α elements are said in one of two ways, as grids are made in one of two ways. A grid that varies
them together has the one label ``alpha_Fe``; if it lists them one by one, all equal, they become
one by ``grid.transform_labels("alpha_Fe")``, because no network and no fit can tell them apart. A
grid that varies some of them on top of that has
also ``X_alpha``, [X/α] = [X/Fe] − [α/Fe], for each of those: this, and no mean of several [X/Fe],
so that every label can be computed back from the others. ``alpha_Fe`` together with [X/Fe] is
then said as well, and a model that has only [X/Fe] of its own takes ``alpha_Fe`` for those of
``astropayne.labels.names.ALPHA_ELEMENTS`` that are left out.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from astropayne.labels.names import ELEMENTS

__all__ = ["SOLAR_SCALES", "MissingAbundanceError", "SolarScale", "same_scale", "solar_scale"]

_CITATIONS = {
    "grevesse2007": "Grevesse, Asplund & Sauval 2007, Space Science Reviews 130, 105, "
    "doi:10.1007/s11214-007-9173-7",
    "asplund2009": "Asplund, Grevesse, Sauval & Scott 2009, ARA&A 47, 481, "
    "doi:10.1146/annurev.astro.46.060407.145222",
    "asplund2021": "Asplund, Amarsi & Grevesse 2021, A&A 653, A141, "
    "doi:10.1051/0004-6361/202140445",
    "lodders2009": "Lodders, Palme & Gail 2009, Landolt-Boernstein VI/4B, 712, "
    "doi:10.1007/978-3-540-88055-4_34",
    "magg2022": "Magg et al. 2022, A&A 661, A140, doi:10.1051/0004-6361/202142971; "
    "elements it does not hold: Asplund, Grevesse, Sauval & Scott 2009, ARA&A 47, 481",
}
# A(X), from the papers' tables of the present-day Sun. An m marks a meteoritic value: the tables
# of grevesse2007, asplund2009 and asplund2021 give only that one where the photosphere shows no
# usable line. lodders2009 is a recommended scale: photosphere, meteorites (m), or, without a
# mark, a mean of both; note its A(Li), which is the meteorites', not the Sun's. magg2022 is the
# photospheric table of that paper, and a dot says: as asplund2009. It is TSFitPy's scale but for
# Ne (TSFitPy: 8.16), Ar (6.40) and the meteoritic values, which TSFitPy has from older tables.
_TABLE = """
element  grevesse2007  asplund2009  asplund2021  lodders2009  magg2022
H          12.00         12.00        12.00        12.00        12.00
He         10.93         10.93        10.914       10.93        .
Li          1.05          1.05         0.96         3.28m       .
Be          1.38          1.38         1.38         1.32m       .
B           2.70          2.70         2.70         2.81m       .
C           8.39          8.43         8.46         8.39         8.56
N           7.78          7.83         7.83         7.86         7.98
O           8.66          8.69         8.69         8.73         8.77
F           4.56          4.56         4.40         4.44m        4.40
Ne          7.84          7.93         8.06         8.05         8.15
Na          6.17          6.24         6.22         6.29         6.29
Mg          7.53          7.60         7.55         7.54         7.55
Al          6.37          6.45         6.43         6.46         6.43
Si          7.51          7.51         7.51         7.53m        7.59
P           5.36          5.41         5.41         5.45         5.41
S           7.14          7.12         7.12         7.16         7.16
Cl          5.50          5.50         5.31         5.25m        5.25
Ar          6.18          6.40         6.38         6.50         6.50
K           5.08          5.03         5.07         5.11         5.14
Ca          6.31          6.34         6.30         6.31m        6.37
Sc          3.17          3.15         3.14         3.07m        3.07
Ti          4.90          4.95         4.97         4.93m        4.94
V           4.00          3.93         3.90         3.99         3.89
Cr          5.64          5.64         5.62         5.65         5.74
Mn          5.39          5.43         5.42         5.50m        5.52
Fe          7.45          7.50         7.46         7.46         7.50
Co          4.92          4.99         4.94         4.90         4.95
Ni          6.23          6.22         6.20         6.22         6.24
Cu          4.21          4.19         4.18         4.27m       .
Zn          4.60          4.56         4.56         4.65m       .
Ga          2.88          3.04         3.02         3.10m       .
Ge          3.58          3.65         3.62         3.59        .
As          2.29m         2.30m        2.30m        2.32m       .
Se          3.33m         3.34m        3.34m        3.36m       .
Br          2.56m         2.54m        2.54m        2.56m       .
Kr          3.25          3.25         3.12         3.28        .
Rb          2.60          2.52         2.32         2.38m       .
Sr          2.92          2.87         2.83         2.90m       .
Y           2.21          2.21         2.21         2.20        .
Zr          2.58          2.58         2.59         2.57        .
Nb          1.42          1.46         1.47         1.42        .
Mo          1.92          1.88         1.88         1.94        .
Ru          1.84          1.75         1.75         1.78m       .
Rh          1.12          0.91         0.78         1.10        .
Pd          1.66          1.57         1.57         1.67        .
Ag          0.94          0.94         0.96         1.22m       .
Cd          1.77          1.71m        1.71m        1.73m       .
In          1.60          0.80         0.80         0.78m       .
Sn          2.00          2.04         2.02         2.09m       .
Sb          1.00          1.01m        1.01m        1.03m       .
Te          2.19m         2.18m        2.18m        2.20m       .
I           1.51m         1.55m        1.55m        1.57m       .
Xe          2.24          2.24         2.22         2.27        .
Cs          1.07m         1.08m        1.08m        1.10m       .
Ba          2.17          2.18         2.27         2.18        .
La          1.13          1.10         1.11         1.19m       .
Ce          1.70          1.58         1.58         1.60        .
Pr          0.58          0.72         0.75         0.77        .
Nd          1.45          1.42         1.42         1.47m       .
Sm          1.00          0.96         0.95         0.96m       .
Eu          0.52          0.52         0.52         0.53        .
Gd          1.11          1.07         1.08         1.09        .
Tb          0.28          0.30         0.31         0.34m       .
Dy          1.14          1.10         1.10         1.14        .
Ho          0.51          0.48         0.48         0.49m       .
Er          0.93          0.92         0.93         0.95        .
Tm          0.00          0.10         0.11         0.14m       .
Yb          1.08          0.84         0.85         0.94m       .
Lu          0.06          0.10         0.10         0.11m       .
Hf          0.88          0.85         0.85         0.73m       .
Ta         -0.17m        -0.12m       -0.15m       -0.14m       .
W           1.11          0.85         0.79         0.67m       .
Re          0.23m         0.26m        0.26m        0.28m       .
Os          1.25          1.40         1.35         1.37m       .
Ir          1.38          1.38         1.32m        1.36        .
Pt          1.64m         1.62m        1.61m        1.64m       .
Au          1.01          0.92         0.91         0.82m       .
Hg          1.13m         1.17m        1.17m        1.19m       .
Tl          0.90          0.90         0.92         0.79m       .
Pb          2.00          1.75         1.95         2.06m       .
Bi          0.65m         0.65m        0.65m        0.67m       .
Th          0.06m         0.02         0.03         0.08m       .
U          -0.52m        -0.54m       -0.54m       -0.52m       .
"""


class MissingAbundanceError(KeyError, ValueError):
    """A solar scale does not hold an element, or no scale is known at all."""

    def __str__(self):
        return str(self.args[0])  # a KeyError shows its message in quotes


@dataclass(frozen=True, eq=False, repr=False)
class SolarScale(Mapping):
    """Solar abundances A(X) = log10(N_X / N_H) + 12, by element: a read-only mapping.

    Parameters
    ----------
    name : str
        How the scale is called.
    abundances : mapping of str to float
        A(X) by element symbol.
    citation : str, optional
        Where the numbers come from.
    meteoritic : iterable of str, optional
        Elements whose abundance is measured in meteorites, not in the Sun.

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

    def __post_init__(self):
        checked = {
            element: _checked_abundance(self.name, element, value)
            for element, value in self.abundances.items()
        }
        in_order = {element: checked[element] for element in ELEMENTS if element in checked}
        object.__setattr__(self, "abundances", MappingProxyType(in_order))
        object.__setattr__(self, "meteoritic", frozenset(self.meteoritic))

    def __getitem__(self, element):
        try:
            return self.abundances[element]
        except KeyError:
            if not self.abundances:
                raise MissingAbundanceError(_unknown_scale_message(element)) from None
            raise MissingAbundanceError(
                f"solar scale {self.name!r} has no abundance of {element!r}; it holds "
                f"{', '.join(self)}. Use another scale, or a SolarScale of your own that adds "
                f"{element!r} to these"
            ) from None

    def __iter__(self):
        return iter(self.abundances)

    def __len__(self):
        return len(self.abundances)

    @property
    def entry(self):
        """What metadata keeps and `solar_scale` reads: a built-in scale's name, else all of it.

        `None` for the scale that is not known.
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

    def __repr__(self):
        return f"<SolarScale {self.name!r}: {len(self)} elements>"

    def __reduce__(self):
        # The mapping proxy cannot be pickled or copied; what it shows can.
        return SolarScale, (self.name, dict(self.abundances), self.citation, self.meteoritic)


def _checked_abundance(scale, element, value):
    if element not in ELEMENTS:
        raise ValueError(
            f"solar scale {scale!r} holds {element!r}, which is not an element: give abundances "
            "by element symbol, such as {'Li': 1.05, 'Fe': 7.5}"
        )
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (element == "H" and number != 12.0):
        raise ValueError(
            f"solar scale {scale!r} has A({element}) = {value!r}: abundances are finite numbers "
            "log10(N_X / N_H) + 12, so that A(H) is 12; leave out what is not known"
        )
    return number


def _unknown_scale_message(element):
    return (
        f"the solar abundance of {element} is needed, but the grid or the model does not say which "
        "solar abundances it was computed with: give solar=, or set the grid's "
        f"meta['solar_scale'] or the model's solar_scale, to one of {', '.join(SOLAR_SCALES)}, or "
        "to A(X) by element, such as {'Li': 1.05, 'Fe': 7.5}"
    )


def _read_table():
    (_, *names), *rows = (line.split() for line in _TABLE.strip().splitlines())
    held = {name: {} for name in names}
    for element, *cells in rows:
        for name, cell in zip(names, cells, strict=True):
            held[name][element] = held["asplund2009"][element] if cell == "." else cell
    return MappingProxyType(
        {
            name: SolarScale(
                name,
                {element: cell.rstrip("m") for element, cell in cells.items()},
                _CITATIONS[name],
                {element for element, cell in cells.items() if cell.endswith("m")},
            )
            for name, cells in held.items()
        }
    )


#: The built-in solar scales by name: ``grevesse2007``, ``asplund2009``, ``asplund2021``,
#: ``lodders2009``, ``magg2022``.
SOLAR_SCALES = _read_table()


def solar_scale(value):
    """Return a solar scale, given in any of the ways people give one.

    Parameters
    ----------
    value : str, `SolarScale`, mapping of str to float, or None
        The name of a built-in scale (case, spaces, punctuation and "et al." do not matter), a
        scale, its `SolarScale.entry`, or abundances A(X) by element, which become the scale
        ``"custom"``. `None` gives the scale ``"unknown"``, which holds nothing and says so when
        it is asked.

    Returns
    -------
    SolarScale

    Raises
    ------
    ValueError
        If the name is not known, or the abundances are not valid.
    TypeError
        If it is none of these.

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
    accepted = (
        f"give the name of a scale ({', '.join(SOLAR_SCALES)}), a SolarScale, or A(X) by element, "
        "such as {'Li': 1.05, 'Fe': 7.5}"
    )
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a solar scale: {accepted}")
    key = re.sub(r"et al|[\W_]", "", value.lower())
    if key not in SOLAR_SCALES:
        raise ValueError(f"solar scale {value!r} is not known: {accepted}")
    return SOLAR_SCALES[key]


def same_scale(one, other):
    """Say whether two solar scales, each in any of the ways of `solar_scale`, are the same.

    Parameters
    ----------
    one, other : str, `SolarScale`, mapping of str to float, or None

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
