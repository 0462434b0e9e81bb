"""What Spark applications do alike: take their call, open a session, leave whole outputs. No Django."""

import argparse
import json
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from scoring import parquet
from scoring.parquet_frames import Kind

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession

P = TypeVar("P")
CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # files hold columns that differ in nothing else
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # as pandas writes times
    "spark.sql.redaction.options.regex": "(?i)url|password|jaas",  # in plans that logs and the UI show
}
# Spark's names for Arrow's; unsigned numbers take the next larger type, as Spark itself has it.
SPARK_TYPES = {
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "bool": "boolean",
}
# What nothing is worked out from, and tables that are copied keep.
CARRIED_TYPES = {"date32[day]": "date", "binary": "binary", "large_binary": "binary"}
A_NUMBER: tuple[Kind, ...] = ("integer", "number")
A_TIME: tuple[Kind, ...] = ("time",)
KIND_WORDS: dict[tuple[Kind, ...], str] = {A_NUMBER: "a number", A_TIME: "a time", ("text",): "text"}
# Seconds for which a standalone cluster may leave a job without any executor: a Spark setting of our own, so
# that a target's `conf` can name another.
EXECUTORS_WITHIN, WITHOUT_EXECUTORS_S = "spark.atalaya.executorsWithin", "60"
LOOKS_EVERY_S = 2.0
UNFINISHED = ".{name}.unfinished"
HIDDEN = (".", "_")
_DECIMAL = re.compile(r"decimal(?:32|64|128)(\(\d+, \d+\))")  # of more digits than 38 Spark has none
_GLOB = re.compile(r"([\\*?\[\]{}])")


class NoExecutors(RuntimeError):
    """A cluster lets the job wait."""


class SourceRefused(ValueError):
    """The input is not what the application reads; the text says what is wrong with it."""


class SourceAway(RuntimeError):
    """What the application reads from does not answer: the same call may do well later."""


@dataclass(frozen=True)
class Call(Generic[P]):
    """What a job's launcher hands over. result: a file, output: a folder of the job's own.

    access: by service, how it is reached, and with which password: of what the application needs alone.
    supplies: a folder with what the console put there for it.
    """

    params: P
    result: Path
    output: Path
    access: dict[str, dict[str, Any]] = field(default_factory=dict)
    supplies: Path = Path()

    @property
    def job_id(self) -> str:
        return self.output.name


