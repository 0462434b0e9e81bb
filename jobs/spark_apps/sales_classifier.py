"""Learn to tell a category of a table's rows from their other columns, by logistic regression.

Text columns are indexed and one-hot encoded, numbers are taken as they are. Rows without a label or with a
missing number are left out; a missing text counts as a value of its own. Of CSV each line is a row: one with
more or fewer values than the first line has names is left out, and counted.

A fifth of the rows is held out: which ones depends on the seed and the row's values alone, so the same table
gives the same split. All measures are of those rows, and beside them stands the baseline that always
says what most rows of the rest are. A column with one value, or with so many that it is a name of each row,
is refused: it would teach nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spark_apps import running, tracking
from jobs.spark_apps.running import A_NUMBER, SourceRefused
from scoring import parquet

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame, SparkSession

NEEDS = ("mlflow",)
MEASURES = {"accuracy": "accuracy", "f1": "f1", "log_loss": "logLoss"}
MOST_VALUES = 1000
MOST_CLASSES = 100
BUCKETS = 10_000
NO_TEXT = "(missing)"  # Spark's indexer takes no empty text
TEXTS = ("string", "boolean")
NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
# Of CSV: a zip code of 00731 is no number. A line ends a row, so that an open quote spoils no other.
CSV = {"header": True, "escape": '"', "mode": "PERMISSIVE", "columnPruning": False}
A_NUMBER_IN_CSV = r"^\s*([+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN)\s*$"
A_DAY_IN_CSV = r"^\s*\d{4}-\d"  # what Spark takes for a time may be a code, too


@dataclass(frozen=True)
class Params:
    source: Path = field(
        metadata={
            "label": "Table",
            "help": "Parquet, or CSV with a header.",
            "endings": (".parquet", ".csv"),
        }
    )
    label: str = field(metadata={"label": "Label", "help": "The column to tell."})
    columns: str = field(
        default="",
        metadata={
            "label": "Columns",
            "help": "To tell it from, separated by commas; all others when empty.",
        },
    )
    held_out: float = field(
        default=0.2, metadata={"label": "Held-out share", "minimum": 0.05, "maximum": 0.5}
    )
    seed: int = field(default=42, metadata={"label": "Seed", "minimum": 0, "maximum": 2**31 - 1})


@dataclass(frozen=True)
class Table:
    """rows: with text, number and truth columns; of CSV with times too, and its label as text.

    left_out: names of other columns. n_cut: lines that are no rows. n_not_utf_8: rows with such a byte.
    """

    rows: "DataFrame"
    n_rows: int
    left_out: Sequence[str] = ()
    n_cut: int = 0
    n_not_utf_8: int = 0


def read(spark: "SparkSession", params: Params) -> Table:
    """The table, as far as it can be learnt from. Raises SourceRefused."""
    source = params.source
    if source.is_dir() and not list(source.glob("*.parquet")):
        raise SourceRefused(f"{source.name} holds no .parquet file: name a CSV file itself.")
    if source.suffix == ".csv" and source.is_file():
        return _read_csv(spark, source, params.label)
    return _read_parquet(spark, source)


def _read_csv(spark: "SparkSession", source: Path, label: str) -> Table:
    """In the types that it shows, judged by its whole rows alone."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType, StructType

    path = running.literal(source)
    schema = spark.read.options(**CSV).csv(path).schema
    if not schema.names:
        raise SourceRefused(f"{source.name} is empty: the first line holds the names of the columns.")
    faults = free("fault", set(schema.names))
    with_faults = StructType([*schema.fields]).add(faults, StringType())
    lines = spark.read.options(**CSV, columnNameOfCorruptRecord=faults).schema(with_faults).csv(path)
    is_row = F.col(faults).isNull()
    values = {name: F.nullif(_column(name), F.lit("")) for name in schema.names}
    is_damaged = F.contains(F.concat_ws("", *values.values()), F.lit("\ufffd"))
    counts = {"rows": is_row, "cut": ~is_row, "damaged": is_row & is_damaged}
    found = lines.agg(
        *(F.count(F.when(test, 1)).alias(name) for name, test in counts.items()),
        *(
            F.max(F.when(is_row & value.isNotNull(), is_none)).alias(f"{kind} {name}")
            for name, value in values.items()
            for kind, is_none in _types(value).items()
        ),
    ).head()
    assert found is not None  # an aggregate over all rows has one

    def shown(name: str) -> str:
        kinds = [kind for kind in ("double", "timestamp") if found[f"{kind} {name}"] is False]
        return kinds[0] if kinds and name != label else "string"

    rows = lines.where(is_row).select(*(value.try_cast(shown(n)).alias(n) for n, value in values.items()))
    return Table(rows, found["rows"], n_cut=found["cut"], n_not_utf_8=found["damaged"])


def _types(value: Any) -> dict[str, Any]:
    """By type, whether this value of a CSV is none of that."""
    return {
        "double": ~value.rlike(A_NUMBER_IN_CSV),
        "timestamp": ~value.rlike(A_DAY_IN_CSV) | value.try_cast("timestamp").isNull(),
    }


