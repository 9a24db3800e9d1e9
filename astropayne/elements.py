# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Abundances element by element, from chosen lines: measurements, or upper limits.

The stellar labels come from `~astropayne.fit_spectra`. Then each element is fitted in the windows
of its own lines, all others at their own solutions; how the errors of everything else reach it is
computed, not guessed. Inside, plain numpy: wavelengths are Å in vacuum, velocities km/s.
"""

import enum
import itertools
from dataclasses import dataclass, fields, replace
from functools import cached_property

import astropy.units as u
import numpy as np
import torch
from astropy.table import MaskedColumn
from astropy.utils.masked import Masked
from scipy.stats import norm
from tqdm.auto import tqdm

from astropayne.abundances import solar_scale as named_scale
from astropayne.batch import Flag, resolution_of
from astropayne.broadening import instrument_fwhm
from astropayne.conversion import LabelConversion
from astropayne.fitting import FitSetup, spectrum_name, take_chunks
from astropayne.forward import VELOCITIES
from astropayne.likelihood import Continuum, pixel_width
from astropayne.lines import LineList, find
from astropayne.network import one_thread
from astropayne.wavelengths import C_KMS

__all__ = ["ElementFlag", "fit_abundances"]

_CONVENTIONS = ("X_Fe", "X_H", "A_X")
_LARGEST_STEP = 0.5  # dex: a line's strength may grow as fast as tenfold a dex
_ITERATIONS = 20
_CONVERGED = 0.02  # of the error, the last step of an abundance
_BISECTIONS = 14
_DISCREPANT = 3.0  # standard deviations of a line from all lines
_COVERED = 0.5  # of a line's window that has to be usable
_FARTHEST = 20.0  # km/s, error of a velocity that counts as unknown


class ElementFlag(enum.IntFlag):
    """What is to be known of an abundance; zero if nothing."""

    UPPER_LIMIT = 1
    """There is no measurement, but an upper limit."""
    NO_LINES = 2
    """No line of the element is covered by usable pixels."""
    BELOW_RANGE = 4
    """The spectrum asks for less than the model knows; a limit is extrapolated, or missing."""
    ABOVE_RANGE = 8
    """The spectrum asks for, or allows, more than the model knows."""
    DISCREPANT_LINES = 16
    """A line disagrees with the others by more than three standard deviations."""
    NOT_CONVERGED = 32
    """The abundance was still changing."""
    NO_STELLAR_LABELS = 64
    """The star could not be fitted; the table's ``message`` says why."""


def fit_abundances(
    spectra,
    model,
    elements,
    *,
    lines=None,
    stellar_lines=None,
    convention="X_Fe",
    solar_scale=None,
    confidence=0.95,
    detection=3.0,
    clip=False,
    per_line=False,
    progress=None,
    **options,
):
    """Measure abundances element by element, or limit them.

    Parameters
    ----------
    spectra : iterable of `~specutils.Spectrum` or `~specutils.SpectrumList`
        As for `~astropayne.fit_spectra`.
    model : `~astropayne.PayneModel`
    elements : sequence of str
        Symbols of elements that the model has labels of.
    lines : LineList, optional
        By default the list that ships with the package, and for elements it has no lines of in
        the model's windows, those that `astropayne.lines.find` finds in the middle of the model's
        range.
    stellar_lines : LineList, optional
        Lines that the stellar labels are taken from; by default the whole spectrum.
    convention : {"X_Fe", "X_H", "A_X"}
        What abundances are given as.
    solar_scale : str, `~astropayne.abundances.SolarScale` or mapping, optional
        What [X/Fe] and [X/H] refer to; by default the model's own.
    confidence : float
        Of the upper limits.
    detection : float
        Significance, in standard deviations, from which on a line counts as detected.
    clip : bool
        Whether discrepant lines are left out, and the element fitted once more.
    per_line : bool
        Whether to add columns ``Mg_lines`` and ``Mg_lines_err``, the abundance of each line.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    **options
        As for `~astropayne.fit_spectra`: ``resolution``, ``fixed``, ``continuum``…

    Returns
    -------
    `~astropy.table.QTable`
        A row a spectrum. Stellar labels, velocities and flags are those of
        `~astropayne.fit_spectra`, and for each element (here Mg, as [Mg/Fe]) there are

        - ``Mg_Fe``, ``Mg_Fe_err``: masked where there is no measurement;
        - ``Mg_Fe_upper_limit``: masked where there is one, and where the spectrum sets no limit;
        - ``Mg_ew``: equivalent width that the element has in its windows, in mÅ;
        - ``Mg_significance``: of that, in standard deviations;
        - ``Mg_n_lines``, ``Mg_scatter``: lines that took part, and their standard deviation;
        - ``Mg_sensitivity``: the changes of the model's label of the element by the parameters
          that ``meta["by"]`` names, all others held;
        - ``Mg_flags``: see `ElementFlag`.

        ``meta["Mg_lines"]`` has the centres of the lines, Å in the list's medium.

    Raises
    ------
    ValueError
        If the model has no label of an element, or an option makes no sense.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_abundances
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.3, feh=-0.2, vmic=1.1, Na_Fe=0.25, A_Li=2.3, vsini=4)
    >>> table = fit_abundances([star], model, ["Na", "Li"], convention="A_X")
    >>> print(table["A_Na"].round(2)[0], table["A_Li"].round(2)[0])
    6.34 2.3
    """
    analysis = _Analysis(
        model, elements, lines, stellar_lines, convention, solar_scale, confidence, detection,
        clip, options,
    )  # fmt: skip
    total = len(spectra) if hasattr(spectra, "__len__") else None
    bar = tqdm(total=total, desc="abundances", disable=None if progress is None else not progress)
    names, outcomes, found = [], [], []
    with bar, torch.no_grad(), one_thread():
        for some in take_chunks(iter(spectra)):
            names += [spectrum_name(spectrum, len(names) + i) for i, spectrum in enumerate(some)]
            new, theirs = analysis.fit(some)
            outcomes += new
            found += theirs
            bar.update(len(some))
    return analysis.table(names, outcomes, found, per_line)


