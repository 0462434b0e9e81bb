"""Look at tips in cleaned taxi trips: by month, hour, way of payment and distance.

Reads what `clean_trips` wrote. The result holds four small tables:

- trips and tips by month;
- the hours of pickup with the highest mean tip;
- card against cash (tips in cash are not in the records, so theirs are near zero);
- distance against tip.

A missing tip counts in no mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spark_apps import running
from jobs.spark_apps.running import A_NUMBER, A_TIME, SourceRefused
from scoring.parquet import Column

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession

WANTED = {
    "pickup_datetime": A_TIME,
    **dict.fromkeys(
        ("hour", "payment_type", "trip_distance", "tip_amount", "tip_share", "total_amount"), A_NUMBER
    ),
}
PAYMENTS = {1: "card", 2: "cash"}
MILES = (0, 1, 2, 3, 5, 10, 20)
MOST_MONTHS = 240
KINDS = {"trips": "count", "mean_tip": "number", "mean_tip_share": "share", "mean_total": "number"}


def fits(columns: Sequence[Column]) -> None:
    """Raises SourceRefused for what `clean_trips` did not write."""
    running.picked(columns, WANTED)


@dataclass(frozen=True)
class Params:
    source: Path = field(
        metadata={
            "label": "Trips",
            "help": "What clean_trips wrote: its folder, or a Parquet file of it.",
            "endings": (".parquet",),
            "fits": fits,
        }
    )
    top_hours: int = field(default=5, metadata={"label": "Top hours", "minimum": 1, "maximum": 24})


def by(trips: "DataFrame", group: "Expression") -> "DataFrame":
    """The measures of KINDS for each value of `group`, which is called so."""
    from pyspark.sql import functions as F

    return trips.groupBy(group.alias("group")).agg(
        F.count(F.lit(1)).alias("trips"),
        F.mean("tip_amount").alias("mean_tip"),
        F.mean("tip_share").alias("mean_tip_share"),
        F.mean("total_amount").alias("mean_total"),
    )


def by_month(trips: "DataFrame") -> list[list[Any]]:
    """Oldest first; the newest MOST_MONTHS, should odd dates make more."""
    from pyspark.sql import functions as F

    found = by(trips, F.date_format("pickup_datetime", "yyyy-MM"))
    return _rows(found.orderBy(F.desc("group")).limit(MOST_MONTHS))[::-1]


def by_hour(trips: "DataFrame", n_hours: int) -> list[list[Any]]:
    """Hours with the highest mean tip, highest first."""
    from pyspark.sql import functions as F

    hours = by(trips, F.format_string("%02d:00", F.col("hour").cast("int")))
    return _rows(hours.orderBy(F.desc_nulls_last("mean_tip"), "group").limit(n_hours))


def by_payment(trips: "DataFrame") -> list[list[Any]]:
    """Card, cash; other ways of payment are left out."""
    from pyspark.sql import functions as F

    name = F.when(F.col("payment_type") == 1, PAYMENTS[1]).when(F.col("payment_type") == 2, PAYMENTS[2])
    return _rows(by(trips, name).where(F.col("group").isNotNull()).orderBy("group"))


def by_distance(trips: "DataFrame") -> list[list[Any]]:
    """In miles, shortest first."""
    from pyspark.sql import functions as F

    names = [f"{low} to {high}" for low, high in pairwise(MILES)] + [f"{MILES[-1]} or more"]
    place = sum((F.col("trip_distance") >= low).cast("int") for low in MILES[1:])
    found = by(trips, place).where(F.col("group").isNotNull()).orderBy("group")
    return [[names[int(row[0])], *row[1:]] for row in _rows(found)]


def _rows(found: "DataFrame") -> list[list[Any]]:
    return [[row[name] for name in ("group", *KINDS)] for row in found.collect()]


def analyses(spark: "SparkSession", params: Params) -> dict[str, Any]:
    """All tables. Raises SourceRefused when there is no trip."""
    from pyspark.sql import functions as F

    trips = running.read_table(spark, params.source, WANTED).cache()
    n_trips = trips.count()
    if not n_trips:
        raise SourceRefused(f"{params.source.name} holds no trip.")
    correlation = trips.select(F.corr("trip_distance", "tip_amount")).head()
    tables = [
        running.table("By month", {"month": "text", **KINDS}, by_month(trips), drawn="trips"),
        running.table(
            "Hours with the highest tips",
            {"hour": "text", **KINDS},
            by_hour(trips, params.top_hours),
            drawn="mean_tip",
        ),
        running.table("Card against cash", {"payment": "text", **KINDS}, by_payment(trips), drawn="mean_tip"),
        running.table(
            "Distance against tip", {"miles": "text", **KINDS}, by_distance(trips), drawn="mean_tip"
        ),
    ]
    found = correlation[0] if correlation is not None else None
    is_known = found is not None and found == found
    return {
        "trips": n_trips,
        "correlation_of_distance_and_tip": found if is_known else None,
        "tables": tables,
    }


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    with running.session() as spark:
        result = analyses(spark, call.params)
    running.write_result(call.result, result)


if __name__ == "__main__":
    main()
