import functools
from types import SimpleNamespace

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from astropy.visualization import quantity_support
from specutils import SpectralRegion, Spectrum, SpectrumList

from astropayne import LineList, fit_spectrum
from astropayne.plotting import (
    plot_covariance,
    plot_differences,
    plot_fit,
    plot_pulls,
    plot_recovery,
    plot_scatter,
    plot_spectrum,
    plot_variations,
)
from astropayne.plotting.emulator import (
    plot_coverage,
    plot_error_planes,
    plot_error_trends,
    plot_history,
    plot_pixel_comparison,
    plot_pixel_errors,
)
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.velocity import C_KMS

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectrum = functools.partial(fit_spectrum, **EXACT)


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
    result = exact_fit_spectrum(star, model)
    axes = plot_fit(result)
    assert axes.shape == (2, 3)
    drawn = sum(np.isfinite(ax.lines[1].get_ydata()).sum() for ax in axes[0])
    assert drawn == result.used.sum()


def test_pixels_that_are_not_used_do_not_say_how_high_a_picture_is(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1, rv=10, vsini=8)
    star.flux[1700] = 1e37  # fills a gap, or is a cosmic ray
    axes = plot_fit(exact_fit_spectrum(star, model))
    low, high = axes[0, 1].get_ylim()
    assert 0 < low < np.nanmin(star.flux.value) < 1 < high < 1.2


def test_several_spectra_of_a_star_are_drawn_one_below_the_other(model, tmp_path):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1, rv=10, vsini=8)
    result = exact_fit_spectrum(SpectrumList([star[:1601], star[1601:]]), model)
    first, second = result.plot()
    assert (first.shape, second.shape) == ((2, 1), (2, 2))
    assert first[0, 0].lines[1].get_xdata().max() < 5241
    assert second[0, 0].lines[1].get_xdata().min() > 6089
    assert "10.00" in first[0, 0].figure.figure.get_suptitle()
    assert plt.gcf() is first[0, 0].figure.figure
    plt.savefig(tmp_path / "fit.svg")  # as any new picture is


def test_a_prediction_is_compared_at_the_pixels_of_the_observed_spectrum(model):
    observed = model(teff=5600, logg=4.2, feh=0, vmic=1)
    other = model(teff=5700, logg=4.2, feh=0, vmic=1)
    _, below = plot_spectrum(other, observed)
    drawn = np.concatenate([ax.lines[1].get_ydata() for ax in below])
    assert drawn == pytest.approx((observed.flux - other.flux).value)
    with pytest.raises(ValueError, match="different pixels"):
        plot_spectrum(other[:50], observed)


def test_any_part_of_a_spectrum_is_drawn_in_any_unit(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1)
    regions = SpectralRegion([(5165 * u.AA, 5170 * u.AA), (6700 * u.AA, 6710 * u.AA)])
    first, second = plot_spectrum(star, regions=regions, unit="nm")
    assert first.get_xlim() == pytest.approx((516.5, 517))
    assert second.get_xlim() == pytest.approx((670, 671))
    assert first.figure.get_supxlabel() == "wavelength / nm (air)"
    *_, last = plot_spectrum(star, unit=u.THz)
    assert last.get_xlim()[1] == pytest.approx(to_thz(5160), rel=1e-7)
    assert last.figure.get_supxlabel() == "frequency / THz"
    with pytest.raises(ValueError, match="outside the regions"):
        plot_spectrum(star, regions=SpectralRegion(4000 * u.AA, 4100 * u.AA))


def to_thz(air):
    return u.Quantity(to_vacuum(air, "air"), u.AA).to_value(u.THz, u.spectral())


def test_quantities_are_drawn_into_a_picture_in_its_units(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1)
    with quantity_support():
        first, *_ = plot_spectrum(star)
        (line,) = first.plot([516.7, 516.8] * u.nm, [0.5, 0.5])
        (along,) = plot_coverage(QTable({"teff": [5000, 6000] * u.K, "logg": [4.0, 4.5]}))
        (hot,) = along.plot([5.5, 5.6] * u.kK, [4, 4])
    assert line.get_xdata(orig=False) == pytest.approx([5167, 5168])
    assert hot.get_xdata(orig=False) == pytest.approx([5500, 5600])
    assert first.get_xlabel() == ""
    assert (along.get_xlabel(), along.get_ylabel()) == ("Teff / K", "log g")


