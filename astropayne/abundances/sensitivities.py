# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Spectra and their derivatives by labels."""

import astropy.units as u
import numpy as np

from astropayne.labels.columns import one_star
from astropayne.utils.quantities import one_value
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import VELOCITIES, checked_velocity

__all__ = ["sensitivity"]


def sensitivity(model, at, *, resolution=None, wavelength=None, limb_darkening=0.6):
    """Return what a star's spectrum is, and how it changes with labels and velocities.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    at : mapping
        Labels of the star, as the model takes them, and perhaps ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        λ/FWHM; the model's own by default.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels, in the model's medium; the model's own by default.
    limb_darkening : float

    Returns
    -------
    wavelength : numpy.ndarray, shape (n,)
        Å in vacuum, of the pixels that the model supports.
    theta : numpy.ndarray, shape (n_labels + 3,)
        The labels, then rv, vsini and vmac.
    flux : numpy.ndarray, shape (n,)
    jacobian : numpy.ndarray, shape (n, n_labels + 3)
    """
    theta, vacuum = parameters_of(model, at), vacuum_pixels(model, wavelength)
    rv, *widths = theta[-len(VELOCITIES) :]
    forward = model.forward_model(limb_darkening=limb_darkening)
    placed = forward.pixels(vacuum, rv)
    good = forward.supported(placed, *widths, resolution)[0]
    with without_gradients():
        flux, jacobian = forward.forward_and_jacobian(theta, placed, resolution)
    return vacuum[good], theta, flux[0].numpy()[good], jacobian[0].numpy()[good]


def parameters_of(model, at):
    """Return a star's labels, rv, vsini and vmac (n_labels + 3,); as `sensitivity` takes them."""
    labels = {name: value for name, value in at.items() if name not in VELOCITIES}
    velocities = [one_value(checked_velocity(at.get(name, 0.0), name), name) for name in VELOCITIES]
    theta = np.concatenate([one_star(model.label_array(labels)), velocities])
    if not np.isfinite(theta).all():
        raise ValueError(f"labels are missing or not finite: a star needs {model.labels.names}")
    return theta


def vacuum_pixels(model, wavelength=None):
    """Return pixels in vacuum, Å; as `sensitivity` takes them."""
    pixels = model.wavelength if wavelength is None else u.Quantity(wavelength, u.AA)
    return to_vacuum(pixels.value, model.medium)
