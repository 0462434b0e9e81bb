"""What each kind of rule finds, with times worked by hand. No database."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines import verdicts
from pipelines.verdicts import FAILED, NO_SUCCESS, NOT_STARTED, SLOW, Past, Watched

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LONG_AGO = NOW - timedelta(days=30)


def run(
    pk: int, state: str, *, made: float = 0, begun: float | None = None, ended: float | None = None, **more
):
    """Times in minutes before now; None: not known."""

    def at(minutes):
        return None if minutes is None else NOW - minutes * MINUTE

    given = {"run_type": "scheduled", **more}
    return Past(pk, f"run {pk}", state, given.pop("run_type"), at(made), at(begun), at(ended), **given)


def find(kind, *, limit=HOUR, since=LONG_AGO, **watched):
    return verdicts.find(kind, Watched("etl", **watched), limit=limit, since=since, now=NOW)


# --- failed


def test_the_last_run_to_end_counts():
    failed, good = run(1, "failed", made=60, ended=10), run(2, "success", made=50, ended=40)
    found = find(FAILED, ended=[good, failed])
    assert (found.run, found.at) == (failed, NOW - 10 * MINUTE)  # made earlier, ended later
    assert find(FAILED, ended=[failed, run(3, "success", made=9, ended=8)]) is None


def test_a_run_without_an_end_counts_by_when_it_was_made():
    assert find(FAILED, ended=[run(1, "failed", made=10)]).at == NOW - 10 * MINUTE


@pytest.mark.parametrize("state", ["cancelled", "refused", "lost", "a_new_one"])
def test_other_ends_neither_fail_nor_mend(state):
    assert find(FAILED, ended=[run(1, state, ended=5)]) is None
    assert find(FAILED, ended=[run(1, "failed", ended=9), run(2, state, ended=5)]).run.pk == 1


def test_what_failed_before_the_rule_was_made_is_history():
    assert find(FAILED, ended=[run(1, "failed", ended=10)], since=NOW - 5 * MINUTE) is None
    assert find(FAILED, ended=[run(1, "failed", ended=4)], since=NOW - 5 * MINUTE) is not None


def test_times_that_cannot_be_are_not_known():
    future = -60 * 24
    assert find(FAILED, ended=[run(1, "failed", made=future, ended=future)]) is None
    assert find(FAILED, ended=[run(1, "failed", made=20, ended=future)]).at == NOW - 20 * MINUTE
    # it does not outlast the runs after it
    odd = run(1, "failed", made=20, ended=future)
    assert find(FAILED, ended=[odd, run(2, "success", made=10, ended=5)]) is None


def test_a_clock_a_little_ahead_is_now():
    assert find(FAILED, ended=[run(1, "failed", made=9, ended=-2)]).at == NOW


def test_nothing_at_all_finds_nothing():
    assert find(FAILED) is None
    assert find(SLOW) is None
    assert find(NOT_STARTED) is None


# --- took longer


def test_a_run_that_took_longer():
    found = find(SLOW, ended=[run(1, "success", begun=100, ended=30)])
    assert (found.seconds, found.at) == (70 * 60, NOW - 40 * MINUTE)
    assert find(SLOW, ended=[run(1, "success", begun=90, ended=30)]) is None  # just as long


def test_a_run_that_took_less_ends_it():
    slow = run(1, "success", begun=300, ended=200)
    assert find(SLOW, ended=[slow, run(2, "failed", begun=50, ended=40)]) is None


def test_a_run_under_way_counts_while_it_runs():
    running = run(2, "running", begun=61)
    found = find(SLOW, ended=[run(1, "success", begun=200, ended=190)], under_way=[running])
    assert (found.run, found.at, found.seconds) == (running, NOW - MINUTE, 61 * 60)
    assert find(SLOW, under_way=[run(2, "running", begun=59)]) is None


def test_of_several_the_latest_to_cross_the_limit():
    under_way = [run(1, "running", begun=300), run(2, "running", begun=70), run(3, "running", begun=10)]
    assert find(SLOW, under_way=under_way).run.pk == 2


def test_a_state_of_a_newer_airflow_is_under_way():
    assert find(SLOW, under_way=[run(1, "hibernating", begun=61)]) is not None


@pytest.mark.parametrize(
    "odd",
    [
        run(1, "success", ended=1),
        run(1, "success", begun=200),
        run(1, "success", begun=10, ended=200),  # ended before it began
        run(1, "success", begun=-600, ended=-1),
    ],
)
def test_odd_times_make_no_long_run(odd):
    assert find(SLOW, ended=[odd]) is None


def test_a_start_that_is_not_known_or_to_come_makes_no_long_run():
    assert find(SLOW, under_way=[run(1, "queued"), run(2, "running", begun=-600)]) is None


def test_a_long_run_of_before_the_rule_is_history_unless_it_runs_on():
    ended, running = run(1, "success", begun=300, ended=200), run(2, "running", begun=300)
    since = NOW - 10 * MINUTE
    assert find(SLOW, ended=[ended], since=since) is None
    assert find(SLOW, under_way=[running], since=since) is not None


def test_what_waits_to_run_again_does_not_take_long():
    """Cleared: it may still have the start of before."""
    assert find(SLOW, under_way=[run(1, "queued", begun=300)]) is None
    assert earlier(SLOW, [run(1, "queued", begun=300)]) == []


# --- no success


def test_no_success_for_long():
    found = find(NO_SUCCESS, last_success_at=NOW - 90 * MINUTE)
    assert (found.at, found.seconds) == (NOW - 30 * MINUTE, 90 * 60)
    assert find(NO_SUCCESS, last_success_at=NOW - 59 * MINUTE) is None


def test_without_any_success_it_counts_from_the_rule_or_the_pipeline_on():
    assert find(NO_SUCCESS, since=NOW - 61 * MINUTE).at == NOW - MINUTE
    assert find(NO_SUCCESS, since=NOW - 59 * MINUTE) is None
    assert find(NO_SUCCESS, awake_at=NOW - 10 * MINUTE) is None  # seen only lately


def test_a_pipeline_that_was_paused_for_long_gets_its_time():
    last = NOW - timedelta(days=9)
    assert find(NO_SUCCESS, last_success_at=last, awake_at=NOW - 59 * MINUTE) is None
    assert find(NO_SUCCESS, last_success_at=last, awake_at=NOW - 61 * MINUTE) is not None


def test_a_success_to_come_is_none():
    assert find(NO_SUCCESS, last_success_at=NOW + timedelta(days=1)) is not None


# --- did not start


def test_a_run_that_airflow_meant_to_start():
    assert find(NOT_STARTED, next_run_at=NOW - 61 * MINUTE).at == NOW - MINUTE
    assert find(NOT_STARTED, next_run_at=NOW - 59 * MINUTE) is None
    assert find(NOT_STARTED, next_run_at=NOW + 59 * MINUTE) is None


def test_a_scheduled_run_that_waits_in_the_queue():
    assert find(NOT_STARTED, under_way=[run(1, "queued", made=61)]).run.pk == 1
    assert find(NOT_STARTED, under_way=[run(1, "queued", made=59)]) is None
    assert find(NOT_STARTED, under_way=[run(1, "running", made=61, begun=1)]) is None
    assert find(NOT_STARTED, under_way=[run(1, "queued", made=61, run_type="manual")]) is None


def test_it_goes_by_the_time_after_which_the_run_may_begin():
    later = run(1, "queued", made=90, run_after=NOW - 10 * MINUTE)
    assert find(NOT_STARTED, under_way=[later]) is None


def test_a_pipeline_that_was_just_resumed_gets_its_time():
    late = NOW - timedelta(days=2)
    assert find(NOT_STARTED, next_run_at=late, awake_at=NOW - MINUTE) is None
    assert find(NOT_STARTED, next_run_at=late, awake_at=NOW - 61 * MINUTE) is not None


def test_a_run_that_was_cleared_waits_from_then_on():
    queued = run(1, "queued", made=60 * 24, queued_at=NOW - 5 * MINUTE)
    assert find(NOT_STARTED, under_way=[queued]) is None
    queued = run(1, "queued", made=60 * 24, queued_at=NOW - 61 * MINUTE)
    assert find(NOT_STARTED, under_way=[queued]).at == NOW - MINUTE
    assert earlier(NOT_STARTED, [run(1, "queued", made=60 * 24, queued_at=NOW - 5 * MINUTE)]) == []


def test_a_run_that_is_there_already_is_not_awaited():
    """What Airflow means to do next is read a while after the run itself."""
    late = {"limit": MINUTE, "next_run_at": NOW - 2 * MINUTE}
    assert find(NOT_STARTED, **late) is not None
    running = run(1, "running", made=1.9, begun=1.8)
    assert find(NOT_STARTED, **late, under_way=[running]) is None
    assert find(NOT_STARTED, **late, ended=[run(1, "success", made=1.9, begun=1.8, ended=1)]) is None
    assert find(NOT_STARTED, **late, under_way=[run(1, "running", made=1.9, begun=1, run_type="manual")])
    assert find(NOT_STARTED, **late, ended=[run(1, "success", made=60, ended=59)]) is not None


@pytest.mark.parametrize("kind", [NO_SUCCESS, NOT_STARTED])
def test_a_paused_pipeline_cannot_break_these(kind):
    watched = {"last_success_at": LONG_AGO, "next_run_at": LONG_AGO, "is_paused": True}
    assert find(kind, **watched) is None
    assert find(kind, **{**watched, "is_paused": False}) is not None


def test_a_paused_pipeline_can_fail_and_take_long():
    assert find(FAILED, ended=[run(1, "failed", ended=1)], is_paused=True) is not None
    assert find(SLOW, under_way=[run(1, "running", begun=61)], is_paused=True) is not None


# --- of late


def earlier(kind, runs, *, limit=HOUR, days=7):
    found = verdicts.earlier(kind, runs, limit=limit, since=NOW - timedelta(days=days), now=NOW)
    return [round((NOW - one.at) / MINUTE) for one in found]


def test_failures_after_a_success_would_have_opened():
    states = ["failed", "success", "failed", "failed", "cancelled", "failed", "success", "failed"]
    runs = [run(n, state, ended=100 - 10 * n) for n, state in enumerate(states)]
    assert earlier(FAILED, runs) == [100, 80, 30]


def test_long_runs_after_a_short_one_would_have_opened():
    runs = [
        run(1, "success", begun=900, ended=800),
        run(2, "success", begun=700, ended=600),
        run(3, "success", begun=500, ended=490),
        run(4, "failed", begun=400, ended=300),
        run(5, "success", begun=200, ended=199),
        run(6, "running", begun=70),
    ]
    assert earlier(SLOW, runs) == [840, 340, 10]


def test_gaps_between_successes_would_have_opened():
    ends = [60 * 24 * 9, 300, 250, 100]
    runs = [run(n, "success", ended=end) for n, end in enumerate(ends)]
    assert earlier(NO_SUCCESS, runs) == [190, 40]  # the first gap opened more than 7 days ago


def test_waits_in_the_queue_would_have_opened():
    runs = [
        run(1, "success", made=500, begun=400, ended=300),
        run(2, "success", made=300, begun=290, ended=280),
        run(3, "queued", made=61),
        run(4, "success", made=200, begun=20, ended=10, run_type="manual"),
        run(5, "failed", made=200, ended=10),
    ]
    assert earlier(NOT_STARTED, runs) == [440, 1]


@pytest.mark.parametrize("kind", verdicts.KINDS)
def test_odd_runs_would_have_opened_nothing(kind):
    odd = [Past(1, "a", "?", "?", None, None, None), run(2, "failed", made=-999, begun=-999, ended=-999)]
    assert earlier(kind, odd) == []
