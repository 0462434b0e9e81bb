"""What callers write: read in one way, or refused with words at the field."""

import contextlib
from datetime import UTC, datetime

import pytest
from django import forms
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from core.lib import edge, json_bodies
from core.lib.errors import InvalidRequest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01 12:00", NOON),
        ("2026-03-01T12:00:00.000+00:00", NOON),
        ("2026-03-02T11:59:00+23:59", NOON),
        ("2026-02-28T19:32:00-16:28", NOON),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_utc(text, at):
    found = edge.moment(text, "at")
    assert (found, found.utcoffset()) == (at, at.utcoffset())


@pytest.mark.parametrize(
    "text",
    ["", "noon", "2026-02-30", "0001-01-01T00:00:00+16:28", "9999-12-31T23:59:59-23:59", "NaN", "1e9", "²"],
)
def test_what_is_no_time_is_refused_at_its_field(text):
    with pytest.raises(InvalidRequest) as refused:
        edge.moment(text, "at")
    assert refused.value.errors[0]["field"] == "at"


@given(st.text())
def test_no_text_is_a_fault_of_a_parser(text):
    for read in (edge.moment, edge.whole):
        with contextlib.suppress(InvalidRequest):
            read(text, "field")
    edge.whole_or(0, text)
    edge.uuid_or_none(text)
    assert edge.own_address(text, "/").startswith("/")


@given(st.text())
def test_json_is_read_or_refused_in_words(text):
    with contextlib.suppress(json_bodies.Unreadable):
        json_bodies.read(text)


@pytest.mark.parametrize("text", ["²", "٣", "1.5", "", "+1", " 1", "1_0", "-1", "9" * 5000, str(2**63)])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(InvalidRequest):
        edge.whole(text, "limit")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_a_whole_number_is_read(text, number):
    assert edge.whole(text, "limit") == number


@pytest.mark.parametrize(
    "text", ["abc", "//other", "/\\other", "http://here/", "", "javascript:x", "/a\nb//c" * 0]
)
def test_an_address_elsewhere_is_not_ours(text):
    assert edge.own_address(text, "/home") == "/home"


def test_our_own_address_stays():
    assert edge.own_address("/runs?state=failed#a", "/home") == "/runs?state=failed#a"


class Form(forms.Form):
    at = edge.MomentField(label="At")


def test_a_form_reads_times_the_same_way():
    form = Form({"at": "2026-03-02T11:59:00+23:59"})
    assert form.is_valid()
    assert form.cleaned_data["at"].tzinfo == UTC
    assert "at" in Form({"at": "9999-12-31T23:59:59-23:59"}).errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1e999", "too large"),
        ('{"a": [-1e999]}', "too large"),
        ("9" * 5000, "too large"),
        ("1" + "0" * 309, "too large"),
        ("NaN", "not JSON"),
        ('{"a": Infinity}', "not JSON"),
        (r'{"\udfff": 1}', "half of a character"),
        ("{", "not JSON"),
        ("[" * 100_000, "64 levels"),
        (b"\xff", "not JSON"),
    ],
)
def test_json_that_nothing_could_hold_is_refused(text, words):
    with pytest.raises(json_bodies.Unreadable, match=words):
        json_bodies.read(text)


def test_no_row_holds_a_null_character():
    assert "null character" in json_bodies.fault({"a": ["\x00"]})
    assert json_bodies.fault({"a": [r"\u0000", 1e300]}) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e300", 1e300), ("1" + "0" * 308, 10**308), (r'"\\u0000"', "\\u0000"), (b"\xef\xbb\xbf[1]", [1])],
)
def test_other_json_is_read_as_it_is(text, value):
    assert json_bodies.read(text) == value


class OneMoment(forms.Form):
    at = edge.MomentField(label="At")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-07-01T12:30", datetime(2026, 7, 1, 10, 30, tzinfo=UTC)),
        ("2026-12-01T12:30", datetime(2026, 12, 1, 11, 30, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 11, 30, 23, tzinfo=UTC)),
        ("2026-07-01T12:30Z", datetime(2026, 7, 1, 12, 30, tzinfo=UTC)),
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice that night: the first
        ("2026-10-25T02:30+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        ("2026-03-29T02:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # not at all that night
    ],
)
def test_a_time_without_a_zone_is_the_readers(text, at):
    with timezone.override("Europe/Madrid"):
        form = OneMoment({"at": text})
        assert form.is_valid(), form.errors
        assert form.cleaned_data["at"] == edge.moment(text, "at") == at
        assert form.fields["at"].label == "At (Europe/Madrid)"


@pytest.mark.parametrize(
    ("text", "is_skipped"),
    [
        ("2026-03-29T02:30", True),
        ("2026-03-29T02:30+01:00", False),
        ("2026-03-29T03:00", False),
        ("2026-10-25T02:30", False),  # twice there
        ("noon", False),
        ("2026-02-30", False),
        ("0001-01-01T00:00", False),
    ],
)
def test_times_that_the_clocks_skip(text, is_skipped):
    with timezone.override("Europe/Madrid"):
        assert edge.is_skipped(text) is is_skipped
