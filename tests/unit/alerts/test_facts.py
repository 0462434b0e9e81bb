"""Facts as people read them: units, moments and names in words, in the reader's language and zone."""

from datetime import UTC, datetime

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from core.alerts import facts, mail
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.unit.alerts.conftest import opened

SUMMER = datetime(2026, 7, 1, 12, 0, 5, 123456, tzinfo=UTC)
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
        (one.label, one.value_in_words, one.threshold_in_words) for one in facts.rows(facts.bounded(FACTS))
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
    alert = opened(facts=FACTS)
    page = flat(signed_in(make_user("vic", "viewer")).get(reverse("alerts:alert-detail", args=[alert.pk])))
    for words in ("Duration", "2 h 00 m", "1 Jul 2026, 12:00:05 UTC", "8.3 %", "5.0 %"):
        assert words in page
    lines = [mail._line(fact) for fact in alert.fact_rows]
    assert lines[0].replace("\u00a0", " ") == "Duration: 2 h 00 m, limit 1 h 00 m"
    assert lines[1] == "Ended: 1 Jul 2026, 12:00:05 UTC"
    assert lines[3].replace("\u00a0", " ") == "Age, missing: 8.3 %, limit 5.0 %"
