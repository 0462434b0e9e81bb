"""Count taxi trips as they arrive in Kafka, in windows of ten minutes that start every five.

It runs until somebody stops it, and goes on from its checkpoint when it is started again under the same name.
For each window and vendor it counts trips, adds up fares and tips and takes the mean distance, by the time of
pickup. A window is written once, when trips later than the lateness allowed are not expected any more.

- As Parquet each window is there exactly once, whatever dies meanwhile: the sink's log says which files
  count, and those of a batch that was cut off are removed at the next start.
- In the topic for results, if one is named, each is at least once: after a crash the last ones come again.
- A message, or a line of one, that is no trip goes to the dead topic with its reason, at least once as well.

Trips later than the lateness are left out by Spark, which counts them together: the page says of how many
windows and vendors in how many batches. A topic that was deleted or made
anew ends the job: go on under another name.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobs.spark_apps import kafka, running
from jobs.spark_apps.running import SourceAway, SourceRefused

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

NEEDS = ("kafka",)
SCOPES = ("streams.edit", "messages.read")
IS_STREAMING = True
TOPIC_NAME = r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}"  # as core.lib.topics has it
WINDOW, SLIDE = "10 minutes", "5 minutes"
MAX_EVENT_BYTES = 256 * 1024
MAX_AHEAD = "5 minutes"
MOST_LINES = 1_000  # of a message; as core.lib.kafka has it
BLANKS = " \t\r\n"
JSON = {"allowNonNumericNumbers": "true", "allowSingleQuotes": "false"}  # NaN is read as null
# As the console's own streams read event times: date and time of ISO 8601, and Unix times of four units.
ISO = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?$"
)
# An offset and the name of a zone behind it, as Java and Go write both.
ZONE_NAME = r"(?:(Z|[+-][0-9]{2}:?[0-9]{2})\[[A-Z0-9_/+-]{1,40}\]| ?([+-][0-9]{2}:?[0-9]{2}) (?:UTC|GMT))$"
LEAP_SECOND = r"^(.{13}:[0-9]{2}):60(.*)$"
UNIX = r"^[0-9]{1,19}(\.[0-9]+(E[0-9]+)?)?$"  # Spark writes a number of JSON as Java does: 1.70411082E9
# As scoring.language has them.
MAX_INTEGER = 2**53  # beyond it whole numbers are not exact
MAX_NUMBER = 3.4028234e38
MAX_TEXT = 1_000  # characters
REGISTRY_BYTES = 5  # a zero and the number of a schema, as streaming.encodings has it
YEAR_2000_S, YEAR_2100_S = 946_684_800, 4_102_444_800
# A checkpoint keeps the number of its partitions: 200, Spark's default, are that many tasks for each batch.
CONF = {
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.streaming.numRecentProgressUpdates": "30",  # more than there are between two looks
}
TEXTS = ("vendor_id", "payment_type")
NUMBERS = ("trip_distance", "fare_amount", "tip_amount")
MAYBE_NUMBERS = (
    "passenger_count",
    "pickup_longitude",
    "pickup_latitude",
    "dropoff_longitude",
    "dropoff_latitude",
)
# As a variant a value keeps what it was: as a string of Spark the text "true" would be the same as true.
SCHEMA = ", ".join(
    ["pickup_datetime string", *(f"{name} variant" for name in (*TEXTS, *NUMBERS, *MAYBE_NUMBERS))]
)
REFUSED = "refused"  # what Spark observes of each batch
LOOKS_EVERY_S = 1.0
STOPS_WITHIN_S = 15.0
HISTORY = 60
# What Spark and Kafka say when a topic is not the one that the checkpoint knows.
GONE = (
    "UnknownTopicOrPartition",
    "Some data may have been lost",
    "KAFKA_DATA_LOSS",
    "does not host this topic",
)
AWAY = ("TimeoutException", "BrokerNotAvailable", "DisconnectException")


@dataclass(frozen=True)
class Params:
    topic: str = field(default="taxi_trips", metadata={"label": "Topic", "pattern": TOPIC_NAME})
    name: str = field(
        default="trips",
        metadata={
            "label": "Checkpoint",
            "help": "Started again under this name it goes on where it was. Small letters, digits, - and _.",
            "pattern": r"[a-z0-9][a-z0-9_-]{0,39}",
        },
    )
    sink_topic: str = field(
        default="",
        metadata={
            "label": "Topic for results",
            "help": "Windows go there as JSON; made if it is not there. None when empty.",
            "pattern": rf"|{TOPIC_NAME}",
        },
    )
    lateness_min: int = field(
        default=10,
        metadata={
            "label": "Lateness (minutes)",
            "help": "Of the newest pickup so far; trips later than that are left out.",
            "minimum": 0,
            "maximum": 24 * 60,
        },
    )
    starting: Literal["earliest", "latest"] = field(
        default="earliest",
        metadata={"label": "Starts at", "help": "Where the topic is read from the first time."},
    )
    every_s: int = field(
        default=5, metadata={"label": "Batch every (seconds)", "minimum": 1, "maximum": 3600}
    )
    stops_at_end: bool = field(
        default=False,
        metadata={"label": "Stop at the end", "help": "Read what is there now, then end."},
    )

    def identity(self) -> dict[str, Any]:
        """What may not change under a checkpoint."""
        return {name: getattr(self, name) for name in ("topic", "sink_topic", "lateness_min")}


# --- from messages to windows


def events(messages: "DataFrame") -> "DataFrame":
    """A row for each line of a message that holds one JSON object a line; others are as they were.

    Latin-1 has a character for each byte: so lines keep theirs, whatever they are.
    """
    from pyspark.sql import functions as F

    bytes_ = F.decode("value", "ISO-8859-1")
    lines = F.transform(
        F.split(F.rtrim(bytes_, F.lit(BLANKS)), "\n"), lambda line: F.trim(line, F.lit(BLANKS))
    )
    is_several = F.size(lines).between(2, MOST_LINES) & F.forall(
        lines, lambda line: line.startswith("{") & line.endswith("}")
    )
    each = F.transform(lines, lambda line: F.encode(line, "ISO-8859-1"))
    return messages.withColumn("value", F.explode(F.when(is_several, each).otherwise(F.array("value"))))


def root(text: "Expression") -> "Expression":
    """The JSON of a text that holds one value, and nothing more but blanks; null for any other text.

    Spark reads the first value of a text and passes over what follows. So it is read as one of two in a list,
    and the second, which no text can hold, has to come next.
    """
    from pyspark.sql import functions as F

    end = F.sha2(text, 256)
    both = F.concat(F.lit("["), text, F.lit(',"'), end, F.lit('"]'))
    found = F.from_json(both, "array<string>", JSON)
    return F.when((F.size(found) == 2) & (F.get(found, F.lit(1)) == end), F.get(found, F.lit(0)))


def moment(text: "Expression") -> "Expression":
    """The time that a text says, without a zone in UTC; null for none."""
    from pyspark.sql import functions as F

    text = F.trim(text, F.lit(BLANKS))
    upper = F.regexp_replace(F.upper(text), ZONE_NAME, "$1$2")
    upper = F.when(upper.rlike(" (UTC|GMT)$"), F.regexp_replace(upper, " (UTC|GMT)$", "Z")).otherwise(upper)
    is_leap = upper.rlike(LEAP_SECOND)
    upper = F.regexp_replace(upper, LEAP_SECOND, "$1:59$2")
    with_seconds = F.regexp_replace(F.translate(upper, ",", "."), r"^(.{16})(Z|[+-].*)?$", "$1:00$2")
    iso = F.when(upper.rlike(ISO), F.try_to_timestamp(with_seconds))
    iso = iso + F.when(is_leap, F.expr("INTERVAL 1 SECOND")).otherwise(F.expr("INTERVAL 0 SECOND"))
    number = F.when(text.rlike(UNIX), text.try_cast("double"))
    seconds = F.coalesce(
        *(
            F.when(number.between(YEAR_2000_S * unit, YEAR_2100_S * unit), number / unit)
            for unit in (1, 1_000, 1_000_000, 1_000_000_000)  # no number is in the range of two
        )
    )
    return F.coalesce(iso, F.timestamp_micros((seconds * 1_000_000).cast("bigint")))


def content(value: "Expression") -> "Expression":
    """The bytes without a byte order mark, or without the frame of a schema registry before JSON."""
    from pyspark.sql import functions as F

    marked = F.substring(value, 1, 3) == F.lit(b"\xef\xbb\xbf")
    behind = F.substring(value, REGISTRY_BYTES + 1, MAX_EVENT_BYTES)
    starts = F.ltrim(behind.cast("string"), F.lit(BLANKS)).startswith("{")
    framed = (F.substring(value, 1, 1) == F.lit(b"\x00")) & starts
    return F.when(marked, F.substring(value, 4, MAX_EVENT_BYTES)).when(framed, behind).otherwise(value)


def text_of(value: "Expression") -> "Expression":
    """A text, or a whole number as one; null for anything else.

    2.0 is the id 2: data frames make floats of a column where a value is missing.
    """
    from pyspark.sql import functions as F

    kind, text = F.schema_of_variant(value), F.try_variant_get(value, "$", "string")
    number = F.try_variant_get(value, "$", "double")
    whole = F.when(F.abs(number) <= MAX_INTEGER, number.cast("bigint"))
    return (
        F.when((kind == "STRING") & F.length(text).between(1, MAX_TEXT), text)
        .when((kind == "BIGINT") | kind.rlike(r"^DECIMAL\([0-9]+,0\)$"), text)
        .when((kind == "DOUBLE") & (whole == number), whole.cast("string"))
    )


def number_of(value: "Expression") -> "Expression":
    """A number within bounds; null for anything else, a number in quotes too."""
    from pyspark.sql import functions as F

    is_number = F.schema_of_variant(value).rlike("^(BIGINT|DECIMAL|DOUBLE)")
    number = F.when(is_number, F.try_variant_get(value, "$", "double"))
    return F.when(F.abs(number) <= MAX_NUMBER, number)  # NaN is larger than any


def is_given(value: "Expression") -> "Expression":
    """Whether there is a value, which null and NaN are not."""
    from pyspark.sql import functions as F

    kind = F.schema_of_variant(value)
    is_nan = (kind == "DOUBLE") & F.isnan(F.try_variant_get(value, "$", "double"))
    return F.coalesce((kind != "VOID") & ~is_nan, F.lit(False))


def judged(messages: "DataFrame") -> "DataFrame":
    """A row for each event, with the fields of a trip, `pickup_at`, and `reason`: its first fault, or null.

    What is a trip is what the console's own stream of trips takes for one, and the same whenever a message is
    judged: each query has batches of its own, and a message that one of them took and another refused would
    be counted and dead, or neither.
    """
    from pyspark.sql import functions as F

    found = events(messages)
    text = content(F.col("value")).cast("string")
    found = found.withColumn("trip", F.from_json(text, SCHEMA, JSON)).select("*", "trip.*").drop("trip")
    odd = [
        F.when(is_given(F.col(name)) & number_of(F.col(name)).isNull(), f"{name} is no number")
        for name in MAYBE_NUMBERS
    ]
    found = found.withColumn("odd", F.coalesce(*odd))
    read = {name: text_of(F.col(name)) for name in TEXTS}
    read |= {name: number_of(F.col(name)) for name in (*NUMBERS, *MAYBE_NUMBERS)}
    found = found.withColumns(read).withColumn("pickup_at", moment(F.col("pickup_datetime")))
    # By the time that its sender or the broker gave it: in the past, unless that clock is ahead, too.
    sent_at = F.least("timestamp", F.current_timestamp())
    ahead = sent_at + F.expr(f"INTERVAL {MAX_AHEAD}")
    reasons: list[Expression] = [
        F.when(F.col("value").isNull(), "it has no value"),
        F.when(F.octet_length("value") > MAX_EVENT_BYTES, f"it has more than {MAX_EVENT_BYTES} bytes"),
        F.when(~F.is_valid_utf8(text), "it is not in UTF-8"),
        F.when(~F.coalesce(root(text).startswith("{"), F.lit(False)), "it is not one JSON object"),
        *(F.when(F.col(name).isNull(), f"{name} is missing or no text") for name in TEXTS),
        F.when(F.col("pickup_at").isNull(), "pickup_datetime is missing or no date and time"),
        F.when(
            F.col("pickup_at") < F.timestamp_seconds(F.lit(YEAR_2000_S)), "pickup_datetime is before 2000"
        ),
        F.when(F.col("pickup_at") > ahead, f"pickup_datetime is more than {MAX_AHEAD} ahead of its message"),
        *(F.when(F.col(name).isNull(), f"{name} is missing or no number") for name in NUMBERS),
        F.col("odd"),
    ]
    return found.withColumn("reason", F.coalesce(*reasons)).drop("odd")


def windows(messages: "DataFrame", lateness_min: int) -> "DataFrame":
    """Judged messages → one row for each window and vendor."""
    from pyspark.sql import functions as F

    trips = messages.where(F.col("reason").isNull()).withWatermark("pickup_at", f"{lateness_min} minutes")
    counted = trips.groupBy(F.window("pickup_at", WINDOW, SLIDE), "vendor_id").agg(
        F.count(F.lit(1)).alias("trips"),
        F.sum("fare_amount").alias("fare_amount"),
        F.sum("tip_amount").alias("tip_amount"),
        F.mean("trip_distance").alias("trip_distance"),
    )
    return counted.select(
        F.col("window.start").alias("start"),
        F.col("window.end").alias("end"),
        "vendor_id",
        "trips",
        "fare_amount",
        "tip_amount",
        "trip_distance",
    )


# --- the place that a name has


@dataclass(frozen=True)
class Place:
    """Checkpoints and Parquet of one name; they outlive the job that made them."""

    folder: Path

    @property
    def windows(self) -> Path:
        return self.folder / "windows"

    def checkpoint(self, query: str) -> str:
        return str(self.folder / "checkpoint" / query)

    def tidy(self) -> None:
        """Remove files of no finished batch: who reads the folder without Spark would count them too.

        Spark's sink lists what counts in `_spark_metadata`: a version, then a JSON object on each line.
        """
        listed = set()
        for log in (self.windows / "_spark_metadata").glob("[0-9]*"):
            for line in log.read_text().splitlines()[1:]:
                listed.add(Path(json.loads(line)["path"]).name)
        for file in self.windows.glob("*.parquet"):
            if file.name not in listed:
                file.unlink()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Alone with it: two drivers would spoil it. Raises SourceRefused when another one works here."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise SourceRefused(f"Another job works with the checkpoint {self.folder.name}.") from error
        finally:
            os.close(descriptor)

    def recognise(self, identity: Mapping[str, Any]) -> None:
        """Raises SourceRefused when the checkpoint is another query's."""
        note = self.folder / "query.json"
        name = self.folder.name
        if note.exists():
            known = json.loads(note.read_text())
            changed = [
                f"{key} was {known.get(key)!r} and is {value!r}"
                for key, value in identity.items()
                if known.get(key) != value
            ]
            if changed:
                raise SourceRefused(
                    f"The checkpoint {name} is another query's: {', '.join(changed)}. Choose another name."
                )
        elif (self.folder / "checkpoint").exists():
            raise SourceRefused(f"The checkpoint {name} is another application's. Choose another name.")
        else:
            running.write_result(note, dict(identity))


