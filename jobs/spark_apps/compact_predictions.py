"""Keep recorded predictions as Parquet, one file for each day.

The console gives what its ledger holds of the days asked for (UTC, yesterday if none is named): answers with
model, version, probabilities and what turned out to be true. Who asked and what they asked stays in the
ledger: no file has it, since an erased prediction must not live on in one.

The files lie in `by_day` of the output folder, `day=YYYY-MM-DD/predictions.parquet`. A second run gives the
same files, less the predictions erased and with what was learnt since; a day without predictions has none.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.spark_apps import running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NEEDS = ("predictions",)
SCOPES = ("predictions.see_all",)
SCHEMA = (
    "id string, at timestamp, model string, version string, source string, row int, value string"
    ", label string, probabilities string, is_demo boolean, is_answered boolean, actual string"
)
NAME = "predictions.parquet"


@dataclass(frozen=True)
class Params:
    first_day: str = field(
        default="",
        metadata={"label": "First day", "help": "YYYY-MM-DD, UTC. The last day alone when empty."},
    )
    last_day: str = field(
        default="", metadata={"label": "Last day", "help": "YYYY-MM-DD, UTC. Yesterday when empty."}
    )


def compact(spark: "SparkSession", supplies: Path, folder: Path, scratch: Path) -> dict[str, Any]:
    """Each day's lines to its file below `folder`; `scratch` is on the same disk."""
    rows = [
        [source.stem, _compact_day(spark, source, folder, scratch)]
        for source in sorted(supplies.glob("*.ndjson"))
    ]
    written = [folder / f"day={day}" / NAME for day, n_rows in rows if n_rows]
    return {
        "predictions": sum(n_rows for _day, n_rows in rows),
        "tables": [
            running.table(
                "Predictions by day", {"day": "text", "predictions": "count"}, rows, drawn="predictions"
            )
        ],
        "output": str(folder),
        "n_files": len(written),
        "size_bytes": sum(path.stat().st_size for path in written),
    }


def _compact_day(spark: "SparkSession", source: Path, folder: Path, scratch: Path) -> int:
    """How many rows the day has now. Nobody ever reads half a day: its file is replaced in one step."""
    target = folder / f"day={source.stem}" / NAME
    if not source.stat().st_size:
        target.unlink(missing_ok=True)
        return 0
    lines = spark.read.schema(SCHEMA).option("mode", "FAILFAST").json(running.literal(source))
    with running.written_whole(scratch / source.stem) as unfinished:
        # One file in the order of ids, so that the same rows are the same bytes.
        lines.coalesce(1).sortWithinPartitions("id").write.parquet(str(unfinished))
    [part] = (scratch / source.stem).glob("*.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)
    return spark.read.parquet(running.literal(target)).count()


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    scratch = call.output / running.UNFINISHED.format(name="days")
    with running.session() as spark:
        result = compact(spark, call.supplies, call.output.parent / "by_day", scratch)
    running.remove(scratch)
    running.write_result(call.result, result)


if __name__ == "__main__":
    main()
