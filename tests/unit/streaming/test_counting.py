"""Counting a batch: windows, offsets and dead letters, without a broker."""

import json

import pytest

from streaming import counting as counting_module
from streaming.counting import Counting
from streaming.ledger import Overtaken
from tests.unit.streaming.events import FakeMessage, make_stream, messages, trip

pytestmark = pytest.mark.django_db

NOW = 1_700_000_005.0  # five seconds into a window of ten


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(counting_module.time, "time", lambda: NOW)


@pytest.fixture
def stream():
    return make_stream()


def counted(stream, *batches):
    one = Counting(stream)
    one.reached_end(0, 0)
    for batch in batches:
        one.handle(batch)
    one.save()
    return one


def reason_of(stream, bad, **message):
    counted(stream, messages(trip(NOW)), [FakeMessage(bad, 1, **message)])
    letter = stream.dead_letters.get()
    assert (letter.partition, letter.offset) == (0, 1)
    assert stream.windows.get().count == 1
    return letter.reason


def test_measures_by_window_and_group(stream):
    counted(
        stream,
        messages(
            trip(NOW - 7, fare_amount=3.0, trip_distance=1.0),
            trip(NOW, fare_amount=10.0, tip_amount=1.0, trip_distance=2.0),
            trip(NOW + 1, fare_amount=5.5, tip_amount=0.25, trip_distance=4.0),
            trip(NOW, vendor_id="1", fare_amount=7.0, tip_amount=0.0, trip_distance=9.0),
        ),
    )
    rows = list(stream.windows.order_by("start", "group").values_list("start", "group", "count", "measures"))
    assert [(int(start.timestamp() - NOW), group, count) for start, group, count, _ in rows] == [
        (-15, "2", 1),
        (-5, "1", 1),
        (-5, "2", 2),
    ]
    assert rows[2][3] == {"fare_amount": 15.5, "tip_amount": 1.25, "trip_distance": 3.0}
    assert stream.offsets.get().next_offset == 4


def test_batches_in_a_window_add_up_across_restarts(stream):
    counted(stream, messages(trip(NOW)))
    counted(stream, messages(trip(NOW, fare_amount=1.0), first=1), messages(trip(NOW), first=2))
    window = stream.windows.get()
    assert window.count == 3
    assert window.measures["fare_amount"] == 21.0
    assert stream.offsets.get().next_offset == 3


def test_a_window_that_memory_forgot_is_added_to(stream):
    one = counted(stream, messages(trip(NOW)))
    one.windows.cells.clear()
    one.handle(messages(trip(NOW), first=1))
    one.save()
    assert stream.windows.get().count == 2


def test_whole_numbers_and_text_make_one_group(stream):
    counted(stream, messages(trip(NOW, vendor_id=2), trip(NOW, vendor_id="2")))
    assert stream.windows.get().count == 2


def test_means_pass_over_null(stream):
    definition = {"measures": [{"name": "people", "kind": "mean", "field": "passenger_count"}]}
    other = make_stream("people", definition=definition)
    counted(other, messages(trip(NOW, passenger_count=None), trip(NOW, passenger_count=4)))
    assert other.windows.get().measures == {"people": 4.0}
    alone = make_stream("alone", definition=definition)
    counted(alone, messages(trip(NOW, passenger_count=None)))
    assert alone.windows.get().measures == {"people": None}
    counted(alone, messages(trip(NOW, passenger_count=2), first=1))
    assert alone.windows.get().measures == {"people": 2.0}


def test_no_group_is_one_window_for_all(stream):
    all_ = make_stream("all", definition={"group_by": ""})
    counted(all_, messages(trip(NOW), trip(NOW, vendor_id="1")))
    assert all_.windows.get().group == ""


def test_more_groups_than_allowed_are_counted_together(stream):
    counted(stream, messages(*(trip(NOW, vendor_id=str(n)) for n in range(510))))
    assert stream.windows.count() == 501
    assert stream.windows.get(group="(others)").count == 10


def test_not_json_is_a_dead_letter(stream):
    assert reason_of(stream, b"\xff\xfe not json").startswith("not JSON")


def test_half_a_message_is_a_dead_letter(stream):
    assert reason_of(stream, json.dumps(trip(NOW)).encode()[:-5]).startswith("not JSON")


def test_a_missing_field_is_a_dead_letter(stream):
    event = trip(NOW)
    del event["fare_amount"]
    assert reason_of(stream, json.dumps(event).encode()) == "Object missing required field `fare_amount`"


