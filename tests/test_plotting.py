import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from specutils import Spectrum

from astropayne import fit_spectrum
from astropayne.plotting import plot_fit, plot_recovery, plot_spectrum


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
    with pytest.raises(ValueError, match="no label is in both"):
        plot_recovery(truth, QTable({"logg": [1.0]}))
