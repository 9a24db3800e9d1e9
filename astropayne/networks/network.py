# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The network: scaled labels in, flux out, and the derivatives of one by the other.

The derivatives are exact and in forward mode: values and tangents of all labels go through the
layers together, because labels are few and pixels many.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from astropayne.networks.architecture import ACTIVATIONS, OUTPUTS, VALUES, Architecture

__all__ = ["SpectralNetwork"]

# Ratio of the coefficients of all parts to those of the basis: stretches of a spectrum need more.
_MORE_THAN_SHARE = 4
_SPREAD_PIXELS = 512  # least number of pixels that the spread of members is measured in


class _Layer(nn.Linear):
    """A linear layer, with a column for each spectrum: (n_in, n) → (n_out, n).

    The weights' gradients then come out in the weights' own layout, and coefficients of several
    networks lie below each other without being copied.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, dtype=torch.float32)  # independent of the caller's default

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias[:, None], self.weight, x)


class _SideBySide(nn.Module):
    """Layers of several networks: (members, n_in, n) or (n_in, n) → (members, n_out, n)."""

    def __init__(self, members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        # Filled one by one: on the meta device torch.stack imports torch's compiler, a second.
        self.weight = nn.Parameter(torch.empty(members, n_out, n_in, dtype=torch.float32))
        self.bias = nn.Parameter(torch.empty(members, 1, n_out, dtype=torch.float32))
        for weight, bias in zip(self.weight.data, self.bias.data, strict=True):
            layer = _Layer(n_in, n_out)
            weight.copy_(layer.weight.data)
            bias.copy_(layer.bias.data)

    @property
    def out_features(self) -> int:
        return self.weight.shape[1]

    @property
    def in_features(self) -> int:
        return self.weight.shape[2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias.mT, self.weight, x.expand(len(self.weight), -1, -1))


class _Pixels(nn.Linear):
    """The last layer. In memory, the weights of one of its inputs lie next to each other.

    A single spectrum is then a sum of rows, which are read as fast as memory allows; sums along
    rows, as `torch.nn.Linear` has them, take up to three times as long.
    """

    def __init__(self, n_in: int, n_pixels: int) -> None:
        super().__init__(n_in, n_pixels, dtype=torch.float32)
        self.lay_out(training=False)

    def lay_out(self, *, training: bool) -> None:
        """Put the weights in the order that is fast; gradients come in torch's own."""
        weight = self.weight.data
        self.weight.data = weight.contiguous() if training else weight.T.contiguous().T


