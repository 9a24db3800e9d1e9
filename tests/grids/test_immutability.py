"""Labels of a grid cannot come apart from its spectra."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest

from astropayne import SpectralGrid
from astropayne.grids import GridInfo
from astropayne.grids.flux_file import FluxFile


@pytest.fixture
def grid(sample):
    return sample[:8]


def _same(one, other):
    assert np.array_equal(one.flux, other.flux)
    assert one.labels.colnames == other.labels.colnames
    assert all((one.labels == other.labels).tolist())
    assert one.names == other.names
    assert one.meta == other.meta


def test_changes_of_the_table_of_labels_do_not_reach_the_grid(grid):
    before = grid.load()
    labels = grid.labels
    labels.sort("teff")
    labels.rename_column("feh", "M_H")
    labels.remove_column("logg")
    grid.labels.sort("teff")
    grid.labels["A_Eu"] = 0.0
    del grid.labels["teff"]
    _same(grid, before)


@pytest.mark.parametrize("name", ["teff", "feh"])
def test_columns_of_labels_are_read_only(grid, name):
    column = grid.labels[name]
    for item in (0, slice(None), column > column[0]):
        with pytest.raises(ValueError, match="read-only"):
            grid.labels[name][item] = column[0]
    with pytest.raises(ValueError, match="read-only"):
        column *= 2
    assert (grid.labels.copy()[name] * 2 == 2 * column).all()


def test_arrays_are_read_only(grid):
    with pytest.raises(ValueError, match="read-only"):
        grid.flux[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        grid.wavelength[0] = 1 * u.AA
    assert not pickle.loads(pickle.dumps(grid)).flux.flags.writeable


@pytest.mark.parametrize("name", ["labels", "flux", "wavelength", "names"])
def test_attributes_cannot_be_set(grid, name):
    with pytest.raises(AttributeError, match=rf"cannot be changed: grid.replace\({name}=...\)"):
        setattr(grid, name, getattr(grid, name))
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(grid, name)


def test_metadata_are_read_only(grid):
    with pytest.raises(AttributeError, match=r"grid.replace\(meta=\{...\}\) returns a new grid"):
        grid.meta = {}
    with pytest.raises(TypeError, match=r"grid.replace\(meta=\{'resolution': ...\}\) returns"):
        grid.meta["resolution"] = 1
    with pytest.raises(TypeError, match="read-only"):
        del grid.meta["resolution"]
    with pytest.raises(AttributeError):
        grid.info.medium = "vacuum"
    grid.with_constants([]).meta.get("constant_labels", {})["feh"] = 3.0
    assert "constant_labels" not in grid.meta
    changed = grid.replace(meta={"resolution": 19000.0, "note": "mine"})
    assert (changed.info.resolution, changed.meta["note"]) == (19000.0, "mine")
    assert changed.info.medium == grid.info.medium
    assert grid.info.resolution == 20000
    with pytest.raises(ValueError, match="medium is 'Air'"):
        grid.replace(meta={"medium": "Air"})
    assert repr(changed.meta) == repr(dict(changed.meta))


def test_sorting_and_masking_keep_rows_together(grid):
    order = np.argsort(grid.labels["teff"])
    for rows in (order, grid.labels["teff"] > 5000 * u.K, slice(None, None, -2)):
        part = grid[rows]
        assert np.array_equal(part.flux, grid.flux[rows])
        assert (part.labels["teff"] == grid.labels["teff"][rows]).all()
        assert part.names == tuple(np.array(grid.names)[rows].tolist())
    assert (np.diff(grid[order].labels["teff"]) > 0).all()


def test_edited_labels_replace_those_of_the_grid(grid):
    labels = grid.labels.copy()
    labels["teff"] += 10 * u.K
    changed = grid.replace(labels=labels)
    assert (changed.labels["teff"] - grid.labels["teff"] == 10 * u.K).all()
    labels["teff"] = 0 * u.K  # the grid has a copy
    assert (changed.labels["teff"] > grid.labels["teff"]).all()
    assert "logg" not in grid.replace(labels=grid.labels["teff", "feh"]).labels.colnames
    other = grid.replace(labels={"M_H": grid.labels["feh"]})
    assert other.labels.colnames == ["M_H"]


def test_labels_in_another_order_do_not_replace_those_of_the_grid(grid):
    labels = grid.labels
    labels.sort("teff")
    with pytest.raises(ValueError, match=r"in another order.*grid\[np.argsort"):
        grid.replace(labels=labels)
    with pytest.raises(ValueError, match="one row for each spectrum"):
        grid.replace(labels=labels[:3])


def test_changes_of_what_a_grid_was_made_of_do_not_reach_its_labels():
    wavelength, labels = np.array([5000.0, 5001]), {"feh": np.array([0.0, -1])}
    meta = {"constant_labels": {"logg": 4.0}}
    grid = SpectralGrid(wavelength, np.ones((2, 2)), labels, meta=meta)
    wavelength[0], labels["feh"][0] = 4000, 9
    meta["constant_labels"]["logg"] = meta["medium"] = 1
    assert grid.wavelength[0] == 5000 * u.AA
    assert grid.labels["feh"][0] == 0
    assert grid.info == GridInfo(constant_labels={"logg": 4.0})


def test_grids_are_copied_and_pickled(grid, tmp_path):
    grid.write(tmp_path / "grid.asdf")
    stored = SpectralGrid.read(tmp_path / "grid.asdf")
    for one in (grid, stored):
        for other in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            _same(one, other)
            assert isinstance(other.flux, FluxFile) is (one is stored)


def test_the_report_is_a_copy(grid):
    grid.report.add_row(("x", "y"))
    assert len(grid.report) == 0


def test_what_the_code_reads_comes_back_from_a_file(grid, tmp_path):
    meta = {"medium": "vacuum", "flux_unit": "Jy", "constant_labels": {"vmac": 3.0}, "a": 1}
    grid = grid.replace(meta=meta)
    grid.write(tmp_path / "grid.asdf")
    again = SpectralGrid.read(tmp_path / "grid.asdf")
    assert again.info == grid.info
    assert again.meta == grid.meta
    assert grid.info.flux_unit == "Jy"


def test_files_written_before_are_read(sample):
    assert "normalised" not in SpectralGrid.sample().meta
    assert SpectralGrid.sample().meta["normalized"] is True
