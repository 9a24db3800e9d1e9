# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Labels: their names, units and ranges, and the scaling a network sees.

A label is a number that says what a star is: ``teff``, ``logg``, ``feh``, ``vmic``, or an
abundance: ``Mg_Fe`` for [Mg/Fe], ``Mg_H`` for [Mg/H], ``A_Mg`` for A(Mg), ``alpha_Fe`` for
[α/Fe]. These names are identifiers because they are also parameter names; people may write
``"[Mg/Fe]"``, ``"A(Mg)"`` or ``"Teff"``, and `parse_label` knows what they mean.
"""

import difflib
import keyword
import re
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "ALPHA_ELEMENTS",
    "ELEMENTS",
    "RESERVED_NAMES",
    "Label",
    "LabelRangeWarning",
    "LabelRelation",
    "LabelSpace",
    "LabelTransform",
    "named_columns",
    "one_star",
    "one_value",
    "parse_label",
    "strip_unit",
]

#: Symbols of the elements, in the order of their atomic number.
ELEMENTS = tuple(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U".split()
)

#: What [α/Fe] stands for where it stands for elements: García Pérez et al. 2016, AJ 151, 144.
ALPHA_ELEMENTS = ("O", "Mg", "Si", "S", "Ca", "Ti")

_SYMBOL = {symbol.lower(): symbol for symbol in (*ELEMENTS, "alpha")}

_STELLAR = {
    "teff": ("teff", "t_eff", "effective_temperature"),
    "logg": ("logg", "log_g", "log(g)"),
    "feh": ("feh",),
    "vmic": ("vmic", "v_mic", "vturb", "v_turb", "vmicro", "v_micro", "xi", "microturbulence"),
}
_ALIAS = {alias: name for name, aliases in _STELLAR.items() for alias in aliases}

_UNIT = {"teff": "K", "vmic": "km / s"}
# What a label is the logarithm of.
_LOGARITHM_OF = {"logg": "cm / s2", **{f"log_{name}": unit for name, unit in _UNIT.items()}}

# Names that mean something else where a label's name is used: as a keyword, a parameter of a
# model, a column of a result or an entry of a spectrum's meta. No label may have one, in any case.
_TAKEN = {
    "a velocity or the resolution, which models take beside the labels": (
        "rv vrad radial_velocity vsini vrot vmac macroturbulence zeta resolution redshift"
    ),
    "an argument of functions that take labels": (
        "labels wavelength medium limb_darkening x y free start tied priors continuum regions "
        "exclude exclude_at_rest noise_floor systematic loss report progress validation device "
        "covariances models"
    ),
    "a column of results or an entry of metadata": (
        "flux errors uncertainty covariance chi2 dof flags message best_fit solar_scale normalised "
        "source reader specname at_bound low_information iterations"
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

#: Names that no label can have, in lower case, and what each one is.
RESERVED_NAMES = {name.lower(): what for what, names in _TAKEN.items() for name in names.split()}

_RATIO = re.compile(r"(?:\[\s*([a-z]+)\s*/\s*(fe|h|alpha)\s*\]|([a-z]+)[/_](fe|h|alpha))")
_ABSOLUTE = re.compile(r"a(?:\s*\(\s*([a-z]+)\s*\)|_([a-z]+))")
_LOGARITHM = re.compile(r"log(?:10)?(?:\s*\(\s*(.+?)\s*\)|[\s_]*(.+))")


@cache
def _unit(text):
    """Return a unit. They are imported when they are first needed: listing plugins does without."""
    import astropy.units as u

    return u.Unit(text)


class LabelRangeWarning(AstropyUserWarning):
    """A model was asked for labels outside the range it was trained on."""


def parse_label(text):
    """Return the name of a label, however people write it.

    Parameters
    ----------
    text : str
        For example ``"Teff"``, ``"[Fe/H]"``, ``"vturb"``, ``"[Li/Fe]"``, ``"A(Li)"``. A name
        that is not one of astronomy's is kept as it is if it can be a parameter name, which
        those in ``RESERVED_NAMES`` cannot.

    Returns
    -------
    str
        The identifier used everywhere in astropayne.

    Raises
    ------
    ValueError
        If no label can have that name.

    Examples
    --------
    >>> from astropayne.labels import parse_label
    >>> [parse_label(text) for text in ("Teff", "[Fe/H]", "vturb", "[Li/Fe]", "A(Li)")]
    ['teff', 'feh', 'vmic', 'Li_Fe', 'A_Li']
    """
    return _parsed(str(text))


@lru_cache(maxsize=1024)
def _parsed(text):
    """Return the name of a label; every fit asks for those of all transforms."""
    text = unicodedata.normalize("NFKC", text).strip()  # as Python does with identifiers
    low = text.lower().replace("α", "alpha")
    if name := _stellar_name(low) or _abundance_name(low):
        return name
    if what := _why_not(low):
        raise ValueError(
            f"{text!r} cannot be a label: that is {what}. Give the column another name, such as "
            f"{text + '_label'!r}, or leave it out"
        )
    if not text.isidentifier():
        raise ValueError(
            f"{text!r} is not a label. Labels are teff, logg, feh, vmic, abundances such as "
            "'[Mg/Fe]' (Mg_Fe), '[Mg/H]' (Mg_H) or 'A(Mg)' (A_Mg), or any Python identifier"
        )
    return text


def _stellar_name(low):
    """Return the label that is no abundance, or `None`; ``low`` is in lower case."""
    spaceless = re.sub(r"\s+", "_", low)
    for spelling in (spaceless, spaceless.replace("_", "")):
        if spelling in _ALIAS:
            return _ALIAS[spelling]
    match = _LOGARITHM.fullmatch(low)
    inner = match and _stellar_name(match[1] or match[2])
    return f"log_{inner}" if inner in _UNIT else None


def _abundance_name(low):
    """Return the label of an abundance, or `None`; ``low`` is in lower case."""
    if match := _RATIO.fullmatch(low):
        element, reference = filter(None, match.groups())
        if (element, reference) == ("fe", "h"):
            return "feh"
        if element == reference:
            raise ValueError(f"[{element}/{reference}] cannot be a label: it is always 0")
        if element in _SYMBOL:
            return f"{_SYMBOL[element]}_{_SYMBOL[reference]}"
    if match := _ABSOLUTE.fullmatch(low):
        (element,) = filter(None, match.groups())
        if element in _SYMBOL and element != "alpha":
            return f"A_{_SYMBOL[element]}"
    return None


def _why_not(low):
    """Say what a name in lower case is, if it cannot be a label's."""
    if low.startswith("_"):
        return "a private name"
    if low.endswith("_err"):
        return "the name of a column of errors"
    return RESERVED_NAMES.get(low)


