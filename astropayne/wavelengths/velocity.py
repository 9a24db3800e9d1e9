# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Velocities: names, limits and Doppler factors."""

import astropy.units as u
import numpy as np

from astropayne.utils.quantities import strip_unit

__all__ = ["C_KMS", "FASTEST", "FASTEST_RV", "VELOCITIES", "checked_velocity", "doppler_factor"]

#: Speed of light in km/s.
C_KMS = 299792.458
#: Velocities of stars, in km/s, that are looked for.
FASTEST_RV = 1000.0
_WIDEST = 1000.0  # km/s; no star turns so fast


def doppler_factor(rv):
    """Return observed over emitted wavelengths at radial velocities in km/s, relativistic."""
    return np.exp(np.arctanh(rv / C_KMS))


def checked_velocity(value, name):
    """Return velocities in km/s, which have to be possible ones.

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
        If one is not finite, as fast as light, or a width below zero or above 1000 km/s.
    """
    kms = strip_unit(value, name, u.km / u.s)
    is_rv = name == "rv"
    possible = np.abs(kms) < C_KMS if is_rv else (kms >= 0) & (kms <= _WIDEST)
    if not np.all(possible):
        wrong = np.broadcast_to(kms, np.shape(possible))[~possible].flat[0]
        allowed = "slower than light" if is_rv else f"from 0 to {_WIDEST:g} km/s"
        raise ValueError(
            f"{name} = {wrong:g} km/s is no velocity of a star: it has to be {allowed}"
        )
    return kms


#: Parameters of the forward model that come after the labels, in km/s.
VELOCITIES = ("rv", "vsini", "vmac")
#: Largest widths that fits look for, in km/s.
FASTEST = {"vsini": 300.0, "vmac": 50.0}
