# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitResult`: the result of a fit of one star."""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

from astropayne.engine.flags import Flag
from astropayne.engine.outcome import Outcome
from astropayne.fitting.constraints import own_name
from astropayne.fitting.reporting import Report

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["FitResult", "NamedValues", "result_of"]


class NamedValues(Mapping):
    """A read-only mapping of labels and velocities to values.

    Names are found in any spelling.

    Parameters
    ----------
    values : mapping of str to value
        By the names that the package uses, such as ``"teff"`` and ``"Mg_Fe"``.

    Examples
    --------
    >>> from astropayne.fitting.results import NamedValues
    >>> values = NamedValues({"teff": 5600, "feh": -0.3})
    >>> values["Teff"], values["[Fe/H]"], "logg" in values
    (5600, -0.3, False)
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[own_name(name)]
        except (KeyError, ValueError):
            raise KeyError(f"{name!r}; it has {', '.join(self._values)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


@dataclass(frozen=True, eq=False)
class FitResult:
    """The result of the fit of one star.

    Attributes
    ----------
    labels : mapping of str to `~astropy.units.Quantity`
        All labels, and rv, vsini and vmac, fitted or fixed; NaN if not measured. Labels are found
        in any notation: ``labels["[Fe/H]"]``.
    errors : mapping of str to `~astropy.units.Quantity`
        Standard deviations from the covariance, with the continuum marginalized. They are never
        rescaled by χ². NaN if the value was fixed or not measured.
    covariance : numpy.ndarray, shape (n_free, n_free)
        Of the ``free`` parameters, in their own units.
    free : tuple of str
        Names of the fitted parameters.
    flags : Flag
        Zero if no problem was found.
    chi2 : float
    dof : int
        Degrees of freedom: pixels minus parameters, continuum included.
    at_bound, low_information : tuple of str
        Parameters at an end of their range, and those that the spectrum hardly constrains.
    vsini_limit : `~astropy.units.Quantity`
        One-sided upper limit of vsini at 95 % if vsini cannot be distinguished from zero; NaN if
        vsini was measured.
    systematic : mapping of str to `~astropy.units.Quantity`
        Systematic errors from the option ``systematic`` or from the model. They are not included
        in ``errors``.
    iterations : int
        Evaluations of the model and its derivatives in the last pass.
    limits : mapping of str to str
        Limits such as "< -2" of labels that are beyond the range of the model.
    notes : tuple of str
        Choices that the fit made, and advice for flags that are set.
    message : str
        Description of a problem; empty if there is none.
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        The spectrum that was fitted.
    best_fit : `~specutils.Spectrum` or `~specutils.SpectrumList`
        The model multiplied by the continuum, at the observed pixels; NaN where the model is not
        supported.
    used : numpy.ndarray of bool, or list of these
        Pixels that were used.
    """

    labels: Mapping[str, u.Quantity]
    errors: Mapping[str, u.Quantity]
    covariance: np.ndarray
    free: tuple[str, ...]
    flags: Flag
    chi2: float
    dof: int
    at_bound: tuple[str, ...]
    low_information: tuple[str, ...]
    vsini_limit: u.Quantity
    systematic: Mapping[str, u.Quantity]
    iterations: int
    limits: Mapping[str, str]
    notes: tuple[str, ...]
    message: str
    observed: "Spectrum | SpectrumList"
    best_fit: "Spectrum | SpectrumList"
    used: "np.ndarray | list[np.ndarray]"

    def __repr__(self) -> str:
        lines = [f"<FitResult: chi2 / dof = {self.chi2:.1f} / {self.dof}, flags = {self.flags!r}"]
        for name, value in self.labels.items():
            error = self.errors[name].value
            text = f"+- {error:.3g}" if np.isfinite(error) else "" if name in self.free else "fixed"
            if name in self.limits:
                text = self.limits[name]
            lines.append(f"  {name:6s} {value.value:10.4f} {text} {value.unit}".rstrip())
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines) + ">"

    def plot(self, **options: Any) -> Any:
        """Plot the spectrum, its fit and the residuals.

        Parameters and return value are those of `~astropayne.plotting.plot_fit`.
        """
        from astropayne.plotting.spectra import plot_fit

        return plot_fit(self, **options)

    def __getstate__(self) -> dict[str, Any]:
        # Spectral axes of specutils cannot be pickled; their values and units can.
        spectra = {name: _taken_apart(getattr(self, name)) for name in ("observed", "best_fit")}
        return {**self.__dict__, **spectra}

    def __setstate__(self, state: dict[str, Any]) -> None:
        spectra = {name: _put_together(state[name]) for name in ("observed", "best_fit")}
        self.__dict__.update({**state, **spectra})


def result_of(report: Report, observed: "Spectrum | SpectrumList", outcome: Outcome) -> FitResult:
    """Return the result of a fit from its outcome."""
    labels, errors = report.quantities(outcome)
    several = isinstance(observed, list)
    arms = list(observed) if several else [observed]
    fits = [_model_spectrum(*pair, labels) for pair in zip(arms, outcome.best_fit, strict=True)]
    return FitResult(
        labels=NamedValues(labels),
        errors=NamedValues(errors),
        covariance=report.covariance(outcome),
        free=report.parameters.free,
        flags=outcome.flags,
        chi2=outcome.chi2,
        dof=outcome.dof,
        at_bound=outcome.at_bound,
        low_information=outcome.low_information,
        vsini_limit=outcome.vsini_limit * (u.km / u.s),
        systematic=NamedValues(report.systematic),
        iterations=outcome.iterations,
        limits=NamedValues(outcome.limits),
        notes=outcome.notes,
        message=outcome.message,
        observed=observed,
        best_fit=type(observed)(fits) if several else fits[0],
        used=list(outcome.used) if several else outcome.used[0],
    )


def _model_spectrum(
    observed: "Spectrum", flux: np.ndarray, labels: Mapping[str, u.Quantity]
) -> "Spectrum":
    """Return the best fit of one arm as a spectrum."""
    from specutils import Spectrum

    return Spectrum(
        spectral_axis=u.Quantity(observed.spectral_axis, subok=False),
        flux=flux * observed.flux.unit,
        mask=~np.isfinite(flux),
        meta=dict(labels),
    )


def _taken_apart(spectrum: Any) -> Any:
    """Return the parts of a spectrum, or of each spectrum of a list, that can be pickled."""
    if isinstance(spectrum, list):
        return [_taken_apart(part) for part in spectrum]
    parts = {name: getattr(spectrum, name) for name in ("flux", "mask")}
    parts["spectral_axis"] = u.Quantity(spectrum.spectral_axis, subok=False)
    parts["uncertainty"] = spectrum.uncertainty
    if spectrum.uncertainty is not None:  # its parent is the spectrum
        size = spectrum.uncertainty
        parts["uncertainty"] = type(size)(size.array, unit=size.unit)
    parts["meta"] = {n: value for n, value in spectrum.meta.items() if _is_picklable(value)}
    if lost := [str(name) for name in spectrum.meta if name not in parts["meta"]]:
        warnings.warn(
            f"{', '.join(lost)} in the metadata of the spectrum cannot be pickled and is left out",
            AstropyUserWarning,
            stacklevel=2,
        )
    return parts


def _is_picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # whatever an object of another package raises
        return False
    return True


def _put_together(parts: Any) -> "Spectrum | SpectrumList":
    from specutils import Spectrum, SpectrumList

    if isinstance(parts, list):
        return SpectrumList([_put_together(part) for part in parts])
    return Spectrum(**parts)
