"""The gateway's contract, checked on the fake and on a real MLflow alike."""

import time
import uuid
from datetime import timedelta
from itertools import pairwise

import pytest

from core.lib.errors import InvalidRequest, NotFound, Unavailable
from models_registry.gateway import MlflowGateway, _client
from tests.fakes.mlflow import FakeMlflow
from tests.real_mlflow import RealMlflow


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def mlflow(request):
    if request.param == "fake":
        yield FakeMlflow()
        return
    stack = request.getfixturevalue("stack")
    with stack.mlflow_client() as client:
        yield RealMlflow(client)


@pytest.fixture
def name():
    """Names of the test's own: servers outlive it."""
    return f"check_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def run_id(mlflow, name):
    return mlflow.create_run(mlflow.create_experiment(name), "training", {"git_sha": "abc"})


def test_an_experiment_is_listed(mlflow, name):
    id_ = mlflow.create_experiment(name)
    found = next(experiment for experiment in mlflow.experiments() if experiment.experiment_id == id_)
    assert found.name == name
    assert found.created_at.tzinfo is not None


def test_a_run_with_its_numbers(mlflow, run_id):
    mlflow.log_param(run_id, "depth", "10")
    mlflow.log_metric(run_id, "accuracy", 0.83)
    mlflow.log_metric(run_id, "broken", float("nan"))
    run = mlflow.run(run_id)
    assert (run.name, run.status, run.user, run.tags["git_sha"]) == ("training", "RUNNING", "ana", "abc")
    assert (run.params, run.metrics) == ({"depth": "10"}, {"accuracy": 0.83, "broken": "NaN"})
    assert run.ended_at is None
    mlflow.end_run(run_id)
    ended = mlflow.run(run_id)
    assert (ended.status, ended.is_deleted) == ("FINISHED", False)
    assert ended.ended_at >= ended.started_at


def test_runs_newest_first_and_only_so_many(mlflow, name, run_id):
    id_ = (
        mlflow.create_experiment(name)
        if isinstance(mlflow, MlflowGateway)
        else mlflow.run(run_id).experiment_id
    )
    later = [mlflow.create_run(id_, f"later {number}") for number in range(3)]
    ids = {run.run_id for run in mlflow.runs([id_])}
    assert ids == {run_id, *later}
    assert len(list(mlflow.runs([id_], most=2))) == 2
    assert list(mlflow.runs([])) == []


def test_runs_since_a_moment(mlflow, run_id):
    run = mlflow.run(run_id)
    at_ms = int(run.started_at.timestamp() * 1000)
    found = [
        list(mlflow.runs([run.experiment_id], f"attributes.start_time > {at}"))
        for at in (at_ms - 5, at_ms + 5)
    ]
    assert [len(runs) for runs in found] == [1, 0]


