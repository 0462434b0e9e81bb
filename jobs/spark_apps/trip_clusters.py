"""Group cleaned taxi trips into clusters of trips that are alike.

Reads what `clean_trips` wrote. Distance, duration, fare, tip share and hour of each trip are scaled to one
spread, then k-means looks for groups; trips where one of them is missing are left out. The same data,
number of clusters and seed give the same groups.

The result says how each group looks (means of its trips) and how well the groups are apart (silhouette, from
-1 to 1). Each trip with its cluster is written as Parquet, and settings, metrics and profile go to MLflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spark_apps import running, tracking
from jobs.spark_apps.running import A_NUMBER, A_TIME, SourceRefused
from scoring.parquet import Column

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame, SparkSession

NEEDS = ("mlflow",)
FEATURES = ("trip_distance", "duration_min", "fare_amount", "tip_share", "hour")
WANTED = {"pickup_datetime": A_TIME, **dict.fromkeys(FEATURES, A_NUMBER)}
PROFILE = {"cluster": "text", "trips": "count", "share": "share", **dict.fromkeys(FEATURES, "number")}


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
    k: int = field(default=4, metadata={"label": "Clusters", "minimum": 2, "maximum": 50})
    seed: int = field(
        default=42,
        metadata={"label": "Seed", "help": "Where the search starts.", "minimum": 0, "maximum": 2**31 - 1},
    )


def whole(trips: "DataFrame") -> "DataFrame":
    """Those with all features."""
    from pyspark.sql import functions as F

    is_finite = [F.abs(F.col(name)) < F.lit(float("inf")) for name in FEATURES]
    sound = is_finite[0]
    for one in is_finite[1:]:
        sound = sound & one
    return trips.where(F.coalesce(sound, F.lit(False)))


def fitted(trips: "DataFrame", *, k: int, seed: int) -> "PipelineModel":
    """Scaler and k-means in one pipeline."""
    from pyspark.ml import Pipeline
    from pyspark.ml.clustering import KMeans
    from pyspark.ml.feature import StandardScaler, VectorAssembler

    assembler = VectorAssembler(inputCols=list(FEATURES), outputCol="raw")
    scaler = StandardScaler(inputCol="raw", outputCol="scaled", withMean=True)
    kmeans = KMeans(featuresCol="scaled", predictionCol="cluster", k=k, seed=seed)
    return Pipeline(stages=[assembler, scaler, kmeans]).fit(trips)


def profile(assigned: "DataFrame") -> list[list[Any]]:
    """For each cluster: number, trips, share of all, mean of each feature."""
    from pyspark.sql import functions as F

    means = [F.mean(name).alias(name) for name in FEATURES]
    found = assigned.groupBy("cluster").agg(F.count(F.lit(1)).alias("trips"), *means)
    rows = found.orderBy("cluster").collect()
    total = sum(row["trips"] for row in rows)
    return [
        [str(row["cluster"]), row["trips"], row["trips"] / total, *(row[name] for name in FEATURES)]
        for row in rows
    ]


def silhouette(assigned: "DataFrame", n_clusters: int) -> float | None:
    """How well clusters are apart, -1 to 1; None when there is one only."""
    from pyspark.ml.evaluation import ClusteringEvaluator

    if n_clusters < 2:
        return None
    evaluator = ClusteringEvaluator(featuresCol="scaled", predictionCol="cluster")
    return float(evaluator.evaluate(assigned))


def clusters(spark: "SparkSession", params: Params, folder: Path) -> dict[str, Any]:
    """Fit, judge, and write each trip with its cluster to `folder`."""
    trips = running.read_table(spark, params.source, WANTED)
    n_rows = trips.count()
    kept = whole(trips).cache()
    n_kept = kept.count()
    if n_kept < params.k:
        raise SourceRefused(
            f"{params.source.name} has {n_kept} trips with all of {', '.join(FEATURES)}: "
            f"{params.k} clusters need at least {params.k}."
        )
    model = fitted(kept, k=params.k, seed=params.seed)
    assigned = model.transform(kept).cache()
    rows = profile(assigned)
    with running.written_whole(folder) as unfinished:
        assigned.select("pickup_datetime", *FEATURES, "cluster").write.parquet(str(unfinished))
    return {
        "rows_in": n_rows,
        "rows_kept": n_kept,
        "dropped": {"missing_feature": n_rows - n_kept},
        "n_clusters": len(rows),
        "silhouette": silhouette(assigned, len(rows)),
        "within_cluster_sum_of_squares": float(model.stages[-1].summary.trainingCost),
        "tables": [running.table("Clusters: means of their trips", PROFILE, rows, drawn="trips")],
        **running.facts(folder),
    }


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    with running.session() as spark:
        result = clusters(spark, call.params, call.output / "clusters")
    metrics = ("rows_kept", "n_clusters", "silhouette", "within_cluster_sum_of_squares")
    noted = tracking.note_run(
        call.access["mlflow"],
        experiment="trip_clusters",
        job_id=call.job_id,
        params={"k": call.params.k, "seed": call.params.seed, "source": str(call.params.source)},
        metrics={name: result[name] for name in metrics if result[name] is not None},
        files={"profile.json": result["tables"][0]},
    )
    running.write_result(call.result, result | noted)


if __name__ == "__main__":
    main()