def _read_parquet(spark: "SparkSession", source: Path) -> Table:
    files = running.files_of(source)
    looked = running.look(files)
    names = [column.name for column in looked[0].columns]
    columns: dict[str, parquet.Column] = {}  # each as the first file has it that holds a value of it
    for column in (column for table in looked for column in table.columns):
        if column.name not in columns or columns[column.name].kind == "missing":
            columns[column.name] = column
    read = [columns[name] for name in names if running.has_spark_type(columns[name])]
    wanted = {column.name: A_NUMBER if column.kind in A_NUMBER else (column.kind,) for column in read}
    tables = [
        running.read_parquet(spark, file, running.picked(table.columns, wanted))
        for file, table in zip(files, looked, strict=True)
    ]
    whole = tables[0]
    for one in tables[1:]:
        whole = whole.union(one)
    return Table(whole, whole.count(), [name for name in names if name not in wanted])


def chosen(table: "DataFrame", params: Params) -> tuple[list[str], list[str]]:
    """Text columns and number columns to learn from. Raises SourceRefused for a name that is none."""
    types = dict(table.dtypes)
    if params.label not in types:
        raise SourceRefused(f"{params.source.name} has no column {params.label}; it has {', '.join(types)}.")
    named = list(dict.fromkeys(name.strip() for name in params.columns.split(",") if name.strip()))
    unknown = [name for name in named if name not in types]
    if unknown:
        raise SourceRefused(
            f"{params.source.name} has no column {', no '.join(unknown)}; it has {', '.join(types)}."
        )
    names = [name for name in named or types if name != params.label]
    odd = [name for name in names if types[name] not in TEXTS and not _is_number(types[name])]
    if odd and named:
        raise SourceRefused(f"{odd[0]} is {types[odd[0]]}: only text, numbers and truth values can be used.")
    texts = [name for name in names if types[name] in TEXTS]
    numbers = [name for name in names if _is_number(types[name])]
    if not texts + numbers:
        raise SourceRefused(f"{params.source.name} has no column beside {params.label} to learn from.")
    return texts, numbers


def _column(name: str) -> Any:
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")


def _is_number(kind: str) -> bool:
    """Decimals too: as such money comes, and whole numbers without a sign."""
    return kind in NUMBERS or kind.startswith("decimal(")


def prepared(table: "DataFrame", params: Params, texts: list[str], numbers: list[str]) -> "DataFrame":
    """Columns `label`, `t0`…, `n0`… and `is_held_out`, of the rows that have a label and all numbers."""
    from pyspark.sql import functions as F

    values = [_column(params.label).cast("string").alias("label")]
    values += [
        F.coalesce(F.nullif(_column(name).cast("string"), F.lit("")), F.lit(NO_TEXT)).alias(f"t{i}")
        for i, name in enumerate(texts)
    ]
    values += [_column(name).cast("double").alias(f"n{i}") for i, name in enumerate(numbers)]
    rows = table.select(*values).where(F.col("label").isNotNull() & (F.col("label") != ""))
    for i in range(len(numbers)):
        rows = rows.where(F.abs(F.col(f"n{i}")) < F.lit(float("inf")))
    bucket = F.pmod(F.xxhash64(F.lit(params.seed), *(F.col(name) for name in rows.columns)), F.lit(BUCKETS))
    return rows.withColumn("is_held_out", bucket < int(params.held_out * BUCKETS))


def check(rows: "DataFrame", params: Params, names: dict[str, str]) -> None:
    """Raises SourceRefused for what nothing can be learnt from. names: as the table has them."""
    from pyspark.sql import functions as F

    counts = rows.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count(F.when(F.col("is_held_out"), 1)).alias("held_out"),
        F.countDistinct("label").alias("classes"),
        F.countDistinct(F.when(~F.col("is_held_out"), F.col("label"))).alias("learnt"),
        *(F.approx_count_distinct(name).alias(name) for name in names),
    ).head()
    assert counts is not None  # an aggregate over all rows has one
    source, label = params.source.name, params.label
    if not counts["rows"]:
        raise SourceRefused(f"{source} has no row with a {label} and all numbers.")
    if counts["classes"] < 2:
        raise SourceRefused(f"{label} has one value in all rows of {source}: there is nothing to tell apart.")
    if counts["classes"] > MOST_CLASSES:
        raise SourceRefused(f"{label} has {counts['classes']} values, more than {MOST_CLASSES}.")
    constant = [given for name, given in names.items() if counts[name] < 2]
    if constant:
        raise SourceRefused(f"{', '.join(constant)} has one value only: name the columns without it.")
    many = [
        given for name, given in names.items() if name.startswith("t") and counts[name] > MOST_VALUES * 1.1
    ]
    if many:
        raise SourceRefused(
            f"{', '.join(many)} has more than {MOST_VALUES} values: name the columns without it."
        )
    if counts["learnt"] < 2 or not counts["held_out"]:
        raise SourceRefused(
            f"{source} has too few rows ({counts['rows']}) to hold some out and learn from the rest."
        )


