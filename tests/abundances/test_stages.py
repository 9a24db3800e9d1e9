"""Analyses in stages, and files that describe them."""

import astropy.units as u
import numpy as np
import pytest
from scipy.optimize import curve_fit
from simulated_lines import BLURRED, HELD, SUN, exact_fit_abundances, simulate

from astropayne import LineList, Stage
from astropayne.abundances import read_stages


def test_elements_that_are_tied_share_their_lines(network, rng):
    star = simulate(network, rng, 1, Ca_Fe=0.2, Ti_Fe=0.2)
    tied = {"Ti_Fe": lambda labels: labels["Ca_Fe"]}
    alone = exact_fit_abundances(star, network, ["Ca"], fixed=HELD)[0]
    both = exact_fit_abundances(star, network, ["Ca"], fixed=HELD, tied=tied)[0]
    assert both["Ca_n_lines"] > alone["Ca_n_lines"]
    assert both["Ca_Fe_err"] < alone["Ca_Fe_err"]
    assert abs(both["Ca_Fe"] - 0.2) < 4 * both["Ca_Fe_err"]


def test_symbols_are_short_for_two_stages(network, rng):
    stars, iron = simulate(network, rng, 3), LineList.sample().select("Fe")
    short = exact_fit_abundances(stars, network, ["Na", "Ca"], stellar_lines=iron)
    long = exact_fit_abundances(stars, network, [Stage(lines=iron), Stage(["Na", "Ca"])])
    for name in ("teff", "Na_Fe", "Ca_Fe_err", "Ca_sensitivity"):
        assert np.asarray(short[name]) == pytest.approx(np.asarray(long[name]), rel=1e-12)


def test_windows_of_the_stellar_labels_move_with_the_star(network):
    """At 150 km/s they are their own width away from where they were."""
    iron = LineList.sample().select("Fe")
    options = {"stellar_lines": iron, "noise_floor": 0.01}
    stars = [network(**SUN, rv=rv) for rv in (0, 150)]
    still, moving = exact_fit_abundances(stars, network, ["Mg"], **options)
    for name in ("teff_err", "feh_err"):
        assert u.Quantity(moving[name]).value == pytest.approx(
            u.Quantity(still[name]).value, rel=0.03
        )
    wrong = {"exclude_at_rest": iron[5:].region()}
    fewer = exact_fit_abundances(stars[:1], network, ["Mg"], **options, **wrong)[0]
    assert fewer["dof"] < still["dof"]


def test_a_stage_fixes_frees_and_ties(network, rng):
    """Wrong sodium in the first stage does no harm, when it is freed; what is fixed is exact."""
    stars = simulate(network, rng, 2, snr=300)
    exact = {n: SUN[n] for n in ("teff", "logg", "feh", "vmic")}
    first = Stage(fixed={"Na_Fe": -0.3}, tied={"Ti_Fe": lambda labels: labels["Ca_Fe"]})
    table = exact_fit_abundances(stars, network, [first, Stage(["Na"], free=["Na_Fe"])])
    fixed = Stage(["Na"], free=["Na_Fe"], fixed=exact)
    known = exact_fit_abundances(stars, network, [first, fixed, Stage(["Ti"], free=["Ti_Fe"])])
    held = exact_fit_abundances(
        stars, network, [first, Stage(["Na"], free=["Na_Fe"], fixed=["teff"])]
    )
    for name in ("Na_Fe", "Ti_Fe"):
        truth = SUN.get(name, 0.0)
        assert np.abs(known[name] - truth).max() < 4.5 * known[f"{name}_err"].min()
    assert np.all(table["Na_Fe_err"] > held["Na_Fe_err"])
    assert np.all(held["Na_Fe_err"] > known["Na_Fe_err"])
    with pytest.raises(ValueError, match=r"Na_Fe: fixed.*free="):
        exact_fit_abundances(stars, network, [first, Stage(["Na"])])


def test_joint_stages_against_a_fit_of_two_abundances_by_scipy(network, rng):
    """Two elements in windows that overlap, all else held."""
    star = simulate(network, rng, 1, Ti_Fe=0.3, Ni_Fe=-0.2)[0]
    lines = LineList([5173.7, 5176.6], half_width=2.5, element=["Ti", "Ni"])
    held = {n: 0.0 for n in network.labels.names[4:-1] if n not in ("Ti_Fe", "Ni_Fe", "Na_Fe")}
    held |= {"A_Li": 2.0, "Na_Fe": 0.1} | HELD
    # all that the first stage knows of them comes from far away
    first = Stage(lines=LineList([6122.217], half_width=0.5, element="Ca"), fixed=held)
    table = exact_fit_abundances([star], network, [first, Stage(["Ti", "Ni"], lines, jointly=True)])
    rest = star.spectral_axis.value * np.sqrt((1 - 20 / 299792.458) / (1 + 20 / 299792.458))
    width = np.hypot(6.0, 299792.458 * np.sqrt(1 / 18000**2 - 1 / 20000**2)) / 299792.458
    inside = (rest > 5171.2 / (1 + width)) & (rest < 5179.1 * (1 + width))
    far = (rest > 6121.717) & (rest < 6122.717)

    def flux(_, titanium, nickel):
        labels = {**SUN, "Ti_Fe": titanium, "Ni_Fe": nickel}
        return network(**labels, **BLURRED, resolution=18000).flux.value[inside | far]

    found, covariance = curve_fit(
        flux, None, star.flux.value[inside | far], [0.0, 0.0],
        np.full((inside | far).sum(), 0.01), absolute_sigma=True,
    )  # fmt: skip
    for name, value, variance in zip(("Ti_Fe", "Ni_Fe"), found, covariance.diagonal(), strict=True):
        assert table[name][0] == pytest.approx(value, abs=0.2 * variance**0.5)
        assert table[f"{name}_err"][0] == pytest.approx(variance**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("stage = [1]", r"the file must consist of tables \[\[stage\]\]"),
        ("[[stage]]\nelements = 5", "elements must be a sequence of names; got 5"),
        ("[[stage]]\nfixed = 5", "fixed must be a sequence of names"),
        ("[[stage]]\nlines = 5", "lines must be a LineList"),
        ("[[stage]]\ntied = ['Na_Fe']", "tied must be a mapping"),
        ("[[stage]]\njointly = 'no'", "jointly must be True or False; got 'no'"),
    ],
)
def test_files_that_hold_no_stages(tmp_path, text, match):
    (tmp_path / "stages.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"stages.toml: {match}"):
        read_stages(tmp_path / "stages.toml")
    with pytest.raises(TypeError, match=r"returned by LineList\.read; got 'my\.csv'"):
        Stage(["Na"], "my.csv")


def test_ties_in_a_file_take_any_spelling(tmp_path):
    (tmp_path / "stages.toml").write_text('[[stage]]\ntied = {"[Ca/Fe]" = "[Mg/Fe]"}')
    (stage,) = read_stages(tmp_path / "stages.toml")
    assert stage.tied["[Ca/Fe]"]({"Mg_Fe": 0.2}) == 0.2


def test_stages_that_are_not_there_are_named():
    with pytest.raises(FileNotFoundError, match=r"^there is no file nofile.toml$"):
        read_stages("nofile.toml")
