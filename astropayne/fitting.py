# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fitting observed spectra: `fit_spectrum` for one star, `fit_spectra` for many."""

import enum
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable
from numpy.polynomial import chebyshev
from scipy.optimize import least_squares
from tqdm.auto import tqdm

from astropayne.abundances import solar_scale
from astropayne.broadening import instrument_fwhm
from astropayne.forward import VELOCITIES
from astropayne.labels import parse_label, strip_unit, unknown_label_message
from astropayne.network import one_thread
from astropayne.observation import observe
from astropayne.search import Templates
from astropayne.wavelengths import C_KMS

__all__ = ["FitResult", "Flag", "fit_spectra", "fit_spectrum"]

_KMS = u.km / u.s
_UPPER = {"vsini": 300.0, "vmac": 50.0}  # km/s
_RV_ROOM = 60.0  # km/s a fit may move away from the velocity it starts at
_SCALE = {"rv": 1.0, "vsini": 5.0, "vmac": 5.0}  # km/s, typical steps
_N_STARTS = 3
_MIN_PIXELS = 20


class Flag(enum.IntFlag):
    """What is to be known of a fit; zero if nothing."""

    NOT_CONVERGED = 1
    """The optimiser stopped before it was sure."""
    AT_BOUND = 2
    """A label or velocity is at the end of its range; its error is NaN."""
    NO_UNCERTAINTY = 4
    """The spectrum has no uncertainty: errors count the emulator's only, χ² says nothing."""
    SINGULAR = 8
    """The spectrum does not determine all parameters; those it does not have NaN errors."""
    FEW_PIXELS = 16
    """Less than half of the model's range is covered by usable pixels."""
    BAD_INPUT = 32
    """The spectrum could not be fitted at all: everything is NaN, the message says why."""


@dataclass(frozen=True)
class FitResult:
    """What a fit found.

    Attributes
    ----------
    labels : dict of str to `~astropy.units.Quantity`
        All labels, and rv, vsini and vmac; fitted or fixed.
    errors : dict of str to `~astropy.units.Quantity`
        Standard deviations from the covariance: photon noise and the emulator's own error, the
        continuum marginalised, never rescaled by χ². NaN for what was fixed or not measured.
    covariance : numpy.ndarray, shape (n_free, n_free)
        Of the ``free`` ones, in their own units.
    free : tuple of str
        Names of what was fitted.
    flags : Flag
        Zero if all is well.
    chi2 : float
    dof : int
        Degrees of freedom: pixels minus parameters, continuum included.
    best_fit : `~specutils.Spectrum`
        The model at the observed pixels, continuum included; NaN where it is not supported.
    observed : `~specutils.Spectrum`
        What was fitted.
    used : numpy.ndarray of bool, shape (n_pixels,)
        Pixels that took part.
    message : str
        The optimiser's last word, or why there is no fit.
    """

    labels: dict
    errors: dict
    covariance: np.ndarray
    free: tuple
    flags: Flag
    chi2: float
    dof: int
    best_fit: object
    observed: object
    used: np.ndarray
    message: str

    def __repr__(self):
        lines = [f"<FitResult: chi2 / dof = {self.chi2:.1f} / {self.dof}, flags = {self.flags!r}"]
        for name, value in self.labels.items():
            error = self.errors[name].value
            text = f"+- {error:.3g}" if np.isfinite(error) else "" if name in self.free else "fixed"
            lines.append(f"  {name:6s} {value.value:10.4f} {text} {value.unit}".rstrip())
        return "\n".join(lines) + ">"