@dataclass(frozen=True)
class Label:
    """A label: its name and its unit.

    Labels in dex are plain numbers in tables and results, because astropy's ``dex`` cannot be
    compared with a number; on the way in, ``dex`` is understood, and for ``logg``, ``log_teff``
    and ``log_vmic`` what they are the logarithm of, such as an acceleration.

    Parameters
    ----------
    name : str
        Any spelling that `parse_label` knows.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.labels import Label
    >>> print(Label("Teff").to_value(5.777 * u.kK))
    5777.0
    >>> Label("log g")
    Label(name='logg') [dex]
    """

    name: str

    def __post_init__(self):
        object.__setattr__(self, "name", parse_label(self.name))

    def __repr__(self):
        return f"Label(name={self.name!r}) [{self.unit}]"

    @property
    def unit(self):
        """Unit in which a bare number is understood (`~astropy.units.Unit`)."""
        if self.element is not None or self.name == "feh" or self.name in _LOGARITHM_OF:
            return _unit("dex")
        return _unit(_UNIT.get(self.name, ""))

    @property
    def element(self):
        """Symbol of the element whose abundance this is, or `None`."""
        symbol, _, reference = self.name.partition("_")
        symbol = reference if symbol == "A" else symbol
        return symbol if reference and symbol in _SYMBOL.values() else None

    @property
    def text(self):
        """The label as astronomers write it: ``"[Mg/Fe]"``, ``"A(Li)"``, ``"Teff"``."""
        first, _, second = self.name.partition("_")
        if self.element is None:
            known = {"teff": "Teff", "logg": "log g", "feh": "[Fe/H]"}
            known.update(log_teff="log Teff", log_vmic="log vmic")
            return known.get(self.name, self.name)
        return f"A({second})" if first == "A" else f"[{first}/{second}]"

    def to_value(self, value):
        """Strip the unit.

        Parameters
        ----------
        value : float, array_like or `~astropy.units.Quantity`
            A bare number is taken in the label's own unit.

        Returns
        -------
        float or numpy.ndarray
            The value in the label's own unit.

        Raises
        ------
        astropy.units.UnitConversionError
            If the unit cannot be converted to the label's.
        """
        accepted = [self.unit]
        if self.unit == _unit("dex"):
            accepted.append(_unit(""))
        if self.name in _LOGARITHM_OF:
            accepted.append(_unit("dex")(_unit(_LOGARITHM_OF[self.name])))
        return strip_unit(value, f"label {self.name!r}", *accepted)

    @property
    def column_unit(self):
        """Unit of a table's column or a parameter: `None` for labels in dex, plain numbers."""
        return self.unit if self.name in _UNIT else None

    def quantity(self, value):
        """Attach the unit: a `~astropy.units.Quantity`, dimensionless for labels in dex."""
        import astropy.units as u

        return u.Quantity(value, self.column_unit or u.dimensionless_unscaled)

    def column(self, values):
        """Return values as a table's column: with the unit, or plain for labels in dex."""
        import astropy.units as u

        return u.Quantity(values, self.column_unit) if self.column_unit else np.asarray(values)


