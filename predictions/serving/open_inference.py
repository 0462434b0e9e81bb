"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer): requests as rows, answers as tensors.

Each field of the model is a tensor of shape [n] or [n, 1], as MLServer's codec for pandas (`pd`) has it; null
or NaN stands for a missing value. A model of numbers alone takes one tensor for all its fields too. What the
protocol leaves open is taken as it says.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeGuard

import orjson

from predictions.serving import binary_tensors, whole_tensors
from predictions.serving.media import JSON, OCTETS, kind_of
from scoring import values
from scoring.check import Fault, invalid, read_json, refuse, refuse_too_many, shown_name
from scoring.language import Field
from scoring.spec import Spec

PREDICT: Final = "predict"
PROBABILITIES: Final = "probabilities"
PREDICTION_ID: Final = "prediction_id"
_DATATYPES: Final = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "text": "BYTES"}
# The least and the largest of each.
_WHOLE: Final = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)} | {
    f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)
}
_KNOWN: Final = frozenset({*_WHOLE, "FP16", "FP32", "FP64", "BOOL", "BYTES"})


PATH: Final = re.compile(
    r"/v2/?|/v2/models/(?P<model>[^/]+)(/versions/(?P<version>[^/]+))?(?P<verb>/ready|/infer)?"
)
HEALTH: Final = frozenset({"/v2/health/live", "/v2/health/ready"})


def methods(path: str) -> tuple[str, ...]:
    """What the address of a server or model takes; empty for any other."""
    found = PATH.fullmatch(path)
    if found is None:
        return ()
    return ("POST",) if found["verb"] == "/infer" else ("GET", "HEAD")


class Request(NamedTuple):
    """rows: unchecked. outputs: names of the tensors to answer with. id: the caller's own, or empty."""

    rows: list[object]
    outputs: list[str]
    id: str


# --- what a model takes and gives


def metadata(spec: Spec, *, model: str, version: str, is_compiled: bool) -> dict[str, Any]:
    """Of the one version that answers."""
    return {
        "name": model,
        "versions": [version],
        "platform": "onnxruntime_onnx" if is_compiled else "sklearn_pickle",
        "inputs": inputs_of(spec),
        "outputs": outputs_of(spec),
    }


def inputs_of(spec: Spec) -> list[dict[str, Any]]:
    """A tensor a field."""
    return [
        {
            "name": field.name,
            "datatype": _DATATYPES[field.type],
            "shape": [-1, 1],
            "parameters": _optional(field),
        }
        for field in spec.fields
    ]


def _optional(field: Field) -> dict[str, Any]:
    """What the protocol has no word for."""
    return {"optional": not field.required, "nullable": field.nullable}


def outputs_of(spec: Spec) -> list[dict[str, Any]]:
    """Tensors of an answer, the prediction first."""
    found: list[dict[str, Any]] = [{"name": PREDICT, "datatype": _answers_in(spec), "shape": [-1, 1]}]
    if spec.class_values:
        classes = orjson.dumps(spec.class_values).decode()
        shape = [-1, len(spec.class_values)]
        found.append(
            {"name": PROBABILITIES, "datatype": "FP64", "shape": shape, "parameters": {"classes": classes}}
        )
    return [*found, {"name": PREDICTION_ID, "datatype": "BYTES", "shape": [-1, 1]}]


def _answers_in(spec: Spec) -> str:
    if not spec.class_values:
        return "FP64"
    return "INT64" if all(isinstance(value, int) for value in spec.class_values) else "BYTES"


