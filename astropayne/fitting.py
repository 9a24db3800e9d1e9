# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fitting observed spectra: `fit_spectrum` for one star, `fit_spectra` for many."""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import torch
from astropy.table import QTable
from tqdm.auto import tqdm

from astropayne.abundances import solar_scale
from astropayne.batch import BatchFitter, Flag
from astropayne.broadening import instrument_fwhm, is_reachable
from astropayne.conversion import KnownLabels, same_label
from astropayne.forward import FASTEST, VELOCITIES
from astropayne.labels import Label, one_value, parse_label, strip_unit, unknown_label_message
from astropayne.likelihood import Parameters
from astropayne.model import require_model
from astropayne.network import one_thread, pick_device, without_gradients
from astropayne.search import templates_of
from astropayne.stars import StarReader, filled
from astropayne.wavelengths import (
    checked_velocity,
    inside_regions,
    pixel_width,
    resolution_at,
)

__all__ = ["FitResult", "Flag", "Interrupted", "fit_spectra", "fit_spectrum"]

_KMS = u.km / u.s
# km/s. At zero itself, derivatives by the widths vanish, and nothing could leave it.
_RANGE = {"rv": (-60.0, 60.0), **{name: (0.01, most) for name, most in FASTEST.items()}}
_SCALE = {"rv": 1.0, "vsini": 5.0, "vmac": 5.0}  # km/s, typical changes
_HOLE = 8.0  # distance from training spectra, as `PayneModel.coverage` has it, of a hole
_LIMITED = 0.3  # of the noise; with an emulator's error of that size, errors are a fifth too small
_STARS_AT_ONCE, _PIXELS_AT_ONCE = 128, 1 << 20


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while many spectra are measured; ``table`` is that of those before, perhaps empty."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def __reduce__(self):  # it goes from one process to another
        return type(self), (self.table,)


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
        """Draw the spectrum, its fit and the residuals, as `~astropayne.plotting.plot_fit`."""
        from astropayne.plotting import plot_fit

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


