"""Clusters of trips: groups that are there by design are found, and what cannot be clustered is refused."""

import json

import pyarrow.parquet as pq
import pytest
import requests

from jobs.spark_apps import tracking, trip_clusters
from jobs.spark_apps.running import SourceRefused
from jobs.spark_apps.trip_clusters import Params, clusters
from tests.unit.jobs.spark_apps.made_cleaned import cleaned, folder
from tests.unit.jobs.spark_apps.made_trips import without, write

SHORT = {"trip_distance": 1.0, "duration_min": 6.0, "fare_amount": 7.0, "tip_share": 0.2, "hour": 9}
LONG = {"trip_distance": 18.0, "duration_min": 50.0, "fare_amount": 60.0, "tip_share": 0.1, "hour": 22}


def near(trip, step):
    return trip | {"trip_distance": trip["trip_distance"] + step / 100}


@pytest.fixture
def two_groups(tmp_path):
    trips = [near(SHORT, step) for step in range(6)] + [near(LONG, step) for step in range(3)]
    return folder(tmp_path / "trips", *trips, {"tip_share": None}, {"duration_min": float("nan")})


def test_groups_that_are_there_are_found(spark, tmp_path, two_groups):
    result = clusters(spark, Params(two_groups, k=2), tmp_path / "out")
    assert (result["rows_in"], result["rows_kept"]) == (11, 9)
    assert result["dropped"] == {"missing_feature": 2}
    [profile] = result["tables"]
    names = [column["name"] for column in profile["columns"]]
    rows = sorted(
        (dict(zip(names, row, strict=True)) for row in profile["rows"]), key=lambda row: row["trips"]
    )
    assert [row["trips"] for row in rows] == [3, 6]
    assert rows[0]["trip_distance"] == pytest.approx(18.01)
    assert rows[1]["share"] == pytest.approx(6 / 9)
    assert result["silhouette"] > 0.99  # far apart: it is 1 for points
    written = pq.read_table(result["output"]).to_pylist()
    assert len({(row["fare_amount"], row["cluster"]) for row in written}) == 2


def test_the_same_seed_gives_the_same_groups(spark, tmp_path, two_groups):
    first, second = (clusters(spark, Params(two_groups, k=3, seed=7), tmp_path / "out") for _time in range(2))
    assert first == second


def test_trips_that_are_all_alike_make_one_cluster_without_a_silhouette(spark, tmp_path):
    source = folder(tmp_path / "trips", *[{}] * 5)
    result = clusters(spark, Params(source, k=2), tmp_path / "out")
    assert (result["n_clusters"], result["silhouette"]) == (1, None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (cleaned().slice(0, 0), "has 0 trips with all of"),
        (cleaned({}, {}, {}), "has 3 trips .*4 clusters need at least 4"),
        (without(cleaned({}), ["tip_share", "hour"]), r"0\.parquet: it has no column tip_share, no hour"),
        (cleaned({}).set_column(1, "trip_distance", [["far"]]), "trip_distance is string, not a number"),
        (cleaned({}).set_column(0, "pickup_datetime", [[7]]), "pickup_datetime is int64, not a time"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_words(spark, tmp_path, table, words):
    write(tmp_path / "trips" / "0.parquet", table)
    with pytest.raises(SourceRefused, match=words):
        clusters(spark, Params(tmp_path / "trips"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_main_notes_the_run_in_mlflow(spark, tmp_path, two_groups, monkeypatch):
    monkeypatch.setattr(spark, "stop", lambda: None)
    noted = {}

    def note_run(access, **values):
        noted.update(values, access=access)
        return {"mlflow_run_id": "abc"}

    monkeypatch.setattr(tracking, "note_run", note_run)
    (tmp_path / "params.json").write_text(json.dumps({"source": str(two_groups), "k": 2, "seed": 1}))
    (tmp_path / "access.json").write_text(json.dumps({"mlflow": {"MLFLOW_TRACKING_URI": "http://x"}}))
    names = {
        "--params": "params.json",
        "--result": "result.json",
        "--output": "j1",
        "--access": "access.json",
    }
    trip_clusters.main([word for key, name in names.items() for word in (key, str(tmp_path / name))])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["mlflow_run_id"] == "abc"
    assert noted["access"] == {"MLFLOW_TRACKING_URI": "http://x"}
    assert (noted["job_id"], noted["params"]["k"]) == ("j1", 2)
    assert noted["metrics"]["silhouette"] == result["silhouette"]
    assert noted["files"]["profile.json"]["rows"] == result["tables"][0]["rows"]


def test_an_artefact_store_that_fails_costs_no_result(monkeypatch):
    def fail(**_more):
        raise requests.HTTPError("500 Server Error: the bucket is gone")

    monkeypatch.setattr("mlflow.set_experiment", lambda _name: None)
    monkeypatch.setattr("mlflow.start_run", fail)
    noted = tracking.note_run({}, experiment="e", job_id="j", params={}, metrics={}, files={})
    assert noted == {"mlflow_error": "MLflow did not take the run: 500 Server Error: the bucket is gone"}


def test_mlflow_that_is_away_costs_no_result(monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", {})
    for name, value in {"TRACKING_URI": "http://127.0.0.1:9", "HTTP_REQUEST_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_{name}", value)
    noted = tracking.note_run({}, experiment="e", job_id="j", params={}, metrics={}, files={})
    assert noted["mlflow_error"].startswith("MLflow did not take the run:")
