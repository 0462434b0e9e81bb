"""The Open Inference Protocol: a tensor for each field in, tensors out, checked and recorded as ever."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictions.serving import metrics, open_inference
from predictions.serving.application import PredictApp
from predictions.serving.inference import InferenceApp
from scoring.check import CheckError, RowDecoder
from scoring.spec_reading import read_spec
from tests import champions
from tests.champions import ROW, status_of

MODEL = "/v2/models/titanic"
INFER = f"{MODEL}/infer"
WOMAN = ROW | {"Sex": "female", "Age": None}
KINDS = {
    "Pclass": "INT64",
    "Sex": "BYTES",
    "Age": "FP64",
    "SibSp": "INT64",
    "Parch": "INT64",
    "Fare": "FP64",
    "Embarked": "BYTES",
}


def tensors(*rows: dict, **changes: dict) -> list[dict]:
    """changes: members of single tensors."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": KINDS[name], "data": [row[name] for row in rows]}
        | changes.get(name, {})
        for name in KINDS
    ]


@pytest.fixture(scope="module")
def decoder() -> RowDecoder:
    return RowDecoder(read_spec(json.dumps(champions.SPEC)))


def read(decoder, body, content_type="application/json", *, json_bytes=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return open_inference.read(content, decoder.spec, content_type=content_type, json_bytes=json_bytes)


def rows(decoder, body) -> list[dict]:
    return decoder.decode_rows(read(decoder, body).rows).inputs


# --- rows


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_a_tensor_for_each_field_is_rows(decoder, shape):
    given = {"inputs": [{**tensor, "shape": shape} for tensor in reversed(tensors(ROW, WOMAN))]}
    assert rows(decoder, given) == [ROW, WOMAN]


def test_values_of_a_column_may_be_lists_of_their_own(decoder):
    nested = [{**one, "shape": [1, 1], "data": [one["data"]]} for one in tensors(ROW)]
    assert rows(decoder, {"inputs": nested}) == [ROW]


def test_what_mlserver_s_codec_for_pandas_writes_is_read(decoder):
    """Its requests hold null for each member that is not set, and a content type for each tensor."""
    given = {
        "id": None,
        "parameters": {"content_type": "pd", "headers": None},
        "inputs": [
            {**one, "shape": [2, 1], "parameters": {"content_type": "np" if one["name"] == "Age" else "str"}}
            for one in tensors(ROW, WOMAN)
        ],
        "outputs": None,
    }
    assert rows(decoder, given) == [ROW, WOMAN]


def test_a_field_that_may_be_missing_may_have_no_tensor(decoder):
    given = [one for one in tensors(ROW) if one["name"] not in ("Age", "Embarked")]
    assert rows(decoder, {"inputs": given}) == [ROW | {"Age": None, "Embarked": None}]


def test_whole_numbers_may_come_in_any_datatype_that_holds_them(decoder):
    for kind in ("INT8", "UINT8", "UINT64", "FP32", "FP16"):
        assert rows(decoder, {"inputs": tensors(ROW, SibSp={"datatype": kind, "data": [1]})}) == [ROW]


@pytest.mark.parametrize(
    ("change", "row", "field", "words"),
    [
        ({"Age": {"datatype": "FP64", "data": ["22"]}}, 0, "Age", 'FP64, but holds "22"'),
        ({"Age": {"datatype": "FP64", "data": [True]}}, 0, "Age", "FP64, but holds true"),
        ({"Age": {"datatype": "INT64", "data": [22.5]}}, 0, "Age", "INT64, but holds 22.5"),
        ({"SibSp": {"datatype": "INT8", "data": [128]}}, 0, "SibSp", "INT8, but holds 128"),
        ({"SibSp": {"datatype": "UINT8", "data": [-1]}}, 0, "SibSp", "UINT8, but holds -1"),
        ({"Sex": {"data": [1]}}, 0, "Sex", "BYTES, but holds 1"),
        ({"Sex": {"datatype": "INT64", "data": [1]}}, 0, "Sex", "must be text"),
        ({"Fare": {"data": [None]}}, 0, "Fare", "must not be null"),
        ({"Fare": {"data": [[7.25, 1]]}}, 0, "Fare", "FP64, but holds a list"),
        ({"SibSp": {"data": [2**53 + 2]}}, 0, "SibSp", "too large"),
        ({"SibSp": {"datatype": "BOOL", "data": [True]}}, 0, "SibSp", "not true"),
        ({"Age": {"shape": [1, 2]}}, None, "Age", "shape [n] or [n, 1]"),
        ({"Age": {"shape": []}}, None, "Age", "shape [n] or [n, 1]"),
        ({"Age": {"shape": [-1]}}, None, "Age", "shape [n] or [n, 1]"),
        ({"Age": {"shape": [True]}}, None, "Age", "shape [n] or [n, 1]"),
        ({"Age": {"shape": [2]}}, None, "Age", "2 rows by its shape, and 1 in data"),
        ({"Age": {"shape": [2], "data": [1, 2]}}, None, "Age", "2 rows, other tensors 1"),
        (
            {"Age": {"shape": [2], "data": [1, 2]}, "Fare": {"name": 3}},
            None,
            "Age",
            "2 rows, other tensors 1",
        ),
        ({"Age": {"datatype": "FP128"}}, None, "Age", "datatype of the protocol"),
        ({"Age": {"datatype": []}}, None, "Age", "datatype of the protocol"),
        ({"Age": {"data": "22"}}, None, "Age", "as a list"),
        ({"Age": {"parameters": {"content_type": "base64"}}}, None, "Age", "content type"),
        ({"Age": {"name": "Fare"}}, None, "Fare", "2 times"),
        ({"Age": {"name": "Years"}}, 0, "Years", "is not a field"),
        ({"Age": {"name": None}}, None, "inputs", "tensor 2 must be an object with name"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(decoder, change, row, field, words):
    with pytest.raises(CheckError) as why:
        rows(decoder, {"inputs": tensors(ROW, **change)})
    assert why.value.status == 422
    assert any(
        (fault["row"], fault["field"]) == (row, field) and words in fault["message"]
        for fault in why.value.errors
    ), why.value.errors


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"inputs": []}, "inputs", "a tensor for each field"),
        ({"inputs": {"Age": 1}}, "inputs", "a tensor for each field"),
        ({"id": 4}, "id", "must be a text"),
        ({"parameters": {"content_type": "np"}}, "parameters", "a tensor a field"),
        ({"outputs": [{"name": "label"}]}, "outputs", "it has predict, probabilities, prediction_id"),
        ({"outputs": ["predict"]}, "outputs", "is not an output"),
        ({"outputs": {"name": "predict"}}, "outputs", "must be a list"),
        ({"outputs": [{"name": "predict", "parameters": {"classification": 2}}]}, "outputs", "probabilities"),
        ({"inputs": tensors()}, None, "no row"),
    ],
)
def test_a_request_that_cannot_be_read_is_told_why(decoder, change, field, words):
    with pytest.raises(CheckError) as why:
        read(decoder, {"inputs": tensors(ROW)} | change)
    assert (why.value.status, why.value.errors[0]["field"]) == (422, field)
    assert words in why.value.errors[0]["message"]


