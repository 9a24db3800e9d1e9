# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fast, exact emulators of stellar spectra, and fits of observed spectra with them.

The public names are imported on first use, so that importing the package is fast.
"""

from typing import TYPE_CHECKING, Any

from astropayne.utils.lazy import attach

try:
    from ._version import version as __version__
except ImportError:  # a source tree that was never built
    __version__ = "0.0.dev0"

# For type checkers and editors, which do not follow attach: every name from its own module.
if TYPE_CHECKING:
    from astropayne.abundances.fit import fit_abundances as fit_abundances
    from astropayne.abundances.lines import LineList as LineList
    from astropayne.abundances.planning import plan as plan
    from astropayne.abundances.stages import Stage as Stage
    from astropayne.config import Conf as Conf
    from astropayne.config import conf as conf
    from astropayne.engine.flags import Flag as Flag
    from astropayne.evaluation.evaluation import evaluate as evaluate
    from astropayne.fitting.calibration import calibrate as calibrate
    from astropayne.fitting.fit import fit_spectra as fit_spectra
    from astropayne.fitting.fit import fit_spectrum as fit_spectrum
    from astropayne.fitting.options import FitOptions as FitOptions
    from astropayne.fitting.posterior import Posterior as Posterior
    from astropayne.fitting.results import FitResult as FitResult
    from astropayne.grids.grid import SpectralGrid as SpectralGrid
    from astropayne.modeling import PayneSpectrum as PayneSpectrum
    from astropayne.models.model import PayneModel as PayneModel
    from astropayne.plugins.hookspecs import hookimpl as hookimpl
    from astropayne.plugins.manager import register_plugin as register_plugin
    from astropayne.plugins.manager import unregister_plugin as unregister_plugin
    from astropayne.spectra.broaden import broaden_spectrum as broaden_spectrum
    from astropayne.spectra.broaden import degrade_spectrum as degrade_spectrum
    from astropayne.spectra.read import read_spectrum as read_spectrum
    from astropayne.spectra.stars import read_spectra as read_spectra
    from astropayne.spectra.write import write_spectrum as write_spectrum

    __citation__: str

_attribute, __dir__, __all__ = attach(
    __name__,
    {
        "abundances": "LineList Stage fit_abundances plan",
        "config": "Conf conf",
        "evaluation": "evaluate",
        "fitting": "FitOptions calibrate FitResult Posterior fit_spectra fit_spectrum",
        "engine.flags": "Flag",
        "grids": "SpectralGrid",
        "modeling": "PayneSpectrum",
        "models": "PayneModel",
        "plugins": "hookimpl register_plugin unregister_plugin",
        "spectra": "broaden_spectrum degrade_spectrum read_spectra read_spectrum write_spectrum",
    },
)
__all__ += ["__citation__", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__citation__":
        from importlib.resources import files

        return files(__name__).joinpath("CITATION").read_text()
    return _attribute(name)