class LabelSpace:
    """The labels of a grid or a model, in order, with their ranges.

    Parameters
    ----------
    names : sequence of str
        Label names, in any spelling.
    minimum, maximum : array_like, shape (n_labels,)
        Ranges, in the labels' own units.

    Raises
    ------
    ValueError
        If a name is doubled, or a range is empty or not finite.

    Examples
    --------
    >>> from astropayne.labels import LabelSpace
    >>> space = LabelSpace(["Teff", "[Fe/H]"], [4000, -2], [7000, 0])
    >>> space.names
    ('teff', 'feh')
    >>> space.scale([5500, -2.0])
    array([ 0. , -0.5])
    """

    def __init__(self, names, minimum, maximum):
        self.labels = tuple(Label(name) for name in names)
        self.names = tuple(label.name for label in self.labels)
        self.minimum = np.array(minimum, dtype=float)
        self.maximum = np.array(maximum, dtype=float)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"labels are doubled: {', '.join(self.names)}")
        for name, low, high in zip(self.names, self.minimum, self.maximum, strict=True):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise ValueError(
                    f"label {name!r} ranges from {low} to {high}: a label of a grid has to take "
                    "at least two finite values; leave out the constant ones, as by "
                    f"del grid.labels[{name!r}]"
                )

    @classmethod
    def from_table(cls, table):
        """Take names and ranges from a table of labels.

        Parameters
        ----------
        table : `~astropy.table.QTable`
            One row a spectrum, one column a label.
        """
        values = label_values(table)
        return cls(table.colnames, values.min(axis=0), values.max(axis=0))

    def covering(self, values):
        """Return a space of the same labels that covers some values (n, n_labels), too."""
        return LabelSpace(
            self.names,
            np.minimum(self.minimum, np.min(values, axis=0)),
            np.maximum(self.maximum, np.max(values, axis=0)),
        )

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(self.labels)

    def __contains__(self, name):
        try:
            return parse_label(name) in self.names
        except ValueError:  # what cannot be a label is not one of these
            return False

    def __repr__(self):
        rows = (
            f"  {label.name:8s} {low:9.7g} .. {high:<9.7g} {label.unit}"
            for label, low, high in zip(self.labels, self.minimum, self.maximum, strict=True)
        )
        return "LabelSpace:\n" + "\n".join(rows)

    def index(self, name):
        """Position of a label, in any spelling.

        Raises
        ------
        ValueError
            If the label is not one of these.
        """
        parsed = parse_label(name)
        if parsed not in self.names:
            raise ValueError(unknown_label_message(name, self.names))
        return self.names.index(parsed)

    @property
    def width(self):
        """Ranges' widths, shape (n_labels,)."""
        return self.maximum - self.minimum

    @property
    def middle(self):
        """Ranges' middles, shape (n_labels,)."""
        return 0.5 * (self.minimum + self.maximum)

    def scale(self, values):
        """Scale label values to [-0.5, 0.5], what networks are trained on.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)
            In the labels' own units.

        Returns
        -------
        numpy.ndarray, shape (..., n_labels)
        """
        return (np.asarray(values, dtype=float) - self.minimum) / self.width - 0.5

    def unscale(self, scaled):
        """Invert `scale`."""
        return (np.asarray(scaled, dtype=float) + 0.5) * self.width + self.minimum

    def to_array(self, labels, solar=None, feh=0.0):
        """Return labels as an array, units stripped and columns in order.

        Parameters
        ----------
        labels : `~astropy.table.Table`, `pandas.DataFrame`, mapping, or array_like
            Whatever has names, as `named_columns` understands it, goes by them, in any spelling
            and order; an array without has its labels in this space's order along the last axis.
        solar : mapping of str to float, optional
            Solar abundances A(X). With it, abundances that are left out are solar-scaled:
            [X/Fe] = [X/α] = 0, [X/H] = [Fe/H], A(X) = A(X)☉ + [Fe/H].
        feh : float
            [Fe/H] where that is none of the labels.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)

        Raises
        ------
        ValueError
            If a label is unknown, given twice, or missing, or the shape is wrong.
        """
        named = named_columns(labels)
        if named is None:
            plain = strip_unit(labels, "a plain array of labels", _unit(""))
            values = np.atleast_2d(plain)
            if values.ndim != 2 or values.shape[1] != len(self):
                raise ValueError(
                    f"labels have shape {np.shape(labels)}; an array needs {len(self)} columns, "
                    f"in this order: {', '.join(self.names)}"
                )
            return values
        columns = self._columns(named)
        if solar is not None:
            self._fill_solar_scaled(columns, solar, feh)
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ValueError(f"labels are missing: {', '.join(missing)}")
        arrays = np.broadcast_arrays(*(np.atleast_1d(columns[name]) for name in self.names))
        return np.stack(arrays, axis=-1)

    def _columns(self, labels):
        columns = {}
        for given, value in labels.items():
            label = self.labels[self.index(given)]
            if label.name in columns:
                raise ValueError(f"label {label.name!r} is given twice (once as {given!r})")
            columns[label.name] = label.to_value(value)
        return columns

    def _fill_solar_scaled(self, columns, solar, feh):
        # A missing [Fe/H] stays missing; NaN only keeps it from being counted many times.
        feh = columns.get("feh", np.nan if "feh" in self else feh)
        for label in self.labels:
            if label.name in columns or label.element is None:
                continue
            if label.name.endswith(("_Fe", "_alpha")):
                columns[label.name] = 0.0
            elif label.name.endswith("_H"):
                columns[label.name] = feh
            else:
                columns[label.name] = solar[label.element] + feh

    def start_from(self, given, solar):
        """Return labels to start a fit from: what is given, and within the ranges for the rest.

        Parameters
        ----------
        given : mapping of str to array_like
            By the labels' own names.
        solar : mapping of str to float
            Solar abundances A(X). Abundances that are not given are solar-scaled; without their
            solar value, and what is no abundance, they are in the middle of the range.

        Returns
        -------
        numpy.ndarray, shape (n, n_labels)
        """
        middle = dict(zip(self.names, self.middle, strict=True))
        unknown = {
            label.name: middle[label.name]
            for label in self.labels
            if label.element is None or (label.name.startswith("A_") and label.element not in solar)
        }
        values = self.to_array({**unknown, **given}, solar=solar)
        return np.where(
            [name in given for name in self.names],
            values,
            np.clip(values, self.minimum, self.maximum),
        )

    def to_table(self, values):
        """Return label values as a `~astropy.table.QTable`, a column a label.

        Parameters
        ----------
        values : array_like, shape (n, n_labels)
        """
        from astropy.table import QTable

        columns = np.array(values, ndmin=2).T  # a copy
        return QTable(
            {label.name: label.column(c) for label, c in zip(self.labels, columns, strict=True)},
            copy=False,
        )

    def outside(self, values):
        """Say which values lie outside the ranges.

        Parameters
        ----------
        values : array_like, shape (..., n_labels)

        Returns
        -------
        numpy.ndarray of bool, shape (..., n_labels)
            A hundredth of the range is forgiven: a random part of a grid does not reach its ends.
        """
        slack = 1e-2 * self.width
        values = np.asarray(values, dtype=float)
        return (values < self.minimum - slack) | (values > self.maximum + slack)

    def warn_outside(self, values):
        """Warn with `LabelRangeWarning` about labels outside their ranges, naming them."""
        outside = self.outside(np.atleast_2d(values))
        if not outside.any():
            return
        rows = np.atleast_2d(values)
        parts = []
        for i in np.flatnonzero(outside.any(axis=0)):
            worst = rows[np.argmax(np.abs(self.scale(rows)[:, i])), i]
            parts.append(
                f"{self.names[i]} = {worst:.6g} (range {self.minimum[i]:.6g} to "
                f"{self.maximum[i]:.6g} {self.labels[i].unit})"
            )
        warnings.warn(
            f"outside the range of the model's training labels: {'; '.join(parts)}. "
            "The prediction there is an extrapolation",
            LabelRangeWarning,
            stacklevel=3,
        )


