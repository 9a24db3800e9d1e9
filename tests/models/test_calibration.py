"""Corrections of lines: the network of corrected spectra, tables and files."""

import numpy as np
import pytest
import torch

from astropayne import PayneModel
from astropayne.models.calibration import Calibration
from astropayne.networks.network import SpectralNetwork


@pytest.fixture
def calibration(model, rng):
    n_labels, n_pixels = len(model.labels), len(model.wavelength)
    spread = rng.normal(0, 0.01, (n_labels, n_labels))
    stars = ({"name": "Sun", "labels": {"teff": 5772.0}},)
    return Calibration(
        rng.normal(0, 0.1, n_pixels), rng.normal(0, 0.01, n_pixels), spread @ spread.T, stars
    )


def test_a_corrected_network_has_corrected_spectra(model, calibration):
    x = torch.zeros(2, len(model.labels))
    with torch.no_grad():
        flux = model.network(x).numpy()
        corrected = calibration.applied_to(model.network)(x).numpy()
    expected = flux - calibration.strength * (1 - flux) - calibration.missing
    np.testing.assert_allclose(corrected, expected, atol=2e-6)


def test_a_calibration_is_kept_in_tables_and_files(model, calibration, tmp_path):
    again = Calibration.from_table(calibration.to_table(model.wavelength))
    model.replace(calibration=calibration).write(tmp_path / "model.asdf")
    read = PayneModel.read(tmp_path / "model.asdf").calibration
    for other in (again, read):
        for name in ("strength", "missing", "covariance"):
            np.testing.assert_array_equal(getattr(other, name), getattr(calibration, name))
        assert other.stars[0]["labels"]["teff"] == 5772.0


def test_calibrations_of_other_models_are_refused(model, calibration):
    short = Calibration(calibration.strength[1:], calibration.missing, calibration.covariance)
    with pytest.raises(ValueError, match=r"strength of the calibration has shape \(3902,\)"):
        model.replace(calibration=short)
    network = SpectralNetwork(len(model.labels), len(model.wavelength), (4,), output="sigmoid")
    with pytest.raises(ValueError, match="output='linear'"):
        calibration.applied_to(network)


def test_a_calibration_cannot_be_changed(calibration):
    with pytest.raises(ValueError, match="read-only"):
        calibration.strength[0] = 1