# --- queries and how they fare


def start(
    spark: "SparkSession", params: Params, access: Mapping[str, str], place: Place, dead_topic: str
) -> "list[StreamingQuery]":
    """Windows to Parquet and, if asked for, to Kafka; what is no trip to the dead topic."""
    from pyspark.sql import functions as F

    def begin(name: str, table: "DataFrame", topic: str = "") -> "StreamingQuery":
        writer = table.writeStream.queryName(name).outputMode("append")
        writer = writer.option("checkpointLocation", place.checkpoint(name))
        if params.stops_at_end:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{params.every_s} seconds")
        if not topic:
            return writer.format("parquet").option("path", str(place.windows)).start()
        writer = writer.format("kafka").options(**access).option("topic", topic)
        return writer.option("kafka.max.request.size", str(kafka.LARGEST_REQUEST_BYTES)).start()

    messages = judged(kafka.messages(spark, access, params.topic, starting=params.starting))
    counted = windows(messages, params.lateness_min)
    queries = [begin("windows", counted)]
    if params.sink_topic:
        as_json = counted.select(
            F.encode("vendor_id", "UTF-8").alias("key"),
            F.to_json(F.struct("*"), {"timestampFormat": "yyyy-MM-dd HH:mm:ss"}).alias("value"),
        )
        queries.append(begin("results", as_json, params.sink_topic))
    told = messages.observe(REFUSED, F.count("reason").alias(REFUSED))
    refused = kafka.dead_letters(
        told.where(F.col("reason").isNotNull()), stream=f"stream_trips/{params.name}"
    )
    queries.append(begin("dead", refused, dead_topic))
    return queries


