"""Numbers and times as the pages write them; expected texts are worked by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from core.lib import topic_days
from core.lib.templatetags import numbers, ui
from core.lib.templatetags.numbers import GAP, MINUS, THIN

NOW = datetime(2026, 11, 21, 12, 4, 31, tzinfo=UTC)


def plain(text: str) -> str:
    return text.replace(GAP, " ").replace(THIN, "_").replace(MINUS, "-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (0.9999, "1.0 s"),
        (3.44, "3.4 s"),
        (9.96, "10 s"),
        (59.6, "1 m 00 s"),
        (134, "2 m 14 s"),
        (7263, "2 h 01 m"),
        (187200, "2 d 4 h"),
        (-5, "-5.0 s"),
        (timedelta(minutes=4, seconds=2), "4 m 02 s"),
    ],
)
def test_span_at_each_size(seconds, text):
    assert plain(numbers.span(seconds)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8492, "0.8492"),
        (0.85, "0.8500"),
        (0.99999, "1.000"),
        (3.42, "3.420"),
        (84120.4, "84_120"),
        (-3.8123, "-3.812"),
        (0, "0"),
        (0.0, "0.000"),
        (12430, "12_430"),
        (0.00001234, "1.234 × 10⁻⁵"),
        (2.5e9, "2.500 × 10⁹"),
        (float("nan"), "NaN"),
        (float("-inf"), "-∞"),
    ],
)
def test_significant_keeps_four_digits(value, text):
    assert plain(numbers.significant(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (12430, "12_430"),
        (-1500, "-1_500"),
        (1_234_567, "1.2 M"),
        (3_000_000_000, "3.0 G"),
    ],
)
def test_short_count_from_a_million_on(value, text):
    assert plain(numbers.short_count(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (4_312_345, "4.1 MiB"), (2.5 * 1024**5, "2560.0 TiB")],
)
def test_binary_size_at_each_unit(value, text):
    assert plain(numbers.binary_size(value)) == text


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [
        (3, "just now"),
        (30, "30 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (2 * 86400, "2 d ago"),
        (-50400, "in 14 h"),
        (9 * 86400, "12 Nov 2026"),
    ],
)
def test_relative_by_distance(ago_s, text):
    assert numbers.relative(NOW - timedelta(seconds=ago_s), NOW) == text


def test_absolute_names_the_zone():
    assert numbers.absolute(NOW) == "21 Nov 2026, 12:04:31 UTC"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (numbers.short_count(999_949_999), "999.9 M"),
        (numbers.short_count(999_950_000), "1.0 G"),
        (numbers.short_count(-999_999_999), "-1.0 G"),
        (numbers.binary_size(1024**2 - 1), "1.0 MiB"),
        (numbers.binary_size(1023.7), "1.0 KiB"),
        (numbers.binary_size(1023), "1023 B"),
    ],
)
def test_a_number_that_rounds_to_the_next_unit_has_that_one(written, text):
    assert plain(written) == text


def test_a_nought_has_no_sign():
    assert plain(numbers.percent(-0.0004)) == "0.0 %"
    assert plain(numbers.percent(-0.0006)) == "-0.1 %"
    assert plain(numbers.span(-0.0004)) == "0 ms"
    assert plain(numbers.binary_size(-0.2)) == "0 B"


def test_decimals_follow_the_language():
    with translation.override("es"):
        assert plain(numbers.percent(0.1234)) == "12,3 %"
        assert [ui.plain(value) for value in (0.25, -1e-7, 3)] == ["0,25", f"{MINUS}1e-07", 3]
        assert topic_days.in_days(5_400_000) == "1,5 horas"


def test_shortened_only_when_it_is_long():
    assert numbers.shortened("4be1c20735de4b0f") == "4be1…4b0f"
    assert numbers.shortened("titanic") == "titanic"
