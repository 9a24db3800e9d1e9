# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`fit_abundances`: abundances element by element, from selected lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from astropy.table import QTable

from astropayne.abundances.analysis import Analysis
from astropayne.abundances.lines import LineList
from astropayne.abundances.options import AbundanceOptions
from astropayne.abundances.stages import Stage
from astropayne.fitting.batches import measure_all
from astropayne.fitting.options import FitOptions, takes_fit_options
from astropayne.labels.solar import SolarScale
from astropayne.models.model import PayneModel, require_model

if TYPE_CHECKING:
    from specutils import Spectrum, SpectrumList

__all__ = ["fit_abundances"]


@takes_fit_options
def fit_abundances(
    spectra: "Iterable[Spectrum | SpectrumList]",
    model: PayneModel,
    elements: Sequence[str] | Sequence[Stage] | str,
    *,
    lines: LineList | None = None,
    stellar_lines: LineList | None = None,
    convention: str = "X_Fe",
    solar_scale: str | SolarScale | Mapping[str, float] | None = None,
    confidence: float = 0.95,
    detection: float = 3.0,
    clip: bool = False,
    reference: "Spectrum | SpectrumList | None" = None,
    per_line: bool = False,
    models: bool = False,
    progress: bool | None = None,
    options: FitOptions | None = None,
    **keywords: Any,
) -> QTable:
    """Measure abundances element by element, or their upper limits.

    An analysis consists of stages. The first measures the stellar labels, as
    `~astropayne.fit_spectra` does. In each of the others, the likelihood of each abundance is
    computed over its range from the windows of its own lines, marginalized over all other
    parameters.

    Parameters
    ----------
    spectra : iterable of `~specutils.Spectrum` or `~specutils.SpectrumList`
        Observed spectra, as in `~astropayne.fit_spectra`.
    model : `~astropayne.PayneModel`
    elements : sequence of str or of Stage
        Symbols of elements for which the model has labels; or the stages of an analysis, the first
        of which measures the stellar labels. Symbols are short for
        ``[Stage(lines=stellar_lines), Stage(elements, lines)]``.
    lines : LineList, optional
        Lines of the elements. By default those that ship with the package; for elements without
        any in the model's windows, those that `find` finds in the middle of the model's range.
    stellar_lines : LineList, optional
        Lines from which the stellar labels are measured; by default the whole spectrum.
    convention : {"X_Fe", "X_H", "A_X"}
        Convention of the abundances.
    solar_scale : str, `~astropayne.labels.SolarScale` or mapping, optional
        Solar abundances of [X/Fe] and [X/H]; by default those of the model.
    confidence : float
        Confidence of the upper limits.
    detection : float
        Minimum significance of a detection, in standard deviations.
    clip : bool
        Whether to leave out discrepant lines, the worst first, and fit the element again, as long
        as at least two other lines remain.
    reference : `~specutils.Spectrum` or `~specutils.SpectrumList`, optional
        Star, such as the Sun, that is analyzed in the same way. Abundances are then differences
        from its own, line by line, so that errors of a line in the model (of its oscillator
        strength, for example) cancel. Upper limits are not reported.
    per_line : bool
        Whether to add the columns ``Mg_lines``, ``Mg_lines_err`` and ``Mg_lines_deviation``: the
        abundance of each line in the model's label, its error, and its deviation from the mean of
        all lines in standard deviations.
    models : bool
        Whether to add the columns ``Mg_best_fit`` and ``Mg_without``: the model at the star's
        pixels, one arm after another, with and without the element; NaN outside the windows.
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    options : `~astropayne.fitting.FitOptions`, optional
        Options of the fits; keywords take precedence.
    **keywords
        Options of the fits of all stages, as in `~astropayne.fit_spectrum`: ``resolution``,
        ``fixed``, ``tied``, ``continuum`` and so on. The lines of elements that are tied to a
        measured element count as its own. With ``loss="huber"``, pixels of lines keep the weights
        that they have at the start of a stage.

    Returns
    -------
    `~astropy.table.QTable`
        One row per spectrum: its ``name``, the ``flags`` of the star, the other columns of
        `~astropayne.fit_spectra`, and for each element (here Mg as [Mg/Fe]):

        - ``Mg_Fe``, ``Mg_Fe_err``: mean and standard deviation of the posterior over the model's
          range; masked if the element is not measured;
        - ``Mg_Fe_upper_limit``: masked if the element is measured, or the spectrum sets no limit;
        - ``Mg_ew``: equivalent width of the element in the model's windows, in mÅ, including
          masked pixels;
        - ``Mg_significance``: square root of the increase of χ² without the element;
        - ``Mg_n_lines``, ``Mg_scatter``: number of lines used, and their standard deviation;
        - ``Mg_sensitivity``: derivatives of the model's label of the element with respect to the
          parameters listed in ``meta["by"]``, all others fixed;
        - ``Mg_flags``: flags of the abundance, see `ElementFlag`.

        Abundances of a star with ``flags`` are no better than its stellar labels.
        ``meta["Mg_lines"]`` lists the centers of the lines, in Å and in ``meta["medium"]``: the
        option ``medium``, or the medium of the model.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If the model has no label of an element, or an option is invalid.
    astropayne.fitting.Interrupted
        If the user interrupts the analysis, as in `~astropayne.fit_spectra`.

    Examples
    --------
    >>> from astropayne import PayneModel, fit_abundances
    >>> model = PayneModel.sample()
    >>> star = model(teff=5600, logg=4.3, feh=-0.2, vmic=1.1, Na_Fe=0.25, A_Li=2.3, vsini=4)
    >>> table = fit_abundances([star], model, ["Na", "Li"], convention="A_X")
    >>> print(table["A_Na"].round(2)[0], table["A_Li"].round(2)[0])
    6.34 2.3
    """
    fit_options = FitOptions.from_call(fit_abundances, options, keywords)
    abundance_options = AbundanceOptions(
        convention, solar_scale, confidence, detection, clip, per_line, models
    )
    _refuse_one_spectrum(spectra)
    require_model(model)
    stages = _stages_of(elements, lines, stellar_lines)
    analysis = Analysis(model, stages, abundance_options, fit_options)
    if reference is not None:
        analysis.compare_with(reference)
    return measure_all(spectra, analysis.fit, analysis.table, "abundances", progress)


def _refuse_one_spectrum(spectra: object) -> None:
    if getattr(getattr(spectra, "flux", None), "ndim", 2) == 1:
        raise ValueError("spectra is a single spectrum; give a list of it, [spectrum]")


def _stages_of(
    elements: Sequence[str] | Sequence[Stage] | str,
    lines: LineList | None,
    stellar_lines: LineList | None,
) -> tuple:
    """Return the stages of an analysis, of which symbols of elements are short for two."""
    several: tuple[Any, ...] = (elements,) if isinstance(elements, str | Stage) else tuple(elements)
    if not any(isinstance(one, Stage) for one in several):
        return Stage(lines=stellar_lines), Stage(several, lines)
    if lines is not None or stellar_lines is not None:
        raise ValueError(
            "lines and stellar_lines cannot be combined with stages, which have lines of their own"
        )
    return several
