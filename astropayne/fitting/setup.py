# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitSetup`: checked options, and the way between spectra and arrays."""

import functools
import itertools

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable

from astropayne.engine.arms import filled
from astropayne.engine.batch import fit_batch
from astropayne.engine.flags import Flag
from astropayne.engine.parameters import Parameters
from astropayne.engine.problem import FitProblem
from astropayne.engine.templates import templates_of
from astropayne.fitting.options import FitOptions
from astropayne.fitting.results import FitResult
from astropayne.fitting.unpacking import StarReader
from astropayne.forward.transfer import instrument_fwhm, is_reachable
from astropayne.labels.conversion import same_label
from astropayne.labels.known import KnownLabels
from astropayne.labels.names import Label, parse_label, unknown_label_message
from astropayne.labels.solar import solar_scale
from astropayne.models.model import require_model
from astropayne.utils.quantities import one_value, strip_unit
from astropayne.utils.torch_state import pick_device
from astropayne.wavelengths.axis import pixel_width
from astropayne.wavelengths.regions import inside_regions
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.velocity import FASTEST, VELOCITIES, checked_velocity

__all__ = []

_KMS = u.km / u.s
# km/s. At zero itself, derivatives by the widths vanish, and nothing could leave it.
_RANGE = {"rv": (-60.0, 60.0), **{name: (0.01, most) for name, most in FASTEST.items()}}
_SCALE = {"rv": 1.0, "vsini": 5.0, "vmac": 5.0}  # km/s, typical changes
_HOLE = 8.0  # distance from training spectra, as `PayneModel.coverage` has it, of a hole
_LIMITED = 0.3  # of the noise; with an emulator's error of that size, errors are a fifth too small


