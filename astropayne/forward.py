# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The forward model: labels and velocities in, flux at observed pixels out, with the Jacobian.

The network predicts flux on the grid's own pixels. These are put once on an axis uniform in ln λ;
there, velocity and broadening are one multiplication between an FFT and its inverse; and a fixed
interpolation samples the result at the observed pixels. Everything is done for a batch of stars at
once, each with its own pixels. Nothing in it knows units: wavelengths are Å in vacuum, velocities
km/s, labels in their own units.
"""

import copy
import functools
import inspect
import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from numpy.polynomial import chebyshev
from scipy.special import comb

from astropayne.broadening import (
    MACROTURBULENCE,
    doppler_shift,
    gaussian,
    half_width,
    highest_frequency,
    instrument_fwhm,
    rotation_macroturbulence,
    rotation_times_macroturbulence,
)
from astropayne.network import OUTPUTS, without_gradients
from astropayne.resampling import lagrange_weights
from astropayne.wavelengths import C_KMS, find_windows

__all__ = ["FASTEST", "VELOCITIES", "Broadener", "ForwardModel", "Pixels", "fast_length"]

#: Parameters of the forward model that come after the labels, in km/s.
VELOCITIES = ("rv", "vsini", "vmac")
#: Largest widths that fits look for, in km/s.
FASTEST = {"vsini": 300.0, "vmac": 50.0}

# Interpolation by polynomials through so many points, from the model's pixels to the axis. Errors
# in units of the depth of a line: 2e-6 at 5 pixels a resolution element, 2e-4 at 3.3.
_TAPS = 16
_TAPER = 48  # pixels over which a window is continued beyond its edges

# A spectrum of known resolution needs only so many points of the axis a resolution element, and
# so few of them make an observed pixel: 4e-6 of the depth of the sharpest line. Networks are not
# quite as smooth as that: of the sample's, 7e-6 rms and 1.7e-4 at most are lost with five points,
# 3e-6 and 9e-5 with these.
_POINTS, _FEW_TAPS = 6.5, 8
_ALIGNED = 16  # numbers of a row of a table, or a multiple
_EVEN = 64  # a factor of the lengths of Fourier transforms
_DEGREE = 8  # of the polynomials that the weights of those points are, to 2e-8

# What is left of the highest frequencies that are computed: by the instrument of any spectrum, and
# by it and the network's own resolution of a line's derivatives where these need not be exact.
_LEFT, _LEFT_COARSE = 1e-6, 4e-3

_BLOCK = 1 << 16  # pixels that are placed at a time

# The transfer function of a narrow kernel is wide and smooth: it is computed at few frequencies,
# so many times more than its width asks for, and interpolated. Good to 1e-8.
_OVERSAMPLING, _TRANSFER_TAPS = 6, 12


@dataclass(frozen=True)
class _Interpolation:
    """Values at new points as sums over neighbouring old ones, which are rows of a table."""

    index: torch.Tensor  # (n, taps), of rows
    weight: torch.Tensor  # (n, taps)

    def __call__(self, table, n=None):
        """Return the values at the first ``n`` of the new points, all by default."""
        # A bag of weighted rows is what this is; torch has it on all devices, and fast.
        return torch.nn.functional.embedding_bag(
            self.index[:n], table, per_sample_weights=self.weight[:n], mode="sum"
        )


def fast_length(n):
    """Return a length of at least ``n`` whose real Fourier transforms are fast.

    Those of odd lengths take two to three times as long.
    """
    return _EVEN * scipy.fft.next_fast_len(math.ceil(n / _EVEN), real=True)


def a_row(resolution):
    """Return the resolution of one star as methods of models take it, also where it varies."""
    return resolution if np.ndim(resolution) == 0 else np.asarray(resolution)[None]


def _uniform_lagrange(fraction, taps, dtype):
    """Return weights of Lagrange interpolation, ``fraction`` beyond the middle of uniform nodes.

    The barycentric form (Berrut & Trefethen 2004, SIAM Review 46, 501); a point on a node is moved
    from it by nothing that could be seen.
    """
    nodes = np.arange(taps)
    binomial = ((-1.0) ** nodes * comb(taps - 1, nodes)).astype(dtype)
    nodes = (nodes - (taps // 2 - 1)).astype(dtype)
    distance = fraction[..., None].astype(dtype) - nodes
    tiny = np.finfo(dtype).eps
    distance[np.abs(distance) < tiny] = tiny
    weight = np.divide(binomial, distance, out=distance)
    weight /= weight.sum(axis=-1, keepdims=True)
    return weight


def _sampling_weights(points, taps):
    """Return polynomials for the weights of uniform nodes: coefficients (degree + 1, taps).

    The argument goes from -1 at the middle of the nodes to 1 at the next one. With ``points`` nodes
    in the full width of the sharpest Gaussian line, the weights are those of the least error for
    sums of such lines wherever they are (as in kriging); `None` is for any smooth function, the
    polynomial through all nodes.
    """
    x = np.cos(np.pi * (np.arange(4 * _DEGREE) + 0.5) / (4 * _DEGREE))
    fraction = 0.5 * (x + 1)
    if points is None:
        values = _uniform_lagrange(fraction, taps, float)
        return chebyshev.chebfit(x, values, max(_DEGREE, taps - 1))
    nodes = np.arange(taps) - (taps // 2 - 1)

    def covariance(a, b):  # of two places, of lines of that width
        return np.exp(-2 * np.log(2) * ((a[:, None] - b) / points) ** 2)

    inner = covariance(nodes, nodes) + 1e-13 * np.eye(taps)
    values = np.linalg.solve(inner, covariance(nodes, fraction)).T
    return chebyshev.chebfit(x, values / values.sum(axis=1, keepdims=True), _DEGREE)


def _chebyshev(x, coefficients):
    """Return Chebyshev series of the elements of a tensor: (..., n_series)."""
    values = x.new_ones(len(coefficients), x.numel())
    values[1] = x.flatten()
    for k in range(2, len(coefficients)):
        torch.mul(values[1], values[k - 1], out=values[k]).mul_(2).sub_(values[k - 2])
    return (values.T @ coefficients).unflatten(0, x.shape)


def _resolution_may_vary(method):
    """Let a method's ``resolution`` have the shape (n, n_pixels), or (1, n_pixels) for all stars.

    What it gives changes smoothly with ln R. So it is computed at a few resolutions for all pixels
    (Chebyshev's nodes), and each pixel interpolates between them to its own. With so many nodes
    that is exact to 2e-5 of the continuum; derivatives are those of the interpolation.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def at_each_pixel(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        resolution = call.arguments.get("resolution")
        if np.ndim(resolution) < 2:
            return method(*args, **kwargs)
        log = np.log(np.asarray(resolution, dtype=float))
        middle, half = 0.5 * (log.max() + log.min()), 0.5 * (log.max() - log.min())
        nodes = chebyshev.chebpts1(4 + int(12 * half)) if half > 1e-9 else np.zeros(1)
        weights = lagrange_weights(nodes, ((log - middle) / max(half, 1e-9)).ravel(), len(nodes))[1]
        total = []
        for node, weight in zip(nodes, weights.T, strict=True):
            call.arguments["resolution"] = np.exp(middle + half * node)
            found = method(*call.args, **call.kwargs)
            parts = found if isinstance(found, tuple) else (found,)
            weight = torch.as_tensor(weight.reshape(log.shape)).to(parts[0])
            terms = [part * weight[(...,) + (None,) * (part.ndim - 2)] for part in parts]
            total = [a + b for a, b in zip(total, terms, strict=True)] if total else terms
        return tuple(total) if isinstance(found, tuple) else total[0]

    return at_each_pixel


@dataclass(frozen=True)
class Pixels:
    """Observed pixels of a batch of stars, as `Broadener.pixels` places them on the axis.

    Attributes
    ----------
    wavelength : numpy.ndarray, shape (n, n_pixels)
        Å, vacuum; NaN for no pixel.
    rv : numpy.ndarray, shape (n,)
        Velocities in km/s at which they were placed; those fitted should be near.
    window : numpy.ndarray of int, shape (n, n_pixels)
        Window of the model each lies in, −1 for none.
    margin : numpy.ndarray, shape (n, n_pixels)
        Distance in km/s from that window's nearer edge; negative outside.
    """

    wavelength: np.ndarray
    rv: np.ndarray
    window: np.ndarray
    margin: np.ndarray
    first: torch.Tensor  # (n, n_pixels), of the points of the axis that make up the pixel
    weight: torch.Tensor  # (n, n_pixels, taps), of these points

    def __len__(self):
        return len(self.rv)

    def __getitem__(self, rows):
        """Return some of the stars."""
        return Pixels(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


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
        if not 0 <= limb_darkening <= 1:
            raise ValueError(f"limb_darkening={limb_darkening!r} has to be from 0 to 1")
        if macroturbulence not in MACROTURBULENCE:
            raise ValueError(
                f"macroturbulence={macroturbulence!r} is not one of {', '.join(MACROTURBULENCE)}"
            )
        self.macroturbulence = macroturbulence
        self.dtype, self.device = dtype, torch.device(device)
        self.resolution, self.limb_darkening = resolution, float(limb_darkening)
        self.wavelength = np.asarray(wavelength, dtype=float)
        self._make_axis(self.wavelength)

    def _tensor(self, values, dtype=None):
        return torch.as_tensor(np.asarray(values), dtype=dtype or self.dtype, device=self.device)

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
        weights = _sampling_weights(_POINTS if self.taps == _FEW_TAPS else None, self.taps)
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
        self._to_axis = _Interpolation(
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
        weight = _chebyshev(self._tensor(2 * (position - middle) - 1), self._sampling)
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
        zeta = MACROTURBULENCE[self.macroturbulence] * vmac
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

    @_resolution_may_vary
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

    @_resolution_may_vary
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
        return n if highest >= n else min(n, -(-int(highest + 1) // _ALIGNED) * _ALIGNED)

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
        by_vmac = MACROTURBULENCE[self.macroturbulence]
        zeta = by_vmac * vmac
        width = float(half_width(float(vsini.abs().max()), float(zeta.abs().max()), 0.0))
        period = self.n_fft * C_KMS * self.step
        stride = 2 ** int(np.log2(max(1.0, period / (2 * max(width, 1.0) * _OVERSAMPLING))))
        if stride not in self._transfer_nodes:
            self._transfer_nodes[stride] = self._coarser_frequencies(stride)
        few, to_all = self._transfer_nodes[stride]
        few = few[: (n - 1) // stride + _TRANSFER_TAPS + 1]
        joint = self.macroturbulence == "joint"
        function = rotation_macroturbulence if joint else rotation_times_macroturbulence
        transfer, by_vsini, by_zeta = function(few, vsini, zeta, self.limb_darkening, widths)
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
        weight = _uniform_lagrange(position - np.floor(position), _TRANSFER_TAPS, float)
        first = np.floor(position).astype(int) + half - (half - 1)
        to_all = _Interpolation(
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
            sampled = _Interpolation(pixels.first[0, :, None] + point, pixels.weight[0])(table)
            return sampled.reshape(-1, n, k).transpose(0, 1)
        table = rows.new_empty(n, length, k).copy_(rows.mT).flatten(0, 1)
        star = torch.arange(n, dtype=torch.int32, device=self.device)[:, None]
        index = (pixels.first + length * star).flatten()[:, None] + point
        sampled = _Interpolation(index, pixels.weight.flatten(0, 1))(table)
        return sampled.reshape(len(pixels), -1, k)


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

    Attributes
    ----------
    kept : dict
        What others have made for the model, to be found again as long as it lives.
    """

    _smooth = True

    def __init__(self, network, minimum, width, wavelength, resolution, **options):
        super().__init__(wavelength, resolution, **options)
        self.network = copy.deepcopy(network).to(device=self.device, dtype=self.dtype)
        self.network.requires_grad_(False)
        self._lay_out_network()
        self.kept = {}
        self.minimum, self.width = self._tensor(minimum), self._tensor(width)

    def forward(self, theta, pixels, resolution=None):
        """Return the flux alone; parameters as in `forward_and_jacobian`."""
        return self.forward_and_jacobian(theta, pixels, resolution, by=())[0]

    def rows(self, theta, resolution=None):
        """Return the flux on the axis uniform in ln λ: shape (n, n_fft), in the rest frame."""
        labels, velocities = self._split(theta)
        n = self._n_frequencies(resolution)
        spectra = self._flux_spectra(labels, [], n, n)[0]
        transfer = self._transfer(velocities, 0.0, resolution, n)[0]
        return 1 + torch.fft.irfft(spectra * transfer, n=self.n_fft)

    def _split(self, theta):
        """Return labels and velocities."""
        theta = torch.atleast_2d(self._tensor(theta))
        n_labels = len(self.width)
        n = n_labels + len(VELOCITIES)
        if theta.ndim != 2 or theta.shape[1] != n:
            raise ValueError(f"theta has shape {tuple(theta.shape)}; it needs {n} columns")
        return theta[:, :n_labels], theta[:, n_labels:]

    def _lay_out_network(self):
        """Give the last layer the axis for pixels: nothing is interpolated or continued later.

        Where flux is linear in what this layer is given, broadening is so too, and the layer's
        columns are transformed once for all.
        """
        last = self.network.pixels
        rows = torch.cat([last.weight, last.bias[:, None]], dim=1).contiguous()
        self._linear = self.network.output == "linear"
        if self._linear:
            rows[:, -1] -= 1  # what is broadened is the depth
        self._on_axis = self._to_axis(rows)
        self._lay_out_rows()

    def _lay_out_rows(self):
        rows = self._on_axis.T
        if self._linear:
            table = torch.view_as_real(self._spectrum(rows).resolve_conj()).flatten(1)
        else:
            table = rows.new_zeros(len(rows), self.n_fft)
            table[:, self._inside] = rows
            # what is interpolated is the output before the last function
            position, mirror, _ = self._continued
            table[:, position] = table[:, mirror]
            self._sign = rows.new_zeros(self.n_fft)  # of the flux in the continued one
            self._sign[self._inside] = 1
            self._sign[position] = -self._taper
        # products are faster where rows begin at multiples of 64 bytes
        table = torch.nn.functional.pad(table, (0, -table.shape[1] % _ALIGNED))
        self._weight, self._bias = table[:-1].contiguous(), table[-1].contiguous()

    def around(self, stretches):
        """Return the same model of some stretches of its windows only, which is faster.

        Points of the axis, and so what is computed, are the same; the room that broadening needs
        has to be a part of the stretches (see `reach`).

        Parameters
        ----------
        stretches : array_like, shape (n, 2)
            Their ends, ln λ in vacuum. What overlaps is put together.

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

        Shapes (n_spectra, n) and (n_spectra, len(by), n_by): so many frequencies.
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

    def rest_jacobian(self, labels):
        """Return derivatives of the model's own flux, unbroadened, by its labels.

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

    @_resolution_may_vary
    def forward_and_jacobian(self, theta, pixels, resolution=None, by=None, *, coarse=False):
        """Return the flux at the observed pixels and its derivatives by the parameters.

        Parameters
        ----------
        theta : array_like, shape (n, n_labels + 3)
            Labels in their own units, then rv, vsini and vmac in km/s.
        pixels : Pixels
            Of one star, for all of the batch, or of ``n``.
        resolution : float or array_like, shape (n,) or (n, n_pixels), optional
            λ/FWHM of the instrument; the network's own by default.
        by : sequence of int, optional
            Indices, increasing, of the parameters to derive by; all by default.
        coarse : bool
            Whether derivatives may lack their highest frequencies, half of them or more. They are
            then off by a thousandth, those by widths by up to two hundredths; errors that follow
            from them by less than a hundredth. That is enough to fit, for less work.

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

    @_resolution_may_vary
    def forward_of_variations(self, theta, pixels, resolution=None):
        """Return the flux of stars and variations of their labels, with the same velocities.

        Parameters
        ----------
        theta : array_like, shape (n, k, n_labels + 3)
            Variations of a star are beside each other; velocities are those of the first.
        pixels, resolution
            As for `forward_and_jacobian`, of ``n`` stars.

        Returns
        -------
        torch.Tensor, shape (n, n_pixels, k)
        """
        theta = self._tensor(theta)
        labels, velocities = theta[..., : len(self.width)], theta[:, 0, len(self.width) :]
        n = self._n_frequencies(resolution)
        spectra = self._flux_spectra(labels.flatten(0, 1), [], n, n)[0]
        spectra = spectra.unflatten(0, theta.shape[:2])
        transfer = self._transfer(velocities, pixels.rv, resolution, n)[0]
        return 1 + self._sample(spectra * transfer[:, None], pixels)
