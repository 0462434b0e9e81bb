"""Kafka's topics as streams of Spark: settings of librdkafka in Java's words, dead letters. No Django."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession

LOGIN = "org.apache.kafka.common.security.{module} required username={username} password={password};"
MODULES = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
}
# Settings of librdkafka that say how one is let in, and Java's for the same.
SAME = {
    "security.protocol": "security.protocol",
    "sasl.mechanism": "sasl.mechanism",
    "sasl.mechanisms": "sasl.mechanism",
    "ssl.endpoint.identification.algorithm": "ssl.endpoint.identification.algorithm",
    "ssl.ca.location": "ssl.truststore.location",
}
ACCOUNT = ("sasl.username", "sasl.password")
DEAD_TOPIC_FILE = "dead_topic"  # among the supplies: what the topic of dead letters is called
OUR_HEADERS = "atalaya."
KEPT_BYTES = 1000 * 1024  # of a dead letter, as the console's own streams keep
KEPT_KEY_BYTES = 16 * 1024
LARGEST_REQUEST_BYTES = 2 * 1024 * 1024


def options(bootstrap: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """What Spark's source and sink take, from librdkafka's settings.

    Raises ValueError for a way of signing in that is not known here: a silent guess would fail elsewhere.
    """
    found = {
        SAME[name]: str(value).upper() if name in ("security.protocol",) else str(value)
        for name, value in settings.items()
        if name in SAME
    }
    odd = [n for n in settings if n.startswith(("ssl.", "sasl.")) and n not in SAME and n not in ACCOUNT]
    if odd:
        raise ValueError(f"CONSOLE_KAFKA_CONFIG has {', '.join(sorted(odd))}, which Spark jobs do not know.")
    if "ssl.truststore.location" in found:
        found["ssl.truststore.type"] = "PEM"
    if found.get("ssl.endpoint.identification.algorithm") == "none":
        found["ssl.endpoint.identification.algorithm"] = ""
    if settings.get("sasl.username"):
        found["sasl.jaas.config"] = _login(found.get("sasl.mechanism", ""), settings)
    return {"kafka.bootstrap.servers": bootstrap} | {f"kafka.{name}": text for name, text in found.items()}


def _login(mechanism: str, settings: Mapping[str, Any]) -> str:
    module = MODULES.get(mechanism)
    if module is None:
        known = ", ".join(MODULES)
        raise ValueError(
            f"CONSOLE_KAFKA_CONFIG signs in by {mechanism or 'nothing'}; Spark jobs know {known}."
        )
    username, password = (_quoted(str(settings.get(name, ""))) for name in ACCOUNT)
    return LOGIN.format(module=module, username=username, password=password)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def messages(spark: "SparkSession", access: Mapping[str, str], topic: str, *, starting: str) -> "DataFrame":
    """A topic as it grows, without what a sender took back. A message that is gone unread ends the query."""
    stream = spark.readStream.format("kafka").options(**access)
    stream = stream.option(
        "kafka.isolation.level", "read_committed"
    )  # Java's default, unlike librdkafka's, is not
    stream = stream.option("subscribe", topic).option("startingOffsets", starting)
    return stream.option("failOnDataLoss", "true").option("maxOffsetsPerTrigger", "100000").load()


def dead_letters(refused: "DataFrame", *, stream: str) -> "DataFrame":
    """Messages with a column `reason` as they go to the dead topic: the bytes, and where they lay.

    Headers are named as the console names its own.
    """
    from pyspark.sql import functions as F

    def header(name: str, value: "Expression") -> "Expression":
        return F.struct(
            F.lit(f"{OUR_HEADERS}{name}").alias("key"), F.encode(value.cast("string"), "UTF-8").alias("value")
        )

    size = F.octet_length("value")
    place = [header(name, F.col(name)) for name in ("reason", "topic", "partition", "offset")]
    headers = F.array(header("stream", F.lit(stream)), *place)
    cut = F.array(header("cut_from_bytes", size))
    return refused.select(
        F.substring("key", 1, KEPT_KEY_BYTES).alias("key"),
        F.substring("value", 1, KEPT_BYTES).alias("value"),
        F.when(size > KEPT_BYTES, F.concat(headers, cut)).otherwise(headers).alias("headers"),
    )
