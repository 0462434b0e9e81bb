"""Backfills: what is asked for, what reaches Airflow, once, and what Airflow's answers do to the row."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, Unavailable
from core.lib.models import SetAside
from pipelines import (
    answers,
    backfill_actions,
    backfill_answers,
    backfill_mirror,
    backfill_queries,
    coming,
    sync,
)
from pipelines.backfill_answers import WantedBackfill
from pipelines.backfill_models import Backfill, BackfillState, BackfillWish
from pipelines.backfill_tasks import deliver_backfill
from pipelines.models import Run
from tests.pipeline_rows import make_backfill, make_pipeline, make_run

DAG = "titanic_training"
FIRST, LAST = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def pipeline(db, airflow):
    airflow.add_dag(DAG, is_daily=True)
    return make_pipeline(is_backfillable=True, schedule="0 0 * * *", timezone="UTC", param_list=[])


def want(**values):
    return WantedBackfill(**{"dag_id": DAG, "from_date": FIRST, "to_date": LAST, **values})


def ask(by, **values):
    return backfill_actions.start(want(**values), reason="why", by=by)


def deliver(row):
    Backfill.objects.filter(pk=row.pk, next_attempt_at__isnull=False).update(next_attempt_at=timezone.now())
    deliver_backfill(str(row.pk))
    row.refresh_from_db()
    return row


def faults(by, **values):
    with pytest.raises(InvalidRequest) as refused:
        ask(by, **values)
    assert not Backfill.objects.exists()
    return {fault["field"]: fault["message"] for fault in refused.value.errors}


def test_a_wanted_backfill_is_a_row_and_an_audit_entry_before_airflow_hears_of_it(
    pipeline, scientist, airflow, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        row = ask(scientist, conf={"n": 1}, reprocess_behavior="failed")
    assert (row.state, row.wish, row.conf, row.reason) == ("requested", "start", {"n": 1}, "why")
    assert (sent, airflow.calls) == ([("deliver_backfill", str(row.pk))], [])
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.after["reprocess_behavior"]) == ("backfill.start", "failed")


def test_a_viewer_may_not_ask_and_not_look_ahead(pipeline, viewer):
    with pytest.raises(PermissionDenied):
        ask(viewer)
    with pytest.raises(PermissionDenied):
        backfill_actions.preview(want(), by=viewer)


def test_dates_that_cannot_be_are_told_at_their_field(pipeline, scientist):
    ahead = timezone.now() + timedelta(days=1)
    assert faults(scientist, from_date=LAST, to_date=FIRST) == {
        "to_date": "This is before the first date. Swap the two."
    }
    assert faults(scientist, from_date=ahead, to_date=ahead).keys() == {"from_date"}
    assert faults(scientist, to_date=ahead + timedelta(days=400)).keys() == {"to_date"}


def test_the_last_date_may_be_ahead_and_what_has_not_come_is_not_counted(
    pipeline, scientist, airflow, settings
):
    settings.CONSOLE_BACKFILL_MOST_RUNS = 4
    today = airflow.now.replace(hour=0, minute=0, second=0)
    wanted = want(from_date=today - timedelta(days=2), to_date=today + timedelta(days=30))
    found = backfill_actions.preview(wanted, by=scientist)
    assert (len(found.dates), found.refusal) == (3, "")
    assert deliver(backfill_actions.start(wanted, by=scientist)).state == "running"


def test_settings_that_do_not_fit_are_told_at_their_field(scientist, airflow):
    make_pipeline(is_backfillable=True, schedule="0 0 * * *")
    found = faults(scientist, conf={"n_iter": 1000}, max_active_runs=0, reprocess_behavior="some")
    assert found.keys() == {"conf.n_iter", "max_active_runs", "reprocess_behavior"}


def test_more_runs_than_allowed_are_refused_before_airflow_is_asked(pipeline, scientist, airflow, settings):
    settings.CONSOLE_BACKFILL_MOST_RUNS = 2
    found = faults(scientist, to_date=FIRST + timedelta(days=30))
    assert "2 at most" in found["from_date"]
    assert airflow.calls == []


@pytest.mark.parametrize(
    ("schedule", "n"),
    [("0 0 * * *", 3), ("0 12 * * *", 2), ("1 day, 0:00:00", 3), ("* * * * *", 11), ("0:01:00", 11)],
)
def test_dates_of_a_schedule_are_counted_as_far_as_it_matters(schedule, n):
    assert coming.n_between(schedule, FIRST, LAST, "UTC", most=10) == n


@pytest.mark.parametrize("schedule", ["", "full moons", "0 0 31 2 *", "0 0 1 * 1"])
def test_what_airflow_alone_can_count_is_not_guessed(schedule):
    assert not coming.n_between(schedule, FIRST, LAST, "UTC", most=10)


def test_a_schedule_that_only_airflow_reads_is_bounded_by_the_worker(pipeline, scientist, airflow, settings):
    settings.CONSOLE_BACKFILL_MOST_RUNS = 2
    pipeline.schedule = "full moons"
    pipeline.save()
    row = deliver(ask(scientist))
    assert (row.state, row.airflow_id) == ("refused", None)
    assert row.delivery_error.startswith("This would make 3 runs; one backfill may make 2 at most.")


def test_a_schedule_that_only_airflow_reads_is_asked_of_a_year_at_most(pipeline, scientist, airflow):
    pipeline.schedule = "full moons"
    pipeline.save()
    found = faults(scientist, from_date=LAST - timedelta(days=367))
    assert found.keys() == {"from_date"}
    assert "366 days at most" in found["from_date"]
    assert ask(scientist, from_date=LAST - timedelta(days=366)).state == "requested"
    assert airflow.calls == []


def test_a_pipeline_without_dates_takes_none(scientist, airflow):
    make_pipeline()
    with pytest.raises(InvalidRequest, match="no schedule with past dates"):
        ask(scientist)


def test_one_at_a_time_of_each_pipeline(pipeline, scientist):
    first = ask(scientist)
    with pytest.raises(Conflict, match=f"Backfill {first.pk} of this pipeline is not over"):
        ask(scientist)


def test_what_would_run_is_told_with_what_is_there(pipeline, scientist, airflow):
    failed = make_run(state="failed", logical_date=FIRST, dag_run_id="scheduled__1")
    done = {"logical_date": FIRST + timedelta(days=1), "run_type": "scheduled"}
    make_run(state="success", dag_run_id="scheduled__2", **done)
    ana = airflow.as_user("ana", "user")
    for number, state in ((0, "failed"), (1, "success")):
        dag_run_id = f"scheduled__{number + 1}"
        ana.trigger_run(DAG, dag_run_id=dag_run_id, conf={}, logical_date=FIRST + timedelta(days=number))
        airflow.move_on(DAG, dag_run_id, state)
    found = backfill_actions.preview(want(reprocess_behavior="failed", run_backwards=True), by=scientist)
    assert [(date.at, date.run) for date in found.shown] == [(LAST, None), (FIRST, failed)]
    assert (found.n_kept, found.n_more, found.refusal) == (1, 0, "")
    assert "create_backfill" not in airflow.calls


def test_runs_of_no_schedule_are_none_that_stay(pipeline, scientist, airflow, settings):
    for number, run_type in enumerate(("manual", "scheduled", "backfill", "asset_triggered")):
        make_run(logical_date=FIRST + timedelta(minutes=number + 1), run_type=run_type)
    assert backfill_actions.preview(want(), by=scientist).n_kept == 2


def test_runs_between_the_dates_are_not_loaded(pipeline, scientist, airflow, monkeypatch):
    for number in range(5):
        make_run(logical_date=FIRST + timedelta(minutes=number + 1), run_type="scheduled")
    there = make_run(logical_date=FIRST, run_type="manual")
    loaded, from_db = [], Run.from_db
    monkeypatch.setattr(Run, "from_db", lambda *args: loaded.append(args) or from_db(*args))
    found = backfill_actions.preview(want(), by=scientist)
    assert (len(loaded), found.shown[0].run, found.n_kept) == (1, there, 5)


def test_nothing_to_run_is_no_backfill(pipeline, scientist, airflow):
    airflow.as_user("ana", "user").create_backfill(want())
    airflow.complete_backfill(1)
    assert "No date" in backfill_actions.preview(want(), by=scientist).refusal
    row = deliver(ask(scientist))
    assert (row.state, row.wish, len(airflow.backfills(DAG))) == ("refused", "", 1)


def test_a_worker_starts_it_as_the_person_who_asked(pipeline, scientist, airflow):
    row = deliver(ask(scientist))
    assert (row.state, row.wish, row.airflow_id, row.n_wanted) == ("running", "", 1, 3)
    assert {run.triggered_by for run in airflow._runs.values()} == {"ana"}
    entry = AuditEntry.objects.get(action="backfill.started")
    assert (entry.actor_name, entry.upstream_id) == ("ana", "1")


def test_delivered_twice_makes_one(pipeline, scientist, airflow):
    row = deliver(ask(scientist))
    again = {"state": BackfillState.REQUESTED, "wish": BackfillWish.START, "airflow_id": None}
    Backfill.objects.filter(pk=row.pk).update(**again, next_attempt_at=timezone.now())
    row = deliver(row)
    assert (row.state, row.airflow_id, len(airflow.backfills(DAG))) == ("running", 1, 1)


def test_one_that_ended_before_the_second_try_is_found_again(pipeline, scientist, airflow, monkeypatch):
    make = airflow.create_backfill

    def answer_is_lost(wanted):
        make(wanted)
        airflow.complete_backfill(1)
        raise Unavailable("Airflow is not answering.", service="airflow")

    monkeypatch.setattr(airflow, "create_backfill", answer_is_lost)
    row = deliver(ask(scientist))
    assert (row.state, row.delivery_error) == ("requested", "Airflow is not answering.")
    row = deliver(row)
    assert (row.state, row.airflow_id, len(airflow.backfills(DAG))) == ("completed", 1, 1)


def test_an_equal_one_of_before_is_not_taken_for_ours(pipeline, scientist, airflow):
    again = {"reprocess_behavior": "completed"}
    airflow.now -= timedelta(hours=1)
    airflow.as_user("ana", "user").create_backfill(want(**again))
    for _dag_id, dag_run_id in list(airflow._runs):
        airflow.move_on(DAG, dag_run_id, "success")
    airflow.complete_backfill(1)
    airflow.now += timedelta(hours=1)
    airflow.is_away = True
    row = deliver(ask(scientist, **again))
    airflow.is_away = False
    backfill_mirror.save(DAG, airflow.backfills(DAG))
    row = deliver(row)
    assert (row.state, row.airflow_id, len(airflow.backfills(DAG))) == ("running", 2, 2)


def test_a_cancel_without_an_id_ends_no_equal_one_of_before(pipeline, scientist, airflow):
    airflow.now -= timedelta(hours=1)
    airflow.as_user("bob", "user").create_backfill(want())
    airflow.now += timedelta(hours=1)
    airflow.is_away = True
    row = deliver(ask(scientist))
    airflow.is_away = False
    backfill_actions.cancel(row.pk, by=scientist)
    row = deliver(row)
    assert (row.state, row.wish, airflow.backfill(1).completed_at) == ("cancelled", "", None)


def test_a_cancel_that_airflow_has_not_heard_of_is_waited_for(pipeline, scientist, airflow):
    airflow.is_away = True
    first = deliver(ask(scientist))
    backfill_actions.cancel(first.pk, by=scientist)
    with pytest.raises(Conflict, match=f"Backfill {first.pk} of this pipeline is not over"):
        ask(scientist)
    airflow.is_away = False
    deliver(first)
    assert ask(scientist).state == "requested"


def test_the_mirror_that_is_first_to_see_ours_makes_no_second_row(pipeline, scientist, airflow, monkeypatch):
    make = airflow.create_backfill

    def seen_before_the_answer(wanted):
        found = make(wanted)
        backfill_mirror.save(DAG, airflow.backfills(DAG))
        return found

    monkeypatch.setattr(airflow, "create_backfill", seen_before_the_answer)
    row = deliver(ask(scientist))
    assert (row.state, row.airflow_id, Backfill.objects.count()) == ("running", 1, 1)


def test_somebody_elses_under_way_refuses_ours(pipeline, scientist, airflow):
    row = ask(scientist)
    airflow.as_user("bob", "user").create_backfill(want())
    row = deliver(row)
    assert (row.state, row.airflow_id) == ("refused", None)
    assert "takes one at a time" in row.delivery_error


def test_it_waits_while_airflow_is_away_and_is_sent_once(pipeline, scientist, airflow):
    airflow.is_away = True
    row = deliver(ask(scientist))
    assert (row.state, row.wish, row.delivery_attempts) == ("requested", "start", 1)
    assert row.next_attempt_at > timezone.now()
    airflow.is_away = False
    assert deliver(row).state == "running"


def test_paused_gone_on_with_and_cancelled(pipeline, scientist, airflow):
    row = deliver(ask(scientist))
    assert backfill_actions.pause(row.pk, by=scientist).wish == "pause"
    with pytest.raises(Conflict, match="confirm “pause” first"):
        backfill_actions.unpause(row.pk, by=scientist)
    assert deliver(row).state == "paused"
    backfill_actions.unpause(row.pk, by=scientist)
    assert deliver(row).state == "running"
    backfill_actions.cancel(row.pk, by=scientist)
    row = deliver(row)
    assert (row.state, row.wish, {run.state for run in airflow._runs.values()}) == (
        "cancelled",
        "",
        {"failed"},
    )
    sync.sync_backfills()
    row.refresh_from_db()
    assert row.state == "cancelled"
    with pytest.raises(Conflict, match="“cancelled”"):
        backfill_actions.cancel(row.pk, by=scientist)
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"backfill.pause", "backfill.paused", "backfill.unpaused", "backfill.cancelled"} <= actions


@pytest.mark.parametrize("is_known_before", [True, False])
def test_what_a_cancelled_backfill_never_began_has_not_failed(pipeline, scientist, airflow, is_known_before):
    row = deliver(ask(scientist))
    first = f"backfill__{FIRST.isoformat()}"
    if is_known_before:
        sync.sync_runs()
    airflow.move_on(DAG, first, "running")
    backfill_actions.cancel(row.pk, by=scientist)
    deliver(row)
    assert airflow.run(DAG, f"backfill__{LAST.isoformat()}").state == "failed"
    airflow.move_on(DAG, first, "failed")
    sync.sync_runs()
    shown = dict(Run.objects.values_list("dag_run_id", "state"))
    assert shown.pop(first) == "failed"
    assert set(shown.values()) == {"cancelled"}
    assert len(shown) == 2


def test_one_that_was_never_sent_is_cancelled_at_once(pipeline, scientist, airflow):
    row = backfill_actions.cancel(ask(scientist).pk, by=scientist)
    assert (row.state, row.wish, row.next_attempt_at) == ("cancelled", "", None)
    deliver_backfill(str(row.pk))
    assert airflow.calls == []


def test_one_cancelled_after_a_try_without_answer_is_ended_in_airflow(
    pipeline, scientist, airflow, monkeypatch
):
    make = airflow.create_backfill

    def answer_is_lost(wanted):
        make(wanted)
        raise Unavailable("Airflow is not answering.", service="airflow")

    monkeypatch.setattr(airflow, "create_backfill", answer_is_lost)
    row = deliver(ask(scientist))
    backfill_actions.cancel(row.pk, by=scientist)
    row = deliver(row)
    assert (row.state, row.wish, airflow.backfill(1).completed_at is not None) == ("cancelled", "", True)


def test_cancelling_one_that_is_over_says_so(pipeline, scientist, airflow):
    row = deliver(ask(scientist))
    backfill_actions.cancel(row.pk, by=scientist)
    airflow.complete_backfill(1)
    row = deliver(row)
    assert (row.state, row.delivery_error) == ("completed", "Backfill is already completed.")


def test_one_that_ended_while_it_was_paused_is_complete(pipeline, scientist, airflow):
    row = deliver(ask(scientist))
    backfill_actions.pause(row.pk, by=scientist)
    deliver(row)
    airflow.complete_backfill(1)
    backfill_actions.cancel(row.pk, by=scientist)
    row = deliver(row)
    assert (row.state, row.delivery_error) == ("completed", "Backfill is already completed.")
    sync.sync_backfills()
    row.refresh_from_db()
    assert (row.state, row.cancelled_at) == ("completed", None)


def test_one_of_others_that_ended_while_it_was_paused_is_complete(pipeline, airflow):
    airflow.as_user("bob", "user").create_backfill(want())
    airflow.as_user("bob", "user").pause_backfill(1)
    airflow.complete_backfill(1)
    backfill_mirror.save(DAG, airflow.backfills(DAG))
    assert Backfill.objects.get().state == "completed"


def test_a_cancel_whose_answer_was_lost_is_ours(pipeline, scientist, airflow, monkeypatch):
    row = deliver(ask(scientist))
    end = airflow.cancel_backfill

    def answer_is_lost(airflow_id):
        end(airflow_id)
        raise Unavailable("Airflow is not answering.", service="airflow")

    backfill_actions.cancel(row.pk, by=scientist)
    with monkeypatch.context() as patched:
        patched.setattr(airflow, "cancel_backfill", answer_is_lost)
        deliver(row)
    sync.sync_backfills()
    row.refresh_from_db()
    assert (row.state, row.wish) == ("running", "cancel")
    row = deliver(row)
    assert (row.state, row.wish, row.cancelled_at) == ("cancelled", "", airflow.now)


def test_those_that_others_began_are_mirrored_with_their_runs(pipeline, airflow):
    airflow.as_user("bob", "user").create_backfill(want())
    for _ in range(2):  # the runs tell of it
        sync.sync_runs()
        sync.sync_backfills()
    row = Backfill.objects.get()
    assert (row.state, row.airflow_id, row.requested_by, row.wish) == ("running", 1, None, "")
    airflow.move_on(DAG, backfill_queries.runs_of(row)[0].dag_run_id, "success")
    sync.sync_runs()
    [found] = backfill_queries.with_progress([row])
    assert (found.progress.n, found.progress.n_done, found.progress.share) == (3, 1, 1 / 3)
    airflow.complete_backfill(1)
    sync.sync_backfills()
    row.refresh_from_db()
    assert (row.state, row.completed_at) == ("completed", airflow.now)


def test_runs_for_partitions_have_no_dates_and_are_claimed_all_the_same(pipeline, airflow, page):
    airflow.as_user("bob", "user").create_backfill(want())
    at, cases = airflow.now, [("before", -1), ("first", 0), ("second", 1), ("after", 61)]
    values = {"run_type": "backfill", "logical_date": None}
    for name, minutes in cases:
        make_run(dag_run_id=name, queued_at=at + timedelta(minutes=minutes), **values)
    make_run(dag_run_id="by-hand", queued_at=at, run_type="manual", logical_date=None)
    airflow.now += timedelta(hours=1)
    airflow.complete_backfill(1)
    backfill_mirror.save(DAG, airflow.backfills(DAG))
    row = Backfill.objects.get()
    assert set(row.runs.values_list("dag_run_id", flat=True)) == {"first", "second"}
    [found] = backfill_queries.with_progress([row])
    assert (found.progress.n, found.progress.share) == (2, 1.0)
    assert ">first</a>" in page.get(f"/backfills/{row.pk}").content.decode()


def test_runs_of_before_are_another_ones(pipeline, airflow):
    old = make_run(logical_date=FIRST, run_type="backfill", queued_at=FIRST + timedelta(hours=1))
    airflow.as_user("bob", "user").create_backfill(want(reprocess_behavior="completed"))
    backfill_mirror.save(DAG, airflow.backfills(DAG))
    old.refresh_from_db()
    assert old.backfill is None


def test_an_odd_one_stops_no_other(pipeline):
    sound = {
        "id": 7,
        "dag_id": DAG,
        "from_date": "2026-03-01T00:00:00Z",
        "to_date": "2026-03-03T00:00:00Z",
        "dag_run_conf": None,
        "is_paused": False,
        "reprocess_behavior": "none",
        "max_active_runs": 10,
        "created_at": "2026-03-04T00:00:00Z",
        "completed_at": None,
    }
    odd = {**sound, "id": 8, "from_date": "soon"}
    found = answers.read([odd, sound], backfill_answers.backfill, backfill_answers.backfill_key)
    backfill_mirror.save(DAG, found)
    assert list(Backfill.objects.values_list("airflow_id", flat=True)) == [7]
    assert SetAside.objects.get().key == f"{DAG} 8"


def test_one_that_airflow_deleted_is_lost(pipeline, airflow):
    row = make_backfill()
    sync.sync_backfills()
    row.refresh_from_db()
    assert row.state == "lost"


def test_an_idle_airflow_is_asked_of_one_pipeline_in_turn(pipeline, airflow):
    make_pipeline("other", is_backfillable=True)
    make_pipeline("on_demand")
    looked_at = [backfill_mirror.to_look_at()]
    backfill_mirror.save(looked_at[0][0], [])
    looked_at.append(backfill_mirror.to_look_at())
    assert sorted(looked_at) == [["other"], [DAG]]


def test_runs_of_unknown_backfills_are_found_by_their_index(pipeline):
    lately = Run.objects.filter(run_type="backfill", backfill=None, queued_at__gt=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert "runs_of_unknown_backfill" in lately.order_by().explain()


def test_progress_takes_one_query(pipeline, django_assert_num_queries):
    rows = [make_backfill() for _ in range(5)]
    make_run(backfill=rows[0], state="failed")
    with django_assert_num_queries(1):
        found = backfill_queries.with_progress(rows)
    assert [one.progress.n_failed for one in found] == [1, 0, 0, 0, 0]
    assert Run.objects.count() == 1
