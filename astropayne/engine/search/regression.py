# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""A first estimate of a star's parameters by polynomial regression."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.stats import qmc

from astropayne.forward.model import ForwardModel
from astropayne.forward.parameters import labels_of, parameter_names, velocity_of
from astropayne.labels.space import LabelSpace
from astropayne.utils.torch_state import without_gradients

__all__ = ["REGRESSION_FLOOR", "Regression", "flux_on_axis"]

# Numbers of spectra, of those that determine principal components, of components, and of components
# whose products are features; noise of a pixel in training, and noise added to the observed one.
_N_SPECTRA, _N_FOR_COMPONENTS, _N_COMPONENTS, _N_SQUARED = 1024, 384, 24, 20
_NOISE, REGRESSION_FLOOR = 1e-2, 3e-3
_FASTEST = 45.0  # km/s, highest vsini of the training spectra
_BLOCK = 256  # spectra that are computed at a time


def flux_on_axis(
    forward: ForwardModel, theta: np.ndarray, resolution: float | None
) -> torch.Tensor:
    """Return the flux on the axis of the forward model in single precision: (n, n_fft)."""
    with without_gradients():
        blocks = (forward.rows(block, resolution).float() for block in _blocks(theta))
        return torch.cat(list(blocks))


def _blocks(theta):
    return (theta[i : i + _BLOCK] for i in range(0, len(theta), _BLOCK))


def _components(rows, k):
    """Return principal components of rows after subtraction of their mean: (k, n_columns).

    Linear algebra is done on the CPU, because not every device has double precision.
    """
    away = (rows - rows.mean(dim=0)).cpu().double()
    left = torch.linalg.eigh(away @ away.T)[1]
    components = left[:, -k:].flip(1).T @ away
    return (components / torch.linalg.vector_norm(components, dim=1, keepdim=True)).to(rows)


class Regression:
    """Parameters of a star from its spectrum, as a polynomial of its principal components.

    The regression is trained on predictions of the model for random parameters. The components of
    an observed spectrum are fitted by least squares with a Gaussian prior of their scatter, so that
    pixels may be missing. The continuum's polynomials are fitted together with them.
    """

    def __init__(
        self,
        forward: ForwardModel,
        labels: LabelSpace,
        known: Mapping[int, float],
        resolution: float | None,
    ) -> None:
        n, n_labels = len(parameter_names(labels.names)), len(labels.names)
        points = qmc.Sobol(n_labels + 1, rng=np.random.default_rng(1)).random(_N_SPECTRA)
        theta = np.zeros((_N_SPECTRA, n))
        labels_of(theta)[:] = labels.minimum + points[:, :n_labels] * labels.width
        vsini = velocity_of(theta, "vsini")
        vsini[:] = _FASTEST * points[:, -1] ** 1.5
        theta[:, list(known)] = list(known.values())
        depth = 1 - flux_on_axis(forward, theta, resolution)
        self._n, self._forward, self._known = n, forward, known
        self._low = forward._tensor(labels.minimum, torch.float32)
        self._width = forward._tensor(labels.width, torch.float32)
        self._mean = depth.mean(dim=0)
        self._components = _components(depth[:_N_FOR_COMPONENTS], _N_COMPONENTS)
        values = (depth - self._mean) @ self._components.T
        self._size = values.std(dim=0)
        self._first, self._second = torch.triu_indices(
            *2 * (min(_N_SQUARED, _N_COMPONENTS),), device=forward.device
        )
        noise = torch.as_tensor(np.random.default_rng(2).normal(0, _NOISE, values.shape))
        features = self._features(values + noise.to(values)).cpu().double()
        scaled = (labels_of(theta) - labels.minimum) / labels.width
        wanted = np.column_stack([scaled, np.sqrt(vsini / _FASTEST)])
        normal = features.T @ features
        normal += 1e-3 * torch.eye(len(normal), dtype=normal.dtype)
        right = features.T @ torch.as_tensor(wanted)
        self._coefficients = torch.linalg.solve(normal, right).to(values)
        self._designs = {}

    def _features(self, values):
        """Return constant, components and their products: (n, n_features)."""
        u = (values / self._size).clamp(-5, 5)
        return torch.cat([torch.ones_like(u[:, :1]), u, u[:, self._first] * u[:, self._second]], 1)

    def _design(self, degree):
        """Return columns of depth on the axis, their products in pairs, and their priors."""
        if degree not in self._designs:
            columns, prior = [*self._components], [*self._size**-2.0]
            for offset, length in zip(self._forward.offset, self._forward.length, strict=True):
                x = np.linspace(-1, 1, length)
                for k in range(0 if degree is None else degree + 1):
                    column = torch.zeros_like(self._mean)
                    values = np.polynomial.chebyshev.chebval(x, [0] * k + [1])
                    column[offset : offset + length] = torch.as_tensor(values).to(column)
                    columns.append(column * (self._mean - 1))
                    prior.append(torch.ones_like(prior[0]))
            columns = torch.stack(columns)
            i, j = torch.triu_indices(len(columns), len(columns), device=columns.device)
            self._designs[degree] = columns, columns[i] * columns[j], (i, j), torch.stack(prior)
        return self._designs[degree]

    def of(
        self, weight: torch.Tensor, degree: int | None
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the regression for spectra with these weights, summed over pixels: (n, n_fft).

        It is a function of the weighted flux, summed over pixels: (n, n_fft). It returns estimates
        that `parameters` takes: (n, n_labels + 1).
        """
        columns, products, (i, j), prior = self._design(degree)

        packed = weight @ products.T
        normal = packed.new_zeros(len(packed), len(prior), len(prior))
        normal[:, i, j] = normal[:, j, i] = packed
        factors = torch.linalg.lu_factor((normal + torch.diag(prior)).cpu().double())

        def regress(weighted_flux: torch.Tensor) -> torch.Tensor:
            flux = weighted_flux / weight.clamp_min(1e-30)
            level = torch.ones_like(flux)
            for _ in range(
                1 if degree is None else 3
            ):  # the continuum multiplies the flux, so this is not linear
                right = (weight * (1 - flux / level - self._mean)) @ columns.T
                right = right.cpu().double()[..., None]
                found = torch.linalg.lu_solve(*factors, right)[..., 0].to(weight)
                polynomials = found[:, _N_COMPONENTS:] @ columns[_N_COMPONENTS:] / (self._mean - 1)
                level = (level * (1 + polynomials)).clamp(0.2, 5)
            return self._features(found[:, :_N_COMPONENTS]) @ self._coefficients

        return regress

    def parameters(self, guess: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return parameters with zero rv, and whether they are in the range of the regression."""
        theta = guess.new_zeros(len(guess), self._n)
        labels_of(theta)[:] = self._low + guess[:, :-1].clamp(0, 1) * self._width
        velocity_of(theta, "vsini")[:] = _FASTEST * guess[:, -1].clamp(0, 1) ** 2
        theta = theta.cpu().double().numpy()
        theta[:, list(self._known)] = list(self._known.values())
        return theta, np.isfinite(theta).all(axis=1) & (
            velocity_of(theta, "vsini") < 0.8 * _FASTEST
        )
