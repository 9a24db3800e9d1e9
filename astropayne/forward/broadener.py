# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model: labels and velocities in, flux at observed pixels out, with the Jacobian.

The network predicts flux on the grid's own pixels. These are put once on an axis uniform in ln λ;
there, velocity and broadening are one multiplication between an FFT and its inverse; and a fixed
interpolation samples the result at the observed pixels. Everything is done for a batch of stars at
once, each with its own pixels. Nothing in it knows units: wavelengths are Å in vacuum, velocities
km/s, labels in their own units.
"""

import numpy as np
import torch

from astropayne.forward.sampling import (
    ALIGNED,
    Interpolation,
    Pixels,
    chebyshev_values,
    fast_length,
    sampling_weights,
)
from astropayne.forward.transfer import (
    MACROTURBULENCE,
    Broadening,
    doppler_shift,
    gaussian,
    half_width,
    highest_frequency,
    instrument_fwhm,
    rotation_macroturbulence,
    rotation_times_macroturbulence,
)
from astropayne.forward.varying_resolution import resolution_may_vary
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.interpolation import lagrange_weights, uniform_lagrange
from astropayne.wavelengths.velocity import C_KMS, VELOCITIES

__all__ = ["Broadener"]

# Interpolation by polynomials through so many points, from the model's pixels to the axis. Errors
# in units of the depth of a line: 2e-6 at 5 pixels a resolution element, 2e-4 at 3.3.
_TAPS = 16
_TAPER = 48  # pixels over which a window is continued beyond its edges
# A spectrum of known resolution needs only so many points of the axis a resolution element, and
# so few of them make an observed pixel: 4e-6 of the depth of the sharpest line. Networks are not
# quite as smooth as that: of the sample's, 7e-6 rms and 1.7e-4 at most are lost with five points,
# 3e-6 and 9e-5 with these.
_POINTS, _FEW_TAPS = 6.5, 8
# What is left of the highest frequencies that are computed: by the instrument of any spectrum, and
# by it and the network's own resolution of a line's derivatives where these need not be exact.
_LEFT, _LEFT_COARSE = 1e-6, 4e-3
_BLOCK = 1 << 16  # pixels that are placed at a time
# The transfer function of a narrow kernel is wide and smooth: it is computed at few frequencies,
# so many times more than its width asks for, and interpolated. Good to 1e-8.
_OVERSAMPLING, _TRANSFER_TAPS = 6, 12


class Broadener:
    """Velocity, rotation, macroturbulence and instrument, for spectra on one wavelength axis.

    Parameters
    ----------
    wavelength : array_like, shape (n_model_pixels,)
        Of the spectra: Å, vacuum, increasing, with gaps between windows.
    resolution : float or None
        λ/FWHM of the spectra.
    limb_darkening : float
        Linear coefficient ε, from 0 to 1.
    macroturbulence : {"joint", "product", "fwhm"}
        What vmac is: ζ, over the disc together with rotation; ζ of a kernel apart from that of
        rotation, as is classical; or the full width at half maximum of that kernel, ζ / 1.433.
    dtype : torch.dtype
    device : torch.device or str
    """

    _smooth = False  # whether spectra have nothing sharper than their resolution

    def __init__(
        self,
        wavelength,
        resolution,
        *,
        limb_darkening=0.6,
        macroturbulence="joint",
        dtype=torch.float64,
        device="cpu",
    ):
        self.broadening = Broadening(limb_darkening, macroturbulence)
        self.dtype, self.device = dtype, torch.device(device)
        self.resolution = resolution
        self.wavelength = np.asarray(wavelength, dtype=float)
        self._make_axis(self.wavelength)

    def _tensor(self, values, dtype=None):
        values = np.require(values, requirements="W")  # torch warns of read-only arrays
        return torch.as_tensor(values, dtype=dtype or self.dtype, device=self.device)

    # --- the axis uniform in ln λ

    def _make_axis(self, wavelength):
        """Lay the windows out one after another, with one step and room around each."""
        log = np.log(wavelength)
        windows = find_windows(wavelength)
        shortest = min(windows, key=lambda w: w.stop - w.start)
        if shortest.stop - shortest.start < _TAPS:
            first, last = wavelength[shortest][[0, -1]]
            raise ValueError(
                f"the window {first:.2f}-{last:.2f} Angstrom has {shortest.stop - shortest.start} "
                f"pixels: broadening takes {_TAPS} or more. Cut it off the grid, or widen it"
            )
        self.step = min(np.diff(log[w]).min() for w in windows)
        fwhm = 0.0 if self.resolution is None else 1 / self.resolution
        if self._smooth and fwhm >= _POINTS * self.step:
            self.step, self.taps = fwhm / _POINTS, _FEW_TAPS
        else:
            self.taps = _TAPS
        # weights of the points around a pixel, by Chebyshev polynomials of where it lies in between
        weights = sampling_weights(_POINTS if self.taps == _FEW_TAPS else None, self.taps)
        self._sampling = self._tensor(weights)
        self.start = np.array([log[w.start] for w in windows])
        self.end = np.array([log[w.stop - 1] for w in windows])
        self.length = np.floor((self.end - self.start) / self.step * (1 + 1e-12)).astype(int) + 1
        self._lay_out_axis()
        index, weight = [], []
        for w, start, length in zip(windows, self.start, self.length, strict=True):
            i, x = lagrange_weights(log[w], start + self.step * np.arange(length), _TAPS)
            index.append(i + w.start)
            weight.append(x)
        self._to_axis = Interpolation(
            self._tensor(np.concatenate(index), torch.long),
            self._tensor(np.concatenate(weight)),
        )

    def _lay_out_axis(self):
        """Put the windows one after another, with room between them."""
        self.offset = np.cumsum([_TAPER, *(self.length[:-1] + 2 * _TAPER)])
        needed = int(self.offset[-1] + self.length[-1] + _TAPER)
        self.n_fft = fast_length(needed)
        self.frequency = self._tensor(np.fft.rfftfreq(self.n_fft, C_KMS * self.step))
        self._transfer_nodes = {}
        self._edges()

    def _edges(self):
        """Continue each window beyond its edges, so that no step there rings through the FFT.

        The continuation is the window's point reflection in its last pixel (value and slope go
        on), tapered to zero depth. Pixels that depend on it are not supported, and masked.
        """
        position, mirror, edge, taper = [], [], [], []
        for offset, length in zip(self.offset, self.length, strict=True):
            reach = min(_TAPER, length - 1)
            k = np.arange(1, reach + 1)
            for last, outwards in ((offset + length - 1, 1), (offset, -1)):
                position.append(last + outwards * k)
                mirror.append(last - outwards * k)
                edge.append(np.full(reach, last))
                taper.append(np.cos(0.5 * np.pi * k / (reach + 1)) ** 2)
        self._continued = [
            self._tensor(np.concatenate(a), torch.long) for a in (position, mirror, edge)
        ]
        self._taper = self._tensor(np.concatenate(taper))
        inside = [o + np.arange(n) for o, n in zip(self.offset, self.length, strict=True)]
        self._inside = self._tensor(np.concatenate(inside), torch.long)

    def _spectrum(self, on_axis):
        """Fourier transform: depths on the axis, of shape (n, n_axis) → (n, n_frequencies)."""
        row = on_axis.new_zeros(len(on_axis), self.n_fft)
        row[:, self._inside] = on_axis
        position, mirror, edge = self._continued
        row[:, position] = self._taper * (2 * row[:, edge] - row[:, mirror])
        return torch.fft.rfft(row)

    def pixels(self, wavelength, rv=0.0):
        """Place observed pixels on the axis.

        Parameters
        ----------
        wavelength : array_like, shape (n_pixels,) or (n, n_pixels)
            Å, vacuum. NaN fills up the rows of stars that have fewer pixels.
        rv : float or array_like, shape (n,)
            Velocity in km/s the star has about: it decides which pixels lie in which window.

        Returns
        -------
        Pixels
        """
        wavelength, rv = np.atleast_2d(np.asarray(wavelength, float)), np.atleast_1d(rv)
        n = max(len(wavelength), len(rv))
        wavelength = np.broadcast_to(wavelength, (n, wavelength.shape[1]))
        rv = np.array(np.broadcast_to(rv, n), dtype=float)
        size = max(1, _BLOCK // max(1, wavelength.shape[1]))
        blocks = (slice(i, i + size) for i in range(0, n, size))
        parts = zip(*(self._place(wavelength[b], rv[b]) for b in blocks), strict=True)
        window, margin, first, weight = parts
        return Pixels(
            wavelength, rv, np.concatenate(window), np.concatenate(margin),
            torch.cat(first), torch.cat(weight),
        )  # fmt: skip

    def _place(self, wavelength, rv):
        """Return window, margin, first point and weights of pixels, as `Pixels` has them."""
        rest, row, margin = self._locate(wavelength, rv)
        position = np.nan_to_num((rest - self.start[row]) / self.step)
        middle = np.floor(position)
        weight = chebyshev_values(self._tensor(2 * (position - middle) - 1), self._sampling)
        if (nowhere := np.isnan(rest)).any():
            weight[self._tensor(nowhere, torch.bool)] = 0
        first = self.offset[row] + middle.astype(int) - (self.taps // 2 - 1)
        first = np.clip(first, 0, self.n_fft - self.taps)  # far from any window
        window = np.where(margin >= -1e-6 * C_KMS * self.step, row, -1)
        return window, margin, self._tensor(first, torch.int32), weight

    def _locate(self, wavelength, rv):
        """Return ln λ in the star's frame, the nearest window, and the distance from its edges."""
        rest = np.log(wavelength) - np.arctanh(rv / C_KMS)[:, None]
        # which is beyond the middles of the gaps to the left
        row = np.searchsorted(0.5 * (self.end[:-1] + self.start[1:]), rest)
        row = np.where(np.isnan(rest), -1, row)
        inside = np.minimum(rest - self.start[row], self.end[row] - rest)
        return rest, row, C_KMS * np.nan_to_num(inside, nan=-np.inf)

    def margin(self, wavelength, rv):
        """Return the distance in km/s of pixels from the edges of their windows, as in `Pixels`."""
        return self._locate(np.atleast_2d(wavelength), np.atleast_1d(rv))[2]

    def reach(self, vsini=0.0, vmac=0.0, resolution=None):
        """Return how far from the edges of a window a pixel has to be, in km/s.

        The shape is (n, 1), or (n, n_pixels) where the resolution varies.
        """
        fwhm = instrument_fwhm(resolution, self.resolution)
        vsini, vmac, fwhm = (
            value if np.ndim(value) == 2 else np.reshape(value, (-1, 1))
            for value in (vsini, vmac, fwhm)
        )
        zeta = MACROTURBULENCE[self.broadening.macroturbulence] * vmac
        return half_width(vsini, zeta, fwhm) + self.taps // 2 * C_KMS * self.step

    def supported(self, pixels, vsini=0.0, vmac=0.0, resolution=None):
        """Say which pixels see nothing from beyond the edges of their window.

        Parameters
        ----------
        pixels : Pixels
        vsini, vmac : float or array_like, shape (n,)
            In km/s.
        resolution : float or array_like, shape (n,) or (n, n_pixels), optional

        Returns
        -------
        numpy.ndarray of bool, shape (n, n_pixels)
        """
        return pixels.margin >= self.reach(vsini, vmac, resolution)

    # --- what is done on it

    @resolution_may_vary
    def broaden(self, flux, velocities, pixels, resolution=None):
        """Broaden, shift and sample spectra.

        Parameters
        ----------
        flux : array_like, shape (n, n_model_pixels)
            Around one: what is broadened is 1 − flux.
        velocities : array_like, shape (n, 3)
            rv, vsini and vmac in km/s.
        pixels : Pixels
            Of one star, for all spectra, or of ``n``.
        resolution : float or array_like, shape (n,) or (n, n_pixels), optional
            λ/FWHM of the instrument; the spectra's own by default.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels)
        """
        velocities = torch.atleast_2d(self._tensor(velocities))
        spectra = self.spectra_of(1 - np.asarray(flux))
        n = self._n_frequencies(resolution)
        transfer = self._transfer(velocities, pixels.rv, resolution, n)[0]
        return 1 - self._sample((spectra[:, :n] * transfer)[:, None], pixels)[..., 0]

    def spectra_of(self, rows):
        """Return Fourier transforms of rows of the model's pixels, as `broaden_rows` takes them.

        Parameters
        ----------
        rows : array_like, shape (k, n_model_pixels)
            Around zero.

        Returns
        -------
        torch.Tensor, shape (k, n_frequencies)
        """
        return self._spectrum(self._to_axis(self._tensor(rows).T.contiguous()).T)

    @resolution_may_vary
    def broaden_rows(self, spectra, vsini, vmac, pixels, resolution=None):
        """Broaden rows, and sample them where the pixels of each of some stars were placed.

        Parameters
        ----------
        spectra : torch.Tensor, shape (k, n_frequencies)
            Of the rows, see `spectra_of`.
        vsini, vmac : float
            In km/s, for all stars.
        pixels : Pixels
            Of ``n`` stars.
        resolution : float or array_like, shape (n, n_pixels), optional
            λ/FWHM of the instrument, the model's own by default.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels, k)
        """
        velocities = self._tensor([[0.0, vsini, vmac]])
        n = self._n_frequencies(resolution)
        transfer = self._transfer(velocities, 0.0, resolution, n)[0]
        return self._sample(spectra[:, :n] * transfer[:, None], pixels)

    def _n_frequencies(self, resolution, *, coarse=False):
        """Return how many frequencies matter at a resolution, or the highest of several."""
        fwhm = np.min(instrument_fwhm(resolution, self.resolution))
        if coarse and self._smooth and self.resolution is not None:
            fwhm, left = np.hypot(fwhm, C_KMS / self.resolution), _LEFT_COARSE
        else:
            left = _LEFT
        highest = highest_frequency(fwhm, left) * self.n_fft * C_KMS * self.step
        n = len(self.frequency)
        return n if highest >= n else min(n, -(-int(highest + 1) // ALIGNED) * ALIGNED)

    def _transfer(self, velocities, placed_rv, resolution, n, by=()):
        """Return the transfer function, its derivatives by rv over itself, and by some widths.

        Shape (n_spectra, n) each, at the lowest ``n`` frequencies; the last is a dict. Of the
        velocity, only what the pixels have not been placed with is left.
        """
        rv, vsini, vmac = velocities.T
        widths = [name for name in VELOCITIES[1:] if name in by]
        phase, by_rv = doppler_shift(self.frequency[:n], rv, self._tensor(placed_rv))
        phase *= self._instrument(resolution, n)
        broad, *by_widths = self._rotation_macroturbulence(vsini, vmac, widths, n)
        by_widths = {name: phase * x for name, x in zip(widths, by_widths, strict=True)}
        return phase * broad, by_rv, by_widths

    def _rotation_macroturbulence(self, vsini, vmac, widths, n):
        """Interpolate the transfer functions from the few frequencies their width asks for."""
        by_vmac = MACROTURBULENCE[self.broadening.macroturbulence]
        zeta = by_vmac * vmac
        width = float(half_width(float(vsini.abs().max()), float(zeta.abs().max()), 0.0))
        period = self.n_fft * C_KMS * self.step
        stride = 2 ** int(np.log2(max(1.0, period / (2 * max(width, 1.0) * _OVERSAMPLING))))
        if stride not in self._transfer_nodes:
            self._transfer_nodes[stride] = self._coarser_frequencies(stride)
        few, to_all = self._transfer_nodes[stride]
        few = few[: (n - 1) // stride + _TRANSFER_TAPS + 1]
        joint = self.broadening.macroturbulence == "joint"
        function = rotation_macroturbulence if joint else rotation_times_macroturbulence
        transfer, by_vsini, by_zeta = function(
            few, vsini, zeta, self.broadening.limb_darkening, widths
        )
        wanted = [] if by_vsini is None else [by_vsini]
        if by_zeta is not None:
            wanted.append(by_vmac * by_zeta)
        table = torch.cat([transfer, *wanted]).T.contiguous()
        return to_all(table, n).T.reshape(1 + len(wanted), len(vsini), n)

    def _coarser_frequencies(self, stride):
        """Return each so many-th frequency, and the interpolation to all of them."""
        n, half = len(self.frequency), _TRANSFER_TAPS // 2
        nodes = np.arange(-half, (n - 1) // stride + half + 2)
        position = np.arange(n) / stride
        weight = uniform_lagrange(position - np.floor(position), _TRANSFER_TAPS)
        first = np.floor(position).astype(int) + half - (half - 1)
        to_all = Interpolation(
            self._tensor(first[:, None] + np.arange(_TRANSFER_TAPS), torch.long),
            self._tensor(weight),
        )
        # the functions are even, so that those left of zero are known
        return self._tensor(np.abs(nodes) * stride) * self.frequency[1], to_all

    def _instrument(self, resolution, n):
        fwhm = instrument_fwhm(resolution, self.resolution)
        return gaussian(self.frequency[:n], self._tensor(np.atleast_1d(fwhm)))[0]

    def _sample(self, spectra, pixels):
        """Go back to wavelengths: (n, k, n_frequencies) → (n, n_pixels, k).

        Higher frequencies than are given are zero.
        """
        rows = torch.fft.irfft(spectra, n=self.n_fft)
        n, k, length = rows.shape
        point = torch.arange(self.taps, dtype=torch.int32, device=self.device)
        if len(pixels) == 1:  # all stars have the same pixels
            table = rows.reshape(n * k, length).T.contiguous()
            sampled = Interpolation(pixels.first[0, :, None] + point, pixels.weight[0])(table)
            return sampled.reshape(-1, n, k).transpose(0, 1)
        table = rows.new_empty(n, length, k).copy_(rows.mT).flatten(0, 1)
        star = torch.arange(n, dtype=torch.int32, device=self.device)[:, None]
        index = (pixels.first + length * star).flatten()[:, None] + point
        sampled = Interpolation(index, pixels.weight.flatten(0, 1))(table)
        return sampled.reshape(len(pixels), -1, k)
