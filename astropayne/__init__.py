# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fast, exact emulators of stellar spectra, and stars measured with them.

Everything here is loaded when it is first used, so that importing the package is quick.
"""

import importlib

try:
    from ._version import version as __version__
except ImportError:  # a checkout that was never built
    __version__ = "0.0.dev0"

_HOME = {
    "Conf": "config",
    "FitResult": "fitting",
    "Flag": "fitting",
    "LineList": "lines",
    "PayneModel": "model",
    "Posterior": "posterior",
    "SpectralGrid": "grid",
    "broaden_spectrum": "observation",
    "conf": "config",
    "fit_abundances": "elements",
    "degrade_spectrum": "observation",
    "fit_spectra": "fitting",
    "fit_spectrum": "fitting",
    "hookimpl": "plugins",
    "read_spectrum": "spectrum_files",
    "register_plugin": "plugins",
    "unregister_plugin": "plugins",
}

__all__ = ["__citation__", "__version__", *sorted(_HOME)]


def __getattr__(name):
    if name == "__citation__":
        from importlib.resources import files

        return files(__name__).joinpath("CITATION").read_text()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
