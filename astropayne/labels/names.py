# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Names and spellings of labels, and `Label`, a label with its unit."""

import keyword
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from astropayne.utils.quantities import strip_unit
from astropayne.utils.suggestions import unknown_name_message

if TYPE_CHECKING:  # astropy.units is imported on first use, so that listing plugins is fast
    import astropy.units as u

__all__ = [
    "ALPHA_ELEMENTS",
    "ELEMENTS",
    "RESERVED_NAMES",
    "Label",
    "named_unit",
    "parse_label",
    "parsed_or_none",
    "unknown_label_message",
]

#: Symbols of the elements, in the order of their atomic number.
ELEMENTS = tuple(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U".split()
)
#: The α elements, to which [α/Fe] applies: García Pérez et al. 2016, AJ 151, 144.
ALPHA_ELEMENTS = ("O", "Mg", "Si", "S", "Ca", "Ti")
_SYMBOL = {symbol.lower(): symbol for symbol in (*ELEMENTS, "alpha")}
_REFERENCE = {"fe": "Fe", "h": "H", "m": "M", "alpha": "alpha"}
# Metals: [M/H] is the abundance of all elements, and [X/M] is relative to it.
_METALS = "M_H"
_STELLAR = {
    "teff": ("teff", "t_eff", "effective_temperature"),
    "logg": ("logg", "log_g", "log(g)"),
    "feh": ("feh",),
    _METALS: ("m/h", "[m/h]", "[me/h]", "m_h", "monh"),
    "vmic": ("vmic", "v_mic", "vturb", "v_turb", "vmicro", "v_micro", "xi", "microturbulence"),
}
_ALIAS = {alias: name for name, aliases in _STELLAR.items() for alias in aliases}
_UNIT = {"teff": "K", "vmic": "km / s"}
_TEXT = {"teff": "Teff", "logg": "log g", "feh": "[Fe/H]", _METALS: "[M/H]"}
_TEXT |= {"log_teff": "log Teff", "log_vmic": "log vmic"}
# Units of the quantities whose logarithm is a label.
_LOGARITHM_OF = {"logg": "cm / s2", **{f"log_{name}": unit for name, unit in _UNIT.items()}}
# Names that have another meaning where the name of a label is used: as a keyword, a parameter of a
# model, a column of a result or an entry of a spectrum's meta. Upper and lower case are the same.
_TAKEN = {
    "a velocity or the resolution, which models take in addition to the labels": (
        "rv vrad radial_velocity vsini vrot vmac macroturbulence zeta resolution redshift"
    ),
    "an argument of functions that take labels": (
        "labels wavelength medium limb_darkening x y free start tied priors continuum regions "
        "options exclude exclude_at_rest noise_floor resolution_error systematic inadequacy loss "
        "report progress validation device covariances models"
    ),
    "a column of results or an entry of metadata": (
        "flux errors uncertainty covariance chi2 dof flags message best_fit solar_scale normalized "
        "normalised source reader specname at_bound low_information iterations"
    ),
    "an attribute of astropy's models": (
        "bbox_with_units bounding_box bounds coerce_units col_fit_deriv copy cov_matrix deepcopy "
        "eqcons evaluate fit_deriv fittable fixed get_bounding_box has_bounds has_fixed "
        "has_inverse has_tied has_user_bounding_box has_user_inverse ineqcons input_shape "
        "input_units input_units_allow_dimensionless input_units_equivalencies "
        "input_units_strict inputs inverse linear meta model model_constraints model_set_axis "
        "n_inputs n_outputs n_submodels name output_units outputs param_names param_sets "
        "parameter_constraints parameters prepare_inputs prepare_outputs rename render "
        "return_units separable set_slice_args standard_broadcasting stds strip_units_from_tree "
        "sum_of_implicit_terms supported sync_constraints tied uses_quantity "
        "with_units_from_data without_units_for_data"
    ),
    "a word of Python": " ".join((*keyword.kwlist, *keyword.softkwlist)),
}
#: Names that no label can have, in lower case, each with a description of its other meaning.
RESERVED_NAMES: Mapping[str, str] = MappingProxyType(
    {name.lower(): what for what, names in _TAKEN.items() for name in names.split()}
)
_RATIO = re.compile(
    r"(?:\[\s*([a-z]+)\s*/\s*(fe|h|m|alpha)\s*\]|([a-z]+)[/_](fe|h|m|alpha)|([a-z]+)(fe))"
)
# [α/Fe] in tables of isochrones and spectra, or A(Fe)
_ALPHA_OR_IRON = ("a_fe", "A_Fe")
_ABSOLUTE = re.compile(r"a(?:\s*\(\s*([a-z]+)\s*\)|_([a-z]+))")
_LOGARITHM = re.compile(r"log(?:10)?(?:\s*\(\s*(.+?)\s*\)|[\s_]*(.+))")


