"""Facts as people read them: units, moments and names in words, in the reader's language and zone."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from core.alerts import deliveries, facts, mail
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.unit.alerts.conftest import opened

SUMMER = datetime(2026, 7, 1, 12, 0, 5, 123456, tzinfo=UTC)
SLOW = "pipeline-slow:7"
FACTS = {
    "time": {"value": 7200, "unit": "s", "threshold": 3600},
    "ended": SUMMER,
    "last success": None,
    "Age, missing": {"value": 0.0834285714, "unit": "share", "threshold": 0.05},
    "rows": 12430,
    "Fare": {"value": 512.3292, "unit": "GBP"},
    "trial": True,
    "note": {"value": "far", "unit": "time"},
}


def shown() -> list[tuple[str, str, str]]:
    return [
        (one.label, one.value_in_words, one.threshold_in_words)
        for one in facts.rows(facts.bounded(FACTS), rule=SLOW)
    ]


def test_values_are_written_by_their_unit():
    assert shown() == [
        ("Duration", "2\u00a0h\u00a000\u00a0m", "1\u00a0h\u00a000\u00a0m"),
        ("Ended", "1 Jul 2026, 12:00:05 UTC", "–"),
        ("Last success", "–", "–"),
        ("Age, missing", "8.3\u00a0%", "5.0\u00a0%"),
        ("rows", "12\u202f430", "–"),
        ("Fare", "512.3 GBP", "–"),
        ("trial", "yes", "–"),
        ("note", "far", "–"),
    ]


def test_a_reader_elsewhere_has_their_own_zone_and_marks():
    with timezone.override("Europe/Madrid"), translation.override("es"):
        _time, ended, _last, missing, *_others = shown()
    assert ended[1].endswith("14:00:05 CEST")
    assert missing[1:] == ("8,3\u00a0%", "5,0\u00a0%")


def test_moments_are_kept_in_iso_8601():
    assert facts.bounded({"ended": SUMMER}) == [
        {"name": "ended", "value": "2026-07-01T12:00:05+00:00", "unit": "time"}
    ]


@pytest.mark.django_db
def test_page_and_mail_say_the_same():
    alert = opened(facts=FACTS, rule=SLOW)
    page = flat(signed_in(make_user("vic", "viewer")).get(reverse("alerts:alert-detail", args=[alert.pk])))
    for words in ("Duration", "2 h 00 m", "1 Jul 2026, 12:00:05 UTC", "8.3 %", "5.0 %"):
        assert words in page
    lines = [mail._line(fact) for fact in alert.fact_rows]
    assert lines[0].replace("\u00a0", " ") == "Duration: 2 h 00 m, limit 1 h 00 m"
    assert lines[1] == "Ended: 1 Jul 2026, 12:00:05 UTC"
    assert lines[3].replace("\u00a0", " ") == "Age, missing: 8.3 %, limit 5.0 %"


@pytest.mark.django_db
def test_names_that_others_gave_stay():
    """A field of a stream may be called as a fact of the console's own is."""
    alert = opened(facts={"time": {"value": 42, "unit": "min"}, "run": 3}, rule="stream-anomaly")
    assert [fact.label for fact in alert.fact_rows] == ["time", "run"]
    told = {"event": "opened", "alert": deliveries._told_of(alert)}
    assert "\n\ntime: 42 min\nrun: 3\n\n" in mail.body_of(told)


@pytest.mark.parametrize(
    ("given", "value", "threshold"),
    [
        ({"value": 100.04, "threshold": 100.02}, "100.04", "100.02"),
        ({"value": 101.3, "threshold": 100.02}, "101.3", "100.0"),
        ({"value": 100.02, "threshold": 100.02}, "100.0", "100.0"),
        ({"value": 1_000_000.26, "threshold": 1_000_000}, "1 000 000.3", "1 000 000"),
        ({"value": 1_234_567}, "1 234 567", "–"),
        ({"value": 0.05004, "threshold": 0.05, "unit": "share"}, "5.004 %", "5.000 %"),
        ({"value": 3610, "threshold": 3600, "unit": "s"}, "3 610 s", "3 600 s"),
        ({"value": "far", "threshold": 100.02}, "far", "100.0"),
        ({"value": True, "threshold": False}, "yes", "no"),
    ],
)
def test_value_and_what_it_is_held_against_can_be_told_apart(given, value, threshold):
    [fact] = facts.rows(facts.bounded({"fare": given}), rule="stream-anomaly")
    shown = [words.replace("\u00a0", " ").replace("\u202f", " ") for words in
             (fact.value_in_words, fact.threshold_in_words)]  # fmt: skip
    assert shown == [value, threshold]
