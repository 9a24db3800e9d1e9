# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelengths in air and in vacuum."""

from functools import lru_cache

import astropy.units as u
import numpy as np

__all__ = [
    "MEDIA",
    "require_medium",
    "spectral_equivalencies",
    "to_air",
    "to_vacuum",
    "vacuum_angstrom",
]

# Å. Below, Morton's formula does not hold, and air's index of refraction is taken to be as here.
_SHORTEST = 2500.0
#: What wavelengths may be measured in.
MEDIA = ("air", "vacuum")


def require_medium(medium):
    """Refuse (ValueError) what is none of `MEDIA`."""
    if medium not in MEDIA:
        raise ValueError(f"medium is {medium!r}; it can be {' or '.join(map(repr, MEDIA))}")


def to_vacuum(wavelength, medium):
    """Convert wavelengths to vacuum (Morton 2000, ApJS 130, 403, by way of specutils).

    Parameters
    ----------
    wavelength : array_like
        In Å.
    medium : {"air", "vacuum"}
        What they are measured in.

    Returns
    -------
    numpy.ndarray
        In Å, vacuum.

    Raises
    ------
    ValueError
        If the medium is neither, or wavelengths in air are not finite.
    """
    require_medium(medium)
    wavelength = np.asarray(wavelength, dtype=float)
    if medium == "vacuum":
        return wavelength
    if bad := np.count_nonzero(~np.isfinite(wavelength)):
        raise ValueError(f"{bad} of {wavelength.size} wavelengths are not finite: leave them out")
    if not wavelength.size:
        return wavelength
    return wavelength * _vacuum_over_air(wavelength.shape, wavelength.tobytes())


@lru_cache(maxsize=4)
def _vacuum_over_air(shape, data):
    """Return the ratio for wavelengths given as bytes: spectra of one survey share theirs."""
    wavelength = np.frombuffer(data).reshape(shape)
    from specutils.utils.wcs_utils import air_to_vac

    valid = np.maximum(wavelength, _SHORTEST)
    vacuum = air_to_vac(valid * u.AA, scheme="iteration", method="Morton2000").to_value(u.AA)
    return vacuum / valid


def to_air(wavelength):
    """Convert vacuum wavelengths to air, the inverse of `to_vacuum`.

    Parameters
    ----------
    wavelength : array_like
        In Å, vacuum.

    Returns
    -------
    numpy.ndarray
        In Å, air.
    """
    from specutils.utils.wcs_utils import vac_to_air

    wavelength = np.asarray(wavelength, dtype=float)
    valid = np.maximum(wavelength, _SHORTEST * 1.0004)
    return wavelength * (vac_to_air(valid * u.AA, method="Morton2000").to_value(u.AA) / valid)


def spectral_equivalencies(medium):
    """Return what astropy needs to convert other spectral units to wavelengths in a medium.

    Parameters
    ----------
    medium : {"air", "vacuum"}

    Returns
    -------
    list of tuple
        As `astropy.units.spectral` gives it for vacuum.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.wavelengths.media import spectral_equivalencies
    >>> (508.8 * u.THz).to(u.AA, spectral_equivalencies("air")).round(1)
    <Quantity 5890.5 Angstrom>
    """
    if medium == "vacuum":
        return u.spectral()

    def pair(unit):
        return (
            u.AA,
            unit,
            lambda air: (to_vacuum(air, "air") * u.AA).to_value(unit, u.spectral()),
            lambda other: to_air((other * unit).to_value(u.AA, u.spectral())),
        )

    return [pair(unit) for unit in (u.Hz, u.J, u.m**-1, u.rad / u.m)]


def vacuum_angstrom(axis, medium):
    """Return a spectral axis as vacuum wavelengths.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        In any spectral unit.
    medium : {"air", "vacuum"}
        What wavelengths are measured in; frequencies, energies and wave numbers always are
        vacuum's.

    Returns
    -------
    numpy.ndarray
        In Å.
    """
    wavelength = axis.to_value(u.AA, u.spectral())
    return to_vacuum(wavelength, medium) if axis.unit.is_equivalent(u.m) else wavelength
