# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The training loop: arrays in, a trained network and its history out."""

import contextlib
import copy
import math
import time
import warnings
import zlib
from dataclasses import (
    asdict,
    dataclass,
    field,
    fields,
)
from pathlib import Path

import torch
from astropy.utils.exceptions import AstropyUserWarning
from tqdm.auto import tqdm

from astropayne.networks.checkpoint import read_checkpoint, write_checkpoint
from astropayne.networks.distributed import workers
from astropayne.networks.feed import SpectraFeed, available_memory
from astropayne.networks.objectives import (
    InComponents,
    InPixels,
    initialize,
    layers_in,
    require_reachable,
)

__all__ = ["TrainingRun", "train_network"]

_BASIS_SPECTRA = 4096  # more do not make a better basis to start from
# AdamW's memory of squared gradients is shorter than usual: they fall by orders of magnitude in a
# run, and with the usual 0.999 it takes three times as many steps.
_BETAS = (0.9, 0.95)
# What a run may be resumed with in another way than it was begun.
_MAY_CHANGE = ("max_time", "memory", "checkpoint_interval", "compile")


@dataclass
class TrainingRun:
    """How training went, and the best network so far.

    Attributes
    ----------
    rows : list of tuple
        Step, seconds, learning rate, rms on the last training batches, rms on the validation.
    best : float
        The lowest rms on the validation.
    stopped : str
        Why it ended: ``"steps"``, ``"time"``, ``"patience"``, ``"interrupted"``,
        ``"not finite"``.
    since_best : int
        Validations since then.
    best_state : dict of str to torch.Tensor
        The network's weights then.
    """

    rows: list = field(default_factory=list)
    best: float = math.inf
    since_best: int = 0
    best_state: dict | None = None
    stopped: str = "steps"

    def add(self, step, seconds, rate, train_rms, valid_rms, network):
        """Add a validation."""
        self.rows.append((step, seconds, rate, train_rms, valid_rms))
        self.since_best += 1
        if valid_rms < self.best:
            self.best, self.since_best = valid_rms, 0
            self.best_state = copy.deepcopy(network.state_dict())


def _rate(options, progress, step):
    """Return the learning rate at a part of the whole way, between 0 and 1."""
    warm = min(1.0, (step + 1) / 100)
    if options.t_max is None:
        return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / options.t_max, 1.0)))
    return options.learning_rate * warm * (1e-4 + (1 - 1e-4) * cosine)


