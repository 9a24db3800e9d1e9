import astropy.units as u
import numpy as np
import pytest

from astropayne import LineList, PayneModel
from astropayne.abundances.finder import best_windows, find
from astropayne.abundances.sensitivities import sensitivity
from astropayne.wavelengths.axis import without_gaps
from astropayne.wavelengths.media import to_vacuum
from astropayne.wavelengths.regions import inside_regions

SUN = {"teff": 5770.0, "logg": 4.4, "feh": 0.0, "vmic": 1.1, "A_Li": 2.0}
# As such files are, with lines of nobody in particular.
ONE_PAYNE = "ll,dlam\n5167.3,1.25\n5183.6,0.5\n"
ONE_PAYNE_FE = ",ll,Bluewidth,Redwidth,Element,ionisation\n7,5162.3,5161.9,5162.7,Fe,2\n"
TSFITPY = "; Barium\n;\n6141.71 6141.4 6142.1 54.02\t; blend\n;6496.9 6496.7 6497.2 56.02\n"


@pytest.fixture(scope="module")
def network():
    return PayneModel.sample()


def _write(folder, name, content):
    path = folder / name
    path.write_text(content)
    return path


def test_widths_are_not_taken_for_ends(tmp_path):
    path = _write(tmp_path, "mg.csv", "ll,Bluewidth,Redwidth\n5172.68,0.4,0.5\n")
    with pytest.raises(ValueError, match=r"5172\.68 has a window from 0\.4 to 0\.5 Angstrom"):
        LineList.read(path)
    path = _write(tmp_path, "rounded.csv", "ll,Bluewidth,Redwidth\n5172.68,5172.3,5172.6\n")
    assert LineList.read(path).table["upper"].value == [5172.68]


@pytest.mark.parametrize(
    ("name", "content", "rows", "element", "ion"),
    [
        ("mg.csv", ONE_PAYNE, [(5166.05, 5168.55), (5183.1, 5184.1)], "Mg", 0),
        ("mg.csv", "ll\n5183.6", [(5183.1, 5184.1)], "Mg", 0),
        ("good.csv", ONE_PAYNE_FE, [(5161.9, 5162.7)], "Fe", 2),
        ("ba-lmask.txt", TSFITPY, [(6141.4, 6142.1)], "Ba", 2),
        ("mine.txt", TSFITPY.replace("54.", "56."), [(6141.4, 6142.1)], "Ba", 2),
    ],
)
def test_masks_are_read_as_they_are(tmp_path, name, content, rows, element, ion):
    lines = LineList.read(_write(tmp_path, name, content))
    assert lines.medium == "air"
    ends = np.column_stack([lines.table["lower"].value, lines.table["upper"].value])
    assert ends == pytest.approx(np.array(rows))
    assert set(lines.table["element"]) == {element}
    assert set(lines.table["ion"]) == {ion}


def test_empty_cells_are_not_known(tmp_path):
    content = "ll,Element,ionisation,core\n5100,,,\n5200,Fe,IV,0.1\n"
    table = LineList.read(_write(tmp_path, "mine.csv", content)).table
    assert table["element"].tolist() == ["", "Fe"]
    assert table["ion"].tolist() == [0, 4]
    assert table["core"].value.tolist() == [0, 0.1]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "is not a table of lines: it is empty"),
        ("ll\n5100 \u212b".encode("utf-16"), "wavelength must be numeric"),
        ("ll,ion\n5100,neutral\n", "the ion 'neutral' is neither a number"),
        ("ll,core\n5100,-0.2\n", "core is -0.2 Angstrom; it must be a half-width"),
        ("ll,Bluewidth\n5100,5099\n", "lower and upper ends of windows must be given together"),
    ],
)
def test_files_that_are_no_lists_say_why(tmp_path, content, match):
    path = tmp_path / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"mine\.csv:? {match}"):
        LineList.read(path)


def test_written_and_read(tmp_path):
    lines = LineList(
        [5183.604, 6707.8], half_width=[1.0, 0.4] * u.AA, element=["Mg", "Li"], ion=1,
        core=[0.1, 0.0], reference="someone",
    )  # fmt: skip
    for name in ("lines.ecsv", "lines.csv"):
        lines.write(tmp_path / name)
        back = LineList.read(tmp_path / name)
        for column in lines.table.colnames:
            assert list(back.table[column]) == list(lines.table[column]), (name, column)
    with pytest.raises(OSError, match="overwrite"):
        lines.write(tmp_path / "lines.ecsv")
    vacuum = lines.in_medium("vacuum")
    assert vacuum.table["wavelength"].value == pytest.approx(to_vacuum([5183.604, 6707.8], "air"))
    assert len(vacuum + lines) == 4


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lower": [6708.0], "upper": [6709.0]}, "does not contain"),
        ({"lower": [6707.0]}, "must be given together"),
        ({"element": "Xx"}, "unknown element: Xx"),
        ({"medium": "water"}, "medium is 'water'"),
        ({"half_width": -1.0}, "does not contain"),
    ],
)
def test_what_makes_no_line(change, match):
    with pytest.raises(ValueError, match=match):
        LineList([6707.8], **change)
    with pytest.raises(u.UnitConversionError, match="half_width"):
        LineList([6707.8], half_width=1 * u.K)


