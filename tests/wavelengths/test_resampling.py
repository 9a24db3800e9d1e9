import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.utils import minversion
from hypothesis import given
from hypothesis import strategies as st
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from astropayne.wavelengths.axis import find_windows
from astropayne.wavelengths.rebinning import log_axis, pixel_edges, rebin, rebin_matrix
from astropayne.wavelengths.smoothing import degrade, degrade_matrix

R = 20000
FWHM = np.sqrt(8 * np.log(2))


@st.composite
def axes(draw, windows=3):
    """An axis of one to three windows; the steps of each vary by up to 1.7 times."""
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pieces, start = [], draw(st.floats(1000, 9000))
    for _ in range(draw(st.integers(1, windows))):
        n, step = draw(st.integers(4, 40)), draw(st.floats(0.03, 0.3))
        pieces.append(start + step * np.cumsum(seed.uniform(0.6, 1, n)))
        start = pieces[-1][-1] + draw(st.floats(4, 30))
    return np.concatenate(pieces)


def values(wavelength, n=()):
    return np.random.default_rng(len(wavelength)).uniform(0.2, 1.5, (*n, len(wavelength)))


def axis(kind, per_fwhm, n=400):
    """Pixels of which the largest are so many a resolution element."""
    step = 1 / R / per_fwhm
    rng = np.random.default_rng(7)
    steps = {
        "linear": np.diff(np.log(1 + step * np.arange(n + 1))),
        "logarithmic": np.full(n, step),
        "irregular": step * rng.uniform(0.5, 1, n),
        "two arms": np.where(np.arange(n) < n // 2, 0.4 * step, step),
    }
    return 5200 * np.exp(np.cumsum(steps[kind]))


def lines(x, seed=3):
    """Thirty lines of resolution R, and their blends, as a function of ln λ."""
    rng = np.random.default_rng(seed)
    centre = np.log(5200) + rng.uniform(0, 400 / R / 5, 30)
    depth = rng.uniform(0.1, 0.4, 30)
    return 1 - np.exp(-0.5 * ((x[..., None] - centre) * R * FWHM) ** 2) @ depth


# --- pixels


def test_edges_respect_gaps_and_never_overlap():
    lower, upper = pixel_edges([10, 11, 12, 20, 22, 24, 40, 60, 61])
    assert lower.tolist() == [9.5, 10.5, 11.5, 19, 21, 23, 39, 59.5, 60.5]  # 40 is alone
    assert upper.tolist() == [10.5, 11.5, 12.5, 21, 23, 25, 41, 60.5, 61.5]
    lower, upper = pixel_edges([1, 2, 3, 6.5, 16.5, 26.5])  # wide pixels beyond a narrow gap
    assert (upper[:-1] <= lower[1:]).all()
    assert upper[2] == 3.5


@pytest.mark.parametrize(
    "bad", [[3], [[1, 2]], [2, 1], [1, 1], [1, np.nan, 3], [0, 1], [1, np.inf]]
)
def test_axes_that_are_none(bad):
    with pytest.raises(ValueError, match=r"^wavelength (has|must be)"):
        pixel_edges(bad)
    with pytest.raises(ValueError, match=r"^new_wavelength (has|must be)"):
        rebin_matrix([1, 2, 3], bad)


def test_pixels_have_to_be_as_many_as_wavelengths():
    with pytest.raises(ValueError, match=r"need 3 pixels.* \(2, 4\)"):
        rebin([1, 2, 3], np.ones((2, 4)), [1, 2])
    with pytest.raises(ValueError, match=r"need 3 pixels.* \(\)"):
        rebin([1, 2, 3], np.ones(3), [1, 2], sigma=0.1)


# --- rebinning


@pytest.mark.parametrize("factor", [0.37, 1.0, 2.6])
def test_rebin_against_specutils(factor):
    wavelength, flux = axis("irregular", 5), values(axis("irregular", 5))
    sigma = 0.1 * flux
    new = np.arange(wavelength[0] - 0.5, wavelength[-1] + 0.5, 0.05 * factor)
    spectrum = Spectrum(
        spectral_axis=wavelength * u.AA,
        flux=flux * u.one,
        uncertainty=StdDevUncertainty(sigma),
    )
    theirs = FluxConservingResampler()(spectrum, new * u.AA)
    found, found_sigma = rebin(wavelength, flux, new, sigma)
    # specutils also fills the one pixel that is covered in part at the blue end, not at the red
    partly = np.flatnonzero(np.isfinite(theirs.flux.value))[0]
    assert np.isnan(found[partly])
    covered = np.isfinite(found)
    assert np.array_equal(
        np.flatnonzero(np.isfinite(theirs.flux.value))[1:], np.nonzero(covered)[0]
    )
    assert found[covered] == pytest.approx(theirs.flux.value[covered], abs=1e-12)
    their_sigma = theirs.uncertainty.represent_as(StdDevUncertainty).array
    if minversion("specutils", "2.4"):  # older ones propagate it wrongly
        assert found_sigma[covered] == pytest.approx(their_sigma[covered], rel=1e-12)
    matrix, _ = rebin_matrix(wavelength, new)
    by_hand = np.sqrt((matrix.toarray() ** 2) @ sigma**2)
    assert found_sigma[covered] == pytest.approx(by_hand[covered], rel=1e-12)


@given(axes())
def test_rebin_onto_itself_is_nothing(wavelength):
    flux = values(wavelength)
    assert rebin(wavelength, flux, wavelength, flux) == pytest.approx(np.array([flux, flux]))


@given(axes(), axes(windows=1), st.floats(-1, 1))
def test_rebin_conserves_flux(wavelength, new, shift):
    """Over every new pixel, against the integral of the steps that the old pixels are."""
    new = new - new[0] + wavelength[0] + shift
    flux = values(wavelength)
    lower, upper = pixel_edges(wavelength)
    edges = np.stack([lower, upper], axis=1).ravel()
    integral = np.cumsum(np.stack([0 * flux, flux * (upper - lower)], axis=1).ravel())
    covering = np.cumsum(np.stack([0 * flux, upper - lower], axis=1).ravel())
    start, stop = pixel_edges(new)
    expected = np.interp(stop, edges, integral) - np.interp(start, edges, integral)
    whole = np.interp(stop, edges, covering) - np.interp(start, edges, covering)
    found = rebin(wavelength, flux, new)
    covered = np.isfinite(found)
    assert np.array_equal(covered, whole > (stop - start) * (1 - 1e-7))
    assert (found * (stop - start))[covered] == pytest.approx(expected[covered], rel=1e-6)
    assert np.nansum(found * (stop - start)) == pytest.approx(expected[covered].sum(), rel=1e-6)


@given(axes(), axes())
def test_a_constant_stays_one(wavelength, new):
    new = new - new[0] + wavelength[0]
    found = rebin(wavelength, np.full(len(wavelength), 0.7), new)
    assert found[np.isfinite(found)] == pytest.approx(0.7, rel=1e-12)
    found = degrade(wavelength, np.full(len(wavelength), 0.7), None, 30000)
    assert found[np.isfinite(found)] == pytest.approx(0.7, rel=1e-12)


@given(axes(), st.permutations(range(5)))
def test_spectra_do_not_depend_on_each_other_or_their_order(wavelength, order):
    flux, new = values(wavelength, (5,)), log_axis(wavelength)
    for change in (
        lambda flux: rebin(wavelength, flux, new),
        lambda flux: degrade(wavelength, flux, R, 15000),
    ):
        found = change(flux)
        assert np.array_equal(change(flux[list(order)]), found[list(order)], equal_nan=True)
        assert found[2] == pytest.approx(change(flux[2]), rel=1e-12, nan_ok=True)


def test_many_spectra_are_done_in_blocks_and_in_their_own_precision():
    wavelength, new = axis("linear", 5), axis("two arms", 3)
    flux = values(wavelength, (2, 300))
    found = rebin(wavelength, flux, new)
    assert found.shape == (2, 300, 400)
    assert found[1, 299] == pytest.approx(rebin(wavelength, flux[1, 299], new), nan_ok=True)
    single = rebin(wavelength, flux.astype(np.float32), new)
    assert single.dtype == np.float32
    assert single == pytest.approx(found, rel=1e-6, nan_ok=True)
    assert rebin([1, 2, 3], [1, 2, 3], [1, 2]).dtype == float


def test_nothing_is_taken_across_a_gap_or_from_a_nan():
    wavelength = np.concatenate([np.arange(5000, 5010.0), np.arange(5020, 5030.0)])
    flux = np.where(wavelength == 5024, np.nan, 1.0)
    new = np.arange(5000, 5029, 0.5)
    found = rebin(wavelength, flux, new)
    start, stop = pixel_edges(new)
    expected = (start >= 4999.5) & (stop <= 5009.5) | (start >= 5019.5) & (stop <= 5029.5)
    expected &= (stop <= 5023.5) | (start >= 5024.5)
    assert np.array_equal(np.isfinite(found), expected)
    # edges that agree but for rounding touch neither the gap nor the NaN
    again = rebin(wavelength, flux, wavelength * (1 + 1e-15))
    assert again == pytest.approx(flux, nan_ok=True)


def test_noise_of_rebinned_spectra(rng):
    wavelength, sigma = axis("irregular", 4), values(axis("irregular", 4))
    new = log_axis(wavelength, velocity=9)
    noise = rng.normal(size=(20000, len(wavelength))) * sigma
    found, (_, expected) = rebin(wavelength, noise, new), rebin(wavelength, sigma, new, sigma)
    assert found.std(axis=0) == pytest.approx(expected, rel=0.025)
    matrix, _ = rebin_matrix(wavelength, new)
    covariance = (matrix * sigma**2) @ matrix.T
    close = np.corrcoef(found.T).diagonal(1)
    expected = covariance.diagonal(1) / (expected[1:] * expected[:-1])
    assert close == pytest.approx(expected, abs=0.03)
    assert close.max() > 0.1


# --- uniform in ln λ


@given(axes(), st.floats(0.4, 1.2))
def test_logarithmic_axes(wavelength, factor):
    """Uniform, aligned, inside, and as long as it can be."""
    step = factor * np.diff(np.log(wavelength)).min()
    new = log_axis(wavelength, velocity=step * 299792.458)
    k = np.log(new) / step
    assert k == pytest.approx(np.round(k), abs=1e-6)
    assert np.isfinite(rebin(wavelength, values(wavelength), new)).all()
    (lower, upper), (start, stop) = pixel_edges(wavelength), pixel_edges(new)
    assert len(find_windows(new)) == len(find_windows(wavelength))
    for w, piece in zip(find_windows(wavelength), find_windows(new), strict=True):
        assert start[piece][0] - lower[w][0] < 1.01 * step * lower[w][0]
        assert upper[w][-1] - stop[piece][-1] < 1.01 * step * upper[w][-1]
    assert log_axis(new, step=step) == pytest.approx(new, rel=1e-14)


def test_a_logarithmic_axis_is_as_fine_as_the_old_one():
    wavelength = np.concatenate([np.arange(4000, 4010, 0.1), np.arange(6000, 6010, 0.1)])
    assert np.diff(np.log(log_axis(wavelength))).min() == pytest.approx(0.1 / 6009.85, rel=1e-6)
    with pytest.raises(ValueError, match="give one"):
        log_axis(wavelength, step=1e-5, velocity=3)
    with pytest.raises(ValueError, match=r"between 0 and 0.5"):
        log_axis(wavelength, step=-1e-5)
    with pytest.raises(ValueError, match=r"the window from 4000 to 4009.9: take a smaller"):
        log_axis(wavelength, velocity=600)


# --- resolution


@pytest.mark.parametrize("kind", ["linear", "logarithmic", "irregular", "two arms"])
@pytest.mark.parametrize(("per_fwhm", "accuracy"), [(5, 2e-5), (3, 6e-4)])
@pytest.mark.parametrize("to", [19990, 19000, 15000, 6000])
def test_degrade_against_direct_convolution(kind, per_fwhm, accuracy, to):
    """On points 50 times as many as the pixels, where the lines are known."""
    wavelength = axis(kind, per_fwhm)
    x, width = np.log(wavelength), np.sqrt(to**-2 - R**-2) / FWHM
    found = degrade(wavelength, lines(x), R, to)
    inside = (x - 5 * width > x[0]) & (x + 5 * width < x[-1])
    assert np.array_equal(np.isfinite(found), inside)
    some = np.flatnonzero(inside)[::3]
    step = 1 / R / per_fwhm / 50
    offset = step * np.arange(-np.ceil(7 * width / step), np.ceil(7 * width / step) + 1)
    kernel = np.exp(-0.5 * (offset / width) ** 2)
    expected = [lines(centre + offset) @ kernel / kernel.sum() for centre in x[some]]
    assert found[some] == pytest.approx(np.array(expected), abs=accuracy)


def test_degrading_twice_is_degrading_once():
    wavelength = axis("linear", 5)
    flux = lines(np.log(wavelength))
    twice = degrade(wavelength, degrade(wavelength, flux, R, 15000), 15000, 9000)
    once = degrade(wavelength, flux, R, 9000)
    good = np.isfinite(twice)
    assert good.sum() > 300
    assert twice[good] == pytest.approx(once[good], abs=2e-6)


def test_windows_are_smoothed_apart():
    near, far = axis("linear", 5), axis("linear", 4) + 300
    both = np.concatenate([near, [5400.0], far])  # one pixel is alone, and has no support
    found = degrade(both, lines(np.log(both)), None, 8000)
    for part in (near, far):
        expected = degrade(part, lines(np.log(part)), None, 8000)
        assert found[np.isin(both, part)] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found[400])
    matrix, covered = degrade_matrix([5000, 5001, 5002], None, 1000)  # wider than the window
    assert matrix.nnz == 0
    assert not covered.any()


