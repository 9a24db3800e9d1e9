# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Wavelength axes: windows and widths of pixels, air and vacuum, velocities."""

import itertools
import math
from functools import lru_cache

import astropy.units as u
import numpy as np

from astropayne.labels import strip_unit

__all__ = [
    "C_KMS",
    "FASTEST_RV",
    "FWHM",
    "MEDIA",
    "checked_region",
    "checked_velocity",
    "covered_range",
    "doppler_factor",
    "effective_arms",
    "find_windows",
    "inside_regions",
    "pixel_width",
    "require_axis",
    "require_medium",
    "require_resolution",
    "resolution_at",
    "spectral_equivalencies",
    "to_air",
    "to_vacuum",
    "vacuum_angstrom",
]

#: Speed of light in km/s.
C_KMS = 299792.458
#: Velocities of stars, in km/s, that are looked for.
FASTEST_RV = 1000.0
#: Full width at half maximum of a Gaussian, in standard deviations.
FWHM = math.sqrt(8 * math.log(2))
_WIDEST = 1000.0  # km/s; no star turns so fast

# Å. Below, Morton's formula does not hold, and air's index of refraction is taken to be as here.
_SHORTEST = 2500.0

_OF_STARS = (100.0, 1e8)  # Å; other numbers are logarithms, or in another unit

#: What wavelengths may be measured in.
MEDIA = ("air", "vacuum")


def find_windows(wavelength):
    """Split an axis where it has gaps.

    A gap is a step more than three times as wide as the narrower of its neighbours.

    Parameters
    ----------
    wavelength : array_like, shape (n_pixels,)
        Increasing.

    Returns
    -------
    list of slice
        One for each window.

    Examples
    --------
    >>> from astropayne.wavelengths import find_windows
    >>> find_windows([5000, 5001, 5002, 6000, 6001, 6002])
    [slice(0, 3, None), slice(3, 6, None)]
    """
    step = np.diff(np.asarray(wavelength, dtype=float))
    if len(step) < 2:
        return [slice(0, len(step) + 1)]
    before = np.concatenate([step[1:2], step[:-1]])
    after = np.concatenate([step[1:], step[-2:-1]])
    edges = np.flatnonzero(step > 3 * np.minimum(before, after)) + 1
    starts = [0, *map(int, edges)]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(step) + 1], strict=True)]


def pixel_width(wavelength):
    """Return the widths of pixels in ln λ: the distance to the nearer neighbour.

    Parameters
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
        NaN for no pixel, which is taken to be one wide.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels)
    """
    step = np.abs(np.diff(np.log(wavelength), axis=1))
    no_step = np.full((len(step), 1), np.inf)
    step = np.where(np.isnan(step), np.inf, step)
    width = np.minimum(np.hstack([no_step, step]), np.hstack([step, no_step]))
    return np.where(np.isfinite(width), width, 1.0)


def covered_range(wavelength, used):
    """Return how much of ln λ pixels cover; what several arms cover counts once.

    Parameters
    ----------
    wavelength, used : sequence of numpy.ndarray, shape (n_pixels,)
        Of each arm. Pixels that are not used cover nothing, and neither does an arm of one pixel.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths import covered_range
    >>> arm, used = np.linspace(5000, 5100, 101), np.ones(101, dtype=bool)
    >>> covered_range([arm], [used]) == covered_range([arm, arm], [used, used])
    True
    """
    parts = [
        (np.log(w[mine]), pixel_width(w[None])[0, mine])
        for w, mine in zip(wavelength, used, strict=True)
        if len(w) > 1
    ]
    middle, width = np.hstack([np.zeros((2, 0)), *parts])
    order = np.argsort(middle - 0.5 * width)
    start, end = (middle - 0.5 * width)[order], (middle + 0.5 * width)[order]
    before = np.maximum.accumulate(np.append(-np.inf, end[:-1])) if len(end) else end
    return float(np.maximum(end - np.maximum(start, before), 0).sum())


def effective_arms(wavelength, weight):
    """Return how many arms like its own see the wavelength of each pixel.

    Parameters
    ----------
    wavelength : sequence of numpy.ndarray, shape (n, n_pixels)
        Of each arm; NaN for no pixel.
    weight : numpy.ndarray, shape (n, n_pixels of all arms)
        What each pixel tells of its wavelength; zero for one that is not used.

    Returns
    -------
    numpy.ndarray, shape (n, n_pixels of all arms)
        What all arms tell over what the pixel's own does; one where it is the only one.

    Examples
    --------
    >>> import numpy as np
    >>> from astropayne.wavelengths import effective_arms
    >>> blue, red = np.array([[5000.0, 5001, 5002]]), np.array([[5001.2, 5002.2, 5003.2]])
    >>> effective_arms([blue, red], np.array([[1, 1, 1, 3, 3, 3]])).round(2).tolist()
    [[1.0, 4.0, 4.0, 1.33, 1.33, 1.0]]
    """
    total, ends = np.array(weight, dtype=float), np.cumsum([0, *(w.shape[1] for w in wavelength)])
    arms = [
        (slice(*pair), np.log(w), pixel_width(w))
        for pair, w in zip(itertools.pairwise(ends), wavelength, strict=True)
        if weight[:, slice(*pair)].any()  # most orders of an echelle spectrum lie elsewhere
    ]
    for (mine, log, _), (its, other, width) in itertools.permutations(arms, 2):
        for i, row in enumerate(total[:, mine]):
            if row.any():
                row += _of_nearest(log[i], other[i], width[i], weight[i, its])
    return np.divide(total, weight, out=np.ones_like(total), where=weight > 0)


