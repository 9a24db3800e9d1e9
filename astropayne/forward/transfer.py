# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Rotation, macroturbulence, instrument and velocity as transfer functions, with derivatives.

On an axis uniform in ln λ, broadening by a kernel is a multiplication of the spectrum's Fourier
transform by the kernel's, and these are closed forms: smooth at zero width, with closed
derivatives. ``s`` is the frequency in cycles per km/s. Plain torch, no units: velocities in km/s.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from astropayne.wavelengths.resolution import FWHM
from astropayne.wavelengths.velocity import C_KMS

__all__ = [
    "MACROTURBULENCE",
    "Broadening",
    "doppler_shift",
    "gaussian",
    "half_width",
    "highest_frequency",
    "instrument_fwhm",
    "is_reachable",
    "rotation_macroturbulence",
    "rotation_times_macroturbulence",
]

#: Conventions of macroturbulence, and ζ over their vmac: together with rotation over the disc; one
#: times the other; and that with the profile's full width at half maximum for ζ, as TSFitPy and
#: one_payne have it.
MACROTURBULENCE = {"joint": 1.0, "product": 1.0, "fwhm": 1.433}


@dataclass(frozen=True)
class Broadening:
    """How rotation and macroturbulence broaden lines.

    Parameters
    ----------
    limb_darkening : float
        Linear limb-darkening coefficient ε, from 0 to 1.
    macroturbulence : {"joint", "product", "fwhm"}
        What ``vmac`` is: ζ, integrated over the disc together with rotation; ζ of a kernel that
        is applied after that of rotation, the classical approximation; or the full width at half
        maximum of that kernel, ζ / 1.433.

    Raises
    ------
    ValueError
        If the coefficient is outside its range, or the convention is unknown.
    """

    limb_darkening: float = 0.6
    macroturbulence: str = "joint"

    def __post_init__(self) -> None:
        if not 0 <= self.limb_darkening <= 1:
            raise ValueError(f"limb_darkening={self.limb_darkening!r} has to be from 0 to 1")
        if self.macroturbulence not in MACROTURBULENCE:
            raise ValueError(
                f"macroturbulence={self.macroturbulence!r} is not one of "
                f"{', '.join(MACROTURBULENCE)}"
            )
        object.__setattr__(self, "limb_darkening", float(self.limb_darkening))


