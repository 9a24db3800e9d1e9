# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`FitResult`: the result of a fit of one star."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np

from astropayne.engine.flags import Flag

__all__ = ["FitResult"]


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit found.

    Attributes
    ----------
    labels : dict of str to `~astropy.units.Quantity`
        All labels, and rv, vsini and vmac; fitted or fixed. NaN for what was not measured.
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
    at_bound, low_information : tuple of str
        Names of what is at the end of its range, and of what the spectrum says little of.
    vsini_limit : `~astropy.units.Quantity`
        Upper limit of vsini, one-sided at 95 %, where it cannot be told from zero; NaN where it
        is measured.
    systematic : dict of str to `~astropy.units.Quantity`
        What is said of the method's own errors, by ``systematic=``; in no other error.
    iterations : int
        Evaluations of the model and its derivatives in the last pass.
    message : str
        Why there is no fit, or what is wrong with it.
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        What was fitted.
    best_fit : `~specutils.Spectrum` or `~specutils.SpectrumList`
        The model at the observed pixels, continuum included; NaN where it is not supported.
    used : numpy.ndarray of bool, or list of them
        Pixels that took part.
    """

    labels: dict
    errors: dict
    covariance: np.ndarray
    free: tuple
    flags: Flag
    chi2: float
    dof: int
    at_bound: tuple
    low_information: tuple
    vsini_limit: u.Quantity
    systematic: dict
    iterations: int
    message: str
    observed: object
    best_fit: object
    used: object

    def __repr__(self):
        lines = [f"<FitResult: chi2 / dof = {self.chi2:.1f} / {self.dof}, flags = {self.flags!r}"]
        for name, value in self.labels.items():
            error = self.errors[name].value
            text = f"+- {error:.3g}" if np.isfinite(error) else "" if name in self.free else "fixed"
            lines.append(f"  {name:6s} {value.value:10.4f} {text} {value.unit}".rstrip())
        return "\n".join(lines) + ">"

    def plot(self, **options):
        """Plot the spectrum, its fit and the residuals.

        Keywords are those of `~astropayne.plotting.spectra.plot_fit`.
        """
        from astropayne.plotting.spectra import plot_fit

        return plot_fit(self, **options)

    def __getstate__(self):
        # What specutils makes of an axis does not pickle; what it makes it of does.
        spectra = {name: _taken_apart(getattr(self, name)) for name in ("observed", "best_fit")}
        return {**self.__dict__, **spectra}

    def __setstate__(self, state):
        spectra = {name: _put_together(state[name]) for name in ("observed", "best_fit")}
        self.__dict__.update({**state, **spectra})


def _taken_apart(spectrum):
    if isinstance(spectrum, list):
        return [_taken_apart(part) for part in spectrum]
    names = ("flux", "spectral_axis", "uncertainty", "mask", "meta")
    parts = {name: getattr(spectrum, name) for name in names}
    parts["spectral_axis"] = u.Quantity(spectrum.spectral_axis, subok=False)
    if spectrum.uncertainty is not None:  # it knows the spectrum it belongs to
        size = spectrum.uncertainty
        parts["uncertainty"] = type(size)(size.array, unit=size.unit)
    return parts


def _put_together(parts):
    from specutils import Spectrum, SpectrumList

    if isinstance(parts, list):
        return SpectrumList([_put_together(part) for part in parts])
    return Spectrum(**parts)
