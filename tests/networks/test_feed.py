import resource
import subprocess
import sys
from itertools import islice
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch

import astropayne
from astropayne import PayneModel, SpectralGrid
from astropayne.networks.feed import SpectraFeed, available_memory

CPU = torch.device("cpu")


@pytest.fixture
def stored(sample, tmp_path):
    """The sample as a grid on disk, 4.7 MB of flux."""
    sample.write(tmp_path / "grid.asdf")
    return SpectralGrid.read(tmp_path / "grid.asdf")


def _feed(flux, memory):
    return SpectraFeed(np.arange(len(flux))[:, None], flux, CPU, memory)


def test_streamed_batches_are_the_spectra(stored):
    feed = _feed(stored.flux, 1e6)
    assert not feed.resident
    generator = torch.Generator().manual_seed(1)
    orders = [feed.epoch(generator, 16) for _ in range(3)]
    for order in orders:
        assert order.shape == (18, 16)
        assert len(order.unique()) == order.numel()
    assert not torch.equal(orders[0], orders[1])
    # shuffled: rows from everywhere, and neighbours in a file are not neighbours in a batch
    assert (orders[0].double().std(dim=1) > 30).all()
    truth = np.asarray(stored.flux)
    found = list(islice(feed.batches(iter(orders), 0, slice(None)), 50))
    for rows, (x, y) in zip(torch.cat(orders), found, strict=False):
        assert torch.equal(x[:, 0], rows.float())
        assert np.array_equal(y.numpy(), truth[rows])


def test_batches_go_on_from_any_step_and_are_shared(stored):
    feed = _feed(stored.flux, 1e6)

    def batches(first, part):
        generator = torch.Generator().manual_seed(1)
        epochs = (feed.epoch(generator, 16) for _ in range(100))
        return [y for _, y in islice(feed.batches(epochs, first, part), 12)]

    whole = batches(0, slice(None))
    for one, other in zip(batches(5, slice(None)), whole[5:], strict=False):
        assert torch.equal(one, other)
    for one, other in zip(batches(0, slice(1, None, 2)), whole, strict=True):
        assert torch.equal(one, other[1::2])


def test_flux_in_memory_is_not_copied(sample):
    flux = sample.flux.copy()
    feed = _feed(flux, 1)  # it is there already, whatever memory there is
    assert feed.resident
    assert feed.flux(np.array([3])).numpy() == pytest.approx(flux[3:4])
    assert np.shares_memory(next(feed.blocks())[1].numpy(), flux)
    assert not _feed(flux.astype(float), 1).resident


def test_faulty_flux_on_disk_is_found_on_the_way(sample, tmp_path):
    flux = sample.flux.copy()
    flux[17, 5] = np.nan
    sample.replace(flux=flux).write(tmp_path / "grid.asdf")
    grid = SpectralGrid.read(tmp_path / "grid.asdf")
    with pytest.raises(ValueError, match=r"flux of 1 of 3 spectra .* \(number 17 is the first"):
        _feed(grid.flux, 1e6).flux(np.array([3, 100, 17]))
    with pytest.raises(ValueError, match=r"flux of 1 of .* is not finite .* \(number 17 is the fi"):
        PayneModel(hidden_layers=(8,), components=4).train(grid, grid[:9], memory=1e6, max_epochs=2)


