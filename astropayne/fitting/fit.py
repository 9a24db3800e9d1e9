# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fitting observed spectra: `fit_spectrum` for one star, `fit_spectra` for many."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from astropy.table import QTable

from astropayne.fitting.batches import measure_all
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.fitting.results import FitResult, result_of
from astropayne.fitting.setup import FitSetup
from astropayne.models.model import PayneModel
from astropayne.utils.torch_state import one_thread, without_gradients

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["fit_spectra", "fit_spectrum"]


@takes_fit_options
def fit_spectrum(
    observed: "Spectrum | SpectrumList",
    model: PayneModel,
    *,
    options: FitOptions | None = None,
    **keywords: Any,
) -> FitResult:
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
    options : FitOptions, optional
        Options to start from; the keywords that follow change them.
    resolution : float, array_like, callable, or sequence of these, optional
        λ/FWHM of the spectrum, or a sequence of those of each of a list; by default its
        ``meta["resolution"]``, and without that estimated from the widths of its lines.
        Spectra that are sharper than the model are smoothed. Where it varies, an array with a
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
    continuum : "auto", int, array_like or callable, or a list of the last two, or None
        "auto" fits polynomials of the degree that has the highest evidence. Otherwise the
        degree of a Chebyshev polynomial in each window that multiplies the model, 50 at
        most; or
        what multiplies it, a value a pixel; or a function that gives these of a spectrum, such as
        ``lambda s: fit_generic_continuum(s)(s.spectral_axis)``; a list of continua goes with a
        list of arms; `None` for a continuum of exactly one.
    inadequacy : "auto", float or None
        Errors of the model's lines, as a part of their depth, correlated over a resolution
        element. "auto" estimates them for each star by maximum likelihood; `None` stands for
        lines that are exact.
    regions, exclude : `~specutils.SpectralRegion`, optional
        Use only these parts of the spectrum; leave these out. They are where they are observed,
        whatever the star's velocity; windows of lines move with it in
        `~astropayne.fit_abundances`, as ``stellar_lines``.
    exclude_at_rest : `~specutils.SpectralRegion`, "auto" or None
        Leave out these parts of the star's spectrum, wherever its velocity moves them, in the
        model's medium: "auto" stands for ``model.untrusted``, where the model is known to be wrong.
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
    setup = FitSetup.of(model, FitOptions.from_call(fit_spectrum, options, keywords))
    with without_gradients(), one_thread():
        prepared, _, outcome = setup.fit_one(observed)
    return result_of(setup.report, prepared, outcome)


@takes_fit_options
def fit_spectra(
    spectra: "Iterable[Spectrum | SpectrumList]",
    model: PayneModel,
    *,
    progress: bool | None = None,
    covariances: bool = False,
    models: bool = False,
    options: FitOptions | None = None,
    **keywords: Any,
) -> QTable:
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
    options : FitOptions, optional
        Options to start from; the keywords change them.
    **keywords
        Options of the fit, as in `fit_spectrum`.

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
    setup = FitSetup.of(model, FitOptions.from_call(fit_spectra, options, keywords))
    return measure_all(
        spectra,
        partial(setup.fit, best_fits=models),
        partial(setup.report.table, covariances=covariances, models=models),
        "fitting",
        progress,
    )
