"""CSV that no spreadsheet runs."""

import re
from pathlib import Path

import pytest

from core.lib import csv_out

ROOT = Path(__file__).parents[3]
APPS = ("console", "core", "pipelines", "models_registry", "streaming", "jobs", "predictions", "usecases")


WIDE = [f"{chr(ord(sign) + 0xFEE0)}1+1" for sign in "=+-@"]  # of keyboards for Chinese and Japanese


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1+1", *WIDE])
def test_what_a_spreadsheet_would_run_is_text(cell):
    assert csv_out.guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1", "+34", "-1,5", "-1e-3", -1, -0.5, None, "", "a=b", "1-2"])
def test_numbers_and_plain_text_stay(cell):
    assert csv_out.guarded(cell) == cell


def test_lines_guard_every_cell():
    assert csv_out.lines([["id", "=x"], [1, "-1"]]) == b"id,'=x\r\n1,-1\r\n"


def test_half_a_surrogate_pair_spoils_no_file():
    assert csv_out.lines([["a\ud800"]]) == b"a?\r\n"


def test_nobody_writes_csv_by_themselves():
    found = [
        str(path.relative_to(ROOT))
        for app in APPS
        for path in sorted((ROOT / app).rglob("*.py"))
        if re.search(r"\bcsv\.(writer|DictWriter)\b", path.read_text())
    ]
    assert found == ["core/lib/csv_out.py"]
