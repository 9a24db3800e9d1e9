# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What to expect of an observation before it is made."""

import numpy as np
import torch
from astropy.table import QTable
from numpy.polynomial import chebyshev

from astropayne.forward import VELOCITIES
from astropayne.labels import Label, parse_label
from astropayne.lines import sensitivity
from astropayne.wavelengths import doppler_factor, find_windows, pixel_width

__all__ = ["describe_plan", "plan"]

_BISECTIONS = 10


def plan(
    model,
    at,
    *,
    labels=None,
    resolution=None,
    snr=100.0,
    wavelength=None,
    fixed=("vmac",),
    continuum=None,
    detection=3.0,
):
    """Say how well the labels of a star can be measured.

    Errors are the least that any unbiased measurement can have (Cramér and Rao): the inverse of
    the Fisher information, which the derivatives of the model give. All labels and velocities
    that are not fixed are unknown at once; that labels are within the model's ranges is known,
    as in `~astropayne.fit_spectrum`.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    at : mapping
        The star: its labels, as the model takes them, and perhaps ``rv``, ``vsini`` and ``vmac``.
    labels : sequence of str, optional
        The labels and velocities to tell of; by default all that are not fixed.
    resolution : float, optional
        λ/FWHM; the model's own by default.
    snr : float
        Signal to noise of a pixel, relative to the continuum; the emulator's own error is added,
        as in fits.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels, in the model's medium; the model's own by default.
    fixed : sequence of str
        What is known.
    continuum : int, optional
        Degree of a polynomial in each window that is not known either.
    detection : float
        Significance, in standard deviations, from which on an element counts as measurable.

    Returns
    -------
    `~astropy.table.QTable`
        A row a label: its name ``label`` and its ``unit``; in that unit its ``value``, its
        ``error``, and ``error_alone``, which it had if all else were known (both NaN where the
        spectrum does not change at first order, as with the rotation of a star that has none);
        and for the abundance of an element ``significance`` of its lines, whether it is
        ``measurable``, and ``detectable_from``, the least abundance that is (NaN if that is not
        in the model's range).

    Raises
    ------
    ValueError
        If a name is unknown or fixed, or the signal to noise is not positive.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.planning import plan
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 1.0, "vsini": 3}
    >>> table = plan(PayneModel.sample(), star, labels=["Na_Fe", "A_Li"], snr=60)
    >>> dict(zip(table["label"].tolist(), table["measurable"].tolist()))
    {'Na_Fe': True, 'A_Li': False}
    """
    if not snr > 0:
        raise ValueError(f"snr={snr} has to be positive; infinite is no noise")
    names = (*model.labels.names, *VELOCITIES)
    fixed = {_known(name, names) for name in fixed}
    free = [i for i, name in enumerate(names) if name not in fixed]
    wanted = [names[i] for i in free] if labels is None else [_known(n, names) for n in labels]
    if both := sorted(fixed & set(wanted)):
        raise ValueError(f"{', '.join(both)}: fixed, so there is nothing to measure")
    scene = _Scene(model, at, resolution, snr, wavelength, free, continuum)
    rows = []
    for name in wanted:
        k = names.index(name)
        unit = "km / s" if name in VELOCITIES else str(Label(name).column_unit or "")
        row = [name, unit, scene.theta[k], *scene.errors(k), np.nan, False, np.nan]
        if k < len(model.labels) and model.labels.labels[k].element:
            row[5] = scene.significance(k, scene.theta[k])
            row[6] = bool(row[5] >= detection)
            row[7] = scene.detectable_from(k, detection)
        rows.append(row)
    columns = "label unit value error error_alone significance measurable detectable_from"
    return QTable(rows=rows, names=columns.split())


def describe_plan(table):
    """Tell in lines what a plan says.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Of `plan`.

    Yields
    ------
    str

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.planning import describe_plan, plan
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 1.0, "vsini": 3}
    >>> table = plan(PayneModel.sample(), star, labels=["teff", "A_Li"], snr=60)
    >>> for line in describe_plan(table):
    ...     print(line)
    label      value     error     alone  unit    detectable from
    teff        5700        ...  K
    A_Li        1.00      ...  dex     1.4..., not measurable
    """
    yield f"{'label':6s}{'value':>10s}{'error':>10s}{'alone':>10s}  {'unit':6s}  detectable from"
    for row in table:
        numbers = [f"{row['value']:.{0 if abs(row['value']) >= 1000 else 2}f}"]
        for name in ("error", "error_alone"):
            numbers.append(f"{row[name]:#.2g}".rstrip(".") if np.isfinite(row[name]) else "-")
        least, hidden = row["detectable_from"], np.isfinite(row["significance"])
        said = [f"{least:.2f}"] if np.isfinite(least) else []
        said += ["not measurable"] if hidden and not row["measurable"] else []
        cells = "".join(f"{number:>10s}" for number in numbers)
        yield f"{row['label']:6s}{cells}  {row['unit'] or 'dex':6s}  {', '.join(said)}".rstrip()


def _known(name, names):
    name = name if name in VELOCITIES else parse_label(name)
    if name not in names:
        raise ValueError(f"{name!r} is not one of {', '.join(names)}")
    return name


