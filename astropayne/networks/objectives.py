# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Losses in pixels and in components, and the weights training starts from."""

import contextlib
from itertools import pairwise

import torch
from torch import nn

__all__ = [
    "InComponents",
    "InPixels",
    "initialize",
    "layers_in",
    "principal_components",
    "require_reachable",
]


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


class InPixels(nn.Module):
    """What is trained, and what at: flux itself, of each member of the network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.flux_of(self.network.member_features(x))

    def loss(self, found, flux):
        """Return the mean square of the errors of the flux."""
        return nn.functional.mse_loss(found, flux.expand_as(found))


class InComponents(nn.Module):
    """The same where flux is a sum of fixed, orthogonal components: their coefficients.

    The squares of their errors are those of the flux, without pixels in between. Each part of the
    network has components of its own, of its stretch of the spectrum. The last target is what the
    components leave out of a spectrum, whatever the network gives.
    """

    def __init__(self, network, bases):
        super().__init__()
        self.network = network
        network.pixels.requires_grad_(False)
        sizes = [torch.linalg.vector_norm(basis, dim=1) for basis in bases]
        self.size = torch.cat(sizes)
        self.directions = [
            basis / size.clamp_min(1e-30)[:, None] for basis, size in zip(bases, sizes, strict=True)
        ]
        self.share = len(self.size) / network.pixels.out_features  # of an error, in a pixel's

    def forward(self, x):
        return self.network.part_coefficients(x).float() * self.size[:, None]

    def target(self, flux):
        """Return what the network is to give, shape (n, n_components + 1)."""
        depth = flux - self.network.pixels.bias
        stretches = depth.split([part.shape[1] for part in self.directions], dim=1)
        found = [d @ part.T for d, part in zip(stretches, self.directions, strict=True)]
        rest = [
            torch.addmm(d, f, part, alpha=-1).square().sum(dim=1)
            for d, f, part in zip(stretches, found, self.directions, strict=True)
        ]
        rest = torch.stack(rest).sum(dim=0) / depth.shape[1]
        return torch.cat([*found, rest.sqrt()[:, None]], dim=1)

    def loss(self, found, target):
        """Return the mean square of the errors of the flux."""
        along, rest = target.T.contiguous().split([len(self.size), 1])
        return nn.functional.mse_loss(found, along.expand_as(found)) * self.share + (rest**2).mean()


def initialize(network, flux):
    """Set the last layers, and return the components that each part's coefficients belong to.

    These are the pixels' mean, the basis where there is one, and what makes its coefficients of
    those of the parts.
    """
    n = network.pixels.in_features
    with torch.no_grad():
        basis, mean = principal_components(flux, n, network.output)
        network.pixels.bias.copy_(mean)
        if network.assembly is not None:
            # Parts do not know of each other. What they get wrong must not count for more in the
            # components that hardly vary.
            size = torch.linalg.vector_norm(basis, dim=1, keepdim=True)
            basis *= size.amax() / torch.where(size > 0, size, torch.inf)
        if network.coefficients is not None:
            network.pixels.weight.copy_(basis.T)
        if network.assembly is None:
            return [basis]
        each, inverse, bases = network.coefficients.out_features, torch.linalg.pinv(basis), []
        columns = network.assembly.weight.split(each, dim=1)
        for pixels, column in zip(_stretches(flux.shape[1], network.parts), columns, strict=True):
            bases.append(principal_components(flux[:, pixels], each, network.output)[0])
            column.copy_((bases[-1] @ inverse[pixels]).T)
    return bases


def _stretches(n_pixels, n):
    """Return slices of about the same length."""
    ends = [round(i * n_pixels / n) for i in range(n + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def require_reachable(flux, output):
    """Refuse flux that the output function cannot give."""
    outside = float(((flux < -0.1) | (flux > 1.1)).float().mean())
    if output == "sigmoid" and outside > 0.01:
        raise ValueError(
            f"the flux goes from {float(flux.min()):.4g} to {float(flux.max()):.4g}, but a network "
            f'with output="sigmoid" gives 0 to 1 only, and {100 * outside:.0f} % of the pixels are '
            'outside: normalise the spectra to their continuum, or use output="linear"'
        )


def layers_in(precision, device):
    """Return the ``with`` block in which layers multiply in that precision."""
    if precision == "float32":  # not every device knows another
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