def fit_spectrum(
    observed,
    model,
    *,
    resolution=None,
    fixed=None,
    free=(),
    start=None,
    continuum=None,
    regions=None,
    medium=None,
    limb_darkening=0.6,
):
    """Fit one observed spectrum.

    The velocity is found by cross-correlation over ±1000 km/s and the labels are started from
    several points of their range; nothing has to be guessed. Pixels whose model would depend on
    wavelengths beyond the model's windows are left out.

    Parameters
    ----------
    observed : `~specutils.Spectrum`
        Any spectral unit, class of uncertainty and mask.
    model : `~astropayne.PayneModel`
    resolution : float, optional
        λ/FWHM of the spectrum; the model's own by default.
    fixed : mapping of str to value, optional
        Labels or velocities that are known. The macroturbulence ``vmac`` is fixed at 0 unless it
        is given here or in ``free``: at usual resolutions it cannot be told from rotation.
    free : sequence of str, optional
        What to fit although it is fixed by default: ``("vmac",)``.
    start : mapping of str to value, optional
        Where to start, instead of the search.
    continuum : int, optional
        Degree of a Chebyshev polynomial in each window that multiplies the model. By default the
        spectrum is taken to be normalised.
    regions : `~specutils.SpectralRegion`, optional
        Use only these parts of the spectrum.
    medium : {"air", "vacuum"}, optional
        What the spectrum's wavelengths are measured in; as the model's by default.
    limb_darkening : float
        Linear coefficient ε.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If an option makes no sense, or the spectrum has no pixel that can be used.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import PayneModel, SpectralGrid, fit_spectrum
    >>> model = PayneModel(hidden_layers=(32, 32), components=16)
    >>> history = model.train(SpectralGrid.sample(), max_epochs=20)
    >>> truth = {"teff": 5600, "logg": 4.0, "feh": -0.5, "vmic": 1.2}
    >>> star = model(**truth, rv=20 * u.km / u.s, vsini=5)
    >>> result = fit_spectrum(star, model)
    >>> print(f"{result.labels['teff']:.0f}, {result.labels['rv']:.1f}")
    5600 K, 20.0 km / s
    """
    setup = _Setup.make(
        model, resolution, fixed, free, start, continuum, regions, medium, limb_darkening
    )
    return setup.fit(observed)


def fit_spectra(spectra, model, *, progress=None, **options):
    """Fit many observed spectra.

    Parameters
    ----------
    spectra : iterable of `~specutils.Spectrum`
        A list, a `~specutils.SpectrumList`, or a `~specutils.Spectrum` with flux of shape
        (n_spectra, n_pixels).
    model : `~astropayne.PayneModel`
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    **options
        As in `fit_spectrum`.

    Returns
    -------
    `~astropy.table.QTable`
        A row a spectrum, in their order: labels and velocities with their errors, χ², degrees of
        freedom, flags and message. A spectrum that cannot be fitted has a row of NaN, the flag
        ``BAD_INPUT``, and its reason in ``message``.
    """
    setup = _Setup.make(model, **options)
    if getattr(getattr(spectra, "flux", None), "ndim", 2) == 1:
        raise ValueError("this is one spectrum: use fit_spectrum, or give a list of it")
    spectra = list(spectra)
    bar = tqdm(spectra, "fitting", disable=None if progress is None else not progress)
    return _table([setup.fit_or_flag(spectrum) for spectrum in bar], setup)


def _table(results, setup):
    table = QTable()
    for name in setup.names:
        unit = setup.unit(name)
        for column, part in ((name, "labels"), (f"{name}_err", "errors")):
            values = [getattr(result, part)[name].value for result in results]
            table[column] = np.array(values, dtype=float) * unit if unit else np.array(values)
    table["chi2"] = [float(result.chi2) for result in results]
    table["dof"] = [int(result.dof) for result in results]
    table["flags"] = [int(result.flags) for result in results]
    table["message"] = [result.message for result in results]
    return table


