# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Fixtures of the test run."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from astropayne import PayneModel, SpectralGrid

# How fast a machine is must not decide whether a test passes.
settings.register_profile("astropayne", deadline=None, derandomize=True)
settings.load_profile("astropayne")


@pytest.fixture(scope="session")
def sample():
    """The grid that ships with the package, with A(Li)."""
    return SpectralGrid.sample().transform_labels("A_Li")


@pytest.fixture(scope="session")
def quick_model(sample):
    """A network trained for some seconds, on 240 of the sample's 300 spectra."""
    model = PayneModel()
    train, _ = sample.split(0.8, seed=42)
    model.train(train, max_epochs=250, seed=1)
    return model


@pytest.fixture(scope="session")
def model(quick_model):
    """A network; the same in every test."""
    return quick_model


@pytest.fixture
def ideal(model):
    """The same network, as if it had no error."""
    return model.replace(error=None)


@pytest.fixture
def rng():
    return np.random.default_rng(20261124)


@pytest.fixture(scope="session")
def write_tsfitpy():
    """Write a grid as TSFitPy does: a function of the grid and a folder, which it returns."""

    def write(grid, folder):
        folder.mkdir()
        names = [f"{i}.spec" for i in range(len(grid))]
        for name, flux in zip(names, grid.flux, strict=True):
            columns = np.column_stack([grid.wavelength.value, flux, 1e6 * flux])
            header = f"Generated using TurboSpectrum\nspectrum_name: {name}\nresolution: 20000.0"
            np.savetxt(folder / name, columns, fmt="%.6f", delimiter="  ", header=header)
        table = grid.labels.to_pandas()
        table.insert(0, "specname", names)
        table.insert(1, "rv", 0.0)
        table.to_csv(folder / "spectra_parameters.csv", index=False)
        return folder

    return write


@pytest.fixture
def tsfitpy_folder(sample, tmp_path, write_tsfitpy):
    """Six spectra of the sample as TSFitPy writes them."""
    return write_tsfitpy(sample[:6], tmp_path / "grid")


@pytest.fixture(scope="session")
def full_grid_folder():
    """Folder of the full grid, for tests that do more where it is there."""
    folder = Path(os.environ.get("ASTROPAYNE_TEST_GRID", "no such folder"))
    if not folder.is_dir():
        pytest.skip("the environment variable ASTROPAYNE_TEST_GRID names no folder of spectra")
    return folder


@pytest.fixture(scope="session")
def observed_folder():
    """Folder of observed spectra of well-known stars, for tests where it is there."""
    folder = Path(os.environ.get("ASTROPAYNE_TEST_OBSERVED", "no such folder"))
    if not folder.is_dir():
        pytest.skip("the environment variable ASTROPAYNE_TEST_OBSERVED names no folder of spectra")
    return folder


@pytest.fixture(autouse=True)
def no_global_torch_state():
    """Nothing in the package may change how torch behaves elsewhere."""
    before = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    yield
    assert before == (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled())