def call(params: type[P], argv: Sequence[str] | None = None) -> Call[P]:
    """The arguments, with the parameters as the application's own dataclass."""
    parser = argparse.ArgumentParser()
    for name in ("params", "result", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--access", type=Path)
    given = parser.parse_args(argv)
    values = json.loads(given.params.read_text())
    typed = msgspec.convert(values, params, dec_hook=lambda kind, value: kind(value))
    access = json.loads(given.access.read_text()) if given.access else {}
    return Call(typed, given.result, given.output, access, given.params.parent / "supplies")


@contextmanager
def session(more: Mapping[str, str] | None = None) -> "Iterator[SparkSession]":
    """A session with the settings of CONF and these; master and limits come with the call."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.config(map={**CONF, **(more or {})}).getOrCreate()
    if spark.sparkContext.master.startswith("spark://"):
        arguments = [spark, _executors_within_s(spark)]
        threading.Thread(target=_require_executors, args=arguments, daemon=True).start()
    try:
        yield spark
    finally:
        spark.stop()


def _executors_within_s(spark: "SparkSession") -> float:
    said = spark.sparkContext.getConf().get(EXECUTORS_WITHIN, WITHOUT_EXECUTORS_S)
    try:
        return float(said or "")
    except ValueError as error:
        raise ValueError(f"{EXECUTORS_WITHIN} is {said!r}: it must be a number of seconds.") from error


def _require_executors(spark: "SparkSession", within_s: float) -> None:
    """End the driver when its cluster leaves it without executors: it would wait for ever."""
    since = time.monotonic()
    while time.monotonic() - since < within_s:
        time.sleep(LOOKS_EVERY_S)
        try:
            n_executors = (
                spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
            )  # the driver is one
        except Exception:  # noqa: BLE001 - the session has ended, and with it what there is to watch
            return
        since = time.monotonic() if n_executors else since
    try:
        raise NoExecutors(
            f"{spark.sparkContext.master} gave no executor for {within_s:.0f} s: its master or its"
            " workers are away, or other jobs have all cores."
        )
    except NoExecutors:
        traceback.print_exc()  # the job's page shows the last exception of the log
        sys.stderr.flush()
    os._exit(1)


def look(files: Sequence[Path]) -> list[parquet.Table]:
    """What each file holds. Raises SourceRefused for one that is not Parquet, or more than is read."""
    try:
        return parquet.look(files)
    except parquet.Refused as error:
        name = f"{error.path.name}: " if error.path else ""
        raise SourceRefused(f"{name}{str(error).rstrip('.')}.") from error
    except OSError as error:
        raise SourceRefused(f"{error.filename}: {error.strerror}.") from error


def files_of(source: Path) -> list[Path]:
    """A Parquet file, or those of a folder. Raises SourceRefused when it has none.

    Spark passes over files whose names begin with a dot or an underscore, and says nothing.
    """
    if source.is_file():
        if source.name.startswith(HIDDEN):
            raise SourceRefused(f"{source.name} begins with a dot or _: Spark reads no such file. Rename it.")
        return [source]
    files = [file for file in sorted(source.glob("*.parquet")) if not file.name.startswith(HIDDEN)]
    if not files:
        raise SourceRefused(f"{source.name} holds no .parquet file.")
    return files


def picked(columns: Sequence[parquet.Column], wanted: Mapping[str, tuple[Kind, ...]]) -> list[parquet.Column]:
    """The columns with these names, in this order. Raises SourceRefused: one is missing, or odd."""
    known = {column.name: column for column in columns}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise SourceRefused(f"it has no column {', no '.join(missing)}.")
    for name, kinds in wanted.items():
        if known[name].kind not in (*kinds, "missing"):
            wanted_kind = KIND_WORDS.get(kinds, " or ".join(kinds))
            raise SourceRefused(f"{name} is {known[name].type}, not {wanted_kind}.")
    return [known[name] for name in wanted]


def read_table(spark: "SparkSession", source: Path, wanted: Mapping[str, tuple[Kind, ...]]) -> "DataFrame":
    """These columns of a file, or of all files of a folder: numbers as finite doubles, times without a zone.

    Raises SourceRefused that names the file.
    """
    from pyspark.sql import DataFrame
    from pyspark.sql import functions as F

    tables = []
    files = files_of(source)
    for file, table in zip(files, look(files), strict=True):
        try:
            columns = picked(table.columns, wanted)
        except SourceRefused as refused:
            raise SourceRefused(f"{file.name}: {refused}") from refused
        values = [
            value.try_cast("timestamp_ntz")
            if A_TIME in (wanted[column.name], (column.kind,))
            else finite(value)
            for column in columns
            for value in [F.col(quoted(column.name))]
        ]
        tables.append(read_parquet(spark, file, columns).select(*values))
    return reduce(DataFrame.union, tables).toDF(*wanted)


def finite(number: "Expression") -> "Expression":
    """A double; null for NaN, which Spark takes for the largest of all numbers, and for infinity."""
    from pyspark.sql import functions as F

    value = number.cast("double")
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def table(title: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], *, drawn: str = "") -> Any:
    """A small table of a result, as the job's page draws it.

    columns: name and kind: text, count, number or share. drawn: the column whose values get bars.
    """
    named = [{"name": name, "kind": kind} for name, kind in columns.items()]
    return {"title": title, "columns": named, "rows": [list(row) for row in rows], "drawn": drawn}


def read_parquet(spark: "SparkSession", path: Path, columns: Sequence[parquet.Column]) -> "DataFrame":
    """These columns of a file, numbers and times, whatever else it holds; its name is taken literally.

    A time of nanoseconds, which Spark has no type for, loses what is finer than a microsecond. A column of
    no type, whose every value is missing, has none here either: it takes any that it is cast to.
    Raises SourceRefused for a type that Spark cannot read.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import StructType

    stored = [column for column in columns if column.kind != "missing"]
    schema = ", ".join(f"{quoted(column.name)} {_spark_type(column)}" for column in stored)
    table = spark.read.schema(schema or StructType()).parquet(literal(path))
    for column in columns:
        if _is_in_nanoseconds(column):
            moment = F.timestamp_micros(F.floor(F.col(quoted(column.name)) / 1000))
            kind = "timestamp" if column.is_utc else "timestamp_ntz"
            table = table.withColumn(column.name, moment.cast(kind))
    return table.select(
        *(
            F.lit(None).alias(column.name) if column.kind == "missing" else F.col(quoted(column.name))
            for column in columns
        )
    )


def literal(path: Path) -> str:
    """The name of a file as Spark takes it: brackets and stars in it are no pattern."""
    return _GLOB.sub(r"\\\1", str(path))


def quoted(name: str) -> str:
    """A column's name as Spark takes it: dots in it are no path."""
    return "`" + name.replace("`", "``") + "`"


def _is_in_nanoseconds(column: parquet.Column) -> bool:
    return column.type.startswith("timestamp[ns") and column.physical == "INT64"


def _spark_type(column: parquet.Column) -> str:
    if column.kind == "time":
        if _is_in_nanoseconds(column):
            return "bigint"
        return "timestamp" if column.is_utc else "timestamp_ntz"
    decimal = _DECIMAL.fullmatch(column.type)
    found = f"decimal{decimal[1]}" if decimal else (SPARK_TYPES | CARRIED_TYPES).get(column.type)
    if found is None:
        raise SourceRefused(f"{column.name} is {column.type}, which Spark does not read.")
    return found


def has_spark_type(column: parquet.Column) -> bool:
    """Whether Spark reads it as a number, text or a truth value."""
    return column.type in SPARK_TYPES or _DECIMAL.fullmatch(column.type) is not None


def is_carried(column: parquet.Column) -> bool:
    """Whether Spark reads it at all."""
    return has_spark_type(column) or column.kind in ("time", "missing") or column.type in CARRIED_TYPES


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path to write a folder to, which takes the place of `target` when the block ends well."""
    unfinished = target.with_name(UNFINISHED.format(name=target.name))
    remove(unfinished)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        remove(target)
        unfinished.rename(target)
    finally:
        remove(unfinished)


def remove(folder: Path) -> None:
    """With all in it, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def facts(folder: Path) -> dict[str, Any]:
    """Where a written table lies and how large it is."""
    parts = list(folder.glob("*.parquet"))
    return {
        "output": str(folder),
        "n_files": len(parts),
        "size_bytes": sum(part.stat().st_size for part in parts),
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    """The last thing an application does. Nobody ever reads half of it."""
    unfinished = path.with_name(UNFINISHED.format(name=path.name))
    with unfinished.open("w") as stream:
        json.dump(result, stream)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(path)
