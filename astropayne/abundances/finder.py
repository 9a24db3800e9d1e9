# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Search for the windows of a spectrum that carry the information on a label."""

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np

from astropayne.abundances.lines import LineList
from astropayne.abundances.sensitivities import sensitivity
from astropayne.forward.parameters import velocity_of
from astropayne.labels.names import Label
from astropayne.models.model import PayneModel
from astropayne.wavelengths.axis import without_gaps
from astropayne.wavelengths.rebinning import pixel_edges
from astropayne.wavelengths.velocity import doppler_factor

__all__ = ["best_windows", "find"]


def find(
    model: PayneModel,
    label: str,
    *,
    at: Mapping[str, Any],
    resolution: float | None = None,
    snr: float = 100.0,
    wavelength: u.Quantity | None = None,
    share: float = 0.9,
    purity: float = 0.3,
) -> LineList:
    """Find the windows of a spectrum that carry most of the information on a label.

    The information of a pixel is its contribution to the Fisher information on the label, when
    all other labels and velocities are unknown. Let J be the derivative of the flux with respect
    to the label, divided by the noise, and r the part of J that is orthogonal to the derivatives
    with respect to all other parameters. The information is then the sum of J·r over the pixels,
    and 1/√sum is the error of the label.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    label : str
        One of the model's labels, in any spelling.
    at : mapping of str to value
        Labels of the star, as in calling the model, and optionally ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        Resolution λ/FWHM; that of the model by default.
    snr : float
        Signal-to-noise ratio per pixel; the emulator error is added to the noise.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels in the model's medium; those of the model by default.
    share : float
        Fraction of the information of all pure pixels that the windows contain together, the best
        windows first.
    purity : float
        Minimum purity of pixels: the squared derivative with respect to the label, divided by the
        sum of those with respect to all abundances, each per dex.

    Returns
    -------
    LineList
        With the columns ``information`` (fraction of the information of all pixels) and
        ``purity``.

    Raises
    ------
    ValueError
        If no pixel is pure enough, or an option is invalid.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.abundances import find
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 2.2}
    >>> lines = find(PayneModel.sample(), "A(Li)", at=star)
    >>> print(lines.table["wavelength"].round(1))
    [6707.8] Angstrom
    """
    if not snr > 0:
        raise ValueError(f"snr={snr} must be positive")
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must be greater than 0 and at most 1")
    index = model.labels.index(label)
    star = sensitivity(model, at, resolution=resolution, wavelength=wavelength)
    if not len(star.wavelength):
        ends = f"{model.wavelength[0].value:.0f} to {model.wavelength[-1]:.0f} ({model.medium})"
        raise ValueError(f"wavelength: no pixel is within the windows of the model, {ends}")
    rest = star.wavelength / doppler_factor(velocity_of(star.theta, "rv"))
    sigma = np.hypot(np.full(len(rest), 1 / float(snr)), model.error_at(rest))
    derivatives = star.jacobian / sigma[:, None]
    information, pure = _information_and_purity(model, derivatives, index)
    windows = best_windows(rest, np.where(pure >= purity, information, 0.0), share)
    if not windows:
        raise ValueError(
            f"no pixel with a purity of at least {purity:g} carries information on {label!r}; the "
            f"highest purity is {pure.max():.2g}, so give a lower one"
        )
    lines = _lines_from(rest, np.abs(derivatives[:, index]), windows, _element_of(model, index))
    gains = np.array([information[a : b + 1].sum() for a, b in windows]) / information.sum()
    lines.table["information"] = gains
    lines.table["purity"] = [float(np.max(pure[a : b + 1])) for a, b in windows]
    return lines.in_medium(model.medium)


def _information_and_purity(
    model: PayneModel, derivatives: np.ndarray, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return information and purity of each pixel, from derivatives divided by the noise."""
    own, others = derivatives[:, index], np.delete(derivatives, index, axis=1)
    others = others / np.maximum(np.linalg.norm(others, axis=0), 1e-300)
    orthogonal = own - others @ np.linalg.lstsq(others, own, rcond=1e-10)[0]
    abundances = [
        i for i, x in enumerate(model.labels) if x.element or x.name == "feh" or i == index
    ]
    total = (derivatives[:, abundances] ** 2).sum(axis=1)
    return own * orthogonal, own**2 / np.maximum(total, 1e-300)


def _element_of(model: PayneModel, index: int) -> str:
    name = model.labels.names[index]
    return Label(name).element or ("Fe" if name == "feh" else "")


def _lines_from(
    rest: np.ndarray, strength: np.ndarray, windows: list[tuple[int, int]], element: str
) -> LineList:
    """Return lines in windows of pixels, centered where the label changes the flux most."""
    first, last = np.transpose(windows)
    lower, upper = pixel_edges(rest)
    return LineList(
        [rest[a + np.argmax(strength[a : b + 1])] for a, b in windows],
        lower=lower[first],
        upper=upper[last],
        element=element,
        reference="found by the model",
        medium="vacuum",
    )


def best_windows(rest: np.ndarray, gain: np.ndarray, share: float) -> list[tuple[int, int]]:
    """Return the first and last pixels of the windows with most information.

    Parameters
    ----------
    rest : numpy.ndarray, shape (n,)
        Wavelengths of the pixels.
    gain : numpy.ndarray, shape (n,)
        Information of the pixels.
    share : float
        Fraction of all information that the windows contain together.

    Returns
    -------
    list of (int, int)
        In the order of the pixels; empty if no pixel has information.
    """
    peak = gain.max(initial=0.0)
    if not peak > 0:
        return []
    parts = [(p[0], p[-1]) for p in without_gaps(rest, gain > 1e-2 * peak)]
    sums = np.array([gain[a : b + 1].sum() for a, b in parts])
    order = np.argsort(-sums)
    n = 1 + np.searchsorted(np.cumsum(sums[order]), share * sums.sum())
    return sorted(parts[i] for i in order[:n])
