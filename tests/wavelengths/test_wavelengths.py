# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from specutils import SpectralRegion

from astropayne.wavelengths.axis import (
    covered_range,
    effective_arms,
    find_windows,
    pixel_width,
    require_axis,
    without_gaps,
)
from astropayne.wavelengths.interpolation import lagrange_weights, uniform_lagrange
from astropayne.wavelengths.media import (
    require_medium,
    spectral_equivalencies,
    to_air,
    to_vacuum,
    vacuum_angstrom,
)
from astropayne.wavelengths.regions import checked_region, inside_regions
from astropayne.wavelengths.resolution import require_resolution, resolution_at
from astropayne.wavelengths.velocity import C_KMS, checked_velocity, doppler_factor

# --- axes


def test_windows_end_at_gaps():
    assert find_windows([5000, 5001]) == [slice(0, 2)]
    assert find_windows([5000, 5001, 5002, 5020, 5021]) == [slice(0, 3), slice(3, 5)]


def test_pixel_widths_are_those_to_the_nearer_neighbor():
    wavelength = np.exp([[8.0, 8.1, 8.3, np.nan]])
    assert pixel_width(wavelength)[0] == pytest.approx([0.1, 0.1, 0.2, 1.0])


def test_overlap_counts_once():
    arm, used = np.linspace(5000, 5100, 101), np.ones(101, dtype=bool)
    one = covered_range([arm], [used])
    assert one == pytest.approx(np.log(5100 / 5000), rel=0.02)
    assert covered_range([arm, arm + 50], [used, used]) == pytest.approx(1.5 * one, rel=0.02)
    assert covered_range([arm], [~used]) == 0
    assert covered_range([arm[:1]], [used[:1]]) == 0


def test_arms_that_observe_other_wavelengths_do_not_count():
    blue, red = np.array([[5000.0, 5001, 5002]]), np.array([[6000.0, 6001, 6002]])
    weight = np.ones((1, 6))
    assert effective_arms([blue, red], weight).tolist() == [[1] * 6]
    assert effective_arms([blue, blue], weight).tolist() == [[2] * 6]
    weight[0, 3:] = 0
    assert effective_arms([blue, blue], weight)[0, :3].tolist() == [1] * 3


def test_selected_pixels_are_split_at_gaps():
    wavelength = [5000, 5001, 5002, 6000, 6003, 6006]
    assert without_gaps(wavelength, np.zeros(6, dtype=bool)) == []
    parts = without_gaps(wavelength, [True, True, False, True, True, False])
    assert [part.tolist() for part in parts] == [[0, 1], [3, 4]]


@pytest.mark.parametrize(
    ("wavelength", "match"),
    [
        ([5000.0, 4999.0], "pixel 1 is 4999"),
        ([5000.0, np.nan], "pixel 1 is nan"),
        ([-1.0, 5000.0], "pixel 0 is -1"),
        ([3.7, 3.8], "outside of any stellar spectrum: state their unit"),
    ],
)
def test_axes_of_no_spectrum_are_refused(wavelength, match):
    require_axis(np.array([5000.0, 5001.0]), "air", None)
    with pytest.raises(ValueError, match=match):
        require_axis(np.array(wavelength), "air", None)


# --- air and vacuum


def test_air_and_vacuum_are_inverse():
    air = np.array([[2000.0, 3000.0], [5889.950, 15000.0]])
    vacuum = to_vacuum(air, "air")
    assert vacuum[1, 0] == pytest.approx(5891.583, abs=0.001)  # Na D2
    assert to_air(vacuum) == pytest.approx(air, abs=2e-5)
    assert to_vacuum(air, "vacuum") is air
    assert to_vacuum([], "air").size == 0


def test_media_are_checked():
    with pytest.raises(ValueError, match="medium is 'water'; it can be 'air' or 'vacuum'"):
        require_medium("water")
    with pytest.raises(ValueError, match="1 of 2 wavelengths are not finite"):
        to_vacuum([5000, np.nan], "air")


