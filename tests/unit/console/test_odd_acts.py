"""Loops that act for one thing after the other: what fails at one, with whatever error, fails at no other."""

from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone

from core.lib import loops as lib_loops
from core.lib import outbox, watching
from core.lib.models import SetAside, SyncState
from core.lib.poll import Poll
from jobs import gateway as spark
from jobs import settling
from jobs import sync as jobs_sync
from jobs import tasks as jobs_tasks
from jobs.folders import Folder
from jobs.models import Job
from models_registry import aliases
from models_registry import tasks as models_tasks
from models_registry.models import RegisteredModel
from pipelines import gateway as airflow_gateway
from pipelines import sync as pipelines_sync
from pipelines import tasks as pipelines_tasks
from pipelines.models import Pipeline, Run
from predictions import tasks as drift_tasks
from tests.fakes.airflow import FakeAirflow
from tests.pipeline_rows import make_pipeline, make_run

pytestmark = pytest.mark.django_db
NAMES = ["a", "odd", "z"]


class Broken(Exception):
    """No class that anybody foresees."""


@pytest.fixture
def airflow(monkeypatch):
    fake = FakeAirflow()
    monkeypatch.setattr(airflow_gateway, "connect", lambda *_who: fake)
    return fake


@pytest.fixture
def acted():
    return []


@pytest.fixture
def act(acted):
    """What stands in a loop's place: it breaks at the odd one."""

    def act(thing, *_rest, **_more):
        name = str(getattr(thing, "name", None) or getattr(thing, "model", None) or thing)
        if name == "odd":
            raise Broken("no")
        acted.append(name)

    return act


def one_set_aside(loop):
    row = SetAside.objects.get()
    assert (row.loop, row.reason, row.count) == (loop, "Broken: no", 1)
    return row


def test_details_of_pipelines(airflow, monkeypatch):
    for name in NAMES:
        airflow.add_dag(name)
    ask = airflow.dag_details

    def details(dag_id):
        if dag_id == "odd":
            raise Broken("no")
        return ask(dag_id)

    monkeypatch.setattr(airflow, "dag_details", details)
    for _round in range(2):
        pipelines_sync.sync_pipelines()
    done = Pipeline.objects.exclude(details_at=None).values_list("dag_id", flat=True)
    assert sorted(done) == ["a", "z"]
    assert one_set_aside("pipelines.details").about == "odd"


def test_runs_that_seem_to_be_under_way(airflow, monkeypatch):
    for name in NAMES:
        make_run(name, state="running", dag_run_id="r", wish="", next_attempt_at=None)
    ask = airflow.run

    def run(dag_id, dag_run_id):
        if dag_id == "odd":
            raise Broken("no")
        return ask(dag_id, dag_run_id)

    monkeypatch.setattr(airflow, "run", run)
    for _round in range(2):
        pipelines_sync.sync_lost_runs()
    assert sorted(Run.objects.filter(state="lost").values_list("dag_id", flat=True)) == ["a", "z"]
    assert one_set_aside("pipelines.lost-runs").about == "odd r"


@pytest.fixture
def jobs(settings, tmp_path):
    settings.CONSOLE_VAR_DIR = tmp_path
    return [Job.objects.create(app=name, state="running", ui_port=n) for n, name in enumerate(NAMES)]


def test_ends_of_jobs(jobs, monkeypatch):
    settled = []

    def settle(job):
        if job.app == "odd":
            raise Broken("no")
        settled.append(job.app)
        return True

    monkeypatch.setattr(settling, "settle", settle)
    monkeypatch.setattr(jobs_tasks, "wake_next", lambda: None)
    jobs_sync.follow_jobs()
    assert settled == ["a", "z"]
    assert one_set_aside("jobs.ends").about == str(jobs[1].pk)


def test_numbers_of_a_driver_that_no_column_holds(jobs, monkeypatch):
    monkeypatch.setattr(Folder, "is_held", property(lambda _folder: True))

    def progress(job_id, _port):
        n_tasks = 2**63 if job_id == str(jobs[1].pk) else 7
        return spark.Progress("app", 1, 2, 3, n_tasks)

    monkeypatch.setattr(spark, "progress", progress)
    jobs_sync.follow_jobs()
    assert sorted(Job.objects.values_list("app", "tasks_total")) == [("a", 7), ("odd", 0), ("z", 7)]
    assert SetAside.objects.get().loop == "jobs.progress"