def fit_spectrum(
    observed,
    model,
    *,
    resolution=None,
    fixed=None,
    free=(),
    start=None,
    tied=None,
    bounds=None,
    priors=None,
    continuum=None,
    regions=None,
    exclude=None,
    exclude_at_rest=None,
    medium=None,
    noise_floor=0.0,
    loss="linear",
    report=(),
    systematic=None,
    limb_darkening=0.6,
    macroturbulence="joint",
    device="cpu",
):
    """Fit one observed star.

    The velocity is found by cross-correlation over ±1000 km/s and the labels are started from
    several points of their range; nothing has to be guessed. Pixels whose model would depend on
    wavelengths beyond the model's windows are left out.

    Parameters
    ----------
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        Any spectral unit, class of uncertainty and mask. A list is several orders, arms or
        epochs of one star, which are fitted together; they may overlap.
    model : `~astropayne.PayneModel`
    resolution : float, array_like, callable, or sequence of these, optional
        λ/FWHM of the spectrum, or a sequence of those of each of a list; by default its
        ``meta["resolution"]``, and without that the model's own. Where it varies, an array with a
        value a pixel, or a function of the spectral axis; any value will do for bad pixels, and
        for those far from the model's windows.
    fixed : mapping of str to value, optional
        Labels or velocities that are known, labels in any convention: with ``{"[Mg/H]": 0.1}``,
        [Mg/Fe] follows from [Fe/H]. The macroturbulence ``vmac`` is fixed at 0 unless it
        is given here or in ``free``: at usual resolutions it cannot be told from rotation.
    free : sequence of str, optional
        What to fit although it is fixed by default: ``("vmac",)``.
    start : mapping of str to value, optional
        Where to start, labels in any convention, instead of the search; a velocity is looked for
        within 100 km/s.
    tied : mapping of str to callable, optional
        Labels or velocities that follow from the others: a function of a mapping of all names to
        arrays, in their own units: ``{"Ca_Fe": lambda star: star["Mg_Fe"]}``. They may follow from
        tied ones, but not in a circle.
    bounds : mapping of str to (low, high), optional
        Narrower ranges than the model's. Labels in another convention need the others that go
        into it to be fixed: A(Mg) needs [Fe/H].
    priors : mapping of str to (mean, sigma), optional
        Gaussian priors, of labels as in ``bounds``.
    continuum : int, array_like or callable, or a list of the last two, optional
        Degree of a Chebyshev polynomial in each window that multiplies the model, 50 at most; or
        what multiplies it, a value a pixel; or a function that gives these of a spectrum, such as
        ``lambda s: fit_generic_continuum(s)(s.spectral_axis)``; a list of continua goes with a
        list of arms. By default the spectrum is taken to be normalised, and has to be about one.
    regions, exclude : `~specutils.SpectralRegion`, optional
        Use only these parts of the spectrum; leave these out. They are where they are observed,
        whatever the star's velocity; windows of lines move with it in
        `~astropayne.fit_abundances`, as ``stellar_lines``.
    exclude_at_rest : `~specutils.SpectralRegion`, optional
        Leave out these parts of the star's spectrum, wherever its velocity moves them, in the
        model's medium: ``model.untrusted`` are those where the model is known to be wrong.
    medium : {"air", "vacuum"}, optional
        What the spectrum's wavelengths are measured in; by default its ``meta["medium"]``, and
        without that the model's.
    noise_floor : float
        Error added to that of every pixel in quadrature, a fraction of the flux around it.
    loss : {"linear", "huber"}
        "huber" counts what is more than three standard deviations away by its size, not its
        square: cosmic rays and wrong lines pull less.
    report : sequence of str, optional
        More labels to give, in any convention that transforms reach from the model's: with errors
        from the covariance, ``("A(Mg)", "[Ca/H]")``.
    systematic : mapping of str to value, optional
        What the method's own errors are, from comparisons with well-known stars:
        ``{"teff": 50 * u.K}``; by default the model's ``meta["systematic"]``. They are given
        apart, and never go into errors.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        What ``vmac`` is: ζ, over the disc together with rotation; ζ of a kernel apart from that of
        rotation; or the full width at half maximum of that kernel, as in TSFitPy and one_payne.
    device : str
        Where to compute: "cpu", "cuda", "auto"…

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If an option makes no sense, or the spectrum has no pixel that can be used.
    TypeError
        If the model, the spectrum or an option is of a wrong kind.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import PayneModel, fit_spectrum
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.0, feh=-0.5, vmic=1.2, rv=20 * u.km / u.s, vsini=5)
    >>> result = fit_spectrum(star, model)
    >>> print(f"{result.labels['teff']:.0f}, {result.labels['rv']:.1f}")
    5600 K, 20.0 km / s
    """
    given = {name: value for name, value in locals().items() if name not in ("observed", "model")}
    setup = FitSetup(model, **given)
    with without_gradients(), one_thread():
        return setup.result(observed, setup.fit_one(observed)[1])


def fit_spectra(spectra, model, *, progress=None, covariances=False, models=False, **options):
    """Fit many observed stars, in batches.

    Parameters
    ----------
    spectra : iterable of `~specutils.Spectrum` or `~specutils.SpectrumList`
        A list, a `~specutils.SpectrumCollection`, a generator, or a `~specutils.Spectrum` with
        flux of shape (n_spectra, n_pixels). Each has its own pixels. A
        `~specutils.SpectrumList` inside is one star in several arms; on its own it is many stars.
    model : `~astropayne.PayneModel`
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    covariances : bool
        Whether to add a column ``covariance``, whose axes ``meta["free"]`` names.
    models : bool
        Whether to add a column ``best_fit``: the model at the star's pixels, arms one after
        another, filled up with NaN to the longest.
    **options
        As in `fit_spectrum`.

    Returns
    -------
    `~astropy.table.QTable`
        A row a spectrum, in their order: ``name`` (its ``meta["name"]``, in that of a collection a
        list of them, or its number), labels and velocities with their errors (``teff_err``;
        ``teff_sys`` where ``systematic`` has it), χ², degrees of freedom, flags, ``at_bound``,
        ``low_information``, ``vsini_limit``, iterations and message. A spectrum that cannot be
        fitted has a row of NaN, the flag ``BAD_INPUT``, and its reason in ``message``.

    Raises
    ------
    TypeError, ValueError
        If the model or an option makes no sense, or there is something else in place of spectra,
        such as the name of a file.
    Interrupted
        If Ctrl-C ends it: a `KeyboardInterrupt` with the ``table`` of the spectra before, which are
        fitted some hundred at a time.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_spectra
    >>> model = PayneModel.sample()
    >>> stars = [model(teff=t, logg=4.4, feh=0.0, vmic=1.0, vsini=4) for t in (5400, 5900)]
    >>> table = fit_spectra(stars, model)
    >>> print(table["teff"].round(), table["flags"])
    [5400. 5900.] K  flags
    -----
        4
        4
    """
    if getattr(getattr(spectra, "flux", None), "ndim", 2) == 1:
        raise ValueError("this is one spectrum: use fit_spectrum, or give a list of it")
    setup = FitSetup(model, **options)
    return measure_all(
        spectra,
        lambda some: setup.fit(some, models),
        lambda names, outcomes: setup.table(names, outcomes, covariances, models),
        "fitting",
        progress,
    )


