import copy

import numpy as np
import pytest
import torch

from astropayne import PayneModel
from astropayne.forward.broadener import Broadener
from astropayne.forward.model import ForwardModel
from astropayne.networks.network import SpectralNetwork
from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import C_KMS

WAVELENGTH = np.concatenate([np.arange(5160, 5175, 0.05), np.arange(6090, 6100, 0.05)])


@pytest.fixture(scope="module")
def forward():
    torch.manual_seed(3)
    network = SpectralNetwork(3, len(WAVELENGTH), hidden_layers=(12, 12), components=5)
    with torch.no_grad():  # a basis of broad bumps, as smooth as spectra are
        centres = torch.linspace(5161, 6099, 5)
        v = C_KMS * np.log(WAVELENGTH[:, None] / np.array([5163, 5168, 5173, 6093, 6097]))
        network.pixels.weight.copy_(torch.as_tensor(4 * np.exp(-0.5 * (v / 12) ** 2)))
        network.pixels.bias.fill_(1.0)
        assert len(centres) == 5
    return ForwardModel(network, [4000, 1, -2], [3000, 4, 2.5], WAVELENGTH, 20000)


THETA = np.array([5500, 3.0, -0.5, 12.0, 8.0, 3.0])


def test_jacobian_against_central_differences(forward):
    pixels = forward.pixels(np.arange(5162, 5173, 0.07), 10.0)
    flux, jacobian = forward.forward_and_jacobian(THETA, pixels, 15000)
    assert flux.numpy() == pytest.approx(forward.forward(THETA, pixels, 15000).numpy(), abs=1e-13)
    for i, step in enumerate([0.3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]):
        ahead, behind = THETA.copy(), THETA.copy()
        ahead[i] += step
        behind[i] -= step
        difference = forward.forward(ahead, pixels, 15000) - forward.forward(behind, pixels, 15000)
        number = difference[0].numpy() / (2 * step)
        scale = np.abs(number).max()
        assert scale > 0
        assert jacobian[0, :, i].numpy() == pytest.approx(number, abs=1e-5 * scale)


@pytest.mark.parametrize("resolution", [20000, 8000])
def test_coarse_derivatives_fit_as_well(resolution):
    """They know errors of labels to a hundredth, and leave the flux alone."""
    model = PayneModel.sample()
    forward = model.forward_model()
    star = [5600, 4.2, -0.3, 1.2, *[0.1] * 7, 2.0, 20.0, 3.0, 2.0]
    pixels = forward.pixels(model.vacuum_wavelength, 20.0)
    used = torch.as_tensor(forward.supported(pixels, 3.0, 2.0, resolution)[0])
    flux, exact = forward.forward_and_jacobian(star, pixels, resolution)
    same, coarse = forward.forward_and_jacobian(star, pixels, resolution, coarse=True)
    assert torch.allclose(flux, same, atol=1e-13)
    exact, coarse = exact[0, used], coarse[0, used]
    away = torch.linalg.vector_norm(coarse - exact, dim=0) / torch.linalg.vector_norm(exact, dim=0)
    assert (away > 0).all()
    assert away[:12].max() < 2e-3
    assert away.max() < 0.02
    of_exact, of_coarse = (
        np.sqrt(np.diag(np.linalg.inv((j.T @ j).numpy()))) for j in (exact, coarse)
    )
    assert of_coarse == pytest.approx(of_exact, rel=1e-2)


def test_frequencies_that_the_instrument_leaves_nothing_of_are_not_computed(forward):
    """And the flux is that of all frequencies: of a Gaussian line and kernel, exactly."""
    # Private, because how many there are changes the time of a fit and nothing else.
    assert forward._n_frequencies(3000) < 0.4 * forward._n_frequencies(15000)
    centre, resolution = 5167.0, 3000
    axis = Broadener(WAVELENGTH, 20000)
    sigma = [C_KMS / r / np.sqrt(8 * np.log(2)) for r in (20000, resolution)]
    v = C_KMS * np.log(WAVELENGTH / centre)
    line = 1 - 0.5 * np.exp(-0.5 * (v / sigma[0]) ** 2)
    wanted = 1 - 0.5 * sigma[0] / sigma[1] * np.exp(-0.5 * (v / sigma[1]) ** 2)
    pixels = axis.pixels(WAVELENGTH)
    found = axis.broaden(line[None], [0, 0, 0], pixels, resolution)[0].numpy()
    good = axis.supported(pixels, resolution=resolution)[0]
    assert found[good] == pytest.approx(wanted[good], abs=5e-6)


