# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Numbers with and without units."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import astropy.units as u

__all__ = ["one_value", "strip_unit"]


def strip_unit(value: Any, what: str, *accepted: "u.UnitBase") -> Any:
    """Return a value as floats in the first of the accepted units.

    Parameters
    ----------
    value : float, array_like or `~astropy.units.Quantity`
        A bare number is in that unit already. Masked values become NaN.
    what : str
        Name of the value, for the error message.
    *accepted : `~astropy.units.Unit`
        Units to which the value may be converted. The number is returned in the first one that
        fits.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    astropy.units.UnitConversionError
        If the unit cannot be converted to any of them.
    ValueError
        If the value is not numeric.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.utils.quantities import strip_unit
    >>> print(strip_unit(3000 * u.m / u.s, "rv", u.km / u.s), strip_unit(3, "rv", u.km / u.s))
    3.0 3.0
    """
    unit = getattr(value, "unit", None)
    try:
        if hasattr(value, "filled"):  # masked columns and quantities
            value = value.astype(float).filled(np.nan)
        if unit is None:
            return np.asarray(value, dtype=float)[()]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numeric: {error}") from None
    import astropy.units as u

    for candidate in accepted:
        if u.Unit(unit).is_equivalent(candidate):
            quantity = value if hasattr(value, "to_value") else u.Quantity(value)
            return np.asarray(quantity.to_value(candidate), dtype=float)[()]
    raise u.UnitConversionError(
        f"{what} is in {accepted[0]}, but was given in {unit}: give a bare number in "
        f"{accepted[0]} or a Quantity that converts to it"
    )


def one_value(value: npt.ArrayLike, what: str) -> float:
    """Return a single number as a float.

    Parameters
    ----------
    value : float or array_like
        Without a unit.
    what : str
        Name of the value, for the error message.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is not exactly one number.

    Examples
    --------
    >>> from astropayne.utils.quantities import one_value
    >>> one_value([3], "rv")
    3.0
    """
    if np.size(value) != 1:
        raise ValueError(f"{what} needs one value, got {np.size(value)}")
    return float(np.squeeze(value))