def measure_all(spectra, measure, table, what, progress):
    """Measure spectra, some at a time, and return the table of them.

    Parameters
    ----------
    spectra : iterable
    measure : callable
        Returns what it finds of each of some spectra.
    table : callable
        Makes the table, of the names of spectra and what is found of them.
    what : str
        Is written beside the progress bar.
    progress : bool or None

    Raises
    ------
    Interrupted
        If it is interrupted.
    TypeError
        If there is something else in place of spectra.
    """
    if isinstance(spectra, str | bytes | Mapping) or not np.iterable(spectra):
        raise TypeError(
            f"spectra is {repr(spectra)[:60]}: it has to be a list of specutils Spectrum, each of "
            "which read_spectrum makes of a file"
        )
    total = len(spectra) if hasattr(spectra, "__len__") else None
    bar = tqdm(total=total, desc=what, disable=None if progress is None else not progress)
    names, found = [], []
    try:
        with bar, without_gradients(), one_thread():
            for some in _take_chunks(iter(spectra)):
                found += measure(some)
                names += [spectrum_name(one, len(names) + i) for i, one in enumerate(some)]
                bar.update(len(some))
    except KeyboardInterrupt:
        raise Interrupted(table(names, found[: len(names)])) from None
    return table(names, found)


def _take_chunks(spectra):
    """Yield lists of spectra: until there are enough of them, or of their pixels, in each."""
    some, n_pixels = [], 0
    for spectrum in spectra:
        some.append(spectrum)
        parts = spectrum if isinstance(spectrum, list) else [spectrum]
        n_pixels += sum(np.size(getattr(part, "flux", 0)) for part in parts)
        if len(some) >= _STARS_AT_ONCE or n_pixels >= _PIXELS_AT_ONCE:
            yield some
            some, n_pixels = [], 0
    if some:
        yield some


def spectrum_name(spectrum, i):
    """Return what a spectrum, or the first of a list, says its name is; its number by default."""
    parts = spectrum if isinstance(spectrum, list) else [spectrum]
    name = getattr(next(iter(parts), None), "meta", {}).get("name")
    if np.ndim(name) and i < len(name):  # each spectrum of a collection has the metadata of all
        name = name[i]
    return str(i if name is None else name)


