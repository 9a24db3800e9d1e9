# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The training loop: arrays in, a trained network and its history out."""

import copy
import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm.auto import tqdm

__all__ = ["TrainingOptions", "principal_components", "train_network"]


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Attributes
    ----------
    batch_size : int
        Spectra a step.
    learning_rate : float
        Its highest value: it rises over the first steps and falls as a cosine to zero.
    weight_decay : float
        Of AdamW.
    max_epochs : int
        Passes over the training spectra.
    max_time : float or None
        Seconds; with it the cosine ends at whichever limit is reached first.
    check_interval : int
        Steps between validations; the best network seen is the one returned.
    patience : int or None
        Stop after so many validations without a better one.
    seed : int
        Of the initial weights and the order of the spectra.
    """

    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    max_epochs: int = 2000
    max_time: float | None = None
    check_interval: int = 100
    patience: int | None = None
    seed: int = 0


@dataclass
class _History:
    """The rows of the history, and the best network so far."""

    rows: list = field(default_factory=list)
    best: float = math.inf
    best_state: dict | None = None
    since_best: int = 0

    def add(self, step, seconds, rate, train_rms, valid_rms, network):
        self.rows.append((step, seconds, rate, train_rms, valid_rms))
        self.since_best += 1
        if valid_rms < self.best:
            self.best, self.since_best = valid_rms, 0
            self.best_state = copy.deepcopy(network.state_dict())


def principal_components(flux, n_components, output):
    """Return a basis to start from: principal components of the spectra before the output function.

    Parameters
    ----------
    flux : torch.Tensor, shape (n, n_pixels)
    n_components : int
    output : {"sigmoid", "linear"}

    Returns
    -------
    basis : torch.Tensor, shape (n_components, n_pixels)
        Scaled such that the coefficients of the spectra have unit variance.
    mean : torch.Tensor, shape (n_pixels,)
    """
    # Flux of one has no logit; where it is nearly one, errors of the logit cost nothing, which
    # the clipping and the weights by the sigmoid's slope make known to the components.
    if output == "sigmoid":
        z = torch.logit(flux.clamp(1e-4, 1 - 1e-4))
        weight = (flux * (1 - flux)).clamp(1e-2).mean(0)
    else:
        z, weight = flux, torch.ones_like(flux[0])
    mean = z.mean(0)
    _, singular, rows = torch.linalg.svd((z - mean) * weight, full_matrices=False)
    k = min(n_components, len(singular))
    basis = torch.zeros(n_components, flux.shape[1], dtype=flux.dtype, device=flux.device)
    basis[:k] = rows[:k] * singular[:k, None] / len(flux) ** 0.5 / weight
    return basis, mean


def _initialise(network, flux):
    """Set the last layers: the pixels' mean, and the basis where there is one."""
    n = network.pixels.in_features
    with torch.no_grad():
        basis, mean = principal_components(flux, n, network.output)
        network.pixels.bias.copy_(mean)
        if network.coefficients is not None:
            network.pixels.weight.copy_(basis.T)


def _rate(options, progress, step):
    """Return the learning rate at a part of the whole way, between 0 and 1."""
    warm = min(1.0, (step + 1) / 100)
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def train_network(network, x, y, x_valid, y_valid, options, device, progress=None):
    """Train a network in place.

    Parameters
    ----------
    network : `~astropayne.network.SpectralNetwork`
    x, y : numpy.ndarray, shapes (n, n_labels) and (n, n_pixels)
        Scaled labels and flux to train on.
    x_valid, y_valid : numpy.ndarray
        The same, to choose the best network by.
    options : TrainingOptions
    device : torch.device
    progress : bool, optional
        Whether to show a progress bar; by default on a terminal only.

    Returns
    -------
    list of tuple
        Step, seconds, learning rate, rms on the last training batches, rms on the validation.

    Raises
    ------
    ValueError
        If the flux is not finite.
    FloatingPointError
        If the loss becomes NaN or infinite.
    """
    x, y, x_valid, y_valid = (
        torch.as_tensor(np.asarray(a), dtype=torch.float32, device=device)
        for a in (x, y, x_valid, y_valid)
    )
    if not (torch.isfinite(y).all() and torch.isfinite(y_valid).all()):
        raise ValueError("the flux of the grid is not finite everywhere")
    network.to(device)
    _initialise(network, y)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    # Drawn on the CPU, so that the order does not depend on the device.
    shuffler = torch.Generator().manual_seed(options.seed)
    batch_size = min(options.batch_size, len(x))
    steps_per_epoch = len(x) // batch_size
    n_steps = options.max_epochs * steps_per_epoch
    history, start, squares = _History(), time.monotonic(), []
    bar = tqdm(total=n_steps, desc="training", disable=None if progress is None else not progress)
    for step in range(n_steps):
        if step % steps_per_epoch == 0:
            order = torch.randperm(len(x), generator=shuffler).to(device)
        seconds = time.monotonic() - start
        part = max(step / n_steps, seconds / (options.max_time or math.inf))
        rate = _rate(options, part, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        first = step % steps_per_epoch * batch_size
        batch = order[first : first + batch_size]
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(network(x[batch]), y[batch])
        loss.backward()
        optimiser.step()
        squares.append(loss.detach())
        bar.update()
        last = step == n_steps - 1 or part >= 1
        if (step + 1) % options.check_interval == 0 or last:
            train_rms = float(torch.stack(squares).mean()) ** 0.5
            valid_rms = rms_error(network, x_valid, y_valid)
            squares.clear()
            if not (math.isfinite(train_rms) and math.isfinite(valid_rms)):
                raise FloatingPointError(
                    f"the loss is not finite any more after {step + 1} steps; the learning rate "
                    f"({options.learning_rate}) is probably too high, or the flux is not normalised"
                )
            history.add(step + 1, seconds, rate, train_rms, valid_rms, network)
            bar.set_postfix(train=f"{train_rms:.5f}", valid=f"{valid_rms:.5f}")
        if last or (options.patience is not None and history.since_best >= options.patience):
            break
    bar.close()
    network.load_state_dict(history.best_state)
    return history.rows


@torch.no_grad()
def rms_error(network, x, y, batch_size=1024):
    """Return the root mean square of predicted minus true flux over all pixels."""
    total = 0.0
    for first in range(0, len(x), batch_size):
        rows = slice(first, first + batch_size)
        total += float(((network(x[rows]) - y[rows]) ** 2).sum(dtype=torch.float64))
    return (total / y.numel()) ** 0.5
