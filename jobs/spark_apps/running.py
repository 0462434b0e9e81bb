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

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

P = TypeVar("P")
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
    """A session whose times are UTC; master and limits come with the call. Stopped at the end."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def read_parquet(spark: "SparkSession", path: Path) -> "DataFrame":
    """One file; its name is taken literally. Raises SourceRefused when it is not Parquet."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        return spark.read.parquet(_GLOB.sub(r"\\\1", str(path)))
    except (PySparkException, Py4JJavaError) as error:
        raise SourceRefused("it cannot be read as Parquet.") from error


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
