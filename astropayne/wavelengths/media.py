# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelengths in air and in vacuum."""

from collections.abc import Callable
from functools import lru_cache

import astropy.units as u
import numpy as np
import numpy.typing as npt

__all__ = [
    "MEDIA",
    "require_medium",
    "spectral_equivalencies",
    "to_air",
    "to_vacuum",
    "vacuum_angstrom",
]

# Å. Morton's formula is not valid below; the index of refraction there is taken from here.
_SHORTEST = 2500.0
#: The media of wavelengths.
MEDIA = ("air", "vacuum")


def require_medium(medium: str) -> None:
    """Raise `ValueError` if a medium is not one of `MEDIA`."""
    if medium not in MEDIA:
        raise ValueError(f"medium is {medium!r}; it can be {' or '.join(map(repr, MEDIA))}")


def to_vacuum(wavelength: npt.ArrayLike, medium: str) -> np.ndarray:
    """Convert wavelengths to vacuum (Morton 2000, ApJS 130, 403, as implemented in specutils).

    Parameters
    ----------
    wavelength : array_like
        In Å.
    medium : {"air", "vacuum"}
        Medium of the wavelengths.

    Returns
    -------
    numpy.ndarray
        In Å, vacuum.

    Raises
    ------
    ValueError
        If the medium is not valid, or wavelengths in air are not finite.
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
def _vacuum_over_air(shape: tuple[int, ...], data: bytes) -> np.ndarray:
    """Return the ratio for wavelengths as bytes; cached, because spectra share wavelengths."""
    wavelength = np.frombuffer(data).reshape(shape)
    from specutils.utils.wcs_utils import air_to_vac

    valid = np.maximum(wavelength, _SHORTEST)
    vacuum = air_to_vac(valid * u.AA, scheme="iteration", method="Morton2000").to_value(u.AA)
    return vacuum / valid


def to_air(wavelength: npt.ArrayLike) -> np.ndarray:
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


def spectral_equivalencies(medium: str) -> list:
    """Return equivalencies between other spectral units and wavelengths in a medium.

    Parameters
    ----------
    medium : {"air", "vacuum"}

    Returns
    -------
    list of tuple
        As `astropy.units.spectral` returns them for vacuum.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.wavelengths.media import spectral_equivalencies
    >>> (508.8 * u.THz).to(u.AA, spectral_equivalencies("air")).round(1)
    <Quantity 5890.5 Angstrom>
    """
    if medium == "vacuum":
        return u.spectral()

    def pair(unit: u.UnitBase) -> tuple[u.UnitBase, u.UnitBase, Callable, Callable]:
        return (
            u.AA,
            unit,
            lambda air: (to_vacuum(air, "air") * u.AA).to_value(unit, u.spectral()),
            lambda other: to_air((other * unit).to_value(u.AA, u.spectral())),
        )

    return [pair(unit) for unit in (u.Hz, u.J, u.m**-1, u.rad / u.m)]


def vacuum_angstrom(axis: u.Quantity, medium: str) -> np.ndarray:
    """Return a spectral axis as vacuum wavelengths.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        In any spectral unit.
    medium : {"air", "vacuum"}
        Medium of wavelengths; frequencies, energies and wave numbers always refer to vacuum.

    Returns
    -------
    numpy.ndarray
        In Å.
    """
    wavelength = axis.to_value(u.AA, u.spectral())
    return to_vacuum(wavelength, medium) if axis.unit.is_equivalent(u.m) else wavelength
