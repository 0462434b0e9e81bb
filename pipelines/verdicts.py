"""What a rule finds at a pipeline: now, and what it would have found of late. No database.

Times come from Airflow and may be missing or lie in the future: such a one is taken for not known, and a run
of which no time is known is passed over.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipelines.states import ENDED_WELL_OR_NOT, NOT_BEGUN, TIMED

FAILED, SLOW, NO_SUCCESS, NOT_STARTED = "failed", "slow", "no-success", "not-started"
KINDS: Final = (FAILED, SLOW, NO_SUCCESS, NOT_STARTED)
WITHOUT_LIMIT: Final = frozenset({FAILED})
OF_THE_SWITCHED_ON: Final = frozenset({NO_SUCCESS, NOT_STARTED})  # a paused pipeline cannot break these
SCHEDULED: Final = "scheduled"
SKEW: Final = timedelta(minutes=5)  # between Airflow's clock and ours
BRIEFLY: Final = timedelta(minutes=5)  # Airflow lists no pipeline while it reads its file anew


@dataclass(frozen=True)
class Past:
    """A run, as far as rules look at it."""

    pk: int
    dag_run_id: str
    state: str
    run_type: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    run_after: datetime | None = None
    queued_at: datetime | None = None  # anew when the run is cleared


@dataclass(frozen=True)
class Watched:
    """A pipeline: its latest runs that ended and all that are under way, in any order.

    awake_at: since when it is known and not paused. next_run_at: when Airflow means to start the next run.
    gone_at: since when Airflow does not list it; the other times are the last that it told. made_good: the
    keys of runs that failed and that a later success makes good.
    """

    dag_id: str
    is_paused: bool = False
    awake_at: datetime | None = None
    next_run_at: datetime | None = None
    last_success_at: datetime | None = None
    ended: Sequence[Past] = ()
    under_way: Sequence[Past] = ()
    gone_at: datetime | None = None
    made_good: frozenset[int] = frozenset()

    def is_gone(self, now: datetime) -> bool:
        """Whether Airflow has it no more, and not only for the moment in which it reads its file."""
        return self.gone_at is not None and self.gone_at + BRIEFLY <= now


@dataclass(frozen=True)
class Finding:
    """at: since when the rule is broken, never later than now. seconds: what is held against the limit."""

    at: datetime
    run: Past | None = None
    seconds: float | None = None


def find(kind: str, watched: Watched, *, limit: timedelta, since: datetime, now: datetime) -> Finding | None:
    """What breaks the rule at this moment; None while nothing does.

    since: from when on the rule judges. Runs that ended badly before are history.
    """
    if kind == NO_SUCCESS:
        return _no_success(watched, limit, since, now)
    if kind == NOT_STARTED:
        return _not_started(watched, limit, now)
    if kind == FAILED:
        last = _latest(watched.ended, ENDED_WELL_OR_NOT, now)
        found = _failed(last, now) if last else None
    else:
        found = _slow(watched, limit, now)
    is_history = found is not None and _is_over(found) and _end(found.run, now) < since
    return None if is_history else found


def _is_over(found: Finding) -> bool:
    return found.run is not None and found.run.state in TIMED


def _possible(at: datetime | None, now: datetime) -> datetime | None:
    """By Airflow's clock, which may be ahead; None for a time that cannot be."""
    return None if at is None or at > now + SKEW else at


def _known(at: datetime | None, now: datetime) -> datetime | None:
    """Up to now; None for a time that cannot be."""
    possible = _possible(at, now)
    return min(possible, now) if possible else None


def told_end(run: Past | None, now: datetime) -> datetime:
    """When it ended by Airflow's clock, which may be ahead: it stays the same, as `Finding.at` does not."""
    at = run and (_possible(run.ended_at, now) or _possible(run.created_at, now))
    return at or datetime.min.replace(tzinfo=now.tzinfo)


def _end(run: Past | None, now: datetime) -> datetime:
    return min(told_end(run, now), now)


