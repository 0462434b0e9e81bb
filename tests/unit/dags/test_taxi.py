"""The taxi recipes: what is asked of Spark, what the ledger keeps, and the model of tips."""

import json
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from dags.recipes.common import console, ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.console import ConsoleRefused
from dags.recipes.common.ledger import Newest, Origin
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.sources import SourceError
from dags.recipes.taxi import batch, made_trips, training
from dags.recipes.taxi.params import BATCH_DAG_ID, DEFAULTS, FILE_NAME, TRAINING_DAG_ID
from dags.recipes.taxi.training import TRAINING
from scoring.check import RowDecoder

PARAMS = {"source": "auto", "file": "", "k": 4, "seed": 1}


def batch_run(**params) -> DagRun:
    return DagRun(BATCH_DAG_ID, "manual__1", PARAMS | params)


def training_run(**params) -> DagRun:
    return DagRun(TRAINING_DAG_ID, "manual__1", {**DEFAULTS, "n_estimators": 5, "max_rows": 2_000, **params})


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("ATALAYA_OUTPUT_DIR", str(tmp_path / "output"))
    monkeypatch.setenv("CONSOLE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


@pytest.fixture
def trips(monkeypatch, tmp_path) -> Path:
    """Clean trips as `clean_trips` leaves them, the newest batch of the ledger."""
    table = made_trips.table(4_000, 1).to_pandas()
    clean = pd.DataFrame(
        {
            "vendor_id": table["VendorID"].astype("int32"),
            "pickup_datetime": table["lpep_pickup_datetime"],
            "passenger_count": table["passenger_count"].fillna(1).astype("int32"),
            "trip_distance": table["trip_distance"],
            "payment_type": table["payment_type"].fillna(2).astype("int32"),
            "fare_amount": table["fare_amount"].abs(),
            "tip_amount": table["tip_amount"].abs(),
        }
    )
    folder = tmp_path / "trips"
    folder.mkdir()
    clean.to_parquet(folder / "part-0.parquet")
    newest = Newest("month", Origin("synthetic", "month", "ab" * 32), {"trips": str(folder)})
    monkeypatch.setattr(ledger, "newest_batch", lambda usecase: newest)
    return folder


def answering(monkeypatch, answer) -> list[httpx.Request]:
    """The console answers every call by `answer`; the calls."""
    calls: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return answer(request)

    def connect(_dag_id: str) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(handle), base_url="http://console")

    monkeypatch.setattr(console, "connect", connect)
    return calls


# --- taxi_batch


def test_the_file_is_taken_where_there_is_one(tmp_path):
    made_trips.write(tmp_path / "data" / FILE_NAME, n_rows=10, seed=1)
    chosen = batch.choose(batch_run())
    assert (chosen["data_source"], Path(chosen["path"]).name) == ("file", FILE_NAME)
    assert len(chosen["data_sha256"]) == 64


def test_trips_are_generated_once_where_there_is_none(capsys):
    chosen = batch.choose(batch_run())
    assert chosen["data_source"] == "synthetic"
    assert "generated trips" in capsys.readouterr().out
    assert batch.choose(batch_run()) == chosen


def test_a_file_that_is_asked_for_must_be_there():
    with pytest.raises(SourceError, match=r"no file march\.parquet in CONSOLE_DATA_DIR"):
        batch.choose(batch_run(source="file", file="march.parquet"))


@pytest.mark.parametrize("name", ["/etc/hostname", "../../../../../../etc/hostname", ".", "a/../.."])
def test_no_file_outside_the_data_is_read(name):
    with pytest.raises(SourceError, match="no file"):
        batch.choose(batch_run(file=name))


def test_a_job_is_asked_for_once_however_often_the_task_runs(monkeypatch):
    job = {"id": "j1", "state": "queued"}
    calls = answering(monkeypatch, lambda request: httpx.Response(202, json=job))
    for _try in range(2):
        assert batch.clean(batch_run(), {"path": "/data/x.parquet", "data_sha256": "ab"}) == "j1"
    asked = [call for call in calls if call.method == "POST"]
    assert len({call.headers["Idempotency-Key"] for call in asked}) == 1
    assert json.loads(calls[0].content) == {"app": "clean_trips", "params": {"source": "/data/x.parquet"}}


