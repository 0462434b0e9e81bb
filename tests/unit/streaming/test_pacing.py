"""A replay with odd event times: they are their own fault, and the others keep their distances."""

import json
from datetime import UTC, datetime

import pytest

from streaming import replaying
from streaming.models import Replay, Times
from streaming.pacing import Pace, numbered
from streaming.replay_files import BadLine, Event
from streaming.replaying import Slice

DAY = 86_400.0
NOW = 1_700_000_000.0
MIDNIGHT = datetime(2019, 1, 1, tzinfo=UTC).timestamp()


def odd_ones(*times):
    """By number, of events that lie at these seconds; None is a bad line."""
    contents = [BadLine("x") if at is None else Event(at, "", {}) for at in times]
    return [line.number for line in numbered(contents, 0) if line.is_odd]


def test_the_first_of_a_file_is_odd_when_it_is_far_from_those_that_follow():
    assert odd_ones(-10 * DAY, *range(5)) == [0]
    assert odd_ones(None, 80 * 365 * DAY, None, *range(5)) == [1]


def test_one_among_others_is_odd_when_it_is_far_from_all_of_them():
    assert odd_ones(*range(20), 80 * 365 * DAY, -10 * DAY, *range(20, 40)) == [20, 21]
    assert odd_ones(*range(20), 80 * 365 * DAY) == [20]


def test_behind_a_gap_and_where_order_is_lost_within_a_day_none_is_odd():
    assert odd_ones(*range(20), *(3 * DAY + n for n in range(20))) == []
    assert odd_ones(*range(11), *(3 * DAY + n for n in range(120))) == []
    assert odd_ones(7_200, 0, 80_000, 3_600, 80_000, 0) == []
    assert odd_ones(5.0) == odd_ones() == odd_ones(None) == []


@pytest.mark.parametrize("step", [3_600, 3 * 3_600, DAY, 7 * DAY, 365 * DAY])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 52])
def test_where_events_are_rare_none_is_odd_for_that(step, n):
    assert odd_ones(*(step * one for one in range(n))) == []
    assert odd_ones(*(step * one for one in range(n)), *(step * one for one in range(n))) == []


def test_where_events_are_rare_those_of_other_years_are_odd_wherever_they_stand():
    weeks = [7 * DAY * n for n in range(50)]
    assert odd_ones(-40 * 365 * DAY, *weeks) == [0]
    assert odd_ones(*weeks[:30], 40 * 365 * DAY, -16 * 365 * DAY, *weeks[30:]) == [30, 31]
    assert odd_ones(*weeks, 40 * 365 * DAY, 41 * 365 * DAY, -16 * 365 * DAY) == [50, 51, 52]


def test_rides_of_one_cab_are_not_odd_for_its_days_off():
    days = (0, 1, 4, 5, 6, 11, 12, 30, 31, 32, 33, 38)
    assert odd_ones(*(day * DAY + ride * 3_000 for day in days for ride in range(5))) == []


def test_where_a_second_file_follows_in_the_first_none_is_odd():
    assert odd_ones(*range(30 * 86_400, 30 * 86_400 + 90), *range(90)) == []


def test_numbers_go_on_where_the_slice_before_ended():
    assert [line.number for line in numbered([BadLine("x")] * 3, 7)] == [7, 8, 9]


def test_by_rate_lines_are_due_one_by_one_whatever_their_times():
    pace = Pace(NOW, rate=2.0, speed=None, shift_s=None)
    lines = numbered([Event(9.0, "", {}), BadLine("x"), Event(-DAY, "", {})], 5)
    assert [pace.due_at(line) - NOW for line in lines] == [0.0, 0.5, 1.0]


def test_by_speed_event_time_is_stretched_and_odd_ones_are_due_at_once():
    pace = Pace(NOW, rate=None, speed=4.0, shift_s=None)
    times = [0.0, 80 * 365 * DAY, 8.0, -10 * DAY, 4.0, *range(10, 30)]
    due = [pace.due_at(line) - NOW for line in numbered([Event(at, "", {}) for at in times], 0)]
    assert due[:6] == [0.0, 0.0, 2.0, 0.0, 1.0, 2.5]