def test_names_that_begin_alike_are_two_tensors(decoder):
    """Answers show 64 characters of a name: these two look the same there, and have 1 and 2 rows."""
    long = "n" * 64
    sent = [{"name": f"{long}{n}", "shape": [n], "datatype": "FP64", "data": [1.0] * n} for n in (2, 1)]
    with pytest.raises(CheckError) as why:
        rows(decoder, {"inputs": [*tensors(ROW), *sent]})
    assert [fault["message"] for fault in why.value.errors] == [f"{long} has 2 rows, other tensors 1"]
    with pytest.raises(CheckError) as why:
        rows(decoder, {"inputs": sent})
    assert "rows, other tensors" in why.value.errors[0]["message"]


def test_not_a_number_is_a_missing_value(decoder):
    """numpy's clients have no other word for one."""
    nan = {"data": [float("nan")]}
    assert rows(decoder, {"inputs": tensors(ROW, Age=nan)}) == [ROW | {"Age": None}]
    with pytest.raises(CheckError) as why:
        rows(decoder, {"inputs": tensors(ROW, Fare=nan)})
    assert "Fare must not be null" in why.value.errors[0]["message"]


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 422),
        ({"inputs": tensors(ROW)}, {"content_type": "text/plain"}, 415),
        ({"inputs": tensors(*[ROW] * 1001)}, {}, 413),
    ],
)
def test_what_is_no_request_of_tensors_has_its_status(decoder, body, options, status):
    with pytest.raises(CheckError) as why:
        read(decoder, body, **options)
    assert why.value.status == status


