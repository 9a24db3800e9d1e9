# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What to expect of an observation before it is made."""

from dataclasses import replace

import numpy as np
import torch
from astropy.table import QTable

from astropayne.abundances.sensitivities import parameters_of, vacuum_pixels
from astropayne.engine.arms import Star
from astropayne.engine.least_squares import expected_minimum
from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup, own_name
from astropayne.labels.names import Label
from astropayne.models.model import require_model
from astropayne.utils.quantities import one_value
from astropayne.utils.torch_state import one_thread, without_gradients
from astropayne.wavelengths.velocity import VELOCITIES

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
    the Fisher information, which the derivatives of the model give. They are computed as
    `~astropayne.fit_spectrum` does, of a spectrum without noise: all labels and velocities that
    are not fixed are unknown at once, as is the continuum, the emulator's own error counts, and
    that labels are within the model's ranges is known.

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
        ``error``, and ``error_alone``, which it had if all others were known (both NaN where the
        spectrum does not change at first order, as with the rotation of a star that has none);
        and for the abundance of an element ``significance`` of its lines, whether it is
        ``measurable``, and ``detectable_from``, the least abundance that is (NaN if that is not
        in the model's range).

    Raises
    ------
    ValueError
        If a name is unknown or fixed, the signal to noise is not positive, or no pixel can be used.

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.abundances.planning import plan
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 1.0, "vsini": 3}
    >>> table = plan(PayneModel.sample(), star, labels=["Na_Fe", "A_Li"], snr=60)
    >>> dict(zip(table["label"].tolist(), table["measurable"].tolist()))
    {'Na_Fe': True, 'A_Li': False}
    """
    require_model(model)
    if not one_value(snr, "snr") > 0:
        raise ValueError(f"snr={snr} has to be positive; infinite is no noise")
    names = (*model.labels.names, *VELOCITIES)
    fixed = {_known(name, names) for name in fixed}
    free = [name for name in names if name not in fixed]
    wanted = free if labels is None else [_known(name, names) for name in labels]
    if both := sorted(fixed & set(wanted)):
        raise ValueError(f"{', '.join(both)}: fixed, so there is nothing to measure")
    elements = [label.name for label in model.labels if label.element and label.name in wanted]
    with without_gradients(), one_thread():
        scene = _Scene(model, at, snr, wavelength, free, resolution, continuum)
        errors = dict(zip(free, zip(*scene.errors(), strict=True), strict=True))
        found = zip(*scene.detections(elements, detection), strict=True)
        seen = dict(zip(elements, found, strict=True))
    rows = []
    for name in wanted:
        unit = "km / s" if name in VELOCITIES else str(Label(name).column_unit or "")
        significance, least = seen.get(name, (np.nan, np.nan))
        measurable = bool(significance >= detection)
        value = scene.theta[0, names.index(name)]
        rows.append([name, unit, value, *errors[name], significance, measurable, least])
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
    >>> from astropayne.abundances.planning import describe_plan, plan
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
    name = own_name(name)
    if name not in names:
        raise ValueError(f"{name!r} is not one of {', '.join(names)}")
    return name


class _Scene:
    """A star as it would be observed, and what a fit of it would know."""

    def __init__(self, model, at, snr, wavelength, free, resolution, continuum):
        self.model, self.names = model, (*model.labels.names, *VELOCITIES)
        self.theta = parameters_of(model, at)[None]
        held = {n: v for n, v in zip(self.names, self.theta[0], strict=True) if n not in free}
        options = FitOptions(
            resolution=resolution, fixed=held, free={"vmac"} & {*free}, continuum=continuum
        )
        self.fitter = FitSetup(model, options).fitter
        vacuum = np.sort(vacuum_pixels(model, wavelength))
        ones = np.ones(len(vacuum))
        resolution = model.resolution if resolution is None else resolution
        star = Star([vacuum], [ones], [ones / snr], [resolution], [1.0], [ones], [ones])
        arm = self.fitter.arms([star], self.theta)[0]
        self.arm = arm.keep(np.isfinite(arm.sigma))
        if not np.isfinite(arm.sigma).any():
            ends = f", {vacuum[0]:.0f}-{vacuum[-1]:.0f} Angstrom in vacuum," if len(vacuum) else ""
            raise ValueError(
                f"none of the {len(vacuum)} pixels{ends} is in the model's windows, as far from "
                f"their ends as the star's broadening reaches: {model!r}"
            )

    def _flux(self, theta):
        """Return flux and Jacobian of stars: (n, n_pixels), (n, n_pixels, n_names)."""
        pixels = self.fitter.forward.pixels(self.arm.wavelength, self.theta[:, -len(VELOCITIES)])
        resolution = self.arm.resolution[np.zeros(len(theta), dtype=int)]
        found = self.fitter.forward.forward_and_jacobian(theta, pixels, resolution)
        return [part.cpu().numpy() for part in found]

    def _normal_equations(self, theta, flux):
        """Return the likelihood of stars that are like ``theta``, seen with a flux, and its own."""
        arm = replace(self.arm[np.zeros(len(theta), dtype=int)], flux=flux)
        likelihood = self.fitter.likelihood_of([arm], theta, self.fitter.modes)
        free = torch.as_tensor(theta[:, self.fitter.parameters.index])
        found = likelihood.normal_equations(free, torch.arange(len(theta)))
        return likelihood, *(part.numpy() for part in found)

    def errors(self):
        """Return errors of the free parameters, all others unknown, and all others known."""
        fitter, theta = self.fitter, self.theta
        likelihood, _, _, hessian = self._normal_equations(theta, self._flux(theta)[0])
        covariance = fitter.covariance(likelihood, theta, hessian)[0][0]
        n = len(self.model.labels)
        shift = np.pad(np.diagonal(fitter.shift(theta[:, :n])[0]), (0, len(VELOCITIES)))
        information = np.diagonal(hessian[0]) + fitter.of_ranges
        with np.errstate(divide="ignore"):
            alone = 1 / information + shift[fitter.parameters.index]
        variance = np.diagonal(covariance)
        return np.sqrt(variance), np.sqrt(np.where(np.isfinite(variance), alone, np.nan))

    def detections(self, names, detection):
        """Return how significant elements' lines are, and the least abundances that would be."""
        if not names:
            return [], []
        k = np.array([self.names.index(name) for name in names])
        low, high = self.model.labels.minimum[k], self.model.labels.maximum[k]
        flux, slope = self._flux(self._with(k, low))
        # the elements gone: see astropayne.elements
        flux -= slope[np.arange(len(k)), :, k] / np.log(10)
        least = np.full(len(k), np.nan)
        hidden, shows = (self._significance(k, end, flux) for end in (low, high))
        some = np.flatnonzero((hidden < detection) & (shows >= detection))
        if len(some):
            low, high = low[some], high[some]
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                seen = self._significance(k[some], middle, flux[some]) >= detection
                low, high = np.where(seen, low, middle), np.where(seen, middle, high)
            least[some] = 0.5 * (low + high)
        return self._significance(k, self.theta[0, k], flux), least

    def _with(self, k, abundance):
        """Return parameters of stars with another abundance each."""
        theta = self.theta.repeat(len(k), axis=0)
        theta[np.arange(len(k)), k] = abundance
        return theta

    def _significance(self, k, abundance, without):
        """Return the root of χ² at best, where spectra without an element are fitted with it."""
        _, chi2, gradient, hessian = self._normal_equations(self._with(k, abundance), without)
        hessian = hessian + np.diag(self.fitter.of_ranges)
        index, rows = self.fitter.parameters.index, np.arange(len(k))[:, None]
        others = np.array([np.flatnonzero(index != one) for one in k])
        hessian = hessian[rows[..., None], others[:, :, None], others[:, None]]
        return np.sqrt(np.maximum(expected_minimum(chi2, gradient[rows, others], hessian), 0))
