import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from specutils import Spectrum

from astropayne import fit_spectrum
from astropayne.plotting import (
    plot_coverage,
    plot_error_planes,
    plot_error_trends,
    plot_fit,
    plot_history,
    plot_pixel_errors,
    plot_pulls,
    plot_recovery,
    plot_spectrum,
)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_a_descending_axis_has_the_same_windows(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1)
    turned = Spectrum(
        spectral_axis=star.spectral_axis.to(u.THz, u.spectral())[::-1], flux=star.flux[::-1]
    )
    axes = plot_spectrum(turned)
    assert len(axes) == 3
    for ax in axes:
        x, y = ax.lines[0].get_data()
        assert (np.diff(x) > 0).all()
        assert y.min() < 0.9


def test_a_fit_is_drawn_with_what_was_used(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1, rv=10, vsini=8)
    result = fit_spectrum(star, model)
    axes = plot_fit(result)
    assert axes.shape == (2, 3)
    drawn = sum(np.isfinite(ax.lines[1].get_ydata()).sum() for ax in axes[0])
    assert drawn == result.used.sum()
    both = type("Fit", (), {"best_fit": [star, star]})()
    with pytest.raises(ValueError, match="of 2 spectra"):
        plot_fit(both)


def test_recovery_converts_units_and_says_what_is_not_measured():
    truth = QTable({"teff": [5000, 6000] * u.K, "feh": [0.0, 0.1]})
    table = QTable({
        "teff": [5.1, 6.1] * u.kK, "teff_err": [0.01, 0.01] * u.kK,
        "feh": [np.nan, np.nan], "feh_err": [np.nan, np.nan],
    })  # fmt: skip
    teff, feh = plot_recovery(truth, table)
    assert teff.texts[0].get_text() == "bias 1e+02\nscatter 0"
    assert feh.texts[0].get_text() == "not measured"
    assert feh.get_xlim() == feh.get_ylim() == (0, 0.1)
    plot_recovery(truth[:1], table[:1])  # one star has no range
    teff, feh = plot_recovery(truth, table, colour="feh")
    assert np.array_equal(teff.collections[-1].get_array(), [0.0, 0.1])
    with pytest.raises(ValueError, match="no label is in both"):
        plot_recovery(truth, QTable({"logg": [1.0]}))


@pytest.fixture
def spectra(rng):
    n = 50
    labels = {"teff": rng.uniform(4500, 6500, n) * u.K, "logg": rng.uniform(1, 5, n),
              "feh": rng.uniform(-2, 0.5, n)}  # fmt: skip
    return QTable({"name": np.arange(n).astype(str), **labels, "rms": rng.uniform(0.001, 0.01, n)})


def test_pixel_errors_are_drawn_in_their_windows():
    wavelength = np.concatenate([np.arange(5160, 5170, 0.1), np.arange(6090, 6100, 0.1)])
    ones = np.ones(len(wavelength))
    pixels = QTable({
        "wavelength": wavelength * u.AA, "rms": ones, "bias": 0 * ones, "minus_2sigma": -2 * ones,
        "minus_sigma": -ones, "plus_sigma": ones, "plus_2sigma": 2 * ones,
    }, meta={"medium": "air"})  # fmt: skip
    pixels["rms"][150] = 7
    figure = plt.figure(layout="constrained")
    axes = plot_pixel_errors(pixels, figure=figure)
    assert axes.shape == (2, 2)
    assert axes[0, 0].figure is figure
    low, high = axes[1, 0].get_ylim()
    assert low == 0
    assert high >= 7  # also what the second window has
    assert "air" in figure.get_supxlabel()


def test_planes_are_drawn_as_astronomers_do(spectra):
    kiel, *rest = plot_error_planes(spectra)
    assert len(rest) == 2  # there is no vmic
    assert kiel.xaxis_inverted()
    assert kiel.yaxis_inverted()
    assert kiel.get_xlabel() == "Teff / K"
    shades = kiel.collections[0].get_array()
    assert np.array_equal(shades, np.sort(spectra["rms"]))
    teff, *_ = plot_error_trends(spectra)
    assert teff.xaxis_inverted()
    assert len(teff.lines[1].get_xdata()) == 10


def test_pulls_beyond_the_ends_are_counted():
    truth = QTable({"teff": [5000.0, 5000, 5000, 5000] * u.K})
    table = QTable({"teff": [5010.0, 9000, 5000, np.nan] * u.K, "teff_err": [10.0] * 4 * u.K})
    (ax,) = plot_pulls(truth, table)
    heights = np.array([bar.get_height() for bar in ax.patches])
    assert heights.sum() * 0.4 == pytest.approx(1)
    assert heights[-1] * 0.4 == pytest.approx(1 / 3)


def test_coverage_takes_a_grid_or_a_table(sample):
    axes = plot_coverage(sample)
    assert len(axes) == 10  # twelve labels, two of them in the first panel, [Fe/H] along the rest
    assert axes[0].xaxis_inverted()
    assert len(axes[0].lines[0].get_xdata()) == 300
    (ax,) = plot_coverage(sample.labels["teff", "logg"])
    assert ax.get_ylabel() == "log g"
    (ax,) = plot_coverage(sample.labels, ["feh"])
    assert ax.get_xlabel() == "[Fe/H]"


def test_history_marks_the_best(model):
    above, below = plot_history(model.history)
    best = above.lines[2]
    assert best.get_ydata()[0] == model.history["valid_rms"].min()
    assert below.get_xlabel() == "step"
