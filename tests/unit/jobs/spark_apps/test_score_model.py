"""Scoring a table: answers are those of the compiled model, each with its version; odd rows have a reason."""

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.spark_apps.running import SourceRefused
from jobs.spark_apps.score_model import Answering, Model, names_beside, score
from scoring.check import RowDecoder
from scoring.score import ModelFailure, Scorer
from scoring.spec_reading import read_spec
from tests.champions import packed, passengers
from tests.unit.jobs.spark_apps.made_trips import write


@pytest.fixture
def model(tmp_path):
    made = packed()
    told = {
        "model": "titanic",
        "version": "3",
        "sha256": hashlib.sha256(made.onnx).hexdigest(),
        "spec_json": made.spec_json,
    }
    (tmp_path / "supplies").mkdir()
    (tmp_path / "supplies" / "model.onnx").write_bytes(made.onnx)
    (tmp_path / "supplies" / "model.json").write_text(json.dumps(told))
    return Model.read(tmp_path / "supplies")


def table(rows=40, **columns):
    frame = passengers(rows, seed=5).assign(ticket=[f"t{n}" for n in range(rows)], **columns)
    return pa.Table.from_pandas(frame, preserve_index=False)


def by_itself(model, rows):
    """The scores without Spark."""
    spec = read_spec(model.spec_json)
    plain = [{name: None if pd.isna(v) else v for name, v in row.items()} for row in rows]
    return Scorer.from_onnx(model.onnx, spec).score_rows(RowDecoder(spec).decode_rows(plain))


def test_every_row_has_the_models_answer_with_its_version(spark, tmp_path, model):
    trips = table()
    source = write(tmp_path / "in.parquet", trips)
    result = score(spark, source, model, tmp_path / "out")
    assert (result["rows_in"], result["rows_kept"], result["version"]) == (40, 40, "3")
    rows = {row["ticket"]: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    expected = by_itself(model, trips.drop_columns(["ticket"]).to_pylist())
    assert len(rows) == 40
    for place in range(40):
        row = rows[f"t{place}"]
        value = expected.values[place]
        assert row["prediction_value"] == str(value)
        assert row["prediction_label"] == expected.labels[place]
        assert row["prediction_probability"] == expected.probabilities[place][str(value)]
        assert (row["prediction_model"], row["prediction_version"]) == ("titanic", "3")
    answers = dict(result["tables"][0]["rows"])
    assert sum(answers.values()) == 40


def test_a_column_without_any_value_is_missing_in_each_row(spark, tmp_path, model):
    """A data frame's column of None only has no type; in another file of the folder it may have one."""
    nothing = [None] * 3
    write(tmp_path / "in" / "a.parquet", table(3, Embarked=nothing, note=nothing, code=nothing))
    write(tmp_path / "in" / "b.parquet", table(2, note=[None] * 2, code=[7, 8]))
    result = score(spark, tmp_path / "in", model, tmp_path / "out")
    assert (result["rows_in"], result["rows_kept"]) == (5, 5)
    found = pq.read_table(tmp_path / "out").to_pydict()
    assert sorted(found["code"], key=str) == [7, 8, None, None, None]
    assert found["note"] == [None] * 5
    assert None not in found["prediction_value"]


def test_an_odd_row_has_its_reason_and_the_others_their_answers(spark, tmp_path, model):
    source = write(tmp_path / "in.parquet", table(Age=[200.0, *[30.0] * 39], Pclass=[1, 9, *[3] * 38]))
    result = score(spark, source, model, tmp_path / "out")
    assert result["dropped"] == {"refused_by_the_model's_check": 2}
    rows = {row["ticket"]: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert "Age" in rows["t0"]["prediction_error"]
    assert "Pclass" in rows["t1"]["prediction_error"]
    assert rows["t0"]["prediction_value"] is None
    assert rows["t2"]["prediction_error"] is None
    assert {row["prediction_version"] for row in rows.values()} == {"3"}


def test_a_row_that_the_model_has_no_number_for_has_its_reason(model):
    answering = Answering(model)
    run = answering._scorer._run

    def overflows(feed):
        outcome = run(feed)
        outcome.probabilities[feed["Fare"].ravel() > 1_000] = float("inf")
        return outcome

    answering._scorer._run = overflows
    [batch] = table(3, Fare=[1.0, 2_000.0, 3.0]).to_batches()
    answers = answering.with_answers(batch).to_pylist()
    assert [row["prediction_error"] for row in answers] == [None, "the model answers with no number", None]
    assert [row["prediction_value"] is None for row in answers] == [False, True, False]


def test_a_row_that_the_model_fails_on_has_its_reason(model):
    """As one-hot encoding fails on a whole number between those that it learnt."""
    answering = Answering(model)
    run = answering._scorer._run

    def fails(feed):
        if (feed["Fare"] == 51).any():
            raise ModelFailure("Unknown Category")
        return run(feed)

    answering._scorer._run = fails
    [batch] = table(5, Fare=[50.0, 52.0, 51.0, 53.0, 54.0]).to_batches()
    answers = answering.with_answers(batch).to_pylist()
    words = "the model fails on these values: Unknown Category"
    assert [row["prediction_error"] for row in answers] == [None, None, words, None, None]
    assert [row["prediction_value"] is None for row in answers] == [False, False, True, False, False]


def test_columns_as_databases_and_data_frames_store_them_are_read(spark, tmp_path, model):
    """Decimals, unsigned numbers, codes with gaps; what the model does not ask for is carried along."""
    rows = table(4)
    stored = {
        "Fare": pa.array([Decimal("7.25"), Decimal("8.00"), None, Decimal("9.50")], pa.decimal128(10, 2)),
        "Pclass": pa.array([1, 2, 3, 3], pa.uint64()),
        "Embarked": pa.array([12.0, None, 13.0, 14.5], pa.float64()),
        "Parch": pa.array([0.0, 1.0, 2.0, 0.0], pa.float64()),
    }
    for name, column in stored.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    beside = {
        "paid": pa.array([Decimal("1.5")] * 4, pa.decimal128(4, 1)),
        "day": pa.array([date(2026, 1, 1)] * 4),
        "raw": pa.array([b"\xff"] * 4),
        "bag": pa.array([[1]] * 4),
    }
    for name, column in beside.items():
        rows = rows.append_column(name, column)
    result = score(spark, write(tmp_path / "in.parquet", rows), model, tmp_path / "out")
    found = {row["ticket"]: row for row in pq.read_table(tmp_path / "out").to_pylist()}
    assert result["columns_left_out"] == "bag"
    assert [found[f"t{n}"]["prediction_error"] for n in range(4)] == [
        None,
        None,
        "Fare must not be null: give a value",
        'Embarked must be text such as "abc", not 14.5',
    ]
    first = found["t0"]
    assert (first["paid"], first["day"], first["raw"]) == (Decimal("1.5"), date(2026, 1, 1), b"\xff")
    assert 'Embarked is "12", a value the model has not seen' in first["prediction_warnings"]
    expected = by_itself(
        model, [{**rows.select(model.fields).to_pylist()[0], "Fare": 7.25, "Embarked": "12"}]
    )
    assert first["prediction_value"] == str(expected.values[0])


def test_a_table_that_was_scored_before_keeps_its_answers(spark, tmp_path, model):
    once = score(spark, write(tmp_path / "in.parquet", table()), model, tmp_path / "once")
    [part] = (tmp_path / "once").glob("*.parquet")
    earlier = pq.read_table(part)
    odd = earlier.set_column(2, "Age", pa.array([200.0, *[30.0] * 39]))
    twice = score(spark, write(tmp_path / "again.parquet", odd), model, tmp_path / "twice")
    assert (once["rows_kept"], twice["rows_kept"]) == (40, 39)
    rows = {row["ticket"]: row for row in pq.read_table(tmp_path / "twice").to_pylist()}
    for row in earlier.to_pylist():
        assert rows[row["ticket"]]["prediction_probability"] == row["prediction_probability"]
    assert rows["t0"]["prediction_2_value"] is None
    assert "Age" in rows["t0"]["prediction_2_error"]
    assert rows["t1"]["prediction_2_version"] == "3"
    assert sum(dict(twice["tables"][0]["rows"]).values()) == 39


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ([], "prediction_value"),
        (["prediction_id", "Prediction_value"], "prediction_value"),
        (["prediction_error"], "prediction_2_value"),
        (["prediction_error", "prediction_2_model"], "prediction_3_value"),
    ],
)
def test_answers_are_named_so_that_no_column_has_their_name(columns, name):
    assert names_beside(columns)["value"] == name