def test_a_wrong_type_is_a_dead_letter_that_names_the_field(stream):
    bad = json.dumps(trip(NOW, fare_amount="ten")).encode()
    assert reason_of(stream, bad) == "fare_amount: Expected `float`, got `str`"


def test_a_list_is_a_dead_letter(stream):
    assert reason_of(stream, b"[1, 2]") == "Expected `object`, got `array`"


def test_a_text_that_is_no_time_is_a_dead_letter(stream):
    bad = json.dumps(trip(NOW, pickup_datetime="yesterday")).encode()
    assert reason_of(stream, bad).startswith("the event time is not like")


@pytest.mark.parametrize(
    "text",
    [
        f"{NOW}",
        "2023-11-14 22:13:25+00",
        "2023-11-15T03:43:25.000+05:30",
        "2023-11-14T22:13:25,0Z",
        "20231114T221325Z",
        "2023-11-14T22:13Z",  # 25 s earlier
    ],
)
def test_times_as_writers_of_logs_and_databases_tell_them_are_read(stream, text):
    counted(stream, messages(trip(NOW, pickup_datetime=text)))
    seconds = stream.offsets.get().newest_event_at.timestamp()
    assert seconds == (NOW - 25 if text.endswith("13Z") else NOW)
    assert not stream.dead_letters.exists()


@pytest.mark.parametrize(
    "text", ["2023-11-14", "2023-11-14x22:13:25", "1e9", "1700000005.", "2023-11-14T25:00Z"]
)
def test_half_a_time_is_a_dead_letter(stream, text):
    bad = json.dumps(trip(NOW, pickup_datetime=text)).encode()
    assert reason_of(stream, bad).startswith("the event time is not like")


def test_the_year_1970_is_a_dead_letter(stream):
    bad = json.dumps(trip(NOW, pickup_datetime="1970-01-01 00:00:00")).encode()
    assert reason_of(stream, bad) == "event time before the year 2000"


def test_the_year_2200_is_a_dead_letter(stream):
    bad = json.dumps(trip(NOW, pickup_datetime="2200-01-01 00:00:00")).encode()
    assert reason_of(stream, bad).startswith("ahead of the clock by")


def test_a_megabyte_is_a_dead_letter_with_its_bytes(stream):
    bad = json.dumps(trip(NOW, vendor_id="x" * 1_000_000)).encode()
    assert reason_of(stream, bad).startswith("too large: 1\u202f000\u202f")
    assert bytes(stream.dead_letters.get().payload) == bad


def test_null_is_a_dead_letter(stream):
    assert reason_of(stream, None) == "no value: the message is null"
    assert stream.dead_letters.get().is_null


def test_a_null_key_is_no_fault(stream):
    counted(stream, [FakeMessage(json.dumps(trip(NOW)).encode(), 0, key=None)])
    assert stream.windows.get().count == 1


def test_nul_and_lone_halves_of_characters_are_stored_or_refused(stream):
    counted(stream, messages(trip(NOW, vendor_id="a\x00b"), json.dumps({"x": "\ud800"}).encode(), b"\x00{"))
    assert stream.windows.get().group == "a\N{REPLACEMENT CHARACTER}b"
    assert stream.dead_letters.count() == 2


def test_an_event_at_the_edge_of_the_lateness_counts_and_one_beyond_does_not(stream):
    counted(stream, messages(trip(NOW), trip(NOW - 60), trip(NOW - 61)))
    assert sum(stream.windows.values_list("count", flat=True)) == 2
    letter = stream.dead_letters.get()
    assert letter.offset == 2
    assert letter.reason.startswith("late: 61 s behind the newest event")


def test_an_event_ahead_of_the_clock_makes_none_late(stream):
    counted(stream, messages(trip(NOW), trip(NOW + 301), trip(NOW + 300), trip(NOW + 240)))
    assert [letter.offset for letter in stream.dead_letters.all()] == [1]


def test_a_sender_whose_clock_is_ahead_makes_nobody_late(stream):
    counted(stream, messages(trip(NOW + 290), trip(NOW + 1), trip(NOW - 60), trip(NOW + 290), trip(NOW - 61)))
    counted(stream, messages(trip(NOW), trip(NOW - 61), first=5))  # after a restart
    assert sum(stream.windows.values_list("count", flat=True)) == 5
    letters = stream.dead_letters.order_by("offset").values_list("offset", "reason")
    late = "late: 61 s behind the clock, at most 60 s are allowed"
    assert list(letters) == [(4, late), (6, late)]
    assert stream.offsets.get().newest_event_at.timestamp() == NOW + 290