class FitSetup:
    """The options, checked, and what goes between spectra with units and arrays."""

    def __init__(
        self,
        model,
        *,
        resolution=None,
        fixed=None,
        free=(),
        start=None,
        tied=None,
        bounds=None,
        priors=None,
        continuum=None,
        regions=None,
        exclude=None,
        exclude_at_rest=None,
        medium=None,
        noise_floor=0.0,
        loss="linear",
        report=(),
        systematic=None,
        limb_darkening=0.6,
        macroturbulence="joint",
        device="cpu",
    ):
        require_model(model)
        if loss not in ("linear", "huber"):
            raise ValueError(f"loss={loss!r} is not one of linear, huber")
        self.model, self.names = model, (*model.labels.names, *VELOCITIES)
        self.report = self._reported(report)
        self.reader = StarReader(
            model, resolution, continuum, regions, exclude, medium, noise_floor
        )
        fixed, start, tied, known = self._given(fixed, free, start, tied)
        parameters = self._parameters(
            fixed, tied, self._pairs(priors, "priors", known.say_gaussian)
        )
        low, high = self._bounds(self._pairs(bounds, "bounds", known.say_range))
        self.systematic = self._systematic(systematic)
        forward = model.forward_model(
            limb_darkening=limb_darkening, macroturbulence=macroturbulence,
            dtype=torch.float32, device=pick_device(device),
        )  # fmt: skip
        templates = functools.partial(
            templates_of,
            forward, model.labels, solar_scale(model.solar_scale), {**start, **fixed},
            self._lowest(resolution),
        )  # fmt: skip
        untrusted = np.zeros(len(model.wavelength), dtype=bool)
        if exclude_at_rest is not None:
            untrusted = inside_regions(model.wavelength, exclude_at_rest, model.medium)
        self.fitter = BatchFitter(
            forward, parameters, templates, low, high, fixed, start, self.reader.degree, loss,
            **_emulator_error(model), untrusted=untrusted,
        )  # fmt: skip

    # --- options

    def _reported(self, names):
        """Return the conversion to labels beside the model's own, or None."""
        names = [parse_label(name) for name in ([names] if isinstance(names, str) else names)]
        names = [name for name in names if name not in self.model.labels.names]
        return self.model.conversion(names) if names else None

    def _given(self, fixed, free, start, tied):
        """Say in the model's own labels what is fixed, tied, and where the others start."""
        fixed = self._values(fixed, "fixed")
        tied = {
            self._known(name, "tied"): _function(function, name)
            for name, function in _mapping(tied, "tied").items()
        }
        free = {self._known(name, "free") for name in ([free] if isinstance(free, str) else free)}
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
        given = _mapping(given, what)
        names = [self._said(name, what) for name in given]
        return {n: self._value(n, v, what) for n, v in zip(names, given.values(), strict=True)}

    def _systematic(self, given):
        """Return systematic errors by name, with their units."""
        given = self.model.meta.get("systematic") if given is None else given
        units, found = self.units(), {}
        for name, value in _mapping(given, "systematic").items():
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
        for name, pair in _mapping(given, what).items():
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
            found = self.fitter.fit(these, best_fits=best_fits)
            for i, outcome in zip(some, self.judged(these, found), strict=True):
                outcomes[i] = outcome
        return outcomes

    def fit_one(self, spectrum):
        """Fit one star, and return it and its outcome; what is wrong with it is an error."""
        star = self.reader.star(spectrum)
        (outcome,) = self.judged([star], self.fitter.fit([star], best_fits=True))
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
                outcomes[i].flags |= flag
        return outcomes

    def _emulator_over_noise(self, stars, outcomes, values):
        """Return the emulator's rms error over the noise, of pixels as wide as the model's: (n,).

        Zero where either is not known.
        """
        if self.model.error is None:
            return np.zeros(len(stars))
        values = np.where(np.isfinite(values), values, self.model.labels.middle)
        scale = self.model.error_scale_at(values)
        error = scale * np.sqrt(np.mean(self.model.error**2))
        width = pixel_width(self.model.vacuum_wavelength[None]).mean()
        return error * [
            np.sqrt(width * _information(*pair)) for pair in zip(stars, outcomes, strict=True)
        ]

    # --- arrays to results

    def units(self):
        """Return the units of results by name, `None` for plain numbers."""
        more = self.report.wanted if self.report else ()
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
            used=outcome.used if several else outcome.used[0],
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
    known = {
        "error": model.error, "scale": model.error_scale_at, "shift": model.error_shift_at,
    }  # fmt: skip
    if model.error_components is None:  # of a network from elsewhere
        return {**known, "rest": None, "modes": None}
    modes = np.vstack([model.error_components, model.bias])
    return {**known, "rest": model.error_rest, "modes": modes}


def own_name(name):
    """Return the package's name of a label, in any spelling, or of a velocity."""
    return name if name in VELOCITIES else parse_label(name)


def _mapping(given, what):
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} has to be a mapping of names to values, got {given!r}")
    return given


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


def _function(given, name):
    if not callable(given):
        raise TypeError(
            f"tied: {name} has to be a function of a mapping of names to arrays, such as "
            f'lambda star: star["Mg_Fe"]; got {given!r}'
        )
    return given
