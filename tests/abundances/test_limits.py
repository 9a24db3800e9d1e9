"""Upper limits, within the range of a model and beyond it."""

import astropy.units as u
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from simulated_lines import BLURRED, SUN, exact_fit_abundances, simulate
from specutils import Spectrum

from astropayne import LineList
from astropayne.abundances import ElementFlag, Stage


def test_limits_hold_at_the_confidence_stated(network, rng):
    """A(Li) from 0.5 to 2 in the Sun is below what S/N 40 shows, or just above."""
    truth = rng.uniform(*network.labels.minimum[-1:], 2.0, 160)
    stars = [simulate(network, rng, 1, snr=40, A_Li=a)[0] for a in truth]
    table = exact_fit_abundances(
        stars, network, ["Li"], convention="A_X", confidence=0.9,
        fixed={n: SUN[n] for n in ("teff", "logg", "feh", "vmic")},
    )  # fmt: skip
    flags, limit = np.asarray(table["Li_flags"]), table["A_Li_upper_limit"]
    limited = (flags & ElementFlag.UPPER_LIMIT) > 0
    assert limited.sum() > 100
    assert (limit.mask == ~limited).all()
    assert (table["A_Li_err"].mask == table["A_Li"].mask).all()
    assert not (limited & ~table["A_Li"].mask).any()
    assert np.mean((limit > truth)[limited]) == pytest.approx(0.9, abs=0.06)
    # where the model's range ends is nobody's abundance
    assert not np.isin(np.ma.filled(limit, np.nan), [network.labels.minimum[-1]]).any()
    assert (np.ma.filled(table["Li_significance"], 0) < 3)[truth < 1].mean() > 0.97


FAINT = {"teff": 6000.0, "logg": 4.2, "feh": -1.2, "vmic": 1.3, "Na_Fe": 0.0, "A_Li": 1.0}


def _known(network, element):
    """All labels and velocities of a faint star but an element's own."""
    known = {n: FAINT.get(n, 0.0) for n in network.labels.names} | BLURRED
    return {n: value for n, value in known.items() if n != f"{element}_Fe"}


def test_a_limit_beyond_the_range_against_a_scan(network, rng):
    """Weak lines go on as their curve of growth has it; all else held, plain numpy."""
    (star,) = stars = simulate(network, rng, 1, snr=25, **FAINT)
    lines = LineList([6696.023, 6698.673], half_width=0.3, element="Al")
    known = _known(network, "Al")
    row = exact_fit_abundances(stars, network, [Stage(), Stage(["Al"], lines, fixed=known)])[0]
    assert row["Al_flags"] == ElementFlag.UPPER_LIMIT | ElementFlag.LIMIT_BEYOND_RANGE
    assert row["Al_Fe"] is np.ma.masked

    wavelength = star.spectral_axis.value
    rest = wavelength * np.sqrt((1 - 20 / 299792.458) / (1 + 20 / 299792.458))
    width = np.hypot(6.0, 299792.458 * np.sqrt(1 / 18000**2 - 1 / 20000**2)) / 299792.458
    inside = np.any([np.abs(rest / c - 1) < 0.3 / c + width for c in (6696.023, 6698.673)], axis=0)

    def flux(abundance):
        star = known | {"Al_Fe": abundance}
        return network(**star, resolution=18000).flux.value[inside]

    low, high = (end[network.labels.index("Al_Fe")] for end in (
        network.labels.minimum, network.labels.maximum))  # fmt: skip
    without = flux(low) + (flux(low) - flux(low + 0.1)) / (10**0.1 - 1)
    line, half = without - flux(high), without - flux(high - np.log10(2))
    growth = min(max(line @ line / (line @ half) - 1, 1 - 10 * line.max()), 1)
    assert growth > 0.7
    atoms = 10 ** np.arange(0.05, 1.5, 0.05)
    few = np.linspace(low, high, 15)
    fluxes = [*map(flux, few), *(without - line * a / (growth + (1 - growth) * a) for a in atoms)]
    chi2 = [np.sum(((star.flux.value[inside] - f) * 25) ** 2) for f in fluxes]
    scan = np.arange(low, high + 1.45, 0.002)
    chi2 = CubicSpline([*few, *(high + np.log10(atoms))], chi2)(scan)
    share = np.cumsum(np.exp(-0.5 * (chi2 - chi2.min())))
    expected = np.interp(0.95, share / share[-1], scan)
    assert expected > high + 0.1
    assert row["Al_Fe_upper_limit"] == pytest.approx(expected, abs=0.03)


def test_limits_beyond_a_range_that_is_cut_are_those_of_the_whole(network, rng):
    stars = [
        simulate(network, rng, 1, snr=60, **FAINT, Al_Fe=a)[0] for a in rng.uniform(-0.4, 0, 12)
    ]
    stage = Stage(["Al"], fixed=_known(network, "Al"))
    tables = [
        exact_fit_abundances(stars, network, [Stage(), stage], bounds=bounds)
        for bounds in ({}, {"Al_Fe": (network.labels.minimum[8], 0.1)})
    ]
    whole, cut = (table["Al_Fe_upper_limit"] for table in tables)
    beyond = (tables[1]["Al_flags"] & ElementFlag.LIMIT_BEYOND_RANGE) > 0
    beyond &= (tables[0]["Al_flags"] & ElementFlag.LIMIT_BEYOND_RANGE) == 0
    assert beyond.sum() > 5
    assert np.abs(cut - whole)[beyond].max() < 0.05


def test_saturated_lines_are_not_followed_beyond_the_range(network, rng):
    """Noise hides the barium line, but more barium would hardly make it deeper."""
    star = simulate(network, rng, 1, snr=2)
    row = exact_fit_abundances(
        star, network, [Stage(), Stage(["Ba"], fixed=_known(network, "Ba"))]
    )[0]
    assert row["Ba_flags"] == ElementFlag.ABOVE_RANGE
    assert row["Ba_Fe_upper_limit"] is np.ma.masked


def test_a_range_of_lithium(network, rng):
    for abundance in (1.5, 2.2, 2.9, 3.3):
        star = simulate(network, rng, 1, A_Li=abundance, snr=150)
        row = exact_fit_abundances(star, network, ["Li"], convention="A_X")[0]
        assert abs(row["A_Li"] - abundance) < 4.5 * row["A_Li_err"]
    above = simulate(network, rng, 1, A_Li=network.labels.maximum[-1], snr=400)[0]
    above = Spectrum(
        spectral_axis=above.spectral_axis, uncertainty=above.uncertainty, mask=above.mask,
        flux=above.flux - 0.05 * u.one * np.exp(
            -(((above.spectral_axis.value - 6708.3) / 0.25) ** 2)),
    )  # fmt: skip
    row = exact_fit_abundances([above], network, ["Li"], convention="A_X")[0]
    assert row["Li_flags"] & ElementFlag.ABOVE_RANGE
    assert row["A_Li"] is np.ma.masked
    assert row["A_Li_upper_limit"] is np.ma.masked
