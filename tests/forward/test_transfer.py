"""The kernels against sums over the disc in real space, where nothing is Fourier-transformed."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.special import erfc

from astropayne import PayneModel
from astropayne.forward.broadener import Broadener
from astropayne.forward.transfer import (
    doppler_shift,
    gaussian,
    half_width,
    instrument_fwhm,
    rotation_macroturbulence,
)
from astropayne.wavelengths.velocity import C_KMS

S0 = 6.4  # km/s, width of the test line: that of R = 20000


def disc_line(v, vsini, zeta, epsilon, n=400):
    """A Gaussian line of depth 0.6, integrated directly over rings and angles of the disc."""
    t, weight = np.polynomial.legendre.leggauss(n)
    t, weight = (t + 1) / 2, weight / 2
    phi = (np.arange(n) + 0.5) * np.pi / n
    mu = np.sqrt(1 - t**2)
    light = weight * t * (1 - epsilon + epsilon * mu)
    shift = vsini * t[:, None] * np.cos(phi)
    depth = np.zeros_like(v)
    for spread in (mu, t):  # radial and tangential motion
        sigma = np.sqrt(S0**2 + (zeta * spread) ** 2 / 2)[:, None]
        for i, x in enumerate(v):
            line = np.exp(-0.5 * ((x - shift) / sigma) ** 2) / sigma
            depth[i] += 0.5 * (light[:, None] * line).sum()
    return 0.6 * S0 * depth / (n * light.sum())


@pytest.fixture(scope="module")
def line():
    """A line at the middle of one window, on 0.05 Å pixels, and its broadener."""
    wavelength = np.arange(5100, 5300, 0.05)
    v = C_KMS * np.log(wavelength / 5200)
    return wavelength, v, 1 - 0.6 * np.exp(-0.5 * (v / S0) ** 2)


@pytest.mark.parametrize("epsilon", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    ("vsini", "zeta"), [(0, 0), (0.3, 0), (3, 2), (10, 4), (0, 15), (30, 8), (80, 3), (150, 15)]
)
def test_rotation_and_macroturbulence_against_the_disc(line, vsini, zeta, epsilon):
    wavelength, v, flux = line
    broadener = Broadener(wavelength, None, limb_darkening=epsilon)
    pixels = broadener.pixels(wavelength)
    found = broadener.broaden(flux[None], [0, vsini, zeta], pixels)[0].numpy()
    near = np.flatnonzero(np.abs(v) < vsini + 60)[::7]
    assert broadener.supported(pixels, vsini, zeta)[0, near].all()
    assert found[near] == pytest.approx(1 - disc_line(v[near], vsini, zeta, epsilon), abs=2e-5)


def turbulent_line(v, zeta):
    """The test line under Gray's kernel, averaged over a disc, by direct convolution."""
    u = np.linspace(1e-6, 6 * zeta, 4001)
    x = u / zeta
    kernel = (np.exp(-(x**2)) - np.sqrt(np.pi) * x * erfc(x)) / zeta
    depth = 0.6 * (np.exp(-0.5 * ((v[:, None] - u) / S0) ** 2))
    depth += 0.6 * (np.exp(-0.5 * ((v[:, None] + u) / S0) ** 2))
    return trapezoid(depth * kernel, u, axis=1) / (2 * trapezoid(kernel, u))


@pytest.mark.parametrize(("convention", "zeta"), [("product", 6.0), ("fwhm", 6.0 * 1.433)])
def test_macroturbulence_apart_from_rotation(line, convention, zeta):
    wavelength, v, flux = line
    broadener = Broadener(wavelength, None, macroturbulence=convention)
    pixels = broadener.pixels(wavelength)
    found = broadener.broaden(flux[None], [0, 0, 6], pixels)[0].numpy()
    near = np.flatnonzero(np.abs(v) < 60)[::7]
    assert found[near] == pytest.approx(1 - turbulent_line(v[near], zeta), abs=2e-5)
    both = broadener.broaden(flux[None], [0, 9, 6], pixels)[0].numpy()
    turned = broadener.broaden(flux[None], [0, 9, 0], pixels)
    after = broadener.broaden(turned, [0, 0, 6], pixels)[0].numpy()  # one after the other
    assert both[near] == pytest.approx(after[near], abs=2e-5)
    with pytest.raises(ValueError, match="macroturbulence='gray' is not one of joint"):
        Broadener(wavelength, None, macroturbulence="gray")


@pytest.mark.parametrize("convention", ["joint", "product", "fwhm"])
def test_derivatives_of_the_widths(convention):
    model = PayneModel.sample()
    forward = model.forward_model(macroturbulence=convention)
    pixels = forward.pixels(model.vacuum_wavelength[500:600])
    theta = np.array([*(model.labels.minimum + 0.4 * model.labels.width), 0.0, 7.0, 4.0])
    jacobian = forward.forward_and_jacobian(theta, pixels)[1][0].numpy()
    for i in (-2, -1):
        step = np.zeros_like(theta)
        step[i] = 1e-4
        ahead, behind = (forward.forward(theta + s, pixels)[0].numpy() for s in (step, -step))
        number = (ahead - behind) / 2e-4
        assert jacobian[:, i] == pytest.approx(number, abs=1e-6 * np.abs(number).max())


