# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model: labels and velocities in, flux at observed pixels out, with the Jacobian.

The network predicts flux on the grid's own pixels. Each window of them is put once on an axis
uniform in ln λ; there, velocity and broadening are one multiplication between an FFT and its
inverse; and a fixed interpolation samples the result at the observed pixels. Nothing
in it knows units: wavelengths are Å in vacuum, velocities km/s, labels in their own units.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch

from astropayne.broadening import (
    doppler_shift,
    gaussian,
    half_width,
    instrument_fwhm,
    rotation_macroturbulence,
)
from astropayne.wavelengths import C_KMS, find_windows

__all__ = ["VELOCITIES", "Broadener", "ForwardModel", "Pixels"]

#: Parameters of the forward model that come after the labels, in km/s.
VELOCITIES = ("rv", "vsini", "vmac")

# Interpolation by polynomials through so many points, from the model's pixels to the axis and from
# the axis to the observed pixels. The inverse transform makes the axis finer, so that fewer do.
# Errors in units of the depth of a line: 2e-6 at 5 pixels a resolution element, 2e-4 at 3.3.
_TAPS_IN, _TAPS_OUT, _FINER = 16, 8, 2
_TAPER = 64  # pixels over which a window is continued beyond its edges


@dataclass(frozen=True)
class _Interpolation:
    """Values at new points as sums over neighbouring old ones."""

    index: torch.Tensor  # (n, taps), into the last axis
    weight: torch.Tensor  # (n, taps)

    def __call__(self, values):
        # A bag of weighted rows is what this is; torch has it on all devices, and fast.
        table = values.reshape(-1, values.shape[-1]).T.contiguous()
        summed = torch.nn.functional.embedding_bag(
            self.index, table, per_sample_weights=self.weight, mode="sum"
        )
        return summed.T.reshape(*values.shape[:-1], len(self.index))


def _lagrange(nodes, points, taps):
    """Return indices and weights of Lagrange interpolation over the nearest nodes."""
    first = np.searchsorted(nodes, points) - taps // 2
    index = np.clip(first, 0, len(nodes) - taps)[:, None] + np.arange(taps)
    x = nodes[index]
    weight = np.ones_like(x)
    for k in range(taps):
        for j in range(taps):
            if j != k:
                weight[:, k] *= (points - x[:, j]) / (x[:, k] - x[:, j])
    return index, weight


@dataclass(frozen=True)
class Pixels:
    """Observed pixels, as `Broadener.pixels` places them on the model's windows.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n_pixels,)
        Å, vacuum.
    rv : float
        Velocity in km/s at which they were placed; those fitted should be near it.
    window : numpy.ndarray of int, shape (n_pixels,)
        Window of the model each lies in, −1 for none.
    margin : numpy.ndarray, shape (n_pixels,)
        Distance in km/s from that window's nearer edge; negative outside.
    """

    wavelength: np.ndarray
    rv: float
    window: np.ndarray
    margin: np.ndarray
    sampling: _Interpolation


