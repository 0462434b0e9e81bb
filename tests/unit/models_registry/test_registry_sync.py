"""What MLflow has becomes rows, cheaply, and what it has no more is marked."""

import json
import time
import weakref
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib import aside, aside_round
from core.lib.errors import Unavailable
from core.lib.models import SetAside
from models_registry import gateway, loops, mirror, mlflow_types, run_filter, sync
from models_registry.models import Experiment, MlflowRun, ModelVersion, RegisteredModel
from tests.people import make_user
from tests.registry import SPEC, make_gate, make_model, make_version

pytestmark = pytest.mark.django_db
IN_AN_HOUR = timezone.now() + timedelta(hours=1)


@pytest.fixture
def run_id(mlflow):
    id_ = mlflow.create_run(
        mlflow.create_experiment("titanic"),
        "training",
        {"dag_run_id": "console__1", "data_sha256": "9f3c", "requested_by": "ana"},
    )
    mlflow.log_metric(id_, "holdout_accuracy", 0.83)
    mlflow.log_metric(id_, "broken", float("nan"))
    mlflow.log_param(id_, "n_estimators", "200")
    mlflow.write_file(mlflow.run_root(id_), "serving/spec.json", json.dumps(SPEC).encode())
    return id_


def test_runs_become_rows_with_their_lineage(run_id):
    sync.sync_runs()
    row = MlflowRun.objects.get()
    assert (row.dag_run_id, row.status, row.experiment.name) == ("console__1", "RUNNING", "titanic")
    assert row.metrics == {"holdout_accuracy": 0.83, "broken": "NaN"}
    assert row.params == {"n_estimators": "200"}


def test_a_run_that_was_going_is_followed_to_its_end(run_id, mlflow):
    sync.sync_runs()
    for number in range(60):
        mlflow.create_run("1", f"later {number}")
    mlflow.end_run(run_id)
    sync.sync_runs()
    assert MlflowRun.objects.get(run_id=run_id).status == "FINISHED"


def test_a_burst_of_runs_is_seen_whole(run_id, mlflow):
    sync.sync_runs()
    for number in range(130):
        mlflow.create_run("1", f"trial {number}")
    sync.sync_runs()
    assert MlflowRun.objects.count() == 131


def test_idle_is_cheap(run_id, mlflow, django_assert_max_num_queries):
    mlflow.end_run(run_id)
    sync.sync_runs()
    sync.sync_versions()
    mlflow.calls.clear()
    with django_assert_max_num_queries(20):
        sync.sync_runs()
        sync.sync_versions()
    assert mlflow.calls == ["experiments", "runs", "models", "versions"]