def label_values(table):
    """Return the values of a table of labels in their own units: shape (n_rows, n_labels)."""
    return np.stack([Label(name).to_value(table[name]) for name in table.colnames], axis=1)


def named_columns(labels):
    """Return what has names as a dict, or `None` if there are none.

    Parameters
    ----------
    labels : object
        A table or row of astropy, a data frame or series of pandas, a structured array, a mapping:
        anything with ``dtype.names``, ``keys()`` or ``columns``; or a plain array.

    Returns
    -------
    dict of str to array_like, or None
        `None` for a plain array.

    Raises
    ------
    ValueError
        If there are columns, but they are called by numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.labels import named_columns
    >>> rows = np.array([(5777.0, 4.44), (4500.0, 2.5)], dtype=[("teff", float), ("logg", float)])
    >>> named_columns(rows)["logg"]
    array([4.44, 2.5 ])
    >>> named_columns([[5777.0, 4.44]]) is None
    True
    """
    names = getattr(getattr(labels, "dtype", None), "names", None)
    if names is None:
        names = labels.keys() if hasattr(labels, "keys") else getattr(labels, "columns", None)
    if names is None:
        return None
    names = list(names)
    if numbers := [name for name in names if not isinstance(name, str)]:
        raise ValueError(
            f"labels are matched by name, but a {type(labels).__name__} has columns called "
            f"{', '.join(map(repr, numbers))}: name them, or give its values as a plain array, "
            "whose columns are in the model's order"
        )
    return {name: labels[name] for name in names}