class FitSetup:
    """The options, checked, and what goes between spectra with units and arrays."""

    def __init__(self, model, options):
        require_model(model)
        self.model, self.names = model, (*model.labels.names, *VELOCITIES)
        self.report = self._reported(options.report)
        self.reader = StarReader(model, options)
        fixed, start, tied, known = self._given(
            options.fixed, options.free, options.start, options.tied
        )
        parameters = self._parameters(
            fixed, tied, self._pairs(options.priors, "priors", known.say_gaussian)
        )
        low, high = self._bounds(self._pairs(options.bounds, "bounds", known.say_range))
        self.systematic = self._systematic(options.systematic)
        forward = model.forward_model(
            limb_darkening=options.limb_darkening, macroturbulence=options.macroturbulence,
            dtype=torch.float32, device=pick_device(options.device),
        )  # fmt: skip
        templates = functools.partial(
            templates_of,
            forward, model.labels, solar_scale(model.solar_scale), {**start, **fixed},
            self._lowest(options.resolution),
        )  # fmt: skip
        untrusted = np.zeros(len(model.wavelength), dtype=bool)
        if options.exclude_at_rest is not None:
            untrusted = inside_regions(model.wavelength, options.exclude_at_rest, model.medium)
        self.fitter = FitProblem(
            forward, parameters, templates, low, high, fixed, start, options.degree, options.loss,
            **_emulator_error(model), untrusted=untrusted,
        )  # fmt: skip

    # --- options

    def _reported(self, names):
        """Return the conversion to labels beside the model's own, or None."""
        names = [parse_label(name) for name in names]
        names = [name for name in names if name not in self.model.labels.names]
        return self.model.conversion(names) if names else None

    def _given(self, fixed, free, start, tied):
        """Say in the model's own labels what is fixed, tied, and where the others start."""
        fixed = self._values(fixed, "fixed")
        tied = {self._known(name, "tied"): function for name, function in tied.items()}
        free = {self._known(name, "free") for name in free}
        fixed, known = self._known_labels(fixed)
        start = self._values(start, "start")
        labels = {name: value for name, value in start.items() if name not in VELOCITIES}
        start = {**start, **known.say(labels)}
        start = {name: value for name, value in start.items() if name in self.names}
        self._at_most_once(fixed=[*fixed, *known.ties], free=free, tied=tied)
        for name, tie in known.ties.items():
            if needs := tie.needs & tied.keys():
                raise ValueError(
                    f"fixed: what is given of {name!r} takes {', '.join(needs)}, which is tied: "
                    f"tie {name!r} too"
                )
        tied = {**known.ties, **tied}
        if "vmac" not in free and "vmac" not in tied:
            fixed.setdefault("vmac", 0.0)
        self._at_most_once(fixed=fixed, start=start, tied=tied)
        return fixed, start, tied, known

    def _parameters(self, fixed, tied, priors):
        """Return what is fitted."""
        labels = self.model.labels
        parameters = Parameters(
            self.names,
            tuple(name for name in self.names if name not in fixed and name not in tied),
            np.concatenate([labels.width, [_SCALE[name] for name in VELOCITIES]]),
            tied,
            priors,
        )
        if not parameters.free:
            raise ValueError("everything is fixed or tied: there is nothing to fit")
        if unused := priors.keys() - set(parameters.free):
            raise ValueError(f"priors: {', '.join(sorted(unused))} is not fitted")
        _refuse_circles(parameters, np.append(labels.middle, np.ones(len(VELOCITIES))))
        values = [fixed.get(name, m) for name, m in zip(labels.names, labels.middle, strict=True)]
        labels.warn_outside(np.array(values))
        return parameters

    def _lowest(self, resolution):
        """Return the lowest resolution that is given, checked, or None if some are not known."""
        several = isinstance(resolution, list | tuple)
        lowest = [self._lowest_of(r) for r in (resolution if several else [resolution])]
        return None if any(r is None for r in lowest) else float(min(lowest))

    def _lowest_of(self, resolution):
        """Return that of an arm; where it varies, its pixels are checked with their spectrum."""
        if callable(resolution):
            try:
                resolution = resolution_at(resolution, self.model.wavelength)
            except Exception:  # it may be a function of the wavelengths of an arm only
                return None
        if np.ndim(resolution) == 0:
            instrument_fwhm(resolution, self.model.resolution)  # complains if it is too high
            return resolution
        values = np.asarray(resolution, dtype=float)
        values = values[is_reachable(values, self.model.resolution)]
        return values.min() if len(values) else None

    def _known(self, name, what):
        """Return the name of a label or velocity in its own spelling."""
        if name in VELOCITIES:
            return name
        if name not in self.model.labels:
            if (own := same_label(self.model.labels.names, name)) is not None:
                raise ValueError(f"{what}: {parse_label(name)!r} is said by {own!r} here")
            constant = self.model.constant_labels
            unknown = unknown_label_message(name, self.names, constant=constant)
            raise ValueError(f"{what}: {unknown}")
        return self.names[self.model.labels.index(name)]

    def _said(self, name, what):
        """Return the name of a velocity, of a label, or of another that says the same as one."""
        if name not in VELOCITIES and same_label(self.model.labels.names, name) is not None:
            return parse_label(name)
        return self._known(name, what)

    def _known_labels(self, fixed):
        """Say what is fixed in the model's own labels; return it, and the labels by themselves."""
        labels = {name: value for name, value in fixed.items() if name not in VELOCITIES}
        known = KnownLabels(self.model.labels.names, labels, self.model.solar_scale)
        velocities = {name: value for name, value in fixed.items() if name in VELOCITIES}
        return {**known.values, **velocities}, known

    def _value(self, name, value, what):
        """Return one value without its unit, checked."""
        if name in VELOCITIES:
            return one_value(checked_velocity(value, name), f"{what}: {name}")
        value = one_value(Label(name).to_value(value), f"{what}: {name}")
        if not np.isfinite(value):
            raise ValueError(f"{what}: {name} = {value} is not a number")
        return value

    def _values(self, given, what):
        names = [self._said(name, what) for name in given]
        return {n: self._value(n, v, what) for n, v in zip(names, given.values(), strict=True)}

    def _systematic(self, given):
        """Return systematic errors by name, with their units."""
        if given is None:
            given = FitOptions(systematic=self.model.meta.get("systematic")).systematic or {}
        units, found = self.units(), {}
        for name, value in given.items():
            name = own_name(name)
            if name not in units:
                raise ValueError(f"systematic: {unknown_label_message(name, units)}")
            accepted = (units[name],) if units[name] else (u.dimensionless_unscaled, u.dex)
            value = strip_unit(value, name, *accepted)
            if not 0 <= value < np.inf:
                raise ValueError(f"systematic: {name} = {value} has to be zero or positive")
            found[name] = u.Quantity(value, units[name] or u.dimensionless_unscaled)
        return found

    def _pairs(self, given, what, say):
        """Return pairs of values by name: ranges, or mean and standard deviation.

        ``say`` says those of a label in the model's own.
        """
        pairs = {}
        meant = "mean and standard deviation" if what == "priors" else "lower and upper end"
        for name, pair in given.items():
            name = self._said(name, what)
            if not np.iterable(pair) or len(pair) != 2:
                raise ValueError(f"{what}: {name} needs two values, {meant}, got {pair!r}")
            label = None if name in VELOCITIES else Label(name)
            first, second = (
                one_value(
                    strip_unit(v, name, _KMS) if label is None else label.to_value(v),
                    f"{what}: {name}",
                )
                for v in pair
            )
            sound = second > 0 and np.isfinite(first) if what == "priors" else second > first
            if not sound:
                raise ValueError(
                    f"{what}: {name} has ({first:g}, {second:g}), which are no {meant}"
                )
            if label is not None:
                name, (first, second) = say(name, (first, second))
            if name in pairs:
                raise ValueError(f"{what}: {name} is given twice, in two conventions")
            pairs[name] = first, second
        return pairs

    @staticmethod
    def _at_most_once(**given):
        for (one, first), (other, second) in itertools.combinations(given.items(), 2):
            if twice := sorted(set(first) & set(second)):
                raise ValueError(f"{', '.join(twice)}: given in {one} and in {other}; choose one")

    def _bounds(self, given):
        """Return lower and upper bounds of all parameters; rv's are relative to the search."""
        if "rv" in given:
            raise ValueError("bounds: rv is looked for; say start={'rv': ...} where it is about")
        space = self.model.labels
        own = dict(zip(space.names, zip(space.minimum, space.maximum, strict=True), strict=True))
        own |= _RANGE
        for name, (low, high) in given.items():
            if high <= own[name][0] or low >= own[name][1]:
                raise ValueError(
                    f"bounds: {name} from {low:g} to {high:g} is outside the model's range, "
                    f"{own[name][0]:g} to {own[name][1]:g}"
                )
            own[name] = max(low, own[name][0]), min(high, own[name][1])
        return tuple(np.array(column, dtype=float) for column in zip(*own.values(), strict=True))

    # --- spectra to outcomes

    def fit(self, spectra, best_fits):
        """Fit some stars; those that cannot be unpacked get an outcome that says why."""
        stars, outcomes = {}, [None] * len(spectra)
        for i, spectrum in enumerate(spectra):
            try:
                stars[i] = self.reader.star(spectrum)
            except Exception as error:  # whatever is wrong with one star is that star's
                outcomes[i] = self.fitter.rejected(str(error) or type(error).__name__)

        def kind(i):
            return len(stars[i].wavelength), stars[i].resolution_varies

        for _, group in itertools.groupby(sorted(stars, key=kind), kind):
            some = list(group)
            these = [stars[i] for i in some]
            found = fit_batch(self.fitter, these, best_fits=best_fits)
            for i, outcome in zip(some, self.judged(these, found), strict=True):
                outcomes[i] = outcome
        return outcomes

    def fit_one(self, spectrum):
        """Fit one star, and return it and its outcome; what is wrong with it is an error."""
        star = self.reader.star(spectrum)
        (outcome,) = self.judged([star], fit_batch(self.fitter, [star], best_fits=True))
        if outcome.flags & Flag.BAD_INPUT:
            raise ValueError(outcome.message)
        return star, outcome

    def judged(self, stars, outcomes):
        """Return outcomes, with flags for what the model knows of its own limits."""
        values = np.array([o.theta[: len(self.model.labels)] for o in outcomes])
        with np.errstate(invalid="ignore"):
            outside = self.model.labels.outside(values).any(axis=1)
        if self.model.training_labels is not None:
            outside |= self.model.distance_to_training(values) > _HOLE
        limited = self._emulator_over_noise(stars, outcomes, values) > _LIMITED
        for which, flag in ((outside, Flag.OUTSIDE_COVERAGE), (limited, Flag.EMULATOR_LIMITED)):
            for i in np.flatnonzero(which):
                outcomes[i] = outcomes[i].with_flag(flag)
        return outcomes

    def _emulator_over_noise(self, stars, outcomes, values):
        """Return the emulator's rms error over the noise, of pixels as wide as the model's: (n,).

        Zero where either is not known.
        """
        if self.model.error is None:
            return np.zeros(len(stars))
        values = np.where(np.isfinite(values), values, self.model.labels.middle)
        scale = self.model.error_scale_at(values)
        error = scale * np.sqrt(np.mean(self.model.error.rms**2))
        width = pixel_width(self.model.vacuum_wavelength[None]).mean()
        return error * [
            np.sqrt(width * _information(*pair)) for pair in zip(stars, outcomes, strict=True)
        ]

    # --- arrays to results

    def units(self):
        """Return the units of results by name, `None` for plain numbers."""
        more = self.report.outputs if self.report else ()
        labels = [*self.model.labels, *(Label(name) for name in more)]
        units = {label.name: label.column_unit for label in labels}
        return {**units, **dict.fromkeys(VELOCITIES, _KMS)}

    def values(self, outcomes):
        """Return values and errors of everything that is reported: (n, n_units) each."""
        theta, errors = (
            np.array([getattr(o, name) for o in outcomes]) for name in ("theta", "errors")
        )
        n = len(self.model.labels)
        if not self.report:
            return theta, errors
        found = self.report(theta[:, :n])
        covariance = np.array([o.covariance[:n, :n] for o in outcomes])
        spread = np.diagonal(self.report.covariance(theta[:, :n], covariance), axis1=1, axis2=2)
        return (
            np.concatenate([theta[:, :n], found, theta[:, n:]], axis=1),
            np.concatenate([errors[:, :n], np.sqrt(spread), errors[:, n:]], axis=1),
        )

    def covariance(self, outcome):
        """Return the covariance of the free parameters."""
        index = self.fitter.parameters.index
        return outcome.covariance[np.ix_(index, index)]

    def result(self, observed, outcome):
        """Return the `FitResult`."""
        labels, errors = (
            {
                name: u.Quantity(value, unit or u.dimensionless_unscaled)
                for (name, unit), value in zip(self.units().items(), row[0], strict=True)
            }
            for row in self.values([outcome])
        )
        arms = list(observed) if isinstance(observed, list) else [observed]
        fits = [_model_spectrum(*pair, labels) for pair in zip(arms, outcome.best_fit, strict=True)]
        several = isinstance(observed, list)
        return FitResult(
            labels=labels,
            errors=errors,
            covariance=self.covariance(outcome),
            free=self.fitter.parameters.free,
            flags=outcome.flags,
            chi2=outcome.chi2,
            dof=outcome.dof,
            at_bound=outcome.at_bound,
            low_information=outcome.low_information,
            vsini_limit=outcome.vsini_limit * _KMS,
            systematic=self.systematic,
            iterations=outcome.iterations,
            message=outcome.message,
            observed=observed,
            best_fit=type(observed)(fits) if several else fits[0],
            used=list(outcome.used) if several else outcome.used[0],
        )

    def table(self, names, outcomes, covariances, models):
        """Return the table of many fits."""
        if not outcomes:  # the columns are those of any star
            return self.table([""], [self.fitter.rejected("")], covariances, models)[:0]
        columns = {"name": np.array(names, dtype=str)}
        for (name, unit), *pair in zip(
            self.units().items(), *(part.T for part in self.values(outcomes)), strict=True
        ):
            for column, values in zip((name, f"{name}_err"), pair, strict=True):
                columns[column] = values * unit if unit else values
            if name in self.systematic:
                size = np.repeat(self.systematic[name], len(names))
                columns[f"{name}_sys"] = size if unit else size.value
        for name, kind in (("chi2", float), ("dof", int), ("flags", int), ("iterations", int)):
            columns[name] = np.array([getattr(o, name) for o in outcomes], dtype=kind)
        for name in ("at_bound", "low_information"):
            columns[name] = np.array([" ".join(getattr(o, name)) for o in outcomes], dtype=str)
        columns["vsini_limit"] = np.array([o.vsini_limit for o in outcomes]) * _KMS
        columns["message"] = np.array([o.message for o in outcomes], dtype=str)
        if covariances:
            columns["covariance"] = np.array([self.covariance(o) for o in outcomes])
        if models:
            rows = [np.concatenate([*o.best_fit, []]) for o in outcomes]
            columns["best_fit"] = filled(rows, max(map(len, rows)), np.nan)
        # made at once: adding columns one by one is slow
        return QTable(columns, meta={"free": list(self.fitter.parameters.free)}, copy=False)