@cache
def named_unit(name: str) -> "u.UnitBase":
    """Return the unit of a name; `astropy.units` is imported on first use."""
    import astropy.units as u

    return u.Unit(name)


def parse_label(text: str) -> str:
    """Return the name of a label, an identifier, from any common spelling.

    Parameters
    ----------
    text : str
        For example ``"Teff"``, ``"[Fe/H]"``, ``"vturb"``, ``"[Li/Fe]"``, ``"A(Li)"``. Any other
        Python identifier is a label too and stays as it is, except those in `RESERVED_NAMES`.

    Returns
    -------
    str
        The name used everywhere in astropayne.

    Raises
    ------
    ValueError
        If no label can have that name.

    Examples
    --------
    >>> from astropayne.labels.names import parse_label
    >>> [parse_label(text) for text in ("Teff", "[Fe/H]", "vturb", "[Li/Fe]", "A(Li)")]
    ['teff', 'feh', 'vmic', 'Li_Fe', 'A_Li']
    """
    return _parsed(str(text))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> str:
    """Return the name of a label; cached, because a fit parses the names of all transforms."""
    text = unicodedata.normalize("NFKC", text).strip()  # as Python does with identifiers
    if text.lower() == _ALPHA_OR_IRON[0] and text != _ALPHA_OR_IRON[1]:
        raise ValueError(
            f"{text!r} may be [alpha/Fe] or A(Fe): write 'alpha_Fe' for the first, or 'A(Fe)' for "
            "the second"
        )
    low = text.lower().replace("α", "alpha")
    if name := _stellar_name(low) or _abundance_name(low):
        return name
    if meaning := _other_meaning(low):
        raise ValueError(
            f"{text!r} cannot be a label: that is {meaning}. Give the column another name, such as "
            f"{text + '_label'!r}, or leave it out"
        )
    if not text.isidentifier():
        raise ValueError(
            f"{text!r} is not a label. Labels are teff, logg, feh, vmic, abundances such as "
            "'[Mg/Fe]' (Mg_Fe), '[Mg/H]' (Mg_H), '[Mg/M]' (Mg_M) or 'A(Mg)' (A_Mg), '[M/H]' "
            "(M_H), or any Python identifier"
        )
    return text


def parsed_or_none(text: str) -> str | None:
    """Return the name of a label as `parse_label` does, or `None` if it cannot be a label."""
    try:
        return _parsed(str(text))
    except ValueError:
        return None


def _stellar_name(low: str) -> str | None:
    """Return the stellar parameter that a text in lower case names, or `None`."""
    spaceless = re.sub(r"\s+", "_", low)
    for spelling in (spaceless, spaceless.replace("_", "")):
        if spelling in _ALIAS:
            return _ALIAS[spelling]
    match = _LOGARITHM.fullmatch(low)
    inner = match and _stellar_name(match[1] or match[2])
    return f"log_{inner}" if inner in _UNIT else None


def _abundance_name(low: str) -> str | None:
    """Return the abundance that a text in lower case names, or `None`."""
    if match := _ABSOLUTE.fullmatch(low):
        (element,) = filter(None, match.groups())
        if element in _SYMBOL and element not in ("alpha", "h"):
            return f"A_{_SYMBOL[element]}"
    if match := _RATIO.fullmatch(low):
        element, reference = filter(None, match.groups())
        element = "alpha" if element == "a" else element
        if (element, reference) == ("fe", "h"):
            return "feh"
        if element == reference:
            raise ValueError(f"[{element}/{reference}] cannot be a label: it is always 0")
        if element in _SYMBOL:
            return f"{_SYMBOL[element]}_{_REFERENCE[reference]}"
    return None