def test_of_a_wide_spectrum_only_what_the_model_knows_is_drawn(model):
    wavelength = np.arange(5000, 7000, 0.2) * u.AA
    star = model(teff=5600, logg=4.2, feh=0, vmic=1, wavelength=wavelength)
    wide = Spectrum(spectral_axis=wavelength, flux=np.nan_to_num(star.flux.value, nan=1) * u.one)
    above, _ = plot_spectrum(star, wide)
    edges = [edge for ax in above for edge in ax.get_xlim()]
    assert edges == pytest.approx([5160, 5240, 6090, 6170, 6690, 6725], abs=6)
    low, *_ = edges
    assert low < np.min(wavelength[np.isfinite(star.flux)]).value


def test_lines_are_named_where_the_star_has_them(model):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1, rv=100)
    lines = LineList.sample()
    axes = plot_spectrum(star, lines=lines, rv=100 * u.km / u.s)
    named = [(t.get_text(), t.xy[0], t.xyann[0]) for ax in axes for t in ax.texts]
    assert [element for element, *_ in named[-1:]] == ["Li"]
    doppler = np.sqrt((1 + 100 / C_KMS) / (1 - 100 / C_KMS))
    assert named[-1][1] == pytest.approx(6707.8 * doppler, abs=0.001)
    places, texts = np.array([part[1:] for part in named]).T
    assert (np.diff(texts[places < 6000]) > 1.5).all()  # lines are as close as 0.5 Å
    for ax in axes:
        low, high = ax.get_xlim()
        assert all(low <= t.xyann[0] <= high for t in ax.texts)
    (only,) = plot_spectrum(star, lines=lines, regions=SpectralRegion(6110 * u.AA, 6120 * u.AA))
    assert [t.get_text() for t in only.texts] == ["Ni"]


def test_variations_are_what_the_model_says(model):
    star = {"teff": 5600, "logg": 4.2, "feh": 0, "vmic": 1}
    axes = plot_variations(model, star, {"[Mg/Fe]": 0.3, "teff": -0.1 * u.kK}, vsini=5)
    legend = [text.get_text() for text in axes[1, -1].get_legend().get_texts()]
    assert legend == ["[Mg/Fe] + 0.3", "Teff − 100 K"]
    before = model(**star, vsini=5).flux.value
    for line, changed in ((1, {**star, "Mg_Fe": 0.3}), (2, {**star, "teff": 5500})):
        drawn = np.concatenate([ax.lines[line].get_ydata() for ax in axes[1]])
        after = model(**changed, vsini=5).flux.value
        assert drawn == pytest.approx(after - before, nan_ok=True)


def test_ellipses_hold_what_they_say(rng):
    covariance = np.array([[400.0, 0.5, 0], [0.5, 0.0025, 0], [0, 0, np.nan]])
    labels = {"teff": 5777 * u.K, "logg": u.Quantity(4.44), "feh": u.Quantity(np.nan)}
    result = SimpleNamespace(covariance=covariance, free=("teff", "logg", "feh"), labels=labels)
    axes = plot_covariance(result)
    assert axes.shape == (2, 2)
    assert axes[0, 1] is None
    assert axes[1, 0].texts[0].get_text() == "0.50"
    assert (axes[1, 0].get_xlabel(), axes[1, 0].get_ylabel()) == ("Teff / K", "log g")
    drawn = rng.multivariate_normal([5777, 4.44], covariance[:2, :2], 20_000)
    outer, inner = (
        ellipse.get_path().transformed(ellipse.get_patch_transform()).contains_points(drawn).mean()
        for ellipse in axes[1, 0].patches
    )
    assert (outer, inner) == pytest.approx((0.954, 0.683), abs=0.01)
    with pytest.raises(ValueError, match=r"feh: not measured in this fit; .* teff, logg"):
        plot_covariance(result, ["teff", "feh"])


def test_pictures_can_be_put_together(model):
    figure = plt.figure(figsize=(11, 8), layout="constrained")
    above, below = figure.subfigures(2)
    plot_spectrum(model(teff=5600, logg=4.2, feh=0, vmic=1), figure=above)
    model.history.plot(figure=below)
    assert (len(above.axes), len(below.axes)) == (3, 2)
    figure.canvas.draw()


