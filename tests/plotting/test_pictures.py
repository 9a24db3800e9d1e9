"""Key pictures, compared with small ones that someone has looked at: in tests/plotting/pictures.

Text is left out, so that fonts do not matter. To make them anew, and look at them again:
``pytest tests/plotting/test_pictures.py --mpl-generate-path=tests/plotting/pictures``.
"""

from types import SimpleNamespace

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from matplotlib.legend import Legend
from matplotlib.text import Text
from specutils import Spectrum

from astropayne import LineList
from astropayne.plotting import (
    plot_covariance,
    plot_differences,
    plot_error_planes,
    plot_fit,
    plot_pixel_errors,
    plot_recovery,
)

# Matplotlib 3.9 and 3.11 differ by less than 0.1; a color or a direction that changed, by more
# than 5.
looks_as_before = pytest.mark.mpl_image_compare(
    baseline_dir="pictures", tolerance=2, remove_text=True, savefig_kwargs={"dpi": 40}
)


def _bare(axes):
    """Return the figure without its text, and panels where they are before text makes room."""
    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    figure.set_layout_engine("none")
    for legend in figure.findobj(Legend):  # as wide as its text
        legend.remove()
    for text in figure.findobj(Text):
        text.set_text("")
    return figure


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def stars(rng):
    n = 60
    truth = QTable({
        "teff": rng.uniform(4500, 6500, n) * u.K, "logg": rng.uniform(1.5, 5, n),
        "feh": rng.uniform(-2, 0.5, n),
    })  # fmt: skip
    table = QTable()
    for name, error in (("teff", 80 * u.K), ("logg", 0.2), ("feh", 0.1)):
        table[name] = truth[name] + rng.normal(0, 1, n) * error
        table[f"{name}_err"] = np.full(n, 1.0) * error
    table["logg"][::7] = np.nan
    return truth, table


def _lines(wavelength, centres):
    return 1 - sum(0.6 * np.exp(-0.5 * ((wavelength - c) / 0.3) ** 2) for c in centres)


@looks_as_before
def test_picture_of_a_fit(rng):
    wavelength = np.concatenate([np.arange(5160, 5180, 0.1), np.arange(6700, 6712, 0.1)])
    flux = _lines(wavelength, (5167.3, 5172.7, 6707.8))
    noisy = flux + rng.normal(0, 0.03, len(flux))
    observed, best_fit = (
        Spectrum(spectral_axis=wavelength * u.AA, flux=f * u.one, meta={"medium": "air"})
        for f in (noisy, flux)
    )
    used = (wavelength > 5163) & (wavelength < 6710)
    rv = {"rv": 0 * u.km / u.s}
    result = SimpleNamespace(observed=observed, best_fit=best_fit, used=used, labels=rv, errors=rv)
    lines = LineList([5167.3, 5172.7, 5173.0, 6707.8], element=["Mg", "Mg", "Ti", "Li"])
    return _bare(plot_fit(result, lines=lines))


@looks_as_before
def test_picture_of_pixel_errors():
    wavelength = np.concatenate([np.arange(5160, 5180, 0.1), np.arange(6700, 6712, 0.1)])
    rms = 0.002 * (1.2 - _lines(wavelength, (5167.3, 5172.7, 6707.8)))
    columns = {"minus_2sigma": -2 * rms, "minus_sigma": -rms, "bias": 0.2 * rms,
               "plus_sigma": rms, "plus_2sigma": 2 * rms, "rms": rms}  # fmt: skip
    return _bare(plot_pixel_errors(QTable({"wavelength": wavelength * u.AA, **columns})))


@looks_as_before
def test_picture_of_error_planes(stars):
    truth, _ = stars
    truth["rms"] = 1e-3 * np.exp((5500 - truth["teff"].value) / 500)
    return _bare(plot_error_planes(truth))


@looks_as_before
def test_picture_of_recovery(stars):
    return _bare(plot_recovery(*stars, color="feh"))


@looks_as_before
def test_picture_of_differences(stars):
    return _bare(plot_differences(*stars))


@looks_as_before
def test_picture_of_a_covariance():
    root = np.array([[60.0, 0, 0], [0.05, 0.05, 0], [0.02, -0.02, 0.03]])
    labels = {"teff": 5777 * u.K, "logg": u.Quantity(4.44), "feh": u.Quantity(0.0)}
    result = SimpleNamespace(covariance=root @ root.T, free=tuple(labels), labels=labels)
    return _bare(plot_covariance(result))
