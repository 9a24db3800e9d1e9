"""Shaping grids: the arithmetic is tested with the resampling, here is what grids make of it."""

import astropy.units as u
import numpy as np
import pytest
from specutils import SpectralRegion
from specutils.manipulation import FluxConservingResampler

from astropayne import SpectralGrid, broaden_spectrum
from astropayne.formats.grid_file import FluxFile
from astropayne.wavelengths import to_vacuum


@pytest.fixture
def grid(sample):
    return sample[:6]


def test_cutting_keeps_windows_and_rows(grid):
    part = grid.cut(SpectralRegion([(517, 519), (612, 616)] * u.nm))
    assert len(part.windows) == 2
    assert part.wavelength[0] == 5170 * u.AA
    inside = np.isin(grid.wavelength.value, part.wavelength.value)
    assert np.array_equal(part.flux, grid.flux[:, inside])
    assert part.names == grid.names
    with pytest.raises(ValueError, match="no pixel lies in"):
        grid.cut(SpectralRegion(4000 * u.AA, 4100 * u.AA))


def test_rebinning_conserves_flux_as_specutils_does(grid):
    new = np.arange(5165.03, 5230, 0.13) * u.AA
    found = grid.rebin(new)
    expected = FluxConservingResampler()(grid[2], new)
    assert found.flux[2] == pytest.approx(expected.flux.value, abs=2e-6)
    assert u.allclose(found.wavelength, new)
    with pytest.raises(ValueError, match="not covered by the grid"):
        grid.rebin(np.arange(5200, 5300, 0.1) * u.AA)


def test_a_logarithmic_axis_keeps_the_gaps(grid):
    found = grid.rebin(velocity=3 * u.km / u.s)
    assert len(found.windows) == 3
    step = np.concatenate([np.diff(np.log(found.wavelength.value[w])) for w in found.windows])
    assert step == pytest.approx(3 / 299792.458, rel=1e-6)
    assert np.isfinite(found.flux).all()


def test_degrading_is_what_the_forward_model_does(grid):
    found = grid.degrade(12000)
    assert found.meta["resolution"] == 12000
    assert len(found.windows) == 3
    expected = broaden_spectrum(grid[1], resolution=12000)
    both = np.isin(expected.spectral_axis.value, found.wavelength.value) & ~expected.mask
    kept = np.isin(found.wavelength.value, expected.spectral_axis.value[both])
    assert both.sum() > 3600
    assert found.flux[1, kept] == pytest.approx(expected.flux.value[both], abs=1e-4)
    with pytest.raises(ValueError, match="resolution"):
        grid.degrade(25000)


def test_media_are_converted_there_and_back(grid):
    vacuum = grid.convert_medium("vacuum")
    assert vacuum.meta["medium"] == "vacuum"
    assert vacuum.wavelength.value == pytest.approx(to_vacuum(grid.wavelength.value, "air"))
    assert u.allclose(vacuum.convert_medium("air").wavelength, grid.wavelength, rtol=1e-9)
    assert vacuum.convert_medium("vacuum").meta["medium"] == "vacuum"
    with pytest.raises(ValueError, match="not one of air, vacuum"):
        grid.convert_medium("water")


def test_subsampling_and_precision(sample):
    part = sample.subsample(20, seed=3)
    assert len(part) == 20
    assert part.names == sorted(part.names)
    assert part.names == sample.subsample(20, seed=3).names
    assert part.astype("float16").flux.dtype == np.float16
    with pytest.raises(ValueError, match="cannot be taken"):
        sample.subsample(301)


def test_shaping_goes_from_file_to_file(grid, tmp_path):
    grid.write(tmp_path / "in.asdf")
    on_disk = SpectralGrid.read(tmp_path / "in.asdf")
    found = on_disk.degrade(12000, output=tmp_path / "out.asdf")
    assert isinstance(found.flux, FluxFile)
    assert np.array_equal(found.flux, grid.degrade(12000).flux)
    assert found.names == grid.names
    with pytest.raises(FileExistsError):
        on_disk.degrade(12000, output=tmp_path / "out.asdf")
