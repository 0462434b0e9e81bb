"""Files of rows as people leave them: empty, with a byte order mark, with odd ends of lines."""

import pytest

from usecases.course_api import tables


@pytest.fixture(autouse=True)
def generated(monkeypatch):
    monkeypatch.setattr(tables.real_estate, "lines", lambda seed: ["city,price", "Made up,1"])


def table(tmp_path, content: bytes) -> tables.Table:
    (tmp_path / tables.REAL_ESTATE).write_bytes(content)
    return tables.real_estate_table(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"city,price\n", b"\n\n\n"])
def test_a_file_without_rows_is_said_and_rows_are_generated(tmp_path, caplog, content):
    found = table(tmp_path, content)
    assert (found.source, found.names, found.rows(0, 9)) == (
        "synthetic",
        ["city", "price"],
        [["Made up", "1"]],
    )
    assert f"{tables.REAL_ESTATE} holds no rows" in caplog.text


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert table(tmp_path, b"\xef\xbb\xbfcity,price\r\nLugo,7\r\n").names == ["city", "price"]


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\u2029"])
def test_what_ends_no_line_of_a_file_does_not_cut_a_row(tmp_path, odd):
    found = table(tmp_path, f"city,price\nLu{odd}go,7\r\nVigo,8".encode())
    assert (found.source, found.rows(0, 9)) == ("file", [[f"Lu{odd}go", "7"], ["Vigo", "8"]])


def test_without_a_file_nothing_is_said(tmp_path, caplog):
    assert tables.real_estate_table(tmp_path).source == "synthetic"
    assert not caplog.text


@pytest.mark.parametrize("odd", ['Lugo,"7', 'Lugo,"' + "7" * 200_000])
def test_a_line_that_is_no_csv_spoils_no_other(tmp_path, odd):
    """A quote that nobody closes would else take all that follows into one value."""
    found = table(tmp_path, f'city,price\n{odd}\n"Vigo, old",8\nBaiona,9\n'.encode())
    first, *others = found.rows(0, 9)
    assert len(first) <= 2
    assert others == [["Vigo, old", "8"], ["Baiona", "9"]]


def test_a_first_line_without_names_is_no_table(tmp_path):
    assert table(tmp_path, b"n" * 200_000 + b"\nLugo\n").source == "synthetic"
