# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Planning of observations: the errors with which labels can be measured."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable

from astropayne.abundances.sensitivities import parameters_of, vacuum_pixels
from astropayne.engine.arms import Star
from astropayne.engine.least_squares import expected_minimum
from astropayne.engine.uncertainties import covariances
from astropayne.fitting.constraints import own_name
from astropayne.fitting.options import FitOptions
from astropayne.fitting.setup import FitSetup
from astropayne.forward.parameters import labels_of, velocity_of
from astropayne.labels.names import Label
from astropayne.models.model import PayneModel, require_model
from astropayne.utils.quantities import one_value
from astropayne.utils.suggestions import require_choice, suggests_options
from astropayne.utils.torch_state import one_thread, without_gradients
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["describe_plan", "plan"]

_BISECTIONS = 10


@suggests_options
def plan(
    model: PayneModel,
    at: Mapping[str, Any],
    *,
    labels: Sequence[str] | None = None,
    resolution: float | None = None,
    snr: float = 100.0,
    wavelength: u.Quantity | None = None,
    fixed: Sequence[str] = ("vmac",),
    continuum: int | None = None,
    detection: float = 3.0,
) -> QTable:
    """Predict the errors with which the labels of a star can be measured.

    The errors are the Cramér–Rao bound, the smallest errors of any unbiased measurement, from the
    inverse of the Fisher information. They are computed as in `~astropayne.fit_spectrum` for a
    spectrum without noise: all labels and velocities that are not fixed are unknown, as is the
    continuum; the emulator error is included; and labels are known to be inside the model's ranges.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    at : mapping of str to value
        Labels of the star, as in calling the model, and optionally ``rv``, ``vsini`` and ``vmac``.
    labels : sequence of str, optional
        Labels and velocities in the table; by default all that are not fixed.
    resolution : float, optional
        Resolution λ/FWHM; that of the model by default.
    snr : float
        Signal-to-noise ratio per pixel, relative to the continuum. The emulator error is added to
        the noise, as in fits.
    wavelength : `~astropy.units.Quantity`, optional
        Pixels in the model's medium; those of the model by default.
    fixed : sequence of str
        Labels and velocities that are known.
    continuum : int, optional
        Degree of a polynomial that is fitted as the continuum of each window.
    detection : float
        Minimum significance of a measurable element, in standard deviations.

    Returns
    -------
    `~astropy.table.QTable`
        One row per label: ``label``, ``unit``, and in that unit ``value``, ``error`` and
        ``error_alone``, the error if all other labels were known. Both errors are NaN if the
        spectrum does not change to first order, as with the rotation of a star that does not
        rotate. For abundances of elements, also the ``significance`` of the lines; whether the
        element is ``measurable``; and ``detectable_from``, the lowest measurable abundance, NaN if
        it is outside the model's range.

    Raises
    ------
    ValueError
        If a name is unknown or fixed, the signal-to-noise ratio is not positive, or no pixel can
        be used.

    Examples
    --------
    >>> from astropayne import PayneModel, plan
    >>> star = {"teff": 5700, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 1.0, "vsini": 3}
    >>> table = plan(PayneModel.sample(), star, labels=["Na_Fe", "A_Li"], snr=60)
    >>> dict(zip(table["label"].tolist(), table["measurable"].tolist()))
    {'Na_Fe': True, 'A_Li': False}
    """
    require_model(model)
    if not one_value(snr, "snr") > 0:
        raise ValueError(f"snr={snr} must be positive; use infinity for no noise")
    names = (*model.labels.names, *VELOCITIES)
    held = {_parameter_name(name, names) for name in fixed}
    free = [name for name in names if name not in held]
    rows = free if labels is None else [_parameter_name(name, names) for name in labels]
    if both := sorted(held & set(rows)):
        raise ValueError(f"{', '.join(both)}: fixed, so that it cannot be measured")
    elements = [label.name for label in model.labels if label.element and label.name in rows]
    with without_gradients(), one_thread():
        observation = _Observation(model, at, snr, wavelength, free, resolution, continuum)
        errors = dict(zip(free, zip(*observation.errors(), strict=True), strict=True))
        detections = zip(*observation.detections(elements, detection), strict=True)
        detected = dict(zip(elements, detections, strict=True))
    table = []
    for name in rows:
        unit = "km / s" if name in VELOCITIES else str(Label(name).column_unit or "")
        significance, lowest = detected.get(name, (np.nan, np.nan))
        measurable = bool(significance >= detection)
        value = observation.theta[0, names.index(name)]
        table.append([name, unit, value, *errors[name], significance, measurable, lowest])
    columns = "label unit value error error_alone significance measurable detectable_from"
    return QTable(rows=table, names=columns.split())


def describe_plan(table: QTable) -> Iterator[str]:
    """Yield a plan as lines of text.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Table returned by `plan`.

    Yields
    ------
    str

    Examples
    --------
    >>> from astropayne import PayneModel
    >>> from astropayne.abundances import describe_plan, plan
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
        lowest = row["detectable_from"]
        remarks = [f"{lowest:.2f}"] if np.isfinite(lowest) else []
        if np.isfinite(row["significance"]) and not row["measurable"]:
            remarks.append("not measurable")
        cells = "".join(f"{number:>10s}" for number in numbers)
        yield f"{row['label']:6s}{cells}  {row['unit'] or 'dex':6s}  {', '.join(remarks)}".rstrip()


def _parameter_name(name: str, names: Collection[str]) -> str:
    """Return the package's own name of a label or velocity."""
    name = own_name(name)
    require_choice(name, names, "label")
    return name


