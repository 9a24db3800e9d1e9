"""Abundances of single elements: values, errors, flags and tables."""

from dataclasses import replace
from functools import partial

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from scipy.optimize import curve_fit
from simulated_lines import (
    BLURRED,
    HELD,
    SUN,
    exact_fit_abundances,
    exact_fit_spectra,
    simulate,
)
from specutils import Spectrum

from astropayne import Flag, LineList, PayneModel, SpectralGrid, fit_abundances
from astropayne.abundances import ElementFlag, Stage
from astropayne.labels.solar import solar_scale
from astropayne.plotting import plot_element


def test_pulls_with_the_errors_of_stellar_labels(network, rng):
    """Errors count those of the stellar labels, which share the noise of the windows."""
    elements = ["Na", "Ca", "Ti", "Ni", "Ba", "Li"]
    table = exact_fit_abundances(simulate(network, rng, 48), network, elements, convention="X_H")
    sun = solar_scale(network.solar_scale)
    truth = {"Na": 0.0, "Ca": -0.1, "Ti": -0.1, "Ni": -0.1, "Ba": -0.1, "Li": 2.0 - sun["Li"]}
    pulls = []
    for element in elements:
        assert not table[f"{element}_H"].mask.any()
        assert table[f"{element}_H_upper_limit"].mask.all()
        pulls.append((table[f"{element}_H"] - truth[element]) / table[f"{element}_H_err"])
    pulls = np.array(pulls)
    assert pulls.std() == pytest.approx(1, abs=0.12)
    assert np.abs(pulls.mean(axis=1)).max() < 0.5
    spread = np.array([np.std(table[f"{e}_H"]) / np.mean(table[f"{e}_H_err"]) for e in elements])
    assert spread == pytest.approx(1, abs=0.35)


def test_callers_who_raise_on_underflow_get_the_same(network, rng):
    fit = partial(fit_abundances, simulate(network, rng, 1, A_Li=0.6), network, ["Mg", "Li"])
    expected = fit(fixed=HELD)
    with np.errstate(all="raise"):
        found = fit(fixed=HELD)
    assert found["Mg_Fe"] == expected["Mg_Fe"]


def test_against_a_fit_of_one_line_by_scipy(network, rng):
    """All else held, an abundance is what least squares over the window's pixels gives."""
    star = simulate(network, rng, 1)[0]
    lines = LineList([6154.226], half_width=0.4, element="Na")
    held = {n: 0.0 for n in network.labels.names[4:-1] if n != "Na_Fe"} | {"A_Li": 2.0} | HELD
    table = exact_fit_abundances([star], network, ["Na"], lines=lines, fixed=held, resolution=18000)
    wavelength = star.spectral_axis.value
    beta, more = BLURRED["rv"] / 299792.458, 1 + np.hypot(6.0, 299792.458 * np.sqrt(
        1 / 18000**2 - 1 / 20000**2)) / 299792.458  # fmt: skip
    rest = wavelength * np.sqrt((1 - beta) / (1 + beta))
    inside = (rest > 6153.826 / more) & (rest < 6154.626 * more)

    def flux(_, abundance):
        labels = {**SUN, "Na_Fe": abundance}
        return network(**labels, **BLURRED, resolution=18000).flux.value[inside]

    found, covariance = curve_fit(
        flux, None, star.flux.value[inside], [0.0], np.full(inside.sum(), 0.01),
        absolute_sigma=True,
    )  # fmt: skip
    assert table["Na_Fe"][0] == pytest.approx(found[0], abs=2e-3)
    assert table["Na_Fe_err"][0] == pytest.approx(covariance[0, 0] ** 0.5, rel=0.02)
    assert table["Na_n_lines"][0] == 1
    assert table["vsini"][0] == 6 * u.km / u.s