def test_other_spectral_units_refer_to_vacuum():
    frequency = (5891.583 * u.AA).to(u.THz, u.spectral())
    assert vacuum_angstrom(frequency[None], "air") == pytest.approx([5891.583])
    assert vacuum_angstrom([5889.950] * u.AA, "air") == pytest.approx([5891.583], abs=1e-3)
    assert spectral_equivalencies("vacuum") == u.spectral()
    air = frequency.to(u.AA, spectral_equivalencies("air"))
    assert air.value == pytest.approx(5889.950, abs=1e-3)
    assert air.to(u.THz, spectral_equivalencies("air")).value == pytest.approx(frequency.value)


# --- velocities, resolution, regions


def test_velocities_are_relativistic_and_checked():
    assert doppler_factor(0.6 * C_KMS) == pytest.approx(2.0)
    assert checked_velocity(12000 * u.m / u.s, "rv") == 12.0
    assert checked_velocity([1, 2], "vsini").tolist() == [1.0, 2.0]
    for name, value, match in (
        ("rv", 3e5, "rv = 300000 km/s is not possible: it must be slower than light"),
        ("vsini", [1, -1], "vsini = -1 km/s is not possible: it must be from 0 to 1000 km/s"),
        ("vmac", np.nan, "vmac = nan"),
    ):
        with pytest.raises(ValueError, match=match):
            checked_velocity(value, name)


def test_resolution_may_be_a_number_an_array_or_a_function():
    axis = [5000, 5001] * u.AA
    assert resolution_at(None, axis) is None
    assert resolution_at(2e4, axis) == 2e4
    assert resolution_at(2e4 * u.one, axis) == 2e4
    assert resolution_at([2e4, 3e4], axis).tolist() == [2e4, 3e4]
    assert resolution_at(lambda x: 4 * x.value, axis).tolist() == [20000, 20004]
    with pytest.raises(ValueError, match=r"shape \(3,\), but there are 2 pixels"):
        resolution_at([1, 2, 3], axis)
    require_resolution(None)
    for wrong in (-5, 0, np.inf, "high", [2e4, 3e4]):
        with pytest.raises(ValueError, match="it can be a positive number"):
            require_resolution(wrong)


def test_regions_include_their_ends():
    axis = [5000, 5001, 5002, 5003] * u.AA
    region = SpectralRegion(500.1 * u.nm, 500.2 * u.nm)
    assert inside_regions(axis, region, "air").tolist() == [False, True, True, False]
    assert checked_region(region, "regions") is region
    with pytest.raises(TypeError, match="exclude must be a specutils SpectralRegion"):
        checked_region((5001, 5002), "exclude")


# --- interpolation


@pytest.mark.parametrize("taps", [2, 4, 6, 10])
def test_polynomials_are_interpolated_exactly(taps):
    rng = np.random.default_rng(2)
    nodes, power = np.sort(rng.uniform(0, 1, 20)), taps - 1
    points = rng.uniform(nodes[0], nodes[-1], 50)
    index, weight = lagrange_weights(nodes, points, taps)
    assert (weight * nodes[index] ** power).sum(axis=1) == pytest.approx(points**power, abs=1e-9)
    index, weight = lagrange_weights(nodes, nodes, taps)
    assert (weight * nodes[index]).sum(axis=1) == pytest.approx(nodes)


@pytest.mark.parametrize("taps", [4, 10])
def test_uniform_nodes_have_the_same_weights(taps):
    fraction = np.array([0.0, 0.3, 1.0])
    nodes = np.arange(taps) - (taps // 2 - 1.0)
    expected = lagrange_weights(nodes, fraction, taps)[1]
    assert uniform_lagrange(fraction, taps) == pytest.approx(expected, abs=1e-14)
    assert uniform_lagrange(fraction, taps).sum(axis=-1) == pytest.approx([1, 1, 1])