@cache
def _disc(n):
    """Return Gauss–Legendre angles from the disc's centre (t = sin θ) and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) * math.pi / 4, weights * math.pi / 4


def _n_nodes(s, vsini, vmac):
    """Return how many angles the sum needs for 1e-7.

    J₀ turns as often as rotation is fast, and turbulence makes a peak at the limb as narrow as it
    is strong.
    """
    highest = math.pi * float(s.max())
    turns, narrowness = 2 * highest * float(vsini.abs().max()), highest * float(vmac.abs().max())
    return 8 * math.ceil((12 + 0.55 * turns + 1.2 * narrowness) / 8)


def rotation_times_macroturbulence(s, vsini, vmac, limb_darkening=0.6, by=("vsini", "vmac")):
    """Transfer function of rotation times that of macroturbulence, the classical approximation.

    That of macroturbulence is [1 − exp(−(πζs)²)] / (πζs)², averaged over a disc without limb
    darkening (Gray 2005, *The Observation and Analysis of Stellar Photospheres*, ch. 17).
    Parameters and what is returned are those of `rotation_macroturbulence`.
    """
    rotation, by_vsini, _ = rotation_macroturbulence(s, vsini, 0 * vmac, limb_darkening, by)
    y = (math.pi * vmac[:, None] * s) ** 2
    small = y < 1e-3
    z = torch.where(small, 1.0, y)
    turbulence = torch.where(small, 1 - y / 2 + y**2 / 6, -torch.expm1(-z) / z)
    by_vsini = None if by_vsini is None else by_vsini * turbulence
    if "vmac" not in by:
        return rotation * turbulence, by_vsini, None
    slope = (torch.exp(-z) * (1 + z) - 1) / z**2
    slope = torch.where(small, -0.5 + y / 3 - y**2 / 8, slope)
    slope = slope * 2 * vmac[:, None] * (math.pi * s) ** 2
    return rotation * turbulence, by_vsini, rotation * slope


def rotation_macroturbulence(s, vsini, vmac, limb_darkening=0.6, by=("vsini", "vmac")):
    """Transfer function of a rotating, radially and tangentially turbulent, limb-darkened disc.

    Rotation and macroturbulence act together: at distance t from the disc's centre, with
    μ² = 1 − t², it is the mean over the disc, weighted by 1 − ε + εμ, of
    ½ [exp(−(πζμs)²) + exp(−(πζts)²)] J₀(2πs·vsini·t) (Hirano et al. 2011, ApJ 742, 69, eq. 12).
    Multiplying the two effects' own functions, as `rotation_times_macroturbulence` does, is off by
    up to 1e-2.

    Parameters
    ----------
    s : torch.Tensor, shape (n_frequencies,)
        Frequencies in cycles per km/s.
    vsini : torch.Tensor, shape (n,)
        Projected rotational velocity in km/s.
    vmac : torch.Tensor, shape (n,)
        Radial–tangential macroturbulence ζ in km/s, equal parts. The ``vmac`` of TSFitPy and
        one_payne is the profile's full width at half maximum: ζ = 1.433 times theirs.
    limb_darkening : float
        Linear limb-darkening coefficient ε.
    by : sequence of str
        Which derivatives are wanted; the others are `None`.

    Returns
    -------
    transfer, by_vsini, by_vmac : torch.Tensor, shape (n, n_frequencies)
        The function and its derivatives by the two velocities.
    """
    theta, weight = (
        torch.as_tensor(values, dtype=s.dtype, device=s.device)
        for values in _disc(_n_nodes(s, vsini, vmac))
    )
    t, mu = torch.sin(theta), torch.cos(theta)
    weight = weight * (1 - limb_darkening + limb_darkening * mu) * t * mu
    weight = weight / (0.5 * (1 - limb_darkening) + limb_darkening / 3)

    wave = 2 * math.pi * s[:, None] * t
    u = vsini[:, None, None] * wave
    rotation = torch.special.bessel_j0(u)
    slope = -torch.special.bessel_j1(u) * wave if "vsini" in by else None
    if not vmac.any():  # a quarter of the work
        transfer = rotation @ weight
        by_vsini = None if slope is None else slope @ weight
        return transfer, by_vsini, torch.zeros_like(transfer) if "vmac" in by else None
    radial = (math.pi * s[:, None] * mu) ** 2
    tangential = (math.pi * s[:, None] * t) ** 2
    zeta = vmac[:, None, None]
    exp_radial, exp_tangential = torch.exp(-(zeta**2) * radial), torch.exp(-(zeta**2) * tangential)
    turbulence = 0.5 * (exp_radial + exp_tangential)
    transfer = (turbulence * rotation) @ weight
    by_vsini = None if slope is None else (turbulence * slope) @ weight
    if "vmac" not in by:
        return transfer, by_vsini, None
    by_zeta = -zeta * (radial * exp_radial + tangential * exp_tangential)
    return transfer, by_vsini, (by_zeta * rotation) @ weight


def gaussian(s, fwhm):
    """Transfer function of a Gaussian, and its derivative by the full width at half maximum.

    Parameters
    ----------
    s : torch.Tensor, shape (n_frequencies,)
    fwhm : torch.Tensor, shape (n,)
        In km/s.

    Returns
    -------
    transfer, by_fwhm : torch.Tensor, shape (n, n_frequencies)
    """
    k = 2 * (math.pi * s / FWHM) ** 2
    transfer = torch.exp(-k * fwhm[:, None] ** 2)
    return transfer, -2 * k * fwhm[:, None] * transfer


def highest_frequency(fwhm, left):
    """Return where the transfer function of a Gaussian has fallen to ``left``, in cycles per km/s.

    Parameters
    ----------
    fwhm : float
        In km/s; infinity is returned for zero.
    left : float
        Between 0 and 1.
    """
    return FWHM * math.sqrt(-0.5 * math.log(left)) / (math.pi * fwhm) if fwhm > 0 else math.inf


def doppler_shift(s, rv, placed=0.0):
    """Transfer function of a radial velocity, and its derivative: a phase, relativistic.

    On ln λ a velocity v shifts the spectrum by artanh(v/c), here times c.

    Parameters
    ----------
    s : torch.Tensor, shape (n_frequencies,)
    rv : torch.Tensor, shape (n,)
        In km/s, positive when receding.
    placed : float or torch.Tensor, shape (n,)
        Velocity in km/s that is there already.

    Returns
    -------
    phase, by_rv : torch.Tensor (complex), shape (n, n_frequencies)
        The function, and its derivative over itself.
    """
    beta, there = rv / C_KMS, torch.as_tensor(placed, dtype=rv.dtype, device=rv.device) / C_KMS
    angle = -2 * math.pi * s * (C_KMS * (torch.atanh(beta) - torch.atanh(there)))[:, None]
    phase = torch.polar(torch.ones_like(angle), angle)
    return phase, (-2j * math.pi * s) / (1 - beta**2)[:, None]


def instrument_fwhm(resolution, model_resolution):
    """Width of the Gaussian that brings a model to an instrument's resolution.

    Parameters
    ----------
    resolution : float, array_like or None
        λ/FWHM wanted, infinite for a perfect instrument; `None` leaves the model as it is.
    model_resolution : float or None
        λ/FWHM of the model; `None` stands for perfect resolution.

    Returns
    -------
    float or numpy.ndarray
        Full width at half maximum in km/s; zero where nothing is to be done.

    Raises
    ------
    ValueError
        If the resolution is not positive, or higher than the model's own.
    """
    if resolution is None:
        return 0.0
    resolution = np.asarray(resolution, dtype=float)
    if not (resolution > 0).all():  # NaN neither
        raise ValueError(f"resolution={resolution} has to be positive (λ/FWHM)")
    if not is_reachable(resolution, model_resolution).all():
        raise ValueError(
            f"resolution={resolution.max():g} is higher than the model's own, "
            f"{model_resolution:g}: a model cannot be sharpened. Degrade the observed spectrum to "
            "the model's resolution (degrade_spectrum), or train on a grid of higher resolution"
        )
    if model_resolution is None:
        return C_KMS / resolution
    return C_KMS * np.sqrt(np.maximum(0.0, resolution**-2 - model_resolution**-2))


def is_reachable(resolution, model_resolution):
    """Say which resolutions a model can be brought to: those that `instrument_fwhm` takes.

    Parameters
    ----------
    resolution : float or numpy.ndarray
        λ/FWHM; NaN is none.
    model_resolution : float or None
        As there.

    Returns
    -------
    bool or numpy.ndarray of bool
    """
    highest = np.inf if model_resolution is None else model_resolution * (1 + 1e-9)
    return (resolution > 0) & (resolution <= highest)


def half_width(vsini, vmac, fwhm):
    """How far, in km/s, broadening reaches: a pixel closer to an edge sees beyond it.

    Rotation has a sharp end; of the other two, four standard deviations are counted.
    """
    return vsini + 4 * np.sqrt((fwhm / FWHM) ** 2 + 0.5 * np.square(vmac))
