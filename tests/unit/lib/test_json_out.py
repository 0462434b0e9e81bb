"""JSON out: every number that PostgreSQL can give back, and what no JSON can say."""

import json
import math
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from core.lib import json_out

numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_what_is_written_reads_back_the_same(value):
    assert json.loads(json_out.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (int(1e300), str(int(1e300))),
        ([10**4299], f"[1{'0' * 4299}]"),
        ({"a": -(2**63) - 1}, '{"a":-9223372036854775809}'),
        (Decimal("1e400"), f"1{'0' * 400}"),
        (Decimal("-0.000001"), "-0.000001"),
        (Decimal("NaN"), "null"),
        (math.nan, "null"),
        ([math.inf, 2**70], "[null,1180591620717411303424]"),
        ({1: "a", None: 2**64}, '{"1":"a","null":18446744073709551616}'),
        ("half \ud800", '"half ?"'),
        ({"\udfff": 1}, '{"?":1}'),
        (gettext_lazy("Name"), '"Name"'),
        ((1, (2**64,)), "[1,[18446744073709551616]]"),
        (uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
    ],
)
def test_a_value_is_written(value, written):
    assert json_out.text(value) == written


def test_a_line_of_its_own():
    assert json_out.encode(2**64, option=orjson.OPT_APPEND_NEWLINE) == b"18446744073709551616\n"


def test_the_renderer_writes_times_as_drf_does():
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (
        json_out.Renderer().render({"at": at, "n": 2**64})
        == b'{"at":"2026-03-01T12:00:00Z","n":18446744073709551616}'
    )
    assert json_out.Renderer().render(None) == b""


@pytest.mark.parametrize(
    "digits", ["7", "1" * 4300, "1" * 4301, "9" * 131_072, "1" + "0" * 400 + ".5", "0.25"]
)
def test_a_row_is_read_and_written_digit_for_digit(digits):
    assert json_out.text(json.loads(f'{{"a": {digits}}}', cls=json_out.RowDecoder)) == f'{{"a":{digits}}}'