def _has_end(run: Past, now: datetime) -> bool:
    return bool(_possible(run.ended_at, now) or _possible(run.created_at, now))


def _in_order(runs: Iterable[Past], states: Sequence[str], now: datetime) -> list[Past]:
    """Those in one of the states, by their end."""
    found = [run for run in runs if run.state in states and _has_end(run, now)]
    return sorted(found, key=lambda run: (told_end(run, now), run.pk))


def _latest(runs: Iterable[Past], states: Sequence[str], now: datetime) -> Past | None:
    found = _in_order(runs, states, now)
    return found[-1] if found else None


def _failed(run: Past, now: datetime) -> Finding | None:
    return Finding(_end(run, now), run) if run.state == "failed" else None


def _slow(watched: Watched, limit: timedelta, now: datetime) -> Finding | None:
    """What runs for too long, the latest to cross the limit; else the last that ended, if it took longer."""
    begun = [run for run in watched.under_way if run.state not in NOT_BEGUN]
    running = [found for run in begun if (found := _too_long(run, limit, now))]
    if running:
        return max(running, key=lambda found: found.at)
    timed = [run for run in watched.ended if _known(run.started_at, now) and _known(run.ended_at, now)]
    last = _latest(timed, TIMED, now)
    return _too_long(last, limit, now) if last else None


def _too_long(run: Past, limit: timedelta, now: datetime) -> Finding | None:
    started_at = _known(run.started_at, now)
    if started_at is None:
        return None
    until = _known(run.ended_at, now) if run.state in TIMED else now
    took = (until or now) - started_at
    return Finding(started_at + limit, run, took.total_seconds()) if took > limit else None


def _no_success(watched: Watched, limit: timedelta, since: datetime, now: datetime) -> Finding | None:
    if watched.is_paused:
        return None
    last = _known(watched.last_success_at, now)
    known = [at for at in (last or since, _known(watched.awake_at, now)) if at is not None]
    deadline = max(known) + limit
    seconds = (now - (last or max(known))).total_seconds()
    return Finding(deadline, None, seconds) if deadline <= now else None


def _not_started(watched: Watched, limit: timedelta, now: datetime) -> Finding | None:
    """What Airflow means to start and has not, or has queued and not begun; the latest to be late."""
    if watched.is_paused:
        return None
    expected: list[tuple[datetime, Past | None]] = []
    if watched.next_run_at is not None and not _is_made(watched, watched.next_run_at):
        expected.append((watched.next_run_at, None))
    waiting = [run for run in watched.under_way if run.run_type == SCHEDULED and run.started_at is None]
    expected += [(at, run) for run in waiting if (at := _expected(run, now))]
    awake_at = _known(watched.awake_at, now)
    late = []
    for at, run in expected:
        from_then = max(at, awake_at) if awake_at else at
        if from_then + limit <= now:
            late.append(Finding(from_then + limit, run, (now - from_then).total_seconds()))
    return max(late, key=lambda found: found.at) if late else _never_starts(watched, limit, now)


def _never_starts(watched: Watched, limit: timedelta, now: datetime) -> Finding | None:
    """Whether anything was planned or not: of a pipeline that is gone nothing begins any more."""
    gone_at = watched.gone_at
    if gone_at is None or not watched.is_gone(now) or gone_at + limit > now:
        return None
    return Finding(gone_at + limit, None, (now - gone_at).total_seconds())


def _is_made(watched: Watched, at: datetime) -> bool:
    """Whether the run of that time is known: what Airflow means to do next was read before it."""
    runs = [run for run in (*watched.under_way, *watched.ended) if run.run_type == SCHEDULED]
    return any(run.created_at is not None and run.created_at >= at for run in runs)


def _expected(run: Past, now: datetime) -> datetime | None:
    """When it could begin: of a run that was cleared it is the latest time that it was queued."""
    times = [at for one in (run.run_after, run.queued_at) if (at := _known(one, now))]
    return max(times) if times else _known(run.created_at, now)


