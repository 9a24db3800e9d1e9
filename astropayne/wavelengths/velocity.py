# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Velocities: names, limits and Doppler factors."""

from typing import overload

import astropy.units as u
import numpy as np
import numpy.typing as npt

from astropayne.utils.quantities import strip_unit

__all__ = ["C_KMS", "FASTEST", "FASTEST_RV", "VELOCITIES", "checked_velocity", "doppler_factor"]

#: Speed of light in km/s.
C_KMS = 299792.458
#: Largest radial velocity that fits search for, in km/s.
FASTEST_RV = 1000.0
_WIDEST = 1000.0  # km/s; no star rotates faster


@overload
def doppler_factor(rv: float) -> float: ...
@overload
def doppler_factor(rv: np.ndarray) -> np.ndarray: ...
def doppler_factor(rv: float | np.ndarray) -> float | np.ndarray:
    """Return the ratio of observed to emitted wavelength, relativistic.

    Parameters
    ----------
    rv : float or numpy.ndarray
        Radial velocity in km/s.

    Returns
    -------
    float or numpy.ndarray

    Examples
    --------
    >>> from astropayne.wavelengths.velocity import doppler_factor
    >>> print(f"{doppler_factor(30.0):.8f}")
    1.00010007
    """
    return np.exp(np.arctanh(rv / C_KMS))


def checked_velocity(value: npt.ArrayLike | u.Quantity, name: str) -> float | np.ndarray:
    """Return velocities in km/s after checking that they are possible.

    Parameters
    ----------
    value : float, array_like or `~astropy.units.Quantity`
        A bare number is in km/s.
    name : {"rv", "vsini", "vmac"}

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError
        If a velocity is not finite or not slower than light, or a width is negative or above
        1000 km/s.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.wavelengths.velocity import checked_velocity
    >>> print(checked_velocity(12000 * u.m / u.s, "rv"))
    12.0
    """
    kms = strip_unit(value, name, u.km / u.s)
    is_rv = name == "rv"
    possible = np.abs(kms) < C_KMS if is_rv else (kms >= 0) & (kms <= _WIDEST)
    if not np.all(possible):
        wrong = np.broadcast_to(kms, np.shape(possible))[~possible].flat[0]
        allowed = "slower than light" if is_rv else f"from 0 to {_WIDEST:g} km/s"
        raise ValueError(f"{name} = {wrong:g} km/s is not possible: it must be {allowed}")
    return kms


#: Parameters of the forward model after the labels, in km/s.
VELOCITIES = ("rv", "vsini", "vmac")
#: Largest widths that fits search for, in km/s.
FASTEST = {"vsini": 300.0, "vmac": 50.0}
