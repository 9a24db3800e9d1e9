"""The model and the star of most tests of fits."""

import pytest
from simulated import TRUTH, VELOCITIES

from astropayne import PayneModel


@pytest.fixture(scope="module")
def model():
    """The network that ships with the package."""
    return PayneModel.sample()


@pytest.fixture(scope="module")
def exact(model):
    """A star that the model describes exactly."""
    return model(**TRUTH, **VELOCITIES, resolution=16000)
