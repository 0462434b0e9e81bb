"""Bodies of MLflow's scoring protocol, as `mlflow models serve` of release 3 takes them, as rows.

A missing value is what pandas writes for one: NaN in JSON, an empty cell or one of `MISSING` in CSV. Columns
that the model works out itself, which its own signature and example have, are left out. Where MLflow guesses
(a row that is too short, a column that the model does not know), the call is refused.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from predictions.serving.media import CSV, JSON, kind_of
from scoring import values
from scoring.check import (
    CheckError,
    Fault,
    RowDecoder,
    Rows,
    invalid,
    read_json,
    refuse,
    refuse_too_many,
    shown_name,
)
from scoring.language import Field
from scoring.spec import Spec
from scoring.words import grouped

# What pandas.read_csv takes for a missing value.
_ODD = {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>"}
MISSING: Final = _ODD | {"-NaN", "-nan", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_WHOLE_FLOAT: Final = re.compile(r"\s*(-?\d+)\.0\s*")  # what pandas writes where a column lacks some values


class NotCSV(CheckError):
    status = 400


def decode(decoder: RowDecoder, body: bytes, content_type: str) -> Rows:
    """Checked rows. Raises CheckError."""
    return decoder.decode_rows(rows_of(body, content_type, decoder.spec))


def answered(predictions: Sequence[dict[str, Any]]) -> bytes:
    """What `mlflow models serve` answers for the original: the class, or the number, of each row."""
    return orjson.dumps({"predictions": [given["value"] for given in predictions]})


def rows_of(body: bytes, content_type: str, spec: Spec) -> list[object]:
    """The rows in their order, unchecked, without the columns that are worked out here. content_type: empty
    means JSON.

    Raises UnknownKind, NotJSON, NotCSV, TooLarge, RowsInvalid.
    """
    is_csv = kind_of(content_type, JSON, CSV) == CSV
    rows = _of_csv(body) if is_csv else _of_json(read_json(body, nan=None), spec)
    refuse_too_many(len(rows))
    if not rows:
        raise invalid([Fault(None, None, "there is no row: send at least one")])
    fields = {field.name: field for field in spec.fields}
    derived = {derived.name for derived in spec.derived}
    value = _cell if is_csv else _value
    return [_of_fields(row, fields, derived, value) if isinstance(row, dict) else row for row in rows]


def _of_fields(
    row: dict[str, Any], fields: dict[str, Field], derived: set[str], value: Callable[[Field, Any], object]
) -> dict[str, object]:
    """A column that the model does not know stays as it is: the decoder refuses it."""
    return {
        name: value(fields[name], given) if name in fields else given
        for name, given in row.items()
        if name not in derived
    }


# --- JSON


def _of_json(given: object, spec: Spec) -> list[object]:
    if not isinstance(given, dict):
        raise invalid([Fault(None, None, f"send an object with one of {', '.join(_READERS)}")])
    refuse(_faults_of_members(given))
    (form,) = given.keys() & _READERS.keys()
    return _READERS[form](form, given[form], spec)


def _value(field: Field, given: object) -> object:
    """What a program's table holds, for instance 1.0 for yes; a text in JSON is nothing but a text."""
    return given if isinstance(given, str) else values.from_table(field, given)


def _faults_of_members(given: dict[str, Any]) -> Iterator[Fault]:
    forms = [form for form in _READERS if form in given]
    if len(forms) != 1:
        came = " and ".join(forms) or "none of them"
        yield Fault(None, None, f"send exactly one of {', '.join(_READERS)}, not {came}")
    if given.get("params"):
        words = "params is not supported: an answer follows from its row alone; leave it out"
        yield Fault(None, "params", words)
    for name in sorted(shown_name(name) for name in given.keys() - _READERS.keys() - {"params"}):
        yield Fault(None, name, f"{name} is not known here: leave it out")


def _split(form: str, given: object, _spec: Spec) -> list[object]:
    """{"columns": […], "data": [[…], …], "index": […]}; the index is nobody's input."""
    if not isinstance(given, dict):
        words = f"{form} must be an object with columns and data, not {values.shown(given)}"
        raise invalid([Fault(None, form, words)])
    refuse(_faults_of_split(form, given))
    return list(_table(given["columns"], given["data"]))


def _faults_of_split(form: str, given: dict[str, Any]) -> Iterator[Fault]:
    for name in sorted(shown_name(name) for name in given.keys() - {"columns", "data", "index"}):
        yield Fault(None, f"{form}.{name}", f"{form} has columns, data and index: leave out {name}")
    for name in ("columns", "data"):
        if not isinstance(given.get(name), list):
            yield Fault(None, f"{form}.{name}", f"{form}.{name} must be a list: {_MEANS[name]}")
    index, data = given.get("index"), given.get("data")
    if index is not None and not (
        isinstance(index, list) and isinstance(data, list) and len(index) == len(data)
    ):
        yield Fault(
            None, f"{form}.index", f"{form}.index must be a list with an entry a row; it may be left out"
        )