def test_lines_that_are_wrong_in_the_same_way_cancel(network, rng):
    """Oscillator strengths off by 0.1 and -0.15 dex, in the star and the reference alike."""
    weaker = {6154.226: 0.1, 6160.747: -0.15}

    def distorted(**labels):
        star = simulate(network, rng, 1, snr=2000, **labels)[0]
        flux = star.flux.value.copy()
        for centre, shift in weaker.items():
            moved = {**SUN, **labels}
            moved["Na_Fe"] += shift
            near = np.abs(star.spectral_axis.value / (1 + 20 / 299792.458) - centre) < 1.2
            exact = [network(**m, **BLURRED, resolution=18000).flux.value[near]
                     for m in ({**SUN, **labels}, moved)]  # fmt: skip
            flux[near] += exact[1] - exact[0]
        return Spectrum(
            spectral_axis=star.spectral_axis, flux=flux * u.one, mask=star.mask,
            uncertainty=star.uncertainty, meta=star.meta,
        )  # fmt: skip

    sun, star = distorted(), distorted(Na_Fe=0.3)
    plain = exact_fit_abundances([star], network, ["Na"], fixed=HELD, per_line=True)[0]
    row = exact_fit_abundances([star], network, ["Na"], fixed=HELD, reference=sun)[0]
    assert np.ptp(plain["Na_lines"]) == pytest.approx(0.25, abs=0.05)
    assert row["Na_Fe"] == pytest.approx(0.2, abs=0.01)
    assert row["Na_Fe_err"] < 0.02