class Progress:
    """Notes for the job's page how the queries fare. totals: since this start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, tuple[int, str]] = {}  # batch and time of its last note
        self._rows: dict[str, int] = {}
        self._refused = 0
        self._late = 0
        self._history: list[dict[str, Any]] = []

    def note(self, queries: "Sequence[StreamingQuery]") -> dict[str, Any]:
        """Write the state of all queries; returns it."""
        newest = [told for one in queries if (told := self._newest(one)) is not None]
        state = {
            "at": time.time(),
            "queries": [self._query(told) for told in newest],
            "history": self._history,
        }
        running.write_result(self._path, state)
        return state

    def _newest(self, query: "StreamingQuery") -> dict[str, Any] | None:
        """The newest progress of a query, with all since the last look added up; None before its first.

        Between two looks there may be several: after a batch that moves the watermark Spark runs one without
        rows at once.
        """
        found = query.lastProgress
        if found is None:
            return None
        newest: dict[str, Any] = json.loads(found.json)
        seen = self._seen.get(newest["name"])
        if _mark(newest) == seen:  # reading all recent ones takes many calls to the JVM
            return newest
        recent = [json.loads(one.json) for one in query.recentProgress]
        marks = [_mark(told) for told in recent]
        for told in recent[marks.index(seen) + 1 if seen in marks else 0 :]:
            self._add(told)
            newest = told
        return newest

    def _add(self, told: dict[str, Any]) -> None:
        name = told["name"]
        self._seen[name] = _mark(told)
        self._rows[name] = self._rows.get(name, 0) + told["numInputRows"]
        self._refused += (told.get("observedMetrics") or {}).get(REFUSED, {}).get(REFUSED, 0)
        if name == "windows":
            operators = told.get("stateOperators", [])
            self._late += sum(one.get("numRowsDroppedByWatermark", 0) for one in operators)
            self._history.append(
                {"at": told["timestamp"], "rows_per_s": _number(told.get("processedRowsPerSecond"))}
            )
            del self._history[:-HISTORY]

    def _query(self, told: dict[str, Any]) -> dict[str, Any]:
        name, batch = told["name"], told["batchId"]
        operators = told.get("stateOperators", [])
        return {
            "name": name,
            "batch": batch,
            "rows": self._rows[name],
            "input_rows_per_s": _number(told.get("inputRowsPerSecond")),
            "rows_per_s": _number(told.get("processedRowsPerSecond")),
            "batch_ms": told.get("batchDuration", 0),
            "state_rows": sum(one["numRowsTotal"] for one in operators),
            "state_bytes": sum(one["memoryUsedBytes"] for one in operators),
            "late_windows": self._late if name == "windows" else 0,
            "refused": self._refused if name == "dead" else 0,
            "watermark": told.get("eventTime", {}).get("watermark", ""),
        }


def _mark(told: dict[str, Any]) -> tuple[int, str]:
    """What tells one progress of a query from another: idle triggers repeat the number of a batch."""
    return told["batchId"], told["timestamp"]


def _number(value: Any) -> float:
    """Zero for the NaN and infinity of a batch that took no time."""
    return value if isinstance(value, int | float) and abs(value) < float("inf") else 0.0


def follow(queries: "Sequence[StreamingQuery]", progress: Progress, stop: Path) -> dict[str, Any]:
    """Until all have ended, one has failed, or `stop` is there. Raises what a query failed of."""
    while any(one.isActive for one in queries) and not stop.exists():
        progress.note(queries)
        for one in queries:
            if (error := one.exception()) is not None:
                raise error
        time.sleep(LOOKS_EVERY_S)
    deadline = time.monotonic() + STOPS_WITHIN_S
    for one in queries:  # between two batches, if one is short enough: a batch cut off comes again, whole
        while one.isActive and one.status["isTriggerActive"] and time.monotonic() < deadline:
            time.sleep(LOOKS_EVERY_S / 10)
        one.stop()
        if (error := one.exception()) is not None:
            raise error
    return progress.note(queries)


def known(error: Exception, params: Params) -> SourceRefused | SourceAway | None:
    """What happened, for who reads the job's page; None when it is nothing that is known."""
    text = str(error)
    if any(mark in text for mark in GONE):
        return SourceRefused(
            f"The topic {params.topic} is not there, or not the one that the checkpoint {params.name} has"
            " read: it was deleted, made anew, or its messages went before they were read. Choose another"
            " name."
        )
    if any(mark in text for mark in AWAY):
        return SourceAway(f"Kafka does not answer: {text.splitlines()[0][:300]}")
    return None


