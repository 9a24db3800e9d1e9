# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import gzip

import numpy as np
import pytest

from astropayne.io.text_tables import header_of, parse_csv, read_columns, read_csv, read_text


def test_any_encoding_is_read(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        (tmp_path / encoding).write_bytes("Å é".encode(encoding))
        assert read_text(tmp_path / encoding) == "Å é"
    (tmp_path / "utf-16").write_bytes("Å".encode("utf-16") + b"\0")
    with pytest.raises(ValueError, match="utf-16 is not a text file"):
        read_text(tmp_path / "utf-16")


def test_compressed_files_are_read(tmp_path):
    file = tmp_path / "star.txt.gz"
    file.write_bytes(gzip.compress(b"5000 1.0\n5001 0.9\n"))
    assert read_text(file).startswith("5000")
    assert read_columns(file)["col1"].tolist() == [5000, 5001]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("5000 1.0\n5001 0.9\n", ["col1", "col2"]),
        ("5000,1.0\n5001,0.9\n", ["col1", "col2"]),
        ("5000\t1.0\n5001\t0.9\n", ["col1", "col2"]),
        ("5000;1.0\n5001;0.9\n", ["col1", "col2"]),
        ("# wave flux\n5000 1.0\n5001 0.9\n", ["wave", "flux"]),
        ("# wave [nm], flux\n5000 1.0\n5001 0.9\n", ["wave[nm]", "flux"]),
        ("wave,flux\n5000,1.0\n5001,0.9\n", ["wave", "flux"]),
        ("wave;flux\n5000;1.0\n5001;0.9\n", ["wave", "flux"]),
    ],
)
def test_columns_with_any_delimiter_and_header(tmp_path, text, names):
    (tmp_path / "star.txt").write_text(text)
    table = read_columns(tmp_path / "star.txt")
    assert table.colnames == names
    assert np.array_equal(table[names[0]], [5000, 5001])
    assert np.array_equal(table[names[1]], [1.0, 0.9])


def test_an_index_of_pandas_is_a_column_without_name(tmp_path):
    (tmp_path / "star.csv").write_text(",name,flux\n0,a,1.0\n1,b,0.9\n")
    assert read_columns(tmp_path / "star.csv")["flux"].tolist() == [1.0, 0.9]


def test_lines_are_parsed_with_text():
    table = parse_csv("ll,element,ion\n5167.3,Mg,1\n5172.7,Mg,\n")
    assert table["ll"].tolist() == [5167.3, 5172.7]
    assert table["element"].tolist() == ["Mg", "Mg"]
    assert table["ion"].mask.tolist() == [False, True]
    with pytest.raises(ValueError, match="Number of header columns"):
        parse_csv("ll,element\n5167.3,Mg,1,2\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,teff\na,5000\n", (0, ["name", "teff"])),
        ("# made in 2026\nname teff\na 5000\n", (1, ["name", "teff"])),
        ("# made in 2026\n# name teff\na 5000\n", (1, ["name", "teff"])),
        ('# grid\n"name";"teff"\n', (1, ["name", "teff"])),
    ],
)
def test_names_of_columns_are_found(tmp_path, text, expected):
    (tmp_path / "labels.txt").write_text(text)
    assert header_of(tmp_path / "labels.txt", ("Name",)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "name,teff\n007,5000.5\n008,6000\n",
        "name;teff\n007;5000,5\n008;6000\n",
        "name\tteff\n007\t5000.5\n008\t6000\n",
        "name  teff\n007 5000.5\n008 6000\n",
        "# name teff\n007 5000.5\n008 6000\n",
        ",name,teff\n0,007,5000.5\n1,008,6000\n",
    ],
)
def test_rows_go_with_their_names(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    table, rejected = read_csv(tmp_path / "labels.csv", ("Name",))
    assert list(table.columns) == ["name", "teff"]
    assert table["name"].tolist() == ["007", "008"]
    assert table["teff"].tolist() == [5000.5, 6000]
    assert not rejected


def test_a_row_of_other_length_is_rejected_alone(tmp_path):
    (tmp_path / "labels.csv").write_text("name,teff\na,5000\nc,5500\nb,6000,7\n")
    table, rejected = read_csv(tmp_path / "labels.csv", ("name",))
    assert table["name"].tolist() == ["a", "c"]
    assert rejected == {"b": "has a row of 3 fields in the table of labels, not 2"}


def test_what_is_not_a_table_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read as a table of labels"):
        read_csv(tmp_path / "labels.csv", ("name",))
    (tmp_path / "labels.csv").write_text("name,teff\na,5000,1\nb,6000,2\n")
    with pytest.raises(ValueError, match="rows of more fields than its first line"):
        read_csv(tmp_path / "labels.csv", ("name",))