def test_partitions_that_were_not_read_to_their_end_know_clocks_that_are_ahead_as_well(stream):
    one = Counting(stream)
    one.handle(messages(trip(NOW + 290), trip(NOW - 60), trip(NOW - 61)))
    one.handle(messages(trip(NOW - 60), first=3))
    one.save()
    assert [letter.offset for letter in stream.dead_letters.all()] == [2]


def test_partitions_read_one_after_the_other_are_not_late(stream):
    one = Counting(stream)
    one.handle(messages(trip(NOW - 3600), trip(NOW), partition=0))
    one.handle(messages(trip(NOW - 3600), trip(NOW - 3000), trip(NOW - 3600), partition=1))
    one.save()
    assert sum(stream.windows.values_list("count", flat=True)) == 4
    assert [(letter.partition, letter.offset) for letter in stream.dead_letters.all()] == [(1, 2)]


def test_messages_for_others_are_neither_counted_nor_dead():
    stream = make_stream(definition={"ignore": {"kind": "unanswered"}})
    counted(stream, messages({"kind": "unanswered", "ids": []}, {"kind": "else"}))
    assert [letter.offset for letter in stream.dead_letters.all()] == [1]
    assert stream.offsets.get().next_offset == 2


def test_two_processes_count_nothing_twice(stream):
    first, second = Counting(stream), Counting(stream)
    for one in (first, second):
        one.handle(messages(trip(NOW)))
    first.save()
    with pytest.raises(Overtaken):
        second.save()
    assert stream.windows.get().count == 1


def test_a_changed_definition_throws_away_what_was_not_written(stream):
    one = Counting(stream)
    one.handle(messages(trip(NOW)))
    type(stream).objects.update(revision=2)
    with pytest.raises(Overtaken):
        one.save()
    assert not stream.windows.exists()
    assert not stream.offsets.exists()


def test_windows_and_dead_letters_equal_what_was_produced(stream):
    """Ten thousand messages, every seventh broken in some way, in batches of odd sizes with restarts."""
    broken = [b"{", None, json.dumps(trip(NOW, fare_amount=None)).encode(), json.dumps(trip(9.0)).encode()]
    events = [
        broken[n % 4] if n % 7 == 0 else trip(NOW - n % 50, vendor_id=str(n % 3)) for n in range(10_000)
    ]
    all_messages = messages(*events)
    for at in range(0, 10_000, 999):
        counted(stream, all_messages[at : at + 999])
    n_dead = stream.dead_letters.count()
    assert n_dead == 1429
    assert sum(stream.windows.values_list("count", flat=True)) + n_dead == 10_000
    fares = sum(measures["fare_amount"] for measures in stream.windows.values_list("measures", flat=True))
    assert fares == 10.0 * (10_000 - n_dead)


def lines(*events) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def test_each_line_of_a_message_is_an_event(stream):
    one = counted(stream, messages(trip(NOW), lines(trip(NOW), trip(NOW), trip(NOW)), trip(NOW)))
    assert (stream.windows.get().count, one.n_counted) == (5, 5)
    assert not stream.dead_letters.exists()
    assert one.positions[0].next_offset == 3


def test_lines_that_do_not_fit_are_one_letter_and_the_others_are_counted(stream):
    """The letter can be sent again: it holds no line that was counted."""
    content = lines(trip(NOW), {"a": 1}, trip(NOW), trip(NOW + 4000))
    counted(stream, messages(trip(NOW), content, trip(NOW)))
    letter = stream.dead_letters.get()
    assert stream.windows.get().count == 4
    assert (letter.partition, letter.offset) == (0, 1)
    assert bytes(letter.payload) == lines({"a": 1}, trip(NOW + 4000))
    assert "missing required field" in letter.reason


def test_lines_that_are_meant_for_others_are_passed_over():
    stream = make_stream(definition={"ignore": {"kind": "x"}})
    one = counted(stream, messages(lines({"kind": "x"}, trip(NOW)), lines({"kind": "x"}, {"kind": "x"})))
    assert (one.n_counted, one.positions[0].next_offset) == (1, 2)
    assert not stream.dead_letters.exists()


def test_more_lines_than_anybody_sends_are_one_bad_message(stream):
    assert "not JSON" in reason_of(stream, lines(*[{}] * 1001))
