# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""χ² of a batch of stars, and its normal equations.

Linear parameters, the coefficients of the continuum and of the emulator error, are solved for or
marginalized in every step. Wavelengths are in Å in vacuum, velocities in km/s.
"""

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from astropayne.engine.arms import Arm
from astropayne.engine.continuum import HELD, Continuum
from astropayne.engine.inadequacy import Inadequacy
from astropayne.engine.modes import broadened_modes, cholesky_of_modes, emulator_sigma
from astropayne.engine.parameters import Parameters
from astropayne.engine.products import Rows, as_slice, exact, regular, reweighted
from astropayne.engine.terms import Terms
from astropayne.forward.model import ForwardModel
from astropayne.forward.parameters import velocities_of
from astropayne.wavelengths.axis import effective_arms, pixel_width

__all__ = ["Likelihood"]

_ALIGNED = 8  # columns, or a multiple: their products are two to three times as fast
_BLOCK = 1 << 17  # pixels of stars that are computed at a time: they fit into a cache,
_LARGE_BLOCK = 1 << 22  # or keep a GPU busy
_LOWER = 0.05  # part by which a resolution is lower, for the derivative of the flux by it
_EXACT = 1e-9  # noise of flux around one, that is none


class Likelihood:
    """χ² of a batch of stars, each with its own pixels.

    Parameters
    ----------
    forward : `~astropayne.forward.model.ForwardModel`
    parameters : Parameters
    arms : sequence of Arm
        The observations.
    theta : numpy.ndarray, shape (n, n_names)
        All parameters. They determine the positions of pixels, the first continuum and the
        broadening of the emulator error, and are the values of fixed parameters.
    continuum : int, optional
        Degree of the polynomials; `None` for normalized flux.
    error : numpy.ndarray, shape (n_model_pixels,), optional
        Emulator error in each pixel.
    rest, modes : numpy.ndarray, shape (n_model_pixels,) and (k, n_model_pixels), optional
        The same error in two parts: white noise of pixels with the width of the model's, and
        errors that pixels share, as standard deviations.
    scale : numpy.ndarray, shape (n,)
        Size of the emulator error of each star.
    terms : Terms, optional
        Priors on the continuum and errors of the model's lines.
    resolution_error : float
        Standard deviation of the relative error of the resolution, which is marginalized.
    loss : {"linear", "huber"}
    coarse : bool
        See `~astropayne.forward.model.ForwardModel.forward_and_jacobian`.
    """

    def __init__(
        self,
        forward: ForwardModel,
        parameters: Parameters,
        arms: Sequence[Arm],
        theta: np.ndarray,
        *,
        continuum: int | None = None,
        error: np.ndarray | None = None,
        rest: np.ndarray | None = None,
        modes: np.ndarray | None = None,
        scale: npt.ArrayLike = 1.0,
        terms: Terms | None = None,
        resolution_error: float = 0.0,
        loss: str = "linear",
        coarse: bool = False,
    ) -> None:
        self.forward, self.parameters, self.theta, self.loss = forward, parameters, theta, loss
        self.coarse = coarse
        self._moving = parameters.moving
        velocities = velocities_of(theta)
        self.pixels = [forward.pixels(arm.wavelength, velocities[:, 0]) for arm in arms]
        self.resolution: list[Any] = [arm.resolution for arm in arms]
        self.flux = self._tensor(np.concatenate([arm.flux for arm in arms], axis=1))
        sigma = np.concatenate([arm.sigma for arm in arms], axis=1)
        self.continua: Any = None
        self.basis: Any = None
        self.modes: Any = None
        self.depth = self.noise_share = self.inadequacy_share = None
        if continuum is not None:
            self.continua = [
                Continuum.over(p, np.isfinite(arm.sigma), continuum, len(forward.start))
                for p, arm in zip(self.pixels, arms, strict=True)
            ]
            self.basis = self._blocks(
                [c.basis(p) for c, p in zip(self.continua, self.pixels, strict=True)]
            )
        self._prior = self._prior_of_continuum(terms)
        inadequacy = None if terms is None else terms.inadequacy
        flux: Any = None
        if self.basis is not None or inadequacy is not None or resolution_error:
            flux = self._flux_at_first()
        level = self._level_at_first(sigma, flux)
        scale = np.reshape(scale, (-1, 1))
        emulator = np.abs(level) * scale * emulator_sigma(forward, self.pixels, error, rest)
        if len(arms) > 1:
            emulator *= np.sqrt(self._effective_arms(sigma, np.abs(level)))
        self.photon, self._noise, self._level = sigma, np.hypot(sigma, emulator), level
        self._flux_first = flux
        self._weigh(inadequacy)
        if modes is not None and len(modes):
            size = self.weight * self._tensor(scale * level)
            broadened = broadened_modes(forward, modes, velocities, self.pixels, self.resolution)
            self.modes = broadened.mul_(size[..., None])
        self.resolution_is_free = bool(resolution_error) and self._resolved()
        if self.resolution_is_free:
            change = resolution_error * self._change_with_resolution()[..., None]
            self.modes = change if self.modes is None else torch.cat([self.modes, change], dim=2)
        if self.modes is not None:
            self._of_modes = cholesky_of_modes(self.modes)

    def _weigh(self, inadequacy: Inadequacy | None) -> None:
        """Set the weights of pixels, by noise, the emulator's error and that of lines."""
        sigma, level = self._noise, np.abs(self._level)
        if inadequacy is not None:
            axes = [pixels.wavelength for pixels in self.pixels]
            width = np.concatenate(list(map(pixel_width, axes)), axis=1)
            self.depth = 1 - self._flux_first.cpu().numpy().astype(float)
            errors = level * inadequacy.sigma(self.depth, width)
            if len(axes) > 1:
                errors *= np.sqrt(self._effective_arms(sigma, level))
            noise = sigma * inadequacy.noise[:, None]
            sigma = np.hypot(noise, errors)
            self.noise_share, self.inadequacy_share = inadequacy.shares(noise, errors, width)
        self.noise_known = (np.isfinite(sigma) & (sigma > 0)).any(axis=1)
        # Without any noise, all pixels count the same, and more than priors do.
        equal = 1e-3 * np.median(level, axis=1, keepdims=True)
        sigma = np.where(self.noise_known[:, None] | np.isinf(sigma), sigma, equal)
        missing = np.concatenate([np.isnan(p.wavelength) for p in self.pixels], axis=1)
        self.weight = self._tensor(np.where(missing, 0.0, 1 / sigma))

    def with_inadequacy(self, inadequacy: Inadequacy) -> Self:
        """Return the same likelihood with other errors of the model's lines."""
        other = copy.copy(self)
        other._weigh(inadequacy)
        if self.modes is not None:
            change = torch.where(self.weight > 0, other.weight / self.weight, 0.0)
            other.modes = self.modes * change[..., None]
            other._of_modes = cholesky_of_modes(other.modes)
        return other

    def __len__(self) -> int:
        return len(self.theta)

    def of(self, parameters: Parameters) -> Self:
        """Return the likelihood of the same stars with other parameters."""
        other = copy.copy(self)
        other.parameters, other._moving = parameters, parameters.moving
        return other

    def with_forward(self, forward: ForwardModel) -> Self:
        """Return the likelihood with another forward model of the same labels and pixels."""
        other = copy.copy(self)
        other.forward = forward
        return other

    @property
    def at_once(self) -> int:
        """Number of stars that are computed at a time."""
        block = _BLOCK if self.flux.device.type == "cpu" else _LARGE_BLOCK
        return max(1, block // max(1, self.flux.shape[1]))

    def _tensor(self, values: npt.ArrayLike) -> torch.Tensor:
        return torch.as_tensor(values, dtype=self.forward.dtype, device=self.forward.device)

    def _blocks(self, parts: Sequence[np.ndarray]) -> torch.Tensor:
        """Stack arms along pixels, each with its own coefficients."""
        widths = [part.shape[2] for part in parts]
        rows = [
            np.pad(part, ((0, 0), (0, 0), (sum(widths[:i]), sum(widths[i + 1 :]))))
            for i, part in enumerate(parts)
        ]
        return self._tensor(np.concatenate(rows, axis=1))

    def _effective_arms(self, sigma: np.ndarray, level: np.ndarray) -> np.ndarray:
        """Return the effective number of arms with the wavelength of each pixel.

        The emulator error is common to all epochs and does not average out as photon noise does,
        so that its variance is multiplied by this number.
        """
        axes = [pixels.wavelength for pixels in self.pixels]
        width = np.concatenate(list(map(pixel_width, axes)), axis=1)
        return effective_arms(axes, (level / np.maximum(sigma, _EXACT)) ** 2 / width)

    def _resolved(self) -> bool:
        """Return whether the resolutions of all arms are known."""
        return self.forward.resolution is not None or all(r is not None for r in self.resolution)

    def _change_with_resolution(self) -> torch.Tensor:
        """Return the derivative of the flux by ln R over σ, from lower resolutions: (n, n_pixels).

        Spectra at the resolution of the model cannot be sharper.
        """
        lower, part = copy.copy(self), 1 - _LOWER
        lower.resolution = [
            np.full(len(self), part * (self.forward.resolution or np.nan))
            if r is None
            else part * r
            for r in self.resolution
        ]
        change = (self._flux_first - lower._flux_at_first()) / _LOWER
        return change * self.weight * self._tensor(self._level)

    def _prior_of_continuum(self, terms: Terms | None) -> tuple[torch.Tensor, ...] | None:
        """Return inverse variances and means of the prior of coefficients, (n, n_basis) each."""
        if terms is None or terms.highest is None or self.basis is None:
            return None
        n_polynomials = self.basis.shape[2] // (terms.highest + 1)
        return tuple(
            torch.as_tensor(np.tile(part, (1, n_polynomials))) for part in terms.continuum_prior()
        )

    def _flux_at_first(self) -> torch.Tensor:
        """Return the flux of the model at the initial parameters."""
        blocks = torch.arange(len(self)).split(8 * self.at_once)
        return torch.cat([self._model(self.theta[r.numpy()], r, ())[0] for r in blocks])

    def _level_at_first(self, sigma: np.ndarray, flux: Any) -> np.ndarray:
        """Return the continuum at the initial parameters."""
        if self.basis is None:
            return np.ones_like(sigma)
        finite = np.isfinite(sigma)
        measured = finite & (sigma > 0)
        self.weight = self._tensor(
            np.where(measured.any(1)[:, None], measured / np.where(measured, sigma, 1), finite)
        )
        parts = []
        for some in torch.arange(len(self)).split(8 * self.at_once):
            rows = as_slice(some)
            parts.append(self._solve_continuum(flux[rows], rows)[1])
        return torch.cat(parts).cpu().numpy()

    def _model(
        self, theta: np.ndarray, rows: torch.Tensor, by: Sequence[int]
    ) -> tuple[torch.Tensor, ...]:
        """Return flux and Jacobian over all arms."""
        everything = len(rows) == len(self) or len(self) == 1  # stars may share the pixels of one
        i, parts = as_slice(rows), []
        for pixels, resolution in zip(self.pixels, self.resolution, strict=True):
            if not everything:
                pixels = pixels[i]
                resolution = resolution if resolution is None else resolution[i]
            parts.append(
                self.forward.forward_and_jacobian(theta, pixels, resolution, by, coarse=self.coarse)
            )
        if len(parts) == 1:
            return parts[0]
        return tuple(torch.cat(part, dim=1) for part in zip(*parts, strict=True))

    def _solve_continuum(self, flux: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, ...]:
        """Return the best coefficients, their continuum and their design matrix over σ.

        Shapes (n, n_basis), (n, n_pixels) and (n, n_pixels, n_basis).
        """
        basis, weight = self.basis[rows], self.weight[rows]
        m = basis.shape[2]
        columns = flux.new_zeros(*flux.shape, m + 1 + -(m + 1) % _ALIGNED)
        torch.mul(basis, (flux * weight)[..., None], out=columns[..., :m])
        torch.mul(self.flux[rows], weight, out=columns[..., m])
        products = exact(columns.mT @ columns)
        normal, right = products[:, :m, :m], products[:, :m, m]
        if self._prior is not None:
            precision, mean = (part[rows] for part in self._prior)
            normal, right = normal + torch.diag_embed(precision), right + precision * mean
        coefficients = torch.linalg.solve(regular(normal), right)
        level = (basis @ coefficients.to(basis)[..., None])[..., 0]
        return coefficients, level, columns[..., :m]

    def normal_equations(
        self, free: torch.Tensor, rows: torch.Tensor, *, derivatives: bool = True
    ) -> tuple[torch.Tensor, Any, Any]:
        """Return χ², its gradient and its Hessian for Levenberg–Marquardt, on the CPU.

        Parameters
        ----------
        free : torch.Tensor, shape (n, n_free), float64
            Free parameters, on the CPU.
        rows : torch.Tensor of int, shape (n,)
            Stars of the batch.
        derivatives : bool
            Whether to return gradient and Hessian; otherwise they are `None`.

        Returns
        -------
        chi2 : torch.Tensor, shape (n,)
        gradient : torch.Tensor, shape (n, n_free)
            Jᵀr.
        hessian : torch.Tensor, shape (n, n_free, n_free)
            JᵀJ after elimination of linear parameters.
        """
        products, k, excess, coefficients = self.products(free, rows, derivatives=derivatives)
        if self._prior is not None:
            products = self._with_continuum_prior(products, k, coefficients, rows)
        return self._eliminate(products, k, free, excess)

    def products(
        self, free: torch.Tensor, rows: torch.Tensor, *, derivatives: bool = True
    ) -> tuple[torch.Tensor, int, Any, Any]:
        """Return products of all pairs of columns: derivatives, continuum, residual.

        The errors that pixels share are marginalized; priors are not included.

        Parameters
        ----------
        free, rows, derivatives
            As for `normal_equations`.

        Returns
        -------
        products : torch.Tensor, shape (n, k + n_basis + 1, k + n_basis + 1)
        k : int
            Number of derivatives.
        excess : torch.Tensor, shape (n,)
            Loss minus these squares.
        coefficients : torch.Tensor, shape (n, n_basis), or None
            Coefficients of the continuum in the residual.
        """
        columns, modes, width, k, excess, coefficients = self._columns(free, rows, derivatives)
        products = exact(columns.mT @ columns)
        if modes is not None:
            same = self.loss == "linear"
            lower = self._of_modes[as_slice(rows)] if same else cholesky_of_modes(modes)
            shared = torch.linalg.solve_triangular(lower, exact(modes.mT @ columns), upper=False)
            products = products - shared.mT @ shared
        return products[:, :width, :width], k, excess, coefficients

    def joint_products(self, theta: np.ndarray) -> torch.Tensor:
        """Return products of all pairs of columns at parameters (n, n_names): (n, m, m).

        The columns are derivatives, continuum, shared errors and residual. Priors on the
        coefficients of the continuum and of the shared errors are included.
        """
        free, parts = torch.as_tensor(theta[:, self.parameters.index]), []
        for some in torch.arange(len(self)).split(self.at_once):
            columns, modes, width, k, _, coefficients = self._columns(free[some], some, True)
            linear, residual = columns[..., : width - 1], columns[..., width - 1 : width]
            every = torch.cat([linear, modes, residual], dim=2)
            products = exact(every.mT @ every)
            products[:, width - 1 : -1, width - 1 : -1] += torch.eye(modes.shape[2]).to(products)
            if self._prior is not None:
                precision, mean = (part[as_slice(some)] for part in self._prior)
                products[:, k : width - 1, k : width - 1] += torch.diag_embed(precision)
                products[:, k : width - 1, -1] += precision * (coefficients - mean)
            parts.append(products)
        return torch.cat(parts)

    def _columns(
        self, free: torch.Tensor, rows: torch.Tensor, derivatives: bool
    ) -> tuple[torch.Tensor, Any, int, int, Any, Any]:
        """Return derivatives, continuum and residual over σ, and errors that pixels share."""
        vector = free.numpy()
        base = self.theta[rows.numpy()]
        theta = self.parameters.expand(vector, base)
        flux, jacobian = self._model(theta, rows, self._moving if derivatives else ())
        if self.parameters.tied and derivatives:
            by_free = self.parameters.chain(vector, base)[:, self._moving]
            jacobian = jacobian @ self._tensor(by_free)
        at, k = as_slice(rows), jacobian.shape[2]
        level, residual, design, root, excess, coefficients = self._linear_part(flux, at)
        width = k + design.shape[2] + 1
        columns = residual.new_empty(*residual.shape, width + -width % _ALIGNED)
        torch.mul(jacobian, (self.weight[at] * level)[..., None], out=columns[..., :k])
        columns[..., k : width - 1], columns[..., width - 1] = design, residual
        columns[..., width:] = 0
        modes = None if self.modes is None else self.modes[at]
        if root is not None:
            columns = columns * root[..., None]
            modes = None if modes is None else modes * root[..., None]
        return columns, modes, width, k, excess, coefficients

    def _with_continuum_prior(
        self, products: torch.Tensor, k: int, coefficients: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Add the Gaussian priors on the continuum's coefficients to the products."""
        precision, mean = (part[as_slice(rows)] for part in self._prior or ())
        away = coefficients - mean
        pull, products = precision * away, products.clone()
        products[:, k:-1, k:-1] += torch.diag_embed(precision)
        products[:, k:-1, -1] += pull
        products[:, -1, k:-1] += pull
        products[:, -1, -1] += (pull * away).sum(dim=1)
        return products

    def in_blocks(
        self, free: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `normal_equations` of many stars, `at_once` stars at a time."""
        blocks = zip(free.split(self.at_once), rows.split(self.at_once), strict=True)
        parts = [self.normal_equations(*block) for block in blocks]
        chi2, gradient, hessian = (torch.cat(part) for part in zip(*parts, strict=True))
        return chi2, gradient, hessian

    def _eliminate(
        self, products: torch.Tensor, k: int, free: torch.Tensor, excess: Any
    ) -> tuple[torch.Tensor, Any, Any]:
        """Eliminate the continuum from the products of all columns and add the priors.

        The first ``k`` columns are derivatives, the last one is the residual.
        """
        inner = products[:, k:-1, k:-1]
        outer = torch.cat([products[:, k:-1, :k], products[:, k:-1, -1:]], dim=2)
        keep = [*range(k), products.shape[1] - 1]
        reduced = products[:, keep][:, :, keep]
        if inner.shape[1]:
            reduced = reduced - outer.mT @ torch.linalg.solve(regular(inner), outer)
        mean, precision = map(torch.as_tensor, self.parameters.prior())
        away = free - mean
        chi2 = reduced[:, -1, -1] + excess + (precision * away**2).sum(dim=1)
        if not k:
            return chi2, None, None
        gradient = reduced[:, :-1, -1] + precision * away
        return chi2, gradient, reduced[:, :-1, :-1] + torch.diag(precision)

    def _linear_part(self, flux: torch.Tensor, rows: Rows) -> tuple[Any, ...]:
        """Solve for the continuum and, with a robust loss, for all linear parameters.

        Returns
        -------
        level : torch.Tensor, shape (n, n_pixels)
            The continuum.
        residual : torch.Tensor, shape (n, n_pixels)
            Model minus observed flux over σ.
        design : torch.Tensor, shape (n, n_pixels, n_basis)
            Design matrix of the continuum.
        root : torch.Tensor, shape (n, n_pixels), or None
            Square roots of the weights of squared residuals, with a robust loss.
        excess : torch.Tensor, shape (n,)
            Loss minus the weighted squares.
        coefficients : torch.Tensor, shape (n, n_basis), or None
            Of the continuum.
        """
        weight, observed = self.weight[rows], self.flux[rows]
        level: Any = 1.0
        coefficients, design = None, flux.new_empty(*flux.shape, 0)
        if self.basis is not None:
            coefficients, level, design = self._solve_continuum(flux, rows)
        residual = (flux * level - observed) * weight
        if self.loss == "linear":
            return level, residual, design, None, 0.0, coefficients
        linear = design if self.modes is None else torch.cat([design, self.modes[rows]], dim=2)
        n_modes = linear.shape[2] - design.shape[2]
        change: Any
        change, root, excess = reweighted(residual, linear, n_modes)
        if self.basis is not None:
            change = change[:, : self.basis.shape[2]]
            coefficients = change if coefficients is None else coefficients + change
            level = level + (self.basis[rows] @ change.to(level)[..., None])[..., 0]
            residual = (flux * level - observed) * weight
        return level, residual, design, root, excess, coefficients

    def roots(self, theta: np.ndarray) -> torch.Tensor:
        """Return square roots of the weights of squared residuals at parameters: (n, n_pixels)."""
        if self.loss == "linear":
            return torch.ones_like(self.weight)
        rows = torch.arange(len(self))
        return self._linear_part(self._model(theta, rows, ())[0], slice(None))[3]

    def at(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return flux of the model and continuum at parameters (n, n_names): (n, n_pixels) each."""
        rows = torch.arange(len(self))
        flux = self._model(theta, rows, ())[0]
        level = self._linear_part(flux, slice(None))[0]
        array = flux.cpu().numpy().astype(float)
        return array, np.broadcast_to(torch.as_tensor(level).cpu().numpy(), array.shape)

    def n_continuum(self) -> np.ndarray:
        """Return the number of coefficients of the continuum of each star: (n,)."""
        if self.basis is None:
            return np.zeros(len(self), dtype=int)
        free = (self.basis != 0).any(dim=1).cpu().numpy()
        if self._prior is not None:
            free = free & (self._prior[0].numpy() < HELD)
        return free.sum(axis=1)

    def coefficients(self, theta: np.ndarray) -> np.ndarray | None:
        """Return the coefficients of the continuum at parameters (n, n_names), if there are any."""
        if self.basis is None:
            return None
        rows = torch.arange(len(self))
        return self._linear_part(self._model(theta, rows, ())[0], slice(None))[-1].numpy()
