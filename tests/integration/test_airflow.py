"""What the gateway promises, checked on the fake and on a real Airflow alike."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from core.access.models import User
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import actions, gateway, sync, tasks
from pipelines.backfill_answers import WantedBackfill
from pipelines.models import Pipeline, Run, RunState, Wish
from pipelines.scope import Scope
from tests.api import wait_for
from tests.fakes.airflow import FakeAirflow

DAG = "titanic_training"
DAYS = WantedBackfill(DAG, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC))
N_ITER = {"name": "n_iter", "value": 10, "schema": {"type": "integer", "minimum": 1}, "description": ""}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def airflow(request, monkeypatch) -> Iterator[None]:
    """`gateway.connect` leads to the fake or the real one; the pipeline is paused, so nothing runs."""
    if request.param == "fake":
        fake = FakeAirflow()
        fake.add_dag(DAG, [N_ITER], tasks=("load", "validate"))
        fake.tells_tasks_at_once = True
        monkeypatch.setattr(
            gateway, "connect", lambda username="system:console", role="viewer": fake.as_user(username, role)
        )
    else:
        request.getfixturevalue("on_the_stack")
        gateway._transport.cache_clear()
        # A stack that has just started may not have parsed it yet.
        wait_for(DAG, lambda: DAG in {dag.dag_id for dag in gateway.connect().dags()}, timeout_s=90)
    as_ana().set_paused(DAG, is_paused=True)
    yield
    for dag_id, dag_run_id in gateway.connect().runs_under_way():
        as_ana().fail_run(dag_id, dag_run_id)
    as_ana().set_paused(DAG, is_paused=False)
    gateway._transport.cache_clear()


@pytest.fixture(autouse=True)
def _no_broker_and_no_browser(monkeypatch):
    monkeypatch.setattr(tasks.deliver_run, "apply_async", lambda *_args, **_kwargs: None)
    monkeypatch.setattr("core.lib.live._send", lambda _topic, _body: None)


def as_ana() -> gateway.AirflowGateway:
    return gateway.connect("ana", "user")


def new_id() -> str:
    return f"console__{uuid4()}"


def start(**values) -> str:
    dag_run_id = new_id()
    as_ana().trigger_run(DAG, dag_run_id=dag_run_id, **{"conf": {}, **values})
    return dag_run_id


def states(dag_run_id):
    return {task.task_id: task.state for task in gateway.connect().task_states([(DAG, dag_run_id)])}


@pytest.mark.usefixtures("airflow")
class TestGateway:
    def test_unknown_dag_is_not_found(self):
        with pytest.raises(NotFound, match="no_such_dag"):
            as_ana().trigger_run("no_such_dag", dag_run_id=new_id(), conf={})
        with pytest.raises(NotFound):
            gateway.connect().dag_details("no_such_dag")
        with pytest.raises(NotFound):
            as_ana().set_paused("no_such_dag", is_paused=True)

    def test_unknown_run_is_not_found(self):
        with pytest.raises(NotFound):
            gateway.connect().run(DAG, "no_such_run")

    def test_a_run_keeps_its_conf_its_note_and_who_asked(self):
        run = gateway.connect().run(DAG, start(conf={"n_iter": 3}, note="why"))
        assert (run.conf, run.note, run.triggered_by, run.state) == ({"n_iter": 3}, "why", "ana", "queued")

    def test_a_run_id_can_be_used_once(self):
        dag_run_id = start()
        with pytest.raises(Conflict):
            as_ana().trigger_run(DAG, dag_run_id=dag_run_id, conf={})

    def test_conf_that_breaks_the_schema_is_refused_at_its_field(self):
        with pytest.raises(InvalidRequest, match="Invalid input for param n_iter") as refused:
            start(conf={"n_iter": 0})
        assert refused.value.errors == [
            {"field": "conf.n_iter", "message": "0 is less than the minimum of 1"}
        ]

    def test_a_data_interval_is_kept_and_a_partition_refused_where_there_are_none(self):
        at = timezone.now().replace(microsecond=0)
        dag_run_id = start(logical_date=at, data_interval=(at - timedelta(hours=1), at))
        run = gateway.connect().run(DAG, dag_run_id)
        assert (run.data_interval_start, run.data_interval_end) == (at - timedelta(hours=1), at)
        with pytest.raises(InvalidRequest, match="not a partitioned Dag") as refused:
            start(partition_key="es")
        assert [fault["field"] for fault in refused.value.errors] == ["partition_key"]
        dag = next(dag for dag in gateway.connect().dags() if dag.dag_id == DAG)
        assert (dag.is_partitioned, dag.allowed_run_types) == (False, None)

    def test_a_viewer_may_read_and_not_trigger(self):
        vic = gateway.connect("vic", "viewer")
        assert DAG in {dag.dag_id for dag in vic.dags()}
        with pytest.raises(Unauthorized):
            vic.trigger_run(DAG, dag_run_id=new_id(), conf={})

    def test_details_and_graph_tell_what_the_author_wrote(self):
        details = gateway.connect().dag_details(DAG)
        n_iter = next(param for param in details.param_list if param["name"] == "n_iter")
        assert n_iter["schema"]["minimum"] == 1
        following = {task.id: task.downstream for task in gateway.connect().dag_tasks(DAG)}
        assert "validate" in following["load"]

    def test_the_newest_versions_are_those_of_the_details(self):
        start()
        newest = gateway.connect().newest_versions()
        assert newest[DAG] == gateway.connect().dag_details(DAG).version
        assert newest[DAG] >= 1

    def test_the_newest_versions_do_not_hang_on_who_is_in_a_hurry(self):
        assert gateway.connect().hurried().newest_versions() == gateway.connect().newest_versions()

    def test_the_switch_moves(self):
        as_ana().set_paused(DAG, is_paused=False)
        assert not next(dag for dag in gateway.connect().dags() if dag.dag_id == DAG).is_paused
        as_ana().set_paused(DAG, is_paused=True)
        assert next(dag for dag in gateway.connect().dags() if dag.dag_id == DAG).is_paused

    def test_changed_runs_are_found_by_the_time_of_the_last_look(self):
        dag_run_id = start()
        newest, looked_at = gateway.connect().runs_changed_since(None, limit=10)
        assert dag_run_id in {run.dag_run_id for run in newest}
        changed, again = gateway.connect().runs_changed_since(looked_at, limit=10)
        assert len(changed) <= len(newest)
        assert again >= looked_at

    def test_a_run_can_be_ended(self):
        dag_run_id = start()
        assert (DAG, dag_run_id) in gateway.connect().runs_under_way()
        assert as_ana().fail_run(DAG, dag_run_id).state == "failed"
        assert (DAG, dag_run_id) not in gateway.connect().runs_under_way()

    def test_an_ended_run_can_be_cleared(self):
        dag_run_id = start()
        as_ana().fail_run(DAG, dag_run_id)
        as_ana().clear_run(DAG, dag_run_id, Scope(run_on_latest_version=True))
        assert gateway.connect().run(DAG, dag_run_id).dag_run_id == dag_run_id

    def test_a_clear_of_failed_tasks_leaves_a_run_that_has_none(self):
        dag_run_id = start()
        as_ana().fail_run(DAG, dag_run_id)
        assert "failed" not in states(dag_run_id).values()
        assert as_ana().clear_run(DAG, dag_run_id, Scope(only_failed=True)).state == "failed"
        assert as_ana().clear_run(DAG, dag_run_id, Scope()).state == "queued"

    def test_a_run_is_marked_and_noted(self):
        dag_run_id = start(note="why")
        as_ana().set_note(DAG, dag_run_id, "seen\nñ")
        assert as_ana().set_run_state(DAG, dag_run_id, "success").state == "success"
        run = gateway.connect().run(DAG, dag_run_id)
        assert (run.note, run.state) == ("seen\nñ", "success")

    def test_what_would_be_cleared_or_marked_is_told_and_nothing_touched(self):
        dag_run_id = start()
        as_ana().fail_run(DAG, dag_run_id)
        before = states(dag_run_id)
        after_load = Scope("load", downstream=True)
        told = as_ana().clear_tasks(DAG, dag_run_id, after_load, dry_run=True)
        assert {"load", "validate"} <= {task.task_id for task in told}
        [alone] = as_ana().clear_tasks(DAG, dag_run_id, Scope("load", -1), dry_run=True)
        assert alone.task_id == "load"
        [marked] = as_ana().mark_tasks(DAG, dag_run_id, Scope("load", -1), "success", dry_run=True)
        assert (marked.task_id, states(dag_run_id)) == ("load", before)

    def test_several_tasks_are_told_marked_and_cleared(self):
        dag_run_id = start()
        as_ana().fail_run(DAG, dag_run_id)
        both = Scope(tasks=(("load", -1), ("validate", None)))
        for one in both.each:
            [told] = as_ana().mark_tasks(DAG, dag_run_id, one, "success", dry_run=True)
            assert told.task_id == one.task_id
            as_ana().mark_tasks(DAG, dag_run_id, one, "success", dry_run=False)
            with pytest.raises(Conflict, match="already"):
                as_ana().mark_tasks(DAG, dag_run_id, one, "success", dry_run=False)
        assert {states(dag_run_id)[name] for name in ("load", "validate")} == {"success"}
        cleared = as_ana().clear_tasks(DAG, dag_run_id, both, dry_run=True)
        assert {task.task_id for task in cleared} == {"load", "validate"}
        as_ana().fail_run(DAG, dag_run_id)

    def test_a_name_that_is_no_group_of_the_dag_is_told(self):
        assert gateway.connect().dag_groups(DAG, {"no_such", "no_such.one"}) == set()

    def test_the_groups_of_tasks_are_told(self):
        plain = {task.id: task for task in gateway.connect().dag_tasks(DAG)}
        told = {task.id: task for task in gateway.connect().drawn_tasks(DAG)}
        unasked = {"groups": None, "role": None, "edge_labels": None}
        assert {name: replace(task, **unasked) for name, task in told.items()} == plain
        assert (told["load"].groups, told["load"].role, told["load"].edge_labels) == ([], "", {})

    def test_the_tasks_of_a_version_are_told(self):
        version = gateway.connect().dag_details(DAG).version
        assert gateway.connect().drawn_tasks(DAG, version) == gateway.connect().drawn_tasks(DAG)
        with pytest.raises(NotFound):
            gateway.connect().drawn_tasks(DAG, 10_000)

    def test_a_group_that_the_dag_does_not_have_is_not_marked(self):
        dag_run_id = start()
        for is_dry in (True, False):
            with pytest.raises(NotFound, match="no_such"):
                as_ana().mark_tasks(DAG, dag_run_id, Scope(group="no_such"), "success", dry_run=is_dry)

    def test_a_task_is_marked_and_cleared(self):
        dag_run_id = start()
        as_ana().fail_run(DAG, dag_run_id)
        as_ana().mark_tasks(DAG, dag_run_id, Scope("load", -1), "success", dry_run=False)
        assert states(dag_run_id)["load"] == "success"
        with pytest.raises(Conflict, match="already"):
            as_ana().mark_tasks(DAG, dag_run_id, Scope("load", -1), "success", dry_run=False)
        as_ana().clear_tasks(DAG, dag_run_id, Scope("load", run_on_latest_version=True), dry_run=False)
        assert states(dag_run_id)["load"] != "success"
        as_ana().fail_run(DAG, dag_run_id)

    def test_runs_are_named_of_which_a_task_was_marked(self):
        marked, other = start(), start()
        _runs, before = gateway.connect().runs_changed_since(None, limit=1)
        as_ana().mark_tasks(DAG, marked, Scope("load", -1), "success", dry_run=False)
        found, looked_at, is_whole = gateway.connect().runs_of_changed_tasks(before)
        assert is_whole
        assert (DAG, marked) in found
        assert (DAG, other) not in found
        assert looked_at >= before

    def test_a_task_that_the_dag_does_not_have_is_not_marked(self):
        dag_run_id = start()
        with pytest.raises(NotFound, match="no_such"):
            as_ana().mark_tasks(DAG, dag_run_id, Scope("no_such"), "success", dry_run=True)

    def test_a_task_that_never_began_left_nothing(self):
        where = (DAG, start(), "load")
        assert gateway.connect().xcoms(*where, map_index=-1).entries == []
        assert gateway.connect().rendered_fields(*where, map_index=-1) == {}
        assert [one.try_number for one in gateway.connect().task_tries(*where, map_index=-1)] == [0]
        with pytest.raises(NotFound):
            gateway.connect().task_tries(where[0], where[1], "no_such", map_index=-1)

    def test_no_task_asks_anybody(self):
        assert gateway.connect().input_requests() == []
        with pytest.raises(NotFound):
            as_ana().answer_input(DAG, start(), "load", map_index=-1, chosen=["a"], params_input={})

    def test_a_dag_without_a_schedule_takes_no_backfill(self):
        assert not next(dag for dag in gateway.connect().dags() if dag.dag_id == DAG).is_backfillable
        for ask in (as_ana().backfill_dates, as_ana().create_backfill):
            with pytest.raises(InvalidRequest, match="non-periodic schedule"):
                ask(DAYS)
        assert gateway.connect().backfills(DAG) == []

    def test_an_unknown_dag_takes_no_backfill(self):
        for ask in (as_ana().backfill_dates, as_ana().create_backfill):
            with pytest.raises(NotFound, match="no_such_dag"):
                ask(replace(DAYS, dag_id="no_such_dag"))
        assert gateway.connect().backfills("no_such_dag") == []

    def test_a_viewer_may_list_backfills_and_not_make_one(self):
        vic = gateway.connect("vic", "viewer")
        assert vic.backfills(DAG) == []
        for ask in (vic.backfill_dates, vic.create_backfill):
            with pytest.raises(Unauthorized):
                ask(DAYS)

    def test_an_unknown_backfill_is_not_found(self):
        ana = as_ana()
        for ask in (ana.backfill, ana.pause_backfill, ana.unpause_backfill, ana.cancel_backfill):
            with pytest.raises(NotFound, match="Backfill not found"):
                ask(10**6)

    def test_no_asset_has_changed_since_just_now(self):
        assert gateway.connect().asset_events(timezone.now(), limit=10) == []
        assert len(gateway.connect().asset_events(None, limit=10)) <= 100

    def test_the_log_of_an_unknown_task_is_not_found(self):
        dag_run_id = start()
        where = {"try_number": 1, "map_index": -1}
        with pytest.raises(NotFound):
            gateway.connect().log_page(DAG, dag_run_id, "no_such_task", token="", **where)
        with pytest.raises(NotFound), gateway.connect().whole_log(DAG, dag_run_id, "none", **where) as lines:
            list(lines)


@pytest.fixture
def ana(db) -> User:
    user = User.objects.create_user("ana")
    user.groups.add(Group.objects.get_or_create(name="scientist")[0])
    return user


def test_a_wish_delivered_twice_makes_one_run(airflow, ana):
    sync.sync_pipelines()
    run = actions.trigger_run(DAG, conf={"n_iter": 3}, note="once", by=ana)
    tasks.deliver_run(str(run.pk))
    again = {"state": RunState.REQUESTED, "wish": Wish.START, "next_attempt_at": timezone.now()}
    Run.objects.filter(pk=run.pk).update(**again)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.wish, run.delivery_error) == ("queued", "", "")
    under_way = [key for key in gateway.connect().runs_under_way() if key[1] == run.dag_run_id]
    assert under_way == [(DAG, run.dag_run_id)]


def test_pipelines_and_runs_are_mirrored(airflow, ana):
    sync.sync_pipelines()
    assert Pipeline.objects.get(pk=DAG).params["n_iter"]["value"] == 10
    dag_run_id = start(note="seen")
    sync.sync_runs()
    row = Run.objects.get(dag_run_id=dag_run_id)
    assert (row.note, row.triggered_by, row.wish, row.next_attempt_at) == ("seen", "ana", "", None)


def test_a_port_where_nobody_listens_is_unavailable(settings):
    settings.CONSOLE_AIRFLOW_URL = "http://127.0.0.1:9"
    gateway._transport.cache_clear()
    with pytest.raises(Unavailable, match="Airflow is not answering"):
        gateway.connect().dags()
    gateway._transport.cache_clear()


def test_a_wrong_secret_is_unauthorized(on_the_stack, settings):
    settings.CONSOLE_AIRFLOW_JWT_SECRET = "x" * 64
    gateway._transport.cache_clear()
    with pytest.raises(Unauthorized, match="credentials"):
        gateway.connect().dags()
    gateway._transport.cache_clear()