def unknown_label_message(name, known, what="label", constant=()):
    """Say that a label, or what else it is, is not known, which are, and what may be meant.

    ``constant`` are values of labels that the training spectra had in common, by their names.
    """
    if constant and (own := _parsed(str(name))) in constant:
        return (
            f"{what} {str(name)!r} was {constant[own]:g} in all spectra that the model was trained "
            f"on, so it cannot be changed: leave it out. The model's are {', '.join(known)}"
        )
    message = f"{what} {str(name)!r} is not one of {', '.join(known)}"
    close = difflib.get_close_matches(str(name).lower(), [k.lower() for k in known], n=1)
    if close:
        message += f"; did you mean {next(k for k in known if k.lower() == close[0])!r}?"
    return message


def strip_unit(value, what, *accepted):
    """Return a value as floats in the first unit accepted.

    Parameters
    ----------
    value : float, array_like or `~astropy.units.Quantity`
        A bare number is taken to be in that unit already; what is masked becomes NaN.
    what : str
        What it is, for the error.
    *accepted : `~astropy.units.Unit`
        Units that it may convert to; all of them count the same.

    Raises
    ------
    astropy.units.UnitConversionError
        If it converts to none.
    ValueError
        If it is not a number.
    """
    unit = getattr(value, "unit", None)
    try:
        if hasattr(value, "filled"):  # masked columns and quantities
            value = value.astype(float).filled(np.nan)
        if unit is None:
            return np.asarray(value, dtype=float)[()]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} has to be of numbers, but: {error}") from None
    import astropy.units as u

    for candidate in accepted:
        if u.Unit(unit).is_equivalent(candidate):
            quantity = value if hasattr(value, "to_value") else u.Quantity(value)
            return np.asarray(quantity.to_value(candidate), dtype=float)[()]
    raise u.UnitConversionError(
        f"{what} is in {accepted[0]}, but was given in {unit}: give a bare number in "
        f"{accepted[0]} or a Quantity that converts to it"
    )