def test_an_empty_table_gives_an_empty_one_with_the_columns(spark, tmp_path, model):
    source = write(tmp_path / "in.parquet", table().slice(0, 0))
    result = score(spark, source, model, tmp_path / "out")
    assert result["rows_in"] == 0
    assert "prediction_value" in pq.read_table(tmp_path / "out").column_names


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            table().drop_columns(["Fare", "Sex"]),
            r"in\.parquet: it has no column Sex, no Fare, which titanic needs",
        ),
        (table().set_column(1, "Sex", [[["male"]] * 40]), "Sex is list<.*which no field of a model is"),
        (
            table().set_column(1, "Sex", [[date(2026, 1, 1)] * 40]),
            r"Sex is date32\[day\], which no field of a model is",
        ),
        (
            table().set_column(1, "Sex", [[datetime(2026, 1, 1)] * 40]),
            r"Sex is timestamp\[us\], which no field of a model is",
        ),
        (table().set_column(1, "Sex", [[b"male"] * 40]), "Sex is binary, which no field of a model is"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_words(spark, tmp_path, model, rows, words):
    source = write(tmp_path / "in.parquet", rows)
    with pytest.raises(SourceRefused, match=words):
        score(spark, source, model, tmp_path / "out")


def test_a_model_that_is_not_the_one_that_was_judged_is_refused(tmp_path, model):
    (tmp_path / "supplies" / "model.onnx").write_bytes(b"something else")
    with pytest.raises(SourceRefused, match=r"titanic v3 is not the file that was judged"):
        Model.read(tmp_path / "supplies")
