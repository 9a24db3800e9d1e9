# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Uncertainties of spectra as standard deviations."""

import astropy.units as u
import numpy as np
from astropy.nddata import NDUncertainty, StdDevUncertainty
from specutils import Spectrum

__all__ = ["standard_deviation"]

_NO_NOISE = 1e-6  # fraction of the median of all uncertainties, below which one stands for zero


def standard_deviation(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations, and which of them can be used.

    Parameters
    ----------
    spectrum : `~specutils.Spectrum`

    Returns
    -------
    sigma : numpy.ndarray, shape (n_pixels,)
        In the unit of the flux; zero if there is no uncertainty, infinite if it cannot be used.
    usable : numpy.ndarray of bool, shape (n_pixels,)
        False where the uncertainty is not a positive number.

    Raises
    ------
    ValueError
        If the class of the uncertainty does not define its type, or its unit does not convert to
        that of the flux.
    """
    uncertainty, n = spectrum.uncertainty, len(spectrum.flux)
    if uncertainty is None:
        return np.zeros(n), np.ones(n, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not isinstance(uncertainty, StdDevUncertainty):
            uncertainty = _as_deviation(uncertainty)
        sigma = np.array(uncertainty.array, dtype=float)
        if uncertainty.unit not in (None, spectrum.flux.unit):
            try:
                sigma = (sigma * uncertainty.unit).to_value(spectrum.flux.unit)
            except u.UnitConversionError:
                raise ValueError(
                    f"the uncertainty is in {uncertainty.unit}, and the flux in "
                    f"{spectrum.flux.unit or 'no unit'}: convert it to that"
                ) from None
    usable = np.isfinite(sigma) & (sigma > 0)
    if usable.any():  # one of 1e-12 stands for zero: such a pixel would count alone
        usable &= sigma > _NO_NOISE * np.median(sigma[usable])
    return np.where(usable, sigma, np.inf), usable


def _as_deviation(uncertainty: NDUncertainty) -> StdDevUncertainty:
    """Return an uncertainty as a standard deviation."""
    try:
        return uncertainty.represent_as(StdDevUncertainty)
    except TypeError:
        raise ValueError(
            f"the uncertainty is {type(uncertainty).__name__}, which does not define its type: "
            "give StdDevUncertainty(array), VarianceUncertainty(array) or InverseVariance(array) "
            "of astropy.nddata instead of an array"
        ) from None