@pytest.fixture(scope="module")
def numbers() -> RowDecoder:
    """Of a model without texts."""
    fields = [field for field in champions.SPEC["fields"] if field["type"] != "text"]
    fields = [*fields[1:], {"name": "HasCabin", "type": "boolean"}]
    change = {"fields": fields, "example": {}}
    return RowDecoder(read_spec(json.dumps(champions.SPEC | change)))


NUMBERS = [[22.0, 1, 0, 7.25, 0], [None, 0, 2, 8.5, 1]]
AS_ROWS = [
    {"Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "HasCabin": False},
    {"Age": None, "SibSp": 0, "Parch": 2, "Fare": 8.5, "HasCabin": True},
]
NP = {"content_type": "np"}


def whole(**change) -> dict:
    return {
        "inputs": [{"name": "input-0", "shape": [2, 5], "datatype": "FP32", "data": NUMBERS, **change}],
        "parameters": NP,
    }


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"parameters": NP},
        {"data": [value for row in NUMBERS for value in row]},
        {"data": [[22, 1, 0, 7.25, 0.0], [float("nan"), 0.0, 2.0, 8.5, 1.0]], "datatype": "FP64"},
    ],
)
def test_one_tensor_holds_all_fields_of_a_model_of_numbers_in_their_order(numbers, change):
    assert rows(numbers, whole(**change)) == AS_ROWS


def test_one_tensor_for_all_fields_may_be_binary(numbers):
    held = np.array(NUMBERS, "<f4").tobytes()
    given = whole(parameters={"binary_data_size": len(held)})
    del given["inputs"][0]["data"]
    text = json.dumps(given).encode()
    request = read(numbers, text + held, json_bytes=str(len(text)))
    assert numbers.decode_rows(request.rows).inputs == AS_ROWS


def test_one_tensor_of_too_many_rows_is_refused_before_it_is_read(numbers, monkeypatch):
    monkeypatch.setattr(open_inference.binary_tensors, "unpacked", None)
    with pytest.raises(CheckError) as why:
        rows(numbers, whole(shape=[333_333, 5]))
    assert why.value.status == 413


def test_a_model_of_one_field_takes_its_tensor_by_any_name():
    spec = champions.SPEC | {"fields": [champions.SPEC["fields"][3]], "derived": [], "example": {}}
    one = RowDecoder(read_spec(json.dumps(spec)))
    for name in ("input-0", "SibSp"):
        given = [{"name": name, "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}]
        assert rows(one, {"inputs": given}) == [{"SibSp": 1}, {"SibSp": 2}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [2, 4]}, "input-0 has 4 values a row, but the model takes 5: Age, SibSp"),
        ({"shape": [3, 5]}, "3 rows of 5 values by its shape, and data does not hold those"),
        ({"data": [NUMBERS[0], NUMBERS[1][:4]]}, "data does not hold those"),
        ({"data": None}, "data does not hold those"),
        ({"datatype": "BYTES"}, "a datatype of numbers"),
        ({"datatype": "FP128"}, "must have a datatype of the protocol"),
        ({"data": [NUMBERS[0], [1, 1, 0, 2.0, 2]]}, "HasCabin is BOOL, but holds 2"),
        ({"data": [NUMBERS[0], [1, 1, 0, 2.0, "yes"]]}, 'HasCabin is BOOL, but holds "yes"'),
        ({"data": [NUMBERS[0], [1, 1.5, 0, 2.0, 1]]}, "SibSp must be a whole number"),
        ({"shape": [0, 5], "data": []}, "there is no row"),
    ],
)
def test_one_tensor_that_is_not_all_fields_is_refused_in_words(numbers, change, words):
    with pytest.raises(CheckError) as why:
        rows(numbers, whole(**change))
    assert why.value.status == 422
    assert words in why.value.errors[0]["message"]


def test_a_model_with_texts_takes_a_tensor_for_each_field(decoder):
    with pytest.raises(CheckError) as why:
        rows(decoder, whole(shape=[2, 7]))
    assert "but texts are in Sex, Embarked: send a tensor for each field" in why.value.errors[0]["message"]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["Age", "FP64", "x"])
