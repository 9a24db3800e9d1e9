# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Rotation, macroturbulence, instrument and velocity as transfer functions, with derivatives.

On an axis uniform in ln λ, broadening by a kernel is a multiplication of the spectrum's Fourier
transform by the kernel's, and these are closed forms: smooth at zero width, with closed
derivatives. ``s`` is the frequency in cycles per km/s. Plain torch, no units: velocities in km/s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
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

#: Ratio ζ / vmac of each convention of macroturbulence: integrated over the disc together with
#: rotation; as a separate kernel; and as such a kernel's full width at half maximum, the convention
#: of TSFitPy and one_payne.
MACROTURBULENCE = {"joint": 1.0, "product": 1.0, "fwhm": 1.433}


@dataclass(frozen=True)
class Broadening:
    """How rotation and macroturbulence broaden lines.

    Parameters
    ----------
    limb_darkening : float
        Linear limb-darkening coefficient ε, from 0 to 1.
    macroturbulence : {"joint", "product", "fwhm"}
        Meaning of ``vmac``: ζ, integrated over the disc together with rotation; ζ of a kernel that
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
            raise ValueError(f"limb_darkening={self.limb_darkening!r} must be from 0 to 1")
        if self.macroturbulence not in MACROTURBULENCE:
            raise ValueError(
                f"macroturbulence={self.macroturbulence!r} is not one of "
                f"{', '.join(MACROTURBULENCE)}"
            )
        object.__setattr__(self, "limb_darkening", float(self.limb_darkening))


@cache
def _disc(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss–Legendre angles from the disc's center (t = sin θ) and their weights."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) * math.pi / 4, weights * math.pi / 4


def _n_nodes(s: torch.Tensor, vsini: torch.Tensor, vmac: torch.Tensor) -> int:
    """Return the number of angles that make the sum accurate to 1e-7.

    J₀ oscillates more often in faster rotators, and stronger turbulence makes a narrower peak at
    the limb.
    """
    highest = math.pi * float(s.max())
    turns, narrowness = 2 * highest * float(vsini.abs().max()), highest * float(vmac.abs().max())
    return 8 * math.ceil((12 + 0.55 * turns + 1.2 * narrowness) / 8)


def rotation_times_macroturbulence(
    s: torch.Tensor,
    vsini: torch.Tensor,
    vmac: torch.Tensor,
    limb_darkening: float = 0.6,
    by: Sequence[str] = ("vsini", "vmac"),
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Transfer function of rotation times that of macroturbulence, the classical approximation.

    That of macroturbulence is [1 − exp(−(πζs)²)] / (πζs)², averaged over a disc without limb
    darkening (Gray 2005, *The Observation and Analysis of Stellar Photospheres*, ch. 17).
    Parameters and returned values are those of `rotation_macroturbulence`.
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


def rotation_macroturbulence(
    s: torch.Tensor,
    vsini: torch.Tensor,
    vmac: torch.Tensor,
    limb_darkening: float = 0.6,
    by: Sequence[str] = ("vsini", "vmac"),
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Transfer function of a rotating, radially and tangentially turbulent, limb-darkened disc.

    Rotation and macroturbulence act together: at distance t from the disc's center, with
    μ² = 1 − t², it is the mean over the disc, weighted by 1 − ε + εμ, of
    ½ [exp(−(πζμs)²) + exp(−(πζts)²)] J₀(2πs·vsini·t) (Hirano et al. 2011, ApJ 742, 69, eq. 12).
    The product of the separate functions of the two effects, which
    `rotation_times_macroturbulence` returns, differs from it by up to 1e-2.

    Parameters
    ----------
    s : torch.Tensor, shape (n_frequencies,)
        Frequencies in cycles per km/s.
    vsini : torch.Tensor, shape (n,)
        Projected rotational velocity in km/s.
    vmac : torch.Tensor, shape (n,)
        Radial–tangential macroturbulence ζ in km/s, equal parts. The ``vmac`` of TSFitPy and
        one_payne is the profile's full width at half maximum: ζ is 1.433 times larger.
    limb_darkening : float
        Linear limb-darkening coefficient ε.
    by : sequence of str
        Velocities to differentiate by; derivatives by the others are `None`.

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


def gaussian(s: torch.Tensor, fwhm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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


def highest_frequency(fwhm: float, left: float) -> float:
    """Return the frequency at which a Gaussian's transfer function is ``left``, in cycles per km/s.

    Parameters
    ----------
    fwhm : float
        In km/s.
    left : float
        Between 0 and 1.

    Returns
    -------
    float
        Infinite if ``fwhm`` is zero.
    """
    return FWHM * math.sqrt(-0.5 * math.log(left)) / (math.pi * fwhm) if fwhm > 0 else math.inf


def doppler_shift(
    s: torch.Tensor, rv: torch.Tensor, placed: float | torch.Tensor = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Transfer function of a radial velocity, and its derivative: a phase, relativistic.

    A velocity v shifts the spectrum by artanh(v/c) in ln λ, here times c.

    Parameters
    ----------
    s : torch.Tensor, shape (n_frequencies,)
    rv : torch.Tensor, shape (n,)
        In km/s, positive when receding.
    placed : float or torch.Tensor, shape (n,)
        Velocity in km/s by which the spectrum is shifted already.

    Returns
    -------
    phase, by_rv : torch.Tensor (complex), shape (n, n_frequencies)
        The function, and its derivative divided by the function.
    """
    beta, there = rv / C_KMS, torch.as_tensor(placed, dtype=rv.dtype, device=rv.device) / C_KMS
    angle = -2 * math.pi * s * (C_KMS * (torch.atanh(beta) - torch.atanh(there)))[:, None]
    phase = torch.polar(torch.ones_like(angle), angle)
    return phase, (-2j * math.pi * s) / (1 - beta**2)[:, None]


