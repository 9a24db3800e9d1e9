# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model: labels and velocities in, flux at observed pixels out, with the Jacobian.

The network predicts flux on the grid's own pixels. These are put once on an axis uniform in ln λ;
there, velocity and broadening are one multiplication between an FFT and its inverse; and a fixed
interpolation samples the result at the observed pixels. Everything is done for a batch of stars at
once, each with its own pixels. Nothing in it knows units: wavelengths are Å in vacuum, velocities
km/s, labels in their own units.
"""

import numpy as np
import numpy.typing as npt
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

# Number of points of the polynomials that interpolate from the model's pixels to the axis. Errors
# in units of the depth of a line: 2e-6 at 5 pixels per resolution element, 2e-4 at 3.3.
_TAPS = 16
_TAPER = 48  # pixels over which a window is continued beyond its edges
# Points of the axis per resolution element of a spectrum of known resolution, and number of points
# that are interpolated to an observed pixel. The error is 4e-6 of the depth of the sharpest line.
# Networks are slightly less smooth: for the sample model the error is 3e-6 rms and 9e-5 at most
# (with five points, 7e-6 and 1.7e-4).
_POINTS, _FEW_TAPS = 6.5, 8
# Transfer function at the highest frequency that is computed: that of the instrument for spectra,
# and that of instrument and network together for derivatives that need not be exact.
_LEFT, _LEFT_COARSE = 1e-6, 4e-3
_BLOCK = 1 << 16  # pixels that are placed at a time
# The transfer function of a narrow kernel is wide and smooth. It is computed at a few frequencies,
# oversampled by this factor, and interpolated with this number of points: exact to 1e-8.
_OVERSAMPLING, _TRANSFER_TAPS = 6, 12


class Broadener:
    """Velocity, rotation, macroturbulence and instrument, for spectra on one wavelength axis.

    Parameters
    ----------
    wavelength : array_like, shape (n_model_pixels,)
        Vacuum wavelengths of the spectra in Å, increasing, with gaps between windows.
    resolution : float or None
        λ/FWHM of the spectra.
    limb_darkening : float
        Linear coefficient ε, from 0 to 1.
    macroturbulence : {"joint", "product", "fwhm"}
        Meaning of vmac: ζ, integrated over the disc together with rotation; ζ of a kernel that is
        applied after that of rotation, the classical approximation; or the full width at half
        maximum of that kernel, ζ / 1.433.
    dtype : torch.dtype
    device : torch.device or str

    Raises
    ------
    ValueError
        If a window has too few pixels, or an option of broadening is invalid.
    """

    _smooth = False  # whether spectra have nothing sharper than their resolution

    def __init__(
        self,
        wavelength: npt.ArrayLike,
        resolution: float | None,
        *,
        limb_darkening: float = 0.6,
        macroturbulence: str = "joint",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
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
        """Lay the windows out one after another, with a common step and margins."""
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
        # weights of the points around a pixel, as Chebyshev series of its position between them
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
        """Put the windows one after another, with margins between them."""
        self.offset = np.cumsum([_TAPER, *(self.length[:-1] + 2 * _TAPER)])
        needed = int(self.offset[-1] + self.length[-1] + _TAPER)
        self.n_fft = fast_length(needed)
        self.frequency = self._tensor(np.fft.rfftfreq(self.n_fft, C_KMS * self.step))
        self._transfer_nodes = {}
        self._edges()

    def _edges(self):
        """Continue each window beyond its edges, so that no step there rings through the FFT.

        The continuation is the window's point reflection in its last pixel (value and slope go
        are continuous), tapered to zero depth. Pixels that depend on it are not `supported`.
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

    def pixels(self, wavelength: npt.ArrayLike, rv: npt.ArrayLike = 0.0) -> Pixels:
        """Place observed pixels on the axis.

        Parameters
        ----------
        wavelength : array_like, shape (n_pixels,) or (n, n_pixels)
            Vacuum wavelengths in Å, NaN at the end of rows of stars that have fewer pixels.
        rv : float or array_like, shape (n,)
            Approximate velocity of the star in km/s. It decides which pixels lie in which window.

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
        # windows are separated at the middles of the gaps between them
        row = np.searchsorted(0.5 * (self.end[:-1] + self.start[1:]), rest)
        row = np.where(np.isnan(rest), -1, row)
        inside = np.minimum(rest - self.start[row], self.end[row] - rest)
        return rest, row, C_KMS * np.nan_to_num(inside, nan=-np.inf)

    def margin(self, wavelength: npt.ArrayLike, rv: npt.ArrayLike) -> np.ndarray:
        """Return the distance in km/s of pixels from the edges of their windows, as in `Pixels`."""
        return self._locate(np.atleast_2d(wavelength), np.atleast_1d(rv))[2]

    def reach(
        self,
        vsini: npt.ArrayLike = 0.0,
        vmac: npt.ArrayLike = 0.0,
        resolution: npt.ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the least distance of a pixel from the edges of its window, in km/s.

        The shape is (n, 1), or (n, n_pixels) where the resolution varies.
        """
        fwhm = instrument_fwhm(resolution, self.resolution)
        vsini, vmac, fwhm = (
            value if np.ndim(value) == 2 else np.reshape(value, (-1, 1))
            for value in (vsini, vmac, fwhm)
        )
        zeta = MACROTURBULENCE[self.broadening.macroturbulence] * vmac
        return half_width(vsini, zeta, fwhm) + self.taps // 2 * C_KMS * self.step

    def supported(
        self,
        pixels: Pixels,
        vsini: npt.ArrayLike = 0.0,
        vmac: npt.ArrayLike = 0.0,
        resolution: npt.ArrayLike | None = None,
    ) -> np.ndarray:
        """Return which pixels do not depend on flux beyond the edges of their window.

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

    # --- broadening and sampling on the axis

    @resolution_may_vary
    def broaden(
        self,
        flux: npt.ArrayLike,
        velocities: npt.ArrayLike,
        pixels: Pixels,
        resolution: npt.ArrayLike | None = None,
    ) -> torch.Tensor:
        """Broaden, shift and sample spectra.

        Parameters
        ----------
        flux : array_like, shape (n, n_model_pixels)
            Normalized flux; the depth 1 − flux is broadened.
        velocities : array_like, shape (n, 3)
            rv, vsini and vmac in km/s.
        pixels : Pixels
            Pixels of ``n`` stars, or of one star for all spectra.
        resolution : float or array_like, shape (n,) or (n, n_pixels), optional
            λ/FWHM of the instrument; that of the spectra by default.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels)
        """
        velocities = torch.atleast_2d(self._tensor(velocities))
        spectra = self.spectra_of(1 - np.asarray(flux))
        n = self._n_frequencies(resolution)
        transfer = self._transfer(velocities, pixels.rv, resolution, n)[0]
        return 1 - self._sample((spectra[:, :n] * transfer)[:, None], pixels)[..., 0]

    def spectra_of(self, rows: npt.ArrayLike) -> torch.Tensor:
        """Return Fourier transforms of rows of the model's pixels, as `broaden_rows` takes them.

        Parameters
        ----------
        rows : array_like, shape (k, n_model_pixels)
            Values that are zero in the continuum.

        Returns
        -------
        torch.Tensor, shape (k, n_frequencies)
        """
        return self._spectrum(self._to_axis(self._tensor(rows).T.contiguous()).T)

    @resolution_may_vary
    def broaden_rows(
        self,
        spectra: torch.Tensor,
        vsini: float,
        vmac: float,
        pixels: Pixels,
        resolution: npt.ArrayLike | None = None,
    ) -> torch.Tensor:
        """Broaden rows, and sample them at the pixels of several stars.

        Parameters
        ----------
        spectra : torch.Tensor, shape (k, n_frequencies)
            Fourier transforms of the rows, see `spectra_of`.
        vsini, vmac : float
            In km/s, for all stars.
        pixels : Pixels
            Pixels of ``n`` stars.
        resolution : float or array_like, shape (n, n_pixels), optional
            λ/FWHM of the instrument; that of the model by default.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels, k)
        """
        velocities = self._tensor([[0.0, vsini, vmac]])
        n = self._n_frequencies(resolution)
        transfer = self._transfer(velocities, 0.0, resolution, n)[0]
        return self._sample(spectra[:, :n] * transfer[:, None], pixels)

    def _n_frequencies(self, resolution, *, coarse=False):
        """Return the number of frequencies needed at a resolution, or the highest of several."""
        fwhm = np.min(instrument_fwhm(resolution, self.resolution))
        if coarse and self._smooth and self.resolution is not None:
            fwhm, left = np.hypot(fwhm, C_KMS / self.resolution), _LEFT_COARSE
        else:
            left = _LEFT
        highest = highest_frequency(fwhm, left) * self.n_fft * C_KMS * self.step
        n = len(self.frequency)
        return n if highest >= n else min(n, -(-int(highest + 1) // ALIGNED) * ALIGNED)

    def _transfer(self, velocities, placed_rv, resolution, n, by=()):
        """Return the transfer function, its logarithmic derivative by rv, and those by widths.

        Each has the shape (n_spectra, n), at the lowest ``n`` frequencies; the last is a dict. The
        phase is that of the velocity relative to the one at which the pixels were placed.
        """
        rv, vsini, vmac = velocities.T
        widths = [name for name in VELOCITIES[1:] if name in by]
        phase, by_rv = doppler_shift(self.frequency[:n], rv, self._tensor(placed_rv))
        phase *= self._instrument(resolution, n)
        broad, *by_widths = self._rotation_macroturbulence(vsini, vmac, widths, n)
        by_widths = {name: phase * x for name, x in zip(widths, by_widths, strict=True)}
        return phase * broad, by_rv, by_widths

    def _rotation_macroturbulence(self, vsini, vmac, widths, n):
        """Interpolate the transfer functions from the few frequencies that their width needs."""
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
        """Return every ``stride``-th frequency, and the interpolation to all of them."""
        n, half = len(self.frequency), _TRANSFER_TAPS // 2
        nodes = np.arange(-half, (n - 1) // stride + half + 2)
        position = np.arange(n) / stride
        weight = uniform_lagrange(position - np.floor(position), _TRANSFER_TAPS)
        first = np.floor(position).astype(int) + half - (half - 1)
        to_all = Interpolation(
            self._tensor(first[:, None] + np.arange(_TRANSFER_TAPS), torch.long),
            self._tensor(weight),
        )
        # the functions are even: values at negative frequencies are those at positive ones
        return self._tensor(np.abs(nodes) * stride) * self.frequency[1], to_all

    def _instrument(self, resolution, n):
        fwhm = instrument_fwhm(resolution, self.resolution)
        return gaussian(self.frequency[:n], self._tensor(np.atleast_1d(fwhm)))[0]

    def _sample(self, spectra, pixels):
        """Transform back to wavelengths: (n, k, n_frequencies) → (n, n_pixels, k).

        Frequencies above the given ones are zero.
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