def test_what_the_reference_lacks_is_said(network, rng):
    """The reference has only a limit of lithium: a star's has nothing to be compared with."""
    (sun,) = simulate(network, rng, 1, A_Li=0.6, snr=50)
    stars = [*simulate(network, rng, 1, A_Li=3.0), sun]
    table = exact_fit_abundances(stars, network, ["Li", "Na"], reference=sun)
    assert table["Li_flags"].tolist() == [ElementFlag.NOT_IN_REFERENCE, ElementFlag.UPPER_LIMIT]
    assert table["Li_Fe"].mask.all()
    assert table["Na_flags"].tolist() == [0, 0]
    assert table["Na_Fe"][1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_sensitivities_are_what_a_shift_does(network, exact, rng):
    """Also where errors of the emulator take a part of what other pixels say."""
    star = simulate(network, rng, 1)
    network = network if exact else PayneModel.sample()
    known = {n: SUN.get(n, 0.0) for n in network.labels.names} | HELD
    for element in ("Na", "Ca"):
        fixed = {n: value for n, value in known.items() if n != f"{element}_Fe"}
        stage = Stage([element], fixed=fixed)
        by = {
            shift: exact_fit_abundances(
                star, network, [Stage(), replace(stage, fixed=fixed | {"teff": 5770.0 + shift})]
            )[0]
            for shift in (-50, 0, 50)
        }
        moved = by[50][f"{element}_Fe"] - by[-50][f"{element}_Fe"]
        k = by[0].meta["by"].index("teff")
        assert moved / 100 == pytest.approx(by[0][f"{element}_sensitivity"][k], rel=0.1)


def test_sensitivities_where_the_range_ends(network):
    """The posterior is cut there: its mean moves less than the lines ask for."""
    clean = network(**SUN, **BLURRED, resolution=18000)
    star = Spectrum(
        spectral_axis=clean.spectral_axis, flux=clean.flux, mask=clean.mask,
        uncertainty=StdDevUncertainty(np.full(len(clean.flux), 1e-2)),
        meta={"resolution": 18000.0},
    )  # fmt: skip
    known = {n: SUN.get(n, 0.0) for n in network.labels.names if n != "Na_Fe"} | HELD

    def measured(teff, **options):
        stage = Stage(["Na"], fixed=known | {"teff": teff})
        return exact_fit_abundances([star], network, [Stage(), stage], **options)[0]

    whole = measured(5770.0)
    k = whole.meta["by"].index("teff")
    end = {"Na_Fe": (-0.4, 0.1 + whole["Na_Fe_err"])}
    here = measured(5770.0, bounds=end)
    assert here["Na_Fe_err"] < 0.9 * whole["Na_Fe_err"]
    moved = (measured(5790.0, bounds=end)["Na_Fe"] - measured(5750.0, bounds=end)["Na_Fe"]) / 40
    assert moved == pytest.approx(here["Na_sensitivity"][k], rel=0.07)
    assert moved < 0.8 * whole["Na_sensitivity"][k]


def test_discrepant_lines_are_flagged_and_left_out(network, rng):
    star = simulate(network, rng, 1)[0]
    wavelength, rest = star.spectral_axis.value, 6160.747 * (1 + 20 / 299792.458)
    star = Spectrum(
        spectral_axis=star.spectral_axis, uncertainty=star.uncertainty, mask=star.mask,
        flux=star.flux - 0.15 * u.one * np.exp(-(((wavelength - rest) / 0.2) ** 2)),
    )  # fmt: skip
    options = {"per_line": True, "resolution": 18000, "fixed": HELD}
    row = exact_fit_abundances([star], network, ["Na"], **options)[0]
    assert row["Na_flags"] & ElementFlag.DISCREPANT_LINES
    assert row["Na_lines"][1] - row["Na_lines"][0] > 0.2
    assert row["Na_scatter"] > 0.1
    clipped = exact_fit_abundances([star], network, ["Na"], clip=True, **options)[0]
    assert clipped["Na_n_lines"] == 2  # nobody knows which is right


def test_pictures_of_lines_end_at_gaps(network, rng):
    star = simulate(network, rng, 1, Ca_Fe=0.1)[0]  # a Ca line is at the end of its window
    good = ~star.mask
    star = Spectrum(
        spectral_axis=star.spectral_axis[good], flux=star.flux[good], meta=star.meta,
        uncertainty=StdDevUncertainty(star.uncertainty.array[good]),
    )  # fmt: skip
    table = exact_fit_abundances([star], network, ["Ca"], fixed=HELD, models=True)
    axes = plot_element(star, table[0], "Ca")
    widths = [np.ptp(ax.get_xlim()) for ax in axes.flat if ax.axison]
    plt.close(axes[0, 0].figure)
    assert max(widths) < 5


def test_one_bad_line_does_not_take_good_ones_with_it(network, rng):
    star = simulate(network, rng, 1, Ca_Fe=0.1)[0]
    wavelength, rest = star.spectral_axis.value, 6166.439 * (1 + 20 / 299792.458)
    spoilt = Spectrum(
        spectral_axis=star.spectral_axis, uncertainty=star.uncertainty, mask=star.mask,
        flux=star.flux - 0.25 * u.one * np.exp(-(((wavelength - rest) / 0.2) ** 2)),
    )  # fmt: skip
    options = {"resolution": 18000, "fixed": HELD, "per_line": True}
    good = exact_fit_abundances([star], network, ["Ca"], **options)[0]
    plain, clipped = (
        exact_fit_abundances([spoilt], network, ["Ca"], clip=clip, **options)[0]
        for clip in (False, True)
    )
    assert clipped["Ca_n_lines"] == good["Ca_n_lines"] - 1
    assert clipped["Ca_flags"] & ElementFlag.DISCREPANT_LINES
    assert abs(clipped["Ca_Fe"] - 0.1) < 3 * clipped["Ca_Fe_err"]
    assert abs(plain["Ca_Fe"] - 0.1) > 5 * plain["Ca_Fe_err"]


def test_a_robust_loss_holds_for_elements(network, rng):
    """Cosmic rays on one pixel in twenty."""
    star = simulate(network, rng, 1, Na_Fe=0.25)[0]
    hit = rng.random(len(star.flux)) < 0.05
    star = Spectrum(
        spectral_axis=star.spectral_axis, uncertainty=star.uncertainty, mask=star.mask,
        flux=star.flux - 0.3 * hit * u.one, meta=star.meta,
    )  # fmt: skip
    linear, huber = (
        exact_fit_abundances([star], network, ["Na"], loss=loss, fixed=HELD)[0]["Na_Fe"]
        for loss in ("linear", "huber")
    )
    assert abs(huber - 0.25) < 0.05
    assert abs(huber - 0.25) < 0.5 * abs(linear - 0.25)


def test_continuum_arms_and_names(network, rng):
    from specutils import SpectrumList

    star = simulate(network, rng, 1)[0]
    tilted = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux * 3 * u.Jy, mask=star.mask,
        uncertainty=StdDevUncertainty(star.uncertainty.array * 3), meta={"name": "s", **star.meta},
    )  # fmt: skip
    stars = [star, SpectrumList([star, star]), tilted]
    table = exact_fit_abundances(stars, network, ["Ca", "Ba"], continuum=1)
    assert table["Ca_Fe"][2] == pytest.approx(table["Ca_Fe"][0], abs=1e-3)
    assert table["Ca_Fe_err"][1] == pytest.approx(table["Ca_Fe_err"][0] / 2**0.5, rel=0.1)
    assert table["name"][2] == "s"
    assert table["Ca_n_lines"][1] == table["Ca_n_lines"][0]


