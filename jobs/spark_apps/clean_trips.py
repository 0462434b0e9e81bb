"""Keep the real trips of a month of New York taxi records, yellow or green.

Dropped is what is no trip, for the first of these reasons:

- no distance: it is missing, zero or negative;
- no amount: the total is missing, zero or negative;
- odd duration: a time is missing, or they are not 1 to 720 minutes apart;
- no passenger count: it is missing;
- no rate code: it is missing;
- large tip: the tip is more than half of the total amount, that is more than all the rest together.
  A missing tip is no large tip.

The others get the month, weekday (0 is Monday) and hour of the pickup, the duration in minutes and
the tip's share of the total amount. What is neither a number nor missing, such as NaN, counts as missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jobs.spark_apps import running
from jobs.spark_apps.running import SourceRefused
from scoring.parquet import Column

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, Observation, SparkSession

SHORTEST_MIN, LONGEST_MIN = 1, 720
LARGEST_TIP_SHARE = 0.5
REASONS = ("no_distance", "no_amount", "odd_duration", "no_passenger_count", "no_rate_code", "large_tip")


class Field(NamedTuple):
    """A column of the output, its type there, and what files call it: the first name that they have."""

    name: str
    kind: str
    names: tuple[str, ...]


TIME = "timestamp_ntz"
FIELDS = (
    Field("vendor_id", "int", ("VendorID",)),
    Field("pickup_datetime", TIME, ("tpep_pickup_datetime", "lpep_pickup_datetime")),
    Field("dropoff_datetime", TIME, ("tpep_dropoff_datetime", "lpep_dropoff_datetime")),
    Field("passenger_count", "int", ("passenger_count",)),
    Field("trip_distance", "double", ("trip_distance",)),
    Field("rate_code", "int", ("RatecodeID",)),
    Field("pickup_zone", "int", ("PULocationID",)),
    Field("dropoff_zone", "int", ("DOLocationID",)),
    Field("payment_type", "int", ("payment_type",)),
    Field("fare_amount", "double", ("fare_amount",)),
    Field("tip_amount", "double", ("tip_amount",)),
    Field("tolls_amount", "double", ("tolls_amount",)),
    Field("total_amount", "double", ("total_amount",)),
)
ADDED = ("month", "weekday", "hour", "duration_min", "tip_share")


def chosen(columns: Sequence[Column]) -> list[Column]:
    """Those of a file that FIELDS need, in their order.

    A name is taken as it is written, else in any case of its letters. Raises SourceRefused when one is
    missing or there twice, or is neither a number nor a time where it should be.
    """
    missing, found = [], []
    for field_ in FIELDS:
        candidates = _called(columns, field_.names)
        if not candidates:
            missing.append(" or ".join(field_.names))
        elif len(candidates) > 1:
            names = ", ".join(column.name for column in candidates)
            raise SourceRefused(f"it has {len(candidates)} columns that may be the {field_.name}: {names}.")
        else:
            found.append(_fitting(field_, candidates[0]))
    if missing:
        raise SourceRefused(f"it is no month of taxi trips: it has no {', no '.join(missing)}.")
    return found


def _called(columns: Sequence[Column], names: Iterable[str]) -> list[Column]:
    for name in names:
        if exact := [column for column in columns if column.name == name]:
            return exact
    lower = {name.lower() for name in names}
    return [column for column in columns if column.name.lower() in lower]


def _fitting(field_: Field, column: Column) -> Column:
    wanted, kinds = ("a time", ("time",)) if field_.kind == TIME else ("a number", ("integer", "number"))
    if column.kind not in (*kinds, "missing"):
        raise SourceRefused(f"{column.name} is {column.type}, not {wanted}.")
    return column


@dataclass(frozen=True)
class Params:
    source: Path = field(
        metadata={
            "label": "Source",
            "help": "A month of yellow or green taxi trips (Parquet), or a folder of such files.",
            "endings": (".parquet",),
            "fits": chosen,
        }
    )


def transform(trips: "DataFrame") -> "DataFrame":
    """The chosen columns of a file → its trips, with the columns of FIELDS and ADDED."""
    return kept(judged(named(trips)))


def named(trips: "DataFrame") -> "DataFrame":
    """The columns of FIELDS, in their types, of a table whose columns are theirs in this order."""
    from pyspark.sql import functions as F

    selected = []
    for field_, name in zip(FIELDS, trips.columns, strict=True):
        value = F.col(running.quoted(name))
        selected.append(
            (value if field_.kind == TIME else running.finite(value)).try_cast(field_.kind).alias(field_.name)
        )
    return trips.select(*selected)


def judged(trips: "DataFrame") -> "DataFrame":
    """Adds the columns of ADDED, and `dropped`: the first reason against a row, null for a trip."""
    from pyspark.sql import functions as F

    pickup = F.col("pickup_datetime")
    microseconds = F.timestamp_diff("MICROSECOND", pickup, F.col("dropoff_datetime"))
    trips = trips.withColumns(
        {
            "month": F.month(pickup),
            "weekday": F.weekday(pickup),
            "hour": F.hour(pickup),
            "duration_min": microseconds / F.lit(60e6),
            "tip_share": F.try_divide("tip_amount", "total_amount"),
        }
    )
    holds = {
        "no_distance": F.col("trip_distance") > 0,
        "no_amount": F.col("total_amount") > 0,
        "odd_duration": F.col("duration_min").between(SHORTEST_MIN, LONGEST_MIN),
        "no_passenger_count": F.col("passenger_count").isNotNull(),
        "no_rate_code": F.col("rate_code").isNotNull(),
        "large_tip": F.coalesce(F.col("tip_share"), F.lit(0.0)) <= LARGEST_TIP_SHARE,
    }
    reasons = [F.when(~F.coalesce(holds[name], F.lit(False)), name) for name in REASONS]
    return trips.withColumn("dropped", F.coalesce(*reasons))


def kept(trips: "DataFrame") -> "DataFrame":
    """The trips among judged rows."""
    from pyspark.sql import functions as F

    return trips.where(F.col("dropped").isNull()).select(*(one.name for one in FIELDS), *ADDED)


def counts() -> "list[Expression]":
    """Aggregates of judged rows: `rows_in`, and each reason."""
    from pyspark.sql import functions as F

    return [F.count(F.lit(1)).alias("rows_in")] + [
        F.count(F.when(F.col("dropped") == name, 1)).alias(name) for name in REASONS
    ]


def clean(spark: "SparkSession", source: Path, folder: Path) -> dict[str, Any]:
    """Write the trips of a file, or of a folder of files, to `folder`; all numbers come from that one pass.

    Each file is read by itself: months differ in their types, and the two colours in their names.
    """
    from pyspark.sql import DataFrame, Observation

    files = running.files_of(source)
    observation = Observation()
    trips = judged(reduce(DataFrame.union, _named(spark, files))).observe(observation, *counts())
    table = kept(trips)
    with running.written_whole(folder) as unfinished:
        table.write.parquet(str(unfinished))
    columns = [{"name": column.name, "type": column.dataType.simpleString()} for column in table.schema]
    return {**_summary(observation), **running.facts(folder), "columns": columns}


def _named(spark: "SparkSession", files: Sequence[Path]) -> "Iterable[DataFrame]":
    for file, table in zip(files, running.look(files), strict=True):
        try:
            yield named(running.read_parquet(spark, file, chosen(table.columns)))
        except SourceRefused as refused:
            raise SourceRefused(f"{file.name}: {refused}") from refused


def _summary(observation: "Observation") -> dict[str, Any]:
    dropped = dict(observation.get)
    rows_in = dropped.pop("rows_in")
    return {"rows_in": rows_in, "rows_kept": rows_in - sum(dropped.values()), "dropped": dropped}


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    with running.session() as spark:
        result = clean(spark, call.params.source, call.output / "trips")
    running.write_result(call.result, result)


if __name__ == "__main__":
    main()
