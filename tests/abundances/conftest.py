"""The model of most tests of abundances."""

import pytest

from astropayne import PayneModel


@pytest.fixture(scope="module")
def network():
    """The model that ships, as if it were exact: tests make spectra with it."""
    return PayneModel.sample().replace(error=None)