def answer(
    request: Request,
    spec: Spec,
    *,
    model: str,
    version: str,
    request_id: str,
    given: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """given: predictions as the engine answers them."""
    known = {one["name"]: one for one in outputs_of(spec)}
    return {
        "model_name": model,
        "model_version": version,
        "id": request.id or request_id,
        "outputs": [_tensor(known[name], given) for name in request.outputs],
    }


def _tensor(one: dict[str, Any], given: Sequence[dict[str, Any]]) -> dict[str, Any]:
    is_text = one["datatype"] == "BYTES"
    data: list[Any]
    if one["name"] == PREDICT:
        data = [str(row["value"]) if is_text else row["value"] for row in given]
    elif one["name"] == PROBABILITIES:
        data = [share for row in given for share in row["probabilities"].values()]
    else:
        data = [row["id"] for row in given]
    content = {"content_type": "str" if is_text else "np"}
    shape = [len(given), one["shape"][1]]
    return {**one, "shape": shape, "parameters": {**one.get("parameters", {}), **content}, "data": data}


# --- a request


def read(body: bytes, spec: Spec, *, content_type: str, json_bytes: str) -> Request:
    """json_bytes: how much of the body is JSON, as the call's header says; empty for all of it.

    Raises UnknownKind, BrokenHeader, NotJSON, TooLarge, RowsInvalid.
    """
    kind_of(content_type, JSON, OCTETS)  # Triton's asyncio client calls any body octets
    text, behind = binary_tensors.parts(body, json_bytes)
    given = read_json(text, nan=None)
    if not isinstance(given, dict):
        raise invalid([Fault(None, None, 'send an object with the tensors: {"inputs": [{…}]}')])
    outputs = [one["name"] for one in outputs_of(spec)]
    is_whole = whole_tensors.is_whole(given.get("inputs"), spec)
    refuse(_faults_of_request(given, outputs, is_whole=is_whole))
    if is_whole:
        refuse_too_many(given["inputs"][0]["shape"][0])  # before a million values are made of the bytes
    tensors = binary_tensors.unpacked(given["inputs"], behind)
    if is_whole:
        tensors = whole_tensors.by_field(tensors[0], spec)
    refuse(_faults_of_tensors(tensors))
    wanted = [one["name"] for one in given.get("outputs") or []]
    return Request(_rows(tensors), list(dict.fromkeys(wanted)) or outputs, given.get("id") or "")


def _faults_of_request(given: dict[str, Any], known: Sequence[str], *, is_whole: bool) -> Iterator[Fault]:
    if not isinstance(given.get("inputs"), list) or not given["inputs"]:
        yield Fault(None, "inputs", "inputs must be a list with a tensor for each field")
    if not isinstance(given.get("id"), str | None):
        yield Fault(None, "id", "id must be a text")
    content_type = _parameters(given).get("content_type")
    if content_type not in (None, "np" if is_whole else "pd"):
        words = f"the content type {values.shown(content_type)} is not read here: send a tensor a field (pd)"
        yield Fault(None, "parameters", words)
    outputs = given.get("outputs")
    if not isinstance(outputs, list | None):
        yield Fault(None, "outputs", 'outputs must be a list: [{"name": "predict"}]')
    for output in outputs if isinstance(outputs, list) else []:
        name = output.get("name") if isinstance(output, dict) else output
        if name not in known or not isinstance(output, dict):
            words = f"{shown_name(name)} is not an output of this model: it has {', '.join(known)}"
            yield Fault(None, "outputs", words)
        elif _parameters(output).get("classification"):
            words = f"classification is not known here: ask for {PROBABILITIES}"
            yield Fault(None, "outputs", words)


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    found = holder.get("parameters")
    return found if isinstance(found, dict) else {}


def _faults_of_tensors(tensors: list[Any]) -> Iterator[Fault]:
    n_times = Counter(tensor["name"] for tensor in tensors if _is_named(tensor))
    lengths: dict[str, int] = {}
    for place, tensor in enumerate(tensors):
        if not _is_named(tensor):
            yield Fault(
                None, "inputs", f"tensor {place} must be an object with name, shape, datatype and data"
            )
            continue
        name = shown_name(tensor["name"])
        fault = _fault_of_tensor(tensor, name)
        if n_times[tensor["name"]] > 1:
            fault = f"{name} is there {n_times[tensor['name']]} times: send each field once"
        if fault:
            yield Fault(None, name, fault)
        else:
            lengths[tensor["name"]] = tensor["shape"][0]
    usual = Counter(lengths.values()).most_common(1)
    for name, length in lengths.items():
        if length != usual[0][0]:
            shown = shown_name(name)
            yield Fault(None, shown, f"{shown} has {length} rows, other tensors {usual[0][0]}")


def _is_named(tensor: Any) -> bool:
    return isinstance(tensor, dict) and isinstance(tensor.get("name"), str)


def _fault_of_tensor(tensor: dict[str, Any], name: str) -> str:
    """Empty for one that can be read."""
    shape, data, parameters = tensor.get("shape"), tensor.get("data"), _parameters(tensor)
    if parameters.get("content_type") not in (None, "np", "str", "pd"):
        return f"{name} has a content type that is not read here: leave it out"
    if not isinstance(tensor.get("datatype"), str) or tensor["datatype"] not in _KNOWN:
        return f"{name} must have a datatype of the protocol, such as {', '.join(_DATATYPES.values())}"
    if not _is_column(shape):
        return f"{name} must have the shape [n] or [n, 1], with n rows: send a tensor for each field"
    if not isinstance(data, list):
        return f"{name} must have its values as a list in data"
    if len(data) != shape[0]:
        return f"{name} has {shape[0]} rows by its shape, and {len(data)} in data"
    return ""


def _is_column(shape: Any) -> TypeGuard[list[int]]:
    return (
        isinstance(shape, list)
        and len(shape) in (1, 2)
        and all(type(size) is int and size >= 0 for size in shape)
        and shape[1:] in ([], [1])
    )


def _rows(tensors: list[dict[str, Any]]) -> list[object]:
    """Raises TooLarge, RowsInvalid with each value that is not of its tensor's datatype."""
    n_rows = tensors[0]["shape"][0]
    refuse_too_many(n_rows)
    if not n_rows:
        raise invalid([Fault(None, None, "there is no row: send at least one")])
    columns = {tensor["name"]: _flat(tensor) for tensor in tensors}
    kinds = {tensor["name"]: tensor["datatype"] for tensor in tensors}
    refuse(
        Fault(row, shown_name(name), f"{shown_name(name)} is {kinds[name]}, but holds {values.shown(value)}")
        for row in range(n_rows)
        for name in columns
        if not _fits(kinds[name], value := columns[name][row])
    )
    return [{name: _typed(kinds[name], columns[name][row]) for name in columns} for row in range(n_rows)]


def _flat(tensor: dict[str, Any]) -> list[Any]:
    """Row by row; of [n, 1] each row may be a list of its own."""
    if len(tensor["shape"]) == 1:
        return list(tensor["data"])
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in tensor["data"]]


def _fits(datatype: str, value: Any) -> bool:
    if value is None:
        return True
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, int) and value in (0, 1)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if datatype not in _WHOLE or not math.isfinite(value):  # the model's field has words for NaN
        return True
    least, largest = _WHOLE[datatype]
    return value == int(value) and least <= value <= largest


def _typed(datatype: str, value: Any) -> Any:
    return bool(value) if datatype == "BOOL" and value is not None else value