def _other_meaning(low: str) -> str | None:
    """Return the meaning of a name in lower case that a label cannot have, or `None`."""
    if low.startswith("_"):
        return "a private name"
    if low.endswith("_err"):
        return "the name of a column of errors"
    return RESERVED_NAMES.get(low)


@dataclass(frozen=True)
class Label:
    """A label: its name and its unit.

    Labels in dex are plain numbers in tables and results, because astropy's ``dex`` cannot be
    compared with a number. As input, ``dex`` is accepted, and so is the physical unit of
    ``logg``, ``log_teff`` and ``log_vmic``, such as that of an acceleration.

    Parameters
    ----------
    name : str
        Any spelling that `parse_label` accepts.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.labels.names import Label
    >>> print(Label("Teff").to_value(5.777 * u.kK))
    5777.0
    >>> Label("log g")
    Label(name='logg') [dex]
    """

    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", parse_label(self.name))

    def __repr__(self) -> str:
        return f"Label(name={self.name!r}) [{self.unit}]"

    @property
    def unit(self) -> "u.UnitBase":
        """Unit of a bare number (`~astropy.units.Unit`)."""
        if self.element is not None or self.name in ("feh", _METALS, *_LOGARITHM_OF):
            return named_unit("dex")
        return named_unit(_UNIT.get(self.name, ""))

    @property
    def element(self) -> str | None:
        """Symbol of the element whose abundance this is, or `None`."""
        symbol, _, reference = self.name.partition("_")
        symbol = reference if symbol == "A" else symbol
        return symbol if reference and symbol in _SYMBOL.values() else None

    @property
    def text(self) -> str:
        """The label as astronomers write it: ``"[Mg/Fe]"``, ``"A(Li)"``, ``"Teff"``."""
        first, _, second = self.name.partition("_")
        if self.element is None:
            return _TEXT.get(self.name, self.name)
        return f"A({second})" if first == "A" else f"[{first}/{second}]"

    def to_value(self, value: Any) -> Any:
        """Return a value in the label's own unit.

        Parameters
        ----------
        value : float, array_like or `~astropy.units.Quantity`
            A bare number is in the label's own unit; masked values become NaN.

        Returns
        -------
        float or numpy.ndarray

        Raises
        ------
        astropy.units.UnitConversionError
            If the unit cannot be converted to the label's.
        ValueError
            If the value is not numeric.
        """
        accepted = [self.unit]
        if self.unit == named_unit("dex"):
            accepted.append(named_unit(""))
        if self.name in _LOGARITHM_OF:
            accepted.append(named_unit("dex")(named_unit(_LOGARITHM_OF[self.name])))
        return strip_unit(value, f"label {self.name!r}", *accepted)

    @property
    def column_unit(self) -> "u.UnitBase | None":
        """Unit of a table's column or a parameter: `None` for labels in dex, plain numbers."""
        return self.unit if self.name in _UNIT else None

    def quantity(self, value: Any) -> "u.Quantity":
        """Return a value with its unit: dimensionless for labels in dex."""
        import astropy.units as u

        return u.Quantity(value, self.column_unit or u.dimensionless_unscaled)

    def column(self, values: Any) -> "u.Quantity | np.ndarray":
        """Return values as a table's column: with the unit, or plain for labels in dex."""
        import astropy.units as u

        return u.Quantity(values, self.column_unit) if self.column_unit else np.asarray(values)


def unknown_label_message(
    name: str,
    valid: Collection[str],
    what: str = "label",
    constant: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Return a message that lists the valid labels and suggests the nearest one.

    Parameters
    ----------
    name : str
        The unknown label.
    valid : collection of str
        The valid labels.
    what : str
        Kind of name, for the message.
    constant : mapping of str to float
        Labels with a single value in all training spectra, which therefore cannot be changed.

    Returns
    -------
    str
    """
    if constant and (own := parse_label(name)) in constant:
        return (
            f"{what} {str(name)!r} was {constant[own]:g} in all spectra that the model was trained "
            f"on, so it cannot be changed: leave it out. The model's are {', '.join(valid)}"
        )
    return unknown_name_message(name, valid, what)
