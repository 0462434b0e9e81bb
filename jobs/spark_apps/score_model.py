"""Score a table with a registered model: every row's answer, with the model and version that gave it.

The champion answers, or a version that the gate has passed. The table's columns are the model's fields by
name; others are ignored, and carried along but for lists and the like, which the result names. Rows are
checked as a prediction's are: one that does not fit has its reason instead of an answer, and the others go
on.

The model runs as serving runs it, compiled to ONNX: a version that only its original can answer for is
refused, since originals are never loaded here. The answers are in columns `prediction_value`,
`prediction_label` and so on; where the table has one of these, from an earlier scoring perhaps, all of them
are called `prediction_2_value` and so on. These answers are no recorded predictions: they count for no drift.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spark_apps import running
from jobs.spark_apps.running import SourceRefused
from scoring import values
from scoring.spec_reading import read_spec

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructField

    from scoring.parquet import Column
    from scoring.score import Scores
    from scoring.spec import Spec

NEEDS = ("model",)
SCOPES = ("predict",)
ROWS_AT_ONCE = 1000  # what a check takes at once
ADDED = {
    "value": "string",
    "label": "string",
    "probability": "double",
    "warnings": "string",
    "error": "string",
    "model": "string",
    "version": "string",
}
LONGEST_ERROR = 500
MOST_ANSWERS = 20  # in the table of the result


@dataclass(frozen=True)
class Params:
    model: str = field(metadata={"label": "Model", "help": "The name of a registered model."})
    source: Path = field(
        metadata={
            "label": "Table",
            "help": "A Parquet file, or a folder of them, with the model's fields as columns.",
            "endings": (".parquet",),
        }
    )
    version: str = field(
        default="",
        metadata={
            "label": "Version",
            "help": "The number of one that the gate passed; the champion when empty.",
        },
    )


@dataclass(frozen=True)
class Model:
    """What the console supplied; goes to Spark's workers as it is, and is loaded there once."""

    name: str
    version: str
    spec_json: str
    onnx: bytes

    @classmethod
    def read(cls, folder: Path) -> "Model":
        """Raises SourceRefused when the files are not those that the gate judged."""
        told = json.loads((folder / "model.json").read_text())
        onnx = (folder / "model.onnx").read_bytes()
        if hashlib.sha256(onnx).hexdigest() != told["sha256"]:
            raise SourceRefused(f"{told['model']} v{told['version']} is not the file that was judged.")
        return cls(told["model"], told["version"], told["spec_json"], onnx)

    @cached_property
    def spec(self) -> "Spec":
        return read_spec(self.spec_json)

    @property
    def fields(self) -> list[str]:
        return [one.name for one in self.spec.fields]

    @property
    def needed(self) -> list[str]:
        """Fields that no row may lack."""
        return [one.name for one in self.spec.fields if one.required]

    @property
    def is_regression(self) -> bool:
        return self.spec.task == "regression"


def read(spark: "SparkSession", source: Path, model: Model) -> tuple["DataFrame", list[str]]:
    """The columns that Spark reads, of all files, and the names of the others.

    Raises SourceRefused when a needed field is no column, and when one is a date, a time, bytes or a list.
    """
    from pyspark.sql import DataFrame

    files = running.files_of(source)
    tables: list[DataFrame] = []
    left_out: list[str] = []
    for file, table in zip(files, running.look(files), strict=True):
        names = {column.name for column in table.columns}
        if missing := [name for name in model.needed if name not in names]:
            raise SourceRefused(
                f"{file.name}: it has no column {', no '.join(missing)}, which {model.name} needs."
            )
        columns = [column for column in table.columns if running.is_carried(column)]
        if odd := [column for column in table.columns if column.name in model.fields and _is_odd(column)]:
            raise SourceRefused(f"{file.name}: {odd[0].name} is {odd[0].type}, which no field of a model is.")
        if tables and [column.name for column in columns] != tables[0].columns:
            raise SourceRefused(f"{file.name} has other columns than {files[0].name}.")
        tables.append(running.read_parquet(spark, file, columns))
        left_out += [c.name for c in table.columns if c not in columns and c.name not in left_out]
    whole = tables[0]
    for one in tables[1:]:
        whole = whole.union(one)
    return whole.select(*map(_typed, whole.schema)), left_out


def _is_odd(column: "Column") -> bool:
    return column.kind != "missing" and not running.has_spark_type(column)