@dataclass(frozen=True)
class _Setup:
    """What all stars of a run have in common."""

    model: object
    forward: object
    names: tuple
    fixed: dict
    start: dict
    resolution: float | None
    continuum: int | None
    regions: object
    medium: str
    templates: Templates

    @classmethod
    def make(
        cls,
        model,
        resolution=None,
        fixed=None,
        free=(),
        start=None,
        continuum=None,
        regions=None,
        medium=None,
        limb_darkening=0.6,
    ):
        forward = model.forward_model(limb_darkening=limb_darkening)
        instrument_fwhm(resolution, model.resolution)  # complains if it is too high
        names = (*model.labels.names, *VELOCITIES)
        fixed = {"vmac": 0.0, **_values(fixed, model, "fixed")}
        for name in _values(dict.fromkeys(free, 0.0), model, "free"):
            fixed.pop(name, None)
        start = _values(start, model, "start")
        if twice := fixed.keys() & start.keys():
            raise ValueError(f"{', '.join(twice)}: given in fixed and in start; choose one")
        if continuum is not None and (continuum != int(continuum) or continuum < 0):
            raise ValueError(f"continuum={continuum!r} has to be a degree: 0, 1, 2…, or None")
        templates = Templates.make(
            forward, model.labels, solar_scale(model.solar_scale), {**start, **fixed}, resolution
        )
        return cls(
            model, forward, names, fixed, start, resolution, continuum, regions,
            medium or model.medium, templates,
        )  # fmt: skip

    def unit(self, name):
        """Return the unit of a result's column, `None` for plain numbers."""
        if name in VELOCITIES:
            return _KMS
        return self.model.labels.labels[self.model.labels.index(name)].column_unit

    def quantities(self, values):
        return {
            name: u.Quantity(value, self.unit(name) or u.dimensionless_unscaled)
            for name, value in zip(self.names, values, strict=True)
        }

    @property
    def free(self):
        return tuple(name for name in self.names if name not in self.fixed)

    def bounds(self, rv):
        """Lower and upper bounds, and typical steps, of all parameters."""
        space = self.model.labels
        velocities = ((rv - _RV_ROOM, rv + _RV_ROOM), (0, _UPPER["vsini"]), (0, _UPPER["vmac"]))
        low, high = np.transpose(velocities)
        return (
            np.concatenate([space.minimum, low]),
            np.concatenate([space.maximum, high]),
            np.concatenate([0.2 * space.width, [_SCALE[name] for name in VELOCITIES]]),
        )

    def fit_or_flag(self, spectrum):
        """Fit, and turn what makes a fit impossible into a flagged result."""
        try:
            return self.fit(spectrum)
        except (ValueError, TypeError) as error:
            nan = self.quantities(np.full(len(self.names), np.nan))
            free = self.free
            return FitResult(
                nan, nan, np.full((len(free), len(free)), np.nan), free, Flag.BAD_INPUT,
                np.nan, 0, None, spectrum, np.zeros(0, dtype=bool), str(error),
            )  # fmt: skip

    def fit(self, spectrum):
        with torch.no_grad(), one_thread():
            return self._fit(spectrum)

    def _fit(self, spectrum):
        observation = observe(spectrum, self.medium, self.regions)
        if self.continuum is None and observation.unit != u.dimensionless_unscaled:
            raise ValueError(
                f"the flux is in {observation.unit}, so it is not normalised: give continuum=, the "
                "degree of the polynomial that multiplies the model"
            )
        fits = [_Fit(self, observation, theta).solve() for theta in self.starts(observation)]
        best = min(fits, key=lambda fit: fit.chi2)
        # Once more with the pixels that the velocity and the broadening found really allow.
        best = _Fit(self, observation, best.theta, reserve=2.0).solve()
        return best.result(spectrum)

    def starts(self, observation):
        """Return the parameter vectors to start from."""
        sigma = np.where(observation.has_uncertainty, observation.sigma, 1.0)
        weight = np.where(observation.good, sigma, np.inf) ** -2.0
        known_rv = self.fixed.get("rv", self.start.get("rv"))
        gain, rv = self.templates.correlate(
            observation.wavelength, np.nan_to_num(observation.flux), weight, known_rv
        )
        if not gain.max() > 0:
            raise ValueError(
                "no template of the model resembles the spectrum more than a constant does, at any "
                "velocity within 1000 km/s: do the wavelengths overlap "
                f"({observation.wavelength.min():.0f}-{observation.wavelength.max():.0f} Angstrom "
                "in vacuum), and are there lines?"
            )
        best = np.argsort(-gain)[:_N_STARTS]
        theta = self.templates.theta[best].copy()
        theta[:, self.names.index("rv")] = rv[best[0]]
        return theta


def _values(given, model, what):
    """Return the values of labels and velocities by their names, units stripped."""
    values = {}
    for name, value in (given or {}).items():
        if name in VELOCITIES:
            values[name] = float(strip_unit(value, name, _KMS))
            continue
        if name not in model.labels:
            known = (*model.labels.names, *VELOCITIES)
            raise ValueError(f"{what}: {unknown_label_message(name, known)}")
        label = model.labels.labels[model.labels.index(name)]
        values[parse_label(name)] = float(label.to_value(value))
    return values