class Broadener:
    """Velocity, rotation, macroturbulence and instrument, for spectra on one wavelength axis.

    Parameters
    ----------
    wavelength : array_like, shape (n_model_pixels,)
        Of the spectra: Å, vacuum, increasing, with gaps between windows.
    resolution : float or None
        λ/FWHM of the spectra.
    limb_darkening : float
        Linear coefficient ε.
    dtype : torch.dtype
    device : torch.device or str
    """

    def __init__(
        self, wavelength, resolution, *, limb_darkening=0.6, dtype=torch.float64, device="cpu"
    ):
        self.dtype, self.device = dtype, torch.device(device)
        self.resolution, self.limb_darkening = resolution, limb_darkening
        self._make_axis(np.asarray(wavelength, dtype=float))

    def _tensor(self, values, dtype=None):
        return torch.as_tensor(np.asarray(values), dtype=dtype or self.dtype, device=self.device)

    # --- the axis uniform in ln λ

    def _make_axis(self, wavelength):
        """Lay out one row for each window: same step, same length, room around it."""
        log = np.log(wavelength)
        windows = find_windows(wavelength)
        if min(w.stop - w.start for w in windows) < _TAPS_IN:
            raise ValueError(f"a window of the model has fewer than {_TAPS_IN} pixels")
        self.step = min(np.diff(log[w]).min() for w in windows)
        self.start = np.array([log[w.start] for w in windows])
        self.end = np.array([log[w.stop - 1] for w in windows])
        self.length = np.floor((self.end - self.start) / self.step * (1 + 1e-12)).astype(int) + 1
        self.n_fft = scipy.fft.next_fast_len(int(self.length.max()) + 2 * _TAPER, real=True)
        index, weight = [], []
        for w, start, length in zip(windows, self.start, self.length, strict=True):
            i, x = _lagrange(log[w], start + self.step * np.arange(length), _TAPS_IN)
            index.append(i + w.start)
            weight.append(x)
        self._to_axis = _Interpolation(
            self._tensor(np.concatenate(index), torch.long),
            self._tensor(np.concatenate(weight)),
        )
        self._edges()
        self.frequency = self._tensor(np.fft.rfftfreq(self.n_fft, C_KMS * self.step))

    def _edges(self):
        """Continue each window beyond its edges, so that no step there rings through the FFT.

        The continuation is the window's point reflection in its last pixel (value and slope go
        on), tapered to zero depth. Pixels that depend on it are not supported, and masked.
        """
        n, rows = self.n_fft, len(self.length)
        mirror, edge = np.zeros((2, rows, n), dtype=int)
        of_mirror, of_edge = np.zeros((2, rows, n))
        offset = np.concatenate([[0], np.cumsum(self.length)[:-1]])
        for row, (length, first) in enumerate(zip(self.length, offset, strict=True)):
            mirror[row, :length] = first + np.arange(length)
            of_mirror[row, :length] = 1
            reach = min(_TAPER, length - 1)
            k = np.arange(1, reach + 1)
            taper = np.cos(0.5 * np.pi * k / (reach + 1)) ** 2
            for position, last, inwards in (
                (length - 1 + k, first + length - 1, -1),
                (n - k, first, 1),
            ):
                mirror[row, position], of_mirror[row, position] = last + inwards * k, -taper
                edge[row, position], of_edge[row, position] = last, 2 * taper
        self._mirror, self._edge = (self._tensor(a, torch.long) for a in (mirror, edge))
        self._of_mirror, self._of_edge = self._tensor(of_mirror), self._tensor(of_edge)

    def _spectrum(self, depth):
        """Fourier transform of every window: (..., n_model_pixels) → (..., windows, n_freq)."""
        row = self._to_axis(depth)
        row = row[..., self._mirror] * self._of_mirror + row[..., self._edge] * self._of_edge
        return torch.fft.rfft(row, n=self.n_fft)

    def pixels(self, wavelength, rv=0.0):
        """Place observed pixels on the model's windows.

        Parameters
        ----------
        wavelength : array_like, shape (n_pixels,)
            Å, vacuum.
        rv : float
            Velocity in km/s the star has about: it decides which pixels lie in which window.

        Returns
        -------
        Pixels
        """
        wavelength = np.asarray(wavelength, dtype=float)
        rest = np.log(wavelength) - math.atanh(rv / C_KMS)
        inside = np.minimum(rest[:, None] - self.start, self.end - rest[:, None])
        row = inside.argmax(axis=1)
        margin = C_KMS * inside[np.arange(len(rest)), row]
        position = (rest - self.start[row]) / self.step * _FINER
        first = np.floor(position).astype(int) - _TAPS_OUT // 2 + 1
        _, weight = _lagrange(np.arange(float(_TAPS_OUT)), position - first, _TAPS_OUT)
        n = self.n_fft * _FINER
        index = row[:, None] * n + (first[:, None] + np.arange(_TAPS_OUT)) % n
        return Pixels(
            wavelength,
            rv,
            np.where(margin >= -1e-6 * C_KMS * self.step, row, -1),
            margin,
            _Interpolation(self._tensor(index, torch.long), self._tensor(weight)),
        )

    def supported(self, pixels, vsini=0.0, vmac=0.0, resolution=None, reserve=0.0):
        """Say which pixels see nothing from beyond the edges of their window.

        Parameters
        ----------
        pixels : Pixels
        vsini, vmac : float
            In km/s.
        resolution : float, optional
        reserve : float
            More distance in km/s to keep, for a velocity that is not known yet.

        Returns
        -------
        numpy.ndarray of bool, shape (n_pixels,)
        """
        fwhm = instrument_fwhm(resolution, self.resolution)
        reach = half_width(vsini, vmac, fwhm) + _TAPS_OUT * C_KMS * self.step + reserve
        return pixels.margin >= reach

    # --- what is done on it

    def broaden(self, flux, velocities, pixels, resolution=None):
        """Broaden, shift and sample spectra.

        Parameters
        ----------
        flux : array_like, shape (n, n_model_pixels)
        velocities : array_like, shape (n, 3)
            rv, vsini and vmac in km/s.
        pixels : Pixels
        resolution : float, optional
            λ/FWHM of the instrument; the spectra's own by default.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels)
        """
        velocities = torch.atleast_2d(self._tensor(velocities))
        phase, _ = self._phase(velocities[:, 0], pixels)
        spectra = self._broadened(1 - self._tensor(flux), velocities, resolution)
        return 1 - self._sample(spectra * phase[:, None], pixels)

    def _broadened(self, depth, velocities, resolution):
        """Fourier transform of every window, broadened but not shifted."""
        _, vsini, vmac = velocities.T
        transfer, *_ = rotation_macroturbulence(self.frequency, vsini, vmac, self.limb_darkening)
        return self._spectrum(depth) * (transfer * self._instrument(resolution))[:, None]

    def _phase(self, rv, pixels):
        """Phase of what is left of the velocity after the pixels were placed."""
        phase, by_rv = doppler_shift(self.frequency, rv)
        placed, _ = doppler_shift(self.frequency, self._tensor([pixels.rv]))
        return phase * placed.conj(), by_rv * placed.conj()

    def _instrument(self, resolution):
        fwhm = instrument_fwhm(resolution, self.resolution)
        return gaussian(self.frequency, self._tensor([fwhm]))[0]

    def _sample(self, spectra, pixels):
        rows = torch.fft.irfft(spectra, n=self.n_fft * _FINER) * _FINER
        return pixels.sampling(rows.flatten(-2))


