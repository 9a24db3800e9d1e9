# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The training loop: arrays in, a trained network and its history out."""

import contextlib
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from astropayne.networks.distributed import Workers, workers
from astropayne.networks.feed import SpectraFeed, available_memory
from astropayne.networks.network import SpectralNetwork
from astropayne.networks.objectives import (
    InComponents,
    InPixels,
    initialize,
    layers_in,
    require_reachable,
)
from astropayne.networks.options import TrainingOptions
from astropayne.networks.training_state import TrainingRun, TrainingState
from astropayne.utils.progress import progress_bar

__all__ = ["TrainingRun", "rms_error", "train_network"]

_BASIS_SPECTRA = 4096  # more do not make a better basis to start from


def train_network(
    network: SpectralNetwork,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    x_valid: npt.ArrayLike,
    y_valid: npt.ArrayLike,
    options: TrainingOptions,
    device: torch.device,
    progress: bool | None = None,
    *,
    checkpoint: str | Path | None = None,
    resume: str | Path | None = None,
    initialize_layers: bool = True,
) -> TrainingRun:
    """Train a network in place.

    Several processes that ``torchrun`` has started train one network together: each takes its
    part of every batch.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    x, y : array_like, shapes (n, n_labels) and (n, n_pixels)
        Scaled labels and flux to train on; the flux may be a
        ``astropayne.grids.flux_file.FluxFile``.
    x_valid, y_valid : array_like
        Scaled labels and flux of the validation spectra, which choose the best network.
    options : TrainingOptions
    device : torch.device
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.
    checkpoint : path-like, optional
        File to keep the last and the best network in.
    resume : path-like, optional
        Checkpoint to go on from. The result is then the same as without the interruption, on
        the CPU to the last bit.
    initialize_layers : bool
        Whether the last layer begins as the spectra's principal components.

    Returns
    -------
    TrainingRun
        The network has the weights that were best on the validation, also where training was
        interrupted or the loss did not stay finite: ``stopped`` says so.

    Raises
    ------
    ValueError
        If the flux is not finite or outside the range of the network's output, a checkpoint belongs
        to another training, or the processes have different spectra or checkpoints.
    FloatingPointError
        If the loss is not finite before the first validation.
    FileNotFoundError
        If there is no folder for the checkpoint, or no checkpoint to go on from.
    """
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder for the checkpoint {checkpoint}")
    if checkpoint is not None and Path(checkpoint).is_dir():
        raise IsADirectoryError(
            f"the checkpoint {checkpoint} is a folder: give a file, such as run.npz in it"
        )
    with workers(device) as processes, torch.enable_grad():
        # The order of the spectra and the basis depend on the memory.
        memory = processes.minimum(options.memory or available_memory(device), device)
        valid = SpectraFeed(x_valid, y_valid, device, 0.25 * memory)
        train = SpectraFeed(x, y, device, memory - min(valid.memory, 0.25 * memory))
        network.to(device).pixels.lay_out(training=True)
        if network.assembly is not None:  # it defines the coefficients of the parts
            network.assembly.requires_grad_(False)
        signature = _signature(train, valid)
        # Fixed components must come from more spectra than there are components.
        flux = train.sample(_BASIS_SPECTRA, least=2 * (network.architecture["components"] or 1))
        require_reachable(flux, network.output)
        bases = initialize(network, flux) if initialize_layers else []
        # Not every GPU gives components the same signs.
        processes.share([*network.parameters(), *bases])
        linear = network.output == "linear" and network.coefficients is not None
        unit = float(flux.var(0).mean()) or 1.0
        del flux
        trained: InPixels | InComponents = InPixels(network)
        if linear and initialize_layers:
            trained = InComponents(network, bases)
            train.set_target(trained.target)
        signature.append(train.resident)
        state = TrainingState(network, options, signature)
        if resume is not None:
            state.load(resume)
        if not processes.is_shared(zlib.crc32(repr((signature, state.step)).encode()), device):
            raise ValueError(
                "processes that train together have different spectra or checkpoints, or only some "
                "of them have a checkpoint: they need the same grids, split and checkpoint, on a "
                "disk that all of them can access"
            )
        try:
            _loop(state, trained, unit, train, valid, processes, progress, checkpoint)
        except KeyboardInterrupt:
            if state.run.best_state is None or processes.size > 1:
                raise
            state.run.stopped = "interrupted"
        finally:
            network.requires_grad_(True)
            network.pixels.lay_out(training=False)
    network.load_state_dict(state.run.best_state or {})
    return state.run


def _signature(train: SpectraFeed, valid: SpectraFeed) -> list:
    """Return sizes and checksums that must be the same when training is resumed."""
    labels = zlib.crc32(torch.cat([train.x, valid.x]).cpu().numpy().tobytes())
    return [len(train), len(valid), train.n_pixels, labels, train.resident]


def _epochs(
    train: SpectraFeed, batch_size: int, options: TrainingOptions
) -> Iterator[torch.Tensor]:
    """Yield the order of each epoch, which depends on the seed."""
    shuffler = torch.Generator().manual_seed(options.seed)
    while True:
        yield train.epoch(shuffler, batch_size)