@dataclass(frozen=True)
class _Arm:
    """Pixels of one arm of some stars."""

    pixels: object  # forward.Pixels
    resolution: np.ndarray  # (n,), or (n, P) where it varies
    rest: np.ndarray  # (n, P) Å in the star's frame
    step: np.ndarray  # (n, P) Å that a pixel covers
    flux: np.ndarray
    weight: np.ndarray  # one over σ, zero where a pixel is not to be used
    fitted: np.ndarray  # took part in the fit of the stellar labels
    basis: np.ndarray  # (n, P, m) of the continuum
    design: np.ndarray | None = None  # (n, P, k) derivatives, where the stellar labels were found

    def take(self, columns):
        kept = {
            f.name: np.take_along_axis(
                getattr(self, f.name), columns if getattr(self, f.name).ndim == 2
                else columns[..., None], axis=1)
            for f in fields(self)
            if f.name != "pixels" and np.ndim(getattr(self, f.name)) > 1
        }  # fmt: skip
        return replace(self, pixels=self.pixels.take(columns), **kept)


class _Sight:
    """All arms of some stars, side by side."""

    def __init__(self, forward, arms):
        self.forward, self.arms = forward, arms

    def __getattr__(self, name):
        if name not in _Arm.__dataclass_fields__:
            raise AttributeError(name)
        return np.concatenate([getattr(arm, name) for arm in self.arms], axis=1)

    def model(self, theta, by=(), rows=None):
        """Return flux and Jacobian at all pixels, of some stars."""
        parts = []
        for arm in self.arms:
            pixels, resolution = arm.pixels, arm.resolution
            if rows is not None:
                pixels = pixels[rows]
                resolution = resolution[rows]
            parts.append(self.forward.forward_and_jacobian(theta, pixels, resolution, by))
        return tuple(torch.cat(part, dim=1).double().numpy() for part in zip(*parts, strict=True))

    def split(self, values):
        """Return what belongs to each arm."""
        ends = np.cumsum([arm.flux.shape[1] for arm in self.arms])
        return np.split(values, ends[:-1], axis=1)

    def take(self, wanted):
        """Keep the wanted pixels (n, P) only, in as few columns as that takes."""
        arms = []
        for arm, mine in zip(self.arms, self.split(wanted), strict=True):
            columns = np.argsort(~mine, axis=1, kind="stable")[:, : max(1, mine.sum(1).max())]
            kept = arm.take(columns)
            weight = np.where(np.take_along_axis(mine, columns, axis=1), kept.weight, 0.0)
            arms.append(replace(kept, weight=weight))
        return _Sight(self.forward, arms)


@dataclass
class _Found:
    """What is found for the elements of one star; in the model's labels."""

    theta: np.ndarray  # all parameters
    covariance: np.ndarray  # of them
    limit: np.ndarray
    measured: np.ndarray
    flags: np.ndarray
    width: np.ndarray
    significance: np.ndarray
    n_lines: np.ndarray
    scatter: np.ndarray
    sensitivity: np.ndarray  # (n_elements, n_names)
    lines: np.ndarray  # (n_lines,) abundance of each
    lines_err: np.ndarray