class ForwardModel(Broadener):
    """Labels, rv, vsini, vmac and resolution → flux at observed pixels.

    Parameters
    ----------
    network : `~astropayne.network.SpectralNetwork`
        It is copied.
    minimum, width : array_like, shape (n_labels,)
        What scales the labels to [-0.5, 0.5].
    wavelength, resolution, **options
        As for `Broadener`: of the network's pixels.
    """

    def __init__(self, network, minimum, width, wavelength, resolution, **options):
        super().__init__(wavelength, resolution, **options)
        self.network = copy.deepcopy(network).to(device=self.device, dtype=self.dtype)
        self.network.requires_grad_(False)
        self.minimum, self.width = self._tensor(minimum), self._tensor(width)

    def forward(self, theta, pixels, resolution=None):
        """Return the flux alone; parameters as in `forward_and_jacobian`."""
        labels, velocities = self._split(theta)
        return self.broaden(self.network(self._scaled(labels)), velocities, pixels, resolution)

    def rows(self, theta, resolution=None):
        """Return the flux on the axis uniform in ln λ: shape (n, windows, n_fft), rest frame."""
        labels, velocities = self._split(theta)
        depth = 1 - self.network(self._scaled(labels))
        return 1 - torch.fft.irfft(self._broadened(depth, velocities, resolution), n=self.n_fft)

    def _scaled(self, labels):
        return (labels - self.minimum) / self.width - 0.5

    def _split(self, theta):
        """Return labels and velocities."""
        theta = torch.atleast_2d(self._tensor(theta))
        n_labels = len(self.width)
        n = n_labels + len(VELOCITIES)
        if theta.ndim != 2 or theta.shape[1] != n:
            raise ValueError(f"theta has shape {tuple(theta.shape)}; it needs {n} columns")
        return theta[:, :n_labels], theta[:, n_labels:]

    def forward_and_jacobian(self, theta, pixels, resolution=None):
        """Return the flux at the observed pixels and its derivatives by all parameters.

        Parameters
        ----------
        theta : array_like, shape (n, n_labels + 3)
            Labels in their own units, then rv, vsini and vmac in km/s.
        pixels : Pixels
        resolution : float, optional
            λ/FWHM of the instrument; the network's own by default.

        Returns
        -------
        flux : torch.Tensor, shape (n, n_pixels)
        jacobian : torch.Tensor, shape (n, n_pixels, n_labels + 3)
        """
        labels, velocities = self._split(theta)
        flux, by_label = self.network.flux_and_jacobian(self._scaled(labels))
        depths = torch.cat([1 - flux[:, None], -by_label / self.width[:, None]], dim=1)
        spectra = self._spectrum(depths)
        depth, by_label = spectra[:, :1], spectra[:, 1:]

        rv, vsini, vmac = velocities.T
        broad, by_vsini, by_vmac = rotation_macroturbulence(
            self.frequency, vsini, vmac, self.limb_darkening
        )
        phase, by_rv = self._phase(rv, pixels)
        transfer = torch.stack(
            [broad * phase, broad * by_rv, by_vsini * phase, by_vmac * phase], dim=1
        )
        transfer = (transfer * self._instrument(resolution))[:, :, None]
        products = torch.cat([depth * transfer, by_label * transfer[:, :1]], dim=1)
        sampled = self._sample(products, pixels)
        flux, velocities, labels = sampled[:, 0], sampled[:, 1:4], sampled[:, 4:]
        return 1 - flux, -torch.cat([labels, velocities], dim=1).transpose(1, 2)
