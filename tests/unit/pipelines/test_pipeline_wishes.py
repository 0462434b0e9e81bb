"""From a click to Airflow: what is recorded, what is delivered, and what Airflow's answers do to the row."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, NotFound
from pipelines import actions, run_changes, sync, tasks
from pipelines.models import Pipeline, Run, RunState, Wish
from pipelines.scope import Scope
from tests.pipeline_rows import make_pipeline, make_run

DAG = "titanic_training"


@pytest.fixture
def pipeline(db, airflow):
    pipeline = make_pipeline()
    airflow.add_dag(DAG, pipeline.param_list)
    return pipeline


def ask(by, **conf):
    return actions.trigger_run(DAG, conf=conf, note="why", by=by)


def later(run):
    """The time of the next try has come."""
    Run.objects.filter(pk=run.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def test_a_wanted_run_is_a_row_and_an_audit_entry_before_airflow_hears_of_it(
    pipeline, scientist, airflow, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        run = ask(scientist, n_iter=5)
    assert (run.state, run.wish, run.conf, run.note) == ("requested", "start", {"n_iter": 5}, "why")
    assert run.dag_run_id.startswith("console__")
    assert sent == [("deliver_run", str(run.pk))]
    assert airflow.calls == []
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_name, entry.upstream_id) == ("run.trigger", "ana", run.dag_run_id)


def test_a_viewer_cannot_trigger(pipeline, viewer):
    with pytest.raises(PermissionDenied, match=r"pipelines\.run"):
        ask(viewer)
    assert not Run.objects.exists()


def test_an_unknown_pipeline_is_not_found(scientist):
    with pytest.raises(NotFound, match="no_such_dag"):
        actions.trigger_run("no_such_dag", conf={}, by=scientist)


def test_a_pipeline_that_is_gone_takes_no_run(scientist):
    make_pipeline(gone_at=timezone.now())
    with pytest.raises(Conflict, match="no longer has"):
        ask(scientist)


def test_a_pipeline_that_allows_no_run_by_hand_takes_none(scientist):
    pipeline = make_pipeline(allowed_run_types=["scheduled", "backfill"])
    with pytest.raises(Conflict, match=r"allows no such runs \(by hand\): only by schedule, by a backfill"):
        ask(scientist)
    actions.refuse_unusable(pipeline, "backfill")
    assert not Run.objects.exists()


def test_what_airflow_says_of_partitions_and_kinds_of_run_is_mirrored(airflow, db):
    airflow.add_dag("parts", is_partitioned=True, allowed_run_types=["manual"])
    sync.sync_pipelines()
    found = Pipeline.objects.get()
    assert (found.is_partitioned, found.allowed_run_types, found.allows_manual) == (True, ["manual"], True)


def test_a_partition_and_a_data_interval_reach_airflow_and_come_back(scientist, airflow):
    make_pipeline(is_partitioned=True)
    airflow.add_dag(DAG, is_partitioned=True)
    start, end = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
    given = {"partition_key": "2026-02-01|es", "data_interval_start": start, "data_interval_end": end}
    run = actions.trigger_run(DAG, conf={}, by=scientist, **given)
    asked = AuditEntry.objects.get(action="run.trigger").after
    assert (asked["partition_key"], asked["data_interval_end"]) == ("2026-02-01|es", end.isoformat())
    tasks.deliver_run(str(run.pk))
    found = airflow.run(DAG, run.dag_run_id)
    assert (found.partition_key, found.data_interval_start, found.data_interval_end) == (
        "2026-02-01|es",
        start,
        end,
    )
    Run.objects.all().delete()
    sync.sync_runs()
    seen = Run.objects.get()
    assert (seen.partition_key, seen.data_interval_start, seen.data_interval_end) == (
        "2026-02-01|es",
        start,
        end,
    )


def test_a_partition_that_the_pipeline_does_not_have_is_refused_in_airflows_words(
    pipeline, scientist, airflow
):
    run = actions.trigger_run(DAG, conf={}, by=scientist, partition_key="x")
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert run.state == "refused"
    assert "does not accept a partition_key" in run.delivery_error


@pytest.mark.parametrize(
    ("start", "end", "field", "words"),
    [
        (1, None, "data_interval_end", "Give both ends of the data interval, or none."),
        (None, 1, "data_interval_start", "Give both ends of the data interval, or none."),
        (2, 1, "data_interval_end", "The data interval ends before it starts."),
    ],
)
def test_a_data_interval_that_cannot_be_is_refused_at_its_field(
    pipeline, scientist, start, end, field, words
):
    given = {
        name: datetime(2026, 2, day, tzinfo=UTC) if day else None
        for name, day in (("data_interval_start", start), ("data_interval_end", end))
    }
    with pytest.raises(InvalidRequest) as refused:
        actions.trigger_run(DAG, conf={}, by=scientist, **given)
    assert refused.value.errors == [{"field": field, "message": words}]
    assert not Run.objects.exists()


def test_conf_that_breaks_the_schema_is_refused_field_by_field(pipeline, scientist):
    with pytest.raises(InvalidRequest) as refused:
        ask(scientist, n_iter=1000, scoring="guess", is_quick="yes")
    assert refused.value.errors == [
        {"field": "conf.n_iter", "message": "Give 100 or less."},
        {"field": "conf.scoring", "message": "Give one of these: f1, accuracy."},
        {"field": "conf.is_quick", "message": "This has to be of the type boolean."},
    ]
    assert not Run.objects.exists()


def test_a_worker_starts_the_run_as_the_person_who_asked(pipeline, scientist, airflow):
    run = ask(scientist, n_iter=5)
    tasks.deliver_run(str(run.pk))
    found = airflow.run(DAG, run.dag_run_id)
    assert (found.conf, found.note, found.triggered_by) == ({"n_iter": 5}, "why", "ana")
    run.refresh_from_db()
    assert (run.state, run.wish, run.next_attempt_at) == ("queued", "", None)
    assert AuditEntry.objects.filter(action="run.started", upstream_id=run.dag_run_id).exists()


def test_a_run_by_hand_has_a_logical_date(pipeline, scientist, airflow):
    before = timezone.now()
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    assert before <= airflow.run(DAG, run.dag_run_id).logical_date <= timezone.now()


def test_a_logical_date_that_another_run_has_in_airflow_refuses_the_wish(pipeline, scientist, airflow):
    at = datetime(2026, 2, 1, tzinfo=UTC)
    airflow.as_user("x", "user").trigger_run(DAG, dag_run_id="scheduled__1", conf={}, logical_date=at)
    run = actions.trigger_run(DAG, conf={}, by=scientist, logical_date=at)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("refused", "")
    assert run.delivery_error


def test_a_task_delivered_twice_makes_one_run(pipeline, scientist, airflow):
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    Run.objects.filter(pk=run.pk).update(
        state=RunState.REQUESTED, wish=Wish.START, next_attempt_at=timezone.now()
    )
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("queued", "")
    assert airflow.runs_under_way() == {(DAG, run.dag_run_id)}


def test_a_foreign_run_under_our_id_refuses_the_wish(pipeline, scientist, airflow):
    run = ask(scientist, n_iter=5)
    airflow.as_user("mallory", "user").trigger_run(DAG, dag_run_id=run.dag_run_id, conf={"n_iter": 6})
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("refused", "")
    sync.sync_runs()
    run.refresh_from_db()
    assert run.state == "refused"


def test_airflows_own_refusal_is_kept_in_its_words(pipeline, scientist, airflow):
    stricter = [{**pipeline.param_list[0], "schema": {"type": "integer", "maximum": 3}}]
    airflow.add_dag(DAG, stricter)
    run = ask(scientist, n_iter=5)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert run.state == "refused"
    assert run.delivery_error == "Invalid input for param n_iter: 5 is greater than the maximum of 3"


def test_while_airflow_is_away_the_row_says_so_and_is_delivered_later_once(pipeline, scientist, airflow):
    run = ask(scientist)
    airflow.is_away = True
    for _ in range(3):
        later(run)
        tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.delivery_attempts) == ("requested", 3)
    assert run.delivery_error == "Airflow is not answering."
    airflow.is_away = False
    later(run)
    tasks.deliver_run(str(run.pk))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.delivery_error) == ("queued", "")
    assert airflow.calls.count("trigger_run") == 4


# --- cancelling


def test_a_request_that_was_never_sent_is_cancelled_at_once(pipeline, scientist, airflow):
    run = run_changes.cancel_run(ask(scientist).pk, by=scientist)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("cancelled", "")
    assert airflow.calls == []


def test_a_request_that_may_have_arrived_is_cancelled_in_airflow_too(pipeline, scientist, airflow):
    run = ask(scientist)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id=run.dag_run_id, conf={}, note="why")
    Run.objects.filter(pk=run.pk).update(delivery_attempts=1)
    run = run_changes.cancel_run(run.pk, by=scientist)
    assert (run.state, run.wish) == ("cancelled", "cancel")
    sync.sync_runs()
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("cancelled", "")
    assert airflow.run(DAG, run.dag_run_id).state == "failed"


def test_cancelling_while_a_worker_starts_the_run_ends_it_afterwards(
    pipeline, scientist, airflow, monkeypatch
):
    run = ask(scientist)
    start = airflow.trigger_run

    def start_slowly(*args, **kwargs):
        run_changes.cancel_run(run.pk, by=scientist)
        return start(*args, **kwargs)

    monkeypatch.setattr(airflow, "trigger_run", start_slowly)
    tasks.deliver_run(str(run.pk))
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("cancelled", "")
    assert airflow.run(DAG, run.dag_run_id).state == "failed"


def test_a_cancelled_run_stays_cancelled_when_airflow_says_failed(pipeline, scientist, airflow):
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, run.dag_run_id, "running")
    sync.sync_runs()
    run_changes.cancel_run(run.pk, by=scientist)
    tasks.deliver_run(str(run.pk))
    sync.sync_runs()
    run.refresh_from_db()
    assert (run.state, run.wish) == ("cancelled", "")


def test_a_cancelled_run_that_somebody_runs_again_in_airflow_may_fail(pipeline, scientist, airflow):
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, run.dag_run_id, "running")
    sync.sync_runs()
    run_changes.cancel_run(run.pk, by=scientist)
    tasks.deliver_run(str(run.pk))
    airflow.clear_run(DAG, run.dag_run_id, Scope())
    shown = []
    for seconds, state in ((29, "queued"), (31, "running"), (31, "failed")):
        Run.objects.exclude(cancelled_at=None).update(
            cancelled_at=timezone.now() - timedelta(seconds=seconds)
        )
        airflow.move_on(DAG, run.dag_run_id, state)
        sync.sync_runs()
        run.refresh_from_db()
        shown.append((run.state, run.cancelled_at is None))
    # At first Airflow may still report what was before somebody cancelled.
    assert shown == [("cancelled", False), ("running", True), ("failed", True)]


def test_cancelling_too_late_leaves_the_success(pipeline, scientist, airflow):
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, run.dag_run_id, "running")
    sync.sync_runs()
    run_changes.cancel_run(run.pk, by=scientist)
    airflow.move_on(DAG, run.dag_run_id, "success")
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, airflow.run(DAG, run.dag_run_id).state) == ("success", "success")


def test_a_run_that_has_ended_cannot_be_cancelled(scientist):
    with pytest.raises(Conflict, match="success"):
        run_changes.cancel_run(make_run().pk, by=scientist)


# --- clearing and pausing


def test_clearing_runs_the_tasks_again_once(pipeline, scientist, airflow):
    run = ask(scientist)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, run.dag_run_id, "failed", load="failed")
    sync.sync_runs()
    Run.objects.update(started_at=timezone.now(), queued_at=None)
    run_changes.clear_run(run.pk, by=scientist, only_failed=True)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.started_at, run.ended_at) == (None, None)  # as in Airflow, before the next poll says so
    assert run.queued_at is not None
    Run.objects.filter(pk=run.pk).update(wish=Wish.CLEAR, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish) == ("queued", "")
    assert airflow.calls.count("clear_run") == 1


@pytest.mark.parametrize("state", [RunState.REFUSED, RunState.LOST])
def test_a_run_that_airflow_does_not_have_cannot_be_cleared(scientist, state):
    with pytest.raises(Conflict):
        run_changes.clear_run(make_run(state=state).pk, by=scientist)


def test_the_latest_wish_for_the_switch_wins(pipeline, scientist, airflow, monkeypatch):
    actions.set_paused(DAG, is_paused=True, by=scientist)
    move = airflow.set_paused

    def move_slowly(dag_id, *, is_paused):
        move(dag_id, is_paused=is_paused)
        monkeypatch.setattr(airflow, "set_paused", move)
        actions.set_paused(DAG, is_paused=False, by=scientist)

    monkeypatch.setattr(airflow, "set_paused", move_slowly)
    tasks.deliver_pause(DAG)
    tasks.deliver_pause(DAG)
    pipeline = Pipeline.objects.get()
    assert (pipeline.is_paused, pipeline.wanted_is_paused, pipeline.next_attempt_at) == (False, None, None)
    assert airflow.dags()[0].is_paused is False


def test_a_switch_that_airflow_does_not_move_is_no_move_in_the_trail(scientist, airflow):
    make_pipeline("unknown_there")
    actions.set_paused("unknown_there", is_paused=True, by=scientist)
    tasks.deliver_pause("unknown_there")
    assert AuditEntry.objects.order_by("-pk").values_list("action", flat=True)[0] == "pipeline.switch_refused"
    assert Pipeline.objects.get(pk="unknown_there").is_paused is False


def test_a_switch_that_nobody_wants_moved_is_not_asked_for_again(pipeline, airflow):
    Pipeline.objects.filter(pk=DAG).update(next_attempt_at=timezone.now())
    tasks.deliver_pause(DAG)
    assert Pipeline.objects.get(pk=DAG).next_attempt_at is None


@pytest.mark.parametrize("value", ["a\x00b", 10**400, float("inf"), float("nan"), [float("-inf")], "\ud800"])
def test_a_conf_that_cannot_be_kept_is_refused(pipeline, scientist, value):
    with pytest.raises(InvalidRequest) as refused:
        actions.trigger_run(DAG, conf={"source": value}, by=scientist)
    assert "conf" in {fault["field"] for fault in refused.value.errors}


@pytest.mark.parametrize("value", [2**70, 1e300, r"no \u0000 at all"])
def test_a_large_number_is_kept_and_can_be_asked_for_again(scientist, value):
    make_pipeline("untyped", param_list=[])
    run = actions.trigger_run("untyped", conf={"a": value}, by=scientist)
    run.refresh_from_db()
    assert type(value)(run.conf["a"]) == value
    assert actions.trigger_run("untyped", conf=run.conf, by=scientist).pk != run.pk


def test_a_viewer_cannot_pause(pipeline, viewer):
    with pytest.raises(PermissionDenied):
        actions.set_paused(DAG, is_paused=True, by=viewer)
