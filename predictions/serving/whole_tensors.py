"""One tensor for all fields of a model of numbers, as servers of scikit-learn's models take it."""

from typing import Any

from scoring import values
from scoring.check import Fault, invalid, shown_name
from scoring.language import Field
from scoring.spec import Spec


def is_whole(tensors: Any, spec: Spec) -> bool:
    """Whether these are one tensor of shape [n, k]; for a model of one field, by another name than that."""
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        return False
    name, shape = tensors[0].get("name"), tensors[0].get("shape")
    if not isinstance(name, str) or not isinstance(shape, list) or len(shape) != 2:
        return False
    is_shape = all(type(size) is int and size >= 0 for size in shape)
    is_only = len(spec.fields) == 1 and name != spec.fields[0].name
    return is_shape and (shape[1] != 1 or is_only)


def by_field(tensor: dict[str, Any], spec: Spec) -> list[dict[str, Any]]:
    """A tensor for each field, in their order. Raises RowsInvalid."""
    name = shown_name(tensor["name"])
    fault = _fault(tensor, name, spec)
    rows = [] if fault else _rows(tensor)
    if fault or rows is None:
        n_rows, n_columns = tensor["shape"]
        counts = f"{name} has {n_rows} rows of {n_columns} values by its shape, and data does not hold those"
        raise invalid([Fault(None, name, fault or counts)])
    return [_of_field(tensor, field, [row[place] for row in rows]) for place, field in enumerate(spec.fields)]


def _fault(tensor: dict[str, Any], name: str, spec: Spec) -> str:
    """Empty where the fields can be told apart."""
    texts = [field.name for field in spec.fields if field.is_text]
    if texts:
        of_texts = f"texts are in {', '.join(texts)}: send a tensor for each field"
        return f"{name} is one tensor for all fields, which takes a model of numbers alone, but {of_texts}"
    n_columns = tensor["shape"][1]
    if n_columns != len(spec.fields):
        names = ", ".join(field.name for field in spec.fields)
        return f"{name} has {n_columns} values a row, but the model takes {len(spec.fields)}: {names}"
    if tensor.get("datatype") == "BYTES":
        return f"{name} is one tensor for all fields: it must have a datatype of numbers, such as FP64"
    return ""


def _rows(tensor: dict[str, Any]) -> list[list[Any]] | None:
    """Of values that are flat, or a list a row; None where they are not as many as the shape says."""
    (n_rows, n_columns), data = tensor["shape"], tensor.get("data")
    if not isinstance(data, list):
        return None
    if len(data) == n_rows and all(isinstance(row, list) and len(row) == n_columns for row in data):
        return data
    if len(data) != n_rows * n_columns:
        return None
    return [data[start : start + n_columns] for start in range(0, len(data), n_columns)]


def _of_field(tensor: dict[str, Any], field: Field, data: list[Any]) -> dict[str, Any]:
    """Numbers say yes and no by 1 and 0, since all values of a tensor have one datatype."""
    one = {**tensor, "name": field.name, "shape": [len(data)], "data": data}
    if field.type != "boolean":
        return one
    data = [value if isinstance(value, str) else values.from_table(field, value) for value in data]
    return {**one, "datatype": "BOOL", "data": data}