class _State:
    """What changes while a network is trained, and how it comes into a checkpoint and back."""

    def __init__(self, network, options, data):
        self.network, self.options, self.data = network, options, data
        self.optimiser = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            lr=options.learning_rate,
            betas=_BETAS,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.run, self.step, self._begun, self._saved = TrainingRun(), 0, time.monotonic(), 0.0

    @property
    def seconds(self):
        """Time in training, that before an interruption included."""
        return time.monotonic() - self._begun

    def save(self, path, force=False):
        """Write a checkpoint, unless there was one a short time ago."""
        if not force and self.seconds - self._saved < self.options.checkpoint_interval:
            return
        optimiser = {
            f"{i} {key}": torch.as_tensor(value)
            for i, values in self.optimiser.state_dict()["state"].items()
            for key, value in values.items()
        }
        tensors = {
            "network": self.network.state_dict(),
            "best": self.run.best_state,
            "optimiser": optimiser,
        }
        facts = {
            "options": asdict(self.options),
            "architecture": self.network.architecture,
            "data": self.data,
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.run.rows,
            "best": self.run.best,
            "since_best": self.run.since_best,
        }
        try:
            write_checkpoint(path, tensors, facts)
        except OSError as error:
            warnings.warn(
                f"the checkpoint {path} could not be written ({error}). Training goes on; what "
                "was there before is intact",
                AstropyUserWarning,
                stacklevel=2,
            )
        self._saved = self.seconds

    def load(self, path):
        """Go on from a checkpoint."""
        tensors, facts = read_checkpoint(path)
        if list(facts["data"]) != self.data:
            raise ValueError(
                f"{path} was written by training on other spectra, or on another part of them: "
                "resume with the same grids, split and memory"
            )
        # Weights of one shape do not say what is between them.
        if facts.get("architecture") != self.network.architecture:
            raise ValueError(
                f"{path} holds a network of another architecture: {facts.get('architecture')}, not "
                f"{self.network.architecture}"
            )
        for option in fields(self.options):
            old, new = facts["options"].get(option.name), getattr(self.options, option.name)
            if option.name not in _MAY_CHANGE and old != new:
                raise ValueError(
                    f"{path} was written by training with {option.name}={old!r}, not {new!r}: "
                    "resume with the same options; start= begins anew from a trained model"
                )
        self.network.load_state_dict(tensors["network"])
        device = self.network.pixels.weight.device
        state = {}
        for name, tensor in tensors["optimiser"].items():
            i, key = name.split(" ")
            state.setdefault(int(i), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.step, self._begun = facts["step"], time.monotonic() - facts["seconds"]
        self._saved = facts["seconds"]
        self.run = TrainingRun(
            [tuple(row) for row in facts["rows"]],
            facts["best"],
            facts["since_best"],
            {name: tensor.to(device) for name, tensor in tensors["best"].items()},
        )


def train_network(
    network,
    x,
    y,
    x_valid,
    y_valid,
    options,
    device,
    progress=None,
    *,
    checkpoint=None,
    resume=None,
    initialize_layers=True,
):
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
        The same, to choose the best network by.
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
        If the flux is not finite, or not what the network's output can be; or a checkpoint does
        not go with the rest; or processes that train together have not the same.
    FloatingPointError
        If the loss is not finite before there is a network to keep.
    FileNotFoundError
        If there is no folder for the checkpoint, or none to go on from.
    """
    if checkpoint is not None and not Path(checkpoint).absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder for the checkpoint {checkpoint}")
    if checkpoint is not None and Path(checkpoint).is_dir():
        raise IsADirectoryError(
            f"the checkpoint {checkpoint} is a folder: name a file, such as run.npz in it"
        )
    with workers(device) as crew, torch.enable_grad():
        # The order of the spectra, and where the basis comes from, depend on it.
        memory = crew.least(options.memory or available_memory(device), device)
        valid = SpectraFeed(x_valid, y_valid, device, 0.25 * memory)
        train = SpectraFeed(x, y, device, memory - min(valid.memory, 0.25 * memory))
        network.to(device).pixels.lay_out(training=True)
        if network.assembly is not None:  # it only says what coefficients of parts mean
            network.assembly.requires_grad_(False)
        signature = _signature(train, valid)
        # Components that stay as they are have to come from more spectra than there are of them.
        flux = train.sample(_BASIS_SPECTRA, least=2 * (network.architecture["components"] or 1))
        require_reachable(flux, network.output)
        bases = initialize(network, flux) if initialize_layers else []
        # Not every GPU gives components the same signs.
        crew.share([*network.parameters(), *bases])
        linear = network.output == "linear" and network.coefficients is not None
        unit = float(flux.var(0).mean()) or 1.0
        del flux
        trained = InPixels(network)
        if linear and initialize_layers:
            trained = InComponents(network, bases)
            train.aim_at(trained.target)
        signature.append(train.resident)
        state = _State(network, options, signature)
        if resume is not None:
            state.load(resume)
        if not crew.is_shared(zlib.crc32(repr((signature, state.step)).encode()), device):
            raise ValueError(
                "processes that train together have other spectra than each other, or another "
                "checkpoint, or only some have one: they need the same grids, split and "
                "checkpoint, on a disk that all of them see"
            )
        try:
            _loop(state, trained, unit, train, valid, crew, progress, checkpoint)
        except KeyboardInterrupt:
            if state.run.best_state is None or crew.size > 1:
                raise
            state.run.stopped = "interrupted"
        finally:
            network.requires_grad_(True)
            network.pixels.lay_out(training=False)
    network.load_state_dict(state.run.best_state)
    return state.run


def _signature(train, valid):
    """Return what has to be the same when training is resumed."""
    labels = zlib.crc32(torch.cat([train.x, valid.x]).cpu().numpy().tobytes())
    return [len(train), len(valid), train.n_pixels, labels, train.resident]


def _epochs(train, batch_size, options):
    """Yield the order of each epoch; the same for the same seed, wherever it is read from."""
    shuffler = torch.Generator().manual_seed(options.seed)
    while True:
        yield train.epoch(shuffler, batch_size)


def _loop(state, trained, unit, train, valid, crew, progress, checkpoint):
    """Take the steps from the state's on, until one of the limits is reached.

    ``unit`` is about the flux's variance: the loss is counted in it, so that rounding and the
    optimiser's small constants do not matter.
    """
    options, device, run = state.options, train.device, state.run
    batch_size = min(options.batch_size, len(train))
    if batch_size < crew.size:
        raise ValueError(f"batches of {batch_size} spectra cannot be shared by {crew.size}")
    n_steps = options.max_epochs * (len(train) // batch_size)
    if options.t_max is not None:
        n_steps = min(n_steps, 3 * options.t_max)
    parallel = crew.parallel(trained)
    if options.compile:
        parallel = torch.compile(parallel, dynamic=False)
    batches = train.batches(_epochs(train, batch_size, options), state.step, crew.part)
    # One number that is added to: kept losses would each split memory that batches have left.
    squares, n_squares = torch.zeros((), device=device), 0
    with contextlib.closing(batches), _bar(progress, crew) as bar:
        while not _finished(state, n_steps):
            seconds = state.seconds
            if options.max_time is not None:
                seconds = crew.agree(seconds, device)
            part = max(state.step / n_steps, seconds / (options.max_time or math.inf))
            rate = _rate(options, part, state.step)
            for group in state.optimiser.param_groups:
                group["lr"] = rate
            x, y = next(batches)
            state.optimiser.zero_grad(set_to_none=True)
            with layers_in(options.precision, device):
                found = parallel(x)
            loss = trained.loss(found, y)
            # The mean over processes is that over the batch, although parts may differ by one.
            (loss * (len(x) * crew.size / batch_size / unit)).backward()
            state.optimiser.step()
            _forget_labels(state.network, rate * options.label_decay)
            squares += loss.detach()
            state.step, n_squares = state.step + 1, n_squares + 1
            bar.update(min(max(part, state.step / n_steps), 1.0) - bar.n)
            last = state.step == n_steps or part >= 1
            if state.step % options.check_interval == 0 or last:
                train_rms = (crew.sum(float(squares) / n_squares, device) / crew.size) ** 0.5
                squares, n_squares = torch.zeros_like(squares), 0
                valid_rms = rms_error(state.network, valid, crew)
                if not (math.isfinite(train_rms) and math.isfinite(valid_rms)):
                    _stop_not_finite(state)
                    return
                run.add(state.step, seconds, rate, train_rms, valid_rms, state.network)
                bar.set_postfix_str(f"rms {train_rms:.5f}, {valid_rms:.5f} valid; rate {rate:.1e}")
                if checkpoint is not None and crew.rank == 0:
                    state.save(checkpoint, force=last)
            if last:
                run.stopped = "steps" if state.step == n_steps else "time"
                return


@torch.no_grad()
def _forget_labels(network, step):
    """Make each label's weights in each part of the network smaller, by an amount in all.

    That is what a sum of the amounts' sizes in the loss would do (a group lasso: Yuan & Lin 2006,
    J. R. Stat. Soc. B 68, 49), apart from the gradients' own sizes, as AdamW decays weights.
    """
    if network.parts > 1 and network.hidden:
        weight = network.hidden[0].weight
        size = torch.linalg.vector_norm(weight, dim=-2, keepdim=True)
        weight *= (1 - step / size.clamp_min(1e-30)).clamp_min(0)


def _finished(state, n_steps):
    """Say whether there is nothing more to do, also when a run that had ended is resumed."""
    options, run = state.options, state.run
    if options.patience is not None and run.since_best >= options.patience:
        run.stopped = "patience"
        return True
    return state.step >= n_steps


def _stop_not_finite(state):
    message = (
        f"the loss is not finite any more after {state.step} steps; the learning rate "
        f"({state.options.learning_rate}) is probably too high, or the flux is not normalised"
    )
    if state.run.best_state is None:
        raise FloatingPointError(message)
    state.run.stopped = "not finite"


def _bar(progress, crew):
    """Return a progress bar from 0 to 1: the limits are of steps or of time."""
    hidden = True if crew.rank else (None if progress is None else not progress)
    shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed} passed, {remaining} left{postfix}"
    return tqdm(total=1.0, desc="training", disable=hidden, bar_format=shape)


@torch.no_grad()
def rms_error(network, feed, crew=None):
    """Return the root mean square of predicted minus true flux over all pixels.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    feed : `~astropayne.networks.feed.SpectraFeed`
    crew : `~astropayne.networks.distributed.Workers`, optional
        Processes that share the work.
    """
    total = 0.0
    exact = torch.float32 if feed.device.type == "mps" else torch.float64  # Metal has no other
    for x, y in feed.blocks(slice(None) if crew is None else crew.part):
        total += float(((network(x) - y) ** 2).sum(dtype=exact))
    if crew is not None:
        total = crew.sum(total, feed.device)
    return (total / (len(feed) * feed.n_pixels)) ** 0.5