def test_a_file_without_lines(tmp_path):
    path = _write(tmp_path, "x.csv", "a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"x\.csv.*'wavelength' or 'll'"):
        LineList.read(path)


def test_regions_have_no_cores_and_grow():
    lines = LineList([5000.0, 5000.5], half_width=0.5, core=[0.0, 0.1])
    ends = [(a.value, b.value) for a, b in lines.region().subregions]
    assert np.array(ends) == pytest.approx(np.array([(4999.5, 5000.4), (5000.6, 5001.0)]))
    wide = lines.region(30 * u.km / u.s)
    assert wide.upper.value == pytest.approx(5001.0 * (1 + 30 / 299792.458))
    # the same pixels by either way
    wavelength = np.arange(4998, 5003, 0.013)
    mine = lines.inside_windows(to_vacuum(wavelength, "air"), 30.0).any(axis=0)
    # the core of one line may be in the window of another, where it is left out of the region only
    region = inside_regions(wavelength * u.AA, wide, "air")
    assert (region & ~mine).sum() == 0
    assert (mine & ~region).sum() <= 0.2 / 0.013 + 1


def test_steps_of_any_width_are_no_gaps():
    velocity = np.exp(np.arange(np.log(4000), np.log(9500), 1e-5))  # of 3 km/s
    red = np.searchsorted(velocity, 9300) + np.arange(10)
    gain = np.isin(np.arange(len(velocity)), red).astype(float)
    assert best_windows(velocity, gain, 1.0) == [(red[0], red[-1])]
    arms = np.concatenate([np.arange(5000, 5100, 0.01), np.arange(6000, 6100, 0.1)])
    lines = LineList([4999.0, 5050.0, 5500.0, 6050.05])
    assert lines.inside(arms * u.AA).table["wavelength"].value.tolist() == [5050.0, 6050.05]
    ends = [(part[0], part[-1]) for part in without_gaps(arms, arms > 5098.995)]
    assert ends == [(9900, 9999), (10000, len(arms) - 1)]
    assert without_gaps(arms, arms > 7000) == []


def test_the_lines_that_ship_are_where_the_model_has_them(network):
    """Weak lines of the grid, which comes from other atomic data, change most at their centres."""
    lines = LineList.sample().inside(network.wavelength, network.medium)
    assert set(lines.elements) >= {"Li", "Na", "Mg", "Al", "Ca", "Ti", "Fe", "Ni", "Ba"}
    assert all(lines.table["reference"])
    vacuum, _, _, jacobian = sensitivity(network, SUN)
    for element in ("Na", "Al", "Ti", "Ni", "Ba", "Li"):
        label = "A_Li" if element == "Li" else f"{element}_Fe"
        own = -jacobian[:, network.labels.index(label)]
        for centre, lower, upper in lines.select(element).vacuum():
            inside = (vacuum > lower) & (vacuum < upper)
            peak = vacuum[inside][np.argmax(own[inside])]
            assert peak == pytest.approx(centre, abs=0.06), (element, centre)


def test_the_model_finds_known_lines(network):
    for element in ("Na", "Al", "Ba"):
        found = find(network, f"{element}_Fe", at=SUN)
        known = LineList.sample().select(element).table["wavelength"].value
        distance = np.abs(found.table["wavelength"].value[:, None] - known).min(axis=1)
        assert (distance < 0.06).all()
        assert set(found.table["element"]) == {element}
    assert found.medium == "air"
    assert find(network, "[Fe/H]", at=SUN).elements == ("Fe",)  # in any spelling
    moved = find(network, "Ba_Fe", at={**SUN, "rv": 30 * u.km / u.s})  # still at rest
    assert moved.table["wavelength"].value == pytest.approx(known, abs=0.06)


def test_information_is_that_of_all_parameters(network):
    """The shares of all pixels add up to what inverting the information matrix gives."""
    _, _, _, jacobian = sensitivity(network, SUN)
    covariance = np.linalg.inv(jacobian[:, :-2].T @ jacobian[:, :-2])  # widths are zero: no part
    k = network.labels.index("Na_Fe")
    sigma = np.full(len(jacobian), 1.0)
    own, others = jacobian[:, k], np.delete(jacobian[:, :-2], k, axis=1)
    left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
    assert 1 / (own * left / sigma**2).sum() == pytest.approx(covariance[k, k], rel=1e-6)


@pytest.mark.parametrize(
    ("label", "options", "match"),
    [
        (
            "Na_Fe",
            {"purity": 2.0},
            "no pixel with a purity of at least 2 carries information on 'Na_Fe'",
        ),
        ("teff", {}, "give a lower one"),  # abundances count a dex, temperatures a kelvin
        ("Na_Fe", {"wavelength": [4000.0, 4001] * u.AA}, r"windows of the model, 5160 to 6725"),
        ("Na_Fe", {"snr": -3}, "snr=-3 must be positive"),
        ("Na_Fe", {"share": 90}, "share=90 must be greater than 0 and at most 1"),
    ],
)
def test_windows_that_cannot_be_found(network, label, options, match):
    with pytest.raises(ValueError, match=match):
        find(network, label, at=SUN, **options)


def test_files_that_are_no_line_lists_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*mg\.csv"):
        LineList.read(tmp_path / "mg.csv")
    (tmp_path / "star.fits").write_bytes(b"\xb4\0\xff")
    with pytest.raises(ValueError, match=r"star\.fits is not a text file; a line list is a table"):
        LineList.read(tmp_path / "star.fits")