def _of_nearest(log, other, width, weight):
    """Return the weight of another arm's nearest pixel; zero where none is as near as its width."""
    some = np.flatnonzero(weight > 0)
    some = some[np.argsort(other[some])]
    at = other[some]
    if not len(at) or not (np.nanmin(log) <= at[-1] and np.nanmax(log) >= at[0]):
        return 0.0
    nearest = some[np.searchsorted(0.5 * (at[1:] + at[:-1]), log)]
    return np.where(np.abs(log - other[nearest]) <= width[nearest], weight[nearest], 0.0)


def require_medium(medium):
    """Refuse (ValueError) what is none of `MEDIA`."""
    if medium not in MEDIA:
        raise ValueError(f"medium is {medium!r}; it can be {' or '.join(map(repr, MEDIA))}")


def require_axis(wavelength, medium, resolution):
    """Refuse (ValueError) pixels that are those of no spectrum.

    Parameters
    ----------
    wavelength : numpy.ndarray
        In Å.
    medium : str
    resolution : float or None
    """
    step = np.diff(wavelength, prepend=0.0)
    wrong = ~((step > 0) & (step < np.inf))
    if wrong.any():
        i = np.argmax(wrong)
        raise ValueError(
            f"the wavelength of pixel {i} is {wavelength[i]}: wavelengths have to be finite, "
            "positive and increasing"
        )
    if len(wavelength) and not (_OF_STARS[0] <= wavelength[0] and wavelength[-1] <= _OF_STARS[1]):
        raise ValueError(
            f"wavelengths go from {wavelength[0]:.6g} to {wavelength[-1]:.6g} Angstrom, which no "
            "spectrum of a star does: say their unit, such as nm; if they are logarithms, give "
            "10**value, or call their column 'loglam'"
        )
    require_medium(medium)
    require_resolution(resolution)


def require_resolution(resolution):
    """Refuse (ValueError) what is neither a positive number nor `None`."""
    number = np.ndim(resolution) == 0 and np.asarray(resolution).dtype.kind in "iuf"
    if resolution is not None and not (number and 0 < resolution < np.inf):
        raise ValueError(
            f"resolution is {resolution!r}; it can be a positive number, λ/FWHM, or None where it "
            "is not known"
        )


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


def inside_regions(axis, regions, medium):
    """Say which pixels lie in a region, its ends included.

    Parameters
    ----------
    axis : `~astropy.units.Quantity`
        In any spectral unit.
    regions : `~specutils.SpectralRegion`
        One or several; units need not be the axis'.
    medium : {"air", "vacuum"}
        What wavelengths, of the axis or of the regions, are measured in.

    Returns
    -------
    numpy.ndarray of bool
    """
    wavelength = vacuum_angstrom(axis, medium)
    inside = np.zeros(len(axis), dtype=bool)
    for lower, upper in regions.subregions:
        bounds = vacuum_angstrom(u.Quantity([lower, upper]), medium)
        slack = 1e-12 * bounds  # of rounding, for pixels on the very end
        inside |= (wavelength >= (bounds - slack).min()) & (wavelength <= (bounds + slack).max())
    return inside


def checked_region(given, what):
    """Return a region as it was given, if it is one.

    Parameters
    ----------
    given : `~specutils.SpectralRegion`
    what : str
        What it is, for the error.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not hasattr(given, "subregions"):
        raise TypeError(
            f"{what} has to be a specutils SpectralRegion, such as SpectralRegion(5165 * u.AA, "
            f"5235 * u.AA), got {given!r}"
        )
    return given


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
    >>> from astropayne.wavelengths import spectral_equivalencies
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


def resolution_at(resolution, axis):
    """Return a resolution as a number, or as a value for each pixel of an axis.

    Parameters
    ----------
    resolution : float, array_like, callable or None
        λ/FWHM; an array has a value a pixel; a function is called with the axis.
    axis : `~astropy.units.Quantity`

    Returns
    -------
    float, None, or numpy.ndarray, shape (n_pixels,)

    Raises
    ------
    ValueError
        If it has another shape than the axis.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne.wavelengths import resolution_at
    >>> resolution_at(lambda wavelength: 4 * wavelength.to_value(u.AA), [5000, 5001] * u.AA)
    array([20000., 20004.])
    """
    if callable(resolution):
        resolution = resolution(axis)
    if isinstance(resolution, u.Quantity):
        resolution = strip_unit(resolution, "resolution", u.one)
    if resolution is None or np.ndim(resolution) == 0:
        return resolution
    resolution = np.asarray(resolution, dtype=float)
    if resolution.shape != np.shape(axis):
        raise ValueError(
            f"resolution has shape {resolution.shape}, but there are {len(axis)} pixels: give a "
            "number, a value for each pixel, or a function of the spectral axis"
        )
    return resolution


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
