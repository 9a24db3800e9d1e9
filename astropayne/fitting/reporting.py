# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`Report`: names, units, values and errors in the results of fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import astropy.units as u
import numpy as np
from astropy.table import QTable

from astropayne.engine.arms import filled
from astropayne.engine.outcome import Outcome
from astropayne.engine.parameters import Parameters
from astropayne.fitting.constraints import own_name
from astropayne.fitting.options import FitOptions
from astropayne.forward.parameters import labels_of, velocities_of
from astropayne.labels.conversion import LabelConversion
from astropayne.labels.names import Label, parse_label, unknown_label_message
from astropayne.models.model import PayneModel
from astropayne.utils.quantities import strip_unit
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["Report"]

_KMS = u.km / u.s


@dataclass(frozen=True, eq=False)
class Report:
    """Labels of the model, labels in other conventions and velocities in the results of fits.

    Attributes
    ----------
    parameters : Parameters
    units : dict of str to `~astropy.units.Unit` or None
        Units by name, in the order of columns; `None` for plain numbers.
    conversion : LabelConversion or None
        To labels in other conventions.
    systematic : dict of str to `~astropy.units.Quantity`
        Systematic errors by name.
    """

    parameters: Parameters
    units: Mapping[str, u.Unit | None]
    conversion: LabelConversion | None
    systematic: Mapping[str, u.Quantity]

    @classmethod
    def from_options(cls, model: PayneModel, options: FitOptions, parameters: Parameters) -> Self:
        """Return the report that the options select.

        Raises
        ------
        ValueError
            If a label cannot be computed from the model's.
        """
        names = [parse_label(name) for name in options.report]
        names = [name for name in names if name not in model.labels.names]
        conversion = model.conversion(names) if names else None
        labels = [*model.labels, *(Label(n) for n in (conversion.outputs if names else ()))]
        units = {label.name: label.column_unit for label in labels}
        units |= dict.fromkeys(VELOCITIES, _KMS)
        return cls(parameters, units, conversion, _systematic(model, options, units))

    def values(self, outcomes: Sequence[Outcome]) -> tuple[np.ndarray, np.ndarray]:
        """Return values and errors of all reported quantities: (n, n_units) each."""
        theta = np.array([outcome.theta for outcome in outcomes])
        errors = np.array([outcome.errors for outcome in outcomes])
        if self.conversion is None:
            return theta, errors
        labels = labels_of(theta)
        n = labels.shape[1]
        covariance = np.array([outcome.covariance[:n, :n] for outcome in outcomes])
        spread = np.diagonal(self.conversion.covariance(labels, covariance), axis1=1, axis2=2)
        more = self.conversion(labels), np.sqrt(spread)
        return tuple(
            np.concatenate([labels_of(own), other, velocities_of(own)], axis=1)
            for own, other in zip((theta, errors), more, strict=True)
        )

    def quantities(self, outcome: Outcome) -> tuple[dict[str, u.Quantity], dict[str, u.Quantity]]:
        """Return values and errors of one star by name, with their units."""
        return tuple(
            {
                name: u.Quantity(value, unit or u.dimensionless_unscaled)
                for (name, unit), value in zip(self.units.items(), rows[0], strict=True)
            }
            for rows in self.values([outcome])
        )

    def covariance(self, outcome: Outcome) -> np.ndarray:
        """Return the covariance of the free parameters."""
        index = self.parameters.index
        return outcome.covariance[np.ix_(index, index)]

    def table(
        self,
        names: Sequence[str],
        outcomes: Sequence[Outcome],
        *,
        covariances: bool = False,
        models: bool = False,
    ) -> QTable:
        """Return the table of many fits, a row per star; see `~astropayne.fit_spectra`."""
        if not outcomes:  # the columns are those of any star
            nothing = Outcome.rejected(len(self.parameters.names), "")
            return self.table([""], [nothing], covariances=covariances, models=models)[:0]
        columns = {"name": np.array(names, dtype=str), **self._columns(outcomes)}
        for name, kind in (("chi2", float), ("dof", int), ("flags", int), ("iterations", int)):
            columns[name] = np.array([getattr(o, name) for o in outcomes], dtype=kind)
        for name in ("at_bound", "low_information"):
            columns[name] = np.array([" ".join(getattr(o, name)) for o in outcomes], dtype=str)
        columns["vsini_limit"] = np.array([o.vsini_limit for o in outcomes]) * _KMS
        columns["limits"] = np.array([_limits_text(o) for o in outcomes], dtype=str)
        columns["notes"] = np.array(["; ".join(o.notes) for o in outcomes], dtype=str)
        columns["message"] = np.array([o.message for o in outcomes], dtype=str)
        if covariances:
            columns["covariance"] = np.array([self.covariance(o) for o in outcomes])
        if models:
            rows = [np.concatenate([*o.best_fit, []]) for o in outcomes]
            columns["best_fit"] = filled(rows, max(map(len, rows)), np.nan)
        # made at once: adding columns one by one is slow
        return QTable(columns, meta={"free": list(self.parameters.free)}, copy=False)

    def _columns(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """Return the columns of values and their errors."""
        columns: dict[str, Any] = {}
        values, errors = self.values(outcomes)
        for i, (name, unit) in enumerate(self.units.items()):
            for column, numbers in ((name, values[:, i]), (f"{name}_err", errors[:, i])):
                columns[column] = numbers * unit if unit else numbers
            if name in self.systematic:
                size = np.repeat(self.systematic[name], len(outcomes))
                columns[f"{name}_sys"] = size if unit else size.value
        return columns


def _limits_text(outcome: Outcome) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in outcome.limits.items())


def _systematic(
    model: PayneModel, options: FitOptions, units: Mapping[str, u.Unit | None]
) -> dict[str, u.Quantity]:
    """Return systematic errors by name, with their units."""
    systematic = options.systematic
    if systematic is None:
        systematic = FitOptions(systematic=model.meta.get("systematic")).systematic or {}
    named = [(own_name(name), value) for name, value in systematic.items()]
    return {name: _size(name, value, units) for name, value in named}


def _size(name: str, value: Any, units: Mapping[str, u.Unit | None]) -> u.Quantity:
    if name not in units:
        raise ValueError(f"systematic: {unknown_label_message(name, units)}")
    accepted = (units[name],) if units[name] else (u.dimensionless_unscaled, u.dex)
    size = strip_unit(value, name, *accepted)
    if not 0 <= size < np.inf:
        raise ValueError(f"systematic: {name} = {size} must be zero or positive")
    return u.Quantity(size, units[name] or u.dimensionless_unscaled)