KEYS = st.sampled_from(["name", "shape", "datatype", "data", "parameters", "content_type"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*KINDS]) | ANYTHING,
        "shape": st.lists(st.integers(0, 2), max_size=2) | ANYTHING,
        "datatype": st.sampled_from([*KINDS.values(), "BOOL", "UINT8"]) | ANYTHING,
        "data": st.lists(SCALARS, max_size=2) | ANYTHING,
    },
    optional={"parameters": ANYTHING},
)


@settings(max_examples=200, deadline=None)
@given(st.lists(TENSORS | ANYTHING, max_size=3) | ANYTHING, ANYTHING, ANYTHING, ANYTHING)
def test_any_request_is_read_or_refused(decoder, numbers, inputs, outputs, parameters, id_):
    body = {"inputs": inputs, "outputs": outputs, "parameters": parameters, "id": id_}
    for one in (decoder, numbers):
        assert status_of(lambda one=one: rows(one, body)) in {200, 400, 413, 415, 422}


# --- calls


def test_a_row_is_answered_in_tensors_and_recorded_as_for_predict(ask, call, broker):
    _status, predicted, _headers = call({"rows": [ROW, WOMAN]})
    status, answer, headers = ask("POST", INFER, {"id": "mine", "inputs": tensors(ROW, WOMAN)})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("titanic", "1", "mine")
    predict, shares, ids = answer["outputs"]
    assert predict == {
        "name": "predict",
        "datatype": "INT64",
        "shape": [2, 1],
        "parameters": {"content_type": "np"},
        "data": [given["value"] for given in predicted["predictions"]],
    }
    assert shares["shape"] == [2, 2]
    assert shares["data"] == [
        share for given in predicted["predictions"] for share in given["probabilities"].values()
    ]
    assert json.loads(shares["parameters"]["classes"]) == [0, 1]
    assert ids["data"] == [record["id"] for record in broker.records[2:]]
    assert [record["inputs"] for record in broker.records] == [ROW, WOMAN] * 2
    assert {record["source"] for record in broker.records} == {"api"}


def test_only_outputs_that_were_asked_for_are_given(ask):
    wanted = [{"name": "probabilities"}, {"name": "predict", "parameters": {"binary_data": True}}]
    _status, answer, headers = ask("POST", INFER, {"inputs": tensors(ROW), "outputs": wanted})
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "predict"]
    assert answer["id"] == headers["x-request-id"]


def test_a_model_says_what_it_takes_and_gives(ask):
    status, model, _headers = ask("GET", MODEL)
    assert status == 200
    assert (model["name"], model["versions"], model["platform"]) == ("titanic", ["1"], "onnxruntime_onnx")
    assert {one["name"]: one["datatype"] for one in model["inputs"]} == KINDS
    assert {tuple(one["shape"]) for one in model["inputs"]} == {(-1, 1)}
    assert [one["name"] for one in model["inputs"] if one["parameters"]["optional"]] == ["Age", "Embarked"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["outputs"]] == [
        ("predict", "INT64", [-1, 1]),
        ("probabilities", "FP64", [-1, 2]),
        ("prediction_id", "BYTES", [-1, 1]),
    ]


def test_a_regression_answers_numbers_and_a_model_of_texts_its_words():
    spec = json.loads(json.dumps(champions.SPEC))
    spec |= {"task": "regression", "output": {"unit": "£"}, "primary_metric": "mae"}
    outputs = open_inference.outputs_of(read_spec(json.dumps(spec)))
    assert [(one["name"], one["datatype"]) for one in outputs] == [
        ("predict", "FP64"),
        ("prediction_id", "BYTES"),
    ]
    spec = champions.SPEC | {"output": {"labels": [{"value": "no"}, {"value": "yes"}]}}
    spec = read_spec(json.dumps(spec))
    request = open_inference.Request([], ["predict"], "")
    given = [{"value": "yes"}]
    answer = open_inference.answer(request, spec, model="m", version="1", request_id="r", given=given)
    assert answer["outputs"] == [
        {
            "name": "predict",
            "datatype": "BYTES",
            "shape": [1, 1],
            "parameters": {"content_type": "str"},
            "data": ["yes"],
        }
    ]


def test_the_server_and_its_models_say_that_they_are_ready(ask, running):
    assert ask("GET", "/v2")[1] == {"name": "atalaya", "version": "1", "extensions": ["binary_tensor_data"]}
    assert ask("GET", "/v2/health/live", key=None)[:2] == (200, {"live": True})
    assert ask("GET", "/v2/health/ready", key=None)[:2] == (200, {"ready": True})
    assert ask("GET", f"{MODEL}/ready")[:2] == (200, {"name": "titanic", "ready": True})
    running.callers._as_of -= 4000
    assert ask("GET", "/v2/health/live", key=None)[:2] == (200, {"live": True})
    assert ask("GET", "/v2/health/ready", key=None)[:2] == (503, {"ready": False})


