# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Windows in which an element shows."""

import numpy as np

from astropayne.abundances.lines import LineList
from astropayne.abundances.sensitivities import sensitivity
from astropayne.labels.names import Label
from astropayne.wavelengths.axis import without_gaps
from astropayne.wavelengths.rebinning import pixel_edges
from astropayne.wavelengths.velocity import VELOCITIES, doppler_factor

__all__ = ["find"]


def find(model, label, *, at, resolution=None, snr=100.0, wavelength=None, share=0.9, purity=0.3):
    """Find the windows of a spectrum that say most of a label.

    What pixels say of a label is their part of its Fisher information, all other labels and
    velocities being unknown as well: with J the derivative of the flux by the label over the
    noise, and r what is left of J when all that other derivatives can imitate is taken off, the
    information is the sum of J·r over pixels, and 1/√sum the error of the label.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    label : str
        One of the model's labels, in any spelling.
    at : mapping
        The star: its labels, and perhaps ``rv``, ``vsini`` and ``vmac``.
    resolution : float, optional
        λ/FWHM; the model's own by default.
    snr : float
        Signal to noise of a pixel; the emulator's own error is added.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels, in the model's medium; the model's own by default.
    share : float
        Take the best windows that together have this part of the information of all that are pure.
    purity : float
        Leave out pixels of which less is due to the label: its squared derivative over that of
        all abundances together, each by one dex.

    Returns
    -------
    LineList
        With columns ``information`` (each window's share of that of all pixels) and ``purity``.

    Raises
    ------
    ValueError
        If the spectrum says nothing of the label, or an option makes no sense.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.abundances.finder import find
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 2.2}
    >>> lines = find(PayneModel.sample(), "A(Li)", at=star)
    >>> print(lines.table["wavelength"].round(1))
    [6707.8] Angstrom
    """
    if not snr > 0:
        raise ValueError(f"snr={snr} has to be positive")
    if not 0 < share <= 1:
        raise ValueError(f"share={share} has to be above 0, and 1 at most")
    k = model.labels.index(label)
    vacuum, theta, _, jacobian = sensitivity(
        model, at, resolution=resolution, wavelength=wavelength
    )
    if not len(vacuum):
        ends = f"{model.wavelength[0].value:.0f} to {model.wavelength[-1]:.0f} ({model.medium})"
        raise ValueError(f"wavelength: no pixel is within the windows of the model, {ends}")
    rest = vacuum / doppler_factor(theta[-len(VELOCITIES)])
    sigma = np.full(len(rest), 1 / float(snr))
    sigma = np.hypot(sigma, model.error_at(rest))
    weighted = jacobian / sigma[:, None]
    own, others = weighted[:, k], np.delete(weighted, k, axis=1)
    others = others / np.maximum(np.linalg.norm(others, axis=0), 1e-300)
    left = own - others @ np.linalg.lstsq(others, own, rcond=1e-10)[0]
    information = own * left
    abundances = [i for i, x in enumerate(model.labels) if x.element or x.name == "feh" or i == k]
    pure = own**2 / np.maximum((weighted[:, abundances] ** 2).sum(axis=1), 1e-300)
    windows = _windows(rest, np.where(pure >= purity, information, 0.0), share)
    if not windows:
        raise ValueError(
            f"there is no pixel whose purity for {label!r} is {purity:g} and that says something "
            f"of it; the purest has {pure.max():.2g}: take a lower purity"
        )
    name = model.labels.names[k]
    element = Label(name).element or ("Fe" if name == "feh" else "")
    first, last = np.transpose(windows)
    lower, upper = pixel_edges(rest)
    centres = [rest[a + np.argmax(np.abs(own[a : b + 1]))] for a, b in windows]
    lines = LineList(
        centres,
        lower=lower[first],
        upper=upper[last],
        element=element,
        reference="found by the model",
        medium="vacuum",
    )
    gains = np.array([information[a : b + 1].sum() for a, b in windows]) / information.sum()
    lines.table["information"] = gains
    lines.table["purity"] = [float(np.max(pure[a : b + 1])) for a, b in windows]
    return lines.in_medium(model.medium)


def _windows(rest, gain, share):
    """Return first and last pixel of the best windows, in the order of pixels."""
    peak = gain.max(initial=0.0)
    if not peak > 0:
        return []
    parts = [(p[0], p[-1]) for p in without_gaps(rest, gain > 1e-2 * peak)]
    sums = np.array([gain[a : b + 1].sum() for a, b in parts])
    order = np.argsort(-sums)
    n = 1 + np.searchsorted(np.cumsum(sums[order]), share * sums.sum())
    return sorted(parts[i] for i in order[:n])
