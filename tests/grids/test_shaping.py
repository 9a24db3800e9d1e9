"""Shaping grids: the arithmetic is tested with the resampling, here is what grids make of it."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from specutils import SpectralRegion
from specutils.manipulation import FluxConservingResampler

from astropayne import PayneModel, SpectralGrid, broaden_spectrum
from astropayne.grids.flux_file import FluxFile
from astropayne.grids.grid import GridWarning
from astropayne.wavelengths.media import to_vacuum


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
    with pytest.raises(TypeError, match=r"must be a specutils SpectralRegion.*got \(5170, 5190"):
        grid.cut((5170, 5190))
    with pytest.raises(ValueError, match="no pixel lies in"):
        grid.cut(SpectralRegion(4000 * u.AA, 4100 * u.AA))


def test_rebinning_conserves_flux_as_specutils_does(grid):
    new = np.arange(5165.03, 5230, 0.093) * u.AA
    found = grid.rebin(new)
    expected = FluxConservingResampler()(grid[2], new)
    assert found.flux[2] == pytest.approx(expected.flux.value, abs=2e-6)
    assert u.allclose(found.wavelength, new)
    with pytest.raises(ValueError, match="not covered by the grid"):
        grid.rebin(np.arange(5200, 5300, 0.1) * u.AA)


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_frequencies_are_of_the_vacuum_whatever_the_grid_is_in(grid, medium):
    grid = grid.convert_medium(medium)
    pixels = slice(200, 300)
    vacuum = to_vacuum(grid.wavelength.value, medium)[pixels] * u.AA
    frequency = vacuum.to(u.THz, u.spectral())
    cut = grid.cut(SpectralRegion(frequency[-1], frequency[0]))
    assert np.array_equal(cut.wavelength, grid.wavelength[pixels])
    rebinned = grid.rebin(frequency)
    assert u.allclose(rebinned.wavelength, grid.wavelength[pixels], rtol=1e-9)
    assert rebinned.flux == pytest.approx(grid.flux[:, pixels], abs=1e-5)


@pytest.mark.parametrize("step", [3.0, 6.0, 10.0])
def test_rebinning_lowers_the_resolution_as_lines_show(step):
    wavelength = 5000 * np.exp(np.arange(0, 0.004, 1e-6))
    velocity = 299792.458 * np.log(wavelength / 5000)
    sigma = 299792.458 / 10000 / np.sqrt(8 * np.log(2))
    centres = np.linspace(300, 900, 9)[:, None] + 0.377 * np.arange(9)[:, None] * step
    flux = 1 - 0.4 * np.exp(-0.5 * ((velocity - centres) / sigma) ** 2)
    grid = SpectralGrid(
        wavelength * u.AA, flux, QTable({"feh": np.arange(9.0)}), meta={"resolution": 10000.0}
    )
    new = grid.rebin(velocity=step)
    x = 299792.458 * np.log(new.wavelength.value / 5000)
    weight = (1 - new.flux) / (1 - new.flux).sum(axis=1, keepdims=True)
    mean = (weight * x).sum(axis=1, keepdims=True)
    variance = np.mean((weight * (x - mean) ** 2).sum(axis=1))
    expected = 299792.458 / np.sqrt(8 * np.log(2) * variance)
    assert new.meta["resolution"] == pytest.approx(expected, rel=1e-4)
    assert variance == pytest.approx(sigma**2 + step**2 / 12, rel=2e-3)
    assert new.meta["resolution"] < 10000 * (1 - 1e-3)


def test_rebinning_onto_the_same_pixels_changes_nothing(grid):
    same = grid.rebin(grid.wavelength)
    assert same.meta["resolution"] == pytest.approx(20000, abs=1e-6)
    assert same.flux == pytest.approx(grid.flux, abs=1e-6)
    unknown = grid[:2].replace(meta={"resolution": None})
    assert unknown.rebin(velocity=12).meta["resolution"] is None


def test_rebinning_to_too_few_pixels_warns(grid):
    with pytest.warns(GridWarning, match=r"1\.\d\d pixels per FWHM at R = 1[89]\d\d\d"):
        grid.rebin(velocity=9)


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
    with pytest.raises(ValueError, match="at R = 20 no pixel is left: the kernel is wider"):
        grid.degrade(20)


def test_media_are_converted_there_and_back(grid):
    vacuum = grid.convert_medium("vacuum")
    assert vacuum.meta["medium"] == "vacuum"
    assert vacuum.wavelength.value == pytest.approx(to_vacuum(grid.wavelength.value, "air"))
    assert u.allclose(vacuum.convert_medium("air").wavelength, grid.wavelength, rtol=1e-9)
    assert vacuum.convert_medium("vacuum").meta["medium"] == "vacuum"
    with pytest.raises(ValueError, match="medium is 'water'; it can be 'air' or 'vacuum'"):
        grid.convert_medium("water")


def test_subsampling_and_precision(sample):
    part = sample.subsample(20, seed=3)
    assert len(part) == 20
    assert part.names == tuple(sorted(part.names))
    assert part.names == sample.subsample(20, seed=3).names
    assert part.astype("float16").flux.dtype == np.float16
    for n in (301, 3.5, "3"):
        with pytest.raises(
            ValueError, match="cannot be chosen: n must be a whole number from 1 to 300"
        ):
            sample.subsample(n)


def test_bare_numbers_are_wavelengths_and_resolutions(sample):
    part = sample[:3]
    axis = part.wavelength.value[10:300]
    flux = part.rebin(axis * u.AA).flux
    assert np.array_equal(part.rebin(list(axis)).flux, flux)
    assert part.rebin(axis / 10 * u.nm).flux == pytest.approx(flux, abs=1e-6)
    assert part.degrade("10000").meta["resolution"] == 10000
    for wrong, said in (
        ([1e4, 9e3], r"shape \(2,\): a grid is"),
        (None, "positive"),
        ("x", "numeric"),
    ):
        with pytest.raises(ValueError, match=said):
            part.degrade(wrong)


def test_what_is_to_be_written_needs_a_folder(sample, tmp_path):
    path = tmp_path / "none" / "grid.asdf"
    for write in (sample.write, lambda path: sample[:2].degrade(10000, output=path)):
        with pytest.raises(FileNotFoundError, match=r"grid.asdf cannot be written: there is no fo"):
            write(path)


def test_shaping_goes_from_file_to_file(grid, tmp_path):
    grid.write(tmp_path / "in.asdf")
    on_disk = SpectralGrid.read(tmp_path / "in.asdf")
    found = on_disk.degrade(12000, output=tmp_path / "out.asdf")
    assert isinstance(found.flux, FluxFile)
    assert np.array_equal(found.flux, grid.degrade(12000).flux)
    assert found.names == grid.names
    with pytest.raises(FileExistsError):
        on_disk.degrade(12000, output=tmp_path / "out.asdf")


# --- what holds for any spectra


def _edges(centres):
    """Edges of pixels: halfway between centres, and as far outwards as inwards at the ends."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


