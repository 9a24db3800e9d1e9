# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model: network, broadening, velocity and sampling, with its Jacobian."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from astropayne.forward.broadener import Broadener
from astropayne.forward.parameters import labels_of, velocities_of
from astropayne.forward.sampling import ALIGNED, Pixels
from astropayne.forward.varying_resolution import resolution_may_vary
from astropayne.networks.architecture import OUTPUTS
from astropayne.networks.network import SpectralNetwork
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.velocity import VELOCITIES

__all__ = ["ForwardModel"]


class ForwardModel(Broadener):
    """Labels, rv, vsini, vmac and resolution → flux at observed pixels.

    Parameters
    ----------
    network : `~astropayne.networks.network.SpectralNetwork`
        The network, which is copied.
    minimum, width : array_like, shape (n_labels,)
        Minima and widths of the ranges of the labels, which scale them to [-0.5, 0.5].
    wavelength, resolution, **options
        Those of the network's pixels, as for `Broadener`.

    Attributes
    ----------
    kept : dict
        Values that other modules computed for the model, kept as long as it exists.
    """

    _smooth = True

    def __init__(
        self,
        network: SpectralNetwork,
        minimum: npt.ArrayLike,
        width: npt.ArrayLike,
        wavelength: npt.ArrayLike,
        resolution: float | None,
        **options: Any,
    ) -> None:
        super().__init__(wavelength, resolution, **options)
        self.network = copy.deepcopy(network).to(device=self.device, dtype=self.dtype)
        self.network.requires_grad_(False)
        self._lay_out_network()
        self.kept = {}
        self.minimum, self.width = self._tensor(minimum), self._tensor(width)

    def forward(
        self, theta: npt.ArrayLike, pixels: Pixels, resolution: npt.ArrayLike | None = None
    ) -> torch.Tensor:
        """Return the flux alone; parameters as in `forward_and_jacobian`."""
        return self.forward_and_jacobian(theta, pixels, resolution, by=())[0]

    def rows(self, theta: npt.ArrayLike, resolution: npt.ArrayLike | None = None) -> torch.Tensor:
        """Return the flux on the axis uniform in ln λ: shape (n, n_fft), in the rest frame."""
        labels, velocities = self._split(theta)
        n = self._n_frequencies(resolution)
        spectra = self._flux_spectra(labels, [], n, n)[0]
        transfer = self._transfer(velocities, 0.0, resolution, n)[0]
        return 1 + torch.fft.irfft(spectra * transfer, n=self.n_fft)

    def _split(self, theta):
        """Return labels and velocities."""
        theta = torch.atleast_2d(self._tensor(theta))
        n = len(self.width) + len(VELOCITIES)
        if theta.ndim != 2 or theta.shape[1] != n:
            raise ValueError(f"theta has shape {tuple(theta.shape)}; it needs {n} columns")
        return labels_of(theta), velocities_of(theta)

    def _lay_out_network(self):
        """Interpolate the last layer to the axis, so that no flux has to be interpolated later.

        Where the flux is linear in this layer's inputs, so is the broadened flux, and the columns
        of the layer are Fourier transformed only once.
        """
        last = self.network.pixels
        rows = torch.cat([last.weight, last.bias[:, None]], dim=1).contiguous()
        self._linear = self.network.output == "linear"
        if self._linear:
            rows[:, -1] -= 1  # the depth is broadened
        self._on_axis = self._to_axis(rows)
        self._lay_out_rows()

    def _lay_out_rows(self):
        rows = self._on_axis.T
        if self._linear:
            table = torch.view_as_real(self._spectrum(rows).resolve_conj()).flatten(1)
        else:
            table = rows.new_zeros(len(rows), self.n_fft)
            table[:, self._inside] = rows
            # the output is interpolated before its last function
            position, mirror, _ = self._continued
            table[:, position] = table[:, mirror]
            self._sign = rows.new_zeros(self.n_fft)  # of the flux in the continued one
            self._sign[self._inside] = 1
            self._sign[position] = -self._taper
        # products are faster where rows begin at multiples of 64 bytes
        table = torch.nn.functional.pad(table, (0, -table.shape[1] % ALIGNED))
        self._weight, self._bias = table[:-1].contiguous(), table[-1].contiguous()

    def restricted_to(self, stretches: npt.ArrayLike) -> "ForwardModel":
        """Return the model of parts of its windows, which is faster.

        The points of the axis are the same, and so is the flux. The parts must include the margins
        that broadening needs (see `reach`).

        Parameters
        ----------
        stretches : array_like, shape (n, 2)
            Ends of the parts in ln λ, vacuum. Parts that overlap are joined.

        Returns
        -------
        ForwardModel
        """
        wanted = np.zeros(self.length.sum(), dtype=bool)
        first = np.cumsum([0, *self.length])
        for low, high in np.asarray(stretches):
            for window, start in enumerate(self.start):
                a = math.floor((low - start) / self.step)
                b = math.ceil((high - start) / self.step) + 1
                a, b = np.clip((a, b), 0, self.length[window])
                wanted[first[window] + a : first[window] + b] = True
        point = np.concatenate(
            [s + self.step * np.arange(n) for s, n in zip(self.start, self.length, strict=True)]
        )
        window = np.repeat(np.arange(len(self.start)), self.length)
        kept = np.flatnonzero(wanted)
        new = (np.diff(kept) > 1) | (np.diff(window[kept]) > 0)
        parts = np.split(kept, np.flatnonzero(new) + 1)
        some = copy.copy(self)
        some.kept = {}
        some.start, some.end = (np.array([point[p[i]] for p in parts]) for i in (0, -1))
        some.length = np.array([len(p) for p in parts])
        some._lay_out_axis()
        some._on_axis = self._on_axis[self._tensor(kept, torch.long)]
        some._lay_out_rows()
        return some

    def _flux_spectra(self, labels, by, n, n_by):
        """Return Fourier transforms of flux minus one, and of its derivatives.

        Their shapes are (n_spectra, n) and (n_spectra, len(by), n_by), at the lowest frequencies.
        """
        scaled = (labels - self.minimum) / self.width - 0.5
        features, tangents = self.network.features_and_tangents(scaled, by)
        tangents = tangents / self.width[self._tensor(by, torch.long)][:, None]
        values = torch.cat([features[:, None], tangents], dim=1)
        if self._linear:
            low = values @ self._weight[:, : 2 * n_by]
            high = features @ self._weight[:, 2 * n_by : 2 * n]
            flux = torch.cat([low[:, 0], high], dim=1).add_(self._bias[: 2 * n])
            return tuple(
                torch.view_as_complex(part.unflatten(-1, (-1, 2))) for part in (flux, low[:, 1:])
            )
        rows = values @ self._weight
        flux, slope = OUTPUTS[self.network.output](rows[:, 0] + self._bias)
        rows[:, 0] = (flux - 1) * self._sign
        rows[:, 1:] *= (slope * self._sign)[:, None]
        position, _, edge = self._continued
        rows[..., position] += 2 * self._taper * rows[..., edge]
        spectra = torch.fft.rfft(rows)
        return spectra[:, 0, :n], spectra[:, 1:, :n_by]

    def rest_jacobian(self, labels: npt.ArrayLike) -> np.ndarray:
        """Return the derivatives of the model's flux by its labels, without broadening.

        Parameters
        ----------
        labels : array_like, shape (n_labels,)
            In their own units.

        Returns
        -------
        numpy.ndarray, shape (n_labels, n_model_pixels)
        """
        scaled = (self._tensor(labels)[None] - self.minimum) / self.width - 0.5
        with without_gradients():
            jacobian = self.network.flux_and_jacobian(scaled)[1][0] / self.width[:, None]
        return jacobian.cpu().numpy()

    @resolution_may_vary
    def forward_and_jacobian(
        self,
        theta: npt.ArrayLike,
        pixels: Pixels,
        resolution: npt.ArrayLike | None = None,
        by: Sequence[int] | None = None,
        *,
        coarse: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the flux at the observed pixels and its derivatives by the parameters.

        Parameters
        ----------
        theta : array_like, shape (n, n_labels + 3)
            Labels in their own units, then rv, vsini and vmac in km/s.
        pixels : Pixels
            Pixels of ``n`` stars, or of one star for the whole batch.
        resolution : float or array_like, shape (n,) or (n, n_pixels), optional
            λ/FWHM of the instrument; that of the network by default.
        by : sequence of int, optional
            Increasing indices of the parameters to differentiate by; all by default.
        coarse : bool
            Whether to leave the highest frequencies, half of them or more, out of the derivatives.
            This is faster and accurate enough for a fit: derivatives are wrong by a thousandth,
            those by widths by up to two hundredths, and errors of parameters by less than a
            hundredth.

        Returns
        -------
        flux : torch.Tensor, shape (n, n_pixels)
        jacobian : torch.Tensor, shape (n, n_pixels, n_by)
        """
        labels, velocities = self._split(theta)
        n_labels = len(self.width)
        by = range(n_labels + len(VELOCITIES)) if by is None else by
        by_labels = [i for i in by if i < n_labels]
        by_velocities = [VELOCITIES[i - n_labels] for i in by if i >= n_labels]
        n = self._n_frequencies(resolution)
        m = min(n, self._n_frequencies(resolution, coarse=True)) if coarse else n
        flux, derivatives = self._flux_spectra(labels, by_labels, n, m)
        transfer, by_rv, by_widths = self._transfer(
            velocities, pixels.rv, resolution, n, by_velocities
        )
        k = 1 + len(by_labels)
        products = flux.new_zeros(len(flux), k + len(by_velocities), n)
        torch.mul(flux, transfer, out=products[:, 0])
        torch.mul(derivatives, transfer[:, None, :m], out=products[:, 1:k, :m])
        for i, name in enumerate(by_velocities, start=k):
            if name == "rv":
                torch.mul(products[:, 0, :m], by_rv[:, :m], out=products[:, i, :m])
            else:
                torch.mul(flux[:, :m], by_widths[name][:, :m], out=products[:, i, :m])
        sampled = self._sample(products, pixels)
        return 1 + sampled[..., 0], sampled[..., 1:]

    @resolution_may_vary
    def forward_of_variations(
        self, theta: npt.ArrayLike, pixels: Pixels, resolution: npt.ArrayLike | None = None
    ) -> torch.Tensor:
        """Return the flux of stars for several sets of labels each, with the same velocities.

        Parameters
        ----------
        theta : array_like, shape (n, k, n_labels + 3)
            Sets of parameters of each star; the velocities are those of its first set.
        pixels, resolution
            As for `forward_and_jacobian`, for ``n`` stars.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels, k)
        """
        theta = self._tensor(theta)
        labels, velocities = labels_of(theta), velocities_of(theta[:, 0])
        n = self._n_frequencies(resolution)
        spectra = self._flux_spectra(labels.flatten(0, 1), [], n, n)[0]
        spectra = spectra.unflatten(0, theta.shape[:2])
        transfer = self._transfer(velocities, pixels.rv, resolution, n)[0]
        return 1 + self._sample(spectra * transfer[:, None], pixels)
