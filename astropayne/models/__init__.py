# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneModel`: training, prediction, emulator error, coverage and files."""

from astropayne.models.emulator import TrainingHistory
from astropayne.models.emulator_error import EmulatorError
from astropayne.models.formats import asdf, npz  # noqa: F401  they register themselves
from astropayne.models.model import PayneModel

__all__ = ["EmulatorError", "PayneModel", "TrainingHistory"]
