"""A topic that fits no definition fills no database: of one reason so many letters are kept."""

import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from core.alerts.models import Alert
from streaming import dead_room, tasks
from streaming.counting import Counting
from tests.people import make_user, signed_in
from tests.unit.streaming.events import make_stream, messages, trip

pytestmark = pytest.mark.django_db

RULE = {"kind": "threshold", "field": "fare_amount", "limit": 50}


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(dead_room, "MOST_KEPT", 3)


def counted(stream, *values, first=0):
    one = Counting(stream)
    one.handle(messages(*values, first=first))
    one.save()
    return one


def test_what_comes_beyond_is_counted_by_reason_and_told():
    stream = make_stream()
    one = counted(stream, None, *[b"x" * n for n in range(1, 9)], None, trip(time.time()))
    assert (one.n_counted, one.n_refused) == (1, 10)
    assert stream.dead_letters.count() == 2 + 3
    [tally] = stream.dead_tallies.all()
    assert (tally.n, tally.reason.startswith("not JSON")) == (5, True)
    counted(stream, *[None] * 3, first=100)
    assert dict(stream.dead_tallies.values_list("reason", "n"))["no value: the message is null"] == 2
    assert Alert.objects.get(rule=dead_room.ALERT).subject == stream.name
    viewer = signed_in(make_user("vic", "viewer"))
    page = viewer.get(f"/streams/{stream.name}/dead-letters").content.decode()
    assert "Not every dead letter is kept" in page
    shown = viewer.get(f"/api/v1/streams/{stream.name}").json()["dead_tallies"]
    assert sorted(one["n"] for one in shown) == [2, 5]


@pytest.mark.parametrize(("rule", "n_kept"), [(None, 3), (RULE, 5)])
def test_letters_of_events_are_kept_where_a_rule_asks_for_them(rule, n_kept):
    stream = make_stream(definition={"anomaly_rule": rule} if rule else {})
    counted(stream, *[trip(time.time() + 10**6)] * 5)
    assert stream.dead_letters.count() == n_kept


def test_there_is_room_again_once_old_letters_are_gone(monkeypatch):
    stream = make_stream()
    one = counted(stream, *[None] * 5)
    stream.dead_letters.all().delete()
    monkeypatch.setattr(dead_room, "LOOKS_EVERY_S", 0.0)
    one.handle(messages(None, first=10))
    one.save()
    assert stream.dead_letters.count() == 1


def test_a_look_that_fails_counts_nothing_twice(monkeypatch):
    stream = make_stream()
    one = counted(stream, *[None] * 5)
    monkeypatch.setattr(dead_room, "LOOKS_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(dead_room.Room, "_look", fails)
        with pytest.raises(OperationalError):
            one.handle(messages(trip(time.time()), None, first=5))
    one.handle(messages(trip(time.time()), None, first=5))
    one.save()
    assert sum(stream.windows.values_list("count", flat=True)) == one.n_counted == 1
    assert stream.dead_letters.count() == 3


def fails(_room):
    raise OperationalError("canceling statement due to statement timeout")


def test_it_is_told_again_after_an_hour_and_at_once_of_another_reason():
    stream = make_stream()
    counted(stream, *[None] * 5)
    alert = Alert.objects.get(rule=dead_room.ALERT)
    counted(stream, *[None] * 5, first=5)
    assert alert.n_findings == n_findings() == 1
    counted(stream, *[b"x"] * 5, first=10)
    assert n_findings() == 2
    then = timezone.now() - timedelta(minutes=61)
    Alert.objects.update(first_found_at=then, last_found_at=then)
    counted(stream, None, first=15)
    assert n_findings() == 3


def n_findings() -> int:
    return Alert.objects.get(rule=dead_room.ALERT).n_findings


def test_old_tallies_go():
    stream = make_stream()
    counted(stream, *[None] * 5)
    tasks.clear_old()
    assert stream.dead_tallies.count() == 1
    stream.dead_tallies.update(last_at=timezone.now() - timedelta(days=31))
    tasks.clear_old()
    assert stream.dead_tallies.count() == 0


def test_numbers_are_no_part_of_a_reason():
    assert dead_room.kind("too large: 300,000 bytes, at most 262,144 are read") == (
        "too large: … bytes, at most … are read"
    )
    assert dead_room.kind("f1: Expected `float`") == "f1: Expected `float`"
    assert dead_room.kind("Invalid enum value 'o'hara 7' - at `$.f1`") == "Invalid enum value … - at `$.f1`"
