# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fast, exact emulators of stellar spectra, and stars measured with them.

Everything here is loaded when it is first used, so that importing the package is quick.
"""

from astropayne.utils.lazy import attach

try:
    from ._version import version as __version__
except ImportError:  # a checkout that was never built
    __version__ = "0.0.dev0"

_attribute, __dir__, __all__ = attach(
    __name__,
    {
        "abundances": "LineList Stage fit_abundances plan",
        "config": "Conf conf",
        "evaluation": "evaluate",
        "fitting": "FitResult Posterior fit_spectra fit_spectrum",
        "engine.flags": "Flag",
        "grids": "SpectralGrid",
        "modeling": "PayneSpectrum",
        "models": "PayneModel",
        "plugins": "hookimpl register_plugin unregister_plugin",
        "spectra": "broaden_spectrum degrade_spectrum read_spectrum write_spectrum",
    },
)
__all__ += ["__citation__", "__version__"]


def __getattr__(name):
    if name == "__citation__":
        from importlib.resources import files

        return files(__name__).joinpath("CITATION").read_text()
    return _attribute(name)