@pytest.mark.parametrize("to", [17000, 10000])
def test_noise_of_degraded_spectra(rng, to):
    wavelength = axis("linear", 5, n=200)
    sigma = 0.01 * (1 + np.linspace(0, 1, 200) ** 2)
    noise = rng.normal(size=(20000, 200)) * sigma
    found, expected, correlation = degrade(wavelength, noise, R, to, sigma=sigma)
    good = np.isfinite(expected)
    assert found[:, good].std(axis=0) == pytest.approx(expected[good], rel=0.025)
    # the variance of the sum, exactly; and what one pixel has in common with the others
    total = np.sum(expected[good] ** 2 * correlation[good])
    assert found[:, good].sum(axis=1).var() == pytest.approx(total, rel=0.03)
    middle = np.flatnonzero(good)[len(found[0, good]) // 2]
    covariance = found[:, good].T @ found[:, middle] / 20000
    assert covariance.sum() / expected[middle] ** 2 == pytest.approx(correlation[middle], rel=0.1)


def test_correlation_says_what_a_fit_gets_wrong(rng):
    """A line as narrow as there can be, and a continuum: errors with and without the factor."""
    wavelength = axis("logarithmic", 5)
    x, sigma = np.log(wavelength), np.full(400, 0.01)
    noise = rng.normal(size=(20000, 400)) * 0.01
    found, new_sigma, correlation = degrade(wavelength, noise, R, 10000, sigma=sigma)
    good = np.isfinite(new_sigma)
    n = correlation[200]
    kernel = np.sqrt(1e-8 - R**-2) * R * 5  # FWHM in pixels
    assert n == pytest.approx(2 * np.sqrt(np.pi) * kernel / FWHM, rel=1e-4)
    lag = np.corrcoef(found[:, 200], found[:, 203])[0, 1]
    assert lag == pytest.approx(np.exp(-np.pi * 9 / n**2), abs=0.02)
    chi2 = ((found / new_sigma)[:, good] ** 2).sum(axis=1)
    assert chi2.mean() == pytest.approx(good.sum(), rel=0.01)
    assert chi2.var() == pytest.approx(2 * good.sum() * n / np.sqrt(2), rel=0.05)
    line = np.exp(-0.5 * ((x - x[200]) * 10000 * FWHM) ** 2)[good]
    moved = np.gradient(line)  # what says most of velocities is in its flanks
    wide = np.ones(good.sum())
    for template, low, high in ((line, 0.7, 0.85), (moved, 0.39, 0.48), (wide, 0.9, 1.02)):
        fitted = found[:, good] @ template / (template @ template)
        naive = new_sigma[200] ** 2 / (template @ template)
        assert low < fitted.var() / (naive * n) < high


def test_sigma_may_be_of_each_spectrum_and_unusable():
    wavelength = axis("linear", 5)
    sigma = values(wavelength, (3,))
    sigma[1, 200] = np.inf
    sigma[2, 200] = np.nan
    flux, new, correlation = degrade(wavelength, sigma, R, 15000, sigma)
    assert flux.shape == new.shape == correlation.shape == (3, 400)
    one = degrade(wavelength, sigma[0], R, 15000, sigma[0])
    assert np.array_equal(one, [flux[0], new[0], correlation[0]], equal_nan=True)
    assert not np.isfinite(new[1:, 200]).any()
    assert not np.isfinite(correlation[1:, 200]).any()
    assert np.isfinite(correlation[:, 100]).all()


@pytest.mark.parametrize(
    ("resolution", "to", "message"),
    [
        (20000, 20000, "lower than the spectra's own resolution, 20000: smoothing cannot"),
        (20000, 40000, "to_resolution=40000 must be lower"),
        (None, np.inf, "resolution=None"),
        (None, 0, "to_resolution=0 were given"),
        (-5, -8, "must be positive"),
        (np.nan, 8, "must be positive"),
        (8, np.nan, "must be positive"),
    ],
)
def test_resolutions_that_cannot_be(resolution, to, message):
    with pytest.raises(ValueError, match=message):
        degrade([5000, 5001, 5002], np.ones(3), resolution, to)