class _Fit:
    """One star from one start: least squares over a set of pixels that stays the same."""

    def __init__(self, setup, observation, theta, reserve=20.0):
        self.setup, self.observation = setup, observation
        self.theta = np.array(theta, dtype=float)
        rv, vsini, vmac = self.theta[-len(VELOCITIES) :]
        low, high, scale = setup.bounds(rv)
        self.free = np.array([name in setup.free for name in setup.names])
        self.low, self.high, self.scale = low[self.free], high[self.free], scale[self.free]
        every = setup.forward.pixels(observation.wavelength, rv)
        supported = setup.forward.supported(every, vsini, vmac, setup.resolution, reserve)
        self.used = observation.good & supported
        n_pixels = self.used.sum()
        if n_pixels < max(_MIN_PIXELS, self.free.sum()):
            raise ValueError(
                f"only {n_pixels} usable pixels lie in the model's windows at the velocity "
                f"{rv:.0f} km/s, too few for {self.free.sum()} parameters"
            )
        self.pixels = setup.forward.pixels(observation.wavelength[self.used], rv)
        self.flux = observation.flux[self.used]
        self.basis = self._continuum_basis(self.pixels)
        self._set_noise()

    def _continuum_basis(self, pixels):
        """Return Chebyshev polynomials over each window, shape (n_pixels, n_coefficients)."""
        if self.setup.continuum is None:
            return None
        degree, columns = self.setup.continuum, []
        for window in np.unique(self.pixels.window):
            # The range is that of the fitted pixels, also when other pixels are computed.
            log = np.log(self.pixels.wavelength[self.pixels.window == window])
            middle, half = (log.max() + log.min()) / 2, max((log.max() - log.min()) / 2, 1e-12)
            x = (np.log(pixels.wavelength) - middle) / half
            inside = pixels.window == window
            columns.append(chebyshev.chebvander(x, degree) * inside[:, None])
        return np.concatenate(columns, axis=1)

    def _set_noise(self):
        """σ² = photon noise² + emulator error², and the continuum to start with."""
        model, setup = self.setup.model, self.setup
        sigma, self.coefficients, level = self.observation.sigma[self.used], np.zeros(0), 1.0
        if self.basis is not None:
            shape = setup.forward.forward(self.theta, self.pixels, setup.resolution)[0].numpy()
            weight = 1 / sigma if self.observation.has_uncertainty else np.ones_like(self.flux)
            design = self.basis * (shape * weight)[:, None]
            self.coefficients = np.linalg.lstsq(design, self.flux * weight)[0]
            level = np.abs(self.basis @ self.coefficients)
        if model.error is not None:
            beta = self.pixels.rv / C_KMS
            rest = self.pixels.wavelength * np.sqrt((1 - beta) / (1 + beta))
            emulator = np.interp(rest, model.vacuum_wavelength, model.error)
            sigma = np.hypot(sigma, level * emulator)
        self.noise_known = bool(sigma.any())
        self.sigma = sigma if self.noise_known else np.ones_like(sigma)

    def _evaluate(self, vector):
        """Return scaled residuals and their Jacobian by the free parameters and the continuum."""
        if not np.array_equal(vector, getattr(self, "_at", None)):
            n = self.free.sum()
            theta = self.theta.copy()
            theta[self.free] = vector[:n]
            flux, jacobian = self.setup.forward.forward_and_jacobian(
                theta, self.pixels, self.setup.resolution
            )
            flux, jacobian = flux[0].numpy(), jacobian[0].numpy()[:, self.free]
            if self.basis is not None:
                level = self.basis @ vector[n:]
                jacobian = np.hstack([jacobian * level[:, None], self.basis * flux[:, None]])
                flux = flux * level
            self._residual = (flux - self.flux) / self.sigma
            self._jacobian = jacobian / self.sigma[:, None]
            self._at = vector.copy()
        return self._residual, self._jacobian

    def solve(self):
        """Minimise χ²; returns itself."""
        n_continuum = len(self.coefficients)
        inner = 1e-3 * (self.high - self.low)
        start = np.clip(self.theta[self.free], self.low + inner, self.high - inner)
        size = np.full(n_continuum, max(np.abs(self.coefficients).max(initial=0), 1e-300))
        unbounded = np.full(n_continuum, np.inf)
        self.solution = least_squares(
            lambda p: self._evaluate(p)[0],
            np.concatenate([start, self.coefficients]),
            jac=lambda p: self._evaluate(p)[1],
            bounds=(
                np.concatenate([self.low, -unbounded]),
                np.concatenate([self.high, unbounded]),
            ),
            x_scale=np.concatenate([self.scale, size]),
            max_nfev=60,
        )
        n = self.free.sum()
        self.theta[self.free] = self.solution.x[:n]
        self.coefficients = self.solution.x[n:]
        self.chi2 = 2 * self.solution.cost
        return self

    def _covariance(self):
        """Return the covariance of the free parameters, and the flags that go with it."""
        n = self.free.sum()
        x = self.solution.x[:n]
        at_bound = np.minimum(x - self.low, self.high - x) < 1e-3 * self.scale
        flags = Flag.AT_BOUND if at_bound.any() else Flag(0)
        kept = np.concatenate([~at_bound, np.ones(len(self.coefficients), dtype=bool)])
        jacobian = self._evaluate(self.solution.x)[1][:, kept]
        norm = np.linalg.norm(jacobian, axis=0)
        _, singular, rows = np.linalg.svd(
            jacobian / np.where(norm > 0, norm, 1), full_matrices=False
        )
        weak = singular < 1e-8 * singular[0]
        covariance = np.full((n, n), np.nan)
        if not self.noise_known:
            return covariance, flags
        inverse = (rows[~weak].T / singular[~weak] ** 2) @ rows[~weak]
        undetermined = (rows[weak] ** 2).sum(axis=0) > 1e-6
        inverse[undetermined] = inverse[:, undetermined] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = inverse / np.outer(norm, norm)
        m = (~at_bound).sum()
        covariance[np.ix_(~at_bound, ~at_bound)] = inverse[:m, :m]
        return covariance, flags | (Flag.SINGULAR if weak.any() else Flag(0))

    def _best_fit(self):
        """Return the model at every observed pixel, NaN where it is not supported."""
        setup, wavelength = self.setup, self.observation.wavelength
        *_, rv, vsini, vmac = self.theta
        pixels = setup.forward.pixels(wavelength, rv)
        flux = setup.forward.forward(self.theta, pixels, setup.resolution)[0].numpy()
        if self.basis is not None:
            flux = flux * (self._continuum_basis(pixels) @ self.coefficients)
        supported = setup.forward.supported(pixels, vsini, vmac, setup.resolution)
        return np.where(supported, flux, np.nan)

    def _covers_little(self):
        forward, covered = self.setup.forward, 0.0
        for window in np.unique(self.pixels.window):
            step = np.abs(np.diff(np.log(self.pixels.wavelength[self.pixels.window == window])))
            covered += np.median(step) * len(step) if len(step) else 0.0
        return covered < 0.5 * (forward.end - forward.start).sum()

    def result(self, spectrum):
        """Return the `FitResult`."""
        from specutils import Spectrum

        setup, n = self.setup, self.free.sum()
        covariance, flags = self._covariance()
        if not self.solution.success:
            flags |= Flag.NOT_CONVERGED
        if not self.observation.has_uncertainty:
            flags |= Flag.NO_UNCERTAINTY
        if self._covers_little():
            flags |= Flag.FEW_PIXELS
        errors = np.full(len(self.theta), np.nan)
        errors[self.free] = np.sqrt(np.diag(covariance))
        labels = setup.quantities(self.theta)
        best_fit = self._best_fit()
        return FitResult(
            labels=labels,
            errors=setup.quantities(errors),
            covariance=covariance,
            free=setup.free,
            flags=flags,
            chi2=self.chi2,
            dof=int(self.used.sum()) - n - len(self.coefficients),
            best_fit=Spectrum(
                spectral_axis=self.observation.spectral_axis,
                flux=best_fit * self.observation.unit,
                mask=~np.isfinite(best_fit),
                meta={**labels, "medium": setup.medium, "resolution": setup.resolution},
            ),
            observed=spectrum,
            used=self.used,
            message=self.solution.message,
        )
