"""Triton's extension: tensors in binary behind the JSON of a call, as its clients send them by default."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictions.serving import open_inference
from predictions.serving.binary_tensors import HEADER
from scoring.check import CheckError, RowDecoder
from scoring.spec_reading import read_spec
from tests import champions
from tests.champions import ROW, status_of
from tests.unit.predictions.test_open_inference import INFER, KINDS, WOMAN, tensors

TYPES = {"INT64": "<i8", "FP64": "<f8"}


@pytest.fixture(scope="module")
def decoder() -> RowDecoder:
    return RowDecoder(read_spec(json.dumps(champions.SPEC)))


def texts(*values: str) -> bytes:
    """As tritonclient serialises them."""
    return b"".join(struct.pack("<I", len(one.encode())) + one.encode() for one in values)


def held(kind: str, values: list) -> bytes:
    if kind == "BYTES":
        return texts(*("" if value is None else value for value in values))
    return np.array([np.nan if value is None else value for value in values], TYPES[kind]).tobytes()


def packed(*rows: dict, **changes: bytes | dict) -> tuple[bytes, str]:
    """A body and its header. changes: the bytes of single tensors, or members of them."""
    parts, inputs = [], []
    for one in tensors(*rows):
        change = changes.get(one["name"], {})
        part = change if isinstance(change, bytes) else held(one["datatype"], one.pop("data"))
        one.pop("data", None)
        inputs.append(one | {"parameters": {"binary_data_size": len(part)}})
        inputs[-1] |= change if isinstance(change, dict) else {}
        parts.append(part)
    text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return b"".join([text, *parts]), str(len(text))


def rows(decoder, body: bytes, json_bytes: str, content_type="application/octet-stream") -> list[dict]:
    request = open_inference.read(body, decoder.spec, content_type=content_type, json_bytes=json_bytes)
    return decoder.decode_rows(request.rows).inputs


def refused(decoder, body: bytes, json_bytes: str) -> tuple[int, str]:
    with pytest.raises(CheckError) as why:
        rows(decoder, body, json_bytes)
    return why.value.status, why.value.errors[0]["message"] if why.value.errors else why.value.message


@pytest.mark.parametrize("content_type", ["", "application/json", "application/octet-stream"])
def test_binary_tensors_are_rows_with_nan_and_empty_texts_for_missing(decoder, content_type):
    body, json_bytes = packed(ROW, WOMAN | {"Embarked": None})
    assert rows(decoder, body, json_bytes, content_type) == [ROW, WOMAN | {"Embarked": None}]


def test_values_in_json_may_stand_beside_binary_ones(decoder):
    inputs = tensors(ROW)
    del inputs[2]["data"]
    inputs[2]["parameters"] = {"binary_data_size": 8}
    text = json.dumps({"inputs": inputs}).encode()
    assert rows(decoder, text + held("FP64", [22]), str(len(text))) == [ROW]


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [
        *((f"INT{bits}", f"<i{bits // 8}") for bits in (8, 16, 32, 64)),
        *((f"UINT{bits}", f"<u{bits // 8}") for bits in (8, 16, 32, 64)),
        *((f"FP{bits}", f"<f{bits // 8}") for bits in (16, 32, 64)),
    ],
)
def test_each_datatype_is_read_little_endian(decoder, datatype, kind):
    change = {"datatype": datatype, "parameters": {"binary_data_size": np.dtype(kind).itemsize}}
    body, json_bytes = packed(ROW, Parch=change)
    text, behind = body[: int(json_bytes)], body[int(json_bytes) :]
    at = len(held("INT64", [3]) + texts("male") + held("FP64", [22]) + held("INT64", [1]))
    behind = behind[:at] + np.array([2], kind).tobytes() + behind[at + 8 :]
    assert rows(decoder, text + behind, json_bytes) == [ROW | {"Parch": 2}]


def test_a_boolean_is_a_byte():
    fields = [*champions.SPEC["fields"], {"name": "HasCabin", "type": "boolean"}]
    change = {"fields": fields, "example": ROW | {"HasCabin": True}}
    decoder = RowDecoder(read_spec(json.dumps(champions.SPEC | change)))
    tensor = {"name": "HasCabin", "shape": [2, 1], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}
    text = json.dumps({"inputs": [*tensors(ROW, WOMAN), tensor]}).encode()
    found = rows(decoder, text + b"\x01\x00", str(len(text)))
    assert [row["HasCabin"] for row in found] == [True, False]
    assert refused(decoder, text + b"\x01\x07", str(len(text))) == (422, "HasCabin is BOOL, but holds 7")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Age": b"1234"}, "Age has 4 bytes, but a value of FP64 takes 8"),
        ({"Age": held("FP64", [1, 2])}, "Age has 1 rows by its shape, and 2 in data"),
        ({"Age": b""}, "Age has 1 rows by its shape, and 0 in data"),
        ({"Age": held("FP64", [np.inf])}, "Age must be a finite number"),
        ({"Sex": b"\x04\x00"}, "Sex ends within the length of its text 0"),
        ({"Sex": b"\x05\x00\x00\x00male"}, "Sex ends within its text 0, which has 5 bytes"),
        ({"Sex": b"\xff\xff\xff\xffmale"}, "Sex ends within its text 0, which has 4294967295 bytes"),
        ({"Sex": b"\x01\x00\x00\x00\xff"}, "Sex has a text 0 that is not UTF-8"),
        ({"Sex": texts("male", "male")}, "Sex has 1 rows by its shape, and 2 in data"),
        ({"Age": {"datatype": "BF16"}}, "Age must have a datatype of the protocol"),
        ({"Age": {"data": [22]}}, "Age has values in data and in binary"),
        ({"Age": {"parameters": {"binary_data_size": -1}}}, "must be a number of bytes, not -1"),
        ({"Age": {"parameters": {"binary_data_size": "8"}}}, 'must be a number of bytes, not "8"'),
        ({"Age": {"parameters": {"binary_data_size": True}}}, "must be a number of bytes, not true"),
        ({"Embarked": {"parameters": {"binary_data_size": 6}}}, "Embarked has 6 bytes by its"),
        ({"Embarked": {"parameters": {}}}, "5 bytes behind the JSON belong to no tensor"),
        ({"Age": {"shape": [10**15]}}, "Age has 1000000000000000 rows by its shape"),
    ],
)
def test_bytes_that_are_not_the_tensor_s_values_are_refused_in_words(decoder, changes, words):
    status, message = refused(decoder, *packed(ROW, **changes))
    assert (status, words in message) == (422, True), message


@pytest.mark.parametrize("json_bytes", ["x", "-1", "1.5", "²", "9" * 30, "999999"])
def test_a_header_that_is_not_the_length_of_the_json_is_refused_in_words(decoder, json_bytes):
    status, message = refused(decoder, packed(ROW)[0], json_bytes)
    assert (status, message.startswith(f"{HEADER} must be the number of bytes")) == (400, True)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_header_that_cuts_elsewhere_is_refused(decoder, shift):
    body, json_bytes = packed(ROW)
    assert refused(decoder, body, str(int(json_bytes) + shift))[0] == 400


def test_sizes_without_the_header_are_told_of_it(decoder):
    body, json_bytes = packed(ROW)
    status, message = refused(decoder, body[: int(json_bytes)], "")
    assert (status, f"0 are left behind the JSON: {HEADER}" in message) == (422, True)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from([*KINDS]),
                "shape": st.lists(st.integers(0, 3), max_size=2),
                "datatype": st.sampled_from(["BYTES", "BOOL", "INT8", "FP16", "FP64", "x"]),
                "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(0, 20) | st.none()}),
            }
        ),
        max_size=3,
    ),
    st.binary(max_size=40),
    st.integers(-2, 2),
)
def test_any_bytes_are_read_or_refused(decoder, inputs, behind, shift):
    text = json.dumps({"inputs": inputs}).encode()
    body = text + behind
    assert status_of(lambda: rows(decoder, body, str(len(text) + shift))) in {200, 400, 413, 422}


def test_a_call_is_answered_in_json_and_recorded(ask, broker):
    body, json_bytes = packed(ROW, WOMAN)
    status, answer, headers = ask("POST", INFER, body, inference_header_content_length=json_bytes)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert [one["shape"] for one in answer["outputs"]] == [[2, 1], [2, 2], [2, 1]]
    assert [record["inputs"] for record in broker.records] == [ROW, WOMAN]


def test_a_call_of_more_than_a_mebibyte_is_refused(ask):
    body, json_bytes = packed(ROW, Sex=texts("x" * 1024 * 1024))
    assert ask("POST", INFER, body, inference_header_content_length=json_bytes)[0] == 413