def one_value(value, what):
    """Return the one number that there is, as a float.

    Parameters
    ----------
    value : float or array_like
        Without a unit.
    what : str
        What it is, for the error.

    Raises
    ------
    ValueError
        If there are several, or none.
    """
    if np.size(value) != 1:
        raise ValueError(f"{what} needs one value, got {np.size(value)}")
    return float(np.squeeze(value))


def one_star(values):
    """Return the labels of one star, (n_labels,), of an array with a row a star.

    Raises
    ------
    ValueError
        If there are several.
    """
    if len(values) != 1:
        raise ValueError(f"one star needs one value a label, got {len(values)}")
    return values[0]


class LabelTransform:
    """Another way to say what a label says: what a plugin registers.

    Subclass it, set the three attributes, and write both directions. Source and target say the
    same: where the labels in ``needs`` are known, each follows from the other. So nobody can give
    both, and `~astropayne.conversion.LabelConversion` puts one in the place of the other, also by
    way of several transforms.

    Attributes
    ----------
    source, target : str
        The label that is replaced, and the one that takes its place.
    needs : tuple of str
        Other labels that the transform reads.

    Examples
    --------
    [M/H] of a mixture where the α elements count (Salaris et al. 1993, ApJ 414, 580):

    >>> import numpy as np
    >>> import astropayne
    >>> from astropayne.labels import LabelTransform
    >>> class Metallicity(LabelTransform):
    ...     source, target, needs = "M_H", "feh", ("alpha_Fe",)
    ...     def difference(self, values):
    ...         return np.log10(0.638 * 10.0 ** values["alpha_Fe"] + 0.362)
    ...     def forward(self, values, solar):
    ...         return values["M_H"] - self.difference(values)
    ...     def inverse(self, values, solar):
    ...         return values["feh"] + self.difference(values)
    >>> class MyPlugin:
    ...     @astropayne.hookimpl
    ...     def astropayne_label_transforms(self):
    ...         return [Metallicity()]
    >>> astropayne.register_plugin(MyPlugin(), name="metallicity")
    'metallicity'
    >>> from astropayne.conversion import LabelConversion
    >>> LabelConversion(["M_H", "[α/Fe]"], ["A(Fe)"], "magg2022")([-1.0, 0.4]).round(2).tolist()
    [6.21]
    >>> astropayne.unregister_plugin("metallicity")
    """

    source = ""
    target = ""
    needs = ()

    def forward(self, values, solar):
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The source and the needed labels, in their own units.
        solar : `~astropayne.abundances.SolarScale`
            Solar abundances the grid was computed with.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def inverse(self, values, solar):
        """Compute the source from the target; parameters as in `forward`."""
        raise NotImplementedError

    def __repr__(self):
        return f"<{type(self).__name__}: {self.source} -> {self.target}>"


class LabelRelation:
    """A label estimated from others, for want of better: what a plugin may register too.

    It has no inverse, and is used only where its name is given in place of the label's value, as
    in ``model(teff=5777, logg=4.44, feh=0, vmic="bruntt2010")``.

    Attributes
    ----------
    name : str
        How it is asked for; case and punctuation do not matter.
    target : str
        The label it estimates.
    needs : tuple of str
        The labels it reads.
    citation : str
        Where it comes from.
    """

    name = ""
    target = ""
    needs = ()
    citation = ""

    def estimate(self, values):
        """Compute the target.

        Parameters
        ----------
        values : mapping of str to numpy.ndarray
            The needed labels, in their own units.

        Returns
        -------
        numpy.ndarray
        """
        raise NotImplementedError

    def __repr__(self):
        return f"<{type(self).__name__} {self.name!r}: {', '.join(self.needs)} -> {self.target}>"
