"""MLflow's scoring protocol: its bodies are the rows of a predict call, and its answers MLflow's own."""

import io
import json
import warnings

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES

from predictions.serving import mlflow_bodies
from scoring import features
from scoring.check import CheckError, RowDecoder
from scoring.spec_reading import read_spec
from tests import champions
from tests.champions import ROW, status_of

PATH = "titanic/invocations"
COLUMNS = list(ROW)
WOMAN = ROW | {"Sex": "female", "Age": None}
TABLE = pd.DataFrame([ROW, WOMAN])
SPLIT = {"columns": COLUMNS, "data": [list(ROW.values()), list(WOMAN.values())]}
SAME = [
    {"dataframe_split": SPLIT},
    {"dataframe_split": SPLIT | {"index": [7, 3]}},
    {"dataframe_records": [ROW, WOMAN]},
    {"instances": [ROW, WOMAN]},
    {"inputs": [ROW, WOMAN]},
    {"inputs": {name: [ROW[name], WOMAN[name]] for name in reversed(COLUMNS)}},
    {"instances": {name: [ROW[name], WOMAN[name]] for name in COLUMNS}},
]
JSON = "application/json; charset=UTF-8"
CSV = "text/csv; charset=utf-8"


@pytest.fixture(scope="module")
def decoder() -> RowDecoder:
    return RowDecoder(read_spec(json.dumps(champions.SPEC)))


@pytest.fixture(scope="module")
def scoring_server():
    """MLflow's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own type hints
        from mlflow.pyfunc import scoring_server
    return scoring_server


def rows(decoder, body, content_type=JSON) -> list[dict]:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return mlflow_bodies.decode(decoder, content, content_type).inputs


def plain(value):
    """Of numpy or pandas."""
    value = value.item() if isinstance(value, np.ndarray | np.generic) else value
    return None if pd.isna(value) else value


@pytest.fixture(scope="module")
def coded() -> RowDecoder:
    """With a yes or no, and a text that is a code."""
    more = [
        {"name": "HasCabin", "type": "boolean", "required": False, "nullable": True},
        {
            "name": "Deck",
            "type": "text",
            "required": False,
            "nullable": True,
            "choices": {"values": [{"value": "1"}, {"value": "2"}], "open": True},
        },
    ]
    return RowDecoder(read_spec(json.dumps(champions.SPEC | {"fields": [*champions.SPEC["fields"], *more]})))


@pytest.mark.parametrize("body", SAME)
def test_every_form_is_the_same_rows_as_mlflow_reads(decoder, scoring_server, body):
    assert rows(decoder, body) == [ROW, WOMAN]
    theirs = pd.DataFrame(scoring_server.infer_and_parse_data(body))[COLUMNS]
    assert [[plain(value) for value in row] for row in theirs.to_numpy()] == SPLIT["data"]


@pytest.mark.parametrize("na_rep", ["", "NA", "nan", "NULL"])
def test_csv_is_the_same_rows_as_mlflow_reads(decoder, scoring_server, na_rep):
    text = TABLE.to_csv(index=False, na_rep=na_rep)
    theirs = scoring_server.parse_csv_input(io.StringIO(text))
    assert json.loads(theirs.to_json(orient="records")) == [ROW, WOMAN]
    assert rows(decoder, text, CSV) == [ROW, WOMAN]


def test_words_for_a_missing_value_are_those_of_pandas():
    assert mlflow_bodies.MISSING | {""} == STR_NA_VALUES


def test_a_word_for_a_missing_value_stays_where_the_field_knows_it():
    spec = json.loads(json.dumps(champions.SPEC))
    spec["fields"][6]["choices"]["values"].append({"value": "NA"})
    known = RowDecoder(read_spec(json.dumps(spec)))
    assert rows(known, TABLE.assign(Embarked="NA").to_csv(index=False), CSV)[0]["Embarked"] == "NA"


def test_a_body_without_a_content_type_is_json(decoder):
    assert rows(decoder, {"inputs": [ROW]}, "") == [ROW]


def test_what_pandas_writes_for_a_missing_value_is_one(decoder):
    body = json.dumps({"dataframe_records": [ROW | {"Age": float("nan")}]})
    assert "NaN" in body
    assert rows(decoder, body) == [ROW | {"Age": None}]


def test_values_alone_are_in_the_order_of_the_fields(decoder):
    assert rows(decoder, {"inputs": [list(ROW.values())]}) == [ROW]


def test_one_row_may_come_as_values_by_name(decoder):
    assert rows(decoder, {"inputs": ROW}) == [ROW]


def test_csv_with_quotes_a_mark_at_its_start_and_other_line_ends(decoder):
    text = "\ufeff" + ",".join(f'"{name}"' for name in COLUMNS) + "\r\n\r\n3,male, 22 ,1,0,7.25,S\r\n"
    assert rows(decoder, text, CSV) == [ROW]


CODED = [ROW | {"HasCabin": True, "Deck": "2"}, WOMAN | {"HasCabin": False, "Deck": None}]
OF_MODEL = pd.DataFrame(CODED).assign(HasCabin=[1.0, 0.0], Deck=[2.0, np.nan], FamilySize=[2.0, 2.0])


def example_of(table: pd.DataFrame) -> dict:
    """As MLflow writes a model's `serving_input_example.json`."""
    return {"dataframe_split": json.loads(table.to_json(orient="split", index=False))}


