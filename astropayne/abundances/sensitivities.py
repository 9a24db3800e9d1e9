# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra of stars, and their derivatives with respect to labels and velocities."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np

from astropayne.forward.parameters import velocities_of
from astropayne.labels.columns import one_star
from astropayne.models.model import PayneModel
from astropayne.utils.quantities import one_value
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

__all__ = ["Sensitivity", "parameters_of", "sensitivity", "vacuum_pixels"]


class Sensitivity(NamedTuple):
    """A spectrum and its derivatives, as returned by `sensitivity`.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n,)
        Å in vacuum.
    theta : numpy.ndarray, shape (n_labels + 3,)
        The labels, ``rv``, ``vsini`` and ``vmac``.
    flux : numpy.ndarray, shape (n,)
    jacobian : numpy.ndarray, shape (n, n_labels + 3)
        Derivatives of the flux with respect to ``theta``.
    """

    wavelength: np.ndarray
    theta: np.ndarray
    flux: np.ndarray
    jacobian: np.ndarray


def sensitivity(
    model: PayneModel,
    at: Mapping[str, Any],
    *,
    resolution: float | None = None,
    wavelength: u.Quantity | None = None,
    limb_darkening: float = 0.6,
) -> Sensitivity:
    """Return the spectrum of a star, and its derivatives with respect to labels and velocities.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    at : mapping of str to value
        Labels of the star, as in calling the model, and optionally ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        Resolution λ/FWHM; that of the model by default.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels in the model's medium; those of the model by default.
    limb_darkening : float
        Linear limb-darkening coefficient.

    Returns
    -------
    Sensitivity
        At the pixels inside the model's windows.

    Raises
    ------
    ValueError
        If labels are missing or not finite.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.abundances import sensitivity
    >>> sun = {"teff": 5777, "logg": 4.44, "feh": 0, "vmic": 1}
    >>> sensitivity(PayneModel.sample(), sun).jacobian.shape[1]
    15
    """
    theta, vacuum = parameters_of(model, at), vacuum_pixels(model, wavelength)
    rv, vsini, vmac = velocities_of(theta)
    forward = model.forward_model(limb_darkening=limb_darkening)
    pixels = forward.pixels(vacuum, rv)
    good = forward.supported(pixels, vsini, vmac, resolution)[0]
    with without_gradients():
        flux, jacobian = forward.forward_and_jacobian(theta, pixels, resolution)
    return Sensitivity(vacuum[good], theta, flux[0].numpy()[good], jacobian[0].numpy()[good])


def parameters_of(model: PayneModel, at: Mapping[str, Any]) -> np.ndarray:
    """Return labels, ``rv``, ``vsini`` and ``vmac`` of a star, (n_labels + 3,)."""
    labels = {name: value for name, value in at.items() if name not in VELOCITIES}
    velocities = [one_value(checked_velocity(at.get(name, 0.0), name), name) for name in VELOCITIES]
    theta = np.concatenate([one_star(model.label_array(labels)), velocities])
    if not np.isfinite(theta).all():
        raise ValueError(
            f"labels of the star are missing or not finite; the model needs {model.labels.names}"
        )
    return theta


def vacuum_pixels(model: PayneModel, wavelength: u.Quantity | None = None) -> np.ndarray:
    """Return pixels, in the model's medium or the model's own, as Å in vacuum."""
    pixels = model.wavelength if wavelength is None else u.Quantity(wavelength, u.AA)
    return to_vacuum(pixels.value, model.medium)
