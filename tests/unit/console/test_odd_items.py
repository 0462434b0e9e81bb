"""Every mirror with good items and an odd one beside them: the good ones arrive, it is set aside once.

Odd items are good ones of which one field, any field at any depth, is something else: what hypothesis finds.
An odd item may fit all the same: then it is a row like any other. What it may not do is to end the round.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.lib import aside
from core.lib.models import SetAside
from models_registry import mirror as mlflow_rows
from models_registry import mlflow_types
from models_registry.models import Experiment, MlflowRun, ModelVersion, RegisteredModel
from pipelines import backfill_answers, backfill_mirror, dag_answers, run_answers, task_answers
from pipelines import mirror as airflow_rows
from pipelines.models import Backfill, ImportFault, Pipeline, Run, TaskInstance
from tests.fakes.mlflow import FakeMlflow
from tests.pipeline_rows import make_run

pytestmark = pytest.mark.django_db
NOW_MS = 1_760_000_000_000
AT = "2026-01-02T03:04:05Z"
ABSENT = object()


@dataclass(frozen=True)
class Mirror:
    """One loop: a sound item as the service sends it, how the loop takes a list, and what has arrived."""

    item: Callable[[int], dict[str, Any]]
    take: Callable[[list[Any]], object]
    arrived: Callable[[], set[str]]
    name: Callable[[int], str]


def dag(n: int) -> dict[str, Any]:
    return {
        "dag_id": f"dag{n}",
        "dag_display_name": f"DAG {n}",
        "description": None,
        "tags": [{"name": "team"}],
        "owners": ["ana"],
        "timetable_summary": "0 0 * * *",
        "timetable_description": "At midnight",
        "next_dagrun_run_after": AT,
        "is_paused": False,
        "has_import_errors": False,
        "relative_fileloc": "a.py",
        "max_active_runs": 16,
    }


def fault(n: int) -> dict[str, Any]:
    return {"import_error_id": 70_000 + n, "filename": f"{n}.py", "stack_trace": "no", "timestamp": AT}


def run(n: int) -> dict[str, Any]:
    return {
        "dag_id": "etl",
        "dag_run_id": f"run{n}",
        "state": "running",
        "conf": {"a": [1, {"b": None}]},
        "note": None,
        "run_type": "manual",
        "triggering_user_name": "ana",
        "queued_at": AT,
        "start_date": AT,
        "end_date": None,
    }


def task(n: int) -> dict[str, Any]:
    return {
        "dag_id": "etl",
        "dag_run_id": "manual__1",
        "task_id": f"task{n}",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 0,
        "state": "running",
        "operator_name": "@task",
        "start_date": AT,
        "end_date": None,
        "duration": 1.5,
    }


def backfill(n: int) -> dict[str, Any]:
    return {
        "id": 50_000 + n,
        "dag_id": f"dag{n}",
        "from_date": AT,
        "to_date": AT,
        "dag_run_conf": {"a": [1]},
        "is_paused": False,
        "reprocess_behavior": "none",
        "max_active_runs": 10,
        "created_at": AT,
        "completed_at": None,
    }


def experiment(n: int) -> dict[str, Any]:
    return {"experiment_id": f"{n}", "name": f"x{n}", "creation_time": NOW_MS, "last_update_time": NOW_MS}


def mlflow_run(n: int) -> dict[str, Any]:
    info = {"run_id": f"{n:032x}", "experiment_id": "1", "run_name": "training", "status": "FINISHED"}
    times = {
        "user_id": "ana",
        "start_time": NOW_MS,
        "end_time": NOW_MS + 5,
        "artifact_uri": "mlflow-artifacts:/1",
    }
    data = {
        "params": [{"key": "depth", "value": "3"}],
        "metrics": [{"key": "accuracy", "value": 0.8}],
        "tags": [{"key": "dag_run_id", "value": "manual__1"}],
    }
    return {"info": {**info, **times, "lifecycle_stage": "active"}, "data": data}


def model(n: int) -> dict[str, Any]:
    aliases = [{"alias": "champion", "version": "1"}]
    return {"name": f"model{n}", "description": "", "creation_timestamp": NOW_MS, "aliases": aliases}


def version(n: int) -> dict[str, Any]:
    return {
        "name": "titanic",
        "version": f"{n + 1}",
        "run_id": "",
        "source": "mlflow-artifacts:/1/m",
        "description": "",
        "user_id": "ana",
        "creation_timestamp": NOW_MS,
        "status": "READY",
        "tags": [],
    }


def take_tasks(items: list[Any]) -> None:
    runs = list(Run.objects.filter(dag_run_id="manual__1")) or [
        make_run("etl", state="running", dag_run_id="manual__1")
    ]
    airflow_rows.save_tasks(runs, task_answers.task_states(items))


def take_mlflow_runs(items: list[Any]) -> None:
    Experiment.objects.get_or_create(experiment_id="1", defaults={"name": "x"})
    mlflow_rows.save_runs(aside.read(items, mlflow_types.RunInfo.from_answer, key=mlflow_types.run_key))


def take_versions(items: list[Any]) -> None:
    from models_registry import sync

    found = aside.read(items, mlflow_types.VersionInfo.from_answer, key=mlflow_types.version_key)
    sync._save_versions(FakeMlflow(), found, tried=set())


def _rows(model_class: type, field: str) -> Callable[[], set[str]]:
    return lambda: {str(value) for value in model_class.objects.values_list(field, flat=True)}


MIRRORS = {
    "pipelines.dags": Mirror(
        dag,
        lambda items: airflow_rows.save_dags(aside.read(items, dag_answers.dag, key=dag_answers.dag_key)),
        _rows(Pipeline, "dag_id"),
        lambda n: f"dag{n}",
    ),
    "pipelines.files": Mirror(
        fault,
        lambda items: airflow_rows.save_import_faults(
            aside.read(items, dag_answers.import_fault, key=dag_answers.fault_key)
        ),
        _rows(ImportFault, "filename"),
        lambda n: f"{n}.py",
    ),
    "pipelines.runs": Mirror(
        run,
        lambda items: airflow_rows.save_runs(aside.read(items, run_answers.dag_run, key=run_answers.run_key)),
        _rows(Run, "dag_run_id"),
        lambda n: f"run{n}",
    ),
    "pipelines.tasks": Mirror(task, take_tasks, _rows(TaskInstance, "task_id"), lambda n: f"task{n}"),
    "pipelines.backfills": Mirror(
        backfill,
        lambda items: backfill_mirror.save(
            "etl", aside.read(items, backfill_answers.backfill, key=backfill_answers.backfill_key)
        ),
        _rows(Backfill, "dag_id"),
        lambda n: f"dag{n}",
    ),
    "models.experiments": Mirror(
        experiment,
        lambda items: mlflow_rows.save_experiments(
            aside.read(items, mlflow_types.ExperimentInfo.from_answer, key=mlflow_types.experiment_key)
        ),
        _rows(Experiment, "name"),
        lambda n: f"x{n}",
    ),
    "models.runs": Mirror(mlflow_run, take_mlflow_runs, _rows(MlflowRun, "run_id"), lambda n: f"{n:032x}"),
    "models.models": Mirror(
        model,
        lambda items: mlflow_rows.save_models(
            aside.read(items, mlflow_types.ModelInfo.from_answer, key=mlflow_types.model_key)
        ),
        _rows(RegisteredModel, "name"),
        lambda n: f"model{n}",
    ),
    "models.versions": Mirror(version, take_versions, _rows(ModelVersion, "version"), lambda n: f"{n + 1}"),
}

ODD_VALUES = st.one_of(
    st.sampled_from(
        [
            ABSENT,
            None,
            "",
            "x" * 10_000,
            "nul\x00",
            "half\ud800",
            "newest-state-of-all",
            10**400,
            2**63,
            2**31,
            -1,
            0,
            True,
            [],
            {},
            [None],
            {"key": None},
            NOW_MS * 1000,
            NOW_MS + 400 * 24 * 3600 * 1000,
            "9" * 400,
            "0001-01-01T00:00:00+14:00",
            float("nan"),
            float("inf"),
        ]
    ),
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)


def paths(value: Any, start: tuple = ()) -> Iterator[tuple]:
    """Where something stands in the item: each key and each place of a list, at any depth."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in places:
        yield (*start, key)
        yield from paths(inner, (*start, key))


