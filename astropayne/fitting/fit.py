# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fitting observed spectra: `fit_spectrum` for one star, `fit_spectra` for many."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from astropy.table import QTable

from astropayne.fitting.batches import measure_all
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.fitting.per_star import PerStar
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

    The velocity is searched between −1000 and 1000 km/s, and initial labels are estimated from the
    spectrum, so that no initial guess is needed. Pixels for which the model depends on wavelengths
    beyond its windows are excluded.

    Parameters
    ----------
    observed : `~specutils.Spectrum` or `~specutils.SpectrumList`
        Any spectral unit, class of uncertainty and mask. A list contains orders, arms or epochs
        of one star, which are fitted together and may overlap.
    model : `~astropayne.PayneModel`
    options : FitOptions, optional
        Options, which the following keywords override.
    resolution : float, array_like, callable, or sequence of these, optional
        λ/FWHM of the spectrum, or a sequence with a value for each spectrum of a list. The
        default is ``meta["resolution"]``; if it is missing, the resolution is estimated from the
        widths of lines. A varying resolution is an array with a value for each pixel or a function
        of the spectral axis. Its values at bad pixels and far from the windows of the model are
        not used. Spectra of higher resolution than the model are smoothed.
    resolution_error : float
        Relative uncertainty of the resolution, one standard deviation. It is marginalized, and
        limits how well rotation is measured. Zero stands for a resolution that is exact.
    fixed : mapping of str to value, optional
        Known labels, in any convention, or velocities. With ``{"[Mg/H]": 0.1}``, [Mg/Fe] follows
        from [Fe/H]. The macroturbulence ``vmac`` is fixed at 0 unless it is given here or in
        ``free``, because it can rarely be distinguished from rotation.
    free : sequence of str, optional
        Parameters to fit that are fixed by default: ``("vmac",)``.
    start : mapping of str to value, optional
        Initial values instead of those of the search; labels in any convention. The velocity is
        searched within 100 km/s of its initial value.
    tied : mapping of str to callable, optional
        Labels or velocities that are functions of the others: ``{"Ca_Fe": lambda star:
        star["Mg_Fe"]}``. A function receives a mapping of all names to arrays in their own units.
        It may use other tied parameters, but not in a circle.
    bounds : mapping of str to (low, high), optional
        Narrower ranges than those of the model. A label in another convention requires that the
        other labels in its conversion are fixed: [Fe/H] for A(Mg).
    priors : mapping of str to (mean, sigma), optional
        Gaussian priors; labels as in ``bounds``.
    continuum : "auto", int, array_like or callable, or a list of the last two, or None
        Factor that multiplies the model: the degree, at most 50, of a Chebyshev polynomial in each
        window; an array with a value for each pixel; or a function that returns one for a
        spectrum, such as ``lambda s: fit_generic_continuum(s)(s.spectral_axis)``. A list contains
        the continua of several arms. "auto" selects the degree with the highest evidence. `None`
        is a continuum of exactly one.
    inadequacy : "auto", float or None
        Errors of the model's lines, as a fraction of their depth, correlated over a resolution
        element. "auto" estimates them for each star by maximum likelihood; `None` assumes that
        lines are exact.
    regions, exclude : `~specutils.SpectralRegion`, optional
        Parts of the spectrum, in the observed frame, to use or to exclude. The windows of
        ``stellar_lines`` in `~astropayne.fit_abundances` move with the star.
    exclude_at_rest : `~specutils.SpectralRegion`, "auto" or None
        Parts to exclude in the frame of the star and in the medium of the model. "auto" excludes
        ``model.untrusted``, where the model is known to be wrong, for stars whose lines differ from
        those of the model and are not corrected by its calibration.
    medium : {"air", "vacuum"}, optional
        Medium of the wavelengths. The default is ``meta["medium"]`` of the spectrum; if it is
        missing, the medium of the model.
    noise_floor : float
        Error that is added in quadrature to that of every pixel, as a fraction of the flux
        around it.
    loss : {"linear", "huber"}
        "huber" reduces the weight of pixels more than three standard deviations from the model,
        such as cosmic rays.
    report : sequence of str, optional
        Additional labels in the result, such as ``("A(Mg)", "[Ca/H]")``, in any convention to
        which transforms lead from the labels of the model. Their errors follow from the covariance.
    systematic : mapping of str to value, optional
        Systematic errors of the method, such as ``{"teff": 50 * u.K}``; by default
        ``meta["systematic"]`` of the model. They are returned separately and are not included in
        the other errors.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        Definition of ``vmac``: ζ, integrated over the disk together with rotation; ζ of a
        separate kernel; or the full width at half maximum of that kernel, as in TSFitPy and
        one_payne.
    device : str
        Device of the computation: "cpu", "cuda", "auto"…

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If an option has an invalid value, or the spectrum has no usable pixel.
    TypeError
        If the model, the spectrum or an option has the wrong type.

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
        flux of shape (n_spectra, n_pixels). The pixels may differ. A `~specutils.SpectrumList`
        within a list contains the arms of one star; by itself it contains many stars.
    model : `~astropayne.PayneModel`
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    covariances : bool
        Whether to add a column ``covariance``; ``meta["free"]`` lists its axes.
    models : bool
        Whether to add a column ``best_fit`` with the model at the pixels of the star. Arms are
        concatenated, and shorter rows are padded with NaN.
    options : FitOptions, optional
        Options, which the keywords override.
    **keywords
        Options of the fit, as in `fit_spectrum`. Values in ``fixed``, ``start``, ``bounds`` and
        ``priors`` may be arrays or columns of a table with one value for each star. Stars with
        equal values are fitted together, which is faster. A resolution of each star is in its
        ``meta["resolution"]``.

    Returns
    -------
    `~astropy.table.QTable`
        One row for each spectrum, in the order of the input. The columns are ``name`` (from
        ``meta["name"]``, which is a list for a collection, or the number of the spectrum), labels
        and velocities with errors (``teff_err``) and systematic errors (``teff_sys``), ``chi2``,
        ``dof``, ``flags``, ``iterations``, ``at_bound``, ``low_information``, ``vsini_limit``,
        ``limits``, ``notes`` and ``message``. A spectrum that cannot be fitted has a row of NaN,
        the flag ``BAD_INPUT`` and the reason in ``message``.

    Raises
    ------
    TypeError, ValueError
        If the model or an option is invalid, or the input contains no spectra, for example the
        name of a file.
    Interrupted
        If Ctrl-C is pressed. It is a `KeyboardInterrupt` with the ``table`` of the spectra of
        complete batches.
    IncompleteError
        If the iterable of spectra raises an error. It has the ``table`` of all spectra before.

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
    options = FitOptions.from_call(fit_spectra, options, keywords)
    per_star = PerStar.of(model, options)
    setup = FitSetup.of(model, options) if per_star is None else per_star.setup
    table = measure_all(
        spectra,
        partial((per_star or setup).fit, best_fits=models),
        partial(setup.report.table, covariances=covariances, models=models),
        "fitting",
        progress,
    )
    if per_star is not None:
        per_star.warn_of_rest()
    return table