def test_epochs_have_one_equivalent_width(network, rng):
    from specutils import SpectrumList

    (star,) = simulate(network, rng, 1, A_Li=2.5)
    half = star[: len(star.flux) // 2]
    table = exact_fit_abundances(
        [star, SpectrumList([star] * 3), SpectrumList([star, half])], network, ["Ca", "Li"]
    )
    for name in ("Ca_ew", "Li_ew"):
        first, *others = table[name].unmasked.value.tolist()
        assert others == pytest.approx([first, first], rel=0.02)


def test_masked_pixels_do_not_take_from_the_equivalent_width(network, rng):
    """Without the core of its line the abundance is the same, and the width goes with that."""
    star = simulate(network, rng, 1, snr=1e4)[0]
    core = np.abs(star.spectral_axis.value - 6707.85 * (1 + 20 / 299792.458)) < 0.12
    masked = Spectrum(
        spectral_axis=star.spectral_axis, flux=star.flux, mask=star.mask | core, meta=star.meta,
        uncertainty=star.uncertainty,
    )  # fmt: skip
    assert core.sum() > 2
    whole, less = exact_fit_abundances([star, masked], network, ["Li"], models=True)
    assert less["Li_ew"].value == pytest.approx(whole["Li_ew"].value, rel=5e-3)
    assert np.isnan(less["Li_best_fit"][core]).all()
    assert np.isfinite(whole["Li_best_fit"][core]).all()


def test_abundances_that_need_an_unknown_label_say_so(network):
    """The line of Li alone has A(Li), but [Li/Fe] needs the star's iron."""
    rng, poor = np.random.default_rng(1), {"teff": 5000.0, "feh": -0.9, "A_Li": 3.0}
    (star,) = simulate(network, rng, 1, snr=20, **poor)
    near = np.abs(star.spectral_axis.value - 6708.3) < 2
    few = Spectrum(
        spectral_axis=star.spectral_axis[near], flux=star.flux[near], meta=star.meta,
        uncertainty=star.uncertainty[near],
    )  # fmt: skip
    known = {"rv": 20, "vsini": 6, "vmac": 0}
    (row,) = exact_fit_abundances([few], network, ["Li"], fixed=known)
    assert "feh" in row["low_information"]
    assert row["Li_Fe"] is np.ma.masked
    assert row["Li_flags"] == ElementFlag.NO_STELLAR_LABELS
    (row,) = exact_fit_abundances([few], network, ["Li"], fixed=known, convention="A_X")
    assert abs(row["A_Li"] - 3.0) < 3 * row["A_Li_err"]
    assert row["Li_flags"] == 0


def test_one_spectrum_is_not_many(network, rng):
    (star,) = simulate(network, rng, 1)
    with pytest.raises(ValueError, match="give a list of it"):
        exact_fit_abundances(star, network, ["Ca"])
    with pytest.raises(
        TypeError, match=r"spectra must be a list of specutils Spectrum, got 'star\.fits'"
    ):
        exact_fit_abundances("star.fits", network, ["Ca"])


@pytest.mark.filterwarnings("ignore:The unit 'Angstrom' has been deprecated")  # by VOTable
def test_what_cannot_be_fitted_has_its_row(network, rng, tmp_path):
    good = simulate(network, rng, 1)[0]
    short = Spectrum(
        spectral_axis=good.spectral_axis[:2400], flux=good.flux[:2400], mask=good.mask[:2400],
        uncertainty=good.uncertainty[:2400],
    )  # fmt: skip
    table = exact_fit_abundances(["nothing", good, short], network, ["Al", "Ca"])
    assert table["Al_flags"].tolist()[0] == ElementFlag.NO_STELLAR_LABELS
    assert table["Al_flags"][2] == ElementFlag.NO_LINES
    for name in ("Al_Fe", "Al_Fe_err", "Al_Fe_upper_limit"):
        assert table[name].mask.tolist()[0]
        assert table[name].mask.tolist()[2]
    stellar = exact_fit_spectra([good], network)
    assert table["teff"][1].value == pytest.approx(stellar["teff"][0].value, rel=1e-5)
    for kind in ("ascii.ecsv", "fits", "votable"):
        table.write(tmp_path / kind, format=kind)
        back = QTable.read(tmp_path / kind, format=kind)
        assert np.ma.filled(back["Ca_Fe"], np.nan)[1] == pytest.approx(table["Ca_Fe"][1])
        assert np.ma.getmaskarray(back["Al_Fe"]).tolist() == table["Al_Fe"].mask.tolist()


def _same(one, other):
    """Say whether columns are the same, masked or NaN in the same rows."""
    one, other = (np.ma.asarray(getattr(c, "unmasked", c)) for c in (one, other))
    return np.allclose(*(np.ma.filled(c.astype(float), np.nan) for c in (one, other)),
                       equal_nan=True)  # fmt: skip


@pytest.mark.filterwarnings("ignore:The unit 'Angstrom' has been deprecated")  # by VOTable
@pytest.mark.parametrize("kind", ["ascii.ecsv", "fits", "votable"])
def test_tables_that_are_written_and_read(network, rng, tmp_path, kind):
    """One star is measured, one has a limit; both can be drawn from the file."""
    stars = [simulate(network, rng, 1, A_Li=a, snr=60)[0] for a in (2.5, 0.6)]
    table = exact_fit_abundances(
        stars, network, ["Li"], convention="A_X", per_line=True, models=True
    )
    assert table["A_Li"].mask.tolist() == [False, True]
    assert table["A_Li_upper_limit"].mask.tolist() == [True, False]
    table.write(tmp_path / "t", format=kind)
    back = QTable.read(tmp_path / "t", format=kind)
    assert back.colnames == table.colnames
    for name in table.colnames:
        if table[name].dtype.kind in "fi":
            assert _same(table[name], back[name]), name
            assert back[name].unit == table[name].unit
    for name in ("A_Li_upper_limit", "Li_sensitivity", "Li_ew"):
        text = table[name].info.description
        assert back[name].info.description.split() == text.split()  # VOTable breaks lines
    if kind == "ascii.ecsv":
        assert back.meta == table.meta
    if kind == "votable":
        with pytest.warns(UserWarning, match=r"lines of Li are not marked.*Li_lines and medium"):
            plot_element(stars[0], back[0], "Li")
    else:
        marked = plot_element(stars[0], back[0], "Li")[0, 0]
        assert 6708.2 in [pytest.approx(line.get_xdata()[0], abs=0.1) for line in marked.lines]
    plt.close("all")


def test_another_solar_scale(network, rng):
    star = simulate(network, rng, 1)
    own, other = solar_scale(network.solar_scale), solar_scale("grevesse2007")
    mine = exact_fit_abundances(star, network, ["Ca"])[0]
    theirs = exact_fit_abundances(star, network, ["Ca"], solar_scale="grevesse2007")[0]
    moved = (own["Ca"] - other["Ca"]) - (own["Fe"] - other["Fe"])
    assert theirs["Ca_Fe"] - mine["Ca_Fe"] == pytest.approx(moved, abs=1e-6)
    assert theirs["Ca_Fe_err"] == pytest.approx(mine["Ca_Fe_err"], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"elements": ["Eu"]}, "no label of Eu; it has labels of Mg"),
        (
            {"elements": ["Fe"]},
            r"labels of Mg.*; iron is a stellar label, measured from stellar_lines",
        ),
        ({"elements": []}, "none is given"),
        ({"convention": "X/Fe"}, "not one of X_Fe"),
        ({"confidence": 1.5}, "confidence"),
        ({"detection": 0}, "detection"),
        ({"lines": LineList([6100.0], element="Ca")}, "none of Na"),
        ({"fixed": {"Na_Fe": 0.0}}, "Na_Fe: fixed"),
        ({"elements": [Stage(["Na"]), Stage(["Ca"])]}, "the first is Stage"),
        ({"elements": [Stage(), "Na"]}, "the first is Stage.*, follow"),
        ({"elements": [Stage(), Stage(["Na"]), Stage(["Na"])]}, "Na is measured twice"),
        ({"tied": {"Ca_Fe": lambda star: star["Mgg_Fe"]}}, "tied: unknown name 'Mgg_Fe'.* Mg_Fe"),
        ({"elements": [Stage()], "lines": LineList([6100.0], element="Ca")}, "lines of their own"),
    ],
)
def test_options_that_make_no_sense(network, options, match):
    with pytest.raises(ValueError, match=match):
        exact_fit_abundances([], network, **{"elements": ["Na"], **options})