def test_a_batch_is_its_stars(forward):
    pixels = forward.pixels(WAVELENGTH, 0.0)
    thetas = THETA + np.array([[0] * 6, [300, 1, 0.4, -5, 3, -2], [-300, -1, -0.4, 20, 30, 1]])
    flux, jacobian = forward.forward_and_jacobian(thetas, pixels)
    assert flux.shape == (3, len(WAVELENGTH))
    assert jacobian.shape == (3, len(WAVELENGTH), 6)
    for theta, one, by_theta in zip(thetas, flux, jacobian, strict=True):
        single = forward.forward_and_jacobian(theta, pixels)
        assert torch.allclose(single[0][0], one, atol=1e-12)
        assert torch.allclose(single[1][0], by_theta, atol=1e-11)


def test_single_precision_is_good_to_1e6(forward):
    single = ForwardModel(
        forward.network, forward.minimum, forward.width, WAVELENGTH, 20000, dtype=torch.float32
    )
    wavelength = np.arange(5162, 5173, 0.07)
    one = single.forward(THETA, single.pixels(wavelength, 10.0), 15000)
    two = forward.forward(THETA, forward.pixels(wavelength, 10.0), 15000)
    assert one.dtype == torch.float32
    assert one.numpy() == pytest.approx(two.numpy(), abs=2e-6)


def test_theta_of_the_wrong_shape_is_refused(forward):
    with pytest.raises(ValueError, match="needs 6 columns"):
        forward.forward(THETA[:4], forward.pixels(WAVELENGTH))


def test_a_line_beyond_a_window_never_enters_it():
    """What is supported does not depend on anything outside; what depends on it is masked."""
    wavelength = np.arange(5100, 5300, 0.05)
    v = C_KMS * np.log(wavelength[:, None] / np.array([5195.0, 5200.5, 5204.9]))
    whole = 1 - (0.8 * np.exp(-0.5 * (v / 7) ** 2)).sum(axis=1)
    inside = (wavelength > 5195.2) & (wavelength < 5204.7)  # it cuts two lines
    cut = Broadener(wavelength[inside], None)
    full = Broadener(wavelength, None)
    for velocities in ([0, 0, 0], [3.3, 0, 0], [-40, 20, 5], [15, 60, 0]):
        pixels = cut.pixels(wavelength, velocities[0])
        good = cut.supported(pixels, *velocities[1:])[0]
        found = cut.broaden(whole[inside][None], velocities, pixels)[0].numpy()
        expected = full.broaden(
            whole[None], velocities, full.pixels(wavelength, velocities[0])
        )[0].numpy()  # fmt: skip
        assert good.sum() > 20
        assert found[good] == pytest.approx(expected[good], abs=1e-4)
        assert np.abs(found - expected).max() > 0.05  # the test would see a mistake


def test_pixels_know_their_window():
    broadener = Broadener(WAVELENGTH, None)
    pixels = broadener.pixels([5000, 5161, 5500, 6095, 7000])
    assert pixels.window.tolist() == [[-1, 0, -1, 1, -1]]
    assert not broadener.supported(pixels)[0, [0, 2, 4]].any()
    moved = broadener.pixels([5161 * (1 + 600 / C_KMS)], rv=600.0)
    assert moved.window.tolist() == [[0]]


def test_windows_are_found_whatever_the_sampling():
    linear = np.arange(5000, 5010, 0.1)
    logarithmic = np.exp(np.linspace(np.log(6000), np.log(9000), 50))
    windows = find_windows(np.concatenate([linear, logarithmic]))
    assert windows == [slice(0, 100), slice(100, 150)]
    assert find_windows([1.0, 2.0]) == [slice(0, 2)]


def test_vacuum_wavelengths():
    # Morton 2000: the sodium D2 line, 5889.9510 Å in air, 5891.5833 Å in vacuum
    assert to_vacuum([5889.9510], "air") == pytest.approx([5891.5833], abs=2e-4)
    assert to_vacuum([5891.5833], "vacuum").tolist() == [5891.5833]
    # a pixel far in the ultraviolet does not make the others useless
    assert to_vacuum([1500.0, 5889.9510], "air") == pytest.approx([1500.45, 5891.5833], abs=0.01)
    with pytest.raises(ValueError, match="'air' or 'vacuum'"):
        to_vacuum([5000], "water")