def jobs_of(monkeypatch, state: str, result: dict | None) -> dict[str, tuple[str, str]]:
    """The console keeps a job for each key, as its REST does; the jobs: key -> id and body."""
    jobs: dict[str, tuple[str, str]] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": "", "state": state, "result": result})
        key, body = request.headers["Idempotency-Key"], request.content.decode()
        job_id, before = jobs.setdefault(key, (f"j{len(jobs) + 1}", body))
        if before != body:
            return httpx.Response(422, json={"detail": "The key was used for another body."})
        return httpx.Response(202, json={"id": job_id})

    answering(monkeypatch, answer)
    return jobs


def test_a_month_that_was_replaced_under_its_name_is_cleaned_anew(monkeypatch, tmp_path):
    jobs_of(monkeypatch, "succeeded", {"output": str(tmp_path)})
    asked = [
        batch.clean(batch_run(), {"path": path, "data_sha256": digest})
        for path, digest in [("/a", "01"), ("/a", "01"), ("/a", "02"), ("/b", "02")]
    ]
    assert asked == ["j1", "j1", "j2", "j3"]


def test_trips_that_were_cleared_away_are_cleaned_anew(monkeypatch, tmp_path):
    output = tmp_path / "trips"
    output.mkdir()
    jobs = jobs_of(monkeypatch, "succeeded", {"output": str(output)})
    chosen = {"path": "/a", "data_sha256": "01"}
    assert batch.clean(batch_run(), chosen) == "j1"
    output.rmdir()
    there = iter([False, True])  # of the first job, of the second
    monkeypatch.setattr(batch, "_lies_there", lambda result: next(there))
    assert batch.clean(batch_run(), chosen) == "j2"
    assert len(jobs) == 2


def test_what_a_job_wrote_lies_there_until_it_is_cleared_away(tmp_path):
    assert batch._lies_there({"output": str(tmp_path)})
    assert not batch._lies_there({"output": str(tmp_path / "gone")})
    assert batch._lies_there({"rows": 3})  # it writes nothing


def test_what_the_console_says_against_a_job_is_told(monkeypatch):
    problem = {"detail": "x.parquet cannot be read as Parquet."}
    answering(monkeypatch, lambda request: httpx.Response(422, json=problem))
    with pytest.raises(ConsoleRefused, match=r"clean_trips \(422\): x\.parquet cannot be read"):
        batch.clean(batch_run(), {"path": "x.parquet", "data_sha256": "ab"})


def test_a_job_that_failed_has_no_result(monkeypatch):
    job = {"app": "clean_trips", "state": "failed", "error": "No space left.", "result": None}
    answering(monkeypatch, lambda request: httpx.Response(200, json=job))
    with pytest.raises(ConsoleRefused, match=r"is failed: No space left\."):
        batch.cluster(batch_run(), "j1")


def test_the_ledger_keeps_what_was_dropped_and_why(monkeypatch):
    result = {
        "rows_in": 10,
        "rows_kept": 7,
        "dropped": {"no_distance": 3, "no_amount": 0},
        "output": "/out/trips",
    }
    job = {"app": "clean_trips", "state": "succeeded", "error": "", "result": result}
    answering(monkeypatch, lambda request: httpx.Response(200, json=job))
    noted: dict = {}

    def note_batch(_usecase, key, **told):
        noted.update(told, key=key)
        return ledger.Added(1, 10, 7, 0, 3, is_known=False)

    monkeypatch.setattr(ledger, "note_batch", note_batch)
    chosen = {"path": "/data/x.parquet", "data_source": "file", "data_sha256": "ab" * 32}
    assert batch.note(batch_run(), chosen, "j1", ["j2", "j3"]) == {"rows_in": 10, "rows_kept": 7}
    assert (noted["rows_in"], noted["rows_rejected"], noted["key"]) == (10, 3, "x.parquet abababababab")
    assert noted["facts"] == {
        "trips": "/out/trips",
        "dropped": {"no_distance": 3},
        "jobs": ["j1", "j2", "j3"],
    }


# --- taxi_training


def until(last: str, run: DagRun) -> None:
    tasks = ("load", "validate", "split", "features", "search", "evaluate", "explain")
    for name in tasks[: tasks.index(last) + 1]:
        getattr(TRAINING, name)(run)


