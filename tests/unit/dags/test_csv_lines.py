"""CSV by lines: what is odd in one stays in it."""

import pytest

from dags.recipes.common import csv_lines
from dags.recipes.common.csv_lines import Cut, Lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_rows_whatever_ends_them(end):
    lines = ["\ufeffcity, price", '"Vigo, old",8', " ", 'Lu"go,7', "Lugo"]
    found = csv_lines.read(end.join(lines).encode())
    rows = {0: ["Vigo, old", "8"], 1: ['Lu"go', "7"]}
    assert found == Lines(["city", "price"], rows, [Cut(2, "1 values instead of 2", "Lugo")])


def test_an_open_quote_or_a_long_value_spoils_its_own_line_alone():
    long = "7" * 200_000
    found = csv_lines.read(f'city,price\n"Lugo,7\n{long},7\nVigo,8\n"Baiona,9\n'.encode())
    assert found.rows == {2: ["Vigo", "8"]}
    assert [(line.place, line.reason[0]) for line in found.cut] == [(0, "1"), (1, "0"), (3, "1")]


def test_a_byte_that_is_no_utf_8_is_shown_as_such():
    assert csv_lines.read("city\nLogroño\n".encode("latin-1")).rows == {0: ["Logro\ufffdo"]}


@pytest.mark.parametrize(("raw", "names"), [(b"", []), (b" \r\n\n", []), (b"x" * 200_000, [""])])
def test_a_file_without_names(raw, names):
    assert csv_lines.read(raw) == Lines(names, {}, [])


def test_of_two_columns_of_one_name_the_first_counts():
    found = csv_lines.read(b"b,a,a\n1,2,3\n4,5,6\n")
    assert found.values(["a", "b"]) == [["2", "1"], ["5", "4"]]