def test_what_is_made_of_the_flux_is_kept_if_it_is_small(stored):
    truth = np.asarray(stored.flux)
    for memory, kept in ((1e6, True), (2e5, False)):
        feed = _feed(stored.flux, memory)
        feed.set_target(lambda flux: flux[:, ::10])  # 0.47 MB of 4.7 MB
        assert feed.resident == kept
        order = feed.epoch(torch.Generator().manual_seed(1), 16)
        for rows, (_, y) in zip(order, feed.batches(iter([order]), 0, slice(None)), strict=False):
            assert np.array_equal(y.numpy(), truth[rows, ::10])


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_training_from_disk_is_as_good_as_from_memory(sample, stored, output):
    on_disk, in_memory = (PayneModel((64, 64), output=output, components=32) for _ in range(2))
    options = {"max_epochs": 60, "batch_size": 32, "train_fraction": 0.8}
    in_memory.train(sample, **options)
    on_disk.train(stored, **options, memory=4e6)
    assert not torch.equal(on_disk.network.pixels.weight, in_memory.network.pixels.weight)
    assert in_memory.meta["validation_rms"] < 0.4 * np.std(sample.flux - sample.flux.mean(0))
    assert on_disk.meta["validation_rms"] < 1.3 * in_memory.meta["validation_rms"]
    fits = PayneModel((64, 64), output=output, components=32)
    fits.train(stored, **options)  # read once, then the same as in memory
    assert torch.equal(fits.network.pixels.weight, in_memory.network.pixels.weight)


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_a_streamed_run_resumes_to_the_same_network(stored, tmp_path, monkeypatch, output):
    options = {"max_epochs": 4, "batch_size": 32, "check_interval": 5, "memory": 1e6}
    options |= {"checkpoint_interval": 0, "train_fraction": 0.8}
    whole, cut = (PayneModel((16,), output=output, components=8) for _ in range(2))
    whole.train(stored, **options)
    true, calls = torch.nn.functional.mse_loss, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 19:
            raise KeyboardInterrupt
        return true(*args)

    monkeypatch.setattr(torch.nn.functional, "mse_loss", interrupted)
    with pytest.warns(UserWarning, match="interrupted after step 15"):
        cut.train(stored, **options, checkpoint=tmp_path / "run.npz")
    cut.train(stored, **options, checkpoint=tmp_path / "run.npz", resume=True)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, cut.network.state_dict()[name])


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    # 360 MB of flux with a budget of 40 MB; what Python and torch take is measured before
    code = f"""
        import resource, sys
        sys.path.insert(0, {str(Path(astropayne.__file__).parents[1])!r})
        import numpy as np
        from astropy.table import Table
        from astropayne import PayneModel, SpectralGrid
        from astropayne.grids.data import make_grid_data
        from astropayne.grids.files import GridWriter
        rng = np.random.default_rng(1)
        labels = Table({{"teff": rng.uniform(4000, 7000, 3000), "logg": rng.uniform(1, 5, 3000)}})
        wavelength = np.linspace(5000, 6000, 30000)
        line = np.exp(-0.5 * ((wavelength - 5500) / 30) ** 2).astype(np.float32)
        with GridWriter("grid.asdf", 30000) as writer:
            for depth in rng.uniform(0.1, 0.9, (30, 100, 1)).astype(np.float32):
                writer.append(1 - depth * line)
            empty = np.broadcast_to(np.float32(0), (3000, 30000))
            writer.finish(make_grid_data(wavelength, empty, labels))
        grid = SpectralGrid.read("grid.asdf")
        model = PayneModel(hidden_layers=(16,), components=4)
        model.train(grid[:50], grid[50:60], max_epochs=1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        model.train(grid, max_epochs=1, memory=40e6, batch_size=64, check_interval=10)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 180  # MB, batches and their derivatives included


def test_some_memory_is_there():
    page = resource.getpagesize()
    assert 100e6 < available_memory(CPU) < 1e16
    assert 2 * available_memory(CPU) % page == 0  # all of it are pages, perhaps an odd number


@pytest.mark.parametrize("memory", [1, 5 * 4 * 3903])
def test_the_basis_has_its_components_however_little_memory_there_is(stored, memory):
    model = PayneModel((8,), components=16, parts=1)
    model.train(stored[:60], stored[60:70], max_epochs=1, batch_size=30, memory=memory)
    basis = model.network.pixels.weight.detach().numpy()
    assert np.linalg.matrix_rank(basis) == 16