def test_only_the_champion_s_version_answers(ask):
    for method, path in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
        body = {"inputs": tensors(ROW)} if path == "/infer" else b""
        assert ask(method, f"{MODEL}/versions/1{path}", body)[0] == 200
        status, problem, _headers = ask(method, f"{MODEL}/versions/2{path}", body)
        assert status == 404
        assert problem["error"] == problem["detail"]
        assert "Version 2 of titanic does not answer: its champion is version 1" in problem["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "options", "status", "words"),
    [
        ("POST", INFER, {"inputs": tensors(ROW)}, {"key": None}, 401, "Send a token"),
        ("GET", MODEL, b"", {"key": None}, 401, "Send a token"),
        ("GET", "/v2", b"", {"key": "ata_other"}, 401, "unknown"),
        ("GET", "/v2/models/atlantis", b"", {}, 404, "atlantis"),
        ("GET", "/v2/models/unfinished/ready", b"", {}, 409, "no champion"),
        ("POST", INFER, b"{", {}, 400, "not JSON"),
        ("POST", INFER, b" " * 2 * 1024 * 1024, {}, 413, "1 MiB"),
        (
            "POST",
            INFER,
            {"inputs": tensors(ROW)},
            {"inference_header_content_length": "999999"},
            400,
            "must be the number of bytes of the JSON",
        ),
        (
            "POST",
            INFER,
            {"inputs": tensors(ROW, Age={"data": [500]})},
            {},
            422,
            "[row 0: Age must be at most 120",
        ),
        ("GET", INFER, b"", {}, 405, "GET"),
        ("POST", MODEL, b"", {}, 405, "POST"),
        ("GET", "/v2/models", b"", {}, 404, "nothing at this address"),
    ],
)
def test_errors_have_the_form_of_the_protocol_and_of_the_console(
    ask, method, path, body, options, status, words
):
    found, problem, headers = ask(method, path, body, **options)
    assert (found, problem["status"], headers["content-type"]) == (status, status, "application/problem+json")
    assert words in problem["error"]
    assert problem["detail"] in problem["error"]


def test_only_predictions_are_counted_as_answers(ask, monkeypatch):
    """What a model is takes no time, so it would make the shown seconds too good."""
    counted = []
    monkeypatch.setattr(metrics, "answered", lambda status, _seconds: counted.append(status))
    for path in ("/v2", MODEL, f"{MODEL}/ready", "/v2/models/nothing"):
        ask("GET", path)
    assert counted == []
    assert ask("POST", INFER, {"inputs": tensors(ROW)})[0] == 200
    assert ask("POST", INFER, {"inputs": []})[0] == 422
    assert counted == [200, 422]


def test_a_call_that_is_not_recorded_is_told_so(ask, broker):
    broker.fails = True
    status, problem, headers = ask("POST", INFER, {"inputs": tensors(ROW)})
    assert (status, len(problem["ids"]), "error" in problem) == (503, 1, True)
    assert headers["retry-after"]


def test_a_model_whose_process_is_gone_is_not_ready(ask, running, monkeypatch):
    monkeypatch.setattr(type(running.engine.served["titanic"]), "is_alive", False)
    assert ask("GET", f"{MODEL}/ready")[0] == 503


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_ours"),
    [
        ("POST", INFER, [(b"authorization", b"Bearer x")], True),
        ("GET", "/v2", [(b"authorization", b"Bearer x")], True),
        ("GET", f"{MODEL}/versions/1/ready", [(b"authorization", b"Bearer x")], True),
        ("POST", INFER, [(b"cookie", b"session=1")], False),
        ("GET", INFER, [(b"authorization", b"Bearer x")], False),
        ("GET", "/v2/health/live", [(b"authorization", b"Bearer x")], False),
        ("GET", "/v2x", [(b"authorization", b"Bearer x")], False),
    ],
)
def test_only_calls_with_a_token_are_taken_from_django(running, method, path, headers, is_ours):
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    assert InferenceApp(PredictApp(running)).matches(scope) is is_ours