@pytest.mark.parametrize(
    "body",
    [
        example_of(OF_MODEL),
        {"dataframe_records": OF_MODEL.to_dict(orient="records")},
        {"inputs": OF_MODEL.to_dict(orient="list")},
        {"instances": OF_MODEL[[*COLUMNS, "HasCabin", "Deck", "FamilySize"]].to_numpy(object).tolist()},
        {"inputs": OF_MODEL.astype({"HasCabin": int}).to_dict(orient="list")},
    ],
)
def test_a_table_of_the_model_s_own_columns_is_its_rows(coded, body):
    assert rows(coded, json.dumps(body)) == CODED


def test_csv_of_the_model_s_own_columns_is_its_rows(coded):
    assert rows(coded, OF_MODEL.to_csv(index=False), CSV) == CODED


def test_a_code_that_is_not_known_stays_as_it_is_written_in_csv(coded):
    table = OF_MODEL.assign(Deck=["7.0", "1.0 "])
    assert [row["Deck"] for row in rows(coded, table.to_csv(index=False), CSV)] == ["7.0", "1"]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"Age": "22"}, 'not the text "22"'), ({"HasCabin": "1"}, "must be"), ({"HasCabin": 2}, "must be")],
)
def test_a_value_that_no_table_would_hold_is_refused(coded, change, words):
    error = refused(coded, with_one("dataframe_records", **change))
    assert words in error.errors[0]["message"]


def test_predict_takes_no_column_that_is_worked_out(call):
    status, problem, _headers = call({"rows": [ROW | {"FamilySize": 2}]})
    assert status == 422
    assert "worked out from the fields" in problem["errors"][0]["message"]


def refused(decoder, body, content_type=JSON) -> CheckError:
    with pytest.raises(CheckError) as why:
        rows(decoder, body, content_type)
    return why.value


def with_one(form, **change):
    return {form: [ROW, ROW | change]}