def test_going_through_the_axis_leaves_spectra_as_they_are(sample):
    wavelength = to_vacuum(sample.wavelength.value, "air")
    broadener = Broadener(wavelength, 20000)
    flux = sample.flux[:40].astype(float)
    for rv in (0.0, 7.3, -299.0):
        beta = rv / C_KMS
        pixels = broadener.pixels(wavelength * np.sqrt((1 + beta) / (1 - beta)), rv - 0.8)
        found = broadener.broaden(flux, np.tile([rv, 0, 0], (40, 1)), pixels).numpy()
        good = broadener.supported(pixels)[0]
        assert good.sum() > 3800
        # the sample is rounded to half precision: 1e-4 of noise that no axis can follow exactly
        assert np.abs(found - flux)[:, good].max() < 5e-4
        assert np.sqrt(np.mean((found - flux)[:, good] ** 2)) < 5e-5


def test_few_points_of_the_axis_are_enough():
    """The network on its coarser axis against its flux on an axis as fine as its pixels."""
    model = PayneModel.sample()
    forward = model.forward_model()
    fine = Broadener(forward.wavelength, model.resolution)
    assert forward.step > fine.step
    assert forward.taps < fine.taps
    rng = np.random.default_rng(2)
    labels = model.labels.minimum + rng.random((6, len(model.labels))) * model.labels.width
    velocities = np.column_stack([rng.uniform(-200, 200, 6), rng.uniform(0, 20, 6), np.zeros(6)])
    scaled = torch.as_tensor(model.labels.scale(labels))
    flux = copy.deepcopy(model.network).double()(scaled).detach()
    for resolution, tolerance in ((16000, 1e-5), (20000, 1e-4)):
        there, here = (f.pixels(forward.wavelength, velocities[:, 0]) for f in (fine, forward))
        expected = fine.broaden(flux, velocities, there, resolution)
        found = forward.forward(np.hstack([labels, velocities]), here, resolution)
        good = forward.supported(here, velocities[:, 1], 0.0, resolution)
        good &= fine.supported(there, velocities[:, 1], 0.0, resolution)
        assert good.mean() > 0.9
        assert np.abs((found - expected).numpy())[good].max() < tolerance


def test_nothing_happens_where_nothing_is_to_be_done(rng):
    """Without velocities, at its own pixels, the network's flux comes out."""
    model = PayneModel.sample()
    labels = model.labels.minimum + rng.uniform(0, 1, (40, len(model.labels))) * model.labels.width
    forward = model.forward_model()
    pixels = forward.pixels(model.vacuum_wavelength)
    inside = forward.supported(pixels)[0]
    found = forward.forward(np.column_stack([labels, np.zeros((40, 3))]), pixels)
    expected = model.predict(labels).flux.value
    assert found.numpy()[:, inside] == pytest.approx(expected[:, inside], abs=1e-4)


@pytest.mark.parametrize("resolution", [15000, None])
def test_a_part_of_the_axis_is_as_good_as_all_of_it(forward, resolution):
    """Stretches with the room that broadening needs; one of them at the end of a window."""
    rv, vsini, vmac = THETA[3:]
    lines = np.log([[5164.5, 5165.5], [5165.0, 5166.0], [6090.1, 6093.0]])
    room = float(forward.reach(vsini, vmac, resolution)[0, 0]) / C_KMS
    some = forward.restricted_to(lines + np.array([-room, room]))
    assert some.n_fft < 0.8 * forward.n_fft
    assert len(some.start) == 2  # what overlaps is one
    rest = np.concatenate([np.arange(5164.6, 5166, 0.03), np.arange(6091.5, 6092.9, 0.03)])
    wavelength = rest * np.exp(np.arctanh(rv / C_KMS))
    theta = np.tile(THETA, (1, 3, 1))
    theta[0, 1, 0] += 300
    theta[0, 2, 2] -= 0.5
    found = some.forward_of_variations(theta, some.pixels(wavelength, rv), resolution)
    everything = forward.forward(theta[0], forward.pixels(wavelength, rv), resolution)
    assert found[0].T.numpy() == pytest.approx(everything.numpy(), abs=2e-5)