class Clock:
    """Goes on only while somebody sleeps."""

    def __init__(self):
        self.at = NOW

    def __call__(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds


@pytest.fixture
def replayed(broker, tmp_path, monkeypatch):
    """Replays rides at these seconds after midnight; returns for each its event time and when it was sent.

    Both in seconds after the start.
    """
    clock = Clock()
    monkeypatch.setattr(replaying.time, "sleep", clock.sleep)
    moments = []
    send = replaying.Sender.send

    def sent(sender, batch, *, next_number):
        moments.extend([clock.at - NOW] * len(batch))
        return send(sender, batch, next_number=next_number)

    monkeypatch.setattr(replaying.Sender, "send", sent)

    def run(seconds, **how):
        path = tmp_path / "rides.txt"
        text = [datetime.fromtimestamp(MIDNIGHT + at, UTC).strftime("%Y-%m-%d %H:%M:%S") for at in seconds]
        path.write_text("".join(f"{n},{at},START,-73.86,40.77,6,-1\n" for n, at in enumerate(text)))
        replay = Replay.objects.create(source="rides.txt", topic="rides", state="running", **how)
        while Slice(replay, path, clock=clock).run():
            pass
        told = [json.loads(one.value)["event_time"] for one in broker.read("rides")]
        at = [datetime.fromisoformat(one).replace(tzinfo=UTC).timestamp() - NOW for one in told]
        return list(zip(at, moments, strict=True))

    return run


@pytest.mark.django_db
def test_an_odd_first_time_moves_no_other(replayed):
    odd, *others = replayed([-11 * DAY, *range(150)], speed=1.0)
    assert odd == (-11 * DAY, 0.0)
    assert [at for at, _ in others] == list(range(150))
    assert all(0 <= sent - at < 0.2 for at, sent in others)


@pytest.mark.django_db
def test_odd_times_in_the_middle_hold_up_no_other_and_rush_none(replayed):
    times = [*range(90), 70 * 365 * DAY, -18 * 365 * DAY, *range(90, 150)]
    found = replayed(times, speed=1.0)
    assert [at for at, _ in found] == times
    others = found[:90] + found[92:]
    assert all(0 <= sent - at < 0.2 for at, sent in others)


@pytest.mark.django_db
def test_sent_quicker_than_life_the_pace_is_kept_around_odd_times(replayed):
    found = replayed([*range(0, 900, 10), 70 * 365 * DAY, *range(900, 1200, 10)], speed=10.0)
    moments = [sent for _, sent in found[:90] + found[91:]]
    assert all(abs(sent - n) < 2.5 for n, sent in enumerate(moments))  # a slice begins with its first line


@pytest.mark.django_db
@pytest.mark.parametrize(("speed", "times"), [(1.0, Times.AUTO), (0.5, Times.MOVED)])
def test_behind_a_gap_none_is_sent_before_its_moved_time(replayed, speed, times):
    found = replayed([*range(20), *range(600, 620)], speed=speed, times=times)
    assert [at for at, _ in found] == [*range(20), *range(600, 620)]
    assert all(sent >= at for at, sent in found)


@pytest.mark.django_db
def test_events_a_week_apart_keep_their_distances(replayed):
    week = 7 * DAY
    found = replayed([n * week for n in range(8)], speed=DAY, times=Times.MOVED)
    assert [at for at, _ in found] == [n * week for n in range(8)]
    assert all(0 <= sent - n * 7 < 0.2 for n, (_, sent) in enumerate(found))


@pytest.mark.django_db
def test_odd_times_are_told_by_what_was_sent_before_the_slice(replayed):
    found = replayed([*range(62), 2 * DAY, 4 * DAY], speed=1.0)
    assert all(sent < 62 for _, sent in found)
