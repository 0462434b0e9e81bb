"""Times from outside: the right one, or "unknown", and never an error."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lib.times import AHEAD, moment

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECONDS = int(AT.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        SECONDS,
        float(SECONDS),
        str(SECONDS),
        SECONDS * 10**3,
        SECONDS * 10**6,
        SECONDS * 10**9,
        str(SECONDS * 10**3),
        "2026-03-04T05:06:07Z",
        "2026-03-04T05:06:07+00:00",
        "2026-03-04T07:06:07+02:00",
        " 2026-03-04 05:06:07 ",
        "20260304T050607",
        AT,
        AT.replace(tzinfo=None),
        AT.astimezone(timezone(timedelta(hours=14))),
    ],
    ids=str,
)
def test_one_moment_in_all_its_forms(value):
    assert moment(value) == AT


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        0,
        -1,
        -(10**15),
        True,
        10**30,
        10**400,
        float("nan"),
        float("inf"),
        1e308,
        "9" * 400,
        "yesterday",
        "2026-13-45",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        datetime.max,
        [],
        {},
        b"2026",
        "\x00",
        "\ud800",
        "1e5",
        "٢٠٢٦",
    ],
    ids=ascii,
)
def test_what_cannot_be_is_unknown(value):
    assert moment(value) is None


def test_a_clock_that_is_years_ahead_is_unknown_unless_it_is_a_plan():
    ahead = datetime.now(UTC) + timedelta(days=365)
    assert moment(ahead) is None
    assert moment(ahead.isoformat(), is_planned=True) == ahead
    assert moment(int(ahead.timestamp() * 1000)) is None


def test_a_clock_that_is_a_little_ahead_is_forgiven():
    soon = datetime.now(UTC) + AHEAD - timedelta(minutes=1)
    assert moment(soon) == soon


@given(
    st.one_of(
        st.integers(),
        st.floats(),
        st.text(),
        st.datetimes(),
        st.datetimes(timezones=st.timezones()),
        st.binary(),
        st.none(),
        st.lists(st.integers()),
        st.integers().map(str),
    ),
    st.booleans(),
)
def test_nothing_is_an_error_and_what_comes_out_can_be_stored(value, is_planned):
    found = moment(value, is_planned=is_planned)
    assert found is None or (found.tzinfo is UTC and 1900 <= found.year < 9000)