def test_spectra_that_the_network_has_not_seen(full_grid_folder, rng):
    """The emulator's own error is counted, too."""
    grid = SpectralGrid.read(full_grid_folder, format="tsfitpy").transform_labels("A_Li")
    held = grid.split(0.8, seed=42)[1][:60]
    noise = np.full(held.flux.shape[1], 0.01)
    stars = [
        Spectrum(
            spectral_axis=held.wavelength, flux=(flux + rng.normal(0, noise)) * u.one,
            uncertainty=StdDevUncertainty(noise),
        )
        for flux in held.flux
    ]  # fmt: skip
    table = exact_fit_abundances(stars, PayneModel.sample(), ["Ca", "Ni", "Ba"])
    pulls = []
    for name in ("Ca_Fe", "Ni_Fe", "Ba_Fe"):
        known = ~table[name].mask
        value, error = (np.asarray(table[n])[known] for n in (name, f"{name}_err"))
        pulls.append((value - np.asarray(held.labels[name])[known]) / error)
    pulls = np.concatenate(pulls)
    assert len(pulls) > 120
    assert 1.48 * np.median(np.abs(pulls - np.median(pulls))) == pytest.approx(1, abs=0.25)
    assert abs(np.median(pulls)) < 0.3


def test_the_flags_of_the_star_come_first(network, rng):
    table = exact_fit_abundances(
        ["nothing", *simulate(network, rng, 1)], network, ["Na"], fixed=HELD
    )
    assert table.colnames[:2] == ["name", "flags"]
    assert table["flags"].tolist() == [Flag.BAD_INPUT, 0]
    assert table["Na_flags"].tolist() == [ElementFlag.NO_STELLAR_LABELS, 0]