def _loop(
    state: TrainingState,
    trained: InPixels | InComponents,
    unit: float,
    train: SpectraFeed,
    valid: SpectraFeed,
    processes: Workers,
    progress: bool | None,
    checkpoint: str | Path | None,
) -> None:
    """Take the steps from the state's on, until one of the limits is reached.

    ``unit`` is about the flux's variance: the loss is counted in it, so that rounding and the
    optimizer's small constants do not matter.
    """
    options, device, run = state.options, train.device, state.run
    batch_size = min(options.batch_size, len(train))
    if batch_size < processes.size:
        raise ValueError(f"batches of {batch_size} spectra cannot be shared by {processes.size}")
    n_steps = options.max_epochs * (len(train) // batch_size)
    if options.t_max is not None:
        n_steps = min(n_steps, 3 * options.t_max)
    parallel: Any = processes.parallel(trained)
    if options.compile:
        parallel = torch.compile(parallel, dynamic=False)
    batches = train.batches(_epochs(train, batch_size, options), state.step, processes.part)
    # One running sum: losses that are kept would each split memory that batches have freed.
    squares, n_squares = torch.zeros((), device=device), 0
    shown = False if processes.rank else progress  # by the first process only
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left{postfix}"
    bar = progress_bar(1.0, "training", shown, bar_format=shape)  # limits are of steps or of time
    with contextlib.closing(batches), bar:
        while not _finished(state, n_steps):
            seconds = state.seconds
            if options.max_time is not None:
                seconds = processes.first_value(seconds, device)
            part = max(state.step / n_steps, seconds / (options.max_time or math.inf))
            rate = _rate(options, part, state.step)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            x, y = next(batches)
            state.optimizer.zero_grad(set_to_none=True)
            with layers_in(options.precision, device):
                output = parallel(x)
            loss = trained.loss(output, y)
            # The mean over processes is that over the batch, although parts may differ by one.
            (loss * (len(x) * processes.size / batch_size / unit)).backward()
            state.optimizer.step()
            _forget_labels(state.network, rate * options.label_decay)
            squares += loss.detach()
            state.step, n_squares = state.step + 1, n_squares + 1
            bar.update(min(max(part, state.step / n_steps), 1.0) - bar.n)
            last = state.step == n_steps or part >= 1
            if state.step % options.check_interval == 0 or last:
                train_rms = (
                    processes.sum(float(squares) / n_squares, device) / processes.size
                ) ** 0.5
                squares, n_squares = torch.zeros_like(squares), 0
                valid_rms = rms_error(state.network, valid, processes)
                if not (math.isfinite(train_rms) and math.isfinite(valid_rms)):
                    _stop_not_finite(state)
                    return
                run.add(state.step, seconds, rate, train_rms, valid_rms, state.network)
                bar.set_postfix_str(f"rms {train_rms:.5f}, {valid_rms:.5f} valid; rate {rate:.1e}")
                if checkpoint is not None and processes.rank == 0:
                    state.save(checkpoint, force=last)
            if last:
                run.stopped = "steps" if state.step == n_steps else "time"
                return


@torch.no_grad()
def _forget_labels(network: SpectralNetwork, step: float) -> None:
    """Shorten the vector of each label's weights in each part of the network by a length.

    This is a group lasso (Yuan & Lin 2006, J. R. Stat. Soc. B 68, 49), decoupled from the gradients
    as the weight decay of AdamW is.
    """
    if network.parts > 1 and network.hidden:
        weight = network.hidden[0].weight
        size = torch.linalg.vector_norm(weight, dim=-2, keepdim=True)
        weight *= (1 - step / size.clamp_min(1e-30)).clamp_min(0)


def _finished(state: TrainingState, n_steps: int) -> bool:
    """Return whether training is at its end, as it may be when a run is resumed."""
    options, run = state.options, state.run
    if options.patience is not None and run.since_best >= options.patience:
        run.stopped = "patience"
        return True
    return state.step >= n_steps


def _stop_not_finite(state: TrainingState) -> None:
    message = (
        f"the loss is not finite any more after {state.step} steps; the learning rate "
        f"({state.options.learning_rate}) is probably too high, or the flux is not normalized"
    )
    if state.run.best_state is None:
        raise FloatingPointError(message)
    state.run.stopped = "not finite"


@torch.no_grad()
def rms_error(
    network: SpectralNetwork, feed: SpectraFeed, processes: Workers | None = None
) -> float:
    """Return the root mean square of predicted minus true flux over all pixels.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    feed : `~astropayne.networks.feed.SpectraFeed`
    processes : `~astropayne.networks.distributed.Workers`, optional
        Processes that share the spectra.
    """
    total = 0.0
    exact = torch.float32 if feed.device.type == "mps" else torch.float64  # Metal has no float64
    for x, y in feed.blocks(slice(None) if processes is None else processes.part):
        total += float(((network(x) - y) ** 2).sum(dtype=exact))
    if processes is not None:
        total = processes.sum(total, feed.device)
    return (total / (len(feed) * feed.n_pixels)) ** 0.5


def _rate(options: TrainingOptions, progress: float, step: int) -> float:
    """Return the learning rate at a fraction of the training."""
    warm = min(1.0, (step + 1) / 100)
    if options.t_max is None:
        return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / options.t_max, 1.0)))
    return options.learning_rate * warm * (1e-4 + (1 - 1e-4) * cosine)