def with_odd(item: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    odd = copy.deepcopy(item)
    place: Any = odd
    for key in path[:-1]:
        place = place[key]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return odd


@pytest.mark.parametrize("loop", MIRRORS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_good_items_arrive_and_an_odd_one_beside_them_is_set_aside_once(loop, data):
    mirror = MIRRORS[loop]
    path = data.draw(st.sampled_from(list(paths(mirror.item(9)))), label="where")
    odd = with_odd(mirror.item(9), path, data.draw(ODD_VALUES, label="what"))
    place = data.draw(st.integers(0, 4), label="at")
    items = [mirror.item(n) for n in range(4)]
    items.insert(place, odd)
    with transaction.atomic():
        for _round in range(3):
            mirror.take(copy.deepcopy(items))
        assert {mirror.name(n) for n in range(4)} <= mirror.arrived()
        rows = list(SetAside.objects.all())
        assert [(row.loop, row.count) for row in rows] in ([], [(loop, 1)])
        transaction.set_rollback(True)


@pytest.mark.parametrize("loop", MIRRORS)
@pytest.mark.parametrize("odd", [None, [], "text", 7, {}], ids=repr)
def test_what_is_no_item_at_all_is_set_aside_too(loop, odd):
    mirror = MIRRORS[loop]
    if loop == "pipelines.tasks":
        odd = {"dag_id": "etl", "dag_run_id": "manual__1"}
    for _round in range(2):
        mirror.take([mirror.item(0), odd, mirror.item(1)])
    assert {mirror.name(0), mirror.name(1)} <= mirror.arrived()
    assert [(row.loop, row.count) for row in SetAside.objects.all()] == [(loop, 1)]


@pytest.mark.parametrize("loop", MIRRORS)
def test_one_thing_twice_in_a_list_is_one_row(loop):
    mirror = MIRRORS[loop]
    mirror.take([mirror.item(0), mirror.item(1), copy.deepcopy(mirror.item(0))])
    assert {mirror.name(0), mirror.name(1)} <= mirror.arrived()
    assert not SetAside.objects.exists()


@pytest.mark.parametrize("name", [None, "", 7, True, ["etl"], {"a": 1}], ids=repr)
@pytest.mark.parametrize(
    ("loop", "field"),
    [
        ("pipelines.dags", "dag_id"),
        ("pipelines.runs", "dag_id"),
        ("pipelines.runs", "dag_run_id"),
        ("pipelines.tasks", "task_id"),
        ("models.experiments", "experiment_id"),
        ("models.experiments", "name"),
        ("models.runs", "run_id"),
        ("models.runs", "experiment_id"),
        ("models.models", "name"),
        ("models.versions", "name"),
    ],
)
def test_a_name_is_text_and_some_of_it(loop, field, name):
    mirror = MIRRORS[loop]
    odd = mirror.item(9)
    (odd["info"] if loop == "models.runs" else odd)[field] = name
    mirror.take([odd, mirror.item(0), mirror.item(1)])
    assert {mirror.name(0), mirror.name(1)} <= mirror.arrived()
    assert [row.count for row in SetAside.objects.filter(loop=loop)] == [1]


# --- what was tried on the real services


def test_a_timetable_summary_of_336_characters_is_kept_whole():
    odd = {**dag(1), "timetable_summary": "s" * 336, "dag_display_name": "n" * 2000}
    MIRRORS["pipelines.dags"].take([dag(0), odd, dag(2)])
    assert Pipeline.objects.get(pk="dag1").schedule == "s" * 336
    assert not SetAside.objects.exists()


def test_what_newer_releases_say_is_kept_as_it_comes():
    MIRRORS["pipelines.runs"].take([{**run(0), "state": "hibernating", "run_type": "asset_materialization"}])
    odd = mlflow_run(0)
    odd["info"]["status"] = "PAUSED_BY_POLICY"
    MIRRORS["models.runs"].take([odd])
    assert Run.objects.get().state == "hibernating"
    assert (MlflowRun.objects.get().status, MlflowRun.objects.get().state) == (
        "PAUSED_BY_POLICY",
        "paused_by_policy",
    )


def test_a_start_time_in_microseconds_keeps_no_other_run():
    odd = mlflow_run(0)
    odd["info"]["start_time"] = NOW_MS * 1000
    MIRRORS["models.runs"].take([odd, mlflow_run(1)])
    assert MlflowRun.objects.count() == 2
    assert {row.started_at.year for row in MlflowRun.objects.all()} == {2025}


def test_json_that_is_nested_deeply_is_its_items_fault():
    deep = json.loads("[" * 900 + "]" * 900)
    MIRRORS["pipelines.runs"].take([{**run(0), "conf": {"a": deep}}, run(1)])
    assert Run.objects.filter(dag_run_id="run1").exists()