def run(spark: "SparkSession", call: "running.Call[Params]", place: Place) -> dict[str, Any]:
    """All of it. Raises SourceRefused for a topic that is gone, SourceAway while Kafka does not answer."""
    from pyspark.errors import PySparkException

    params = call.params
    queries: list[StreamingQuery] = []
    work = call.result.parent
    dead_topic = (call.supplies / kafka.DEAD_TOPIC_FILE).read_text()
    try:
        queries = start(spark, params, call.access["kafka"], place, dead_topic)
        state = follow(queries, Progress(work / "progress.json"), work / "stop")
    except PySparkException as error:
        if (fault := known(error, params)) is not None:
            raise fault from error
        raise
    finally:
        for one in queries:
            with contextlib.suppress(PySparkException):
                one.stop()
    rows = [[one["name"], one["rows"], one["batch"]] for one in state["queries"]]
    kinds = {"query": "text", "messages_read": "count", "last_batch": "count"}
    return {
        "checkpoint": params.name,
        "late_windows": sum(one["late_windows"] for one in state["queries"]),
        "dead_letters": sum(one["refused"] for one in state["queries"]),
        "dead_topic": dead_topic,
        "tables": [running.table("Queries since this start", kinds, rows)],
        **running.facts(place.windows),
    }


def main(argv: Sequence[str] | None = None) -> None:
    call = running.call(Params, argv)
    place = Place(call.output.parent / "streams" / call.params.name)
    with place.held():
        place.recognise(call.params.identity())
        place.tidy()
        with running.session(CONF) as spark:
            spark.sparkContext.setLogLevel("WARN")  # clients tell all their settings at each batch
            result = run(spark, call, place)
    running.write_result(call.result, result)


if __name__ == "__main__":
    main()