def fitted(rows: "DataFrame", names: Sequence[str]) -> "PipelineModel":
    """Index, one-hot, assemble, regress."""
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler

    texts = [name for name in names if name.startswith("t")]
    stages: list[Any] = []
    if texts:
        indices, vectors = [f"{name}_index" for name in texts], [f"{name}_vector" for name in texts]
        stages.append(StringIndexer(inputCols=texts, outputCols=indices, handleInvalid="keep"))
        stages.append(OneHotEncoder(inputCols=indices, outputCols=vectors, handleInvalid="keep"))
    inputs = [f"{name}_vector" if name in texts else name for name in names]
    stages.append(VectorAssembler(inputCols=inputs, outputCol="features"))
    stages.append(LogisticRegression(labelCol="label_index"))
    return Pipeline(stages=stages).fit(rows)


def measures(judged: "DataFrame") -> dict[str, float]:
    """Of columns label_index, prediction, probability."""
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator

    evaluator = MulticlassClassificationEvaluator(labelCol="label_index")
    return {
        name: float(evaluator.evaluate(judged, {evaluator.metricName: metric}))
        for name, metric in MEASURES.items()
    }


def baseline(learnt: "DataFrame", held_out: "DataFrame", n_classes: int) -> "DataFrame":
    """The held-out rows with what says of each what most of the learnt ones are, as often as they are."""
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import functions as F

    counts = {
        int(row["label_index"]): row["count"] for row in learnt.groupBy("label_index").count().collect()
    }
    total = sum(counts.values())
    shares = [counts.get(place, 0) / total for place in range(n_classes)]
    most = float(max(range(n_classes), key=shares.__getitem__))
    probability = array_to_vector(F.array(*(F.lit(share) for share in shares)))
    return held_out.withColumns({"prediction": F.lit(most), "probability": probability})


def free(name: str, taken: set[str]) -> str:
    """This name, or the first with a number that the table does not have itself; taken from now on."""
    found = next(one for one in chain([name], (f"{name}_{n}" for n in count(2))) if one not in taken)
    taken.add(found)
    return found


def classify(spark: "SparkSession", params: Params, folder: Path) -> dict[str, Any]:
    """Learn, judge beside the baseline, and write the held-out rows with their answers to `folder`."""
    from pyspark.ml.feature import IndexToString, StringIndexer
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F

    source = read(spark, params)
    table = source.rows
    texts, numbers = chosen(table, params)
    names = {f"t{i}": name for i, name in enumerate(texts)} | {
        f"n{i}": name for i, name in enumerate(numbers)
    }
    rows = prepared(table, params, texts, numbers).cache()
    check(rows, params, names)
    indexer = StringIndexer(inputCol="label", outputCol="label_index").fit(rows)
    rows = indexer.transform(rows).cache()
    learnt, held_out = rows.where("not is_held_out"), rows.where("is_held_out")
    model = fitted(learnt, list(names))
    judged = model.transform(held_out).cache()
    found = measures(judged)
    base = measures(baseline(learnt, held_out, len(indexer.labels)))
    answered = IndexToString(inputCol="prediction", outputCol="answer", labels=indexer.labels)
    taken = {*names.values(), params.label}
    answer, probability = (free(name, taken) for name in (f"predicted_{params.label}", "probability"))
    written = answered.transform(judged).select(
        *(F.col(name).alias(given) for name, given in names.items()),
        F.col("label").alias(params.label),
        F.col("answer").alias(answer),
        F.array_max(vector_to_array("probability")).alias(probability),
    )
    with running.written_whole(folder) as unfinished:
        written.write.parquet(str(unfinished))
    n_kept = rows.count()
    unused = [name for name in table.columns if name not in {*names.values(), params.label}]
    left_out = [] if params.columns else [*source.left_out, *unused]
    return {
        "rows_in": source.n_rows + source.n_cut,
        "rows_kept": n_kept,
        "dropped": {
            "no_label_or_missing_number": source.n_rows - n_kept,
            **({"more_or_fewer_values_than_names": source.n_cut} if source.n_cut else {}),
        },
        **({"columns_left_out": ", ".join(left_out)} if left_out else {}),
        **({"rows_not_in_utf_8": source.n_not_utf_8} if source.n_not_utf_8 else {}),
        "held_out_rows": judged.count(),
        "classes": len(indexer.labels),
        "is_better_than_baseline": found["accuracy"] > base["accuracy"],
        "metrics": found,
        "baseline": base,
        "tables": [
            running.table(
                "On held-out rows",
                {"measure": "text", "model": "number", "majority_baseline": "number"},
                [[name, found[name], base[name]] for name in MEASURES],
            )
        ],
        **running.facts(folder),
    }


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    params = call.params
    with running.session() as spark:
        result = classify(spark, params, call.output / "held_out")
    noted = tracking.note_run(
        call.access["mlflow"],
        experiment="sales_classifier",
        job_id=call.job_id,
        params={"label": params.label, "held_out": params.held_out, "seed": params.seed},
        metrics=result["metrics"] | {f"baseline_{name}": value for name, value in result["baseline"].items()},
        files={"measures.json": result["tables"][0]},
    )
    running.write_result(call.result, result | noted)


if __name__ == "__main__":
    main()
