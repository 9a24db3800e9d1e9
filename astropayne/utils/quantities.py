# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Numbers with and without units."""

import numpy as np

__all__ = ["one_value", "strip_unit"]


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