def _typed(column: "StructField") -> "Expression":
    """What has no type in any of the files, since every value is missing, is text: Parquet holds no other."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import NullType

    value = F.col(running.quoted(column.name))
    return value.cast("string") if isinstance(column.dataType, NullType) else value


def names_beside(columns: Collection[str]) -> dict[str, str]:
    """What the columns of ADDED are called in a table that has these."""
    prefixes = ("prediction" if n == 1 else f"prediction_{n}" for n in count(1))
    named = ({name: f"{prefix}_{name}" for name in ADDED} for prefix in prefixes)
    return next(names for names in named if not set(columns) & set(names.values()))


def scored(table: "DataFrame", model: Model) -> "DataFrame":
    """The table with the columns of ADDED."""
    from pyspark.sql.types import StructType

    schema = StructType(list(table.schema.fields))
    for name, called in names_beside(table.columns).items():
        schema = schema.add(called, ADDED[name])

    def answers(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        answering = Answering(model)
        for batch in batches:
            yield answering.with_answers(batch)

    return table.mapInArrow(answers, schema)


class Answering:
    """A loaded model and what checks its rows; made once in each of Spark's workers."""

    def __init__(self, model: Model) -> None:
        from scoring.check import RowDecoder
        from scoring.score import Scorer

        spec = model.spec
        self._model = model
        self._fields = {field.name: field for field in spec.fields}
        self._decoder: RowDecoder = RowDecoder(spec)
        self._scorer: Scorer = Scorer.from_onnx(model.onnx, spec)

    def with_answers(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with its answers beside it."""
        import pyarrow as pa

        known = [name for name in self._fields if name in batch.schema.names]
        rows = [
            {name: values.from_table(self._fields[name], value) for name, value in row.items()}
            for row in batch.select(known).to_pylist()
        ]
        parts = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
        answers = [answer for part in parts for answer in self._answers(part)]
        types = {"string": pa.string(), "double": pa.float64()}
        added = [
            pa.array([answer.get(name) for answer in answers], types[kind]) for name, kind in ADDED.items()
        ]
        names = [*batch.schema.names, *names_beside(batch.schema.names).values()]
        return pa.RecordBatch.from_arrays([*batch.columns, *added], names=names)

    def _answers(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All at once if all fit, else half by half: one odd row costs no other its answer."""
        from scoring.check import RowsInvalid
        from scoring.score import ModelFailure

        try:
            checked = self._decoder.decode_rows(rows)
            scores = self._scorer.score_rows(checked)
        except (RowsInvalid, ModelFailure) as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                return self._answers(rows[:middle]) + self._answers(rows[middle:])
            if isinstance(error, RowsInvalid):
                words = "; ".join(fault["message"] for fault in error.errors)
            else:
                words = f"the model fails on these values: {error}"
            return [self._named({"error": words[:LONGEST_ERROR]})]
        return [self._answer(scores, place, checked.warnings[place]) for place in range(len(rows))]

    def _answer(self, scores: "Scores", place: int, warnings: list[str]) -> dict[str, Any]:
        value, shares = scores.values[place], scores.probabilities[place]
        return self._named(
            {
                "value": str(value),
                "label": scores.labels[place],
                "probability": shares[str(value)] if shares else None,
                "warnings": "; ".join(warnings) or None,
            }
        )

    def _named(self, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "model": self._model.name, "version": self._model.version}


def score(spark: "SparkSession", source: Path, model: Model, folder: Path) -> dict[str, Any]:
    """Write the table with its answers to `folder`."""
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    observation = Observation()
    table, left_out = read(spark, source, model)
    names = names_beside(table.columns)
    is_refused = F.col(names["error"]).isNotNull()
    answers = scored(table, model).observe(
        observation, F.count(F.lit(1)).alias("rows"), F.count(F.when(is_refused, 1)).alias("refused")
    )
    with running.written_whole(folder) as unfinished:
        answers.write.parquet(str(unfinished))
    counts = observation.get
    written = spark.read.parquet(running.literal(folder))
    answered = written.where(~is_refused)
    return {
        "rows_in": counts["rows"],
        "rows_kept": counts["rows"] - counts["refused"],
        "dropped": {"refused_by_the_model's_check": counts["refused"]},
        "model": model.name,
        "version": model.version,
        "tables": [_numbers(answered, names) if model.is_regression else _counts(answered, names)],
        **({"columns_left_out": ", ".join(left_out)} if left_out else {}),
        **running.facts(folder),
    }


def _counts(answered: "DataFrame", names: Mapping[str, str]) -> Any:
    from pyspark.sql import functions as F

    answer = F.coalesce(names["label"], names["value"]).alias("answer")
    found = answered.groupBy(answer).count().orderBy(F.desc("count"), "answer").limit(MOST_ANSWERS)
    rows = [[row["answer"], row["count"]] for row in found.collect()]
    return running.table("Answers", {"answer": "text", "rows": "count"}, rows, drawn="rows")


def _numbers(answered: "DataFrame", names: Mapping[str, str]) -> Any:
    from pyspark.sql import functions as F

    value = F.col(names["value"]).cast("double")
    row = answered.agg(F.min(value), F.mean(value), F.max(value)).head()
    assert row is not None  # an aggregate over all rows has one
    rows = list(zip(("least", "mean", "greatest"), row, strict=True))
    return running.table("Answers", {"measure": "text", "value": "number"}, rows)


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    model = Model.read(call.supplies)
    with running.session() as spark:
        result = score(spark, call.params.source, model, call.output / "answers")
    running.write_result(call.result, result)


if __name__ == "__main__":
    main()