class _Scene:
    """A star as it would be observed: derivatives over the noise."""

    def __init__(self, model, at, resolution, snr, wavelength, free, continuum):
        self.model, self.free, self._seen = model, free, {}
        self.options = {"resolution": resolution, "wavelength": wavelength}
        vacuum, self.theta, self.flux, jacobian = sensitivity(model, at, **self.options)
        error, self.shared = self._emulator(vacuum)
        self.sigma = np.hypot(1 / float(snr), error)
        order = np.argsort(vacuum)  # pixels may be in any
        windows = [] if continuum is None else find_windows(vacuum[order])
        self.windows = [order[window] for window in windows]
        self.degree = continuum
        self.columns = self._columns(self.flux, jacobian)
        n_shared = self.shared.shape[1]
        n_continuum = self.columns.shape[1] - len(free) - n_shared
        prior = [self._prior(i) for i in free] + [0.0] * n_continuum + [1.0] * n_shared
        self.prior = np.array(prior)
        n = len(model.labels)
        self.shift = np.zeros(len(self.theta))  # what the emulator adds to variances
        self.shift[:n] = np.diagonal(model.error_shift_at(self.theta[None, :n])[0])

    def _emulator(self, vacuum):
        """Return the emulator's error of each pixel, and those that pixels share, as fits do.

        Shapes (n,) and (n, n_shared). Narrower pixels share more of it, and have more each, so
        that it does not become less the more of them there are.
        """
        model, n = self.model, len(self.model.labels)
        rv, *widths = self.theta[n:]
        rest = vacuum / doppler_factor(rv)
        scale = model.error_scale_at(self.theta[None, :n])[0]
        if model.error_components is None:
            return scale * model.error_at(rest), np.zeros((len(rest), 0))
        own = model.vacuum_wavelength
        white = model.error_rest * np.sqrt(pixel_width(own[None])[0])
        white = np.interp(rest, own, white) / np.sqrt(pixel_width(vacuum[None])[0])
        forward = model.forward_model()
        with torch.no_grad():
            spectra = forward.spectra_of(np.vstack([model.error_components, model.bias]))
            pixels = forward.pixels(vacuum, rv)
            shared = forward.broaden_rows(spectra, *widths, pixels, self.options["resolution"])
        return scale * white, scale * shared[0].numpy()

    def _columns(self, flux, jacobian):
        """Return derivatives by all that is not known, over the noise."""
        columns = [jacobian[:, self.free]]
        for window in self.windows:
            x = np.linspace(-1, 1, len(window))
            basis = np.zeros((len(flux), self.degree + 1))
            basis[window] = chebyshev.chebvander(x, self.degree)
            columns.append(basis * flux[:, None])
        columns.append(self.shared)
        return np.concatenate(columns, axis=1) / self.sigma[:, None]

    def _prior(self, i):
        """Return the inverse variance of what is known beforehand."""
        n = len(self.model.labels)
        return 12 / self.model.labels.width[i] ** 2 if i < n else 0.0

    def errors(self, k):
        """Return the error of a parameter, all others unknown, and all others known."""
        information = self.columns.T @ self.columns + np.diag(self.prior)
        i = self.free.index(k)
        if not information[i, i] > 0:
            return np.nan, np.nan
        scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
        inverse = np.linalg.pinv(information / scale / scale[:, None], 1e-12, hermitian=True)
        variance = np.array([inverse[i, i], 1.0]) / scale[i] ** 2
        return tuple(np.sqrt(variance + self.shift[k]))

    def significance(self, k, value):
        """Return the significance of an element's lines at an abundance, all else unknown."""
        flux, jacobian = self._with(k, value)
        lowest, slope = self._with(k, self.model.labels.minimum[k])
        # the element gone: see astropayne.elements
        line = (flux - lowest + slope[:, k] / np.log(10)) / self.sigma
        others = np.delete(self._columns(flux, jacobian), self.free.index(k), axis=1)
        prior = np.sqrt(np.delete(self.prior, self.free.index(k)))
        design = np.concatenate([others, np.diag(prior)])
        design = design / np.maximum(np.linalg.norm(design, axis=0), 1e-300)
        data = np.concatenate([line, np.zeros(len(prior))])
        left = data - design @ np.linalg.lstsq(design, data, rcond=1e-10)[0]
        return float(np.linalg.norm(left))

    def _with(self, k, value):
        """Return flux and derivatives of the star with another abundance."""
        if (k, value) not in self._seen:
            names = (*self.model.labels.names, *VELOCITIES)
            star = dict(zip(names, self.theta.tolist(), strict=True)) | {names[k]: value}
            self._seen[k, value] = sensitivity(self.model, star, **self.options)[2:]
        return self._seen[k, value]

    def detectable_from(self, k, detection):
        """Return the least abundance that is significant; NaN if that is not in the range."""
        low, high = self.model.labels.minimum[k], self.model.labels.maximum[k]
        if not self.significance(k, low) < detection <= self.significance(k, high):
            return np.nan
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            seen = self.significance(k, middle) >= detection
            low, high = (low, middle) if seen else (middle, high)
        return 0.5 * (low + high)