class _Observation:
    """A planned observation of a star, and the fit of it."""

    def __init__(
        self,
        model: PayneModel,
        at: Mapping[str, Any],
        snr: float,
        wavelength: u.Quantity | None,
        free: Sequence[str],
        resolution: float | None,
        continuum: int | None,
    ) -> None:
        self.model, self.names = model, (*model.labels.names, *VELOCITIES)
        self.theta = parameters_of(model, at)[None]
        held = {n: v for n, v in zip(self.names, self.theta[0], strict=True) if n not in free}
        options = FitOptions(
            resolution=resolution,
            fixed=held,
            free=("vmac",) if "vmac" in free else (),
            continuum=continuum,
            inadequacy=None,
            exclude_at_rest=None,
            resolution_error=0,
        )
        self.problem = FitSetup.of(model, options).problem
        vacuum = np.sort(vacuum_pixels(model, wavelength))
        ones = np.ones(len(vacuum))
        resolution = model.resolution if resolution is None else resolution
        star = Star([vacuum], [ones], [ones / snr], [resolution], [1.0], [ones], [ones])
        arm = self.problem.arms([star], self.theta)[0]
        self.arm = arm.keep(np.isfinite(arm.sigma))
        if not np.isfinite(arm.sigma).any():
            ends = f", {vacuum[0]:.0f}-{vacuum[-1]:.0f} Angstrom in vacuum," if len(vacuum) else ""
            raise ValueError(
                f"none of the {len(vacuum)} pixels{ends} is in the model's windows, without the "
                f"margins that the star's broadening needs: {model!r}"
            )

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return errors of the free parameters, with all others unknown and with them known."""
        problem, theta = self.problem, self.theta
        likelihood, _, _, hessian = self._normal_equations(theta, self._flux(theta)[0])
        covariance = covariances(problem, likelihood, theta, hessian)[0][0]
        shift = np.pad(np.diagonal(problem.shift(labels_of(theta))[0]), (0, len(VELOCITIES)))
        information = np.diagonal(hessian[0]) + problem.range_precision
        with np.errstate(divide="ignore"):
            alone = 1 / information + shift[problem.parameters.index]
        variance = np.diagonal(covariance)
        return np.sqrt(variance), np.sqrt(np.where(np.isfinite(variance), alone, np.nan))

    def detections(self, names: Sequence[str], detection: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the significance of elements, and their lowest detectable abundances."""
        if not names:
            return np.empty(0), np.empty(0)
        k = np.array([self.names.index(name) for name in names])
        low, high = self.model.labels.minimum[k], self.model.labels.maximum[k]
        without = self._without_elements(k, low)
        lowest = np.full(len(k), np.nan)
        at_low, at_high = (self._significance(k, end, without) for end in (low, high))
        rows = np.flatnonzero((at_low < detection) & (at_high >= detection))
        if len(rows):
            low, high = low[rows], high[rows]
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                seen = self._significance(k[rows], middle, without[rows]) >= detection
                low, high = np.where(seen, low, middle), np.where(seen, middle, high)
            lowest[rows] = 0.5 * (low + high)
        return self._significance(k, self.theta[0, k], without), lowest

    def _without_elements(self, k: np.ndarray, low: np.ndarray) -> np.ndarray:
        """Return spectra in which one element each is absent, (n_elements, n_pixels).

        Lines at the lowest abundance are weak: their depth is proportional to the number of atoms.
        """
        flux, slope = self._flux(self._with(k, low))
        return flux - slope[np.arange(len(k)), :, k] / np.log(10)

    def _significance(
        self, k: np.ndarray, abundance: np.ndarray, without: np.ndarray
    ) -> np.ndarray:
        """Return √χ² of the best fits, with an element, to spectra without it."""
        _, chi2, gradient, hessian = self._normal_equations(self._with(k, abundance), without)
        hessian = hessian + np.diag(self.problem.range_precision)
        index, rows = self.problem.parameters.index, np.arange(len(k))[:, None]
        others = np.array([np.flatnonzero(index != one) for one in k])
        hessian = hessian[rows[..., None], others[:, :, None], others[:, None]]
        return np.sqrt(np.maximum(expected_minimum(chi2, gradient[rows, others], hessian), 0))

    def _with(self, k: np.ndarray, abundance: np.ndarray) -> np.ndarray:
        """Return parameters of stars in each of which one abundance is replaced."""
        theta = self.theta.repeat(len(k), axis=0)
        theta[np.arange(len(k)), k] = abundance
        return theta

    def _flux(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return flux (n, n_pixels) and Jacobian (n, n_pixels, n_names) of stars."""
        pixels = self.problem.forward.pixels(self.arm.wavelength, velocity_of(self.theta, "rv"))
        resolution = self.arm[np.zeros(len(theta), dtype=int)].resolution
        flux, jacobian = self.problem.forward.forward_and_jacobian(theta, pixels, resolution)
        return flux.cpu().numpy(), jacobian.cpu().numpy()

    def _normal_equations(self, theta: np.ndarray, flux: np.ndarray) -> tuple[Any, ...]:
        """Return the likelihood, χ², gradient and Hessian of stars observed with some flux."""
        arm = replace(self.arm[np.zeros(len(theta), dtype=int)], flux=flux)
        likelihood = self.problem.likelihood_of([arm], theta, self.problem.modes)
        free = torch.as_tensor(theta[:, self.problem.parameters.index])
        equations = likelihood.normal_equations(free, torch.arange(len(theta)))
        return likelihood, *(part.numpy() for part in equations)
