"""What Spark applications do alike: take their call, open a session, leave whole outputs. No Django."""

import argparse
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from scoring import parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

P = TypeVar("P")
CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # files hold columns that differ in nothing else
    "spark.sql.legacy.parquet.nanosAsLong": "true",  # as pandas writes times
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
}
UNFINISHED = ".{name}.unfinished"
_GLOB = re.compile(r"([\\*?\[\]{}])")


class SourceRefused(ValueError):
    """The input is not what the application reads; the text says what is wrong with it."""


@dataclass(frozen=True)
class Call(Generic[P]):
    """What a job's launcher hands over. result: a file, output: a folder of the job's own."""

    params: P
    result: Path
    output: Path


def call(params: type[P], argv: Sequence[str] | None = None) -> Call[P]:
    """The arguments, with the parameters as the application's own dataclass."""
    parser = argparse.ArgumentParser()
    for name in ("params", "result", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(argv)
    values = json.loads(given.params.read_text())
    typed = msgspec.convert(values, params, dec_hook=lambda kind, value: kind(value))
    return Call(typed, given.result, given.output)


@contextmanager
def session() -> "Iterator[SparkSession]":
    """A session with the settings of CONF; master and limits come with the call. Stopped at the end."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.config(map=CONF).getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def look(files: Sequence[Path]) -> list[parquet.Table]:
    """What each file holds. Raises SourceRefused for one that is not Parquet, or more than is read."""
    try:
        return parquet.look(files)
    except parquet.Refused as error:
        name = f"{error.path.name}: " if error.path else ""
        raise SourceRefused(f"{name}{str(error).rstrip('.')}.") from error
    except OSError as error:
        raise SourceRefused(f"{error.filename}: {error.strerror}.") from error


def read_parquet(spark: "SparkSession", path: Path, columns: Sequence[parquet.Column]) -> "DataFrame":
    """These columns of a file, numbers and times, whatever else it holds; its name is taken literally.

    A time of nanoseconds, which Spark has no type for, loses what is finer than a microsecond.
    Raises SourceRefused for a type that Spark cannot read.
    """
    from pyspark.sql import functions as F

    schema = ", ".join(f"{_quoted(column.name)} {_spark_type(column)}" for column in columns)
    table = spark.read.schema(schema).parquet(_GLOB.sub(r"\\\1", str(path)))
    for column in columns:
        if _is_in_nanoseconds(column):
            moment = F.timestamp_micros(F.floor(F.col(_quoted(column.name)) / 1000))
            kind = "timestamp" if column.is_utc else "timestamp_ntz"
            table = table.withColumn(column.name, moment.cast(kind))
    return table


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _is_in_nanoseconds(column: parquet.Column) -> bool:
    return column.type.startswith("timestamp[ns") and column.physical == "INT64"


def _spark_type(column: parquet.Column) -> str:
    if column.kind == "time":
        if _is_in_nanoseconds(column):
            return "bigint"
        return "timestamp" if column.is_utc else "timestamp_ntz"
    decimal = re.fullmatch(r"decimal\d+(\(\d+, \d+\))", column.type)
    found = f"decimal{decimal[1]}" if decimal else SPARK_TYPES.get(column.type)
    if found is None:
        raise SourceRefused(f"{column.name} is {column.type}, which Spark does not read.")
    return found


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A path to write a folder to, which takes the place of `target` when the block ends well."""
    unfinished = target.with_name(UNFINISHED.format(name=target.name))
    _remove(unfinished)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        _remove(target)
        unfinished.rename(target)
    finally:
        _remove(unfinished)


def _remove(folder: Path) -> None:
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
