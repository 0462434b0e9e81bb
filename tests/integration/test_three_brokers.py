"""Three brokers, each killed once while records are sent: what was answered is in the topic, and it goes on.

`make test-brokers`, outside `make test`: three servers of Kafka, each broker and controller, and the part of
serving that an answer waits for.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from core.lib import kafka as console_kafka
from core.lib import topics
from predictions.errors import NotRecorded
from predictions.serving.deliveries import Deliveries
from predictions.serving.record_writer import RecordWriter
from predictions.serving.unanswered import Unanswered
from stack import base, config, kafka
from stack.config import Config
from tests import running_stack
from tests.api import wait_for

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONSOLE_TEST_BROKERS") != "1", reason="`make test-brokers` runs it: three JVMs"
    ),
    pytest.mark.timeout(900),
]
NODES = (1, 2, 3)
TOPIC = "predictions"
CALLERS = 8
PAUSE_S = 0.02
GOES_ON_WITHIN_S = 60  # the controller gives a broker up after 9 s; the rest is for a busy machine


@dataclass
class Cluster:
    """site: for Java, jars and the account. processes: by node, of those that run."""

    site: Config
    folder: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def port(self, node: int, *, is_controller: bool = False) -> int:
        return self.site.port_base + 60 + 2 * node + is_controller

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self.port(node)}" for node in NODES)

    def settings(self, node: int) -> str:
        """Those of the embedded broker, for one of three."""
        jaas = kafka.JAAS.format(name=kafka.ACCOUNT, password=self.site.secrets["kafka"])
        ports = {"broker": self.port(node), "controller": self.port(node, is_controller=True)}
        text = kafka.SETTINGS.format(data=self.folder / str(node), jaas=jaas, **ports)
        voters = (f"{one}@127.0.0.1:{self.port(one, is_controller=True)}" for one in NODES)
        other = {
            "node.id": node,
            "controller.quorum.voters": ",".join(voters),
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
        }
        kept = [line for line in text.splitlines() if line.partition("=")[0] not in other]
        return "\n".join([*kept, *(f"{name}={value}" for name, value in other.items())]) + "\n"

    def start(self, node: int) -> None:
        file = self.folder / f"{node}.properties"
        if not file.exists():
            file.write_text(self.settings(node))
            tool = [*kafka._java(self.site), "kafka.tools.StorageTool", "format"]
            id_ = self.site.secrets["kafka_cluster_id"]
            subprocess.run([*tool, "-t", id_, "-c", file], env=base.environment(), check=True)
        with (self.folder / f"{node}.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(
                [*kafka._java(self.site), "kafka.Kafka", file],
                env=base.environment(),
                stdout=log,
                stderr=log,
            )

    def kill(self, node: int) -> None:
        process = self.processes.pop(node)
        process.kill()
        process.wait()

    def in_sync(self) -> set[int]:
        """How many replicas each partition of the topic has in sync."""
        found = console_kafka.admin().list_topics(TOPIC, timeout=10).topics[TOPIC]
        return {len(partition.isrs) for partition in found.partitions.values()}

    def is_whole(self) -> bool:
        return self.in_sync() == {len(NODES)}


@dataclass
class Told:
    """answered: ids whose records were acknowledged. refused: of those that were told 503."""

    answered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@pytest.fixture
def cluster(tmp_path, settings) -> Iterator[Cluster]:
    site = config.from_environment(
        running_stack.environment(
            CONSOLE_VAR_DIR=str(tmp_path / "var"),
            CONSOLE_PORT_BASE=str(running_stack.PORT_BASE),
            CONSOLE_VENV_DIR=str(config.from_environment().venv_dir),
        )
    )
    site.var_dir.mkdir()
    found = Cluster(site, tmp_path)
    settings.CONSOLE_KAFKA_BOOTSTRAP = found.bootstrap
    settings.CONSOLE_KAFKA_CONFIG = json.loads(kafka.console_settings(site)["CONSOLE_KAFKA_CONFIG"])
    try:
        for node in NODES:
            found.start(node)
        yield found
    finally:
        for node in list(found.processes):
            found.kill(node)


async def ask(writer: RecordWriter, caller: int, told: Told, over: asyncio.Event) -> None:
    """One call after the other, each with a record of its own."""
    number = 0
    while not over.is_set():
        id_ = f"{caller}-{number}"
        number += 1
        try:
            await writer.write([json.dumps({"id": id_}).encode()], [id_])
            told.answered.append(id_)
        except NotRecorded:
            told.refused.append(id_)
        await asyncio.sleep(PAUSE_S)


async def kill_each(cluster: Cluster, told: Told) -> None:
    for node in NODES:
        cluster.kill(node)
        began_at = time.monotonic()
        await asyncio.sleep(1)  # what was under way is answered by then
        n_before = len(told.answered)
        while len(told.answered) < n_before + 100:
            assert time.monotonic() - began_at < GOES_ON_WITHIN_S, f"nothing is answered without {node}"
            await asyncio.sleep(0.1)
        print(f"without {node}: goes on after {time.monotonic() - began_at:.1f} s", flush=True)  # noqa: T201
        await asyncio.sleep(10)  # beyond the session that the controller grants it
        cluster.start(node)
        await asyncio.to_thread(wait_for, "all in sync", cluster.is_whole, timeout_s=120)


async def answer_meanwhile(cluster: Cluster, writer: RecordWriter) -> Told:
    told, over = Told(), asyncio.Event()
    callers = [asyncio.create_task(ask(writer, caller, told, over)) for caller in range(CALLERS)]
    try:
        await kill_each(cluster, told)
    finally:
        over.set()
        await asyncio.gather(*callers)
    return told


def recorded() -> list[str]:
    """The id of every record in the topic, from its beginning to its end."""
    consumer = Consumer(console_kafka.consumer_config("test-three-brokers"))
    numbers = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    found: list[str] = []
    for number in numbers:
        _low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=10)
        consumer.assign([TopicPartition(TOPIC, number, 0)])
        at = 0
        while at < high:
            message = consumer.poll(10)
            assert message is not None, f"{TOPIC}/{number} ends at {at}, not at {high}"
            assert message.error() is None, message.error()
            found += [json.loads(line)["id"] for line in console_kafka.lines(message.value())]
            at = message.offset() + 1
    consumer.close()
    return found


def test_nothing_answered_is_lost_with_any_one_broker(cluster, tmp_path):
    wait_for(
        "brokers", lambda: len(console_kafka.admin().list_topics(timeout=30).brokers) == 3, timeout_s=120
    )
    topics.ensure([topics.Topic(TOPIC, n_partitions=4)])
    wait_for("all in sync", cluster.is_whole, timeout_s=60)
    writer = RecordWriter(Deliveries(TOPIC), Unanswered(tmp_path / "unanswered", TOPIC))
    writer.start()
    try:
        told = asyncio.run(answer_meanwhile(cluster, writer))
    finally:
        writer.close()
    found = recorded()
    n_answered, n_refused = len(told.answered), len(told.refused)
    print(f"answered {n_answered}, refused {n_refused}, in the topic {len(found)}", flush=True)  # noqa: T201
    assert set(told.answered) <= set(found)
    assert len(found) == len(set(found))
    assert set(found) <= {*told.answered, *told.refused}
    assert n_answered > 500