class _Analysis:
    """The options, checked, and the stages of the analysis."""

    def __init__(
        self, model, elements, lines, stellar_lines, convention, solar_scale, confidence,
        detection, clip, options,
    ):  # fmt: skip
        if convention not in _CONVENTIONS:
            raise ValueError(f"convention={convention!r} is not one of {', '.join(_CONVENTIONS)}")
        if not 0.5 < confidence < 1:
            raise ValueError(f"confidence={confidence!r} has to be above 0.5 and below 1")
        if not detection > 0:
            raise ValueError(f"detection={detection!r} has to be positive")
        self.model, self.detection, self.clip = model, float(detection), clip
        self.z = float(norm.ppf(confidence))
        self.elements = (elements,) if isinstance(elements, str) else tuple(elements)
        labels = {label.element: i for i, label in enumerate(model.labels) if label.element}
        if unknown := [e for e in self.elements if e not in labels] or not self.elements:
            raise ValueError(
                f"elements: the model has no label of {unknown}; it has {', '.join(labels)}"
                if self.elements
                else "elements: none is given"
            )
        self.index = np.array([labels[e] for e in self.elements])
        self.lines = self._lines(lines)
        line_elements = np.asarray(self.lines.table["element"])
        self.of = np.array([line_elements == e for e in self.elements])  # (n_elements, n_lines)
        self.setup = FitSetup(model, **options)
        self.stellar = self.setup
        if stellar_lines is not None:
            if options.get("regions") is not None:
                raise ValueError("stellar_lines and regions say the same: choose one")
            region = stellar_lines.in_medium(options.get("medium") or model.medium).region()
            self.stellar = FitSetup(model, **{**options, "regions": region})
        if fixed := set(self._names(self.index)) & self.setup.fitter.fixed.keys():
            raise ValueError(f"{', '.join(sorted(fixed))}: fixed, so there is nothing to measure")
        self.wanted = tuple(convention.replace("X", e) for e in self.elements)
        self.convert = self._conversion(solar_scale)

    def _names(self, index):
        return [self.setup.names[i] for i in index]

    def _lines(self, lines):
        """Return the lines of the elements that the model's windows have."""
        if lines is None:
            known = LineList.sample().inside(self.model.wavelength, self.model.medium)
            lines = known[[e in self.elements for e in known.table["element"]]]
            for element, i in zip(self.elements, self.index, strict=True):
                if element not in lines.elements:
                    lines = lines + self._found_lines(self.model.labels.names[i])
        lines = lines[[e in self.elements for e in lines.table["element"]]]
        if missing := [e for e in self.elements if e not in lines.elements]:
            raise ValueError(
                f"lines: there is none of {', '.join(missing)}; leave the element out, or give "
                "lines with the column element"
            )
        return lines

    def _found_lines(self, label):
        space = self.model.labels
        middle = dict(zip(space.names, 0.5 * (space.minimum + space.maximum), strict=True))
        return find(self.model, label, at=middle)

    def _conversion(self, solar_scale):
        """Return a function from values and covariances of labels to those wanted."""
        names, own = self.model.labels.names, named_scale(self.model.solar_scale)
        if solar_scale is None:
            chain = [LabelConversion(names, self.wanted, own)]
        else:  # by way of what does not depend on the Sun
            absolute = (*(f"A_{e}" for e in self.elements if e != "Fe"), "A_Fe")
            chain = [
                LabelConversion(names, absolute, own),
                LabelConversion(absolute, self.wanted, named_scale(solar_scale)),
            ]

        def convert(values, covariance=None):
            for conversion in chain:
                if covariance is not None:
                    covariance = conversion.covariance(values, covariance)
                values = conversion(values)
            return values if covariance is None else (values, covariance)

        return convert

    # --- stages

    def fit(self, spectra):
        """Return the outcomes of the stellar labels, and what is found of the elements."""
        outcomes = self.stellar.fit(spectra, False)
        found, stars = [None] * len(spectra), {}
        for i, outcome in enumerate(outcomes):
            if not outcome.flags & Flag.BAD_INPUT:
                stars[i] = self.setup.star(spectra[i])

        def n_arms(i):
            return len(stars[i].wavelength)

        for _, group in itertools.groupby(sorted(stars, key=n_arms), n_arms):
            some = list(group)
            batch = _Batch(self, [stars[i] for i in some], [outcomes[i] for i in some])
            for i, one in zip(some, batch.found(), strict=True):
                found[i] = one
        return outcomes, found

    # --- the table

    def table(self, names, outcomes, found, per_line):
        """Return the table of stellar labels and abundances."""
        table = self.stellar.table(names, outcomes, False, False)
        if not outcomes:
            return table
        for name in self._names(self.index):
            table.remove_columns([name, f"{name}_err"])
        n_labels = len(self.model.labels)
        values, errors, limits = np.full((3, len(found), len(self.elements)), np.nan)
        for i, one in enumerate(found):
            if one is None:
                continue
            theta, covariance = one.theta, one.covariance.copy()
            unknown = np.isnan(outcomes[i].theta)  # and what depends on that is not known
            unknown[self.index] = False
            covariance[unknown] = covariance[:, unknown] = np.nan
            values[i], covariance = self.convert(theta[:n_labels], covariance[:n_labels, :n_labels])
            errors[i] = np.sqrt(np.diagonal(covariance))
            for k, index in enumerate(self.index):
                limited = theta.copy()
                limited[index] = one.limit[k]
                limits[i, k] = self.convert(limited[:n_labels])[k]
        values[np.isnan(errors)] = limits[np.isnan(errors)] = np.nan
        for k, (element, name) in enumerate(zip(self.elements, self.wanted, strict=True)):
            self._element_columns(
                table, k, element, name, values[:, k], errors[:, k], limits[:, k], found
            )
            if per_line:
                self._line_columns(table, k, element, found)
        moving = [i for i in range(len(self.setup.names)) if i not in set(self.index)]
        table.meta["by"] = self._names(moving)
        centres = self.lines.table["wavelength"].to_value(u.AA)
        for element, mine in zip(self.elements, self.of, strict=True):
            table.meta[f"{element}_lines"] = centres[mine].tolist()
        return table

    def _element_columns(self, table, k, element, name, value, error, limit, found):
        def column(attribute, rest=np.nan):
            return np.array([rest if f is None else getattr(f, attribute)[k] for f in found])

        measured = column("measured", False).astype(bool) & np.isfinite(value)
        for suffix, numbers, known in (
            ("", value, measured),
            ("_err", error, measured),
            ("_upper_limit", limit, ~measured & np.isfinite(limit)),
        ):
            table[name + suffix] = MaskedColumn(np.where(known, numbers, np.nan), mask=~known)
        width = column("width")
        table[f"{element}_ew"] = Masked(width * u.mAA, mask=~np.isfinite(width))
        for attribute in ("significance", "scatter"):
            numbers = column(attribute)
            table[f"{element}_{attribute}"] = MaskedColumn(numbers, mask=~np.isfinite(numbers))
        table[f"{element}_n_lines"] = column("n_lines", 0).astype(int)
        moving = [i for i in range(len(self.setup.names)) if i not in set(self.index)]
        nothing = np.full(len(moving), np.nan)
        table[f"{element}_sensitivity"] = np.array(
            [nothing if f is None else f.sensitivity[k, moving] for f in found]
        )
        table[f"{element}_flags"] = column("flags", ElementFlag.NO_STELLAR_LABELS).astype(int)

    def _line_columns(self, table, k, element, found):
        mine = self.of[k]
        for name, attribute in (("lines", "lines"), ("lines_err", "lines_err")):
            rows = [np.full(mine.sum(), np.nan) if f is None else getattr(f, attribute)[mine]
                    for f in found]  # fmt: skip
            table[f"{element}_{name}"] = MaskedColumn(rows, mask=~np.isfinite(rows))


