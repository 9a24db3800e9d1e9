# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Constraints`: which parameters a fit may change, from where and how far."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import astropy.units as u
import numpy as np

from astropayne.engine.parameters import Parameters
from astropayne.fitting.options import FitOptions
from astropayne.forward.parameters import parameter_names
from astropayne.labels.conversion import same_label
from astropayne.labels.fixed import FixedLabels
from astropayne.labels.names import Label, parse_label, unknown_label_message
from astropayne.models.model import PayneModel
from astropayne.utils.quantities import one_value, strip_unit
from astropayne.wavelengths.velocity import FASTEST, VELOCITIES, checked_velocity

__all__ = ["Constraints", "own_name"]

# km/s. Derivatives by the widths vanish at zero, where a fit could not start.
_RANGE = {"rv": (-60.0, 60.0), **{name: (0.01, most) for name, most in FASTEST.items()}}
_SCALE = {"rv": 1.0, "vsini": 5.0, "vmac": 5.0}  # km/s, typical changes
_TWO_VALUES = {"priors": "mean and standard deviation", "bounds": "lower and upper end"}


@dataclass(frozen=True, eq=False)
class Constraints:
    """Constraints of a fit on the parameters, in the labels of the model and without units.

    Attributes
    ----------
    parameters : Parameters
        Free and tied parameters, and priors.
    fixed, start : dict of str to float
        Values of fixed parameters, and initial values of others.
    low, high : numpy.ndarray, shape (n_names,)
        Bounds; those of rv are relative to the velocity from cross-correlation.
    """

    parameters: Parameters
    fixed: Mapping[str, float]
    start: Mapping[str, float]
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def from_options(cls, model: PayneModel, options: FitOptions) -> Self:
        """Check the options against a model.

        Raises
        ------
        ValueError
            If a label is unknown, given twice or outside its range, or no parameter is free.
        """
        fixed, labels = _fixed(model, options)
        ties = {_own(model, name, "tied"): tie for name, tie in options.tied.items()}
        free = {_own(model, name, "free") for name in options.free}
        start = _start(model, options, labels)
        _refuse_twice(fixed=[*fixed, *labels.ties], free=free, tied=ties)
        for name, tie in labels.ties.items():
            if needs := tie.needs & ties.keys():
                raise ValueError(
                    f"fixed: the value given for {name!r} depends on {', '.join(needs)}, which is "
                    f"tied: tie {name!r} too"
                )
        tied = {**labels.ties, **ties}
        if "vmac" not in free and "vmac" not in tied:
            fixed.setdefault("vmac", 0.0)
        _refuse_twice(fixed=fixed, start=start, tied=tied)
        priors = _pairs(model, options.priors, "priors", labels.convert_gaussian)
        parameters = _parameters(model, fixed, tied, priors)
        bounds = _pairs(model, options.bounds, "bounds", labels.convert_range)
        return cls(parameters, fixed, start, *_bounds(model, bounds))


def own_name(name: str) -> str:
    """Return the package's name of a label, in any spelling, or of a velocity."""
    return name if name in VELOCITIES else parse_label(name)


# --- names


def _own(model: PayneModel, name: str, what: str) -> str:
    """Return the model's name of a label or velocity."""
    if name in VELOCITIES:
        return name
    labels = model.labels
    if name not in labels:
        if (own := same_label(labels.names, name)) is not None:
            raise ValueError(
                f"{what}: {parse_label(name)!r} is not a label of the model; use {own!r} here"
            )
        unknown = unknown_label_message(
            name, parameter_names(labels.names), constant=model.constant_labels
        )
        raise ValueError(f"{what}: {unknown}")
    return labels.names[labels.index(name)]


def _accepted(model: PayneModel, name: str, what: str) -> str:
    """Return the name of a velocity, of a label, or of another that is equivalent to one."""
    if name not in VELOCITIES and same_label(model.labels.names, name) is not None:
        return parse_label(name)
    return _own(model, name, what)


def _refuse_twice(**stated: Iterable[str]) -> None:
    for (one, first), (other, second) in itertools.combinations(stated.items(), 2):
        if twice := sorted(set(first) & set(second)):
            raise ValueError(f"{', '.join(twice)}: given in {one} and in {other}; choose one")


# --- values


def _values(model: PayneModel, stated: Mapping[str, Any], what: str) -> dict[str, float]:
    """Return one number for each name, in its own unit."""
    names = [_accepted(model, name, what) for name in stated]
    return {n: _value(n, value, what) for n, value in zip(names, stated.values(), strict=True)}