def instrument_fwhm(
    resolution: npt.ArrayLike | None, model_resolution: float | None
) -> float | np.ndarray:
    """Return the width of the Gaussian that brings a model to an instrument's resolution.

    Parameters
    ----------
    resolution : float, array_like or None
        λ/FWHM to reach, infinite for a perfect instrument; `None` leaves the model unchanged.
    model_resolution : float or None
        λ/FWHM of the model; `None` stands for perfect resolution.

    Returns
    -------
    float or numpy.ndarray
        Full width at half maximum in km/s; zero where no broadening is needed.

    Raises
    ------
    ValueError
        If the resolution is not positive, or higher than the model's own.
    """
    if resolution is None:
        return 0.0
    resolution = np.asarray(resolution, dtype=float)
    if not (resolution > 0).all():  # NaN neither
        raise ValueError(f"resolution={resolution} must be positive (λ/FWHM)")
    if not np.all(is_reachable(resolution, model_resolution)):
        raise ValueError(
            f"resolution={resolution.max():g} is higher than the model's own, "
            f"{model_resolution:g}: a model cannot be sharpened. Degrade the observed spectrum to "
            "the model's resolution (degrade_spectrum), or train on a grid of higher resolution"
        )
    if model_resolution is None:
        return C_KMS / resolution
    return C_KMS * np.sqrt(np.maximum(0.0, resolution**-2 - model_resolution**-2))


def is_reachable(
    resolution: float | np.ndarray, model_resolution: float | None
) -> bool | np.ndarray:
    """Return whether a model can be brought to each resolution, so that `instrument_fwhm` takes it.

    Parameters
    ----------
    resolution : float or numpy.ndarray
        λ/FWHM; NaN cannot be reached.
    model_resolution : float or None
        λ/FWHM of the model; `None` stands for perfect resolution.

    Returns
    -------
    bool or numpy.ndarray of bool
    """
    highest = np.inf if model_resolution is None else model_resolution * (1 + 1e-9)
    return (resolution > 0) & (resolution <= highest)


def half_width(
    vsini: float | np.ndarray, vmac: float | np.ndarray, fwhm: float | np.ndarray
) -> float | np.ndarray:
    """Return the half width of the broadening kernel in km/s.

    Pixels closer to the edge of a window depend on flux beyond it. The kernel of rotation ends at
    vsini; those of macroturbulence and instrument are cut at four standard deviations.
    """
    return vsini + 4 * np.sqrt((fwhm / FWHM) ** 2 + 0.5 * np.square(vmac))