def test_recovery_converts_units_and_says_what_is_not_measured():
    truth = QTable({"teff": [5000, 6000] * u.K, "feh": [0.0, 0.1]})
    table = QTable({
        "teff": [5.1, 6.1] * u.kK, "teff_err": [0.01, 0.01] * u.kK,
        "feh": [np.nan, np.nan], "feh_err": [np.nan, np.nan],
    })  # fmt: skip
    teff, feh = plot_recovery(truth, table)
    assert teff.texts[0].get_text() == "bias 100\nscatter 0"
    assert feh.texts[0].get_text() == "not measured"
    assert feh.get_xlim() == feh.get_ylim() == (0, 0.1)
    plot_recovery(truth[:1], table[:1])  # one star has no range
    table["feh"] = truth["feh"] - 8.3e-5
    assert plot_recovery(truth, table)[1].texts[0].get_text().startswith("bias −8.3 × 10⁻⁵\n")
    table["feh"] = np.nan
    teff, feh = plot_recovery(truth, table, color="feh")
    assert np.array_equal(teff.collections[-1].get_array(), [0.0, 0.1])
    with pytest.raises(ValueError, match="no label in common"):
        plot_recovery(truth, QTable({"logg": [1.0]}))


def test_differences_show_medians_whatever_one_star_does(rng):
    n = 80
    truth = QTable({"teff": np.full(n, 5000.0) * u.K, "feh": np.linspace(-2, 0, n)})
    teff = 5000 + np.repeat(np.arange(8), 10) * 10 + np.tile([-1.0, 1.0], 40)
    teff[3], teff[55] = 9000, np.nan
    table = QTable({"teff": teff * u.K, "feh": truth["feh"] + 0.01})
    ax, _ = plot_differences(truth, table)
    middle = ax.lines[2].get_ydata()
    assert middle == pytest.approx(10 * np.arange(8), abs=1.1)
    assert ax.get_ylim()[1] < 150
    assert ax.figure.get_supxlabel() == "[Fe/H]"
    ax, _ = plot_differences(truth, table, along="teff")
    assert ax.xaxis_inverted()


def test_scatter_is_drawn_by_signal_to_noise_and_model():
    columns = ("snr", "label", "unit", "scatter", "error")
    rows = [(np.inf, "teff", "K", 5.0, 4.0), (50.0, "teff", "K", 30.0, 28.0),
            (100.0, "teff", "K", 12.0, 13.0)]  # fmt: skip
    table = QTable(rows=rows, names=columns)
    (ax,) = plot_scatter(table[np.argsort(table["snr"])])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["50", "100", "no noise"]
    assert list(ax.lines[0].get_ydata()) == [30, 12, 5]
    assert list(ax.lines[1].get_ydata()) == [28, 13, 4]
    assert ax.get_title() == "Teff / K"
    (ax,) = plot_scatter({"one": table, "two": table})
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["scatter one", "stated error one", "scatter two", "stated error two"]
    other = table.copy()
    other["label"], other["unit"] = "logg", ""
    axes = plot_scatter({"one": table, "two": other})  # of one model or the other
    assert [ax.get_title() for ax in axes] == ["Teff / K", "log g"]
    (ax,) = plot_scatter(table[1:2])
    assert ax.get_ylim() == (0, pytest.approx(31.5))  # no point on the frame


def test_two_models_are_compared_pixel_by_pixel():
    wavelength = np.arange(5160, 5170, 0.1) * u.AA
    one = QTable({"wavelength": wavelength, "rms": np.full(100, 0.002)}, meta={"medium": "air"})
    two = QTable({"wavelength": wavelength[:50], "rms": np.full(50, 0.001)})
    ((ax,),) = plot_pixel_comparison({"one": one, "two": two})
    assert np.isfinite(ax.lines[1].get_ydata()).sum() == 50
    assert ax.get_ylim()[0] == 0


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
    axes = sample.plot_coverage()
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


def test_history_of_one_check_is_seen(model):
    above, below = plot_history(model.history[:1])
    assert above.lines[0].get_marker() == below.lines[0].get_marker() == "o"


def test_a_pixel_that_stands_alone_has_axes_too():
    axis = [*np.linspace(5160, 5170, 101), 5200] * u.AA
    axes = plot_spectrum(Spectrum(spectral_axis=axis, flux=np.ones(102) * u.one))
    axes[0].figure.draw_without_rendering()  # where layouts collapse, which is a warning
    low, high = axes[1].get_xlim()
    assert low < 5200 < high