def _value(name: str, value: Any, what: str) -> float:
    if name in VELOCITIES:
        return one_value(checked_velocity(value, name), f"{what}: {name}")
    value = one_value(Label(name).to_value(value), f"{what}: {name}")
    if not np.isfinite(value):
        raise ValueError(f"{what}: {name} = {value} is not a number")
    return value


def _fixed(model: PayneModel, options: FitOptions) -> tuple[dict[str, float], FixedLabels]:
    """Return fixed values in the model's own labels, and the labels among them."""
    stated = _values(model, options.fixed, "fixed")
    velocities = {name: value for name, value in stated.items() if name in VELOCITIES}
    labels = {name: value for name, value in stated.items() if name not in VELOCITIES}
    labels_fixed = FixedLabels(model.labels.names, labels, model.solar_scale)
    return {**labels_fixed.values, **velocities}, labels_fixed


def _start(model: PayneModel, options: FitOptions, labels: FixedLabels) -> dict[str, float]:
    """Return starting values in the model's own labels."""
    stated = _values(model, options.start, "start")
    converted = labels.convert({n: value for n, value in stated.items() if n not in VELOCITIES})
    names = parameter_names(model.labels.names)
    return {name: value for name, value in {**stated, **converted}.items() if name in names}


def _pairs(
    model: PayneModel, stated: Mapping[str, Any], what: str, convert: Callable
) -> dict[str, tuple[float, float]]:
    """Return pairs of values by name: ranges, or means and standard deviations.

    ``convert`` converts those of a label to the model's own.
    """
    pairs, meant = {}, _TWO_VALUES[what]
    for name, pair in stated.items():
        name = _accepted(model, name, what)
        if not np.iterable(pair) or len(pair) != 2:
            raise ValueError(f"{what}: {name} needs two values, {meant}, got {pair!r}")
        first, second = (one_value(_stripped(name, v), f"{what}: {name}") for v in pair)
        sound = second > 0 and np.isfinite(first) if what == "priors" else second > first
        if not sound:
            raise ValueError(
                f"{what}: {name} has ({first:g}, {second:g}), which are not a valid {meant}"
            )
        if name not in VELOCITIES:
            name, (first, second) = convert(name, (first, second))
        if name in pairs:
            raise ValueError(f"{what}: {name} is given twice, in two conventions")
        pairs[name] = first, second
    return pairs


def _stripped(name: str, value: Any) -> Any:
    if name in VELOCITIES:
        return strip_unit(value, name, u.km / u.s)
    return Label(name).to_value(value)


# --- parameters and bounds


def _parameters(
    model: PayneModel,
    fixed: Mapping[str, float],
    tied: Mapping[str, Callable],
    priors: Mapping[str, tuple[float, float]],
) -> Parameters:
    labels = model.labels
    names = parameter_names(labels.names)
    parameters = Parameters(
        names,
        tuple(name for name in names if name not in fixed and name not in tied),
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


def _bounds(
    model: PayneModel, stated: Mapping[str, tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    if "rv" in stated:
        raise ValueError(
            "bounds: rv cannot be bounded; give its approximate value as start={'rv': ...}"
        )
    space = model.labels
    bounds = dict(zip(space.names, zip(space.minimum, space.maximum, strict=True), strict=True))
    bounds |= _RANGE
    for name, (low, high) in stated.items():
        least, most = bounds[name]
        if high <= least or low >= most:
            raise ValueError(
                f"bounds: {name} from {low:g} to {high:g} is outside the model's range, "
                f"{least:g} to {most:g}"
            )
        bounds[name] = max(low, least), min(high, most)
    return tuple(np.array(column, dtype=float) for column in zip(*bounds.values(), strict=True))


def _refuse_circles(parameters: Parameters, theta: np.ndarray) -> None:
    """Raise `ValueError` for ties that depend on themselves or on unknown names."""
    names = [*parameters.tied]
    tied = [parameters.names.index(name) for name in names]
    theta = np.tile(theta, (2, 1))
    theta[1, tied] += 0.1 * parameters.scale[tied]
    try:
        one, other = parameters.expand(theta[:, parameters.index], theta)[:, tied]
    except KeyError as error:
        raise ValueError(
            f"tied: unknown name {error}; labels may follow from {', '.join(parameters.names)}"
        ) from None
    if different := np.flatnonzero((one != other) & ~(np.isnan(one) & np.isnan(other))).tolist():
        raise ValueError(
            f"tied: {', '.join(names[i] for i in different)} would follow from what follows from "
            "it: tie labels to others that are fitted or fixed"
        )