class _Batch:
    """The abundances of some stars, whose stellar labels are known."""

    def __init__(self, analysis, stars, outcomes):
        self.analysis, self.stars, self.outcomes = analysis, stars, outcomes
        self.fitter = analysis.setup.fitter
        self.parameters = analysis.stellar.fitter.parameters
        space, index = analysis.model.labels, analysis.index
        self.index, self.of = index, analysis.of
        self.low, self.high = self.fitter.low[index], self.fitter.high[index]
        theta = np.array([outcome.theta for outcome in outcomes])
        middle = np.zeros(theta.shape[1])
        middle[: len(space)] = 0.5 * (space.minimum + space.maximum)
        self.theta = np.where(np.isnan(theta), middle, theta)  # the spectrum says little of those
        whole = _Sight(self.fitter.forward, self._arms())
        self._stellar_stage(whole)
        broadening = np.hypot.reduce(
            [*self.theta[:, -2:].T, np.broadcast_to(self._instrument(), len(stars))]
        )
        windows = analysis.lines.inside_windows(whole.rest, broadening[:, None])
        self.covered = self._coverage(windows, whole.weight > 0)
        whole_windows = windows & (whole.weight > 0)
        self.sight = whole.take(whole_windows.any(axis=0))
        self.windows = analysis.lines.inside_windows(self.sight.rest, broadening[:, None])
        self.windows &= self.sight.weight > 0
        self.windows &= self.covered[:, :, None]

    def _instrument(self):
        model = self.analysis.model
        widest = [
            min((np.min(r) for r in s.resolution if r is not None), default=None)
            for s in self.stars
        ]
        return [instrument_fwhm(r, model.resolution) for r in widest]

    @staticmethod
    def _coverage(windows, good):
        """Say of which lines enough pixels are usable: (n_lines, n)."""
        n = windows.sum(axis=2)
        return (windows & good).sum(axis=2) > _COVERED * np.maximum(n, 1)

    # --- pixels

    def _arms(self):
        forward, model = self.fitter.forward, self.analysis.model
        rv, vsini, vmac = self.theta[:, -len(VELOCITIES) :].T
        arms, widths = [], []
        for a in range(len(self.stars[0].wavelength)):
            n = max(len(star.wavelength[a]) for star in self.stars)
            wavelength, flux, sigma = (
                np.stack([np.pad(getattr(s, name)[a], (0, n - len(s.flux[a])), constant_values=rest)
                          for s in self.stars])
                for name, rest in (("wavelength", np.nan), ("flux", 0.0), ("sigma", np.inf))
            )  # fmt: skip
            fitted = np.stack(
                [np.pad(o.used[a], (0, n - len(o.used[a]))) for o in self.outcomes]
            ).astype(bool)
            resolution = resolution_of(self.stars, a, n)
            pixels = forward.pixels(wavelength, rv)
            good = np.isfinite(sigma) & forward.supported(pixels, vsini, vmac, resolution)
            beta = rv[:, None] / C_KMS
            rest = wavelength * np.sqrt((1 - beta) / (1 + beta))
            sigma = np.hypot(sigma, np.nan_to_num(model.error_at(rest)))
            sigma = np.where(sigma > 0, sigma, 1e-3)
            basis = np.zeros((*flux.shape, 0))
            if self.fitter.continuum is not None:
                laid = Continuum.over(pixels, fitted, self.fitter.continuum, len(forward.start))
                basis = laid.basis(pixels)
            widths.append(basis.shape[2])
            step = rest * pixel_width(rest)
            weight = np.where(good, 1 / sigma, 0.0)
            flux = np.nan_to_num(flux)
            arms.append(_Arm(pixels, resolution, rest, step, flux, weight, fitted & good, basis))
        for a, arm in enumerate(arms):  # each arm has its own continuum
            around = (sum(widths[:a]), sum(widths[a + 1 :]))
            arms[a] = replace(arm, basis=np.pad(arm.basis, ((0, 0), (0, 0), around)))
        return arms

    # --- the stellar labels, seen again

    def _stellar_stage(self, whole):
        """Find the continuum, and the covariance of it and all parameters."""
        n_names = self.theta.shape[1]
        flux, jacobian = whole.model(self.theta, range(n_names))
        weight = whole.weight * whole.fitted
        columns = whole.basis * (flux * weight)[..., None]
        normal = columns.mT @ columns
        normal += (
            1e-12 * np.eye(normal.shape[-1]) * np.trace(normal, axis1=1, axis2=2)[:, None, None]
        )
        normal += 1e-300 * np.eye(normal.shape[-1])
        right = columns.mT @ (whole.flux * weight)[..., None]
        self.coefficients = np.linalg.solve(normal, right)[..., 0]
        level = self._level(whole.basis)
        free = self.theta[:, self.parameters.index]
        chain = self.parameters.chain(free, self.theta)
        for row, outcome in zip(chain, self.outcomes, strict=True):
            for name in set(outcome.at_bound) & set(VELOCITIES):  # no derivative, no error
                row[:, self.parameters.free.index(name)] = 0
        k, m = len(self.parameters.free), whole.basis.shape[2]
        spread = np.zeros((len(chain), n_names + m, k + m))
        spread[:, :n_names, :k] = chain
        spread[:, n_names:, k:] = np.eye(m)
        design = np.concatenate([jacobian * level[..., None], whole.basis * flux[..., None]], 2)
        weighted = (design * weight[..., None]) @ spread
        covariance = _inverse(weighted.mT @ weighted + np.diag(self._prior(k + m)))
        self.covariance = spread @ covariance @ spread.mT
        whole.arms = [
            replace(arm, design=part)
            for arm, part in zip(whole.arms, whole.split(design), strict=True)
        ]

    def _prior(self, n):
        """Return inverse variances of what is known beforehand, as in the fit of the labels."""
        names, index = self.parameters.names, self.parameters.index
        is_label = index < len(names) - len(VELOCITIES)
        width = (self.fitter.high - self.fitter.low)[index]
        prior = np.where(is_label, 12 / width**2, _FARTHEST**-2) + self.parameters.prior()[1]
        return np.concatenate([prior, np.zeros(n - len(index))])

    def _level(self, basis):
        if not basis.shape[2]:
            return np.ones(basis.shape[:2])
        return (basis @ self.coefficients[..., None])[..., 0]

    @cached_property
    def level(self):
        """The continuum at the pixels of the windows."""
        return self._level(self.sight.basis)

    # --- the elements

    def _in_windows(self, k):
        """Say which pixels belong to an element: (n, K)."""
        return self.windows[self.of[k]].any(axis=0)

    def _solve(self):
        """Solve each element's normal equations in its windows, all of them together.

        Abundances are then the same as if one element after another had been fitted, again and
        again, until none changes: there is no order that they depend on.
        """
        inside = np.stack([self._in_windows(k) for k in range(len(self.index))], axis=1)
        weight2 = self.sight.weight**2
        order = np.argsort(self.index)
        by, back = self.index[order].tolist(), np.argsort(order)
        rows = np.arange(len(self.theta))
        self.converged = np.zeros((len(rows), len(self.index)), dtype=bool)
        longest, before = np.full(self.converged.shape, _LARGEST_STEP), np.zeros((1, 1))
        observed, level = self.sight.flux, self.level
        for _ in range(_ITERATIONS):
            flux, jacobian = self.sight.model(self.theta[rows], by, rows)
            jacobian = jacobian[..., back] * level[rows][..., None]
            residual = observed[rows] - flux * level[rows]
            weighted = inside[rows] * (jacobian * weight2[rows][..., None]).mT
            matrix = weighted @ jacobian
            matrix += np.diag(1e-6 * 12 / (self.high - self.low) ** 2)  # of absent lines, too
            gradient = (weighted @ residual[..., None])[..., 0]
            value = self.theta[np.ix_(rows, self.index)]
            step = _bounded_step(
                matrix,
                gradient,
                np.maximum(self.low - value, -longest),
                np.minimum(self.high - value, longest),
            )
            self.theta[np.ix_(rows, self.index)] = value + step
            error = np.diagonal(matrix, axis1=1, axis2=2) ** -0.5
            small = np.abs(step) < np.maximum(_CONVERGED * error, 1e-5)
            self.converged[rows] = small
            # Where a line is about to vanish, steps go to and fro.
            longest = np.where(step * before < 0, 0.5 * np.abs(step), longest)
            going = ~small.all(axis=1)
            rows, longest, before = rows[going], longest[going], step[going]
            if not len(rows):
                break

    def _state(self):
        """Evaluate everything at the solution, once."""
        n_names = self.theta.shape[1]
        flux, jacobian = self.sight.model(self.theta, range(n_names))
        self.flux = flux * self.level
        self.columns = np.concatenate(
            [jacobian * self.level[..., None], self.sight.basis * flux[..., None]], axis=2
        )
        self.residual = self.sight.flux - self.flux

    def _propagate(self):
        """Return covariances of all parameters, and sensitivities of the elements.

        An abundance's error is what the noise in its windows does, and what the errors of all
        that is not an element do to it through the model; the stellar labels were measured on
        the same noise, which the middle terms take into account.
        """
        n_names, index = self.theta.shape[1], self.index
        weight2 = self.sight.weight**2
        inside = np.stack([self._in_windows(k) for k in range(len(index))], axis=1)
        own = self.columns[..., index]
        weighted = inside * (own * weight2[..., None]).mT
        matrix = weighted @ own + np.diag(12 / (self.high - self.low) ** 2)
        other = np.delete(np.arange(self.columns.shape[2]), index)
        by_other = weighted @ self.columns[..., other]
        shared = (weighted * self.sight.fitted[:, None]) @ self.sight.design
        noise = weighted @ (inside * own.mT).mT
        with_other = shared @ self.covariance[:, :, other]
        middle = by_other @ with_other.mT
        inner = noise - middle - middle.mT + (
            by_other @ self.covariance[:, other][:, :, other] @ by_other.mT)  # fmt: skip
        inverse = np.linalg.inv(matrix)
        covariance = self.covariance.copy()
        cross = inverse @ (with_other - by_other @ self.covariance[:, other][:, :, other])
        covariance[:, index[:, None], index] = inverse @ inner @ inverse.mT
        covariance[:, index[:, None], other] = cross
        covariance[:, other[:, None], index] = cross.mT
        sensitivity = np.zeros((len(matrix), len(index), self.columns.shape[2]))
        sensitivity[..., other] = -inverse @ by_other
        return covariance[:, :n_names, :n_names], sensitivity[..., :n_names]

    def _by_line(self):
        """Return each line's abundance and its error, (n, n_lines) each, to first order."""
        weight2 = self.sight.weight**2
        element = self.of.argmax(axis=0)
        values, errors = np.full((2, len(self.theta), len(element)), np.nan)
        for line, k in enumerate(element):
            own = self.columns[..., self.index[k]]
            mine = self.windows[line] * weight2
            information = (mine * own**2).sum(axis=1)
            gradient = (mine * own * self.residual).sum(axis=1)
            good = information > 0
            step = gradient[good] / information[good]
            values[good, line] = self.theta[good, self.index[k]] + step
            errors[good, line] = information[good] ** -0.5
        return values, errors

    def _discrepant(self, values, errors):
        """Say which lines disagree with all lines of the element: (n, n_lines)."""
        wrong = np.zeros(values.shape, dtype=bool)
        for k, mine in enumerate(self.of):
            total = np.nansum(errors[:, mine] ** -2.0, axis=1)[:, None]
            with np.errstate(divide="ignore"):
                variance = np.maximum(errors[:, mine] ** 2 - 1 / total, 0.1 * errors[:, mine] ** 2)
            away = np.abs(values[:, mine] - self.theta[:, self.index[k], None])
            wrong[:, mine] = away > _DISCREPANT * np.sqrt(variance)
        return wrong

    def found(self):
        """Return what is found for each star."""
        self._solve()
        self._state()
        values, errors = self._by_line()
        wrong = self._discrepant(values, errors)
        if self.analysis.clip and wrong.any():
            self.windows &= ~wrong.T[..., None]
            self._solve()
            self._state()
            values, errors = self._by_line()
            values[wrong] = errors[wrong] = np.nan
        covariance, sensitivity = self._propagate()
        strength = [_Strength(self, k) for k in range(len(self.index))]
        shape = len(self.theta), len(self.index)
        limit, significance, width, scatter = np.full((4, *shape), np.nan)
        measured, flags = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=int)
        n_lines = np.zeros(shape, dtype=int)
        for k, mine in enumerate(self.of):
            n_lines[:, k] = np.isfinite(values[:, mine]).sum(axis=1)
            some = n_lines[:, k] > 0
            flags[~some, k] |= ElementFlag.NO_LINES
            scatter[:, k] = _scatter(values[:, mine], errors[:, mine])
            significance[:, k], width[:, k] = strength[k].of_solution()
            value = self.theta[:, self.index[k]]
            slack = 1e-6 * (self.high[k] - self.low[k])
            below, above = value <= self.low[k] + slack, value >= self.high[k] - slack
            detected = some & (significance[:, k] >= self.analysis.detection)
            measured[:, k] = detected & ~below & ~above
            flags[detected & below, k] |= ElementFlag.BELOW_RANGE
            flags[detected & above, k] |= ElementFlag.ABOVE_RANGE
            rows = np.flatnonzero(some & ~measured[:, k])
            limit[rows, k], more = strength[k].limit(rows, self.analysis.z)
            # How strong lines go on below the model's range is not known.
            lost = detected[rows] & (limit[rows, k] < self.low[k])
            limit[rows[lost], k], more[lost] = np.nan, ElementFlag.BELOW_RANGE
            flags[rows, k] |= more
            flags[measured[:, k] & ~self.converged[:, k], k] |= ElementFlag.NOT_CONVERGED
            flags[measured[:, k] & wrong[:, mine].any(axis=1), k] |= ElementFlag.DISCREPANT_LINES
        return [
            _Found(*row)
            for row in zip(
                self.theta, covariance, limit, measured, flags, width, significance, n_lines,
                scatter, sensitivity, values, errors, strict=True,
            )
        ]  # fmt: skip