@pytest.mark.parametrize("content", ["[]", "7", '"x"', "null", "{", "[" * 100_000])
def test_a_damaged_file_of_one_job(jobs, content, monkeypatch):
    monkeypatch.setattr(jobs_tasks, "wake_next", lambda: None)
    for job in jobs:
        job.folder.path.mkdir(parents=True)
        (job.folder.path / "exit.json").write_text('{"code": 1, "ended_at": "in the year 9999"}')
    (jobs[1].folder.path / "exit.json").write_text(content)
    jobs_sync.follow_jobs()
    assert sorted(Job.objects.values_list("app", "state")) == [
        ("a", "failed"),
        ("odd", "running"),
        ("z", "failed"),
    ]
    assert "exit.json is damaged" in SetAside.objects.get().reason


def test_models_watched_for_drift(act, acted, monkeypatch):
    champions = [SimpleNamespace(model=name) for name in NAMES]
    monkeypatch.setattr(drift_tasks.registry, "champions", lambda: champions)
    monkeypatch.setattr(drift_tasks, "_look", act)
    drift_tasks.look_for_drift()
    assert acted == ["a", "z"]
    one_set_aside("drift.champions")


def test_aliases_held_against_the_ledger(act, acted, monkeypatch):
    for name in NAMES:
        RegisteredModel.objects.create(name=name)
    monkeypatch.setattr(aliases, "settle", act)
    aliases.check(SimpleNamespace(models=list), NAMES)
    assert sorted(acted) == ["a", "z"]
    one_set_aside("models.aliases")


def test_requests_that_expire(act, acted, monkeypatch):
    version = SimpleNamespace(model=SimpleNamespace(name="titanic"))
    late = [SimpleNamespace(pk=n, name=name, version=version) for n, name in enumerate(NAMES)]
    monkeypatch.setattr(
        models_tasks, "_late_requests", lambda: SimpleNamespace(select_related=lambda _with: late)
    )
    monkeypatch.setattr(models_tasks, "_expire", lambda row: act(row) is None)
    assert models_tasks.expire_requests() == 2
    assert acted == ["a", "z"]
    assert one_set_aside("models.expired-requests").about == "titanic"


def test_kinds_of_wishes(monkeypatch):
    sent = []

    def send(model, task):
        if task.name == "odd":
            raise Broken("no")
        sent.append(task.name)
        return 1

    monkeypatch.setattr(outbox, "_registered", [(None, SimpleNamespace(name=name)) for name in NAMES])
    monkeypatch.setattr(outbox, "_send_again", send)
    assert outbox.sweep() == 2
    assert sent == ["a", "z"]
    one_set_aside("lib.outbox-kinds")


@pytest.fixture
def paused():
    row = make_pipeline("etl")
    Pipeline.objects.filter(pk="etl").update(wanted_is_paused=True, next_attempt_at=timezone.now())
    return row


def test_a_wish_whose_task_breaks_says_so_and_is_tried_again(paused, airflow, monkeypatch):
    def broken(_username):
        raise Broken("no")

    monkeypatch.setattr(pipelines_tasks, "airflow_for", broken)
    pipelines_tasks.deliver_pause.apply(args=["etl"])
    paused.refresh_from_db()
    assert paused.delivery_error == "Broken: no"
    assert paused.next_attempt_at is not None
    assert one_set_aside("lib.outbox").key == "pipelines.tasks.deliver_pause etl"
    airflow.add_dag("etl")
    airflow.as_user("ana", "user")
    monkeypatch.setattr(pipelines_tasks, "airflow_for", lambda _username: airflow)
    Pipeline.objects.filter(pk="etl").update(next_attempt_at=timezone.now())
    pipelines_tasks.deliver_pause.apply(args=["etl"])
    paused.refresh_from_db()
    assert (paused.is_paused, paused.delivery_error) == (True, "")
    assert not SetAside.objects.exists()


def test_a_wish_without_a_database_is_nobodys_fault(paused, monkeypatch):
    def away(_username):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(pipelines_tasks, "airflow_for", away)
    pipelines_tasks.deliver_pause.apply(args=["etl"])
    assert not lib_loops.WISHES.rows().exists()


def test_words_of_a_poll_that_no_column_holds_end_no_watch(monkeypatch):
    def broken():
        raise Broken("nul \x00 and half \ud800")

    watched = watching.Watched(Poll("tests.poll", "airflow", 1, broken))
    monkeypatch.setattr(watching, "close_old_connections", lambda: None)
    watched.run_once()
    assert SyncState.objects.get(name="tests.poll").last_error.startswith("Broken: nul")