@pytest.mark.parametrize(
    ("body", "row", "field", "words"),
    [
        (with_one("inputs", Fare=float("inf")), 1, "Fare", "finite"),
        (with_one("inputs", Fare=float("nan")), 1, "Fare", "must not be null"),
        (with_one("inputs", Age="22"), 1, "Age", 'not the text "22"'),
        (with_one("inputs", SibSp=True), 1, "SibSp", "not true"),
        (with_one("inputs", SibSp=2**53 + 2), 1, "SibSp", "too large"),
        (with_one("dataframe_records", Age=[22]), 1, "Age", "not a list"),
        (with_one("dataframe_records", Age={"years": 22}), 1, "Age", "not an object"),
        (with_one("dataframe_records", Cabin="C1"), 1, "Cabin", "is not a field"),
        (with_one("dataframe_records", HasCabin="1"), 1, "HasCabin", "is not a field"),
        ({"dataframe_records": [ROW, 3]}, 1, None, "must be an object"),
        ({"dataframe_records": ROW}, None, "dataframe_records", "must be a list of rows"),
        ({"dataframe_split": {**SPLIT, "data": [list(ROW.values())[:-1]]}}, 0, None, "6 values"),
        ({"dataframe_split": {**SPLIT, "data": [ROW]}}, 0, None, "must be a list"),
        ({"dataframe_split": {**SPLIT, "columns": [*COLUMNS[:-1], "Age"]}}, None, "Age", "2 times"),
        ({"dataframe_split": {**SPLIT, "columns": list(range(7))}}, None, None, "names of fields"),
        ({"dataframe_split": {"data": SPLIT["data"]}}, None, "dataframe_split.columns", "must be a list"),
        ({"dataframe_split": {**SPLIT, "index": [1]}}, None, "dataframe_split.index", "an entry a row"),
        ({"dataframe_split": {**SPLIT, "dtype": []}}, None, "dataframe_split.dtype", "leave out"),
        ({"dataframe_split": [1]}, None, "dataframe_split", "must be an object"),
        ({"inputs": [[3, "male"]]}, 0, None, "2 values"),
        ({"inputs": [3]}, 0, None, "1 value"),
        ({"inputs": {**{name: [1, 2] for name in COLUMNS}, "Age": [1]}}, None, "Age", "1 value"),
        ({"inputs": {**{name: [1, 2] for name in COLUMNS}, "Age": 1}}, None, "Age", "must be a list"),
        ({"inputs": []}, None, None, "no row"),
        ({"inputs": {}}, None, None, "no row"),
        ({"inputs": {"Age": []}}, None, None, "no row"),
        ({"inputs": "text"}, None, "inputs", "must be a list of rows"),
        ({"inputs": [ROW], "params": {"top_k": 3}}, None, "params", "not supported"),
        ({"inputs": [ROW], "signature_name": "x"}, None, "signature_name", "not known"),
        ({"inputs": [ROW], "instances": [ROW]}, None, None, "exactly one of"),
        ({"rows": [ROW]}, None, None, "exactly one of"),
        ([ROW], None, None, "send an object"),
    ],
)
def test_what_cannot_be_read_is_named(decoder, body, row, field, words):
    error = refused(decoder, json.dumps(body))
    assert error.status == 422
    assert any(
        (fault["row"], fault["field"]) == (row, field) and words in fault["message"] for fault in error.errors
    ), error.errors