class _Strength:
    """How strong the lines of one element are, whatever the errors of all else do to them.

    The model does not go down to no element at all. Where a line is weak, its strength grows as
    the number of atoms, tenfold a dex; so that the flux without the element is that of the lowest
    abundance the model knows, minus its derivative over ln 10.
    """

    def __init__(self, batch, k):
        self.batch, self.index = batch, int(batch.index[k])
        self.low, self.high = batch.low[k], batch.high[k]
        sight = batch.sight
        self.weight2 = sight.weight**2 * batch._in_windows(k)
        lowest = batch.theta.copy()
        lowest[:, self.index] = self.low
        flux, slope = sight.model(lowest, [self.index])
        self.without = (flux - slope[..., 0] / np.log(10)) * batch.level
        self.residual = sight.flux - self.without
        other = np.delete(np.arange(batch.columns.shape[2]), self.index)
        root = _root(batch.covariance[:, other][:, :, other])
        self.nuisance = batch.columns[..., other] @ root
        weighted = self.nuisance * self.weight2[..., None]
        self.inner = np.eye(root.shape[2]) + weighted.mT @ self.nuisance

    def _product(self, one, other, rows):
        """Return products of two spectra (n, K) over the noise and all else's errors."""
        weighted = self.nuisance[rows].mT @ (
            np.stack([one, other], axis=2) * self.weight2[rows][..., None])  # fmt: skip
        taken = weighted[..., :1].mT @ np.linalg.solve(self.inner[rows], weighted[..., 1:])
        return (one * other * self.weight2[rows]).sum(axis=1) - taken[:, 0, 0]

    def _amplitude(self, flux, rows):
        """Return how much of a line is seen, relative to a model's, and the error of that."""
        line = flux - self.without[rows]
        size = np.maximum(self._product(line, line, rows), 1e-300)
        return self._product(line, self.residual[rows], rows) / size, size**-0.5

    def of_solution(self):
        """Return the significance of the line, and its equivalent width in mÅ."""
        batch = self.batch
        rows = np.arange(len(batch.theta))
        amplitude, error = self._amplitude(batch.flux, rows)
        used = self.weight2 > 0
        depth = np.where(used, self.without - batch.flux, 0) / np.where(used, batch.level, 1)
        width = 1e3 * (depth * np.where(used, batch.sight.step, 0)).sum(axis=1)
        return amplitude / error, width

    def _excess(self, value, rows):
        """Return by how many standard deviations a line is weaker than at an abundance."""
        batch = self.batch
        theta = batch.theta[rows]
        theta[:, self.index] = value
        flux = batch.sight.model(theta, (), rows)[0] * batch.level[rows]
        amplitude, error = self._amplitude(flux, rows)
        return (1 - amplitude) / error, amplitude, error

    def limit(self, rows, z):
        """Return upper limits of some stars, NaN where there is none, and their flags."""
        limit, flags = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=int)
        if not len(rows):
            return limit, flags
        low, high = (np.full(len(rows), value) for value in (self.low, self.high))
        at_low, amplitude, error = self._excess(low, rows)
        at_high = self._excess(high, rows)[0]
        under, over = at_low > z, at_high < z
        flags[under] |= ElementFlag.BELOW_RANGE
        flags[over] |= ElementFlag.ABOVE_RANGE
        strength = amplitude + z * error  # relative to the lowest abundance's
        some = under & (strength > 0)
        limit[some] = self.low + np.log10(strength[some])
        inside = np.flatnonzero(~under & ~over)
        low, high = low[inside], high[inside]
        for _ in range(_BISECTIONS if len(inside) else 0):
            middle = 0.5 * (low + high)
            less = self._excess(middle, rows[inside])[0] < z
            low, high = np.where(less, middle, low), np.where(less, high, middle)
        limit[inside] = 0.5 * (low + high)
        flags[np.isfinite(limit)] |= ElementFlag.UPPER_LIMIT
        return limit, flags