@st.composite
def _grids(draw):
    """A grid of two spectra on an uneven axis without gaps."""
    n = draw(st.integers(8, 40))
    steps = draw(arrays(float, n - 1, elements=st.floats(0.1, 0.25)))
    flux = draw(arrays(float, (2, n), elements=st.floats(0, 2)))
    wavelength = draw(st.floats(3000, 20000)) + np.concatenate([[0], np.cumsum(steps)])
    return SpectralGrid(wavelength * u.AA, flux, QTable({"feh": [0.0, 1.0]}))


@given(_grids(), st.integers(2, 30), st.floats(0, 1), st.floats(0, 1))
def test_rebinning_conserves_flux(grid, n, left, right):
    old = _edges(grid.wavelength.value)
    width = old[-1] - old[0]
    ends = old[0] + 0.4 * left * width, old[-1] - 0.4 * right * width
    edges = np.linspace(*ends, n + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    found = grid.rebin(centres * u.AA)
    for new, flux in zip(found.flux, grid.flux, strict=True):
        total = np.concatenate([[0], np.cumsum(flux * np.diff(old))])
        expected = np.diff(np.interp(edges, old, total))
        assert new * np.diff(edges) == pytest.approx(expected, abs=1e-6)


@given(_grids(), st.sampled_from([u.nm, u.um, u.m]))
def test_units_make_no_difference(grid, unit):
    other = SpectralGrid(grid.wavelength.to(unit), grid.flux, grid.labels)
    assert u.allclose(other.wavelength, grid.wavelength, rtol=1e-12)
    low, high = grid.wavelength[2] - 0.05 * u.AA, grid.wavelength[-3] + 0.05 * u.AA
    edges = np.linspace(low, high, 8)
    new = (edges[1:] + edges[:-1]) / 2
    for change in (
        lambda g, region, new: g.cut(SpectralRegion(*region)),
        lambda g, region, new: g.rebin(new),
    ):
        one = change(grid, (low, high), new)
        two = change(other, (low.to(unit), high.to(unit)), new.to(unit))
        assert two.flux.shape == one.flux.shape
        assert two.flux == pytest.approx(one.flux, abs=1e-5)
        assert u.allclose(two.wavelength, one.wavelength, rtol=1e-12)


def test_a_grid_is_split_by_labels(grid):
    hot = grid.labels["teff"] > 5500 * u.K
    one, other = grid.split(where=hot)
    assert len(one) + len(other) == len(grid)
    assert one.labels["teff"].min() > 5500 * u.K >= other.labels["teff"].max()
    assert np.array_equal(other.flux, grid.flux[~hot])
    with pytest.raises(ValueError, match="where= is True for all spectra: neither part"):
        grid.split(where=grid.labels["teff"] > 0 * u.K)
    with pytest.raises(
        ValueError, match=r"shape \(3,\) and type bool: it must be true or false for"
    ):
        grid.split(where=hot[:3])
    with pytest.raises(ValueError, match="type int64: it must be true or false"):
        grid.split(where=np.arange(len(grid)))


def _made(sample, rows, feh, **meta):
    """Return spectra of the sample as if all had one iron abundance."""
    labels = sample.labels["teff", "logg"][rows]
    meta = {**sample.meta, "constant_labels": {"feh": feh, "vmic": 1.0}, **meta}
    return SpectralGrid(sample.wavelength, sample.flux[rows], labels, meta=meta)


def test_what_differs_between_grids_is_a_label_of_all(sample, tmp_path):
    rich, poor = _made(sample, slice(8), 0.0), _made(sample, slice(8, 12), -1.0)
    both = SpectralGrid.concatenate([rich, poor])
    np.testing.assert_array_equal(both.labels["feh"], [0.0] * 8 + [-1.0] * 4)
    assert both.meta["constant_labels"] == {"vmic": 1.0}
    files = [tmp_path / "rich.asdf", tmp_path / "poor.asdf"]
    rich.write(files[0])
    poor.write(files[1])
    assert "feh" in SpectralGrid.read(files).labels.colnames
    any_iron = SpectralGrid.concatenate([both, _made(sample, slice(12, 20), 0.3)])
    assert any_iron.labels["feh"][-1] == 0.3
    assert SpectralGrid.concatenate([rich, rich]).labels.colnames == ["teff", "logg"]


def test_validation_has_the_labels_of_training(sample):
    both = SpectralGrid.concatenate([_made(sample, slice(8), 0.0), _made(sample, slice(8, 16), -1)])
    model = PayneModel((8,), components=4, parts=1)
    model.train(both, validation=_made(sample, slice(16, 20), -0.5), max_epochs=1)
    assert model.labels.names == ("teff", "logg", "feh")
    with pytest.raises(ValueError, match="'feh' ranges from"):
        model.train(_made(sample, slice(8), 0.0), _made(sample, slice(8, 12), -1.0))


def test_flux_of_different_units_is_not_put_together(sample):
    with pytest.raises(ValueError, match="flux_unit None, and grid 2 'Jy'"):
        SpectralGrid.concatenate(
            [_made(sample, slice(4), 0.0), _made(sample, slice(4), 0.0, flux_unit="Jy")]
        )


def test_grids_that_are_put_together_are_of_one_kind(sample):
    one, other = sample[:3], sample[3:6]
    other = other.replace(meta={"solar_scale": "Magg et al. (2022)"})  # the same scale
    assert len(SpectralGrid.concatenate([one, other])) == 6
    PayneModel((8,), components=2, parts=1).train(one, validation=other, max_epochs=1)
    other = other.replace(meta={"solar_scale": "asplund2009"})
    with pytest.raises(ValueError, match="the first grid has solar_scale 'magg2022', and grid 2"):
        SpectralGrid.concatenate([one, other])
    with pytest.raises(ValueError, match="there is no grid"):
        SpectralGrid.concatenate([])


def test_what_is_left_out_is_solar_scaled_to_the_iron_of_the_grid(sample, tmp_path):
    grid = _made(sample, slice(12), -1.0)
    grid = grid.replace(labels={**grid.labels, "A_Li": sample.labels["A_Li"][:12]})
    model = PayneModel((8,), components=4, parts=1)
    model.train(grid, max_epochs=1)
    model.write(tmp_path / "model.asdf")
    for one in (model, PayneModel.read(tmp_path / "model.asdf")):
        assert one.label_array({"teff": 5500, "logg": 4}).tolist() == [[5500, 4, 1.05 - 1.0]]