def has_begun(watched: Watched, *, expected_at: datetime, now: datetime) -> bool:
    """Whether a scheduled run began since then."""
    runs = [run for run in (*watched.under_way, *watched.ended) if run.run_type == SCHEDULED]
    return any(at >= expected_at for run in runs if (at := _known(run.started_at, now)))


def failures(watched: Watched, *, since: datetime, now: datetime) -> list[Finding]:
    """What failed since then, by its end, whatever ended after it."""
    failed = [Finding(_end(run, now), run) for run in _in_order(watched.ended, ("failed",), now)]
    return [one for one in failed if one.at >= since]


def has_unmended(watched: Watched, *, since: datetime, until: datetime, now: datetime) -> bool:
    """Whether nothing made good yet what failed in that time, which ends by Airflow's clock."""
    failed = [one for one in failures(watched, since=since, now=now) if told_end(one.run, now) <= until]
    return any(one.run is not None and one.run.pk not in watched.made_good for one in failed)


def has_succeeded(watched: Watched, *, since: datetime, until: datetime, now: datetime) -> bool:
    """Whether any run succeeded in that time, by Airflow's clock."""
    return any(since < told_end(run, now) < until for run in _in_order(watched.ended, ("success",), now))


# --- what it would have found


def earlier(
    kind: str, runs: Sequence[Past], *, limit: timedelta, since: datetime, now: datetime
) -> list[Finding]:
    """Each time the rule would have raised an alert after `since`, oldest first.

    runs: of one pipeline, those after `since` and some before. Whether it was paused is not known, nor when
    Airflow meant to start a run that it started late: of those only what waited in the queue shows.
    """
    found = _EARLIER[kind](runs, limit, now)
    return [one for one in found if one.at >= since]


def _earlier_failed(runs: Sequence[Past], _limit: timedelta, now: datetime) -> list[Finding]:
    ended = _in_order(runs, ENDED_WELL_OR_NOT, now)
    return _openings([_failed(run, now) for run in ended])


def _earlier_slow(runs: Sequence[Past], limit: timedelta, now: datetime) -> list[Finding]:
    timed = [run for run in runs if _known(run.started_at, now) and _known(run.ended_at, now)]
    ended = [_too_long(run, limit, now) for run in _in_order(timed, TIMED, now)]
    begun = [run for run in runs if run.ended_at is None and run.state not in (*TIMED, *NOT_BEGUN)]
    running = [_too_long(run, limit, now) for run in begun]
    return _openings([*ended, *running])


def _earlier_no_success(runs: Sequence[Past], limit: timedelta, now: datetime) -> list[Finding]:
    ends = [_end(run, now) for run in _in_order(runs, ("success",), now)]
    gaps = zip(ends, [*ends[1:], now], strict=False)
    return [Finding(at + limit, None, (then - at).total_seconds()) for at, then in gaps if then - at > limit]


def _earlier_not_started(runs: Sequence[Past], limit: timedelta, now: datetime) -> list[Finding]:
    late = []
    for run in runs:
        at = _expected(run, now)
        begun_at = _known(run.started_at, now) or (None if run.ended_at else now)
        if run.run_type == SCHEDULED and at and begun_at and begun_at - at > limit:
            late.append(Finding(at + limit, run, (begun_at - at).total_seconds()))
    return sorted(late, key=lambda found: found.at)


def _openings(findings: Sequence[Finding | None]) -> list[Finding]:
    """Those before which all was well: the alert of the others was open already."""
    before: list[Finding | None] = [None, *findings]
    return [found for was, found in zip(before, findings, strict=False) if found and was is None]


_EARLIER: Final[dict[str, Callable[[Sequence[Past], timedelta, datetime], list[Finding]]]] = {
    FAILED: _earlier_failed,
    SLOW: _earlier_slow,
    NO_SUCCESS: _earlier_no_success,
    NOT_STARTED: _earlier_not_started,
}