def _bounded_step(matrix, gradient, low, high):
    """Return the step of the normal equations between limits; the other elements follow suit."""
    step, held = np.zeros(low.shape), np.zeros(low.shape, dtype=bool)
    for _ in range(low.shape[1] + 1):
        free = (~held).astype(float)
        reduced = (
            matrix * free[:, :, None] * free[:, None] + np.eye(matrix.shape[-1]) * held[:, :, None]
        )
        right = np.where(held, step, gradient - (matrix @ (step * held)[..., None])[..., 0])
        wanted = np.linalg.solve(reduced, right[..., None])[..., 0]
        step = np.clip(wanted, low, high)
        beyond = (step != wanted) & ~held
        if not beyond.any():
            break
        held |= beyond
    return step


def _scatter(values, errors):
    """Return the weighted standard deviation of lines, NaN of less than two."""
    weight = np.nan_to_num(errors**-2.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    values = np.nan_to_num(values)
    mean = (weight * values).sum(axis=1) / total
    n = (weight > 0).sum(axis=1)
    variance = (weight * (values - mean[:, None]) ** 2).sum(axis=1) / total
    return np.where(n > 1, np.sqrt(variance * n / np.maximum(n - 1, 1)), np.nan)


def _inverse(matrix):
    """Return inverses of symmetric matrices, scaled first."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    scaled = matrix / scale[:, :, None] / scale[:, None]
    return np.linalg.pinv(scaled, rcond=1e-10, hermitian=True) / scale[:, :, None] / scale[:, None]


def _root(matrix):
    """Return a root R of covariances, R Rᵀ = C, which may be singular."""
    scale = np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    size, vectors = np.linalg.eigh(matrix / scale[:, :, None] / scale[:, None])
    return scale[:, :, None] * vectors * np.sqrt(np.maximum(size, 0))[:, None]