def test_a_run_has_whatever_start_time_its_client_says(mlflow, run_id):
    experiment_id, now_ms = mlflow.run(run_id).experiment_id, int(time.time() * 1000)
    said = {"micro": now_ms * 1000, "nano": now_ms * 10**6, "second": now_ms // 1000, "zero": 0, "minus": -1}
    made = {mlflow.create_run(experiment_id, name, start_time=at): name for name, at in said.items()}
    made[run_id] = "sound"
    ahead = now_ms + 24 * 3600 * 1000
    conditions = {
        f"attributes.start_time > {now_ms - 60_000} and attributes.start_time <= {ahead}": ["sound"],
        f"attributes.start_time > {ahead}": ["nano", "micro"],
        f"attributes.start_time <= {ahead}": ["sound", "second", "zero", "minus"],
        "attributes.start_time < 100000000000": ["second", "zero", "minus"],
    }
    for condition, names in conditions.items():
        assert [made[run.run_id] for run in mlflow.runs([experiment_id], condition)] == names
    times = {made[run.run_id]: run.started_at for run in mlflow.runs([experiment_id])}
    assert times["zero"] is times["minus"] is None
    assert all(
        abs(times[name] - times["sound"]) < timedelta(minutes=5) for name in ("micro", "nano", "second")
    )


def test_names_and_tags_of_the_length_that_mlflow_allows(mlflow, name):
    long, tag = name.ljust(250, "é"), "t" * 8000
    run = mlflow.run(mlflow.create_run(mlflow.create_experiment(long), long, {"note": tag}))
    assert (run.name, run.tags["note"]) == (long, tag)


def test_a_deleted_run_is_listed_no_more(mlflow, run_id):
    experiment_id = mlflow.run(run_id).experiment_id
    mlflow.delete_run(run_id)
    assert list(mlflow.runs([experiment_id])) == []
    assert mlflow.run(run_id).is_deleted


def test_the_history_of_a_metric(mlflow, run_id):
    for step, value in enumerate([0.9, float("nan"), 0.4]):
        mlflow.log_metric(run_id, "train/loss", value, step)
    found = mlflow.metric_history(run_id, "train/loss")
    assert [(point.step, point.value) for point in found.points] == [(0, 0.9), (2, 0.4)]
    assert (found.is_sample, found.n_not_finite) == (False, 1)
    assert mlflow.metric_history(run_id, "nothing").points == []


@pytest.mark.parametrize(("n", "is_sample"), [(2000, False), (5000, True)])
def test_a_long_history_is_a_sample_over_its_whole_length(mlflow, run_id, n, is_sample):
    mlflow.log_steps(run_id, "loss", n)
    found = mlflow.metric_history(run_id, "loss")
    steps = [point.step for point in found.points]
    assert (found.is_sample, len(steps), steps[0], steps[-1]) == (is_sample, 2000, 0, n - 1)
    assert max(after - before for before, after in pairwise(steps)) <= 4


def test_unknown_things_are_not_found(mlflow, name, run_id):
    root = mlflow.run_root(run_id)
    calls = [
        lambda: mlflow.run("f" * 32),
        lambda: mlflow.model(name),
        lambda: mlflow.version(name, 1),
        lambda: mlflow.model_root(name, 1),
        lambda: mlflow.set_champion(name, 1),
        lambda: mlflow.read_file(root, "serving/spec.json", limit_bytes=10),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_versions_and_their_alias(mlflow, name, run_id):
    assert [mlflow.register(name, run_id) for _n in range(2)] == [1, 2]
    version = mlflow.version(name, 2)
    assert (version.model, version.version, version.run_id, version.is_ready) == (name, 2, run_id, True)
    newest = [(found.model, found.version) for found in mlflow.versions(most=50)]
    assert (name, 1) in newest
    assert (name, 2) in newest
    for number in (1, 2, 2):
        mlflow.set_champion(name, number)
        assert _champion(mlflow, name) == number
    for _time in range(2):
        mlflow.remove_champion(name)
        assert _champion(mlflow, name) is None


def _champion(mlflow, name):
    return next(model for model in mlflow.models() if model.name == name).champion


def test_files_are_written_listed_and_read(mlflow, run_id):
    root = mlflow.run_root(run_id)
    mlflow.write_file(root, "serving/spec.json", b'{"task": "classification"}')
    mlflow.write_file(root, "serving/ünï cödé.txt", b"x")
    mlflow.write_file(root, "serving/compiled/a.onnx", b"abc")
    assert [(file.path, file.is_dir) for file in mlflow.list_files(root)] == [("serving", True)]
    listed = [(file.path, file.is_dir, file.size_bytes) for file in mlflow.list_files(root, "serving")]
    assert listed == [
        ("serving/compiled", True, None),
        ("serving/spec.json", False, 26),
        ("serving/ünï cödé.txt", False, 1),
    ]
    assert mlflow.read_file(root, "serving/ünï cödé.txt", limit_bytes=1) == b"x"
    assert mlflow.list_files(root, "nothing") == []
    mlflow.write_file(root, "serving/spec.json", b"{}")
    assert mlflow.read_file(root, "serving/spec.json", limit_bytes=10) == b"{}"


def test_a_file_over_the_limit_is_refused(mlflow, run_id):
    root = mlflow.run_root(run_id)
    mlflow.write_file(root, "large.bin", b"x" * 2000)
    with pytest.raises(InvalidRequest, match="large"):
        mlflow.read_file(root, "large.bin", limit_bytes=1999)


def test_a_folder_is_downloaded_whole(mlflow, name, run_id, tmp_path):
    root = mlflow.run_root(run_id)
    mlflow.write_file(root, "model/MLmodel", b"flavors: {}")
    mlflow.write_file(root, "model/code/a.py", b"pass")
    folder = mlflow.model_root(name, mlflow.register(name, run_id))
    assert mlflow.download_folder(folder, tmp_path / "model", limit_bytes=100) == 15
    assert (tmp_path / "model/code/a.py").read_bytes() == b"pass"
    with pytest.raises(InvalidRequest):
        mlflow.download_folder(folder, tmp_path / "again", limit_bytes=12)
    with pytest.raises(NotFound):
        mlflow.download_folder(f"{root}/nothing", tmp_path / "none", limit_bytes=100)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_a_path_that_leads_elsewhere_is_refused(mlflow, run_id, path):
    root = mlflow.run_root(run_id)
    with pytest.raises(InvalidRequest):
        mlflow.read_file(root, path, limit_bytes=10)
    with pytest.raises(InvalidRequest):
        mlflow.list_files(root, path)


def test_nobody_listening_is_unavailable(settings):
    mlflow = MlflowGateway(_client("http://127.0.0.1:9", "", ""))
    for call in (
        mlflow.experiments,
        mlflow.models,
        lambda: mlflow.read_file("mlflow-artifacts:/1", "a", limit_bytes=1),
    ):
        with pytest.raises(Unavailable, match="MLflow is not answering"):
            call()


def test_artefacts_out_of_the_proxys_reach_are_said_to_be():
    mlflow = MlflowGateway(_client("http://127.0.0.1:9", "", ""))
    with pytest.raises(InvalidRequest, match="--serve-artifacts"):
        mlflow.read_file("s3://bucket/1/artifacts", "a", limit_bytes=1)