def _model_spectrum(observed, flux, labels):
    """Return the best fit of one arm as a spectrum."""
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=u.Quantity(observed.spectral_axis, subok=False),
        flux=flux * observed.flux.unit,
        mask=~np.isfinite(flux),
        meta=dict(labels),
    )


def _information(star, outcome):
    """Return the mean of the inverse variances of a star's pixels over their widths in ln λ."""
    if not (star.noise_known and outcome.covered):
        return 0.0
    arms = zip(star.sigma, star.level, outcome.used, strict=True)
    information = sum(np.sum((level[used] / sigma[used]) ** 2) for sigma, level, used in arms)
    return information / outcome.covered


def _emulator_error(model):
    """Return the emulator's errors as `BatchFitter` takes them."""
    error = model.error
    known = {
        "error": None if error is None else error.rms,
        "scale": model.error_scale_at,
        "shift": model.error_shift_at,
    }
    if error is None or error.components is None:  # of a network from elsewhere
        return {**known, "rest": None, "modes": None}
    return {**known, "rest": error.rest, "modes": np.vstack([error.components, error.bias])}


def own_name(name):
    """Return the package's name of a label, in any spelling, or of a velocity."""
    return name if name in VELOCITIES else parse_label(name)


def _refuse_circles(parameters, theta):
    """Refuse ties that follow from themselves, or from nothing that there is."""
    names = [*parameters.tied]
    tied = [parameters.names.index(name) for name in names]
    theta = np.tile(theta, (2, 1))
    theta[1, tied] += 0.1 * parameters.scale[tied]
    try:
        one, other = parameters.expand(theta[:, parameters.index], theta)[:, tied]
    except KeyError as error:
        raise ValueError(
            f"tied: there is no {error}; labels may follow from {', '.join(parameters.names)}"
        ) from None
    if different := np.flatnonzero((one != other) & ~(np.isnan(one) & np.isnan(other))).tolist():
        raise ValueError(
            f"tied: {', '.join(names[i] for i in different)} would follow from what follows from "
            "it: tie labels to others that are fitted or fixed"
        )
