"""Windows that memory lets go because there are too many: met again they are what they would have been."""

import random

import pytest

from streaming import counting as counting_module
from streaming import ledger, windows
from streaming.counting import Counting
from tests.unit.streaming.events import make_stream, messages, trip

pytestmark = pytest.mark.django_db

NOW = 1_700_000_005.0  # five seconds into a window of ten
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(counting_module.time, "time", lambda: NOW)


@pytest.fixture
def stream():
    return make_stream(definition={"lateness_s": DAY_S})


def count(stream, *batches):
    one = Counting(stream)
    one.reached_end(0, max(0, one.positions[0].next_offset if one.positions else 0))
    for batch in batches:
        one.handle(batch)
        one.save()
    return one


def numbers(stream):
    return {
        (row.start, row.group): (row.count, row.measures, row.stats)
        for row in stream.windows.order_by("start", "group")
    }


def test_long_lateness_fills_no_memory(stream, monkeypatch):
    monkeypatch.setattr(windows, "MOST_CELLS", 100)
    one = Counting(stream)
    for n in range(200):  # a window each time, of three groups
        at = NOW - 10 * (199 - n)
        one.handle(messages(*(trip(at, vendor_id=str(group)) for group in range(3)), first=3 * n))
        one.save()
    assert len(one.windows.cells) <= 100
    assert stream.windows.count() == 600


def test_few_windows_stay_in_memory_as_long_as_they_may_change(stream):
    one = count(stream, *(messages(trip(NOW - 10 * (99 - n)), first=n) for n in range(100)))
    assert len(one.windows.cells) == 100


def test_after_a_restart_only_what_is_shown_is_in_memory(stream):
    count(stream, *(messages(trip(NOW - 10 * (99 - n)), first=n) for n in range(100)))
    assert len(Counting(stream).windows.cells) == 31


def test_too_many_changed_windows_are_written_at_once(stream, monkeypatch):
    monkeypatch.setattr(counting_module, "MOST_CHANGED", 2)
    one = Counting(stream)
    one.handle(messages(trip(NOW), trip(NOW, vendor_id="3")))
    assert not one.is_full
    one.handle(messages(trip(NOW, vendor_id="4"), first=2))
    assert one.is_full


def test_late_events_in_any_order_are_counted_as_if_nothing_was_forgotten(stream, monkeypatch):
    monkeypatch.setattr(ledger, "STARTS_AT_ONCE", 3)
    dice = random.Random(7)
    events = [
        trip(
            NOW - dice.randrange(20_000),
            vendor_id=str(dice.randrange(4)),
            fare_amount=dice.randrange(40) / 4,  # sums of quarters are exact
            passenger_count=dice.choice([None, 1]),
        )
        for _ in range(900)
    ]
    batches = [messages(*events[first : first + 60], first=first) for first in range(0, 900, 60)]
    count(stream, *batches)
    other = make_stream("other", definition={"lateness_s": DAY_S})
    monkeypatch.setattr(windows, "MOST_CELLS", 0)
    count(other, *batches[:8])
    count(other, *batches[8:])
    assert numbers(other) == numbers(stream)
    assert sum(row[0] for row in numbers(stream).values()) == 900


def test_a_forgotten_window_takes_no_more_groups_than_any_other(stream, monkeypatch):
    monkeypatch.setattr(windows, "MOST_CELLS", 0)
    monkeypatch.setattr(windows, "MAX_GROUPS", 4)
    monkeypatch.setattr(ledger, "MAX_GROUPS", 4)
    old = NOW - 1000
    count(
        stream,
        messages(trip(old, vendor_id="a"), trip(old, vendor_id="b"), trip(old, vendor_id="c"), trip(NOW)),
        messages(*(trip(old, vendor_id=name, fare_amount=1.0) for name in "defgabc"), first=4),
        messages(trip(old, vendor_id="h"), trip(old, vendor_id="a"), trip(NOW), first=11),
    )
    rows = {
        row.group: row.count for row in stream.windows.filter(start__lt=stream.windows.latest("start").start)
    }
    assert rows == {"a": 3, "b": 2, "c": 2, "d": 1, "(others)": 4}
    assert stream.windows.latest("start").count == 2
    others = stream.windows.get(group="(others)")
    assert others.measures["fare_amount"] == 13.0  # e, f and g one each, h ten