@pytest.mark.parametrize(
    ("text", "row", "field", "words"),
    [
        (TABLE.to_csv(), None, None, "index=False"),
        (TABLE.to_csv(index=False).replace("22.0", "old"), 0, "Age", 'the text "old"'),
        (TABLE.to_csv(index=False) + "3,male\n", 2, None, "2 values"),
        (TABLE.rename(columns={"Age": "age"}).to_csv(index=False), 0, "age", "did you mean Age?"),
        (TABLE.rename(columns={"Age": "Fare"}).to_csv(index=False), None, "Fare", "2 times"),
        (TABLE.head(0).to_csv(index=False), None, None, "no row"),
        ("", None, None, "no row"),
    ],
)
def test_what_is_wrong_in_csv_is_named(decoder, text, row, field, words):
    error = refused(decoder, text, CSV)
    assert error.status == 422
    assert (error.errors[0]["row"], error.errors[0]["field"]) == (row, field)
    assert words in error.errors[0]["message"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "words"),
    [
        (b"{", JSON, 400, "not JSON"),
        (b'{"inputs": [{"Age": 1, "Age": 2}]}', JSON, 400, "Age twice"),
        (b"[" * 100_000, JSON, 400, "nested too deeply"),
        (b"a,b\n\xff\n", CSV, 400, "UTF-8"),
        (b'a,b\n"1,2\n', CSV, 400, "not CSV"),
        (b"{}", "application/x-www-form-urlencoded", 415, "send application/json or text/csv"),
        (b"{}", "application/json; charset=latin-1", 415, "Only UTF-8"),
        (b"{}", "application/json; format=pandas-split", 415, "format"),
        (b'{"inputs": [' + b"1," * 1_001 + b"1]}", JSON, 413, "at most 1"),
        (b"a\n" + b"1\n" * 1_001, CSV, 413, "at most 1"),
        (b'{"inputs": {"a": [' + b"1," * 1_001 + b"1]}}", JSON, 413, "at most 1"),
    ],
)
def test_what_is_no_body_of_rows_has_its_status(decoder, content, content_type, status, words):
    with pytest.raises(CheckError) as why:
        mlflow_bodies.decode(decoder, content, content_type)
    assert (why.value.status, words in why.value.message) == (status, True), why.value.message


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NAMES = st.sampled_from([*COLUMNS, "columns", "data", "index", "params", "x", ""])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]), ANYTHING)
def test_any_shape_is_read_or_refused(decoder, form, value):
    assert status_of(lambda: rows(decoder, json.dumps({form: value}))) in {200, 400, 413, 422}


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='Age,"\n\r 1;\x00é', max_size=40))
def test_any_text_as_csv_is_read_or_refused(decoder, text):
    assert status_of(lambda: rows(decoder, text, CSV)) in {400, 422}  # required fields are never all there


def test_answers_are_those_of_mlflow_for_the_original(call, broker, scoring_server):
    """The class of each row, as `mlflow models serve` writes what the estimator predicts."""
    spec = read_spec(json.dumps(champions.SPEC))
    passengers = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in champions.passengers(40, seed=5).astype(object).to_dict(orient="records")
    ]
    table = features.table(spec, pd.DataFrame(passengers))
    written = io.StringIO()
    scoring_server.predictions_to_json(champions.packed().estimator.predict(table), written)
    status, answer, headers = call({"dataframe_records": passengers}, path=PATH, content_type=JSON)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer == json.loads(written.getvalue())
    assert set(answer["predictions"]) == {0, 1}
    assert [record["inputs"] for record in broker.records] == passengers


def test_a_row_is_recorded_as_for_predict(call, broker):
    call({"rows": [ROW]})
    status, answer, headers = call(TABLE.head(1).to_csv(index=False).encode(), path=PATH, content_type=CSV)
    assert (status, answer) == (200, {"predictions": [0]})
    first, second = broker.records
    differs = {"id", "at", "request_id"}
    assert {name: value for name, value in first.items() if name not in differs} == {
        name: value for name, value in second.items() if name not in differs
    }
    assert second["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "path", "key", "status"),
    [
        ({"inputs": [ROW]}, PATH, None, 401),
        ({"inputs": [ROW]}, "atlantis/invocations", champions.KEY, 404),
        ({"inputs": [ROW]}, "unfinished/invocations", champions.KEY, 409),
        ({"inputs": [ROW] * 1001}, PATH, champions.KEY, 413),
        (b" " * 2 * 1024 * 1024, PATH, champions.KEY, 413),
        ({"inputs": [{}]}, PATH, champions.KEY, 422),
        (b"{", PATH, champions.KEY, 400),
    ],
)
def test_a_refusal_is_the_same_as_for_predict(call, broker, body, path, key, status):
    found, problem, headers = call(body, path=path, key=key)
    assert (found, problem["status"], headers["content-type"]) == (status, status, "application/problem+json")
    assert broker.messages == []


def test_another_kind_of_body_is_refused(call):
    status, problem, _headers = call(b"PAR1", path=PATH, content_type="application/vnd.apache.parquet")
    assert (status, problem["title"]) == (415, "Unsupported content type")
    assert "text/csv" in problem["detail"]
