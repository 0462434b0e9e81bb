"""Kafka 4.3, broker and controller in one process (KRaft), from jars that `stack.jars` fetched.

Both listeners ask for a password (SASL/PLAIN; nothing of it leaves the machine), the same one: the broker
knows no rights that could differ.
"""

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

from core.lib.files import write_whole
from stack import base, java
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part, Program

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
listeners=CLIENTS://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config={jaas}
listener.name.controller.plain.sasl.jaas.config={jaas}
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
"""
ACCOUNT = "atalaya"
JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required"
    ' username="{name}" password="{password}" user_{name}="{password}";'
)

SMALL = ["-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
LOGS = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
LOGS += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ"]


def console_settings(config: Config) -> dict[str, str]:
    """How the console reaches the broker. One that the caller names is never told this one's password."""
    if config.settings.get("CONSOLE_KAFKA_BOOTSTRAP"):
        return {}
    access = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    access |= {"sasl.username": ACCOUNT, "sasl.password": config.secrets["kafka"]}
    return {
        "CONSOLE_KAFKA_BOOTSTRAP": f"127.0.0.1:{config.port('kafka')}",
        "CONSOLE_KAFKA_CONFIG": json.dumps({**access, **_said(config)}),
    }


def _said(config: Config) -> dict[str, Any]:
    """The caller's own settings of librdkafka."""
    text = config.settings.get("CONSOLE_KAFKA_CONFIG") or "{}"
    with contextlib.suppress(ValueError):
        if isinstance(said := json.loads(text), dict):
            return said
    raise StackError("CONSOLE_KAFKA_CONFIG is no JSON object; .env.example says how to write it.")


def prepare(config: Config) -> None:
    """Write the settings, and format the log folder at the first start."""
    folder = _folder(config)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    ports = {"broker": config.port("kafka"), "controller": config.port("kafka-controller")}
    data = str(folder / "data").replace("\\", "\\\\")
    jaas = JAAS.format(name=ACCOUNT, password=config.secrets["kafka"])
    write_whole(folder / "kraft.properties", SETTINGS.format(data=data, jaas=jaas, **ports))
    if not (folder / "data" / "meta.properties").exists():
        _format(config)


def _format(config: Config) -> None:
    options = [
        "format",
        "-t",
        config.secrets["kafka_cluster_id"],
        "-c",
        str(_folder(config) / "kraft.properties"),
    ]
    command = [*_java(config), "kafka.tools.StorageTool", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=base.environment())
    if done.returncode != 0:
        raise StackError(f"Kafka could not format its folder {_folder(config)}:\n{done.stdout}{done.stderr}")


def _java(config: Config) -> list[str]:
    return [str(java.find()), *SMALL, *LOGS, "-cp", f"{config.jars_dir}/*"]


def _folder(config: Config) -> Path:
    return config.var_dir / "kafka"


def _program(config: Config) -> Program:
    argv = [*_java(config), "kafka.Kafka", str(_folder(config) / "kraft.properties")]
    return Program(argv, base.environment(), _folder(config))


def _health(config: Config, _started_at: float) -> None:
    """The broker's port opens once it has joined its controller and recovered its logs."""
    base.listens(config, "kafka")


PART = Part("kafka", program=_program, health=_health, port="kafka", stop_wait_s=25)