def test_a_typo_names_the_function_and_the_nearest_option(network):
    for typo, option in (("confidense", "confidence"), ("contiuum", "continuum")):
        with pytest.raises(TypeError, match=rf"^fit_abundances\(\) .*{typo}.*{option}"):
            exact_fit_abundances([], network, ["Na"], **{typo: 1})


def test_no_star_gives_a_table_with_the_columns_of_any(network, rng):
    options = {"elements": ["Na", "Li"], "resolution": 18000, "per_line": True, "models": True}
    some = exact_fit_abundances(simulate(network, rng, 1), network, **options)
    none = exact_fit_abundances([], network, **options)
    assert len(none) == 0
    assert none.colnames == some.colnames
    assert none.meta.keys() == some.meta.keys()
    assert none["Na_Fe"].info.description == "abundance"


def test_a_line_that_the_pixels_end_in_is_not_covered(network):
    """At 25 km/s, the model's own pixels end before the core of Ca's line at 6169.6 Å."""
    stars = [network(**SUN, rv=rv) for rv in (-25, 25)]
    table = exact_fit_abundances(stars, network, ["Ca"], per_line=True)
    assert list(table["Ca_n_lines"]) == [8, 7]
    assert table.meta["Ca_lines"][-1] == pytest.approx(6169.6, abs=0.1)
    assert table["Ca_lines"].mask[1, -1]