def test_the_model_beats_the_mean_tip_and_says_its_usual_error(trips):
    run = training_run()
    until("explain", run)
    figures, spec = run.folder.read_json("metrics.json"), json.loads(run.folder.read_bytes("spec.json"))
    assert figures["holdout"]["mae"] < figures["baseline"]["mae"]
    errors = run.folder.read_json("search.json")["scores"]["cv_rmse"]
    assert spec["output"]["usual_error"] == pytest.approx(errors, rel=0.05)  # their mean is about zero
    assert run.folder.read_bytes("residuals.png").startswith(b"\x89PNG")
    assert set(run.folder.read_json("shap.json")) == {*training.FIELDS, "fare_per_mile"}


def test_trips_of_a_stream_fit_the_spec(trips):
    run = training_run()
    until("features", run)
    from scoring.spec_reading import read_spec

    decoder = RowDecoder(read_spec(run.folder.read_bytes("spec.json")))
    event = {
        "vendor_id": 2,
        "passenger_count": None,
        "trip_distance": 2.5,
        "payment_type": 1,
        "fare_amount": 12.0,
    }
    assert not any(decoder.decode_rows([event]).warnings)


def test_the_same_trips_are_drawn_however_they_are_spread_over_files(trips, monkeypatch, tmp_path):
    columns = [*training.FIELDS, training.LABEL, "pickup_datetime"]
    table = pd.read_parquet(trips / "part-0.parquet").astype({"passenger_count": "Int32"})
    table.loc[::97, "passenger_count"] = None
    table.to_parquet(trips / "part-0.parquet")
    whole, n_rows = training.drawn(trips, columns, 500, seed=1)
    assert (len(whole), n_rows) == (500, 4_000)
    table = table.sample(frac=1, random_state=3)
    parts = tmp_path / "parts"
    parts.mkdir()
    for n in range(4):
        table.iloc[n::4].to_parquet(parts / f"part-{n}.parquet", row_group_size=300)
    monkeypatch.setattr(training, "READ_ROWS", 70)
    again, n_rows = training.drawn(parts, columns, 500, seed=1)
    assert n_rows == 4_000
    pd.testing.assert_frame_equal(whole, again)
    other, _n = training.drawn(trips, columns, 500, seed=2)
    assert not other.equals(whole)
    everything, n_rows = training.drawn(trips, columns, 5_000, seed=1)
    assert len(everything) == n_rows == 4_000
    assert abs(whole["fare_amount"].mean() / everything["fare_amount"].mean() - 1) < 0.15  # 500 of them


def test_no_more_trips_are_in_memory_than_are_drawn_and_read_at_once(trips, monkeypatch):
    monkeypatch.setattr(training, "READ_ROWS", 100)
    longest, concat = [], pd.concat

    def measured(tables, **more):
        longest.append(sum(len(table) for table in tables))
        return concat(tables, **more)

    monkeypatch.setattr(training.pd, "concat", measured)
    training.drawn(trips, [*training.FIELDS, training.LABEL], 50, seed=1)
    assert max(longest) <= 150


def test_impossible_trips_are_left_out_and_counted(trips, capsys):
    table = pd.read_parquet(trips)
    table.loc[:9, "trip_distance"] = 201_421.0
    table.loc[10:14, "fare_amount"] = -3.0
    table.to_parquet(trips / "part-0.parquet")
    fields = TRAINING.fields(table)
    n_far = int((~table["trip_distance"].between(0, 200) | (table["fare_amount"] < 0)).sum())
    assert len(fields) == len(table) - n_far
    assert f"{n_far:,} trips with impossible" in capsys.readouterr().out
    assert np.isfinite(fields["label"]).all()


def test_before_the_first_batch_it_says_what_to_run(monkeypatch):
    monkeypatch.setattr(ledger, "newest_batch", lambda usecase: None)
    with pytest.raises(DataInvalid, match="run taxi_batch first"):
        TRAINING.load(training_run())


def test_trips_that_were_cleared_away_are_named(trips):
    for part in trips.iterdir():
        part.unlink()
    trips.rmdir()
    with pytest.raises(DataInvalid, match="is gone"):
        TRAINING.load(training_run())


def test_tips_that_are_all_alike_teach_nothing(trips):
    table = pd.read_parquet(trips)
    table.assign(tip_amount=0.0).to_parquet(trips / "part-0.parquet")
    with pytest.raises(DataInvalid, match="same label"):
        until("features", training_run())