_MEANS: Final = {"columns": "the names of the fields", "data": "the rows, each a list with a value a column"}


def _records(form: str, given: object, _spec: Spec) -> list[object]:
    """[{column: value}, …]; the decoder looks at each."""
    if not isinstance(given, list):
        raise invalid([Fault(None, form, f"{form} must be a list of rows, not {values.shown(given)}")])
    return given


def _tensors(form: str, given: object, spec: Spec) -> list[object]:
    """{column: its values}, or {column: value} for one row; else a list of rows: objects, or lists of values
    in the order of the model's fields, with or without those that it works out behind them."""
    if isinstance(given, dict):
        return _of_columns(given)
    rows = _records(form, given, spec)
    refuse_too_many(len(rows))
    names = [field.name for field in spec.fields]
    lists = [row if isinstance(row, dict | list) else [row] for row in rows]
    refuse(
        Fault(place, None, f"the row has {_values(len(row))}, but the model takes {', '.join(names)}")
        for place, row in enumerate(lists)
        if isinstance(row, list) and len(row) not in (len(names), len(spec.columns))
    )
    return [
        dict(zip(spec.columns[: len(row)], row, strict=True)) if isinstance(row, list) else row
        for row in lists
    ]


_READERS: Final[dict[str, Callable[[str, object, Spec], list[object]]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensors,
    "inputs": _tensors,
}


def _of_columns(given: dict[str, Any]) -> list[object]:
    if not any(isinstance(column, list) for column in given.values()):
        return [given] if given else []
    refuse(_faults_of_lengths(given))
    n_rows = len(next(iter(given.values())))
    refuse_too_many(n_rows)
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


def _faults_of_lengths(given: dict[str, Any]) -> Iterator[Fault]:
    """Against the length that most columns have."""
    lengths = Counter(len(column) for column in given.values() if isinstance(column, list))
    ((usual, _n),) = lengths.most_common(1)
    for name, column in given.items():
        shown = shown_name(name)
        if not isinstance(column, list):
            yield Fault(None, shown, f"{shown} must be a list with a value a row, as other columns are")
        elif len(column) != usual:
            yield Fault(None, shown, f"{shown} has {_values(len(column))}, other columns {grouped(usual)}")


# --- CSV


def _of_csv(body: bytes) -> list[object]:
    """A header line with the fields' names, then a line a row."""
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header, *rows = [line for line in lines if line] or [[]]
    except UnicodeDecodeError as error:
        raise NotCSV("The CSV is not UTF-8: write the file in UTF-8.") from error
    except csv.Error as error:
        raise NotCSV(f"The request is not CSV: {error}.") from error
    return list(_table(header, rows))


def _cell(field: Field, text: str) -> object:
    known = field.choices.known if field.choices is not None else frozenset()
    if text in known:
        return values.from_text(field, text)
    if text in MISSING:
        return None
    whole = _WHOLE_FLOAT.fullmatch(text)
    if whole and (whole[1] in known or (field.type == "boolean" and whole[1] in ("0", "1"))):
        text = whole[1]
    return values.from_text(field, text)


# --- tables


def _table(columns: list[Any], rows: list[Any]) -> list[dict[str, Any]]:
    """Raises TooLarge, RowsInvalid."""
    refuse_too_many(len(rows))
    refuse(_faults_of_columns(columns))
    refuse(_faults_of_rows(len(columns), rows))
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _faults_of_columns(columns: list[Any]) -> Iterator[Fault]:
    for name, n_times in Counter(map(str, columns)).items():
        if not name.strip():
            yield Fault(
                None, None, "a column has no name: write the table without its index, as with index=False"
            )
        elif n_times > 1:
            yield Fault(
                None, shown_name(name), f"{shown_name(name)} is there {n_times} times: send each once"
            )
    if not all(isinstance(name, str) for name in columns):
        yield Fault(None, None, "columns must be names of fields, each a text")


def _faults_of_rows(n_columns: int, rows: list[Any]) -> Iterator[Fault]:
    for place, row in enumerate(rows):
        if not isinstance(row, list):
            yield Fault(place, None, f"a row must be a list with a value a column, not {values.shown(row)}")
        elif len(row) != n_columns:
            yield Fault(place, None, f"the row has {_values(len(row))}, but there are {_columns(n_columns)}")


def _values(n: int) -> str:
    return "1 value" if n == 1 else f"{grouped(n)} values"


def _columns(n: int) -> str:
    return "1 column" if n == 1 else f"{grouped(n)} columns"