class SpectralNetwork(nn.Module):
    """A multilayer perceptron from labels to pixels, or the mean of several.

    Parameters
    ----------
    n_labels, n_pixels : int
        Sizes of input and output.
    hidden_layers : sequence of int
        Neurons of the hidden layers.
    activation : {"silu", "gelu", "tanh", "leaky_relu"}
        Function behind each hidden layer.
    output : {"sigmoid", "linear"}
        Function behind the last layer.
    components : int, optional
        Number of coefficients that the last hidden layer leads to. They lead to the pixels
        linearly: a basis of spectra, with fewer weights and operations than a full last layer.
    members : int
        Number of networks, side by side, that lead to coefficients; the mean of these leads to the
        pixels. Differences between the networks, which are largest between the spectra that they
        were trained on, average out.
    parts : int
        Number of networks that each member consists of, one for each stretch of the spectrum. Each
        has few coefficients of its own, and needs fewer spectra, because a stretch has lines of few
        elements. The coefficients of the basis are sums of theirs.

    Raises
    ------
    ValueError
        If a choice is not one of those listed.

    Examples
    --------
    >>> import torch
    >>> from astropayne.networks.network import SpectralNetwork
    >>> network = SpectralNetwork(3, 100, hidden_layers=(16, 16), components=8)
    >>> flux, jacobian = network.flux_and_jacobian(torch.zeros(5, 3))
    >>> flux.shape, jacobian.shape
    (torch.Size([5, 100]), torch.Size([5, 3, 100]))
    """

    def __init__(
        self,
        n_labels: int,
        n_pixels: int,
        hidden_layers: Sequence[int] = (256, 256, 256),
        activation: str = "silu",
        output: str = "sigmoid",
        components: int | None = None,
        members: int = 1,
        parts: int = 1,
    ) -> None:
        super().__init__()
        choices = Architecture(hidden_layers, activation, output, components, members, parts)
        if n_pixels < 1:
            raise ValueError(f"a network needs at least one pixel, got {n_pixels}")
        hidden_layers, components = choices.hidden_layers, choices.components
        self.activation, self.output = activation, output
        self.members, self.parts = choices.members or 1, choices.parts or 1
        layer: Callable[..., nn.Module] = _Layer
        if self.members * self.parts > 1:
            layer = functools.partial(_SideBySide, self.members * self.parts)
        self.hidden: Any = nn.ModuleList(
            layer(a, b) for a, b in zip([n_labels, *hidden_layers], hidden_layers, strict=False)
        )
        width = hidden_layers[-1] if hidden_layers else n_labels
        self.coefficients: Any = None
        self.assembly: Any = None
        each = width
        if components is not None:
            each = -(-min(self.parts, _MORE_THAN_SHARE) * components // self.parts)
            self.coefficients = layer(width, each)
        if self.parts > 1 and components is not None:
            self.assembly = nn.Linear(
                self.parts * each, components, bias=False, dtype=torch.float32
            )
        self.pixels = _Pixels(width if components is None else components, n_pixels)

    @classmethod
    def with_weights(
        cls, weights: Mapping[str, torch.Tensor], **architecture: Any
    ) -> "SpectralNetwork":
        """Return a network of weights, without drawing numbers from torch's generator.

        Parameters
        ----------
        weights : mapping of str to torch.Tensor
            Values of ``state_dict()``.
        **architecture
            Parameters of the constructor.

        Returns
        -------
        SpectralNetwork

        Raises
        ------
        RuntimeError
            If weights are missing, too many, or of another shape.
        """
        with torch.device("meta"):  # which has no numbers
            network = cls(**architecture)
        network.load_state_dict({name: w.float() for name, w in weights.items()}, assign=True)
        network.pixels.lay_out(training=False)
        return network

    @property
    def first(self) -> nn.Module:
        """The first layer."""
        return [*self.hidden, self.coefficients or self.pixels][0]

    @property
    def architecture(self) -> dict[str, Any]:
        """Parameters of the constructor that make a network like this one."""
        return {
            "n_labels": self.first.in_features,
            "n_pixels": self.pixels.out_features,
            "hidden_layers": [layer.out_features for layer in self.hidden],
            "activation": self.activation,
            "output": self.output,
            "components": None if self.coefficients is None else self.pixels.in_features,
            "members": self.members,
            "parts": self.parts,
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the flux.

        Parameters
        ----------
        x : torch.Tensor, shape (n, n_labels)
            Labels, scaled to [-0.5, 0.5].

        Returns
        -------
        torch.Tensor, shape (n, n_pixels)
        """
        return self.flux_of(self.features(x))

    def flux_of(self, features: torch.Tensor) -> torch.Tensor:
        """Return the flux for inputs of the last layer, shape (..., n_pixels)."""
        z = self.pixels(features)
        # Under autocast the layers are in half precision; flux would be too coarse in it.
        return VALUES[self.output](z.float() if z.dtype.itemsize < 4 else z)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the last layer, shape (n, n_features)."""
        return self._assembled(self._mean(self._side_by_side(x.mT)))

    def member_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of each member: ([members,] n, n_features)."""
        return self._assembled(self.part_coefficients(x))

    def part_coefficients(self, x: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of all parts: ([members,] parts · n_coefficients, n)."""
        return self._below(self._side_by_side(x.mT))

    def _side_by_side(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of each network: (n_labels, n) → ([members · parts,] k, n)."""
        for layer in self.hidden:
            x = VALUES[self.activation](layer(x))
        return x if self.coefficients is None else self.coefficients(x)

    def _below(self, x: torch.Tensor) -> torch.Tensor:
        """Put parts below each other: (members · parts, k, n) → ([members,] parts · k, n)."""
        if self.parts == 1:
            return x
        members = [self.members] if self.members > 1 else []
        return x.reshape(*members, self.parts * x.shape[-2], x.shape[-1])

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of members, parts below each other: shape (parts · k, n)."""
        x = self._below(x)
        return x.mean(0) if self.members > 1 else x

    def _assembled(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (..., n, n_features) from coefficients (..., parts · k, n)."""
        return x.mT if self.assembly is None else self.assembly(x.mT)

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rms difference between the flux of the members and that of their mean.

        Parameters
        ----------
        x : torch.Tensor, shape (n, n_labels)

        Returns
        -------
        torch.Tensor, shape (n,)
            Over members and several hundred pixels; zero for one member.
        """
        features = self.member_features(x)
        pixels = slice(None, None, max(1, self.pixels.out_features // _SPREAD_PIXELS))
        layer = self.pixels.weight[pixels], self.pixels.bias[pixels]
        flux, mean = (
            VALUES[self.output](nn.functional.linear(z, *layer))
            for z in (features, features.mean(0) if self.members > 1 else features)
        )
        return (flux - mean).square().mean(-1).reshape(self.members, len(x)).mean(0).sqrt()

    def features_and_tangents(
        self, x: torch.Tensor, by: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs of the last layer, and their derivatives by scaled labels.

        Parameters
        ----------
        x : torch.Tensor, shape (n, n_labels)
        by : sequence of int
            Indices of the labels.

        Returns
        -------
        features : torch.Tensor, shape (n, n_features)
        tangents : torch.Tensor, shape (n, n_by, n_features)
        """
        if not len(by):
            return self.features(x), x.new_empty(len(x), 0, self.pixels.in_features)
        shape, tangents = (len(by), len(x)), None  # of columns: one for each label and spectrum
        x, index = x.mT, torch.tensor(list(by)).to(x.device)
        for layer in self.hidden:
            x, slope = ACTIVATIONS[self.activation](layer(x))
            if tangents is None:  # the derivatives of its input are one each
                tangents = layer.weight[..., index, None] * slope[..., None, :]
            else:
                tangents = (layer.weight @ tangents).unflatten(-1, shape)
                tangents *= slope[..., None, :]
            tangents = tangents.flatten(-2)
        if tangents is None:
            directions = torch.eye(len(x), dtype=x.dtype, device=x.device)
            tangents = directions[:, index].repeat_interleave(shape[1], dim=1)
        if self.coefficients is not None:
            x, tangents = self.coefficients(x), self.coefficients.weight @ tangents
        x, tangents = (self._assembled(self._mean(part)) for part in (x, tangents))
        return x, tangents.unflatten(0, shape).transpose(0, 1)

    def flux_and_jacobian(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the flux and its derivatives by the scaled labels.

        Parameters
        ----------
        x : torch.Tensor, shape (n, n_labels)

        Returns
        -------
        flux : torch.Tensor, shape (n, n_pixels)
        jacobian : torch.Tensor, shape (n, n_labels, n_pixels)
        """
        features, tangents = self.features_and_tangents(x, range(x.shape[-1]))
        flux, slope = OUTPUTS[self.output](self.pixels(features))
        return flux, (tangents @ self.pixels.weight.T) * slope[:, None]