def test_the_instrument_adds_widths_in_quadrature(line):
    wavelength, v, flux = line
    own = C_KMS / (S0 * np.sqrt(8 * np.log(2)))
    broadener = Broadener(wavelength, own)
    found = broadener.broaden(flux[None], [0, 0, 0], broadener.pixels(wavelength), 12000)[0]
    sigma = C_KMS / 12000 / np.sqrt(8 * np.log(2))
    expected = 1 - 0.6 * S0 / sigma * np.exp(-0.5 * (v / sigma) ** 2)
    inside = slice(200, -200)
    assert found.numpy()[inside] == pytest.approx(expected[inside], abs=2e-5)


@pytest.mark.parametrize("rv", [-900.0, -3.3, 0.7, 250.0])
def test_velocity_is_relativistic(line, rv):
    wavelength, _, flux = line
    beta = rv / C_KMS
    shifted = wavelength * np.sqrt((1 + beta) / (1 - beta))
    broadener = Broadener(wavelength, None)
    for placed in (rv, rv + 20, 0.0):  # where the pixels were placed does not matter
        pixels = broadener.pixels(shifted, placed)
        found = broadener.broaden(flux[None], [rv, 0, 0], pixels)[0].numpy()
        good = (pixels.margin > broadener.reach() + abs(rv - placed))[0]
        assert good.sum() > 2000
        assert found[good] == pytest.approx(flux[good], abs=2e-5)


def test_derivatives_against_differences():
    s = torch.linspace(0, 0.2, 50, dtype=torch.float64)
    h = 1e-5

    def value(vsini, vmac):
        vsini, vmac = torch.tensor([[vsini], [vmac]], dtype=torch.float64)
        return rotation_macroturbulence(s, vsini, vmac)

    for vsini, vmac in ((0.5, 0.3), (12.0, 4.0), (90.0, 10.0)):
        _, by_vsini, by_vmac = value(vsini, vmac)
        number = (value(vsini + h, vmac)[0] - value(vsini - h, vmac)[0]) / (2 * h)
        assert torch.allclose(by_vsini, number, atol=1e-8)
        number = (value(vsini, vmac + h)[0] - value(vsini, vmac - h)[0]) / (2 * h)
        assert torch.allclose(by_vmac, number, atol=1e-8)
    fwhm = torch.tensor([6.0], dtype=torch.float64)
    number = (gaussian(s, fwhm + h)[0] - gaussian(s, fwhm - h)[0]) / (2 * h)
    assert torch.allclose(gaussian(s, fwhm)[1], number, atol=1e-8)
    rv = torch.tensor([200.0], dtype=torch.float64)
    number = (doppler_shift(s, rv + h)[0] - doppler_shift(s, rv - h)[0]) / (2 * h)
    phase, by_rv = doppler_shift(s, rv)
    assert torch.allclose(phase * by_rv, number, atol=1e-6)


def test_zero_broadening_is_nothing_and_grows_smoothly():
    s = torch.linspace(0, 0.15, 40, dtype=torch.float64)
    vsini = torch.linspace(0, 3, 301, dtype=torch.float64)
    transfer, by_vsini, _ = rotation_macroturbulence(s, vsini, torch.zeros_like(vsini))
    assert torch.allclose(transfer[0], torch.ones_like(s), atol=1e-14)
    assert torch.allclose(by_vsini[0], torch.zeros_like(s), atol=1e-14)
    assert (torch.diff(transfer[:, 1:], dim=0) < 0).all()


@pytest.mark.parametrize("resolution", [0, -5, float("nan")])
def test_a_resolution_has_to_be_positive(resolution):
    with pytest.raises(ValueError, match="positive"):
        instrument_fwhm(resolution, 20000)


def test_a_model_is_never_sharpened():
    assert instrument_fwhm(20000, 20000) == 0
    assert instrument_fwhm(None, 20000) == 0
    assert instrument_fwhm(10000, None) == pytest.approx(C_KMS / 10000)
    with pytest.raises(ValueError, match="higher than the model's own, 20000"):
        instrument_fwhm(20001, 20000)


def test_reach_covers_the_kernel():
    # what is left of the test line's broadening beyond half_width is below 1e-4 of its area
    v = np.linspace(-200, 200, 4001)
    profile = disc_line(v, 20, 6, 0.6, n=200)
    wide = half_width(20, 6, S0 * np.sqrt(8 * np.log(2)))
    assert profile[np.abs(v) > wide].sum() < 1e-4 * profile.sum()
