# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Losses in pixels and in components, and the weights that training starts from."""

import contextlib
from itertools import pairwise

import torch
from torch import nn

from astropayne.networks.network import SpectralNetwork

__all__ = [
    "InComponents",
    "InPixels",
    "initialize",
    "layers_in",
    "principal_components",
    "require_reachable",
]


def principal_components(
    flux: torch.Tensor, n_components: int, output: str
) -> tuple[torch.Tensor, torch.Tensor]:
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
    # A flux of one has no logit, and near one, errors of the logit hardly change the flux: flux is
    # clipped, and pixels have the sigmoid's slope as their weight.
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
    """A network trained on flux: its output is the flux of each member.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    """

    def __init__(self, network: SpectralNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the flux of each member: ([members,] n, n_pixels)."""
        return self.network.flux_of(self.network.member_features(x))

    def loss(self, output: torch.Tensor, flux: torch.Tensor) -> torch.Tensor:
        """Return the mean square error of the flux."""
        return nn.functional.mse_loss(output, flux.expand_as(output))


class InComponents(nn.Module):
    """A network trained on the coefficients of fixed, orthogonal components of the flux.

    Square errors of the coefficients are those of the flux, and no pixels need to be computed. Each
    part of the network has components of its own, of its stretch of the spectrum. The last target
    is the rms of a spectrum's residual from the components, which does not depend on the network.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
        Its last layer is fixed.
    bases : list of torch.Tensor
        Components of each part, as `initialize` returns them.
    """

    def __init__(self, network: SpectralNetwork, bases: list[torch.Tensor]) -> None:
        super().__init__()
        self.network = network
        network.pixels.requires_grad_(False)
        sizes = [torch.linalg.vector_norm(basis, dim=1) for basis in bases]
        self.size = torch.cat(sizes)
        self.directions = [
            basis / size.clamp_min(1e-30)[:, None] for basis, size in zip(bases, sizes, strict=True)
        ]
        # Mean over pixels in place of that over coefficients.
        self.share = len(self.size) / network.pixels.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of each member: ([members,] n_components, n)."""
        return self.network.part_coefficients(x).float() * self.size[:, None]

    def target(self, flux: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of spectra and the rms that they leave: (n, n_components + 1)."""
        depth = flux - self.network.pixels.bias
        stretches = depth.split([part.shape[1] for part in self.directions], dim=1)
        coefficients = [d @ part.T for d, part in zip(stretches, self.directions, strict=True)]
        squares = [
            torch.addmm(d, c, part, alpha=-1).square().sum(dim=1)
            for d, c, part in zip(stretches, coefficients, self.directions, strict=True)
        ]
        rest = torch.stack(squares).sum(dim=0) / depth.shape[1]
        return torch.cat([*coefficients, rest.sqrt()[:, None]], dim=1)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean square error of the flux."""
        along, rest = target.T.contiguous().split([len(self.size), 1])
        of_coefficients = nn.functional.mse_loss(output, along.expand_as(output))
        return of_coefficients * self.share + (rest**2).mean()


def initialize(network: SpectralNetwork, flux: torch.Tensor) -> list[torch.Tensor]:
    """Set the last layers from spectra, and return the components of each part.

    The last layer gets the pixels' mean and, if there are components, the basis; the layer that
    combines parts gets the transformation from their coefficients to those of the basis.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
    flux : torch.Tensor, shape (n, n_pixels)

    Returns
    -------
    list of torch.Tensor, shapes (n_coefficients, n_part_pixels)
    """
    n = network.pixels.in_features
    with torch.no_grad():
        basis, mean = principal_components(flux, n, network.output)
        network.pixels.bias.copy_(mean)
        if network.assembly is not None:
            # Errors of the parts, which are independent, must not count for more in the components
            # that hardly vary.
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


def _stretches(n_pixels: int, n: int) -> list[slice]:
    """Return slices of about the same length."""
    ends = [round(i * n_pixels / n) for i in range(n + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def require_reachable(flux: torch.Tensor, output: str) -> None:
    """Raise `ValueError` for flux outside the range of the output function."""
    outside = float(((flux < -0.1) | (flux > 1.1)).float().mean())
    if output == "sigmoid" and outside > 0.01:
        raise ValueError(
            f"the flux goes from {float(flux.min()):.4g} to {float(flux.max()):.4g}, but a network "
            f'with output="sigmoid" gives 0 to 1 only, and {100 * outside:.0f} % of the pixels are '
            'outside: normalize the spectra to their continuum, or use output="linear"'
        )


def layers_in(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Return a context manager in which layers multiply numbers of a precision."""
    if precision == "float32":  # not every device has another
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