def test_a_version_carries_its_lineage_and_spec(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    row = ModelVersion.objects.get()
    assert (str(row), row.data_sha256, row.registered_by) == ("titanic v1", "9f3c", "ana")
    assert row.spec == SPEC
    assert row.primary_metric == "accuracy"


def test_a_version_without_files_is_a_row_too(mlflow):
    mlflow.register("bare", mlflow.create_run(mlflow.create_experiment("x"), "y"))
    sync.sync_versions()
    assert ModelVersion.objects.get().spec == {}


ODD_SPECS = {
    "UTF-16 without its mark": (json.dumps(SPEC).encode("utf-16-le"), {}, ""),
    "a measure with a null character": (
        json.dumps({**SPEC, "primary_metric": "a\x00"}).encode(),
        {**SPEC, "primary_metric": "a\x00"},
        "a\N{REPLACEMENT CHARACTER}",
    ),
    "a byte order mark": (json.dumps(SPEC).encode("utf-8-sig"), SPEC, "accuracy"),
}


@pytest.mark.parametrize(("content", "spec", "metric"), ODD_SPECS.values(), ids=ODD_SPECS.keys())
def test_a_version_with_an_odd_spec_is_a_row_too(run_id, mlflow, content, spec, metric):
    mlflow.write_file(mlflow.run_root(run_id), "serving/spec.json", content)
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    row = ModelVersion.objects.get()
    assert (row.spec, row.primary_metric) == (spec, metric)
    assert row.spec_json.encode() == (content if spec else b"")


@pytest.fixture
def no_store(mlflow, monkeypatch):
    """The store of artefacts is away; MLflow itself answers. What was read."""
    asked = []

    def fail(root, _path, **_values):
        asked.append(root)
        _fail()

    monkeypatch.setattr(mlflow, "read_file", fail)
    return asked


@pytest.mark.django_db(transaction=True)  # as polls run: in no transaction
class TestStoreAway:
    """Specs cannot be read for a while: rows are there, and nobody waits for every version in turn."""

    def test_a_version_is_a_row_and_shown_and_gets_its_spec_soon(self, run_id, mlflow, monkeypatch):
        shown = []
        monkeypatch.setattr(sync.live, "publish", lambda topic, *_body: shown.append(topic))
        with monkeypatch.context() as patch:
            patch.setattr(mlflow, "read_file", _fail)
            mlflow.register("titanic", run_id)
            sync.sync_versions()
        row = ModelVersion.objects.get()
        assert (row.data_sha256, row.spec) == ("9f3c", {})
        assert "model:titanic" in shown
        assert SetAside.objects.get().key == "titanic v1"
        sync.sync_versions()
        assert ModelVersion.objects.get().spec == {}  # not before its next try
        loops.VERSIONS.rows().update(next_try_at=timezone.now())
        sync.sync_versions()
        assert ModelVersion.objects.get().spec == SPEC
        assert not SetAside.objects.exists()

    def test_after_three_versions_nobody_waits_for_more(self, run_id, mlflow, no_store, monkeypatch):
        shown = []
        monkeypatch.setattr(sync.live, "publish", lambda topic, *_body: shown.append(topic))
        for _number in range(5):
            mlflow.register("titanic", run_id)
        with pytest.raises(Unavailable):
            sync.sync_versions()
        assert len(no_store) == 3
        assert ModelVersion.objects.count() == 3
        assert "model:titanic" in shown

    def test_the_other_steps_of_a_walk_are_done(self, run_id, mlflow, no_store):
        gone = make_version(1, model=make_model("gone"))
        for _number in range(3):
            mlflow.register("titanic", run_id)
        with pytest.raises(Unavailable):
            sync.walk_everything()
        gone.refresh_from_db()
        assert gone.gone_at is not None
        assert ModelVersion.objects.filter(model__name="titanic").count() == 3


def _fail(*_args, **_values):
    raise Unavailable("MLflow did not answer in time. Try again in a moment.")


def test_an_alias_set_elsewhere_is_seen(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    mlflow.set_champion("titanic", 1)
    sync.sync_versions()
    assert RegisteredModel.objects.get().alias_version == 1


def test_the_full_walk_marks_what_is_gone(run_id, mlflow):
    mlflow.register("titanic", run_id)
    sync.sync_runs()
    sync.sync_versions()
    mlflow.delete_run(run_id)
    mlflow._versions.clear()
    sync.walk_everything()
    assert MlflowRun.objects.get().gone_at is not None
    assert ModelVersion.objects.get().gone_at is not None
    assert Experiment.objects.get().gone_at is None


def test_late_tags_show_after_the_full_walk(run_id, mlflow):
    mlflow.end_run(run_id)
    sync.sync_runs()
    mlflow.log_metric(run_id, "late", 1.0)
    sync.walk_everything()
    assert MlflowRun.objects.get().metrics["late"] == 1.0


def test_a_huge_metric_makes_no_run_changed_at_each_poll(run_id, mlflow):
    for key, value in (("a", 3.4e38), ("b", 1e25), ("c", -1e300), ("d", 164.0), ("e", 0.1)):
        mlflow.log_metric(run_id, key, value)
    sync.sync_runs()
    assert mirror.save_runs([mlflow.run(run_id)]) == []
    mlflow.log_metric(run_id, "b", 1.0000001e25)
    assert mirror.save_runs([mlflow.run(run_id)]) == [run_id]


def test_mlflow_away_is_said_and_changes_nothing(run_id, mlflow):
    sync.sync_runs()
    mlflow.is_away = True
    for poll in (sync.sync_runs, sync.sync_versions, sync.walk_everything):
        with pytest.raises(Unavailable):
            poll()
    assert MlflowRun.objects.get().gone_at is None


def test_a_version_of_the_demonstration_stays_marked_when_its_user_is_gone(run_id, mlflow):
    ana = make_user("ana", "engineer", is_demo=True)
    mlflow.register("titanic", run_id)
    sync.sync_versions()
    assert ModelVersion.objects.get().is_demo
    ana.delete()
    sync.walk_everything()
    assert ModelVersion.objects.get().is_demo


# --- clocks of others

NOW_MS = int(time.time() * 1000)
YEAR_MS = 365 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("start_time", "is_known"),
    [
        (NOW_MS * 1000, True),
        (NOW_MS * 10**6, True),
        (NOW_MS // 1000, True),
        (NOW_MS - YEAR_MS, True),
        (NOW_MS + YEAR_MS, False),
        (0, False),
        (-1, False),
        (2**63 - 1, False),
    ],
    ids=["microseconds", "nanoseconds", "seconds", "year-late", "year-ahead", "zero", "negative", "largest"],
)
def test_a_run_of_another_clock_is_there_and_hides_nobody_elses(run_id, mlflow, start_time, is_known):
    odd = mlflow.create_run("1", "odd", start_time=start_time)
    for number in range(3):
        later = mlflow.create_run("1", f"later {number}")
        sync.sync_runs()
        assert MlflowRun.objects.filter(pk=later).exists()
    sync.sync_runs_of_other_clocks()
    row = MlflowRun.objects.get(pk=odd)
    assert (row.started_at is not None) is is_known
    mlflow.delete_run(odd)
    sync.walk_everything()
    row.refresh_from_db()
    assert row.gone_at is not None
    later = mlflow.create_run("1", "after the deletion")
    sync.sync_runs()
    assert MlflowRun.objects.filter(pk=later).exists()


def test_a_crowd_of_runs_of_the_future_hides_no_new_one_among_them(mlflow):
    experiment_id = mlflow.create_experiment("x")
    for number in range(120):
        mlflow.create_run(experiment_id, f"ahead {number}", start_time=NOW_MS * 1000 + number)
    sync.sync_runs()
    sync.sync_runs_of_other_clocks()
    assert MlflowRun.objects.count() == 120
    new = mlflow.create_run(experiment_id, "new", start_time=NOW_MS * 1000 + 500)
    sync.sync_runs_of_other_clocks()
    assert MlflowRun.objects.filter(pk=new).exists()


def test_runs_that_never_end_keep_no_other_from_being_seen_to_end(mlflow, monkeypatch):
    experiment_id = mlflow.create_experiment("x")
    for number in range(120):
        mlflow.create_run(experiment_id, f"crashed {number}", start_time=NOW_MS - 10**7)
    sync.walk_everything()
    MlflowRun.objects.update(started_at=timezone.now() - timedelta(hours=3))
    last = max(mlflow._runs)
    mlflow.end_run(last)
    for turn in range(5):
        monkeypatch.setattr(sync.time, "time", lambda turn=turn: turn * sync.EVERY_S)
        sync.sync_runs()
    assert MlflowRun.objects.get(pk=last).status == "FINISHED"


def test_an_unknown_time_is_the_oldest_in_lists(run_id, mlflow):
    odd = mlflow.create_run("1", "odd", start_time=0)
    sync.sync_runs()
    sync.sync_runs_of_other_clocks()
    for order, expected in (
        ("-started_at", [run_id, odd]),
        ("started_at", [odd, run_id]),
        ("", [run_id, odd]),
    ):
        rows, by = run_filter.ordered(MlflowRun.objects.all(), order)
        assert [row.pk for row in rows.order_by(*by)] == expected


# --- what MLflow can hold


def test_names_as_long_as_mlflow_allows_are_kept_whole(mlflow):
    long = "é" * 256
    run_id = mlflow.create_run(mlflow.create_experiment(long), long, {"requested_by": "u" * 8000})
    mlflow.register(long, run_id)
    sync.sync_runs()
    sync.sync_versions()
    version = ModelVersion.objects.get()
    assert (Experiment.objects.get().name, MlflowRun.objects.get().name, version.model.name) == (long,) * 3
    assert version.registered_by == "u" * 8000
    assert not SetAside.objects.exists()


def test_a_reference_to_nothing_keeps_no_other_run(run_id, mlflow):
    Experiment.objects.create(experiment_id="7", name="x")
    mlflow.create_run("7", "of an experiment that is none")
    Experiment.objects.all().delete()
    orphan = gateway.RunInfo.from_answer({"info": {"run_id": "o" * 32, "experiment_id": "404"}})
    sound = mlflow.run(run_id)
    mirror.save_experiments(mlflow.experiments())
    assert mirror.save_runs([orphan, sound]) == [run_id]
    row = SetAside.objects.get()
    assert (row.loop, row.key, row.about) == ("models.runs", "o" * 32, "404")


def test_a_null_where_none_may_be_is_no_row_written_meanwhile(run_id, mlflow):
    mirror.save_experiments([replace(mlflow.experiments()[0], name=None)])
    assert "null value" in SetAside.objects.get().reason


def test_a_run_set_aside_is_asked_for_again_and_forgotten_when_it_is_gone(run_id, mlflow):
    loops.RUNS.set_aside("f" * 32, "odd")
    loops.RUNS.rows().update(next_try_at=timezone.now())
    sync.sync_runs()
    assert not SetAside.objects.exists()


def test_one_version_that_mlflow_fails_at_delays_no_other(run_id, mlflow, monkeypatch):
    mlflow.register("titanic", run_id)
    odd = mlflow.create_run("1", "odd")
    mlflow.register("odd", odd)
    ask = mlflow.run

    def fail(wanted):
        if wanted == odd:
            raise Unavailable("MLflow answered with an error (500). Try again in a moment.")
        return ask(wanted)

    monkeypatch.setattr(mlflow, "run", fail)
    sync.sync_versions()
    assert [str(row) for row in ModelVersion.objects.all()] == ["titanic v1"]
    assert (SetAside.objects.get().key, SetAside.objects.get().about) == ("odd v1", "odd")


@pytest.mark.parametrize("name", ["team/churn", "..", "."])
def test_a_model_whose_name_no_address_carries_is_set_aside_with_its_versions(name):
    data = {"name": name, "version": "1"}
    for kind, key in (
        (gateway.ModelInfo, mlflow_types.model_key),
        (gateway.VersionInfo, mlflow_types.version_key),
    ):
        [found] = aside.read([data], kind.from_answer, key=key)
        assert isinstance(found, aside.Unread)
        assert found.reason.startswith("No address can carry this name.")


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800b"])
def test_a_name_that_no_row_can_hold_keeps_no_other_from_being_read(run_id, mlflow, name):
    data = {"name": name, "version": "1"}
    mlflow.register("titanic", run_id)
    mlflow.unread = {
        "models": aside.read([data], gateway.ModelInfo.from_answer, key=mlflow_types.model_key),
        "versions": aside.read([data], gateway.VersionInfo.from_answer, key=mlflow_types.version_key),
    }
    for poll in (sync.sync_versions, sync.walk_everything):
        poll()
        assert ModelVersion.objects.get().model.name == "titanic"
        loops_ = sorted(SetAside.objects.values_list("loop", flat=True))
        assert loops_ == ["models.models", "models.versions"]


def test_models_whose_names_no_address_carries_are_taken_away(mlflow, scientist):
    for name in ("titanic", "team/churn", ".."):
        make_version(1, model=make_model(name))
    make_gate(make_version(1, model=make_model("odd/judged")), scientist)
    sync.walk_everything()
    names = RegisteredModel.objects.order_by("name").values_list("name", flat=True)
    assert list(names) == ["odd/judged", "titanic"]
    assert ModelVersion.objects.count() == 2


def test_a_walk_holds_a_page_of_versions_and_misses_none(run_id, mlflow, monkeypatch):
    monkeypatch.setattr("core.lib.aside.LOOKED_AT", 10)
    monkeypatch.setattr(sync, "PAGE", 10)
    for _n in range(35):
        mlflow.register("titanic", run_id)
    listed, alive, most = mlflow.versions, weakref.WeakValueDictionary(), []

    def versions(count=None):
        for found in listed(count):
            told = replace(found)
            alive[id(told)] = told
            most.append(len(alive))
            yield told

    monkeypatch.setattr(mlflow, "versions", versions)
    sync.walk_everything()
    assert ModelVersion.objects.filter(gone_at=None).count() == 35
    assert max(most) <= 2 * 10  # the page before goes when the next is there
    del mlflow._versions[3]
    SetAside.objects.create(loop=loops.VERSIONS.name, key="titanic v4", reason="no")
    there = {"key": "titanic v5", "fingerprint": aside_round.digest(mlflow.version("titanic", 5))}
    SetAside.objects.create(loop=loops.VERSIONS.name, reason="no", next_try_at=IN_AN_HOUR, **there)
    sync.walk_everything()
    assert ModelVersion.objects.exclude(gone_at=None).get().version == 4
    assert SetAside.objects.get().key == "titanic v5"


def test_a_store_of_artefacts_that_is_away_ends_a_walk_at_its_end(run_id, mlflow, monkeypatch):
    monkeypatch.setattr(sync, "PAGE", 3)
    for _n in range(7):
        mlflow.register("titanic", run_id)
    gone = make_version(9, model=make_model("titanic"))
    monkeypatch.setattr(mlflow, "read_file", _away)
    with pytest.raises(Unavailable):
        sync.walk_everything()
    gone.refresh_from_db()
    assert gone.gone_at is not None


def _away(*_args, **_values):
    raise Unavailable("away", service="mlflow")


def test_what_cannot_be_read_of_an_answer_is_set_aside(run_id, mlflow):
    mlflow.unread = {
        name: [aside.Unread(f"odd {name}", "no")] for name in ("experiments", "runs", "models", "versions")
    }
    sync.sync_runs()
    sync.sync_versions()
    sync.walk_everything()
    assert MlflowRun.objects.get().pk == run_id
    assert sorted(SetAside.objects.values_list("loop", flat=True)) == [
        "models.experiments",
        "models.models",
        "models.runs",
        "models.versions",
    ]
